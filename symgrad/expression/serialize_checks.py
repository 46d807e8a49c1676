"""What the functions that build expressions guarantee and a document might not: a row of conditions for each op.

Raises ValueError with the reason; `serialize` says which node of which file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, check_name
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL, TABLE

DTYPES = ("|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f4", "<f8", "<f2")
LEAVES = (ops.Variable, ops.Parameter, ops.State, ops.Noise, ops.Constant, ops.Extent, ops.Identity, ops.Range)
ONE = (ops.Reduce, ops.LogSumExp, ops.Softmax, ops.ArgMax, ops.Reshape, ops.Slice, ops.Pad, ops.Windows, ops.Overlap,
       ops.Cast, ops.OneHot, ops.Inverse, ops.Determinant, ops.LogDet, ops.Cholesky, ops.Named)  # fmt: skip
ARITY = dict.fromkeys(LEAVES, 0) | dict.fromkeys(ONE, 1)
ARITY |= {ops.Take: 2, ops.Scatter: 2, ops.Solve: 2, ops.Mode: 2, ops.Assign: 3}
# How an input of each kind may be stored: the word becomes part of a name in generated source.
STORED = {
    REAL: ("",),
    INTEGER: ("", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    BOOLEAN: ("", "bool"),
}
LONGEST_TEXT = 10_000  # characters; starting values given as numbers are a text of an expression
LARGEST_ARRAY = 1 << 24  # entries of a constant


def check(op: ops.Op, args: Sequence[Expr]) -> None:
    """Raises ValueError for an op that no function of the package would have built."""
    if type(op) in ARITY and len(args) != ARITY[type(op)]:
        raise ValueError("wrong number of arguments")
    if isinstance(op, ops.Leaf | ops.Named):
        check_name(op.name)
    if isinstance(op, ops.Pad | ops.Concatenate | ops.Slice | ops.Overlap | ops.Windows) and not args:
        raise ValueError("no arguments")
    for axes in [getattr(op, "axes", ())] + [(getattr(op, "axis", 0),)] * bool(args):
        if any(type(a) is not int or not 0 <= a < max(1, args[0].ndim) for a in axes):
            raise ValueError("an axis out of range")
    for kind, condition, reason in CONDITIONS:
        if isinstance(op, kind) and not condition(op, args):
            raise ValueError(reason)


def _printable(op: Any, args: Sequence[Expr]) -> bool:
    """Whether the texts of a declaration can be shown to a person."""
    texts = [op.place, *([op.initializer] if isinstance(op, ops.Parameter) else [])]
    return all(text.isprintable() and len(text) <= LONGEST_TEXT for text in texts)


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(map(sizes.same, a, b))


def _within(op: Any, args: Sequence[Expr], whole: Any, part: Any) -> bool:
    """Whether start + i step stays within an axis, as far as its size is known: `binding` looks again at the rest."""
    if op.step == 0 or (isinstance(part, int) and part == 0):
        return bool(op.step)
    low, high = ops.span(op.start, op.step, part)
    beyond = sizes.total([whole, -1, sizes.times([-1, high])])
    numbers = all(isinstance(s, int) for s in (op.start, whole, part))
    return (numbers or op.step in (1, -1)) and not any(isinstance(s, int) and s < 0 for s in (low, beyond))


def _slides(op: Any, extent: Any) -> bool:
    positive = all(1 <= n <= 1 << 20 for n in (op.stride, op.dilation))
    return positive and (isinstance(extent, int) or op.stride == 1)


def _windows(op: Any, args: Sequence[Expr]) -> bool:
    extent = args[0].shape[op.axis]
    fits = not isinstance(extent, int) or (op.size - 1) * op.dilation < extent
    return op.size >= 1 and _slides(op, extent) and fits


def _overlap(op: Any, args: Sequence[Expr]) -> bool:
    if op.axis + 1 >= args[0].ndim or not _slides(op, op.extent):
        return False
    positions, size = args[0].shape[op.axis : op.axis + 2]
    if not isinstance(size, int) or size < 1:
        return False
    reach = (size - 1) * op.dilation
    if isinstance(op.extent, int):
        return reach < op.extent and sizes.same(positions, (op.extent - reach - 1) // op.stride + 1)
    return sizes.same(positions, sizes.shifted(op.extent, -reach))


def _joined(op: Any, args: Sequence[Expr]) -> bool:
    rest = [(*a.shape[: op.axis], *a.shape[op.axis + 1 :]) for a in args]
    alike = all((a.kind, a.ndim) == (args[0].kind, args[0].ndim) for a in args)
    return alike and all(_same(r, rest[0]) for r in rest)


def _square(op: Any, args: Sequence[Expr]) -> bool:
    return args[0].ndim >= 2 and sizes.same(*args[0].shape[-2:])


def _solvable(op: Any, args: Sequence[Expr]) -> bool:
    a, b = args
    return _square(op, args) and a.ndim == b.ndim and _same(a.shape[:-1], b.shape[:-1])


Condition = tuple[Any, Callable[[Any, Sequence[Expr]], bool], str]
CONDITIONS: tuple[Condition, ...] = (
    (ops.Elementwise, lambda op, args: op.function in TABLE, "an unknown function"),
    (ops.Constant, lambda op, args: op.dtype in DTYPES and op.array.size <= LARGEST_ARRAY,
     "a constant of an unknown kind"),
    (ops.Variable, lambda op, args: op.dtype in STORED.get(op.kind, ()), "an input of an unknown kind"),
    (ops.Variable, lambda op, args: op.classes >= 0 and (not op.classes or op.kind == INTEGER), "labels of no classes"),
    (ops.Leaf, _printable, "a text that cannot be printed"),
    (ops.Leaf, lambda op, args: all(map(sizes.is_size, op.shape)), "a shape that is not made of sizes"),
    (ops.Extent, lambda op, args: not isinstance(op.size, int), "a count that is a number already"),
    (ops.OneHot, lambda op, args: op.classes >= 1, "one-hot rows of no classes"),
    (ops.Cast, lambda op, args: op.kind in ops.RANK, "a cast to an unknown kind"),
    (ops.Reduce, lambda op, args: op.function in ("max", "min", "product"), "an unknown reduction"),
    (ops.Reduce, lambda op, args: op.function != "product" or len(op.axes) == 1, "a product along several axes"),
    (ops.Reshape, lambda op, args: sizes.same(sizes.times(op.shape), sizes.times(args[0].shape)),
     "a reshape that changes the number of entries"),
    (ops.Contraction, lambda op, args: len(op.inputs) == len(args), "wrong number of operands"),
    (ops.Take | ops.Scatter | ops.OneHot, lambda op, args: args[-1].kind == INTEGER, "positions that are no integers"),
    (ops.Slice, lambda op, args: _within(op, args, args[0].shape[op.axis], op.count), "a slice out of range"),
    (ops.Pad, lambda op, args: _within(op, args, op.extent, args[0].shape[op.axis]), "a padding out of range"),
    (ops.Concatenate, _joined, "tensors that do not fit together"),
    (ops.Windows, _windows, "windows that do not fit"),
    (ops.Overlap, _overlap, "windows that do not fit"),
    (ops.Inverse | ops.Determinant | ops.LogDet | ops.Cholesky, _square, "a matrix that is not square"),
    (ops.Solve, _solvable, "equations that do not fit"),
    (ops.Mode, lambda op, args: args[0].kind == args[1].kind and _same(args[0].shape, args[1].shape),
     "training and evaluation of different shapes"),
    (ops.Assign, lambda op, args: isinstance(args[1].op, ops.State) and _same(args[1].shape, args[2].shape)
     and args[2].kind == REAL, "an assignment to what is no state"),
    (ops.State, lambda op, args: _finite(op.initial) and all(isinstance(s, int) for s in op.shape), "a damaged state"),
)  # fmt: skip


def _finite(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
