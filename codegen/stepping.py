"""A training kernel: steps over rows picked from a data set, forward, backward and optimizer in one program.

The outputs' scalars are kept for every step, its rows for every row. Evaluation is the same code without the updates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symgrad.codegen.blocks import Lowered
from symgrad.codegen.loops import Call, If, Let, Loop, Note, Statement, Store
from symgrad.codegen.names import position, size_text
from symgrad.codegen.program import Assembled, Assembler, finish
from symgrad.codegen.schedule import make_schedule
from symgrad.codegen.sharding import Part
from symgrad.codegen.views import is_permutation
from symgrad.expression.node import Expr, leaves, make
from symgrad.expression.ops import Cast, Constant, Extent, Leaf, Named, Noise, Variable
from symgrad.expression.scalars import REAL


def assemble_training(
    outputs: Mapping[str, Expr],
    updates: Sequence[tuple[Expr, Expr]],
    batch: str,
    stepped: Sequence[Expr],
    precision: str,
    name: str,
    timed: bool = False,
) -> Assembled:
    """The program of a training kernel; `timed` adds a cycle counter around every stage and every barrier.

    Steps `first_step` to `last_step` over `batch_size` rows each, in data order `rows`.

    Without `training` only the outputs are computed: evaluation is the same code.
    """
    outputs = {name: whole(e) for name, e in outputs.items()}
    gathered_names = {
        n
        for n, leaf in _leaves(outputs, updates).items()
        if isinstance(leaf.op, Variable) and leaf.shape[:1] == (batch,)
    }
    schedule = make_schedule(outputs, updates, gathered_names)
    leaves = schedule.inputs
    gathered = frozenset(leaves[n] for n in gathered_names if n in leaves)
    drawn = tuple(leaf for leaf in leaves.values() if isinstance(leaf.op, Noise))
    assembler = Assembler(schedule, precision, gathered, frozenset(stepped), drawn)
    parts = assembler.parts()
    assembler.joining = not timed
    assembler.take_over(parts)
    stages = assembler.stages(parts)
    kept_scalars = [n for n, e in schedule.outputs.items() if not e.shape]
    kept_rows = [n for n, e in schedule.outputs.items() if e.shape[:1] == (batch,)]
    keeping = _keep(assembler, kept_scalars, kept_rows, batch)
    extra = [(n, "size") for n in ("first_step", "last_step", "batch_size", "total_rows", "training", "noise_key")]
    extra += [("rows", "int64")]
    extra += [(f"kept_{n}", "float64") for n in kept_scalars] + [(f"kept_{n}", assembler.real) for n in kept_rows]
    extra += [("spent", "int64")] if timed else []
    blocks = assembler.called(stages, extra, batch)
    if timed:
        blocks = [(training, clocked(block, number, len(blocks))) for number, (training, block) in enumerate(blocks)]
    before, after = (assembler.called(_moved(assembler, parts, back), extra, batch) for back in (False, True))
    numbers, names = assembler.range_lines()
    loop = Loop("step", "first_step", "last_step")
    loop.body += [
        Let("first", "step*batch_size"),
        Let(size_text(batch), "min(batch_size, total_rows - first)"),
        *names,
    ]
    loop.body += [s for training, block in blocks if not training for s in block]
    loop.body += [s for _, block in assembler.called(keeping, extra, batch) for s in block]
    backward = [s for training, block in blocks if training for s in block]
    if backward:
        loop.body.append(If("training != 0", backward))
    loop.body.append(Call("barrier", ("meeting", "threads")))
    body = [*numbers, *_where_shared(before), loop, *_where_shared(after)]
    result = finish(assembler, parts, body, name, extra, batch)
    result.scalars, result.rows = tuple(kept_scalars), tuple(kept_rows)
    return result


def _moved(assembler: Assembler, parts: Sequence[Part], back: bool) -> list[Lowered]:
    """Each thread's part of weights and state into memory of its own; `back`, to where the caller has them."""
    lowering = assembler.lowering
    forward = {buffer for part in parts if not part.stage.only_training for buffer, _ in part.reads}
    found = []
    for leaf, own in lowering.own.items():
        if not isinstance(leaf.op, Leaf):
            continue
        index = tuple(lowering.names.fresh("ijklpq"[axis % 6]) for axis in range(leaf.ndim))
        ends = assembler.range_of(leaf.shape[-1])
        given, mine = (lowering.buffer(leaf), position(leaf.shape, index)), (own.memory, lowering.entry(leaf, index))
        (goal, place), (source, entry) = (given, mine) if back else (mine, given)
        body: list[Statement] = [Store(goal, place, f"{source}[{entry}]")]
        for name, size in reversed(list(zip(index, leaf.shape, strict=True))):
            start, stop = ends if name == index[-1] else ("0", size_text(size))
            body = [Loop(name, start, stop, body)]
        note = f"{leaf.name} back from the threads' own memory" if back else f"each thread's part of {leaf.name}"
        found.append(Lowered(back or leaf not in forward, False, [Note(note), *body]))
    return found


def _where_shared(blocks: Sequence[tuple[bool, list[Statement]]]) -> list[Statement]:
    """Blocks that only several threads need: one alone works where the caller has weights and state."""
    always = [s for training, block in blocks if not training for s in block]
    training = [s for training, block in blocks if training for s in block]
    body = [*always, *([If("training != 0", training)] if training else [])]
    return [If("threads > 1", body)] if body else []


def clocked(block: list[Statement], number: int, count: int) -> list[Statement]:
    """A stage with its cycles added up for each thread; waiting for other threads is counted apart, last."""
    barrier = block[:1] if isinstance(block[0], Call) else []
    place = f"thread*{count + 1} + "
    waited = Store("spent", f"{place}{count}", "cycles() - clock", True)
    waiting: list[Statement] = [Let("clock", "cycles()"), *barrier, waited] if barrier else []
    own: list[Statement] = [Let("clock", "cycles()"), *block[len(barrier) :]]
    return [*waiting, *own, Store("spent", f"{place}{number}", "cycles() - clock", True)]


def whole(node: Expr) -> Expr:
    """A node that has a buffer of its own: what is a leaf or a transpose is copied."""
    inner = node
    while isinstance(inner.op, Named):
        inner = inner.args[0]
    return (
        make(Cast(REAL), node)
        if isinstance(inner.op, Leaf | Constant | Extent) or is_permutation(inner) or node.kind != REAL
        else node
    )


def _leaves(outputs: Mapping[str, Expr], updates: Sequence[tuple[Expr, Expr]]) -> dict[str, Expr]:
    return leaves([*outputs.values(), *(v for _, v in updates), *(leaf for leaf, _ in updates)])


def _keep(
    assembler: Assembler, scalars: Sequence[str], rows: Sequence[str], batch: str
) -> list[Lowered]:
    """Outputs of this step copied to where the caller finds them after many steps, as a stage."""
    schedule, lowering = assembler.schedule, assembler.lowering
    inner: list[Statement] = []
    for name in scalars:
        inner.append(Store(f"kept_{name}", "step", f"{lowering.buffer(schedule.outputs[name])}[0]"))
    for name in rows:
        node = schedule.outputs[name]
        width = "*".join(map(size_text, node.shape[1:])) or "1"
        index = lowering.names.fresh("k")
        source = f"{lowering.buffer(node)}[{index}]"
        copy = Store(f"kept_{name}", f"first*{width} + {index}", source)
        inner.append(Loop(index, "0", f"{size_text(batch)}*{width}", [copy]))
    return [Lowered(False, True, [Note("outputs of this step"), If("thread == 0", inner)])] if inner else []
