"""Identities of what moves entries: slices, padding, joining, windows. Each is one small function.

The gradient of a convolution by its input is a convolution again, of the padded adjoint by the turned kernel; the
gradients of the parts of a split are put together by joining them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symgrad.calculus.arithmetic import Term, build, build_sum, collect, product_of, repeat, sum_of
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, make
from symgrad.expression.scalars import REAL


def slice_of_everything(node: Expr) -> Expr | None:
    """x[0:n] = x"""
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Slice)
    whole = op.step == 1 and sizes.same(op.start, 0) and sizes.same(op.count, x.shape[op.axis])
    return x if whole else None


def slice_of_joined(node: Expr) -> Expr | None:
    """A slice that is one of the parts that were joined, or lies within it."""
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Slice)
    if not isinstance(x.op, ops.Concatenate) or x.op.axis != op.axis or op.step != 1:
        return None
    if not all(isinstance(s, int) for s in (op.start, op.count, *(a.shape[op.axis] for a in x.args))):
        return None
    first = 0
    for part in x.args:
        extent = part.shape[op.axis]
        if first <= op.start and op.start + op.count <= first + extent:
            return make(ops.Slice(op.axis, op.start - first, 1, op.count), part)
        first += extent
    return None


def slice_of_padded(node: Expr) -> Expr | None:
    """What was put among zeros, taken out again."""
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Slice)
    inner = x.op
    same = isinstance(inner, ops.Pad) and (inner.axis, inner.step) == (op.axis, op.step)
    if not same or not isinstance(inner, ops.Pad) or not sizes.same(inner.start, op.start):
        return None
    return x.args[0] if sizes.same(x.args[0].shape[op.axis], op.count) else None


def slice_of_repeated(node: Expr) -> Expr | None:
    """A part of what is the same along an axis is a shorter one."""
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Slice)
    if not isinstance(x.op, ops.Contraction):
        return None
    index = x.op.output[op.axis]
    new = dict(x.op.new)
    if index not in new or x.op.output.count(index) > 1:
        return None
    return make(ops.Contraction(x.op.inputs, x.op.output, tuple((new | {index: op.count}).items())), *x.args)


def slices_compose(node: Expr) -> Expr | None:
    """x[a:][b:] = x[a + b:], and what is turned twice is as it was."""
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Slice)
    if not isinstance(x.op, ops.Slice) or x.op.axis != op.axis:
        return None
    start = sizes.total([x.op.start, sizes.times((x.op.step, op.start))])
    return make(ops.Slice(op.axis, start, x.op.step * op.step, op.count), x.args[0])


def scalars_outside(node: Expr) -> Expr | None:
    """What only moves entries, adds them up or solves for them lets numbers and scalars out."""
    args, place = list(node.args), len(node.args) - 1
    if args[place].kind != "real":
        return None
    term = product_of(args[place])
    sides = term.top, term.bottom
    inside = Term(type(term.number)(1), *({b: e for b, e in side.items() if b.shape} for side in sides))
    outside = Term(term.number, *({b: e for b, e in side.items() if not b.shape} for side in sides))
    nothing = outside.number == 1 and not outside.top and not outside.bottom
    if nothing or not (inside.top or inside.bottom):
        return None
    args[place] = repeat(build(inside), args[place])
    return repeat(build(outside.times(Term(top={make(node.op, *args): 1}))), node)


def paddings_joined(node: Expr) -> Expr | None:
    """A sum of tensors, each among zeros where the others are not, is those tensors one after the other."""
    assert isinstance(node.op, ops.Elementwise)
    if node.op.function not in ("add", "subtract") or node.kind != REAL:
        return None
    terms = collect(sum_of(node))
    padded = {i: found for i, t in enumerate(terms) if (found := _padded(t)) and found[0].shape == node.shape}
    for axis in range(node.ndim):
        tiles = _tiles(padded, axis, node.shape[axis])
        if len(tiles) > 1:
            parts = (build(padded[i][1].times(Term(top={padded[i][0].args[0]: 1}))) for i in tiles)
            joined = Term(top={make(ops.Concatenate(axis), *parts): 1})
            return build_sum([*(t for i, t in enumerate(terms) if i not in tiles), joined])
    return None


def _padded(term: Term) -> tuple[Expr, Term] | None:
    """A padded tensor and the scalars before it."""
    tensors = [b for b in term.top if b.shape]
    if len(tensors) != 1 or term.top[tensors[0]] != 1 or any(b.shape for b in term.bottom):
        return None
    (padded,) = tensors
    if not isinstance(padded.op, ops.Pad) or padded.op.step != 1:
        return None
    return padded, Term(term.number, {b: e for b, e in term.top.items() if b is not padded}, dict(term.bottom))


def _tiles(padded: Mapping[int, tuple[Expr, Term]], axis: int, extent: sizes.Size) -> list[int]:
    """The terms, paddings that cover an axis without a gap, in order; nothing when there are none."""
    starts = {i: p.op.start for i, (p, _) in padded.items() if p.op.axis == axis}  # type: ignore[attr-defined]
    found: list[int] = []
    place: sizes.Size = 0
    while not sizes.same(place, extent):
        following = [i for i, start in starts.items() if sizes.same(start, place)]
        if len(following) != 1 or following[0] in found:
            return []
        found.append(following[0])
        place = sizes.total([place, padded[following[0]][0].args[0].shape[axis]])
    return found


def padded_below_windows(node: Expr) -> Expr | None:
    """Padding one axis and sliding along another may come in either order; padding comes first."""
    op, x = node.op, node.args[0]
    assert isinstance(op, ops.Pad)
    inner = x.op
    if not isinstance(inner, ops.Windows) or op.axis in (inner.axis, inner.axis + 1):
        return None
    before = op.axis if op.axis < inner.axis else op.axis - 1
    padded = make(ops.Pad(before, op.start, op.step, op.extent), x.args[0])
    return make(inner, padded)


def convolution_with_turned_kernel(node: Expr) -> Expr | None:
    """Σ over s o + d k = i of Σ g[o, f] K[k, f] is a convolution of g among zeros with K turned."""
    op, inner = node.op, node.args[0]
    assert isinstance(op, ops.Overlap)
    if not isinstance(inner.op, ops.Contraction) or inner.op.new or inner.kind != "real":
        return None
    product = inner.op
    o, k = product.output[op.axis : op.axis + 2]
    size = inner.shape[op.axis + 1]
    owners = [_owner(product.inputs, index) for index in (o, k)]
    if None in owners or owners[0] == owners[1] or not isinstance(size, int) or op.stride >= size:
        return None
    left, right = (p for p in owners if p is not None)
    reach = (size - 1) * op.dilation
    along, turned = product.inputs[left].index(o), product.inputs[right].index(k)
    padded = make(ops.Pad(along, reach, op.stride, sizes.shifted(op.extent, reach)), inner.args[left])
    slid = make(ops.Windows(along, size, 1, op.dilation), padded)
    kernel = make(ops.Slice(turned, size - 1, -1, size), inner.args[right])
    inputs, args = list(product.inputs), list(inner.args)
    inputs[left] = tuple(n for i in inputs[left] for n in ((i, k) if i == o else (i,)))
    args[left], args[right] = slid, kernel
    output = tuple(i for i in product.output if i != k)
    return make(ops.Contraction(tuple(inputs), output), *args)


def _owner(inputs: Sequence[tuple[int, ...]], index: int) -> int | None:
    """The one operand that has an index, once."""
    having = [p for p, indices in enumerate(inputs) if index in indices]
    return having[0] if len(having) == 1 and inputs[having[0]].count(index) == 1 else None
