"""The stamp under a printed formula: what was checked, and the largest error; and which rule is wrong when it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symgrad.calculus import rules
from symgrad.calculus.gradient import Derivation, Step, derive
from symgrad.calculus.simplify import Simplified, simplified
from symgrad.errors import BindingError, ExpressionError, GradientError, ShapeError
from symgrad.expression import functions as f
from symgrad.expression.node import Expr, leaves, make
from symgrad.expression.scalars import REAL
from symgrad.interpreter import evaluate, evaluate_all
from symgrad.proof import points, shrink

STEP, TOLERANCE, DIRECTION = 1e-3, 1e-7, 1e-6
POINTS = 2
Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Stamp:
    """What was checked. `differences` and `direction` are the largest relative errors.

    `unjudged` lines are untested.
    """

    points: int
    entries: int
    differences: float
    direction: float
    lines: int
    unjudged: tuple[str, ...]
    sizes: str
    reason: str

    def __str__(self) -> str:
        parts = [
            f"{self.entries} derivatives by central differences at {self.points} random points "
            f"(largest error {self.differences:.0e})",
            f"a random direction at full size ({self.direction:.0e})",
        ]
        if self.lines:
            where = f" at {self.sizes}" if self.sizes else ""
            parts.append(
                f"{self.lines} line{'s' if self.lines > 1 else ''} equal to SymPy's componentwise derivative{where}"
            )
        if self.reason:
            parts.append(f"sizes were not shrunk: {self.reason}")
        if self.unjudged:
            parts.append(f"without a SymPy form: {', '.join(self.unjudged)}")
        return "checked: " + "; ".join(parts)


def five_point(function: Callable[[float], float], step: float) -> float:
    """The derivative at 0 by the five-point rule (error of order step**4)."""
    a, b, c, d = (function(k * step) for k in (-2, -1, 1, 2))
    return (a - 8 * b + 8 * c - d) / (12 * step)


def _along(loss: Expr, values: Values, direction: Values, step: float) -> float:
    def shifted(t: float) -> float:
        moved = {n: np.asarray(values[n], float) + t * d for n, d in direction.items()}
        return float(evaluate(loss, {**values, **moved}))

    return five_point(shifted, step)


def _differences(
    loss: Expr, gradients: Sequence[Expr], wrt: Sequence[Expr], random: np.random.Generator
) -> tuple[int, float]:
    """Every entry of every gradient against differences; how many, and the largest error. Kinks are stepped around."""
    for _ in range(points.TRIES):
        values = points.point([loss, *gradients], random)
        computed = evaluate_all(gradients, _bound(gradients, values))
        count, worst, kink = 0, 0.0, False
        for w, g in zip(wrt, computed, strict=True):
            for index in np.ndindex(*g.shape):
                unit = np.zeros(g.shape)
                unit[index] = 1.0
                slope, finer = (_along(loss, values, {w.name: unit}, h) for h in (STEP, STEP / 8))
                kink |= abs(slope - finer) > 1e-6 * (1 + abs(slope))
                true = float(g[index])
                error = min(abs(slope - true), abs(finer - true)) / (1 + abs(true))
                count, worst = count + 1, max(worst, error)
        if not kink or worst < TOLERANCE:
            return count, worst
    return count, worst


def _bound(expressions: Sequence[Expr], values: Values) -> Values:
    return {name: values[name] for name in leaves(expressions)}


def _direction(loss: Expr, gradients: Sequence[Expr], wrt: Sequence[Expr], random: np.random.Generator) -> float:
    """<gradient, v> against the slope of the loss along v, at full size; the best of a few steps around kinks."""
    values = points.point([loss, *gradients], random)
    computed = evaluate_all(gradients, _bound(gradients, values))
    best = np.inf
    for _ in range(3):
        direction = {w.name: random.normal(size=g.shape) / np.sqrt(g.size) for w, g in zip(wrt, computed, strict=True)}
        product = [(g * direction[w.name]).sum() for w, g in zip(wrt, computed, strict=True)]
        scale = 1e-12 + sum(float(np.abs(g * direction[w.name]).sum()) for w, g in zip(wrt, computed, strict=True))
        for step in (1e-3, 1e-4, 1e-5):
            best = min(best, abs(_along(loss, values, direction, step) - sum(product)) / scale)
        if best < DIRECTION:
            break
    return float(best)


def check(loss: Expr, wrt: Expr | Sequence[Expr], seed: int = 0) -> Stamp:
    """Prove the derived and simplified gradient of a scalar; the stamp says what was checked.

    Raises GradientError that names the rule or the identity when a check fails.

    >>> w = f.parameter("w", (3,))
    >>> check(f.sum(w**2), w).entries
    6
    """
    wanted = [wrt] if isinstance(wrt, Expr) else list(wrt)
    record = derive(loss, wanted)
    return stamp(record, simplified(record.gradients, within=[record.recognised]), seed)


def stamp(record: Derivation, result: Simplified, seed: int = 0) -> Stamp:
    """Check a derivation and its simplification that were made already. Raises GradientError."""
    from symgrad.proof import symbolic  # imports SymPy

    random = np.random.default_rng(seed)
    wrt, gradients = list(record.wrt), list(result.expressions[: len(record.wrt)])
    small = shrink.shrink([record.loss, *gradients, *wrt])
    loss, shrunk, by = small.expressions[0], small.expressions[1 : 1 + len(wrt)], small.expressions[1 + len(wrt) :]
    entries, worst, failed = 0, 0.0, ""
    for _ in range(POINTS):
        count, error = _differences(loss, shrunk, by, random)
        entries, worst = entries + count, max(worst, error)
    if worst > TOLERANCE:
        failed = f"differences disagree by {worst:.0e}"
    direction = 0.0 if failed else _direction(record.loss, gradients, wrt, random)
    if direction > DIRECTION:
        failed = f"the slope along a random direction disagrees by {direction:.0e}"
    proven, unjudged = 0, list[str]()
    if not failed:
        values = points.point([loss], random)
        lines = symbolic.Lines(loss, dict(zip((w.label for w in wrt), shrunk, strict=True)), by, values)
        proven, wrong, unjudged = symbolic.prove(lines, random)
        failed = f"SymPy's derivative is another one in the line of {', '.join(wrong)}" if wrong else ""
    if failed:
        raise GradientError(
            f"the gradient of {record.loss.label} failed its check: {failed}; {culprit(record, result, random)}"
        )
    return Stamp(POINTS, entries, worst, direction, proven, tuple(unjudged), str(small), small.reason)


def culprit(record: Derivation, result: Simplified, random: np.random.Generator) -> str:
    """The first rule or identity that is wrong by itself."""
    for step in record.steps:
        if not _rule_holds(step, random):
            return f"the rule {step.rule!r} is wrong at {step.node.label}: {step.statement}"
    for rewrite in (*record.rewrites, *result.steps):
        if not _same_value(rewrite.before, rewrite.after, random):
            return f"the identity {rewrite.identity.name!r} is wrong: {rewrite.identity}"
    return "every rule and identity holds by itself, so the sweep that puts them together is at fault"


def _rule_holds(step: Step, random: np.random.Generator) -> bool:
    """One application of a rule against differences, its arguments being independent leaves."""
    node = step.node
    arguments = [f.variable(f"argument{i}", a.shape) if a.kind == REAL else a for i, a in enumerate(node.args)]
    incoming = f.variable("incoming", node.shape)
    try:
        alone = make(node.op, *arguments)
        rule = rules.rule_for(alone, step.position)
        pulled = rule.pullback(alone, alone, incoming, step.position) if rule else None
        if pulled is None:
            return True
        pulled = rules.unbroadcast(pulled, arguments[step.position])
        energy = f.sum(incoming * alone)
        small = shrink.shrink([energy, pulled, arguments[step.position]])
        _, error = _differences(small.expressions[0], [small.expressions[1]], [small.expressions[2]], random)
    except ShapeError:
        return False
    except ExpressionError:
        return True  # outside the domain of random points: not judged
    return error < TOLERANCE


def _same_value(before: Expr, after: Expr, random: np.random.Generator) -> bool:
    try:
        values = points.point([before, after], random)
    except (ExpressionError, BindingError):
        return True  # no finite point, or a size that follows from no input: not judged
    a, b = evaluate_all([before, after], values)
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-12))
