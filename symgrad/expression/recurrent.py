"""Recurrences, unrolled: a step repeated along an axis of known length, and the cells people expect.

The graph holds a copy of the step for each position, so lengths up to about a hundred are meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgrad.errors import ShapeError
from symgrad.expression import functions as f
from symgrad.expression import movement, sizes
from symgrad.expression.node import Expr, as_expr

LONGEST = 256
State = Any  # an expression or a tuple of them


def scan(step: Callable[..., Any], initial: State, xs: object, axis: int = 1) -> tuple[State, Expr]:
    """step(state, x) along an axis of xs: the last state, and the outputs stacked along axis 1.

    A step gives the new state, which is its output too (of a tuple the first), or a pair (state, output). Unrolled:
    the axis has a known length, at most 256. Raises ShapeError.

    >>> x, W = f.variable("x", ("N", 5, 3)), f.parameter("W", (3, 3))
    >>> last, every = scan(lambda h, x_t: f.tanh(h @ W + x_t), movement.broadcast_to(0.0, ("N", 3)), x)
    >>> last.shape, every.shape
    (('N', 3), ('N', 5, 3))
    """
    values = as_expr(xs)
    place = f.axes_of(values, axis, "scan")[0]
    length = values.shape[place]
    if not isinstance(length, int) or not 1 <= length <= LONGEST:
        raise ShapeError(
            f"scan is unrolled along an axis of known length from 1 to {LONGEST}; axis {place} of {values.label} "
            f"{sizes.text(values.shape)} is {length}"
        )
    state, outputs = initial, []
    for t in range(length):
        result = step(state, values[(slice(None),) * place + (t,)])
        paired = isinstance(result, tuple) and len(result) == 2
        if paired and (isinstance(result[0], tuple) or not isinstance(initial, tuple)):
            state, output = result
        else:
            state, output = result, result[0] if isinstance(result, tuple) else result
        outputs.append(output)
    return state, movement.stack(outputs, axis=1)


def lstm_cell(x: object, h: object, c: object, W: object, b: object) -> tuple[Expr, Expr]:
    """One step of an LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000): new h and c.

    x (N, I), h and c (N, H); W (I + H, 4 H) and b (4 H,) hold the gates in the order input, forget, candidate, output.
    Raises ShapeError.

    >>> x, h, c = f.variable("x", ("N", 3)), f.variable("h", ("N", 4)), f.variable("c", ("N", 4))
    >>> new_h, new_c = lstm_cell(x, h, c, f.parameter("W", (7, 16)), f.parameter("b", (16,)))
    >>> new_h.shape
    ('N', 4)
    """
    gates = movement.concatenate([x, h], axis=1) @ as_expr(W) + b
    i, forget, candidate, o = movement.split(gates, 4, axis=1)
    new = f.sigmoid(forget) * c + f.sigmoid(i) * f.tanh(candidate)
    return f.sigmoid(o) * f.tanh(new), new


def gru_cell(x: object, h: object, W: object, U: object, b: object) -> Expr:
    """One step of a gated recurrent unit (Cho et al. 2014): h' = (1 - z) n + z h with n = tanh(x Wn + r (h Un) + bn).

    x (N, I), h (N, H); W (I, 3 H), U (H, 3 H), b (3 H,) hold the gates in the order z, r, n. Raises ShapeError.

    >>> x, h = f.variable("x", ("N", 3)), f.variable("h", ("N", 4))
    >>> gru_cell(x, h, f.parameter("W", (3, 12)), f.parameter("U", (4, 12)), f.parameter("b", (12,))).shape
    ('N', 4)
    """
    hidden = as_expr(h)
    from_x = movement.split(as_expr(x) @ as_expr(W) + b, 3, axis=1)
    from_h = movement.split(hidden @ as_expr(U), 3, axis=1)
    z, r = (f.sigmoid(a + c) for a, c in zip(from_x[:2], from_h[:2], strict=True))
    n = f.tanh(from_x[2] + r * from_h[2])
    return (1 - z) * n + z * hidden
