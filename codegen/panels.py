"""Copies between the operands of a matrix product and the scratch it works on, as LLVM IR.

A panel is `width` columns of B (one register tile wide) stored row after row, so that the product reads it with unit
stride; the columns that a last panel lacks are zero. This module must not know how the product is organised.
"""

from llvmlite import ir

from symgrad.codegen.emit import BIT, I64, VOID, Vector, define, element, loop, minimum, number


class Panels:
    """The private copying functions of one dtype: `copy`, `pack` and `pack_block`."""

    def __init__(self, module: ir.Module, vector: Vector, vectors: int, prefix: str) -> None:
        self.module, self.vector, self.prefix = module, vector, prefix
        self.width = vectors * vector.lanes
        self.pointer = vector.scalar.as_pointer()
        self.copy = self.define_copy()
        self.pack = self.define_pack()
        self.pack_block = self.define_pack_block()

    def define_copy(self) -> ir.Function:
        """copy(from, from_row, to, to_row, rows, columns, pad): rows of unit stride; `pad` fills whole vectors with 0."""
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

    def define_pack(self) -> ir.Function:
        """pack(from, from_row, from_col, to, to_row, rows, columns): any strides, to unit stride, last vector padded."""
        parameters = [("source", self.pointer), ("source_row", I64), ("source_col", I64), ("target", self.pointer)]
        parameters += [("target_row", I64), ("rows", I64), ("columns", I64)]
        function, builder = define(self.module, f"{self.prefix}pack", VOID, parameters)
        source, source_row, source_col, target, target_row, rows, columns = function.args
        straight = builder.icmp_signed("==", source_col, number(1))
        with builder.if_then(straight):
            builder.call(
                self.copy, [source, source_row, target, target_row, rows, columns, ir.Constant(BIT, 1)]
            )
            builder.ret_void()
        lanes = number(self.vector.lanes)
        ragged = builder.icmp_signed("!=", builder.srem(columns, lanes), number(0))
        with builder.if_then(ragged):
            last = builder.sub(columns, builder.srem(columns, lanes))
            with loop(builder, number(0), rows, number(1)) as r:
                self.vector.store(builder, self.vector.zero, element(builder, target, (r, target_row), (last, number(1))))
        with loop(builder, number(0), columns, number(1)) as j:
            source_here, target_here = element(builder, source, (j, source_col)), builder.gep(target, [j])
            with loop(builder, number(0), rows, number(1)) as r:
                value = builder.load(element(builder, source_here, (r, source_row)))
                builder.store(value, element(builder, target_here, (r, target_row)))
        builder.ret_void()
        return function

    def define_pack_block(self) -> ir.Function:
        """pack_block(b, b_row, b_col, work, depth, columns): B[depth, columns] as panels, one after the other."""
        parameters = [("b", self.pointer), ("b_row", I64), ("b_col", I64), ("work", self.pointer)]
        parameters += [("depth", I64), ("columns", I64)]
        function, builder = define(self.module, f"{self.prefix}pack_block", VOID, parameters)
        b, b_row, b_col, work, depth, columns = function.args
        width = number(self.width)
        with loop(builder, number(0), columns, width) as j:
            wide = minimum(builder, width, builder.sub(columns, j))
            panel = element(builder, work, (j, depth))
            builder.call(self.pack, [element(builder, b, (j, b_col)), b_row, b_col, panel, width, depth, wide])
        builder.ret_void()
        return function
