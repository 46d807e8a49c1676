"""What a model is trained with, and what training gives back: settings, history, the choice of metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from symgrad.errors import ConfigurationError
from symgrad.expression import losses
from symgrad.expression.node import Expr
from symgrad.expression.precision import DTYPES, precision_of
from symgrad.training.optimizers import Optimizer, as_optimizer, rmsprop
from symgrad.training.schedules import Schedule, as_schedule

Metric = Callable[[Expr, Expr], Expr]


@dataclass(frozen=True)
class Training:
    """How a model is trained unless told otherwise. Raises ConfigurationError for values that make no sense.

    `clip_value` bounds every entry of every gradient, `clip_norm` the norm of all gradients together. `precision` is
    what factors of matrix products are rounded to ("bfloat16"), where that is not the dtype.

    >>> Training(clip_norm=1.0).changed(clip_value=0.5, learning_rate=0.01).clip_norm is None
    True
    """

    optimizer: Optimizer = field(default_factory=rmsprop)
    batch_size: int = 128
    epochs: int = 5
    schedule: Schedule = field(default_factory=Schedule)
    dtype: str = "float32"
    clip_value: float | None = None
    clip_norm: float | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        for name, low in (("batch_size", 1), ("epochs", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise ConfigurationError(f"{name} is a whole number from {low} on, not {value!r}")
        if self.dtype not in DTYPES:
            raise ConfigurationError(f"dtype is {' or '.join(DTYPES)}, not {self.dtype!r}")
        if precision_of(self.dtype, self.precision) == self.dtype:
            object.__setattr__(self, "precision", None)  # follows the dtype
        for name in ("clip_value", "clip_norm"):
            bound = getattr(self, name)
            number = isinstance(bound, int | float) and not isinstance(bound, bool)
            if bound is not None and not (number and 0 < bound < math.inf):
                raise ConfigurationError(f"{name} is a positive number, not {bound!r}")
        if self.clip_value is not None and self.clip_norm is not None:
            raise ConfigurationError("gradients are clipped by value or by norm, not both: leave one out")
        as_optimizer(self.optimizer)

    @property
    def factors(self) -> str:
        """What factors of matrix products are rounded to."""
        return self.precision or self.dtype

    def changed(
        self,
        optimizer: object = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        schedule: object = None,
        **others: object,
    ) -> Training:
        """The same with other values; None leaves what is there. One way of clipping replaces the other."""
        given: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
        clips = [name for name in ("clip_value", "clip_norm") if name in given]
        if len(clips) == 1:
            given[{"clip_value": "clip_norm", "clip_norm": "clip_value"}[clips[0]]] = None
        if schedule is not None:
            given["schedule"] = as_schedule(schedule)
        chosen = self.optimizer if optimizer is None else optimizer
        return replace(self, optimizer=as_optimizer(chosen, learning_rate, weight_decay), **given)


@dataclass
class History:
    """What fit did: one record for each epoch, as in the history file."""

    epochs: list[dict[str, Any]] = field(default_factory=list)
    stopped_early: bool = False
    checkpoint: Path | None = None

    def __getitem__(self, name: str) -> list[float]:
        """One column: history["val_loss"]."""
        return [record[name] for record in self.epochs if name in record]


def as_metric(value: object) -> Metric:
    """A metric from its name or from a function (output, target) -> expression. Raises ConfigurationError."""
    if callable(value):
        return value
    if value in losses.METRICS:
        return losses.METRICS[str(value)]
    raise ConfigurationError(
        f"there is no metric {value!r}; there are {', '.join(losses.METRICS)}, or a function (output, "
        f"target) -> expression"
    )
