"""Random points at which formulas are compared: values for every leaf, of its kind and within its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symgrad.errors import ExpressionError
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, leaves, topological
from symgrad.expression.scalars import BOOLEAN, INTEGER
from symgrad.interpreter import evaluate_all, sizes_in

ROWS = 3  # what a named size becomes where nothing else says
TRIES = 20


def _limit(leaf: Expr, order: Sequence[Expr]) -> int:
    """The largest integer that a leaf may hold: as a label, as a position, or as stored."""
    limits = [256]
    if isinstance(leaf.op, ops.Variable) and leaf.op.classes:
        limits.append(leaf.op.classes)
    for node in order:
        if isinstance(node.op, ops.Take) and node.args[1] is leaf:
            limits.append(
                sizes.bind(node.args[0].shape[node.op.axis], dict.fromkeys(sizes.names(node.args[0].shape), ROWS))
            )
        if isinstance(node.op, ops.Scatter) and node.args[1] is leaf:
            limits.append(sizes.bind(node.op.size, dict.fromkeys(sizes.names([node.op.size]), ROWS)))
    return min(limits)


def draw(leaf: Expr, order: Sequence[Expr], random: np.random.Generator, positive: bool) -> np.ndarray:
    """Values for one leaf."""
    shape = [sizes.bind(s, dict.fromkeys(sizes.names([s]), ROWS)) for s in leaf.shape]
    if leaf.kind == BOOLEAN:
        return random.integers(0, 2, shape).astype(bool)
    if leaf.kind == INTEGER:
        return random.integers(0, _limit(leaf, order), shape)
    fan = max(shape[:-1], default=1)  # keeps sums of many terms in the range where functions bend
    values = random.uniform(0.3, 1.5, shape) if positive else random.normal(0, 1 / np.sqrt(fan), shape)
    if isinstance(leaf.op, ops.Variable) and leaf.op.normalized:
        values = np.abs(values) + 0.1
        return np.asarray(values / values.sum(-1, keepdims=True))
    return values


def given(expressions: Sequence[Expr], values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What some of the expressions of a point need of its values; sizes that no leaf of theirs tells by name."""
    inputs = leaves(expressions)
    told = set(sizes.names(s for leaf in inputs.values() for s in leaf.shape)) | set(inputs)
    free = [n for n in sizes_in(topological(expressions)) if n not in told]
    return {**{name: values[name] for name in inputs}, **dict.fromkeys(free, ROWS)}


def point(expressions: Sequence[Expr], random: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Values for every leaf at which all expressions are finite. Raises ExpressionError when none is found."""
    order, inputs = topological(expressions), leaves(expressions)
    for attempt in range(TRIES):
        values = {name: draw(leaf, order, random, attempt % 2 == 1) for name, leaf in inputs.items()}
        if all(np.isfinite(r).all() for r in evaluate_all(expressions, given(expressions, values))):
            return values
    raise ExpressionError("no random point was found at which the formula is finite; give values with at={...}")
