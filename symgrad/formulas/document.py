"""Definitions: formulas by title with the list that explains every name in them, and their layout below each other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from symgrad.expression.node import Expr, topological
from symgrad.expression.ops import Leaf, Named
from symgrad.formulas.atoms import atoms
from symgrad.formulas.index import IndexNotation
from symgrad.formulas.matrix import MatrixNotation
from symgrad.formulas.text import text, wrapped
from symgrad.formulas.tree import RELATION, Derivative, Indexed, Infix, Math, Parentheses, Symbol, Words


@dataclass(frozen=True)
class Definition:
    """left = right: a formula, or an entry of the list that explains its names. An empty `name` has no left side."""

    name: str
    math: Math
    node: Expr
    left: Math

    def __str__(self) -> str:
        return f"{self.name} = {text(self.math)}" if self.name else text(self.math)


def titled(title: str) -> Math:
    """The left side that a title stands for: ∂L/∂W1 and ∂L/∂W₁ are derivatives, ∂²L/∂w² and ∂²L/∂w∂b second ones.

    >>> titled("∂L/∂W₁")
    Derivative(of=Symbol(name='L', plain=False), by=(Symbol(name='W1', plain=False),))
    """
    plain = unicodedata.normalize("NFKC", title)
    found = re.fullmatch(r"∂²?([^\W²]+)/((?:∂[^\W²]+²?)+)", title)
    if found:
        by = re.findall(r"∂([^\W²]+)(²?)", found[2])
        repeated = [Symbol(unicodedata.normalize("NFKC", n)) for n, square in by for _ in "12"[: 2 if square else 1]]
        return Derivative(Symbol(unicodedata.normalize("NFKC", found[1])), tuple(repeated))
    return Symbol(plain) if plain.isidentifier() else Words(title)


class Writer:
    """Formulas of several expressions that share their names, in one notation."""

    def __init__(self, named: Mapping[str, Expr], notation: str) -> None:
        self.named, self.notation = named, notation
        self.roots = list(named.values())
        self.atoms = atoms(self.roots, notation == "index")
        self.matrix, self.index = MatrixNotation(self.atoms), IndexNotation(self.atoms)

    def main(self) -> list[Definition]:
        """The formulas themselves."""
        return [self._definition(title, titled(title), e) for title, e in self.named.items()]

    def where(self, stop: Sequence[Expr] = (), depth: int | None = None) -> list[Definition]:
        """The explanation of every name that they use, nearest first; at most `depth` names away."""
        order = topological(self.roots)
        away = self._distances() if depth is not None else {}
        hidden = self._explained(order)
        listed = [n for n in reversed(order) if n in self.atoms and not isinstance(n.op, Leaf) and n not in hidden]
        kept = [n for n in listed if n not in stop and (depth is None or away[n] <= depth)]
        return [self._definition(text(self.atoms[n]), self.atoms[n], n) for n in kept]

    def _definition(self, name: str, left: Math, node: Expr) -> Definition:
        body = node.args[0] if isinstance(node.op, Named) else node
        if self.notation != "index":
            return Definition(name, _told_apart(self.matrix.math(body, top=body is node), name), node, left)
        letters = self.index.letters(node)
        at = [Symbol(c) for c in letters]
        entry = self.index.entry(body, at, letters, top=body is node)
        entry = _told_apart(entry, name or "result" * bool(at))
        if not at:
            return Definition(name, entry, node, left)
        if isinstance(left, Derivative) and len(left.by) == 1:
            left = replace(left, by=(Indexed(left.by[0], tuple(at)),))
        else:
            left = Indexed(left if name else Symbol("result"), tuple(at))
        return Definition(text(left), entry, node, left)

    def _explained(self, order: Sequence[Expr]) -> set[Expr]:
        """Roots that need no line in the list: nothing uses them, or their title is their name."""
        used = {a for node in order for a in node.args}
        return {e for t, e in self.named.items() if e not in used or titled(t) == self.atoms.get(e)}

    def _distances(self) -> dict[Expr, int]:
        """How many names each node is away from the formulas, itself included."""
        found = dict.fromkeys(self.roots, 0)
        for node in reversed(topological(self.roots)):
            for argument in node.args:
                step = found[node] + (argument in self.atoms)
                found[argument] = min(found.get(argument, step), step)
        return found


def _told_apart(right: Math, name: str) -> Math:
    """A condition in parentheses, so that its sign is not taken for the one that defines: hit = (a = b)."""
    return Parentheses(right) if name and isinstance(right, Infix) and right.level <= RELATION else right


def definitions(
    named: Mapping[str, Expr], stop: Sequence[Expr] = (), notation: str = "matrix", depth: int | None = None
) -> tuple[list[Definition], list[Definition]]:
    """The formulas of some expressions by title, and the list that explains every name in them."""
    writer = Writer(named, notation)
    return writer.main(), writer.where(stop, depth)


def aligned(entries: Sequence[Definition], indent: int = 0) -> list[str]:
    """Definitions below each other, their signs of equality in a column, no line longer than 100."""
    width = max((len(d.name) for d in entries), default=0)
    pad = " " * indent
    return [wrapped(f"{pad}{d.name:<{width}} = {text(d.math)}", indent + width + 3) for d in entries]
