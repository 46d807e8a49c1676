"""Moving entries: indexing, padding, joining and splitting, flips, as NumPy has them.

Each takes expressions, numbers or arrays and gives an expression; nothing is computed here. Axes whose size is a name
can be cut by a constant from either end (x[1:], x[:-1]) or turned (x[::-1]), for any value of the name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import functions as f
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, as_expr, constant, make
from symgrad.expression.sizes import Shape, Size

Pairs = int | tuple[int, int] | Sequence[tuple[int, int]]


def index(x: Expr, places: object) -> Expr:
    """x[places] with integers, slices, None and Ellipsis, as in NumPy. Raises ShapeError, ExpressionError.

    >>> index(f.variable("x", ("N", 5)), (slice(1, None), -1)).shape
    (N - 1,)
    """
    wanted = [_plain(p) for p in places] if isinstance(places, tuple) else [_plain(places)]
    taken = [p for p in wanted if p is not None and p is not Ellipsis]
    if sum(p is Ellipsis for p in wanted) > 1 or len(taken) > x.ndim:
        raise ShapeError(f"{x.label} {sizes.text(x.shape)} has {x.ndim} axes, the index has {len(taken)}")
    at = next((i for i, p in enumerate(wanted) if p is Ellipsis), len(wanted))
    wanted[at : at + 1] = [slice(None)] * (x.ndim - len(taken))
    value, axis, shape = x, 0, []
    for place in wanted:
        if place is None:
            shape.append(1)
            continue
        value = _cut(value, axis, place)
        if isinstance(place, slice):
            shape.append(value.shape[axis])
        axis += 1
    return _shaped(value, tuple(shape))


def _plain(place: object) -> object:
    """A NumPy integer as an int; anything else as it is."""
    if isinstance(place, np.integer | np.ndarray) and not place.shape and place.dtype.kind in "iu":
        return int(place.item())
    return place


def _shaped(x: Expr, shape: Shape) -> Expr:
    """x with axes of size 1 put in or left out."""
    return x if shape == x.shape else make(ops.Reshape(shape), x)


def _cut(x: Expr, axis: int, place: object) -> Expr:
    extent = x.shape[axis]
    if isinstance(place, int) and not isinstance(place, bool):
        if isinstance(extent, int) and not -extent <= place < extent:
            raise ShapeError(f"{x.label} {sizes.text(x.shape)} has no entry {place} along axis {axis}")
        start = place if place >= 0 else sizes.shifted(extent, place)
        return make(ops.Slice(axis, start, 1, 1), x)
    if not isinstance(place, slice):
        raise ExpressionError(
            f"{x.label} is indexed with integers, slices, None and ..., not {place!r}: pick entries at integer "
            f"positions with sg.take(x, positions, axis), choose by a condition with sg.where(condition, a, b)"
        )
    start, step, count = _range(x, axis, place)
    whole = step == 1 and isinstance(start, int) and start == 0 and sizes.same(count, extent)
    return x if whole else make(ops.Slice(axis, start, step, count), x)


def _range(x: Expr, axis: int, place: slice) -> tuple[Size, int, Size]:
    """Start, step and count of a slice along an axis."""
    extent = x.shape[axis]
    bounds = [b for b in (place.start, place.stop, place.step) if b is not None]
    if not all(isinstance(b, int) for b in bounds) or place.step == 0:
        raise ExpressionError(f"the bounds of a slice of {x.label} are whole numbers, its step is not 0: {place}")
    if isinstance(extent, int):
        found = range(*place.indices(extent))
        return found.start if len(found) else 0, found.step, len(found)
    start, stop, step = place.start, place.stop, place.step or 1
    if step == -1 and start is None and stop is None:
        return sizes.shifted(extent, -1), -1, extent
    first = start or 0
    if step != 1 or (stop is not None and stop >= 0) or first < 0:
        raise ShapeError(
            f"axis {axis} of {x.label} {sizes.text(x.shape)} has no known size: it can be cut from either end by a "
            f"number, x[a:], x[:-b], or turned, x[::-1]"
        )
    return first, 1, sizes.shifted(extent, (stop or 0) - first)


def _axis(x: Expr, axis: int, function: str) -> int:
    return f.axes_of(x, axis, function)[0]


def flip(x: object, axis: int) -> Expr:
    """The entries along an axis in reverse order. Raises ShapeError."""
    value = as_expr(x)
    place = _axis(value, axis, "flip")
    extent = value.shape[place]
    return make(ops.Slice(place, sizes.shifted(extent, -1), -1, extent), value)


def pad(x: object, widths: Pairs, value: float = 0.0) -> Expr:
    """x with `value` around it: widths are (before, after) for each axis, or one number or pair for all axes.

    Raises ShapeError.

    >>> pad(f.variable("x", ("N", 3)), ((0, 0), (1, 2))).shape
    ('N', 6)
    """
    inner = as_expr(x)
    pairs = _pairs(inner, widths)
    padded = _zeros_around(inner, pairs)
    if value == 0 or padded is inner:
        return padded
    inside = _zeros_around(f.cast(ones_like(inner), "real"), pairs)
    return f.where(f.equal(inside, 1), padded, value)


def ones_like(x: Expr) -> Expr:
    """Integers 1 in the shape of x, without a derivative."""
    indices = tuple(range(x.ndim))
    return make(ops.Contraction(((),), indices, tuple(zip(indices, x.shape, strict=True))), constant(1))


def _pairs(x: Expr, widths: Pairs) -> list[tuple[int, int]]:
    widths = np.asarray(widths).tolist() if isinstance(widths, np.integer | np.ndarray) else widths
    given: list[Any] = [widths] * x.ndim if isinstance(widths, int) else list(widths)
    if len(given) == 2 and all(isinstance(w, int) for w in given):
        given = [tuple(given)] * x.ndim
    pairs = [(w, w) if isinstance(w, int) else tuple(w) for w in given]
    if len(pairs) != x.ndim or not all(len(p) == 2 and all(isinstance(w, int) and w >= 0 for w in p) for p in pairs):
        raise ShapeError(
            f"pad of {x.label} {sizes.text(x.shape)} wants a pair (before, after) for each of its {x.ndim} axes, "
            f"numbers from 0 on, not {widths!r}"
        )
    return pairs


def _zeros_around(x: Expr, pairs: Sequence[tuple[int, int]]) -> Expr:
    for axis, (before, after) in enumerate(pairs):
        if before or after:
            x = make(ops.Pad(axis, before, 1, sizes.shifted(x.shape[axis], before + after)), x)
    return x


def concatenate(parts: Sequence[object], axis: int = 0) -> Expr:
    """Tensors one after the other along an axis; their other sizes are equal. Raises ShapeError.

    >>> concatenate([f.variable("a", ("N", 2)), f.variable("b", ("N", 3))], axis=1).shape
    ('N', 5)
    """
    if isinstance(parts, Expr) or not len(parts):
        raise ShapeError("concatenate wants a list of at least one tensor")
    values = [as_expr(p) for p in parts]
    first = values[0]
    place = _axis(first, axis, "concatenate")
    for other in values[1:]:
        rest = other.ndim == first.ndim and all(
            a == place or sizes.same(s, t) for a, (s, t) in enumerate(zip(first.shape, other.shape, strict=True))
        )
        if not rest:
            raise ShapeError(
                ops.disagreement("concatenate", first, other, f"all sizes but those of axis {place} are to be equal")
            )
    if len(values) == 1:
        return first
    kind = max((v.kind for v in values), key=ops.RANK.__getitem__)
    return make(ops.Concatenate(place), *(f.cast(v, kind) for v in values))


def stack(parts: Sequence[object], axis: int = 0) -> Expr:
    """Tensors of one shape side by side along a new axis. Raises ShapeError.

    >>> stack([f.variable("a", ("N", 2)), f.variable("b", ("N", 2))], axis=1).shape
    ('N', 2, 2)
    """
    if isinstance(parts, Expr) or not len(parts):
        raise ShapeError("stack wants a list of at least one tensor")
    values = [as_expr(p) for p in parts]
    place = axis % (values[0].ndim + 1)
    return concatenate([expand_dims(v, place) for v in values], place)


def split(x: object, parts: int | Sequence[int], axis: int = 0) -> list[Expr]:
    """x cut along an axis into so many equal parts, or before the given positions. Raises ShapeError.

    >>> [part.shape for part in split(f.variable("x", ("N", 6)), [2], axis=1)]
    [('N', 2), ('N', 4)]
    """
    value = as_expr(x)
    place = _axis(value, axis, "split")
    extent = value.shape[place]
    if not isinstance(extent, int):
        raise ShapeError(f"split needs an axis of known size, axis {place} of {value.label} is {extent}")
    if isinstance(parts, int):
        if parts < 1 or extent % parts:
            raise ShapeError(f"axis {place} of {value.label} has {extent} entries: {parts} parts are not equal")
        bounds = [extent // parts * i for i in range(parts + 1)]
    else:
        bounds = [0, *parts, extent]
        if bounds != sorted(bounds):
            raise ShapeError(f"the positions of a split rise from 0 to {extent}, not {list(parts)}")
    return [_cut(value, place, slice(a, b)) for a, b in itertools.pairwise(bounds)]


def expand_dims(x: object, axis: int) -> Expr:
    """x with a new axis of size 1 at a place. Raises ShapeError."""
    value = as_expr(x)
    if not isinstance(axis, int) or not -value.ndim - 1 <= axis <= value.ndim:
        raise ShapeError(f"expand_dims of {value.label} {sizes.text(value.shape)}: there is no place {axis!r}")
    place = axis % (value.ndim + 1)
    return _shaped(value, (*value.shape[:place], 1, *value.shape[place:]))


def squeeze(x: object, axis: f.Axes = None) -> Expr:
    """x without axes of size 1, all of them by default. Raises ShapeError for an axis of another size."""
    value = as_expr(x)
    ones = tuple(a for a, s in enumerate(value.shape) if isinstance(s, int) and s == 1)
    axes = ones if axis is None else f.axes_of(value, axis, "squeeze")
    wrong = [a for a in axes if a not in ones]
    if wrong:
        raise ShapeError(f"squeeze of {value.label} {sizes.text(value.shape)}: axis {wrong[0]} is not of size 1")
    return _shaped(value, tuple(s for a, s in enumerate(value.shape) if a not in axes))


def swapaxes(x: object, a: int, b: int) -> Expr:
    """x with two axes exchanged. Raises ShapeError."""
    value = as_expr(x)
    order = list(range(value.ndim))
    first, second = (_axis(value, axis, "swapaxes") for axis in (a, b))
    order[first], order[second] = second, first
    return f.transpose(value, order)


def broadcast_to(x: object, shape: Sequence[Size]) -> Expr:
    """x repeated to a shape, by NumPy's broadcasting. Raises ShapeError.

    >>> broadcast_to(f.variable("b", (3,)), ("N", 3)).shape
    ('N', 3)
    """
    value, wanted = as_expr(x), tuple(shape)
    extra = len(wanted) - value.ndim
    fits = extra >= 0 and all(map(sizes.is_size, wanted))
    pairs = list(zip(value.shape, wanted[max(extra, 0) :], strict=False))
    if not fits or not all((isinstance(s, int) and s == 1) or sizes.same(s, w) for s, w in pairs):
        raise ShapeError(f"cannot repeat {value.label} {sizes.text(value.shape)} to {sizes.text(wanted)}")
    kept = [a for a, (s, w) in enumerate(pairs) if sizes.same(s, w)]
    inner = _shaped(value, tuple(value.shape[a] for a in kept))
    output = tuple(range(len(wanted)))
    indices = tuple(a + extra for a in kept)
    new = tuple((i, wanted[i]) for i in output if i not in indices)
    return make(ops.Contraction((indices,), output, new), inner) if new else inner


def table() -> dict[str, Callable[..., Any]]:
    """The functions of this module that may stand in a formula given as text, by name."""
    listed = (flip, pad, concatenate, stack, expand_dims, squeeze, swapaxes, broadcast_to)
    return {function.__name__: function for function in listed}
