"""A compiled kernel: machine code in memory, the buffers it needs, and the threads that run it together.

`Machine` runs a program over arrays that are already right; `compile` is the public face that checks a caller's.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

from symgrad.codegen import cache, native, tiles
from symgrad.codegen.background import awaited
from symgrad.codegen.multiply import BLOCK
from symgrad.codegen.names import size_text
from symgrad.codegen.pool import Pool, interrupts_held
from symgrad.codegen.program import Assembled, assemble, dtype_of
from symgrad.codegen.schedule import make_schedule
from symgrad.codegen.source import source
from symgrad.codegen.views import plain_view
from symgrad.errors import BindingError, CompileError
from symgrad.expression import binding, ops, sizes
from symgrad.expression.forms import evaluation_forms
from symgrad.expression.node import Expr, leaves, topological
from symgrad.expression.ops import Constant, Contraction, Leaf, Named
from symgrad.expression.scalars import REAL

KNOWN_SIZES = 64  # combinations of sizes that a kernel remembers
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
        library()

        def make() -> tuple[bytes, str]:
            from symgrad.codegen.jit import compile_program  # imports Numba: only when there is something to compile

            with interrupts_held() as interrupts:  # raised within LLVM, an interruption would be lost
                objects, symbol = awaited(lambda: compile_program(program), interrupts)
            return native.packed(objects), symbol

        object_code, symbol, self.cached = cache.fetch(cache.key_of(self.source, program.real), make, self.source)
        self._linked = native.link(native.unpacked(object_code), [symbol])
        self._entry = ENTRY(self._linked.addresses[symbol])
        self._own: dict[int, tuple[list[np.ndarray], list[tuple[int, int]]]] = {}
        self._counts: dict[tuple[int, ...], dict[str, tuple[int, str]]] = {}
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
        slots, meeting = self.assembled.slots, np.zeros(64, np.int64)
        row = [0] * len(slots)
        for name, value in values.items():
            if name in slots:
                row[slots[name].place] = value if isinstance(value, int) else value.ctypes.data
        row[slots["meeting"].place] = meeting.ctypes.data
        rows = []
        for work, block in self.private(threads):
            row[slots["work"].place], row[slots["block"].place] = work, block
            rows.append(tuple(row))
        table, results = np.array(rows, np.int64), np.zeros((threads, 8), np.int64)
        width, place, result = table.strides[0], table.ctypes.data, results.ctypes.data

        def call(thread: int) -> None:
            own = result + thread * results.strides[0]
            status = self._entry(own, own + 8, thread, threads, place + thread * width)
            assert status == 0, f"the kernel returned {status}"

        _pool.run(call, threads)

    def temporaries(self, extents: Mapping[str, int]) -> dict[str, np.ndarray]:
        """Fresh buffers for everything the kernel stores, flat."""
        key = tuple(extents.values())
        counts = self._counts.get(key)  # looked up once: another thread may clear what is remembered
        if counts is None:
            counts = {
                name: (max(1, math.prod(sizes.bind(s, extents) for s in node.shape)), self._dtype(node))
                for name, node in self.assembled.temporaries.items()
            }
            if len(self._counts) >= KNOWN_SIZES:
                self._counts.clear()
            self._counts[key] = counts
        return {name: np.empty(count, dtype) for name, (count, dtype) in counts.items()}

    def _dtype(self, node: Expr) -> str:
        return dtype_of(node, self.assembled.program.real).rstrip("_")


def flat(array: np.ndarray, dtype: str) -> np.ndarray:
    """An array as a kernel takes it: contiguous, of the right dtype."""
    return np.ascontiguousarray(array, dtype.rstrip("_")).reshape(-1)


class Kernel:
    """Compiled expressions: call it with arrays by name (or a dict of leaves), get arrays back.

    `source` is the generated Python. Sizes with names are read off the arrays at each call.
    """

    def __init__(
        self, expressions: Sequence[Expr], single: bool, dtype: str, threads: int, written: Sequence[Expr] = ()
    ) -> None:
        if dtype not in ("float32", "float64"):
            raise CompileError(f"kernels compute in float32 or float64, not {dtype!r}")
        self.dtype, self.threads, self._single = dtype, threads, single
        # As written: what simplification did away with may be given all the same, and may be all that tells a size.
        self.inputs = leaves([*expressions, *written])
        self._limits = binding.limits(topological(expressions))
        self._picked = [n for n in topological(expressions) if isinstance(n.op, ops.Take | ops.Scatter)]
        outputs = {f"output{i}": e for i, e in enumerate(expressions)}
        self._schedule = make_schedule(outputs)
        assembled = assemble(self._schedule, dtype, "kernel")
        self._sizes = sizes.names(assembled.sizes)
        self._machine = Machine(assembled, "a kernel for " + ", ".join(e.label for e in expressions)[:200])
        self.source = self._machine.source
        self.compile_seconds, self.cached = self._machine.compile_seconds, self._machine.cached
        self._dtypes = {name: dtype_of(leaf, dtype) for name, leaf in self.inputs.items()}
        self._labels = [leaf for leaf in self.inputs.values() if isinstance(leaf.op, ops.Variable) and leaf.op.classes]
        self._seen: dict[tuple[object, ...], dict[str, int]] = {}  # sizes of arrays that have been checked once

    def __call__(self, given: Mapping[Any, object] | None = None, /, **named: object) -> Any:
        """The values, as a list for a list and as one array for one expression. Raises BindingError."""
        arrays, extents = self._bound({**(given or {}), **named})
        binding.check_limits(self._limits, extents)
        empty = [n for n, value in extents.items() if value == 0]
        if empty:
            raise BindingError(f"{', '.join(empty)} is 0: there is nothing to compute over an empty batch")
        check_indices(self._picked, arrays, extents)
        assembled = self._machine.assembled
        values: dict[str, np.ndarray | int] = {size_text(name): extents[name] for name in assembled.sizes}
        for slot, leaf in assembled.inputs.items():
            values[slot] = flat(arrays[leaf.name], self._dtypes[leaf.name])
        for slot, node in assembled.constants.items():
            assert isinstance(node.op, Constant)
            values[slot] = flat(node.op.array, dtype_of(node, self.dtype))
        buffers = self._machine.temporaries(extents)
        if assembled.temporaries:
            self._machine.run({**values, **buffers}, self.threads)  # where callers take turns
        of_node = {node: buffers[name] for name, node in assembled.temporaries.items()}
        results = [self._result(e, of_node, arrays, extents) for e in self._schedule.outputs.values()]
        return results[0] if self._single else results

    def _bound(self, given: Mapping[Any, Any]) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Arrays by name and the sizes they imply; shapes and dtypes that were fine before need no second look."""
        found = {name: given.get(name) for name in self.inputs}
        if len(given) != len(found) or not all(isinstance(a, np.ndarray) for a in found.values()):
            return binding.bind(self.inputs, given, self._sizes)
        arrays: dict[str, np.ndarray] = found  # type: ignore[assignment]
        key = tuple((a.shape, a.dtype) for a in arrays.values())
        extents = self._seen.get(key)
        if extents is None:
            arrays, extents = binding.bind(self.inputs, given, self._sizes)
            if len(self._seen) >= KNOWN_SIZES:
                self._seen.clear()
            self._seen[key] = extents
        for leaf in self._labels:
            binding.check_labels(leaf, arrays[leaf.name])
        return arrays, extents

    def _result(
        self,
        node: Expr,
        buffers: Mapping[Expr, np.ndarray],
        arrays: Mapping[str, np.ndarray],
        extents: Mapping[str, int],
    ) -> np.ndarray:
        """An output out of the buffer that holds it, its axes in order."""
        if node in buffers:
            shape = [sizes.bind(s, extents) for s in node.shape]
            found = buffers[node][: math.prod(shape)].reshape(shape)  # a buffer has an entry even where nothing is
            return found if node.shape or node.kind != REAL else found.astype(self.dtype)
        op, dtype = node.op, dtype_of(node, self.dtype).rstrip("_")
        if isinstance(op, Leaf):
            return np.array(arrays[op.name], dtype)
        if isinstance(op, Constant):
            return op.array.astype(dtype)
        if isinstance(op, ops.Extent):
            return np.array(sizes.bind(op.size, extents), dtype)
        inner = self._result(node.args[0], buffers, arrays, extents)
        if isinstance(op, Named):
            return inner
        assert isinstance(op, Contraction) and plain_view(node) is not node
        return np.ascontiguousarray(inner.transpose([op.inputs[0].index(i) for i in op.output]))


def check_indices(picked: Sequence[Expr], arrays: Mapping[str, np.ndarray], extents: Mapping[str, int]) -> None:
    """Integers that pick entries lie within what they pick from: a kernel does not look."""
    for node in picked:
        assert isinstance(node.op, ops.Take | ops.Scatter)
        limit = sizes.bind(node.args[0].shape[node.op.axis] if isinstance(node.op, ops.Take) else node.op.size, extents)
        indices = plain_view(node.args[1])
        if isinstance(indices.op, Leaf):
            low, high = _range(arrays[indices.name])
        elif isinstance(indices.op, Constant):
            low, high = _range(indices.op.array)
        elif isinstance(indices.op, ops.ArgMax):
            low, high = 0, sizes.bind(indices.args[0].shape[indices.op.axis], extents) - 1
        else:
            raise CompileError(
                f"a kernel takes entries only at positions that are an input, but {indices.label} is computed; "
                "pass it as an input"
            )
        if low < 0 or high >= limit:
            bad = low if low < 0 else high
            raise BindingError(
                f"position {bad} of {indices.label} is out of range: the axis has {limit} entries, 0 to {limit - 1}"
            )


def _range(positions: np.ndarray) -> tuple[int, int]:
    return (int(positions.min()), int(positions.max())) if positions.size else (0, -1)


@overload
def compile(expressions: Expr, dtype: str = ..., threads: int | None = ..., simplify: bool = ...) -> Kernel: ...
@overload
def compile(
    expressions: Sequence[Expr], dtype: str = ..., threads: int | None = ..., simplify: bool = ...
) -> Kernel: ...
def compile(
    expressions: Expr | Sequence[Expr], dtype: str = "float32", threads: int | None = None, simplify: bool = True
) -> Kernel:
    """A kernel for one expression or a list, over named inputs, with every named size free at each call.

    The expressions are simplified first, exactly as `sg.formula` shows them; `simplify=False` leaves them as written.
    Raises CompileError for what has no kernel.

    >>> from symgrad.expression.functions import variable
    >>> x = variable("x", ("N",))
    >>> compile(2 * x, dtype="float64", threads=1)(x=[1.0, 2.0])
    array([2., 4.])
    """
    from symgrad.calculus.simplify import simplify as simplified

    single = isinstance(expressions, Expr)
    listed = evaluation_forms([expressions] if isinstance(expressions, Expr) else list(expressions))
    if not listed:
        raise CompileError("there is nothing to compile: the list of expressions is empty")
    leaves(listed)
    chosen = simplified(listed) if simplify else listed
    return Kernel(chosen, single, dtype, threads or default_threads(), listed)
