"""NumPy notation: a block of Python that runs, an assignment for each name and the last for the result.

Takes expressions by title, gives text; what NumPy lacks (softmax, erf) is defined in the block where it is used. It
shares no code with the interpreter or with codegen. The operations themselves are in `numpy_operations`.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from symgrad.expression import ops
from symgrad.expression.node import Expr, leaves, topological
from symgrad.formulas.atoms import atoms, fresh
from symgrad.formulas.numpy_operations import HELPERS, OPERATIONS
from symgrad.formulas.numpy_products import Code, Scope, size_code
from symgrad.formulas.text import WIDTH

RESERVED = {"np", "math", "range", "tuple", "float", "globals", *keyword.kwlist, *HELPERS}


def block(named: Mapping[str, Expr]) -> str:
    """The block for some expressions; their titles become identifiers, ∂L/∂W1 is dL_dW1."""
    return _Block(named).text()


def identifier(title: str) -> str:
    """A title as a Python name.

    >>> identifier("∂L/∂W₁"), identifier("∂²L/∂w∂b"), identifier("")
    ('dL_dW1', 'd2L_dw_db', 'result')
    """
    parted = re.sub(r"(?<=\w)∂", "_∂", title)
    plain = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", parted).replace("∂", "d")).strip("_")
    return (f"_{plain}" if plain[:1].isdigit() else plain) or "result"


class _Block(Scope):
    """The text of one block; it collects the helpers and the sizes that its lines turn out to need."""

    def __init__(self, named: Mapping[str, Expr]) -> None:
        self.roots = list(named.values())
        self.leaves = leaves(self.roots)
        self.taken = {*RESERVED, *self.leaves}
        self.stops: dict[Expr, str] = {}
        self.helpers: list[str] = []
        self.extents: dict[str, str] = {}
        for node, symbol in atoms(self.roots, entrywise=False).items():
            own = isinstance(node.op, ops.Leaf) and self.leaves[symbol.name] is node
            self.stops[node] = self._own(symbol.name, own)
        self.titles = [self._title(title, e) for title, e in named.items()]

    def _own(self, name: str, given: bool) -> str:
        """The Python name of something: its own, unless that means something else in Python or in the block."""
        return name if given and name not in RESERVED and _safe(name) else self._new(identifier(name))

    def _new(self, wish: str) -> str:
        name = fresh(wish, self.taken)
        self.taken.add(name)
        return name

    def _title(self, title: str, root: Expr) -> str:
        wish = identifier(title)
        return wish if self.stops.get(root) == wish else self._new(wish)

    def code(self, node: Expr) -> Code:
        """A node as Python, by its name where it has one."""
        return Code(self.stops[node]) if node in self.stops else self.write(node)

    def write(self, node: Expr) -> Code:
        """A node written out."""
        if isinstance(node.op, ops.Named):
            return self.code(node.args[0])
        return OPERATIONS[type(node.op)](self, node)

    def helper(self, name: str) -> str:
        if name not in self.helpers:
            self.helpers.append(name)
        return name

    def extent(self, size: Any) -> Code:
        return size_code(size, self._size_name)

    def _size_name(self, name: str) -> str:
        if name not in self.extents:
            self.extents[name] = self._new(name)
        return self.extents[name]

    def text(self) -> str:
        body: list[str] = []
        used = {a for node in topological(self.roots) for a in node.args}
        for node in topological(self.roots):
            leaf = isinstance(node.op, ops.Leaf)
            if node in self.stops and not leaf and (node in used or node not in self.roots):
                body += assignment(self.stops[node], self.write(node).text)
        for title, root in zip(self.titles, self.roots, strict=True):
            if root not in used or self.stops.get(root) != title:
                body += assignment(title, (self.code(root) if root in used else self.write(root)).text)
        lines = ["import math"] if {"erf", "erfc", "logerfc", "log1mexp"} & set(self.helpers) else []
        sizes = self._size_lines()
        lines += ["import numpy as np", "", *(line for h in self.helpers for line in (*HELPERS[h], ""))]
        renamed = [f"{own} = {given if _safe(given) else f'globals()[{given!r}]'}" for given, own in self._renamed()]
        return "\n".join([*renamed, *lines, *sizes, *body])

    def _renamed(self) -> list[tuple[str, str]]:
        """Inputs whose names mean something else in the block."""
        return [(n.op.name, own) for n, own in self.stops.items() if isinstance(n.op, ops.Leaf) and n.op.name != own]

    def _size_lines(self) -> list[str]:
        lines = []
        for name, own in self.extents.items():
            found = [(leaf, list(leaf.shape).index(name)) for leaf in self.leaves.values() if name in leaf.shape]
            if found:
                leaf, axis = found[0]
                lines.append(f"{own} = {self.stops[leaf]}.shape[{axis}]")
            elif own != name:  # a size that no input tells, as that of an identity, is an input by its name
                lines.append(f"{own} = {name}")
        return lines


def _safe(name: str) -> bool:
    """Whether Python reads a name as it is written: W₁ would be W1."""
    return unicodedata.normalize("NFKC", name) == name


def assignment(name: str, code: str) -> Sequence[str]:
    """name = code, over several lines in parentheses when it is long."""
    line = f"{name} = {code}"
    if len(line) <= WIDTH:
        return [line]
    lines, current = [f"{name} = ("], "   "
    for word in code.split(" "):
        if len(current) + 1 + len(word) > WIDTH and current.strip():
            lines.append(current)
            current = "   "
        current += " " + word
    return [*lines, current, ")"]


__all__ = ["assignment", "block", "identifier"]
