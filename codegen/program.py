"""A whole kernel: schedule, ownership and loops put together into one program, with the layout of what it is given.

Two forms: a plain kernel computes outputs once; a training kernel runs steps over rows picked from a data set, with
forward, backward and optimizer in one body and the outputs' scalars kept for every step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from symgrad.codegen.blocks import BARRIER, Blocks, Lowered
from symgrad.codegen.flatten import flattened
from symgrad.codegen.liveness import WHOLE, Life, lives
from symgrad.codegen.loops import Call, Let, Note, Program, Slot, Statement
from symgrad.codegen.lower import Lowering, Own
from symgrad.codegen.names import size_text
from symgrad.codegen.schedule import Schedule, Stage
from symgrad.codegen.sharding import Part, choose, place_barriers, private
from symgrad.codegen.stages import Builder
from symgrad.codegen.views import plain_view
from symgrad.expression import sizes
from symgrad.expression.node import Expr, topological
from symgrad.expression.ops import Constant, Extent, Leaf, Variable
from symgrad.expression.precision import STORED
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL
from symgrad.expression.sizes import Size

LANES = 16  # a thread's part of a long axis is a multiple of this
PAGE = 4096  # bytes; cores read ahead up to the end of one


@dataclass
class Assembled:
    """A program and what it takes to call it: which buffers are inputs, which are temporary, where outputs lie."""

    program: Program
    schedule: Schedule
    parts: list[Part]
    slots: dict[str, Slot]
    inputs: dict[str, Expr]  # slot name -> leaf
    constants: dict[str, Expr]
    temporaries: dict[str, Expr]
    owned: dict[str, Expr]  # what each thread has memory of its own for, for its part of the last axis
    lives: dict[str, Life]  # when temporary buffers are needed, by slot
    sizes: tuple[str, ...]
    scalars: tuple[str, ...] = ()  # outputs kept for every step of a training kernel
    rows: tuple[str, ...] = ()  # outputs kept for every row of a training kernel
    computes: dict[str, list[list[Lowered]]] = field(default_factory=dict)  # what each block is called for, by its name
    block: tuple[int, ...] = field(default=())  # widths of fused products: each thread has room for the widest


def dtype_of(node: Expr, real: str) -> str:
    """How a node's entries are stored; computed real scalars always as float64."""
    if not node.shape and node.kind == REAL and not isinstance(node.op, Leaf | Constant):
        return "float64"
    if isinstance(node.op, Variable) and node.op.dtype:
        return "bool_" if node.op.dtype == "bool" else node.op.dtype
    return {INTEGER: "int64", BOOLEAN: "bool_"}.get(node.kind, real)


def stored_in(node: Expr, buffers: Collection[Expr]) -> Expr:
    """The buffer that an output is, or is a view of; a leaf or a number where it is neither."""
    while node not in buffers and node.args:
        node = node.args[0]
    return node


def grain(size: Size) -> int:
    """What threads' parts of an axis are multiples of."""
    return LANES if isinstance(size, int) and size >= 4 * LANES else 1


def describe(stage: Stage, schedule: Schedule) -> str:
    """A short formula for the comment above a block."""
    texts = []
    for node, target in zip(stage.nodes, stage.targets, strict=True):
        name = (
            target.name + " ←"
            if target is not None
            else schedule.names.get(node, "") + " ="
            if node in schedule.names
            else ""
        )
        texts.append(f"{name} {node.label} {sizes.text(node.shape)}".strip())
    return "; ".join(texts)


class Assembler:
    """Puts one program together."""

    def __init__(
        self,
        schedule: Schedule,
        precision: str,
        gathered: frozenset[Expr] = frozenset(),
        stepped: frozenset[Expr] = frozenset(),
        drawn: tuple[Expr, ...] = (),
    ) -> None:
        self.schedule, self.precision, self.real = schedule, precision, STORED[precision]
        self.given = (schedule, gathered, stepped, drawn, precision)
        self.lowering = Lowering(*self.given)
        self.ranges: dict[tuple[str, int], tuple[str, str]] = {}
        self.widths: dict[tuple[str, str], str] = {}  # of parts that have memory of their own, by from where to where
        self.blocks = Blocks()
        self.computes: dict[str, list[list[Lowered]]] = {}  # what each block is called for
        self.joining = True  # not where every stage's time is taken

    def range_of(self, size: Size) -> tuple[str, str]:
        """The names of where a thread's part of an axis begins and ends; equal sizes are cut alike everywhere."""
        key = (size_text(size), grain(size))
        if key not in self.ranges:
            stem = f"n{size}" if isinstance(size, int) else str(size) if isinstance(size, str) else "extent"
            self.ranges[key] = (self.lowering.names.fresh(f"{stem}_from"), self.lowering.names.fresh(f"{stem}_to"))
        return self.ranges[key]

    def take_over(self, parts: Sequence[Part]) -> None:
        """Give the threads memory of their own for their parts of buffers that nobody else touches.

        Not for weights and state whose rows are longer than what cores read ahead: these are moved in and out of it.
        """
        outside = {plain_view(e) for e in self.schedule.outputs.values()}  # are looked at as a whole
        longest = 2 * PAGE // np.dtype(self.real).itemsize
        for node in private(parts):
            if node in outside or (isinstance(node.op, Leaf) and sizes.bind(node.shape[-1], {}) >= longest):
                continue
            ends = self.range_of(node.shape[-1])
            if ends not in self.widths:
                self.widths[ends] = self.lowering.names.fresh(ends[0].removesuffix("_from") + "_width")
            name = self.lowering.buffer(node)
            memory = self.lowering.names.fresh(f"own_{name}") if isinstance(node.op, Leaf) else name
            self.lowering.own[node] = Own(memory, ends[0], self.widths[ends])

    def parts(self) -> list[Part]:
        """Every stage with its reads, then its owner and its barrier."""
        found = []
        for stage in self.schedule.stages:
            trial = Lowering(*self.given)
            builder = Builder(trial, stage, None, lambda size: ("0", size_text(size)))
            builder.build()
            reads = [(node, tuple(builder.axis_of.get(i) for i in index)) for node, index in trial.reads]
            found.append(Part(stage, reads))
        if found:
            choose(found)
            place_barriers(found)
        return found

    def stages(self, parts: Sequence[Part]) -> list[Lowered]:
        """The loops of every stage, with whether only training needs them and whether threads meet before."""
        found = []
        for part in parts:
            body: list[Statement] = [Note(describe(part.stage, self.schedule)), Note(self.owner_note(part))]
            body += flattened(Builder(self.lowering, part.stage, part.split, self.range_of).build())
            found.append(Lowered(part.stage.only_training, part.barrier, body, part.stage))
        return found

    def called(
        self, stages: Sequence[Lowered], extra: Sequence[tuple[str, str]], batch: str = ""
    ) -> list[tuple[bool, list[Statement]]]:
        """Every stage as a call of its block, after the barrier; equal stages call one block."""
        kinds = dict(self.listed(extra, batch))
        kinds |= {name: "size" for names in (*self.ranges.values(), self.widths.values()) for name in names}
        kinds |= dict.fromkeys(("thread", "threads", "step", "first", *([size_text(batch)] if batch else [])), "size")
        blocks = []
        for group in self.blocks.grouped(stages, kinds) if self.joining else [[stage] for stage in stages]:
            meet: list[Statement] = [BARRIER] if group[0].barrier else []
            call = self.blocks.call(group, kinds)
            self.computes.setdefault(call.function, []).append(group)
            notes = [s for s in group[0].body if isinstance(s, Note)]
            blocks.append((group[0].training, [*meet, *notes[:1], call]))
        return blocks

    def listed(self, extra: Sequence[tuple[str, str]], batch: str = "") -> list[tuple[str, str]]:
        """What a kernel is given: names and kinds of sizes, arrays, what every thread has of its own."""
        lowering = self.lowering
        found = [(size_text(s), "size") for s in self.sizes(batch)] + list(extra)
        found += [(b, dtype_of(n, self.real)) for part in self.arrays() for b, n in part.items()]
        assert len({name for name, _ in found}) == len(found), lowering.names
        return [*found, ("meeting", "int64"), ("work", self.real), ("block", self.real)]

    def arrays(self) -> tuple[dict[str, Expr], dict[str, Expr], dict[str, Expr], dict[str, Expr]]:
        """Inputs, constants, temporary buffers and the threads' own memory by name."""
        lowering, schedule = self.lowering, self.schedule
        given = [leaf for leaf in schedule.inputs.values() if leaf not in lowering.drawn]
        inputs = {lowering.buffer(leaf): leaf for leaf in given}
        constants = {lowering.buffer(node): node for node in lowering.arrays}
        shared = {n: b for n, b in lowering.buffers.items() if n not in lowering.own}
        temporaries = {b: n for n, b in shared.items() if not isinstance(n.op, Leaf | Constant)}
        return inputs, constants, temporaries, {own.memory: node for node, own in lowering.own.items()}

    def sizes(self, batch: str = "") -> list[str]:
        """The named sizes that a kernel is given."""
        schedule = self.schedule
        nodes = [*schedule.inputs.values(), *schedule.stored, *(n for s in schedule.stages for n in s.nodes)]
        whole_graph = topological([*schedule.outputs.values(), *(value for _, value in schedule.updates)])
        counted = [s for n in whole_graph for s in (*n.shape, *([n.op.size] if isinstance(n.op, Extent) else []))]
        return [s for s in sizes.names([*(s for n in nodes for s in n.shape), *counted]) if s != batch]

    def owner_note(self, part: Part) -> str:
        if part.split is None:
            return "computed by thread 0"
        crossing = f", about {part.crossing:,} bytes cross cores" if part.crossing else ""
        return f"each thread owns a part of axis {part.split} ({size_text(part.stage.shape[part.split])}){crossing}"

    def range_lines(self) -> tuple[list[Statement], list[Statement]]:
        """Where each thread's parts begin and end: of axes whose size is a number, then of those with a name."""
        numbers: list[Statement] = []
        names: list[Statement] = []
        for (size, multiple), ends in self.ranges.items():
            share = Let(", ".join(ends), f"share({size}, threads, thread, {multiple})")
            (numbers if size.isdecimal() else names).append(share)
        return numbers + [Let(width, f"{last} - {first}") for (first, last), width in self.widths.items()], names


def assemble(schedule: Schedule, precision: str, name: str) -> Assembled:
    """The program of a plain kernel: every output computed once."""
    assembler = Assembler(schedule, precision)
    parts = assembler.parts()
    blocks = assembler.called(assembler.stages(parts), [])
    numbers, names = assembler.range_lines()
    body = numbers + names + [s for _, block in blocks for s in block]
    return finish(assembler, parts, body, name, [])


def finish(
    assembler: Assembler,
    parts: list[Part],
    body: list[Statement],
    name: str,
    extra: Sequence[tuple[str, str]],
    batch: str = "",
) -> Assembled:
    """The program with its table of slots: sizes, arrays, what every thread has of its own."""
    lowering, schedule = assembler.lowering, assembler.schedule
    inputs, constants, temporaries, owned = assembler.arrays()
    listed = assembler.listed(extra, batch)
    slots = [Slot(slot, kind, place) for place, (slot, kind) in enumerate(listed)]
    state = lowering.names.fresh("denormals")
    body = [Let(state, "flush_denormals()"), *body, Call("restore_denormals", (state,))]
    buffers = {b: n for b, n in {**temporaries, **owned}.items() if not isinstance(n.op, Leaf)}
    kept = {stored_in(e, set(temporaries.values())) for e in schedule.outputs.values()}
    known = lives(parts, lowering.own, kept)
    program = Program(name, slots, body, assembler.real, assembler.precision, assembler.blocks.made)
    widths = tuple(p.stage.product.shape[-1] for p in parts if p.stage.product is not None)
    return Assembled(
        program, schedule, parts, {s.name: s for s in slots}, inputs, constants, temporaries, owned,
        {b: known.get(n, WHOLE) for b, n in buffers.items()}, tuple(assembler.sizes(batch)),
        computes=assembler.computes, block=widths,
    )  # fmt: skip
