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


def code_section(model: Model) -> Section:
    """The blocks of the training step: forward, backward and optimizer."""
    plan = Plan(model)
    opening, *blocks = cut(source(plan.program.program, plan.title), plan.program)
    symbols = _symbols(plan.program)
    pairs = []
    for stage, text in zip(_stages(plan.program), blocks, strict=True):
        left = "".join(map(wide, _formulas(stage, plan.program.schedule, symbols)))
        pairs.append(f'<div class="pair"><div>{left}</div>{code(text)}</div>')
    about = (
        "The function that is compiled and trains the model, block by block; t1, t2 … are values that have no name in "
        "the formulas. Every thread runs it; each owns a part of an axis and waits for the others at a barrier."
    )
    return Section("code", "Generated code", (
        paragraph(about), folded("what the function is given", [code(opening)]), *pairs,
    ))  # fmt: skip


def cut(text: str, program: Assembled) -> list[str]:
    """What stands before the first block, then each block of the code, from its formula's comment on.

    A barrier before a comment belongs to the block behind it.
    """
    lines = text.splitlines()
    starts, line = [0], 0
    for stage in _stages(program):
        comment = f"# {describe(stage, program.schedule)}"
        line = next(i for i in range(line + 1, len(lines)) if lines[i].strip() == comment)
        starts.append(line - lines[line - 1].strip().startswith("barrier("))
    ends = [*starts[1:], len(lines)]
    return [textwrap.dedent("\n".join(lines[a:b])).strip("\n") for a, b in zip(starts, ends, strict=True)]


def _stages(program: Assembled) -> list[Stage]:
    """The stages in the order of the code: what evaluation needs too comes first."""
    return sorted((part.stage for part in program.parts), key=lambda stage: stage.only_training)


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
