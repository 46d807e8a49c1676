"""Formulas as trees: what is written, before any font or format. Notations make them, formats print them.

Each node says how strongly it binds; `parentheses` uses that once, for every format. Knows nothing of expressions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

LOGIC, RELATION, SUM, NEGATIVE, PRODUCT, FRACTION, POWER, ATOM = 0, 1, 2, 3, 4, 5, 6, 9


@dataclass(frozen=True)
class Symbol:
    """A name as it was declared, W1 or delta_z; `plain` ones are not restyled, because another would look the same."""

    name: str
    plain: bool = False
    level = ATOM


@dataclass(frozen=True)
class Number:
    """A number as text."""

    text: str

    @property
    def level(self) -> int:
        return NEGATIVE if self.text.startswith("-") else ATOM


@dataclass(frozen=True)
class Words:
    """Text that is no mathematics: a constant array, a remark."""

    text: str
    level = ATOM


@dataclass(frozen=True)
class Infix:
    """Operands with a sign between.

    + - / * (entrywise), "" (scaling), "@" (a matrix product, written alike), a relation, "and", "or".
    """

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
class Over:
    """Something taken over indices, "sum", "max" ...; no index: over all entries."""

    name: str
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
    """One entry: x[n, i]; an index is a letter, a number, or an entry itself."""

    part: Math
    indices: tuple[Math, ...]
    level = ATOM


@dataclass(frozen=True)
class Entries:
    """The tensor whose entry at some indices is `part`: what matrix notation cannot say."""

    part: Math
    indices: tuple[str, ...]
    level = ATOM


@dataclass(frozen=True)
class Derivative:
    """∂L/∂W1, or of higher order: ∂²L/∂w² by the same twice, ∂²L/∂w∂b by one and then another."""

    of: Math
    by: tuple[Math, ...]
    level = ATOM

    @property
    def powers(self) -> list[tuple[Math, int]]:
        """What it is taken by, each with how often in a row."""
        return [(part, len(list(group))) for part, group in groupby(self.by)]


@dataclass(frozen=True)
class Braced:
    """x with a brace below and what it is."""

    part: Math
    label: str
    level = ATOM


@dataclass(frozen=True)
class Parentheses:
    """(x); `parentheses` makes them."""

    part: Math
    level = ATOM


Math: TypeAlias = (
    Symbol | Number | Words | Infix | Negative | Call | Power | Transpose | Over | Bracket | Indexed | Entries
    | Derivative | Braced | Parentheses
)  # fmt: skip
