"""Simplification of whole results: the identities, then names: values are called what the person called them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from symgrad.calculus.engine import Identity, Rewrite, Simplifier
from symgrad.calculus.factoring import cancelled_on_domain, defined_where_not_zero
from symgrad.calculus.identities import ALL
from symgrad.expression import ops
from symgrad.expression.node import Expr, make, topological, users


@dataclass(frozen=True)
class Simplified:
    """Simplified expressions and the identities that were applied, in order."""

    expressions: tuple[Expr, ...]
    steps: tuple[Rewrite, ...]


@overload
def simplify(expressions: Expr) -> Expr: ...
@overload
def simplify(expressions: Sequence[Expr]) -> list[Expr]: ...
def simplify(expressions: Expr | Sequence[Expr]) -> Expr | list[Expr]:
    """Textbook form: the same values by named identities; a list for a list, simplified together.

    >>> from symgrad.expression.functions import variable
    >>> x = variable("x", ("N",))
    >>> simplify(x + x - 3 * x) is simplify(-x)
    True
    """
    if isinstance(expressions, Expr):
        return simplified([expressions]).expressions[0]
    return list(simplified(expressions).expressions)


def simplified(
    expressions: Sequence[Expr], within: Iterable[Expr] = (), identities: Sequence[Identity] = ALL
) -> Simplified:
    """Several expressions together, with the record; names of nodes in `within` are used in the results."""
    domain = defined_where_not_zero([*expressions, *within])
    engine = Simplifier((*identities, cancelled_on_domain(domain)) if domain else identities)
    results = [engine.run(e) for e in expressions]
    steps = list(engine.rewrites)
    named = [n for n in topological(within) if isinstance(n.op, ops.Named) and not n.op.adjoint]
    context = [engine.run(n) for n in named]
    results = call_by_name(results, context)
    while (folded := fold_adjoints(results)) != results:  # a formula without that name may simplify further
        seen = len(engine.rewrites)
        results = call_by_name([engine.run(e) for e in folded], context)
        steps += engine.rewrites[seen:]
    return Simplified(tuple(share_products(results)), tuple(steps))


def call_by_name(results: Sequence[Expr], context: Sequence[Expr]) -> list[Expr]:
    """Every value that has a name somewhere is written by its name everywhere."""
    named: dict[Expr, Expr] = {}
    for node in topological([*context, *results]):
        if isinstance(node.op, ops.Named) and not node.op.adjoint:
            named.setdefault(node.args[0], node)
    done: dict[Expr, Expr] = {}
    for node in topological(results):
        if isinstance(node.op, ops.Named):
            inner = node.args[0]
            plain = make(inner.op, *(done[a] for a in inner.args))
            done[node] = make(node.op, plain)
        else:
            fresh = make(node.op, *(done[a] for a in node.args))
            done[node] = make(named[node].op, fresh) if node in named else fresh
    return [done[r] for r in results]


def share_products(results: Sequence[Expr]) -> list[Expr]:
    """Σ a b is the sum of a ⊙ b where that product is there already: Σₙ δ beside xᵀ δ."""
    order = topological(results)
    products = {frozenset(n.args): n for n in order if n.op == ops.Elementwise("multiply") and len(n.args) == 2}
    done: dict[Expr, Expr] = {}
    for node in order:
        op, args = node.op, tuple(done[a] for a in node.args)
        done[node] = make(op, *args)
        if isinstance(op, ops.Contraction) and len(args) == 2 and op.inputs[0] == op.inputs[1]:
            known = products.get(frozenset(node.args))
            if known is not None and known.kind == node.kind and known.ndim == len(op.inputs[0]):
                whole = make(known.op, *(done[a] for a in known.args))
                done[node] = make(ops.Contraction(op.inputs[:1], op.output, op.new), whole)
    return [done[r] for r in results]


def fold_adjoints(results: Sequence[Expr]) -> list[Expr]:
    """An adjoint's name is dropped where its only use is inside one entrywise formula: δ_h within δ_net."""
    order = topological(results)
    using = users(order)
    done: dict[Expr, Expr] = {}
    for node in order:
        fresh = make(node.op, *(done[a] for a in node.args))
        named = isinstance(node.op, ops.Named) and node.op.adjoint and node not in results
        once = named and len(using[node]) == 1 and isinstance(using[node][0].op, ops.Elementwise)
        done[node] = fresh.args[0] if once else fresh
    return [done[r] for r in results]
