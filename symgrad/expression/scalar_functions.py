"""SymPy as a language for scalar functions: a live Lambda or function class becomes a function on expressions.

Takes SymPy objects, never text; gives nodes of our own closed table, built by walking `args`. What SymPy did to the
function before it came here cannot be undone, so the gate refuses what it is known to have spoilt. Knows nothing of
calculus, formulas or kernels. The way out, `to_sympy`, is in `componentwise`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy  # type: ignore[import-untyped]
from sympy.logic.boolalg import BooleanAtom  # type: ignore[import-untyped]

from symgrad.errors import ExpressionError
from symgrad.expression import functions as f
from symgrad.expression import scalar_gate
from symgrad.expression.componentwise import to_sympy
from symgrad.expression.node import Expr, as_expr, binary, make
from symgrad.expression.ops import Contraction, broadcast

ONE_ARGUMENT: dict[type, Callable[[Expr], Expr]] = {
    sympy.exp: f.exp, sympy.log: f.log, sympy.sin: f.sin, sympy.cos: f.cos, sympy.tan: f.tan, sympy.atan: f.atan,
    sympy.sinh: f.sinh, sympy.cosh: f.cosh, sympy.tanh: f.tanh, sympy.erf: f.erf, sympy.Abs: f.absolute,
    sympy.sign: f.sign, sympy.floor: f.floor, sympy.ceiling: lambda x: -f.floor(-x), sympy.Not: f.logical_not,
}  # fmt: skip
MANY_ARGUMENTS: dict[type, Callable[[object, object], Expr]] = {
    sympy.Min: f.minimum, sympy.And: f.logical_and, sympy.Or: f.logical_or,
    sympy.Lt: lambda a, b: binary("less", a, b), sympy.Le: lambda a, b: binary("less_equal", a, b),
    sympy.Gt: lambda a, b: binary("greater", a, b), sympy.Ge: lambda a, b: binary("greater_equal", a, b),
    sympy.Eq: f.equal, sympy.Ne: f.not_equal,
}  # fmt: skip
Walk = Callable[[Any], Expr]


def elementwise(function: Any) -> Callable[..., Expr]:
    """A scalar function given as a SymPy Lambda or function class, as a function of expressions that broadcasts.

    SymPy evaluates before this sees anything: `(x - y)/3` is `x/3 - y/3` by then, and `0*x` is 0. Integers stay
    integers, rationals become quotients, pi and sqrt(2) the nearest float64. Max(x, 0) is relu, with derivative 0 at 0.
    Raises ExpressionError for text, free symbols, assumptions stronger than real, unknown functions, ITE, complex or
    infinite numbers, a Piecewise without a final True, and more than 50 operations or 30 levels.

    >>> from symgrad.expression.functions import variable
    >>> t = sympy.Symbol("t", real=True)
    >>> mish = elementwise(sympy.Lambda(t, t * sympy.tanh(sympy.log(1 + sympy.exp(t)))))
    >>> print(mish(variable("z", ("N", 3))))
    z ⊙ tanh(log(1 + exp(z)))
    """
    arguments, body = scalar_gate.opened(function, KNOWN)
    _walk(body, {symbol: f.variable(f"a{i}") for i, symbol in enumerate(arguments)})  # what has no row is refused now

    def apply(*values: object) -> Expr:
        if len(values) != len(arguments):
            raise ExpressionError(f"{function} takes {len(arguments)} arguments, {len(values)} were given")
        given = [as_expr(value) for value in values]
        return _widened(_walk(body, dict(zip(arguments, given, strict=True))), given)

    apply.__name__ = apply.__qualname__ = getattr(function, "__name__", "elementwise")
    apply.__doc__ = f"{body} for {', '.join(map(str, arguments))}, entry by entry; shapes broadcast."
    return apply


def _walk(body: Any, values: Mapping[Any, Expr]) -> Expr:
    """The body over our own table; the gate has bounded its depth."""

    def walk(e: Any) -> Expr:
        if e in values:
            return values[e]
        if isinstance(e, BooleanAtom):
            return as_expr(bool(e))
        if e.is_number:
            return _number(e)
        for kind, build in BUILDERS.items():
            if isinstance(e, kind):
                return build(e, walk)
        head = type(e)
        if head in ONE_ARGUMENT and len(e.args) == 1:
            return ONE_ARGUMENT[head](walk(e.args[0]))
        if head in MANY_ARGUMENTS:
            return _folded(MANY_ARGUMENTS[head], [walk(a) for a in e.args])
        raise scalar_gate.unknown(head, KNOWN)

    return walk(body)


def _number(e: Any) -> Expr:
    """A constant: int where it is one, a quotient where it is rational, else the nearest float64."""
    if e.is_Integer and abs(int(e)) < 2**63:
        return as_expr(int(e))
    if e.is_Rational and not e.is_Integer and max(abs(e.p), e.q) < 2**63:
        return as_expr(int(e.p)) / int(e.q)
    _check_real(e)
    value = float(e) if e.is_Float else float(e.evalf(30))
    if value in (float("inf"), float("-inf")):
        raise ExpressionError(f"{str(e)[:40]} is larger than a float64 can be: scale the function")
    return as_expr(value)


def _check_real(number: Any) -> None:
    if not (number.is_extended_real and number.is_finite):
        raise ExpressionError(f"{number} is not a finite real number, but scalar functions are real: leave it out")


def _folded(function: Callable[[object, object], Expr], values: Sequence[Expr]) -> Expr:
    result = values[0]
    for value in values[1:]:
        result = function(result, value)
    return result


def _sum(e: Any, walk: Walk) -> Expr:
    """Terms with a plus sign first, so that SymPy's -y + x is written x - y."""
    terms = sorted(e.args, key=_signed)
    result = walk(terms[0])
    for term in terms[1:]:
        result = result - _unsigned(term, walk) if _signed(term) else result + walk(term)
    return result


def _signed(term: Any) -> bool:
    return bool(term.as_coeff_Mul()[0].is_negative)


def _unsigned(term: Any, walk: Walk) -> Expr:
    """The term without its minus sign; SymPy's own -term could multiply a bracket out."""
    return walk(-term) if term.is_number else _quotient(term, walk)


def _product(e: Any, walk: Walk) -> Expr:
    return -_quotient(e, walk) if sympy.Mul(*(a for a in e.args if a.is_number)).is_negative else _quotient(e, walk)


def _quotient(e: Any, walk: Walk) -> Expr:
    """|number| * factors / divisors; only a power with a negative number as exponent divides."""
    number = sympy.Mul(*(a for a in e.args if a.is_number))
    _check_real(number)
    number = abs(number)
    above, below = (sympy.Integer(number.p), int(number.q)) if number.is_Rational else (number, 1)
    top: list[Expr] = []
    bottom = [as_expr(below)] if below != 1 else []
    for factor in (a for a in e.args if not a.is_number):
        if factor.is_Pow and factor.exp.is_Rational and factor.exp.is_negative:
            bottom.append(_raised(walk(factor.base), -factor.exp))
        else:
            top.append(walk(factor))
    if above != 1 or not top:
        top.insert(0, _number(above))
    result = _folded(f.multiply, top)
    return result / _folded(f.multiply, bottom) if bottom else result


def _power(e: Any, walk: Walk) -> Expr:
    base, exponent = e.base, e.exp
    if exponent.is_Float and float(exponent * 2).is_integer():
        exponent = sympy.Rational(round(float(exponent * 2)), 2)  # x**2.0 is x**2, x**0.5 is sqrt(x)
    if exponent.is_Rational and exponent.is_negative:
        return 1 / _raised(walk(base), -exponent)
    return _raised(walk(base), exponent) if exponent.is_number else walk(base) ** walk(exponent)


def _raised(base: Expr, exponent: Any) -> Expr:
    if exponent == sympy.Rational(1, 2):
        return f.sqrt(base)
    return base if exponent == 1 else base ** _number(exponent)


def _piecewise(e: Any, walk: Walk) -> Expr:
    *branches, (last, always) = e.args
    if always != sympy.true:
        raise ExpressionError(f"{e} has no value where none of its conditions holds: end it with (value, True)")
    result = walk(last)
    for value, condition in reversed(branches):
        result = f.where(walk(condition), walk(value), result)
    return result


def _maximum(e: Any, walk: Walk) -> Expr:
    """Max(x, 0) is relu: derivative 0 at 0, where two equal arguments would share it."""
    others = [a for a in e.args if a != 0]
    result = _folded(f.maximum, [walk(a) for a in others])
    return f.relu(result) if len(others) < len(e.args) else result


def _heaviside(e: Any, walk: Walk) -> Expr:
    x, at_zero = walk(e.args[0]), e.args[1]
    below = as_expr(0) if at_zero == 0 else f.where(f.equal(x, 0), walk(at_zero), 0)
    return f.where(x > 0, 1, below)


BUILDERS: dict[type, Callable[[Any, Walk], Expr]] = {
    sympy.Add: _sum, sympy.Mul: _product, sympy.Pow: _power, sympy.Piecewise: _piecewise, sympy.Max: _maximum,
    sympy.Heaviside: _heaviside,
}  # fmt: skip
KNOWN = (*ONE_ARGUMENT, *MANY_ARGUMENTS, *BUILDERS)


def _widened(result: Expr, given: Sequence[Expr]) -> Expr:
    """The result in the shape of all arguments together, also where SymPy has dropped one of them (0*x is 0)."""
    shape = broadcast(given, "apply a function to")
    if result.shape == shape:
        return result
    rank, offset = len(shape), len(shape) - result.ndim
    fresh = itertools.count(rank)  # an axis of size 1 is summed away and repeated
    indices = tuple(axis if size == shape[axis] else next(fresh) for axis, size in enumerate(result.shape, offset))
    new = tuple((i, size) for i, size in enumerate(shape) if i not in indices)
    return make(Contraction((indices,), tuple(range(rank)), new), result)


__all__ = ["elementwise", "to_sympy"]
