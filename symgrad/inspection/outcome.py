"""What a trained model does on test data: its values, its confusions, its worst mistakes, its first weights.

Takes a model with weights and arrays, gives arrays. Must not know pages or pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symgrad.data import Dataset
from symgrad.training.model import Model


@dataclass(frozen=True, eq=False)
class Outcome:
    """A run seen from its end: a record for each epoch, and the model's output on the rows of some data.

    `x` has shape (rows, features) and `truth` (rows, ...); `output` is the model's, flat in each row; `place` says
    which checkpoint it was.
    """

    place: str
    records: Sequence[Mapping[str, Any]]
    dataset: Dataset
    x: np.ndarray
    truth: np.ndarray
    values: Mapping[str, float]
    output: np.ndarray

    @property
    def classes(self) -> list[str]:
        """The names of the classes, numbers where they have none."""
        return list(self.dataset.classes or map(str, range(self.output.shape[1])))[: self.output.shape[1]]


def outcome(
    model: Model, place: str, records: Sequence[Mapping[str, Any]], dataset: Dataset, x: np.ndarray, y: np.ndarray
) -> Outcome:
    """Evaluate a model on rows of a data set. Raises BindingError when they do not fit."""
    values, output = model.steps.evaluate(model.bind(x, y), 1000)
    return Outcome(place, records, dataset, x, y, values, output)


def probabilities(model: Model, output: np.ndarray) -> np.ndarray | None:
    """A probability for each class, (rows, classes); None for a model that tells no classes apart.

    The one output of a yes-or-no model is that of the second class.
    """
    rows = output.reshape(len(output), -1)
    if model.classes == 2 and rows.shape[1] == 1:
        rows = np.concatenate([1 - rows, rows], axis=1)
    return rows if model.classes and rows.shape[1] == model.classes else None


def confusion(output: np.ndarray, truth: np.ndarray) -> np.ndarray | None:
    """Counts of truth against prediction, (classes, classes); None when the output does not tell classes apart."""
    if output.ndim != 2 or output.shape[1] < 2 or truth.dtype.kind not in "iu" or truth.ndim != 1:
        return None
    classes = output.shape[1]
    return np.bincount(truth * classes + output.argmax(axis=1), minlength=classes * classes).reshape(classes, classes)


def mistakes(output: np.ndarray, truth: np.ndarray, count: int) -> list[int]:
    """The rows taken for a wrong class with the largest margin over the true one, the worst first."""
    margin = output.max(axis=1) - output[np.arange(len(truth)), truth]
    order = np.argsort(-margin, kind="stable")[:count]
    return [int(row) for row in order if margin[row] > 0]


def first_weights(model: Model, features: int) -> tuple[str, np.ndarray] | None:
    """Name and weights, (features, units), of the first parameter that has a row, or a column, for each feature."""
    for name, weights in model.weights.items():
        if weights.ndim == 2 and features in weights.shape:
            return name, weights if weights.shape[0] == features else weights.T
    return None
