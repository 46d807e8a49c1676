"""Elementary functions as branch-free arithmetic on IR values, so that a loop which calls them becomes vector code.

LLVM has no vector exp, log or tanh of its own: a loop around the C library's runs 5 to 50 times slower. In float32
everything here is a polynomial after a range reduction, within 4 units in the last place; in float64 the primitives
are the C library's, and what is built from them is built the same way.

The one optimisation allowed within is contraction to multiply-add: the corrections below are zero in real arithmetic,
and an optimiser that may reorder additions deletes them. Comparisons are written so that NaN passes through.

Coefficients: least squares on Chebyshev nodes in 40 digits, reweighted (Lawson) until the error is level, weighted for
relative error of the result, then rounded to float32. This module must not know Numba.
"""

import math
from collections.abc import Sequence

from llvmlite import ir  # type: ignore[import-untyped]

from symgrad.codegen.emit import FLOATS, I32, SUFFIX, external

FLAGS = ("contract",)
ESTIMATE = ("arcp", "afn", "ninf", "nsz", "contract", "reassoc")  # on one instruction: allows an estimate instead
INFINITE = float("inf")
LOG2_E = 1.4426950408889634
LN2, LN2_HIGH, LN2_LOW = 0.6931471805599453, 0.693359375, -2.12194440054690583e-4  # 10 bits: n LN2_HIGH is exact
ROUND = 12582912.0  # 1.5 · 2^23: adding it leaves the nearest integer in the low bits
# (exp(r) - 1 - r)/r² on |r| <= ln(2)/2
EXP = (0.5, 0.16666513681411743, 0.041666191071271896, 0.008369579911231995, 0.001395128550939262)
# (log(1+f) - f + f²/2)/f³ on sqrt(1/2) <= 1 + f <= sqrt(2)
LOG = (0.3333333134651184, -0.25000837445259094, 0.2000129520893097, -0.16622772812843323, 0.1419968605041504,
       -0.13164077699184418, 0.12778940796852112, -0.07646121829748154)  # fmt: skip
# erf(x)/x - 1 in powers of x², |x| <= 1
ERF = (0.12837916612625122, -0.3761262595653534, 0.1128358542919159, -0.02685381844639778, 0.005188342183828354,
       -0.0008010333986021578, 7.854364230297506e-05)  # fmt: skip
# log(erfc(x)) on 1 <= x <= 4
ERFC = (-0.0003424818569328636, -1.1270853281021118, -0.6381512880325317, -0.10310118645429611, 0.021835414692759514,
        -0.0029470017179846764, 0.00018631271086633205)  # fmt: skip


class Real:
    """A floating-point IR value with arithmetic; the other operand is a Real or a Python number."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder, self.value = builder, value

    def of(self, other: "Real | float") -> "Real":
        """A constant of this value's width."""
        return other if isinstance(other, Real) else Real(self.builder, ir.Constant(self.value.type, float(other)))

    def __add__(self, other: "Real | float") -> "Real":
        return Real(self.builder, self.builder.fadd(self.value, self.of(other).value, flags=FLAGS))

    def __sub__(self, other: "Real | float") -> "Real":
        return Real(self.builder, self.builder.fsub(self.value, self.of(other).value, flags=FLAGS))

    def __rsub__(self, other: float) -> "Real":
        return self.of(other) - self

    def __mul__(self, other: "Real | float") -> "Real":
        return Real(self.builder, self.builder.fmul(self.value, self.of(other).value, flags=FLAGS))

    def over(self, other: "Real") -> "Real":
        """The quotient by estimate and a Newton step, where the processor has one: for denominators that are finite."""
        return Real(self.builder, self.builder.fdiv(self.value, other.value, flags=ESTIMATE))

    def __truediv__(self, other: "Real | float") -> "Real":
        return Real(self.builder, self.builder.fdiv(self.value, self.of(other).value, flags=FLAGS))

    def __neg__(self) -> "Real":
        return Real(self.builder, self.builder.fneg(self.value))

    __radd__, __rmul__ = __add__, __mul__

    def compare(self, sign: str, other: "Real | float") -> ir.Value:
        """False for NaN."""
        return self.builder.fcmp_ordered(sign, self.value, self.of(other).value)

    def where(self, condition: ir.Value, other: "Real | float") -> "Real":
        """This value where the condition holds, else the other."""
        return Real(self.builder, self.builder.select(condition, self.value, self.of(other).value))

    def clamp(self, low: float, high: float) -> "Real":
        """NaN stays NaN."""
        up = self.of(low).where(self.compare("<", low), self)
        return self.of(high).where(up.compare(">", high), up)

    def call(self, name: str, *others: "Real") -> "Real":
        """A function of the C library or an intrinsic of LLVM with this type for all arguments and the result."""
        kind = ir.FunctionType(self.value.type, [self.value.type] * (1 + len(others)))
        function = external(self.builder.module, name, kind)
        return Real(self.builder, self.builder.call(function, [self.value, *(other.value for other in others)]))

    def intrinsic(self, name: str, *others: "Real") -> "Real":
        """LLVM's own function of that name, without the suffix for the width."""
        suffix = SUFFIX["float32" if self.single else "float64"]
        return self.call(f"llvm.{name}.{suffix}", *others)

    @property
    def single(self) -> bool:
        return bool(self.value.type == FLOATS["float32"])

    def magnitude(self) -> "Real":
        """|x|"""
        return self.intrinsic("fabs")

    def signed_as(self, other: "Real") -> "Real":
        """This magnitude with the other's sign."""
        return self.intrinsic("copysign", other)

    def polynomial(self, coefficients: Sequence[float]) -> "Real":
        """Σ coefficients[i] xⁱ by Horner's rule."""
        total = self.of(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = total * self + coefficient
        return total

    def bits(self) -> ir.Value:
        """A float32 as an integer."""
        return self.builder.bitcast(self.value, I32)

    def from_bits(self, bits: ir.Value) -> "Real":
        """An integer as a float32."""
        return Real(self.builder, self.builder.bitcast(bits, self.value.type))


def integer(value: int) -> ir.Constant:
    return ir.Constant(I32, value)


def power_of_two(x: Real, exponent: ir.Value) -> Real:
    """2^exponent for an int32 within the normal range of float32."""
    return x.from_bits(x.builder.shl(x.builder.add(exponent, integer(127)), integer(23)))


def reduced(x: Real) -> tuple[ir.Value, Real]:
    """n and e^r - 1 with x = n ln 2 + r, |r| <= ln(2)/2: the argument of exp is taken apart."""
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = x - n * LN2_HIGH - n * LN2_LOW
    whole = x.builder.sub(shifted.bits(), x.of(ROUND).bits())
    return whole, r + r * r * r.polynomial(EXP)


def exp(x: Real) -> Real:
    """e^x; 2^n in two factors, so that overflow and denormals come out by themselves."""
    if not x.single:
        return x.call("exp")
    n, less_one = reduced(x.clamp(-104.0, 89.0))
    half = x.builder.ashr(n, integer(1))
    rest = x.builder.sub(n, half)
    return (less_one + 1.0) * power_of_two(x, half) * power_of_two(x, rest)


def expm1(x: Real) -> Real:
    """e^x - 1 = 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)); the halving keeps 2^n finite at n = 128."""
    if not x.single:
        return x.call("expm1")
    n, less_one = reduced(x.clamp(-20.0, 89.0))
    scale = power_of_two(x, x.builder.sub(n, integer(1)))
    large = (scale * less_one + (scale - 0.5)) * 2.0
    return x.where(x.magnitude().compare("<", 1e-10), large)  # keeps the sign of zero


def log_of_sum(u: Real, low: Real) -> Real:
    """log(u + low), |low| far below u, for u > 0 normal and finite.

    u = 2^n m with m in [sqrt(1/2), sqrt(2)); the low part is scaled along and joins f = m - 1, without a division.
    """
    builder = u.builder
    n = builder.ashr(builder.sub(u.bits(), u.of(0.5**0.5).bits()), integer(23))
    m = u.from_bits(builder.sub(u.bits(), builder.shl(n, integer(23))))
    # 2^-n as two factors: n reaches 127, and 2^-127 is not normal.
    half = builder.ashr(n, integer(1))
    down = power_of_two(u, builder.neg(half)), power_of_two(u, builder.sub(half, n))
    f = (m - 1.0) + low * down[0] * down[1]
    count = Real(builder, builder.sitofp(n, u.value.type))
    square = f * f
    tail = square * f * f.polynomial(LOG) + count * LN2_LOW - square * 0.5
    return count * LN2_HIGH + (f + tail)


def log_at_edges(x: Real, argument: Real, inside: Real) -> Real:
    """The value of a logarithm of `argument`, which is 0, negative, infinite or NaN where x is: -inf, NaN, inf, NaN."""
    positive = inside.where(argument.compare(">", 0.0), float("nan"))
    bounded = x.of(float("-inf")).where(argument.compare("==", 0.0), positive)
    return x.where(argument.compare("==", float("inf")), bounded)


def log(x: Real) -> Real:
    """Denormals are brought into the normal range first."""
    if not x.single:
        return x.call("log")
    tiny = x.compare("<", 2.0**-126)
    normal = (x * 2.0**23).where(tiny, x)
    inside = log_of_sum(normal, x.of(0.0)) - x.of(23 * LN2).where(tiny, 0.0)
    return log_at_edges(x, x, inside)


def log1p(x: Real) -> Real:
    """log(1 + x), where u = 1 + x loses c = x - (u - 1)."""
    if not x.single:
        return x.call("log1p")
    u = x + 1.0
    inside = log_of_sum(u, x - (u - 1.0))
    return x.where(x.magnitude().compare("<", 1e-10), log_at_edges(x, u, inside))


def tanh(x: Real) -> Real:
    """-t/(t + 2) with t = e^(-2|x|) - 1, and the sign of x."""
    if not x.single:
        return x.call("tanh")
    t = expm1(x.magnitude() * -2.0)
    return (-t / (t + 2.0)).signed_as(x)


def erf(x: Real) -> Real:
    """A polynomial up to 1; beyond, 1 - e^(log erfc), whose relative error shrinks with erfc."""
    if not x.single:
        return x.call("erf")
    size = x.magnitude()
    near = x + x * (x * x).polynomial(ERF)
    far = (1.0 - exp(size.clamp(1.0, 4.0).polynomial(ERFC))).signed_as(x)
    return far.where(size.compare(">", 1.0), near)


def sigmoid(x: Real) -> Real:
    """1/(1 + e^-x) from e^-|x|, which never overflows and keeps the small tail exact."""
    small = exp(-x.magnitude())
    return small.where(x.compare("<", 0.0), 1.0) / (small + 1.0)


def softplus(x: Real) -> Real:
    """log(1 + e^x) = max(x, 0) + log1p(e^-|x|)"""
    return x.where(x.compare(">", 0.0), 0.0) + log1p(exp(-x.magnitude()))


def logaddexp(x: Real, y: Real) -> Real:
    """max(x, y) + log1p(e^-|x - y|); equal infinities have no difference."""
    difference = x.of(0.0).where(x.compare("==", y), x - y)
    return x.where(x.compare(">", y), y) + log1p(exp(-difference.magnitude()))


def over_root(x: Real, square: Real, epsilon: Real) -> Real:
    """x / (sqrt(square) + epsilon), the step of RMSprop and Adam, within 1e-6 relative in float32.

    The root is exact: processors take it beside the other arithmetic, in the time of the quotient's estimate. NaN stays
    NaN, an infinite square gives NaN.
    """
    denominator = square.intrinsic("sqrt") + epsilon
    return x.over(denominator) if x.single else x / denominator


def logerfc(x: Real) -> Real:
    """log(erfc(x)): by log1p around 0, by the series of Abramowitz and Stegun 7.1.23 where erfc(x) is tiny."""
    far = 5.0 if x.single else 10.0
    near = log1p(-erf(x.clamp(-INFINITE, 0.5)))
    middle = log(x.clamp(0.5, far).call("erfcf" if x.single else "erfc"))
    out = x.clamp(far, INFINITE)
    step = x.of(-0.5) / (out * out)
    term, series = step, step + 1.0
    for k in range(2, 11 if not x.single else 7):
        term = term * step * (2 * k - 1)
        series = series + term
    tail = -(out * out) - log(out * math.sqrt(math.pi)) + log(series)
    return near.where(x.compare("<", 0.5), tail.where(x.compare(">=", far), middle))


def log1mexp(x: Real) -> Real:
    """log(1 - e^-x) for x > 0: by expm1 below ln 2, by log1p above (Mächler 2012)."""
    near, far = log(-expm1(-x)), log1p(-exp(-x))
    return near.where(x.compare("<", LN2), far)
