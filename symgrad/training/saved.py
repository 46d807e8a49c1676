"""Models and runs on disk: one safetensors file with weights, optimizer state, the expression as data and the progress.

Loading runs no code and trusts nothing: every field is checked before it is used.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.errors import ConfigurationError, ExpressionError, ModelError, SymgradError
from symgrad.expression.node import leaves
from symgrad.expression.serialize import expression_from_json, expression_to_json
from symgrad.storage import atomic, checkpoint
from symgrad.training.fit import Progress
from symgrad.training.model import Model
from symgrad.training.optimizers import make
from symgrad.training.schedules import as_schedule, warmup
from symgrad.training.settings import Training

if TYPE_CHECKING:
    Document = dict[str, Any]

FORMAT = 1
LONGEST_TEXT = 1000


def _document(model: Model) -> Document:
    training = model.training
    roots = [*model.inputs, *model.targets, model.output, model.loss, *model.metrics.values()]
    return {
        "format": FORMAT,
        "name": model.name,
        "source": model.source,
        "arguments": dict(model.arguments),
        "expression": expression_to_json(roots),
        "inputs": len(model.inputs),
        "targets": len(model.targets),
        "metrics": list(model.metrics),
        "training": {
            "optimizer": training.optimizer.name,
            "learning_rate": training.optimizer.learning_rate,
            "settings": dict(training.optimizer.settings),
            "schedule": training.schedule.name,
            "schedule_settings": dict(training.schedule.settings),
            "warmup": training.schedule.warmup,
            "warmup_unit": training.schedule.unit,
            "batch_size": training.batch_size,
            "epochs": training.epochs,
            "dtype": training.dtype,
            "precision": training.precision,
            "clip_value": training.clip_value,
            "clip_norm": training.clip_norm,
        },
    }


def _tensors(model: Model) -> dict[str, np.ndarray]:
    return dict(model.weights) | {f"state.{name}": array for name, array in model.state.items()}


def save_model(model: Model, path: Path) -> Path:
    """Write a model; what stood at the path stays until the new file is complete."""
    checkpoint.save(path, _tensors(model), _document(model))
    return path


def save_progress(model: Model, progress: Progress, folder: Path, about: Mapping[str, Any]) -> Path:
    """Write a run's checkpoint into its folder; its path."""
    atomic.make_folder(folder)
    path = folder / checkpoint.checkpoint_name(progress.epoch + bool(progress.step), progress.step or None)
    state = {f.name: getattr(progress, f.name) for f in dataclasses.fields(progress) if f.name != "best_weights"}
    state |= {"best": progress.best if math.isfinite(progress.best) else None}
    state |= {"sums": _written(progress.sums), "records": [_written(record) for record in progress.records]}
    best = {f"best.{name}": array for name, array in (progress.best_weights or {}).items()}
    checkpoint.save(path, _tensors(model) | best, _document(model) | {"progress": state, "about": dict(about)})
    return path


def _written(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as JSON, which has no NaN and no infinity: a validation loss may be either, and training goes on."""
    return {n: str(v) if isinstance(v, float) and not math.isfinite(v) else v for n, v in numbers.items()}


def keep_history(folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """The history file: a JSON line for each epoch, whole and in order whatever was there before."""
    text = "".join(json.dumps(_written(record), allow_nan=False) + "\n" for record in records)
    atomic.write(folder / "history.jsonl", text.encode())


def _field(document: Mapping[str, Any], name: str, kind: type | tuple[type, ...], path: Path) -> Any:
    value = document.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ModelError(f"{path}: the field {name} is missing or of the wrong kind; this is not a symgrad model file")
    return value


def load_model(path: Path) -> Model:
    """The model in a file, with its weights. Raises ModelError, NotFoundError."""
    tensors, document = checkpoint.load(path)
    return model_of(tensors, document, path)


def model_of(tensors: Mapping[str, np.ndarray], document: Document, path: Path) -> Model:
    """A model out of a checkpoint's contents."""
    if document.get("format") != FORMAT:
        raise ModelError(
            f"{path}: it has format {document.get('format')!r}, this version of symgrad reads format {FORMAT}"
        )
    roots = expression_from_json(_field(document, "expression", dict, path), str(path))
    count, targets = _field(document, "inputs", int, path), _field(document, "targets", int, path)
    metrics = _metrics(_field(document, "metrics", list, path), path)
    if count < 1 or targets < 0 or len(roots) != count + targets + 2 + len(metrics):
        raise ModelError(f"{path}: the expression does not hold what the model names")
    output, loss, *values = roots[count + targets :]
    if any(value.shape for value in values):
        raise ModelError(f"{path}: a metric is a scalar")
    training = _training(_field(document, "training", dict, path), path)
    name = _printable(document.get("name", "model"), "name", path)
    try:
        leaves(roots)
        model = Model(roots[:count], roots[count : count + targets], output, loss, [], training, name)
    except (ExpressionError, ConfigurationError, ModelError) as error:
        raise ModelError(f"{path}: {error}") from None
    model.metrics = dict(zip(metrics, values, strict=True))
    model.source = _printable(document.get("source", ""), "source", path)
    model.arguments = _arguments(_field(document, "arguments", dict, path), path)
    set_tensors(model, tensors, path)
    return model


def _printable(value: Any, name: str, path: Path) -> str:
    """A text of a file that messages, formulas and generated source may quote: no control characters, no novel."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST_TEXT:
        raise ModelError(f"{path}: the field {name} is not a line of at most {LONGEST_TEXT} printable characters")
    return value


def _damaged(path: Path, record: str, error: Exception) -> ModelError:
    """What is wrong with a record, in a few lines whatever it holds."""
    return ModelError(f"{path}: the {record} record is damaged: {str(error)[:LONGEST_TEXT // 2]}")


def _metrics(names: Sequence[Any], path: Path) -> list[str]:
    """Names of metrics; they become names in generated source."""
    good = all(isinstance(n, str) and n.isidentifier() and n.isascii() and len(n) <= LONGEST_TEXT for n in names)
    if not good or len(set(names)) < len(names) or {"loss", "output"} & set(names):
        raise ModelError(f"{path}: metrics are identifiers, each once, and none is called loss or output")
    return list(names)


def _arguments(record: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What a model's function was called with: plain values by name."""
    for name, value in record.items():
        if not name.isidentifier() or not isinstance(value, int | float | str):
            raise ModelError(f"{path}: the arguments are numbers and texts by name")
        _printable(str(value), f"arguments.{name}", path)
    return dict(record)


def set_tensors(model: Model, tensors: Mapping[str, np.ndarray], path: Path) -> None:
    """Give a model the weights and state of a checkpoint. Raises ModelError when they are another model's."""
    weights, state = {}, {}
    for name, parameter in {**model.parameters, **model.states}.items():
        if name not in tensors or tensors[name].shape != parameter.shape:
            found = tensors[name].shape if name in tensors else "missing"
            raise ModelError(
                f"{path} is a checkpoint of another model: {name} is {found} there, {parameter.shape} here"
            )
        weights[name] = np.asarray(tensors[name], model.training.dtype, order="C")
    strange = [n for n in tensors if n not in weights and not n.startswith(("state.", "best."))]
    if strange:
        raise ModelError(f"{path} is a checkpoint of another model: it holds {strange[0]}, which this model has not")
    for name, array in tensors.items():
        if name.startswith("state."):
            state[name[6:]] = np.asarray(array, model.training.dtype, order="C")
    model.weights, model.state = weights, state


def _training(record: Mapping[str, Any], path: Path) -> Training:
    try:
        settings = {str(k): float(v) for k, v in record["settings"].items()}
        optimizer = make(str(record["optimizer"]), float(record["learning_rate"]), **settings)
        plain = as_schedule(str(record["schedule"]))
        numbers = dict(plain.settings) | {str(k): float(v) for k, v in record["schedule_settings"].items()}
        schedule = as_schedule(":".join([plain.name, *map(repr, numbers.values())]))  # which looks at every number
        if dict(schedule.settings) != numbers:
            raise ValueError(f"the schedule {plain.name} has other settings")
        if record.get("warmup"):  # files written before there was a warm-up, clipping or precision lack these fields
            schedule = warmup(record["warmup"], schedule, record["warmup_unit"])
        return Training(
            optimizer, record["batch_size"], record["epochs"], schedule, str(record["dtype"]),
            record.get("clip_value"), record.get("clip_norm"), record.get("precision"),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, SymgradError) as error:
        raise _damaged(path, "training", error) from None


def load_progress(path: Path) -> tuple[Model, Progress, Document]:
    """A model, where its run stood, and what the run was about. Raises ModelError, NotFoundError."""
    tensors, document = checkpoint.load(path)
    model = model_of(tensors, document, path)
    record = _field(document, "progress", dict, path)
    try:
        progress = _progress(record, model)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, "progress", error) from None
    best = {name: tensors[f"best.{name}"] for name in model.weights if f"best.{name}" in tensors}
    if best:
        if {n: a.shape for n, a in best.items()} != {n: w.shape for n, w in model.weights.items()}:
            raise ModelError(f"{path}: its best weights are another model's")
        progress.best_weights = {n: np.asarray(a, model.training.dtype, order="C") for n, a in best.items()}
    return model, progress, dict(_field(document, "about", dict, path))


def _progress(record: Mapping[str, Any], model: Model) -> Progress:
    """Where a run stood; a ValueError or its kin for a record that no run has written."""
    whole = {name: record[name] for name in ("seed", "epochs", "rows", "epoch", "step", "waited")}
    for name, value in whole.items():
        if type(value) is not int or not 0 <= value < 1 << (63 if name == "seed" else 40):
            raise ValueError(f"{name} is not a whole number from 0 on")
    sums = {str(k): float(v) for k, v in record["sums"].items()}
    if (whole["step"] or sums) and set(sums) != {"loss", *model.metrics}:
        raise ValueError("sums are of the loss and the metrics")
    records = [{str(k): v if type(v) is int else float(v) for k, v in r.items()} for r in record["records"]]
    if [r.get("epoch") for r in records] != list(range(1, whole["epoch"] + 1)) or not all("loss" in r for r in records):
        raise ValueError("there is not one record with a loss for each epoch")
    best = math.inf if record["best"] is None else float(record["best"])
    return Progress(**whole, sums=sums, records=records, best=best)
