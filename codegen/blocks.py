"""Stages as functions of their own: what they use becomes their parameters, and equal ones are one function.

Compile time then grows with the number of different stages, not with the square of their statements, and an unrolled
recurrence compiles its step once. Takes statements, gives blocks and calls; knows no expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from symgrad.codegen.loops import Block, Call, If, Let, Loop, Note, Statement, Store

WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
THREAD = ("thread", "threads")


class Blocks:
    """Functions made of stages; `kinds` says what every name is that the entry may hand on."""

    def __init__(self) -> None:
        self.made: list[Block] = []
        self._known: dict[str, Block] = {}

    def call(self, body: Sequence[Statement], kinds: Mapping[str, str], stem: str) -> list[Statement]:
        """The call that does what a body does, under the body's first comments."""
        notes = [s for s in body if isinstance(s, Note)]
        used = [name for name in dict.fromkeys(_words(body)) if name in kinds]
        order = [*THREAD, *(name for name in used if name not in THREAD)]
        key = _shape(body, order, kinds)
        block = self._known.get(key)
        if block is None:
            block = Block(f"{stem}_{len(self.made) + 1}", [(name, kinds[name]) for name in order], list(body))
            self._known[key] = block
            self.made.append(block)
        return [*notes[:1], Call(block.name, tuple(order))]


def _words(body: Sequence[Statement]) -> Iterator[str]:
    """Every word of a body in order."""
    for text in _texts(body):
        yield from WORD.findall(text)


def _texts(body: Sequence[Statement]) -> Iterator[str]:
    for s in body:
        match s:
            case Let(name, value):
                yield f"{name} = {value}"
            case Store(buffer, position, value, add):
                yield f"{buffer}[{position}] {'+' if add else ''}= {value}"
            case Loop(index, start, stop, inner, step):
                yield f"for {index} in {start} {stop} {step}"
                yield from _texts(inner)
                yield "end"
            case If(condition, inner):
                yield f"if {condition}"
                yield from _texts(inner)
                yield "end"
            case Call(function, arguments):
                yield f"{function}({', '.join(arguments)})"
            case Note():
                pass


def _shape(body: Sequence[Statement], order: Sequence[str], kinds: Mapping[str, str]) -> str:
    """A body with its names numbered as they come: two bodies of one shape do the same to what they are given."""
    number = {name: f"given{place}" for place, name in enumerate(order)}
    own = {name for name in _assigned(body) if name not in number}

    def renamed(match: re.Match[str]) -> str:
        word = match[0]
        if word in own and word not in number:
            number[word] = f"own{len(number)}"
        return number.get(word, word)

    text = "\n".join(WORD.sub(renamed, line) for line in _texts(body))
    return " ".join(kinds[name] for name in order) + "\n" + text


def _assigned(body: Sequence[Statement]) -> Iterator[str]:
    """Names that a body gives values to."""
    for s in body:
        match s:
            case Let(name):
                yield from (part.strip() for part in name.split(","))
            case Loop(index):
                yield index
                yield from _assigned(s.body)
            case If():
                yield from _assigned(s.body)
