"""The matrix product of the native library, as LLVM IR: C[r, j] = sum over k of A[r, k] B[k, j].

    symgrad_matmul_f32(a, a_row, a_col, b, b_row, b_col, c, c_row, rows, columns, depth, runs, a_run, b_run, add, work)

and _f64. The depth may come in several runs, a_run and b_run apart, if b_col is 1 and runs · depth at most RUNS. With
`add` other than 0 the sum goes on from what C holds. Strides count elements; C has unit column stride. `work` is
WORK_BYTES of scratch that no other thread uses. Nothing outside the three matrices is read or written; C may be
uninitialised and must not overlap A or B.

Every element of C is one chain of multiply-adds with k ascending, that starts from zero and never splits: between
blocks of the depth, and between calls that add, it rests in C. The bits therefore do not depend on how rows and columns
are divided between tiles, calls or threads. A k where all rows of a tile of A are zero is left out of its chains, which
changes no more than the sign of a zero; where B is not finite nothing is left out.

This module must not know what the products are for; `registers.py` holds the innermost loop, `panels.py` the copies,
`zeros.py` finds what is left out, and `twins.py` has the same product in Python.
"""

from llvmlite import ir  # type: ignore[import-untyped]

from symgrad.codegen import emit, zeros
from symgrad.codegen.emit import BIT, I8, I32, I64, SUFFIX, VOID, define, element, loop, minimum, number
from symgrad.codegen.factors import factors_of
from symgrad.codegen.host import Host
from symgrad.codegen.panels import Panels
from symgrad.codegen.registers import RegisterTile, best_steps
from symgrad.codegen.zeros import Zeros

DEPTH_BLOCK = 256  # of A and B between two visits of C: a strip of A stays in L1, a block of B in L2
ROW_BYTES = 2048  # of B in one block of columns
PANEL_BYTES = 128  # at most, a row of a panel: two AVX-512 vectors
STRIP_ROW = 16  # elements between two columns of a packed strip of A: at least the tallest tile
BLOCK_BYTES = ROW_BYTES * DEPTH_BLOCK
STRIP_BYTES = 8 * STRIP_ROW * DEPTH_BLOCK
SPARE_BYTES = STRIP_ROW * PANEL_BYTES
WORK_BYTES = 64 + BLOCK_BYTES + STRIP_BYTES + SPARE_BYTES + 4 * (DEPTH_BLOCK + 16)
# Rows for each byte of a panel's row from which on copying B saves more than it costs. Measured for rows of 128 bytes
# (AVX-512: 128 rows lose 6 %) and of 64 (AVX2: 128 rows gain 7 % of an epoch, 32 lose much).
PACK_ROWS = 2
WAY_BYTES = 4096  # addresses this far apart share a set of every L1 cache in use: a tile's rows would evict each other

RUNS = BLOCK_BYTES // (PANEL_BYTES * 2)  # depth of all runs together: a last narrow panel of B is copied for them


def symbol(dtype: str) -> str:
    """The exported name for "float32", "float64" or "bfloat16" factors."""
    return f"symgrad_matmul_{SUFFIX[dtype]}"


class Product:
    """Emits the blocked product of one kind of factors around the register tiles: `define_driver` defines it."""

    def __init__(self, module: ir.Module, host: Host, dtype: str) -> None:
        self.module, self.factors = module, factors_of(host, dtype)
        self.tallest, self.vectors = host.tile
        self.vector = self.factors.vector
        self.width = self.vectors * self.vector.lanes
        self.pointer = self.vector.scalar.as_pointer()
        self.prefix = f"{SUFFIX[dtype]}_"
        self.ahead = [("ahead", self.pointer), ("ahead_rows", I64), ("ahead_row", I64), ("ahead_step", I64)]
        self.heights = range(self.tallest, 0, -1)  # every number of rows has its tile
        self.panels = self.make_panels()
        self.zeros = Zeros(module, self.factors, host.tile, self.prefix, RUNS + 1)
        self.tiles = {
            (height, count): RegisterTile(
                module, host, self.factors, height, count, f"{self.prefix}tile_{height}x{count}"
            ).function
            for height in self.heights
            for count in sorted({1, self.vectors})
        }
        # One row alone streams B: read far along its rows, with a register for each vector of the result.
        self.wide = max(self.vectors, host.registers // 2)
        name = f"{self.prefix}tile_1x{self.wide}"
        self.streaming = RegisterTile(module, host, self.factors, 1, self.wide, name, listed=False).function
        self.choose = self.define_choose()
        self.strip = self.define_strip()
        self.block = self.define_block()

    def make_panels(self) -> Panels:
        """The copying functions."""
        return Panels(self.module, self.vector, self.vectors, self.prefix)

    def define_choose(self) -> ir.Function:
        """choose(left, low): the height of the next tile when `left` rows remain; low tiles where zeros are found."""
        function, builder = define(self.module, f"{self.prefix}choose", I64, [("left", I64), ("low", BIT)])
        left, low = function.args
        with builder.if_then(low):
            self.emit_step(builder, left, min(zeros.LOW, self.tallest))
        self.emit_step(builder, left, self.tallest)
        return function

    def emit_step(self, builder: ir.IRBuilder, left: ir.Value, tallest: int) -> None:
        """Return the height of the next tile of at most so many rows."""
        steps = best_steps(tallest, self.vectors)
        kind = ir.ArrayType(I8, len(steps))
        name = self.module.get_unique_name(f"{self.prefix}steps")
        known = emit.table(self.module, name, kind, steps)
        with builder.if_then(builder.icmp_signed(">=", left, number(len(steps)))):
            builder.ret(number(tallest))
        builder.ret(builder.zext(builder.load(builder.gep(known, [number(0), left])), I64))

    def call_tile(self, builder: ir.IRBuilder, height: ir.Value, count: int, arguments: list[ir.Value]) -> None:
        """A switch over the heights, then the tile with that height and `count` vectors."""
        blocks = [builder.append_basic_block(f"height_{known}") for known in self.heights]
        after = builder.append_basic_block("after")
        switch = builder.switch(height, blocks[0])
        for known, block in zip(self.heights, blocks, strict=True):
            if known != self.tallest:
                switch.add_case(number(known), block)
            builder.position_at_end(block)
            builder.call(self.tiles[known, count], arguments)
            builder.branch(after)
        builder.position_at_end(after)

    def define_strip(self) -> ir.Function:
        """One tile's rows of C, over the panels of one block: whole panels in place, a last narrow one by `spare`."""
        p = self.pointer
        parameters = [("height", I64), ("a", p), ("a_row", I64), ("a_col", I64), ("b", p), ("b_row", I64)]
        parameters += [("b_panel", I64), ("tail", p), ("c", p), ("c_row", I64), ("columns", I64), ("depth", I64)]
        parameters += [("resume", BIT), ("which", I32.as_pointer()), ("runs", I64), ("a_run", I64), ("b_run", I64)]
        parameters += [("tail_run", I64), ("spare", p), *self.ahead, ("first", I64)]
        function, builder = define(self.module, f"{self.prefix}strip", VOID, parameters)
        height, a, a_row, a_col, b, b_row, b_panel, tail, c, c_row, columns, depth, resume, which = function.args[:14]
        runs, a_run, b_run, tail_run, spare, ahead, ahead_rows, ahead_row, ahead_step, first = function.args[14:]
        nothing = [b, number(0), number(0)]
        width, exact = number(self.width), ir.Constant(BIT, 0)
        full, group = builder.sdiv(columns, width), number(self.wide // self.vectors)
        alone = builder.and_(
            builder.icmp_signed("==", height, number(1)), builder.icmp_signed("==", b_panel, width)
        )  # panels that lie side by side
        alone = builder.and_(alone, builder.icmp_unsigned("==", which, self.zeros.start(builder)))
        groups = builder.select(alone, builder.sdiv(full, group), number(0))
        with loop(builder, number(0), groups, number(1)) as several:
            panel = builder.mul(several, group)
            here, there = element(builder, b, (panel, b_panel)), element(builder, c, (panel, width))
            arguments = [a, a_row, a_col, here, b_row, there, c_row, depth, resume, which]
            arguments += [runs, a_run, b_run, *nothing]
            builder.call(self.streaming, arguments)
        with loop(builder, builder.mul(groups, group), full, number(1)) as panel:
            here, there = element(builder, b, (panel, b_panel)), element(builder, c, (panel, width))
            arguments = [a, a_row, a_col, here, b_row, there, c_row, depth, resume, which]
            arguments += [runs, a_run, b_run]
            row = builder.mul(builder.add(first, panel), number(2))  # each tile asks for two
            some = builder.icmp_signed("<", row, ahead_rows)
            arguments.append(builder.select(some, element(builder, ahead, (row, ahead_row)), b))
            arguments += [builder.select(some, n, number(0)) for n in (ahead_row, ahead_step)]
            self.call_tile(builder, height, self.vectors, arguments)
        done = builder.mul(full, width)
        left = builder.sub(columns, done)
        with builder.if_then(builder.icmp_signed(">", left, number(0))):
            there = builder.gep(c, [done])
            with builder.if_then(resume):
                builder.call(self.panels.copy, [there, c_row, spare, width, height, left, exact])
            arguments = [a, a_row, a_col, tail, width, spare, width, depth, resume, which]
            arguments += [runs, a_run, tail_run, *nothing]
            narrow = builder.icmp_signed("<=", left, number(self.vector.lanes))
            with builder.if_else(narrow) as (one_vector, all_vectors):
                with one_vector:
                    self.call_tile(builder, height, 1, arguments)
                with all_vectors:
                    self.call_tile(builder, height, self.vectors, arguments)
            builder.call(self.panels.copy, [spare, width, there, c_row, height, left, exact])
        builder.ret_void()
        return function

    def define_block(self) -> ir.Function:
        """One block of the depth and of the columns: pack what pays, then strip after strip of rows."""
        p = self.pointer
        parameters = [("a", p), ("a_row", I64), ("a_col", I64), ("b", p), ("b_row", I64), ("b_col", I64), ("c", p)]
        parameters += [("c_row", I64), ("rows", I64), ("columns", I64), ("depth", I64), ("resume", BIT)]
        parameters += [("pack_a", BIT), ("pack_b", BIT), ("work", p), ("runs", I64), ("a_run", I64), ("b_run", I64)]
        parameters += self.ahead
        function, builder = define(self.module, f"{self.prefix}block", VOID, parameters)
        a, a_row, a_col, b, b_row, b_col, c, c_row, rows, columns, depth, resume, pack_a, pack_b, work = (
            function.args[:15]
        )
        runs, a_run, b_run, *ahead = function.args[15:]
        width, zero, one = number(self.width), number(0), number(1)
        panels = builder.sdiv(columns, width)
        full = builder.mul(panels, width)
        first = builder.select(pack_b, zero, full)
        b_here, rest = element(builder, b, (first, b_col)), builder.sub(columns, first)
        steps = self.factors.elements(builder, depth)
        whole = builder.mul(steps, runs)
        with loop(builder, zero, runs, number(1)) as run:
            source = element(builder, b_here, (run, b_run))
            goal = element(builder, work, (run, builder.mul(steps, width)))
            builder.call(self.panels.pack_block, [source, b_row, b_col, goal, depth, rest, whole])
        tail = element(builder, work, (builder.sub(full, first), whole))
        b_here, b_step = builder.select(pack_b, work, b), builder.select(pack_b, width, b_row)
        b_panel = builder.select(pack_b, builder.mul(width, steps), width)
        packed = builder.gep(work, [number(BLOCK_BYTES // self.vector.item)])
        spare = builder.gep(packed, [number(STRIP_BYTES // self.vector.item)])
        found = builder.bitcast(builder.gep(spare, [number(SPARE_BYTES // self.vector.item)]), I32.as_pointer())
        row_step = builder.select(pack_a, number(1), a_row)
        column_step = builder.select(pack_a, number(STRIP_ROW), a_col)
        *ahead, ahead_step = ahead
        # For a look through B: its panels, all of them together where they are packed, and the last narrow one.
        vectors = builder.mul(panels, number(self.vectors))
        b_whole = [b_here, b_step, builder.select(pack_b, one, steps)]
        b_whole.append(builder.select(pack_b, builder.mul(vectors, steps), vectors))
        narrow = emit.ceiling_division(builder, builder.sub(columns, full), number(self.vector.lanes))
        b_rest = [tail, width, steps, narrow]
        look = self.zeros.emit_look(builder, (row_step, column_step), (rows, columns, steps), runs)
        low, no = builder.icmp_signed("!=", look, zeros.IGNORED), ir.Constant(BIT, 0)
        with emit.varying_loop(builder, rows, carried=[look, low, no, zero]) as (row, (look, low, rest, tile), after):
            height = builder.call(self.choose, [builder.sub(rows, row), low])
            a_here = element(builder, a, (row, a_row))
            with builder.if_then(pack_a):
                builder.call(self.panels.pack, [a_here, a_col, a_row, packed, number(STRIP_ROW), depth, height])
            a_here = builder.select(pack_a, packed, a_here)
            strip_a = [a_here, row_step, column_step, height, steps, found]
            count, which, look, rest = self.zeros.emit_which(builder, look, rest, strip_a, (b_whole, b_rest))
            fewer = builder.icmp_signed("<", count, steps)
            some = builder.select(builder.icmp_signed(">", count, zero), count, one)
            step = emit.ceiling_division(builder, builder.mul(ahead_step, depth), some)
            strip = [height, a_here, row_step, column_step, b_here, b_step, b_panel]
            strip += [tail, element(builder, c, (row, c_row)), c_row, columns, count, resume, which, runs, a_run, b_run]
            builder.call(self.strip, [*strip, builder.mul(steps, width), spare, *ahead, step, tile])
            after += [height, look, fewer, rest, builder.add(tile, panels)]
        builder.ret_void()
        return function

    def define_driver(self, name: str, internal: bool = False) -> ir.Function:
        """The function itself: blocks of columns, and of the depth within them."""
        p = self.pointer
        parameters = [("a", p), ("a_row", I64), ("a_col", I64), ("b", p), ("b_row", I64), ("b_col", I64), ("c", p)]
        parameters += [("c_row", I64), ("rows", I64), ("columns", I64), ("depth", I64)]
        parameters += [("runs", I64), ("a_run", I64), ("b_run", I64), ("add", I64), ("work", p)]
        function, builder = define(self.module, name, VOID, parameters, internal=internal)
        a, a_row, a_col, b, b_row, b_col, c, c_row, rows, columns, depth = function.args[:11]
        runs, a_run, b_run, add, work = function.args[11:]
        adding = builder.icmp_signed("!=", add, number(0))
        aligned = builder.and_(builder.add(builder.ptrtoint(work, I64), number(63)), number(-64))
        work = builder.inttoptr(aligned, p)
        zero, wide = number(0), number(ROW_BYTES // self.vector.item)
        # No depth at all is one block of depth 0, which stores zeros.
        several = builder.icmp_signed(">", runs, number(1))  # all runs are one block
        most = builder.select(several, builder.add(depth, number(1)), number(DEPTH_BLOCK * self.factors.each))
        needed = emit.ceiling_division(builder, depth, most)
        blocks = builder.select(builder.icmp_signed(">", needed, zero), needed, number(1))
        size = emit.ceiling_division(builder, depth, blocks)
        pack_a, pack_b = self.emit_choice(builder, function.args)
        with loop(builder, zero, columns, wide) as column, loop(builder, zero, blocks, number(1)) as block:
            k = builder.mul(block, size)
            deep = minimum(builder, size, builder.sub(depth, k))
            a_here, b_here = element(builder, a, (k, a_col)), element(builder, b, (k, b_row), (column, b_col))
            part = minimum(builder, wide, builder.sub(columns, column))
            resume = builder.or_(builder.icmp_signed(">", block, zero), adding)
            arguments = [a_here, a_row, a_col, b_here, b_row, b_col, builder.gep(c, [column]), c_row, rows, part, deep]
            arguments += [resume, pack_a, pack_b, work, runs, a_run, b_run]
            last = builder.icmp_signed(">=", builder.add(block, number(1)), blocks)
            next_k = builder.select(last, zero, builder.add(k, size))
            next_column = builder.select(last, builder.add(column, wide), column)
            done = builder.or_(several, builder.icmp_signed(">=", next_column, columns))
            following = element(builder, b, (next_k, b_row), (next_column, b_col))
            builder.call(self.block, [*arguments, following, *self.emit_ahead(builder, b_row, b_col, deep, part, done)])
        builder.ret_void()
        return function

    def emit_ahead(
        self, builder: ir.IRBuilder, b_row: ir.Value, b_col: ir.Value, deep: ir.Value, part: ir.Value, done: ir.Value
    ) -> list[ir.Value]:
        """How the next block of B lies in memory: its rows, how far apart, and their part for each k of this block."""
        zero, one = number(0), number(1)
        by_rows, by_columns = (builder.icmp_signed("==", stride, one) for stride in (b_col, b_row))
        some = builder.select(builder.icmp_signed(">", deep, zero), deep, one)
        step = builder.select(by_rows, emit.ceiling_division(builder, part, some), one)
        rows = builder.select(by_rows, deep, builder.select(by_columns, part, zero))
        return [builder.select(done, zero, rows), builder.select(by_rows, b_row, b_col), step]

    def emit_choice(self, builder: ir.IRBuilder, arguments: list[ir.Value]) -> tuple[ir.Value, ir.Value]:
        """Whether strips of A and panels of B are copied before use."""
        _, a_row, a_col, _, _, b_col, _, _, rows, columns, _, runs, *_ = arguments
        single = builder.icmp_signed("<=", runs, number(1))
        zero, way = number(0), number(WAY_BYTES // self.vector.item)
        clash = builder.or_(
            builder.icmp_signed("==", builder.srem(a_row, way), zero),
            builder.icmp_signed("==", builder.srem(a_col, way), zero),
        )
        pack_a = builder.and_(clash, builder.icmp_signed(">=", columns, number(4 * self.width)))
        pack_a = builder.and_(pack_a, single)
        pack_b = builder.or_(
            builder.icmp_signed("!=", b_col, number(1)),
            builder.and_(single, builder.icmp_signed(">=", rows, number(PACK_ROWS * self.width * self.vector.item))),
        )
        return pack_a, pack_b
