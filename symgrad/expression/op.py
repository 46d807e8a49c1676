"""What every operation is: a frozen dataclass with a shape rule; and the texts of shape errors, in the user's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from symgrad.errors import ShapeError
from symgrad.expression import sizes
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL
from symgrad.expression.sizes import Shape, Size

if TYPE_CHECKING:
    from symgrad.expression.node import Expr

Result = tuple[Shape, str]
RANK = {BOOLEAN: 0, INTEGER: 1, REAL: 2}


@dataclass(frozen=True)
class Op:
    """What a node does with its arguments."""

    def infer(self, args: Sequence[Expr]) -> Result:
        raise NotImplementedError(type(self).__name__)


@dataclass(frozen=True)
class Leaf(Op):
    """A node without arguments that a person declared; `serial` keeps two of one name apart."""

    name: str
    shape: Shape
    serial: int
    place: str = field(compare=False)


def broadcast(args: Sequence[Expr], verb: str) -> Shape:
    """The common shape of NumPy broadcasting, or a ShapeError that names the two operands that do not fit."""
    rank = max((len(a.shape) for a in args), default=0)
    shape: list[Size] = [1] * rank
    owner: list[Expr | None] = [None] * rank
    for arg in args:
        for axis, size in enumerate(arg.shape, rank - len(arg.shape)):
            if isinstance(size, int) and size == 1:
                continue
            if owner[axis] is None:
                shape[axis], owner[axis] = size, arg
            elif not sizes.same(shape[axis], size):
                other = owner[axis]
                assert other is not None
                raise ShapeError(
                    disagreement(
                        verb,
                        other,
                        arg,
                        f"axis {axis - rank} has {shape[axis]} and {size} entries{one_size(shape[axis], size)}",
                    )
                )
    return tuple(shape)


def one_size(a: Size, b: Size) -> str:
    """The question that two names of sizes raise."""
    return f"; are {a} and {b} one size? Then give them one name" if isinstance(a, str) and isinstance(b, str) else ""


def disagreement(verb: str, a: Expr, b: Expr, reason: str) -> str:
    """The text of a shape error: both operands with name and shape, the reason, where their leaves were declared."""
    lines = [f"cannot {verb}  {a.label} {sizes.text(a.shape)}  by  {b.label} {sizes.text(b.shape)}", f"  {reason}"]
    for operand in (a, b):
        if isinstance(operand.op, Leaf):
            at = "by" if operand.op.place.startswith("--") else "at"
            lines.append(f"  {operand.op.name} was declared {at} {operand.op.place}")
    return "\n".join(lines)


def reduced(shape: Shape, axes: tuple[int, ...], keep: bool) -> Shape:
    return tuple(1 if i in axes else s for i, s in enumerate(shape) if keep or i not in axes)
