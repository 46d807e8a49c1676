"""The same graph at sizes of a few entries.

Equal sizes stay equal, so that SymPy can differentiate it entry by entry.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from symgrad.errors import ExpressionError
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, as_expr, make, topological
from symgrad.expression.sizes import Shape, Size

SMALL = (2, 3)  # sizes above the larger one become these in turn, so that neighbours differ


@dataclasses.dataclass(frozen=True)
class Shrunk:
    """The expressions at small sizes and what became of each size; `reason` says why some could not be shrunk."""

    expressions: list[Expr]
    table: dict[Size, int]
    reason: str = ""

    def __str__(self) -> str:
        return ", ".join(f"{big} → {small}" for big, small in self.table.items())


def _sizes_of(order: Sequence[Expr]) -> list[Size]:
    """Every number and every name of a size in a graph, in order of appearance."""
    found: dict[Size, None] = {}
    for node in order:
        for size in node.shape:
            for part in [size] if isinstance(size, int) else sizes.names([size]):
                found.setdefault(part)
    return list(found)


def size_table(order: Sequence[Expr], shrink: bool) -> dict[Size, int]:
    """What each size becomes."""
    table: dict[Size, int] = {}
    for size in _sizes_of(order):
        if isinstance(size, int) and (size <= SMALL[-1] or not shrink):
            continue
        table[size] = SMALL[len(table) % len(SMALL)]
    return table


def shrink(expressions: Sequence[Expr]) -> Shrunk:
    """Expressions rebuilt at small sizes, together; where that cannot be, only named sizes become numbers."""
    order = topological(expressions)
    table = size_table(order, True)
    try:
        return Shrunk(rebuilt(expressions, table), table)
    except (ExpressionError, ValueError, KeyError, IndexError) as error:
        return named(expressions, str(error).split("\n")[0])


def named(expressions: Sequence[Expr], reason: str) -> Shrunk:
    """Expressions rebuilt with numbers for named sizes alone; every other size stays as it is."""
    table = size_table(topological(expressions), False)
    return Shrunk(rebuilt(expressions, table), table, reason)


def rebuilt(expressions: Sequence[Expr], table: dict[Size, int]) -> list[Expr]:
    """Expressions with other sizes. Raises ExpressionError where the shapes no longer fit together."""

    def small(size: Size) -> Size:
        if isinstance(size, int | str):
            return table.get(size, size)
        return sizes.bind(size, {n: table[n] for n in sizes.names([size])})

    def shape(value: Shape) -> Shape:
        return tuple(small(s) for s in value)

    done: dict[Expr, Expr] = {}
    for node in topological(expressions):
        args = [done[a] for a in node.args]
        if isinstance(node.op, ops.Extent):
            done[node] = make(ops.Cast("real"), as_expr(int(small(node.op.size))))
            continue
        result = make(_with_sizes(node, small, shape, args), *args)
        if result.shape != shape(node.shape):
            raise ExpressionError(f"{node.label} {sizes.text(node.shape)} cannot be made smaller")
        done[node] = result
    return [done[e] for e in expressions]


def _with_sizes(node: Expr, small: Any, shape: Any, args: Sequence[Expr]) -> ops.Op:
    """A node's op with its own sizes changed."""
    op = node.op
    match op:
        case ops.Variable():
            return dataclasses.replace(op, shape=shape(op.shape), classes=int(small(op.classes)) if op.classes else 0)
        case ops.Parameter() | ops.State() | ops.Noise():
            return dataclasses.replace(op, shape=shape(op.shape))
        case ops.Reshape():
            return _reshape(op, shape(op.shape), args)
        case ops.Constant() if op.shape:
            array = op.array[tuple(slice(int(s)) for s in shape(op.shape))]
            return ops.Constant(op.dtype, array.shape, np.ascontiguousarray(array).tobytes())
        case ops.Contraction():
            return dataclasses.replace(op, new=tuple((i, small(s)) for i, s in op.new))
        case ops.Scatter() | ops.Identity() | ops.Range():
            return dataclasses.replace(op, size=small(op.size))
        case ops.Slice() | ops.Pad() | ops.Concatenate() | ops.Windows() | ops.Overlap():
            return _moved(node, op, small)
        case ops.OneHot():
            return ops.OneHot(int(small(op.classes)))
    return op


def _moved(node: Expr, op: Any, small: Any) -> ops.Op:
    """What moves entries along an axis: places are numbers, which stay, and so do the axis's sizes."""
    along = [s for x in (node, *node.args) for s in x.shape[op.axis : op.axis + 2]]
    if any(isinstance(s, int) and small(s) != s for s in along):
        raise ExpressionError(f"{type(op).__name__.lower()} along an axis of {node.args[0].label} ties sizes together")
    own = {f.name for f in dataclasses.fields(op)} & {"start", "count", "extent"}
    changed: ops.Op = dataclasses.replace(op, **{name: small(getattr(op, name)) for name in own})
    return changed


def _reshape(op: ops.Reshape, shape: Shape, args: Sequence[Expr]) -> ops.Op:
    """A reshape whose names became numbers; a number in it stays, and the entries must still fit."""
    kept = all(new == old for new, old in zip(shape, op.shape, strict=True) if isinstance(old, int))
    if not kept or not sizes.same(sizes.times(shape), sizes.times(args[0].shape)):
        raise ExpressionError(f"a reshape to {sizes.text(op.shape)} ties sizes together")
    return ops.Reshape(shape)
