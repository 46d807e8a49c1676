"""Which buffers may lie in the same memory: one is done with before the other is begun.

What one thread is done with another may still need, up to where all of them meet. So time is counted in meetings, but
in stages for buffers of which each thread has its own part, if these parts lie alike: rows of equal length.
"""

from __future__ import annotations

import bisect
import heapq
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from symgrad.codegen.host import LINE
from symgrad.codegen.names import product_text, size_text
from symgrad.codegen.sharding import divided

if TYPE_CHECKING:
    from symgrad.codegen.sharding import Part
    from symgrad.expression.node import Expr


@dataclass(frozen=True)
class Life:
    """When a buffer is first and last touched, both included, and among which buffers that says something."""

    group: Hashable
    begun: int
    done: int


WHOLE = Life("a stage's own", 0, 0)  # of what lies apart from all others: equal times are never free of each other


def lives(parts: Sequence[Part], own: Collection[Expr], kept: Collection[Expr]) -> dict[Expr, Life]:
    """When each buffer is needed that a stage writes and that others may read; what is kept, until the end."""
    parts = sorted(parts, key=lambda part: part.stage.only_training)  # as they run
    meetings = list(accumulate(int(part.barrier) for part in parts))
    alike: dict[Expr, Hashable] = dict.fromkeys(own, "own")
    for buffer in divided(parts, 0):
        alike.setdefault(buffer, (buffer.kind, buffer.shape[0], product_text(sorted(map(size_text, buffer.shape[1:])))))
    found: dict[Expr, Life] = {}
    for place, part in enumerate(parts):
        for buffer in (*part.writes, *(read for read, _ in part.reads)):
            if buffer in found or buffer in part.writes:
                time = place if buffer in alike else meetings[place]
                begun = found[buffer].begun if buffer in found else time
                found[buffer] = Life(alike.get(buffer), begun, len(parts) if buffer in kept else time)
    return found


def arranged(sizes: Mapping[str, int], times: Mapping[str, Life]) -> tuple[dict[str, int], int]:
    """Where each buffer begins, on a cache line, and how many bytes there are in all.

    In the order in which they are begun, each takes the smallest free room that is large enough, or the largest, which
    grows, or a new one.

    >>> times = {"a": Life("", 0, 1), "b": Life("", 1, 2), "c": Life("", 2, 2)}
    >>> arranged({"a": 100, "b": 10, "c": 64}, times)
    ({'a': 0, 'b': 128, 'c': 0}, 192)
    """
    rooms: list[int] = []  # their bytes
    found: dict[str, int] = {}
    free: defaultdict[Hashable, list[tuple[int, int]]] = defaultdict(list)  # of each group: bytes, room
    taken: defaultdict[Hashable, list[tuple[int, int]]] = defaultdict(list)  # until when, room
    for slot in sorted(sizes, key=lambda slot: times[slot].begun):
        life, size = times[slot], -(-sizes[slot] // LINE) * LINE
        empty, full = free[life.group], taken[life.group]
        while full and full[0][0] < life.begun:
            room = heapq.heappop(full)[1]
            bisect.insort(empty, (rooms[room], room))
        if empty:
            _, room = empty.pop(min(bisect.bisect_left(empty, (size, -1)), len(empty) - 1))
            rooms[room] = max(rooms[room], size)
        else:
            room = len(rooms)
            rooms.append(size)
        found[slot] = room
        heapq.heappush(full, (life.done, room))
    starts = [0, *accumulate(rooms)]
    return {slot: starts[room] for slot, room in found.items()}, starts[-1]
