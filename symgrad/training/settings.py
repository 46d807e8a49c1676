"""What a model is trained with, and what training gives back: settings, history, the choice of metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from symgrad.errors import ConfigurationError
from symgrad.expression import losses
from symgrad.expression.node import Expr
from symgrad.training.optimizers import Optimizer, as_optimizer, rmsprop
from symgrad.training.schedules import Schedule

Metric = Callable[[Expr, Expr], Expr]


@dataclass(frozen=True)
class Training:
    """How a model is trained unless told otherwise. Raises ConfigurationError for values that make no sense."""

    optimizer: Optimizer = field(default_factory=rmsprop)
    batch_size: int = 128
    epochs: int = 5
    schedule: Schedule = field(default_factory=Schedule)
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, low in (("batch_size", 1), ("epochs", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise ConfigurationError(f"{name} is a whole number from {low} on, not {value!r}")
        if self.dtype not in ("float32", "float64"):
            raise ConfigurationError(f"dtype is float32 or float64, not {self.dtype!r}")
        as_optimizer(self.optimizer)


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
