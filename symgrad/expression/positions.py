"""What depends on where an entry stands: counting, triangles, running sums; and products, exact at zeros.

Each takes expressions, numbers or arrays and gives an expression of the closed set of operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgrad.errors import ShapeError
from symgrad.expression import functions as f
from symgrad.expression import ops, sizes
from symgrad.expression.movement import expand_dims
from symgrad.expression.node import Expr, as_expr, make
from symgrad.expression.sizes import Size


def arange(extent: Size) -> Expr:
    """The integers from 0 to extent - 1; extent is a number or the name of a size. Raises ShapeError."""
    if not sizes.is_size(extent):
        raise ShapeError(f"arange wants a number from 0 on or the name of a size, not {extent!r}")
    return make(ops.Range(extent))


def _triangle(x: object, function: str, compare: Callable[[Expr, Expr], Expr]) -> Expr:
    value = as_expr(x)
    if value.ndim < 2:
        raise ShapeError(f"{function} wants a matrix, but {value.label} has shape {sizes.text(value.shape)}")
    rows, columns = expand_dims(arange(value.shape[-2]), 1), arange(value.shape[-1])
    return f.where(compare(rows, columns), value, 0)


def tril(x: object) -> Expr:
    """The lower triangle of a matrix with its diagonal, zeros above; of a parameter, the gradient is one too."""
    return _triangle(x, "tril", lambda row, column: row >= column)


def triu(x: object) -> Expr:
    """The upper triangle of a matrix with its diagonal, zeros below; of a parameter, the gradient is one too."""
    return _triangle(x, "triu", lambda row, column: row <= column)


def cumsum(x: object, axis: int) -> Expr:
    """Running sums along an axis: result[i] = x[0] + ... + x[i]. Raises ShapeError."""
    value = as_expr(x)
    place = f.axes_of(value, axis, "cumsum")[0]
    extent, behind = value.shape[place], value.ndim - place - 1
    places, ones = arange(extent), [1] * behind
    before = f.reshape(places, (1, extent, *ones)) <= f.reshape(places, (extent, 1, *ones))
    return f.sum(f.where(before, expand_dims(value, place), 0), place + 1)  # selected: 0 · ∞ never arises


def prod(x: object, axis: f.Axes = None, keepdims: bool = False) -> Expr:
    """The product of entries along axes (all by default); its derivative is exact also where entries are 0."""
    value = as_expr(x)
    for place in reversed(f.axes_of(value, axis, "prod")):  # one after the other: each has an exact derivative
        value = make(ops.Reduce("product", (place,), keepdims), value)
    return value


def table() -> dict[str, Callable[..., Any]]:
    """The functions of this module that may stand in a formula given as text, by name."""
    return {function.__name__: function for function in (arange, tril, triu, cumsum, prod)}
