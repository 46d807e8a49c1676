"""Stages of linear algebra: each matrix of a batch copied to where it is taken apart, then calls of `elimination`.

Each takes the builder of its stage; threads divide a batch axis, a single matrix is one thread's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from symgrad.codegen import scalar_text
from symgrad.codegen.loops import Let, Store
from symgrad.codegen.lower import Scope
from symgrad.codegen.names import position, size_text
from symgrad.expression import ops
from symgrad.expression.node import Expr, make
from symgrad.expression.scalars import REAL

if TYPE_CHECKING:
    from symgrad.codegen.stages import Builder


def _batch(builder: Builder, rank: int) -> tuple[tuple[str, ...], Scope]:
    """Loops over the axes before the matrix; without any, the stage is one thread's."""
    index, scope = builder.nest(range(rank), Scope(builder.body))
    return tuple(index[a] for a in range(rank)), scope


def _copied(builder: Builder, source: Expr, buffer: str, at: tuple[str, ...], scope: Scope, symmetric: bool) -> str:
    """Copies one matrix of the source into a buffer of its shape; where it begins there."""
    (i, j), inner = builder.inner(source.shape[-2:], scope)

    def entry(row: str, column: str) -> str:
        return scalar_text.convert(builder.lowering.value(source, (*at, row, column), inner), source.kind, REAL)

    value = f"real(0.5) * ({entry(i, j)} + {entry(j, i)})" if symmetric else entry(i, j)
    inner.body.append(Store(buffer, position(source.shape, (*at, i, j)), value))
    return position(source.shape, (*at, "0", "0")) if at else "0"


def _scratch(builder: Builder, node: Expr) -> str:
    """A buffer of the matrix's shape, for this node alone."""
    matrix = node.args[0]
    rest = tuple(range(matrix.ndim))
    owner = tuple(range(matrix.ndim, matrix.ndim + node.ndim))
    shaped = make(ops.Contraction((rest, owner), rest), matrix, node)  # stands for the buffer, is never computed
    return builder.lowering.buffer(make(ops.Named("factors"), shaped))


def _solved(builder: Builder, node: Expr, right: Callable[[str, str, tuple[str, ...], Scope], str]) -> None:
    matrix = node.args[0]
    at, scope = _batch(builder, node.ndim - 2)
    scratch, n, columns = _scratch(builder, node), size_text(node.shape[-2]), size_text(node.shape[-1])
    start = _copied(builder, matrix, scratch, at, scope, False)
    (i, j), inner = builder.inner(node.shape[-2:], scope)
    inner.body.append(builder.store(node, None, (*at, i, j), right(i, j, at, inner)))
    goal = position(node.shape, (*at, "0", "0")) if at else "0"
    arguments = f"{scratch}, {start}, {n}, {builder.lowering.buffer(node)}, {goal}, {columns}"
    sign, done = builder.lowering.names.fresh("sign"), builder.lowering.names.fresh("done")
    scope.body += [Let(sign, f"eliminate({arguments})"), Let(done, f"substitute({arguments})")]


def inverse(builder: Builder, node: Expr) -> None:
    _solved(builder, node, lambda i, j, at, scope: f"(real(1) if {i} == {j} else real(0))")


def solve(builder: Builder, node: Expr) -> None:
    right = node.args[1]

    def entry(i: str, j: str, at: tuple[str, ...], scope: Scope) -> str:
        return scalar_text.convert(builder.lowering.value(right, (*at, i, j), scope), right.kind, REAL)

    _solved(builder, node, entry)


def determinant(builder: Builder, node: Expr) -> None:
    matrix = node.args[0]
    at, scope = _batch(builder, node.ndim)
    scratch, n = _scratch(builder, node), size_text(matrix.shape[-1])
    start = _copied(builder, matrix, scratch, at, scope, False)
    sign = builder.lowering.names.fresh("sign")
    scope.body.append(Let(sign, f"eliminate({scratch}, {start}, {n}, {scratch}, 0, 0)"))
    value = f"{sign} * diagonal_product({scratch}, {start}, {n})"
    if isinstance(node.op, ops.LogDet):
        value = f"diagonal_logs({scratch}, {start}, {n})"
    scope.body.append(builder.store(node, None, at, f"real({value})" if at else value))


def cholesky(builder: Builder, node: Expr) -> None:
    at, scope = _batch(builder, node.ndim - 2)
    buffer, n = builder.lowering.buffer(node), size_text(node.shape[-1])
    start = _copied(builder, node.args[0], buffer, at, scope, True)
    scope.body.append(Let(builder.lowering.names.fresh("done"), f"lower_factor({buffer}, {start}, {n})"))


HEAVY: dict[type[ops.Op], Callable[[Builder, Expr], None]] = {
    ops.Inverse: inverse,
    ops.Solve: solve,
    ops.Determinant: determinant,
    ops.LogDet: determinant,
    ops.Cholesky: cholesky,
}
