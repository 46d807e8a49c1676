"""How each optimizer changes a weight: a table of rows, each a few lines of expressions, with its numbers and source.

`w` is the weight, `g` its gradient, `rate` the learning rate of the step, `t` the number of the step from 1 on, `s` the
state tensors before the step, all zero at the start. A row gives the new weight and the new state. Its numbers are
floats when a model is trained and symbols when the formula is printed: one function serves both.

Forms and defaults are PyTorch's; `keras` says where Keras differs. The rows that were here first (sgd to rmsprop, adam)
have the learning rates and the epsilon of 1e-7 that the models in this package are trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from symgrad.expression import functions as f
from symgrad.expression.node import Expr

State = Mapping[str, Expr]
Update = tuple[Expr, dict[str, Expr]]
Number = float | Expr


@dataclass(frozen=True)
class Row:
    """One optimizer: what it keeps beside each weight, its update, its numbers, where it was published.

    `numbers` are the states that are one number for a weight, whatever its shape. `decay` is the weight decay unless
    it is set; `decoupled` says that it shrinks the weight itself, and does not go through the gradient.
    """

    states: tuple[str, ...]
    update: Callable[..., Update]
    learning_rate: float
    source: str
    settings: Mapping[str, float] = field(default_factory=dict)
    keras: str = ""
    numbers: tuple[str, ...] = ()
    decay: float = 0.0
    decoupled: bool = False


def decayed(w: Expr, g: Expr, rate: Expr, decay: Number, decoupled: bool) -> tuple[Expr, Expr]:
    """Weight and gradient with weight decay: of the weight itself, or L2 through the gradient (the slope of λ w²/2)."""
    return ((1 - rate * decay) * w, g) if decoupled else (w, g + decay * w)


def _sgd(w: Expr, g: Expr, rate: Expr, t: Expr, s: State) -> Update:
    return w - rate * g, {}


def _momentum(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, mu: Number) -> Update:
    velocity = mu * s["v"] + g
    return w - rate * velocity, {"v": velocity}


def _nesterov(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, mu: Number) -> Update:
    velocity = mu * s["v"] + g
    return w - rate * (g + mu * velocity), {"v": velocity}


def _adagrad(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, epsilon: Number) -> Update:
    total = s["s"] + g**2
    return w - rate * g / (f.sqrt(total) + epsilon), {"s": total}


def _adadelta(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, rho: Number, epsilon: Number) -> Update:
    mean_square = rho * s["s"] + (1 - rho) * g**2
    change = (f.sqrt(s["d"] + epsilon) / f.sqrt(mean_square + epsilon) * g).named("Delta")
    return w - rate * change, {"s": mean_square, "d": rho * s["d"] + (1 - rho) * change**2}


def _rmsprop(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, rho: Number, epsilon: Number) -> Update:
    mean_square = rho * s["s"] + (1 - rho) * g**2
    return w - rate * g / (f.sqrt(mean_square) + epsilon), {"s": mean_square}


def _adam(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, beta1: Number, beta2: Number, epsilon: Number) -> Update:
    mean, mean_square = beta1 * s["m"] + (1 - beta1) * g, beta2 * s["v"] + (1 - beta2) * g**2
    first, second = mean / (1 - beta1**t), mean_square / (1 - beta2**t)
    return w - rate * first / (f.sqrt(second) + epsilon), {"m": mean, "v": mean_square}


def _adamax(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, beta1: Number, beta2: Number, epsilon: Number) -> Update:
    mean, largest = beta1 * s["m"] + (1 - beta1) * g, f.maximum(beta2 * s["u"], abs(g) + epsilon)
    return w - rate * (mean / (1 - beta1**t)) / largest, {"m": mean, "u": largest}


def _nadam(
    w: Expr, g: Expr, rate: Expr, t: Expr, s: State, beta1: Number, beta2: Number, epsilon: Number, psi: Number
) -> Update:
    # The momentum mu changes with the step, so 1 - beta1^t becomes 1 - mu_1 mu_2 ... mu_t. That product has no closed
    # form, but 1 minus it is the moving average of ones, by the recursion of m itself: c' = mu c + (1 - mu), c_0 = 0.
    momentum = (beta1 * (1 - 0.96 ** (psi * t) / 2)).named("mu")
    following = (beta1 * (1 - 0.96 ** (psi * (t + 1)) / 2)).named("nu")
    mean, mean_square = beta1 * s["m"] + (1 - beta1) * g, beta2 * s["v"] + (1 - beta2) * g**2
    ones = momentum * s["c"] + (1 - momentum)
    ahead = (following * mean / (1 - following * (1 - ones)) + (1 - momentum) * g / ones).named("n")
    step = ahead / (f.sqrt(mean_square / (1 - beta2**t)) + epsilon)
    return w - rate * step, {"m": mean, "v": mean_square, "c": ones}


def _amsgrad(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, beta1: Number, beta2: Number, epsilon: Number) -> Update:
    mean, mean_square = beta1 * s["m"] + (1 - beta1) * g, beta2 * s["v"] + (1 - beta2) * g**2
    largest = f.maximum(s["h"], mean_square)
    first, second = mean / (1 - beta1**t), largest / (1 - beta2**t)
    return w - rate * first / (f.sqrt(second) + epsilon), {"m": mean, "v": mean_square, "h": largest}


def _lion(w: Expr, g: Expr, rate: Expr, t: Expr, s: State, beta1: Number, beta2: Number) -> Update:
    direction = f.sign(beta1 * s["m"] + (1 - beta1) * g)
    return w - rate * direction, {"m": beta2 * s["m"] + (1 - beta2) * g}


BETAS = {"beta1": 0.9, "beta2": 0.999}
TABLE: dict[str, Row] = {
    "sgd": Row((), _sgd, 0.1, "Robbins and Monro 1951"),
    "momentum": Row(("v",), _momentum, 0.05, "Polyak 1964, in PyTorch's form", {"mu": 0.9}),
    "nesterov": Row(("v",), _nesterov, 0.05, "Nesterov 1983, in PyTorch's form", {"mu": 0.9}),
    "adagrad": Row(("s",), _adagrad, 0.01, "Duchi, Hazan and Singer 2011", {"epsilon": 1e-7},
                   "learning rate 0.001, s starts at 0.1"),
    "rmsprop": Row(("s",), _rmsprop, 0.001, "Tieleman and Hinton 2012, lecture 6.5", {"rho": 0.9, "epsilon": 1e-7}),
    "adam": Row(("m", "v"), _adam, 0.001, "Kingma and Ba 2015, algorithm 1", {**BETAS, "epsilon": 1e-7}),
    "adadelta": Row(
        ("s", "d"), _adadelta, 1.0, "Zeiler 2012, algorithm 1", {"rho": 0.9, "epsilon": 1e-6},
        "learning rate 0.001, rho 0.95, epsilon 1e-7",
    ),
    "adamax": Row(
        ("m", "u"), _adamax, 0.002, "Kingma and Ba 2015, section 7.1, algorithm 2", {**BETAS, "epsilon": 1e-8},
        "learning rate 0.001, epsilon 1e-7 added to u where it divides",
    ),
    "nadam": Row(
        ("m", "v", "c"), _nadam, 0.002, "Dozat 2016", {**BETAS, "epsilon": 1e-8, "psi": 0.004},
        "learning rate 0.001, epsilon 1e-7, psi 1", numbers=("c",),
    ),
    "amsgrad": Row(
        ("m", "v", "h"), _amsgrad, 0.001, "Reddi, Kale and Kumar 2018, algorithm 2, with Adam's corrections",
        {**BETAS, "epsilon": 1e-8}, "epsilon 1e-7, added before v is corrected",
    ),
    "adamw": Row(
        ("m", "v"), _adam, 0.001, "Loshchilov and Hutter 2019, algorithm 2", {**BETAS, "epsilon": 1e-8},
        "epsilon 1e-7, weight decay 0.004", decay=0.01, decoupled=True,
    ),
    "lion": Row(
        ("m",), _lion, 1e-4, "Chen et al. 2023, algorithm 2", {"beta1": 0.9, "beta2": 0.99},
        "learning rate 0.001", decoupled=True,
    ),
}  # fmt: skip
