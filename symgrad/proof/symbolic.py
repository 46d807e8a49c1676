"""Each printed line against SymPy: with every other name held as a symbol, the line is a derivative of a Lagrangian.

For L and named values u = f(...), let E = L + sum_u <δ_u, f_u>, names being independent symbols. Then the line that
defines δ_v must be dE/dv entry by entry, and so must a gradient line. Proving lines one by one keeps the cost linear
in depth, where SymPy's derivative of a whole network is exponential.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy  # type: ignore[import-untyped]

from symgrad.errors import ExpressionError
from symgrad.expression import functions as f
from symgrad.expression import ops
from symgrad.expression.componentwise import entries, entry_symbol
from symgrad.expression.node import Expr, constant, leaves, make, topological
from symgrad.expression.scalars import REAL

DIGITS = 40  # of the values that are compared, at random rational points
EQUAL = 1e-14  # constants such as 2/sqrt(pi) stand in formulas as float64
ENTRIES = 240  # of all lines together, but LEAST of each
LEAST = 2
HEAVY = 10  # operations of one entry, written out: what is longer becomes a symbol


class Part:
    """A term of the Lagrangian, <delta, body>, or the loss itself when delta is None; entries as SymPy has them."""

    def __init__(self, delta: Expr | None, body: Expr) -> None:
        self.delta, self.body = delta, body

    @cached_property
    def entries(self) -> list[tuple[Any, Any, frozenset[Any]]]:
        """(the symbol that multiplies it, entry, the symbols in it)."""
        found = entries(self.body)
        one = sympy.Integer(1)
        factors = {i: one if self.delta is None else entry_symbol(self.delta, i) for i in np.ndindex(*found.shape)}
        return [(factor, found[i], getattr(found[i], "free_symbols", frozenset())) for i, factor in factors.items()]


class Lines:
    """A loss and its gradients as lines: one for each adjoint that has a name, one for each gradient.

    Large values without a name are cut out too, as symbols whose adjoints follow from the Lagrangian at a point.
    """

    def __init__(
        self, loss: Expr, gradients: Mapping[str, Expr], wrt: Sequence[Expr], values: Mapping[str, np.ndarray]
    ) -> None:
        order = topological([loss])
        self.adjoints = {
            n.op.name: n for n in topological(gradients.values()) if isinstance(n.op, ops.Named) and n.op.adjoint
        }
        named = {n.op.name: n for n in order if isinstance(n.op, ops.Named)}
        self.named = {name: node for name, node in named.items() if f"delta_{name}" in self.adjoints}
        self.inner = {f"cut_{i}": node for i, node in enumerate(_heavy(order, set(self.named.values())))}
        cut = {**self.named, **self.inner}
        self.symbols = {name: f.variable(name, node.shape) for name, node in cut.items()}
        self.deltas = {name: f.variable(f"delta_{name}", node.shape) for name, node in cut.items()}
        self.fixed = {leaf: constant(values[n]) for n, leaf in leaves([loss]).items() if leaf.kind != REAL}
        self.loss, self.gradients, self.wrt = loss, gradients, wrt
        self._inner_symbol = {node: self.symbols[name] for name, node in self.inner.items()}
        self._plain: dict[Expr, Expr] = {}
        whole = self.without_names(loss)
        self.bodies = {name: self._body(node) for name, node in sorted(cut.items(), key=lambda c: order.index(c[1]))}
        self._holding: dict[Expr, list[Part]] = {}
        for delta, body in [(None, whole), *((self.deltas[name], body) for name, body in self.bodies.items())]:
            part = Part(delta, body)
            for leaf in leaves([body]).values():
                self._holding.setdefault(leaf, []).append(part)

    def without_names(self, node: Expr) -> Expr:
        """A formula with the names that have lines of their own as independent symbols."""
        root = node.args[0] if isinstance(node.op, ops.Named) else node
        for n in topological([root], stop=self._plain.__contains__):
            if n not in self._plain:
                self._plain[n] = self._stand_in(n, self._body(n))
        return self._plain[root]

    def _body(self, n: Expr) -> Expr:
        """What a node is, in terms of the symbols below it."""
        args = tuple(self._plain[a] for a in n.args)
        return n if args == n.args else make(n.op, *args)

    def _stand_in(self, n: Expr, body: Expr) -> Expr:
        if n in self.fixed:
            return self.fixed[n]
        if isinstance(n.op, ops.Named):
            if n.op.adjoint:
                return self.deltas.get(n.op.name.removeprefix("delta_"), body)
            return self.symbols.get(n.op.name, body)
        return self._inner_symbol.get(n, body)

    def holding(self, target: Expr) -> list[Part]:
        """The terms of the Lagrangian that contain a symbol."""
        return self._holding.get(target, [])

    def lines(self) -> list[tuple[str, Expr, Expr]]:
        """(title, symbol, formula) of each line."""
        found = [(f"δ_{name}", self.symbols[name], self.adjoints[f"delta_{name}"]) for name in self.named]
        return found + [(f"∂L/∂{w.label}", w, g) for w, g in zip(self.wrt, self.gradients.values(), strict=True)]


def _heavy(order: Sequence[Expr], stops: set[Expr]) -> list[Expr]:
    """Values whose entries, written out over the symbols below them, would be long."""
    weight: dict[Expr, int] = {}
    found = []
    below_name = {n.args[0] for n in stops}
    for node in order:
        extents = node.op.sizes_of(node.args).values() if isinstance(node.op, ops.Contraction) else node.shape
        times = max(1, math.prod(int(s) for s in extents) // max(1, math.prod(int(s) for s in node.shape)))
        if isinstance(node.op, ops.Softmax | ops.LogSumExp | ops.Reduce):
            times = int(node.args[0].shape[-1]) if node.args[0].shape else 1
        weight[node] = 1 + times * sum(weight[a] for a in node.args)
        heavy = weight[node] > HEAVY and node.kind == REAL and node.shape and node not in below_name
        if node in stops or heavy:
            weight[node] = 1
        if heavy and node not in stops:
            found.append(node)
    return found


class Point:
    """Random rationals for leaves and adjoints; the values of symbols follow from their definitions, to many digits."""

    def __init__(self, lines: Lines, random: np.random.Generator, lowest: int) -> None:
        self.random, self.lowest, self.values = random, lowest, dict[Any, Any]()
        self._known: dict[Expr, np.ndarray] = {}
        for leaf in leaves([lines.loss]).values():
            if isinstance(leaf.op, ops.Variable) and leaf.op.normalized:
                self._set(leaf, self._rows_of_one(leaf.shape))
        for name, body in lines.bodies.items():
            self._set(lines.symbols[name], self.numbers(body))
        for name in reversed(lines.bodies):
            if name in lines.inner:
                symbol = lines.symbols[name]
                slopes = np.empty(symbol.shape, dtype=object)
                for index in np.ndindex(*symbol.shape):
                    slopes[index] = self.slope(lines.holding(symbol), entry_symbol(symbol, index))
                self._set(lines.deltas[name], slopes)

    def _rows_of_one(self, shape: Sequence[int]) -> np.ndarray:
        """Random positive rationals whose sum along the last axis is one, as the leaf was declared."""
        parts = np.vectorize(sympy.Integer, otypes=[object])(self.random.integers(1, 900, tuple(shape)))
        return np.asarray(parts / parts.sum(-1, keepdims=True), dtype=object)

    def _set(self, symbol: Expr, numbers: np.ndarray) -> None:
        for index in np.ndindex(*symbol.shape):
            value: Any = numbers[index]
            if value.is_Float or value.is_Rational:
                self.values[entry_symbol(symbol, index)] = value

    def at(self, expression: Any) -> Any:
        """The value of a SymPy expression here."""
        if not isinstance(expression, sympy.Basic):
            return sympy.Float(float(expression), 2 * DIGITS)
        for symbol in sorted(expression.free_symbols, key=str):
            if symbol not in self.values:
                self.values[symbol] = sympy.Rational(int(self.random.integers(self.lowest, 900)) * 2 + 1, 1000)
        return expression.xreplace(self.values).evalf(2 * DIGITS, chop=True)

    def numbers(self, expression: Expr) -> np.ndarray:
        """Each entry of an expression here, computed node by node: nothing is written out."""
        return entries(expression, self.at, self._known)

    def slope(self, parts: Sequence[Part], symbol: Any) -> Any:
        """The derivative of terms of the Lagrangian by one symbol here: SymPy's of each entry, times its factor."""
        total = sympy.Float(0, 2 * DIGITS)
        for part in parts:
            for factor, entry, inside in part.entries:
                if symbol in inside:
                    derivative = sympy.diff(entry, symbol)
                    if derivative.has(sympy.Derivative, sympy.Subs, sympy.DiracDelta):
                        raise ExpressionError("SymPy does not differentiate this")
                    total += self.at(factor) * self.at(derivative)
        return total


@dataclass(frozen=True)
class Proof:
    """How many lines SymPy's derivative equals, and which it does not or could not judge.

    `entries` of each line were compared; 0 says all.
    """

    lines: int
    wrong: tuple[str, ...]
    unjudged: tuple[str, ...]
    entries: int = 0


def prove(lines: Lines, random: np.random.Generator) -> Proof:
    """Compare every line with SymPy's componentwise derivative, entry by entry: all of them when they are few."""
    proven, wrong, unjudged = 0, list[str](), list[str]()
    listed = lines.lines()
    most = max(LEAST, ENTRIES // max(1, len(listed)))
    few = all(math.prod(target.shape) <= most for _, target, _ in listed)
    try:
        here = [Point(lines, random, -900)]
    except ExpressionError:
        return Proof(0, (), tuple(title for title, _, _ in listed))
    for title, target, formula in listed:
        places = list(np.ndindex(*target.shape))
        if not few and len(places) > most:
            places = [places[i] for i in sorted(random.choice(len(places), most, replace=False))]
        try:
            same = _equal(lines.holding(target), target, lines.without_names(formula), here[0], places)
            if same is None:  # outside the domain of a logarithm, say: positive numbers then
                here = [here[0], *(here[1:] or [Point(lines, random, 100)])]
                same = _equal(lines.holding(target), target, lines.without_names(formula), here[1], places)
            if same is None:
                raise ExpressionError("outside the domain at every point")
        except ExpressionError:
            unjudged.append(title)
            continue
        if same:
            proven += 1
        else:
            wrong.append(title)
    return Proof(proven, tuple(wrong), tuple(unjudged), 0 if few else most)


def _equal(
    parts: Sequence[Part], target: Expr, formula: Expr, point: Point, places: Sequence[tuple[int, ...]]
) -> bool | None:
    """Whether the formula is the Lagrangian's derivative by entries of the target; None where it is no number."""
    shown = point.numbers(formula)
    judged = 0
    for index in places:
        true, size = point.slope(parts, entry_symbol(target, index)), abs(shown[index])
        difference = true - shown[index]
        if not (difference.is_Float or difference.is_Rational) or not size.is_real:
            continue  # outside the domain
        judged += 1
        if abs(difference) > (1 + size) * EQUAL:
            return False
    return True if judged else None
