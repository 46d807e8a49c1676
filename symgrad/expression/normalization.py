"""Moments, norms and what is made of them: normalised layers, rows and distances, as compositions of the closed set.

Each takes expressions, numbers or arrays and gives an expression. A root of a sum of squares has no derivative at 0;
here it is written √(s + [s = 0]) - [s = 0], the same number, whose derivative at s = 0 is finite: the gradient of a
norm is x / √(s + [s = 0]), which is the subgradient 0 there and x / ‖x‖ elsewhere. What needs running statistics
(batch_norm) is not here. Knows nothing of calculus, formulas or kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgrad.errors import ExpressionError
from symgrad.expression import functions as f
from symgrad.expression.node import Expr, as_expr


def _zeros(squares: Expr) -> Expr:
    """1 where a sum of squares is 0, else 0: without derivative."""
    return f.cast(f.equal(squares, 0), "real")


def _root(squares: Expr) -> Expr:
    """√s, with derivative 0 by what is squared where s = 0."""
    return f.sqrt(squares + _zeros(squares)) - _zeros(squares)


def var(x: object, axis: f.Axes = None, keepdims: bool = False) -> Expr:
    """mean((x - mean(x))²) along axes (all by default), as in NumPy: over the number of entries. Raises ShapeError.

    >>> var(f.variable("x", ("N", 3)), axis=0).shape
    (3,)
    """
    value = as_expr(x)
    axes = f.axes_of(value, axis, "var")
    return f.mean((value - f.mean(value, axes, keepdims=True)) ** 2, axes, keepdims)


def std(x: object, axis: f.Axes = None, keepdims: bool = False) -> Expr:
    """√var(x) along axes (all by default), with derivative 0 where all entries are equal. Raises ShapeError.

    >>> std(f.variable("x", ("N", 3)), axis=0).shape
    (3,)
    """
    return _root(var(x, axis, keepdims))


def norm(x: object, axis: f.Axes = None, keepdims: bool = False) -> Expr:
    """√(Σ x²) along axes: the Euclidean norm, over all axes of a matrix the Frobenius norm; derivative 0 at x = 0.

    Raises ShapeError.

    >>> print(norm(f.variable("x", (3,))))
    √(Σᵢ x² + t₁) − t₁
    where
      t₁ = [Σᵢ x² = 0]
    """
    value = as_expr(x)
    return _root(f.sum(value**2, f.axes_of(value, axis, "norm"), keepdims))


def l2_normalize(x: object, axis: f.Axes = -1) -> Expr:
    """x / ‖x‖ along axes (the last by default), in the shape of x; a row of zeros stays zeros. Raises ShapeError.

    >>> l2_normalize(f.variable("x", ("N", 3))).shape
    ('N', 3)
    """
    value = as_expr(x)
    squares = f.sum(value**2, f.axes_of(value, axis, "l2_normalize"), keepdims=True)
    return value / f.sqrt(squares + _zeros(squares))


def cosine_similarity(a: object, b: object, axis: int = -1) -> Expr:
    """Σ a b / (‖a‖ ‖b‖) along an axis (the last by default): from -1 to 1, and 0 where a or b is all zeros.

    a and b broadcast; the axis is gone from the result. Raises ShapeError.

    >>> cosine_similarity(f.variable("a", ("N", 3)), f.variable("b", ("N", 3))).shape
    ('N',)
    """
    left, right = as_expr(a), as_expr(b)
    squares = f.sum(left**2, axis), f.sum(right**2, axis)
    lengths = [f.sqrt(s + _zeros(s)) for s in squares]
    return f.sum(left * right, axis) / (lengths[0] * lengths[1])


def squared_distance(a: object, b: object, axis: f.Axes = -1) -> Expr:
    """Σ (a - b)² along axes (the last by default); a and b broadcast. Raises ShapeError.

    >>> print(squared_distance(f.variable("a", (3,)), f.variable("b", (3,))))
    Σᵢ (a − b)²
    """
    return f.sum((as_expr(a) - as_expr(b)) ** 2, axis)


def standardize(x: object, axis: f.Axes = -1, eps: float = 1e-5) -> Expr:
    """(x - mean(x)) / √(var(x) + eps) along axes (the last by default), in the shape of x.

    eps is above 0 and keeps the derivative finite where all entries are equal. Raises ShapeError, ExpressionError.

    >>> standardize(f.variable("x", ("N", 3)), axis=0).shape
    ('N', 3)
    """
    value = as_expr(x)
    _positive(eps, "standardize")
    axes = f.axes_of(value, axis, "standardize")
    return (value - f.mean(value, axes, keepdims=True)) / f.sqrt(var(value, axes, keepdims=True) + eps)


def layer_norm(x: object, gain: object = 1, bias: object = 0, eps: float = 1e-5, axis: f.Axes = -1) -> Expr:
    """gain (x - mean(x)) / √(var(x) + eps) + bias (Ba, Kiros and Hinton 2016, equation 4), in the shape of x.

    Mean and variance run along `axis` (the last by default); gain and bias broadcast with x, usually (columns,) each.
    Raises ShapeError, ExpressionError.

    >>> layer_norm(f.variable("x", ("N", 3)), f.parameter("g", (3,)), f.parameter("b", (3,))).shape
    ('N', 3)
    """
    _positive(eps, "layer_norm")
    return _with(gain, standardize(x, axis, eps), bias)


def rms_norm(x: object, gain: object = 1, eps: float = 1e-5, axis: f.Axes = -1) -> Expr:
    """gain x / √(mean(x²) + eps) along axes (Zhang and Sennrich 2019, equation 4), in the shape of x.

    Raises ShapeError, ExpressionError.

    >>> rms_norm(f.variable("x", ("N", 3)), f.parameter("g", (3,))).shape
    ('N', 3)
    """
    value = as_expr(x)
    _positive(eps, "rms_norm")
    axes = f.axes_of(value, axis, "rms_norm")
    return _with(gain, value / f.sqrt(f.mean(value**2, axes, keepdims=True) + eps), 0)


def _with(gain: object, x: Expr, bias: object) -> Expr:
    """gain * x + bias, without the parts that were left out."""
    scaled = x if isinstance(gain, int | float) and gain == 1 else as_expr(gain) * x
    return scaled if isinstance(bias, int | float) and bias == 0 else scaled + bias


def _positive(eps: object, function: str) -> None:
    if not (isinstance(eps, int | float) and eps > 0):
        raise ExpressionError(
            f"{function}: eps is a number above 0, which keeps the root's derivative finite, not {eps!r}"
        )


def table() -> dict[str, Callable[..., Any]]:
    """The functions of this module that may stand in a formula given as text, by name."""
    listed = (var, std, norm, l2_normalize, cosine_similarity, squared_distance, standardize, layer_norm, rms_norm)
    return {function.__name__: function for function in listed}
