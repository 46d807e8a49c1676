"""How one scalar function, a constant, a size and a cast are written, the same in matrix and in index notation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from symgrad.expression import sizes
from symgrad.expression.node import Expr
from symgrad.expression.ops import Constant, Elementwise, Extent
from symgrad.expression.scalars import BOOLEAN, INTEGER
from symgrad.formulas.tree import (
    LOGIC,
    PRODUCT,
    RELATION,
    SUM,
    Bracket,
    Call,
    Infix,
    Math,
    Negative,
    Number,
    Power,
    Symbol,
    Words,
)

RELATIONS = {"less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "=", "not_equal": "!="}
LOGICAL = {"logical_and": "and", "logical_or": "or"}
ARITHMETIC = {"add": ("+", SUM), "subtract": ("-", SUM), "divide": ("/", PRODUCT)}
PI = Symbol("pi")
_TWO_PI = Infix("", (Number("2"), PI), PRODUCT)
NEAR = 4e-16  # relative: what a number loses in one multiplication
KNOWN: dict[float, Math] = {  # numbers that a person writes another way
    math.pi: PI,
    2 * math.pi: _TWO_PI,
    math.log(2): Call("log", (Number("2"),)),
    math.log(2 * math.pi): Call("log", (_TWO_PI,)),
    math.sqrt(2): Call("sqrt", (Number("2"),)),
    math.sqrt(math.pi): Call("sqrt", (PI,)),
    math.sqrt(2 * math.pi): Call("sqrt", (_TWO_PI,)),
    2 / math.sqrt(math.pi): Infix("/", (Number("2"), Call("sqrt", (PI,))), PRODUCT),
    1 / math.sqrt(math.pi): Infix("/", (Number("1"), Call("sqrt", (PI,))), PRODUCT),
    1 / math.sqrt(2): Infix("/", (Number("1"), Call("sqrt", (Number("2"),))), PRODUCT),
    1 / math.sqrt(2 * math.pi): Infix("/", (Number("1"), Call("sqrt", (_TWO_PI,))), PRODUCT),
}
SHOWN = 12  # entries of a constant array that are written out


def written(function: str, parts: Sequence[Math], signs: Sequence[str]) -> Math:
    """A scalar function of written arguments; `signs[i]` is the sign of multiplication before argument i."""
    if function in ARITHMETIC:
        sign, level = ARITHMETIC[function]
        return Infix(sign, tuple(parts), level)
    if function in RELATIONS:
        return Infix(RELATIONS[function], tuple(parts), RELATION)
    if function in LOGICAL:
        return Infix(LOGICAL[function], tuple(parts), LOGIC)
    if function == "negative":
        return Negative(parts[0])
    if function == "power":
        return Power(parts[0], parts[1])
    if function == "multiply":
        result = parts[0]
        for sign, part in zip(signs[1:], parts[1:], strict=True):
            result = Infix("·" if isinstance(part, Number) and not sign else sign, (result, part), PRODUCT)
        return result
    if function == "where" and parts[2] in (Number("0"), Number("0.0")):
        return _selected(parts[1], Bracket(parts[0]), signs[1])
    return Call(function, tuple(parts))


def _selected(value: Math, condition: Math, sign: str) -> Math:
    """where(c, a, 0) is a ⊙ [c]: a selection, whatever a is where c fails."""
    return condition if value == Number("1") else Infix(sign, (value, condition), PRODUCT)


def constant(node: Expr) -> Math:
    """A number as it is written, or an array of few."""
    assert isinstance(node.op, Constant)
    if node.op.shape:
        array = node.op.array
        return Words(str(array.tolist()) if array.size <= SHOWN else f"constant {sizes.text(node.shape)}")
    value = node.op.value
    if isinstance(value, bool):
        return Words(str(value).lower())
    for known, shown in KNOWN.items():
        if abs(value - known) <= NEAR * known:
            return shown
    whole = float(value).is_integer() and abs(value) < 1e15
    return Number(("-" if str(value)[0] == "-" and not value else "") + str(int(value)) if whole else _short(value))


def _short(value: float) -> str:
    """A number with its last digit or two rounded when that makes it much shorter: 0.1 for 0.09999999999999999."""
    rounded = f"{value:.15g}"
    return rounded if len(rounded) < len(repr(value)) - 6 else repr(value)


def extent(node: Expr) -> Math:
    """The number of entries along an axis."""
    assert isinstance(node.op, Extent)
    return size(node.op.size)


def size(value: sizes.Size) -> Math:
    """The size of an axis as it is written."""
    if isinstance(value, int):
        return Number(str(value))
    if isinstance(value, str):
        return Symbol(value)
    number, names = sizes.factors(value)
    if list(names) == [value]:
        return Words(str(value))
    powers = [Symbol(n) if e == 1 else Power(Symbol(n), Number(str(e))) for n, e in names.items()]
    return Infix("", (*([Number(str(number))] if number != 1 else []), *powers), PRODUCT)


def shape(extents: Sequence[sizes.Size]) -> Math:
    """A shape as it is written."""
    return Words(sizes.text(tuple(extents)))


def counted(x: Math, argument: Expr, node: Expr) -> Math:
    """An argument of a scalar function: a condition counts 0 or 1 in arithmetic, [a > 0]."""
    arithmetic = node.kind != BOOLEAN and argument.kind == BOOLEAN
    choosing = isinstance(node.op, Elementwise) and node.op.function == "where" and argument is node.args[0]
    return Bracket(x) if arithmetic and not choosing else x


def cast(x: Math, before: str, after: str) -> Math:
    """A change of kind: a condition counts 0 or 1, a number becomes an integer towards zero."""
    if after == BOOLEAN:
        return Infix("!=", (x, Number("0")), RELATION)
    if before == BOOLEAN:
        return Bracket(x)
    return Call("truncate", (x,)) if after == INTEGER else x
