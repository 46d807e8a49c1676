"""Materialised Hessians and a Hessian-vector product beside JAX and PyTorch, float32; prints a table of ratios.

    python tests/benchmarks/hessians.py [--peers symgrad jax torch] [--rounds 5]

The four cases of Laue, Mitterreiter and Giesen 2018 that a user meets: a quadratic form, logistic regression, a matrix
factorisation, and a product with the Hessian of a network of ten layers. Every peer is timed in turn in each round,
after a first call that compiles. Peers that are not installed are skipped, and said so.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[], Any]
N, ROWS, COLUMNS, SIDE, RANK, LAYERS, WIDTH = 2048, 2048, 256, 200, 10, 10, 64


def arrays() -> dict[str, np.ndarray]:
    """The data of all cases."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype("f4")

    return {
        "A": normal(N, N), "x": normal(N), "X": normal(ROWS, COLUMNS), "w": normal(COLUMNS) / 16,
        "y": np.sign(normal(ROWS)), "T": normal(SIDE, SIDE), "U": normal(SIDE, RANK), "V": normal(SIDE, RANK),
        "h": normal(128, WIDTH), "W": normal(LAYERS, WIDTH, WIDTH) / 8, "D": normal(LAYERS, WIDTH, WIDTH),
    }  # fmt: skip


def by_symgrad(data: dict[str, np.ndarray]) -> dict[str, Run]:
    """Hessians in closed form, compiled; of the factorisation the factored one apart, which is never materialised."""
    import symgrad as sg

    A, x = sg.variable("A", (N, N)), sg.parameter("x", (N,))
    X, y, w = sg.variable("X", (ROWS, COLUMNS)), sg.variable("y", (ROWS,)), sg.parameter("w", (COLUMNS,))
    T, U, V = sg.variable("T", (SIDE, SIDE)), sg.parameter("U", (SIDE, RANK)), sg.parameter("V", (SIDE, RANK))
    h, weights = sg.variable("h", (128, WIDTH)), [sg.parameter(f"W{i}", (WIDTH, WIDTH)) for i in range(LAYERS)]
    along = [sg.variable(f"D{i}", (WIDTH, WIDTH)) for i in range(LAYERS)]
    out = h
    for W in weights:
        out = sg.tanh(out @ W)
    products = sg.curvature_products(sg.mean(out**2), weights, along, False)
    layers = {f"{n}{i}": data[n][i] for n in "WD" for i in range(LAYERS)}
    cases = {
        "quadratic form": (sg.hessian(x @ A @ x, x), ["A"]),
        "logistic regression": (sg.hessian(sg.mean(sg.softplus(-y * (X @ w))), w), ["X", "y", "w"]),
        "matrix factorisation": (sg.hessian(sg.sum((T - U @ V.T) ** 2), U), ["V"]),
    }
    runs: dict[str, Run] = {}
    for name, (hessian, inputs) in cases.items():
        kernel = sg.compile(hessian)
        runs[name] = lambda kernel=kernel, given={n: data[n] for n in inputs}: kernel(given)  # type: ignore[misc]
    kernel = sg.compile(products)
    runs["network, product"] = lambda: kernel({"h": data["h"], **layers})
    return runs


def by_jax(data: dict[str, np.ndarray]) -> dict[str, Run]:
    import jax  # type: ignore[import-not-found]
    import jax.numpy as jnp  # type: ignore[import-not-found]

    given = {n: jnp.asarray(a) for n, a in data.items()}

    def network(W: Any) -> Any:
        out = given["h"]
        for i in range(LAYERS):
            out = jnp.tanh(out @ W[i])
        return (out**2).mean()

    losses = {
        "quadratic form": (lambda x: x @ given["A"] @ x, "x"),
        "logistic regression": (lambda w: jax.nn.softplus(-given["y"] * (given["X"] @ w)).mean(), "w"),
        "matrix factorisation": (lambda U: ((given["T"] - U @ given["V"].T) ** 2).sum(), "U"),
    }
    runs: dict[str, Run] = {}
    for name, (loss, wrt) in losses.items():
        hessian = jax.jit(jax.hessian(loss))
        runs[name] = lambda hessian=hessian, at=given[wrt]: hessian(at).block_until_ready()  # type: ignore[misc]
    product = jax.jit(lambda W, D: jax.jvp(jax.grad(network), (W,), (D,))[1])
    runs["network, product"] = lambda: product(given["W"], given["D"]).block_until_ready()
    return runs


def by_torch(data: dict[str, np.ndarray]) -> dict[str, Run]:
    import torch  # type: ignore[import-not-found]

    given = {n: torch.from_numpy(a) for n, a in data.items()}

    def network(W: Any) -> Any:
        out = given["h"]
        for i in range(LAYERS):
            out = torch.tanh(out @ W[i])
        return (out**2).mean()

    losses = {
        "quadratic form": (lambda x: x @ given["A"] @ x, "x"),
        "logistic regression": (lambda w: torch.nn.functional.softplus(-given["y"] * (given["X"] @ w)).mean(), "w"),
        "matrix factorisation": (lambda U: ((given["T"] - U @ given["V"].T) ** 2).sum(), "U"),
    }
    runs: dict[str, Run] = {}
    for name, (loss, wrt) in losses.items():
        hessian = torch.func.hessian(loss)
        runs[name] = lambda hessian=hessian, at=given[wrt]: hessian(at)  # type: ignore[misc]
    runs["network, product"] = lambda: torch.func.jvp(torch.func.grad(network), (given["W"],), (given["D"],))[1]
    return runs


PEERS: dict[str, Callable[[dict[str, np.ndarray]], dict[str, Run]]] = {
    "symgrad": by_symgrad, "jax": by_jax, "torch": by_torch,
}  # fmt: skip


def main() -> None:
    """Time the peers in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    peers = [p for p in options.peers if importlib.util.find_spec(p)]
    for peer in sorted(set(options.peers) - set(peers)):
        print(f"{peer} is not installed and left out")
    data = arrays()
    runs = {peer: PEERS[peer](data) for peer in peers}
    print("| case | " + " | ".join(f"{p}, ms" for p in peers) + " | symgrad is faster by |\n|---|" + "---|" * (len(peers) + 1))
    for case in runs[peers[0]]:
        times: dict[str, list[float]] = {peer: [] for peer in peers}
        for peer in peers:
            runs[peer][case]()
        for _ in range(options.rounds):
            for peer in peers:
                started = time.perf_counter()
                runs[peer][case]()
                times[peer].append(time.perf_counter() - started)
        medians = {peer: statistics.median(t) * 1e3 for peer, t in times.items()}
        ratios = ", ".join(f"{medians[p] / medians['symgrad']:.1f} × {p}" for p in peers if p != "symgrad")
        print(f"| {case} | " + " | ".join(f"{medians[p]:.2f}" for p in peers) + f" | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
