"""In which order a product of several tensors is multiplied out, chosen by what it costs.

A Jacobian is the product of the Jacobians of the steps. Multiplied from the loss backwards it is reverse mode, from
the input forwards forward mode, in any other order cross-country elimination (Griewank and Walther 2008, chapter 9). So
the mode is chosen here, for whatever product stands in a formula.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

from symgrad.codegen.products import entries
from symgrad.expression.node import Expr, make
from symgrad.expression.ops import Contraction
from symgrad.expression.scalars import REAL
from symgrad.expression.sizes import Size

EXACT = 9  # factors up to which every order is looked at: there are 3**n ways to take two partial products of them
WRITTEN = 4  # what writing and reading back an entry costs, in multiply-adds
Indices = tuple[int, ...]
Factor = tuple[Expr, Indices]


def flattened(node: Expr, parts: Collection[Expr]) -> Expr:
    """A product with those of its operands that are products, and in `parts`, multiplied into it."""
    position = 0
    while isinstance(node.op, Contraction) and position < len(node.args):
        if node.args[position] in parts and _may_join(node, node.args[position]):
            node = _joined(node, position)
        else:
            position += 1
    return node


def _may_join(node: Expr, inner: Expr) -> bool:
    two = len(node.args) > 1 and isinstance(inner.op, Contraction) and len(inner.args) > 1
    return two and node.kind == inner.kind == REAL and not inner.op.new  # type: ignore[attr-defined]


def _joined(node: Expr, position: int) -> Expr:
    """One operand replaced by its own operands; the indices summed within it get numbers that are free."""
    op, inner = node.op, node.args[position]
    assert isinstance(op, Contraction) and isinstance(inner.op, Contraction)
    free = 1 + max(op.sizes_of(node.args))
    names = dict(zip(inner.op.output, op.inputs[position], strict=True))
    for index in (i for indices in inner.op.inputs for i in indices):
        names.setdefault(index, free + len(names))
    below = tuple(tuple(names[i] for i in indices) for indices in inner.op.inputs)
    inputs = (*op.inputs[:position], *below, *op.inputs[position + 1 :])
    args = (*node.args[:position], *inner.args, *node.args[position + 1 :])
    return make(Contraction(inputs, op.output, op.new), *args)


def in_pairs(node: Expr) -> Expr:
    """Three and more factors as pairs, in the cheapest order; an entrywise sum of products stays one."""
    op = node.op
    if not isinstance(op, Contraction) or len(op.inputs) < 3 or len(set(map(frozenset, op.inputs))) == 1:
        return node
    extent, factors = op.sizes_of(node.args), list(zip(node.args, op.inputs, strict=True))
    while len(factors) > EXACT:  # the cheapest pair first, as long as there are too many to look at every order
        ways = [(a, b, _outside([f for f in factors if f not in (a, b)], op)) for a, b in combinations(factors, 2)]
        a, b, needed = min(ways, key=lambda way: _cost(way[0][1], way[1][1], way[2], extent))
        factors = [f for f in factors if f not in (a, b)] + [_pair(a, b, needed)]
    left, right = _cheapest(factors, op, extent)
    return make(Contraction((left[1], right[1]), op.output, op.new), left[0], right[0])


def _outside(others: Sequence[Factor], op: Contraction) -> set[int]:
    """The indices that are still needed once everything but these factors has been multiplied."""
    return {i for _, indices in others for i in indices} | set(op.output)


def _pair(a: Factor, b: Factor, needed: set[int]) -> Factor:
    kept = tuple(i for i in dict.fromkeys(a[1] + b[1]) if i in needed)
    return make(Contraction((a[1], b[1]), kept), a[0], b[0]), kept


def _cost(a: Sequence[int], b: Sequence[int], needed: set[int], extent: Mapping[int, Size]) -> int:
    """Multiply-adds of one product of two, and what its result costs to keep."""
    both = {*a, *b}
    return entries([extent[i] for i in both]) + WRITTEN * entries([extent[i] for i in both & needed])


def _cheapest(factors: Sequence[Factor], op: Contraction, extent: Mapping[int, Size]) -> tuple[Factor, Factor]:
    """The two partial products whose product is the whole; by dynamic programming over sets of factors, as bits."""
    whole = (1 << len(factors)) - 1
    needed = [_outside([f for i, f in enumerate(factors) if not s >> i & 1], op) for s in range(whole + 1)]
    indices = {1 << i: set(f[1]) for i, f in enumerate(factors)}
    best: dict[int, tuple[int, int]] = {1 << i: (0, 0) for i in range(len(factors))}  # cost, and one of the two parts
    for both in range(3, whole + 1):
        if both in best:
            continue
        indices[both] = {i for n, f in enumerate(factors) if both >> n & 1 for i in f[1]} & needed[both]
        part = (both - 1) & both
        ways = []
        while part > both - part:  # each way once: the larger part of the two
            rest = both - part
            own = _cost(tuple(indices[part]), tuple(indices[rest]), needed[both], extent)
            ways.append((best[part][0] + best[rest][0] + own, part))
            part = (part - 1) & both
        best[both] = min(ways)

    def built(both: int) -> Factor:
        part = best[both][1]
        if not part:
            return factors[both.bit_length() - 1]
        a, b = built(both - part), built(part)
        return _pair(a, b, needed[both])

    part = best[whole][1]
    return built(whole - part), built(part)
