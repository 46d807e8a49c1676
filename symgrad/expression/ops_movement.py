"""Operations that move entries: reshapes, slices and their adjoints, windows, picking by integers.

Each comes with its adjoint, so that the set is closed under differentiation: Slice and Pad, Windows and Overlap, Take
and Scatter. A convolution is Windows and a Contraction, a pooling is Windows and a Reduce.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from symgrad.errors import ShapeError
from symgrad.expression import sizes
from symgrad.expression.op import Op, Result
from symgrad.expression.scalars import INTEGER, REAL
from symgrad.expression.sizes import Shape, Size

if TYPE_CHECKING:
    from symgrad.expression.node import Expr


@dataclass(frozen=True)
class Reshape(Op):
    """The same entries, row by row, in another shape."""

    shape: Shape

    def infer(self, args: Sequence[Expr]) -> Result:
        return self.shape, args[0].kind


@dataclass(frozen=True)
class Take(Op):
    """Entries of the first argument along `axis`, at the integers of the second."""

    axis: int

    def infer(self, args: Sequence[Expr]) -> Result:
        table, indices = args
        extent, known = table.shape[self.axis], getattr(indices.op, "array", None)  # of a constant
        if known is not None and isinstance(extent, int):
            outside = [int(i) for i in known.ravel() if not 0 <= i < extent]
            if outside:
                raise ShapeError(
                    f"take: position {outside[0]} is out of range: axis {self.axis} of {table.label} "
                    f"{sizes.text(table.shape)} has {extent} entries, 0 to {extent - 1}"
                )
        return table.shape[: self.axis] + indices.shape + table.shape[self.axis + 1 :], table.kind


@dataclass(frozen=True)
class Scatter(Op):
    """The adjoint of Take: adds the entries of the first argument into zeros of `size` along `axis`."""

    axis: int
    size: Size

    def infer(self, args: Sequence[Expr]) -> Result:
        values, indices = args
        after = values.shape[self.axis + len(indices.shape) :]
        return (*values.shape[: self.axis], self.size, *after), values.kind


@dataclass(frozen=True)
class OneHot(Op):
    """1 at the position of each label along a new last axis, 0 elsewhere."""

    classes: int

    def infer(self, args: Sequence[Expr]) -> Result:
        return (*args[0].shape, self.classes), REAL


def _with(shape: Shape, axis: int, *new: Size) -> Shape:
    """A shape with other sizes in place of one."""
    return (*shape[:axis], *new, *shape[axis + 1 :])


def span(start: Size, step: int, count: Size) -> tuple[Size, Size]:
    """The lowest and the highest of start + i step, for i below a count of at least 1."""
    last = sizes.total([start, sizes.times([step, sizes.shifted(count, -1)])])
    return (start, last) if step > 0 else (last, start)


@dataclass(frozen=True)
class Slice(Op):
    """`count` entries along an axis: result[i] = x[start + i step]; the step may be negative."""

    axis: int
    start: Size
    step: int
    count: Size

    def infer(self, args: Sequence[Expr]) -> Result:
        return _with(args[0].shape, self.axis, self.count), args[0].kind


@dataclass(frozen=True)
class Pad(Op):
    """The adjoint of Slice: `extent` zeros along an axis, in which result[start + i step] = x[i]."""

    axis: int
    start: Size
    step: int
    extent: Size

    def infer(self, args: Sequence[Expr]) -> Result:
        return _with(args[0].shape, self.axis, self.extent), args[0].kind


@dataclass(frozen=True)
class Concatenate(Op):
    """Tensors one after the other along an axis."""

    axis: int

    def infer(self, args: Sequence[Expr]) -> Result:
        total = sizes.total(a.shape[self.axis] for a in args)
        return _with(args[0].shape, self.axis, total), args[0].kind


@dataclass(frozen=True)
class Windows(Op):
    """Sliding windows: the axis becomes two, positions and offsets, result[o, k] = x[o stride + k dilation]."""

    axis: int
    size: int
    stride: int
    dilation: int

    def infer(self, args: Sequence[Expr]) -> Result:
        extent, reach = args[0].shape[self.axis], (self.size - 1) * self.dilation
        if self.stride == 1:
            positions = sizes.shifted(extent, -reach)
        else:
            assert isinstance(extent, int), "windows with a stride go over an axis of known size"
            positions = (extent - reach - 1) // self.stride + 1
        return _with(args[0].shape, self.axis, positions, self.size), args[0].kind


@dataclass(frozen=True)
class Overlap(Op):
    """The adjoint of Windows: windows added up where they came from, `extent` entries along the axis."""

    axis: int
    extent: Size
    stride: int
    dilation: int

    def infer(self, args: Sequence[Expr]) -> Result:
        shape = args[0].shape
        return (*shape[: self.axis], self.extent, *shape[self.axis + 2 :]), args[0].kind


@dataclass(frozen=True)
class Range(Op):
    """The integers from 0 to size - 1."""

    size: Size

    def infer(self, args: Sequence[Expr]) -> Result:
        return (self.size,), INTEGER
