"""A whole kernel: schedule, ownership and loops put together into one program, with the layout of what it is given.

Two forms: a plain kernel computes outputs once; a training kernel runs steps over rows picked from a data set, with
forward, backward and optimizer in one body and the outputs' scalars kept for every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from symgrad.codegen.blocks import BARRIER, Blocks, Lowered
from symgrad.codegen.loops import Call, Let, Note, Program, Slot, Statement
from symgrad.codegen.lower import Lowering
from symgrad.codegen.names import size_text
from symgrad.codegen.schedule import Schedule, Stage
from symgrad.codegen.sharding import Part, choose, place_barriers
from symgrad.codegen.stages import Builder
from symgrad.expression import sizes
from symgrad.expression.node import Expr, topological
from symgrad.expression.ops import Constant, Extent, Leaf, Variable
from symgrad.expression.scalars import BOOLEAN, INTEGER, REAL
from symgrad.expression.sizes import Size

LANES = 16  # a thread's part of the last axis is a multiple of this


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
    sizes: tuple[str, ...]
    scalars: tuple[str, ...] = ()  # outputs kept for every step of a training kernel
    rows: tuple[str, ...] = ()  # outputs kept for every row of a training kernel
    computes: dict[str, list[list[Lowered]]] = field(default_factory=dict)  # what each block is called for, by its name
    block: tuple[int, ...] = field(default=())  # widths of fused products: each thread needs BLOCK rows of the widest


def dtype_of(node: Expr, real: str) -> str:
    """How a node's entries are stored; computed real scalars always as float64."""
    if not node.shape and node.kind == REAL and not isinstance(node.op, Leaf | Constant):
        return "float64"
    if isinstance(node.op, Variable) and node.op.dtype:
        return "bool_" if node.op.dtype == "bool" else node.op.dtype
    return {INTEGER: "int64", BOOLEAN: "bool_"}.get(node.kind, real)


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
        real: str,
        gathered: frozenset[Expr] = frozenset(),
        stepped: frozenset[Expr] = frozenset(),
        drawn: tuple[Expr, ...] = (),
    ) -> None:
        self.schedule, self.real = schedule, real
        self.given = (schedule, gathered, stepped, drawn)
        self.lowering = Lowering(*self.given)
        self.ranges: dict[tuple[str, bool], tuple[str, str]] = {}
        self.blocks = Blocks()
        self.computes: dict[str, list[list[Lowered]]] = {}  # what each block is called for
        self.joining = True  # not where every stage's time is taken

    def range_of(self, size: Size) -> tuple[str, str]:
        """The names of where a thread's part of an axis begins and ends; equal sizes are cut alike everywhere."""
        key = (size_text(size), isinstance(size, int) and size >= 4 * LANES)
        if key not in self.ranges:
            stem = f"n{size}" if isinstance(size, int) else str(size) if isinstance(size, str) else "extent"
            self.ranges[key] = (self.lowering.names.fresh(f"{stem}_from"), self.lowering.names.fresh(f"{stem}_to"))
        return self.ranges[key]

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
            body += Builder(self.lowering, part.stage, part.split, self.range_of).build()
            found.append(Lowered(part.stage.only_training, part.barrier, body, part.stage))
        return found

    def called(
        self, stages: Sequence[Lowered], extra: Sequence[tuple[str, str]], batch: str = ""
    ) -> list[tuple[bool, list[Statement]]]:
        """Every stage as a call of its block, after the barrier; equal stages call one block."""
        kinds = dict(self.listed(extra, batch))
        kinds |= {name: "size" for names in self.ranges.values() for name in names}
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

    def arrays(self) -> tuple[dict[str, Expr], dict[str, Expr], dict[str, Expr]]:
        """Inputs, constants and temporary buffers by name."""
        lowering, schedule = self.lowering, self.schedule
        given = [leaf for leaf in schedule.inputs.values() if leaf not in lowering.drawn]
        inputs = {lowering.buffer(leaf): leaf for leaf in given}
        constants = {lowering.buffer(node): node for node in lowering.arrays}
        temporaries = {b: n for n, b in lowering.buffers.items() if not isinstance(n.op, Leaf | Constant)}
        return inputs, constants, temporaries

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

    def range_lines(self) -> list[Statement]:
        """Where each thread's parts begin and end."""
        return [Let(", ".join(names), f"share({size}, threads, thread, {LANES if grained else 1})")
                for (size, grained), names in self.ranges.items()]  # fmt: skip


def assemble(schedule: Schedule, real: str, name: str) -> Assembled:
    """The program of a plain kernel: every output computed once."""
    assembler = Assembler(schedule, real)
    parts = assembler.parts()
    blocks = assembler.called(assembler.stages(parts), [])
    body = assembler.range_lines() + [s for _, block in blocks for s in block]
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
    inputs, constants, temporaries = assembler.arrays()
    listed = assembler.listed(extra, batch)
    slots = [Slot(slot, kind, place) for place, (slot, kind) in enumerate(listed)]
    state = lowering.names.fresh("denormals")
    body = [Let(state, "flush_denormals()"), *body, Call("restore_denormals", (state,))]
    program = Program(name, slots, body, assembler.real, assembler.blocks.made)
    widths = tuple(p.stage.product.shape[-1] for p in parts if p.stage.product is not None)
    return Assembled(
        program, schedule, parts, {s.name: s for s in slots}, inputs, constants, temporaries,
        tuple(assembler.sizes(batch)), computes=assembler.computes, block=widths,
    )  # fmt: skip
