"""What a stable form spares: an input at which the formula as written overflows or loses its digits, and both values.

Takes one rewrite; what both sides are made of becomes a leaf, on which large and tiny numbers are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from symgrad.calculus.engine import Rewrite
from symgrad.calculus.gradient import gradient_as_written
from symgrad.errors import ExpressionError, GradientError
from symgrad.expression import functions as f
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, cut, leaves, topological
from symgrad.expression.scalars import REAL
from symgrad.interpreter import evaluate_all, sizes_in

TRIED = (1e3, -1e3, 40.0, -40.0, 1e-20, -1e-20)
ROWS, LARGE = 2, 100_000


@dataclass(frozen=True)
class Witness:
    """At `value` of the part `of`, the naive form, or its derivative, gives `naive` where the stable gives `stable`."""

    of: Expr
    value: float
    everywhere: bool
    derivative: bool
    naive: float
    stable: float

    def text(self, name: str) -> str:
        """The sentence, the part under a name that a reader knows."""
        where = f"{name} = {self.value:g}" if self.everywhere else f"an entry of {name} is {self.value:g}, the others 0"
        what = "its derivative as written is" if self.derivative else "as written it is"
        return f"{what} {self.naive:.4g} where {where}; in this form {self.stable:.4g}"


def _parts(rewrite: Rewrite) -> list[Expr]:
    """The largest nodes that both sides of a rewrite are made of."""
    inside = set(topological(rewrite.before.args))
    found: dict[Expr, None] = {}
    stack = [rewrite.after]
    while stack:
        node = stack.pop()
        if node in inside and not isinstance(node.op, ops.Constant | ops.Extent):
            found[node] = None
        else:
            stack.extend(reversed(node.args))
    return list(found)


def _values(leaf: Expr, entry: float, everywhere: bool) -> np.ndarray:
    shape = [sizes.bind(s, dict.fromkeys(sizes.names([s]), ROWS)) for s in leaf.shape]
    if leaf.kind != REAL:
        return np.zeros(shape, np.int64)
    values = np.full(shape, entry if everywhere else 0.0)
    if not everywhere and values.size:
        values[..., 0] = entry
    return values


def _tries(real: list[Expr]) -> Iterator[tuple[Expr, float, bool]]:
    for everywhere in (True, False):
        for value in TRIED:
            for leaf in real:
                if everywhere or leaf.shape:
                    yield leaf, value, everywhere


def witness(rewrite: Rewrite) -> Witness | None:
    """The first input tried at which the formula as written, or else its derivative, is no number or has no digit left.

    None where neither fails.

    >>> from symgrad.calculus.gradient import derive
    >>> x = f.parameter("x")
    >>> print(witness(derive(f.log(1 + f.exp(x)), [x]).rewrites[-1]).text("x"))
    as written it is inf where x = 1000; in this form 1000
    """
    parts = _parts(rewrite)
    free = {p: f.variable(f"part{i}", p.shape) if p.kind == REAL else p for i, p in enumerate(parts)}
    original = {leaf: part for part, leaf in free.items()}
    try:
        sides = [cut(e, free) for e in (rewrite.before, rewrite.after)]
    except ExpressionError:
        return None
    real = [x for x in leaves(sides).values() if x.kind == REAL]
    found = _failing(sides, real, False)
    for leaf in [x for x in real if all(x in topological([s]) for s in sides)] if found is None else ():
        try:
            slopes = [gradient_as_written(f.sum(s), leaf) for s in sides]
        except GradientError:
            continue
        found = found or _failing(slopes, [x for x in leaves(slopes).values() if x.kind == REAL], True)
    outside = found and rewrite.identity.guard and np.isnan(found.naive)  # no number there as written: not rescued
    return replace(found, of=original.get(found.of, found.of)) if found and not outside else None


def _failing(sides: list[Expr], real: list[Expr], derivative: bool) -> Witness | None:
    """An input at which the first side fails and the second does not."""
    inputs, order = leaves(sides), topological(sides)
    if any(np.prod([s if isinstance(s, int) else ROWS for s in n.shape]) > LARGE for n in order):
        return None
    told = {s for leaf in inputs.values() for s in leaf.shape} | set(inputs)
    extents = {n: ROWS for n in sizes_in(order) if n not in told}
    for leaf, value, everywhere in _tries(real):
        given = {n: _values(x, value if x is leaf else 0.5, everywhere or x is not leaf) for n, x in inputs.items()}
        naive, stable = evaluate_all(sides, {**given, **extents})
        lost = (naive == 0) & (stable != 0) & (np.abs(stable) < 1e-12)
        failed = ~np.isfinite(naive) | lost
        if np.isfinite(stable).all() and failed.any():
            place = np.unravel_index(np.argmax(failed), failed.shape)
            return Witness(leaf, value, everywhere, derivative, float(naive[place]), float(stable[place]))
    return None
