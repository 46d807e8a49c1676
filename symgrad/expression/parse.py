"""Formulas given as text: an allow-list parser over Python's `ast`. Nothing is ever executed.

It serves derivative rules and identities, which are written as text, and users' formulas. It knows names, numbers,
arithmetic, comparisons, `.T`, `@`, and the functions it is given; limits bound length, depth and integer powers.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Mapping
from typing import Any

from symgrad.errors import ExpressionError
from symgrad.expression import (
    activations,
    convolution,
    functions,
    layers,
    losses,
    matrices,
    more_losses,
    movement,
    normalization,
    positions,
)
from symgrad.expression.node import Expr, as_expr

LENGTH, DEPTH, POWER = 10_000, 100, 1_000
WINDOW = 100  # characters of a formula that a message shows
# What a function raises for arguments of another kind than it was written for: they come from a stranger here.
WRONG = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, AssertionError)
BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b, ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b, ast.MatMult: lambda a, b: as_expr(a) @ b, ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b, ast.Gt: lambda a, b: a > b, ast.GtE: lambda a, b: a >= b,
    ast.Eq: functions.equal, ast.NotEq: functions.not_equal,
}  # fmt: skip
MODULES = (
    *(functions, movement, positions, activations, normalization, matrices, convolution, layers),
    *(losses, more_losses),
)
FUNCTIONS = {
    name: function
    for module in MODULES
    for name, function in module.table().items()
}
KEYWORDS = (
    *("axis", "keepdims", "shape", "axes", "classes"),
    *("approximate", "beta", "alpha", "slope", "pieces", "gain", "bias", "eps"),
    *("size", "strides", "stride", "padding", "dilation", "widths", "causal", "mask"),
    *("delta", "gamma", "from_logits", "from_log", "label_smoothing", "class_weights"),
)
TEXTS = ("einsum", "approximate", "padding")  # the function and the argument that take a text


def fail(node: ast.AST, text: str, reason: str) -> ExpressionError:
    """The error of one part of a formula: the reason, and the text with a mark under that part."""
    column = getattr(node, "col_offset", 0)
    return ExpressionError(f"{reason}\n{_pointed(text, column)}")


def _pointed(text: str, column: int) -> str:
    """The text with a mark under a column; of a long one the part around it."""
    first = max(0, column - WINDOW // 2) if len(text) > WINDOW else 0
    return f"  {text[first : first + WINDOW]}\n  {' ' * (column - first)}^ column {column + 1}"


@functools.lru_cache(4096)
def syntax(text: str) -> ast.expr:
    """The syntax tree of a formula; raises ExpressionError with the column."""
    if len(text) > LENGTH:
        raise ExpressionError(f"a formula has at most {LENGTH} characters, this one {len(text)}")
    nesting = 0
    for character in text:  # before Python's own parser sees it: deep nesting exhausts that one's stack
        nesting += (character in "([{") - (character in ")]}")
        if nesting > DEPTH:
            raise ExpressionError(f"a formula nests at most {DEPTH} deep; give inner parts names")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (MemoryError, RecursionError):
        raise ExpressionError(f"a formula nests at most {DEPTH} deep; give inner parts names") from None
    except (SyntaxError, ValueError) as error:
        column = getattr(error, "offset", None) or 1
        raise ExpressionError(f"not a formula: {error.args[0]}\n{_pointed(text.strip(), column - 1)}") from None


def names_in(text: str) -> list[str]:
    """The names that stand in a formula for values, in order. Raises ExpressionError."""
    called = {id(node.func) for node in ast.walk(syntax(text)) if isinstance(node, ast.Call)}
    found = [n for n in ast.walk(syntax(text)) if isinstance(n, ast.Name) and id(n) not in called]
    return list(dict.fromkeys(n.id for n in sorted(found, key=lambda n: (n.lineno, n.col_offset))))


def parse(text: str, names: Mapping[str, Expr]) -> Expr:
    """The expression that a text denotes, over some named expressions. Raises ExpressionError, ShapeError.

    >>> parse("sum((x - 1)**2)", {"x": functions.variable("x", (3,))}).shape
    ()
    """
    return as_expr(nested(syntax(text), text.strip(), names))


def nested(node: ast.AST, text: str, names: Mapping[str, Any], depth: int = DEPTH) -> Any:
    """What a syntax tree denotes: an expression, a number or a tuple."""
    if depth == 0:
        raise fail(node, text, f"a formula nests at most {DEPTH} deep; give inner parts names")
    return build(node, text, names, lambda part: nested(part, text, names, depth - 1))


def build(node: ast.AST, text: str, names: Mapping[str, Any], inner: Callable[[ast.AST], Any]) -> Any:
    """What one node of a syntax tree denotes, given what its parts denote (`inner`); errors point into `text`."""
    match node:
        case ast.Constant(value=bool() | int() | float()):
            return node.value
        case ast.Name(id=name):
            if name not in names:
                raise fail(node, text, f"{name} is not declared; declared are: {', '.join(names) or 'none'}")
            return names[name]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            value = inner(operand)
            if isinstance(value, tuple):
                raise fail(node, text, "a sign stands before one value, not before a list")
            return -value if isinstance(sign, ast.USub) else value
        case ast.BinOp(op=ast.Pow(), right=ast.Constant(value=int() as power)) if abs(power) > POWER:
            raise fail(node, text, f"integer powers go up to {POWER}, this is {power}")
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in BINARY:
            return BINARY[type(operator)](as_expr(inner(left)), inner(right))
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in BINARY:
            return BINARY[type(operator)](as_expr(inner(left)), inner(right))
        case ast.Subscript(value=value, slice=places):
            return as_expr(inner(value))[_places(places, inner)]
        case ast.Attribute(value=value, attr="T"):
            return as_expr(inner(value)).T
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(inner(p) for p in parts)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            return _call(node, name, args, keywords, text, inner)
    raise fail(
        node,
        text,
        f"{ast.unparse(node)[:60]!r} cannot stand in a formula: use names, numbers, + - * / ** @ .T [] and functions",
    )


def _places(node: ast.AST, inner: Callable[[ast.AST], Any]) -> Any:
    """What stands in the brackets of an index."""
    match node:
        case ast.Tuple(elts=parts):
            return tuple(_places(p, inner) for p in parts)
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(*(None if part is None else inner(part) for part in (lower, upper, step)))
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=value) if value is Ellipsis:
            return Ellipsis
    return inner(node)


def _call(
    node: ast.Call,
    name: str,
    args: list[ast.expr],
    keywords: list[ast.keyword],
    text: str,
    inner: Callable[[ast.AST], Any],
) -> Any:
    function = FUNCTIONS.get(name)
    if function is None:
        raise fail(node, text, f"there is no function {name}; there are: {', '.join(sorted(FUNCTIONS))}")
    strange = [k.arg for k in keywords if k.arg not in KEYWORDS]
    if strange:
        raise fail(node, text, f"{name} has no argument {strange[0]}")

    def value(part: ast.expr, owner: str) -> Any:
        told = isinstance(part, ast.Constant) and isinstance(part.value, str) and owner in TEXTS
        return part.value if told and isinstance(part, ast.Constant) else inner(part)

    try:
        return function(*[value(a, name) for a in args], **{str(k.arg): value(k.value, str(k.arg)) for k in keywords})
    except WRONG as error:
        raise fail(node, text, f"{name}: {str(error)[:WINDOW] or 'wrong arguments'}") from None
