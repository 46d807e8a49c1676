"""Formulas that people read: what is named stays named, and is explained once in a list below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symgrad.expression import ops
from symgrad.expression.node import Expr, topological, users
from symgrad.expression.ops import Constant, Leaf, Named
from symgrad.formula.matrix import Notation
from symgrad.formula.text import text, wrapped
from symgrad.formula.tree import Math


@dataclass(frozen=True)
class Definition:
    """left = right: a formula, or an entry of the list that explains its names."""

    name: str
    math: Math
    node: Expr

    def __str__(self) -> str:
        return f"{self.name} = {text(self.math)}"


def _shared(roots: Sequence[Expr], atoms: Mapping[Expr, str]) -> dict[Expr, str]:
    """Parts without a name that stand in several places get one, so that nothing is ever written out twice."""
    order = topological(roots)
    using, taken, found = users(order), set(atoms.values()), {}
    for node in order:
        small = isinstance(node.op, Leaf | Constant | ops.Extent | ops.OneHot | ops.Softmax | ops.LogSumExp | ops.Identity) or node in atoms
        if len(using[node]) > 1 and not small and node not in roots and len(topological([node], stop=atoms.__contains__)) > 3:
            number = len(found) + 1
            while f"t{number}" in taken:
                number += 1
            found[node] = f"t{number}"
            taken.add(f"t{number}")
    return found


def definitions(named: Mapping[str, Expr], stop: Sequence[Expr] = ()) -> tuple[list[Definition], list[Definition]]:
    """The formulas of some expressions by title, and the list that explains every name in them."""
    roots = list(named.values())
    atoms: dict[Expr, str] = {}
    for node in topological(roots):
        if isinstance(node.op, Named | Leaf):
            atoms[node] = node.op.name
    atoms |= _shared(roots, atoms)
    notation = Notation(atoms)
    main = [Definition(title, notation.math(_unnamed(e)) if e in atoms and isinstance(e.op, Named) else notation.math(e, top=True), e) for title, e in named.items()]
    explained = [n for n in reversed(topological(roots)) if n in atoms and not isinstance(n.op, Leaf) and n not in roots and n not in stop]
    where = [Definition(text(_symbol(atoms[n])), notation.math(_unnamed(n), top=True), n) for n in explained]
    return main, where


def _unnamed(node: Expr) -> Expr:
    return node.args[0] if isinstance(node.op, Named) else node


def _symbol(name: str) -> Math:
    from symgrad.formula.tree import Symbol

    return Symbol(name)


def aligned(entries: Sequence[Definition], indent: int = 0) -> list[str]:
    """Definitions below each other, their signs of equality in a column, no line longer than 100."""
    width = max((len(d.name) for d in entries), default=0)
    pad = " " * indent
    return [wrapped(f"{pad}{d.name:<{width}} = {text(d.math)}", indent + width + 3) for d in entries]


def formula(expression: Expr) -> str:
    """An expression as a formula in matrix notation, with a list of what its names stand for.

    >>> from symgrad.expression.functions import parameter, variable
    >>> x, w = variable("x", ("N", 3)), parameter("w", (3,))
    >>> print(formula(x @ w + 1))
    x w + 1
    """
    main, where = definitions({"": expression})
    lines = [wrapped(text(main[0].math), 4)]
    return "\n".join([*lines, *(["where", *aligned(where, 2)] if where else [])])
