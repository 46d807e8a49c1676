"""Learning-rate schedules as expressions in the epoch and in the progress of training.

A schedule multiplies the optimizer's learning rate. `epoch` counts from 0, `progress` goes from 0 to 1 over the run;
a warm-up needs the `step` of the run, from 0 on, too. A schedule behind a warm-up begins when that is over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from symgrad.errors import ConfigurationError
from symgrad.expression import functions as f
from symgrad.expression.node import Expr, leaves
from symgrad.interpreter import evaluate

Factor = Callable[..., Expr]
EPOCH, PROGRESS, STEP = (f.variable(name, ("steps",)) for name in ("epoch", "progress", "step"))
# the steps of the warm-up, of an epoch and of the whole run
WARMUP, PER_EPOCH, TOTAL = f.variable("warmup"), f.variable("per_epoch"), f.variable("total")
UNITS = ("epochs", "steps")


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
    """A chosen schedule and its numbers; `warmup` counts epochs or steps, as `unit` says."""

    name: str = "constant"
    settings: tuple[tuple[str, float], ...] = ()
    warmup: float = 0.0
    unit: str = "epochs"

    @property
    def expression(self) -> Expr:
        """The factor of the learning rate, over `epoch` and `progress`; with a warm-up, over `step` too."""
        factor, settings = TABLE[self.name].factor, dict(self.settings)
        if not self.warmup:
            return factor(EPOCH, PROGRESS, **settings)
        # Goyal et al. 2017, section 2.2: from 1/warmup in equal steps to 1
        ramp = f.minimum((STEP + 1) / WARMUP, 1)
        since = f.maximum(STEP - WARMUP, 0)
        after = factor(f.maximum(EPOCH - WARMUP / PER_EPOCH, 0), since / f.maximum(TOTAL - WARMUP, 1), **settings)
        return f.where(STEP < WARMUP, ramp, after)

    def rates(self, base: float, epoch: int, steps: int, epochs: int) -> np.ndarray:
        """The learning rate of each step of an epoch, float64."""
        step, steps, epochs = epoch * steps + np.arange(steps, dtype=float), max(1, steps), max(1, epochs)
        given: dict[str, np.ndarray | float] = {
            "epoch": np.full(len(step), float(epoch)),
            "progress": (epoch + np.arange(len(step)) / steps) / epochs,
            "step": step,
            "warmup": self.warmup * (steps if self.unit == "epochs" else 1),
            "per_epoch": float(steps),
            "total": float(steps * epochs),
        }
        return base * evaluate(self.expression, {name: given[name] for name in leaves([self.expression])})


def as_schedule(value: object) -> Schedule:
    """A schedule from its name, with numbers after colons (step:0.5:2), or one made already.

    A warm-up stands in front: warmup:2+cosine is 2 epochs of it, warmup:500steps+cosine 500 steps; warmup:2 alone
    keeps the rate afterwards. Raises ConfigurationError.

    >>> as_schedule("warmup:500steps+step:0.5:2")
    Schedule(name='step', settings=(('factor', 0.5), ('every', 2.0)), warmup=500.0, unit='steps')
    """
    if isinstance(value, Schedule):
        return value
    if str(value).startswith("warmup"):
        return _as_warmup(str(value))
    name, *numbers = str(value).split(":")
    if name not in TABLE:
        raise ConfigurationError(f"there is no schedule {name!r}; there are {', '.join(TABLE)}, and warmup:2+NAME")
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


def _as_warmup(text: str) -> Schedule:
    """warmup:LENGTH+SCHEDULE, where LENGTH is a number of epochs, or of steps when `steps` follows it."""
    first, _, rest = text.partition("+")
    found = re.fullmatch(r"warmup:([0-9.]+(?:e[0-9]+)?)(epochs?|steps?)?", first)
    try:
        length = float(found[1]) if found else 0.0
    except ValueError:
        length = 0.0
    if not found or not length or (not rest and "+" in text) or rest.startswith("warmup"):
        raise ConfigurationError(
            f"schedule {text!r}: write warmup:2+cosine for 2 epochs of warm-up, or warmup:500steps+cosine"
        )
    return warmup(length, rest or "constant", "steps" if (found[2] or "").startswith("step") else "epochs")


def warmup(length: float, then: object = "constant", unit: str = "epochs") -> Schedule:
    """The learning rate grows in equal steps to its full value over `length` epochs (or steps); then a schedule begins.

    Goyal et al. 2017, section 2.2. Raises ConfigurationError.

    >>> warmup(4, unit="steps").rates(0.1, epoch=0, steps=6, epochs=1).round(3).tolist()
    [0.025, 0.05, 0.075, 0.1, 0.1, 0.1]
    """
    if unit not in UNITS:
        raise ConfigurationError(f"a warm-up counts {' or '.join(UNITS)}, not {unit!r}")
    if not isinstance(length, int | float) or isinstance(length, bool) or not 0 < length < math.inf:
        raise ConfigurationError(f"the length of a warm-up is a positive number, not {length!r}")
    after = as_schedule(then)
    if after.warmup:
        raise ConfigurationError("a schedule has one warm-up: give a schedule without one to follow it")
    return replace(after, warmup=float(length), unit=unit)


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


__all__ = ["constant_rate", "cosine_decay", "exponential_decay", "step_decay", "warmup"]
