"""Random points at which formulas are compared: values for every leaf, of its kind and within its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from symgrad.errors import BindingError, ExpressionError
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, leaves, topological
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL
from symgrad.interpreter import TABLE, evaluate_all, sizes_in

ROWS = 3  # what a named size becomes where nothing else says
TRIES = 20
LINEAR = ("add", "multiply", "where")  # functions whose terms' absolute values add up as the terms do


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


def draw(leaf: Expr, order: Sequence[Expr], random: np.random.Generator, attempt: int) -> np.ndarray:
    """Values for one leaf, of one sort after the other: of both signs, positive, definite matrices, between 0 and 1."""
    shape = [sizes.bind(s, dict.fromkeys(sizes.names([s]), ROWS)) for s in leaf.shape]
    if leaf.kind == BOOLEAN:
        return random.integers(0, 2, shape).astype(bool)
    if leaf.kind == INTEGER:
        return random.integers(0, _limit(leaf, order), shape)
    fan = max(shape[:-1], default=1)  # keeps sums of many terms in the range where functions bend
    sort = attempt % 4
    low, high = (0.3, 1.5) if sort == 1 else (0.1, 0.9)
    values = random.uniform(low, high, shape) if sort % 2 else random.normal(0, 1 / np.sqrt(fan), shape)
    if sort == 2 and len(shape) > 1 and shape[-1] == shape[-2]:
        return np.asarray(values @ values.swapaxes(-1, -2) + np.eye(shape[-1]))
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
        values = {name: draw(leaf, order, random, attempt) for name, leaf in inputs.items()}
        with suppress(BindingError):  # a matrix that has no inverse, or no root
            if all(np.isfinite(r).all() for r in evaluate_all(expressions, given(expressions, values))):
                return values
    raise ExpressionError("no random point was found at which the formula is finite; give values with at={...}")


def magnitude(expressions: Sequence[Expr], values: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The largest entry of the first expression, and of the sum of the absolute values of its terms.

    Both are infinite where one of the expressions has no value at all.
    """
    truth, order, known = expressions[0], topological(expressions), given(expressions, values)
    inputs = leaves(expressions)
    extents = {n: int(v) for n, v in known.items() if n not in inputs}
    extents |= {s: n for name, leaf in inputs.items() for s, n in zip(leaf.shape, np.shape(known[name]), strict=True)}
    try:
        plain = dict(zip(order, evaluate_all(order, known), strict=True))
    except BindingError:  # a matrix that has no inverse, or no root
        return np.inf, np.inf
    terms: dict[Expr, np.ndarray] = {}
    for node in topological([truth]):
        op, args = node.op, [terms[a] for a in node.args]
        linear = isinstance(op, ops.Contraction | ops.Reshape | ops.Named) or (
            isinstance(op, ops.Elementwise) and op.function in LINEAR and node.kind == REAL
        )
        if isinstance(op, ops.Elementwise) and op.function in ("subtract", "divide", "negative"):
            first, *rest = args
            with np.errstate(all="ignore"):
                terms[node] = first + sum(rest) if op.function != "divide" else first / np.abs(plain[node.args[1]])
        else:
            terms[node] = TABLE[type(op)](op, node, args, extents) if linear else np.abs(plain[node])
    return float(np.max(np.abs(plain[truth]), initial=0.0)), float(np.max(terms[truth], initial=0.0))
