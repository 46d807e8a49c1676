"""What generated source calls when it runs unjitted: the same in NumPy, with every index checked."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from symgrad.codegen.tiles import RUNS, WORK_BYTES

Floats = NDArray[np.floating[Any]]


def fetch_twin(values: Any, start: int, count: int) -> None:
    """Nothing is fetched ahead in Python; the place is checked."""
    assert start >= 0 and start + count <= len(values), f"entries {start} to {start + count} of {len(values)}"


def matmul_twin(
    a: Floats, a_start: int, a_row: int, a_col: int, b: Floats, b_start: int, b_row: int, b_col: int,
    c: Floats, c_start: int, c_row: int, rows: int, columns: int, depth: int, runs: int, a_run: int, b_run: int,
    add: int, work: Floats, factors: Callable[[Floats], Floats] = np.asarray,
) -> None:  # fmt: skip
    """The native product, on flat arrays, of factors rounded by a function."""
    assert work.nbytes >= WORK_BYTES, f"work holds {work.nbytes} bytes, not {WORK_BYTES}"
    assert runs == 1 or (b_col == 1 and runs > 1 and runs * depth <= RUNS)
    total = matrix(c, c_start, (rows, columns), (c_row, 1))
    for run in range(runs):
        left = factors(matrix(a, a_start + run * a_run, (rows, depth), (a_row, a_col)))
        right = factors(matrix(b, b_start + run * b_run, (depth, columns), (b_row, b_col)))
        total[...] = total + left @ right if add or run else left @ right


def rounded(values: Floats) -> Floats:
    """Numbers of float32 rounded to the nearest bfloat16, ties to even: 8 bits of precision.

    >>> rounded(np.array([1 / 3, 1.00390625, -np.inf, 3.4e38], np.float32)).tolist()
    [0.333984375, 1.0, -inf, inf]
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = bits + (0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(values), values, nearest.view(np.float32))


def matrix(flat: Floats, start: int, shape: tuple[int, int], strides: tuple[int, int]) -> Floats:
    """A view of a flat array as a matrix; strides count elements."""
    assert flat.ndim == 1 and flat.flags.c_contiguous
    if 0 in shape:
        return np.zeros(shape, flat.dtype)
    ends = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
    low, high = start + sum(min(e, 0) for e in ends), start + sum(max(e, 0) for e in ends)
    assert low >= 0 and high < flat.size, f"elements {low} to {high} of {flat.size}"
    return as_strided(flat[start:], shape, [stride * flat.itemsize for stride in strides])
