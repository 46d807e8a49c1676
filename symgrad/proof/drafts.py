"""A person's formula as a syntax tree that may be wrong, even ill-shaped: read, taken apart, changed, shown.

An expression of this package cannot be ill-shaped, a derivation by hand can (`x @ (p - y)`), and what is wrong with
it is best said in its own text. So a draft is the tree of Python's `ast` that the parser understands. Drafts are never
changed in place: `Place.put` gives a new one that shares every other part. Knows nothing of values and causes.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from symgrad.errors import ShapeError
from symgrad.expression import functions, ops, parse
from symgrad.expression.node import INFIX, Expr, matmul, topological
from symgrad.expression.ops import Contraction, Elementwise

Draft = ast.expr
Put = Callable[[Draft], Draft]
OPERATORS: dict[str, ast.operator | ast.cmpop] = {
    "+": ast.Add(), "-": ast.Sub(), "*": ast.Mult(), "/": ast.Div(), "**": ast.Pow(), "@": ast.MatMult(),
    "<": ast.Lt(), "<=": ast.LtE(), ">": ast.Gt(), ">=": ast.GtE(), "==": ast.Eq(), "!=": ast.NotEq(),
}  # fmt: skip
SIZED = ("reshape", "identity")  # functions whose arguments are sizes
LARGEST = 300  # nodes of a draft made from an expression; a part beyond that stands as one name


@dataclass(frozen=True)
class Place:
    """A part of a draft; `put` gives the draft with something else in this place."""

    node: Draft
    put: Put


def name(text: str) -> Draft:
    return ast.Name(text, ast.Load())


def negative(node: Draft) -> Draft:
    return ast.UnaryOp(ast.USub(), node)


def number(value: float) -> Draft:
    """A number; a negative one as a person writes it."""
    return negative(ast.Constant(-value)) if value < 0 else ast.Constant(value)


def numbers(draft: Draft) -> set[int]:
    """The whole numbers in a draft that are not written as sizes."""
    sized = (n for n in ast.walk(draft) if isinstance(n, ast.Call) and getattr(n.func, "id", "") in SIZED)
    sizes = {id(inner) for call in sized for argument in call.args[1:] for inner in ast.walk(argument)}
    plain = (n.value for n in ast.walk(draft) if isinstance(n, ast.Constant) and id(n) not in sizes)
    return {int(v) for v in plain if isinstance(v, int | float) and v == int(v)}


def infix(left: Draft, sign: str, right: Draft) -> Draft:
    operator = OPERATORS[sign]
    if isinstance(operator, ast.cmpop):
        return ast.Compare(left, [operator], [right])
    return ast.BinOp(left, operator, right)


def call(function: str, *arguments: Draft, **keywords: Any) -> Draft:
    """A function of drafts; keywords are numbers."""
    named = [ast.keyword(key, ast.Constant(value)) for key, value in keywords.items()]
    return ast.Call(name(function), list(arguments), named)


def transposed(node: Draft) -> Draft:
    return ast.Attribute(node, "T", ast.Load())


def shown(node: Draft) -> str:
    """A draft as text.

    >>> shown(infix(transposed(name("x")), "@", name("d")))
    'x.T @ d'
    """
    return ast.unparse(node)


def _inner(node: Draft) -> Iterator[tuple[Draft, Put]]:
    """The parts of a node that are values, each with the way to put another in its place."""
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            yield left, lambda new: ast.BinOp(new, op, right)
            if not isinstance(op, ast.Pow):
                yield right, lambda new: ast.BinOp(left, op, new)
        case ast.UnaryOp(op=sign, operand=operand):
            yield operand, lambda new: ast.UnaryOp(sign, new)
        case ast.Compare(left=left, ops=signs, comparators=[right]):
            yield left, lambda new: ast.Compare(new, signs, [right])
            yield right, lambda new: ast.Compare(left, signs, [new])
        case ast.Attribute(value=value):
            yield value, transposed
        case ast.Call(args=args):
            for i, argument in enumerate(args):
                if not isinstance(argument, ast.Constant | ast.Tuple):
                    yield argument, _argument(node, i)


def _argument(node: ast.Call, i: int) -> Put:
    return lambda new: ast.Call(node.func, [*node.args[:i], new, *node.args[i + 1 :]], node.keywords)


def places(node: Draft, put: Put = lambda new: new) -> Iterator[Place]:
    """Every part of a draft, the whole first."""
    yield Place(node, put)
    for part, inside in _inner(node):
        yield from places(part, _both(put, inside))


def _both(outer: Put, inner: Put) -> Put:
    return lambda new: outer(inner(new))


class _Reading(ast.NodeTransformer):
    """What a person means: [net > 0] is a mask, labels are one-hot already, sizes are not numbers."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels

    def visit_List(self, node: ast.List) -> ast.AST:
        self.generic_visit(node)
        return node.elts[0] if len(node.elts) == 1 and isinstance(node.elts[0], ast.Compare) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node:
            case ast.Call(func=ast.Name(id="one_hot"), args=[ast.Name(id=label) as target, *_]) if label in self.labels:
                return target
            case ast.Call(func=ast.Name(id="take"), args=[_, ast.Name(id=label) as indices, *_]) if (
                label in self.labels
            ):
                indices.id = self.labels[label]
            case ast.Call(func=ast.Name(id=function), args=[*_, sizes]) if function in SIZED:
                for part in ast.walk(sizes):
                    if isinstance(part, ast.Tuple):
                        part.elts = [self.size(element) for element in part.elts]
                node.args[-1] = self.size(sizes)
        return self.generic_visit(node)

    @staticmethod
    def size(node: Draft) -> Draft:
        """A size as a name, because sizes shrink where numbers stay."""
        return name(str(node.value)) if isinstance(node, ast.Constant) and isinstance(node.value, int) else node


def of_text(text: str, names: Mapping[str, Expr], labels: Mapping[str, str]) -> Draft:
    """The draft that a text denotes; `labels` says what one-hot targets are called as integers.

    Raises ExpressionError with the column, for a name that is not there with the names that are.
    """
    tree = parse.syntax(text)
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in functions and node.id not in names:
            raise parse.fail(
                node,
                text.strip(),
                f"{node.id} has no meaning here; there are {', '.join(names)}; give it one with "
                "names= (on the command line --where)",
            )
    reading: Draft = _Reading(labels).visit(copy.deepcopy(tree))
    return reading


def of_expression(expression: Expr, names: Mapping[str, Expr], hidden: dict[str, Expr]) -> Draft:
    """The draft of an expression over some names; parts that no text denotes go to `hidden` under a name."""
    known = {node.args[0]: title for title, node in names.items() if isinstance(node.op, ops.Named)}
    known |= {node: title for title, node in names.items()}
    done: dict[Expr, tuple[Draft, int]] = {}  # with the number of nodes that the draft has as a tree
    for node in topological([expression], stop=known.__contains__):
        args = [done[a][0] for a in node.args if node not in known]
        size = 1 + sum(done[a][1] for a in node.args if node not in known)
        draft = name(known[node]) if node in known else _written(node, args) if size <= LARGEST else None
        if draft is None:
            hidden[node.label] = node
            draft, size = name(node.label), 1
        done[node] = draft, size
    return done[expression][0]


def _written(node: Expr, args: list[Draft]) -> Draft | None:
    """An operation as a person writes it, None when the language of formulas has no word for it."""
    match node.op:
        case ops.Named():
            return args[0]
        case ops.Constant(shape=()):
            return number(node.op.value)
        case Elementwise(function="negative"):
            return negative(args[0])
        case Elementwise(function=function) if function in INFIX:
            return functools.reduce(lambda left, right: infix(left, INFIX[function], right), args)
        case Elementwise(function=function):
            return call(function, *args)
        case ops.Softmax(axes=(axis,)):
            return call("softmax", *args, axis=axis)
        case ops.LogSumExp(axes=(axis,), keep=keep):
            return call("logsumexp", *args, axis=axis, keepdims=keep)
        case ops.Reduce(function=function, axes=(axis,), keep=keep):
            return call(function, *args, axis=axis, keepdims=keep)
        case Contraction():
            return _contracted(node, args)
    return None


def _contracted(node: Expr, args: list[Draft]) -> Draft | None:
    """A transpose, a sum or a product as one, else an einsum; None for a repetition."""
    if len(args) == 1:
        source = node.args[0]
        if node is source.T:
            return transposed(args[0])
        for axis in (None, *range(source.ndim)):
            if node is functions.sum(source, axis):
                return call("sum", args[0], **({} if axis is None else {"axis": axis}))
    if len(args) == 2:
        with contextlib.suppress(ShapeError):
            if node is matmul(*node.args):
                return infix(args[0], "@", args[1])
    op = node.op
    assert isinstance(op, Contraction)
    letter = dict(zip(sorted({i for inside in op.inputs for i in inside}), string.ascii_letters, strict=False))
    if op.new or not {*op.output}.issubset(letter):
        return None
    terms = ["".join(letter[i] for i in inside) for inside in (*op.inputs, op.output)]
    return call("einsum", ast.Constant(",".join(terms[:-1]) + "->" + terms[-1]), *args)
