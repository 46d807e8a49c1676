"""The derivative of every op: one short pullback each, as a table.

A pullback gets the node and the adjoint `g` of its output and returns an adjoint for each argument, or None for an
argument that has no derivative (integers and conditions). It may return it in the broadcast shape: the sweep undoes
broadcasting, once. With each stands the rule as a person states it. Knows expressions, not the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from symgrad.calculus import rules_algebra as algebra
from symgrad.expression import functions as f
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, as_expr, make
from symgrad.expression.parse import parse
from symgrad.expression.scalars import TABLE as SCALARS

Adjoints = Sequence[Expr | None]


@dataclass(frozen=True)
class Rule:
    """How an op passes an adjoint back: `pullback(node, y, g, i)` is the adjoint of argument i.

    `y` is the node under its name.
    """

    name: str
    statement: str
    pullback: Callable[[Expr, Expr, Expr, int], Expr | None]


def keep(g: Expr, axes: Sequence[int], rank: int) -> Expr:
    """g with axes of size 1 put back where a reduction removed them."""
    rest = tuple(i for i in range(rank) if i not in axes)
    output = tuple(rank + i if i in axes else i for i in range(rank))
    return make(ops.Contraction((rest,), output, tuple((rank + i, 1) for i in axes)), g)


def _kept(node: Expr, g: Expr) -> Expr:
    op = node.op
    assert isinstance(op, ops.Reduce | ops.LogSumExp)
    return g if op.keep else keep(g, op.axes, node.args[0].ndim)


def _elementwise(node: Expr, y: Expr, g: Expr, i: int) -> Expr | None:
    op = node.op
    assert isinstance(op, ops.Elementwise)
    if op.function == "add":
        return g
    if op.function == "multiply":
        others = [a for j, a in enumerate(node.args) if j != i]
        return make(op, g, *others)
    text = SCALARS[op.function].pullback[i]
    if not text:
        return None
    return parse(text, {"g": g, "y": y, **dict(zip("abc", node.args, strict=False))})


def _contraction(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    """The einsum rule: the adjoint takes the output's place among the other operands (Laue et al. 2018, eq. 5)."""
    op = node.op
    assert isinstance(op, ops.Contraction)
    extent = op.sizes_of(node.args)
    fresh = max([*extent, 0]) + 1
    operands, inputs = [g], [op.output]
    target: list[int] = []
    for index in op.inputs[i]:  # a diagonal: both indices stay apart, a delta ties them
        if index in target:
            operands.append(f.identity(extent[index]))
            inputs.append((index, fresh))
            index, fresh = fresh, fresh + 1
        target.append(index)
    for j, other in enumerate(node.args):
        if j != i:
            operands.append(other)
            inputs.append(op.inputs[j])
    bound = {index for indices in inputs for index in indices}
    new = tuple((index, extent[index]) for index in target if index not in bound)
    return make(ops.Contraction(tuple(inputs), tuple(target), new), *operands)


def _softmax(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    assert isinstance(node.op, ops.Softmax)
    return y * (g - f.sum(g * y, node.op.axes, keepdims=True))


def _logsumexp(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    assert isinstance(node.op, ops.LogSumExp)
    return _kept(node, g) * make(ops.Softmax(node.op.axes), node.args[0])


def _reduce(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    assert isinstance(node.op, ops.Reduce)
    if node.op.function == "product":
        return _kept(node, g) * _other_factors(node)
    chosen = f.equal(node.args[0], _kept(node, y))
    ties = f.sum(f.cast(chosen, "real"), node.op.axes, keepdims=True)
    return f.where(chosen, _kept(node, g) / ties, 0)


def _other_factors(node: Expr) -> Expr:
    """The product of all factors but one, for each one: nothing is divided, so zeros do no harm."""
    x, op = node.args[0], node.op
    assert isinstance(op, ops.Reduce)
    (axis,) = op.axes
    n = x.shape[axis]
    indices = tuple(range(x.ndim))
    output = (*indices[:axis], x.ndim, *indices[axis:])
    repeated = make(ops.Contraction((indices,), output, ((x.ndim, n),)), x)
    own = f.equal(f.reshape(f.identity(n), (n, n, *(1 for _ in x.shape[axis + 1 :]))), 1)
    return make(ops.Reduce("product", (axis + 1,)), f.where(own, 1.0, repeated))


def _reshape(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    shape = node.args[0].shape
    return g if shape == g.shape else make(ops.Reshape(shape), g)


def _take(node: Expr, y: Expr, g: Expr, i: int) -> Expr | None:
    assert isinstance(node.op, ops.Take)
    axis = node.op.axis
    return f.scatter(g, node.args[1], node.args[0].shape[axis], axis) if i == 0 else None


def _scatter(node: Expr, y: Expr, g: Expr, i: int) -> Expr | None:
    assert isinstance(node.op, ops.Scatter)
    return f.take(g, node.args[1], node.op.axis) if i == 0 else None


def _slice(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    op = node.op
    assert isinstance(op, ops.Slice)
    return make(ops.Pad(op.axis, op.start, op.step, node.args[0].shape[op.axis]), g)


def _pad(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    op = node.op
    assert isinstance(op, ops.Pad)
    return make(ops.Slice(op.axis, op.start, op.step, node.args[0].shape[op.axis]), g)


def _concatenate(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    assert isinstance(node.op, ops.Concatenate)
    axis = node.op.axis
    start = sizes.total(a.shape[axis] for a in node.args[:i])
    return make(ops.Slice(axis, start, 1, node.args[i].shape[axis]), g)


def _windows(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    op = node.op
    assert isinstance(op, ops.Windows)
    return make(ops.Overlap(op.axis, node.args[0].shape[op.axis], op.stride, op.dilation), g)


def _overlap(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    op = node.op
    assert isinstance(op, ops.Overlap)
    return make(ops.Windows(op.axis, node.args[0].shape[op.axis + 1], op.stride, op.dilation), g)


def _through(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    return g


def _nothing(node: Expr, y: Expr, g: Expr, i: int) -> None:
    return None


CONTRACTION = Rule(
    "contraction", "if C = Σ A B then ∂L/∂A = Σ (∂L/∂C) B, summed over the indices that A lacks", _contraction
)
TABLE: dict[type[ops.Op], Rule] = {
    ops.Contraction: CONTRACTION,
    ops.Softmax: Rule("softmax", "if p = softmax(a) then ∂L/∂a = p ⊙ (g − Σ g ⊙ p)", _softmax),
    ops.LogSumExp: Rule("logsumexp", "if s = logsumexp(a) then ∂L/∂a = g softmax(a)", _logsumexp),
    ops.Reduce: Rule("largest or smallest entry", "if m = max(a) then ∂L/∂a = g where a = m, ties share it", _reduce),
    ops.Reshape: Rule("reshape", "if b = reshape(a) then ∂L/∂a = reshape(g)", _reshape),
    ops.Take: Rule("take", "if b = a[i] then ∂L/∂a adds g at the positions i", _take),
    ops.Scatter: Rule("scatter", "if b adds a at the positions i then ∂L/∂a = g[i]", _scatter),
    ops.Slice: Rule("slice", "if b = a[s:e] then ∂L/∂a is g there and 0 elsewhere", _slice),
    ops.Pad: Rule("pad", "if b is a among zeros then ∂L/∂a is that part of g", _pad),
    ops.Concatenate: Rule("concatenate", "if c = [a, b] then ∂L/∂a is its part of g", _concatenate),
    ops.Windows: Rule("windows", "if b[o,k] = a[s o + d k] then ∂L/∂a[i] sums g[o,k] where s o + d k = i", _windows),
    ops.Overlap: Rule("overlapping sum", "if b[i] sums a[o,k] over s o + d k = i then ∂L/∂a[o,k] = g[s o + d k]",
                      _overlap),
    ops.Inverse: Rule("inverse", "if B = A⁻¹ then ∂L/∂A = −Bᵀ (∂L/∂B) Bᵀ", algebra.inverse),
    ops.Solve: Rule("solve", "if X = A⁻¹ B then ∂L/∂B = A⁻ᵀ (∂L/∂X) and ∂L/∂A = −(∂L/∂B) Xᵀ", algebra.solve),
    ops.Determinant: Rule("determinant", "if d = det A then ∂L/∂A = g d A⁻ᵀ", algebra.determinant),
    ops.LogDet: Rule("log-determinant", "if l = log |det A| then ∂L/∂A = g A⁻ᵀ", algebra.logdet),
    ops.Cholesky: Rule("Cholesky factor", "if A = L Lᵀ then ∂L/∂A = sym(L⁻ᵀ Φ(Lᵀ g) L⁻¹)", algebra.cholesky),
    ops.Named: Rule("name", "a name changes nothing", _through),
    ops.Cast: Rule("cast", "between kinds of number nothing is differentiated", _nothing),
    ops.OneHot: Rule("one-hot", "labels have no derivative", _nothing),
    ops.ArgMax: Rule("argmax", "a position has no derivative", _nothing),
}  # fmt: skip

PRODUCT_SIDES = ("matrix product, left operand", "matrix product, right operand")
PRODUCT_STATEMENTS = ("if C = A B then ∂L/∂A = ∂L/∂C Bᵀ", "if C = A B then ∂L/∂B = Aᵀ ∂L/∂C")


def rule_for(node: Expr, i: int) -> Rule | None:
    """The rule that differentiates a node by its argument i, under the name a textbook gives it; None.

    There is none.
    """
    op = node.op
    if isinstance(op, ops.Elementwise):
        row = SCALARS[op.function]
        text = row.pullback[min(i, len(row.pullback) - 1)]
        return Rule(
            op.function,
            f"if y = {op.function}({', '.join('abc'[: len(node.args)])}) then ∂L/∂{'abc'[min(i, 2)]} "
            f"= {text or 'none'}",
            _elementwise,
        )
    rule = TABLE.get(type(op))
    if isinstance(op, ops.Contraction):
        if len(op.inputs) == 2 and len(set(op.inputs[0]) & set(op.inputs[1]) - set(op.output)) == 1:
            return Rule(PRODUCT_SIDES[i], PRODUCT_STATEMENTS[i], _contraction)
        if len(op.inputs) == 1:
            summed = not set(op.inputs[0]) <= set(op.output)
            name, text = (
                ("sum", "if s = Σ a then ∂L/∂a repeats g")
                if summed
                else ("rearrangement", "the adjoint is rearranged back")
            )
            return Rule(name, text, _contraction)
    return rule


def unbroadcast(adjoint: Expr, target: Expr) -> Expr:
    """An adjoint in the shape of its argument: summed over the axes along which the argument was repeated."""
    rank, extra = adjoint.ndim, adjoint.ndim - target.ndim
    if extra < 0 or (adjoint.shape != target.shape and len(adjoint.shape) < len(target.shape)):
        return adjoint + as_expr(0.0) * target  # a constant pullback such as 0: repeat it
    axes = tuple(range(extra, rank))
    new, output = [], []
    for axis, (have, want) in zip(axes, zip(adjoint.shape[extra:], target.shape, strict=True), strict=True):
        summed = isinstance(want, int) and want == 1 and not (isinstance(have, int) and have == 1)
        output.append(rank + axis if summed else axis)
        if summed:
            new.append((rank + axis, 1))
    if not extra and not new:
        return adjoint
    return make(ops.Contraction((tuple(range(rank)),), tuple(output), tuple(new)), adjoint)
