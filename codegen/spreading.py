"""What puts entries where others are not: padding, joining, overlapping windows, as loops of their own.

Each takes the builder of its stage, which knows the axes that threads divide, and adds loops to the builder's body;
threads never divide an axis along which entries are put in place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from symgrad.codegen.loops import Loop
from symgrad.codegen.lower import Scope
from symgrad.codegen.names import Index, product_text, size_text
from symgrad.expression import ops
from symgrad.expression.node import Expr
from symgrad.expression.scalars import INTEGER, REAL
from symgrad.expression.sizes import Size

if TYPE_CHECKING:
    from symgrad.codegen.stages import Builder


def zero(node: Expr) -> str:
    return {REAL: "real(0)", INTEGER: "0"}.get(node.kind, "False")


def affine(start: Size, step: int, index: str) -> str:
    """start + step index, in parentheses: no name of a loop, for whose part of the axis threads own it."""
    scaled = index if step == 1 else f"{step}*{index}"
    return f"({scaled})" if isinstance(start, int) and start == 0 else f"({size_text(start)} + {scaled})"


def _clear(builder: Builder, node: Expr) -> None:
    index, scope = builder.nest(range(node.ndim), Scope(builder.body))
    scope.body.append(builder.store(node, None, tuple(index[a] for a in range(node.ndim)), zero(node)))


def _nest(builder: Builder, node: Expr, extents: Mapping[int, Size]) -> tuple[list[str], Scope]:
    """Loops over the axes of a node with another extent along some of them, which threads do not divide."""
    scope, names = Scope(builder.body), []
    for a in range(node.ndim):
        if a in extents:
            name = builder.lowering.names.fresh("m")
            loop = Loop(name, "0", size_text(extents[a]))
            scope.body.append(loop)
            scope = Scope(loop.body, scope, name)
        else:
            index, scope = builder.nest([a], scope)
            name = index[a]
        names.append(name)
    return names, scope


def pad(builder: Builder, node: Expr) -> None:
    """Zeros, then the entries among them; a padding of several axes at once."""
    chain = [node]
    while isinstance(chain[-1].args[0].op, ops.Pad) and chain[-1].args[0] not in builder.lowering.schedule.stored:
        chain.append(chain[-1].args[0])
    source = chain[-1].args[0]
    _clear(builder, node)
    axes = {p.op.axis for p in chain if isinstance(p.op, ops.Pad)}
    index, scope = _nest(builder, node, {axis: source.shape[axis] for axis in axes})
    value = builder.lowering.value(source, _unowned(index, axes), scope)
    place = list(index)
    for inner in reversed(chain):
        assert isinstance(inner.op, ops.Pad)
        place[inner.op.axis] = affine(inner.op.start, inner.op.step, place[inner.op.axis])
    scope.body.append(builder.store(node, None, tuple(place), value))


def _unowned(index: Sequence[str], axes: Collection[int]) -> Index:
    """An index whose place along some axes is no loop that threads divide."""
    return tuple(f"({i})" if a in axes else i for a, i in enumerate(index))


def concatenate(builder: Builder, node: Expr) -> None:
    """One part after the other."""
    op = node.op
    assert isinstance(op, ops.Concatenate)
    before: list[str] = []
    for part in node.args:
        extent = part.shape[op.axis]
        index, scope = _nest(builder, node, {op.axis: extent})
        value = builder.lowering.value(part, _unowned(index, [op.axis]), scope)
        shifted = f"({' + '.join([*before, index[op.axis]])})"
        place = tuple(shifted if a == op.axis else i for a, i in enumerate(index))
        scope.body.append(builder.store(node, None, place, value))
        before.append(size_text(extent))


def overlap(builder: Builder, node: Expr) -> None:
    """Zeros, then every entry of every window added where it came from."""
    op, source = node.op, node.args[0]
    assert isinstance(op, ops.Overlap)
    _clear(builder, node)
    index, scope = _nest(builder, node, {op.axis: source.shape[op.axis]})
    size = source.shape[op.axis + 1]
    within = [*index[: op.axis + 1], "", *index[op.axis + 1 :]]
    (k,), inner = builder.inner([size], scope)
    within[op.axis + 1] = k
    value = builder.lowering.value(source, _unowned(within, (op.axis, op.axis + 1)), inner)
    terms = [product_text([index[op.axis], str(op.stride)]), product_text([k, str(op.dilation)])]
    place = tuple(f"({' + '.join(terms)})" if a == op.axis else i for a, i in enumerate(index))
    inner.body.append(builder.store(node, None, place, value, add=True))


HEAVY: dict[type[ops.Op], Callable[[Builder, Expr], None]] = {
    ops.Pad: pad,
    ops.Concatenate: concatenate,
    ops.Overlap: overlap,
}
