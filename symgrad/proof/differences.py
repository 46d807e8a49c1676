"""Central differences: slopes of an expression as the interpreter computes it, beside a gradient's values.

Takes a scalar expression, its gradients and where they are taken; gives the largest relative errors. Kinks are stepped
around. Knows nothing of how a gradient was derived.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from symgrad.expression.node import Expr
from symgrad.interpreter import evaluate, evaluate_all
from symgrad.proof import points

STEP, TOLERANCE, DIRECTION = 1e-3, 1e-7, 1e-6
Values = Mapping[str, np.ndarray]


def five_point(function: Callable[[float], float], step: float) -> float:
    """The derivative at 0 by the five-point rule (error of order step**4)."""
    a, b, c, d = (function(k * step) for k in (-2, -1, 1, 2))
    return (a - 8 * b + 8 * c - d) / (12 * step)


def slope(loss: Expr, values: Values, direction: Values, step: float) -> float:
    """The derivative of a scalar along a direction of its leaves."""

    start = points.given([loss], values)

    def shifted(t: float) -> float:
        moved = {n: np.asarray(values[n], float) + t * d for n, d in direction.items()}
        return float(evaluate(loss, {**start, **moved}))

    return five_point(shifted, step)


def by_entries(
    loss: Expr, gradients: Sequence[Expr], wrt: Sequence[Expr], random: np.random.Generator
) -> tuple[int, float]:
    """Every entry of every gradient against differences; how many, and the largest error. Kinks are stepped around."""
    for _ in range(points.TRIES):
        values = points.point([loss, *gradients], random)
        computed = evaluate_all(gradients, points.given(gradients, values))
        count, worst, kink = 0, 0.0, False
        for w, g in zip(wrt, computed, strict=True):
            for index in np.ndindex(*g.shape):
                unit = np.zeros(g.shape)
                unit[index] = 1.0
                coarse, fine = (slope(loss, values, {w.name: unit}, h) for h in (STEP, STEP / 8))
                kink |= abs(coarse - fine) > 1e-6 * (1 + abs(coarse))
                true = float(g[index])
                error = min(abs(coarse - true), abs(fine - true)) / (1 + abs(true))
                count, worst = count + 1, max(worst, error)
        if not kink or worst < TOLERANCE:
            return count, worst
    return count, worst


def along_direction(loss: Expr, gradients: Sequence[Expr], wrt: Sequence[Expr], random: np.random.Generator) -> float:
    """<gradient, v> against the slope of the loss along v; the best of a few directions and steps around kinks."""
    values = points.point([loss, *gradients], random)
    computed = evaluate_all(gradients, points.given(gradients, values))
    size = abs(float(evaluate(loss, points.given([loss], values))))
    rounding = 1e-12 + 1e-5 * size  # what differences of zero amount to
    best = np.inf
    for _ in range(3):
        direction = {w.name: random.normal(size=g.shape) / np.sqrt(g.size) for w, g in zip(wrt, computed, strict=True)}
        product = [(g * direction[w.name]).sum() for w, g in zip(wrt, computed, strict=True)]
        scale = rounding + sum(float(np.abs(g * direction[w.name]).sum()) for w, g in zip(wrt, computed, strict=True))
        for step in (1e-3, 1e-4, 1e-5):
            best = min(best, abs(slope(loss, values, direction, step) - sum(product)) / scale)
        if best < DIRECTION:
            break
    return float(best)
