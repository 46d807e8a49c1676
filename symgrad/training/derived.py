"""The gradients of a model: derived, recorded, simplified.

What the formulas show and what the training step compiles.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from symgrad.calculus.arithmetic import product_of, sum_of
from symgrad.calculus.gradient import Derivation, derive
from symgrad.calculus.simplify import Simplified, simplified
from symgrad.expression.forms import evaluation_forms, has_forms, training_forms
from symgrad.expression.node import Expr

if TYPE_CHECKING:
    from symgrad.training.model import Model


@dataclass(frozen=True)
class Derived:
    """A model's derivation and its simplified outputs and gradients; `seconds` is what that took.

    `outputs` holds loss, metrics and output as they are in training, `evaluated` as they are in evaluation, None where
    that is the same; `states` is what a step writes back besides weights.
    """

    derivation: Derivation
    simplified: Simplified
    seconds: float
    outputs: dict[str, Expr]
    gradients: dict[str, Expr]
    states: list[tuple[Expr, Expr]]
    evaluated: dict[str, Expr] | None

    @property
    def loss(self) -> Expr:
        return self.outputs["loss"]

    @property
    def output(self) -> Expr:
        return self.outputs["output"]


def derive_model(model: Model) -> Derived:
    """Derive and simplify a model's gradients. Raises GradientError."""
    started = time.perf_counter()
    written = {"loss": model.loss, **model.metrics, "output": model.output}
    trained, states = training_forms(list(written.values()))
    derivation = derive(trained[0], list(model.parameters.values()))
    gradients = list(derivation.gradients)
    news = [new for _, new in states]
    result = simplified([*gradients, derivation.recognised, *trained[1:], *news], within=[derivation.loss])
    found, count = list(result.expressions), len(gradients)
    outputs = dict(zip(written, found[count:], strict=False))
    evaluated = None
    if has_forms(list(written.values())):
        values = simplified(evaluation_forms(list(written.values()))).expressions
        evaluated = dict(zip(written, values, strict=True))
    return Derived(
        derivation, result, time.perf_counter() - started, outputs,
        dict(zip(model.parameters, found[:count], strict=True)),
        [(state, new) for (state, _), new in zip(states, found[count + len(written) :], strict=True)], evaluated,
    )  # fmt: skip


def forget() -> None:
    """Let go of what simplification remembers of expressions: it would keep alive models that are long gone."""
    product_of.cache_clear()
    sum_of.cache_clear()
