"""Linear algebra of kernels, over flat arrays: elimination, substitution, the Cholesky factor. Plain Python twice over.

Numba compiles these functions, and generated source that runs unjitted calls them as they are. Matrices lie row by row
from `start` on; LAPACK would need SciPy. Golub and Van Loan 2013, algorithms 3.4.1 and 4.2.1.
"""

from __future__ import annotations

import math
from typing import Any

Array = Any  # a flat array, or an address in a kernel


def eliminate(a: Array, a_start: int, n: int, b: Array, b_start: int, columns: int) -> float:
    """Gauss elimination with partial pivoting of A [n, n] in place, the same steps on B [n, columns].

    Gives the sign that the row exchanges make; a singular matrix leaves a zero on the diagonal.
    """
    sign = 1.0
    for k in range(n):
        best, largest = k, abs(a[a_start + k * n + k])
        for i in range(k + 1, n):
            size = abs(a[a_start + i * n + k])
            if size > largest:
                best, largest = i, size
        if best != k:
            sign = -sign
            for j in range(n):
                here, there = a[a_start + k * n + j], a[a_start + best * n + j]
                a[a_start + k * n + j] = there
                a[a_start + best * n + j] = here
            for j in range(columns):
                here, there = b[b_start + k * columns + j], b[b_start + best * columns + j]
                b[b_start + k * columns + j] = there
                b[b_start + best * columns + j] = here
        pivot = a[a_start + k * n + k]
        if pivot != 0:
            for i in range(k + 1, n):
                factor = a[a_start + i * n + k] / pivot
                for j in range(k, n):
                    a[a_start + i * n + j] -= factor * a[a_start + k * n + j]
                for j in range(columns):
                    b[b_start + i * columns + j] -= factor * b[b_start + k * columns + j]
    return sign


def substitute(a: Array, a_start: int, n: int, b: Array, b_start: int, columns: int) -> int:
    """B becomes A⁻¹ B for the upper triangular A of an elimination; not finite where A is singular."""
    for step in range(n):
        i = n - 1 - step
        for k in range(i + 1, n):
            factor = a[a_start + i * n + k]
            for j in range(columns):
                b[b_start + i * columns + j] -= factor * b[b_start + k * columns + j]
        pivot = a[a_start + i * n + i]
        for j in range(columns):
            b[b_start + i * columns + j] = b[b_start + i * columns + j] / pivot
    return 0


def diagonal_product(a: Array, a_start: int, n: int) -> float:
    """The product of the diagonal."""
    total = 1.0
    for i in range(n):
        total *= a[a_start + i * n + i]
    return total


def diagonal_logs(a: Array, a_start: int, n: int) -> float:
    """The sum of log |a| along the diagonal."""
    total = 0.0
    for i in range(n):
        size = abs(a[a_start + i * n + i])
        total += math.log(size) if size > 0 else (-math.inf if size == 0 else size)
    return total


def lower_factor(a: Array, a_start: int, n: int) -> int:
    """The Cholesky factor of the symmetric A in its place, zeros above it; NaN where A is not positive definite."""
    for i in range(n):
        for j in range(i + 1):
            rest = a[a_start + i * n + j]
            for k in range(j):
                rest -= a[a_start + i * n + k] * a[a_start + j * n + k]
            if i == j:
                a[a_start + i * n + i] = math.sqrt(rest) if rest > 0 else math.nan
            else:
                a[a_start + i * n + j] = rest / a[a_start + j * n + j]
        for j in range(i + 1, n):
            a[a_start + i * n + j] = 0.0
    return 0


FUNCTIONS = {f.__name__: f for f in (eliminate, substitute, diagonal_product, diagonal_logs, lower_factor)}
