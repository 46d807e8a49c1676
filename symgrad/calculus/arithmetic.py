"""Normal form of sums and products.

What + - * / and integer powers build, collected and put back as a person writes it.

A term is a number times factors over factors; a sum is a list of terms. Like terms are added, common factors come
out, signs move outward, positive terms come first. Sums are never multiplied out: (x - y)/3 stays, because
x/3 - y/3 is 50 % wrong near cancellation. Cancelling a/a needs an `a` that is never zero; a/a² is 1/a, for both are
no number at zero.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from symgrad.calculus.signs import positive
from symgrad.expression import ops
from symgrad.expression.node import Expr, as_expr, binary, make
from symgrad.expression.ops import Constant, Elementwise, Extent
from symgrad.expression.scalars import BOOLEAN, REAL

ARITHMETIC = ("add", "subtract", "multiply", "divide", "negative", "power")
POWER, WIDTH, FACTORS = 8, 64, 16  # larger powers, sums and products are left as they stand: cost stays linear
Number = Fraction | float
Exponent = Any  # an int, or halves as a Fraction; the checker knows no arithmetic of their union
Factors = dict[Expr, Exponent]  # powers by what is raised to them


@dataclass
class Term:
    """number * product(top) / product(bottom); factors in order of appearance, with their powers."""

    number: Number = Fraction(1)
    top: Factors = field(default_factory=dict)
    bottom: Factors = field(default_factory=dict)

    def key(self) -> tuple[frozenset[tuple[Expr, Exponent]], ...]:
        return frozenset(self.top.items()), frozenset(self.bottom.items())

    def times(self, other: Term, power: Exponent = 1) -> Term:
        """The product with other**power, factors that are never zero cancelled."""
        top, bottom = (other.top, other.bottom) if power > 0 else (other.bottom, other.top)
        result = Term(self.number * other.number**power, dict(self.top), dict(self.bottom))
        for factors, extra in ((result.top, top), (result.bottom, bottom)):
            for base, exponent in extra.items():
                factors[base] = factors.get(base, 0) + exponent * abs(power)
        for base in [b for b in result.top if b in result.bottom]:
            shared = min(result.top[base], result.bottom[base] - (not positive(base)))
            if shared <= 0:
                continue
            for factors in (result.top, result.bottom):
                factors[base] -= shared
                if not factors[base]:
                    del factors[base]
        return result


def number_of(node: Expr) -> Number | None:
    """The value of a scalar constant, exact where it is made of whole numbers, halves and quarters."""
    if not isinstance(node.op, Constant) or node.op.shape or node.kind == BOOLEAN:
        return None
    value = node.op.value
    return Fraction(value) if float(4 * value).is_integer() and abs(value) < 2**51 else float(value)


def scalar_function(node: Expr) -> str:
    """The function of an entrywise node that is no condition, else nothing."""
    return node.op.function if isinstance(node.op, Elementwise) and node.kind != BOOLEAN else ""


@functools.lru_cache(65536)
def product_of(node: Expr) -> Term:
    """A node as one term."""
    number = number_of(node)
    if number is not None:
        return Term(number)
    function, result = scalar_function(node), Term()
    if function == "multiply":
        for factor in node.args:
            result = result.times(product_of(factor))
    elif function == "divide":
        below = product_of(node.args[1])
        result = product_of(node.args[0]).times(below, -1) if below.number else Term(top={node: 1})
    elif function == "negative":
        result = Term(Fraction(-1)).times(product_of(node.args[0]))
    elif function == "power" and (power := exponent_of(node)):
        below = product_of(node.args[0])
        whole = power == int(power) or below == Term(top={node.args[0]: 1})  # √ab and √a √b are not the same number
        result = Term().times(below, power) if below.number and whole else Term(top={node: 1})
    else:
        return Term(top={node: 1})
    exponents = (*result.top.values(), *result.bottom.values())
    large = len(exponents) > FACTORS or any(e > POWER for e in exponents)
    return Term(top={node: 1}) if large else result


def exponent_of(node: Expr) -> Exponent:
    """A power that is a repeated product, or one by halves of what is positive; else 0."""
    term = product_of(node.args[1])
    if term.top or term.bottom or not isinstance(term.number, Fraction) or abs(term.number) > POWER:
        return 0
    if term.number.denominator == 1:
        return int(term.number)
    return term.number if term.number.denominator == 2 and positive(node.args[0]) else 0


@functools.lru_cache(65536)
def sum_of(node: Expr) -> tuple[Term, ...]:
    """A node as a list of terms; a sum times -1 is a sum."""
    function = scalar_function(node)
    if function in ("add", "subtract"):
        signs = (1, -1) if function == "subtract" else (1,) * len(node.args)
        terms = [_signed(t, s) for argument, s in zip(node.args, signs, strict=True) for t in sum_of(argument)]
        return tuple(terms) if len(terms) <= WIDTH else (Term(top={node: 1}),)
    if function == "negative":
        return tuple(_signed(t, -1) for t in sum_of(node.args[0]))
    return (product_of(node),)


def _signed(term: Term, sign: int) -> Term:
    return Term(term.number * sign, term.top, term.bottom)


def collect(terms: Iterable[Term]) -> list[Term]:
    """Like terms added, vanished ones dropped, in order of first appearance."""
    found: dict[object, Term] = {}
    for term in terms:
        first = found.get(term.key())
        number: Any = term.number if first is None else first.number + term.number
        found[term.key()] = (
            Term(number, term.top, term.bottom) if first is None else Term(number, first.top, first.bottom)
        )
    return [t for t in found.values() if t.number]


def common(terms: Sequence[Term]) -> Term:
    """What every term has as a factor: powers, a number, a sign that all share."""
    first, rest = terms[0], terms[1:]
    top = {b: min(e, *(t.top.get(b, 0) for t in rest)) for b, e in first.top.items()} if rest else {}
    bottom = {b: min(e, *(t.bottom.get(b, 0) for t in rest)) for b, e in first.bottom.items()} if rest else {}
    sizes_agree = all(abs(t.number) == abs(first.number) for t in rest)
    number: Any = abs(first.number) if sizes_agree else Fraction(1)
    if all(t.number < 0 for t in terms):
        number = -number
    return Term(number, {b: e for b, e in top.items() if e}, {b: e for b, e in bottom.items() if e})


def without(term: Term, factor: Term) -> Term:
    """A term divided by a factor it has."""
    top = {b: e - factor.top.get(b, 0) for b, e in term.top.items()}
    bottom = {b: e - factor.bottom.get(b, 0) for b, e in term.bottom.items()}
    return Term(
        term.number / factor.number, {b: e for b, e in top.items() if e}, {b: e for b, e in bottom.items() if e}
    )


def _power(base: Expr, exponent: Exponent) -> Expr:
    whole = int(exponent)
    return base if exponent == 1 else binary("power", base, whole if exponent == whole else float(exponent))


def _chain(factors: Iterable[Expr]) -> Expr:
    return functools.reduce(lambda a, b: binary("multiply", a, b), factors)


def number_expr(number: Number) -> Expr:
    """A number as a constant: integers print without a point, fractions as a quotient."""
    if isinstance(number, Fraction):
        whole = as_expr(int(number.numerator))
        return whole if number.denominator == 1 else binary("divide", whole, as_expr(int(number.denominator)))
    return as_expr(number)


def _place(factor: Expr) -> tuple[bool, bool]:
    """Scalars come before tensors, and declared names before what is made of them: λ w, y σ(-y a)."""
    return bool(factor.shape), not isinstance(factor.op, ops.Leaf | Extent)


def build(term: Term) -> Expr:
    """A term as it is written: -(2 a b) / (3 N)."""
    if not term.top and not term.bottom:
        return number_expr(term.number)
    number = abs(term.number)
    above, below = (number.numerator, number.denominator) if isinstance(number, Fraction) else (number, 1)
    top = [_power(b, e) for b, e in sorted(term.top.items(), key=lambda item: _place(item[0]))]
    bottom = [_power(b, e) for b, e in term.bottom.items()]
    if above != 1 or not top:
        top.insert(0, as_expr(above))
    if below != 1:
        bottom.insert(0, as_expr(below))
    result = _chain(top)
    if bottom:
        result = binary("divide", result, _chain(bottom))
    return make(Elementwise("negative"), result) if term.number < 0 else result


def build_sum(terms: Sequence[Term]) -> Expr:
    """Terms as a sum, the positive ones first when the first is negative."""
    ordered = list(terms)
    if ordered[0].number < 0:
        ordered.sort(key=lambda t: t.number < 0)
    result = build(ordered[0])
    for term in ordered[1:]:
        result = (
            binary("add", result, build(term))
            if term.number > 0
            else binary("subtract", result, build(_signed(term, -1)))
        )
    return result


def repeat(x: Expr, like: Expr) -> Expr:
    """x repeated to the shape of another node, and as real as that one."""
    if like.kind == REAL and x.kind != REAL:
        number = number_of(x)
        x = as_expr(float(number)) if number is not None else make(ops.Cast(REAL), x)
    if x.shape == like.shape:
        return x
    rank, offset = like.ndim, like.ndim - x.ndim
    squeezed = tuple(i for i, s in enumerate(x.shape) if not (isinstance(s, int) and s == 1))
    if len(squeezed) != x.ndim:
        x = make(ops.Contraction((tuple(range(x.ndim)),), squeezed), x)
    kept = tuple(i + offset for i in squeezed)
    return make(
        ops.Contraction((kept,), tuple(range(rank)), tuple((i, like.shape[i]) for i in range(rank) if i not in kept)), x
    )


def _flip(term: Term) -> Term:
    """A minus sign absorbed into a factor that is a difference, of several the oldest: -(a - b) c is (b - a) c."""
    if term.number >= 0:
        return term
    for base in sorted((b for b, e in term.top.items() if e == 1), key=lambda b: b.serial):
        terms = sum_of(base)
        if len(terms) > 1 and any(t.number < 0 for t in terms):
            flipped = build_sum([_signed(t, -1) for t in terms])
            top: Factors = {}
            for b, e in term.top.items():  # the flipped difference may be a factor already: (a - b) (b - a)
                b = flipped if b is base else b
                top[b] = top.get(b, 0) + e
            return Term(-term.number, top, term.bottom)
    return term


def normal_form(node: Expr) -> Expr | None:
    """Sums and products collected; None where nothing changes."""
    if node.kind != REAL or scalar_function(node) not in ARITHMETIC:
        return None
    terms = collect(sum_of(node))
    if not terms:
        result = as_expr(0.0)
    elif len(terms) == 1:
        result = build(_flip(terms[0]))
    else:
        factor = common(terms)
        inside = build_sum([without(t, factor) for t in terms])
        result = build(_flip(factor.times(Term(top={inside: 1}))))
    result = repeat(result, node)
    return None if result is node else result
