"""Identities of tensors: what contractions, broadcasting, deltas and selections obey. Each is one small function.

They work on indices, so one identity covers sums, products, transposes and traces of every rank.
"""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.calculus.arithmetic import Factors, Term, build, number_of, product_of, repeat
from symgrad.calculus.operands import operands, with_operands
from symgrad.calculus.patterns import sum_axes, through_names
from symgrad.expression import functions as f
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, as_expr, make
from symgrad.expression.ops import (
    Constant,
    Contraction,
    Elementwise,
    Identity,
    Named,
    OneHot,
    Reshape,
    Softmax,
    Variable,
)
from symgrad.expression.scalars import BOOLEAN, REAL


def contract(
    op: Contraction, args: Sequence[Expr], inputs: Sequence[tuple[int, ...]], node: Expr, factor: Expr | None = None
) -> Expr:
    """A contraction with other operands but the same result.

    Indices that lost their operand become repeats or counts.
    """
    extent = op.sizes_of(node.args)
    for indices, arg in zip(inputs, args, strict=True):
        extent.update(zip(indices, arg.shape, strict=True))
    bound = {i for indices in inputs for i in indices}
    before = {i for indices in op.inputs for i in indices}
    summed_away = [
        i for i in dict.fromkeys(i for indices in op.inputs for i in indices) if i not in bound and i not in op.output
    ]
    assert before >= set(summed_away)
    new = tuple((i, extent[i]) for i in op.output if i not in bound)
    if args:
        result = make(Contraction(tuple(inputs), op.output, new), *args)
        if len(args) == 1 and inputs[0] == op.output:
            result = args[0]
    else:
        result = repeat(as_expr(1.0), node)
        if factor is not None:
            result, factor = repeat(factor, node), None
    counts = [f.size(extent[i]) for i in summed_away if not (isinstance(extent[i], int) and extent[i] == 1)]
    for scale in [*counts, *([factor] if factor is not None else [])]:
        result = make(Elementwise("multiply"), scale, result)
    return repeat(result, node)


def nothing_to_do(node: Expr) -> Expr | None:
    op = node.op
    assert isinstance(op, Contraction)
    return node.args[0] if op.inputs == (op.output,) and node.args[0].kind == node.kind else None


def merged(node: Expr) -> Expr | None:
    """An operand that only sums, repeats or reorders one tensor joins the contraction around it."""
    op = node.op
    assert isinstance(op, Contraction)
    for position, inner in enumerate(node.args):
        if not isinstance(inner.op, Contraction) or len(inner.args) != 1 or inner.kind != node.kind:
            continue
        sums = not set(inner.op.inputs[0]) <= set(inner.op.output)
        if sums and len(node.args) > 1:
            continue  # (sum of a) b: summing first is cheaper
        fresh = 1 + max([0, *op.sizes_of(node.args), *inner.op.sizes_of(inner.args)])
        renamed = dict(zip(inner.op.output, op.inputs[position], strict=True))
        for index in inner.op.inputs[0]:
            if index not in renamed:
                renamed[index], fresh = fresh, fresh + 1
        inputs = [*op.inputs[:position], tuple(renamed[i] for i in inner.op.inputs[0]), *op.inputs[position + 1 :]]
        args = [*node.args[:position], inner.args[0], *node.args[position + 1 :]]
        return contract(op, args, inputs, node)
    return None


def reordered(node: Expr) -> Expr | None:
    """(A B)ᵀ is one contraction: reordering the axes of a product reorders its output."""
    op, inner = node.op, node.args[0]
    assert isinstance(op, Contraction)
    if len(node.args) > 1 or not isinstance(inner.op, Contraction) or inner.kind != node.kind or op.new:
        return None
    if sorted(op.output) != sorted(op.inputs[0]) or len(set(op.output)) != len(op.output):
        return None
    position = {index: i for i, index in enumerate(op.inputs[0])}
    output = tuple(inner.op.output[position[i]] for i in op.output)
    return make(Contraction(inner.op.inputs, output, inner.op.new), *inner.args)


def scalars_outside(node: Expr) -> Expr | None:
    """Numbers and scalars leave a contraction: sum(c a b) is c sum(a b)."""
    op = node.op
    assert isinstance(op, Contraction)
    if node.kind != REAL or _repeated(node) is not None:  # a repetition stays outermost, see broadcasting_is_implicit
        return None
    outside, inputs, args = Term(), [], []
    for indices, arg in zip(op.inputs, node.args, strict=True):
        inside = Term()
        if arg.shape and arg.kind == REAL:
            term = product_of(arg)
            inside.top = {b: e for b, e in term.top.items() if b.shape}
            inside.bottom = {b: e for b, e in term.bottom.items() if b.shape}
            outside = outside.times(Term(term.number, _scalars(term.top), _scalars(term.bottom)))
        else:
            inside.top = {arg: 1} if arg.shape else {}
            outside = outside.times(Term() if arg.shape else product_of(arg))
        if inside.top or inside.bottom:
            rest = repeat(build(inside), arg) if arg.kind == REAL else arg
            args.append(rest)
            inputs.append(indices)
    if outside.number == 1 and not outside.top and not outside.bottom:
        return contract(op, args, inputs, node) if len(args) < len(node.args) else None
    return contract(op, args, inputs, node, build(outside))


def _scalars(factors: Factors) -> Factors:
    return {b: e for b, e in factors.items() if not b.shape}


def _rows_sum_to_one(x: Expr) -> tuple[int, ...]:
    """The axes along which the entries of x are known to sum to one."""
    op = through_names(x).op
    if isinstance(op, OneHot) or (isinstance(op, Variable) and op.normalized):
        return (x.ndim - 1,)
    return op.axes if isinstance(op, Softmax) else ()


def total_of_distribution(node: Expr) -> Expr | None:
    """A one-hot row sums to 1, and so does a softmax."""
    op = node.op
    assert isinstance(op, Contraction)
    for position, (indices, arg) in enumerate(zip(op.inputs, node.args, strict=True)):
        axes = _rows_sum_to_one(arg)
        others = [i for j, other in enumerate(op.inputs) if j != position for i in other] + list(op.output)
        summed = {indices[a] for a in axes}
        rest = [i for i in indices if i not in summed]
        if axes and not summed & set(others) and len(set(indices)) == len(indices) and set(rest) <= set(others):
            kept = [j for j in range(len(node.args)) if j != position]
            extent = op.sizes_of(node.args)
            used = {i for j in kept for i in op.inputs[j]}
            new = tuple((i, extent[i]) for i in op.output if i not in used)
            if not kept:
                return repeat(as_expr(1.0), node)
            return make(Contraction(tuple(op.inputs[j] for j in kept), op.output, new), *(node.args[j] for j in kept))
    return None


def delta_contracted(node: Expr) -> Expr | None:
    """Summing over an index of a delta puts the other index in its place."""
    op = node.op
    assert isinstance(op, Contraction)
    for position, (indices, arg) in enumerate(zip(op.inputs, node.args, strict=True)):
        if not isinstance(arg.op, Identity) or indices[0] == indices[1]:
            continue
        first, second = indices
        gone, stays = (first, second) if first not in op.output else (second, first)
        kept = [j for j in range(len(node.args)) if j != position]
        if gone in op.output or not kept:
            continue
        inputs = tuple(tuple(stays if i == gone else i for i in op.inputs[j]) for j in kept)
        if not any(stays in i for i in inputs):
            continue
        used = {i for indices_ in inputs for i in indices_}
        extent = op.sizes_of(node.args)
        return make(
            Contraction(inputs, op.output, tuple((i, extent[i]) for i in op.output if i not in used)),
            *(node.args[j] for j in kept),
        )
    return None


def product_of_two(node: Expr) -> Expr | None:
    """The sum of an entrywise product of two tensors of equal shape is one contraction."""
    op = node.op
    assert isinstance(op, Contraction)
    inner = node.args[0] if len(node.args) == 1 else None
    if (
        inner is None
        or sum_axes(node) is None
        or not isinstance(inner.op, Elementwise)
        or inner.op.function != "multiply"
    ):
        return None
    if len(inner.args) != 2 or inner.kind != node.kind or any(a.kind != node.kind for a in inner.args):
        return None
    indices = op.inputs[0]
    operands = [a if _fits(a, inner) else None for a in inner.args]
    if None in operands or not all(a.shape for a in inner.args):
        return None
    inputs = tuple(indices[len(indices) - a.ndim :] for a in inner.args)
    return make(Contraction(inputs, op.output, op.new), *inner.args)


def _fits(part: Expr, whole: Expr) -> bool:
    return all(map(sizes.same, part.shape, whole.shape[whole.ndim - part.ndim :]))


def _repeated(x: Expr) -> Expr | None:
    """What x repeats along whole axes, small enough for implicit broadcasting, or None."""
    op = x.op
    if not isinstance(op, Contraction) or len(op.inputs) != 1 or not op.new:
        return None
    inner, indices = x.args[0], op.inputs[0]
    if [i for i in op.output if i in indices] != list(indices) or x.kind != inner.kind:
        return None
    if inner.shape and all(isinstance(s, int) and s == 1 for _, s in op.new):
        return None  # axes of size 1 are how broadcasting is spelt; a number needs none
    lead = next((n for n, i in enumerate(op.output) if i in indices), len(op.output))
    shape = op.output[lead:]
    if shape == indices:
        return inner
    return make(Contraction((indices,), shape, tuple((i, 1) for i in shape if i not in indices)), inner)


def broadcasting_is_implicit(node: Expr) -> Expr | None:
    """Arithmetic repeats its operands by itself; a repetition of all of them is done once, outside."""
    parts = operands(node)
    stripped = {a: inner for a in parts if (inner := _repeated(a)) is not None}
    if node.kind == BOOLEAN or not stripped:
        return None  # a contraction of conditions would count them
    return repeat(with_operands(node, {a: stripped.get(a, a) for a in parts}), node)


def scalars_leave_selection(node: Expr) -> Expr | None:
    """where(c, s a, 0) = s where(c, a, 0) for a number or scalar s."""
    op = node.op
    assert isinstance(op, Elementwise)
    if op.function != "where" or node.kind != REAL:
        return None
    condition, a, b = node.args
    position = 2 if number_of(a) == 0 else 1
    value, zero = (b, a) if position == 2 else (a, b)
    if number_of(zero) == 0 and number_of(value) == 0:
        return repeat(as_expr(0.0), node)
    if number_of(zero) != 0 or value.kind != REAL:
        return None
    term = product_of(value)
    inside = Term(
        type(term.number)(1),
        {b: e for b, e in term.top.items() if b.shape},
        {b: e for b, e in term.bottom.items() if b.shape},
    )
    outside = Term(term.number, _scalars(term.top), _scalars(term.bottom))
    nothing = outside.number == 1 and not outside.top and not outside.bottom
    if nothing or not (inside.top or inside.bottom):
        return None
    parts = (build(inside), zero) if position == 1 else (zero, build(inside))
    selected = make(op, condition, *parts)
    return repeat(build(outside.times(Term(top={selected: 1}))), node)


def log_of_moved_softmax(node: Expr) -> Expr | None:
    """log(softmax(a)ᵀ) = log(softmax(a))ᵀ, and so through a reshape, a repetition or an index."""
    op, moved = node.op, through_names(node.args[0])
    assert isinstance(op, Elementwise)
    if op.function != "log" or not _moves(moved):
        return None
    source = through_names(moved.args[0])
    while _moves(source):
        source = through_names(source.args[0])
    return make(moved.op, make(op, moved.args[0]), *moved.args[1:]) if isinstance(source.op, Softmax) else None


def _moves(x: Expr) -> bool:
    """Whether every entry of x is an entry of its first argument."""
    op = x.op
    if isinstance(op, Contraction):
        return len(op.inputs) == 1 and set(op.inputs[0]) <= set(op.output)
    return isinstance(op, Reshape | ops.Take)


def shift_of_softmax(node: Expr) -> Expr | None:
    """softmax(a - c) = softmax(a) when c does not vary along the axes."""
    op, inner = node.op, through_names(node.args[0])
    assert isinstance(op, Softmax)
    shift = _shift(inner, op.axes)
    return make(op, shift[0]) if shift else None


def shift_of_logsumexp(node: Expr) -> Expr | None:
    """logsumexp(a - c) = logsumexp(a) - c when c does not vary along the axes."""
    op, inner = node.op, through_names(node.args[0])
    assert isinstance(op, ops.LogSumExp)
    shift = _shift(inner, op.axes) if op.keep else None
    return make(inner.op, make(op, shift[0]), shift[1]) if shift else None


def _shift(x: Expr, axes: Sequence[int]) -> tuple[Expr, Expr] | None:
    """(a, c) where x is a - c, a + c or c + a, and c does not vary along some axes."""
    function = x.op.function if isinstance(x.op, Elementwise) else ""
    pairs = [x.args] if function == "subtract" else [x.args, x.args[::-1]] if function == "add" else []
    for a, c in pairs:
        if a.shape == x.shape and all(_flat(c, axis - x.ndim) for axis in axes):
            return a, c
    return None


def _flat(c: Expr, axis: int) -> bool:
    """Whether c, broadcast, is constant along an axis counted from the end."""
    return -axis > c.ndim or (isinstance(c.shape[axis], int) and c.shape[axis] == 1)


def reshapes_compose(node: Expr) -> Expr | None:
    inner = node.args[0]
    if node.shape == inner.shape:
        return inner
    if not isinstance(inner.op, Reshape):
        return None
    return inner.args[0] if inner.args[0].shape == node.shape else make(node.op, inner.args[0])


def plain_adjoint(node: Expr) -> Expr | None:
    """An adjoint that is a number or has a name already needs no second name."""
    assert isinstance(node.op, Named)
    inner = node.args[0]
    plain = isinstance(inner.op, Constant | Named | ops.Leaf) or not inner.shape or isinstance(_repeated(inner), Expr)
    return inner if node.op.adjoint and plain else None
