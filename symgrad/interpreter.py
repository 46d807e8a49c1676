"""The NumPy interpreter: an expression's value, float64, exactly as written.

The oracle that shares no code with codegen.

One table: what each op is in NumPy. It never simplifies and knows nothing of gradients or kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from symgrad.errors import BindingError
from symgrad.expression import binding, ops, sizes
from symgrad.expression.forms import evaluation_forms
from symgrad.expression.node import Expr, leaves, topological
from symgrad.expression.scalars import BOOLEAN, REAL

Array = np.ndarray
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)))


def _log1mexp(x: Array) -> Array:
    return np.asarray(np.where(x < math.log(2), np.log(-np.expm1(-x)), np.log1p(-np.exp(-x))))


_erfc = np.vectorize(math.erfc, otypes=[np.float64])
FAR = 10.0  # from here on erfc(x) is its asymptotic series to the last digit


def _logerfc(x: Array) -> Array:
    """log(erfc(x)): by log1p around 0, by the series of Abramowitz and Stegun 7.1.23 where erfc(x) is tiny."""
    near, far = np.log1p(-_erf(np.minimum(x, 0.5))), np.maximum(x, FAR)
    term, series = np.ones_like(far), np.ones_like(far)
    for k in range(1, 11):
        term = -term * (2 * k - 1) / (2 * far * far)
        series = series + term
    tail = -far * far - np.log(far * math.sqrt(math.pi)) + np.log(series)
    middle = np.log(_erfc(np.clip(x, 0.5, FAR)))
    return np.asarray(np.where(x < 0.5, near, np.where(x < FAR, middle, np.where(np.isnan(x), x, tail))))


def _relu(x: Array) -> Array:
    return np.where(x < 0, x.dtype.type(0), x)


def _sum(*terms: Array) -> Array:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _product(*factors: Array) -> Array:
    total = factors[0]
    for factor in factors[1:]:
        total = total * factor
    return total


SCALARS: dict[str, Callable[..., Array]] = {
    "add": _sum, "multiply": _product, "erf": _erf, "erfc": _erfc, "logerfc": _logerfc, "sigmoid": _sigmoid,
    "log1mexp": _log1mexp, "relu": _relu,
    "softplus": lambda x: np.logaddexp(0.0, x), "atan": np.arctan, "where": np.where, "divide": np.true_divide,
}  # fmt: skip
SCALARS |= {name: getattr(np, name) for name in (
    "subtract negative power exp log expm1 log1p sqrt sin cos tan sinh cosh tanh logaddexp abs sign floor maximum "
    "minimum less less_equal greater greater_equal equal not_equal logical_and logical_or logical_not").split()
}  # fmt: skip
REDUCTIONS: dict[str, Callable[..., Array]] = {"max": np.max, "min": np.min, "product": np.prod}
DTYPES = {REAL: np.float64, "integer": np.int64, BOOLEAN: np.bool_}


def _elementwise(op: ops.Elementwise, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    values = args
    if node.kind != BOOLEAN:  # booleans count as 0 and 1 in arithmetic, integers as reals beside reals
        condition = 1 if op.function == "where" else 0
        values = [a if i < condition else a.astype(DTYPES[node.kind]) for i, a in enumerate(args)]
    return SCALARS[op.function](*values)


def _contraction(op: ops.Contraction, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    number = {index: i for i, index in enumerate(dict.fromkeys(i for indices in op.inputs for i in indices))}
    operands: list[Any] = []
    for array, indices in zip(args, op.inputs, strict=True):
        operands += [array.astype(DTYPES[node.kind]), [number[i] for i in indices]]
    kept = [i for i in op.output if i in number]
    value = np.einsum(*operands, [number[i] for i in kept], optimize=len(args) > 2)
    shape = [sizes.bind(s, extents) for s in node.shape]
    aligned = [extent if i in number else 1 for i, extent in zip(op.output, shape, strict=True)]
    return np.broadcast_to(value.reshape(aligned), shape)


def _take(op: ops.Take, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    table, indices = args
    if indices.size and (indices.min() < 0 or indices.max() >= table.shape[op.axis]):
        bad = indices.min() if indices.min() < 0 else indices.max()
        raise BindingError(f"take: index {bad} is out of range, the axis has {table.shape[op.axis]} entries")
    return np.take(table, indices, op.axis)


def _scatter(op: ops.Scatter, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    values, indices = args
    result = np.zeros([sizes.bind(s, extents) for s in node.shape], values.dtype)
    front = np.moveaxis(result, op.axis, 0)
    moved = np.moveaxis(values, range(op.axis, op.axis + indices.ndim), range(indices.ndim))
    np.add.at(front, indices, moved)
    return result


def _softmax(op: ops.Softmax, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    x = args[0].astype(np.float64)  # an integer array has no -inf to start its maximum from
    raised = np.exp(x - x.max(op.axes, keepdims=True, initial=-np.inf))
    return np.asarray(raised / raised.sum(op.axes, keepdims=True))


def _logsumexp(op: ops.LogSumExp, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    x = args[0].astype(np.float64)
    top = x.max(op.axes, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0.0)
    total = np.log(np.exp(x - shift).sum(op.axes, keepdims=True)) + shift
    return np.asarray(total if op.keep else total.squeeze(op.axes))


def _slice(op: ops.Slice, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    start, count = sizes.bind(op.start, extents), sizes.bind(op.count, extents)
    return np.take(args[0], start + op.step * np.arange(count), op.axis)


def _pad(op: ops.Pad, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    result = np.zeros(_bound(node, extents), args[0].dtype)
    places = sizes.bind(op.start, extents) + op.step * np.arange(args[0].shape[op.axis])
    np.moveaxis(result, op.axis, 0)[places] = np.moveaxis(args[0], op.axis, 0)
    return result


def _positions(op: ops.Windows | ops.Overlap, shape: Sequence[int]) -> Array:
    """The entry that each window (rows) has at each offset (columns)."""
    return op.stride * np.arange(shape[op.axis])[:, None] + op.dilation * np.arange(shape[op.axis + 1])


def _windows(op: ops.Windows, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    return np.take(args[0], _positions(op, _bound(node, extents)), op.axis)


def _overlap(op: ops.Overlap, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    result = np.zeros(_bound(node, extents), args[0].dtype)
    moved = np.moveaxis(args[0], (op.axis, op.axis + 1), (0, 1))
    np.add.at(np.moveaxis(result, op.axis, 0), _positions(op, args[0].shape), moved)
    return result


def _solved(function: Callable[[], Any], node: Expr) -> Array:
    """A value of LAPACK's. Raises BindingError for matrices that have none."""
    try:
        return np.asarray(function())
    except np.linalg.LinAlgError as error:
        raise BindingError(f"{node.label} has no value: {str(error).lower()}") from None


def _cholesky(op: ops.Cholesky, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    symmetric = (args[0] + np.swapaxes(args[0], -1, -2)) / 2
    return _solved(lambda: np.linalg.cholesky(symmetric), node)


def _reduce(op: ops.Reduce, node: Expr, args: Sequence[Array], extents: Mapping[str, int]) -> Array:
    return np.asarray(REDUCTIONS[op.function](args[0], axis=op.axes, keepdims=op.keep))


def _bound(node: Expr, extents: Mapping[str, int]) -> list[int]:
    return [sizes.bind(s, extents) for s in node.shape]


# Mode and Assign are resolved before: a value is one in evaluation.
TABLE: dict[type[ops.Op], Callable[..., Array]] = {
    ops.Constant: lambda op, node, args, extents: op.array.astype(DTYPES[node.kind]),
    ops.Extent: lambda op, node, args, extents: np.asarray(float(sizes.bind(op.size, extents))),
    ops.Elementwise: _elementwise,
    ops.Contraction: _contraction,
    ops.Reduce: _reduce,
    ops.LogSumExp: _logsumexp,
    ops.Softmax: _softmax,
    ops.ArgMax: lambda op, node, args, extents: np.argmax(args[0], op.axis),
    ops.Reshape: lambda op, node, args, extents: args[0].reshape(_bound(node, extents)),
    ops.Cast: lambda op, node, args, extents: args[0].astype(DTYPES[op.kind]),
    ops.Take: _take,
    ops.Scatter: _scatter,
    ops.OneHot: lambda op, node, args, extents: (args[0][..., None] == np.arange(op.classes)).astype(np.float64),
    ops.Identity: lambda op, node, args, extents: np.eye(sizes.bind(op.size, extents)),
    ops.Range: lambda op, node, args, extents: np.arange(sizes.bind(op.size, extents)),
    ops.Slice: _slice,
    ops.Pad: _pad,
    ops.Concatenate: lambda op, node, args, extents: np.concatenate(args, op.axis),
    ops.Windows: _windows,
    ops.Overlap: _overlap,
    ops.Inverse: lambda op, node, args, extents: _solved(lambda: np.linalg.inv(args[0]), node),
    ops.Solve: lambda op, node, args, extents: _solved(lambda: np.linalg.solve(args[0], args[1]), node),
    ops.Determinant: lambda op, node, args, extents: np.asarray(np.linalg.det(args[0])),
    ops.LogDet: lambda op, node, args, extents: np.asarray(np.linalg.slogdet(args[0])[1]),
    ops.Cholesky: _cholesky,
    ops.Named: lambda op, node, args, extents: args[0],
}


def sizes_in(order: Sequence[Expr]) -> list[str]:
    """The names of all sizes that some nodes have or count."""
    return sizes.names(s for e in order for s in (*e.shape, *([e.op.size] if isinstance(e.op, ops.Extent) else [])))


class Interpreter:
    """Expressions to be computed again and again: their order is found once."""

    def __init__(self, expressions: Sequence[Expr]) -> None:
        self.expressions = evaluation_forms(expressions)
        self.inputs, self.order = leaves(self.expressions), topological(self.expressions)
        self.sizes, self.limits = sizes_in(self.order), binding.limits(self.order)
        self.steps = [(n, TABLE[type(n.op)]) for n in self.order if not isinstance(n.op, ops.Leaf)]

    def __call__(self, given: Mapping[Any, object]) -> list[Array]:
        """Their values; shared parts are computed once. Raises BindingError."""
        arrays, extents = binding.bind(self.inputs, given, self.sizes)
        binding.check_limits(self.limits, extents)
        values: dict[Expr, Array] = {x: arrays[name].astype(DTYPES[x.kind]) for name, x in self.inputs.items()}
        with np.errstate(all="ignore"):
            for node, compute in self.steps:
                values[node] = compute(node.op, node, [values[a] for a in node.args], extents)
        return [np.asarray(values[e]) for e in self.expressions]


def evaluate_all(expressions: Sequence[Expr], given: Mapping[Any, object]) -> list[Array]:
    """The values of several expressions over the same inputs; shared parts are computed once."""
    return Interpreter(expressions)(given)


def evaluate(expression: Expr, given: Mapping[Any, object] | None = None) -> Array:
    """The value of an expression in float64 (integers as int64), computed by NumPy exactly as written.

    `given` maps leaves or their names to arrays. Raises BindingError for a missing, unknown or unsuitable array.

    >>> from symgrad.expression.functions import variable
    >>> x = variable("x", (2,))
    >>> evaluate(x * 3, {x: [1.0, 2.0]})
    array([3., 6.])
    """
    return evaluate_all([expression], given or {})[0]
