"""Epochs of the seed network beside its peers, interleaved in one run; prints the table that the README shows.

    python tests/benchmarks/run.py [--peers symgrad jax torch] [--batch 128 32] [--hidden 512] [--rounds 3]

Each round runs every peer once, in a process of its own, so that a noisy neighbour disturbs all alike; the first epoch
of a process compiles and is left out. Peers that are not installed are skipped, and said so.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

NEEDS = {"symgrad": ["symgrad"], "jax": ["jax"], "torch": ["torch"], "keras-jax": ["keras", "jax"],
         "keras-torch": ["keras", "torch"], "sklearn": ["sklearn"]}  # fmt: skip


def installed(peer: str) -> bool:
    """Whether everything a peer needs can be imported."""
    return all(importlib.util.find_spec(name) for name in NEEDS[peer])


def measure(peer: str, batch: int, hidden: list[int], epochs: int) -> tuple[list[float], float, float]:
    """Seconds of each epoch but the first, the test accuracy, and the seconds of the whole process."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("peers.py")),
        peer,
        "--batch",
        str(batch),
        "--hidden",
        *map(str, hidden),
        "--epochs",
        str(epochs),
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line["seconds"] for line in lines[1:-1]], lines[-1]["accuracy"], lines[-1]["whole"]


def main() -> None:
    """Run the peers in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", nargs="+", default=["symgrad", "jax", "torch"], choices=NEEDS)
    parser.add_argument("--batch", type=int, nargs="+", default=[128])
    parser.add_argument("--hidden", type=int, nargs="*", default=[512])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    peers = [p for p in options.peers if installed(p)]
    for peer in sorted(set(options.peers) - set(peers)):
        print(f"{peer} is not installed and left out")
    packages = ", ".join(
        f"{p} {version(p)}" for p in ("numpy", "numba", "jax", "torch", "keras") if importlib.util.find_spec(p)
    )
    print(
        f"{datetime.date.today()}, {platform.processor() or platform.machine()}, Python "
        f"{platform.python_version()}, {packages}"
    )
    network = "-".join(map(str, [784, *options.hidden, 10]))
    print(f"{network}, medians of {options.rounds * (options.epochs - 1)} epochs, interleaved\n")
    print("| | batch | seconds an epoch | symgrad is faster by | test accuracy |\n|---|---|---|---|---|")
    for batch in options.batch:
        table(peers, batch, options.hidden, options.epochs, options.rounds)


def table(peers: list[str], batch: int, hidden: list[int], epochs: int, rounds: int) -> None:
    """The rows of one batch size."""
    seconds: dict[str, list[float]] = {p: [] for p in peers}
    accuracy: dict[str, float] = {}
    for _ in range(rounds):
        for peer in peers:
            times, accuracy[peer], _ = measure(peer, batch, hidden, epochs)
            seconds[peer] += times
    own = statistics.median(seconds["symgrad"]) if "symgrad" in seconds else float("nan")
    for peer in peers:
        median = statistics.median(seconds[peer])
        print(f"| {peer} | {batch} | {median:.3f} | {median / own:.2f} × | {accuracy[peer]:.4f} |", flush=True)


if __name__ == "__main__":
    main()
