"""Expressions as data: JSON over the closed op table, for model files. Reading runs no code and trusts nothing.

A document lists nodes, arguments before users; each names its op, the op's own parameters and the positions of its
arguments. Shapes are worked out again on reading, so a document cannot lie about them.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from symgrad.errors import ExpressionError, ModelError
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, check_name, make, topological
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL, TABLE

NODES = 100_000
FACTORS = 16
DTYPES = ("|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f4", "<f8", "<f2")
STORED = {
    REAL: ("",),
    INTEGER: ("", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    BOOLEAN: ("", "bool"),
}
TEXT = 10_000  # characters; starting values given as numbers are a text of an expression
_OPS = {op.__name__: op for op in ops.OPS}
_serials = itertools.count(1 << 32)


def expression_to_json(expressions: Sequence[Expr]) -> dict[str, Any]:
    """Expressions as a JSON document. Raises ExpressionError for sizes that are sums of names.

    >>> from symgrad.expression.functions import variable
    >>> x = variable("x", ("N",))
    >>> expression_from_json(expression_to_json([x + 1]))[0].shape
    ('N',)
    """
    order = topological(expressions)
    position = {node: i for i, node in enumerate(order)}
    nodes = [{"op": type(n.op).__name__, "args": [position[a] for a in n.args], **_parameters(n.op)} for n in order]
    return {"nodes": nodes, "roots": [position[e] for e in expressions]}


def _parameters(op: ops.Op) -> dict[str, Any]:
    return {f.name: _plain(getattr(op, f.name)) for f in dataclasses.fields(op) if f.name != "serial"}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, int | str | bool):
        return value
    number, powers = sizes.factors(value)
    if not all(isinstance(name, str) for name in powers):
        raise ExpressionError(
            f"the size {value} is a sum of names, which a model file cannot hold; give that axis a name of its own"
        )
    return {"product": [number, *(name for name, power in sorted(powers.items()) for _ in range(power))]}


def expression_from_json(document: Mapping[str, Any], origin: str = "a model file") -> list[Expr]:
    """The expressions of a document.

    Raises ModelError that names the node when anything in it is not as it should be.
    """
    nodes, roots = document.get("nodes"), document.get("roots")
    if not isinstance(nodes, list) or not isinstance(roots, list) or len(nodes) > NODES:
        raise ModelError(f"{origin}: the expression is not a list of at most {NODES} nodes")
    made: list[Expr] = []
    for number, record in enumerate(nodes):
        try:
            made.append(_node(record, made))
        except (
            ExpressionError,
            KeyError,
            TypeError,
            ValueError,
            AssertionError,
            IndexError,
            OverflowError,
            MemoryError,
        ) as error:
            reason = " ".join(str(error).split())[:120]
            raise ModelError(
                f"{origin}: node {number} of the expression is damaged ({type(error).__name__}: {reason})"
            ) from None
    if not all(type(r) is int and 0 <= r < len(made) for r in roots):
        raise ModelError(f"{origin}: the expression names a root that does not exist")
    return [made[r] for r in roots]


def _node(record: Any, made: Sequence[Expr]) -> Expr:
    if not isinstance(record, dict):
        raise TypeError("a node is an object")
    kind = _OPS[record["op"]]
    positions = record["args"]
    if not all(type(p) is int and 0 <= p < len(made) for p in positions):
        raise ValueError("an argument comes before its user")
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name != "serial"}
    if set(record) - {"op", "args"} != set(fields):
        raise ValueError(f"{kind.__name__} has the parameters {', '.join(fields)}")
    values = {name: _checked(name, record[name], str(field.type)) for name, field in fields.items()}
    if issubclass(kind, ops.Leaf):
        values["serial"] = next(_serials)
    op = kind(**values)
    args = [made[p] for p in positions]
    _check(op, args)
    return make(op, *args)


def _checked(name: str, value: Any, kind: str) -> Any:
    """A parameter as the dataclass wants it, its type checked strictly."""
    if kind == "bytes":
        return base64.b64decode(str(value), validate=True)
    if kind in ("str", "int", "bool"):
        if type(value).__name__ != kind:
            raise TypeError(f"{name} is not {kind}")
        return value
    if kind == "Size":
        return _size(value)
    return _tuple(value, 3)


def _size(value: Any) -> Any:
    if isinstance(value, dict):  # 3 N, the number of entries that a mean over an (N, 3) array divides by
        (factors,) = (value[key] for key in value if key == "product")
        if (
            not isinstance(factors, list)
            or not 1 <= len(factors) <= FACTORS
            or any(isinstance(f, dict) for f in factors)
        ):
            raise ValueError(f"{str(value)[:40]} is not a product of sizes")
        return sizes.times(_size(factor) for factor in factors)
    if not sizes.is_size(value) or (isinstance(value, int) and value > 1 << 40):
        raise ValueError(f"{value!r} is not a size")
    return value


def _tuple(value: Any, depth: int) -> Any:
    if isinstance(value, list) and depth:
        return tuple(_tuple(v, depth - 1) for v in value)
    return _size(value)


ARITY = {
    ops.Reduce: 1,
    ops.LogSumExp: 1,
    ops.Softmax: 1,
    ops.ArgMax: 1,
    ops.Reshape: 1,
    ops.Cast: 1,
    ops.Take: 2,
    ops.Scatter: 2,
    ops.OneHot: 1,
    ops.Identity: 0,
    ops.Named: 1,
    ops.Constant: 0,
    ops.Extent: 0,
    ops.Variable: 0,
    ops.Parameter: 0,
}


def _check(op: ops.Op, args: Sequence[Expr]) -> None:
    """What the constructor functions guarantee and a document might not."""
    if type(op) in ARITY and len(args) != ARITY[type(op)]:
        raise ValueError("wrong number of arguments")
    if isinstance(op, ops.Leaf | ops.Named):
        check_name(op.name)
    if isinstance(op, ops.Elementwise) and op.function not in TABLE:
        raise ValueError(f"no function {op.function[:40]!r}")
    if isinstance(op, ops.Constant) and (op.dtype not in DTYPES or op.array.size > 1 << 24):
        raise ValueError("a constant of an unknown kind")
    if isinstance(op, ops.Leaf):
        _check_leaf(op)
    if isinstance(op, ops.Extent) and isinstance(op.size, int):
        raise ValueError("a count that is a number already")
    if isinstance(op, ops.Cast) and op.kind not in ops.RANK:
        raise ValueError("a cast to an unknown kind")
    if isinstance(op, ops.Reduce) and op.function not in ("max", "min"):
        raise ValueError("an unknown reduction")
    for axes in [getattr(op, "axes", ())] + [(getattr(op, "axis", 0),)] * bool(args):
        if any(type(a) is not int or not 0 <= a < max(1, args[0].ndim) for a in axes):
            raise ValueError("an axis out of range")
    if isinstance(op, ops.Reshape) and not sizes.same(sizes.times(op.shape), sizes.times(args[0].shape)):
        raise ValueError("a reshape that changes the number of entries")
    if isinstance(op, ops.Contraction) and len(op.inputs) != len(args):
        raise ValueError("wrong number of operands")
    if isinstance(op, ops.OneHot) and not 1 <= op.classes <= 1 << 40:
        raise ValueError("one-hot rows of no classes")
    if isinstance(op, ops.Take | ops.Scatter | ops.OneHot) and args[-1].kind != "integer":
        raise ValueError("positions are integers")


def _check_leaf(op: ops.Leaf) -> None:
    """A declaration: its storage becomes a name in generated source, its texts are printed."""
    texts = [op.place, *([op.initializer] if isinstance(op, ops.Parameter) else [])]
    if not all(text.isprintable() and len(text) <= TEXT for text in texts):
        raise ValueError("a text that cannot be printed")
    if not all(sizes.is_size(size) for size in op.shape):
        raise ValueError("a shape that is not made of sizes")
    if isinstance(op, ops.Parameter) and not all(isinstance(size, int) for size in op.shape):
        raise ValueError("a parameter whose shape is not made of numbers")
    if isinstance(op, ops.Variable):
        if op.dtype not in STORED.get(op.kind, ()):
            raise ValueError("an input of an unknown kind")
        if op.classes < 0 or (op.classes and op.kind != INTEGER):
            raise ValueError("labels of no classes")


__all__ = ["expression_from_json", "expression_to_json"]
