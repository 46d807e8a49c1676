"""Operations of linear algebra over the last two axes; axes before them are a batch.

Shapes are checked by the functions that build them, in the user's names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from symgrad.expression.op import Op, Result
from symgrad.expression.scalars import REAL
from symgrad.expression.sizes import Size

if TYPE_CHECKING:
    from symgrad.expression.node import Expr


@dataclass(frozen=True)
class Identity(Op):
    """The Kronecker delta: the identity matrix of a size."""

    size: Size

    def infer(self, args: Sequence[Expr]) -> Result:
        return (self.size, self.size), REAL


@dataclass(frozen=True)
class Inverse(Op):
    """The inverse of square matrices."""

    def infer(self, args: Sequence[Expr]) -> Result:
        return args[0].shape, REAL


@dataclass(frozen=True)
class Solve(Op):
    """X with A X = B, without the inverse of A."""

    def infer(self, args: Sequence[Expr]) -> Result:
        return args[1].shape, REAL


@dataclass(frozen=True)
class Determinant(Op):
    """det A."""

    def infer(self, args: Sequence[Expr]) -> Result:
        return args[0].shape[:-2], REAL


@dataclass(frozen=True)
class LogDet(Op):
    """log |det A|, where the determinant itself would overflow."""

    def infer(self, args: Sequence[Expr]) -> Result:
        return args[0].shape[:-2], REAL


@dataclass(frozen=True)
class Cholesky(Op):
    """The lower triangular L with L Lᵀ = A, of the symmetric part of A, which is positive definite."""

    def infer(self, args: Sequence[Expr]) -> Result:
        return args[0].shape, REAL
