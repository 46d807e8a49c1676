"""Each printed line against SymPy: with every other name held as a symbol, the line is a derivative of a Lagrangian.

For L and named values u = f(...), let E = L + sum_u <δ_u, f_u>, names being independent symbols. Then the line that
defines δ_v must be dE/dv entry by entry, and so must a gradient line. Proving lines one by one keeps the cost linear
in depth, where SymPy's derivative of a whole network is exponential.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy  # type: ignore[import-untyped]

from symgrad.errors import ExpressionError
from symgrad.expression import functions as f
from symgrad.expression import ops
from symgrad.expression.componentwise import entry_symbol, to_sympy
from symgrad.expression.node import Expr, constant, leaves, make, topological
from symgrad.expression.scalars import REAL

DIGITS = 40  # of the values that are compared, at random rational points
EQUAL = 1e-14  # constants such as 2/sqrt(pi) stand in formulas as float64
ENTRIES = 64  # of a tensor whose line is proven


class Lines:
    """A loss and its gradients as lines: one for each adjoint that has a name, one for each gradient."""

    def __init__(
        self, loss: Expr, gradients: Mapping[str, Expr], wrt: Sequence[Expr], values: Mapping[str, np.ndarray]
    ) -> None:
        order = topological([loss])
        self.adjoints = {
            n.op.name: n for n in topological(gradients.values()) if isinstance(n.op, ops.Named) and n.op.adjoint
        }
        named = {n.op.name: n for n in order if isinstance(n.op, ops.Named)}
        self.cut = {name: node for name, node in named.items() if f"delta_{name}" in self.adjoints}
        self.symbols = {name: f.variable(name, node.shape) for name, node in self.cut.items()}
        self.deltas = {name: f.variable(f"delta_{name}", node.shape) for name, node in self.cut.items()}
        self.fixed = {leaf: constant(values[n]) for n, leaf in leaves([loss]).items() if leaf.kind != REAL}
        self.loss, self.gradients, self.wrt = loss, gradients, wrt
        self._plain: dict[Expr, Expr] = {}
        parts = [self.without_names(loss)]
        parts += [f.sum(self.deltas[name] * self.without_names(node)) for name, node in self.cut.items()]
        self._holding: dict[Expr, list[Expr]] = {}
        for part in parts:
            for leaf in leaves([part]).values():
                self._holding.setdefault(leaf, []).append(part)

    def without_names(self, node: Expr) -> Expr:
        """A formula with the names that have lines of their own as independent symbols."""
        root = node.args[0] if isinstance(node.op, ops.Named) else node
        for n in topological([root], stop=self._plain.__contains__):
            if n not in self._plain:
                args = tuple(self._plain[a] for a in n.args)
                self._plain[n] = self._stand_in(n if args == n.args else make(n.op, *args))
        return self._plain[root]

    def _stand_in(self, n: Expr) -> Expr:
        if n in self.fixed:
            return self.fixed[n]
        if isinstance(n.op, ops.Named):
            if n.op.adjoint:
                return self.deltas.get(n.op.name.removeprefix("delta_"), n)
            return self.symbols.get(n.op.name, n)
        return n

    def energy(self, target: Expr) -> Expr:
        """The part of the Lagrangian that contains a symbol."""
        inside = self._holding.get(target, [])
        return make(ops.Elementwise("add"), *inside) if len(inside) > 1 else inside[0] if inside else f.sum(0 * target)

    def lines(self) -> list[tuple[str, Expr, Expr]]:
        """(title, symbol, formula) of each line."""
        found = [(f"δ_{name}", self.symbols[name], self.adjoints[f"delta_{name}"]) for name in self.cut]
        return found + [(f"∂L/∂{w.label}", w, g) for w, g in zip(self.wrt, self.gradients.values(), strict=True)]


def _object(value: Any) -> Any:
    """A SymPy object as it is; a number as one."""
    return value if isinstance(value, sympy.Basic) else sympy.Float(float(value), DIGITS)


def _entries(expression: Expr) -> np.ndarray:
    """The SymPy form of each entry."""
    return np.asarray(to_sympy(expression), dtype=object).reshape(expression.shape)


class Point:
    """Random rationals for leaves and adjoints; named values follow from their definitions, to many digits."""

    def __init__(self, lines: Lines, random: np.random.Generator, lowest: int) -> None:
        self.random, self.lowest, self.values = random, lowest, dict[Any, Any]()
        for name, node in lines.cut.items():
            entries = _entries(lines.without_names(node))
            for index in np.ndindex(*entries.shape):
                value = self.at(_object(entries[index]), 2 * DIGITS)
                if value.is_Float or value.is_Rational:
                    self.values[entry_symbol(lines.symbols[name], index)] = value

    def at(self, expression: Any, digits: int = DIGITS) -> Any:
        """The value of an expression here."""
        for symbol in sorted(expression.free_symbols, key=str):
            if symbol not in self.values:
                self.values[symbol] = sympy.Rational(int(self.random.integers(self.lowest, 900)) * 2 + 1, 1000)
        return expression.xreplace(self.values).evalf(digits, chop=True)


def prove(lines: Lines, random: np.random.Generator) -> tuple[int, list[str], list[str]]:
    """How many lines SymPy's componentwise derivative equals, which it does not, and which it could not judge."""
    proven, wrong, unjudged = 0, list[str](), list[str]()
    try:
        here = [Point(lines, random, -900)]
    except ExpressionError:
        return 0, [], [title for title, _, _ in lines.lines()]
    for title, target, formula in lines.lines():
        try:
            same = _equal(lines.energy(target), target, lines.without_names(formula), here[0])
            if same is None:  # outside the domain of a logarithm, say: positive numbers then
                here = [here[0], *(here[1:] or [Point(lines, random, 100)])]
                same = _equal(lines.energy(target), target, lines.without_names(formula), here[1])
            if same is None:
                raise ExpressionError("outside the domain at every point")
        except ExpressionError:
            unjudged.append(title)
            continue
        if same:
            proven += 1
        else:
            wrong.append(title)
    return proven, wrong, unjudged


def _equal(energy: Expr, target: Expr, formula: Expr, point: Point) -> bool | None:
    """Whether the formula is the derivative of the energy by every entry of the target; None where it is no number."""
    terms, shown = sympy.Add.make_args(to_sympy(energy)), _entries(formula)
    judged = 0
    for index in list(np.ndindex(*target.shape))[:ENTRIES]:
        entry = entry_symbol(target, index)
        derivative = sympy.Add(*(sympy.diff(t, entry) for t in terms if t.has(entry)))
        if derivative.has(sympy.Derivative, sympy.Subs, sympy.DiracDelta):
            raise ExpressionError("SymPy does not differentiate this")
        difference, size = point.at(derivative - shown[index]), abs(point.at(_object(shown[index])))
        if not (difference.is_Float or difference.is_Rational) or not size.is_real:
            continue  # outside the domain
        judged += 1
        if abs(difference) > (1 + size) * EQUAL:
            return False
    return True if judged else None
