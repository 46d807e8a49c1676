"""The words of generated source when it runs unjitted: NumPy twins, so that tests run the very text that is compiled.

`namespace(real)` is what the source sees as its globals. The compiled words stand in `jit`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from symgrad.codegen import elimination
from symgrad.codegen.native import TWINS

DTYPES = ("float32", "float64", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def size(table: Sequence[Any], place: int) -> int:
    """A size out of the table of what a kernel is given."""
    return int(table[place])


def array(table: Sequence[Any], place: int) -> np.ndarray:
    """A flat array out of the table."""
    result: np.ndarray = table[place]
    assert result.ndim == 1
    return result


def share(extent: int, threads: int, thread: int, grain: int) -> tuple[int, int]:
    """A thread's part of `extent` entries: from, to; parts are multiples of `grain` but for the last.

    >>> share(100, 2, 1, 16)
    (64, 100)
    """
    part = ((extent + threads - 1) // threads + grain - 1) // grain * grain
    return min(part * thread, extent), min(part * (thread + 1), extent)


def uniform(key: int, counter: Any) -> Any:
    """A uniform number in [0, 1) of 24 bits: the counter, spread by a key, through the mixer of SplitMix64.

    Steele, Lea and Flood 2014 ("Fast splittable pseudorandom number generators"), figure 16.

    >>> with np.errstate(over="ignore"):
    ...     float(uniform(0, 0)), bool(0 <= uniform(1, 2) < 1)
    (0.0, True)
    """
    z = np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key) * np.uint64(0xD1B54A32D192ED03)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float32(z >> np.uint64(40)) * np.float32(2.0**-24)


def namespace(real: str) -> dict[str, Any]:
    """The globals of generated source, unjitted."""
    from symgrad.codegen.elementary import ELEMENTARY  # imports Numba: only tests and the compiler need it

    functions = {name: row.twin for name, row in ELEMENTARY.items()}
    readers = {f"{dtype}_array": array for dtype in DTYPES}
    words = {"real": np.dtype(real).type, "int64": np.int64, "float64": np.float64, "inf": math.inf, "nan": math.nan}
    own = {"size": size, "share": share, "uniform": uniform, "cycles": time.perf_counter_ns}
    return {**functions, **readers, **words, **TWINS, **elimination.FUNCTIONS, **own}
