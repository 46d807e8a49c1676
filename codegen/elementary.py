"""The scalar functions that a kernel calls, as Numba intrinsics for float32 and float64, with NumPy twins.

`ELEMENTARY` is the table: the name that generated source uses, what Numba inlines for it, and the twin that the same
source calls unjitted. Importing this module imports Numba; the arithmetic is in `formulas.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

from symgrad.codegen import formulas
from symgrad.codegen.formulas import Real


@dataclass(frozen=True)
class Elementary:
    """One function; `compiled` takes float32 or float64 and returns the same, `twin` does so for NumPy scalars."""

    compiled: Callable[..., Any]
    twin: Callable[..., Any]


def one_argument(formula: Callable[[Real], Real]) -> Callable[..., Any]:
    """The Numba intrinsic that emits a formula where it is called."""

    def typed(typing_context, x):  # type: ignore[no-untyped-def]
        if x not in (types.float32, types.float64):
            return None

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            return formula(Real(builder, arguments[0])).value

        return x(x), generate

    typed.__name__, typed.__doc__ = formula.__name__, formula.__doc__
    compiled: Callable[..., Any] = intrinsic(typed)
    return compiled


def two_arguments(formula: Callable[[Real, Real], Real]) -> Callable[..., Any]:
    """The same for a function of two numbers of one width."""

    def typed(typing_context, x, y):  # type: ignore[no-untyped-def]
        if x != y or x not in (types.float32, types.float64):
            return None

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            return formula(Real(builder, arguments[0]), Real(builder, arguments[1])).value

        return x(x, y), generate

    typed.__name__, typed.__doc__ = formula.__name__, formula.__doc__
    compiled: Callable[..., Any] = intrinsic(typed)
    return compiled


def three_arguments(formula: Callable[[Real, Real, Real], Real]) -> Callable[..., Any]:
    """The same for a function of three."""

    def typed(typing_context, x, y, z):  # type: ignore[no-untyped-def]
        if not x == y == z or x not in (types.float32, types.float64):
            return None

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            return formula(*(Real(builder, argument) for argument in arguments)).value

        return x(x, y, z), generate

    typed.__name__, typed.__doc__ = formula.__name__, formula.__doc__
    compiled: Callable[..., Any] = intrinsic(typed)
    return compiled


def library(name: str) -> Callable[[Real], Real]:
    """The C library's function: exact enough, one call an element."""

    def formula(x: Real) -> Real:
        return x.call(name + "f" if x.single else name)

    formula.__name__, formula.__doc__ = name, f"The C library's {name}."
    return formula


def instruction(name: str) -> Callable[[Real], Real]:
    """A processor instruction, by LLVM's name for it."""

    def formula(x: Real) -> Real:
        return x.intrinsic(name)

    formula.__name__, formula.__doc__ = name, f"LLVM's {name}."
    return formula


def power(x: Real, y: Real) -> Real:
    """The C library's pow."""
    return x.call("powf" if x.single else "pow", y)


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function without warnings, like the kernel: overflow is inf and log(-1) is NaN."""

    def twin(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return arguments[0].dtype.type(function(*arguments))

    return twin


def sigmoid_twin(x: Any) -> Any:
    small = np.exp(-abs(x))
    return (small if x < 0 else 1) / (1 + small)


def log1mexp_twin(x: Any) -> Any:
    return np.log(-np.expm1(-x)) if x < formulas.LN2 else np.log1p(-np.exp(-x))


def logerfc_twin(x: Any) -> Any:
    if x < 0.5:
        return np.log1p(-math.erf(x))
    if not x >= 10:
        return np.log(math.erfc(x))
    terms = np.cumprod([1.0, *(-(2 * k - 1) / (2 * float(x) ** 2) for k in range(1, 11))])
    return -(float(x) ** 2) - np.log(float(x) * math.sqrt(math.pi)) + np.log(terms.sum())


ELEMENTARY: dict[str, Elementary] = {
    "exp": Elementary(one_argument(formulas.exp), quiet(np.exp)),
    "expm1": Elementary(one_argument(formulas.expm1), quiet(np.expm1)),
    "log": Elementary(one_argument(formulas.log), quiet(np.log)),
    "log1p": Elementary(one_argument(formulas.log1p), quiet(np.log1p)),
    "log1mexp": Elementary(one_argument(formulas.log1mexp), quiet(log1mexp_twin)),
    "logaddexp": Elementary(two_arguments(formulas.logaddexp), quiet(np.logaddexp)),
    "tanh": Elementary(one_argument(formulas.tanh), quiet(np.tanh)),
    "erf": Elementary(one_argument(formulas.erf), quiet(math.erf)),
    "erfc": Elementary(one_argument(library("erfc")), quiet(math.erfc)),
    "logerfc": Elementary(one_argument(formulas.logerfc), quiet(logerfc_twin)),
    "sigmoid": Elementary(one_argument(formulas.sigmoid), quiet(sigmoid_twin)),
    "softplus": Elementary(one_argument(formulas.softplus), quiet(lambda x: np.logaddexp(x, x.dtype.type(0)))),
    "sqrt": Elementary(one_argument(instruction("sqrt")), quiet(np.sqrt)),
    "floor": Elementary(one_argument(instruction("floor")), quiet(np.floor)),
    "sin": Elementary(one_argument(library("sin")), quiet(np.sin)),
    "cos": Elementary(one_argument(library("cos")), quiet(np.cos)),
    "tan": Elementary(one_argument(library("tan")), quiet(np.tan)),
    "atan": Elementary(one_argument(library("atan")), quiet(np.arctan)),
    "sinh": Elementary(one_argument(library("sinh")), quiet(np.sinh)),
    "cosh": Elementary(one_argument(library("cosh")), quiet(np.cosh)),
    "over_root": Elementary(three_arguments(formulas.over_root), quiet(lambda x, s, e: x / (np.sqrt(s) + e))),
    "power": Elementary(two_arguments(power), quiet(np.power)),
}
