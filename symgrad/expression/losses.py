"""Losses and metrics: functions that build ordinary expressions, means over the batch.

From logits or from probabilities, with integer labels or one-hot targets, they reach the same stable gradient: the
identities of `calculus` see to it, nothing is written down here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import functions as f
from symgrad.expression import sizes
from symgrad.expression.node import Expr, as_expr
from symgrad.expression.ops import Elementwise, Named, Softmax, Variable
from symgrad.expression.scalars import INTEGER


def _below_names(x: Expr) -> Expr:
    while isinstance(x.op, Named):
        x = x.args[0]
    return x


def _targets(predictions: Expr, target: object, loss: str) -> Expr:
    """Targets in the shape of the predictions: labels become one-hot rows."""
    y = as_expr(target)
    if y.kind == INTEGER and y.ndim == predictions.ndim - 1:
        classes = predictions.shape[-1]
        known = y.op.classes if isinstance(y.op, Variable) else 0
        if not isinstance(classes, int) or (known and known != classes):
            raise ShapeError(
                f"{loss}: labels {y.label} have {known} classes, but {predictions.label} has "
                f"{classes} columns; make them equal"
            )
        y = f.one_hot(y, classes)
    if y.ndim != predictions.ndim or not all(map(sizes.same, y.shape, predictions.shape)):
        raise ShapeError(
            f"{loss}: {predictions.label} {sizes.text(predictions.shape)} and targets {y.label} "
            f"{sizes.text(y.shape)} do not fit: "
            "give integer labels with one axis less (sg.labels), or one-hot targets of the same shape"
        )
    return y


def mean_squared_error(prediction: object, target: object) -> Expr:
    """mean((prediction - target)**2) over all entries. Raises ShapeError when the shapes differ."""
    p, y = as_expr(prediction), as_expr(target)
    if p.ndim != y.ndim or not all(map(sizes.same, p.shape, y.shape)):
        raise ShapeError(
            f"mean_squared_error: {p.label} {sizes.text(p.shape)} and {y.label} {sizes.text(y.shape)} "
            f"have different shapes; reshape one"
        )
    return f.mean((p - y) ** 2)


def _smoothed(y: Expr, label_smoothing: float, loss: str) -> Expr:
    """Targets mixed with the uniform distribution: (1 - s) y + s / K for K classes (Szegedy et al. 2016, section 7)."""
    if not (isinstance(label_smoothing, int | float) and 0 <= label_smoothing < 1):
        raise ExpressionError(f"{loss}: label_smoothing is a share from 0 to below 1, not {label_smoothing!r}")
    return y if label_smoothing == 0 else (1 - label_smoothing) * y + label_smoothing / f.size(y.shape[-1])


def _mean_surprise(logarithm: Expr, y: Expr, label_smoothing: float, class_weights: object, loss: str) -> Expr:
    """-Σ y log p along the last axis, mean over the batch: plain, or with weights of classes a weighted mean."""
    smooth = _smoothed(y, label_smoothing, loss)
    if class_weights is None:
        return f.mean(-f.sum(smooth * logarithm, axis=-1))
    w = as_expr(class_weights)
    if w.ndim != 1 or not sizes.same(w.shape[0], y.shape[-1]):
        raise ShapeError(
            f"{loss}: class_weights {w.label} {sizes.text(w.shape)} do not fit {y.shape[-1]} classes: give a vector "
            "with one weight for each"
        )
    return -f.sum(w * smooth * logarithm) / f.sum(w * y)


def softmax_cross_entropy(
    logits: object, target: object, label_smoothing: float = 0.0, class_weights: object = None
) -> Expr:
    """Cross-entropy of softmax(logits), mean over the batch; a softmax passed as logits is an error.

    `label_smoothing` s replaces the targets y by (1 - s) y + s / K for K classes. `class_weights`, a vector of K
    numbers, makes the mean a weighted one: -Σ w y log p over rows and classes, divided by Σ w y, there with y as they
    are given. Raises ShapeError, ExpressionError.

    >>> z, y = f.variable("z", ("N", 10)), f.labels("y", ("N",), classes=10)
    >>> softmax_cross_entropy(z, y).shape
    ()
    """
    z = as_expr(logits)
    if isinstance(_below_names(z).op, Softmax):
        raise ExpressionError(
            f"{z.label} is a softmax already: pass the logits, or use sg.cross_entropy for probabilities"
        )
    y = _targets(z, target, "softmax_cross_entropy")
    return _mean_surprise(f.log_softmax(z), y, label_smoothing, class_weights, "softmax_cross_entropy")


def cross_entropy(
    probabilities: object, target: object, label_smoothing: float = 0.0, class_weights: object = None
) -> Expr:
    """-sum(target * log(probabilities)) along the last axis, mean over the batch.

    `label_smoothing` and `class_weights` as in softmax_cross_entropy. Raises ShapeError, ExpressionError.

    >>> p, y = f.variable("p", ("N", 3)), f.labels("y", ("N",), classes=3)
    >>> cross_entropy(p, y, class_weights=[1.0, 2.0, 4.0]).shape
    ()
    """
    p = as_expr(probabilities)
    y = _targets(p, target, "cross_entropy")
    return _mean_surprise(f.log(p), y, label_smoothing, class_weights, "cross_entropy")


def binary_cross_entropy(prediction: object, target: object, from_logits: bool = False) -> Expr:
    """Cross-entropy of yes or no, mean over all entries; targets are 0 or 1 in the prediction's shape.

    `prediction` is a probability, or with `from_logits` the argument of the sigmoid.
    """
    p, y = as_expr(prediction), as_expr(target)
    if p.ndim != y.ndim or not all(map(sizes.same, p.shape, y.shape)):
        raise ShapeError(
            f"binary_cross_entropy: {p.label} {sizes.text(p.shape)} and {y.label} "
            f"{sizes.text(y.shape)} have different shapes; reshape one"
        )
    inner = _below_names(p)
    if from_logits and isinstance(inner.op, Elementwise) and inner.op.function == "sigmoid":
        raise ExpressionError(f"{p.label} is a sigmoid already: pass its argument, or leave out from_logits")
    if from_logits:
        return f.mean(f.softplus(p) - y * p)
    return f.mean(-(y * f.log(p) + (1 - y) * f.log(1 - p)))


def accuracy(output: Expr, target: Expr) -> Expr:
    """The share of right answers: the largest column against the label, or above one half for yes-or-no targets."""
    if output.ndim == target.ndim and (output.ndim < 2 or output.shape[-1] == 1):
        right = f.equal(f.cast(f.cast(output > 0.5, INTEGER), "real"), f.cast(target, "real"))
    else:
        truth = target if target.kind == INTEGER and target.ndim == output.ndim - 1 else f.argmax(target)
        right = f.equal(f.argmax(output), truth)
    return f.mean(f.cast(right, "real"))


def mean_absolute_error(output: Expr, target: Expr) -> Expr:
    """mean(|output - target|) over all entries."""
    return f.mean(f.absolute(output - target))


def table() -> dict[str, Callable[..., Any]]:
    """The losses that may stand in a formula given as text, by name."""
    squares = (mean_squared_error, mean_absolute_error)
    return {loss.__name__: loss for loss in (*squares, softmax_cross_entropy, cross_entropy, binary_cross_entropy)}


METRICS = {"accuracy": accuracy, "mean_absolute_error": mean_absolute_error, "mean_squared_error": mean_squared_error}
