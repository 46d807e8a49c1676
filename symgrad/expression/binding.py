"""Arrays for names: what a caller gives is matched with the leaves of an expression and checked, sizes are read off.

The interpreter and the kernels both take their inputs through here, so a wrong array is the same sentence in both.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from symgrad.errors import BindingError
from symgrad.expression import sizes
from symgrad.expression.node import Expr
from symgrad.expression.ops import Leaf, Pad, Slice, Variable, span
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL


def by_name(given: Mapping[Any, object], leaves: Mapping[str, Expr]) -> dict[str, Any]:
    """The given arrays by leaf name; keys may be names or the leaves themselves."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = key.name if isinstance(key, Expr) else str(key)
        if name not in leaves or (isinstance(key, Expr) and leaves[name] is not key):
            known = {leaf.casefold(): leaf for leaf in leaves}
            close = [known[found] for found in difflib.get_close_matches(name.casefold(), known, 1)]
            hint = f"; did you mean {close[0]}?" if close and close[0] != name else ""
            raise BindingError(
                f"{name} is not an input of this expression, which needs {', '.join(leaves) or 'none'}{hint}"
            )
        found[name] = value
    missing = [name for name in leaves if name not in found]
    if missing:
        raise BindingError(f"no array was given for {', '.join(missing)}; the expression needs {', '.join(leaves)}")
    return found


def as_array(value: object, leaf: Expr) -> np.ndarray:
    """The value as an array whose kind suits the leaf: no real number becomes an integer silently."""
    array = np.asarray(value)
    allowed = {REAL: "biuf", INTEGER: "biu", BOOLEAN: "b"}[leaf.kind]
    if array.dtype.kind not in allowed:
        raise BindingError(f"{leaf.name} is {leaf.kind}, but its array holds {array.dtype}; convert it with .astype")
    return array


def bind_sizes(leaves: Iterable[Expr], arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The value of every named size, read off the arrays' shapes; raises BindingError where they disagree."""
    found: dict[str, int] = {}
    origin: dict[str, str] = {}
    for leaf in leaves:
        array = arrays[leaf.name]
        if array.ndim != len(leaf.shape):
            raise BindingError(f"{leaf.name} has shape {sizes.text(leaf.shape)}, but its array has shape {array.shape}")
        for size, extent in zip(leaf.shape, array.shape, strict=True):
            if isinstance(size, int) and size != extent:
                raise BindingError(
                    f"{leaf.name} has shape {sizes.text(leaf.shape)}, but its array has shape {array.shape}"
                )
            if isinstance(size, str) and found.setdefault(size, extent) != extent:
                raise BindingError(
                    f"{size} is {found[size]} in {origin[size]} but {extent} in {leaf.name}: give "
                    f"arrays of equal length"
                )
            if isinstance(size, str):
                origin.setdefault(size, leaf.name)
    for leaf in leaves:
        for size, extent in zip(leaf.shape, arrays[leaf.name].shape, strict=True):
            if (
                not isinstance(size, int | str)
                and set(sizes.names([size])) <= set(found)
                and sizes.bind(size, found) != extent
            ):
                raise BindingError(
                    f"{leaf.name} has an axis of size {size}, which is {sizes.bind(size, found)}, but "
                    f"its array has {extent}"
                )
    return found


def check_labels(leaf: Expr, array: np.ndarray) -> None:
    """Labels lie between 0 and classes - 1; raises BindingError with the first that does not."""
    classes = leaf.op.classes if isinstance(leaf.op, Variable) else 0
    if not classes or not array.size:
        return
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= classes:
        bad = int(np.flatnonzero((array < 0) | (array >= classes))[0])
        value = array.reshape(-1)[bad]
        advice = "; labels that count from 1 want 1 subtracted" if high == classes and low >= 1 else ""
        raise BindingError(
            f"label {value} at position {bad} of {leaf.name} is out of range: it has {classes} "
            f"classes, 0 to {classes - 1}{advice}"
        )


Limit = tuple[Any, Expr, str]  # a size that must not be below 0, the node that wants it, and what it is there


def limits(nodes: Iterable[Expr]) -> list[Limit]:
    """What must hold for the numbers that names of sizes stand for: an axis of N - 3 entries, x[3] of N."""
    found: dict[Any, Limit] = {}
    for node in nodes:
        for size in node.shape:
            if not isinstance(size, int | str):
                found.setdefault(size, (size, node, f"has an axis of {size} entries"))
        if isinstance(node.op, Slice | Pad):
            whole, part = node.args[0].shape[node.op.axis], node.shape[node.op.axis]
            if isinstance(node.op, Pad):
                whole, part = part, whole
            low, high = span(node.op.start, node.op.step, part)
            for size in (low, sizes.total([whole, -1, sizes.times([-1, high])])):
                if not isinstance(size, int | str):
                    found.setdefault(size, (size, node, f"looks past the end of an axis of {whole} entries"))
    return list(found.values())


def check_limits(found: Iterable[Limit], extents: Mapping[str, int]) -> None:
    """x[3:] of two rows has no entries, x[3] is none of them. Raises BindingError."""
    for size, node, what in found:
        if sizes.bind(size, extents) < 0:
            values = ", ".join(f"{n} is {extents[n]}" for n in sizes.names([size]))
            raise BindingError(f"{node.label} {what}, but {values}: give more")


def _stated(name: str, stated: Mapping[str, object]) -> int:
    value = stated.get(name)
    if value is None:
        raise BindingError(f"the size {name} does not follow from any input; give it by name, as in {name}=3")
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise BindingError(f"{name} is the size of an axis, a whole number, not {value!r}")
    return int(value)


def bind(
    leaves: Mapping[str, Expr], given: Mapping[Any, object], used: Iterable[str] = ()
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Arrays by name and the sizes they imply, all checked.

    Sizes that are `used` but stand in no leaf's shape, as those of an identity, are given by name like an array.
    """
    free = sorted(set(used) - set(leaves) - set(sizes.names(s for leaf in leaves.values() for s in leaf.shape)))
    stated = {key: value for key, value in given.items() if isinstance(key, str) and key in free}
    values = by_name({key: value for key, value in given.items() if not (isinstance(key, str) and key in free)}, leaves)
    arrays = {name: as_array(values[name], leaf) for name, leaf in leaves.items()}
    extents = bind_sizes(list(leaves.values()), arrays)
    for name in free:
        extents[name] = _stated(name, stated)
    for name, leaf in leaves.items():
        assert isinstance(leaf.op, Leaf)
        check_labels(leaf, arrays[name])
    return arrays, extents
