"""A compiled kernel as a caller meets it: arrays by name are checked and laid out for the machine, values come back.

`compile` makes one; `machine` runs it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symgrad.codegen.frame import Frame
from symgrad.codegen.host import LINE
from symgrad.codegen.machine import Machine, default_threads, flat
from symgrad.codegen.program import assemble, dtype_of
from symgrad.codegen.schedule import make_schedule
from symgrad.codegen.views import plain_view
from symgrad.errors import BindingError, CompileError
from symgrad.expression import binding, ops, sizes
from symgrad.expression.forms import evaluation_forms
from symgrad.expression.node import Expr, leaves, topological
from symgrad.expression.ops import Constant, Contraction, Leaf, Named
from symgrad.expression.precision import DTYPES, precision_of
from symgrad.expression.scalars import REAL

KNOWN_SIZES = 64  # combinations of sizes that a kernel remembers
NOTHING: tuple[None, Any, int] = (None, None, 0)


class Kernel:
    """Compiled expressions: call it with arrays by name (or a dict of leaves), get arrays back.

    `source` is the generated Python. Sizes with names are read off the arrays at each call.
    """

    def __init__(
        self,
        expressions: Sequence[Expr],
        single: bool,
        dtype: str,
        threads: int,
        written: Sequence[Expr] = (),
        precision: str | None = None,
    ) -> None:
        if dtype not in DTYPES:
            raise CompileError(f"kernels compute in {' or '.join(DTYPES)}, not {dtype!r}")
        self.dtype, self.threads, self._single = dtype, threads, single
        self.precision = precision_of(dtype, precision)
        # As written: what simplification did away with may be given all the same, and may be all that tells a size.
        self.inputs = leaves([*expressions, *written])
        self._limits = binding.limits(topological(expressions))
        self._picked = [n for n in topological(expressions) if isinstance(n.op, ops.Take | ops.Scatter)]
        outputs = {f"output{i}": e for i, e in enumerate(expressions)}
        self._schedule = make_schedule(outputs)
        assembled = assemble(self._schedule, self.precision, "kernel")
        self._sizes = sizes.names(assembled.sizes)
        self._machine = Machine(assembled, "a kernel for " + ", ".join(e.label for e in expressions)[:200])
        self.source = self._machine.source
        self.compile_seconds, self.cached = self._machine.compile_seconds, self._machine.cached
        self._dtypes = {name: dtype_of(leaf, dtype) for name, leaf in self.inputs.items()}
        self._labels = [leaf for leaf in self.inputs.values() if isinstance(leaf.op, ops.Variable) and leaf.op.classes]
        self._places = [(assembled.slots[slot].place, leaf.name) for slot, leaf in assembled.inputs.items()]
        self._parameters = {name for name, leaf in self.inputs.items() if isinstance(leaf.op, ops.Parameter)}
        self._held: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}
        self._frames: dict[tuple[int, ...], Frame] = {}
        self._seen: dict[tuple[object, ...], dict[str, int]] = {}  # sizes of arrays that have been checked once

    def __call__(self, given: Mapping[Any, object] | None = None, /, **named: object) -> Any:
        """The values, as a list for a list and as one array for one expression. Raises BindingError."""
        arrays, extents = self._bound({**(given or {}), **named})
        binding.check_limits(self._limits, extents)
        empty = [n for n, value in extents.items() if value == 0]
        if empty:
            raise BindingError(f"{', '.join(empty)} is 0: there is nothing to compute over an empty batch")
        check_indices(self._picked, arrays, extents)
        of_node: dict[Expr, np.ndarray] = {}
        if self._machine.assembled.temporaries:
            frame = self._frame(extents)
            row, kept = frame.row.copy(), []
            for place, name in self._places:
                array, row[place] = self._address(name, arrays[name])
                kept.append(array)
            scratch = np.empty(frame.scratch, np.uint8)
            start = -(-scratch.ctypes.data // LINE) * LINE
            for place, offset in frame.offsets:
                row[place] = start + offset
            for place, node, count, dtype in frame.results:
                of_node[node] = np.empty(count, dtype)
                row[place] = of_node[node].ctypes.data
            self._machine.call(row, self.threads)  # where callers take turns
        results = [self._result(e, of_node, arrays, extents) for e in self._schedule.outputs.values()]
        return results[0] if self._single else results

    def _address(self, name: str, array: np.ndarray) -> tuple[np.ndarray, int]:
        """An input as a kernel takes it, and where it lies; of a parameter that is the same array again, known."""
        given, ready, address = self._held.get(name, NOTHING)
        if given is not array:
            ready = flat(array, self._dtypes[name])
            address = ready.ctypes.data
            if ready.base is array and name in self._parameters:  # a view: what is written into the array is seen
                self._held[name] = array, ready, address
        return ready, address

    def _frame(self, extents: Mapping[str, int]) -> Frame:
        """What stays the same in every call with these sizes."""
        key = tuple(extents.values())
        found = self._frames.get(key)  # looked up once: another thread may clear what is remembered
        if found is None:
            if len(self._frames) >= KNOWN_SIZES:
                self._frames.clear()
            found = self._frames[key] = Frame(self._machine.assembled, self._machine.constants, extents)
        return found

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


def compile(
    expressions: Expr | Sequence[Expr],
    dtype: str = "float32",
    threads: int | None = None,
    simplify: bool = True,
    precision: str | None = None,
) -> Kernel:
    """A kernel for one expression or a list, over named inputs, with every named size free at each call.

    The expressions are simplified first, exactly as `sg.formula` shows them; `simplify=False` leaves them as written.
    With `precision="bfloat16"` the factors of matrix products are rounded to that; everything else, their sums
    included, stays float32. Raises CompileError for what has no kernel, ConfigurationError for another precision.

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
    return Kernel(chosen, single, dtype, threads or default_threads(), listed, precision)
