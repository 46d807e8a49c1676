"""What users write: leaves, mathematical functions, sums and products. Each builds one or a few ops.

Every function takes expressions, numbers or arrays and returns an expression; shapes follow NumPy. Nothing here is
computed: `sg.evaluate` and `sg.compile` do that.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from typing import Any

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import sizes
from symgrad.expression.declare import labels as labels
from symgrad.expression.declare import parameter as parameter
from symgrad.expression.declare import variable as variable
from symgrad.expression.node import Expr, as_expr, binary, make
from symgrad.expression.ops import (
    ArgMax,
    Cast,
    Contraction,
    Elementwise,
    Extent,
    Identity,
    LogSumExp,
    OneHot,
    Reduce,  # fmt: skip
    Reshape,
    Scatter,
    Softmax,
    Take,
)
from symgrad.expression.scalars import INTEGER, REAL
from symgrad.expression.sizes import Size

Axes = int | Sequence[int] | None


def _unary(function: str, sentence: str) -> Callable[[object], Expr]:
    def build(x: object) -> Expr:
        return make(Elementwise(function), as_expr(x))

    build.__name__ = build.__qualname__ = function
    build.__doc__ = f"{sentence}, entry by entry; the result has the shape of x."
    return build


exp = _unary("exp", "e to the power x")
log = _unary("log", "The natural logarithm")
expm1 = _unary("expm1", "exp(x) - 1, exact near 0")
log1p = _unary("log1p", "log(1 + x), exact near 0")
log1mexp = _unary("log1mexp", "log(1 - exp(-x)) for x > 0, exact near 0 and far out")
sqrt = _unary("sqrt", "The square root")
sin = _unary("sin", "The sine")
cos = _unary("cos", "The cosine")
tan = _unary("tan", "The tangent")
atan = _unary("atan", "The inverse tangent")
sinh = _unary("sinh", "The hyperbolic sine")
cosh = _unary("cosh", "The hyperbolic cosine")
tanh = _unary("tanh", "The hyperbolic tangent")
erf = _unary("erf", "The error function")
erfc = _unary("erfc", "1 - erf(x), exact where erf is close to 1")
logerfc = _unary("logerfc", "log(erfc(x)), also where erfc(x) is too small for a number")
sigmoid = _unary("sigmoid", "1 / (1 + exp(-x)), without overflow")
softplus = _unary("softplus", "log(1 + exp(x)), without overflow")
relu = _unary("relu", "max(x, 0), with derivative 0 at 0")
absolute = _unary("abs", "|x|, with derivative 0 at 0")
sign = _unary("sign", "-1, 0 or 1")
floor = _unary("floor", "The largest integer that is not above x")
logical_not = _unary("logical_not", "The opposite of a condition")


def _binary(function: str, sentence: str) -> Callable[[object, object], Expr]:
    def build(a: object, b: object) -> Expr:
        return binary(function, a, b)

    build.__name__ = build.__qualname__ = function
    build.__doc__ = f"{sentence}, entry by entry; shapes broadcast."
    return build


add = _binary("add", "a + b")
multiply = _binary("multiply", "a * b")
maximum = _binary("maximum", "The larger of a and b; ties share the derivative")
minimum = _binary("minimum", "The smaller of a and b; ties share the derivative")
logaddexp = _binary("logaddexp", "log(exp(a) + exp(b)), without overflow")
equal = _binary("equal", "Where a == b (the operator == compares identity of formulas)")
not_equal = _binary("not_equal", "Where a != b (the operator != compares identity of formulas)")
logical_and = _binary("logical_and", "Where both conditions hold")
logical_or = _binary("logical_or", "Where one of the conditions holds")


def where(condition: object, a: object, b: object) -> Expr:
    """a where the condition holds, else b; the derivative selects likewise."""
    return make(Elementwise("where"), as_expr(condition), as_expr(a), as_expr(b))


def axes_of(x: Expr, axis: Axes, function: str) -> tuple[int, ...]:
    """Axes as sorted non-negative numbers; None is all of them."""
    if axis is None:
        return tuple(range(x.ndim))
    wanted = [axis] if isinstance(axis, int) else list(axis)
    for a in wanted:
        if not isinstance(a, int) or not -x.ndim <= a < x.ndim:
            raise ShapeError(
                f"{function} along axis {a!r} of {x.label} {sizes.text(x.shape)}: it has axes 0 to {x.ndim - 1}"
            )
    found = tuple(sorted({a % x.ndim for a in wanted}))
    if len(found) != len(wanted):
        raise ShapeError(f"{function} of {x.label} names an axis twice: {tuple(wanted)}")
    return found


def sum(x: object, axis: Axes = None, keepdims: bool = False) -> Expr:
    """The sum along axes (all by default).

    >>> sum(variable("x", ("N", 3)), axis=0).shape
    (3,)
    """
    value = as_expr(x)
    axes = axes_of(value, axis, "sum")
    if not axes:
        return value
    return make(sum_op(value.ndim, axes, keepdims), value)


def sum_op(rank: int, axes: Sequence[int], keepdims: bool) -> Contraction:
    """The contraction that sums a tensor of some rank along axes."""
    indices = tuple(range(rank))
    if not keepdims:
        return Contraction((indices,), tuple(i for i in indices if i not in axes))
    output = tuple(rank + i if i in axes else i for i in indices)
    return Contraction((indices,), output, tuple((rank + i, 1) for i in sorted(axes)))


def size(extent: Size) -> Expr:
    """The number of entries along an axis as a scalar: an int as it is, "N" bound when the formula is used."""
    return as_expr(extent) if isinstance(extent, int) else make(Extent(extent))


def mean(x: object, axis: Axes = None, keepdims: bool = False) -> Expr:
    """The mean along axes (all by default): the sum divided by the number of entries."""
    value = as_expr(x)
    axes = axes_of(value, axis, "mean")
    return sum(value, axes, keepdims) / size(sizes.times(value.shape[a] for a in axes))


def max(x: object, axis: Axes = None, keepdims: bool = False) -> Expr:
    """The largest entry along axes (all by default); ties share the derivative equally."""
    value = as_expr(x)
    return make(Reduce("max", axes_of(value, axis, "max"), keepdims), value)


def min(x: object, axis: Axes = None, keepdims: bool = False) -> Expr:
    """The smallest entry along axes (all by default); ties share the derivative equally."""
    value = as_expr(x)
    return make(Reduce("min", axes_of(value, axis, "min"), keepdims), value)


def argmax(x: object, axis: int = -1) -> Expr:
    """The position of the largest entry along an axis (the first of equals): an integer, without derivative."""
    value = as_expr(x)
    return make(ArgMax(axes_of(value, axis, "argmax")[0]), value)


def logsumexp(x: object, axis: Axes = -1, keepdims: bool = False) -> Expr:
    """log(sum(exp(x))) along axes (the last by default), without overflow."""
    value = as_expr(x)
    return make(LogSumExp(axes_of(value, axis, "logsumexp"), keepdims), value)


def softmax(x: object, axis: Axes = -1) -> Expr:
    """exp(x) / sum(exp(x)) along axes (the last by default), without overflow."""
    value = as_expr(x)
    return make(Softmax(axes_of(value, axis, "softmax")), value)


def log_softmax(x: object, axis: Axes = -1) -> Expr:
    """log(softmax(x)) = x - logsumexp(x), without overflow."""
    value = as_expr(x)
    return value - logsumexp(value, axis, keepdims=True)


def dot(a: object, b: object) -> Expr:
    """NumPy's dot: the product of two vectors, two matrices, or a number with anything."""
    left, right = as_expr(a), as_expr(b)
    return left * right if not left.shape or not right.shape else left @ right


def outer(a: object, b: object) -> Expr:
    """The outer product of two vectors: out[i, j] = a[i] b[j]."""
    return einsum("i,j->ij", a, b)


def einsum(subscripts: str, *operands: object) -> Expr:
    """Einstein summation with explicit output, as in NumPy: einsum("nk,kj->nj", x, w). Raises ShapeError."""
    text = subscripts.replace(" ", "") if isinstance(subscripts, str) else ""
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    if not arrow or not set(text) <= set(string.ascii_letters + ",->"):
        raise ShapeError(f'einsum subscripts look like "nk,kj->nj", with an arrow and letters only; not {subscripts!r}')
    values = [as_expr(o) for o in operands]
    if len(terms) != len(values):
        raise ShapeError(f"einsum {subscripts!r} describes {len(terms)} operands, {len(values)} were given")
    for term, value in zip(terms, values, strict=True):
        if len(term) != value.ndim:
            raise ShapeError(
                f"einsum {subscripts!r}: {term!r} has {len(term)} indices, {value.label} has shape "
                f"{sizes.text(value.shape)}"
            )
    strange = [i for i in output if i not in inputs]
    if strange or len(set(output)) != len(output):
        raise ShapeError(f"einsum {subscripts!r}: each index of the output stands there once and in an operand")
    number = {letter: i for i, letter in enumerate(dict.fromkeys(inputs.replace(",", "")))}
    numbered = tuple(tuple(number[i] for i in term) for term in terms)
    return make(Contraction(numbered, tuple(number[i] for i in output)), *values)


def reshape(x: object, shape: Sequence[Size]) -> Expr:
    """The same entries row by row in another shape; one size may be -1. Raises ShapeError when the counts differ."""
    value = as_expr(x)
    wanted = list(shape)
    if wanted.count(-1) == 1:
        rest = sizes.quotient(sizes.times(value.shape), sizes.times(s for s in wanted if s != -1))
        wanted = [rest if isinstance(s, int) and s == -1 else s for s in wanted]
    if (
        None in wanted
        or not all(map(sizes.is_size, wanted))
        or not sizes.same(sizes.times(wanted), sizes.times(value.shape))
    ):
        raise ShapeError(
            f"cannot reshape {value.label} {sizes.text(value.shape)} to {sizes.text(tuple(shape))}: "
            f"the numbers of entries differ"
        )
    return value if tuple(wanted) == value.shape else make(Reshape(tuple(wanted)), value)


def transpose(x: object, axes: Sequence[int] | None = None) -> Expr:
    """The axes in another order (reversed by default)."""
    value = as_expr(x)
    order = tuple(range(value.ndim))[::-1] if axes is None else tuple(axes)
    if sorted(a % value.ndim if value.ndim else a for a in order) != list(range(value.ndim)):
        raise ShapeError(
            f"transpose of {value.label} {sizes.text(value.shape)} needs each of its {value.ndim} "
            f"axes once, not {order}"
        )
    indices = tuple(range(value.ndim))
    return make(Contraction((indices,), tuple(a % value.ndim for a in order)), value)


def cast(x: object, kind: str) -> Expr:
    """x as another kind of number: "real", "integer" (towards zero) or "boolean" (not zero)."""
    value = as_expr(x)
    if kind not in (REAL, INTEGER, "boolean"):
        raise ExpressionError(
            f"{kind!r} is not a kind of number: use 'real', 'integer' or 'boolean'; float widths belong to sg.compile"
        )
    return value if value.kind == kind else make(Cast(kind), value)


def _integers(x: object, use: str) -> Expr:
    value = as_expr(x)
    if value.kind != INTEGER:
        raise ExpressionError(
            f"{use} wants integers, but {value.label} is {value.kind}: declare it with sg.labels or dtype='int64'"
        )
    return value


def take(x: object, indices: object, axis: int = 0) -> Expr:
    """Entries of x along an axis at integer positions; the derivative adds back into those positions."""
    value = as_expr(x)
    return make(Take(axes_of(value, axis, "take")[0]), value, _integers(indices, "take"))


def scatter(values: object, indices: object, extent: Size, axis: int = 0) -> Expr:
    """Adds values into zeros of `extent` entries along an axis, at integer positions: the adjoint of take."""
    value, positions = as_expr(values), _integers(indices, "scatter")
    where_ = value.shape[axis : axis + positions.ndim]
    if len(where_) != positions.ndim or not all(map(sizes.same, where_, positions.shape)):
        raise ShapeError(
            f"scatter: {value.label} {sizes.text(value.shape)} does not have {positions.label} "
            f"{sizes.text(positions.shape)} from axis {axis} on"
        )
    return make(Scatter(axis, extent), value, positions)


def one_hot(indices: object, classes: int) -> Expr:
    """1 at the position of each label along a new last axis, 0 elsewhere."""
    return make(OneHot(classes), _integers(indices, "one_hot"))


def identity(extent: Size) -> Expr:
    """The identity matrix of a size."""
    return make(Identity(extent))


def named(x: object, name: str) -> Expr:
    """x under a name, at which formulas stop."""
    return as_expr(x).named(name)


def table() -> dict[str, Callable[..., Any]]:
    """The functions that may stand in a formula given as text, by name."""
    own = globals()
    listed = """
        exp log expm1 log1p log1mexp sqrt sin cos tan atan sinh cosh tanh erf erfc logerfc
        sigmoid softplus relu sign floor
        logical_not maximum minimum logaddexp equal not_equal logical_and logical_or where
        sum mean max min argmax logsumexp softmax log_softmax
        dot outer einsum reshape transpose take one_hot identity
    """
    return {name: own[name] for name in listed.split()} | {"abs": absolute}
