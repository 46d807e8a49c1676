"""Identities written as text, matched on expressions: "log(softmax(a)) = a - logsumexp(a)".

Single letters match any number, real or integer; sums and products match in any order and, at the root, as part of a
larger sum or product; reductions carry their axes from left to right. Matching is on the normal form of `arithmetic`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from symgrad.calculus.arithmetic import Exponent, Term, build, build_sum, collect, product_of, repeat, sum_of
from symgrad.calculus.engine import Identity
from symgrad.expression import functions, ops
from symgrad.expression.node import Expr, as_expr, make
from symgrad.expression.ops import Contraction, Elementwise, LogSumExp, Named, Softmax
from symgrad.expression.parse import BINARY, syntax
from symgrad.expression.scalars import BOOLEAN, REAL, TABLE

Binding = dict[str, Any]


def through_names(node: Expr) -> Expr:
    """The node below names: identities see through them."""
    while isinstance(node.op, Named):
        node = node.args[0]
    return node


def sum_axes(node: Expr) -> tuple[tuple[int, ...], bool] | None:
    """(axes, keepdims) when a node is a plain sum of its argument along axes, else None."""
    op = node.op
    if not isinstance(op, Contraction) or len(op.inputs) != 1 or len(set(op.inputs[0])) != len(op.inputs[0]):
        return None
    axes = tuple(i for i, index in enumerate(op.inputs[0]) if index not in op.output)
    for keep in (False, True):
        if axes and make(functions.sum_op(len(op.inputs[0]), axes, keep), *node.args).shape == node.shape:
            plain = [i for i in op.output if i in op.inputs[0]] == [i for i in op.inputs[0] if i in op.output]
            if plain and (not op.new or keep):
                return axes, keep
    return None


def _reduction(node: Expr) -> tuple[str, tuple[int, ...], bool] | None:
    if isinstance(node.op, Softmax):
        return "softmax", node.op.axes, True
    if isinstance(node.op, LogSumExp):
        return "logsumexp", node.op.axes, node.op.keep
    found = sum_axes(node)
    return ("sum", *found) if found else None


def _match(pattern: ast.expr, node: Expr, bound: Binding) -> Iterator[Binding]:
    """Every way a pattern fits a node, given what is bound already."""
    match pattern:
        case ast.Name(id=letter):
            if letter not in bound:
                if node.kind != BOOLEAN:
                    yield {**bound, letter: node}
            elif bound[letter] is node or through_names(bound[letter]) is through_names(node):
                yield bound
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            target = through_names(node)
            if name in TABLE:
                if isinstance(target.op, Elementwise) and target.op.function == name:
                    yield from _match(argument, target.args[0], bound)
            else:
                found = _reduction(target)
                if found and found[0] == name and bound.get("axes", found[1]) == found[1]:
                    whole = len(found[1]) == target.args[0].ndim  # a number: repeats like keepdims would
                    kept = bound.get("keep", found[2] or whole) and (found[2] or whole)
                    yield from _match(
                        argument, target.args[0], {**bound, "axes": found[1], "keepdims": found[2], "keep": kept}
                    )
        case _:
            yield from _arithmetic(pattern, node, bound, exact=True)


def _arithmetic(pattern: ast.expr, node: Expr, bound: Binding, exact: bool) -> Iterator[Binding]:
    """A sum or product pattern; unless `exact`, what is left over is bound as "rest", and a sum may be negated."""
    wanted = _terms(pattern)
    if len(wanted) > 1:
        for sign in (1,) if exact else (1, -1):
            have = [_scaled(t, sign) for t in collect(sum_of(through_names(node)))]
            for found, rest in _assign(wanted, have, bound):
                if not rest or not exact:
                    yield {**found, "rest": [_scaled(t, sign) for t in rest], "sign": sign}
        return
    terms = collect(sum_of(through_names(node)))
    sign, factors = wanted[0]
    if (
        exact
        and len(factors) == 1
        and isinstance(factors[0][0], ast.Name)
        and factors[0][1] == 1
        and abs(sign) == 1
        and terms
    ):
        yield from _match(factors[0][0], node if sign > 0 else build_sum([_scaled(t, -1) for t in terms]), bound)
    elif len(terms) == 1:
        yield from _match_product(wanted[0], terms[0], bound, exact)


def _scaled(term: Term, factor: int) -> Term:
    number: Any = term.number
    return Term(number * factor, term.top, term.bottom)


def _assign(wanted: Sequence[PatternTerm], have: list[Term], bound: Binding) -> Iterator[tuple[Binding, list[Term]]]:
    """Each way to give every wanted term a different one of those there are, with those left over."""
    if not wanted:
        yield bound, have
        return
    for i, candidate in enumerate(have):
        for found in _match_product(wanted[0], candidate, bound, exact=True):
            yield from _assign(wanted[1:], [*have[:i], *have[i + 1 :]], found)


Power = tuple[Expr, Exponent]
PatternTerm = tuple[int, list[tuple[ast.expr, int]]]  # sign or number, (factor, power) pairs


def _terms(pattern: ast.expr, sign: int = 1) -> list[PatternTerm]:
    match pattern:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _terms(left, sign) + _terms(right, sign)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _terms(left, sign) + _terms(right, -sign)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _terms(operand, -sign)
    number, factors = _factors(pattern)
    return [(sign * number, factors)]


def _factors(pattern: ast.expr, power: int = 1) -> tuple[int, list[tuple[ast.expr, int]]]:
    match pattern:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            (m, a), (n, b) = _factors(left, power), _factors(right, power)
            return m * n, a + b
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            (m, a), (n, b) = _factors(left, power), _factors(right, -power)
            return m * n, a + b
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int() as exponent)):
            return _factors(left, power * exponent)
        case ast.Constant(value=int() as number):
            return number, []
    return 1, [(pattern, power)]


def _match_product(pattern: PatternTerm, term: Term, bound: Binding, exact: bool) -> Iterator[Binding]:
    sign, factors = pattern
    lone = len(factors) == 1 and isinstance(factors[0][0], ast.Name) and factors[0][1] == 1 and exact
    if lone:  # a letter with a number takes the whole term, number and all
        share = term.number / sign
        if abs(sign) == 1 or (isinstance(share, Fraction) and share.denominator == 1):
            yield from _match(factors[0][0], build(Term(share, term.top, term.bottom)), bound)
        return
    if (exact and term.number != sign) or (term.number < 0) != (sign < 0):
        return
    for found, rest in _assign_factors(factors, [*term.top.items(), *((b, -e) for b, e in term.bottom.items())], bound):
        if not rest or not exact:
            number: Any = abs(term.number)
            over = Term(number, {b: e for b, e in rest if e > 0}, {b: -e for b, e in rest if e < 0})
            yield {**found, "over": over}


def _assign_factors(
    wanted: Sequence[tuple[ast.expr, int]], have: list[Power], bound: Binding
) -> Iterator[tuple[Binding, list[Power]]]:
    """Each way to find the wanted factors among those there are, with what is left: of a² one a is left by a."""
    if not wanted:
        yield bound, have
        return
    pattern, power = wanted[0]
    for i, (base, exponent) in enumerate(have):
        left = exponent - power
        if exponent * power > 0 and abs(exponent) >= abs(power):
            rest = [*have[:i], *([(base, left)] if left else []), *have[i + 1 :]]
            for found in _match(pattern, base, bound):
                yield from _assign_factors(wanted[1:], rest, found)


def _make(pattern: ast.expr, bound: Binding) -> Expr:
    """The right side of an identity with its letters filled in."""
    match pattern:
        case ast.Name(id=letter):
            return as_expr(bound[letter])
        case ast.Constant(value=number):
            return as_expr(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return build_sum([_scaled(t, -1) for t in sum_of(_make(operand, bound))])
        case ast.BinOp(left=left, op=operator, right=right):
            return as_expr(BINARY[type(operator)](_make(left, bound), _make(right, bound)))
        case ast.Call(func=ast.Name(id="softmax"), args=[argument]):
            return make(Softmax(bound["axes"]), _make(argument, bound))
        case ast.Call(func=ast.Name(id="logsumexp"), args=[argument]):
            keep = bool(bound.get("keepdims_wanted", bound["keepdims"]))
            return make(LogSumExp(bound["axes"], keep), _make(argument, bound))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return make(Elementwise(name), *(_make(a, bound) for a in arguments))
    raise AssertionError(ast.dump(pattern))


def identity(text: str, name: str, guard: str = "", aligned: bool = False, *examples: str) -> Identity:
    """An identity from its text. `aligned`: a reduction on the left must line up with what it stands beside."""
    left_text, right_text = (side.strip() for side in text.split(" = "))
    left, right = syntax(left_text), syntax(right_text)
    arithmetic = not isinstance(left, ast.Call)

    def rewrite(node: Expr) -> Expr | None:
        if node.kind != REAL:
            return None
        ways = _arithmetic(left, node, {}, exact=False) if arithmetic else _match(left, node, {})
        for bound in ways:
            if aligned and not bound.get("keep", True):
                continue
            if left_text.startswith("log(softmax"):
                bound = {**bound, "keepdims_wanted": True}
            result = _make(right, bound)
            if bound.get("sign") == -1:
                result = build_sum([_scaled(t, -1) for t in sum_of(result)])
            if bound.get("rest"):
                result = build_sum([*bound["rest"], *sum_of(result)])
            over: Term | None = bound.get("over") if len(_terms(left)) == 1 and arithmetic else None
            if over is not None:
                result = build(over.times(product_of(result)))
            return repeat(result, node)
        return None

    where: tuple[type[ops.Op], ...] = (
        (Elementwise,) if arithmetic or _heads(left) else (Contraction, Softmax, LogSumExp)
    )
    return Identity(name, left_text, right_text, guard, where, rewrite, examples)


def _heads(left: ast.expr) -> bool:
    return isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id in TABLE
