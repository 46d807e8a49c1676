"""Reductions as loops: largest entries, log-sum-exp, softmax, positions, and adding into positions.

Each takes the builder of its stage, which knows the axes that threads divide, and adds loops to the builder's body.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from symgrad.codegen import scalar_text
from symgrad.codegen.loops import Let, Store
from symgrad.codegen.lower import Scope
from symgrad.codegen.names import Index
from symgrad.expression import ops
from symgrad.expression.node import Expr
from symgrad.expression.scalars import REAL

if TYPE_CHECKING:
    from symgrad.codegen.stages import Builder


def reduced(
    builder: Builder, node: Expr, axes: Sequence[int], keep: bool
) -> tuple[Index, Scope, Callable[[Scope], tuple[Index, Scope]]]:
    """Loops over what a reduction keeps; and a maker of loops over what it reduces, giving the argument's index."""
    source = node.args[0]
    kept = [a for a in range(source.ndim) if a not in axes]
    own = kept if keep else list(range(len(kept)))
    index, scope = builder.nest(own, Scope(builder.body))
    at = dict(zip(kept, (index[o] for o in own), strict=True))
    result = tuple(index.get(a, "0") for a in range(node.ndim))

    def inside(outer: Scope) -> tuple[Index, Scope]:
        names, inner = builder.inner([source.shape[a] for a in axes], outer)
        full = at | dict(zip(axes, names, strict=True))
        return tuple(full[a] for a in range(source.ndim)), inner

    return result, scope, inside


def largest(builder: Builder, source: Expr, scope: Scope, inside: Callable[[Scope], tuple[Index, Scope]]) -> str:
    """The largest entry along the reduced axes."""
    name = builder.lowering.names.fresh("top")
    scope.body.append(Let(name, "real(-inf)" if source.kind == REAL else "-9223372036854775807"))
    index, inner = inside(scope)
    value = builder.lowering.value(source, index, inner)
    inner.body.append(Let(name, scalar_text.apply("maximum", source.kind, [value, name])))
    return name


def reduce(builder: Builder, node: Expr) -> None:
    """The largest or smallest entry, or the product; over few entries of a window without a loop."""
    assert isinstance(node.op, ops.Reduce)
    op, source = node.op, node.args[0]
    result, scope, _ = reduced(builder, node, op.axes, op.keep)
    kept = [a for a in range(source.ndim) if a not in op.axes]
    at = dict(zip(kept, (i for a, i in enumerate(result) if not op.keep or a in kept), strict=True))
    function, start = {
        "max": ("maximum", "-inf"),
        "min": ("minimum", "inf"),
        "product": ("multiply", "1"),
    }[op.function]
    name = builder.lowering.names.fresh({"max": "top", "min": "bottom"}.get(op.function, "product"))
    whole = {"-inf": "-9223372036854775807", "inf": "9223372036854775807"}.get(start, start)
    scope.body.append(Let(name, f"real({start})" if source.kind == REAL else whole))

    def join(names: Index, inner: Scope) -> None:
        full = at | dict(zip(op.axes, names, strict=True))
        value = builder.lowering.value(source, tuple(full[a] for a in range(source.ndim)), inner)
        inner.body.append(Let(name, scalar_text.apply(function, source.kind, [value, name])))

    extents = [source.shape[a] for a in op.axes]
    if source.ndim - 1 in op.axes:
        join(*builder.inner(extents, scope))
    else:
        builder.each(extents, scope, join)
    scope.body.append(builder.store(node, None, result, name))


def logsumexp(builder: Builder, node: Expr) -> None:
    assert isinstance(node.op, ops.LogSumExp)
    source = node.args[0]
    result, scope, inside = reduced(builder, node, node.op.axes, node.op.keep)
    top = largest(builder, source, scope, inside)
    shift, total = builder.lowering.names.fresh("shift"), builder.lowering.names.fresh("total")
    scope.body.append(Let(shift, f"({top} if abs({top}) < real(inf) else real(0))"))
    scope.body.append(Let(total, "real(0)"))
    index, inner = inside(scope)
    value = scalar_text.convert(builder.lowering.value(source, index, inner), source.kind, REAL)
    inner.body.append(Let(total, f"{total} + exp({value} - {shift})"))
    scope.body.append(builder.store(node, None, result, f"log({total}) + {shift}"))


def softmax(builder: Builder, node: Expr) -> None:
    assert isinstance(node.op, ops.Softmax)
    source = node.args[0]
    _, scope, inside = reduced(builder, node, node.op.axes, True)
    top = largest(builder, source, scope, inside)
    total = builder.lowering.names.fresh("total")
    scope.body.append(Let(total, "real(0)"))
    index, inner = inside(scope)
    value = scalar_text.convert(builder.lowering.value(source, index, inner), source.kind, REAL)
    raised = builder.lowering.names.fresh("raised")
    inner.body += [
        Let(raised, f"exp({value} - {top})"),
        Let(total, f"{total} + {raised}"),
        builder.store(node, None, index, raised),
    ]
    index, inner = inside(scope)
    buffer, place = builder.lowering.memory(node), builder.lowering.entry(node, index)
    inner.body.append(Store(buffer, place, f"{buffer}[{place}] / {total}"))


def argmax(builder: Builder, node: Expr) -> None:
    assert isinstance(node.op, ops.ArgMax)
    source, names = node.args[0], builder.lowering.names
    result, scope, inside = reduced(builder, node, (node.op.axis,), False)
    best, where = names.fresh("best"), names.fresh("where")
    scope.body.append(Let(where, "0"))
    first, _ = inside(Scope([]))
    zero = tuple("0" if axis == node.op.axis else i for axis, i in enumerate(first))
    scope.body.append(Let(best, builder.lowering.value(source, zero, scope)))
    index, inner = inside(scope)
    value = builder.lowering.value(source, index, inner)
    here = index[node.op.axis]
    better = names.fresh("better")  # NaN counts as the largest, as in NumPy
    inner.body += [
        Let(better, f"({value} > {best}) | (({value} != {value}) & ({best} == {best}))"),
        Let(best, f"({value} if {better} else {best})"),
        Let(where, f"({here} if {better} else {where})"),
    ]
    scope.body.append(builder.store(node, None, result, where))


def scatter(builder: Builder, node: Expr) -> None:
    """Zeros, then each value added where its index points; threads never divide the scattered axis."""
    assert isinstance(node.op, ops.Scatter)
    values, indices = node.args
    axis, rank = node.op.axis, indices.ndim
    index, scope = builder.nest(range(node.ndim), Scope(builder.body))
    place = tuple(index[a] for a in range(node.ndim))
    scope.body.append(builder.store(node, None, place, "real(0)" if node.kind == REAL else "0"))
    outer_axes = [a for a in range(node.ndim) if a == builder.split]
    index, scope = builder.nest(outer_axes, Scope(builder.body))
    rest = [a for a in range(node.ndim) if a != axis and a not in index]
    names, inner = builder.inner([*indices.shape, *(node.shape[a] for a in rest)], scope)
    index |= dict(zip(rest, names[rank:], strict=True))
    picked = builder.lowering.value(indices, names[:rank], inner)
    source = (*(index[a] for a in range(axis)), *names[:rank], *(index[a] for a in range(axis + 1, node.ndim)))
    value = builder.lowering.value(values, source, inner)
    inner.body.append(
        builder.store(node, None, tuple(picked if a == axis else index[a] for a in range(node.ndim)), value, add=True)
    )


HEAVY: dict[type[ops.Op], Callable[[Builder, Expr], None]] = {
    ops.Reduce: reduce,
    ops.LogSumExp: logsumexp,
    ops.Softmax: softmax,
    ops.ArgMax: argmax,
    ops.Scatter: scatter,
}
