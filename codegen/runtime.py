"""The words of generated source when it runs unjitted: NumPy twins, so that tests run the very text that is compiled.

`namespace(real)` is what the source sees as its globals. The compiled words stand in `jit`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

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


def namespace(real: str) -> dict[str, Any]:
    """The globals of generated source, unjitted."""
    from symgrad.codegen.elementary import ELEMENTARY  # imports Numba: only tests and the compiler need it

    functions = {name: row.twin for name, row in ELEMENTARY.items()}
    readers = {f"{dtype}_array": array for dtype in DTYPES}
    words = {"real": np.dtype(real).type, "int64": np.int64, "float64": np.float64, "inf": math.inf, "nan": math.nan}
    return {**functions, **readers, **words, **TWINS, "size": size, "share": share, "cycles": time.perf_counter_ns}
