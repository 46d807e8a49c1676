"""Where the entries of a node lie when it only looks at another node's buffer: offset and strides, no copy.

Names, transposes, slices, windows and reshapes of what lies in one piece are views. A matrix product takes its operands
through them: the windows of a convolution are rows that overlap in memory. Knows expressions, no kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr
from symgrad.expression.ops import Contraction, Named
from symgrad.expression.sizes import Shape, Size


@dataclass(frozen=True)
class View:
    """The entry [i, j, ...] of a node is entry offset + i strides[0] + j strides[1] + ... of the base's buffer.

    `axes` says which axis of the base each axis runs along, alone and from its first entry on; None where none.
    """

    base: Expr
    offset: Size
    strides: tuple[Size, ...]
    axes: tuple[int | None, ...]


def is_permutation(node: Expr) -> bool:
    """Whether a node is its only argument with the axes reordered."""
    op = node.op
    return (
        isinstance(op, Contraction)
        and len(op.inputs) == 1
        and not op.new
        and len(set(op.inputs[0])) == len(op.inputs[0])
        and set(op.inputs[0]) == set(op.output)
        and node.kind == node.args[0].kind
    )


def plain_view(node: Expr) -> Expr:
    """The node whose buffer serves for this one with its axes reordered: below names and transposes."""
    while isinstance(node.op, Named) or is_permutation(node):
        node = node.args[0]
    return node


def base_of(node: Expr) -> Expr:
    """The node whose buffer serves for this one: below everything that only looks at it."""
    while _looks(node):
        node = node.args[0]
    return node


def _looks(node: Expr) -> bool:
    if isinstance(node.op, ops.Reshape):
        return _in_one_piece(node.args[0])
    return isinstance(node.op, Named | ops.Slice | ops.Windows) or is_permutation(node)


def _in_one_piece(node: Expr) -> bool:
    """Whether a node is a buffer, whole and in order, under a name or in another shape."""
    while isinstance(node.op, Named | ops.Reshape):
        node = node.args[0]
    return not _looks(node)


def row_strides(shape: Shape) -> tuple[Size, ...]:
    """The strides of a buffer laid out row by row."""
    strides: list[Size] = []
    step: Size = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step = sizes.times((step, size))
    return tuple(strides)


def view(node: Expr, room: Shape | None = None) -> View:
    """The node as a view of its base, which lies in memory of its own shape or of another, narrower one."""
    chain = []
    while _looks(node):
        chain.append(node)
        node = node.args[0]
    room = node.shape if room is None else room
    found = View(node, 0, row_strides(room), tuple(range(node.ndim)))
    for looking in reversed(chain):
        found = _through(looking, found, room)
    return found


def _through(node: Expr, below: View, room: Shape) -> View:
    op, strides, axes = node.op, list(below.strides), list(below.axes)
    if isinstance(op, Contraction):
        place = [op.inputs[0].index(i) for i in op.output]
        return View(below.base, below.offset, tuple(strides[p] for p in place), tuple(axes[p] for p in place))
    if isinstance(op, ops.Reshape):
        same = 0
        for a, b in zip(node.shape, below.base.shape, strict=False):
            if not sizes.same(a, b):
                break
            same += 1
        kept = tuple(a if a < same else None for a in range(node.ndim))
        return View(below.base, 0, row_strides((*room[:same], *node.shape[same:])), kept)
    if isinstance(op, ops.Slice):
        offset = sizes.total([below.offset, sizes.times((op.start, strides[op.axis]))])
        whole = op.step == 1 and isinstance(op.start, int) and op.start == 0
        whole = whole and sizes.same(op.count, node.args[0].shape[op.axis])
        strides[op.axis] = sizes.times((op.step, strides[op.axis]))
        axes[op.axis] = axes[op.axis] if whole else None
        return View(below.base, offset, tuple(strides), tuple(axes))
    if isinstance(op, ops.Windows):
        step = strides[op.axis]
        strides[op.axis : op.axis + 1] = [sizes.times((op.stride, step)), sizes.times((op.dilation, step))]
        axes[op.axis : op.axis + 1] = [None, None]
        return View(below.base, below.offset, tuple(strides), tuple(axes))
    return below
