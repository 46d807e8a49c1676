"""Products of second derivatives with a direction: the Hessian's, and Gauss and Newton's that leaves curvature out.

A loss l(r(w)) has the Hessian Jᵀ H J + Σ (∂l/∂r) ∂²r; without the second sum, where J = ∂r/∂w and H = ∂²l/∂r², it is
the generalised Gauss-Newton matrix (Schraudolph 2002), positive semidefinite where l is convex. What counts as r is
read off the expression: below the first function that is not linear, everything that is not linear again.
"""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.calculus.gradient import gradient
from symgrad.calculus.simplify import simplify
from symgrad.expression import functions as f
from symgrad.expression import ops
from symgrad.expression.node import Expr, as_expr, cut, make, topological, users

LINEAR = (ops.Reshape, ops.Slice, ops.Pad, ops.Concatenate, ops.Windows, ops.Overlap, ops.Named, ops.Take, ops.Scatter)
ADDING = ("add", "subtract", "negative")


def curvature_products(loss: Expr, wrt: Sequence[Expr], along: Sequence[Expr], gauss_newton: bool) -> list[Expr]:
    """The Hessian, or the Gauss-Newton matrix, times a direction that has a part for each node; a part each.

    Raises GradientError as `gradient` does.

    >>> w, v = f.parameter("w", (2,)), f.variable("v", (2,))
    >>> print(curvature_products(f.sum(w**4), [w], [v], False)[0])
    12 v ⊙ w²
    >>> print(curvature_products(f.sum((w**2) ** 2), [w], [v], True)[0])
    8 v ⊙ w²
    """
    if not gauss_newton:
        return simplify(_hessian_product(loss, wrt, along))
    inner = _inner(loss, wrt)
    leaves = [f.variable(f"inner_{i}", node.shape) for i, node in enumerate(inner)]
    outer = cut(loss, dict(zip(inner, leaves, strict=True)))
    moved = [_forward(node, wrt, along) for node in inner]
    bent = _hessian_product(outer, leaves, moved)
    back = dict(zip(leaves, inner, strict=True))
    weights = [cut(b, back) for b in bent]
    pulled = [_backward(node, wrt, weight) for node, weight in zip(inner, weights, strict=True)]
    return simplify([_total([p[i] for p in pulled], w) for i, w in enumerate(wrt)])


def _total(parts: Sequence[Expr | None], like: Expr) -> Expr:
    found = [p for p in parts if p is not None]
    if not found:
        return 0.0 * like
    return found[0] if len(found) == 1 else make(ops.Elementwise("add"), *found)


def _hessian_product(loss: Expr, wrt: Sequence[Expr], along: Sequence[Expr]) -> list[Expr]:
    slopes = gradient(loss, list(wrt))
    slope = _total([f.sum(s * v) for s, v in zip(slopes, along, strict=True)], as_expr(0.0))
    inside = set(topological([slope]))
    return [gradient(slope, w) if w in inside else 0.0 * w for w in wrt]


def _forward(node: Expr, wrt: Sequence[Expr], along: Sequence[Expr]) -> Expr:
    """How a node moves when what is below it moves along a direction: the transpose of the sweep's linear map."""
    if node in wrt:
        return along[list(wrt).index(node)]
    seed = f.variable("free_adjoint", node.shape)
    inside = set(topological([node]))
    pulled = f.sum(seed * node)
    terms = [f.sum(gradient(pulled, w) * v) for w, v in zip(wrt, along, strict=True) if w in inside]
    return gradient(_total(terms, as_expr(0.0)), seed)


def _backward(node: Expr, wrt: Sequence[Expr], weight: Expr) -> list[Expr | None]:
    """Σ weight ∂node/∂w for each w; the weight itself is not differentiated."""
    if node in wrt:
        return [weight if w is node else None for w in wrt]
    held, inside = f.variable("held_weight", node.shape), set(topological([node]))
    pulled = f.sum(held * node)
    return [cut(gradient(pulled, w), {held: weight}) if w in inside else None for w in wrt]


def _inner(loss: Expr, wrt: Sequence[Expr]) -> list[Expr]:
    """The residuals: where, going down from the loss, a second function that is not linear stands, or a weight."""
    order = topological([loss])
    leads: set[Expr] = set()
    for node in order:
        if node in wrt or any(a in leads for a in node.args):
            leads.add(node)
    passed: dict[Expr, int] = {loss: 0}  # functions that are not linear between a node and the loss
    found: list[Expr] = []
    above = users(order)
    for node in reversed(order):
        if node not in passed or node not in leads:
            continue
        linear = _linear(node, leads)
        if node in wrt or (not linear and (passed[node] > 0 or _mixes(node, leads))):
            found.append(node)
            continue
        for argument in node.args:
            passed[argument] = max(passed.get(argument, 0), passed[node] + (not linear))
    covered = _reached(loss, set(found))
    return [node for node in found if node in covered or not above[node]]


def _reached(loss: Expr, stops: set[Expr]) -> set[Expr]:
    return set(topological([loss], stop=stops.__contains__))


def _linear(node: Expr, leads: set[Expr]) -> bool:
    """Whether a node is linear in those of its arguments that depend on the weights."""
    depending = [a for a in node.args if a in leads]
    op = node.op
    if isinstance(op, ops.Elementwise):
        single = op.function == "multiply" and len(depending) == 1
        return op.function in ADDING or single or (op.function == "divide" and node.args[1] not in leads)
    return isinstance(op, LINEAR) or (isinstance(op, ops.Contraction) and len(depending) == 1)


def _mixes(node: Expr, leads: set[Expr]) -> bool:
    """Whether a node multiplies values that both depend on the weights, as the layers of a network do."""
    both = sum(a in leads for a in node.args) > 1 and len(set(node.args)) > 1
    return both and (isinstance(node.op, ops.Contraction) or node.op == ops.Elementwise("multiply"))
