"""What each scalar function is in a kernel: text over atoms, so that an argument may stand in it twice.

NaN stays visible: comparisons are written so that it is passed on. Constants take the kernel's own width, because one
Python float would promote a whole loop to float64.
"""

from __future__ import annotations

from symgrad.expression.node import Expr
from symgrad.expression.ops import Constant
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL, TABLE

_INFIX = {
    "subtract": "-",
    "divide": "/",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
    "logical_and": "&",
    "logical_or": "|",
}

TEXT: dict[str, str] = {name: f"({{0}} {sign} {{1}})" for name, sign in _INFIX.items()} | {
    "negative": "(-{0})",
    "relu": "({zero} if {0} < {zero} else {0})",
    "abs": "abs({0})",
    "sign": "({one} if {0} > {zero} else (-{one} if {0} < {zero} else {0}))",
    "maximum": "({0} if ({0} > {1}) | ({0} != {0}) else {1})",
    "minimum": "({0} if ({0} < {1}) | ({0} != {0}) else {1})",
    "where": "({1} if {0} else {2})",
    "logical_not": "({0} == False)",
}
TEXT |= {name: f"{name}({{0}})" for name, row in TABLE.items() if name not in TEXT and row.arity == 1}
TEXT["logaddexp"] = "logaddexp({0}, {1})"
CONVERT = {REAL: "real({})", INTEGER: "int64({})", BOOLEAN: "({} != 0)"}


def number(node: Expr) -> str:
    """A scalar constant, every bit of it."""
    assert isinstance(node.op, Constant)
    value = node.op.value
    if node.kind == REAL:
        return (
            f"real({value!r})"
            if value == value and abs(value) != float("inf")
            else f"real({'nan' if value != value else 'inf' if value > 0 else '-inf'})"
        )
    return repr(bool(value)) if node.kind == BOOLEAN else str(int(value))


def convert(text: str, have: str, want: str) -> str:
    """Text of one kind as another: integers count as reals, conditions as 0 and 1."""
    return text if have == want else CONVERT[want].format(text)


def apply(function: str, kind: str, arguments: list[str], power: Expr | None = None) -> str:
    """The text of a scalar function of atoms that have the right kinds already."""
    if function in ("add", "multiply"):
        return "(" + (" + " if function == "add" else " * ").join(arguments) + ")"
    if function == "power":
        return _power(arguments[0], arguments[1], power)
    zero, one = ("real(0)", "real(1)") if kind == REAL else ("0", "1")
    return TEXT[function].format(*arguments, zero=zero, one=one)


def _power(base: str, exponent: str, node: Expr | None) -> str:
    """Small whole powers are products; the rest is pow."""
    if node is not None and isinstance(node.op, Constant) and not node.op.shape:
        value = float(node.op.value)
        if value.is_integer() and 1 <= abs(value) <= 4:
            product = "(" + " * ".join([base] * int(abs(value))) + ")"
            return product if value > 0 else f"(real(1) / {product})"
        if value == 0:
            return "real(1)"
        if value in (0.5, -0.5):
            return f"sqrt({base})" if value > 0 else f"(real(1) / sqrt({base}))"
    return f"power({base}, {exponent})"
