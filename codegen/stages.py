"""Stages as loops.

Matrix products call tiles, other heavy nodes get loops of their own, light ones are fused into them.

Each function takes a stage and the axis that threads divide, and gives statements; which axis that is was decided by
`sharding`. A thread's part of an axis runs from `<size>_from` to `<size>_to`, see `bounds`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from symgrad.codegen import matrices, reductions, scalar_text, spreading
from symgrad.codegen.loops import If, Let, Loop, Statement, Store
from symgrad.codegen.lower import Lowering, Scope, as_kind
from symgrad.codegen.multiply import fused_product, products
from symgrad.codegen.names import Index, size_text
from symgrad.codegen.products import as_product
from symgrad.codegen.schedule import Stage, is_heavy
from symgrad.codegen.views import is_permutation
from symgrad.expression.node import Expr, topological
from symgrad.expression.ops import Contraction
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL
from symgrad.expression.sizes import Size

HEAVY = reductions.HEAVY | spreading.HEAVY | matrices.HEAVY
SQUARE = 32  # rows and columns of a square: two of them fit into the first cache
UNROLLED = 16  # entries of a window that are written one after the other, without a loop


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
            fused_product(self, self.stage.product)
        elif as_product(node) and self.stage.targets == [None]:
            products(self, node)
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

    def each(self, sizes: Sequence[Size], scope: Scope, body: Callable[[Index, Scope], None]) -> None:
        """`body` at every index of some axes: written out for few, so that no loop stands in the way, or in loops."""
        if all(isinstance(s, int) for s in sizes) and 0 < math.prod(sizes) <= UNROLLED:
            for place in itertools.product(*(range(s) for s in sizes)):
                body(tuple(map(str, place)), scope)
        else:
            body(*self.inner(sizes, scope))

    def store(self, node: Expr, target: Expr | None, index: Index, text: str, add: bool = False) -> Store:
        buffer = target if target is not None else node
        if node.kind == BOOLEAN:
            text = f"(1 if {text} else 0)"  # stored as bytes
        return Store(self.lowering.memory(buffer), self.lowering.entry(buffer, index), text, add)

    def entrywise(self) -> None:
        """One loop nest that computes every node of the stage, then stores them: reads come before writes."""
        if len(self.stage.shape) == 2 and self._turned():
            index, scope = self.squares(Scope(self.body))
        else:
            index, scope = self.nest(range(len(self.stage.shape)), Scope(self.body))
        self.finish(tuple(index[a] for a in range(len(self.stage.shape))), scope)

    def _turned(self) -> bool:
        """Whether the stage reads a matrix the other way round, as A + Aᵀ does."""
        below = [a for node in self.stage.nodes for a in node.args]
        inside = topological(below, stop=self.lowering.schedule.stored.__contains__)
        return any(n.ndim == 2 and is_permutation(n) and n.op.inputs[0] != n.op.output for n in inside)  # type: ignore[attr-defined]

    def squares(self, scope: Scope) -> tuple[dict[int, str], Scope]:
        """Loops over a matrix square by square: rows of one operand and columns of another stay in the cache."""
        index: dict[int, str] = {}
        corners = []
        for axis in range(2):
            corner = self.lowering.names.fresh("corner")
            loop = Loop(corner, *self.bounds(axis), step=str(SQUARE))
            scope.body.append(loop)
            scope = Scope(loop.body, scope, corner)
            corners.append(corner)
        for axis, corner in enumerate(corners):
            name = self.lowering.names.fresh("ij"[axis])
            loop = Loop(name, corner, f"min({corner} + {SQUARE}, {self.bounds(axis)[1]})")
            scope.body.append(loop)
            scope, index[axis] = Scope(loop.body, scope, name), name
            self.axis_of[name] = axis
        return index, scope

    def finish(self, index: Index, scope: Scope) -> None:
        """The entries of every node of the stage at an index, stored after all of them are computed."""
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

    def generic_contraction(self, node: Expr) -> None:
        """Sums that are no matrix product: the last axis of the result innermost where operands are laid out so."""
        op = node.op
        assert isinstance(op, Contraction)
        extent = op.sizes_of(node.args)
        summed = [i for i in dict.fromkeys(i for indices in op.inputs for i in indices) if i not in op.output]
        contiguous = [indices[-1] for indices in op.inputs if len(indices) > 1]
        rows = op.output and op.output[-1] in contiguous and not any(s in contiguous for s in summed)
        few = all(isinstance(extent[s], int) for s in summed) and math.prod(extent[s] for s in summed) <= UNROLLED
        if rows and not few:
            self._accumulate(node, summed, extent)
            return
        index, scope = self.nest(range(node.ndim), Scope(self.body))
        total = self.lowering.names.fresh("total")
        wide = "float64(0)" if not op.output and node.kind == REAL else "0" if node.kind == INTEGER else "real(0)"
        scope.body.append(Let(total, wide))
        here = dict(zip(op.output, (index[a] for a in range(node.ndim)), strict=True))

        def add(names: Index, inner: Scope) -> None:
            term = self._term(node, here | dict(zip(summed, names, strict=True)), inner)
            inner.body.append(Let(total, f"{total} + {term}"))

        if rows:
            self.each([extent[s] for s in summed], scope, add)
        else:
            add(*self.inner([extent[s] for s in summed], scope))
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
