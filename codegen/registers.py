"""The register tile: C[height, vectors·lanes] = [C +] A @ B with every accumulator in a vector register, as LLVM IR.

One function for each height and vector count; the depth is a loop over those k that `which` lists (`depth` many), of
`runs` runs that may lie apart. With each k goes a request for two addresses, `ahead` and `ahead_more` further, which
advance by `ahead_step`: what is needed later is fetched meanwhile, where the host asks ahead. A tile that is not
`listed` takes all k below the depth. This module must not know about blocks and panels.
"""

from llvmlite import ir  # type: ignore[import-untyped]

from symgrad.codegen.emit import BIT, I32, I64, VOID, define, element, end_loop, number, prefetch
from symgrad.codegen.factors import Single
from symgrad.codegen.host import Host


def best_steps(tallest: int, vectors: int) -> list[int]:
    """For each number of rows left, below twice the tallest tile, the height of the next tile.

    A tile of h rows costs h·vectors/2 cycles for each k, but never less than the latency of a multiply-add (4); the
    cheapest sequence is found by dynamic programming: 16 rows are 8 + 8, not 14 + 2.
    """
    cost, step = [0.0], [0]
    for left in range(1, 2 * tallest):
        options = [
            (cost[left - height] + max(height * vectors / 2, 4.0) + 0.5, height)
            for height in range(min(tallest, left), 0, -1)
        ]
        best_cost, best = min(options)
        cost.append(best_cost)
        step.append(best)
    return step


class RegisterTile:
    """Emits one tile function, of the parameters below: strides count elements."""

    def __init__(
        self, module: ir.Module, host: Host, factors: Single, height: int, vectors: int, name: str, listed: bool = True
    ) -> None:
        self.factors, self.height, self.vectors, self.listed = factors, height, vectors, listed
        self.asks_ahead = host.asks_ahead
        self.vector = vector = factors.vector
        pointer = vector.scalar.as_pointer()
        parameters = [("a", pointer), ("a_row", I64), ("a_col", I64), ("b", pointer), ("b_row", I64)]
        parameters += [("c", pointer), ("c_row", I64), ("depth", I64), ("accumulate", BIT)]
        parameters += [("which", I32.as_pointer()), ("runs", I64), ("a_run", I64), ("b_run", I64)]
        parameters += [("ahead", pointer), ("ahead_more", I64), ("ahead_step", I64)]
        self.function, self.builder = define(module, name, VOID, parameters)
        start = self.emit_start()
        self.emit_finish(start, self.emit_runs(start))

    def cells(self) -> list[ir.Value]:
        """The addresses of the tile's vectors in C, row after row."""
        c, c_row = self.function.args[5:7]
        return [
            element(self.builder, c, (number(r), c_row), (number(v * self.vector.lanes), number(1)))
            for r in range(self.height)
            for v in range(self.vectors)
        ]

    def emit_start(self) -> list[ir.Value]:
        """The accumulators before the loop: what C holds, or zero."""
        builder, accumulate = self.builder, self.function.args[8]
        entry, resume, begin = builder.block, *(builder.append_basic_block(name) for name in ("resume", "begin"))
        builder.cbranch(accumulate, resume, begin)
        builder.position_at_end(resume)
        loaded = [self.vector.load(builder, cell) for cell in self.cells()]
        builder.branch(begin)
        builder.position_at_end(begin)
        start = []
        for value in loaded:
            register = builder.phi(self.vector.type)
            register.add_incoming(self.vector.zero, entry)
            register.add_incoming(value, resume)
            start.append(register)
        return start

    def emit_runs(self, start: list[ir.Value]) -> list[ir.Value]:
        """The loop over runs of the depth; there is at least one."""
        builder = self.builder
        a, b, (runs, a_run, b_run) = self.function.args[0], self.function.args[3], self.function.args[10:13]
        before, body, done = builder.block, *(builder.append_basic_block(name) for name in ("run", "end"))
        builder.branch(body)
        builder.position_at_end(body)
        run = builder.phi(I64, "run")
        totals = [builder.phi(self.vector.type) for _ in start]
        updated = self.emit_depth(totals, element(builder, a, (run, a_run)), element(builder, b, (run, b_run)))
        end_loop(builder, run, runs, list(zip(totals, start, updated, strict=True)), before, body, done)
        return updated

    def emit_depth(self, start: list[ir.Value], a: ir.Value, b: ir.Value) -> list[ir.Value]:
        """The loop over k; its results. Leaves the builder where loop and empty loop meet, in need of phis."""
        builder = self.builder
        _, a_row, _, _, _, _, _, depth, _, which = self.function.args[:10]
        ahead, ahead_more, ahead_step = self.function.args[13:]
        rows = [opaque(builder, element(builder, a, (number(r), a_row))) for r in range(self.height)]
        before, body, done = builder.block, *(builder.append_basic_block(name) for name in ("depth", "done"))
        first = self.offsets(which, number(0))
        builder.cbranch(builder.icmp_signed("<", number(0), depth), body, done)
        builder.position_at_end(body)
        taken = builder.phi(I64, "taken")
        a_offset, b_offset, *totals = phis = [builder.phi(value.type) for value in (*first, *start)]
        if self.asks_ahead:
            wanted = element(builder, ahead, (taken, ahead_step))
            prefetch(builder, wanted)
            prefetch(builder, element(builder, wanted, (ahead_more, number(1))))
        a_values = [builder.load(builder.gep(row, [a_offset])) for row in rows]
        updated = self.multiply(a_values, builder.gep(b, [b_offset]), totals)
        # One round ahead: LLVM's order of instructions would otherwise wait for the offsets with registers full.
        following = self.offsets(which, builder.add(taken, number(1)))
        carried = list(zip(phis, [*first, *start], [*following, *updated], strict=True))
        end_loop(builder, taken, depth, carried, before, body, done)
        return [self.meet(first, before, last, body) for first, last in zip(start, updated, strict=True)]

    def offsets(self, which: ir.Value, taken: ir.Value) -> tuple[ir.Value, ir.Value]:
        """How far into A and B the next k is."""
        builder, (_, _, a_col, _, b_row) = self.builder, self.function.args[:5]
        k = builder.zext(builder.load(builder.gep(which, [taken])), I64) if self.listed else taken
        return builder.mul(k, a_col), builder.mul(k, b_row)

    def meet(self, first: ir.Value, before: ir.Block, last: ir.Value, body: ir.Block) -> ir.Value:
        """The value after a loop that may not have run."""
        result = self.builder.phi(self.vector.type)
        result.add_incoming(first, before)
        result.add_incoming(last, body)
        return result

    def multiply(self, a_values: list[ir.Value], b: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
        """One k: height · vectors multiply-adds."""
        builder, vector = self.builder, self.vector
        b_values = [vector.load(builder, builder.gep(b, [number(v * vector.lanes)])) for v in range(self.vectors)]
        updated = []
        for r, value in enumerate(a_values):
            everywhere = vector.broadcast(builder, value)
            for v, b_value in enumerate(b_values):
                total = totals[r * self.vectors + v]
                updated.append(self.factors.multiply_add(builder, everywhere, b_value, total))
        return updated

    def emit_finish(self, start: list[ir.Value], totals: list[ir.Value]) -> None:
        """Store the tile."""
        for cell, total in zip(self.cells(), totals, strict=True):
            self.vector.store(self.builder, total, cell)
        self.builder.ret_void()


def opaque(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The same value, of unknown origin.

    LLVM would otherwise reach the rows of A by one chain of additions, as long as the multiply-adds themselves.
    """
    return builder.asm(ir.FunctionType(value.type, [value.type]), "", "=r,0", [value], side_effect=False)
