"""The stamp under a printed formula: what was checked, and the largest error; and which rule is wrong when it fails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from symgrad.calculus.gradient import Derivation, derive
from symgrad.calculus.simplify import Simplified, simplified
from symgrad.errors import GradientError
from symgrad.expression import functions as f
from symgrad.expression import sizes
from symgrad.expression.node import Expr, make, rebuild, topological
from symgrad.expression.ops import Contraction, Named
from symgrad.proof import points, shrink
from symgrad.proof.differences import DIRECTION, TOLERANCE, along_direction, by_entries
from symgrad.proof.faults import adjoint_identity, culprit

POINTS = 2
SYMBOLIC = 150_000  # terms up to which SymPy is asked: a convolution over whole images takes it minutes
LARGE = 10_000_000  # entries: a Hessian with a tensor larger than this is compared at small sizes only
DEEP = 400  # nodes: beyond, SymPy is left out of the proof of a second derivative, for its time


@dataclass(frozen=True)
class Stamp:
    """What was checked. `differences`, `direction` and `adjoint` are the largest relative errors.

    `whole` says that the direction was tried at full size. `rules` were applied and tested by themselves; `unjudged`
    lines have no SymPy form; `each` entries of a line were compared with SymPy's, or all when it is 0.
    """

    points: int
    entries: int
    differences: float
    direction: float
    whole: bool
    rules: int
    adjoint: float
    lines: int
    each: int
    unjudged: tuple[str, ...]
    sizes: str
    reason: str

    def __str__(self) -> str:
        parts = [
            f"{self.entries} derivatives by central differences at {self.points} random points "
            f"(largest error {self.differences:.0e})",
            f"a random direction at {'full size' if self.whole else 'the same sizes'} ({self.direction:.0e})",
        ]
        if self.rules:
            parts.append(f"the adjoint identity of {_plural(self.rules, 'rule')} ({self.adjoint:.0e})")
        if self.lines:
            where = f" at {self.sizes}" if self.sizes else ""
            some = f", {self.each} entries of each" if self.each else ""
            parts.append(f"{_plural(self.lines, 'line')} equal to SymPy's componentwise derivative{where}{some}")
        if self.reason:
            parts.append(f"sizes were not shrunk: {self.reason}")
        if self.unjudged:
            parts.append(f"without a SymPy form: {', '.join(self.unjudged)}")
        return "checked: " + "; ".join(parts)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + ("s" if count > 1 else "")


@dataclass(frozen=True)
class Verdict:
    """What comparing a gradient with differences and with SymPy gave; `failed` says what is wrong, or is empty."""

    entries: int
    differences: float
    direction: float
    whole: bool
    lines: int
    each: int
    unjudged: tuple[str, ...]
    small: shrink.Shrunk
    failed: str


def judge(
    loss: Expr, gradients: Sequence[Expr], wrt: Sequence[Expr], random: np.random.Generator, symbols: bool = True
) -> Verdict:
    """Compare gradients of a scalar with differences at small sizes and at full size, and with SymPy line by line.

    A number in a formula may be a size: Σ 1 over 6 entries is 6. So what fails at small sizes is judged at full size.
    """
    given = [loss, *gradients, *wrt]
    small = shrink.shrink(given)
    verdict = _judged(small, loss, gradients, wrt, random, symbols)
    changed = any(isinstance(size, int) for size in small.table)
    if not verdict.failed or not changed or any(_entries(node) > LARGE for node in topological(given)):
        return verdict
    return _judged(shrink.named(given, "numbers in the formula are sizes"), loss, gradients, wrt, random, symbols)


def _judged(
    small: shrink.Shrunk,
    loss: Expr,
    gradients: Sequence[Expr],
    wrt: Sequence[Expr],
    random: np.random.Generator,
    symbols: bool,
) -> Verdict:
    tiny, shrunk, by = small.expressions[0], small.expressions[1 : 1 + len(wrt)], small.expressions[1 + len(wrt) :]
    entries, worst, failed = 0, 0.0, ""
    for _ in range(POINTS):
        count, error = by_entries(tiny, shrunk, by, random)
        entries, worst = entries + count, max(worst, error)
    if worst > TOLERANCE:
        failed = f"differences disagree by {worst:.0e}"
    whole = all(_entries(g) <= LARGE for g in topological(gradients))
    direction = 0.0 if failed else along_direction(*((loss, gradients, wrt) if whole else (tiny, shrunk, by)), random)
    if direction > DIRECTION:
        failed = f"the slope along a random direction disagrees by {direction:.0e}"
    proof = None
    symbols = symbols and _terms([tiny, *shrunk]) <= SYMBOLIC
    if symbols and not failed:
        from symgrad.proof import symbolic  # imports SymPy

        values = points.point([tiny], random)
        lines = symbolic.Lines(tiny, dict(zip((w.label for w in wrt), shrunk, strict=True)), by, values)
        proof = symbolic.prove(lines, random)
        failed = f"SymPy's derivative is another one in the line of {', '.join(proof.wrong)}" if proof.wrong else ""
    unjudged = proof.unjudged if proof else (f"{', '.join(w.label for w in wrt)} (too many operations)",)
    proven, each = (proof.lines, proof.entries) if proof else (0, 0)
    return Verdict(entries, worst, direction, whole, proven, each, unjudged, small, failed)


def _terms(roots: Sequence[Expr]) -> int:
    """How many terms SymPy would hold: the products of contractions, the entries of everything else."""
    total = 0
    for node in topological(roots):
        op = node.op
        extents = op.sizes_of(node.args).values() if isinstance(op, Contraction) else node.shape
        total += math.prod(int(s) for s in extents)
    return total


def _entries(node: Expr) -> int:
    return math.prod(sizes.bind(s, dict.fromkeys(sizes.names([s]), points.ROWS)) for s in node.shape)


def check(loss: Expr, wrt: Expr | Sequence[Expr], seed: int = 0) -> Stamp:
    """Prove the derived and simplified gradient of a scalar; the stamp says what was checked.

    Raises GradientError that names the rule or the identity when a check fails.

    >>> w = f.parameter("w", (3,))
    >>> check(f.sum(w**2), w).entries
    6
    """
    wanted = [wrt] if isinstance(wrt, Expr) else list(wrt)
    record = derive(loss, wanted)
    return stamp(record, simplified(record.gradients, within=[record.loss]), seed)


def stamp(record: Derivation, result: Simplified, seed: int = 0) -> Stamp:
    """Check a derivation and its simplification that were made already. Raises GradientError."""
    random = np.random.default_rng(seed)
    verdict = judge(record.loss, result.expressions[: len(record.wrt)], record.wrt, random)
    rules, worst, wrong = adjoint_identity(record, random)
    failed = verdict.failed or (f"the adjoint identity fails by {worst:.0e}" if wrong else "")
    if failed:
        raise GradientError(
            f"the gradient of {record.loss.label} failed its check: {failed}; {culprit(record, result, random)}"
        )
    return _stamp(verdict, rules, worst)


def _stamp(verdict: Verdict, rules: int = 0, adjoint: float = 0.0) -> Stamp:
    return Stamp(
        POINTS, verdict.entries, verdict.differences, verdict.direction, verdict.whole, rules, adjoint,
        verdict.lines, verdict.each, verdict.unjudged, str(verdict.small), verdict.small.reason,
    )  # fmt: skip


def stamp_jacobian(value: Expr, matrix: Expr, wrt: Expr, seed: int = 0) -> Stamp:
    """Check the Jacobian of a value: Σ v · matrix must be the gradient of Σ v · value, for a free tensor v.

    The Hessian is the Jacobian of a gradient. Raises GradientError.

    >>> x = f.parameter("x", ("n",))
    >>> stamp_jacobian(f.sin(x), f.cos(x) * f.identity("n"), x).lines
    1
    """
    plain, shown = rebuild([value, matrix], lambda n: n.args[0] if isinstance(n.op, Named) and n is not wrt else n)
    free, axes = f.variable("free_tensor", value.shape), tuple(range(matrix.ndim))
    product = make(Contraction((axes[: value.ndim], axes), axes[value.ndim :]), free, shown)
    deep = len(topological([plain, shown])) > DEEP
    verdict = judge(f.sum(free * plain), [product], [wrt], np.random.default_rng(seed), symbols=not deep)
    if verdict.failed:
        raise GradientError(
            f"the derivative of {value.label} by {wrt.label} failed its check: {verdict.failed}; the gradient may be "
            "right: ask for it alone to see"
        )
    return _stamp(verdict)
