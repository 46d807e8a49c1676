"""Pictures in the terminal: a digit, curves of training, a confusion matrix. Text in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

SHADES = " ░▒▓█"


def digit(image: np.ndarray, width: int = 28) -> str:
    """A square picture of bytes as text, two rows a line."""
    side = round(len(image) ** 0.5)
    if side * side != len(image):
        return ""
    picture = image.reshape(side, side).astype(np.float64)
    if side % 2:
        picture = np.vstack([picture, np.zeros((1, side))])
    top = max(float(picture.max()), 1.0)
    halves = picture.reshape(-1, 2, side).mean(axis=1) / top
    return "\n".join("".join(SHADES[min(4, int(v * 4.999))] for v in row).rstrip() for row in halves).rstrip()


def curves(series: Mapping[str, Sequence[float]], width: int = 60, height: int = 10) -> str:
    """Curves over the epochs in one frame; each series has a mark of its own."""
    marks = dict(zip(series, "●○▲△", strict=False))
    values = [v for s in series.values() for v in s]
    count = max(len(s) for s in series.values())
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    width = max(16, min(width, 12 * count))
    grid = [[" "] * width for _ in range(height)]
    for name, data in series.items():
        for position, value in enumerate(data):
            column = round(position * (width - 1) / max(1, count - 1))
            row = round((high - value) / span * (height - 1))
            grid[row][column] = marks[name]
    lines = []
    for number, cells in enumerate(grid):
        label = high - number * span / (height - 1)
        lines.append(f"{label:8.4f} ┤" + "".join(cells).rstrip())
    lines.append(" " * 9 + "└" + "─" * width)
    lines.append(f"{'epoch 1':>17}" + f"{f'epoch {count}':>{max(0, width - 7)}}" if count > 1 else f"{'epoch 1':>17}")
    return "\n".join([*lines, "  ".join(f"{marks[name]} {name}" for name in series)])


def confusion(matrix: np.ndarray, names: Sequence[str]) -> str:
    """Truth in rows, prediction in columns; what was never confused is a dot."""
    width = max(5, max(map(len, names)) + 1)
    lines = ["truth ↓  predicted →", " " * width + "".join(f"{n:>{width}}" for n in names)]
    for name, row in zip(names, matrix, strict=True):
        lines.append(f"{name:>{width}}" + "".join(f"{int(v) if v else '·':>{width}}" for v in row))
    return "\n".join(lines)
