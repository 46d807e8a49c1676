"""Stages as loops.

Matrix products call tiles, other heavy nodes get loops of their own, light ones are fused into them.

Each function takes a stage and the axis that threads divide, and gives statements; which axis that is was decided by
`sharding`. A thread's part of an axis runs from `<size>_from` to `<size>_to`, see `bounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symgrad.codegen import scalar_text
from symgrad.codegen.loops import Call, If, Let, Loop, Statement, Store
from symgrad.codegen.lower import Lowering, Scope, as_kind
from symgrad.codegen.names import Index, position, product_text, size_text
from symgrad.codegen.reductions import HEAVY
from symgrad.codegen.schedule import Product, Stage, as_product, is_heavy, is_permutation, plain_view
from symgrad.expression.node import Expr
from symgrad.expression.ops import Constant, Contraction
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL
from symgrad.expression.sizes import Size

BLOCK = 56  # rows of a fused product computed at a time: a multiple of every tile's height


class Builder:
    """Loops of one stage, divided between threads along `split` (None: one thread does it)."""

    def __init__(
        self, lowering: Lowering, stage: Stage, split: int | None, ranges: Callable[[Size], tuple[str, str]]
    ) -> None:
        self.lowering = lowering
        self.stage = stage
        self.split = split
        self.ranges = ranges
        self.body: list[Statement] = []
        self.axis_of: dict[str, int] = {f"@{axis}": axis for axis in range(len(stage.shape))}  # loop index -> axis

    def build(self) -> list[Statement]:
        """The statements of the stage."""
        node = self.stage.nodes[0]
        self.lowering.begin_stage()
        if self.stage.product is not None:
            self.fused_product(self.stage.product)
        elif as_product(node) and self.stage.targets == [None]:
            self.products(node)
        elif is_heavy(node) and self.stage.targets == [None]:
            HEAVY[type(node.op)](self, node) if type(node.op) in HEAVY else self.generic_contraction(node)
        else:
            self.entrywise()
        body = [*self.lowering.prologue, *self.body]
        return [If("thread == 0", body)] if self.split is None else body

    def bounds(self, axis: int) -> tuple[str, str]:
        """Where this thread's part of an axis begins and ends."""
        size = self.stage.shape[axis]
        if axis != self.split:
            return "0", size_text(size)
        return self.ranges(size)

    def nest(self, axes: Sequence[int], scope: Scope) -> tuple[dict[int, str], Scope]:
        """Loops over some axes of the stage's index space, and the scope inside them."""
        index: dict[int, str] = {}
        for axis in axes:
            name = self.lowering.names.fresh("ijklpq"[axis % 6])
            loop = Loop(name, *self.bounds(axis))
            scope.body.append(loop)
            scope, index[axis] = Scope(loop.body, scope, name), name
            self.axis_of[name] = axis
        return index, scope

    def inner(self, sizes: Sequence[Size], scope: Scope) -> tuple[Index, Scope]:
        """Loops over summed axes, undivided."""
        names = []
        for size in sizes:
            name = self.lowering.names.fresh("m")
            loop = Loop(name, "0", size_text(size))
            scope.body.append(loop)
            scope = Scope(loop.body, scope, name)
            names.append(name)
        return tuple(names), scope

    def store(self, node: Expr, target: Expr | None, index: Index, text: str, add: bool = False) -> Store:
        buffer = target if target is not None else node
        if node.kind == BOOLEAN:
            text = f"(1 if {text} else 0)"  # stored as bytes
        return Store(self.lowering.buffer(buffer), position(node.shape, index), text, add)

    def entrywise(self) -> None:
        """One loop nest that computes every node of the stage, then stores them: reads come before writes."""
        index, scope = self.nest(range(len(self.stage.shape)), Scope(self.body))
        self._finish(tuple(index[a] for a in range(len(self.stage.shape))), scope)

    def _finish(self, index: Index, scope: Scope) -> None:
        stored = self.lowering.schedule.stored
        texts = []
        for node in self.stage.nodes:
            if not node.shape and node.kind == REAL:
                texts.append(self.lowering.computed_scalar(node))
                continue
            known = node in stored and node not in self.lowering.scratch
            text = self.lowering._compute(node, index, scope) if known else self.lowering.value(node, index, scope)
            texts.append(text)
        for node, target, text in zip(self.stage.nodes, self.stage.targets, texts, strict=True):
            kind = target.kind if target is not None else node.kind
            scope.body.append(self.store(node, target, index, scalar_text.convert(text, node.kind, kind)))

    def view(self, node: Expr) -> tuple[str, list[str]]:
        """The buffer and the stride of each axis of a matrix product's operand."""
        if isinstance(node.op, Contraction) and is_permutation(node) and node not in self.lowering.schedule.stored:
            buffer, strides = self.view(node.args[0])
            stride = dict(zip(node.op.inputs[0], strides, strict=True))
            return buffer, [stride[i] for i in node.op.output]
        if isinstance(node.op, Constant):
            self.lowering.constant(node, ("0",) * node.ndim, Scope([]))
        strides = [product_text([size_text(s) for s in node.shape[axis + 1 :]]) for axis in range(node.ndim)]
        return self.lowering.buffer(node), strides

    def _operands(self, node: Expr, product: Product) -> tuple[tuple[str, dict[int, str]], tuple[str, dict[int, str]]]:
        assert isinstance(node.op, Contraction)
        found = []
        for side in (product.left, 1 - product.left):
            buffer, strides = self.view(node.args[side])
            found.append((buffer, dict(zip(node.op.inputs[side], strides, strict=True))))
            at = {i: f"@{node.op.output.index(i)}" for i in node.op.output}
            base = plain_view(node.args[side])
            order = list(node.op.inputs[side])
            self.lowering.reads.append((base, tuple(at.get(i, "") for i in _undo(node.args[side], order))))
        return found[0], found[1]

    def products(self, node: Expr) -> None:
        """A call of the tiles for each entry of the batch axes."""
        product = as_product(node)
        assert product and isinstance(node.op, Contraction)
        output = node.op.output
        index, scope = self.nest([output.index(i) for i in product.batch], Scope(self.body))
        at = {output[axis]: name for axis, name in index.items()}
        row_axis, column_axis = output.index(product.rows), len(output) - 1
        rows, columns = self.bounds(row_axis), self.bounds(column_axis)
        target = [at.get(i, rows[0] if i == product.rows else columns[0]) for i in output]
        row_stride = product_text([size_text(s) for s in node.shape[row_axis + 1 :]])
        goal = (self.lowering.buffer(node), position(node.shape, tuple(target)), row_stride)
        self._call(node, product, at, rows, columns, goal, scope)

    def _call(
        self,
        node: Expr,
        product: Product,
        at: dict[int, str],
        rows: tuple[str, str],
        columns: tuple[str, str],
        goal: tuple[str, str, str],
        scope: Scope,
    ) -> None:
        (a, a_stride), (b, b_stride) = self._operands(node, product)
        assert isinstance(node.op, Contraction)
        a_start = _offset([(at[i], s) for i, s in a_stride.items() if i in at] + [(rows[0], a_stride[product.rows])])
        b_start = _offset(
            [(at[i], s) for i, s in b_stride.items() if i in at] + [(columns[0], b_stride[product.columns])]
        )
        depth = size_text(node.op.sizes_of(node.args)[product.depth])
        arguments = (a, a_start, a_stride[product.rows], a_stride[product.depth], b, b_start, b_stride[product.depth],
                     b_stride[product.columns], *goal, _span(rows), _span(columns), depth, "work")  # fmt: skip
        scope.body.append(Call("matmul", arguments))

    def fused_product(self, node: Expr) -> None:
        """A product block by block, each used up at once by the stage's nodes.

        A weight's gradient never exists whole.
        """
        product = as_product(node)
        assert product and not product.batch
        names = self.lowering.names
        start, stop = self.bounds(0)
        columns = self.bounds(1)
        first, last, width = names.fresh("first_row"), names.fresh("last_row"), names.fresh("width")
        self.body.append(Let(width, _span(columns)))
        loop = Loop(first, start, stop, step=str(BLOCK))
        loop.body.append(Let(last, f"min({first} + {BLOCK}, {stop})"))
        self.body.append(loop)
        outer = Scope(loop.body, Scope(self.body))
        self._call(node, product, {}, (first, last), columns, ("block", "0", width), outer)
        i, j = names.fresh("i"), names.fresh("j")
        self.axis_of |= {i: 0, j: 1}
        rows = Loop(i, first, last)
        column = Loop(j, *columns)
        rows.body.append(column)
        loop.body.append(rows)
        offset = f" - {columns[0]}" if columns[0] != "0" else ""
        self.lowering.scratch[node] = lambda index: f"block[({index[0]} - {first})*{width} + {index[1]}{offset}]"
        self._finish((i, j), Scope(column.body, Scope(rows.body, outer, i), j))
        del self.lowering.scratch[node]

    def generic_contraction(self, node: Expr) -> None:
        """Sums that are no matrix product: the last axis of the result innermost where operands are laid out so."""
        op = node.op
        assert isinstance(op, Contraction)
        extent = op.sizes_of(node.args)
        summed = [i for i in dict.fromkeys(i for indices in op.inputs for i in indices) if i not in op.output]
        contiguous = [indices[-1] for indices in op.inputs if len(indices) > 1]
        if op.output and op.output[-1] in contiguous and not any(s in contiguous for s in summed):
            self._accumulate(node, summed, extent)
            return
        index, scope = self.nest(range(node.ndim), Scope(self.body))
        total = self.lowering.names.fresh("total")
        wide = "float64(0)" if not op.output and node.kind == REAL else "0" if node.kind == INTEGER else "real(0)"
        scope.body.append(Let(total, wide))
        names, inner = self.inner([extent[s] for s in summed], scope)
        at = dict(zip(op.output, (index[a] for a in range(node.ndim)), strict=True)) | dict(
            zip(summed, names, strict=True)
        )
        inner.body.append(Let(total, f"{total} + {self._term(node, at, inner)}"))
        text = f"real({total})" if node.kind == REAL and op.output else total
        scope.body.append(self.store(node, None, tuple(index[a] for a in range(node.ndim)), text))

    def _term(self, node: Expr, at: dict[int, str], scope: Scope) -> str:
        assert isinstance(node.op, Contraction)
        values = [as_kind(self.lowering.value(a, tuple(at[i] for i in indices), scope), a, node.kind)
                  for indices, a in zip(node.op.inputs, node.args, strict=True)]  # fmt: skip
        return " * ".join(values)

    def _accumulate(self, node: Expr, summed: list[int], extent: dict[int, Size]) -> None:
        op = node.op
        assert isinstance(op, Contraction)
        outer, last = list(range(node.ndim - 1)), node.ndim - 1
        index, scope = self.nest(outer, Scope(self.body))
        clear, inside = self.nest([last], scope)
        here = tuple({**index, **clear}[a] for a in range(node.ndim))
        inside.body.append(self.store(node, None, here, "real(0)" if node.kind == REAL else "0"))
        names, inner = self.inner([extent[s] for s in summed], scope)
        column, deepest = self.nest([last], inner)
        place = tuple({**index, **column}[a] for a in range(node.ndim))
        at = dict(zip(op.output, place, strict=True)) | dict(zip(summed, names, strict=True))
        deepest.body.append(self.store(node, None, place, self._term(node, at, deepest), add=True))


def _undo(node: Expr, order: list[int]) -> list[int]:
    """The indices of the buffer below transposes, in the buffer's own order."""
    while node is not plain_view(node):
        if is_permutation(node):
            assert isinstance(node.op, Contraction)
            mapped = dict(zip(node.op.output, order, strict=True))
            order = [mapped[i] for i in node.op.inputs[0]]
        node = node.args[0]
    return order


def _offset(parts: Sequence[tuple[str, str]]) -> str:
    terms = [product_text([i, s]) for i, s in parts if i != "0"]
    return " + ".join(terms) if terms else "0"


def _span(bounds: tuple[str, str]) -> str:
    return bounds[1] if bounds[0] == "0" else f"{bounds[1]} - {bounds[0]}"
