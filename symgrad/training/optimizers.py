"""Optimizers as expressions of the same language: printed like any formula, compiled into the same kernel.

A row gives the state tensors, the update in a few lines, the defaults and the source. `w` is the weight, `g` its
gradient, `rate` the learning rate of the step, `t` the number of the step from 1 on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from symgrad.errors import ConfigurationError
from symgrad.expression import functions as f
from symgrad.expression.node import Expr

State = Mapping[str, Expr]
Update = tuple[Expr, dict[str, Expr]]


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

    def update(self, w: Expr, g: Expr, rate: Expr, t: Expr, state: State) -> Update:
        """The new weight and the new state, as expressions."""
        return TABLE[self.name].update(w, g, rate, t, state, **dict(self.settings))

    def with_rate(self, rate: float) -> Optimizer:
        """The same with another learning rate."""
        return make(self.name, rate, **dict(self.settings))


@dataclass(frozen=True)
class Row:
    """One optimizer of the table."""

    states: tuple[str, ...]
    update: Callable[..., Update]
    learning_rate: float
    source: str
    settings: Mapping[str, float] = field(default_factory=dict)


def _sgd(w: Expr, g: Expr, rate: Expr, t: Expr, s: State) -> Update:
    return w - rate * g, {}


def _momentum(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, mu: float) -> Update:
    velocity = mu * s["v"] + g
    return w - rate * velocity, {"v": velocity}


def _nesterov(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, mu: float) -> Update:
    velocity = mu * s["v"] + g
    return w - rate * (g + mu * velocity), {"v": velocity}


def _adagrad(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, epsilon: float) -> Update:
    total = s["s"] + g**2
    return w - rate * g / (f.sqrt(total) + epsilon), {"s": total}


def _rmsprop(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, rho: float, epsilon: float) -> Update:
    mean_square = rho * s["s"] + (1 - rho) * g**2
    return w - rate * g / (f.sqrt(mean_square) + epsilon), {"s": mean_square}


def _adam(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, beta1: float, beta2: float, epsilon: float) -> Update:
    mean, mean_square = beta1 * s["m"] + (1 - beta1) * g, beta2 * s["v"] + (1 - beta2) * g**2
    first, second = mean / (1 - beta1**t), mean_square / (1 - beta2**t)
    return w - rate * first / (f.sqrt(second) + epsilon), {"m": mean, "v": mean_square}


TABLE: dict[str, Row] = {
    "sgd": Row((), _sgd, 0.1, "Robbins and Monro 1951"),
    "momentum": Row(("v",), _momentum, 0.05, "Polyak 1964, in PyTorch's form", {"mu": 0.9}),
    "nesterov": Row(("v",), _nesterov, 0.05, "Nesterov 1983, in PyTorch's form", {"mu": 0.9}),
    "adagrad": Row(("s",), _adagrad, 0.01, "Duchi, Hazan and Singer 2011", {"epsilon": 1e-7}),
    "rmsprop": Row(("s",), _rmsprop, 0.001, "Tieleman and Hinton 2012, lecture 6.5", {"rho": 0.9, "epsilon": 1e-7}),
    "adam": Row(
        ("m", "v"), _adam, 0.001, "Kingma and Ba 2015, algorithm 1", {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7}
    ),
}


def make(name: str, learning_rate: float | None = None, **settings: float) -> Optimizer:
    """An optimizer by name. Raises ConfigurationError for an unknown name, setting or a rate that is not positive."""
    if name not in TABLE:
        raise ConfigurationError(f"there is no optimizer {name!r}; there are {', '.join(TABLE)}")
    row = TABLE[name]
    strange = [k for k in settings if k not in row.settings]
    if strange:
        raise ConfigurationError(f"{name} has no setting {strange[0]!r}; it has {', '.join(row.settings) or 'none'}")
    rate = row.learning_rate if learning_rate is None else learning_rate
    if not isinstance(rate, int | float) or not 0 < rate < float("inf"):
        raise ConfigurationError(f"the learning rate is a positive number, not {rate!r}")
    return Optimizer(name, float(rate), tuple({**row.settings, **settings}.items()))


def _maker(name: str) -> Callable[..., Optimizer]:
    def build(learning_rate: float | None = None, **settings: float) -> Optimizer:
        return make(name, learning_rate, **settings)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"{name} ({TABLE[name].source}); settings: {dict(TABLE[name].settings) or 'none'}."
    return build


sgd, momentum, nesterov, adagrad, rmsprop, adam = map(_maker, TABLE)


def as_optimizer(value: Any, learning_rate: float | None = None) -> Optimizer:
    """An optimizer from a name or from one made already."""
    if isinstance(value, Optimizer):
        return value if learning_rate is None else value.with_rate(learning_rate)
    if isinstance(value, str):
        return make(value, learning_rate)
    raise ConfigurationError(f"an optimizer is a name such as 'rmsprop' or sg.rmsprop(1e-3), not {value!r}")


__all__ = ["adagrad", "adam", "momentum", "nesterov", "rmsprop", "sgd"]
