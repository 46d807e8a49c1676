"""Expressions as SymPy objects, entry by entry: for readers who go on in SymPy, and for proofs on small sizes.

Takes an expression whose sizes are all numbers, gives a SymPy scalar or a dense array of them, by each row's
`meaning`. One factory makes the symbols. SymPy evaluates while it builds, so this is the meaning, not the form.
Knows nothing of calculus, formulas or kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy  # type: ignore[import-untyped]

from symgrad.errors import ExpressionError
from symgrad.expression import componentwise_movement, ops, sizes
from symgrad.expression.node import Expr, leaves, topological
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL, TABLE

Array = np.ndarray
LIMIT = 20_000  # entries of one tensor, and products of one contraction


def entry_symbol(leaf: Expr, index: Sequence[int] = ()) -> Any:
    """The symbol of one entry of a leaf, x or W1_0_2: real, or integer or boolean as the leaf is."""
    assumptions: dict[str, bool] = {BOOLEAN: {}, INTEGER: {"integer": True}, REAL: {"real": True}}[leaf.kind]
    return sympy.Symbol("_".join([leaf.name, *map(str, index)]), **assumptions)


def to_sympy(expression: Expr) -> Any:
    """A SymPy expression for a scalar, an ImmutableDenseNDimArray of them for a tensor; entries are x_0, W1_0_2.

    Raises ExpressionError where none exists: a size that is a name, a tensor with too many entries, argmax, take.

    >>> from symgrad.expression.functions import parameter, sum
    >>> to_sympy(sum(parameter("w", (2,)) ** 2))
    w_0**2 + w_1**2
    """
    order = topological([expression])
    for node in order:
        _check(node)
    _check_names(expression)
    result = entries(expression)
    if not expression.shape:
        return result.item()
    return sympy.ImmutableDenseNDimArray(result.reshape(-1).tolist(), result.shape)


def entries(
    expression: Expr, settle: Callable[[Any], Any] | None = None, known: dict[Expr, Array] | None = None
) -> Array:
    """The SymPy form of each entry; `settle` makes something of each value on the way, as a number of its symbols.

    What is `known` is not computed again, and what is computed is added to it.
    """
    values: dict[Expr, Array] = {} if known is None else known
    for node in topological([expression], stop=values.__contains__):
        if node in values:
            continue
        found = np.asarray(_value(node, [values[a] for a in node.args]), dtype=object).reshape(node.shape)
        values[node] = found if settle is None or node.kind != REAL else _each(settle, found)
    return values[expression]


def _check(node: Expr) -> None:
    extents = list(node.shape)
    if isinstance(node.op, ops.Contraction):
        extents = list(node.op.sizes_of(node.args).values())
    elif isinstance(node.op, ops.Extent):
        extents = [node.op.size]
    named, what = sizes.names(extents), f"{node.label} {sizes.text(node.shape)}"
    if named:
        reason = f"because the size {', '.join(named)} is a name: declare the variables with numbers as sizes"
        raise ExpressionError(f"{what} has no SymPy form, {reason}")
    if math.prod(extents) > LIMIT:
        count = f"{math.prod(extents):,} SymPy terms, more than {LIMIT:,}"
        raise ExpressionError(f"{what} would take {count}: declare smaller sizes")


def _check_names(expression: Expr) -> None:
    owner: dict[str, str] = {}
    for leaf in leaves([expression]).values():
        for index in np.ndindex(*leaf.shape):
            name = entry_symbol(leaf, index).name
            if owner.setdefault(name, leaf.name) != leaf.name:
                both = f"{leaf.name} and {owner[name]}"
                raise ExpressionError(f"an entry of each of {both} would be called {name}: rename one")


def _each(function: Callable[..., Any], *arrays: Array) -> Array:
    """function of scalars, entry by entry over broadcast arrays."""
    spread = np.broadcast_arrays(*arrays)
    result = np.empty(spread[0].shape, dtype=object)
    for index in np.ndindex(*result.shape):
        result[index] = function(*(a[index] for a in spread))
    return result


def _along(function: Callable[..., Any], x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    """function of all entries along axes, for each place along the others."""
    rest = [i for i in range(x.ndim) if i not in axes]
    rows = np.transpose(x, [*rest, *axes]).reshape([x.shape[i] for i in rest] + [-1])
    result = np.empty(rows.shape[:-1], dtype=object)
    for index in np.ndindex(*result.shape):
        result[index] = function(*rows[index])
    return result.reshape([1 if i in axes else s for i, s in enumerate(x.shape)]) if keep else result


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return sympy.true if value else sympy.false
    return sympy.Integer(value) if isinstance(value, int) else sympy.Float(value)


def _choice(condition: Any) -> Any:
    return sympy.Piecewise((1, condition), (0, True))


def _elementwise(node: Expr, args: Sequence[Array]) -> Array:
    assert isinstance(node.op, ops.Elementwise)
    row = TABLE[node.op.function]
    plain = row.kind == BOOLEAN or row.name == "where"
    spoken = [_each(_choice, a) if e.kind == BOOLEAN and not plain else a for e, a in zip(node.args, args, strict=True)]
    return _each(lambda *entries: row.meaning(sympy, *entries), *spoken)


def _contraction(node: Expr, args: Sequence[Array]) -> Array:
    op = node.op
    assert isinstance(op, ops.Contraction)
    operands: list[Any] = []
    for value, argument, indices in zip(args, node.args, op.inputs, strict=True):
        operands += [_each(_choice, value) if argument.kind == BOOLEAN else value, list(indices)]
    number = {index: i for i, index in enumerate(dict.fromkeys(i for indices in op.inputs for i in indices))}
    operands = [[number[i] for i in part] if isinstance(part, list) else part for part in operands]
    total = np.asarray(np.einsum(*operands, [number[i] for i in op.output if i in number]), dtype=object)
    aligned = [size if i in number else 1 for i, size in zip(op.output, node.shape, strict=True)]
    return np.broadcast_to(total.reshape(aligned), node.shape)


def _softmax(node: Expr, args: Sequence[Array]) -> Array:
    assert isinstance(node.op, ops.Softmax)
    raised = _each(sympy.exp, args[0])
    return np.asarray(raised / _along(sympy.Add, raised, node.op.axes, True), dtype=object)


def _cast(node: Expr, args: Sequence[Array]) -> Array:
    assert isinstance(node.op, ops.Cast)
    x = _each(_choice, args[0]) if node.args[0].kind == BOOLEAN else args[0]
    if node.op.kind == BOOLEAN:
        return _each(lambda v: sympy.Ne(v, 0), x)
    return _each(lambda v: sympy.sign(v) * sympy.floor(sympy.Abs(v)), x) if node.op.kind == INTEGER else x


def _logsumexp(*entries: Any) -> Any:
    return sympy.log(sympy.Add(*map(sympy.exp, entries)))


def _leaf(node: Expr, args: Sequence[Array]) -> Array:
    result = np.empty(node.shape, dtype=object)
    for index in np.ndindex(*node.shape):
        result[index] = entry_symbol(node, index)
    return result


def _onehot(node: Expr, args: Sequence[Array]) -> Array:
    classes = _each(sympy.Integer, np.arange(node.shape[-1]))
    return _each(lambda label, k: _choice(sympy.Eq(label, k)), args[0][..., None], classes)


EXTREME = {"max": sympy.Max, "min": sympy.Min, "product": sympy.Mul}
MEANING: dict[type[ops.Op], Callable[[Any, Sequence[Array]], Any]] = {
    ops.Variable: _leaf,
    ops.Parameter: _leaf,
    ops.State: _leaf,
    ops.Noise: _leaf,
    ops.Constant: lambda node, args: _each(_number, np.array(node.op.array.tolist(), dtype=object)),
    ops.Extent: lambda node, args: sympy.Integer(node.op.size),
    ops.Elementwise: _elementwise,
    ops.Contraction: _contraction,
    ops.Reduce: lambda node, args: _along(EXTREME[node.op.function], args[0], node.op.axes, node.op.keep),
    ops.LogSumExp: lambda node, args: _along(_logsumexp, args[0], node.op.axes, node.op.keep),
    ops.Softmax: _softmax,
    ops.Reshape: lambda node, args: args[0].reshape(node.shape),
    ops.Cast: _cast,
    ops.OneHot: _onehot,
    ops.Identity: lambda node, args: _each(sympy.Integer, np.eye(node.shape[0], dtype=int)),
    ops.Named: lambda node, args: args[0],
    **componentwise_movement.MEANING,
}


def _value(node: Expr, args: Sequence[Array]) -> Any:
    rule = MEANING.get(type(node.op))
    if rule is None:
        raise ExpressionError(f"{node.label} has no SymPy form: leave it out of what is handed to SymPy")
    return rule(node, args)
