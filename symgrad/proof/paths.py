"""Whether the factors of a chain rule multiply to the derived gradient: tried on random numbers at small sizes.

Takes a chain of labelled factors; gives the largest relative error over all rows of a small batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from symgrad.calculus.chain import Chain, product
from symgrad.calculus.gradient import gradient
from symgrad.errors import ExpressionError, GradientError
from symgrad.expression.node import leaves, topological
from symgrad.interpreter import evaluate
from symgrad.proof import points, shrink
from symgrad.proof.differences import TOLERANCE


@dataclass(frozen=True)
class Multiplied:
    """The largest relative error of the product, and the sizes at which it was taken; None where it was not tried."""

    error: float | None
    sizes: str
    reason: str = ""

    def __str__(self) -> str:
        if self.error is None:
            return f"not multiplied out on numbers: {self.reason}"
        where = f" at {self.sizes}" if self.sizes else ""
        return (
            f"checked: the factors multiply to the gradient on random numbers{where} (largest error {self.error:.0e})"
        )


def multiplied(chain: Chain, seed: int = 0) -> Multiplied:
    """Compare Σ over paths and samples of the factors' products with the gradient. Raises GradientError."""
    hidden = sum(s.count - len(s.paths) for s in chain.sums)
    if hidden:
        return Multiplied(None, "", f"{hidden} of the paths are not written out")
    table = shrink.size_table(topological([chain.loss]), True)
    try:
        loss, slope = shrink.rebuilt([chain.loss, gradient(chain.loss, chain.wrt)], table)
        small = [(s.batch, shrink.rebuilt([product(p) for p in s.paths], table)) for s in chain.sums]
    except ExpressionError as problem:
        return Multiplied(None, "", str(problem).split("\n")[0])
    values = points.point([loss, slope], np.random.default_rng(seed))
    true = evaluate(slope, points.given([slope], values))
    total = np.zeros(true.shape)
    batched = {n for n, leaf in leaves([chain.loss]).items() if leaf.shape[:1] in [(s.batch,) for s in chain.sums]}
    for batch, found in small:
        for row in range(table[batch] if batch is not None else 1):
            here = {n: v[row] if batch is not None and n in batched else v for n, v in values.items()}
            total += sum(evaluate(e, points.given([e], here)) for e in found)
    error = float(np.abs(total - true).max(initial=0.0) / (1 + np.abs(true).max(initial=0.0)))
    if error > TOLERANCE:
        raise GradientError(
            f"the factors of ∂L/∂{chain.wrt.label} do not multiply to the gradient: they differ by {error:.0e}"
        )
    return Multiplied(error, ", ".join(f"{big} → {tiny}" for big, tiny in table.items()))
