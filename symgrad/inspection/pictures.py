"""Arrays as pictures inside a page: rows of bytes as grey squares, weights from blue over white to red.

Takes arrays, gives <img> elements with the PNG in their address. Knows nothing of models.
"""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symgrad.inspection.page import plain

RED, BLUE = np.array([178.0, 24.0, 43.0]), np.array([33.0, 102.0, 172.0])
BORDER, WHITE = 1, 255


def image(pixels: NDArray[np.uint8], about: str, width: int) -> str:
    """Bytes of shape (rows, columns), or (rows, columns, 3), as one <img> that is `width` wide on the page."""
    from PIL import Image  # heavy, and only pages with pictures need it

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    data = base64.b64encode(stream.getvalue()).decode()
    height = round(width * pixels.shape[0] / pixels.shape[1])
    return f'<img src="data:image/png;base64,{data}" alt="{plain(about)}" width="{width}" height="{height}"/>'


def grey(row: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """A row of features as a picture, its smallest value white and its largest black."""
    values = row.reshape(shape).astype(np.float64)
    low, high = values.min(), values.max()
    return np.asarray(np.rint(255 - 255 * (values - low) / ((high - low) or 1.0)), np.uint8)


def sheet(weights: NDArray[Any], shape: tuple[int, int], columns: int) -> NDArray[np.uint8]:
    """Columns of weights, shape (features, units), as pictures side by side; zero is white, red positive.

    All share one scale, at whose ends lie 1 % of the weights.
    """
    units = weights.shape[1]
    rows = math.ceil(units / columns)
    scale = float(np.quantile(np.abs(weights), 0.99)) or 1.0
    share = np.clip(weights.astype(np.float64) / scale, -1, 1)
    height, width = shape[0] + BORDER, shape[1] + BORDER
    canvas = np.full((rows * height - BORDER, columns * width - BORDER, 3), float(WHITE))
    for unit in range(units):
        top, left = (unit // columns) * height, (unit % columns) * width
        part = share[:, unit].reshape(*shape, 1)
        canvas[top : top + shape[0], left : left + shape[1]] = np.where(
            part > 0, WHITE + part * (RED - WHITE), WHITE - part * (BLUE - WHITE)
        )
    return np.asarray(np.rint(canvas), np.uint8)
