"""Curves over the epochs as SVG, with axes, ticks and labels; and a matrix of counts as a table.

Takes numbers and names, gives fragments of a page. Knows nothing of models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from symgrad.inspection.page import plain, wide
from symgrad.inspection.svg import FONT, text_width

WIDTH, HEIGHT = 560.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 16.0, 34.0, 44.0
COLOURS = ("#1d5fb4", "#d9730d", "#5f9e66", "#8d6fc9")
DASHES = ("", "6 3", "2 3", "8 3 2 3")  # told apart in grey print too
LARGEST = 26  # classes that a matrix shows
INK, GRID = "#5f6b7a", "#e3e8ee"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers, about `count` of them, that reach from below `low` to above `high`.

    >>> ticks(0.013, 0.92)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span / count))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if m * step * count >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, max(last, first + 1) + 1)]


def _epochs(count: int) -> list[int]:
    """Epochs to label: at most about ten, the first and round ones."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if count <= 10 * s)
    return [e for e in range(1, count + 1) if e == 1 or e % step == 0]


def curves(series: Mapping[str, Sequence[float]], label: str) -> str:
    """Curves over the epochs 1, 2 ... in one frame, as one <svg> element; numbers that are not finite are left out."""
    finite = [v for values in series.values() for v in values if math.isfinite(v)]
    count = max(map(len, series.values()))
    levels = ticks(min(finite), max(finite)) if finite else [0.0, 1.0]
    low, high = levels[0], levels[-1]

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((epoch - 1) / (count - 1) if count > 1 else 0.5)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:.0f}" height="{HEIGHT:.0f}" '
        f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" font-family="{FONT}" font-size="11" fill="{INK}">',
        f"<title>{plain(label)} over the epochs</title>",
    ]
    for level in levels:
        parts.append(f'<path d="M{LEFT},{y(level):.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">{level:g}</text>')
    for epoch in _epochs(count):
        parts.append(f'<path d="M{x(epoch):.1f},{HEIGHT - BOTTOM}v5" stroke="{INK}"/>')
        parts.append(f'<text x="{x(epoch):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{epoch}</text>')
    parts.append(f'<path d="M{LEFT},{TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="{INK}"/>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">epoch</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text transform="translate(14,{middle}) rotate(-90)" text-anchor="middle">{plain(label)}</text>')
    place = LEFT
    for number, (name, values) in enumerate(series.items()):
        points = [(x(e), y(v)) for e, v in enumerate(values, 1) if math.isfinite(v)]
        parts += _curve(points, number, len(points) <= 40)
        parts += _key(name, number, place)
        place += 44 + text_width(name, 11)
    return "\n".join([*parts, "</svg>"])


def _curve(points: Sequence[tuple[float, float]], number: int, marked: bool) -> list[str]:
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    line = " ".join(f"{u:.1f},{v:.1f}" for u, v in points)
    dots = [f'<circle cx="{u:.1f}" cy="{v:.1f}" r="2.6" fill="{colour}"/>' for u, v in points] if marked else []
    stroke = f'stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash or "none"}"'
    return [f'<polyline points="{line}" fill="none" {stroke}/>', *dots]


def _key(name: str, number: int, x: float) -> list[str]:
    """What a line is, above the frame."""
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    return [
        f'<path d="M{x:.1f},16h22" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash or "none"}"/>',
        f'<text x="{x + 27:.1f}" y="20">{plain(name)}</text>',
    ]


def matrix(counts: np.ndarray, names: Sequence[str]) -> str:
    """Counts of truth (rows) against prediction (columns) as a table, the darker the larger the share of its row."""
    heads = "".join(f"<th>{plain(name)}</th>" for name in names)
    rows = []
    for i, (name, row) in enumerate(zip(names, counts, strict=True)):
        total = max(1, int(row.sum()))
        cells = []
        for j, count in enumerate(row):
            colour = "46,125,50" if i == j else "198,40,40"
            share = count / total
            strength = 0.0 if not count else 0.12 + 0.38 * share if i == j else min(0.75, 0.1 + 6 * share)
            cells.append(f'<td style="background:rgba({colour},{strength:.2f})">{int(count) if count else "·"}</td>')
        rows.append(f"<tr><th>{plain(name)}</th>{''.join(cells)}</tr>")
    top = f'<tr><th></th><th colspan="{len(names)}" style="text-align:left">predicted</th></tr>'
    return wide(f'<table class="matrix">{top}<tr><th>truth</th>{heads}</tr>\n{chr(10).join(rows)}</table>')
