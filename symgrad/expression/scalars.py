"""The closed table of scalar functions that an Elementwise node applies.

A row holds what the function is called, its meaning as a SymPy expression, its pullback as formulas over `g` (the
incoming adjoint), `y` (the output) and `a`, `b`, `c` (the inputs), and the range tests draw inputs from. What a
function becomes in NumPy, in a formula or in a kernel stands in that module's own table, keyed by these names.

Kinks are decided here, once: relu'(0) = 0, |x|'(0) = 0, ties of maximum and minimum split equally. A pullback through
a condition *selects* (`where(c, g, 0)`), it never multiplies by a mask: 0 * inf would be NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

REAL, INTEGER, BOOLEAN = "real", "integer", "boolean"
PROMOTE = "promote"  # the widest kind among the inputs


@dataclass(frozen=True)
class Scalar:
    """One scalar function. `pullback[i]` is the adjoint of input i; "" means that input has no derivative."""

    name: str
    arity: int  # -2: two or more, of any number
    kind: str  # of the result
    meaning: Callable[..., Any]  # (sympy, *arguments) -> SymPy expression
    pullback: tuple[str, ...]
    domain: tuple[float, float] = (-2.0, 2.0)
    smooth: bool = True  # False: piecewise constant or with a kink


def _compare(name: str, relation: str) -> Scalar:
    return Scalar(name, 2, BOOLEAN, lambda s, a, b: getattr(s, relation)(a, b), ("", ""), smooth=False)


ROWS = (
    Scalar("add", -2, PROMOTE, lambda s, *a: s.Add(*a), ("g", "g")),
    Scalar("subtract", 2, PROMOTE, lambda s, a, b: a - b, ("g", "-g")),
    Scalar("multiply", -2, PROMOTE, lambda s, *a: s.Mul(*a), ("g * b", "g * a")),
    Scalar("divide", 2, REAL, lambda s, a, b: a / b, ("g / b", "-(g * y / b)"), domain=(0.5, 2.5)),
    Scalar("negative", 1, PROMOTE, lambda s, a: -a, ("-g",)),
    Scalar("power", 2, REAL, lambda s, a, b: a**b, ("g * b * a**(b - 1)", "g * y * log(a)"), domain=(0.5, 2.5)),
    Scalar("exp", 1, REAL, lambda s, a: s.exp(a), ("g * y",)),
    Scalar("log", 1, REAL, lambda s, a: s.log(a), ("g / a",), domain=(0.3, 3.0)),
    Scalar("expm1", 1, REAL, lambda s, a: s.exp(a) - 1, ("g * exp(a)",)),
    Scalar("log1p", 1, REAL, lambda s, a: s.log(1 + a), ("g / (1 + a)",), domain=(-0.7, 3.0)),
    Scalar("log1mexp", 1, REAL, lambda s, a: s.log(1 - s.exp(-a)), ("g / expm1(a)",), domain=(0.2, 3.0)),
    Scalar("sqrt", 1, REAL, lambda s, a: s.sqrt(a), ("g / (2 * y)",), domain=(0.3, 3.0)),
    Scalar("sin", 1, REAL, lambda s, a: s.sin(a), ("g * cos(a)",)),
    Scalar("cos", 1, REAL, lambda s, a: s.cos(a), ("-(g * sin(a))",)),
    Scalar("tan", 1, REAL, lambda s, a: s.tan(a), ("g * (1 + y**2)",), domain=(-1.0, 1.0)),
    Scalar("atan", 1, REAL, lambda s, a: s.atan(a), ("g / (1 + a**2)",)),
    Scalar("sinh", 1, REAL, lambda s, a: s.sinh(a), ("g * cosh(a)",)),
    Scalar("cosh", 1, REAL, lambda s, a: s.cosh(a), ("g * sinh(a)",)),
    Scalar("tanh", 1, REAL, lambda s, a: s.tanh(a), ("g * (1 - y**2)",)),
    Scalar("erf", 1, REAL, lambda s, a: s.erf(a), ("g * 1.1283791670955126 * exp(-(a**2))",)),  # 2/sqrt(pi)
    Scalar("erfc", 1, REAL, lambda s, a: s.erfc(a), ("-(g * 1.1283791670955126 * exp(-(a**2)))",)),
    Scalar("logerfc", 1, REAL, lambda s, a: s.log(s.erfc(a)), ("-(g * 1.1283791670955126 * exp(-(a**2) - y))",)),
    Scalar("sigmoid", 1, REAL, lambda s, a: 1 / (1 + s.exp(-a)), ("g * sigmoid(a) * sigmoid(-a)",)),
    Scalar("softplus", 1, REAL, lambda s, a: s.log(1 + s.exp(a)), ("g * sigmoid(a)",)),
    Scalar("logaddexp", 2, REAL, lambda s, a, b: s.log(s.exp(a) + s.exp(b)),
           ("g * sigmoid(a - b)", "g * sigmoid(b - a)")),
    Scalar("relu", 1, PROMOTE, lambda s, a: s.Piecewise((a, a > 0), (0, True)), ("where(a > 0, g, 0)",),
           smooth=False),
    Scalar("abs", 1, PROMOTE, lambda s, a: s.Abs(a), ("g * sign(a)",), smooth=False),
    Scalar("sign", 1, PROMOTE, lambda s, a: s.sign(a), ("0 * g",), smooth=False),
    Scalar("floor", 1, PROMOTE, lambda s, a: s.floor(a), ("0 * g",), smooth=False),
    Scalar("maximum", 2, PROMOTE, lambda s, a, b: s.Max(a, b),
           ("where(a > b, g, where(a == b, g / 2, 0))", "where(b > a, g, where(a == b, g / 2, 0))"), smooth=False),
    Scalar("minimum", 2, PROMOTE, lambda s, a, b: s.Min(a, b),
           ("where(a < b, g, where(a == b, g / 2, 0))", "where(b < a, g, where(a == b, g / 2, 0))"), smooth=False),
    Scalar("where", 3, PROMOTE, lambda s, a, b, c: s.Piecewise((b, a), (c, True)),
           ("", "where(a, g, 0)", "where(a, 0, g)"), smooth=False),
    _compare("less", "Lt"), _compare("less_equal", "Le"), _compare("greater", "Gt"),
    _compare("greater_equal", "Ge"), _compare("equal", "Eq"), _compare("not_equal", "Ne"),
    Scalar("logical_and", 2, BOOLEAN, lambda s, a, b: s.And(a, b), ("", ""), smooth=False),
    Scalar("logical_or", 2, BOOLEAN, lambda s, a, b: s.Or(a, b), ("", ""), smooth=False),
    Scalar("logical_not", 1, BOOLEAN, lambda s, a: s.Not(a), ("",), smooth=False),
)  # fmt: skip

TABLE: dict[str, Scalar] = {row.name: row for row in ROWS}
COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
LOGIC = ("logical_and", "logical_or", "logical_not")
