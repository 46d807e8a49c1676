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
        lanes, one, last = self.vector.lanes, number(1), builder.sub(columns, number(1))
        pairs = ceiling_division(builder, rows, number(2))
        zero, wide, deep = number(0), number(lanes), number(2 * lanes)
        with loop(builder, zero, columns, wide) as j, loop(builder, zero, rows, deep) as row:
            left = builder.sub(rows, row)
            halves = [(number(n), self.vector.first_lanes(builder, builder.sub(left, number(n)))) for n in (0, lanes)]
            square = []
            for lane in range(lanes):
                column = minimum(builder, builder.add(j, number(lane)), last)
                here = element(builder, source, (row, one), (column, source_col))
                parts = [self.vector.load_masked(builder, builder.gep(here, [n]), mask) for n, mask in halves]
                square.append(self.factors.neighbours(builder, *parts))
            for lane, value in enumerate(self.vector.transpose(builder, square)):
                pair = builder.add(builder.sdiv(row, number(2)), number(lane))
                with builder.if_then(builder.icmp_signed("<", pair, pairs)):
                    self.vector.store(builder, value, element(builder, target, (pair, target_row), (j, one)))
        builder.ret_void()
        return function

    def define_pack(self) -> ir.Function:
        """pack(from, from_row, from_col, to, to_row, rows, columns): any strides, to rows of pairs of unit stride.

        Whole vectors are written: their lanes beyond the columns are zero or copies of the last column.
        """
        function, builder = define(self.module, f"{self.prefix}pack", VOID, self.packing())
        source, source_row, source_col, target, target_row, rows, columns = function.args
        zero, one, lanes = number(0), number(1), number(self.vector.lanes)
        with builder.if_then(builder.icmp_signed("==", source_row, one)):
            builder.call(self.transpose, [source, source_col, target, target_row, rows, columns])
            builder.ret_void()
        whole = builder.mul(builder.sdiv(columns, lanes), lanes)
        mask = self.vector.first_lanes(builder, builder.sub(columns, whole))

        def place(row: ir.Value, column: ir.Value) -> ir.Value:
            return element(builder, source, (row, source_row), (column, source_col))

        def scattered(row: ir.Value, j: ir.Value) -> ir.Value:
            vector, last = ir.Constant(self.vector.type, ir.Undefined), builder.sub(columns, one)
            for lane in range(self.vector.lanes):
                column = minimum(builder, builder.add(j, number(lane)), last)
                vector = builder.insert_element(vector, builder.load(place(row, column)), number(lane))
            return vector

        with loop(builder, zero, ceiling_division(builder, rows, number(2)), one) as pair:
            goal = element(builder, target, (pair, target_row))
            with builder.if_else(builder.icmp_signed("==", source_col, one)) as (side_by_side, apart):
                with side_by_side:
                    with loop(builder, zero, whole, lanes) as j:
                        self.join(builder, lambda row: self.vector.load(builder, place(row, j)), pair, rows, goal, j)
                    with builder.if_then(builder.icmp_signed("<", whole, columns)):
                        self.join(builder, lambda row: self.vector.load_masked(builder, place(row, whole), mask),
                                  pair, rows, goal, whole)  # fmt: skip
                with apart, loop(builder, zero, columns, lanes) as j:
                    self.join(builder, lambda row: scattered(row, j), pair, rows, goal, j)
        builder.ret_void()
        return function

    def join(
        self, builder: ir.IRBuilder, load: Loader, pair: ir.Value, rows: ir.Value, goal: ir.Value, column: ir.Value
    ) -> None:
        """One vector of the pairs of two rows, to a column of a row of pairs; there may be no second row."""
        first = builder.mul(pair, number(2))
        second = builder.add(first, number(1))
        there = builder.icmp_signed("<", second, rows)
        value = builder.select(there, load(builder.select(there, second, first)), self.vector.zero)
        self.vector.store(builder, self.factors.paired(builder, load(first), value), builder.gep(goal, [column]))


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
