"""Stages as functions of their own: what they use becomes their parameters, and equal ones are one function.

A function costs Numba a fixed time and more than in proportion to its length, so that stages are put together up to
some length; one that comes again is a function by itself, so that an unrolled recurrence compiles its step once. Takes
statements, gives blocks and calls; knows no expression.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from symgrad.codegen.loops import Block, Call, If, Let, Loop, Statement, lines

WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
THREAD = ("thread", "threads")
LONGEST = 100  # lines of stages that are put together, loops counting twice: compile time is flat around it
BARRIER = Call("barrier", ("meeting", "threads"))


@dataclass(frozen=True)
class Lowered:
    """A stage as loops: whether only training needs it, and whether threads meet before."""

    training: bool
    barrier: bool
    body: list[Statement]
    stage: Any = None


class Blocks:
    """Functions made of stages; `kinds` says what every name is that the entry may hand on."""

    def __init__(self) -> None:
        self.made: list[Block] = []
        self._known: dict[str, Block] = {}

    def grouped(self, stages: Sequence[Lowered], kinds: Mapping[str, str]) -> list[list[Lowered]]:
        """Stages that are one block: those that come once, next to each other, up to a length."""
        shapes = [_shape(s.body, _given(s.body, kinds), kinds) for s in stages]
        often = Counter(shapes)
        groups: list[list[Lowered]] = []
        length, open_group = 0, False
        for stage, shape in zip(stages, shapes, strict=True):
            own = sum(1 + line.endswith(":") for line in _texts(stage.body))
            once = often[shape] == 1
            if once and open_group and groups[-1][0].training == stage.training and length + own <= LONGEST:
                groups[-1].append(stage)
                length += own
            else:
                groups.append([stage])
                length, open_group = own, once
        return groups

    def call(self, group: Sequence[Lowered], kinds: Mapping[str, str]) -> Call:
        """The call that does what some stages do; threads meet before the first of them outside."""
        body = list(group[0].body)
        for stage in group[1:]:
            body += [*([BARRIER] if stage.barrier else []), *stage.body]
        order = _given(body, kinds)
        key = _shape(body, order, kinds)
        block = self._known.get(key)
        if block is None:
            block = Block(f"block_{len(self.made) + 1}", [(name, kinds[name]) for name in order], body)
            self._known[key] = block
            self.made.append(block)
        return Call(block.name, tuple(order))


def _given(body: Sequence[Statement], kinds: Mapping[str, str]) -> list[str]:
    """What a body uses of what the entry has, in order of use."""
    used = [name for name in dict.fromkeys(_words(body)) if name in kinds]
    return [*THREAD, *(name for name in used if name not in THREAD)]


def _words(body: Sequence[Statement]) -> Iterator[str]:
    """Every word of a body in order."""
    for text in _texts(body):
        yield from WORD.findall(text)


def _texts(body: Sequence[Statement]) -> Iterator[str]:
    """The lines of a body without its notes: two formulas may be computed the same way."""
    return (line for line in lines(body) if not line.lstrip().startswith("#"))


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
