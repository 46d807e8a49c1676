"""Counts as text: polynomials in the names of sizes, sums of products by their sizes, numbers with their unit.

Takes ints and SymPy polynomials, gives text. Knows nothing of expressions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from symgrad.expression import sizes
from symgrad.expression.sizes import Shape, Size
from symgrad.formulas.names import RAISED

LONGEST = 6  # different products that a formula lists one by one


def polynomial(count: Any) -> str:
    """A count, the highest powers first.

    >>> polynomial(sizes.plus([10, sizes.times((1200, "N")), sizes.times(("N", "N"))]))
    'N² + 1,200 N + 10'
    """
    terms = [count] if isinstance(count, int) else count.as_ordered_terms()
    return " + ".join(map(_monomial, terms))


def _monomial(term: Any) -> str:
    number, names = sizes.factors(int(term) if isinstance(term, int) or term.is_Integer else term)
    parts = [f"{number:,}"] if number != 1 or not names else []
    return " ".join(parts + [_power(base, exponent) for base, exponent in names.items()])


def _power(base: Size, exponent: int) -> str:
    shown = str(base) if isinstance(base, int | str) else f"({base})"
    return shown + (str(exponent).translate(RAISED) if exponent != 1 else "")


def products(spaces: Iterable[Shape]) -> list[str]:
    """Sums of products by their sizes, those with the same names together.

    >>> products([("N", 784, 512), ("N", 512, 10), ("N", 512, 10)])
    ['2 N (784·512 + 2·512·10)']
    """
    groups: dict[tuple[str, ...], Counter[tuple[int, ...]]] = {}
    for space in spaces:
        names = tuple(sorted(_power(s, 1) for s in space if not isinstance(s, int)))
        numbers = tuple(sorted((s for s in space if isinstance(s, int) and s != 1), reverse=True))
        groups.setdefault(names, Counter())[numbers] += 1
    return [" ".join(["2", *names]) + _listed(counted) for names, counted in groups.items()]


def _listed(counted: Counter[tuple[int, ...]]) -> str:
    """What stands behind the names: ·784·512, or a sum in parentheses."""
    if len(counted) > LONGEST:
        return f" · {sizes.plus(times * sizes.times(numbers) for numbers, times in counted.items()):,}"
    terms = [_product(numbers, times) for numbers, times in counted.items()]
    if len(terms) == 1:
        return f"·{terms[0]}" if terms[0] != "1" else ""
    return f" ({' + '.join(terms)})"


def _product(numbers: Sequence[int], times: int) -> str:
    powers = [_power(base, exponent) for base, exponent in Counter(numbers).items()]
    return "·".join([*([str(times)] if times > 1 or not powers else []), *powers])


def scaled(number: int, unit: str) -> str:
    """A number with three digits or more and the unit's prefix.

    >>> scaled(104_448_000, "FLOP"), scaled(12, "B")
    ('104 MFLOP', '12 B')
    """
    value, prefixes = float(number), iter(("", "k", "M", "G", "T", "P", "E"))
    prefix = next(prefixes)
    while value >= 999.5 and prefix != "E":
        value, prefix = value / 1000, next(prefixes)
    return f"{value:.3g} {prefix}{unit}"
