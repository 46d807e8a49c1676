"""Jacobians and Hessians in closed form: the reverse sweep with a free adjoint, then the deltas contracted away.

The gradient of Σ v f is linear in v, and its coefficients are the Jacobian: sums of products of tensors over indices
(Laue, Mitterreiter, Giesen 2018, section 3). So A + Aᵀ, diag(p) − p pᵀ and 2 δ[i,k] (VᵀV)[j,l] come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from symgrad.calculus.gradient import gradient
from symgrad.calculus.linear import coefficients
from symgrad.calculus.products import zeros
from symgrad.calculus.simplify import simplify
from symgrad.errors import GradientError
from symgrad.expression import functions as f
from symgrad.expression import sizes
from symgrad.expression.node import Expr, topological
from symgrad.expression.scalars import REAL

SEED = "free_adjoint"


def jacobian(value: Expr, wrt: Expr) -> Expr:
    """∂value/∂wrt, of shape value.shape + wrt.shape, in closed form and simplified.

    Raises GradientError as `gradient` does.

    >>> A, x = f.variable("A", ("m", "n")), f.parameter("x", ("n",))
    >>> jacobian(A @ x, x) is A
    True
    """
    if value.kind != REAL:
        raise GradientError(f"{value.label} is {value.kind}: it has no derivative")
    if not value.shape:
        return simplify(gradient(value, wrt))
    seed = f.variable(SEED, value.shape)
    pulled = gradient(f.sum(seed * value), wrt)
    depends = seed in topological([pulled])
    return simplify(coefficients(pulled, seed)) if depends else zeros((*value.shape, *wrt.shape))


@overload
def hessian(loss: Expr, wrt: Expr) -> Expr: ...
@overload
def hessian(loss: Expr, wrt: Sequence[Expr]) -> list[list[Expr]]: ...
def hessian(loss: Expr, wrt: Expr | Sequence[Expr]) -> Expr | list[list[Expr]]:
    """Second derivatives of a scalar: of shape wrt.shape + wrt.shape; for a list, the blocks, a list of rows.

    Raises GradientError as `gradient` does.

    >>> A, x = f.parameter("A", ("n", "n")), f.parameter("x", ("n",))
    >>> print(hessian(x @ A @ x, x))
    A + Aᵀ
    """
    if isinstance(wrt, Expr):
        return _block(simplify(gradient(loss, wrt)), wrt)
    return [[_block(g, w) for w in wrt] for g in simplify(gradient(loss, wrt))]


def _block(slope: Expr, wrt: Expr) -> Expr:
    """The Jacobian of a gradient; zero when the gradient does not depend on the node."""
    if wrt in topological([slope]):
        return jacobian(slope, wrt)
    return zeros((*slope.shape, *wrt.shape))


def hessian_vector_product(loss: Expr, wrt: Expr, vector: Expr) -> Expr:
    """Σ_j ∂²loss/∂wrt_i ∂wrt_j vector_j without the Hessian: the gradient of Σ vector · gradient (Pearlmutter 1994).

    `vector` has the shape of `wrt`. Raises GradientError, ShapeError.

    >>> A, x, v = f.parameter("A", ("n", "n")), f.parameter("x", ("n",)), f.variable("v", ("n",))
    >>> print(hessian_vector_product(x @ A @ x, x, v))
    (A + Aᵀ) v
    """
    _fits(vector, wrt)
    slope = gradient(loss, wrt)
    if wrt not in topological([slope]):
        return zeros(wrt.shape)
    return simplify(gradient(f.sum(slope * vector), wrt))


def jacobian_vector_product(value: Expr, wrt: Expr, vector: Expr) -> Expr:
    """Σ_j ∂value/∂wrt_j vector_j without the Jacobian: the transpose of the sweep's linear map.

    `vector` has the shape of `wrt`, the result that of `value`. Raises GradientError, ShapeError.

    >>> A, x, v = f.variable("A", ("m", "n")), f.parameter("x", ("n",)), f.variable("v", ("n",))
    >>> print(jacobian_vector_product(A @ x, x, v))
    A v
    """
    _fits(vector, wrt)
    seed = f.variable(SEED, value.shape)
    pulled = gradient(f.sum(seed * value), wrt)
    return simplify(gradient(f.sum(pulled * vector), seed))


def _fits(vector: Expr, wrt: Expr) -> None:
    if len(vector.shape) != len(wrt.shape) or not all(map(sizes.same, vector.shape, wrt.shape)):
        raise GradientError(
            f"the vector {vector.label} has shape {sizes.text(vector.shape)}, but {wrt.label} has "
            f"{sizes.text(wrt.shape)}: give it the same shape"
        )
