"""Derivations by hand over several losses: right ones in many forms, and faults to plant into them.

A fault is (what stands there, what to put in its place, a pattern that a right cause contains).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import symgrad as sg

Built = tuple[sg.Expr, dict[str, sg.Expr], dict[str, sg.Expr]]


def softmax_regression() -> Built:
    x, y = sg.variable("x", ("N", 784)), sg.labels("y", ("N",), classes=10)
    W, b = sg.parameter("W", (784, 10)), sg.parameter("b", (10,))
    z = (x @ W + b).named("z")
    return sg.softmax_cross_entropy(z, y), {"W": W, "b": b}, {"p": sg.softmax(z)}


def mnist_mlp() -> Built:
    from symgrad.models.mnist_mlp import model

    network = model()
    return network.loss, network.parameters, {"p": network.output}


def deep_tanh() -> Built:
    x, y = sg.variable("x", ("N", 20)), sg.labels("y", ("N",), classes=4)
    h, width, parameters = x, 20, {}
    for layer, units in enumerate((16, 12, 8), 1):
        W, b = sg.parameter(f"W{layer}", (width, units)), sg.parameter(f"b{layer}", (units,))
        h, width = sg.tanh((h @ W + b).named(f"net{layer}")).named(f"h{layer}"), units
        parameters |= {W.name: W, b.name: b}
    W, b = sg.parameter("W4", (8, 4)), sg.parameter("b4", (4,))
    z = (h @ W + b).named("z")
    return sg.softmax_cross_entropy(z, y), parameters | {"W4": W, "b4": b}, {"p": sg.softmax(z)}


def least_squares() -> Built:
    x, y, w = sg.variable("x", ("N", 6)), sg.variable("y", ("N",)), sg.parameter("w", (6,))
    return sg.mean_squared_error((x @ w).named("o"), y), {"w": w}, {}


def ridge() -> Built:
    X, y, w = sg.variable("X", ("N", 6)), sg.variable("y", ("N",)), sg.parameter("w", (6,))
    lam, r = sg.variable("lam"), (X @ w - y).named("r")
    return sg.mean(r**2) + lam * sg.sum(w**2), {"w": w}, {}


def logistic() -> Built:
    x, y, w, b = sg.variable("x", ("N", 5)), sg.variable("y", ("N",)), sg.parameter("w", (5,)), sg.parameter("b")
    net = (x @ w + b).named("net")
    return sg.binary_cross_entropy(sg.sigmoid(net).named("p"), y), {"w": w, "b": b}, {}


def sigmoid_network() -> Built:
    x, t = sg.variable("x", ("N", 5)), sg.variable("t", ("N", 3))
    W1, W2 = sg.parameter("W1", (5, 4)), sg.parameter("W2", (4, 3))
    h = sg.sigmoid((x @ W1).named("a")).named("h")
    o = sg.sigmoid((h @ W2).named("c")).named("o")
    return sg.sum((o - t) ** 2) / 2, {"W1": W1, "W2": W2}, {}


def one_sample() -> Built:
    x, t = sg.variable("x", (7,)), sg.variable("t", (3,))
    W1, W2 = sg.parameter("W1", (4, 7)), sg.parameter("W2", (3, 4))
    h = sg.relu((W1 @ x).named("net")).named("h")
    return sg.sum(((W2 @ h).named("o") - t) ** 2) / 2, {"W1": W1, "W2": W2}, {}


@dataclass(frozen=True)
class Derivation:
    """A right derivation and faults that can be planted into it."""

    build: Callable[[], Built]
    wrt: str
    text: str
    faults: tuple[tuple[str, str, str], ...]


N = (" / N", "", "1/N")
TRANSPOSED, SIGN, TWICE = ("x.T", "x", "x must be transposed"), ("p - y", "y - p", "sign"), ("x.T @", "2 * x.T @", "2")
W2T, RELU, KINK = ("W2.T", "W2", "W2 must be transposed"), (" * (net > 0)", "", "relu"), (">", ">=", "kink")
DERIVATIONS = (
    Derivation(softmax_regression, "W", "x.T @ (p - y) / N", (
        N, TRANSPOSED, SIGN, ("p - y", "p + y", "sign"), ("x.T", "-x.T", "sign"), ("p", "z", "softmax|p is meant"),
        (" / N", " * N", "1/N|operator"), TWICE, ("x.T @ (p - y)", "(p - y) @ x.T", "order"), ("(p - y)", "p", "-y"),
    )),
    Derivation(softmax_regression, "b", "sum(p - y, axis=0) / N", (
        N, SIGN, ("axis=0", "axis=1", "axis"), ("sum(p - y, axis=0)", "(p - y)", "sum over N"), ("sum", "mean", "N"),
        ("sum(p - y, axis=0)", "sum(p - y)", "sum|axis"),
    )),
    Derivation(mnist_mlp, "W1", "x.T @ (((p - y) / N) @ W2.T * (net > 0))", (
        N, TRANSPOSED, W2T, RELU, KINK, SIGN, ("W2", "W1", "W2 is meant"), (">", "<", "condition"),
        ("(net > 0)", "(1 - h**2)", "relu"), ("(net > 0)", "h", "relu"), ("x.T", "h.T", "x is meant"),
        ("x.T", "pixels.T", "1/255|x is meant"), (" @ W2.T", "", "W2.T is missing"),
    )),
    Derivation(mnist_mlp, "W1", "x.T @ (delta_z @ W2.T * (net > 0))", (
        TRANSPOSED, W2T, RELU, KINK, ("delta_z", "delta_z / N", "1 / N"), ("delta_z", "-delta_z", "sign"),
    )),
    Derivation(mnist_mlp, "W2", "h.T @ (p - y) / N", (
        N, SIGN, ("h.T", "h", "h must be transposed"), ("h", "net", "h is meant|relu"), ("h.T", "x.T", "h is meant"),
        ("h.T @ (p - y)", "(p - y).T @ h", "order|transposed"),
    )),
    Derivation(mnist_mlp, "b1", "sum(((p - y) / N) @ W2.T * (net > 0), axis=0)", (
        N, RELU, KINK, W2T, SIGN, ("axis=0", "axis=1", "axis"),
    )),
    Derivation(deep_tanh, "W3", "h2.T @ (delta_z @ W4.T * (1 - h3**2))", (
        ("h2.T", "h2", "h2 must be transposed"), ("W4.T", "W4", "W4 must be transposed"), ("W4", "W3", "W4 is meant"),
        (" * (1 - h3**2)", "", "tanh at net3"), ("1 - h3**2", "1 - h3", "square|tanh"), ("- h3", "+ h3", "sign|tanh"),
        ("h3**2", "h2**2", "h3"), ("1 - h3**2", "h3 * (1 - h3)", "tanh"), ("1 - h3**2", "net3 > 0", "tanh"),
        ("h2.T", "h1.T", "h2 is meant"), ("delta_z", "2 * delta_z", "2"),
    )),
    Derivation(deep_tanh, "W2", "h1.T @ ((((p - y) / N @ W4.T) * (1 - h3**2)) @ W3.T * (1 - h2**2))", (
        N, SIGN, (" * (1 - h2**2)", "", "tanh at net2"), (" * (1 - h3**2)", "", "tanh at net3"),
        ("1 - h2**2", "1 - h2", "square|tanh"), ("W3.T", "W3", "W3 must"), ("W4.T", "W4", "W4 must"),
        ("h1.T", "h1", "h1 must"), ("h1.T", "x.T", "h1 is meant"), ("h3**2", "h2**2", "h3"),
    )),
    Derivation(deep_tanh, "b3", "sum(delta_z @ W4.T * (1 - tanh(net3)**2), axis=0)", (
        ("tanh(net3)**2", "sigmoid(net3)**2", "tanh"), (" * (1 - tanh(net3)**2)", "", "tanh"),
        ("axis=0", "axis=1", "axis"), ("W4.T", "W4", "W4 must"), ("(net3)", "(z)", "net3"),
    )),
    Derivation(least_squares, "w", "2 * x.T @ (x @ w - y) / N", (
        N, TRANSPOSED, ("2 * ", "", "factor 2"), ("x @ w - y", "y - x @ w", "sign"), ("w - y", "w + y", "sign"),
        (" - y", "", "-y"), ("2 * ", "4 * ", "1/2"), ("2 * ", "-2 * ", "sign"), ("x @ w", "x @ y", "w is meant"),
    )),
    Derivation(ridge, "w", "2 * X.T @ r / N + 2 * lam * w", (
        N, ("X.T", "X", "X must be transposed"), ("2 * X.T", "X.T", "factor 2"), ("2 * lam", "lam", "factor 2"),
        ("+ 2", "- 2", "sign"), (" + 2 * lam * w", "", "term 2"), ("lam * w", "w", "lam"), ("lam * w", "lam", "w"),
        ("r", "y", "r is meant"), ("* w", "* w / N", "1 / N"),
    )),
    Derivation(logistic, "w", "x.T @ (p - y) / N", (
        N, TRANSPOSED, SIGN, TWICE, ("p - y", "net - y", "sigmoid|p is meant"), ("p - y", "p", "-y"),
        ("p - y", "(p - y) * p * (1 - p)", "too many"),
    )),
    Derivation(sigmoid_network, "W1", "x.T @ (((o - t) * o * (1 - o)) @ W2.T * h * (1 - h))", (
        TRANSPOSED, W2T, TWICE, (" * o * (1 - o)", "", "sigmoid at c"), (" * h * (1 - h)", "", "sigmoid at a"),
        ("(1 - o)", "(1 + o)", "sign|sigmoid"), ("h * (1 - h)", "(1 - h**2)", "sigmoid at a"), ("o - t", "t - o", "sign"),
        ("* h * (1 - h)", "* (1 - h)", "factor h|sigmoid"), ("x.T", "x.T / N", "1 / N|1/N"),
    )),
    Derivation(one_sample, "W1", "outer((W2.T @ (o - t)) * (net > 0), x)", (
        W2T, RELU, KINK, ("o - t", "t - o", "sign"), (", x)", ", h)", "x is meant"), ("outer", "2 * outer", "2"),
    )),
)  # fmt: skip

RIGHT = {
    (mnist_mlp, "W1"): (
        "x.T @ delta_net", "(delta_net.T @ x).T", "einsum('ni,nj->ij', x, delta_net)", "pixels.T @ delta_net / 255",
        "x.T @ where(net > 0, delta_z @ W2.T, 0)", "x.T @ ((softmax(z) - y) @ W2.T / N * [h > 0])",
        "x.T @ (delta_h * sign(h))", "1/N * x.T @ (((p - one_hot(y, 10)) @ W2.T) * (net > 0))",
        "x.T @ ((p @ W2.T - y @ W2.T) * (net > 0)) / N", "x.T @ (delta_h * (1 - (net <= 0)))",
        "x.T @ (((exp(z) / sum(exp(z), axis=1, keepdims=True) - y) / N) @ W2.T * (net > 0))",
    ),
    (mnist_mlp, "b2"): ("sum(delta_z, axis=0)", "mean(p - y, axis=0)", "mean(p, axis=0) - mean(y, axis=0)"),
    (deep_tanh, "W1"): (
        "x.T @ (delta_h1 * (1 - h1) * (1 + h1))", "x.T @ (delta_h1 / cosh(net1)**2)",
        "x.T @ (delta_h1 * 4*sigmoid(2*net1)*sigmoid(-2*net1))",
        "x.T @ (((((p - y) / N) @ W4.T * (1 - h3**2)) @ W3.T * (1 - h2**2)) @ W2.T * (1 - h1**2))",
    ),
    (least_squares, "w"): (
        "2/N * x.T @ (x @ w - y)", "2 * (x @ w - y) @ x / N", "2 * (x.T @ x @ w - x.T @ y) / N",
        "(x.T @ (o - y) + x.T @ (o - y)) / N", "2*mean((o - y) * x.T, axis=1)",
    ),
    (ridge, "w"): ("2*(X.T@r/N + lam*w)", "2*(X.T@X/N + lam*identity(6)) @ w - 2*X.T@y/N"),
    (logistic, "w"): (
        "x.T @ (1/(1+exp(-net)) - y) / N", "x.T @ ((1-y)*p - y*(1-p)) / N", "x.T @ (delta_p * p * (1 - p))",
    ),
    (sigmoid_network, "W1"): ("x.T @ (delta_c @ W2.T * (h - h**2))", "x.T @ (delta_h * exp(-a)/(1+exp(-a))**2)"),
    (one_sample, "W1"): ("outer(delta_net, x)", "outer(x, delta_net).T"),
}  # fmt: skip


def planted(count: int) -> Iterator[tuple[Derivation, str, tuple[str, ...]]]:
    """Every derivation with so many faults in it, and what the causes should say."""
    for derivation in DERIVATIONS:
        for faults in itertools.combinations(derivation.faults, count):
            text = derivation.text
            for old, new, _ in faults:
                text = text.replace(old, new, 1) if old in text else ""
            patterns = tuple(pattern for _, _, pattern in faults)
            undone = len(set(patterns)) < count or {"N", "1/N"} <= set(patterns)  # two signs; a mean for the sum over N
            if text and not undone and len({old for old, _, _ in faults}) == count:
                yield derivation, text, patterns


def sample(count: int, size: int, seed: int) -> list[tuple[Derivation, str, tuple[str, ...]]]:
    """Some of them, drawn."""
    return random.Random(seed).sample(list(planted(count)), size)
