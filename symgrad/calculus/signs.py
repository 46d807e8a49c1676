"""What the form of an expression tells about its sign: guards of identities that hold for positive values only."""

from __future__ import annotations

from symgrad.expression.node import Expr
from symgrad.expression.ops import Constant, Contraction, Elementwise, Extent, Named, OneHot, Softmax
from symgrad.expression.scalars import BOOLEAN

POSITIVE = {"exp", "cosh", "sigmoid", "softplus", "erfc"}
NEVER_NEGATIVE = {"abs", "relu", "sqrt"}


def _value(x: Expr) -> float | None:
    plain = isinstance(x.op, Constant) and not x.op.shape and x.kind != BOOLEAN
    return float(x.op.value) if plain and isinstance(x.op, Constant) else None


def positive(x: Expr) -> bool:
    """Whether a value is positive wherever it is a number; zero only by underflow."""
    op, value = x.op, _value(x)
    if value is not None:
        return value > 0
    if isinstance(op, Named):
        return positive(x.args[0])
    if isinstance(op, Softmax | Extent):
        return True
    if isinstance(op, Contraction):  # repeated, reordered or multiplied; a sum may be one of nothing
        return bool(x.args) and all(i in op.output for i in sum(op.inputs, ())) and all(map(positive, x.args))
    if not isinstance(op, Elementwise):
        return False
    if op.function in ("multiply", "divide"):
        return all(map(positive, x.args))
    if op.function in ("sqrt", "power"):
        return positive(x.args[0])
    if op.function == "add":
        return all(map(never_negative, x.args)) and any(map(positive, x.args))
    return op.function in POSITIVE


def never_negative(x: Expr) -> bool:
    """Whether a value is at least 0 wherever it is a number."""
    op, value = x.op, _value(x)
    if value is not None:
        return value >= 0
    if isinstance(op, Named):
        return never_negative(x.args[0])
    if isinstance(op, Contraction):  # Σ a a is a sum of squares
        squares = len(x.args) == 2 and x.args[0] is x.args[1] and op.inputs[0] == op.inputs[1]
        return squares or (bool(x.args) and all(map(never_negative, x.args)))
    if isinstance(op, OneHot):
        return True
    if not isinstance(op, Elementwise):
        return positive(x)
    if op.function in ("multiply", "divide", "add", "maximum"):
        return all(map(never_negative, x.args)) or (op.function == "multiply" and x.args[0] is x.args[-1])
    if op.function == "power":
        exponent = _value(x.args[1])
        return never_negative(x.args[0]) or (exponent is not None and exponent % 2 == 0)
    return op.function in NEVER_NEGATIVE or positive(x)
