"""Activation functions, entry by entry, as compositions of the closed set of operations.

Each takes an expression, a number or an array and gives an expression of the same shape (maxout one with fewer
columns). Each is written so that value, gradient and second derivative stay finite far out: a branch that is not
selected never overflows, because 0 * inf would be NaN, and NaN itself is never selected away. What happens at a kink
stands in the docstrings. Knows nothing of calculus, formulas or kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import functions as f
from symgrad.expression import sizes
from symgrad.expression.node import Expr, as_expr

# Klambauer et al. 2017, section 2: with these the mean 0 and the variance 1 of a layer are a stable fixed point.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _scaled(factor: object, x: Expr) -> Expr:
    """factor * x, without the product when the factor is the number 1."""
    return x if isinstance(factor, int | float) and factor == 1 else as_expr(factor) * x


def gelu(x: object, approximate: str = "none") -> Expr:
    """x Φ(x), Φ the distribution function of the standard normal (Hendrycks and Gimpel 2016), in the shape of x.

    Written with erfc, which is exact where Φ is close to 0. approximate="tanh" is their x (1 + tanh(u)) / 2 with
    u = √(2/π) (x + 0.044715 x³), written x σ(2 u), which is the same and exact in the left tail. Raises
    ExpressionError.

    >>> print(gelu(f.variable("x", ("N", 3))))
    x ⊙ erfc(−x / √2) / 2
    """
    value = as_expr(x)
    if approximate == "tanh":
        return value * f.sigmoid(2 * math.sqrt(2 / math.pi) * (value + 0.044715 * value**3))
    if approximate != "none":
        raise ExpressionError(f"gelu is exact (approximate='none') or approximate='tanh', not {approximate!r}")
    return value * f.erfc(-value / f.sqrt(2)) / 2


def silu(x: object) -> Expr:
    """x σ(x) (Elfwing, Uchibe and Doya 2017), in the shape of x; its derivative is σ(x) + x σ(x) σ(-x).

    >>> print(silu(f.variable("x", ("N", 3))))
    x ⊙ σ(x)
    """
    value = as_expr(x)
    return value * f.sigmoid(value)


def swish(x: object, beta: object = 1) -> Expr:
    """x σ(beta x) (Ramachandran, Zoph and Le 2017); beta is a number or a parameter that broadcasts; silu when it is 1.

    Raises ShapeError when x and beta do not broadcast.

    >>> print(swish(f.variable("x", ("N", 3)), f.parameter("beta")))
    x ⊙ σ(β x)
    """
    value = as_expr(x)
    return value * f.sigmoid(_scaled(beta, value))


def elu(x: object, alpha: object = 1) -> Expr:
    """x where x > 0, else alpha (exp(x) - 1) (Clevert, Unterthiner and Hochreiter 2015), in the shape of x.

    At 0 the derivative is alpha, the limit from the left. What exp gets is never positive, so that the branch which is
    not selected cannot overflow.

    >>> print(elu(f.variable("x", ("N", 3))))
    where(x > 0, x, expm1(where(x > 0, 0, x)))
    """
    value = as_expr(x)
    return f.where(value > 0, value, _scaled(alpha, f.expm1(f.where(value > 0, 0, value))))


def selu(x: object) -> Expr:
    """λ elu(x, α) with the two constants that normalise a network by itself (Klambauer et al. 2017, equation 2).

    >>> selu(f.variable("x", ("N", 3))).shape
    ('N', 3)
    """
    return SELU_SCALE * elu(x, SELU_ALPHA)


def leaky_relu(x: object, slope: float = 0.01) -> Expr:
    """x where x > 0, else slope x (Maas, Hannun and Ng 2013); at 0 the derivative is the slope.

    >>> print(leaky_relu(f.variable("x", ("N", 3)), 0.2))
    where(x > 0, x, 0.2 x)
    """
    return prelu(x, slope)


def prelu(x: object, slope: object) -> Expr:
    """x where x > 0, else slope x, with a slope that is learned (He et al. 2015).

    The slope is a parameter of one number, or one for each column, in any shape that broadcasts with x; at 0 the
    derivative is the slope. Raises ShapeError when they do not broadcast.

    >>> print(prelu(f.variable("x", ("N", 3)), f.parameter("a", (3,))))
    where(x > 0, x, a ⊙ x)
    """
    value = as_expr(x)
    return f.where(value > 0, value, as_expr(slope) * value)


def relu6(x: object) -> Expr:
    """min(max(x, 0), 6) (Krizhevsky 2010), in the shape of x; the derivative is 0 at 0 and at 6.

    >>> print(relu6(f.variable("x", ("N", 3))))
    where(x ≥ 6, 6, relu(x))
    """
    value = as_expr(x)
    return f.where(value >= 6, 6, f.relu(value))


def hard_sigmoid(x: object) -> Expr:
    """relu6(x + 3) / 6 (Howard et al. 2019), in the shape of x: 0 up to -3, 1 from 3 on, a line between.

    >>> print(hard_sigmoid(f.variable("x", ("N", 3))))
    where(x + 3 ≥ 6, 6, relu(x + 3)) / 6
    """
    return relu6(as_expr(x) + 3) / 6


def hard_tanh(x: object) -> Expr:
    """min(max(x, -1), 1) (Collobert 2004), in the shape of x; the derivative is 0 at -1 and at 1.

    >>> print(hard_tanh(f.variable("x", ("N", 3))))
    where(x ≥ 1, 1, where(x ≤ −1, −1, x))
    """
    value = as_expr(x)
    return f.where(value >= 1, 1, f.where(value <= -1, -1, value))


def hard_silu(x: object) -> Expr:
    """x hard_sigmoid(x), also called hard_swish (Howard et al. 2019, section 5.2), in the shape of x.

    >>> print(hard_silu(f.variable("x", ("N", 3))))
    x ⊙ where(x + 3 ≥ 6, 6, relu(x + 3)) / 6
    """
    value = as_expr(x)
    return value * relu6(value + 3) / 6


hard_swish = hard_silu


def softsign(x: object) -> Expr:
    """x / (1 + |x|) (Bergstra et al. 2009), in the shape of x.

    >>> print(softsign(f.variable("x", ("N", 3))))
    x / (1 + |x|)
    """
    value = as_expr(x)
    return value / (1 + f.absolute(value))


def mish(x: object) -> Expr:
    """x tanh(softplus(x)) (Misra 2019), in the shape of x.

    >>> print(mish(f.variable("x", ("N", 3))))
    x ⊙ tanh(softplus(x))
    """
    value = as_expr(x)
    return value * f.tanh(f.softplus(value))


def log_sigmoid(x: object) -> Expr:
    """log(σ(x)) = -softplus(-x), without overflow, in the shape of x.

    >>> print(log_sigmoid(f.variable("x", ("N", 3))))
    −softplus(−x)
    """
    return -f.softplus(-as_expr(x))


def softmin(x: object, axis: f.Axes = -1) -> Expr:
    """softmax(-x): exp(-x) / sum(exp(-x)) along axes (the last by default), without overflow. Raises ShapeError.

    >>> print(softmin(f.variable("x", ("N", 3))))
    softmax(−x)
    """
    return f.softmax(-as_expr(x), axis)


def maxout(x: object, pieces: int, axis: int = -1) -> Expr:
    """The largest of each `pieces` neighbours along an axis (Goodfellow et al. 2013).

    (N, m k) gives (N, m) for k pieces. Equal neighbours share the derivative. Raises ShapeError when the axis does not
    divide into so many pieces.

    >>> maxout(f.variable("x", ("N", 6)), 2).shape
    ('N', 3)
    """
    value = as_expr(x)
    at = f.axes_of(value, axis, "maxout")[0]
    units = sizes.quotient(value.shape[at], pieces) if isinstance(pieces, int) and pieces > 0 else None
    if units is None:
        raise ShapeError(
            f"maxout: axis {at} of {value.label} {sizes.text(value.shape)} does not divide into groups of {pieces!r}: "
            "make its size a multiple of the number of pieces"
        )
    return f.max(f.reshape(value, (*value.shape[:at], units, pieces, *value.shape[at + 1 :])), at + 1)


def table() -> dict[str, Callable[..., Any]]:
    """The activations that may stand in a formula given as text, by name."""
    smooth = (gelu, silu, swish, elu, selu, softsign, mish, log_sigmoid, softmin)
    kinked = (leaky_relu, prelu, relu6, hard_sigmoid, hard_tanh, hard_silu, maxout)
    named = {function.__name__: function for function in (*smooth, *kinked)}
    return named | {"hard_swish": hard_swish}
