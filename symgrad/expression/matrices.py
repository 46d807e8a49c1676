"""Shapes and matrices as compositions: flatten, trace, diagonals, the Kronecker product.

Each takes expressions, numbers or arrays and gives an expression built of reshapes and Einstein sums, which the
calculus knows. Knows nothing of calculus, formulas or kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgrad.errors import ShapeError
from symgrad.expression import functions as f
from symgrad.expression import sizes
from symgrad.expression.node import Expr, as_expr


def flatten(x: object) -> Expr:
    """Each row of the batch as one vector: (N, 28, 28) becomes (N, 784). Raises ShapeError for a number.

    >>> flatten(f.variable("x", ("N", 28, 28))).shape
    ('N', 784)
    """
    value = as_expr(x)
    if not value.shape:
        raise ShapeError(f"flatten keeps the first axis, but {value.label} is a number and has none")
    return f.reshape(value, (value.shape[0], sizes.times(value.shape[1:])))


def _matrix(x: object, function: str, square: bool) -> Expr:
    value = as_expr(x)
    if value.ndim != 2 or (square and not sizes.same(*value.shape)):
        wanted = "a square matrix" if square else "matrices"
        raise ShapeError(f"{function} wants {wanted}, but {value.label} has shape {sizes.text(value.shape)}")
    return value


def trace(a: object) -> Expr:
    """Σ a[i, i] of a square matrix; its gradient is the identity. Raises ShapeError.

    >>> print(trace(f.variable("A", (3, 3))))
    Σᵢ A[i,i]
    """
    return f.einsum("ii->", _matrix(a, "trace", True))


def diagonal(a: object) -> Expr:
    """The vector a[i, i] of a square matrix. Raises ShapeError.

    >>> diagonal(f.variable("A", (3, 3))).shape
    (3,)
    """
    return f.einsum("ii->i", _matrix(a, "diagonal", True))


def diag(v: object) -> Expr:
    """The square matrix with a vector on its diagonal and zeros elsewhere. Raises ShapeError.

    >>> diag(f.variable("v", (3,))).shape
    (3, 3)
    """
    value = as_expr(v)
    if value.ndim != 1:
        raise ShapeError(
            f"diag wants a vector, but {value.label} has shape {sizes.text(value.shape)}: for the diagonal of a matrix "
            "use sg.diagonal"
        )
    return f.einsum("i,ij->ij", value, f.identity(value.shape[0]))


def kron(a: object, b: object) -> Expr:
    """The Kronecker product of matrices: blocks a[i, j] b; (m, n) and (p, q) give (m p, n q). Raises ShapeError.

    >>> kron(f.variable("A", (2, 3)), f.variable("B", (4, 5))).shape
    (8, 15)
    """
    left, right = _matrix(a, "kron", False), _matrix(b, "kron", False)
    (m, n), (p, q) = left.shape, right.shape
    return f.reshape(f.einsum("ij,kl->ikjl", left, right), (sizes.times((m, p)), sizes.times((n, q))))


def table() -> dict[str, Callable[..., Any]]:
    """The functions of this module that may stand in a formula given as text, by name."""
    return {function.__name__: function for function in (flatten, trace, diagonal, diag, kron)}
