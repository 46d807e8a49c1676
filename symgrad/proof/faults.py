"""Rules and identities one by one: the adjoint identity of every rule that was applied, and which one is at fault.

For a rule applied at y = f(a), <g, ∂f/∂a · v> = <pulled back g, v> must hold for all g and v: the left side by
central differences, the right side by the rule.
"""

from __future__ import annotations

import numpy as np

from symgrad.calculus import rules
from symgrad.calculus.gradient import Derivation, Step
from symgrad.calculus.simplify import Simplified
from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import functions as f
from symgrad.expression.node import Expr, make
from symgrad.expression.scalars import INTEGER, REAL
from symgrad.interpreter import evaluate_all
from symgrad.proof import points, shrink
from symgrad.proof.differences import TOLERANCE, along_direction

POINTS = 3


def adjoint_identity(record: Derivation, random: np.random.Generator) -> tuple[int, float, Step | None]:
    """Of each rule on each kind of argument once: how many, the largest error, and the first that fails."""
    seen, worst = set[object](), 0.0
    for step in record.steps:
        kind = (step.node.op, step.position, tuple((a.shape, a.kind) for a in step.node.args))
        if kind in seen:
            continue
        seen.add(kind)
        error = rule_error(step, random)
        if error is not None:
            worst = max(worst, error)
            if error > TOLERANCE:
                return len(seen), worst, step
    return len(seen), worst, None


def rule_error(step: Step, random: np.random.Generator) -> float | None:
    """How far one application of a rule is from its adjoint identity, its arguments being independent leaves.

    None where random points are outside its domain.
    """
    node = step.node
    arguments = [_alone(a, f"argument{i}") for i, a in enumerate(node.args)]
    incoming = f.variable("incoming", node.shape)
    try:
        alone = make(node.op, *arguments)
        rule = rules.rule_for(alone, step.position)
        pulled = rule.pullback(alone, alone, incoming, step.position) if rule else None
        if pulled is None:
            return None
        pulled = rules.unbroadcast(pulled, arguments[step.position])
        small = shrink.shrink([f.sum(incoming * alone), pulled, arguments[step.position]]).expressions
        return max(along_direction(small[0], [small[1]], [small[2]], random) for _ in range(POINTS))
    except ShapeError:
        return np.inf
    except ExpressionError:
        return None


def _alone(argument: Expr, name: str) -> Expr:
    """A leaf in place of an argument; integers stay, for only their own formula knows their range."""
    if argument.kind == INTEGER:
        return argument
    return f.variable(name, argument.shape, dtype="" if argument.kind == REAL else "bool")


def culprit(record: Derivation, result: Simplified, random: np.random.Generator) -> str:
    """The first rule or identity that is wrong by itself."""
    *_, wrong = adjoint_identity(record, random)
    if wrong is not None:
        return f"the rule {wrong.rule!r} is wrong at {wrong.node.label}: {wrong.statement}"
    for rewrite in (*record.rewrites, *result.steps):
        if not _same_value(rewrite.before, rewrite.after, random):
            return f"the identity {rewrite.identity.name!r} is wrong: {rewrite.identity}"
    return "every rule and identity holds by itself, so the sweep that puts them together is at fault"


def _same_value(before: Expr, after: Expr, random: np.random.Generator) -> bool:
    try:
        values = points.point([before, after], random)
    except ExpressionError:
        return True  # no finite point: not judged
    a, b = evaluate_all([before, after], points.given([before, after], values))
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-12))
