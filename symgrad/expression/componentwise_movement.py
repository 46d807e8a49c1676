"""SymPy forms, entry by entry, of what moves entries and of linear algebra; part of `componentwise`'s table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy  # type: ignore[import-untyped]

from symgrad.expression import ops
from symgrad.expression.node import Expr

Array = np.ndarray


def _places(op: ops.Windows | ops.Overlap, shape: Sequence[int]) -> Array:
    return op.stride * np.arange(shape[op.axis])[:, None] + op.dilation * np.arange(shape[op.axis + 1])


def _slice(node: Expr, args: Sequence[Array]) -> Array:
    op = node.op
    assert isinstance(op, ops.Slice)
    return np.asarray(np.take(args[0], op.start + op.step * np.arange(op.count), op.axis))


def _zeros(node: Expr) -> Array:
    result = np.empty(node.shape, dtype=object)
    result[...] = sympy.Integer(0)
    return result


def _pad(node: Expr, args: Sequence[Array]) -> Array:
    op, result = node.op, _zeros(node)
    assert isinstance(op, ops.Pad)
    places = op.start + op.step * np.arange(args[0].shape[op.axis])
    np.moveaxis(result, op.axis, 0)[places] = np.moveaxis(args[0], op.axis, 0)
    return result


def _windows(node: Expr, args: Sequence[Array]) -> Array:
    assert isinstance(node.op, ops.Windows)
    return np.take(args[0], _places(node.op, node.shape), node.op.axis)


def _overlap(node: Expr, args: Sequence[Array]) -> Array:
    op, result = node.op, _zeros(node)
    assert isinstance(op, ops.Overlap)
    moved = np.moveaxis(args[0], (op.axis, op.axis + 1), (0, 1))
    target = np.moveaxis(result, op.axis, 0)
    for (o, k), place in np.ndenumerate(_places(op, args[0].shape)):
        target[place] = target[place] + moved[o, k]
    return result


def _each_matrix(function: Callable[..., Any]) -> Callable[[Expr, Sequence[Array]], Array]:
    """A function of SymPy matrices for each matrix of a batch."""

    def value(node: Expr, args: Sequence[Array]) -> Array:
        result = np.empty(node.shape, dtype=object)
        for place in np.ndindex(*args[0].shape[:-2]):
            found = function(*(sympy.Matrix(a[place].tolist()) for a in args))
            result[place] = np.array(found.tolist(), dtype=object) if isinstance(found, sympy.MatrixBase) else found
        return result

    return value


def _factor(a: Any) -> Any:
    """Cholesky and Banachiewicz, row by row, without asking SymPy whether the matrix is positive definite."""
    n, symmetric = a.rows, (a + a.T) / 2
    factor = sympy.zeros(n, n)
    for i in range(n):
        for j in range(i + 1):
            rest = symmetric[i, j] - sum(factor[i, k] * factor[j, k] for k in range(j))
            factor[i, j] = sympy.sqrt(rest) if i == j else rest / factor[j, j]
    return factor


def _inverse(a: Any) -> Any:
    return a.adjugate() / a.det(method="berkowitz")


MEANING: dict[type[ops.Op], Callable[[Any, Sequence[Array]], Any]] = {
    ops.Range: lambda node, args: np.array([sympy.Integer(i) for i in range(node.shape[0])], dtype=object),
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.Concatenate: lambda node, args: np.concatenate(args, node.op.axis),
    ops.Windows: _windows,
    ops.Overlap: _overlap,
    ops.Inverse: _each_matrix(_inverse),
    ops.Solve: _each_matrix(lambda a, b: _inverse(a) * b),
    ops.Determinant: _each_matrix(lambda a: a.det(method="berkowitz")),
    ops.LogDet: _each_matrix(lambda a: sympy.log(sympy.Abs(a.det(method="berkowitz")))),
    ops.Cholesky: _each_matrix(_factor),
    ops.Mode: lambda node, args: args[1],
    ops.Assign: lambda node, args: args[0],
}
