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
from symgrad.expression.node import Expr

if TYPE_CHECKING:
    from symgrad.training.model import Model


@dataclass(frozen=True)
class Derived:
    """A model's derivation and its simplified loss, outputs and gradients; `seconds` is what that took."""

    derivation: Derivation
    simplified: Simplified
    seconds: float
    loss: Expr
    output: Expr
    metrics: dict[str, Expr]
    gradients: dict[str, Expr]


def derive_model(model: Model) -> Derived:
    """Derive and simplify a model's gradients. Raises GradientError."""
    started = time.perf_counter()
    derivation = derive(model.loss, list(model.parameters.values()))
    roots = [*derivation.gradients, derivation.recognised, model.output, *model.metrics.values()]
    result = simplified(roots, within=[derivation.loss])
    count = len(derivation.gradients)
    gradients = dict(zip(model.parameters, result.expressions, strict=False))
    loss, output, *metrics = result.expressions[count:]
    seconds = time.perf_counter() - started
    return Derived(derivation, result, seconds, loss, output, dict(zip(model.metrics, metrics, strict=True)), gradients)


def forget() -> None:
    """Let go of what simplification remembers of expressions: it would keep alive models that are long gone."""
    product_of.cache_clear()
    sum_of.cache_clear()
