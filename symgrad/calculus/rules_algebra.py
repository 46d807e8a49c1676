"""Pullbacks of linear algebra: inverse, solve, determinants, Cholesky factor. Knows expressions, not the sweep.

Over the last two axes, for any batch before them. Giles 2008 ("Collected matrix derivative results"), sections 2.2.2 to
2.2.4 and 2.3.1; for the Cholesky factor Murray 2016 (arXiv 1602.07527), equation 10.
"""

from __future__ import annotations

from symgrad.expression import functions as f
from symgrad.expression import matrices, movement, positions
from symgrad.expression.node import Expr


def turned(x: Expr) -> Expr:
    """Each matrix of a batch transposed."""
    return x.T if x.ndim == 2 else movement.swapaxes(x, -1, -2)


def _spread(g: Expr) -> Expr:
    """A number for each matrix, to be multiplied with its entries."""
    return f.reshape(g, (*g.shape, 1, 1)) if g.shape else g


def inverse(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    """dY = -Y dA Y."""
    return -(turned(y) @ g @ turned(y))


def solve(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    """A dX = dB - dA X."""
    below = matrices.solve(turned(node.args[0]), g)
    return below if i == 1 else -(below @ turned(y))


def determinant(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    """d det A = det A tr(A⁻¹ dA)."""
    return _spread(g * y) * turned(matrices.inverse(node.args[0]))


def logdet(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    """d log |det A| = tr(A⁻¹ dA)."""
    return _spread(g) * turned(matrices.inverse(node.args[0]))


def cholesky(node: Expr, y: Expr, g: Expr, i: int) -> Expr:
    """dA = dL Lᵀ + L dLᵀ gives L⁻¹ dL = Φ(L⁻¹ dA L⁻ᵀ), Φ the lower triangle with half the diagonal."""
    inner = turned(y) @ positions.tril(g)
    rows, columns = movement.expand_dims(positions.arange(y.shape[-1]), 1), positions.arange(y.shape[-1])
    half = f.where(rows > columns, inner, f.where(f.equal(rows, columns), inner / 2, 0))
    left = matrices.solve(turned(y), half)
    whole = turned(matrices.solve(turned(y), turned(left)))
    return (whole + turned(whole)) / 2
