"""Which axis each thread owns in each stage, chosen by the bytes that would cross cores; and where threads must meet.

A buffer belongs, along one axis, to the threads that wrote it; reading it along another index means its bytes cross.
Weights and optimizer state belong to whoever updates them, so owning hidden units keeps them in one core's cache for
the whole run. The choice is a local search from two starting points; it depends on shapes only, never on timing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from symgrad.codegen.products import as_product, entries
from symgrad.codegen.schedule import MATRICES, Stage, is_heavy
from symgrad.expression import ops
from symgrad.expression.node import Expr
from symgrad.expression.ops import Contraction

WIDE = 16  # along shorter axes threads get unequal parts; they are divided only where there is no longer one
PARTS = 2  # threads, about
TILE = 32  # columns of the widest tile
BYTES_OF_FLOP = 0.04  # bytes that cross cores in the time of one operation of a product, about
Access = tuple[Expr, tuple[int | None, ...]]  # a buffer, and for each of its axes the stage's axis that indexes it


@dataclass
class Part:
    """A stage with what it reads and writes; `split` is the axis that threads divide, None: thread 0 does it."""

    stage: Stage
    reads: list[Access]
    split: int | None = None
    barrier: bool = False  # threads meet before it
    crossing: int = 0  # bytes that cross cores, about
    candidates: list[int] = field(default_factory=list)

    @property
    def writes(self) -> list[Expr]:
        return [t if t is not None else n for n, t in zip(self.stage.nodes, self.stage.targets, strict=True)]


def candidates(stage: Stage) -> list[int]:
    """The axes that may be divided between threads: those that no loop inside sums over."""
    node = stage.nodes[0]
    found = [a for a, s in enumerate(stage.shape) if not (isinstance(s, int) and s <= 1)]
    if stage.targets == [None] and is_heavy(node) and not as_product(node):
        if isinstance(node.op, MATRICES):
            found = found[: len(node.args[0].shape) - 2]
        if isinstance(node.op, ops.Softmax):
            found = [a for a in found if a not in node.op.axes]
        while isinstance(node.op, ops.Scatter | ops.Pad | ops.Concatenate | ops.Overlap):
            axis, node = node.op.axis, node.args[0]
            found = [a for a in found if a != axis]
            if not isinstance(node.op, ops.Pad):
                break
    wide = [a for a in found if not isinstance(stage.shape[a], int) or stage.shape[a] >= WIDE]
    return wide or found


def _idle(part: Part, split: int | None) -> int:
    """What narrow tiles cost, in bytes that might cross instead: a product's columns divided below a tile's width."""
    node = part.stage.nodes[0] if part.stage.product is None else part.stage.product
    product = as_product(node)
    columns = node.shape[-1] if node.shape else 0
    if product is None or split != node.ndim - 1 or not isinstance(columns, int):
        return 0
    each = -(-columns // PARTS)
    filled = each / (-(-each // TILE) * TILE)
    assert isinstance(node.op, Contraction)
    work = 2 * entries(tuple(node.op.sizes_of(node.args).values()))
    return int(work * BYTES_OF_FLOP * (1 / filled - 1))


def _crossing(part: Part, split: int | None, owner: Callable[[Expr], int | None]) -> int:
    """The bytes a stage would read from buffers that other threads wrote."""
    total = 0
    for buffer, axes in dict.fromkeys(part.reads):
        own = owner(buffer)
        if own is None or split is None or own >= len(axes) or axes[own] != split:
            total += 4 * entries(buffer.shape) if own is not None else 0
    return total


def choose(parts: Sequence[Part]) -> None:
    """Set every part's split, the cheaper of two local searches."""
    writer = {buffer: part for part in parts for buffer in part.writes}
    readers: dict[Expr, list[Part]] = {}
    for part in parts:
        for buffer, _ in part.reads:
            readers.setdefault(buffer, []).append(part)
        part.candidates = candidates(part.stage)
    best: tuple[int, list[int | None]] | None = None
    for start in (0, -1):
        for part in parts:
            part.split = part.candidates[start] if part.candidates else None
        _improve(parts, writer, readers)
        total = _total(parts, writer)
        if best is None or total < best[0]:
            best = (total, [p.split for p in parts])
    assert best is not None
    for part, split in zip(parts, best[1], strict=True):
        part.split = split
    for part in parts:
        part.crossing = _crossing(part, part.split, lambda buffer: _owner(buffer, writer))


def _total(parts: Sequence[Part], writer: dict[Expr, Part]) -> int:
    """The bytes that cross cores in some stages, and what narrow tiles cost."""

    def owner(buffer: Expr) -> int | None:
        return _owner(buffer, writer)

    return sum(_crossing(part, part.split, owner) + _idle(part, part.split) for part in parts)


def _owner(buffer: Expr, writer: dict[Expr, Part]) -> int | None:
    return writer[buffer].split if buffer in writer else None


def _improve(parts: Sequence[Part], writer: dict[Expr, Part], readers: dict[Expr, list[Part]]) -> None:
    for _ in range(4):
        changed = False
        for part in parts:
            around = {id(p): p for b in part.writes for p in readers.get(b, [])} | {id(part): part}

            def cost(split: int, part: Part = part, around: dict[int, Part] = around) -> int:
                before, part.split = part.split, split
                total = _total(list(around.values()), writer)
                part.split = before
                return total

            if len(part.candidates) > 1:
                better = min(part.candidates, key=cost)
                if cost(better) < cost(part.split if part.split is not None else better):
                    part.split, changed = better, True
        if not changed:
            return


def place_barriers(parts: Sequence[Part]) -> None:
    """Threads meet before a stage that reads what another thread wrote, or overwrites what another still reads."""
    written: dict[Expr, Part] = {}
    read: dict[Expr, list[tuple[Part, tuple[int | None, ...]]]] = {}
    for part in parts:
        part.barrier = any(
            b in written and not _same_thread(written[b].split, axes, part.split) for b, axes in part.reads
        )
        part.barrier |= any(
            not _same_thread(part.split, axes, reader.split) for b in part.writes for reader, axes in read.get(b, [])
        )
        if part.barrier:
            written.clear()
            read.clear()
        for buffer in part.writes:
            written[buffer] = part
        for buffer, axes in part.reads:
            read.setdefault(buffer, []).append((part, axes))


def private(parts: Sequence[Part]) -> list[Expr]:
    """The buffers whose last axis threads divide and of which none ever touches another's part.

    A row of such a buffer lies in several threads' parts. A core that reads ahead along it fetches what another core is
    about to write, so that these lines go back and forth: with memory for each part this does not happen.
    """
    found = divided(parts, -1)
    return [buffer for buffer in found if buffer.ndim > 1 and isinstance(buffer.shape[-1], int)]


def divided(parts: Sequence[Part], axis: int) -> list[Expr]:
    """The buffers whose first (0) or last (-1) axis threads divide and of which none ever touches another's part."""
    touched: dict[Expr, list[tuple[int | None, tuple[int | None, ...]]]] = {}
    for part in parts:
        for buffer in part.writes:
            touched.setdefault(buffer, []).append((part.split, tuple(range(buffer.ndim))))
    for part in parts:
        for buffer, axes in part.reads:
            if buffer in touched:
                touched[buffer].append((part.split, axes))
    return [
        b
        for b, found in touched.items()
        if b.ndim and all(split is not None and _same_thread(axis % b.ndim, axes, split) for split, axes in found)
    ]


def _same_thread(owner: int | None, axes: tuple[int | None, ...], split: int | None) -> bool:
    """Whether a thread touches only entries it owns; the ranges of equal sizes are cut alike."""
    if owner is None or split is None:
        return owner is None and split is None
    return owner < len(axes) and axes[owner] == split
