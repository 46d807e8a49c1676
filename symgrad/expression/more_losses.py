"""More losses and penalties: for regression, margins, counts, distributions and directions, as ordinary expressions.

A loss takes what was predicted, then the target, both in one shape, and is a scalar: a mean over all entries, or over
the rows where it sums along the last axis. A penalty is a sum over a parameter, to be added to a loss. Knows nothing of
calculus, formulas or kernels; cross-entropies stand in `losses`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import functions as f
from symgrad.expression import normalization, sizes
from symgrad.expression.node import Expr, as_expr


def _pair(prediction: object, target: object, loss: str) -> tuple[Expr, Expr]:
    """Both as expressions of one shape."""
    p, y = as_expr(prediction), as_expr(target)
    if p.ndim != y.ndim or not all(map(sizes.same, p.shape, y.shape)):
        raise ShapeError(
            f"{loss}: {p.label} {sizes.text(p.shape)} and {y.label} {sizes.text(y.shape)} have different shapes; "
            "reshape one"
        )
    return p, y


def huber(prediction: object, target: object, delta: float = 1.0) -> Expr:
    """The mean of r² / 2 where |r| ≤ delta, else delta (|r| - delta / 2), r = prediction - target (Huber 1964).

    Its derivative is r, cut off at ±delta. Raises ShapeError; ExpressionError when delta is not above 0.

    >>> huber(f.variable("p", ("N",)), f.variable("t", ("N",))).shape
    ()
    """
    p, y = _pair(prediction, target, "huber")
    if not (isinstance(delta, int | float) and 0 < delta < math.inf):
        raise ExpressionError(f"huber: delta, where the square ends, is a number above 0, not {delta!r}")
    r = p - y
    far = f.absolute(r) - delta / 2
    return f.mean(f.where(f.absolute(r) <= delta, r**2 / 2, far if delta == 1 else delta * far))


def log_cosh(prediction: object, target: object) -> Expr:
    """The mean of log(cosh(r)), r = prediction - target (Green 1990); its derivative is tanh(r). Raises ShapeError.

    Written r + softplus(-2 r) - log(2), which is the same and does not overflow where cosh does.

    >>> print(log_cosh(f.variable("p", (3,)), f.variable("t", (3,))))
    Σᵢ (p − t + softplus(−2 (p − t)) − log(2)) / 3
    """
    p, y = _pair(prediction, target, "log_cosh")
    return f.mean(p - y + f.softplus(-2 * (p - y)) - f.log(2))


def hinge(score: object, target: object) -> Expr:
    """The mean of max(1 - target score, 0); targets are -1 or 1 (Cortes and Vapnik 1995). Raises ShapeError.

    At the margin, target score = 1, the derivative is 0.

    >>> print(hinge(f.variable("s", ("N",)), f.variable("t", ("N",))))
    Σₙ relu(1 − t ⊙ s) / N
    """
    s, y = _pair(score, target, "hinge")
    return f.mean(f.relu(1 - y * s))


def squared_hinge(score: object, target: object) -> Expr:
    """The mean of max(1 - target score, 0)²; targets are -1 or 1 (Rosasco et al. 2004). Raises ShapeError.

    >>> print(squared_hinge(f.variable("s", ("N",)), f.variable("t", ("N",))))
    Σₙ relu(1 − t ⊙ s)² / N
    """
    s, y = _pair(score, target, "squared_hinge")
    return f.mean(f.relu(1 - y * s) ** 2)


def kl_divergence(prediction: object, target: object, from_logits: bool = False) -> Expr:
    """Σ t (log t - log p) along the last axis, mean over the rows (Kullback and Leibler 1951): how far p is from t.

    `prediction` is a row of probabilities above 0, or with `from_logits` the argument of the softmax; `target` is a row
    of probabilities, where 0 log 0 counts as 0. Raises ShapeError.

    >>> kl_divergence(f.variable("p", ("N", 3)), f.variable("t", ("N", 3), normalized=True)).shape
    ()
    """
    p, y = _pair(prediction, target, "kl_divergence")
    logarithm = f.log_softmax(p) if from_logits else f.log(p)
    return f.mean(f.sum(y * (f.log(f.where(y > 0, y, 1)) - logarithm), axis=-1))


def poisson_nll(prediction: object, target: object, from_log: bool = True) -> Expr:
    """The mean of exp(s) - target s: minus the Poisson log-likelihood of counts, less the constant log(target!).

    `prediction` is s, the logarithm of the rate; with `from_log=False` the rate itself, above 0. Raises ShapeError.

    >>> print(poisson_nll(f.variable("s", ("N",)), f.variable("t", ("N",))))
    Σₙ (exp(s) − t ⊙ s) / N
    """
    s, y = _pair(prediction, target, "poisson_nll")
    return f.mean(f.exp(s) - y * s if from_log else s - y * f.log(s))


def gaussian_nll(prediction: object, target: object, variance: object) -> Expr:
    """The mean of (log(v) + r² / v) / 2, r = prediction - target: Nix and Weigend 1994, less the constant log(2π) / 2.

    The variance v is above 0 and broadcasts with the rest; exp(s) of a predicted s is simplified well. Raises
    ShapeError.

    >>> gaussian_nll(f.variable("m", ("N",)), f.variable("t", ("N",)), f.variable("v", ("N",))).shape
    ()
    """
    p, y = _pair(prediction, target, "gaussian_nll")
    v = as_expr(variance)
    return f.mean((f.log(v) + (p - y) ** 2 / v) / 2)


def cosine_distance(prediction: object, target: object, axis: int = -1) -> Expr:
    """The mean of 1 - cosine_similarity(prediction, target, axis): from 0 to 2. Raises ShapeError.

    >>> cosine_distance(f.variable("p", ("N", 3)), f.variable("t", ("N", 3))).shape
    ()
    """
    p, y = _pair(prediction, target, "cosine_distance")
    return f.mean(1 - normalization.cosine_similarity(p, y, axis))


def binary_focal_loss(logits: object, target: object, gamma: float = 2.0) -> Expr:
    """The mean of -(1 - q)^gamma log(q), q the probability of the right answer (Lin et al. 2017, equation 4).

    Targets are 0 or 1, `logits` z the argument of the sigmoid: q = σ(s) with s = (2 target - 1) z. (1 - q)^gamma is
    written exp(-gamma softplus(s)), which has all derivatives also where q is 1. Raises ShapeError, ExpressionError.

    >>> binary_focal_loss(f.variable("z", ("N",)), f.variable("t", ("N",))).shape
    ()
    """
    z, y = _pair(logits, target, "binary_focal_loss")
    if not (isinstance(gamma, int | float) and 0 <= gamma < math.inf):
        raise ExpressionError(f"binary_focal_loss: gamma is a number from 0 on, not {gamma!r}")
    s = (2 * y - 1) * z
    return f.mean(f.exp(-gamma * f.softplus(s)) * f.softplus(-s))


def l1(w: object) -> Expr:
    """Σ |w|, the penalty of the lasso (Tibshirani 1996); its derivative is sign(w), 0 at 0. A scalar.

    >>> print(l1(f.parameter("w", (3,))))
    Σᵢ |w|
    """
    return f.sum(f.absolute(w))


def l2(w: object) -> Expr:
    """Σ w², the penalty of ridge regression (Hoerl and Kennard 1970); its derivative is 2 w. A scalar.

    >>> print(l2(f.parameter("w", (3,))))
    Σᵢ w²
    """
    return f.sum(as_expr(w) ** 2)


def table() -> dict[str, Callable[..., Any]]:
    """The functions of this module that may stand in a formula given as text, by name."""
    margins = (huber, log_cosh, hinge, squared_hinge, binary_focal_loss)
    likelihoods = (kl_divergence, poisson_nll, gaussian_nll, cosine_distance, l1, l2)
    return {function.__name__: function for function in (*margins, *likelihoods)}
