"""Convolutions and poolings as expressions, channels last: sliding windows, then a sum of products or a reduction.

A convolution is what every framework calls one, a cross-correlation: out[n, o, f] = Σ x[n, o s + k d, c] K[k, c, f].
Padding is "valid" (none), "same" (as many positions as entries, divided by the stride; the odd zero comes last, as in
TensorFlow), a number, or pairs (before, after). Windows are never stored: kernels read them where they lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from symgrad.errors import ShapeError
from symgrad.expression import functions as f
from symgrad.expression import movement, ops, sizes
from symgrad.expression.node import Expr, as_expr, make

Whole = int | Sequence[int]  # one number for all spatial axes, or one for each
Padding = str | int | Sequence[tuple[int, int]]


def windows(x: object, axis: int, size: int, stride: int = 1, dilation: int = 1) -> Expr:
    """Sliding windows along an axis: it becomes two, out[..., o, k, ...] = x[..., o stride + k dilation, ...].

    Raises ShapeError.

    >>> windows(f.variable("x", ("N", 28)), 1, 3).shape
    ('N', 26, 3)
    """
    value = as_expr(x)
    place = f.axes_of(value, axis, "windows")[0]
    extent = value.shape[place]
    for name, number in (("size", size), ("stride", stride), ("dilation", dilation)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ShapeError(f"windows: the {name} is a whole number from 1 on, not {number!r}")
    reach = (size - 1) * dilation + 1
    if isinstance(extent, int) and reach > extent:
        raise ShapeError(
            f"a window of {reach} entries does not fit into axis {place} of {value.label} {sizes.text(value.shape)}"
        )
    if not isinstance(extent, int) and stride != 1:
        raise ShapeError(f"windows with a stride need an axis of known size, axis {place} of {value.label} is {extent}")
    return make(ops.Windows(place, size, stride, dilation), value)


def _whole(value: Whole, count: int, name: str, function: str) -> list[int]:
    given = [value] * count if isinstance(value, int) else list(value)
    if len(given) != count or not all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in given):
        raise ShapeError(f"{function}: {name} is a whole number from 1 on, or {count} of them, not {value!r}")
    return given


def _padding(
    x: Expr, padding: Padding, shape: Sequence[int], strides: Sequence[int], dilations: Sequence[int], function: str
) -> list[tuple[int, int]]:
    """(before, after) for each spatial axis; these follow the batch axis."""
    if padding == "valid":
        return [(0, 0)] * len(shape)
    if padding == "same":
        pairs = []
        for axis, (size, stride, dilation) in enumerate(zip(shape, strides, dilations, strict=True), 1):
            extent, reach = x.shape[axis], (size - 1) * dilation + 1
            if not isinstance(extent, int) and stride != 1:
                raise ShapeError(f'{function}: "same" with a stride needs a known size, axis {axis} is {extent}')
            lacking = reach - 1 if stride == 1 else max(0, (math.ceil(extent / stride) - 1) * stride + reach - extent)
            pairs.append((lacking // 2, lacking - lacking // 2))
        return pairs
    given = [(padding, padding)] * len(shape) if isinstance(padding, int) else list(padding)
    if not isinstance(padding, str) and len(given) == len(shape):
        pairs = [(p[0], p[1]) for p in given if not isinstance(p, int) and len(p) == 2]
        if len(pairs) == len(shape) and all(isinstance(n, int) and n >= 0 for p in pairs for n in p):
            return pairs
    raise ShapeError(
        f'{function}: padding is "valid", "same", a number from 0 on or {len(shape)} pairs (before, after), '
        f"not {padding!r}"
    )


def _slid(x: Expr, shape: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Expr:
    """Windows over every spatial axis: (N, H, W, C) becomes (N, OH, KH, OW, KW, C)."""
    for n, (size, stride, dilation) in enumerate(zip(shape, strides, dilations, strict=True)):
        x = windows(x, 1 + 2 * n, size, stride, dilation)
    return x


def _image(x: object, rank: int, function: str) -> Expr:
    value = as_expr(x)
    if value.ndim != rank + 2:
        axes = "(N, length, channels)" if rank == 1 else "(N, height, width, channels)"
        raise ShapeError(f"{function} wants {axes}, but {value.label} has shape {sizes.text(value.shape)}")
    return value


def _convolution(
    x: object, kernel: object, strides: Whole, padding: Padding, dilation: Whole, rank: int, function: str
) -> Expr:
    value, weights = _image(x, rank, function), as_expr(kernel)
    if weights.ndim != rank + 2 or not all(isinstance(s, int) for s in weights.shape[:rank]):
        axes = ("size", "height, width")[rank - 1]
        raise ShapeError(
            f"{function} wants a kernel ({axes}, channels, filters), but {weights.label} has shape "
            f"{sizes.text(weights.shape)}"
        )
    if not sizes.same(value.shape[-1], weights.shape[-2]):
        reason = f"the input has {value.shape[-1]} channels, the kernel is for {weights.shape[-2]}"
        raise ShapeError(ops.disagreement("convolve", value, weights, reason))
    shape = weights.shape[:rank]
    steps, holes = _whole(strides, rank, "strides", function), _whole(dilation, rank, "dilation", function)
    pairs = _padding(value, padding, shape, steps, holes, function)
    padded = movement.pad(value, [(0, 0), *pairs, (0, 0)])
    for axis, (size, hole) in enumerate(zip(shape, holes, strict=True), 1):
        reach, extent = (size - 1) * hole + 1, padded.shape[axis]
        if isinstance(extent, int) and reach > extent:
            reason = f"the kernel reaches over {reach} entries of axis {axis}, which has {extent} with its padding"
            raise ShapeError(ops.disagreement("convolve", value, weights, reason))
    slid = _slid(padded, shape, steps, holes)
    n, channel, filters = 0, 1, 2
    positions, offsets = range(3, 3 + rank), range(3 + rank, 3 + 2 * rank)
    between = [i for pair in zip(positions, offsets, strict=True) for i in pair]
    inputs = ((n, *between, channel), (*offsets, channel, filters))
    return make(ops.Contraction(inputs, (n, *positions, filters)), slid, weights)


def conv2d(
    x: object, kernel: object, strides: Whole = 1, padding: Padding = "valid", dilation: Whole = 1
) -> Expr:
    """Two-dimensional convolution of images (N, H, W, C) by a kernel (KH, KW, C, F): (N, OH, OW, F). Raises ShapeError.

    >>> conv2d(f.variable("x", ("N", 28, 28, 1)), f.parameter("K", (3, 3, 1, 32))).shape
    ('N', 26, 26, 32)
    """
    return _convolution(x, kernel, strides, padding, dilation, 2, "conv2d")


def conv1d(
    x: object, kernel: object, strides: Whole = 1, padding: Padding = "valid", dilation: Whole = 1
) -> Expr:
    """One-dimensional convolution of rows (N, L, C) by a kernel (K, C, F): (N, OL, F). Raises ShapeError.

    >>> conv1d(f.variable("x", ("N", 28, 3)), f.parameter("K", (5, 3, 8)), padding="same").shape
    ('N', 28, 8)
    """
    return _convolution(x, kernel, strides, padding, dilation, 1, "conv1d")


def _pooled(
    x: object, size: Whole, strides: Whole | None, padding: Padding, rank: int, function: str, largest: bool
) -> Expr:
    value = _image(x, rank, function)
    shape = _whole(size, rank, "size", function)
    steps = shape if strides is None else _whole(strides, rank, "strides", function)
    ones = [1] * rank
    pairs = _padding(value, padding, shape, steps, ones, function)
    around = [(0, 0), *pairs, (0, 0)]
    padded = any(n for pair in pairs for n in pair)
    filled = movement.pad(value, around, -math.inf if largest else 0.0) if padded else value
    slid, axes = _slid(filled, shape, steps, ones), [2 + 2 * n for n in range(rank)]
    if largest:
        return f.max(slid, axes)
    if not padded:
        return f.mean(slid, axes)
    inside = movement.pad(f.cast(movement.ones_like(value), "real"), around)
    return f.sum(slid, axes) / f.sum(_slid(inside, shape, steps, ones), axes)


def max_pool2d(x: object, size: Whole = 2, strides: Whole | None = None, padding: Padding = "valid") -> Expr:
    """The largest entry of each window of images (N, H, W, C); strides are the size by default; ties share the adjoint.

    Raises ShapeError.

    >>> max_pool2d(f.variable("x", ("N", 26, 26, 32))).shape
    ('N', 13, 13, 32)
    """
    return _pooled(x, size, strides, padding, 2, "max_pool2d", True)


def average_pool2d(x: object, size: Whole = 2, strides: Whole | None = None, padding: Padding = "valid") -> Expr:
    """The mean of each window of images (N, H, W, C), padding not counted. Raises ShapeError."""
    return _pooled(x, size, strides, padding, 2, "average_pool2d", False)


def max_pool1d(x: object, size: Whole = 2, strides: Whole | None = None, padding: Padding = "valid") -> Expr:
    """The largest entry of each window of rows (N, L, C). Raises ShapeError."""
    return _pooled(x, size, strides, padding, 1, "max_pool1d", True)


def average_pool1d(x: object, size: Whole = 2, strides: Whole | None = None, padding: Padding = "valid") -> Expr:
    """The mean of each window of rows (N, L, C), padding not counted. Raises ShapeError."""
    return _pooled(x, size, strides, padding, 1, "average_pool1d", False)


def global_average_pool2d(x: object) -> Expr:
    """The mean over height and width: (N, H, W, C) becomes (N, C). Raises ShapeError."""
    return f.mean(_image(x, 2, "global_average_pool2d"), (1, 2))


def table() -> dict[str, Callable[..., Any]]:
    """The functions of this module that may stand in a formula given as text, by name."""
    listed = (windows, conv2d, conv1d, max_pool2d, average_pool2d, max_pool1d, average_pool1d, global_average_pool2d)
    return {function.__name__: function for function in listed}
