"""A program as machine code in memory, the scratch it needs, and the threads that run it together.

It runs over addresses that are already right: whoever calls it has checked shapes, dtypes and ranges.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np

from symgrad.codegen import cache, native, tiles
from symgrad.codegen.background import awaited
from symgrad.codegen.multiply import BLOCK
from symgrad.codegen.pool import Pool, interrupts_held
from symgrad.codegen.program import Assembled, dtype_of
from symgrad.codegen.source import source
from symgrad.errors import CompileError
from symgrad.expression import sizes
from symgrad.expression.node import Expr

MEETING, RESULT = 64, 8  # numbers that the threads of a call share, and that each gives back
_pool = Pool()
ENTRY = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
)


def default_threads() -> int:
    """The processors this process may use, at most 8: networks of this size gain nothing from more."""
    from symgrad.codegen.host import usable_cores

    return max(1, min(8, usable_cores()))


def library() -> bool:
    """Have the native library in memory; whether it came from the cache."""
    object_code, _, cached = cache.fetch(cache.key_of("native"), lambda: (native.build(), "native"))
    native.load(object_code)
    return cached


class Machine:
    """A program as machine code. `compile_seconds` is what making it took, `cached` whether the disk had it."""

    def __init__(self, assembled: Assembled, title: str) -> None:
        started = time.perf_counter()
        self.assembled = assembled
        self.source = source(assembled.program, title)
        program = assembled.program
        for slot in program.slots:  # what follows is executed: no name in it is anything but a name
            if not slot.name.isidentifier() or not slot.kind.isidentifier():
                raise CompileError(f"{slot.name!r} ({slot.kind!r}) cannot be a name in generated source; rename it")

        def make() -> tuple[bytes, str]:
            from symgrad.codegen.jit import compile_program  # imports Numba: only when there is something to compile

            objects, symbol = compile_program(program)
            return native.packed(objects), symbol

        def ready() -> tuple[native.Linked, str, bool]:
            library()
            object_code, symbol, cached = cache.fetch(cache.key_of(self.source, program.real), make, self.source)
            return native.link(native.unpacked(object_code), [symbol]), symbol, cached

        with interrupts_held() as interrupts:  # raised within LLVM or in what it frees, an interruption would be lost
            self._linked, symbol, self.cached = awaited(ready, interrupts)
        self._entry = ENTRY(self._linked.addresses[symbol])
        self._own: dict[int, tuple[list[np.ndarray], list[tuple[int, int]]]] = {}
        self.compile_seconds = time.perf_counter() - started

    def private(self, threads: int) -> list[tuple[int, int]]:
        """Addresses of each thread's scratch: for the tiles, and for rows of fused products."""
        if threads not in self._own:
            real = np.dtype(self.assembled.program.real)
            width = max(self.assembled.block, default=0)
            work = np.empty((threads, tiles.WORK_BYTES // real.itemsize + 64), real)
            block = np.empty((threads, BLOCK * width + 64), real)
            places = [(work[t].ctypes.data, block[t].ctypes.data) for t in range(threads)]
            self._own.setdefault(threads, ([work, block], places))  # the first of two callers wins: addresses stay good
        return self._own[threads][1]

    def run(self, values: Mapping[str, np.ndarray | int], threads: int) -> None:
        """Run the kernel over a table of sizes and arrays, by slot name; returns when every thread is done."""
        slots = self.assembled.slots
        row = [0] * len(slots)
        for name, value in values.items():
            if name in slots:
                row[slots[name].place] = value if isinstance(value, int) else value.ctypes.data
        self.call(row, threads)

    def call(self, row: list[int], threads: int) -> None:
        """Run the kernel over a row of sizes and addresses, in which the threads' own places are filled in here."""
        slots, width = self.assembled.slots, len(row)
        # Where the threads meet, what each gives back, and a row for each: one array, so that one address is asked for.
        block = np.zeros(MEETING + (RESULT + width) * threads, np.int64)
        start = block.ctypes.data
        result, place = start + 8 * MEETING, start + 8 * (MEETING + RESULT * threads)
        row[slots["meeting"].place] = start
        for thread, (work, own) in enumerate(self.private(threads)):
            row[slots["work"].place], row[slots["block"].place] = work, own
            at = MEETING + RESULT * threads + thread * width
            block[at : at + width] = row

        def enter(thread: int) -> None:
            own = result + 8 * RESULT * thread
            status = self._entry(own, own + 8, thread, threads, place + 8 * width * thread)
            assert status == 0, f"the kernel returned {status}"

        _pool.run(enter, threads)

    def temporaries(self, extents: Mapping[str, int]) -> dict[str, np.ndarray]:
        """Fresh buffers for everything the kernel stores, flat."""
        return {slot: np.empty(count, dtype) for slot, _, count, dtype in rooms(self.assembled, extents)}

    @cached_property
    def constants(self) -> dict[str, np.ndarray]:
        """The arrays that formulas hold, by slot, as the kernel takes them."""
        real = self.assembled.program.real
        return {s: flat(n.op.array, dtype_of(n, real)) for s, n in self.assembled.constants.items()}  # type: ignore[attr-defined]


def rooms(assembled: Assembled, extents: Mapping[str, int]) -> Iterator[tuple[str, Expr, int, str]]:
    """What a kernel stores: slot, node, entries and dtype; a buffer has an entry even where nothing is."""
    for slot, node in assembled.temporaries.items():
        count = max(1, math.prod(sizes.bind(s, extents) for s in node.shape))
        yield slot, node, count, dtype_of(node, assembled.program.real).rstrip("_")


def flat(array: np.ndarray, dtype: str) -> np.ndarray:
    """An array as a kernel takes it: contiguous, of the right dtype."""
    return np.ascontiguousarray(array, dtype.rstrip("_")).reshape(-1)
