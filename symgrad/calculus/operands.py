"""Sums and products apart from how they are nested and in which order they are written.

(a + b) + c, a + (b + c) and c + a + b have the same operands: what is done to a sum or product does not depend on which
of them was written.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from symgrad.calculus.arithmetic import (
    ARITHMETIC,
    FACTORS,
    WIDTH,
    collect,
    exponent_of,
    scalar_function,
    sum_of,
)
from symgrad.expression.node import Expr, make
from symgrad.expression.scalars import REAL

COMMUTATIVE = ("add", "multiply", "maximum", "minimum", "logaddexp")


def _parts(node: Expr) -> Sequence[Expr]:
    """What a sum or product is made of, one level down: through which it may go on in `operands`."""
    function = scalar_function(node) if node.kind == REAL else ""
    if function == "power":
        return node.args[:1] if exponent_of(node) else ()
    return node.args if function in ARITHMETIC else ()


def _is_sum(node: Expr) -> bool:
    while scalar_function(node) == "negative":
        node = node.args[0]
    return node.kind == REAL and scalar_function(node) in ("add", "subtract")


def _inside(node: Expr, of_sum: bool) -> bool:
    """Whether a part of a sum or product is no operand but a sum or product nested in it."""
    return bool(_parts(node)) and (
        _is_sum(node) or scalar_function(node) == "negative" if of_sum else not _is_sum(node)
    )


def operands(node: Expr) -> Sequence[Expr]:
    """The terms of a sum or factors of a product, however it is nested; the arguments of anything else.

    The intermediate results are not among them: whether (a b) c or a (b c) was written makes no difference.
    """
    if not _parts(node):
        return node.args
    of_sum, found, stack = _is_sum(node), [], [*reversed(_parts(node))]
    while stack:
        part = stack.pop()
        if _inside(part, of_sum):
            stack.extend(reversed(_parts(part)))
        else:
            found.append(part)
        if len(found) + len(stack) > (WIDTH if of_sum else FACTORS):
            return node.args
    return found


def with_operands(node: Expr, values: Mapping[Expr, Expr]) -> Expr:
    """A node with other expressions in the place of its `operands`."""
    if operands(node) is node.args:
        new = [values[a] for a in node.args]
    else:
        new = [_replaced(a, _is_sum(node), values) for a in _parts(node)] + list(node.args[len(_parts(node)) :])
    return node if all(map(operator.is_, new, node.args)) else make(node.op, *new)


def _replaced(part: Expr, of_sum: bool, values: Mapping[Expr, Expr]) -> Expr:
    if not _inside(part, of_sum):
        return values[part]
    below = _parts(part)
    new = [_replaced(a, of_sum, values) for a in below]
    return part if all(map(operator.is_, new, below)) else make(part.op, *new, *part.args[len(below) :])


def too_large(node: Expr) -> bool:
    """Whether a sum or product is left as it stands, because it has too many terms or factors to be collected."""
    return bool(_parts(node)) and any(node in term.top for term in sum_of(node))


def without_order(node: Expr) -> Hashable:
    """What a sum, product or other commutative function is apart from the order of its operands; None for others."""
    function = scalar_function(node)
    if node.kind == REAL and function in ARITHMETIC:
        terms = collect(sum_of(node))
        return node.shape, frozenset((t.number, t.key()) for t in terms)
    return (node.op, node.kind, frozenset(Counter(node.args).items())) if function in COMMUTATIVE else None
