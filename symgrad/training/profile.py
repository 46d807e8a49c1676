"""Where the time of a training step goes: each formula's block, measured by cycle counters in the kernel itself.

The counters stand in a variant of the same kernel, cached apart; what they cost is measured beside the plain kernel.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.codegen.machine import best_rate, held
from symgrad.codegen.program import describe
from symgrad.codegen.sharding import Part
from symgrad.expression import sizes
from symgrad.expression.counting import flops
from symgrad.expression.node import Expr
from symgrad.expression.ops import Leaf
from symgrad.training.steps import Steps

if TYPE_CHECKING:
    from symgrad.training.model import Model

SECONDS, STEPS, REPEATS = 0.1, 500, 5  # a run is about so long, of at most so many steps


@dataclass(frozen=True)
class Row:
    """One block of the kernel: its formula, what it computes and reads, and its share of a step."""

    formula: str
    flops: int
    bytes: int
    microseconds: float
    share: float
    owner: str

    @property
    def rate(self) -> float:
        """GFLOP/s of all threads together."""
        return self.flops / self.microseconds / 1e3 if self.microseconds else 0.0


@dataclass(frozen=True)
class Profile:
    """A step of training taken apart; `waiting` is spent at barriers, `overhead` is what the counters cost."""

    rows: list[Row]
    waiting: float
    step: float
    overhead: float
    threads: int
    memory: int
    batch_size: int
    peak: float

    @property
    def rate(self) -> float:
        """GFLOP/s of the whole step; `peak` is what multiply-adds between registers alone reach in the same run."""
        return sum(row.flops for row in self.rows) / self.step / 1e3


def _inside(node: Expr, stored: set[Expr]) -> list[Expr]:
    """The nodes that are computed in a stage for one of its results: down to what is stored."""
    found, stack = dict[Expr, None](), [node]
    while stack:
        current = stack.pop()
        if current not in found and not isinstance(current.op, Leaf):
            found[current] = None
            stack.extend(a for a in current.args if a not in stored)
    return list(found)


def _flops(part: Part, batch: dict[str, int], stored: set[Expr]) -> int:
    """Operations of a stage, by the one counting rule."""
    nodes = dict.fromkeys(n for root in part.stage.nodes for n in _inside(root, stored))
    return sum(sizes.bind(flops(node), batch) for node in nodes)


def _bytes(part: Part, batch: dict[str, int], item: int) -> int:
    """What a stage reads and writes, each buffer once."""
    buffers = dict.fromkeys([*(b for b, _ in part.reads), *part.writes])
    return sum(item * math.prod(sizes.bind(s, batch) for s in b.shape) for b in buffers)


def _measure(steps: Steps, arrays: dict[str, np.ndarray], rows: int, batch_size: int) -> float:
    """Seconds of one step, the best of a few runs of many."""
    tables, order = steps.tables(arrays), np.arange(rows)
    most = min(STEPS, -(-rows // batch_size))
    kept, rates = steps.kept(rows, most), np.full(most, 1e-6, steps.dtype)
    counts = np.arange(1, most + 1).astype(steps.dtype)

    def seconds(count: int) -> float:
        started = time.perf_counter()
        steps.run(tables, order, batch_size, 0, count, True, rates, counts, kept)
        return (time.perf_counter() - started) / count

    seconds(1)
    count = max(1, min(most, int(SECONDS / seconds(1))))
    if steps.spent is not None:
        steps.spent[:] = 0
    return min(seconds(count) for _ in range(REPEATS))


def profile(model: Model, x: Any, y: Any) -> Profile:
    """Run a few steps of a model with and without cycle counters. The model's weights are left as they were."""
    model.initialize()
    before = {name: w.copy() for name, w in model.weights.items()}
    arrays = model.bind(x, y)
    rows = len(arrays[model.inputs[0].name])
    batch_size = min(model.training.batch_size, rows)
    plain, timed = Steps(model), Steps(model, timed=True)
    seconds, clocked = (_measure(steps, arrays, rows, batch_size) for steps in (plain, timed))
    for name, weight in before.items():
        model.weights[name][...] = weight
    model.state = {}
    assert timed.spent is not None
    program, batch = timed.machine.assembled, {model.batch: batch_size}
    cycles = timed.spent.mean(axis=0)  # over threads; a thread that is done sooner waits, which is counted apart
    scale = clocked * 1e6 / cycles.sum()
    item = np.dtype(model.training.dtype).itemsize
    found = [
        Row(
            describe(part.stage, program.schedule),
            _flops(part, batch, program.schedule.stored),
            _bytes(part, batch, item),
            spent * scale,
            spent / cycles.sum(),
            "thread 0" if part.split is None else f"axis {part.split}",
        )
        for part, spent in zip(program.parts, cycles, strict=False)
    ]
    temporary = held(plain.buffers(batch_size).values())
    memory = temporary + sum(a.nbytes for a in (*model.weights.values(), *arrays.values()))
    peak = best_rate(model.training.factors, plain.threads)
    waiting, overhead = cycles[-1] * scale, clocked / seconds - 1
    return Profile(found, waiting, seconds * 1e6, overhead, plain.threads, memory, batch_size, peak)
