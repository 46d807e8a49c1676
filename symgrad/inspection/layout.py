"""Where boxes lie and edges run: rows from the inputs down, gradients beside them and upwards, few crossings.

Layers, dummies on long edges, sweeps of barycentres and straight lines after Sugiyama, Tagawa and Toda (1981). An edge
runs freely only between two rows, and through a row only in a lane of its own, so that it never crosses a box. Takes
widths, heights and pairs, gives positions; it must not know what the boxes stand for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from symgrad.inspection.crossings import Rows, ordered

BESIDE, LANE, GAP, CROWDED = 26.0, 12.0, 34.0, 1.5
STRAIGHTENING, PULL = 16, 0.2  # sweeps that move boxes towards their neighbours, and a little towards the middle
PORT = 14.0  # between two edges at one side of a box


@dataclass(frozen=True)
class Layout:
    """The left upper corner of each box; for each edge the points (x, y) of its lanes, from the used to the user.

    Between points 0 and 1, 2 and 3, ... an edge goes straight down or up; between 1 and 2, 3 and 4, ... it may bend.
    """

    corners: tuple[tuple[float, float], ...]
    routes: tuple[tuple[tuple[float, float], ...], ...]
    width: float
    height: float


def ranks(count: int, edges: Sequence[tuple[int, int]], backward: Collection[int]) -> list[int]:
    """The row of each box: below all that it uses, an input just above its first user; backward boxes stand above
    all that they use, so that a gradient climbs beside the values it belongs to.
    """
    uses: list[list[int]] = [[] for _ in range(count)]
    users: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        uses[b].append(a)
        users[a].append(b)
    rank: dict[int, int] = {}
    for b in range(count):
        if b not in backward:
            rank[b] = 1 + max((rank[a] for a in uses[b]), default=-1)
    for a in range(count):  # inputs move down to where they are first used
        below = [rank[b] for b in users[a] if b in rank]
        if a in rank and not uses[a] and below:
            rank[a] = min(below) - 1
    for b in range(count):
        if b in backward and uses[b]:
            rank[b] = min((rank[a] for a in uses[b] if a in rank), default=0) - 1
    for a in range(count):  # what only gradients use stands below its first user
        if a not in rank:
            rank[a] = 1 + max((rank[b] for b in users[a]), default=-1)
    lowest = min(rank.values(), default=0)
    return [rank[b] - lowest for b in range(count)]


def layout(boxes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], backward: Collection[int]) -> Layout:
    """Positions for boxes of some widths and heights, each listed after those it uses."""
    rank = ranks(len(boxes), edges, backward)
    rows, chains = _rows(rank, edges, backward)
    ordered(rows)
    widths = {v: boxes[v][0] if v < len(boxes) else LANE for row in rows.order for v in row}
    x = _straightened(rows, widths)
    left = min((x[v] - widths[v] / 2 for v in x), default=0.0)
    x = {v: place - left for v, place in x.items()}
    tops, heights = _heights(rows, boxes)
    corners = [(x[b] - w / 2, tops[rank[b]] + (heights[rank[b]] - h) / 2) for b, (w, h) in enumerate(boxes)]
    routes = _routes(chains, x, rank, boxes, corners, tops, heights)
    right = max((x[v] + widths[v] / 2 for v in x), default=0.0)
    bottom = tops[-1] + heights[-1] if tops else 0.0
    return Layout(tuple(corners), tuple(routes), right, bottom)


def _rows(
    rank: Sequence[int], edges: Sequence[tuple[int, int]], backward: Collection[int]
) -> tuple[Rows, list[list[int]]]:
    """The boxes of each row with a dummy wherever an edge passes through; and each edge as a chain of them.

    Forward boxes and their edges stand left, gradients right, what connects both between them.
    """
    order: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    side = {b: 2 * (b in backward) for b in range(len(rank))}
    for b, r in enumerate(rank):
        order[r].append(b)
    chains, links = [], []
    for a, b in edges:
        chain = [a]
        step = 1 if rank[b] > rank[a] else -1
        for r in range(rank[a] + step, rank[b], step):
            dummy = len(side)
            side[dummy] = (side[a] + side[b]) // 2
            order[r].append(dummy)
            chain.append(dummy)
        chains.append([*chain, b])
        links += [(v, w) if step > 0 else (w, v) for v, w in pairwise(chains[-1])]
    for row in order:
        row.sort(key=lambda v: side[v])
    return Rows(order, links, side), chains


def _straightened(rows: Rows, widths: Mapping[int, float]) -> dict[int, float]:
    """The middle of each vertex: near the mean of its neighbours, in order, without overlap.

    A weak pull towards the middle of all vertices of its side keeps deep networks from leaning.
    """
    x: dict[int, float] = {}
    for row in rows.order:
        place = 0.0
        for v in row:
            x[v] = place + widths[v] / 2
            place += widths[v] + BESIDE
    sides: dict[int, list[float]] = {}
    for v, place in x.items():
        sides.setdefault(rows.side[v], []).append(place)
    middle = {side: sum(places) / len(places) for side, places in sides.items()}
    for sweep in range(STRAIGHTENING):
        for row in rows.order if sweep % 2 == 0 else rows.order[::-1]:
            wishes = [PULL * middle[rows.side[v]] + (1 - PULL) * _near(rows, x, v) for v in row]
            x.update(zip(row, _apart(wishes, [widths[v] for v in row]), strict=True))
    return x


def _near(rows: Rows, x: Mapping[int, float], v: int) -> float:
    """The mean place of the neighbours."""
    near = rows.above[v] + rows.below[v]
    return sum(x[w] for w in near) / len(near) if near else x[v]


def _apart(wishes: Sequence[float], widths: Sequence[float]) -> list[float]:
    """The places nearest to the wishes (least squares) that keep order and distance: pool adjacent violators."""
    shift, shifts = 0.0, []
    for i, width in enumerate(widths):
        shift += (widths[i - 1] + width) / 2 + (BESIDE if max(width, widths[i - 1]) > LANE else 0) if i else 0.0
        shifts.append(shift)
    pools: list[tuple[float, int]] = []
    for wish, moved in zip(wishes, shifts, strict=True):
        mean, size = wish - moved, 1
        while pools and pools[-1][0] > mean:
            before, many = pools.pop()
            mean, size = (mean * size + before * many) / (size + many), size + many
        pools.append((mean, size))
    level = [mean for mean, size in pools for _ in range(size)]
    return [place + moved for place, moved in zip(level, shifts, strict=True)]


def _heights(rows: Rows, boxes: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The top and the height of each row; rows stand further apart where many edges run between them."""
    tops, heights, top = [], [], 0.0
    for row in rows.order:
        heights.append(max((boxes[v][1] for v in row if v < len(boxes)), default=0.0))
        tops.append(top)
        top += heights[-1] + GAP + min(40.0, CROWDED * sum(len(rows.below[v]) for v in row))
    return tops, heights


def _routes(
    chains: Sequence[Sequence[int]],
    x: Mapping[int, float],
    rank: Sequence[int],
    boxes: Sequence[tuple[float, float]],
    corners: Sequence[tuple[float, float]],
    tops: Sequence[float],
    heights: Sequence[float],
) -> list[tuple[tuple[float, float], ...]]:
    """The points of each edge; edges at one side of a box leave it side by side."""
    sides: dict[tuple[int, bool], list[tuple[float, int, int]]] = {}
    for number, chain in enumerate(chains):
        down = rank[chain[-1]] > rank[chain[0]]
        sides.setdefault((chain[0], down), []).append((x[chain[1]], number, 0))
        sides.setdefault((chain[-1], not down), []).append((x[chain[-2]], number, -1))
    ports: dict[tuple[int, int], float] = {}
    for (box, _), ends in sides.items():
        step = min(PORT, (boxes[box][0] - 16) / len(ends))
        for i, (_, number, end) in enumerate(sorted(ends)):
            ports[number, end] = x[box] + (i - (len(ends) - 1) / 2) * step
    routes = []
    for number, chain in enumerate(chains):
        first, last = chain[0], chain[-1]
        step = 1 if rank[last] > rank[first] else -1
        r, points = rank[first], list[tuple[float, float]]()
        for v in chain:
            near, far = (tops[r], tops[r] + heights[r])[::step]
            place = ports[number, 0] if v == first else ports[number, -1] if v == last else x[v]
            if v == first:
                near = corners[v][1] + (boxes[v][1] if step > 0 else 0)
            if v == last:
                far = corners[v][1] + (0 if step > 0 else boxes[v][1])
            points += [(place, near), (place, far)]
            r += step
        routes.append(tuple(points))
    return routes
