"""Matrix notation of what moves entries and of linear algebra: x[:, 1:], A⁻¹ b, det(A)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr
from symgrad.expression.sizes import Size
from symgrad.formulas import scalar
from symgrad.formulas.tree import PRODUCT, Call, Indexed, Infix, Math, Number, Power, Words

if TYPE_CHECKING:
    from symgrad.formulas.matrix import MatrixNotation


def _bounds(op: ops.Slice, extent: Size) -> str:
    """A slice as Python writes it."""
    if op.step == 1:
        end = sizes.total([op.start, op.count])
        first = "" if isinstance(op.start, int) and op.start == 0 else str(op.start)
        return f"{first}:{'' if sizes.same(end, extent) else end}"
    turned = op.step == -1 and sizes.same(op.count, extent)
    if turned:
        return "::-1"
    end = sizes.total([op.start, sizes.times([op.step, op.count])])
    last = "" if isinstance(end, int) and end < 0 else str(end)
    return f"{op.start}:{last}:{op.step}"


def _sliced(notation: MatrixNotation, node: Expr) -> tuple[Expr, list[str]]:
    """What a chain of slices cuts, and the index that does it; a name or a second cut of an axis ends the chain."""
    places = [":"] * node.ndim
    while isinstance(node.op, ops.Slice) and places[node.op.axis] == ":":
        places[node.op.axis] = _bounds(node.op, node.args[0].shape[node.op.axis])
        node = node.args[0]
        if node in notation.atoms:
            break
    return node, places


def _slice(notation: MatrixNotation, node: Expr) -> Math:
    base, places = _sliced(notation, node)
    return Indexed(notation.math(base), tuple(map(Words, places)))


def reshape(notation: MatrixNotation, node: Expr) -> Math:
    """One entry along an axis, x[:, 2]; what was solved for a vector; or a call."""
    x = node.args[0]
    if isinstance(x.op, ops.Slice) and x not in notation.atoms and _rest(x.shape) == node.shape:
        base, places = _sliced(notation, x)
        single = [p.split(":")[0] or "0" if _one(s) and p != ":" else p for p, s in zip(places, x.shape, strict=True)]
        if all(p == ":" or not _one(s) or ":" not in p for p, s in zip(single, x.shape, strict=True)):
            return Indexed(notation.math(base), tuple(map(Words, single)))
    if isinstance(x.op, ops.Solve) and node.ndim == 1:
        return notation.math(x)
    return Call("reshape", (notation.math(x), scalar.shape(node.shape)))


def _one(size: Size) -> bool:
    return isinstance(size, int) and size == 1


def _rest(shape: tuple[Size, ...]) -> tuple[Size, ...]:
    return tuple(s for s in shape if not _one(s))


def _pad(notation: MatrixNotation, node: Expr) -> Math:
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Pad)
    if op.step != 1:
        return notation.indexed(node)
    after = sizes.total([op.extent, sizes.times([-1, sizes.total([op.start, x.shape[op.axis]])])])
    return Call("pad", (notation.math(x), Words(f"axis {op.axis}"), Words(f"({op.start}, {after})")))


def _concatenate(notation: MatrixNotation, node: Expr) -> Math:
    assert isinstance(node.op, ops.Concatenate)
    parts = tuple(notation.math(a) for a in node.args)
    return Call("concatenate", (*parts, Words(f"axis {node.op.axis}")) if node.ndim > 1 else parts)


def _inverse(notation: MatrixNotation, node: Expr) -> Math:
    return Power(notation.math(node.args[0]), Number("-1"))


def _solve(notation: MatrixNotation, node: Expr) -> Math:
    right = node.args[1]
    column = isinstance(right.op, ops.Reshape) and right.args[0].ndim == 1  # matrix notation takes vectors for columns
    a, b = notation.math(node.args[0]), notation.math(right.args[0] if column else right)
    return Infix("@", (Power(a, Number("-1")), b), PRODUCT)


def _call(name: str) -> Callable[[MatrixNotation, Expr], Math]:
    return lambda notation, node: Call(name, tuple(notation.math(a) for a in node.args))


WRITERS: dict[type[ops.Op], Callable[[MatrixNotation, Expr], Math]] = {
    ops.Range: lambda notation, node: Call("range", (scalar.size(node.shape[0]),)),
    ops.Reshape: reshape,
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.Concatenate: _concatenate,
    ops.Windows: lambda notation, node: notation.indexed(node),
    ops.Overlap: lambda notation, node: notation.indexed(node),
    ops.Inverse: _inverse,
    ops.Solve: _solve,
    ops.Determinant: _call("det"),
    ops.LogDet: _call("logdet"),
    ops.Cholesky: _call("cholesky"),
    ops.Mode: _call("in_training"),
    ops.Assign: lambda notation, node: notation.math(node.args[0]),
}
