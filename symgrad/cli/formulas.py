"""The commands that show formulas: gradients of a model or of a text, how they come about, whether they are right."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symgrad.calculus.gradient import Derivation, derive
from symgrad.calculus.jacobian import jacobian
from symgrad.calculus.simplify import Simplified, simplified, simplify
from symgrad.cli import find
from symgrad.cli.inspect import show_json
from symgrad.errors import ConfigurationError, ExpressionError, NotFoundError
from symgrad.expression import functions
from symgrad.expression.node import Expr
from symgrad.expression.parse import names_in, parse
from symgrad.formulas import aligned, definitions, formula
from symgrad.formulas.names import text as shown
from symgrad.proof.stamp import Stamp, stamp, stamp_jacobian
from symgrad.training.model import Model

SEEDS = 5  # proofs that the check command makes


@dataclass(frozen=True)
class Wanted:
    """The command line of gradients."""

    model: str | None
    parameters: Sequence[str]
    wrt: Sequence[str]
    expression: str | None
    shapes: Sequence[str]
    notation: str
    format: str
    depth: int | None
    order: int
    json: bool


def gradient_lines(model: Model, indent: int = 0) -> list[str]:
    """The formulas of a model as lines of at most 100 columns."""
    main, where = definitions(titled(model.gradients.gradients))
    lines = aligned(main, indent)
    return [*lines, " " * indent + "where", *aligned(where, indent + 2)] if where else lines


def titled(gradients: Mapping[str, Expr]) -> dict[str, Expr]:
    """Gradients by what stands on their left side."""
    return {f"∂L/∂{shown(name)}": g for name, g in gradients.items()}


def declared(shapes: Sequence[str]) -> dict[str, Expr]:
    """The names of a formula given as text, each with its shape. Raises ConfigurationError, ExpressionError."""
    found: dict[str, Expr] = {}
    for text in shapes:
        name, separator, listed = text.partition("=")
        sizes = [s.strip() for s in listed.split(",") if s.strip()]
        if not separator or not all(s.isdigit() or s.isidentifier() for s in sizes):
            raise ConfigurationError(
                f"--shape {text!r}: write a name and its sizes, as in X=m,n or w=3; a number is s="
            )
        shape = [int(s) if s.isdigit() else s for s in sizes]
        found[name.strip()] = functions.parameter(name.strip(), shape, place=f"--shape {text}")
    return found


def _of_text(wanted: Wanted) -> tuple[str, Derivation, Simplified]:
    """A formula given as text, derived and simplified."""
    names = declared(wanted.shapes)
    assert wanted.expression is not None
    unknown = [n for n in names_in(wanted.expression) if n not in names]
    if unknown:
        fixes = " ".join(f"--shape {n}=SIZES" for n in unknown)
        raise ExpressionError(
            f"what is the shape of {', '.join(unknown)}? Say it: {fixes}, where SIZES is m,n for a matrix, n for a "
            "vector and nothing for a number"
        )
    loss = parse(wanted.expression, names)
    for name in wanted.wrt:
        if name not in names:
            raise NotFoundError(f"{name} is not declared; declare it: --shape {name}=SIZES")
    record = derive(loss, [names[n] for n in wanted.wrt] or list(names.values()))
    return wanted.expression, record, simplified(record.gradients, within=[record.loss])


def _of_model(wanted: Wanted) -> tuple[str, Derivation, Simplified]:
    if wanted.model is None:
        raise ConfigurationError(
            'name a model (see `symgrad models`), or give --expression "sum((X @ w - y)**2)" with --shape'
        )
    model = find.find_model(wanted.model, wanted.parameters)
    if not wanted.wrt:
        return model.name, model.gradients.derivation, model.gradients.simplified
    record = derive(model.training_loss, chosen(model, wanted.wrt))
    return model.name, record, simplified(record.gradients, within=[record.loss])


def gradients_command(wanted: Wanted) -> None:
    """The gradient formulas of a model or of a text, with the stamp of what was checked."""
    if wanted.model is not None and wanted.expression is not None:
        raise ConfigurationError("give a model or an --expression, not both")
    name, record, result = _of_text(wanted) if wanted.expression is not None else _of_model(wanted)
    proofs = {"": stamp(record, result)}
    first = {w.label: g for w, g in zip(record.wrt, result.expressions, strict=False)}
    second = _second(record.wrt, list(first.values())) if wanted.order == 2 else {}
    for (a, b), (slope, w, block) in second.items():
        proofs[second_title(a, b)] = stamp_jacobian(slope, block, w)
    named = {**titled(first), **{second_title(*pair): block for pair, (_, _, block) in second.items()}}
    if wanted.json:
        _show_as_json(name, wanted, named, list(first), proofs)
        return
    print(formula(named, notation=wanted.notation, format=wanted.format, depth=wanted.depth))
    if wanted.format == "text":
        comment = "# " if wanted.notation == "numpy" else ""
        for title, proof in proofs.items():
            text = f"{title} {proof}" if title else str(proof)
            print("\n".join(textwrap.wrap(text, 100, initial_indent=comment, subsequent_indent=comment or "  ")))


def second_title(a: str, b: str) -> str:
    """∂²L/∂w² or ∂²L/∂w∂b."""
    return f"∂²L/∂{shown(a)}²" if a == b else f"∂²L/∂{shown(a)}∂{shown(b)}"


def _second(wrt: Sequence[Expr], slopes: Sequence[Expr]) -> dict[tuple[str, str], tuple[Expr, Expr, Expr]]:
    """The Hessian's blocks on and above the diagonal: a gradient, by what it is differentiated, and the result."""
    pairs = [(i, j) for i in range(len(wrt)) for j in range(i, len(wrt))]
    found = {(wrt[i].label, wrt[j].label): (slopes[i], wrt[j], jacobian(slopes[i], wrt[j])) for i, j in pairs}
    blocks = simplify([block for _, _, block in found.values()])
    return {key: (slope, w, b) for (key, (slope, w, _)), b in zip(found.items(), blocks, strict=True)}


def _show_as_json(
    name: str, wanted: Wanted, named: Mapping[str, Expr], first: Sequence[str], proofs: Mapping[str, Stamp]
) -> None:
    main, where = definitions(named, depth=wanted.depth)
    rows = [
        {
            "formula": str(d).split(" = ", 1)[1],
            "shape": [s if isinstance(s, int) else str(s) for s in d.node.shape],
        }
        for d in main
    ]
    show_json(
        {
            "model": name,
            "gradients": dict(zip(first, rows, strict=False)),
            "hessians": dict(zip(list(named)[len(first) :], rows[len(first) :], strict=True)),
            "where": [{"name": d.name, "formula": str(d).split(" = ", 1)[1]} for d in where],
            "checked": dataclasses.asdict(proofs[""]),
            **{f"checked {title}": dataclasses.asdict(proof) for title, proof in proofs.items() if title},
        }
    )


def check_command(name: str, parameters: Sequence[str], as_json: bool) -> None:
    """The proof of a model's gradients at several seeds, and the agreement of its three forms."""
    from symgrad.proof.agreement import agree

    model = find.find_model(name, parameters)
    proofs = [stamp(model.gradients.derivation, model.gradients.simplified, seed) for seed in range(SEEDS)]
    worst = max(proofs, key=lambda proof: proof.differences)
    found = agree(model)
    if as_json:
        facts = {**dataclasses.asdict(found), "times_longer": found.times_longer}
        show_json({"model": model.name, "checked": dataclasses.asdict(worst), "seeds": SEEDS, **facts})
        return
    print("\n".join(textwrap.wrap(f"{SEEDS} times {worst}", 100, subsequent_indent="  ")))
    print(found)


def chosen(model: Model, names: Sequence[str]) -> list[Expr]:
    """The parameters a person names; all of them when none. Raises NotFoundError."""
    for name in names:
        if name not in model.parameters:
            raise NotFoundError(f"{model.name} has no parameter {name!r}; it has {', '.join(model.parameters)}")
    return [model.parameters[name] for name in names] or list(model.parameters.values())
