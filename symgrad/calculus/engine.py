"""The rewriting engine: applies named identities bottom-up until none fires, each node once, every step recorded.

A sum or product is one node however it is nested, so that the order of its operands does not tell what comes out.
The engine asserts at each step that shape and kind stay; it knows no identity. Cost is on the graph, not the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from symgrad.calculus.operands import operands, too_large, with_operands, without_order
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, make, topological

LIMIT = 1_000_000  # rewrites of one run, and rewrites of one node in a row: reached only if identities undo each other
NESTED = 200


@dataclass(frozen=True)
class Identity:
    """left = right whenever the guard holds.

    `rewrite` gives the right side for a node, or None where it does not apply.

    `examples` are expressions as text (parsed by the tests) on which the identity fires.
    """

    name: str
    left: str
    right: str
    guard: str
    ops: tuple[type[ops.Op], ...]
    rewrite: Callable[[Expr], Expr | None]
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.left} = {self.right}" + (f"   if {self.guard}" if self.guard else "")


@dataclass(frozen=True)
class Rewrite:
    """One application of an identity."""

    identity: Identity
    before: Expr
    after: Expr


class Simplifier:
    """Applies identities to expressions; `rewrites` tells which, in order."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        self.rewrites: list[Rewrite] = []
        self._memo: dict[Expr, Expr] = {}
        self._first: dict[Hashable, Expr] = {}  # a + b and b + a are written as the one that came first
        self._depth = 0
        self._by_op: dict[type[ops.Op], list[Identity]] = {}
        for identity in identities:
            for op in identity.ops:
                self._by_op.setdefault(op, []).append(identity)

    def run(self, root: Expr) -> Expr:
        """The simplest form of an expression under these identities."""
        memo = self._memo
        for node in topological([root], stop=memo.__contains__, below=operands):
            if node not in memo:
                fresh = with_operands(node, memo)
                if too_large(fresh):  # then its arguments are written as well as can be, each by itself
                    fresh = make(fresh.op, *map(self.run, fresh.args))
                memo[node] = self._settle(fresh)
        return memo[root]

    def _settle(self, node: Expr) -> Expr:
        known = self._memo.get(node)
        if known is not None:
            return known
        for identity in self._by_op.get(type(node.op), ()):
            after = identity.rewrite(node)
            if after is None or after is node:
                continue
            assert len(after.shape) == len(node.shape) and all(map(sizes.same, after.shape, node.shape)), (
                identity.name,
                node,
                after,
            )
            assert after.kind == node.kind, (identity.name, node, after)
            self.rewrites.append(Rewrite(identity, node, after))
            self._depth += 1
            assert self._depth < NESTED and len(self.rewrites) < LIMIT, "identities undo each other: " + ", ".join(
                r.identity.name for r in self.rewrites[-6:]
            )
            result = self.run(after)
            self._depth -= 1
            self._memo[node] = result
            return result
        order_free = without_order(node)
        first = node if order_free is None else self._first.setdefault(order_free, node)
        self._memo[node] = self._memo[first] = first
        return first
