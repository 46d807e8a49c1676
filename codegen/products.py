"""Contractions as matrix products: which indices are rows, columns and depth, and which are looped over.

The tiles multiply a matrix of rows by one of columns. Indices whose strides follow one another in both operands are
taken together as one: the window offset and the channels of a convolution are one depth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symgrad.codegen.views import View
from symgrad.expression import sizes
from symgrad.expression.node import Expr
from symgrad.expression.ops import Contraction
from symgrad.expression.scalars import REAL
from symgrad.expression.sizes import Size

RUNS = 2048  # entries of a depth in several runs, at most; see `tiles.RUNS`
TYPICAL = 128  # what a named size is taken for when work is weighed


def entries(shape: Sequence[Size]) -> int:
    """About how many entries a shape has."""
    total = 1
    for size in shape:
        total *= size if isinstance(size, int) else TYPICAL
    return total


@dataclass(frozen=True)
class Product:
    """A contraction seen as matrix products: rows by columns, summed over depths, for each of the batch indices."""

    rows: int
    columns: int
    depths: tuple[int, ...]
    batch: tuple[int, ...]
    left: int  # which operand holds the rows


def as_product(node: Expr) -> Product | None:
    """How a two-operand contraction is a matrix product, or None: the last index of the result is the columns'."""
    op = node.op
    if not isinstance(op, Contraction) or len(op.inputs) != 2 or len(op.output) < 2 or op.new:
        return None
    a, b = (set(i) for i in op.inputs)
    if any(len(set(i)) != len(i) for i in op.inputs) or any(x.kind != REAL for x in node.args):
        return None
    summed = (a | b) - set(op.output)
    columns = op.output[-1]
    if not summed or not summed <= (a & b) or (columns in a) == (columns in b):
        return None
    left = 0 if columns in b else 1
    mine = a if left == 0 else b
    other = b if left == 0 else a
    rows = [i for i in op.output if i in mine and i not in other]
    if not rows:
        return None
    batch = tuple(i for i in op.output[:-1] if i != rows[-1])
    depths = tuple(i for i in op.inputs[left] if i in summed)
    return Product(rows[-1], columns, depths, batch, left)


@dataclass(frozen=True)
class Grouped:
    """A product with indices taken together: each group counts as one, its last index innermost."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    depth: tuple[int, ...]
    batch: tuple[int, ...]  # a product for each of their values
    loops: tuple[int, ...]  # summed outside the tiles
    runs: int | None = None  # summed by the tiles as runs of the depth


Strides = Mapping[int, Size]


def strides_of(view: View, indices: Sequence[int]) -> dict[int, Size]:
    """The stride of each index of an operand."""
    return dict(zip(indices, view.strides, strict=True))


def grouped(
    product: Product, op: Contraction, extent: Strides, a: Strides, b: Strides, split: int | None, together: bool = True
) -> Grouped:
    """Which indices the tiles take as one. `split` is the index that threads divide: it can only come first in a group.

    Without `together` rows and columns stay single indices, for a block that is used entry by entry.
    """

    def extended(group: list[int], candidates: Sequence[int], strides: Sequence[Strides]) -> list[int]:
        for i in reversed(candidates):
            inner = group[0]
            if inner == split or not all(_follow(s[i], s[inner], extent[inner]) for s in strides):
                break
            group.insert(0, i)
        return group

    def before(index: int, owner: Strides, other: Strides) -> list[int]:
        """The indices of the output that stand just before one and are of the same operand alone."""
        found: list[int] = []
        for i in reversed(op.output[: op.output.index(index)]):
            if i not in owner or i in other:
                break
            found.insert(0, i)
        return found

    rows, columns = [product.rows], [product.columns]
    if together:
        rows = extended(rows, before(product.rows, a, b), [a])
        columns = extended(columns, before(product.columns, b, a), [b])
    depth = _depth(product.depths, extent, a, b)
    batch = tuple(i for i in op.output if i not in rows and i not in columns)
    loops = tuple(i for i in product.depths if i not in depth)
    runs = _runs(loops, depth, extent, b[columns[-1]])
    return Grouped(tuple(rows), tuple(columns), depth, batch, tuple(i for i in loops if i != runs), runs)


def _runs(loops: Sequence[int], depth: Sequence[int], extent: Strides, column: Size) -> int | None:
    """The innermost of the loops, where the tiles can go through it themselves."""
    sizes_known = all(isinstance(extent[i], int) and extent[i] > 0 for i in (*loops[-1:], *depth))
    if not loops or not sizes_known or not (isinstance(column, int) and column == 1):
        return None
    return loops[-1] if entries([extent[i] for i in (*depth, loops[-1])]) <= RUNS else None


def _depth(depths: Sequence[int], extent: Strides, a: Strides, b: Strides) -> tuple[int, ...]:
    """The longest run of summed indices whose strides follow one another in both operands."""
    best: tuple[int, ...] = ()
    for last in depths:
        group: tuple[int, ...] = (last,)
        while True:
            outer = [i for i in depths if i not in group and all(_follow(s[i], s[group[0]], extent[group[0]])
                                                                 for s in (a, b))]  # fmt: skip
            if not outer:
                break
            group = (outer[0], *group)
        if not best or entries([extent[i] for i in group]) > entries([extent[i] for i in best]):
            best = group
    return best


def _follow(outer: Size, inner: Size, extent: Size) -> bool:
    """Whether one index goes on where a whole run of the other ends."""
    return sizes.same(outer, sizes.times((inner, extent)))
