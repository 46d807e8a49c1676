"""Gradients with bounds, as expressions: they are part of the compiled step, and stand in its source."""

from __future__ import annotations

from collections.abc import Mapping

from symgrad.expression import functions as f
from symgrad.expression.node import Expr

TINY = 1e-6  # added to the norm where it divides, as in torch.nn.utils.clip_grad_norm_


def clipped(gradients: Mapping[str, Expr], value: float | None, norm: float | None) -> dict[str, Expr]:
    """Gradients whose entries are at most `value` in size, or whose common norm is at most `norm`; None is no bound.

    The norm is the Euclidean one over all entries of all gradients (Pascanu, Mikolov and Bengio 2013, algorithm 1).

    >>> g = f.variable("g", (3,))
    >>> from symgrad.interpreter import evaluate
    >>> evaluate(clipped({"w": g}, 0.5, None)["w"], {"g": [-3.0, 0.25, 2.0]}).tolist()
    [-0.5, 0.25, 0.5]
    """
    if value is not None:
        return {name: f.minimum(f.maximum(g, -value), value) for name, g in gradients.items()}
    if norm is None or not gradients:
        return dict(gradients)
    first, *rest = (f.sum(g**2) for g in gradients.values())
    total = sum(rest, first)
    scale = f.minimum(norm / (f.sqrt(total) + TINY), 1)
    return {name: scale * g for name, g in gradients.items()}
