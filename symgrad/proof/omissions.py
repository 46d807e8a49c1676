"""Repairs of what is missing or too many: factors, terms, sums over the batch, derivatives of activations."""

from __future__ import annotations

import ast
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

from symgrad.proof.drafts import Draft, Place, call, infix, name, negative, number, shown, transposed
from symgrad.proof.factors import Factor
from symgrad.proof.repairs import Known, Repair, plain

USUAL = tuple(Factor(constant) for constant in (2.0, 0.5, -1.0))


def too_many(place: Place, known: Known) -> Iterator[Repair]:
    match place.node:
        case ast.BinOp(left=a, op=ast.Div(), right=b):
            yield plain(place, a, "the factor ", infix(number(1), "/", b), " is too many")
        case ast.BinOp(op=ast.Mult()) as node:
            parts = _factors(node)
            for count in range(1, min(len(parts), 3)):
                for dropped in itertools.combinations(range(len(parts)), count):
                    kept = _times([p for i, p in enumerate(parts) if i not in dropped])
                    yield plain(place, kept, *_superfluous(_times([parts[i] for i in dropped])))
        case ast.BinOp(left=a, op=ast.Add() | ast.Sub() as op, right=b):
            yield plain(place, a, "the term ", b, " is too many")
            yield plain(place, b if isinstance(op, ast.Add) else negative(b), "the term ", a, " is too many")


def too_many_products(place: Place, known: Known) -> Iterator[Repair]:
    match place.node:
        case ast.BinOp(left=a, op=ast.MatMult(), right=b):
            yield plain(place, a, "the factor ", b, " is too many")
            yield plain(place, b, "the factor ", a, " is too many")


def _factors(node: Draft) -> list[Draft]:
    """The factors of a product that is written without parentheses."""
    match node:
        case ast.BinOp(left=a, op=ast.Mult(), right=b):
            return [*_factors(a), b]
    return [node]


def _times(parts: Sequence[Draft]) -> Draft:
    return functools.reduce(lambda a, b: infix(a, "*", b), parts)


def _superfluous(node: Draft) -> tuple[str | Draft, ...]:
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)):
            return ("the sign is wrong: a minus is too many",)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant() as size):
            return "the sign is wrong: a minus is too many and the factor ", size, " is too many"
    return "the factor ", node, " is too many"


def _missing(factor: Factor) -> str:
    """A missing constant in words, sign and size apart."""
    if factor.constant < 0:
        rest = dataclasses.replace(factor, constant=-factor.constant)
        return "the sign is wrong: a minus is missing" + ("" if rest.is_one else f" and {_missing(rest)}")
    parts = f" ({' and '.join(factor.parts)})" if len(factor.parts) > 1 else f", or {factor.inverse} is too many"
    return f"the factor {factor} is missing{parts}"


def factors(place: Place, known: Known) -> Iterator[Repair]:
    """A constant at any place; of the whole it is not said where."""
    node = place.node
    where = "" if place.put(node) is node else f" in {shown(node)}"
    if not isinstance(node, ast.Constant):
        yield Repair(lambda factor: _missing(factor) + where, lambda times: place.put(times(node)), open=1)


def factors_inside(place: Place, known: Known) -> Iterator[Repair]:
    """Usual constants inside functions, where they cannot be solved for."""
    for constant in USUAL:
        new = constant.times(place.node)
        yield plain(place, new, _missing(constant), " in ", place.node)


def factors_of_terms(place: Place, known: Known) -> Iterator[Repair]:
    """Every term of a sum with a constant of its own."""
    terms, build = _terms(place.node)

    def words(*factors: Factor) -> str:
        wrong = [(f, term) for f, term in zip(factors, terms, strict=True) if not f.is_one]
        return "; ".join(f"{_missing(factor)} in {shown(term)}" for factor, term in wrong)

    def make(*times: Callable[[Draft], Draft]) -> Draft:
        return place.put(build([t(term) for t, term in zip(times, terms, strict=True)]))

    if len(terms) > 1:
        yield Repair(words, make, open=len(terms))


def _terms(node: Draft) -> tuple[list[Draft], Callable[[list[Draft]], Draft]]:
    """The terms of a sum, and how to put others in their places."""
    match node:
        case ast.BinOp(left=a, op=ast.Add() | ast.Sub() as op, right=b):
            first, build = _terms(a)
            return [*first, b], lambda parts: ast.BinOp(build(parts[:-1]), op, parts[-1])
    return [node], lambda parts: parts[0]


def sums(place: Place, known: Known) -> Iterator[Repair]:
    node = place.node
    match node:
        case ast.Call(func=ast.Name(id="sum" | "mean" as function), args=[a, *_], keywords=keywords):
            other = "mean" if function == "sum" else "sum"
            yield plain(place, ast.Call(name(other), node.args, keywords), other, " is meant where ", node, " stands")
            yield plain(place, a, "the ", function, " of ", a, " is too many")
            yield from _other_axes(place, function, a, known)
    shape = known.shape(node) or ()
    for axis, size in enumerate(shape):
        new = call("sum", node, axis=axis)
        yield plain(place, new, "the sum over ", size, " is missing: ", new)
    if len(shape) > 1:
        new = call("sum", node)
        yield plain(place, new, "the sum over ", " and ".join(shape), " is missing: ", new)


def _other_axes(place: Place, function: str, summed: Draft, known: Known) -> Iterator[Repair]:
    shape = known.shape(summed)
    for axis in range(2 if shape is None else len(shape)):  # what has no shape yet may be a matrix
        for new in (call(function, summed, axis=axis), call(function, summed, axis=axis, keepdims=True)):
            yield plain(place, new, "the ", function, " runs along the wrong axis: ", new, " is meant")


def derivatives(place: Place, known: Known) -> Iterator[Repair]:
    """An adjoint has the shape of what it belongs to; a part without a shape may be put right by this."""
    shape = known.shape(place.node)
    for a in known.activations:
        if shape is None or shape == known.shape(a.value):
            yield plain(place, a.backward(place.node), a.words, " is missing: ", a.factor)


def missing_products(place: Place, known: Known) -> Iterator[Repair]:
    node = place.node
    if isinstance(node, ast.Constant):
        return
    for other in (*map(name, known.given), *known.parts):
        ways = [(other, infix(node, "*", other))]
        if isinstance(other, ast.Name) and known.shape(other):
            turned = transposed(other)
            ways += [(f, infix(node, "@", f)) for f in (other, turned)]
            ways += [(f, infix(f, "@", node)) for f in (other, turned)]
        for factor, new in ways:
            yield plain(place, new, "the factor ", factor, " is missing: ", new)


def missing_terms(place: Place, known: Known) -> Iterator[Repair]:
    """A term that is a tensor, or a scalar times a tensor; it and what is there with constants of their own."""
    shape = known.shape(place.node)
    candidates = [*map(name, known.given), *known.parts]
    whole = [] if shape is None else [term for term in candidates if known.shape(term) == shape]
    scalars = [term for term in map(name, known.given) if known.shape(term) == ()]
    for term in [number(1), *whole] + [infix(s, "*", w) for s in scalars for w in whole]:
        yield _with_term(place, term)


def _with_term(place: Place, term: Draft) -> Repair:
    """What is there and a term, each with a constant; inside a formula the constant of both is one of the whole."""
    whole = place.put(place.node) is place.node

    def words(own: Factor, new: Factor) -> str:
        shared = Factor(1.0) if whole else own
        rest = "" if own.is_one else f"; {_missing(own)}" + (f" in {shown(place.node)}" if whole else "")
        return f"the term {shown(new.over(shared).times(term))} is missing{rest}"

    return Repair(words, lambda own, new: place.put(infix(own(place.node), "+", new(term))), open=2)
