"""A program as machine code in memory, the scratch it needs, and the threads that run it together.

It runs over addresses that are already right: whoever calls it has checked shapes, dtypes and ranges.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from symgrad.codegen import cache, native, peak, tiles
from symgrad.codegen.background import awaited
from symgrad.codegen.factors import factors_of
from symgrad.codegen.host import host, usable_cores
from symgrad.codegen.liveness import Life, arranged
from symgrad.codegen.multiply import block_entries
from symgrad.codegen.pool import Pool, interrupts_held
from symgrad.codegen.program import PAGE, Assembled, dtype_of, grain
from symgrad.codegen.runtime import share
from symgrad.codegen.source import source
from symgrad.errors import CompileError
from symgrad.expression import sizes
from symgrad.expression.node import Expr
from symgrad.expression.ops import Leaf

MEETING, RESULT = 64, 8  # numbers that the threads of a call share, and that each gives back
_pool = Pool()
ENTRY = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
)


def default_threads() -> int:
    """The processors this process may use, at most 8: networks of this size gain nothing from more."""
    return max(1, min(8, usable_cores()))


def library(dtype: str) -> dict[str, int]:
    """The addresses of the native library for kernels of a dtype, or for products of bfloat16: now in memory."""
    object_code, _, _ = cache.fetch(cache.key_of("native", dtype), lambda: (native.build(dtype), "native"))
    return native.load(dtype, object_code)


def best_rate(dtype: str, threads: int, rounds: int = 2_000_000, repeats: int = 5) -> float:
    """GFLOP/s that threads reach together with nothing but multiply-adds between registers, the best of a few runs.

    Of "bfloat16" these are of pairs.
    """
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(library(dtype)[peak.symbol(dtype)])
    factors, best = factors_of(host(), dtype), math.inf
    values = apart(threads, peak.CHAINS * factors.vector.lanes, factors.vector.dtype)
    values.fill(0.5)
    for _ in range(repeats):
        started = time.perf_counter()
        _pool.run(lambda thread: call(values[thread].ctypes.data, rounds), threads)
        best = min(best, time.perf_counter() - started)
    return threads * peak.operations(factors, rounds) / best / 1e9


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
            for dtype in dict.fromkeys((program.real, program.precision)):
                library(dtype)
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
            work = apart(threads, tiles.WORK_BYTES // real.itemsize, real)
            block = apart(threads, block_entries(self.assembled.block), real)
            places = [(work[t].ctypes.data, block[t].ctypes.data) for t in range(threads)]
            self._own.setdefault(threads, ([work, block], places))  # the first of two callers wins: addresses stay good
        return self._own[threads][1]

    def run(self, values: Mapping[str, np.ndarray | int], threads: int) -> None:
        """Run the kernel over a table of sizes and arrays, by slot name; returns when every thread is done."""
        slots, owned = self.assembled.slots, self.assembled.owned
        row = [0] * len(slots)
        for name, value in values.items():
            if name in slots and name not in owned:
                row[slots[name].place] = value if isinstance(value, int) else value.ctypes.data
        places = {leaf: row[slots[slot].place] for slot, leaf in self.assembled.inputs.items()}
        own = {
            slots[name].place: [part.ctypes.data for part in values[name]] if name in values else [places[node]]  # type: ignore[union-attr]
            for name, node in owned.items()
        }
        self.call(row, threads, own)

    def call(self, row: list[int], threads: int, owned: Mapping[int, Sequence[int]] | None = None) -> None:
        """Run the kernel over a row of sizes and addresses, in which the threads' own places are filled in here.

        `owned` has an address for each thread, by place.
        """
        slots, width = self.assembled.slots, len(row)
        # Where the threads meet, what each gives back, and a row for each: one array, so that one address is asked for.
        block = np.zeros(MEETING + (RESULT + width) * threads, np.int64)
        start = block.ctypes.data
        result, place = start + 8 * MEETING, start + 8 * (MEETING + RESULT * threads)
        row[slots["meeting"].place] = start
        for thread, (work, own) in enumerate(self.private(threads)):
            row[slots["work"].place], row[slots["block"].place] = work, own
            for place_of_own, addresses in (owned or {}).items():
                row[place_of_own] = addresses[thread]
            at = MEETING + RESULT * threads + thread * width
            block[at : at + width] = row

        def enter(thread: int) -> None:
            own = result + 8 * RESULT * thread
            status = self._entry(own, own + 8, thread, threads, place + 8 * width * thread)
            assert status == 0, f"the kernel returned {status}"

        _pool.run(enter, threads)

    def temporaries(self, extents: Mapping[str, int], threads: int) -> dict[str, np.ndarray]:
        """Fresh memory for everything the kernel stores: flat, or (threads, entries) where each has its own part.

        Buffers that are not needed at the same time share it. One thread alone works in weights and state where they
        lie.
        """
        lives, real = self.assembled.lives, self.assembled.program.real
        shared = {slot: (count, dtype) for slot, _, count, dtype in rooms(self.assembled, extents)}
        own: dict[str, tuple[int, str]] = {}
        found = {slot: part[0] for slot, part in in_one_memory(1, shared, lives).items()}
        for slot, node in self.assembled.owned.items():
            *outer, last = (sizes.bind(s, extents) for s in node.shape)
            count, dtype = math.prod(outer) * share(last, threads, 0, grain(last))[1], dtype_of(node, real).rstrip("_")
            if not isinstance(node.op, Leaf):
                own[slot] = count, dtype
            elif threads > 1:
                found[slot] = apart(threads, count, dtype)
        return found | in_one_memory(threads, own, lives)

    @cached_property
    def constants(self) -> dict[str, np.ndarray]:
        """The arrays that formulas hold, by slot, as the kernel takes them."""
        real = self.assembled.program.real
        return {s: flat(n.op.array, dtype_of(n, real)) for s, n in self.assembled.constants.items()}  # type: ignore[attr-defined]


def in_one_memory(
    threads: int, buffers: Mapping[str, tuple[int, str]], lives: Mapping[str, Life]
) -> dict[str, np.ndarray]:
    """Buffers of so many entries of a dtype in one memory for each thread."""
    room = {slot: count * np.dtype(dtype).itemsize for slot, (count, dtype) in buffers.items()}
    offsets, total = arranged(room, lives)
    memory = apart(threads, total, np.uint8)
    return {s: memory[:, offsets[s] : offsets[s] + room[s]].view(dtype) for s, (_, dtype) in buffers.items()}


def held(buffers: Iterable[np.ndarray]) -> int:
    """The bytes of memory that some buffers lie in, together."""
    return sum({id(b.base): b.base.nbytes for b in buffers if b.base is not None}.values())


def apart(threads: int, count: int, dtype: Any) -> np.ndarray:
    """Uninitialized memory for each thread, (threads, count): on pages of its own, with one between."""
    size = count * np.dtype(dtype).itemsize
    room = (-(-size // PAGE) + 1) * PAGE
    memory = np.empty(threads * room + PAGE, np.uint8)
    first = -memory.ctypes.data % PAGE
    rows = memory[first : first + threads * room].reshape(threads, room)
    return rows[:, :size].view(dtype)


def rooms(assembled: Assembled, extents: Mapping[str, int]) -> Iterator[tuple[str, Expr, int, str]]:
    """What a kernel stores: slot, node, entries and dtype; a buffer has an entry even where nothing is."""
    for slot, node in assembled.temporaries.items():
        count = max(1, math.prod(sizes.bind(s, extents) for s in node.shape))
        yield slot, node, count, dtype_of(node, assembled.program.real).rstrip("_")


def flat(array: np.ndarray, dtype: str) -> np.ndarray:
    """An array as a kernel takes it: contiguous, of the right dtype."""
    return np.ascontiguousarray(array, dtype.rstrip("_")).reshape(-1)
