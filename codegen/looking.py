"""Entries of nodes that look at other nodes' entries elsewhere: reshapes, slices, windows; as scalar text.

Each takes the lowering, which knows names and buffers. Where threads own parts of an axis, a place that is not the
loop's own index never looks like it: ownership is read off the indices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from symgrad.codegen.loops import Let
from symgrad.codegen.names import Index, position, product_text, size_text
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr
from symgrad.expression.scalars import BOOLEAN, REAL

if TYPE_CHECKING:
    from symgrad.codegen.lower import Lowering, Scope


def reshape(lowering: Lowering, node: Expr, index: Index, scope: Scope) -> str:
    source = node.args[0]
    flat = position(node.shape, index)
    if source in lowering.schedule.stored and source not in lowering.scratch:
        lowering.reads.append((source, ("",) * source.ndim))
        text = f"{lowering.buffer(source)}[{flat}]"
        return f"({text} != 0)" if source.kind == BOOLEAN else text
    parts, rest = [], f"({flat})"
    for axis, size in enumerate(source.shape):
        below = product_text([size_text(s) for s in source.shape[axis + 1 :]])
        part = rest if below == "1" else f"{rest} // ({below})"
        parts.append(part if axis == 0 else f"({part}) % {size_text(size)}")
    names = []
    for part in parts:
        names.append(lowering.names.fresh("at"))
        scope.body.append(Let(names[-1], part))
    return lowering.value(source, tuple(names), scope)


def sliced(lowering: Lowering, node: Expr, index: Index, scope: Scope) -> str:
    op = node.op
    assert isinstance(op, ops.Slice)
    scaled = index[op.axis] if op.step == 1 else f"{op.step}*{index[op.axis]}"
    place = f"({size_text(op.start)} + {scaled})"  # never a bare index: threads own parts of another axis
    return lowering.value(node.args[0], (*index[: op.axis], place, *index[op.axis + 1 :]), scope)


def windows(lowering: Lowering, node: Expr, index: Index, scope: Scope) -> str:
    op = node.op
    assert isinstance(op, ops.Windows)
    o, k = index[op.axis : op.axis + 2]
    place = f"({product_text([o, str(op.stride)])} + {product_text([k, str(op.dilation)])})"
    return lowering.value(node.args[0], (*index[: op.axis], place, *index[op.axis + 2 :]), scope)


def overlap(lowering: Lowering, node: Expr, index: Index, scope: Scope) -> str:
    """Windows side by side: the window that an entry lies in, and its place there; beyond the last one 0."""
    op, source = node.op, node.args[0]
    assert isinstance(op, ops.Overlap)
    count, size = size_text(source.shape[op.axis]), str(op.stride)
    window, place = lowering.names.fresh("at"), lowering.names.fresh("at")
    covered = sizes.same(sizes.times((source.shape[op.axis], op.stride)), op.extent)
    i = index[op.axis]
    first = f"{i} // {size}"
    scope.body += [Let(window, first if covered else f"min({first}, {count} - 1)"), Let(place, f"{i} % {size}")]
    value = lowering.value(source, (*index[: op.axis], window, place, *index[op.axis + 1 :]), scope)
    if covered:
        return value
    nothing = "real(0)" if node.kind == REAL else "0"
    return f"({value} if {i} < {product_text([count, size])} else {nothing})"


def counted(lowering: Lowering, node: Expr, index: Index, scope: Scope) -> str:
    return f"int64({index[0]})"


HANDLERS: dict[type[ops.Op], Callable[[Lowering, Expr, Index, Scope], str]] = {
    ops.Reshape: reshape,
    ops.Slice: sliced,
    ops.Windows: windows,
    ops.Overlap: overlap,
    ops.Range: counted,
}
