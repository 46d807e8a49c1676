"""A constant that differs from world to world, as a person writes it: 1/N, -2, N/784.

Takes the constant's value in each world with the sizes there; gives a fraction over sizes. Knows no drafts' meaning.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from symgrad.expression.sizes import Size
from symgrad.proof.drafts import Draft, infix, name, negative, number, shown

EXPONENTS = {1: (-1, 1, -2, 2), 2: (-1, 1)}  # tried, by how many sizes take part
NICE = 1000  # largest numerator times denominator that a person writes; decimals have three digits
CLOSE = 1e-7


@dataclass(frozen=True)
class Factor:
    """constant * product(size**power)."""

    constant: float
    powers: tuple[tuple[str, int], ...] = ()

    @property
    def fraction(self) -> Fraction | None:
        """The constant as a small fraction, None when it is not one."""
        found = Fraction(self.constant).limit_denominator(NICE)
        small = abs(found.numerator) * found.denominator <= NICE
        return found if small and math.isclose(found, self.constant, rel_tol=CLOSE) else None

    @property
    def simple(self) -> bool:
        """Whether this is one thing that a person forgets: -1, 2, 1/N; not -1/N or 1/N**2."""
        if not self.powers:
            return self.nice and (self.constant == -1 or self.constant > 0)
        return self.constant == 1 and [abs(power) for _, power in self.powers] == [1]

    @property
    def nice(self) -> bool:
        """Whether a person could have meant it."""
        return self.fraction is not None or math.isclose(float(f"{self.constant:.3g}"), self.constant, rel_tol=CLOSE)

    @property
    def is_one(self) -> bool:
        return not self.powers and self.constant == 1

    def _sides(self) -> tuple[list[Draft], list[Draft]]:
        """Numerator and denominator as factors, without ones and without the sign."""
        fraction, rounded = self.fraction, float(f"{self.constant:.3g}") if self.nice else self.constant
        top, bottom = fraction.as_integer_ratio() if fraction is not None else (rounded, 1)
        above = [number(abs(top))] if abs(top) != 1 else []
        below = [number(bottom)] if bottom != 1 else []
        for size, power in self.powers:
            (above if power > 0 else below).extend([name(size)] * abs(power))
        return above, below

    def __str__(self) -> str:
        """
        >>> str(Factor(-2.0, (("N", -1),)))
        '-2/N'
        """
        above, below = self._sides()
        under = "*".join(map(shown, below))
        top = ("-" if self.constant < 0 else "") + ("*".join(map(shown, above)) or "1")
        return f"{top}/({under})" if len(below) > 1 else f"{top}/{under}" if below else top

    @property
    def parts(self) -> list[str]:
        """What it is made of, without the sign: 2 and 1/N of 2/N."""
        above, below = self._sides()
        return [shown(part) for part in above] + [f"1/{shown(part)}" for part in below]

    @property
    def inverse(self) -> Factor:
        return Factor(1.0).over(self)

    def over(self, other: Factor) -> Factor:
        powers = dict(self.powers)
        for size, power in other.powers:
            powers[size] = powers.get(size, 0) - power
        return Factor(self.constant / other.constant, tuple((s, p) for s, p in powers.items() if p))

    def times(self, draft: Draft) -> Draft:
        """A draft multiplied by this."""
        above, below = self._sides()
        for part in reversed(above):
            draft = infix(part, "*", draft)
        for part in below:
            draft = infix(draft, "/", part)
        return negative(draft) if self.constant < 0 else draft


def _products(sizes: Sequence[Size]) -> Iterator[tuple[tuple[Size, int], ...]]:
    """Products of sizes, simple ones first."""
    yield ()
    for count, exponents in EXPONENTS.items():
        for chosen in itertools.combinations(sizes, count):
            for powers in itertools.product(exponents, repeat=count):
                yield tuple(zip(chosen, powers, strict=True))


def factor(values: Sequence[float], tables: Sequence[dict[Size, int]]) -> Factor | None:
    """The constant that has these values in worlds of these sizes; a fraction if there is one. None if it varies.

    >>> str(factor([2 / 3, 2 / 5], [{"N": 3}, {"N": 5}]))
    '2/N'
    """
    found: Factor | None = None
    for product in _products(list(tables[0])):
        left = [v / math.prod(t[s] ** p for s, p in product) for v, t in zip(values, tables, strict=True)]
        if not all(math.isclose(c, left[0], rel_tol=CLOSE) for c in left):
            continue
        candidate = Factor(left[0], tuple((str(s), p) for s, p in product))
        if candidate.fraction is not None:
            return Factor(float(candidate.fraction), candidate.powers)
        found = found or candidate
    return found
