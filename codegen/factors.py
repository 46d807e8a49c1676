"""The factors of a matrix product as the tiles read them, as LLVM IR: one by one, or as pairs of bfloat16.

bfloat16 is the upper half of float32. Two factors that follow one another along the depth share an element of 32 bits,
the first in its lower half, and a step of a tile is two multiply-adds: the second pair of factors, then the first, each
rounded to float32, as AVX512-BF16 has it (Intel, Software Developer's Manual, VDPBF16PS). What a processor lacks of
that is put together from what it has, to the same bits as long as denormals are flushed.
"""

from collections.abc import Sequence

from llvmlite import ir  # type: ignore[import-untyped]

from symgrad.codegen.emit import I32, Vector, ceiling_division, number
from symgrad.codegen.host import Host

EXPONENT = {"float32": 0x7F800000, "float64": 0x7FF0000000000000}  # all of its bits: infinite or NaN


class Single:
    """Factors as they are stored: an element is one factor."""

    each = 1  # factors in an element

    def __init__(self, host: Host, dtype: str) -> None:
        self.vector = Vector(dtype, host.lanes(dtype))
        self.has_fma = host.has_fma
        self.bits = ir.VectorType(ir.IntType(8 * self.vector.item), self.vector.lanes)
        self.doubtful = EXPONENT[dtype]

    def elements(self, builder: ir.IRBuilder, depth: ir.Value) -> ir.Value:
        """How many elements a depth of so many factors takes."""
        return depth

    def multiply_add(self, builder: ir.IRBuilder, first: ir.Value, second: ir.Value, total: ir.Value) -> ir.Value:
        """What one element of each operand adds to a sum."""
        return self.vector.multiply_add(builder, first, second, total, self.has_fma)

    def doubt(self, builder: ir.IRBuilder, element: ir.Value) -> ir.Value:
        """Bits of which a `doubtful` one is set where a factor is not finite, and none elsewhere."""
        # Zero times what is not finite is NaN, and with finite numbers zero of either sign.
        return builder.bitcast(builder.fmul(element, self.vector.zero), self.bits)


class Pairs(Single):
    """Two factors of bfloat16 in an element of 32 bits."""

    each = 2

    def __init__(self, host: Host) -> None:
        super().__init__(host, "float32")
        self.native = host.has_bfloat16
        self.halves = ir.VectorType(ir.IntType(16), 2 * self.vector.lanes)
        self.doubtful = 0x80008000

    def elements(self, builder: ir.IRBuilder, depth: ir.Value) -> ir.Value:
        return ceiling_division(builder, depth, number(2))

    def multiply_add(self, builder: ir.IRBuilder, first: ir.Value, second: ir.Value, total: ir.Value) -> ir.Value:
        if self.native:
            return self._instruct(builder, "vdpbf16ps $3, $2, $0", "=v,0,v,v", [total, first, second])
        for half in (self._upper, self._lower):
            total = super().multiply_add(builder, half(builder, first), half(builder, second), total)
        return total

    def doubt(self, builder: ir.IRBuilder, element: ir.Value) -> ir.Value:
        exponents = builder.and_(self._integers(builder, element), self._constant(0x7F807F80))
        return builder.add(exponents, self._constant(0x00800080))  # an exponent of ones runs over into the sign

    def paired(self, builder: ir.IRBuilder, first: ir.Value, second: ir.Value) -> ir.Value:
        """A vector of pairs from those of their first and second numbers, rounded to the nearest, ties to even."""
        if self.native:
            ordered = builder.bitcast(self._rounded(builder, first, second), self.halves)
            lanes = [half + lane for lane in range(self.vector.lanes) for half in (0, self.vector.lanes)]
            return builder.bitcast(self._shuffle(builder, ordered, ordered, lanes), self.vector.type)
        low, high = (self._upper_bits(builder, value) for value in (first, second))
        shifted = builder.lshr(low, self._constant(16))
        return builder.bitcast(builder.or_(high, shifted), self.vector.type)

    def neighbours(self, builder: ir.IRBuilder, start: ir.Value, rest: ir.Value) -> ir.Value:
        """A vector of pairs of numbers that lie side by side, in two vectors that do."""
        if self.native:
            return self._rounded(builder, start, rest)
        halves = [[2 * lane + odd for lane in range(self.vector.lanes)] for odd in (0, 1)]
        return self.paired(builder, *(self._shuffle(builder, start, rest, lanes) for lanes in halves))

    def _rounded(self, builder: ir.IRBuilder, start: ir.Value, rest: ir.Value) -> ir.Value:
        """The numbers of two vectors as bfloat16, one after the other."""
        return self._instruct(builder, "vcvtne2ps2bf16 $1, $2, $0", "=v,v,v", [start, rest])

    def _instruct(self, builder: ir.IRBuilder, text: str, where: str, values: Sequence[ir.Value]) -> ir.Value:
        kind = ir.FunctionType(self.vector.type, [value.type for value in values])
        return builder.asm(kind, text, where, values, side_effect=False)

    def _upper_bits(self, builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
        """The bits of numbers rounded to bfloat16, in the upper half of each lane; NaN stays NaN."""
        bits = self._integers(builder, value)
        odd = builder.and_(builder.lshr(bits, self._constant(16)), self._constant(1))
        rounded = builder.add(builder.add(bits, self._constant(0x7FFF)), odd)
        quiet = builder.or_(bits, self._constant(0x00400000))
        either = builder.select(builder.fcmp_unordered("uno", value, value), quiet, rounded)
        return builder.and_(either, self._constant(0xFFFF0000))

    def _upper(self, builder: ir.IRBuilder, pair: ir.Value) -> ir.Value:
        bits = builder.and_(self._integers(builder, pair), self._constant(0xFFFF0000))
        return builder.bitcast(bits, self.vector.type)

    def _lower(self, builder: ir.IRBuilder, pair: ir.Value) -> ir.Value:
        bits = builder.shl(self._integers(builder, pair), self._constant(16))
        return builder.bitcast(bits, self.vector.type)

    def _integers(self, builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
        return builder.bitcast(value, self.bits)

    def _constant(self, value: int) -> ir.Constant:
        return ir.Constant(self.bits, [value] * self.vector.lanes)

    def _shuffle(self, builder: ir.IRBuilder, first: ir.Value, second: ir.Value, lanes: Sequence[int]) -> ir.Value:
        return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


def factors_of(host: Host, dtype: str) -> Single:
    """Factors of "float32", "float64" or "bfloat16"."""
    return Pairs(host) if dtype == "bfloat16" else Single(host, dtype)
