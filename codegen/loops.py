"""The loop language: buffers, loops, assignments, calls. It never sees an expression and decides nothing.

Scalar values and positions are text over names that the lowering made; `lines` says statements as Python,
`source` whole programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Slot:
    """What a kernel is given: a size or an array, at a place of its table. `kind` is a NumPy dtype or "size"."""

    name: str
    kind: str
    place: int


@dataclass(frozen=True)
class Let:
    """name = value"""

    name: str
    value: str


@dataclass(frozen=True)
class Store:
    """buffer[position] = value, or += with `add`."""

    buffer: str
    position: str
    value: str
    add: bool = False


@dataclass
class Loop:
    """for index in range(start, stop, step): body"""

    index: str
    start: str
    stop: str
    body: list[Statement] = field(default_factory=list)
    step: str = "1"


@dataclass
class If:
    """if condition: body"""

    condition: str
    body: list[Statement] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """A call of the runtime: a matrix product, a barrier."""

    function: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Note:
    """A comment: the formula that the following block computes."""

    text: str


Statement: TypeAlias = Let | Store | Loop | If | Call | Note


@dataclass
class Block:
    """A function of its own: the loops of one stage, given what they use. `parameters` have the kinds of slots."""

    name: str
    parameters: list[tuple[str, str]]
    body: list[Statement]


@dataclass
class Program:
    """A whole kernel: its name, the table of what it is given, its body, and the blocks that the body calls."""

    name: str
    slots: list[Slot]
    body: list[Statement]
    real: str  # the dtype that real numbers have: float32 or float64
    precision: str  # the dtype that factors of products are rounded to
    blocks: list[Block] = field(default_factory=list)


def lines(body: Sequence[Statement], indent: int = 0) -> Iterator[str]:
    """Statements as lines of Python."""
    pad = "    " * indent
    for s in body:
        match s:
            case Let(name, value):
                yield f"{pad}{name} = {value}"
            case Store(buffer, position, value, add):
                yield f"{pad}{buffer}[{position}] {'+=' if add else '='} {value}"
            case Loop(index, start, stop, inner, step):
                bounds = f"{start}, {stop}, {step}" if step != "1" else f"{start}, {stop}" if start != "0" else stop
                yield f"{pad}for {index} in range({bounds}):"
                yield from lines(inner, indent + 1)
            case If(condition, inner):
                yield f"{pad}if {condition}:"
                yield from lines(inner, indent + 1)
            case Call(function, arguments):
                yield f"{pad}{function}({', '.join(arguments)})"
            case Note(text):
                yield f"{pad}# {text}"
