"""Layers that are more than a formula of their input: dropout, batch normalisation, embedding, attention.

Each takes expressions and gives an expression of the closed set of operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import functions as f
from symgrad.expression import movement, ops, positions, sizes
from symgrad.expression.declare import noise, state
from symgrad.expression.forms import assigned, in_training
from symgrad.expression.node import Expr, as_expr, topological


def dropout(x: object, rate: float, name: str | None = None) -> Expr:
    """In training each entry is 0 with probability `rate` and the rest is divided by 1 - rate; in evaluation x itself.

    Srivastava et al. 2014, in the inverted form. `name` is that of the uniform noise: u_h for an x called h, else u,
    u2 ... along a network; two dropouts beside each other want names. Raises ExpressionError.

    >>> dropout(f.variable("x", ("N", 3)).named("h"), 0.5).shape
    ('N', 3)
    """
    value = as_expr(x)
    if not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ExpressionError(f"the rate of a dropout is a number from 0 up to below 1, not {rate!r}")
    if rate == 0:
        return value
    u = noise(name or _noise_name(value), value.shape)
    return in_training(f.where(u >= rate, value, 0) / (1 - rate), value)


def _noise_name(x: Expr) -> str:
    """u_h for an x called h, else u, or u2 where u stands below already."""
    if isinstance(x.op, ops.Named | ops.Leaf):
        return f"u_{x.name}"
    taken = {n.op.name for n in topological([x]) if isinstance(n.op, ops.Noise)}
    return next(name for name in ("u", *(f"u{i}" for i in range(2, len(taken) + 3))) if name not in taken)


def running_moments(x: object, momentum: float = 0.99, name: str = "running") -> tuple[Expr, Expr]:
    """Mean and variance of each column over all axes but the last, (columns,) each.

    In training they are the batch's, and the states `{name}_mean` and `{name}_var` move towards them:
    s' = momentum s + (1 - momentum) batch. In evaluation they are the states. Raises ShapeError, ExpressionError.

    >>> mean, variance = running_moments(f.variable("x", ("N", 3)))
    >>> mean.shape, variance.shape
    ((3,), (3,))
    """
    value = as_expr(x)
    if value.ndim < 2:
        raise ShapeError(f"moments are of the columns of a batch, but {value.label} has {sizes.text(value.shape)}")
    if not (isinstance(momentum, int | float) and 0 <= momentum < 1):
        raise ExpressionError(f"the momentum of running moments is from 0 up to below 1, not {momentum!r}")
    axes, columns = tuple(range(value.ndim - 1)), value.shape[-1:]
    mean = f.mean(value, axes).named(f"{name}_batch_mean")
    variance = f.mean((value - mean) ** 2, axes).named(f"{name}_batch_var")
    kept = state(f"{name}_mean", columns), state(f"{name}_var", columns, initial=1.0)
    found = []
    for old, batch in zip(kept, (mean, variance), strict=True):
        found.append(in_training(assigned(batch, old, momentum * old + (1 - momentum) * batch), old))
    return found[0], found[1]


def batch_norm(
    x: object, gain: object = 1, bias: object = 0, momentum: float = 0.99, eps: float = 1e-3, name: str = "bn"
) -> Expr:
    """gain (x - mean) / √(variance + eps) + bias over all axes but the last (Ioffe and Szegedy 2015, algorithm 1).

    Mean and variance are `running_moments`: the batch's in training, the states `{name}_mean` and `{name}_var` in
    evaluation. Raises ShapeError, ExpressionError.

    >>> batch_norm(f.variable("x", ("N", 3)), f.parameter("g", (3,)), f.parameter("b", (3,))).shape
    ('N', 3)
    """
    if not (isinstance(eps, int | float) and eps > 0):
        raise ExpressionError(f"batch_norm: eps is a number above 0, not {eps!r}")
    mean, variance = running_moments(x, momentum, name)
    normal = (as_expr(x) - mean) / f.sqrt(variance + eps)
    scaled = normal if isinstance(gain, int | float) and gain == 1 else as_expr(gain) * normal
    return scaled if isinstance(bias, int | float) and bias == 0 else scaled + bias


def embedding(table: object, indices: object) -> Expr:
    """The row of a table (V, D) for each index; the gradient adds up in those rows. Raises ShapeError, ExpressionError.

    >>> embedding(f.parameter("E", (100, 8)), f.variable("words", ("N", 12), dtype="int64")).shape
    ('N', 12, 8)
    """
    return f.take(table, indices, 0)


def attention(q: object, k: object, v: object, mask: object = None, causal: bool = False) -> Expr:
    """softmax(q kᵀ / √d) v, scaled dot-product attention (Vaswani et al. 2017, equation 1).

    q (..., T, d), k (..., S, d), v (..., S, e) give (..., T, e). `mask` is a condition that broadcasts to (..., T, S):
    where it is false there is no attention; `causal` lets position t see positions up to t. Raises ShapeError.

    >>> q, k, v = (f.variable(n, ("N", 7, 4)) for n in "qkv")
    >>> attention(q, k, v, causal=True).shape
    ('N', 7, 4)
    """
    queries, keys, values = as_expr(q), as_expr(k), as_expr(v)
    width = queries.shape[-1]
    if not isinstance(width, int):
        raise ShapeError(f"attention needs queries of known width, {queries.label} has {sizes.text(queries.shape)}")
    scores = queries @ movement.swapaxes(keys, -1, -2) / math.sqrt(width)
    allowed = None if mask is None else as_expr(mask)
    if causal:
        seen = movement.expand_dims(positions.arange(scores.shape[-2]), 1) >= positions.arange(scores.shape[-1])
        allowed = seen if allowed is None else f.logical_and(allowed, seen)
    if allowed is not None:
        scores = f.where(allowed, scores, -math.inf)
    return f.softmax(scores) @ values


def table() -> dict[str, Callable[..., Any]]:
    """The functions of this module that may stand in a formula given as text, by name."""
    return {function.__name__: function for function in (embedding, attention)}
