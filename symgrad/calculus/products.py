"""Products of tensors over named indices, Σ a[i,k] b[k,j] ..., with deltas taken away: what Jacobians are made of.

Takes factors with their indices, gives contractions of at most two operands. Knows nothing of derivatives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

from symgrad.expression.node import Expr, as_expr, make
from symgrad.expression.ops import Contraction, Elementwise, Identity
from symgrad.expression.sizes import Size

Factor: TypeAlias = tuple[Expr, tuple[int, ...]]
Product: TypeAlias = tuple[Factor, ...]


def renamed(product: Product, names: Mapping[int, int]) -> Product:
    """The product with other indices."""
    return tuple((e, tuple(names.get(i, i) for i in indices)) for e, indices in product)


def without_deltas(product: Product, kept: Sequence[int]) -> Product:
    """Σ_j δ[i,j] a[j] = a[i]: no delta is left on an index that is summed."""
    factors = list(product)
    for delta in [p for p in product if isinstance(p[0].op, Identity)]:
        here = factors.index(delta) if delta in factors else -1
        if here < 0:
            continue
        first, second = factors[here][1]
        gone = second if second not in kept else first
        if gone in kept or first == second:
            continue
        stays = first if gone == second else second
        rest = factors[:here] + factors[here + 1 :]
        if any(stays in indices or gone in indices for _, indices in rest) or stays in kept:
            factors = list(renamed(tuple(rest), {gone: stays}))
    return tuple(factors)


def built(product: Product, kept: Sequence[int], extent: Mapping[int, Size]) -> Expr:
    """The product as an expression whose axes are the kept indices; every other index is summed.

    >>> from symgrad.expression.functions import parameter, variable
    >>> x, w = variable("x", ("N", 3)), parameter("w", (3,))
    >>> built(((x, (0, 1)), (w, (1,))), (0,), {0: "N", 1: 3}) is x @ w
    True
    """
    scalars = [e for e, indices in product if not indices]
    factors = _entrywise([p for p in product if p[1]])
    while len(factors) > 2:
        a, b = min(combinations(range(len(factors)), 2), key=lambda pair: _cost(factors, pair, kept))
        others = [p for k, p in enumerate(factors) if k not in (a, b)]
        needed = {i for _, indices in others for i in indices} | set(kept)
        output = tuple(dict.fromkeys(i for i in (*factors[b][1], *factors[a][1]) if i in needed))
        joined = make(Contraction((factors[a][1], factors[b][1]), output), factors[a][0], factors[b][0])
        factors = [*others, (joined, output)]
    bound = {i for _, indices in factors for i in indices}
    new = tuple((i, extent[i]) for i in kept if i not in bound)
    if not factors:
        number = _times(scalars) if scalars else as_expr(1.0)
        return make(Contraction(((),), tuple(kept), new), number) if kept else number
    inputs = tuple(indices for _, indices in factors)
    return _times([*scalars, make(Contraction(inputs, tuple(kept), new), *(e for e, _ in factors))])


def _times(parts: Sequence[Expr]) -> Expr:
    return make(Elementwise("multiply"), *parts) if len(parts) > 1 else parts[0]


def _entrywise(factors: Sequence[Factor]) -> list[Factor]:
    """Factors over the same indices as one entrywise product, in the place of the last."""
    together: dict[tuple[int, ...], list[Expr]] = {}
    for e, indices in reversed(factors):
        apart = isinstance(e.op, Identity) or len(set(indices)) != len(indices)
        together.setdefault((*indices, -1 - len(together)) if apart else indices, []).insert(0, e)
    return [(_times(es), tuple(i for i in key if i >= 0)) for key, es in reversed(together.items())]


def zeros(shape: Sequence[Size]) -> Expr:
    """A tensor of zeros."""
    axes = range(len(shape))
    return built(((as_expr(0.0), ()),), axes, dict(zip(axes, shape, strict=True)))


def _cost(factors: Sequence[Factor], pair: tuple[int, int], kept: Sequence[int]) -> tuple[int, int, int]:
    """Few indices in the result, then few to go over; the last factors first, as a chain is read from the right."""
    a, b = pair
    needed = {i for k, (_, indices) in enumerate(factors) if k not in pair for i in indices} | set(kept)
    both = {*factors[a][1], *factors[b][1]}
    apart = not set(factors[a][1]) & set(factors[b][1])
    return len(both & needed) + apart, len(both), -(a + b)
