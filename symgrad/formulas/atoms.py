"""Which nodes formulas stop at, and under what symbol: leaves, named nodes, shared parts, and parts of deep ones.

So nothing is ever written out twice, and no formula is deeper than LEVELS, however deep the network is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from symgrad.expression import ops
from symgrad.expression.node import Expr, topological, users
from symgrad.formulas.names import clashing
from symgrad.formulas.scalar import SHOWN
from symgrad.formulas.tree import Symbol

LEVELS = 40  # a formula nested deeper is cut into parts with automatic names
SMALL = 4  # nodes: a shared part no larger than this is written where it is used
SHORT = ops.Leaf | ops.Constant | ops.Extent | ops.OneHot | ops.Softmax | ops.LogSumExp | ops.Identity

WHOLE = (ops.Softmax | ops.Reshape | ops.Inverse | ops.Solve | ops.Determinant | ops.LogDet | ops.Cholesky)


def fresh(wish: str, taken: Iterable[str]) -> str:
    """The wished name, or with a number that nobody has."""
    used = set(taken)
    if wish not in used:
        return wish
    number = 2
    while f"{wish}_{number}" in used:
        number += 1
    return f"{wish}_{number}"


class _Automatic:
    """t1, t2 ...: names that nobody has."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken, self.count = set(taken), 0

    def __call__(self) -> str:
        self.count += 1
        while f"t{self.count}" in self.taken:
            self.count += 1
        return f"t{self.count}"


def atoms(roots: Sequence[Expr], entrywise: bool) -> dict[Expr, Symbol]:
    """The symbol of every node that a formula stops at. `entrywise`: for index notation."""
    order = topological(roots)
    names: dict[Expr, str] = {}
    taken: set[str] = set()
    for node in order:
        if isinstance(node.op, ops.Leaf | ops.Named):
            names[node] = fresh(node.op.name, taken)
            taken.add(names[node])
    using, automatic, last = users(order), _Automatic(taken), set(roots)
    weight: dict[Expr, int] = {}
    height: dict[Expr, int] = {}
    wanted = _stand_alone(order, entrywise)
    for node in order:
        if node not in names and (using[node] or node not in last):
            weight[node] = 1 + sum(weight.get(a, 1) for a in node.args)
            height[node] = 1 + max((height.get(a, 0) for a in node.args), default=0)
            shared = len(using[node]) + (node in last) > 1 and weight[node] > SMALL and not isinstance(node.op, SHORT)
            if shared or height[node] > LEVELS or (node in wanted and weight[node] > 1) or _long_constant(node):
                names[node] = automatic()
        if node in names:
            weight[node], height[node] = 1, 0
    plain = clashing(list(names.values()))
    return {node: Symbol(name, name in plain) for node, name in names.items()}


def _stand_alone(order: Sequence[Expr], entrywise: bool) -> set[Expr]:
    """Arguments that need a name of their own: those that a softmax or a reshape would write twice or not at all."""
    inside: dict[Expr, bool] = {}  # whether a softmax stands below, without a name between
    found: set[Expr] = set()
    for node in order:
        below = any(inside[a] for a in node.args) and not isinstance(node.op, ops.Named)
        if isinstance(node.op, WHOLE) and not _same_entries(node) and (entrywise or below):
            found.update(node.args)
            below = False
        inside[node] = below or isinstance(node.op, ops.Softmax)
    return found


def _same_entries(node: Expr) -> bool:
    """Whether a reshape only puts in or leaves out axes of size 1: that needs no name in index notation."""
    if not isinstance(node.op, ops.Reshape):
        return False
    shapes = [[s for s in x.shape if not (isinstance(s, int) and s == 1)] for x in (node, node.args[0])]
    return shapes[0] == shapes[1]


def _long_constant(node: Expr) -> bool:
    return isinstance(node.op, ops.Constant) and node.op.array.size > SHOWN
