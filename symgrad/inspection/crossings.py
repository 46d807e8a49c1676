"""The order within rows that lets few edges cross: sweeps of barycentres, the best order seen is kept.

Takes rows of numbers and the links between neighbouring rows; must not know what they stand for.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from itertools import groupby

SWEEPS = 12


class Rows:
    """`order` holds the vertices of each row from left to right; links lead from a row to the next.

    `side` keeps groups apart: within a row, lower sides stand left.
    """

    def __init__(self, order: list[list[int]], links: Sequence[tuple[int, int]], side: Mapping[int, int]) -> None:
        self.order, self.side = order, side
        self.above: dict[int, list[int]] = {v: [] for row in order for v in row}
        self.below: dict[int, list[int]] = {v: [] for row in order for v in row}
        for v, w in links:
            self.below[v].append(w)
            self.above[w].append(v)

    def links(self, v: int) -> int:
        """How many links a vertex has."""
        return len(self.above[v]) + len(self.below[v])

    def crossings(self) -> int:
        """How many pairs of links cross.

        >>> Rows([[0, 1], [2, 3]], [(0, 3), (1, 2)], dict.fromkeys(range(4), 0)).crossings()
        1
        """
        total = 0
        for upper, lower in zip(self.order, self.order[1:], strict=False):
            at, seen = {v: i for i, v in enumerate(lower)}, list[int]()
            for v in upper:
                ends = sorted(at[w] for w in self.below[v])
                total += sum(len(seen) - bisect_right(seen, end) for end in ends)
                for end in ends:
                    insort(seen, end)
        return total


def ordered(rows: Rows) -> None:
    """Put the vertices of every row into an order with few crossings."""
    best, least = [list(row) for row in rows.order], rows.crossings()
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        sequence = range(1, len(rows.order)) if down else range(len(rows.order) - 2, -1, -1)
        for r in sequence:
            fixed, near = (rows.order[r - 1], rows.above) if down else (rows.order[r + 1], rows.below)
            _sort(rows, r, {v: i for i, v in enumerate(fixed)}, near)
        found = rows.crossings()
        if found <= least:
            best, least = [list(row) for row in rows.order], found
    rows.order[:] = best


def _sort(rows: Rows, r: int, at: Mapping[int, int], near: Mapping[int, list[int]]) -> None:
    """Sort one row by the mean place of its neighbours; who has none stays where it stands among the others.

    Of those that share a place, the one with most links comes into the middle: the main line stays straight.
    """
    row = rows.order[r]
    scale = len(at) / max(1, len(row))
    wish = {v: sum(at[w] for w in near[v]) / len(near[v]) if near[v] else place * scale for place, v in enumerate(row)}
    row.sort(key=lambda v: (rows.side[v], wish[v], rows.links(v)))
    groups = [list(same) for _, same in groupby(row, key=lambda v: (rows.side[v], wish[v]))]
    row[:] = [v for group in groups for v in (*group[::2], *group[1::2][::-1])]
