"""Worlds in which a draft is compared with the truth: every size small, no two alike, names holding random values.

In a world a transpose shows as another shape, and a factor that depends on a size changes from world to world. Each
has points in general position and points on kinks, where conventions such as relu'(0) = 0 decide. Takes expressions
and drafts, gives values; knows nothing of causes.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symgrad.errors import BindingError, ExpressionError
from symgrad.expression import functions as f
from symgrad.expression import ops, parse, sizes
from symgrad.expression.node import Expr, as_expr, leaves, topological
from symgrad.expression.scalars import COMPARISONS, INTEGER, REAL
from symgrad.expression.sizes import Size
from symgrad.interpreter import TABLE, evaluate_all
from symgrad.proof import points, shrink
from symgrad.proof.drafts import Draft

PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71)
KEPT = 3  # sizes up to this stay as they are
WORLDS, GENERAL, KINKED, TRIES = 2, 3, 3, 16  # worlds; points of each kind in a world; attempts to find one
TOLERANCE = 1e-9  # of the sum of the absolute values of the terms
POWER = 1e-5  # of those terms, which the derivative must reach: at a saturated point nothing can be told apart
KINKS = {"relu": 1, "abs": 1, "sign": 1, "maximum": 2, "minimum": 2} | dict.fromkeys(COMPARISONS, 2)
DTYPES = {REAL: "", INTEGER: "int64", "boolean": "bool"}
Values = Mapping[str, np.ndarray]


class IllShapedError(Exception):
    """A part of a draft that has no value, because its shapes do not fit."""


@dataclass
class Point:
    """Values of the names, the derivative, and how far rounding may move it; `kink` says what is exactly at one."""

    values: dict[Expr, np.ndarray]
    truth: np.ndarray
    tolerance: float
    kink: str

    def value(self, expression: Expr) -> np.ndarray:
        """An expression over the names; what was computed before is remembered."""
        with np.errstate(all="ignore"):
            for node in topological([expression], stop=self.values.__contains__):
                if node not in self.values:
                    args = [self.values[a] for a in node.args]
                    try:
                        self.values[node] = np.asarray(TABLE[type(node.op)](node.op, node, args, {}))
                    except BindingError:  # a matrix that has no inverse, or no root
                        self.values[node] = np.full([int(s) for s in node.shape], np.nan)
        return self.values[expression]


@dataclass
class World:
    """One choice of sizes: what drafts' names denote here, and the points."""

    sizes: dict[Size, int]
    names: dict[str, Any]
    shape: tuple[Size, ...]
    points: list[Point] = field(default_factory=list)
    _built: dict[int, tuple[ast.AST, Any]] = field(default_factory=dict)

    def expression(self, draft: Draft) -> Expr:
        """What a draft denotes; parts that drafts share are built once. Raises IllShapedError."""
        return as_expr(self._part(draft))

    def _part(self, node: ast.AST) -> Any:
        known = self._built.get(id(node))
        if known is None:
            try:
                built = parse.build(node, "", self.names, self._part)
            except (ExpressionError, IllShapedError):
                built = IllShapedError
            self._built[id(node)] = known = (node, built)  # the node too: its id is its own while it lives
        if known[1] is IllShapedError:
            raise IllShapedError
        return known[1]

    def shape_of(self, draft: Draft) -> tuple[int, ...] | None:
        """The shape of a draft, None when it has none."""
        try:
            return self.expression(draft).shape
        except IllShapedError:
            return None

    def size_names(self, draft: Draft) -> tuple[str, ...] | None:
        """The shape of a draft in the user's sizes."""
        shape = self.shape_of(draft)
        big = {small: str(size) for size, small in self.sizes.items()}
        return None if shape is None else tuple(big.get(s, str(s)) for s in shape)

    def value(self, draft: Draft, point: Point) -> np.ndarray | None:
        """The value of a draft that has the derivative's shape, else None."""
        try:
            expression = self.expression(draft)
        except IllShapedError:
            return None
        return point.value(expression) if expression.shape == self.shape else None

    def __str__(self) -> str:
        return ", ".join(f"{big} → {small}" for big, small in self.sizes.items())


def same(value: np.ndarray, point: Point) -> bool:
    """Whether a value is the derivative at a point up to rounding; at a kink, entries without a value are no fault."""
    equal = np.abs(value - point.truth) <= point.tolerance
    return bool((equal[np.isfinite(value)] if point.kink else equal).all())


def worlds(truth: Expr, loss: Expr, names: Mapping[str, Expr], seed: int, numbers: Collection[int] = ()) -> list[World]:
    """The worlds of a derivative and its names; sizes that a draft also has among its `numbers` stay as they are.

    Raises ExpressionError when no point is found where the derivative is finite.
    """
    roots = [truth, loss, *names.values()]
    random = np.random.default_rng(seed)
    found = []
    for turn in range(WORLDS):
        table, small = _shrunk(roots, turn, numbers)
        labels = {str(size): small_size for size, small_size in table.items()}
        kept = {str(s): s for e in topological(roots) for s in e.shape if isinstance(s, int) and s not in table}
        leaf = {n: f.variable("value", e.shape, dtype=DTYPES[e.kind]) for n, e in zip(names, small[2:], strict=True)}
        world = World(table, {**kept, **labels, **leaf}, small[0].shape)
        for values, kink in _points(small, random):
            world.points.append(_point(small, list(leaf.values()), values, kink))
        found.append(world)
    return found


def _shrunk(roots: Sequence[Expr], turn: int, numbers: Collection[int]) -> tuple[dict[Size, int], list[Expr]]:
    """The sizes of one world and the expressions at these; where a reshape ties numbers, only names become small."""
    every = list(dict.fromkeys(s for node in topological(roots) for s in node.shape if isinstance(s, int | str)))
    every += [n for n in sizes.names(s for node in topological(roots) for s in node.shape) if n not in every]
    for wanted in (every, [s for s in every if isinstance(s, str)]):
        taken = [s for s in every if isinstance(s, int) and (s <= KEPT or s not in wanted or s in numbers)]
        free = [p for p in PRIMES if p not in taken]
        big = [s for s in wanted if s not in taken]
        table: dict[Size, int] = {s: free[(i + turn) % len(free)] for i, s in enumerate(big)}
        try:
            return table, shrink.rebuilt(roots, table)
        except (ExpressionError, ValueError, KeyError, IndexError):
            if wanted is not every:
                raise
    raise AssertionError("unreachable")


def _points(small: Sequence[Expr], random: np.random.Generator) -> list[tuple[Values, str]]:
    """Leaf values in general position, then such on kinks of the loss."""
    order, inputs = topological(small), leaves(small)
    telling, dull, kinked = list[tuple[Values, str]](), list[tuple[Values, str]](), list[tuple[Values, str]]()
    for attempt in range(TRIES):
        values = {n: points.draw(leaf, order, random, attempt) for n, leaf in inputs.items()}
        if attempt % 2:  # large integers saturate functions: every other draw has small ones
            values = {n: v % 4 if inputs[n].kind == INTEGER else v for n, v in values.items()}
        largest, terms = points.magnitude(small, values)
        if np.isfinite(largest):
            (telling if largest > POWER * terms else dull).append((values, ""))
        for special in (_zeroed(values, inputs, random), _whole(values, inputs, random)):
            if np.isfinite(points.magnitude(small, special)[0]):
                kinked += [(special, kink) for kink in _kinks(small[1], special)[:1]]
    general = (telling or dull)[:GENERAL]  # a derivative that cancels to zero tells nothing anywhere
    if not general:
        raise ExpressionError("no random point was found at which the derivative is finite")
    return general + kinked[:KINKED]


def _zeroed(values: Values, inputs: Mapping[str, Expr], random: np.random.Generator) -> Values:
    """Some columns of every parameter zero, the same ones in all with as many columns: their units are exactly 0."""
    found, columns = dict(values), dict[int, np.ndarray]()
    for n, leaf in inputs.items():
        if isinstance(leaf.op, ops.Parameter) and leaf.shape:
            width = values[n].shape[-1]
            kept = columns.setdefault(width, np.asarray(random.integers(0, 2, width)))
            found[n] = values[n] * kept
    return found


def _whole(values: Values, inputs: Mapping[str, Expr], random: np.random.Generator) -> Values:
    """Small whole numbers, whose sums and products are exact and hit thresholds."""
    found = dict(values)
    for n, leaf in inputs.items():
        if leaf.kind == REAL and not getattr(leaf.op, "normalized", False):
            found[n] = random.integers(-2, 3, values[n].shape).astype(float)
        elif getattr(leaf.op, "dtype", "") == "uint8":
            found[n] = 255 * random.integers(0, 2, values[n].shape)
    return found


def _of(expressions: Sequence[Expr], values: Values) -> Values:
    return {n: values[n] for n in leaves(expressions)}


def _kinks(loss: Expr, values: Values) -> list[str]:
    """What stands exactly at a kink of the loss at a point, as text."""
    sides = [
        node.args if KINKS[node.op.function] == 2 else (node.args[0], as_expr(0))
        for node in topological([loss])
        if isinstance(node.op, ops.Elementwise) and node.op.function in KINKS and node.args[0].kind == REAL
    ]
    flat = [side for pair in sides for side in pair]
    found = evaluate_all(flat, _of(flat, values))
    return [
        f"{a.label} = {b.label}"
        for (a, b), x, y in zip(sides, found[::2], found[1::2], strict=True)
        if bool((x == y).any())
    ]


def _point(small: Sequence[Expr], names: Sequence[Expr], values: Values, kink: str) -> Point:
    found = evaluate_all(small, _of(small, values))
    tolerance = TOLERANCE * max(points.magnitude(small, values))
    return Point(dict(zip(names, found[2:], strict=True)), found[0], tolerance, kink)
