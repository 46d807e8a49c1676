"""Copies between the operands of a matrix product and the scratch it works on, as LLVM IR.

A panel is `width` columns of B (one register tile wide) stored row after row, so that the product reads it with unit
stride; the columns that a last panel lacks are zero. This module must not know how the product is organised.
"""

from llvmlite import ir  # type: ignore[import-untyped]

from symgrad.codegen.emit import BIT, I64, VOID, Vector, define, element, loop, minimum, number


class Panels:
    """The private copying functions of one dtype: `copy`, `pack` and `pack_block`."""

    def __init__(self, module: ir.Module, vector: Vector, vectors: int, prefix: str) -> None:
        self.module, self.vector, self.prefix = module, vector, prefix
        self.width = vectors * vector.lanes
        self.pointer = vector.scalar.as_pointer()
        self.copy = self.define_copy()
        self.transpose = self.define_transpose()
        self.pack = self.define_pack()
        self.pack_block = self.define_pack_block()

    def transposing(self) -> list[tuple[str, ir.Type]]:
        """The parameters of `transpose`."""
        parameters = [("source", self.pointer), ("source_col", I64), ("target", self.pointer), ("target_row", I64)]
        return [*parameters, ("rows", I64), ("columns", I64)]

    def packing(self) -> list[tuple[str, ir.Type]]:
        """The parameters of `pack`."""
        parameters = [("source", self.pointer), ("source_row", I64), ("source_col", I64), ("target", self.pointer)]
        return [*parameters, ("target_row", I64), ("rows", I64), ("columns", I64)]

    def define_copy(self) -> ir.Function:
        """copy(from, from_row, to, to_row, rows, columns, pad): unit column strides; `pad` fills a vector with 0."""
        parameters = [("source", self.pointer), ("source_row", I64), ("target", self.pointer), ("target_row", I64)]
        parameters += [("rows", I64), ("columns", I64), ("pad", BIT)]
        function, builder = define(self.module, f"{self.prefix}copy", VOID, parameters)
        source, source_row, target, target_row, rows, columns, pad = function.args
        lanes = number(self.vector.lanes)
        whole = builder.mul(builder.sdiv(columns, lanes), lanes)
        with loop(builder, number(0), rows, number(1)) as r:
            source_here = element(builder, source, (r, source_row))
            target_here = element(builder, target, (r, target_row))
            with loop(builder, number(0), whole, lanes) as j:
                value = self.vector.load(builder, builder.gep(source_here, [j]))
                self.vector.store(builder, value, builder.gep(target_here, [j]))
            with builder.if_then(builder.icmp_signed("<", whole, columns)):
                mask = self.vector.first_lanes(builder, builder.sub(columns, whole))
                value = self.vector.load_masked(builder, builder.gep(source_here, [whole]), mask)
                with builder.if_else(pad) as (padded, exact):
                    with padded:
                        self.vector.store(builder, value, builder.gep(target_here, [whole]))
                    with exact:
                        self.vector.store_masked(builder, value, builder.gep(target_here, [whole]), mask)
        builder.ret_void()
        return function

    def define_transpose(self) -> ir.Function:
        """transpose(from, from_col, to, to_row, rows, columns) for from_row = 1 and at least `lanes` rows.

        Squares of lanes x lanes in registers. A last square of rows overlaps the one before; the columns that are
        missing from a last square are copies of the last column, in padding that nobody reads the products of.
        """
        function, builder = define(self.module, f"{self.prefix}transpose", VOID, self.transposing())
        source, source_col, target, target_row, rows, columns = function.args
        lanes, one = number(self.vector.lanes), number(1)
        last_column, last_square = builder.sub(columns, one), builder.sub(rows, lanes)
        with loop(builder, number(0), columns, lanes) as j, loop(builder, number(0), rows, lanes) as row:
            r = minimum(builder, row, last_square)
            square = []
            for lane in range(self.vector.lanes):
                column = minimum(builder, builder.add(j, number(lane)), last_column)
                here = element(builder, source, (r, one), (column, source_col))
                square.append(self.vector.load(builder, here))
            for lane, value in enumerate(self.vector.transpose(builder, square)):
                here = element(builder, target, (builder.add(r, number(lane)), target_row), (j, one))
                self.vector.store(builder, value, here)
        builder.ret_void()
        return function

    def define_pack(self) -> ir.Function:
        """pack(from, from_row, from_col, to, to_row, rows, columns): any strides, to unit stride, padded to vectors."""
        function, builder = define(self.module, f"{self.prefix}pack", VOID, self.packing())
        source, source_row, source_col, target, target_row, rows, columns = function.args
        with builder.if_then(builder.icmp_signed("==", source_col, number(1))):
            builder.call(self.copy, [source, source_row, target, target_row, rows, columns, ir.Constant(BIT, 1)])
            builder.ret_void()
        enough = builder.icmp_signed(">=", rows, number(self.vector.lanes))
        with builder.if_then(builder.and_(enough, builder.icmp_signed("==", source_row, number(1)))):
            builder.call(self.transpose, [source, source_col, target, target_row, rows, columns])
            builder.ret_void()
        # Element by element. The padding is cleared: whatever it held could be slow to compute with.
        partial = builder.srem(columns, number(self.vector.lanes))
        with builder.if_then(builder.icmp_signed("!=", partial, number(0))):
            last = builder.gep(target, [builder.sub(columns, partial)])
            with loop(builder, number(0), rows, number(1)) as r:
                self.vector.store(builder, self.vector.zero, element(builder, last, (r, target_row)))
        with loop(builder, number(0), columns, number(1)) as j:
            source_here, target_here = element(builder, source, (j, source_col)), builder.gep(target, [j])
            with loop(builder, number(0), rows, number(1)) as r:
                value = builder.load(element(builder, source_here, (r, source_row)))
                builder.store(value, element(builder, target_here, (r, target_row)))
        builder.ret_void()
        return function

    def define_pack_block(self) -> ir.Function:
        """pack_block(b, b_row, b_col, work, depth, columns, whole): B[depth, columns] as panels of `whole` rows."""
        parameters = [("b", self.pointer), ("b_row", I64), ("b_col", I64), ("work", self.pointer)]
        parameters += [("depth", I64), ("columns", I64), ("whole", I64)]
        function, builder = define(self.module, f"{self.prefix}pack_block", VOID, parameters)
        b, b_row, b_col, work, depth, columns, whole = function.args
        width = number(self.width)
        with loop(builder, number(0), columns, width) as j:
            wide = minimum(builder, width, builder.sub(columns, j))
            panel = element(builder, work, (j, whole))
            builder.call(self.pack, [element(builder, b, (j, b_col)), b_row, b_col, panel, width, depth, wide])
        builder.ret_void()
        return function
