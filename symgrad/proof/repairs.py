"""What a repair of a draft is, and what repairs may use: the names, sizes and activations of the loss.

Takes the loss as drafts; computes no values and knows no faults.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from symgrad.expression import parse
from symgrad.proof.drafts import Draft, Place, name, number, shown

ADJOINT = "delta_"


@dataclass(frozen=True)
class Activation:
    """A function in the loss: its name, its arguments, its value, and its pullback as a text over g, y, a, b, c."""

    function: str
    arguments: tuple[Draft, ...]
    value: Draft
    pullback: str

    def backward(self, incoming: Draft) -> Draft:
        """The adjoint of the argument, for an adjoint of the value."""
        meaning = {"g": incoming, "y": self.value, **dict(zip("abc", self.arguments, strict=False))}
        return put_in(parse.syntax(self.pullback), meaning)

    @property
    def derivative(self) -> Draft:
        """What an adjoint is multiplied by, entry by entry."""
        return _without_one(self.backward(number(1)))

    @property
    def entrywise(self) -> bool:
        """Whether the adjoint is only multiplied, entry by entry."""
        return self.function != "softmax"

    @property
    def factor(self) -> str:
        """The derivative as a text, a mask in brackets; of softmax, which is no factor, the pullback of g."""
        if not self.entrywise:
            return f"{shown(self.backward(name('g')))} for g"
        text = shown(self.derivative)
        return f"⊙ [{text}]" if isinstance(self.derivative, ast.Compare) else f"⊙ ({text})"

    @property
    def words(self) -> str:
        return f"the derivative of {self.function} at {', '.join(map(shown, self.arguments))}"


@dataclass(frozen=True)
class Known:
    """What repairs may use: names of tensors, unnamed parts of the loss, activations, functions, sizes of an axis."""

    tensors: tuple[str, ...]
    parts: tuple[Draft, ...]
    activations: tuple[Activation, ...]
    functions: tuple[str, ...]
    shape: Callable[[Draft], tuple[str, ...] | None]

    @property
    def given(self) -> tuple[str, ...]:
        """The tensors that are no adjoints: a missing one may be any of these."""
        return tuple(n for n in self.tensors if not n.startswith(ADJOINT))

    @property
    def adjoints(self) -> tuple[str, ...]:
        return tuple(n for n in self.tensors if n.startswith(ADJOINT))


@dataclass(frozen=True)
class Repair:
    """`make` gives the repaired draft, `words` names the fault.

    An `open` one has so many constants that are to be found: `make` takes them as functions that multiply a part, and
    `words` as texts.
    """

    words: Callable[..., str]
    make: Callable[..., Draft]
    open: int = 0


def _without_one(node: Draft) -> Draft:
    """A product without its leading 1."""
    match node:
        case ast.BinOp(left=ast.Constant(value=1), op=ast.Mult(), right=b):
            return b
        case ast.BinOp(left=a, op=ast.Mult(), right=b):
            return ast.BinOp(_without_one(a), ast.Mult(), b)
    return node


def plain(place: Place, new: Draft, *sentence: str | Draft) -> Repair:
    """The repair that puts something else in a place; the sentence is put together when it is asked for."""
    return Repair(
        lambda: "".join(part if isinstance(part, str) else shown(part) for part in sentence), lambda: place.put(new)
    )


def put_in(node: Draft, meaning: dict[str, Draft]) -> Draft:
    """A formula with drafts in place of its names."""
    match node:
        case ast.Name(id=title):
            return meaning.get(title, node)
        case ast.BinOp(left=left, op=op, right=right):
            return ast.BinOp(put_in(left, meaning), op, put_in(right, meaning))
        case ast.UnaryOp(op=sign, operand=operand):
            return ast.UnaryOp(sign, put_in(operand, meaning))
        case ast.Compare(left=left, ops=ops, comparators=[right]):
            return ast.Compare(put_in(left, meaning), ops, [put_in(right, meaning)])
        case ast.Call(func=function, args=args, keywords=keywords):
            return ast.Call(function, [put_in(a, meaning) for a in args], keywords)
    return node
