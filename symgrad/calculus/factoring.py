"""Identities that take common operands out of sums of products, and name the sizes in them.

They work on indices, so that A x + Aᵀ x, x·a + x·b and sums of batched products are one identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

from symgrad.calculus.arithmetic import (
    Factors,
    Term,
    build,
    build_sum,
    collect,
    number_of,
    product_of,
    repeat,
    sum_of,
    without,
)
from symgrad.calculus.engine import Identity
from symgrad.calculus.patterns import through_names
from symgrad.calculus.signs import never_negative
from symgrad.expression import functions as f
from symgrad.expression.node import Expr, as_expr, make, topological
from symgrad.expression.ops import Contraction, Elementwise, Extent
from symgrad.expression.scalars import INTEGER, REAL
from symgrad.expression.sizes import factors

PAIRS = 12  # longer sums are not searched
ZERO_AT_ZERO = ("sin", "tan", "atan", "sinh", "tanh", "erf", "log1p", "expm1", "relu", "abs", "sign", "sqrt", "floor")
WHOLE = {  # functions that are a whole number at 0, at 1
    0: dict.fromkeys(ZERO_AT_ZERO, 0) | {"exp": 1, "cos": 1, "cosh": 1, "erfc": 1, "logerfc": 0},
    1: {"log": 0, "sqrt": 1, "abs": 1, "relu": 1, "sign": 1, "floor": 1},
}


def common_operand(node: Expr) -> Expr | None:
    """Σ a q + Σ b q = Σ (a + b) q where q stands in both products at the same indices: A x + Aᵀ x = (A + Aᵀ) x."""
    assert isinstance(node.op, Elementwise)
    if node.op.function not in ("add", "subtract") or node.kind != REAL:
        return None
    terms = collect(sum_of(node))
    for i, j in combinations(range(len(terms)), 2) if len(terms) <= PAIRS else ():
        joined = _joined(terms[i], terms[j])
        if joined is not None:
            rest = [joined if k == i else t for k, t in enumerate(terms) if k != j]
            return repeat(build_sum(rest), node)
    return None


def _product_in(term: Term) -> Expr | None:
    """The one product of two tensors among the factors of a term."""
    products = [b for b in term.top if isinstance(b.op, Contraction) and len(b.args) == 2 and b.shape]
    found = [b for b in products if term.top[b] == 1]
    return found[0] if len(found) == 1 else None


def _joined(first: Term, second: Term) -> Term | None:
    a, b = _product_in(first), _product_in(second)
    if a is None or b is None:
        return None
    outer = without(first, Term(Fraction(1), {a: 1}))
    if outer.key() != without(second, Term(Fraction(1), {b: 1})).key():
        return None
    for p in (0, 1):
        for q in (0, 1):
            left, right = _seen_from(a, p), _seen_from(b, q)
            if left is None or right is None or left[0] != right[0]:
                continue
            if a.args[p] is not b.args[q]:
                if negated(a.args[p]) is not b.args[q]:
                    continue
                sign = -1
            else:
                sign = 1
            if sorted(left[1]) != sorted(right[1]):
                continue
            target = left[1] if left[1] == right[1] else _plain(left[0], left[1])
            total = [Term(first.number, {_ordered(a.args[1 - p], left[1], target): 1}),
                     Term(sign * second.number, {_ordered(b.args[1 - q], right[1], target): 1})]  # fmt: skip
            if left[1] != target:
                total.reverse()  # A + Aᵀ: the one as it is comes first
            pairs = [(tuple(range(a.args[p].ndim)), a.args[p]), (target, build_sum(total))]
            inputs, operands = zip(*(pairs if p == 0 else pairs[::-1]), strict=True)
            product = make(Contraction(inputs, left[0]), *operands)
            return Term(Fraction(1), {**outer.top, product: 1}, outer.bottom)
    return None


def _ordered(x: Expr, indices: tuple[int, ...], target: tuple[int, ...]) -> Expr:
    return x if indices == target else make(Contraction((indices,), target), x)


def _plain(output: tuple[int, ...], indices: tuple[int, ...]) -> tuple[int, ...]:
    """The order of indices in which a product needs no transpose: M in M x keeps its own index first, in x M last."""
    own = [i for i in output if i in indices]
    summed = [i for i in indices if i not in output]
    return (*own, *summed) if own[:1] == list(output[:1]) else (*summed, *own)


def _seen_from(node: Expr, position: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """(output, indices of the other operand), numbered by where they stand in this operand, then in the output."""
    op = node.op
    assert isinstance(op, Contraction)
    own, other = op.inputs[position], op.inputs[1 - position]
    if op.new or len(set(own)) != len(own) or len(set(other)) != len(other) or not other:
        return None
    number = {index: i for i, index in enumerate(own)}
    for index in op.output:
        number.setdefault(index, len(number))
    if not set(other) <= set(number):
        return None
    return tuple(number[i] for i in op.output), tuple(number[i] for i in other)


def integers_folded(node: Expr) -> Expr | None:
    """Arithmetic on integer constants: 2 - 1 is 1."""
    assert isinstance(node.op, Elementwise)
    function = node.op.function
    if node.kind != INTEGER or node.shape or function not in ("add", "subtract", "multiply", "negative"):
        return None
    values = [number_of(a) for a in node.args]
    if any(v is None for v in values):
        return None
    exact = [int(v) for v in values if v is not None]
    result = -exact[0] if function == "negative" else exact[0]
    for value in exact[1:]:
        result = {"multiply": result * value, "subtract": result - value}.get(function, result + value)
    return as_expr(result) if abs(result) < 2**53 else None


def value_at_number(node: Expr) -> Expr | None:
    """exp(0) = 1 and others that are whole numbers at 0 or 1."""
    assert isinstance(node.op, Elementwise)
    if node.kind != REAL or len(node.args) != 1 or (number := number_of(node.args[0])) not in (0, 1):
        return None
    value = WHOLE[int(number)].get(node.op.function)
    return None if value is None else as_expr(float(value))


def size_of_product(node: Expr) -> Expr | None:
    """The number of entries of N rows of 4 is 4 N."""
    assert isinstance(node.op, Extent)
    number, names = factors(node.op.size)
    if number == 1 and len(names) <= 1:
        return None
    return build(Term(Fraction(number), {f.size(name): power for name, power in names.items()}))


def negated(x: Expr) -> Expr | None:
    """-x where x is a difference, written as a difference: b - a for a - b."""
    terms = sum_of(x)
    if len(terms) < 2 or not any(t.number < 0 for t in terms):
        return None
    return build_sum([Term(-t.number, t.top, t.bottom) for t in terms])


def opposite_operands(node: Expr) -> Expr | None:
    """(b - a) (a - b)ᵀ = -(a - b) (a - b)ᵀ: of a difference and its opposite the one that was there first is kept."""
    op = node.op
    assert isinstance(op, Contraction)
    if len(node.args) != 2 or node.kind != REAL:
        return None
    first, second = node.args
    opposite = negated(first)
    if opposite is None or opposite is not second or first is second:
        return None
    kept = first if first.serial < second.serial else second
    return make(Elementwise("negative"), make(op, kept, kept))


def cancelled_below(node: Expr) -> Expr | None:
    """(a b/b + c) / b = (a + c) / b: what the whole is divided by cancels within its sum, zero or not."""
    if node.kind != REAL:
        return None
    term = product_of(node)
    for base in [b for b in term.top if term.top[b] == 1]:
        terms = sum_of(base)
        if len(terms) < 2:
            continue
        shorter = [_reduced(t, term.bottom) for t in terms]
        if any(a is not b for a, b in zip(terms, shorter, strict=True)):
            top = {b: e for b, e in term.top.items() if b is not base}
            return repeat(build(Term(term.number, {**top, build_sum(shorter): 1}, term.bottom)), node)
    return None


def _reduced(term: Term, below: Factors) -> Term:
    shared = {b: min(term.top[b], term.bottom[b]) for b in term.top if b in term.bottom and b in below}
    factor = Term(Fraction(1), shared, shared)
    return without(term, factor) if shared else term


def square_of_root(node: Expr) -> Expr | None:
    """√a² = a and √a / a = 1 / √a where a is never negative."""
    if node.kind != REAL:
        return None
    term = product_of(node)
    powers = {b: term.top.get(b, 0) - term.bottom.get(b, 0) for b in (*term.top, *term.bottom)}
    for root in [b for b in powers if isinstance(b.op, Elementwise) and b.op.function == "sqrt"]:
        inside = root.args[0]
        whole, half = divmod(abs(2 * powers.get(inside, 0) + powers[root]), 2)
        sign = 1 if 2 * powers.get(inside, 0) + powers[root] > 0 else -1
        if never_negative(inside) and (powers.get(inside, 0), powers[root]) != (sign * whole, sign * half):
            powers |= {inside: sign * whole, root: sign * half}
            top = {b: e for b, e in powers.items() if e > 0}
            return repeat(build(Term(term.number, top, {b: -e for b, e in powers.items() if e < 0})), node)
    return None


def zeroth_power(node: Expr) -> Expr | None:
    """a⁰ = 1, for every a."""
    op = node.op
    assert isinstance(op, Elementwise)
    return repeat(as_expr(1.0), node) if op.function == "power" and number_of(node.args[1]) == 0 else None


def selected_twice(node: Expr) -> Expr | None:
    """where(c, where(c, a, b), d) = where(c, a, d), and so on the other side."""
    op = node.op
    assert isinstance(op, Elementwise)
    if op.function != "where":
        return None
    condition, *sides = node.args
    inner = [s.args[1 + i] if s.op == op and s.args[0] is condition else s for i, s in enumerate(sides)]
    if inner == sides or any(a.shape != s.shape or a.kind != s.kind for a, s in zip(inner, sides, strict=True)):
        return None
    return make(op, condition, *inner)


def selections_joined(node: Expr) -> Expr | None:
    """where(c, a, 0) + where(c, 0, b) = where(c, a, b), also when each has been multiplied by something finite."""
    assert isinstance(node.op, Elementwise)
    if node.op.function not in ("add", "subtract") or node.kind != REAL:
        return None
    terms = collect(sum_of(node))
    for i, j in combinations(range(len(terms)), 2) if len(terms) <= PAIRS else ():
        a, b = _selection(terms[i]), _selection(terms[j])
        if a is None or b is None or a[0] is not b[0] or a[1] == b[1]:
            continue
        chosen, other = (a[2], b[2]) if a[1] == 1 else (b[2], a[2])
        joined = make(Elementwise("where"), a[0], build(chosen), build(other))
        rest = [Term(top={joined: 1}) if k == i else t for k, t in enumerate(terms) if k != j]
        return repeat(build_sum(rest), node)
    return None


def _selection(term: Term) -> tuple[Expr, int, Term] | None:
    """(condition, which side is taken, the term on that side) of a term with one selection between it and 0."""
    for base, exponent in term.top.items():
        if exponent == 1 and isinstance(base.op, Elementwise) and base.op.function == "where":
            condition, *sides = base.args
            side = 1 if number_of(sides[1]) == 0 else 2 if number_of(sides[0]) == 0 else 0
            if side:
                rest = Term(term.number, {b: e for b, e in term.top.items() if b is not base}, term.bottom)
                return condition, side, rest.times(product_of(sides[side - 1]))
    return None


def defined_where_not_zero(expressions: Sequence[Expr]) -> set[Expr]:
    """Factors within logarithms: where one of them is zero, the whole is no number anyway."""
    logs = [n.args[0] for n in topological(expressions) if isinstance(n.op, Elementwise) and n.op.function == "log"]
    terms = [product_of(through_names(x)) for x in logs]
    return {b for t in terms for b in (*t.top, *t.bottom)}


def cancelled_on_domain(nonzero: set[Expr]) -> Identity:
    """a/a = 1 for what a logarithm of the same formula keeps from being zero: (x log(x/y))' is 1 + log(x/y)."""

    def rewrite(node: Expr) -> Expr | None:
        if node.kind != REAL:
            return None
        term = product_of(node)
        shared = {b: min(term.top[b], term.bottom[b]) for b in term.top if b in term.bottom and b in nonzero}
        return repeat(build(without(term, Term(Fraction(1), shared, shared))), node) if shared else None

    return Identity("cancelled on the domain", "a b / a", "b", "log(a ...) stands beside it", (Elementwise,), rewrite)
