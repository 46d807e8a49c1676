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
from symgrad.expression.node import Expr, make, topological
from symgrad.expression.serialize_checks import check

NODES = 50_000  # what is read in about a second
ARITHMETIC = 10_000  # the most that sizes with arithmetic, such as N - 2, may weigh together: SymPy takes its time
FACTORS = 16
TERMS = 16
LARGEST = 1 << 40
DTYPES = ("|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f4", "<f8", "<f2")
_OPS = {op.__name__: op for op in ops.OPS}
_serials = itertools.count(1 << 32)


def expression_to_json(expressions: Sequence[Expr]) -> dict[str, Any]:
    """Expressions as a JSON document. Raises ExpressionError for what could not be read back.

    >>> from symgrad.expression.functions import variable
    >>> x = variable("x", ("N",))
    >>> expression_from_json(expression_to_json([x + 1]))[0].shape
    ('N',)
    """
    order = topological(expressions)
    position = {node: i for i, node in enumerate(order)}
    nodes = [{"op": type(n.op).__name__, "args": [position[a] for a in n.args], **_parameters(n.op)} for n in order]
    if len(nodes) > NODES or sum(map(_weight, nodes, order)) > ARITHMETIC:
        raise ExpressionError(
            f"a model file holds at most {NODES:,} operations, and fewer where sizes are arithmetic on names; this "
            f"expression has {len(nodes):,}: make it smaller, or give axes names of their own"
        )
    return {"nodes": nodes, "roots": [position[e] for e in expressions]}


def _weight(record: Mapping[str, Any], node: Expr) -> int:
    """What the arithmetic of a node's sizes costs, in factors: those that its record spells out, and its shape."""
    spelled = [term for value in record.values() for size in _listed(value) for term in size["sum"]]
    return sum(map(len, spelled)) + 5 * any(not isinstance(size, int | str) for size in node.shape)


def _listed(value: Any) -> list[dict[str, Any]]:
    """The sizes with arithmetic in a parameter, however deep."""
    if isinstance(value, list):
        return [size for part in value for size in _listed(part)]
    return [value] if isinstance(value, dict) else []


def _parameters(op: ops.Op) -> dict[str, Any]:
    return {f.name: _plain(getattr(op, f.name)) for f in dataclasses.fields(op) if f.name != "serial"}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, int | str | bool):
        return value
    return {"sum": [[number, *_powers(names)] for number, names in sizes.terms(value)]}


def _powers(names: Mapping[str, int]) -> list[str]:
    return [name for name, power in sorted(names.items()) for _ in range(power)]


def expression_from_json(document: Mapping[str, Any], origin: str = "a model file") -> list[Expr]:
    """The expressions of a document.

    Raises ModelError that names the node when anything in it is not as it should be.
    """
    nodes, roots = document.get("nodes"), document.get("roots")
    if not isinstance(nodes, list) or not isinstance(roots, list) or len(nodes) > NODES:
        raise ModelError(f"{origin}: the expression is not a list of at most {NODES} nodes")
    made: list[Expr] = []
    weight = 0
    for number, record in enumerate(nodes):
        try:
            made.append(_node(record, made))
            weight += _weight(record, made[-1])
            if weight > ARITHMETIC:
                raise ValueError("sizes with more arithmetic than an expression has")
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
    check(op, args)
    return make(op, *args)


def _checked(name: str, value: Any, kind: str) -> Any:
    """A parameter as the dataclass wants it, its type checked strictly."""
    if kind == "bytes":
        return base64.b64decode(str(value), validate=True)
    if kind in ("str", "int", "bool"):
        if kind == "int" and isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"{name} is out of range")
        if type(value).__name__ != kind:
            raise TypeError(f"{name} is not {kind}")
        return value
    if kind == "Size":
        return _size(value)
    return _tuple(value, 3)


def _size(value: Any) -> Any:
    if isinstance(value, dict):  # N - 2, 3 N: a sum of products
        (terms,) = (value[key] for key in value if key == "sum")
        if not isinstance(terms, list) or not 1 <= len(terms) <= TERMS:
            raise ValueError(f"{str(value)[:40]} is not a sum of at most {TERMS} terms")
        return sizes.total(_term(term) for term in terms)
    if not sizes.is_size(value) or (isinstance(value, int) and value > LARGEST):
        raise ValueError(f"{value!r} is not a size")
    return value


def _term(value: Any) -> Any:
    if not isinstance(value, list) or not 1 <= len(value) <= FACTORS:
        raise ValueError(f"{str(value)[:40]} is not a product of sizes")
    number, *names = value
    plain = type(number) is int and abs(number) <= LARGEST
    if not plain or not all(isinstance(n, str) and n.isidentifier() for n in names):
        raise ValueError(f"{str(value)[:40]} is not a product of sizes")
    return sizes.times([number, *names])


def _tuple(value: Any, depth: int) -> Any:
    if isinstance(value, list) and depth:
        return tuple(_tuple(v, depth - 1) for v in value)
    return _size(value)


__all__ = ["expression_from_json", "expression_to_json"]
