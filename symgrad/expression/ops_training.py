"""What differs between training and evaluation: states written back after a step, random numbers, and the choice.

`training.forms` resolves the choice before anything is differentiated or compiled for a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from symgrad.expression.op import Leaf, Op, Result
from symgrad.expression.scalars import REAL

if TYPE_CHECKING:
    from symgrad.expression.node import Expr


@dataclass(frozen=True)
class State(Leaf):
    """A tensor that a step of training writes back, not trained: a running mean. It starts at `initial` everywhere."""

    initial: str = "0.0"  # as text, which tells 0.0 from -0.0

    def infer(self, args: Sequence[Expr]) -> Result:
        return self.shape, REAL


@dataclass(frozen=True)
class Noise(Leaf):
    """Uniform numbers in [0, 1), drawn anew for each step of training by a counter-based generator."""

    def infer(self, args: Sequence[Expr]) -> Result:
        return self.shape, REAL


@dataclass(frozen=True)
class Mode(Op):
    """The first argument in training, the second in evaluation."""

    def infer(self, args: Sequence[Expr]) -> Result:
        return args[1].shape, args[1].kind


@dataclass(frozen=True)
class Assign(Op):
    """The first argument; a step of training sets the state, the second, to the third."""

    def infer(self, args: Sequence[Expr]) -> Result:
        return args[0].shape, args[0].kind
