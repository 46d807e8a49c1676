"""Sizes of axes: an int, a name ("N"), or arithmetic on names, for which SymPy is imported when first needed.

Plain names cover nearly every model, so training a cached kernel never pays for importing SymPy. One factory makes
every symbol, because `Symbol("N") != Symbol("N", positive=True)` while both print N. Knows nothing of expressions.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

Size: TypeAlias = Any  # int | str | sympy.Expr
Shape: TypeAlias = tuple[Size, ...]


@functools.cache
def _symbol(name: str) -> Any:
    import sympy  # type: ignore[import-untyped]

    return sympy.Symbol(name, integer=True, positive=True)


def _algebraic(size: Size) -> Any:
    return _symbol(size) if isinstance(size, str) else size


def _plain(size: Any) -> Size:
    """The simplest form of a size: an int, else a bare name, else the expanded polynomial."""
    if isinstance(size, int | str):
        return size
    size = size.expand()
    if size.is_Integer:
        return int(size)
    return size.name if size.is_Symbol else size


def is_size(value: object) -> bool:
    """Whether `value` can be the size of an axis."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return value >= 0
    if isinstance(value, str):
        return value.isidentifier()
    sympy = sys.modules.get("sympy")
    return sympy is not None and isinstance(value, sympy.Expr)


def same(a: Size, b: Size) -> bool:
    """Whether two sizes are equal for every value of their names: expand(a - b) == 0."""
    if isinstance(a, int | str) and isinstance(b, int | str):
        return a == b
    return bool((_algebraic(a) - _algebraic(b)).expand() == 0)


def times(sizes: Iterable[Size]) -> Size:
    """The product of sizes; a bare name or an int where it is one."""
    number, names = 1, []
    for size in sizes:
        if isinstance(size, int):
            number *= size
        else:
            names.append(size)
    if not names or number == 0:
        return number
    if number == 1 and len(names) == 1:
        return names[0]
    total = _algebraic(names[0]) * number
    for size in names[1:]:
        total = total * _algebraic(size)
    return _plain(total)


def plus(sizes: Iterable[Size]) -> Any:
    """The sum of sizes and counts: an int, or a SymPy polynomial in their names.

    >>> plus([2, 3]), plus(["N", 3, "N"])
    (5, 2*N + 3)
    """
    number, terms = 0, []
    for size in sizes:
        if isinstance(size, int):
            number += size
        else:
            terms.append(_algebraic(size))
    if not terms:
        return number
    import sympy

    return sympy.Add(number, *terms).expand()


def total(sizes: Iterable[Size]) -> Size:
    """The sum of sizes, as a size.

    >>> total([2, 3]), total(["N", 0])
    (5, 'N')
    """
    return _plain(plus(sizes))


def shifted(size: Size, by: int) -> Size:
    """A size and a number more, or less.

    >>> shifted(5, -2), shifted("N", 0)
    (3, 'N')
    """
    return size + by if isinstance(size, int) else total([size, by])


def quotient(total: Size, part: Size) -> Size | None:
    """total / part when that is a size again (`reshape(..., -1)`), else None."""
    if isinstance(total, int) and isinstance(part, int):
        return total // part if part and total % part == 0 else None
    if isinstance(part, int) and part == 1:
        return total
    if same(total, part):
        return 1
    import sympy

    ratio = sympy.cancel(_algebraic(total) / _algebraic(part))
    return (
        _plain(ratio)
        if ratio.is_polynomial() and all(c.is_Integer for c in ratio.as_coefficients_dict().values())
        else None
    )


def factors(size: Size) -> tuple[int, dict[Size, int]]:
    """A product as its number and its names with their powers; a sum is one factor by itself.

    >>> factors("N")
    (1, {'N': 1})
    """
    if isinstance(size, int):
        return size, {}
    if isinstance(size, str):
        return 1, {size: 1}
    number, rest = size.as_coeff_Mul()
    powers = [part.as_base_exp() for part in (rest.args if rest.is_Mul else (rest,))]
    if not number.is_Integer or not all(base.is_Symbol and exponent.is_Integer for base, exponent in powers):
        return 1, {size: 1}
    return int(number), {base.name: int(exponent) for base, exponent in powers}


def terms(size: Size) -> list[tuple[int, dict[str, int]]]:
    """A size as a sum of products: each its number and its names with their powers.

    >>> terms(shifted("N", -2))
    [(1, {'N': 1}), (-2, {})]
    """
    if isinstance(size, int):
        return [(size, {})]
    if isinstance(size, str):
        return [(1, {size: 1})]
    found = []
    for term in size.expand().as_ordered_terms():
        number, rest = term.as_coeff_Mul()
        powers = [] if rest == 1 else [p.as_base_exp() for p in (rest.args if rest.is_Mul else (rest,))]
        found.append((int(number), {base.name: int(exponent) for base, exponent in powers}))
    return found


def names(sizes: Iterable[Size]) -> list[str]:
    """The names in some sizes, each once, sorted."""
    found: set[str] = set()
    for size in sizes:
        if isinstance(size, str):
            found.add(size)
        elif not isinstance(size, int):
            found.update(symbol.name for symbol in size.free_symbols)
    return sorted(found)


def bind(size: Size, values: Mapping[str, int]) -> int:
    """The number a size stands for, given its names' values.

    >>> bind("N", {"N": 128})
    128
    """
    if isinstance(size, int):
        return size
    if isinstance(size, str):
        return values[size]
    return int(size.xreplace({symbol: values[symbol.name] for symbol in size.free_symbols}))


def text(shape: Sequence[Size]) -> str:
    """A shape as it is written: (N, 784)."""
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
