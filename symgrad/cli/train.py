"""The train command: what is asked, what is printed, in which order. The work is `Model.fit`'s."""

from __future__ import annotations

import math
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from symgrad import data
from symgrad.cli import draw, find
from symgrad.cli.formulas import gradient_lines
from symgrad.cli.inspect import show_json
from symgrad.cli.screen import Screen, numbers
from symgrad.codegen.host import host
from symgrad.errors import ConfigurationError, ModelError, OutputError
from symgrad.storage import atomic, checkpoint
from symgrad.training import fit as loop
from symgrad.training import saved
from symgrad.training.model import Model
from symgrad.training.settings import History

HELD_OUT = 5_000


@dataclass(frozen=True)
class Request:
    """The command line of train."""

    model: str
    parameters: list[str]
    epochs: int | None
    batch_size: str | None
    optimizer: str | None
    learning_rate: float | None
    weight_decay: float | None
    clip_value: float | None
    clip_norm: float | None
    schedule: str | None
    seed: int | None
    threads: int | None
    dtype: str | None
    precision: str | None
    validation: int | None
    early_stopping: int | None
    out: str | None
    resume: str | None
    data: str | None
    label: str | None
    limit: int | None
    json: bool


def _configure(request: Request, model: Model, rows: int) -> None:
    model.compile(
        request.optimizer,
        None,
        request.learning_rate,
        request.schedule,
        find.step_rows(request.batch_size, rows),
        request.dtype,
        request.threads,
        request.weight_decay,
        request.clip_value,
        request.clip_norm,
        request.precision,
    )
    if request.epochs is not None:
        model.training = replace(model.training, epochs=request.epochs)


def _resumed(request: Request) -> tuple[Model, loop.Progress, dict[str, Any], Path]:
    """The model and the place of a run that goes on. Raises ModelError when it is another model's."""
    path = find.find_checkpoint(request.resume)
    model, progress, about = saved.load_progress(path)
    about = find.checked_about(about, path)
    fixed = (
        "batch_size",
        "optimizer",
        "learning_rate",
        "weight_decay",
        "clip_value",
        "clip_norm",
        "schedule",
        "seed",
        "dtype",
        "precision",
        "validation",
        "data",
        "label",
        "limit",
        "out",
    )
    changed = [name for name in fixed if getattr(request, name) is not None]
    if changed:
        raise ConfigurationError(
            f"--{changed[0].replace('_', '-')} is fixed by the checkpoint {path}; leave it out to "
            f"resume, or start a new run"
        )
    asked = find.find_model(request.model, request.parameters)
    same = {n: p.shape for n, p in asked.parameters.items()} == {n: p.shape for n, p in model.parameters.items()}
    if asked.name != model.name or not same:
        arguments = "".join(f" -p {k}={v}" for k, v in model.arguments.items())
        raise ModelError(
            f"{path} is a checkpoint of another model: resume it as `symgrad train "
            f"{model.source or model.name}{arguments} "
            f"--resume {request.resume}`, or start a new run"
        )
    if model.training.dtype and request.threads:
        model.threads = request.threads
    elif about.get("threads"):
        model.threads = int(about["threads"])
    return model, progress, about, path.parent


def train_command(request: Request) -> None:
    """Derive, compile, train, test; prints each, or one JSON object."""
    console = Console(stderr=request.json, soft_wrap=True, markup=False)  # a file may be called [/b]
    if request.resume is not None:
        model, progress, about, out = _resumed(request)
        seed, epochs = progress.seed, request.epochs if request.epochs is not None else progress.epochs
    else:
        about = {"data": request.data, "label": request.label, "limit": request.limit, "validation": request.validation}
        progress, seed = None, request.seed or 0
    dataset = data.load(about.get("data"), about.get("label"))
    if request.resume is None:
        model = find.find_model(request.model, request.parameters, dataset.x_train.shape[1])
        out, epochs = Path(request.out) if request.out else find.new_run(model.name), 0
    if about.get("limit"):
        dataset = dataset.limit(int(about["limit"]))
    held = about.get("validation")
    held = min(HELD_OUT, len(dataset.x_train) // 12) if held is None else int(held)
    x, y, x_held, y_held = dataset.split(held)
    if request.resume is None:
        _configure(request, model, len(x))
        epochs = model.training.epochs
        _claim(out)
    _announce(console, model, dataset, len(x), held)
    about = {**about, "threads": model.steps.threads}
    screen = Screen(console)
    try:
        validation = (x_held, y_held) if held else None
        history = loop.fit(
            model, x, y, epochs, None, validation, seed, out, progress, request.early_stopping, screen, about
        )
    except (KeyboardInterrupt, SystemExit):
        with suppress(Exception):
            screen.stop()
        _tell_what_is_kept(model, out)
        raise
    finally:
        with suppress(Exception):
            screen.stop()
    _conclude(console, request, model, dataset, history)


def _tell_what_is_kept(model: Model, out: Path) -> None:
    """After an interruption: where the work is, and how to go on."""
    reached = checkpoint.newest(out).path
    if reached is not None:
        again = f"symgrad train {shlex.quote(model.source or model.name)}"
        arguments = "".join(f" -p {shlex.quote(f'{name}={value}')}" for name, value in model.arguments.items())
        print(f"kept {reached}; to go on: {again}{arguments} --resume {shlex.quote(str(out))}", file=sys.stderr)


def _claim(out: Path) -> None:
    """Have the folder for a new run before any work is done; a folder that holds a run is not written over."""
    if out.is_dir() and any(out.glob("*.safetensors")):
        raise OutputError(
            f"{out} holds checkpoints already, and nothing saved is overwritten: choose another "
            f"--out, or go on with --resume {out}"
        )
    atomic.make_folder(out)


def _announce(console: Console, model: Model, dataset: data.Dataset, rows: int, held: int) -> None:
    derived = model.gradients
    console.print(
        f"{model.name}: {model.parameter_count:,} parameters, {len(derived.gradients)} gradients "
        f"derived in {derived.seconds:.2f} s",
        highlight=False,
    )
    for line in gradient_lines(model, 2):
        console.print(line, highlight=False, markup=False)
    steps = model.steps
    how = "loaded from the cache" if steps.machine.cached else "compiled"
    tests = 0 if dataset.x_test is None else len(dataset.x_test)
    training = model.training
    stored = steps.dtype if training.precision is None else f"{steps.dtype}, products of {training.precision}"
    threads = f"{steps.threads} thread{'s' if steps.threads > 1 else ''}"
    console.print(f"kernel {how} in {steps.machine.compile_seconds:.2f} s ({stored}, {threads})", highlight=False)
    if training.precision == "bfloat16" and not host().has_bfloat16:
        console.print("this processor has no AVX512-BF16: bfloat16 is put together, slower than float32")
    console.print(
        f"{dataset.name}: {rows:,} rows for training, {held:,} for validation, {tests:,} for the test; "
        f"{training.optimizer.name}, learning rate {training.optimizer.learning_rate:g}, "
        f"batch size {training.batch_size}",
        highlight=False,
    )


def _conclude(console: Console, request: Request, model: Model, dataset: data.Dataset, history: History) -> None:
    test = None
    if dataset.x_test is not None and dataset.y_test is not None:
        test = model.evaluate(dataset.x_test, dataset.y_test)
    if history.stopped_early:
        console.print(
            f"stopped early: the validation loss did not improve for {request.early_stopping} epochs; "
            f"the best weights are kept",
            highlight=False,
        )
    if len(history.epochs) > 1:
        series = {name: history[name] for name in ("loss", "val_loss") if len(history[name]) == len(history.epochs)}
        console.print(draw.curves(series, min(60, max(20, console.width - 12))), highlight=False, markup=False)
    if test is not None:
        console.print(f"test {numbers(test)}", highlight=False)
    console.print(f"checkpoint {history.checkpoint}", highlight=False, markup=False)
    if request.json:
        derived = model.gradients
        show_json(
            {
                "model": model.name,
                "parameters": model.parameter_count,
                "derive_seconds": derived.seconds,
                "compile_seconds": model.steps.machine.compile_seconds,
                "cached": model.steps.machine.cached,
                "epochs": [
                    {k: v for k, v in r.items() if not isinstance(v, float) or math.isfinite(v)} for r in history.epochs
                ],
                "test": test,
                "checkpoint": str(history.checkpoint),
            }
        )
