"""Central differences: slopes of an expression as the interpreter computes it, beside a gradient's values.

Takes a scalar expression, its gradients and where they are taken; gives the largest relative errors. Kinks are stepped
around. Knows nothing of how a gradient was derived.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from symgrad.expression.node import Expr
from symgrad.interpreter import Interpreter, evaluate_all
from symgrad.proof import points

STEP, TOLERANCE, DIRECTION = 2e-4, 1e-7, 1e-6
ENTRIES = 100  # of all gradients together, at each point
Values = Mapping[str, np.ndarray]


def five_point(function: Callable[[float], float], step: float) -> float:
    """The derivative at 0 by the five-point rule (error of order step**4)."""
    a, b, c, d = (function(k * step) for k in (-2, -1, 1, 2))
    return (a - 8 * b + 8 * c - d) / (12 * step)


class Slopes:
    """Derivatives of a scalar at a point, along directions of its leaves."""

    def __init__(self, loss: Expr, values: Values) -> None:
        self.start, self.run = points.given([loss], values), Interpreter([loss])

    def along(self, direction: Values, step: float) -> float:
        """The slope along one direction."""

        def shifted(t: float) -> float:
            moved = {n: np.asarray(self.start[n], float) + t * d for n, d in direction.items()}
            return float(self.run({**self.start, **moved})[0])

        return five_point(shifted, step)


def by_entries(
    loss: Expr, gradients: Sequence[Expr], wrt: Sequence[Expr], random: np.random.Generator
) -> tuple[int, float]:
    """Entries of every gradient against differences: all when they are few, else some of each at random.

    Gives how many, and the largest error. Kinks are stepped around.
    """
    for _ in range(points.TRIES):
        values = points.point([loss, *gradients], random)
        computed, slopes = evaluate_all(gradients, points.given(gradients, values)), Slopes(loss, values)
        count, worst, kink = 0, 0.0, False
        for w, g in zip(wrt, computed, strict=True):
            for index in _chosen(g, max(1, ENTRIES // len(wrt)), random):
                unit = np.zeros(g.shape)
                unit[index] = 1.0
                true = float(g[index])
                found = slopes.along({w.name: unit}, STEP)
                error = abs(found - true) / (1 + abs(true))
                if not error < TOLERANCE / 10:  # not near enough: the step, or a kink beside it
                    fine = slopes.along({w.name: unit}, STEP / 8)
                    kink |= abs(found - fine) > 1e-6 * (1 + abs(found))
                    error = min(error, abs(fine - true) / (1 + abs(true)))
                count, worst = count + 1, max(worst, error)
        if not kink or worst < TOLERANCE:
            return count, worst
    return count, worst


def _chosen(g: np.ndarray, most: int, random: np.random.Generator) -> list[tuple[int, ...]]:
    """Every index of a tensor, or some at random."""
    places = np.arange(g.size) if g.size <= most else np.sort(random.choice(g.size, most, replace=False))
    return [tuple(int(i) for i in np.unravel_index(place, g.shape)) for place in places]


def along_direction(loss: Expr, gradients: Sequence[Expr], wrt: Sequence[Expr], random: np.random.Generator) -> float:
    """<gradient, v> against the slope of the loss along v; the best of a few directions and steps around kinks."""
    values = points.point([loss, *gradients], random)
    computed, slopes = evaluate_all(gradients, points.given(gradients, values)), Slopes(loss, values)
    rounding = 1e-12 + 1e-5 * points.magnitude([loss], values)[1]  # what differences of zero amount to
    best = np.inf
    for _ in range(3):
        direction = {w.name: random.normal(size=g.shape) / np.sqrt(g.size) for w, g in zip(wrt, computed, strict=True)}
        product = [(g * direction[w.name]).sum() for w, g in zip(wrt, computed, strict=True)]
        scale = rounding + sum(float(np.abs(g * direction[w.name]).sum()) for w, g in zip(wrt, computed, strict=True))
        for step in (2e-4, 1e-3, 1e-5):
            best = min(best, abs(slopes.along(direction, step) - sum(product)) / scale)
            if best < DIRECTION / 1e3:
                return float(best)
        if best < DIRECTION:
            break
    return float(best)
