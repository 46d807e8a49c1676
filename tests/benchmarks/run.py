"""The seed network and its relatives beside the peers, interleaved in one run; the table that the README shows.

    python tests/benchmarks/run.py [--peers symgrad jax torch] [--work 784-512-10:128 ...] [--rounds 3] [--write README.md]

Each round runs every peer once, in a process of its own, so that a noisy neighbour disturbs all alike; the first epoch
of a process compiles and is left out. Peers that are not installed are skipped, and said so. `--write` puts the table
between the two lines of a file that say where it belongs. All of it takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

NEEDS = {"symgrad": ["symgrad"], "jax": ["jax"], "torch": ["torch"], "keras-jax": ["keras", "jax"],
         "keras-torch": ["keras", "torch"], "sklearn": ["sklearn"]}  # fmt: skip
WORK = ["784-512-10:128", "784-512-10:32", "784-512-10:1024", "784-512-10:60000", "784-64-10:128",
        "784-2048-2048-10:128", "784-512-10:128:negative", "784-512-10:128:bfloat16"]  # fmt: skip
VARIANTS = {"negative": "images in negative", "bfloat16": "products of bfloat16 (the others: float32)"}
ROWS = 60_000
BEGIN, END = "<!-- measured by tests/benchmarks/run.py -->", "<!-- until here -->"


def importable(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def installed(peer: str) -> bool:
    """Whether everything a peer needs can be imported."""
    return all(map(importable, NEEDS[peer]))


@dataclass(frozen=True)
class Work:
    """One network at one batch size, as it is or in variants: on negatives, which hardly have a zero; of bfloat16."""

    sizes: list[int]
    batch: int
    variants: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str) -> Work:
        sizes, batch, *variants = text.split(":")
        if not set(variants) <= set(VARIANTS):
            raise argparse.ArgumentTypeError(f"{text!r} is not like 784-512-10:128 or 784-512-10:128:negative")
        return Work([int(n) for n in sizes.split("-")], int(batch), tuple(variants))

    def __str__(self) -> str:
        rows = "all rows at once" if self.batch >= ROWS else f"batch {self.batch}"
        return ", ".join(["-".join(map(str, self.sizes)), rows, *(VARIANTS[variant] for variant in self.variants)])

    @property
    def operations(self) -> int:
        """Of an epoch's products: forward, weights' gradients, and gradients of all layers' inputs but the first's."""
        products = [m * n for m, n in pairwise(self.sizes)]
        return 2 * ROWS * (3 * sum(products) - products[0])


def measure(peer: str, work: Work, epochs: int) -> tuple[list[float], dict[str, Any]]:
    """Seconds of each epoch but the first, and what is said at the end; all in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("peers.py")), peer, "--batch", str(work.batch)]
    command += ["--hidden", *map(str, work.sizes[1:-1]), "--epochs", str(epochs)]
    command += [f"--{variant}" for variant in work.variants]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line["seconds"] for line in lines[1:-1]], lines[-1]


def trained_by_command(folder: str | None) -> float:
    """Seconds of `symgrad train mnist-mlp` to its end, with the kernels in that cache folder."""
    with tempfile.TemporaryDirectory() as runs:
        environment = os.environ | ({"SYMGRAD_CACHE_DIR": folder} if folder else {})
        command = [sys.executable, "-m", "symgrad", "train", "mnist-mlp", "--out", f"{runs}/run"]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=runs)
        return time.perf_counter() - started


class Table:
    """Rows of a table in Markdown, printed as they come: what is measured, symgrad, the others with their ratio."""

    def __init__(self, peers: list[str]) -> None:
        self.peers = peers
        self.lines: list[str] = []
        self.say("| | " + " | ".join(peers) + " |")
        self.say("|---" * (len(peers) + 1) + "|")

    def say(self, line: str) -> None:
        print(line, flush=True)
        self.lines.append(line)

    def row(self, title: str, found: dict[str, list[float]], scale: float = 1.0, remark: str = "") -> None:
        """The medians; a ratio above 1 says how many times faster symgrad is."""
        own = statistics.median(found["symgrad"]) if found.get("symgrad") else float("nan")
        cells = []
        for peer in self.peers:
            if not found.get(peer):
                cells.append("")
                continue
            median = statistics.median(found[peer])
            cells.append(f"{median * scale:.3g}" + (remark if peer == "symgrad" else f" ({median / own:.2f} ×)"))
        self.say(f"| {title} | " + " | ".join(cells) + " |")


def main() -> None:
    """Run the peers in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", nargs="+", default=["symgrad", "jax", "torch"], choices=NEEDS)
    parser.add_argument("--work", nargs="+", type=Work.parse, default=[Work.parse(w) for w in WORK],
                        metavar="784-512-10:128[:negative|:bfloat16]", help="sizes, batch size, variants")  # fmt: skip
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", metavar="FILE", type=Path)
    options = parser.parse_args()
    peers = [p for p in options.peers if installed(p)]
    for peer in sorted(set(options.peers) - set(peers)):
        print(f"{peer} is not installed and left out")
    heading = " ".join(about())
    print(heading + "\n")
    table = Table(peers)
    for place, work in enumerate(options.work):
        last = dense(table, work, options)
        if place == 0:
            others(table, last)
    if options.write:
        write(options.write, [heading, "", *table.lines])


def about() -> Iterator[str]:
    """The machine, the versions and the day."""
    from symgrad.codegen.host import host, usable_cores

    yield f"{usable_cores()} cores ({host().cpu}, {platform.machine()}), Python {platform.python_version()},"
    yield ", ".join(f"{p} {version(p)}" for p in ("numpy", "numba", "jax", "torch", "keras") if importable(p)) + ","
    yield f"{datetime.date.today()}."


def dense(table: Table, work: Work, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Epochs of one network at one batch size, every peer in turn; what each said at its ends."""
    from symgrad.codegen.machine import best_rate, default_threads

    seconds: dict[str, list[float]] = {p: [] for p in table.peers}
    said: dict[str, list[dict[str, Any]]] = {p: [] for p in table.peers}
    peak = 0.0
    for _ in range(options.rounds):
        peak = max(peak, best_rate("float32", default_threads()))
        for peer in table.peers:
            times, facts = measure(peer, work, options.epochs)
            seconds[peer] += times
            said[peer].append(facts)
    remark = ""
    if seconds.get("symgrad"):
        remark = f" ({work.operations / statistics.median(seconds['symgrad']) / 1e9 / peak:.0%} of peak)"
    table.row(f"{work}: s an epoch", seconds, remark=remark)
    if "bfloat16" in work.variants:
        accuracies = (f"{statistics.median(facts['accuracy'] for facts in said[peer]):.4f}" for peer in table.peers)
        table.say(f"| the same: accuracy on the test images after {options.epochs} epochs | {' | '.join(accuracies)} |")
    return said


def others(table: Table, said: dict[str, list[dict[str, Any]]]) -> None:
    """What a person waits for beside epochs: evaluation, one image, the command from its start to its end."""
    for fact, title, scale in (("evaluate", "evaluation of 10,000 images: ms", 1e3), ("predict", "one image: µs", 1e6)):
        table.row(title, {p: [facts[fact] for facts in rounds] for p, rounds in said.items()}, scale)
    if "symgrad" not in table.peers:
        return
    seed = Work([784, 512, 10], 128)
    whole = {p: [measure(p, seed, 5)[1]["whole"] for _ in range(3)] for p in table.peers if p != "symgrad"}
    for title, warm in (("compiled before", True), ("never compiled", False)):
        found = []
        with tempfile.TemporaryDirectory() as kept:
            if warm:
                trained_by_command(kept)
            for number in range(3):
                found.append(trained_by_command(kept if warm else f"{kept}/{number}"))
        table.row(f"`symgrad train mnist-mlp`, 5 epochs, {title}; a script: s", {"symgrad": found, **whole})


def write(path: Path, lines: list[str]) -> None:
    """Put the lines between the two that mark their place."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} lacks the lines {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
