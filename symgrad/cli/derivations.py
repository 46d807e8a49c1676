"""The check of a derivation by hand: `symgrad check MODEL --wrt W1 --against "x.T @ (p - y) / N"`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from symgrad.cli import find
from symgrad.cli.formulas import declared
from symgrad.cli.inspect import show_json
from symgrad.errors import ConfigurationError, NotFoundError
from symgrad.expression.node import Expr
from symgrad.expression.ops import Extent
from symgrad.expression.parse import parse
from symgrad.proof.against import check_derivation
from symgrad.proof.meanings import usable


@dataclass(frozen=True)
class Claim:
    """The command line of a derivation that is to be checked."""

    model: str | None
    parameters: Sequence[str]
    expression: str | None
    shapes: Sequence[str]
    wrt: Sequence[str]
    against: Sequence[str]
    where: Sequence[str]
    json: bool


def _loss(claim: Claim) -> tuple[Expr, dict[str, Expr]]:
    """The loss, and what has a name besides what stands in it."""
    if claim.expression is not None and claim.model is not None:
        raise ConfigurationError("give a model or an --expression, not both")
    if claim.expression is not None:
        names = declared(claim.shapes)
        return parse(claim.expression, names), {}
    if claim.model is None:
        raise ConfigurationError("name a model (see `symgrad models`), or give --expression with --shape")
    model = find.find_model(claim.model, claim.parameters)
    return model.training_loss, {"output": model.output}


def _defined(where: Sequence[str], names: dict[str, Expr]) -> dict[str, Expr]:
    """The names that a person gives to formulas, each over the ones before."""
    found: dict[str, Expr] = {}
    for text in where:
        name, separator, formula = text.partition("=")
        if not separator or not name.strip().isidentifier():
            raise ConfigurationError(f"--where {text!r}: write a name and its formula, as in p=softmax(z)")
        found[name.strip()] = parse(formula, names | found)
    return found


def against_command(claim: Claim) -> bool:
    """Whether a derivation is right, with what is wrong about it. Raises ConfigurationError, NotFoundError."""
    if not claim.against:
        raise ConfigurationError(
            'name a model (see `symgrad models`) to prove its gradients, or give --wrt NAME --against "FORMULA" to '
            "check a derivation by hand"
        )
    if len(claim.wrt) != 1 or len(claim.against) != 1:
        raise ConfigurationError(
            f"one derivation is checked at a time: give --wrt once and --against once, not {len(claim.wrt)} "
            f"and {len(claim.against)} times"
        )
    loss, extra = _loss(claim)
    known = usable(loss, loss, {})
    extra = {name: value for name, value in extra.items() if name not in known}
    extra |= _defined(claim.where, known | extra)
    [name] = claim.wrt
    real = {n: e for n, e in known.items() if not n.startswith("delta_") and not isinstance(e.op, Extent)}
    if name not in real:
        raise NotFoundError(f"the loss does not contain {name}; it contains {', '.join(real)}")
    verdict = check_derivation(loss, real[name], claim.against[0], extra)
    if claim.json:
        show_json(dataclasses.asdict(verdict))
    else:
        print(verdict)
    return verdict.correct
