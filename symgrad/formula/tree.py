"""Formulas as trees: what is written, before any font or format. Notations make them, formats print them.

Each node says how strongly it binds, so that parentheses are placed once, in one place, for every format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

RELATION, SUM, NEGATIVE, PRODUCT, POWER, ATOM = 1, 2, 3, 4, 6, 9


@dataclass(frozen=True)
class Symbol:
    """A name, still as it was declared: W1, delta_z."""

    name: str
    level = ATOM


@dataclass(frozen=True)
class Number:
    """A number as text."""

    text: str

    @property
    def level(self) -> int:
        return NEGATIVE if self.text.startswith("-") else ATOM


@dataclass(frozen=True)
class Infix:
    """Operands with a sign between: "+", "-", "/", "*" (entrywise), "" (matrix product or scaling), or a relation."""

    sign: str
    parts: tuple[Math, ...]
    level: int


@dataclass(frozen=True)
class Negative:
    """-x"""

    part: Math
    level = NEGATIVE


@dataclass(frozen=True)
class Call:
    """A named function of arguments."""

    name: str
    parts: tuple[Math, ...]
    level = ATOM


@dataclass(frozen=True)
class Power:
    """base to an exponent."""

    base: Math
    exponent: Math
    level = POWER


@dataclass(frozen=True)
class Transpose:
    """The transpose of a matrix."""

    part: Math
    level = POWER


@dataclass(frozen=True)
class Sum:
    """A sum over indices; none: over all entries."""

    indices: tuple[str, ...]
    part: Math
    level = PRODUCT


@dataclass(frozen=True)
class Bracket:
    """[condition]: 1 where it holds, else 0."""

    part: Math
    level = ATOM


@dataclass(frozen=True)
class Indexed:
    """One entry: x[n, i]."""

    part: Math
    indices: tuple[str, ...]
    level = ATOM


Math: TypeAlias = Symbol | Number | Infix | Negative | Call | Power | Transpose | Sum | Bracket | Indexed
