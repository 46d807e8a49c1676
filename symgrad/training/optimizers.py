"""Optimizers as expressions of the same language: printed like any formula, compiled into the same kernel.

An optimizer here is a row of `update_rules.TABLE` with its numbers chosen: learning rate, settings, weight decay.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from symgrad.errors import ConfigurationError
from symgrad.expression import functions as f
from symgrad.expression.node import Expr, cut, topological
from symgrad.training.update_rules import TABLE, Row, State, Update, decayed

DECAY = "weight_decay"  # the setting that every optimizer has
AVERAGES = ("rho", "beta1", "beta2")  # settings that say how much of a moving average stays
SYMBOLS = {DECAY: "lambda_"}  # settings by the letter they have in formulas, where that is not their name


@dataclass(frozen=True)
class Optimizer:
    """A chosen optimizer: its row's name, the learning rate and its other numbers."""

    name: str
    learning_rate: float
    settings: tuple[tuple[str, float], ...] = ()

    @property
    def states(self) -> tuple[str, ...]:
        """The tensors it keeps beside each weight."""
        return TABLE[self.name].states

    @property
    def numbers(self) -> tuple[str, ...]:
        """Those of its states that are one number for each weight."""
        return TABLE[self.name].numbers

    def update(self, w: Expr, g: Expr, rate: Expr, t: Expr, state: State) -> Update:
        """The new weight and the new state, as expressions."""
        row, settings = TABLE[self.name], dict(self.settings)
        decay = settings.pop(DECAY, 0.0)
        if decay:
            w, g = decayed(w, g, rate, decay, row.decoupled)
        return row.update(w, g, rate, t, state, **settings)

    def changed(self, learning_rate: float | None = None, weight_decay: float | None = None) -> Optimizer:
        """The same with another learning rate or weight decay; None leaves what is there.

        >>> make("adamw").changed(learning_rate=0.01).settings[-1]
        ('weight_decay', 0.01)
        """
        settings = dict(self.settings) | ({} if weight_decay is None else {DECAY: weight_decay})
        return make(self.name, self.learning_rate if learning_rate is None else learning_rate, **settings)


def row_of(name: str) -> Row:
    """The row of an optimizer. Raises ConfigurationError for a name that there is not.

    >>> row_of("adm")
    Traceback (most recent call last):
    symgrad.errors.ConfigurationError: there is no optimizer 'adm'; did you mean adam? There are sgd, momentum,
    nesterov, adagrad, rmsprop, adam, adadelta, adamax, nadam, amsgrad, adamw, lion
    """
    if name in TABLE:
        return TABLE[name]
    close = difflib.get_close_matches(name, TABLE, 1)
    hint = f"did you mean {close[0]}? There are" if close else "there are"
    raise ConfigurationError(f"there is no optimizer {name!r}; {hint} {', '.join(TABLE)}")


def make(name: str, learning_rate: float | None = None, **settings: float) -> Optimizer:
    """An optimizer by name. Raises ConfigurationError for an unknown name or setting, and for a number out of place.

    >>> make("momentum", 0.1, weight_decay=1e-4).settings
    (('mu', 0.9), ('weight_decay', 0.0001))
    """
    row = row_of(name)
    known = {**row.settings, DECAY: row.decay}
    for setting, value in settings.items():
        if setting not in known:
            raise ConfigurationError(f"{name} has no setting {setting!r}; it has {', '.join(known)}")
        if not _is_number(value) or value < 0:
            raise ConfigurationError(f"{setting} of {name} is a number from 0 on, not {value!r}")
        if setting in AVERAGES and value >= 1:
            raise ConfigurationError(f"{setting} of {name} is a share of an average, below 1, not {value!r}")
    rate = row.learning_rate if learning_rate is None else learning_rate
    if not _is_number(rate) or rate <= 0:
        raise ConfigurationError(f"the learning rate is a positive number, not {rate!r}")
    return Optimizer(name, float(rate), tuple({**known, **settings}.items()))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _maker(name: str) -> Callable[..., Optimizer]:
    def build(learning_rate: float | None = None, **settings: float) -> Optimizer:
        return make(name, learning_rate, **settings)

    row = TABLE[name]
    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"{name} ({row.source}); settings: {dict(row.settings) | {DECAY: row.decay}}."
    return build


sgd, momentum, nesterov, adagrad, rmsprop, adam = map(_maker, list(TABLE)[:6])
adadelta, adamax, nadam, amsgrad, adamw, lion = map(_maker, list(TABLE)[6:])


def as_optimizer(value: Any, learning_rate: float | None = None, weight_decay: float | None = None) -> Optimizer:
    """An optimizer from a name or from one made already, with another learning rate and weight decay when given."""
    if isinstance(value, str):
        value = make(value)
    if isinstance(value, Optimizer):
        return value.changed(learning_rate, weight_decay)
    raise ConfigurationError(f"an optimizer is a name such as 'rmsprop' or sg.rmsprop(1e-3), not {value!r}")


def update_formulas(name: str) -> Mapping[str, Expr]:
    """The update of an optimizer over symbols, in the order of its assignments: each uses what those before it gave.

    `w` weight, `g` gradient, `eta` learning rate, `t` step, and the settings by name (weight decay `lambda_`, where it
    is decoupled). Raises ConfigurationError.

    >>> from symgrad.formulas import formula
    >>> print(formula(update_formulas("lion")))
    w = (1 − η λ) w − η sign(β₁ m + (1 − β₁) g)
    m = β₂ m + (1 − β₂) g
    """
    row = row_of(name)
    w, g, rate, t = f.variable("w", ("n",)), f.variable("g", ("n",)), f.variable("eta"), f.variable("t")
    state = {s: f.variable(s, () if s in row.numbers else ("n",)) for s in row.states}
    numbers = {s: f.variable(SYMBOLS.get(s, s)) for s in row.settings}
    before = decayed(w, g, rate, f.variable(SYMBOLS[DECAY]), True)[0] if row.decoupled else w
    weight, new = row.update(before, g, rate, t, state, **numbers)
    used = set(topological([weight]))
    first = {s: value for s, value in new.items() if value in used}
    last = {s: value for s, value in new.items() if value not in used}
    known = {value: state[s] for s, value in first.items()}
    names, values = [*first, "w", *last], [*first.values(), weight, *last.values()]
    swapped = [cut(v, {a: b for a, b in known.items() if a is not v}) for v in values]
    return dict(zip(names, swapped, strict=True))


__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "lion",
    "momentum",
    "nadam",
    "nesterov",
    "rmsprop",
    "sgd",
]
