"""Commands about formulas as a user types them: gradients, derive, check, cost, graph, report.

A command imports its work when it runs, so that --help is immediate.
"""

from __future__ import annotations

from typing import Annotated

import typer

from symgrad.cli.options import Json, ModelArgument, Output, Parameters, Wrt


def gradients(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="A model's name or a Python file.")] = None,
    param: Parameters = None,
    wrt: Wrt = None,
    expression: Annotated[
        str | None, typer.Option(help='A scalar formula instead of a model: "sum((X @ w - y)**2)".')
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SIZES", help="A name of the formula: X=m,n or s= ")
    ] = None,
    notation: Annotated[str, typer.Option(help="matrix, index or numpy.")] = "matrix",
    format: Annotated[str, typer.Option(help="text, latex or html.")] = "text",
    depth: Annotated[int | None, typer.Option(min=0, help="Explain only names that are so many steps away.")] = None,
    order: Annotated[int, typer.Option(min=1, max=2, help="2 adds the second derivatives (Hessians).")] = 1,
    json: Json = False,
) -> None:
    """The gradient of a loss with respect to every parameter, as formulas that have been checked."""
    from symgrad.cli.formulas import Wanted, gradients_command

    gradients_command(
        Wanted(model, param or [], wrt or [], expression, shape or [], notation, format, depth, order, json)
    )


def derive(
    model: ModelArgument,
    param: Parameters = None,
    wrt: Annotated[
        list[str] | None, typer.Option("--wrt", help="A parameter; may be given often; all when left out.")
    ] = None,
    json: Json = False,
) -> None:
    """How the gradients come about: each rule by name, what came in and what went out, then the simplifications."""
    from symgrad.cli.formulas import derive_command

    derive_command(model, param or [], wrt or [], json)


def check(model: ModelArgument, param: Parameters = None, json: Json = False) -> None:
    """Prove the gradients at length; compare formula, interpreter and kernel, and the naive way of nudging a weight."""
    from symgrad.cli.formulas import check_command

    check_command(model, param or [], json)


def graph(
    model: ModelArgument,
    param: Parameters = None,
    gradient: Annotated[bool, typer.Option("--gradient", help="Draw the gradients too, beside the network.")] = False,
    all: Annotated[bool, typer.Option("--all", help="A box for every operation, not only for what has a name.")] = False,
    format: Annotated[str, typer.Option(help="svg or dot (Graphviz).")] = "svg",
    out: Output = None,
) -> None:
    """The expression graph as a picture: names, formulas and shapes."""
    from symgrad.cli.reports import graph_command

    graph_command(model, param or [], format, all, gradient, out)


def cost(
    model: ModelArgument,
    param: Parameters = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows of a batch; the model's own when left out.")] = None,
    json: Json = False,
) -> None:
    """Operations, bytes moved and memory of a training step: formulas in the sizes, and numbers at a batch size."""
    from symgrad.cli.reports import cost_command

    cost_command(model, param or [], batch, json)


def report(
    model: ModelArgument,
    param: Parameters = None,
    run: Annotated[
        str | None, typer.Option(metavar="DIR", help="A run's folder or checkpoint: adds curves, confusions, mistakes.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", metavar="FILE", help="MODEL-report.html when left out.")
    ] = None,
) -> None:
    """One HTML page about a model, readable offline: graph, proved gradients, derivation, code, cost, training."""
    from symgrad.cli.reports import report_command

    report_command(model, param or [], run, out)
