"""A few words on top of llvmlite's IR builder: functions, counted loops, offsets, vectors.

It holds what every hand-written piece of the native library needs, and must not know what any of them computes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]

VOID, BIT, I8, I32, I64 = ir.VoidType(), ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
FLOATS = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
SUFFIX = {"float32": "f32", "float64": "f64", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Vector:
    """A SIMD type: `lanes` elements of `dtype`, never assumed to be aligned in memory to more than one element."""

    dtype: str
    lanes: int

    @property
    def scalar(self) -> ir.Type:
        return FLOATS[self.dtype]

    @property
    def item(self) -> int:
        """Bytes of one element."""
        return 4 if self.dtype == "float32" else 8

    @property
    def type(self) -> ir.VectorType:
        return ir.VectorType(self.scalar, self.lanes)

    @property
    def mask_type(self) -> ir.VectorType:
        return ir.VectorType(BIT, self.lanes)

    @property
    def overload(self) -> str:
        """How LLVM spells this type in the name of an intrinsic."""
        return f"v{self.lanes}{SUFFIX[self.dtype]}"

    @property
    def zero(self) -> ir.Constant:
        return ir.Constant(self.type, [0.0] * self.lanes)

    def load(self, builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
        """A whole vector from the address of its first element."""
        return builder.load(builder.bitcast(pointer, self.type.as_pointer()), align=self.item)

    def store(self, builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value) -> None:
        """A whole vector to the address of its first element."""
        builder.store(value, builder.bitcast(pointer, self.type.as_pointer()), align=self.item)

    def broadcast(self, builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
        """One element in every lane."""
        return spread(builder, value, self.lanes)

    def first_lanes(self, builder: ir.IRBuilder, count: ir.Value) -> ir.Value:
        """The mask of the lanes below `count`."""
        lane_numbers = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        return builder.icmp_signed("<", lane_numbers, spread(builder, count, self.lanes))

    def load_masked(self, builder: ir.IRBuilder, pointer: ir.Value, mask: ir.Value) -> ir.Value:
        """The lanes of the mask from memory, zero in the others, which are not read."""
        address = builder.bitcast(pointer, self.type.as_pointer())
        kind = ir.FunctionType(self.type, [address.type, I32, self.mask_type, self.type])
        load = external(builder.module, f"llvm.masked.load.{self.overload}.p0", kind)
        return builder.call(load, [address, ir.Constant(I32, self.item), mask, self.zero])

    def store_masked(self, builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value, mask: ir.Value) -> None:
        """Only the lanes of the mask to memory; the others are not written."""
        address = builder.bitcast(pointer, self.type.as_pointer())
        kind = ir.FunctionType(VOID, [self.type, address.type, I32, self.mask_type])
        store = external(builder.module, f"llvm.masked.store.{self.overload}.p0", kind)
        builder.call(store, [value, address, ir.Constant(I32, self.item), mask])

    def multiply_add(
        self, builder: ir.IRBuilder, first: ir.Value, second: ir.Value, total: ir.Value, fused: bool
    ) -> ir.Value:
        """first · second + total, `fused` in one rounding (for a processor that can: LLVM would call the C library)."""
        if not fused:
            return builder.fadd(builder.fmul(first, second), total)
        fma = external(builder.module, f"llvm.fma.{self.overload}", ir.FunctionType(self.type, [self.type] * 3))
        return builder.call(fma, [first, second, total])

    def transpose(self, builder: ir.IRBuilder, square: Sequence[ir.Value]) -> list[ir.Value]:
        """The transpose of `lanes` vectors: blocks of 1, 2, 4 ... lanes change places between pairs of vectors."""
        values, size = list(square), 1
        while size < self.lanes:
            low = [i if not i & size else i - size + self.lanes for i in range(self.lanes)]
            high = [i + size if not i & size else i + self.lanes for i in range(self.lanes)]
            for first in (i for i in range(self.lanes) if not i & size):
                pair = values[first], values[first + size]
                values[first], values[first + size] = (
                    builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(I32, self.lanes), lanes))
                    for lanes in (low, high)
                )
            size *= 2
        return values


def spread(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """`value` in every lane of a vector."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    one = builder.insert_element(undefined, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def prefetch(builder: ir.IRBuilder, pointer: ir.Value) -> None:
    """Ask for the line of an address to be brought into the core's own cache, not the nearest; never a fault."""
    pointer = builder.bitcast(pointer, I8.as_pointer())
    kind = ir.FunctionType(VOID, [pointer.type, I32, I32, I32])
    read, near, data = ir.Constant(I32, 0), ir.Constant(I32, 2), ir.Constant(I32, 1)
    builder.call(external(builder.module, "llvm.prefetch.p0", kind), [pointer, read, near, data])


def number(value: int) -> ir.Constant:
    """A 64-bit integer constant."""
    return ir.Constant(I64, value)


def table(module: ir.Module, name: str, kind: ir.Type, values: Sequence[Any]) -> ir.GlobalVariable:
    """A constant array that only this module sees."""
    found = ir.GlobalVariable(module, kind, name)
    found.global_constant, found.linkage, found.initializer = True, "internal", ir.Constant(kind, values)
    return found


def external(module: ir.Module, name: str, kind: ir.FunctionType) -> ir.Function:
    """The function of that name in the module, declared if it is not there yet."""
    known = module.globals.get(name)
    return known if known is not None else ir.Function(module, kind, name)


def define(
    module: ir.Module, name: str, result: ir.Type, parameters: Sequence[tuple[str, ir.Type]], internal: bool = True
) -> tuple[ir.Function, ir.IRBuilder]:
    """A new function with named parameters, and a builder at its beginning."""
    function = ir.Function(module, ir.FunctionType(result, [kind for _, kind in parameters]), name)
    function.attributes.add("nounwind")
    if internal:
        function.linkage = "internal"
    for argument, (label, _) in zip(function.args, parameters, strict=True):
        argument.name = label
    return function, ir.IRBuilder(function.append_basic_block("entry"))


@contextmanager
def varying_loop(
    builder: ir.IRBuilder, stop: ir.Value, start: ir.Value | None = None, carried: Sequence[ir.Value] = ()
) -> Iterator[tuple[ir.Value, list[ir.Value], list[ir.Value]]]:
    """A loop from `start` (0) to `stop` with what it carries; after it, these values are what the last round left.

    The body appends its positive step, and what follows each of `carried`, to the list that it is given.
    """
    before = builder.block
    head, body, done = (builder.append_basic_block(label) for label in ("head", "body", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    index, *totals = phis = [builder.phi(kind) for kind in (I64, *(value.type for value in carried))]
    for phi, first in zip(phis, [start or number(0), *carried], strict=True):
        phi.add_incoming(first, before)
    builder.cbranch(builder.icmp_signed("<", index, stop), body, done)
    builder.position_at_end(body)
    after: list[ir.Value] = []
    yield index, totals, after
    step, *values = after
    for phi, last in zip(phis, [builder.add(index, step), *values], strict=True):
        phi.add_incoming(last, builder.block)
    builder.branch(head)
    builder.position_at_end(done)


@contextmanager
def loop(builder: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: ir.Value) -> Iterator[ir.Value]:
    """`for i in range(start, stop, step)` with a positive step; a `with` block that gives i."""
    with varying_loop(builder, stop, start) as (index, _, after):
        yield index
        after.append(step)


def end_loop(
    builder: ir.IRBuilder,
    index: ir.Value,
    stop: ir.Value,
    carried: Sequence[tuple[ir.Value, ir.Value, ir.Value]],
    before: ir.Block,
    body: ir.Block,
    done: ir.Block,
) -> None:
    """Close a loop that runs at least once, `body` its beginning: `index` counts from 0 to `stop`.

    `carried` has phis with their values before the loop and after each round. The builder goes on at `done`.
    """
    following, latch = builder.add(index, number(1)), builder.block
    for phi, first, last in [(index, number(0), following), *carried]:
        phi.add_incoming(first, before)
        phi.add_incoming(last, latch)
    builder.cbranch(builder.icmp_signed("<", following, stop), body, done)
    builder.position_at_end(done)


def minimum(builder: ir.IRBuilder, first: ir.Value, second: ir.Value) -> ir.Value:
    """The smaller of two signed integers."""
    return builder.select(builder.icmp_signed("<", first, second), first, second)


def ceiling_division(builder: ir.IRBuilder, numerator: ir.Value, denominator: ir.Value) -> ir.Value:
    """numerator / denominator rounded up, both positive."""
    return builder.sdiv(builder.add(numerator, builder.sub(denominator, number(1))), denominator)


def element(builder: ir.IRBuilder, base: ir.Value, *terms: tuple[ir.Value, ir.Value]) -> ir.Value:
    """The address base + Σ index · stride, in elements."""
    for index, stride in terms:
        base = builder.gep(base, [builder.mul(index, stride)])
    return base
