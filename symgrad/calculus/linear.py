"""Linear maps as tensors: what is linear in a seed, walked from the seed with a Kronecker delta in its place.

Takes an expression that is linear in a leaf, gives the tensor of its coefficients: sums of products over indices, and
no delta is left on an index that is summed. One short rule for each op that the adjoint of a sweep passes through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from symgrad.calculus.arithmetic import number_of
from symgrad.calculus.products import Product, built, renamed, without_deltas, zeros
from symgrad.expression import functions as f
from symgrad.expression import ops
from symgrad.expression.node import Expr, as_expr, make, topological
from symgrad.expression.scalars import REAL
from symgrad.expression.sizes import Size

TERMS = 12  # longer sums of products are kept as one tensor
BOUNDED = {"add", "subtract", "multiply", "negative", "abs", "relu", "maximum", "minimum", "sigmoid", "tanh", "sign",
           "erf", "atan", "sin", "cos", "cast"}  # fmt: skip


@dataclass(frozen=True)
class Linear:
    """A value that is linear in the seed: a sum of products over the seed's indices and one index for each axis."""

    terms: tuple[Product, ...]
    axes: tuple[int, ...]


class Map:
    """The linear map from a seed to what is computed from it, node by node."""

    def __init__(self, seed: Expr) -> None:
        self.extent: dict[int, Size] = {}
        self.seed, axes = self.fresh(seed.shape), self.fresh(seed.shape)
        pairs = zip(seed.shape, zip(self.seed, axes, strict=True), strict=True)
        self.known = {seed: Linear((tuple((f.identity(size), pair) for size, pair in pairs),), axes)}

    def fresh(self, shape: Sequence[Size]) -> tuple[int, ...]:
        """An index for each size that nothing has yet."""
        first = len(self.extent)
        self.extent |= dict(enumerate(shape, first))
        return tuple(range(first, len(self.extent)))

    def expression(self, value: Linear) -> Expr:
        """A linear value as a tensor over the seed's axes, then its own."""
        kept = (*self.seed, *value.axes)
        terms = [built(t, kept, self.extent) for t in value.terms]
        return terms[0] if len(terms) == 1 else make(ops.Elementwise("add"), *terms)

    def whole(self, tensor: Expr, axes: Sequence[int]) -> Linear:
        """A tensor over the seed's axes and these as one factor."""
        return Linear((((tensor, (*self.seed, *axes)),),), tuple(axes))

    def of(self, root: Expr) -> Linear:
        """The value of a node above the seed."""
        for node in topological([root], stop=self.known.__contains__):
            if node not in self.known and any(a in self.known for a in node.args):
                value = RULES[type(node.op)](self, node)
                kept = (*self.seed, *value.axes)
                value = Linear(tuple(without_deltas(t, kept) for t in value.terms), value.axes)
                self.known[node] = (
                    value if len(value.terms) <= TERMS else self.whole(self.expression(value), value.axes)
                )
        return self.known[root]

    def placed(self, argument: Expr, axes: Sequence[int]) -> tuple[int, ...]:
        """The indices of a broadcast argument among those of the result; an axis of size 1 has one to itself."""
        own = axes[len(axes) - argument.ndim :]
        return tuple(
            self.fresh([s])[0] if _one(s) and not _one(self.extent[i]) else i
            for s, i in zip(argument.shape, own, strict=True)
        )

    def moved(self, argument: Expr, axes: Sequence[int]) -> tuple[Product, ...]:
        """The terms of an argument of an entrywise operation, over the indices of its result."""
        value = self.known[argument]
        names = dict(zip(value.axes, self.placed(argument, axes), strict=True))
        return tuple(renamed(t, names) for t in value.terms)


def _one(size: Size) -> bool:
    return isinstance(size, int) and size == 1


def _through(m: Map, node: Expr) -> Linear:
    return m.known[node.args[0]]


def _add(m: Map, node: Expr) -> Linear:
    axes = m.fresh(node.shape)
    return Linear(tuple(t for a in node.args if a in m.known for t in m.moved(a, axes)), axes)


def _negative(terms: tuple[Product, ...]) -> tuple[Product, ...]:
    return tuple(((as_expr(-1.0), ()), *t) for t in terms)


def _subtract(m: Map, node: Expr) -> Linear:
    axes, (a, b) = m.fresh(node.shape), node.args
    left = m.moved(a, axes) if a in m.known else ()
    return Linear(left + (_negative(m.moved(b, axes)) if b in m.known else ()), axes)


def _multiply(m: Map, node: Expr) -> Linear:
    axes = m.fresh(node.shape)
    (linear,) = (a for a in node.args if a in m.known)
    others = tuple((_real(a), m.placed(a, axes)) for a in node.args if a is not linear)
    return Linear(tuple((*others, *t) for t in m.moved(linear, axes)), axes)


def _divide(m: Map, node: Expr) -> Linear:
    axes, (a, b) = m.fresh(node.shape), node.args
    inverse = (make(ops.Elementwise("divide"), as_expr(1.0), b), m.placed(b, axes))
    return Linear(tuple((inverse, *t) for t in m.moved(a, axes)), axes)


def _where(m: Map, node: Expr) -> Linear:
    """Selects; only what is finite everywhere may be multiplied by 1 or 0 instead, so that 0 · ∞ never arises."""
    axes, (condition, *sides) = m.fresh(node.shape), node.args
    terms: list[Product] = []
    for i, side in enumerate(sides):
        if side not in m.known:
            continue
        inside = m.moved(side, axes)
        if all(_finite(e) for t in inside for e, _ in t):
            mask = (f.where(condition, *((1.0, 0.0) if i == 0 else (0.0, 1.0))), m.placed(condition, axes))
            terms += [t if mask in t else (mask, *t) for t in inside]
        else:
            tensor = m.expression(Linear(inside, axes))
            parts = [as_expr(0.0), as_expr(0.0)]
            parts[i] = tensor
            terms += m.whole(f.where(condition, *parts), axes).terms
    return Linear(tuple(terms), axes)


def _contraction(m: Map, node: Expr) -> Linear:
    op = node.op
    assert isinstance(op, ops.Contraction)
    extent = op.sizes_of(node.args)
    names = dict(zip(extent, m.fresh(tuple(extent.values())), strict=True))
    (position,) = (i for i, a in enumerate(node.args) if a in m.known)
    inputs = [tuple(names[i] for i in indices) for indices in op.inputs]
    value = m.known[node.args[position]]
    inside = dict(zip(value.axes, inputs[position], strict=True))
    others = [(_real(a), i) for a, i in zip(node.args, inputs, strict=True)]
    terms = tuple((*others[:position], *renamed(t, inside), *others[position + 1 :]) for t in value.terms)
    return Linear(terms, tuple(names[i] for i in op.output))


def _shifted(m: Map, node: Expr) -> Linear:
    """Movement of whole axes, done behind those of the seed."""
    value, rank = m.known[node.args[0]], len(m.seed)
    tensor, op = m.expression(value), node.op
    if isinstance(op, ops.Reshape):
        behind: ops.Op = ops.Reshape((*tensor.shape[:rank], *op.shape))
    else:
        behind = replace(op, axis=op.axis + rank)  # type: ignore[call-arg,attr-defined]
    return m.whole(make(behind, tensor, *node.args[1:]), m.fresh(node.shape))


def _joined(m: Map, node: Expr) -> Linear:
    """Parts that the seed does not reach are zeros."""
    op, rank, front = node.op, len(m.seed), tuple(m.extent[i] for i in m.seed)
    assert isinstance(op, ops.Concatenate)
    parts = [m.expression(m.known[a]) if a in m.known else zeros((*front, *a.shape)) for a in node.args]
    return m.whole(make(ops.Concatenate(op.axis + rank), *parts), m.fresh(node.shape))


def _solve(m: Map, node: Expr) -> Linear:
    """A⁻¹ B is linear in B."""
    matrix, value = node.args[0], m.known[node.args[1]]
    axes = m.fresh(node.shape)
    (k,) = m.fresh(matrix.shape[-1:])
    names = dict(zip(value.axes, (*axes[:-2], k, axes[-1]), strict=True))
    inverse = (make(ops.Inverse(), matrix), (*axes[:-1], k))
    return Linear(tuple((inverse, *renamed(t, names)) for t in value.terms), axes)


def _entrywise(m: Map, node: Expr) -> Linear:
    assert isinstance(node.op, ops.Elementwise)
    return ENTRYWISE[node.op.function](m, node)


ENTRYWISE: dict[str, Callable[[Map, Expr], Linear]] = {
    "add": _add,
    "subtract": _subtract,
    "negative": lambda m, node: Linear(_negative(m.known[node.args[0]].terms), m.known[node.args[0]].axes),
    "multiply": _multiply,
    "divide": _divide,
    "where": _where,
}
RULES: dict[type[ops.Op], Callable[[Map, Expr], Linear]] = {
    ops.Elementwise: _entrywise,
    ops.Contraction: _contraction,
    ops.Named: _through,
    **dict.fromkeys(
        (ops.Reshape, ops.Take, ops.Scatter, ops.Slice, ops.Pad, ops.Windows, ops.Overlap), _shifted
    ),
    ops.Concatenate: _joined,
    ops.Solve: _solve,
}


def _real(x: Expr) -> Expr:
    number = number_of(x)
    return x if x.kind == REAL else f.cast(x, REAL) if number is None else as_expr(float(number))


def _finite(x: Expr) -> bool:
    """Whether a value is finite wherever its leaves are, overflow aside."""
    stack = [x]
    while stack:
        if stack[-1].kind != REAL:
            stack.pop()
            continue
        op = stack[-1].op
        plain = isinstance(op, ops.Leaf | ops.Named | ops.Constant | ops.Extent | ops.OneHot | ops.Softmax
                           | ops.Identity | ops.Contraction | ops.Reshape | ops.Take | ops.Cast | ops.Slice | ops.Pad
                           | ops.Concatenate | ops.Windows | ops.Overlap | ops.Range)  # fmt: skip
        fine = plain or (isinstance(op, ops.Elementwise) and (op.function in BOUNDED or op.function == "where"))
        if not fine:
            return False
        stack.extend(stack.pop().args)
    return True


def coefficients(value: Expr, seed: Expr) -> Expr:
    """The tensor C with value[j] = Σ_i seed[i] C[i,j], over the seed's axes, then those of the value.

    `value` is linear in the leaf `seed` and contains it.

    >>> v, A = f.variable("v", ("m",)), f.variable("A", ("m", "n"))
    >>> coefficients(v @ A, v).shape
    ('m', 'n')
    """
    m = Map(seed)
    return m.expression(m.of(value))
