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
from symgrad.training.schedules import Schedule, as_schedule, warmup
from symgrad.training.settings import Training

if TYPE_CHECKING:
    Document = dict[str, Any]

FORMAT = 1


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
    state = dataclasses.asdict(progress) | {"best": progress.best if math.isfinite(progress.best) else None}
    checkpoint.save(path, _tensors(model), _document(model) | {"progress": state, "about": dict(about)})
    return path


def keep_history(folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """The history file: a JSON line for each epoch, whole and in order whatever was there before."""
    atomic.write(folder / "history.jsonl", "".join(json.dumps(r, sort_keys=False) + "\n" for r in records).encode())


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
    metrics = _field(document, "metrics", list, path)
    if count < 1 or targets < 0 or len(roots) != count + targets + 2 + len(metrics):
        raise ModelError(f"{path}: the expression does not hold what the model names")
    output, loss, *values = roots[count + targets :]
    try:
        leaves(roots)
        training = _training(_field(document, "training", dict, path), path)
        model = Model(
            roots[:count],
            roots[count : count + targets],
            output,
            loss,
            [],
            training,
            str(document.get("name", "model"))[:200],
        )
    except (ExpressionError, ConfigurationError) as error:
        raise ModelError(f"{path}: {error}") from None
    model.metrics = dict(zip(map(str, metrics), values, strict=True))
    model.source, model.arguments = str(document.get("source", "")), dict(_field(document, "arguments", dict, path))
    set_tensors(model, tensors, path)
    return model


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
    strange = [n for n in tensors if n not in weights and not n.startswith("state.")]
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
        plain = as_schedule(record["schedule"])
        numbers = {str(k): float(v) for k, v in record["schedule_settings"].items()}
        schedule = Schedule(plain.name, tuple((dict(plain.settings) | numbers).items()))
        if record.get("warmup"):  # files written before there was a warm-up or clipping do not have these fields
            schedule = warmup(record["warmup"], schedule, record["warmup_unit"])
        return Training(
            optimizer, record["batch_size"], record["epochs"], schedule, str(record["dtype"]),
            record.get("clip_value"), record.get("clip_norm"),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, SymgradError) as error:
        raise ModelError(f"{path}: the training record is damaged: {error}") from None


def load_progress(path: Path) -> tuple[Model, Progress, Document]:
    """A model, where its run stood, and what the run was about. Raises ModelError, NotFoundError."""
    tensors, document = checkpoint.load(path)
    model = model_of(tensors, document, path)
    record = _field(document, "progress", dict, path)
    try:
        whole = {name: int(record[name]) for name in ("seed", "epochs", "rows", "epoch", "step", "waited")}
        sums = {str(k): float(v) for k, v in record["sums"].items()}
        records = [dict(r) for r in record["records"]]
        best = math.inf if record["best"] is None else float(record["best"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: the progress record is damaged: {error}") from None
    return model, Progress(**whole, sums=sums, records=records, best=best), dict(document.get("about", {}))
