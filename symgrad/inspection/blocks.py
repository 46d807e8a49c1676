"""The generated code of a training step, cut into its blocks, each beside the formula that it computes.

Takes a program and its text, gives a section of a page. The formulas use the names of the code, so that both can be
read side by side.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from symgrad.codegen.program import Assembled, describe
from symgrad.codegen.schedule import Schedule, Stage
from symgrad.codegen.source import source
from symgrad.expression import sizes
from symgrad.expression.node import Expr
from symgrad.formulas.html import html
from symgrad.formulas.matrix import MatrixNotation
from symgrad.formulas.tree import Symbol
from symgrad.inspection.page import Section, code, folded, paragraph, plain, wide
from symgrad.training.model import Model
from symgrad.training.steps import Plan

KEPT = "# outputs of this step"


def code_section(model: Model) -> Section:
    """The blocks of the training step: forward, backward and optimizer."""
    plan = Plan(model)
    program = plan.program
    opening, *blocks = cut(source(program.program, plan.title), program)
    symbols = _symbols(program)
    pairs = []
    for stage, text in blocks:
        remark = paragraph("kept for the caller" if KEPT in text else "the end of a step", "quiet")
        left = _formulas(stage, program.schedule, symbols) if stage else [remark]
        pairs.append(f'<div class="pair"><div>{"".join(map(wide, left))}</div>{code(text)}</div>')
    about = (
        "The function that is compiled and trains the model, block by block; t1, t2 … are values that have no name in "
        "the formulas. Every thread runs it; each owns a part of an axis and waits for the others at a barrier."
    )
    return Section("code", "Generated code", (
        paragraph(about), folded("what the function is given", [code(opening[1])]), *pairs,
    ))  # fmt: skip


def cut(text: str, program: Assembled) -> list[tuple[Stage | None, str]]:
    """What stands before the first block, then each block of the code with its stage, from its comment on.

    What is kept for the caller, and the end, have blocks without a stage. A barrier before a comment belongs to the
    block behind it. The lines of all blocks are those of the text.
    """
    lines = text.splitlines()
    kept = next((i for i, line in enumerate(lines) if line.strip() == KEPT), len(lines))
    starts, line = list[tuple[int, Stage | None]]([(0, None)]), 0
    for stage in sorted((part.stage for part in program.parts), key=lambda stage: stage.only_training):
        comment = f"# {describe(stage, program.schedule)}"
        line = next(i for i in range(line + 1, len(lines)) if lines[i].strip() == comment)
        if starts[-1][0] < kept < line:
            starts.append((_with_barrier(lines, kept), None))
        starts.append((_with_barrier(lines, line), stage))
    inner = _indentation(lines[line])
    starts.append((next(i for i in range(line, len(lines)) if _indentation(lines[i]) < inner), None))
    ends = [start for start, _ in starts[1:]] + [len(lines)]
    return [
        (stage, textwrap.dedent("\n".join(lines[a:b])).strip("\n")) for (a, stage), b in zip(starts, ends, strict=True)
    ]


def _with_barrier(lines: list[str], line: int) -> int:
    return line - lines[line - 1].strip().startswith("barrier(")


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _symbols(program: Assembled) -> dict[Expr, Symbol]:
    """What the code calls each tensor that it stores."""
    named = set(program.schedule.names.values())
    return {node: Symbol(name, plain=name not in named) for name, node in program.temporaries.items()}


def _formulas(stage: Stage, schedule: Schedule, symbols: dict[Expr, Symbol]) -> Iterator[str]:
    """What a stage computes: a tensor of its own, or a leaf that is overwritten."""
    for node, target in zip(stage.nodes, stage.targets, strict=True):
        left, sign = (symbols[node], "=") if target is None else (Symbol(target.name), "←")
        right = html(MatrixNotation(symbols).math(node, top=True))
        shape = plain(sizes.text(node.shape)) if node.shape else "a number"
        yield f'{html(left)} {sign} {right} <div class="quiet">{shape}</div>'
