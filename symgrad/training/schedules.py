"""Learning-rate schedules as expressions in the epoch and in the progress of training.

A schedule multiplies the optimizer's learning rate. `epoch` counts from 0, `progress` goes from 0 to 1 over the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from symgrad.errors import ConfigurationError
from symgrad.expression import functions as f
from symgrad.expression.node import Expr, leaves
from symgrad.interpreter import evaluate

Factor = Callable[..., Expr]
EPOCH, PROGRESS = f.variable("epoch", ("steps",)), f.variable("progress", ("steps",))


@dataclass(frozen=True)
class Row:
    """One schedule of the table: its factor and its settings."""

    factor: Factor
    settings: Mapping[str, float]


TABLE: dict[str, Row] = {
    "constant": Row(lambda epoch, progress: epoch * 0 + 1, {}),
    "step": Row(lambda epoch, progress, factor, every: factor ** f.floor(epoch / every), {"factor": 0.5, "every": 2}),
    "exponential": Row(lambda epoch, progress, factor: factor**epoch, {"factor": 0.8}),
    # Loshchilov and Hutter 2017, equation 5, one period
    "cosine": Row(lambda epoch, progress: (1 + f.cos(math.pi * progress)) / 2, {}),
}


@dataclass(frozen=True)
class Schedule:
    """A chosen schedule and its numbers."""

    name: str = "constant"
    settings: tuple[tuple[str, float], ...] = ()

    @property
    def expression(self) -> Expr:
        """The factor of the learning rate, over `epoch` and `progress`."""
        return TABLE[self.name].factor(EPOCH, PROGRESS, **dict(self.settings))

    def rates(self, base: float, epoch: int, steps: int, epochs: int) -> np.ndarray:
        """The learning rate of each step of an epoch, float64."""
        progress = (epoch + np.arange(steps) / max(1, steps)) / max(1, epochs)
        given = {"epoch": np.full(steps, float(epoch)), "progress": progress}
        return base * evaluate(self.expression, {name: given[name] for name in leaves([self.expression])})


def as_schedule(value: object) -> Schedule:
    """A schedule from its name, with numbers after colons (step:0.5:2), or one made already.

    Raises ConfigurationError.
    """
    if isinstance(value, Schedule):
        return value
    name, *numbers = str(value).split(":")
    if name not in TABLE:
        raise ConfigurationError(f"there is no schedule {name!r}; there are {', '.join(TABLE)}")
    defaults = TABLE[name].settings
    try:
        given = [float(n) for n in numbers]
    except ValueError:
        raise ConfigurationError(f"schedule {value!r}: what follows a colon is a number") from None
    if len(given) > len(defaults) or not all(0 < n < math.inf for n in given):
        raise ConfigurationError(
            f"schedule {name} takes {len(defaults)} positive numbers ({', '.join(defaults) or 'none'}), not {value!r}"
        )
    return Schedule(name, tuple({**defaults, **dict(zip(defaults, given, strict=False))}.items()))


def constant_rate() -> Schedule:
    """The learning rate stays."""
    return as_schedule("constant")


def step_decay(factor: float = 0.5, every: float = 2) -> Schedule:
    """The learning rate times `factor` after each `every` epochs."""
    return as_schedule(f"step:{factor}:{every}")


def exponential_decay(factor: float = 0.8) -> Schedule:
    """The learning rate times `factor` after each epoch."""
    return as_schedule(f"exponential:{factor}")


def cosine_decay() -> Schedule:
    """The learning rate falls to 0 along half a cosine."""
    return as_schedule("cosine")


__all__ = ["constant_rate", "cosine_decay", "exponential_decay", "step_decay"]
