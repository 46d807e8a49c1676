"""Epochs of the shipped `mnist-cnn` beside PyTorch and JAX, float32, Adam, batch 128, interleaved in one process.

    python tests/benchmarks/convolution.py [--peers symgrad torch torch-channels-last jax] [--rows 12800] [--rounds 3]

An epoch goes over `--rows` images and is scaled to 60,000. The first epoch of each peer compiles and is left out.
Peers that are not installed are skipped, and said so.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import symgrad as sg
from symgrad.models import mnist_cnn

BATCH = 128
Epoch = Callable[[], Any]


def by_symgrad(x: np.ndarray, y: np.ndarray) -> Epoch:
    model = mnist_cnn.model()
    model.compile(optimizer=sg.adam(1e-3), schedule="constant", batch_size=BATCH)
    return lambda: model.fit(x, y, epochs=1)


def by_torch(x: np.ndarray, y: np.ndarray, channels_last: bool = False) -> Epoch:
    import torch  # type: ignore[import-not-found]

    torch.set_flush_denormal(True)
    nn, form = torch.nn, torch.channels_last if channels_last else torch.contiguous_format
    layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(1600, 10)).to(memory_format=form)
    optimizer, loss = torch.optim.Adam(net.parameters(), 1e-3), nn.CrossEntropyLoss()
    images, labels = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y.astype("i8"))

    def epoch() -> None:
        for first in range(0, len(x), BATCH):
            batch = (images[first : first + BATCH].float() / 255).reshape(-1, 1, 28, 28).to(memory_format=form)
            optimizer.zero_grad()
            loss(net(batch), labels[first : first + BATCH]).backward()
            optimizer.step()

    return epoch


def by_jax(x: np.ndarray, y: np.ndarray) -> Epoch:
    import jax  # type: ignore[import-not-found]
    import jax.numpy as jnp  # type: ignore[import-not-found]

    model = mnist_cnn.model()
    model.initialize()
    images, labels = jnp.asarray(x.reshape(-1, BATCH, 28, 28, 1)), jnp.asarray(y.reshape(-1, BATCH))

    def layer(h: Any, kernel: Any, bias: Any) -> Any:
        net = jax.lax.conv_general_dilated(h, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.lax.reduce_window(jax.nn.relu(net + bias), -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def loss(w: Any, pixels: Any, label: Any) -> Any:
        h = layer(layer(pixels / 255.0, w["K1"], w["b1"]), w["K2"], w["b2"])
        z = h.reshape(len(h), -1) @ w["W3"] + w["b3"]
        return -jax.nn.log_softmax(z)[jnp.arange(len(z)), label].mean()

    def step(state: Any, batch: Any) -> Any:
        w, m, v, t = state
        g, t = jax.grad(loss)(w, *batch), t + 1
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        move = jax.tree.map(lambda a, b: 1e-3 * a / (1 - 0.9**t) / (jnp.sqrt(b / (1 - 0.999**t)) + 1e-7), m, v)
        return (jax.tree.map(lambda a, b: a - b, w, move), m, v, t), 0.0

    weights = {n: jnp.asarray(a) for n, a in model.weights.items()}
    nothing = jax.tree.map(jnp.zeros_like, weights)
    whole = jax.jit(lambda state: jax.lax.scan(step, state, (images, labels))[0])
    held = [(weights, nothing, nothing, 0.0)]

    def epoch() -> None:
        held[0] = jax.block_until_ready(whole(held[0]))

    return epoch


PEERS: dict[str, Callable[[np.ndarray, np.ndarray], Epoch]] = {
    "symgrad": by_symgrad, "torch": by_torch, "torch-channels-last": lambda x, y: by_torch(x, y, True), "jax": by_jax,
}  # fmt: skip


def main() -> None:
    """Time the peers in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    parser.add_argument("--rows", type=int, default=12_800)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    peers = [p for p in options.peers if importlib.util.find_spec(p.split("-")[0])]
    for peer in sorted(set(options.peers) - set(peers)):
        print(f"{peer} is not installed and left out")
    rows = options.rows // BATCH * BATCH
    data = sg.mnist()
    epochs = {peer: PEERS[peer](data.x_train[:rows], data.y_train[:rows]) for peer in peers}
    times: dict[str, list[float]] = {peer: [] for peer in peers}
    for number in range(options.rounds + 1):
        for peer in peers:
            started = time.perf_counter()
            epochs[peer]()
            if number:
                times[peer].append((time.perf_counter() - started) * 60_000 / rows)
    own = statistics.median(times[peers[0]])
    print("| | seconds an epoch | symgrad is faster by |\n|---|---|---|")
    for peer in peers:
        median = statistics.median(times[peer])
        print(f"| {peer} | {median:.2f} | {median / own:.2f} × |")


if __name__ == "__main__":
    main()
