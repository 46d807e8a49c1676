"""Repairs of what stands there wrongly: signs, orders, transposes, conditions, names, functions, operators."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from symgrad.proof.drafts import Draft, Place, call, infix, name, number, shown, transposed
from symgrad.proof.repairs import Known, Repair, plain

AT_KINK = {ast.GtE: ">", ast.Gt: ">=", ast.LtE: "<", ast.Lt: "<="}  # the same condition but where both sides are equal


def signs(place: Place, known: Known) -> Iterator[Repair]:
    match place.node:
        case ast.BinOp(left=a, op=ast.Sub(), right=b):
            swapped, added = infix(b, "-", a), infix(a, "+", b)
            yield plain(place, swapped, "the sign is wrong: ", swapped, " instead of ", place.node)
            yield plain(place, added, "the sign of ", b, " is wrong: ", added)
        case ast.BinOp(left=a, op=ast.Add(), right=b):
            less, other = infix(a, "-", b), infix(b, "-", a)
            yield plain(place, less, "the sign of ", b, " is wrong: ", less)
            yield plain(place, other, "the sign of ", a, " is wrong: ", other)
        case ast.UnaryOp(op=ast.USub(), operand=a):
            yield plain(place, a, "the sign is wrong: the minus before ", a, " is one too many")


def transposes(place: Place, known: Known) -> Iterator[Repair]:
    node = place.node
    if isinstance(node, ast.Attribute):
        yield plain(place, node.value, node.value, " must not be transposed")
    elif isinstance(node, ast.Name) and len(known.shape(node) or ()) == 2:
        yield from transposes_of_parts(place, known)


def transposes_of_parts(place: Place, known: Known) -> Iterator[Repair]:
    new = transposed(place.node)
    yield plain(place, new, place.node, " must be transposed: ", new)


def orders(place: Place, known: Known) -> Iterator[Repair]:
    match place.node:
        case ast.BinOp(left=a, op=ast.MatMult(), right=b):
            new: Draft = infix(b, "@", a)
        case ast.Call(func=ast.Name(id="outer" | "dot") as function, args=[a, b]):
            new = call(function.id, b, a)
        case _:
            return
    yield plain(place, new, "the operands are in the wrong order: ", new)


def other_derivatives(place: Place, known: Known) -> Iterator[Repair]:
    node = place.node
    product = any(isinstance(part, ast.MatMult) for part in ast.walk(node))
    for a in known.activations:
        if not a.entrywise or (product and shown(node) not in map(shown, a.arguments)):
            continue
        sentence = (node, " is not ", a.words, ": that is ", a.derivative)
        yield plain(place, a.derivative, *sentence)
        match node:
            case ast.Call(func=ast.Name(id="where"), args=[_, incoming, _]):
                yield plain(place, a.backward(incoming), *sentence)


def conditions(place: Place, known: Known) -> Iterator[Repair]:
    match place.node:
        case ast.Compare(left=a, ops=[sign], comparators=[b]) if type(sign) in AT_KINK:
            new = infix(a, AT_KINK[type(sign)], b)
            yield plain(place, new, "the mask is wrong at the kink, where ", infix(a, "==", b), ": ", new, " is meant")
            for other in ("<", ">"):
                new = infix(a, other, b)
                yield plain(place, new, "the condition is wrong: ", new, " is meant")


def variables(place: Place, known: Known) -> Iterator[Repair]:
    yield from _instead(place, known.given)


def adjoints(place: Place, known: Known) -> Iterator[Repair]:
    yield from _instead(place, known.adjoints)


def _instead(place: Place, names: Sequence[str]) -> Iterator[Repair]:
    if isinstance(place.node, ast.Name):
        for other in names:
            if other != place.node.id:
                yield plain(place, name(other), other, " is meant where ", place.node, " stands")


def functions(place: Place, known: Known) -> Iterator[Repair]:
    node = place.node
    match node:
        case ast.Call(func=ast.Name(id=function), args=[a]):
            yield plain(place, a, "the function ", function, " of ", a, " is too many")
            for other in known.functions:
                if other != function:
                    yield plain(place, call(other, a), call(other, a), " is meant where ", node, " stands")
        case ast.Name():
            for function in known.functions:
                yield plain(place, call(function, node), call(function, node), " is meant where ", node, " stands")


def powers(place: Place, known: Known) -> Iterator[Repair]:
    match place.node:
        case ast.BinOp(left=a, op=ast.Pow(), right=power):
            yield plain(place, a, "the power ", power, " of ", a, " is too many")
            for other in (2, 3, -1, 0.5):
                new = infix(a, "**", number(other))
                yield plain(place, new, "the power is wrong: ", new, " is meant")
        case (ast.Name() | ast.BinOp(op=ast.Add() | ast.Sub())) as a:
            new = infix(a, "**", number(2))
            yield plain(place, new, "the square of ", a, " is meant: ", new)


def operators(place: Place, known: Known) -> Iterator[Repair]:
    node = place.node
    if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Pow):
        for sign in ("*", "@", "/", "+", "-"):
            new = infix(node.left, sign, node.right)
            yield plain(place, new, "the operator is wrong: ", new, " is meant")


def parentheses(place: Place, known: Known) -> Iterator[Repair]:
    """(a b) c for a (b c) and back."""
    match place.node:
        case ast.BinOp(left=ast.BinOp(left=a, op=first, right=b), op=second, right=c):
            new: Draft = ast.BinOp(a, first, ast.BinOp(b, second, c))
        case ast.BinOp(left=a, op=first, right=ast.BinOp(left=b, op=second, right=c)):
            new = ast.BinOp(ast.BinOp(a, first, b), second, c)
        case _:
            return
    yield plain(place, new, "the parentheses are wrong: ", new, " is meant")
