"""How parameters start. An initialiser is a name and perhaps a scale; a seed and a parameter's position do the rest.

`W = sg.parameter("W", (784, 512), init=sg.normal(0.01))`. A few numbers may be given as they are, and are then the
initialiser's name: `init=[[0.15, 0.25], [0.2, 0.3]]`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from symgrad.errors import ExpressionError


@dataclass(frozen=True)
class Initializer:
    """A way to start a tensor; calling it sets its scale: normal(0.01)."""

    name: str
    scale: float | None = None

    def __call__(self, scale: float) -> Initializer:
        if DEFAULTS[self.name] is None:
            raise ExpressionError(f"{self.name} has no scale to set")
        return Initializer(self.name, float(scale))

    def __str__(self) -> str:
        return self.name if self.scale is None else f"{self.name}({self.scale!r})"


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    """Inputs and outputs of a weight: the last two axes, those before count as receptive field (Keras)."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


DEFAULTS: dict[str, float | None] = {
    "zeros": None,
    "ones": None,
    "normal": 0.05,
    "uniform": 0.05,
    "glorot_uniform": None,
    "he_uniform": None,
}
_DRAW: dict[str, Callable[[np.random.Generator, Sequence[int], float], np.ndarray]] = {
    "zeros": lambda random, shape, scale: np.zeros(shape),
    "ones": lambda random, shape, scale: np.ones(shape),
    "normal": lambda random, shape, scale: random.normal(0.0, scale, shape),
    "uniform": lambda random, shape, scale: random.uniform(-scale, scale, shape),
    # Glorot and Bengio 2010, equation 16
    "glorot_uniform": lambda random, shape, scale: _within(random, shape, math.sqrt(6 / max(1, sum(_fans(shape))))),
    # He et al. 2015, equation 10, as a uniform distribution of that variance
    "he_uniform": lambda random, shape, scale: _within(random, shape, math.sqrt(6 / max(1, _fans(shape)[0]))),
}


def _within(random: np.random.Generator, shape: Sequence[int], limit: float) -> np.ndarray:
    return random.uniform(-limit, limit, shape)


given = re.compile(r"[-\[0-9]")  # how numbers begin, which are written as JSON


def parse(text: str) -> Initializer:
    """The initialiser that a text names. Raises ExpressionError.

    >>> str(parse("normal(0.01)"))
    'normal(0.01)'
    """
    match = re.fullmatch(r"(\w+)(?:\(([0-9.eE+-]+)\))?", text)
    if not match or match[1] not in DEFAULTS:
        raise ExpressionError(f"{text!r} is not an initialiser; there are {', '.join(DEFAULTS)}")
    return Initializer(match[1], float(match[2]) if match[2] else None)


def draw(text: str, shape: Sequence[int], seed: int, position: int) -> np.ndarray:
    """The starting values of the parameter at a position of the model: float64, the same for the same seed."""
    if given.match(text):
        return np.array(json.loads(text), np.float64).reshape(shape)
    chosen = parse(text)
    random = np.random.Generator(np.random.Philox(key=[seed, position]))
    scale = chosen.scale if chosen.scale is not None else DEFAULTS[chosen.name] or 0.0
    return _DRAW[chosen.name](random, shape, scale)


zeros, ones, normal, uniform, glorot_uniform, he_uniform = map(Initializer, DEFAULTS)
__all__ = ["glorot_uniform", "he_uniform", "normal", "ones", "uniform", "zeros"]
