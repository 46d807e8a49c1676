"""The same work by what a user would pick instead: 784-512-10 on MNIST, float32, RMSprop, each at its honest best.

    python tests/benchmarks/peers.py torch --batch 128 --epochs 6 --hidden 512 [--negative] [--bfloat16]

prints a JSON line an epoch: {"peer", "epoch", "seconds", "loss"}, then {"peer", "accuracy", "whole", "evaluate",
"predict"}: seconds of the process up to there, of an evaluation of the 10,000 test images, of one image's probabilities
out of its bytes (medians). Four fifths of the images are zeros, which symgrad makes use of; their negatives have next to
none. Peers: symgrad (alone with products of bfloat16, where that is asked for), jax (one jit of a whole epoch), torch
(eager, denormals flushed), keras-jax, keras-torch, sklearn (Adam).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

START = time.perf_counter()
import numpy as np  # noqa: E402

from symgrad.data import mnist  # noqa: E402


def images(data: Any, negative: bool) -> Any:
    """MNIST, or with white paper and black ink."""
    if not negative:
        return data
    return replace(data, x_train=255 - data.x_train, x_test=255 - data.x_test)


def arrays(data: Any) -> tuple[Any, ...]:
    """Images as float32 in [0, 1] and labels, training and test."""
    assert data.x_test is not None and data.y_test is not None
    return data.x_train / np.float32(255), data.y_train, data.x_test / np.float32(255), data.y_test


@dataclass
class Trained:
    """What a peer can do when it has learnt: its accuracy on the test images, and an image's probabilities."""

    accuracy: Callable[[], float]
    probabilities: Callable[[Any], Any]


def median(call: Callable[[], Any], count: int) -> float:
    """Seconds of a call that has been made before."""
    seconds = []
    for _ in range(count + count // 10 + 1):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[-count:])


class Report:
    """Prints a JSON line for each epoch."""

    def __init__(self, peer: str) -> None:
        self.peer, self.epoch, self.started = peer, 0, time.perf_counter()

    def begin(self) -> None:
        self.started = time.perf_counter()

    def end(self, loss: float) -> None:
        self.epoch += 1
        seconds = time.perf_counter() - self.started
        print(json.dumps({"peer": self.peer, "epoch": self.epoch, "seconds": seconds, "loss": loss}), flush=True)


def symgrad_model(hidden: list[int]) -> Any:
    """The network with some hidden layers, as an expression."""
    import symgrad as sg

    pixels, y = sg.variable("pixels", ("N", 784), dtype="uint8"), sg.labels("y", ("N",), classes=10)
    h, size = (pixels / 255).named("x"), 784
    for i, width in enumerate([*hidden, 10], 1):
        z = (h @ sg.parameter(f"W{i}", (size, width)) + sg.parameter(f"b{i}", (width,))).named(f"z{i}")
        h, size = sg.relu(z).named(f"h{i}"), width
    return sg.Model(inputs=[pixels], targets=[y], output=sg.softmax(z), loss=sg.softmax_cross_entropy(z, y),
                    metrics=[sg.accuracy], training=sg.Training(optimizer=sg.rmsprop(1e-3)))  # fmt: skip


def run_symgrad(
    data: Any, batch: int, hidden: list[int], epochs: int, report: Report, precision: str = "float32"
) -> Trained:
    net = symgrad_model(hidden)
    net.compile(batch_size=batch, schedule="constant", precision=precision)

    def watch(event: str, facts: Any) -> None:
        if event == "epoch":
            report.begin()
        elif event == "done":
            report.end(facts["loss"])

    net.fit(data.x_train, data.y_train, epochs=epochs, watch=watch)
    return Trained(lambda: net.evaluate(data.x_test, data.y_test)["accuracy"], net.predict)


def run_jax(data: Any, batch: int, hidden: list[int], epochs: int, report: Report) -> Trained:
    import jax
    import jax.numpy as jnp

    x, y, test, answers = arrays(data)
    x, y = jnp.array(x), jnp.array(y)
    sizes, draw = [784, *hidden, 10], np.random.default_rng(0)
    params = []
    for m, n in pairwise(sizes):
        limit = (6 / (m + n)) ** 0.5
        params += [jnp.array(draw.uniform(-limit, limit, (m, n)), jnp.float32), jnp.zeros(n)]
    squares = [jnp.zeros_like(p) for p in params]

    def logits(params: Any, x: Any) -> Any:
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = jax.nn.relu(x @ w + b)
        return x @ params[-2] + params[-1]

    def loss(params: Any, x: Any, y: Any) -> Any:
        z = logits(params, x)
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(x.shape[0]), y])

    def epoch(params: Any, squares: Any, order: Any) -> Any:
        def step(carry: Any, rows: Any) -> Any:
            params, squares = carry
            value, grads = jax.value_and_grad(loss)(params, x[rows], y[rows])
            squares = [0.9 * s + 0.1 * g * g for s, g in zip(squares, grads, strict=True)]
            params = [p - 1e-3 * g / (jnp.sqrt(s) + 1e-7) for p, s, g in zip(params, squares, grads, strict=True)]
            return (params, squares), value

        steps = len(order) // batch
        (params, squares), values = jax.lax.scan(step, (params, squares), order[: steps * batch].reshape(steps, batch))
        return params, squares, values.mean()

    compiled, random = jax.jit(epoch, donate_argnums=(0, 1)), np.random.default_rng(0)
    for _ in range(epochs):
        report.begin()
        params, squares, value = compiled(params, squares, jnp.array(random.permutation(60000)))
        report.end(float(value))
    test, answers = jnp.array(test), jnp.array(answers)
    right = jax.jit(lambda params: (jnp.argmax(logits(params, test), 1) == answers).mean())
    image = jax.jit(lambda params, pixels: jax.nn.softmax(logits(params, pixels.astype(jnp.float32) / 255)))
    return Trained(lambda: float(right(params)), lambda pixels: np.asarray(image(params, pixels)))


def run_torch(data: Any, batch: int, hidden: list[int], epochs: int, report: Report) -> Trained:
    import torch

    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    x, y, test, answers = map(torch.from_numpy, arrays(data))
    layers: list[Any] = []
    for m, n in pairwise([784, *hidden, 10]):
        layers += [torch.nn.Linear(m, n), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, alpha=0.9, eps=1e-7, foreach=True)
    criterion = torch.nn.CrossEntropyLoss()
    for _ in range(epochs):
        report.begin()
        order, total = torch.randperm(60000), 0.0
        for first in range(0, 60000, batch):
            rows = order[first : first + batch]
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(net(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        report.end(total / 60000)

    @torch.inference_mode()
    def accuracy() -> float:
        return float((net(test).argmax(1) == answers).float().mean().item())

    @torch.inference_mode()
    def probabilities(pixels: Any) -> Any:
        return torch.softmax(net(torch.from_numpy(pixels) / 255), 1).numpy()

    return Trained(accuracy, probabilities)


def run_keras(data: Any, batch: int, hidden: list[int], epochs: int, report: Report) -> Trained:
    os.environ["KERAS_BACKEND"] = report.peer.removeprefix("keras-")
    import keras

    x, y, test, answers = arrays(data)
    layers = [keras.layers.Dense(n, activation="relu") for n in hidden]
    net = keras.Sequential([keras.Input((784,)), *layers, keras.layers.Dense(10, activation="softmax")])
    net.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    for _ in range(epochs):
        report.begin()
        report.end(net.fit(x, y, batch_size=batch, epochs=1, verbose=0).history["loss"][0])
    return Trained(
        lambda: float(net.evaluate(test, answers, verbose=0)[1]),
        lambda pixels: net.predict(pixels / np.float32(255), verbose=0),
    )


def run_sklearn(data: Any, batch: int, hidden: list[int], epochs: int, report: Report) -> Trained:
    from sklearn.neural_network import MLPClassifier

    x, y, test, answers = arrays(data)
    net = MLPClassifier(tuple(hidden), batch_size=batch, max_iter=1, warm_start=True, random_state=0)
    for _ in range(epochs):
        report.begin()
        report.end(float(net.fit(x, y).loss_))
    return Trained(
        lambda: float(net.score(test, answers)), lambda pixels: net.predict_proba(pixels / np.float32(255))
    )


PEERS: dict[str, Callable[[Any, int, list[int], int, Report], Trained]] = {
    "symgrad": run_symgrad, "jax": run_jax, "torch": run_torch, "keras-jax": run_keras, "keras-torch": run_keras,
    "sklearn": run_sklearn,
}  # fmt: skip

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--hidden", type=int, nargs="*", default=[512])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--negative", action="store_true", help="white paper and black ink")
    parser.add_argument("--bfloat16", action="store_true", help="symgrad's products of bfloat16, the others float32")
    options = parser.parse_args()
    data = images(mnist(), options.negative)
    own = {"precision": "bfloat16"} if options.bfloat16 and options.peer == "symgrad" else {}
    found = partial(PEERS[options.peer], **own)(data, options.batch, options.hidden, options.epochs, Report(options.peer))
    facts = {"peer": options.peer, "accuracy": found.accuracy(), "whole": time.perf_counter() - START}
    pixels = data.x_test[:1].reshape(1, 784)
    facts |= {"evaluate": median(found.accuracy, 10), "predict": median(lambda: found.probabilities(pixels), 500)}
    print(json.dumps(facts))
