"""Logarithms of products, where no factor is negative: what makes the logarithm of a density a sum."""

from __future__ import annotations

from fractions import Fraction

from symgrad.calculus.arithmetic import Term, build_sum, product_of, repeat
from symgrad.calculus.patterns import through_names
from symgrad.calculus.signs import never_negative
from symgrad.expression.node import Expr, as_expr, binary, make
from symgrad.expression.ops import Elementwise, Softmax

STABLE = {"exp", "sigmoid", "erfc"}  # functions whose logarithm has a form of its own


def log_of_product(node: Expr) -> Expr | None:
    """log(a b / c) = log(a) + log(b) - log(c) where none is negative; their powers become factors.

    It fires when something is gained: a factor whose logarithm has a stable form, or which is a root.
    """
    op, inner = node.op, through_names(node.args[0])
    assert isinstance(op, Elementwise)
    if op.function != "log":
        return None
    term = product_of(inner)
    powers = [*term.top.items(), *((b, -e) for b, e in term.bottom.items())]
    if powers == [(inner, 1)] or term.number <= 0 or not any(_gains(b) for b, _ in powers):
        return None
    logs = []
    for base, exponent in powers:
        if not never_negative(base):
            if exponent % 2:
                return None
            base, exponent = binary("power", base, abs(exponent)), 1 if exponent > 0 else -1
        logs.append(Term(Fraction(exponent), {make(op, base): 1}))
    if term.number != 1:
        below = isinstance(term.number, Fraction) and term.number.numerator == 1
        number = float(1 / term.number if below else term.number)
        logs.append(Term(Fraction(-1 if below else 1), {make(op, as_expr(number)): 1}))
    return repeat(build_sum(logs), node)


def _gains(x: Expr) -> bool:
    op = through_names(x).op
    return isinstance(op, Softmax) or (isinstance(op, Elementwise) and op.function in {*STABLE, "sqrt"})
