"""Matrices: trace, diagonals, the Kronecker product; inverse, solve, determinants, the Cholesky factor.

Each takes expressions, numbers or arrays and gives an expression. Knows nothing of calculus, formulas or kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgrad.errors import ShapeError
from symgrad.expression import functions as f
from symgrad.expression import movement, ops, sizes
from symgrad.expression.node import Expr, as_expr, make


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


def symmetric(a: object) -> Expr:
    """(A + Aᵀ)/2: the symmetric part of a square matrix; of a parameter, the gradient is symmetric too.

    Raises ShapeError.

    >>> print(symmetric(f.variable("A", (3, 3))))
    (A + Aᵀ) / 2
    """
    value = _matrix(a, "symmetric", True)
    return (value + value.T) / 2


def _square(a: object, function: str) -> Expr:
    """Square matrices over the last two axes."""
    value = as_expr(a)
    if value.ndim < 2 or not sizes.same(value.shape[-1], value.shape[-2]):
        raise ShapeError(f"{function} wants a square matrix, but {value.label} has shape {sizes.text(value.shape)}")
    return value


def inverse(a: object) -> Expr:
    """The inverse of a square matrix, or of each in a batch (..., n, n). Raises ShapeError.

    >>> print(inverse(f.variable("A", (3, 3))))
    A⁻¹
    """
    return make(ops.Inverse(), _square(a, "inverse"))


def determinant(a: object) -> Expr:
    """The determinant of a square matrix, or of each in a batch. Raises ShapeError.

    >>> print(determinant(f.variable("A", (3, 3))))
    det(A)
    """
    return make(ops.Determinant(), _square(a, "determinant"))


def logdet(a: object) -> Expr:
    """log |det A| of a square matrix, or of each in a batch, without overflow. Raises ShapeError.

    >>> print(logdet(f.variable("A", (3, 3))))
    logdet(A)
    """
    return make(ops.LogDet(), _square(a, "logdet"))


def cholesky(a: object) -> Expr:
    """The lower triangular L with L Lᵀ = A for a symmetric, positive definite A, or for each in a batch.

    Only the symmetric part of A counts, so its gradient is symmetric. Raises ShapeError.

    >>> print(cholesky(f.variable("A", (3, 3))))
    cholesky(A)
    """
    return make(ops.Cholesky(), _square(a, "cholesky"))


def solve(a: object, b: object) -> Expr:
    """x with A x = b, for a vector or the columns of a matrix b, without the inverse of A. Raises ShapeError.

    >>> print(solve(f.variable("A", (3, 3)), f.variable("b", (3,))))
    A⁻¹ b
    """
    left, right = _square(a, "solve"), as_expr(b)
    vector = right.ndim == left.ndim - 1
    columns = f.reshape(right, (*right.shape, 1)) if vector else right
    if left.ndim == 2 < columns.ndim:  # one matrix for all of a batch
        left = movement.broadcast_to(left, (*columns.shape[:-2], *left.shape))
    elif columns.ndim == 2 < left.ndim and not vector:
        columns = movement.broadcast_to(columns, (*left.shape[:-2], *columns.shape))
    fits = columns.ndim == left.ndim and all(map(sizes.same, columns.shape[:-1], left.shape[:-1]))
    if not fits:
        raise ShapeError(ops.disagreement("solve", left, right, f"A x = b wants {left.shape[-1]} rows in b"))
    found = make(ops.Solve(), left, columns)
    return f.reshape(found, right.shape) if vector else found


def table() -> dict[str, Callable[..., Any]]:
    """The functions of this module that may stand in a formula given as text, by name."""
    return {function.__name__: function for function in LISTED}


LISTED = (flatten, trace, diagonal, diag, kron, symmetric, inverse, determinant, logdet, cholesky, solve)
