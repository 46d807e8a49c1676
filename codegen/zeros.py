"""What a product need not multiply: the k where every row of a tile of A is zero, as LLVM IR.

Most of an image may be zeros that lie together, and a unit that is off in every row is a column of zeros. Zero times a
finite number adds nothing; zero times infinity or NaN is NaN, so that B has to be looked through before.
"""

from collections.abc import Callable, Sequence
from functools import reduce

from llvmlite import ir  # type: ignore[import-untyped]

from symgrad.codegen.emit import (
    BIT,
    I8,
    I32,
    I64,
    define,
    element,
    end_loop,
    external,
    loop,
    minimum,
    number,
    spread,
    table,
    varying_loop,
)
from symgrad.codegen.factors import Single

LOW = 7  # rows of a tile at most where zeros are found: a k is more often zero in all rows of a low one
LOOK_ROWS, LOOK_PANELS = 8, 1  # of A, and of columns, from which on it costs little to look A and B through
IGNORED, DOUBTFUL, FINITE = (number(known) for known in range(3))  # A is not looked through; it is, and of B known


class Zeros:
    """The private functions of one dtype: `nonzero` and `finite`; and `every`, the list of all k."""

    def __init__(self, module: ir.Module, factors: Single, tile: tuple[int, int], prefix: str, longest: int) -> None:
        self.module, self.factors, self.prefix = module, factors, prefix
        self.vector = vector = factors.vector
        self.tallest, self.width = tile[0], tile[1] * vector.lanes
        self.pointer = vector.scalar.as_pointer()
        self.step = max(8, vector.lanes)  # so many k are looked at together
        self.whole = factors.bits
        self.every = table(module, f"{prefix}every", ir.ArrayType(I32, longest), list(range(longest)))
        # Which of eight bits are set, in ascending order, for all eights there are.
        rows = [[bit for bit in range(8) if number >> bit & 1] for number in range(256)]
        eight = ir.VectorType(I8, 8)
        self.places = table(module, f"{prefix}places", ir.ArrayType(eight, 256), [
            ir.Constant(eight, row + [0] * (8 - len(row))) for row in rows])  # fmt: skip
        self.ones = external(module, "llvm.ctpop.i64", ir.FunctionType(I64, [I64]))
        self.nonzero = self.define_nonzero()
        self.finite = self.define_finite()

    def start(self, builder: ir.IRBuilder) -> ir.Value:
        """The address of the list of all k."""
        return builder.gep(self.every, [number(0)] * 2)

    def any_of(self, builder: ir.IRBuilder, bits: ir.Value) -> ir.Value:
        """The lanes that are not zero, as the bits of an integer."""
        mask = builder.icmp_unsigned("!=", bits, ir.Constant(self.whole, [0] * self.vector.lanes))
        return builder.bitcast(mask, ir.IntType(self.vector.lanes))

    def define_nonzero(self) -> ir.Function:
        """nonzero(a, a_row, a_col, rows, depth, list): how many k have a row other than 0; the list begins with them.

        One of the two strides must be 1, rows at least 1 and at most the tallest tile, depth at least `step`. What
        follows in the list, up to `step` more, is overwritten.
        """
        parameters = [("a", self.pointer), ("a_row", I64), ("a_col", I64), ("rows", I64), ("depth", I64)]
        parameters += [("list", I32.as_pointer())]
        function, builder = define(self.module, f"{self.prefix}nonzero", I64, parameters)
        a, a_row, a_col, rows, depth, list_ = function.args
        starts = range(0, self.tallest, self.vector.lanes)
        masks = [self.vector.first_lanes(builder, builder.sub(rows, number(first))) for first in starts]
        with builder.if_then(builder.icmp_signed("==", a_row, number(1))):
            builder.ret(self.emit_list(builder, depth, list_, lambda k: self.by_columns(builder, a, a_col, masks, k)))
        builder.ret(self.emit_list(builder, depth, list_, lambda k: self.by_rows(builder, a, a_row, rows, k)))
        return function

    def emit_list(
        self, builder: ir.IRBuilder, depth: ir.Value, list_: ir.Value, look: Callable[[ir.Value], ir.Value]
    ) -> ir.Value:
        """Add the k of each step to the list, given the bits of those that count. The last step begins earlier."""
        with varying_loop(builder, depth, carried=[number(0)]) as (following, (total,), after):
            k, count = minimum(builder, following, builder.sub(depth, number(self.step))), total
            bits = builder.and_(look(k), builder.shl(number(-1), builder.sub(following, k)))
            for first in range(0, self.step, 8):
                eight = builder.and_(builder.lshr(bits, number(first)), number(255))
                places = builder.load(builder.gep(self.places, [number(0), eight]), align=8)
                here = spread(builder, builder.trunc(builder.add(k, number(first)), I32), 8)
                goal = builder.bitcast(builder.gep(list_, [count]), here.type.as_pointer())
                builder.store(builder.add(builder.zext(places, here.type), here), goal, align=4)
                count = builder.add(count, builder.call(self.ones, [eight]))
            after += [number(self.step), count]
        return total

    def by_columns(
        self, builder: ir.IRBuilder, a: ir.Value, a_col: ir.Value, masks: list[ir.Value], k: ir.Value
    ) -> ir.Value:
        """The bits of a step, where a column of A lies together: its rows are the lanes of vectors."""
        bits = number(0)
        for step in range(self.step):
            column = element(builder, a, (builder.add(k, number(step)), a_col))
            parts = [
                self.vector.load_masked(builder, builder.gep(column, [number(i * self.vector.lanes)]), mask)
                for i, mask in enumerate(masks)
            ]
            some = self.any_of(builder, reduce(builder.or_, [builder.bitcast(part, self.whole) for part in parts]))
            bit = builder.zext(builder.icmp_unsigned("!=", some, ir.Constant(some.type, 0)), I64)
            bits = builder.or_(bits, builder.shl(bit, number(step)))
        return bits

    def by_rows(self, builder: ir.IRBuilder, a: ir.Value, a_row: ir.Value, rows: ir.Value, k: ir.Value) -> ir.Value:
        """The bits of a step, where a row of A lies together: the k are the lanes of vectors."""
        lanes = self.vector.lanes
        starts = [number(first) for first in range(0, self.step, lanes)]
        before, body, done = builder.block, *(builder.append_basic_block(name) for name in ("row", "known"))
        builder.branch(body)
        builder.position_at_end(body)
        row, *found = builder.phi(I64), *(builder.phi(self.whole) for _ in starts)
        here = element(builder, a, (row, a_row), (k, number(1)))
        parts = [builder.bitcast(self.vector.load(builder, builder.gep(here, [first])), self.whole) for first in starts]
        either = [builder.or_(*pair) for pair in zip(found, parts, strict=True)]
        nothing = [ir.Constant(self.whole, [0] * lanes)] * len(starts)
        end_loop(builder, row, rows, list(zip(found, nothing, either, strict=True)), before, body, done)
        bits = [builder.zext(self.any_of(builder, value), I64) for value in either]
        return reduce(builder.or_, [builder.shl(value, first) for value, first in zip(bits, starts, strict=True)])

    def define_finite(self) -> ir.Function:
        """finite(b, b_row, rows, vectors): whether all of B is, so many whole vectors from the start of each row."""
        parameters = [("b", self.pointer), ("b_row", I64), ("rows", I64), ("vectors", I64)]
        function, builder = define(self.module, f"{self.prefix}finite", BIT, parameters)
        b, b_row, rows, vectors = function.args
        lanes = self.vector.lanes
        doubtful = ir.Constant(self.whole, [self.factors.doubtful] * lanes)
        end = builder.mul(vectors, number(lanes))
        with loop(builder, number(0), rows, number(1)) as row:
            here = element(builder, b, (row, b_row))
            first = ir.Constant(self.whole, [0] * lanes)
            with varying_loop(builder, end, carried=[first]) as (j, (found,), after):
                bits = self.factors.doubt(builder, self.vector.load(builder, builder.gep(here, [j])))
                after += [number(lanes), builder.or_(found, bits)]
            some = self.any_of(builder, builder.and_(found, doubtful))
            with builder.if_then(builder.icmp_unsigned("!=", some, ir.Constant(some.type, 0))):
                builder.ret(ir.Constant(BIT, 0))
        builder.ret(ir.Constant(BIT, 1))
        return function

    def emit_look(
        self, builder: ir.IRBuilder, strides: Sequence[ir.Value], sizes: Sequence[ir.Value], runs: ir.Value
    ) -> ir.Value:
        """Whether the rows of A are looked through: IGNORED or DOUBTFUL."""
        (rows, columns, depth), one = sizes, number(1)
        reasons = [
            builder.or_(*(builder.icmp_signed("==", stride, one) for stride in strides)),
            builder.icmp_signed(">=", rows, number(LOOK_ROWS)),
            builder.icmp_signed(">=", depth, number(self.step)),
            builder.icmp_signed(">=", columns, number(LOOK_PANELS * self.width)),
            builder.icmp_signed("<=", runs, one),
        ]
        return builder.select(reduce(builder.and_, reasons), DOUBTFUL, IGNORED)

    def emit_which(
        self, builder: ir.IRBuilder, look: ir.Value, rest: ir.Value, a: list[ir.Value], b: Sequence[list[ir.Value]]
    ) -> tuple[ir.Value, ...]:
        """How many k are multiplied (all where `rest` is true), their list, what is known of B, and if the next rests.

        `a` and each of `b` are arguments of `nonzero` and `finite`. B is looked through when it first matters. After a
        strip without a single k to leave out the next is not looked through: there may be none in all of A.
        """
        depth, found = a[-2:]
        every, no = self.start(builder), ir.Constant(BIT, 0)
        names = "look", "few", "check", "which"
        before, (body, few, check, done) = builder.block, (builder.append_basic_block(name) for name in names)
        builder.cbranch(builder.or_(rest, builder.icmp_signed("==", look, IGNORED)), done, body)
        builder.position_at_end(body)
        count = builder.call(self.nonzero, a)
        none = builder.icmp_signed("==", count, depth)
        worth = builder.icmp_signed("<", builder.mul(count, number(8)), builder.mul(depth, number(7)))
        builder.cbranch(worth, few, done)
        builder.position_at_end(few)
        builder.cbranch(builder.icmp_signed("==", look, FINITE), done, check)
        builder.position_at_end(check)
        finite = reduce(builder.and_, [builder.call(self.finite, part) for part in b])
        checked = [builder.select(finite, *pair) for pair in ((count, depth), (found, every), (FINITE, IGNORED))]
        builder.branch(done)
        builder.position_at_end(done)
        ends = {before: [depth, every, look, no], body: [depth, every, look, none], few: [count, found, look, no],
                check: [*checked, no]}  # fmt: skip
        results = [builder.phi(value.type) for value in ends[check]]
        for block, values in ends.items():
            for result, value in zip(results, values, strict=True):
                result.add_incoming(value, block)
        return tuple(results)
