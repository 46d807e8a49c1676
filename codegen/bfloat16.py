"""The matrix product of float32 matrices with their entries rounded to bfloat16 and float32 sums, as LLVM IR.

    symgrad_matmul_bf16(a, a_row, a_col, b, b_row, b_col, c, c_row, rows, columns, depth, runs, a_run, b_run, add, work)

Parameters are those of `tiles`, and so is all of the work but what stands here: both operands are always copied, since
that is where they are rounded, two entries of the depth to an element of 32 bits (`factors`), and the runs of a depth
are products of their own that add. What a last pair lacks is zero.
"""

from collections.abc import Callable

from llvmlite import ir  # type: ignore[import-untyped]

from symgrad.codegen.emit import BIT, VOID, ceiling_division, define, element, loop, minimum, number
from symgrad.codegen.factors import Pairs
from symgrad.codegen.panels import Panels
from symgrad.codegen.tiles import Product

Loader = Callable[[ir.Value], ir.Value]  # a vector of a row, by the row's number


class PairedPanels(Panels):
    """The same functions as for single factors, with panels of pairs; rows and strides of the source count numbers."""

    def __init__(self, module: ir.Module, factors: Pairs, vectors: int, prefix: str) -> None:
        self.factors = factors
        super().__init__(module, factors.vector, vectors, prefix)

    def define_transpose(self) -> ir.Function:
        """transpose(from, from_col, to, to_row, rows, columns) for from_row = 1: columns of numbers side by side.

        Squares of lanes x lanes pairs in registers. The columns that a last square lacks are copies of the last one.
        """
        function, builder = define(self.module, f"{self.prefix}transpose", VOID, self.transposing())
        source, source_col, target, target_row, rows, columns = function.args
        lanes, one, span = self.vector.lanes, number(1), number(2 * self.vector.lanes)
        last, zero = builder.sub(columns, one), number(0)
        whole = builder.mul(builder.sdiv(rows, span), span)
        pairs = ceiling_division(builder, rows, number(2))
        with loop(builder, zero, columns, number(lanes)) as j:
            starts = [
                element(builder, source, (minimum(builder, builder.add(j, number(lane)), last), source_col))
                for lane in range(lanes)
            ]

            def square(row: ir.Value, load: Callable[[ir.Value, int], ir.Value]) -> list[ir.Value]:
                halves = [(builder.gep(start, [row]), i * lanes) for start in starts for i in (0, 1)]
                parts = [load(builder.gep(start, [number(first)]), first) for start, first in halves]
                found = [self.factors.neighbours(builder, *parts[i : i + 2]) for i in range(0, len(parts), 2)]
                return self.vector.transpose(builder, found)

            with loop(builder, zero, whole, span) as row:
                for lane, value in enumerate(square(row, lambda place, _: self.vector.load(builder, place))):
                    goal = builder.add(builder.sdiv(row, number(2)), number(lane))
                    self.vector.store(builder, value, element(builder, target, (goal, target_row), (j, one)))
            with builder.if_then(builder.icmp_signed("<", whole, rows)):
                left = builder.sub(rows, whole)
                masks = {f: self.vector.first_lanes(builder, builder.sub(left, number(f))) for f in (0, lanes)}
                partial = square(whole, lambda place, first: self.vector.load_masked(builder, place, masks[first]))
                for lane, value in enumerate(partial):
                    goal = builder.add(builder.sdiv(whole, number(2)), number(lane))
                    with builder.if_then(builder.icmp_signed("<", goal, pairs)):
                        self.vector.store(builder, value, element(builder, target, (goal, target_row), (j, one)))
        builder.ret_void()
        return function

    def define_pack(self) -> ir.Function:
        """pack(from, from_row, from_col, to, to_row, rows, columns): any strides, to rows of pairs of unit stride.

        Whole vectors are written: their lanes beyond the columns are zero or copies of the last column.
        """
        function, builder = define(self.module, f"{self.prefix}pack", VOID, self.packing())
        source, source_row, source_col, target, target_row, rows, columns = function.args
        one, lanes = number(1), number(self.vector.lanes)
        with builder.if_then(builder.icmp_signed("==", source_row, one)):
            builder.call(self.transpose, [source, source_col, target, target_row, rows, columns])
            builder.ret_void()
        whole = builder.mul(builder.sdiv(columns, lanes), lanes)
        mask = self.vector.first_lanes(builder, builder.sub(columns, whole))

        def start(row: ir.Value) -> ir.Value:
            return element(builder, source, (row, source_row))

        def scattered(j: ir.Value) -> Loader:
            last = builder.sub(columns, one)
            places = [minimum(builder, builder.add(j, number(lane)), last) for lane in range(self.vector.lanes)]
            offsets = [builder.mul(place, source_col) for place in places]

            def load(row: ir.Value) -> ir.Value:
                vector, here = ir.Constant(self.vector.type, ir.Undefined), start(row)
                for lane, offset in enumerate(offsets):
                    vector = builder.insert_element(vector, builder.load(builder.gep(here, [offset])), number(lane))
                return vector

            return load

        with loop(builder, number(0), ceiling_division(builder, rows, number(2)), one) as pair:
            goal = element(builder, target, (pair, target_row))
            with builder.if_else(builder.icmp_signed("==", source_col, one)) as (together, apart):
                with together:
                    with loop(builder, number(0), whole, lanes) as j:
                        self.join(builder, lambda row: self.vector.load(builder, builder.gep(start(row), [j])),
                                  pair, rows, builder.gep(goal, [j]))  # fmt: skip
                    with builder.if_then(builder.icmp_signed("<", whole, columns)):
                        self.join(builder, lambda row: self.vector.load_masked(
                            builder, builder.gep(start(row), [whole]), mask), pair, rows, builder.gep(goal, [whole])
                        )  # fmt: skip
                with apart, loop(builder, number(0), columns, lanes) as j:
                    self.join(builder, scattered(j), pair, rows, builder.gep(goal, [j]))
        builder.ret_void()
        return function

    def join(self, builder: ir.IRBuilder, load: Loader, pair: ir.Value, rows: ir.Value, goal: ir.Value) -> None:
        """One vector of the pairs of two rows; there may be no second row."""
        first = builder.mul(pair, number(2))
        second = builder.add(first, number(1))
        there = builder.icmp_signed("<", second, rows)
        value = builder.select(there, load(builder.select(there, second, first)), self.vector.zero)
        self.vector.store(builder, self.factors.paired(builder, load(first), value), goal)


class PairedProduct(Product):
    """Emits the product of pairs around the register tiles."""

    factors: Pairs

    def make_panels(self) -> Panels:
        return PairedPanels(self.module, self.factors, self.vectors, self.prefix)

    def emit_choice(self, builder: ir.IRBuilder, arguments: list[ir.Value]) -> tuple[ir.Value, ir.Value]:
        """Both are copied."""
        return ir.Constant(BIT, 1), ir.Constant(BIT, 1)

    def define_driver(self, name: str, internal: bool = False) -> ir.Function:
        """The exported function: run after run."""
        one = super().define_driver(f"{self.prefix}run", internal=True)
        parameters = [(argument.name, argument.type) for argument in one.args]
        function, builder = define(self.module, name, VOID, parameters, internal=internal)
        a, a_row, a_col, b, *middle = function.args[:11]
        runs, a_run, b_run, add, work = function.args[11:]
        with loop(builder, number(0), runs, number(1)) as run:
            a_here, b_here = element(builder, a, (run, a_run)), element(builder, b, (run, b_run))
            nothing = [number(1), number(0), number(0)]
            arguments = [a_here, a_row, a_col, b_here, *middle, *nothing, builder.or_(add, run), work]
            builder.call(one, arguments)
        builder.ret_void()
        return function
