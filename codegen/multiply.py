"""Matrix products as calls of the tiles: whole into a buffer, or block by block for what uses each block at once.

Each takes the builder of its stage, which knows the axis that threads divide, and adds loops to the builder's body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from symgrad.codegen.loops import Call, Let, Loop, Store
from symgrad.codegen.lower import Own, Scope
from symgrad.codegen.names import product_text, size_text
from symgrad.codegen.products import Grouped, as_product, entries, grouped, strides_of
from symgrad.codegen.views import View, base_of, row_strides, view
from symgrad.expression.node import Expr
from symgrad.expression.ops import Constant, Contraction
from symgrad.expression.sizes import Size

if TYPE_CHECKING:
    from symgrad.codegen.stages import Builder

# Rows of a fused product computed at a time: a multiple of every tile's height (14, 8, 7, 6, 4). Of results wider than
# WIDE a third as many, so that they stay in a core's second cache until they are used.
BLOCK, FEWER, WIDE = 168, 56, 256
SMALL = 1 << 16  # entries of a result that stays in the cache while it is added to
Bounds = tuple[str, str]


@dataclass
class Operand:
    """A buffer with the stride of each index of the contraction."""

    buffer: str
    view: View
    strides: dict[int, Size]
    own: Own | None = None
    last: int | None = None  # the index along the axis of which threads have parts of their own

    def start(self, at: Mapping[int, str]) -> str:
        """The position of the entry at some indices, the others 0."""
        if self.own is not None and self.last is not None:
            at = {i: self.own.within(name) if i == self.last else name for i, name in at.items()}
        terms = [product_text([wrapped(name), stride(self.strides[i])]) for i, name in at.items() if i in self.strides]
        offset = self.view.offset
        fixed = [] if isinstance(offset, int) and offset == 0 else [size_text(offset)]
        kept = [t for t in terms if t not in ("0",)] + fixed
        return " + ".join(kept) if kept else "0"


def wrapped(text: str) -> str:
    return text if text.isidentifier() or text.isdigit() else f"({text})"


def stride(size: Size) -> str:
    text = size_text(size)
    return f"({text})" if text.startswith("-") else text


class Multiplication:
    """One contraction as matrix products: its operands, its groups of indices, and where threads divide it."""

    def __init__(self, builder: Builder, node: Expr, together: bool) -> None:
        product, op = as_product(node), node.op
        assert product is not None and isinstance(op, Contraction)
        self.builder, self.node, self.op = builder, node, op
        self.extent = op.sizes_of(node.args)
        self.a, self.b = (self._operand(side) for side in (product.left, 1 - product.left))
        split = op.output[builder.split] if builder.split is not None else None
        self.groups: Grouped = grouped(
            product, op, self.extent, self.a.strides, self.b.strides, split, together
        )

    def _operand(self, side: int) -> Operand:
        argument, indices, lowering = self.node.args[side], self.op.inputs[side], self.builder.lowering
        base = base_of(argument)
        found, own = view(argument, lowering.room(base)), lowering.own.get(base)
        if isinstance(found.base.op, Constant):
            lowering.constant(found.base, ("0",) * found.base.ndim, Scope([]))
        axes: list[str] = [""] * found.base.ndim
        for index, axis in zip(indices, found.axes, strict=True):
            if axis is not None and index in self.op.output:
                axes[axis] = f"@{self.op.output.index(index)}"
        lowering.reads.append((found.base, tuple(axes)))
        last = next((i for i, axis in zip(indices, found.axes, strict=True) if axis == base.ndim - 1), None)
        return Operand(lowering.memory(base), found, strides_of(found, indices), own, last)

    def bounds(self, group: Sequence[int]) -> Bounds:
        """From where to where this thread goes through a group of output indices, taken as one."""
        first, last = self.builder.bounds(self.op.output.index(group[0]))
        inner = product_text([size_text(self.extent[i]) for i in group[1:]])
        return (first if first == "0" else product_text([first, inner])), product_text([wrapped(last), inner])

    def batch(self, scope: Scope) -> tuple[dict[int, str], Scope]:
        """Loops over the batch indices."""
        index, scope = self.builder.nest([self.op.output.index(i) for i in self.groups.batch], scope)
        return {self.op.output[axis]: name for axis, name in index.items()}, scope

    def loops(self, scope: Scope) -> tuple[dict[int, str], Scope]:
        """Loops over what is summed outside the tiles."""
        names, scope = self.builder.inner([self.extent[i] for i in self.groups.loops], scope)
        return dict(zip(self.groups.loops, names, strict=True)), scope

    def call(self, at: dict[int, str], rows: Bounds, columns: Bounds, goal: tuple[str, str, str], scope: Scope) -> None:
        """The tiles' product over rows and columns into `goal` (buffer, start, row stride), summed over all depths.

        Inside loops over what is summed (in `at`), or with these around the call.
        """
        groups = self.groups
        inside = all(i in at for i in groups.loops)
        if not inside:
            self._clear(goal, rows, columns, scope)
        summed, inner = ({}, scope) if inside else self.loops(scope)
        at = at | summed
        names = [at[i] for i in groups.loops]
        first = "1" if not self.sure() else f"min(1, {' + '.join(names)})" if names else "0"
        row, column, deep = groups.rows[-1], groups.columns[-1], groups.depth[-1]
        a_start, b_start = self.a.start(at | {row: rows[0]}), self.b.start(at | {column: columns[0]})
        a_strides = stride(self.a.strides[row]), stride(self.a.strides[deep])
        b_strides = stride(self.b.strides[deep]), stride(self.b.strides[column])
        depth = product_text([size_text(self.extent[i]) for i in groups.depth])
        runs: tuple[str, ...] = ("1", "0", "0")
        if groups.runs is not None:
            apart = (stride(operand.strides[groups.runs]) for operand in (self.a, self.b))
            runs = (size_text(self.extent[groups.runs]), *apart)
        arguments = (self.a.buffer, a_start, *a_strides, self.b.buffer, b_start, *b_strides, *goal, span(rows),
                     span(columns), depth, *runs, first, "work")  # fmt: skip
        function = "matmul_bfloat16" if self.builder.lowering.precision == "bfloat16" else "matmul"
        inner.body.append(Call(function, arguments))

    def sure(self) -> bool:
        """Whether the loops over depths run at least once: a size such as N - 1 may be 0."""
        extents = [self.extent[i] for i in self.groups.loops]
        return all((isinstance(s, int) and s > 0) or isinstance(s, str) for s in extents)

    def _clear(self, goal: tuple[str, str, str], rows: Bounds, columns: Bounds, scope: Scope) -> None:
        if self.sure():
            return
        i, j = (self.builder.lowering.names.fresh(wish) for wish in "ij")
        store = Store(goal[0], f"{goal[1]} + {i}*{wrapped(goal[2])} + {j}", "real(0)")
        scope.body.append(Loop(i, "0", span(rows), [Loop(j, "0", span(columns), [store])]))


def products(builder: Builder, node: Expr) -> None:
    """A product whole into its buffer: a call of the tiles for each entry of the batch axes."""
    work, scope = Multiplication(builder, node, together=True), Scope(builder.body)
    summed: dict[int, str] = {}
    if entries(node.shape) <= SMALL and work.groups.batch and work.sure():  # what is summed is read once, in order
        summed, scope = work.loops(scope)
    at, scope = work.batch(scope)
    rows, columns = work.bounds(work.groups.rows), work.bounds(work.groups.columns)
    lowering = builder.lowering
    strides = dict(zip(work.op.output, row_strides(lowering.room(node)), strict=True))
    row_stride = stride(strides[work.groups.rows[-1]])
    terms = [product_text([wrapped(name), stride(strides[i])]) for i, name in at.items()]
    terms += [product_text([wrapped(rows[0]), row_stride])] if rows[0] != "0" else []
    first = lowering.own[node].within(columns[0]) if node in lowering.own else columns[0]
    terms += [first] if first != "0" else []
    start = " + ".join(t for t in terms if t != "0") or "0"
    work.call(at | summed, rows, columns, (lowering.memory(node), start, row_stride), scope)


def fused_product(builder: Builder, node: Expr) -> None:
    """A product block by block, each used up at once by the stage's nodes: a weight's gradient never exists whole."""
    work, names = Multiplication(builder, node, together=False), builder.lowering.names
    at, scope = work.batch(Scope(builder.body))
    row_axis, column_axis = work.op.output.index(work.groups.rows[-1]), node.ndim - 1
    start, stop = builder.bounds(row_axis)
    columns = builder.bounds(column_axis)
    first, last, width = names.fresh("first_row"), names.fresh("last_row"), span(columns)
    if not width.isalnum():
        width = names.fresh("width")
        scope.body.append(Let(width, span(columns)))
    if width.isdigit():
        step = str(BLOCK if int(width) <= WIDE else FEWER)
    else:
        step = names.fresh("rows_at_once")
        scope.body.append(Let(step, f"{BLOCK} if {width} <= {WIDE} else {FEWER}"))
    loop = Loop(first, start, stop, step=step)
    loop.body.append(Let(last, f"min({first} + {step}, {stop})"))
    scope.body.append(loop)
    outer = Scope(loop.body, scope)
    work.call(at, (first, last), columns, ("block", "0", width), outer)
    i, j = names.fresh("i"), names.fresh("j")
    builder.axis_of |= {i: row_axis, j: column_axis}
    rows = Loop(i, first, last)
    column = Loop(j, *columns)
    rows.body.append(column)
    loop.body.append(rows)
    offset = f" - {columns[0]}" if columns[0] != "0" else ""
    builder.lowering.scratch[node] = (
        lambda index: f"block[({index[row_axis]} - {first})*{width} + {index[column_axis]}{offset}]"
    )
    full = at | {work.groups.rows[-1]: i, work.groups.columns[-1]: j}
    builder.finish(tuple(full[n] for n in work.op.output), Scope(column.body, Scope(rows.body, outer, i), j))
    del builder.lowering.scratch[node]


def block_entries(widths: Sequence[int]) -> int:
    """How many entries a thread needs for blocks of fused products of these widths."""
    width = max(widths, default=0)
    return max(BLOCK * min(width, WIDE), FEWER * width)


def span(bounds: Bounds) -> str:
    """How many entries there are between two bounds."""
    return bounds[1] if bounds[0] == "0" else f"{bounds[1]} - {bounds[0]}"

