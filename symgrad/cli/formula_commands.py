"""Commands about formulas as a user types them: gradients, derive, check, cost, graph, report.

A command imports its work when it runs, so that --help is immediate.
"""

from __future__ import annotations

from typing import Annotated

import typer

from symgrad.cli.options import Json, ModelArgument, NoCache, Output, Parameters, Wrt


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
    chain: Annotated[
        bool, typer.Option("--chain", help="The chain rule of lecture slides: the product of labelled factors.")
    ] = False,
    values: Annotated[
        bool, typer.Option("--values", help="With numbers, for a network small enough, such as two-two-one.")
    ] = False,
    format: Annotated[str, typer.Option(help="text or latex.")] = "text",
    json: Json = False,
) -> None:
    """How the gradients come about: each rule by name, what came in and what went out, then the simplifications."""
    from symgrad.cli.derive import derive_command

    derive_command(model, param or [], wrt or [], chain, values, format, json)


def check(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="A model's name or a Python file.")] = None,
    param: Parameters = None,
    wrt: Annotated[list[str] | None, typer.Option("--wrt", help="With --against: with respect to what.")] = None,
    against: Annotated[
        list[str] | None, typer.Option(help='A gradient derived by hand, to be checked: "x.T @ (output - y) / N".')
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FORMULA", help="A name used in --against: p=softmax(z).")
    ] = None,
    expression: Annotated[str | None, typer.Option(help="With --against: a scalar formula instead of a model.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SIZES", help="A name of the formula: X=m,n or s= ")
    ] = None,
    no_cache: NoCache = False,
    json: Json = False,
) -> None:
    """Prove the gradients at length; or check a gradient derived by hand, and say what is wrong with it.

    Without --against: formula, interpreter and kernel are compared, and the naive way of nudging a weight. With it, the
    formula may use the inputs, parameters and named parts of the model, output, sizes such as N, and delta_z for the
    derivative by a named z; labels count as one-hot rows. Exit code 1 when it is wrong.
    """
    if against or wrt or where or expression or model is None:
        from symgrad.cli.derivations import Claim, against_command

        claim = Claim(model, param or [], expression, shape or [], wrt or [], against or [], where or [], json)
        raise typer.Exit(0 if against_command(claim) else 1)
    from symgrad.cli.formulas import check_command

    check_command(model, param or [], json)


def graph(
    model: ModelArgument,
    param: Parameters = None,
    gradient: Annotated[bool, typer.Option("--gradient", help="Draw the gradients too, beside the network.")] = False,
    all: Annotated[
        bool, typer.Option("--all", help="A box for every operation, not only for what has a name.")
    ] = False,
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
