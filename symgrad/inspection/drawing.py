"""What a picture of expressions shows: boxes with a name, a formula and a shape, and who uses whom.

Takes expressions by title, gives a Drawing in which every box stands behind those it uses. Formulas are printed by
`symgrad.formulas`. Must not know where a box will lie or what it will look like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, topological
from symgrad.formulas import definitions
from symgrad.formulas.matrix import MatrixNotation
from symgrad.formulas.names import text as shown
from symgrad.formulas.text import text
from symgrad.formulas.tree import Symbol

INPUT, PARAMETER, CONSTANT, VALUE, OPERATION, RESULT, GRADIENT = KINDS = (
    "input", "parameter", "constant", "named value", "operation", "result", "gradient")  # fmt: skip
UNNAMED = Symbol("·", plain=True)


@dataclass(frozen=True)
class Box:
    """A node, or several folded into the one they define: its name ("" without one), formula and shape."""

    name: str
    formula: str
    shape: str
    kind: str


@dataclass(frozen=True)
class Drawing:
    """Boxes, each after those it uses; `edges` are pairs (used, user) of places in `boxes`.

    `backward` are the places of boxes that only the gradients need.
    """

    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int], ...]
    backward: frozenset[int]


def drawing(named: Mapping[str, Expr], gradients: Mapping[str, Expr], operations: bool) -> Drawing:
    """The drawing of expressions by title and of their gradients; `operations` gives each operation its box."""
    titles = {**named, **gradients}
    forward, roots = set(topological(named.values())), {_bare(e) for e in titles.values()}
    found = _each_operation(titles) if operations else _folded(titles)
    boxes: list[Box] = []
    place: dict[Expr, int] = {}
    edges: list[tuple[int, int]] = []
    for node in topological(titles.values()):
        if node not in found:
            continue
        place[node] = len(boxes)
        edges += [(place[a], place[node]) for a in topological(node.args, found.__contains__) if a in found]
        name, formula = found[node]
        kind = _kind(node, node in forward, bool(name), _bare(node) in roots)
        boxes.append(Box(name, formula, sizes.text(node.shape) if node.shape else "", kind))
    return Drawing(tuple(boxes), tuple(edges), frozenset(place[n] for n in place if n not in forward))


def _bare(node: Expr) -> Expr:
    """A node below its names."""
    while isinstance(node.op, ops.Named):
        node = node.args[0]
    return node


def _kind(node: Expr, forward: bool, named: bool, root: bool) -> str:
    kinds = {ops.Variable: INPUT, ops.Noise: INPUT, ops.Parameter: PARAMETER, ops.State: PARAMETER,
             ops.Constant: CONSTANT, ops.Range: CONSTANT}  # fmt: skip
    if type(node.op) in kinds:
        return kinds[type(node.op)]
    if not forward:
        return GRADIENT
    return RESULT if root else VALUE if named else OPERATION


def _folded(titles: Mapping[str, Expr]) -> dict[Expr, tuple[str, str]]:
    """Name and formula of what formulas stop at: leaves, names, shared parts, and the expressions themselves."""
    main, where = definitions(titles)
    found = {leaf: (shown(leaf.name), "") for leaf in topological(titles.values()) if isinstance(leaf.op, ops.Leaf)}
    for d in main:
        if not isinstance(d.node.op, ops.Leaf):
            found[d.node] = (d.name, text(d.math))
    for d in where:
        title = found[d.node][0] if d.node in found else ""
        found[d.node] = (f"{title} = {d.name}" if title and title != d.name else d.name, text(d.math))
    return found


def _each_operation(titles: Mapping[str, Expr]) -> dict[Expr, tuple[str, str]]:
    """Name and formula of every node but numbers and sizes, which stand in the formulas; a name is part of its node."""
    order = topological(titles.values())
    inline = {n for n in order if isinstance(n.op, ops.Constant | ops.Extent) and not n.shape}
    called = _names(order, titles)
    symbols = {n: Symbol(called[_bare(n)]) if _bare(n) in called else UNNAMED for n in order if n not in inline}
    found: dict[Expr, tuple[str, str]] = {}
    for node in order:
        name = shown(called[node]) if node in called else ""
        if isinstance(node.op, ops.Leaf):
            found[node] = (name, "")
        elif node not in inline and not isinstance(node.op, ops.Named):
            found[node] = (name, text(MatrixNotation(symbols).math(node, top=True)))
    return found


def _names(order: Sequence[Expr], titles: Mapping[str, Expr]) -> dict[Expr, str]:
    """What a node is called: a leaf by its own name, another by what a person named it, or else by its title."""
    called = {node: node.op.name for node in order if isinstance(node.op, ops.Leaf)}
    for node in order:
        if isinstance(node.op, ops.Named):
            called.setdefault(_bare(node), node.op.name)
    for title, node in titles.items():
        if title:
            called.setdefault(_bare(node), title)
    return called
