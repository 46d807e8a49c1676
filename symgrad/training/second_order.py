"""Newton's method and Gauss-Newton for small models, by conjugate gradients on compiled curvature products.

No matrix is ever formed: each step solves H d = -g by products H v (Nocedal and Wright 2006, algorithm 7.1, line search
Newton-CG), then goes as far along d as the loss falls enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgrad.calculus.curvature import curvature_products
from symgrad.calculus.gradient import gradient
from symgrad.errors import BindingError, ConfigurationError, GradientError
from symgrad.expression import functions as f
from symgrad.expression import sizes
from symgrad.expression.forms import training_form
from symgrad.expression.node import Expr, leaves
from symgrad.expression.ops import Leaf

METHODS = ("newton", "gauss-newton")
ENOUGH = 1e-4  # of the decrease that the slope promises (Armijo)
HALVINGS = 40
SOLVES = 200  # products of one solve, at most
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Minimum:
    """Where a minimisation ended: arrays by name, the loss there, steps taken, and the norm of the gradient."""

    values: Arrays
    loss: float
    steps: int
    gradient_norm: float


def minimize(
    loss: Expr,
    wrt: Sequence[Expr],
    data: Mapping[Any, Any],
    start: Mapping[Any, Any],
    method: str = "newton",
    steps: int = 20,
    tolerance: float = 1e-10,
    damping: float = 0.0,
) -> Minimum:
    """Minimise a scalar over some leaves, from a start, by Newton or Gauss-Newton steps in float64.

    `data` and `start` map leaves or their names to arrays; `tolerance` is the norm of the gradient at which it stops,
    `damping` is added to the diagonal of the matrix. Gauss-Newton's leaves out the curvature of what is inside the
    outermost function that is not linear, as the residuals of least squares. Raises ConfigurationError, BindingError,
    GradientError, ShapeError.

    >>> w, x = f.parameter("w", (2,)), f.variable("x", (3, 2))
    >>> data = {x: [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]}
    >>> found = minimize(f.mean((x @ w - 1) ** 2), [w], data, {w: [0.0, 0.0]})
    >>> found.values["w"].round(6).tolist(), found.steps
    ([0.777778, 0.444444], 1)
    """
    _check(loss, wrt, method, steps, tolerance, damping)
    problem = _Problem(training_form(loss), list(wrt), data, method == "gauss-newton")
    point = problem.flat(start)
    value, slope = problem.slope(point)
    done = 0
    while done < steps and np.linalg.norm(slope) > tolerance:
        along = _solve(lambda v, at=point: problem.curved(at, v) + damping * v, slope, tolerance)
        moved = _search(problem, point, value, slope, along)
        if moved is None:
            break
        point, value, slope = moved
        done += 1
    return Minimum(problem.unflat(point), value, done, float(np.linalg.norm(slope)))


def _check(loss: Expr, wrt: Sequence[Expr], method: str, steps: int, tolerance: float, damping: float) -> None:
    if method not in METHODS:
        raise ConfigurationError(f"there is no method {method!r}; there are {', '.join(METHODS)}")
    if not isinstance(steps, int) or steps < 0:
        raise ConfigurationError(f"steps is a whole number from 0 on, not {steps!r}")
    for name, number in (("tolerance", tolerance), ("damping", damping)):
        if not isinstance(number, int | float) or not number >= 0:
            raise ConfigurationError(f"{name} is a number from 0 on, not {number!r}")
    if not wrt or not all(isinstance(w, Expr) and isinstance(w.op, Leaf) for w in wrt):
        raise GradientError("minimize wants the leaves to vary, such as [w, b]")
    if loss.shape:
        raise GradientError(f"a scalar is minimised, but {loss.label} has shape {sizes.text(loss.shape)}")


class _Problem:
    """Loss, gradient and curvature products over one flat vector, by two compiled kernels."""

    def __init__(self, loss: Expr, wrt: list[Expr], data: Mapping[Any, Any], gauss_newton: bool) -> None:
        from symgrad.codegen.kernel import compile

        self.wrt = wrt
        self.along = [f.variable(f"{w.name}_direction", w.shape) for w in wrt]
        inputs = leaves([loss])
        self.data = {key.name if isinstance(key, Expr) else str(key): np.asarray(v) for key, v in data.items()}
        missing = [n for n in inputs if n not in self.data and inputs[n] not in wrt]
        if missing:
            raise BindingError(f"no data were given for {', '.join(missing)}")
        self._loss = compile([loss, *gradient(loss, wrt)], dtype="float64")
        self._curved = compile(curvature_products(loss, wrt, self.along, gauss_newton), dtype="float64")

    def flat(self, start: Mapping[Any, Any]) -> np.ndarray:
        """The start as one vector. Raises BindingError for a missing array or a wrong shape."""
        given = {key.name if isinstance(key, Expr) else str(key): value for key, value in start.items()}
        parts = []
        for w in self.wrt:
            if w.name not in given:
                raise BindingError(f"the start gives no array for {w.name}")
            array = np.array(given[w.name], np.float64)
            fits = array.ndim == w.ndim and all(not isinstance(s, int) or s == n
                                                for s, n in zip(w.shape, array.shape, strict=True))  # fmt: skip
            if not fits:
                raise BindingError(f"{w.name} has shape {sizes.text(w.shape)}, its start has {array.shape}")
            parts.append(array)
        self.shapes = [p.shape for p in parts]
        return np.concatenate([p.reshape(-1) for p in parts])

    def unflat(self, point: np.ndarray) -> Arrays:
        """A vector as arrays by name."""
        ends = np.cumsum([math.prod(s) for s in self.shapes])[:-1]
        parts = zip(self.wrt, np.split(point, ends), self.shapes, strict=True)
        return {w.name: part.reshape(shape).copy() for w, part, shape in parts}

    def _call(self, kernel: Any, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return list(kernel({n: a for n, a in arrays.items() if n in kernel.inputs}))

    def slope(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss and its gradient."""
        value, *slopes = self._call(self._loss, {**self.data, **self.unflat(point)})
        return float(value), np.concatenate([s.reshape(-1) for s in slopes])

    def curved(self, point: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """The matrix times a direction."""
        named = {f"{n}_direction": a for n, a in self.unflat(direction).items()}
        parts = self._call(self._curved, {**self.data, **self.unflat(point), **named})
        return np.concatenate([p.reshape(-1) for p in parts])


def _solve(product: Any, slope: np.ndarray, tolerance: float) -> np.ndarray:
    """H d = -g by conjugate gradients, until the residual is small or the curvature negative."""
    along, rest = np.zeros_like(slope), -slope
    direction, size = rest, float(rest @ rest)
    norm = math.sqrt(size)
    goal = max(min(0.5, norm) ** 1.5 * norm * 1e-2, tolerance * 1e-3)
    for step in range(min(SOLVES, 2 * len(slope) + 10)):
        bent = product(direction)
        curvature = float(direction @ bent)
        if not curvature > 1e-14 * float(direction @ direction):
            return along if step else -slope
        length = size / curvature
        along, rest = along + length * direction, rest - length * bent
        before, size = size, float(rest @ rest)
        if math.sqrt(size) <= goal:
            break
        direction = rest + size / before * direction
    return along


def _search(
    problem: _Problem, point: np.ndarray, value: float, slope: np.ndarray, along: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """The first of d, d/2, d/4 ... along which the loss falls enough; None when none does."""
    promised = float(slope @ along)
    if promised >= 0:
        along, promised = -slope, -float(slope @ slope)
    length = 1.0
    for _ in range(HALVINGS):
        there = point + length * along
        new, new_slope = problem.slope(there)
        # At the bottom the loss falls by less than its rounding: there the gradient tells.
        flat = new <= value and bool(np.linalg.norm(new_slope) < np.linalg.norm(slope))
        if math.isfinite(new) and (new <= value + ENOUGH * length * promised or flat):
            return there, new, new_slope
        length /= 2
    return None
