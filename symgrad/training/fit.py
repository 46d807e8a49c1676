"""The loop over epochs: order of the data, running means, validation, checkpoints, early stopping, interruption.

Mini-batch, full-batch and single-sample descent are this one loop with another batch size. The order of the rows
comes from (seed, epoch) by a counter-based generator, so that a resumed run is bit-equal to an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.codegen.background import awaited
from symgrad.codegen.pool import interrupts_held
from symgrad.errors import ConfigurationError, DivergenceError, ModelError
from symgrad.storage import atomic
from symgrad.training.settings import History
from symgrad.training.trace import Given, Moment, cause

if TYPE_CHECKING:
    from symgrad.training.model import Model

LONG = 0.25  # seconds of machine code after which Ctrl-C would be felt to wait
Watcher = Callable[[str, Mapping[str, Any]], None]  # (event, facts): "epoch", "steps", "done"


def order_of(seed: int, epoch: int, rows: int) -> np.ndarray:
    """The order in which an epoch goes through the rows."""
    return np.random.Generator(np.random.Philox(key=[seed, (1 << 32) + epoch])).permutation(rows)


def noise_key(seed: int, epoch: int) -> int:
    """What the noise of an epoch is drawn from."""
    return int(np.random.Generator(np.random.Philox(key=[seed, (1 << 33) + epoch])).integers(1 << 48))


@dataclass
class Progress:
    """Where a run stands; what a checkpoint keeps besides the weights so that going on is bit-equal."""

    seed: int
    epochs: int
    rows: int
    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the epoch under way
    sums: dict[str, float] = field(default_factory=dict)  # of loss and metrics over those steps, by rows
    records: list[dict[str, Any]] = field(default_factory=list)
    best: float = math.inf
    waited: int = 0
    best_weights: dict[str, np.ndarray] | None = None  # those of the best epoch, when training may stop early

    def means(self, seen: int) -> dict[str, float]:
        """Running means over the epoch so far."""
        return {name: total / max(1, seen) for name, total in self.sums.items()}


class Run:
    """One call of fit."""

    def __init__(
        self,
        model: Model,
        arrays: dict[str, np.ndarray],
        validation: dict[str, np.ndarray] | None,
        progress: Progress,
        out: Path | None,
        patience: int | None,
        watch: Watcher,
        about: Mapping[str, Any],
    ) -> None:
        self.model, self.arrays, self.validation, self.progress = model, arrays, validation, progress
        self.out, self.patience, self.watch, self.about = out, patience, watch, about
        self.batch_size = min(model.training.batch_size, progress.rows)
        self.per_epoch = -(-progress.rows // self.batch_size)
        self.last_good: Path | None = None
        self.saved_at: tuple[int, int] | None = None
        self._started: Moment | None = None  # of this epoch
        self._given: Given | None = None
        self._bad: int | None = None  # the step at which a number was none; from then on nothing is saved
        self._spent = math.inf  # seconds that the last steps took; before there are any, they may take long
        self._kept_tables: dict[str, Any] | None = None

    def train(self) -> History:
        """All epochs from where `progress` stands."""
        history = History(list(self.progress.records))
        if self.out is not None:
            atomic.remove_leftovers(self.out)
        try:
            while self.progress.epoch < self.progress.epochs and not history.stopped_early:
                history.stopped_early = self.epoch()
                history.epochs = list(self.progress.records)
        except (KeyboardInterrupt, SystemExit):
            self.save()
            raise
        if self.last_good is None:
            self.save()
        history.checkpoint = self.last_good
        if history.stopped_early and self.progress.best_weights is not None:
            for name, best in self.progress.best_weights.items():
                self.model.weights[name][...] = best
            history.checkpoint = self._best_checkpoint() or self.last_good
        return history

    def _best_checkpoint(self) -> Path | None:
        """The checkpoint of the epoch whose weights are kept; None when it has been taken away."""
        from symgrad.storage.checkpoint import checkpoint_name

        if self.out is None:
            return None
        path = self.out / checkpoint_name(len(self.progress.records) - self.progress.waited)
        return path if path.exists() else None

    def epoch(self) -> bool:
        """One epoch; whether training should stop early."""
        progress, steps = self.progress, self.model.steps
        order = order_of(progress.seed, progress.epoch, progress.rows)
        steps.noise_key = noise_key(progress.seed, progress.epoch)
        rates = self.model.training.schedule.rates(
            self.model.training.optimizer.learning_rate, progress.epoch, self.per_epoch, progress.epochs
        )
        counts = progress.epoch * self.per_epoch + 1 + np.arange(self.per_epoch)
        kept = steps.kept(progress.rows, self.per_epoch)
        progress.sums = progress.sums or dict.fromkeys(steps.scalars, 0.0)
        started = time.perf_counter()
        self.watch(
            "epoch",
            {"epoch": progress.epoch + 1, "epochs": progress.epochs, "steps": self.per_epoch, "step": progress.step},
        )
        dtype = self.model.training.dtype
        tables = self._tables()
        rates, counts = rates.astype(dtype), counts.astype(dtype)
        self._started = Moment.of(self.model, progress.step)
        self._given = Given(self.arrays, tables, order, self.batch_size, rates, counts, kept)
        slices = steps.sliced(tables, order, self.batch_size, progress.step, True, rates, counts, kept)
        while self._advance(slices, kept):
            seen = min(progress.step * self.batch_size, progress.rows)
            self.watch("steps", {"step": progress.step, **progress.means(seen)})
        seconds = time.perf_counter() - started
        return self._finish(seconds)

    def _advance(self, slices: Iterator[tuple[int, int]], kept: Mapping[str, np.ndarray]) -> bool:
        """Run the next steps and count them, whatever signal comes: weights and progress belong together.

        Steps that take long are left behind when a signal comes, and the weights before them are kept.
        """
        with interrupts_held() as interrupts:
            before, started = self._before_long_steps(), time.perf_counter()
            if before is None:
                bounds = next(slices, None)
            else:
                try:
                    bounds = awaited(lambda: next(slices, None), interrupts)
                except (KeyboardInterrupt, SystemExit):
                    before.replace(self.model)
                    raise
            self._spent = time.perf_counter() - started
            if bounds is not None:
                self._count(kept, *bounds)
        if self._bad is not None:
            raise self._diverged(f"the loss is {kept['loss'][self._bad]}", self._bad)
        return bounds is not None

    def _before_long_steps(self) -> Moment | None:
        """Copies of what the next steps overwrite, when they may take long; None when they are known to be short."""
        if self._spent < LONG:
            return None
        assert self._started is not None
        first = self.progress.step == self._started.step
        return self._started if first else Moment.of(self.model, self.progress.step)

    def _tables(self) -> dict[str, Any]:
        if self._kept_tables is None:
            self._kept_tables = self.model.steps.tables(self.arrays)
        return self._kept_tables

    def _count(self, kept: Mapping[str, np.ndarray], first: int, last: int) -> None:
        """Add steps to the running means; nothing is counted where the loss is no number."""
        progress = self.progress
        rows = np.minimum(self.batch_size, progress.rows - np.arange(first, last) * self.batch_size)
        bad = np.flatnonzero(~np.isfinite(kept["loss"][first:last]))
        if bad.size:
            self._bad = first + int(bad[0])
            return
        for name, total in progress.sums.items():  # one by one, so that slices of any length give the same bits
            terms = np.concatenate([[total], kept[name][first:last] * rows])
            progress.sums[name] = float(np.add.accumulate(terms)[-1])
        progress.step = last

    def _diverged(self, what: str, step: int) -> DivergenceError:
        kept_at = f"the last good checkpoint is {self.last_good}" if self.last_good else "there is no checkpoint yet"
        assert self._started is not None and self._given is not None
        found = cause(self.model, self._started, step, self._given)
        if not found:
            rate = self.model.training.optimizer.learning_rate
            found = f"try a smaller learning rate (it is {rate:g}), and look for NaN in the data"
        return DivergenceError(
            f"{what} in epoch {self.progress.epoch + 1}, step {step + 1} of {self.per_epoch}; {found}. "
            f"Training stopped, {kept_at}"
        )

    def _finish(self, seconds: float) -> bool:
        progress = self.progress
        for name, weight in {**self.model.weights, **self.model.state}.items():
            if not np.isfinite(weight).all():  # the last step's update: its loss was still a number
                self._bad = self.per_epoch - 1
                raise self._diverged(f"{name} is no longer finite", self._bad)
        record: dict[str, Any] = {"epoch": progress.epoch + 1, "seconds": seconds, **progress.means(progress.rows)}
        if self.validation is not None:
            values, _ = self.model.steps.evaluate(self.validation, 1000)
            record |= {f"val_{name}": value for name, value in values.items()}
        with interrupts_held():
            progress.epoch, progress.step, progress.sums = progress.epoch + 1, 0, {}
            progress.records.append(record)
            stop = self._patient(record)
            self.save(record)
        self.watch("done", record)
        return stop

    def _patient(self, record: Mapping[str, Any]) -> bool:
        """Early stopping: whether the validation loss has not improved for `patience` epochs."""
        if self.patience is None:
            return False
        progress = self.progress
        if record["val_loss"] < progress.best:
            progress.best, progress.waited = record["val_loss"], 0
            progress.best_weights = {n: w.copy() for n, w in self.model.weights.items()}
        else:
            progress.waited += 1
        return progress.waited >= self.patience

    def save(self, record: Mapping[str, Any] | None = None) -> None:
        """A checkpoint of this moment, and the record in the history."""
        if self.out is None or self._bad is not None or self.saved_at == (self.progress.epoch, self.progress.step):
            return
        from symgrad.training.saved import save_progress

        self.last_good = save_progress(self.model, self.progress, self.out, self.about)
        self.saved_at = (self.progress.epoch, self.progress.step)
        if record is not None:
            from symgrad.training.saved import keep_history

            keep_history(self.out, self.progress.records)


def fit(
    model: Model,
    x: Any,
    y: Any,
    epochs: int | None = None,
    batch_size: int | None = None,
    validation_data: tuple[Any, Any] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: Progress | None = None,
    early_stopping: int | None = None,
    watch: Watcher | None = None,
    about: Mapping[str, Any] | None = None,
) -> History:
    """Train a model on arrays; the history of what happened.

    `seed` decides starting weights and the order of the data; `out` is a folder for a checkpoint after each epoch;
    `resume` goes on from a progress that `saved.load_progress` gave; `early_stopping` is how many epochs without a
    better validation loss end the run, with the best weights. Raises BindingError, ConfigurationError, DivergenceError.
    """
    if batch_size is not None and batch_size != model.training.batch_size:
        from dataclasses import replace

        model.training = replace(model.training, batch_size=batch_size)
    epochs = model.training.epochs if epochs is None else epochs
    if not isinstance(epochs, int) or epochs < 0 or not isinstance(seed, int) or not 0 <= seed < 1 << 63:
        raise ConfigurationError(f"epochs and seed are whole numbers from 0 on, not {epochs!r} and {seed!r}")
    if early_stopping is not None and (validation_data is None or early_stopping < 1):
        raise ConfigurationError(
            "early stopping watches the validation loss: give validation data and a patience of at least 1 epoch"
        )
    arrays = model.bind(x, y)
    validation = model.bind(*validation_data) if validation_data is not None and len(validation_data[0]) else None
    rows = len(arrays[model.inputs[0].name])
    model.initialize(seed)
    progress = resume or Progress(seed, epochs, rows)
    if resume is not None and resume.rows != rows:
        raise ModelError(
            f"the checkpoint was trained on {resume.rows} rows, these data have {rows}: resume with "
            f"the same data and the same --validation"
        )
    progress.epochs = epochs
    folder = Path(out) if out is not None else None
    return Run(
        model, arrays, validation, progress, folder, early_stopping, watch or (lambda event, facts: None), about or {}
    ).train()
