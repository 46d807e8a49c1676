"""The gate for scalar functions that come from SymPy: what cannot be trusted or has no row is refused, with the remedy.

Takes live SymPy objects, gives arguments and body. Text never passes: SymPy would execute it. Knows nothing of nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy  # type: ignore[import-untyped]

from symgrad.errors import ExpressionError

OPERATIONS, DEPTH = 50, 30


def opened(function: Any, known: Sequence[type]) -> tuple[tuple[Any, ...], Any]:
    """Arguments and body of a scalar function, after the gate; `known` are the heads that have a row."""
    if isinstance(function, type) and issubclass(function, sympy.Function | sympy.Max | sympy.Min):
        if function not in known:
            raise unknown(function, known)
        count = 2 if function in (sympy.Max, sympy.Min) else 1
        symbols = tuple(sympy.Symbol(f"a{i}", real=True) for i in range(count))
        return symbols, function(*symbols)
    if not isinstance(function, sympy.Lambda):
        kind = "the text" if isinstance(function, str) else type(function).__name__
        raise ExpressionError(
            f"sg.elementwise takes a SymPy Lambda or function class, not {kind} {function!r:.80}: "
            "write sympy.tanh, or sympy.Lambda(t, ...) with t = sympy.Symbol('t', real=True)"
        )
    if function is sympy.S.IdentityFunction:
        raise ExpressionError(
            "the function is the identity: either leave it out, or SymPy reduced it to that because its argument was "
            "declared positive (Max(t, 0) of a positive t is t); declare it with sympy.Symbol('t', real=True)"
        )
    if tuple(function.signature) != tuple(function.variables):
        raise ExpressionError(f"{function} takes its arguments in nested groups; write Lambda((a, b), ...)")
    if not isinstance(function.expr, sympy.Basic):
        raise ExpressionError(f"the body of {function} is a function, not its value; apply it: Lambda(t, tanh(t))")
    _check_symbols(function)
    _measure(function.expr)
    return tuple(function.variables), function.expr


def _check_symbols(function: Any) -> None:
    free = sorted(str(s) for s in function.free_symbols)
    if free:
        raise ExpressionError(
            f"{function} uses {', '.join(free)}, not among its arguments {', '.join(map(str, function.variables))}: "
            "make each an argument of the Lambda, or put its number in"
        )
    plain = sympy.Symbol("t", real=True).assumptions0
    for symbol in function.variables:
        strong = sorted(k for k, v in symbol.assumptions0.items() if v and k not in plain)
        if strong or symbol.is_commutative is False:
            usual = [k for k in ("positive", "negative", "integer", "zero") if k in strong]
            stated = [*usual, *strong, "noncommutative"][0]
            raise ExpressionError(
                f"{symbol} in {function} is declared {stated}, and SymPy has simplified with that already: "
                f"use sympy.Symbol({symbol.name!r}, real=True)"
            )


def _measure(body: Any) -> None:
    """Refuses a body that is too large to stay one scalar function."""
    operations, stack = 0, [(body, 1)]
    while stack:
        node, depth = stack.pop()
        operations += max(len(node.args) - 1, 1) if node.args else 0
        if operations > OPERATIONS or depth > DEPTH:
            limit = f"{OPERATIONS} operations" if operations > OPERATIONS else f"{DEPTH} levels"
            raise ExpressionError(f"a scalar function has at most {limit}: build larger ones from several of them")
        stack.extend((argument, depth + 1) for argument in node.args)


def unknown(head: type, known: Sequence[type]) -> ExpressionError:
    """The error for a function without a row in the table."""
    names = sorted({kind.__name__ for kind in known} | {"sqrt"})
    instead = "; write Piecewise((a, condition), (b, True))" if head is sympy.ITE else ""
    return ExpressionError(
        f"{head.__name__} has no row in the table of scalar functions{instead}; known are {', '.join(names)}"
    )
