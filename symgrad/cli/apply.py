"""The commands that use a trained model: evaluate and predict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from symgrad import data
from symgrad.cli import draw, find
from symgrad.cli.inspect import show_json
from symgrad.errors import BindingError, ConfigurationError, DataError
from symgrad.inspection.outcome import confusion, probabilities
from symgrad.training.model import load


def test_arrays(
    source: str | None, label: str | None, limit: int | None
) -> tuple[data.Dataset, np.ndarray, np.ndarray]:
    """The test part of a data set; all of it where it has none."""
    dataset = data.load(source, label)
    if limit is not None:
        dataset = dataset.limit(limit)
    if dataset.x_test is None or dataset.y_test is None:
        return dataset, dataset.x_train, dataset.y_train
    return dataset, dataset.x_test, dataset.y_test


def evaluate_command(
    checkpoint: str | None, source: str | None, label: str | None, limit: int | None, threads: int | None, as_json: bool
) -> None:
    """Loss, metrics and confusion matrix on the test data."""
    path = find.find_checkpoint(checkpoint)
    model = load(path)
    model.threads = threads
    dataset, x, y = test_arrays(source, label, limit)
    values, output = model.steps.evaluate(model.bind(x, y), 1000)
    found = probabilities(model, output)
    matrix = None if found is None else confusion(found, y)
    if as_json:
        show_json(
            {
                "model": model.name,
                "checkpoint": str(path),
                "rows": len(x),
                **values,
                "confusion": matrix.tolist() if matrix is not None else None,
            }
        )
        return
    print(f"{model.name} from {path}, {len(x):,} rows of {dataset.name}")
    print("  ".join(f"{name} {value:.4f}" for name, value in values.items()))
    if matrix is not None:
        names = dataset.classes or tuple(map(str, range(len(matrix))))
        print(draw.confusion(matrix, names[: len(matrix)]))


def predict_command(
    images: Sequence[str], checkpoint: str | None, indices: Sequence[int], source: str | None, as_json: bool
) -> None:
    """Probabilities for images and for rows of the test data."""
    if not images and not indices:
        raise ConfigurationError(
            "there is nothing to predict: give PNG or .npy files, or rows of the test data with --test-index 0"
        )
    path = find.find_checkpoint(checkpoint)
    model = load(path)
    rows: list[tuple[str, np.ndarray, Any]] = [(name, data.image(name), None) for name in images]
    if indices:
        _, x, y = test_arrays(source, None, None)
        for index in indices:
            if index >= len(x):
                raise DataError(f"--test-index {index}: the test data has {len(x)} rows, 0 to {len(x) - 1}")
            rows.append((f"test {index}", x[index], y[index] if model.targets else None))
    stacked = np.stack([image for _, image, _ in rows])
    wanted = model.inputs[0].shape[1:]
    if stacked.shape[1:] != wanted:
        raise BindingError(f"{model.name} takes inputs of shape {wanted}, the images have {stacked.shape[1:]}")
    output = model.predict(stacked)
    classes, results = probabilities(model, output), []
    for number, (name, image, truth) in enumerate(rows):
        if classes is not None:
            result, line = _class(classes[number], truth)
        else:
            result, line = _value(np.atleast_1d(output[number]), image, truth)
        known = {} if truth is None else {"truth": np.asarray(truth).tolist()}
        results.append({"image": name} | result | known)
        if not as_json:
            if is_picture(image):
                print(draw.digit(image))
            print(f"{name}: {line}")
    if as_json:
        show_json({"model": model.name, "checkpoint": str(path), "predictions": results})


def is_picture(row: np.ndarray) -> bool:
    """Whether a row of data is worth drawing: a square of 8 by 8 or more."""
    side = math.isqrt(row.size)
    return side >= 8 and side * side == row.size


def _class(chances: np.ndarray, truth: Any) -> tuple[dict[str, Any], str]:
    """The likeliest class and all probabilities."""
    best = int(chances.argmax())
    known = "" if truth is None else f" (truth {truth}{'' if truth == best else ', WRONG'})"
    listed = "  ".join(f"{k}: {p:.3f}" for k, p in enumerate(chances) if p >= 0.0005)
    return {"prediction": best, "probabilities": [float(p) for p in chances]}, f"{best}{known}   {listed}"


def _value(output: np.ndarray, image: np.ndarray, truth: Any) -> tuple[dict[str, Any], str]:
    """The output itself: one number, a few, or an image again."""
    values = [float(v) for v in output.reshape(-1)]
    known = "" if truth is None else f" (truth {np.asarray(truth).tolist()})"
    if is_picture(output) and output.size == image.size:
        text = "comes out as\n" + draw.digit(np.clip(output.reshape(-1) * 255, 0, 255).astype(np.uint8))
    else:
        text = "  ".join(f"{v:.4g}" for v in values[:16]) + (" …" if len(values) > 16 else "")
    return {"prediction": values[0] if len(values) == 1 else values}, text + known
