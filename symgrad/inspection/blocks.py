"""The generated code of a training step, cut into its blocks, each beside the formula that it computes.

Takes a program and its text, gives a section of a page. The formulas use the names of the code, so that both can be
read side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from symgrad.codegen.blocks import BARRIER
from symgrad.codegen.program import Assembled
from symgrad.codegen.schedule import Schedule, Stage
from symgrad.codegen.source import block_source, entry_source, statements
from symgrad.expression import sizes
from symgrad.expression.node import Expr
from symgrad.expression.ops import Leaf
from symgrad.formulas.html import html
from symgrad.formulas.matrix import MatrixNotation
from symgrad.formulas.tree import Symbol
from symgrad.inspection.page import Section, code, paragraph, plain, wide
from symgrad.training.model import Model
from symgrad.training.steps import Plan

ALIKE = 4  # stages of one block whose formulas are shown


def code_section(model: Model) -> Section:
    """The blocks of the training step: forward, backward and optimizer; then the function that calls them."""
    plan = Plan(model)
    program = plan.program
    symbols = _symbols(program)
    pairs = []
    for stages, text in cut(program):
        left = [line for stage in stages[:ALIKE] for line in _formulas(stage, program.schedule, symbols)]
        if len(stages) > ALIKE:
            left.append(paragraph(f"and {len(stages) - ALIKE} more of the same form", "quiet"))
        if not stages:
            head, note = text.startswith("def block"), text.partition("\n")[0].lstrip("# ")
            entry = "calls the functions in order" if text.startswith("def") else note
            left = [paragraph("a function of" if head else entry, "quiet")]
        pairs.append(f'<div class="pair"><div>{"".join(map(wide, left))}</div>{code(text)}</div>')
    about = (
        "The functions that are compiled and train the model, block by block; t1, t2 … are values that have no name in "
        "the formulas. Every thread runs them; each owns a part of an axis and waits for the others at a barrier. "
        "Where none touches another's columns of a weight, each has its own in memory of its own (own_W1 …)."
    )
    return Section("code", "Generated code", (paragraph(about), *pairs))


def cut(program: Assembled) -> list[tuple[list[Stage], str]]:
    """The heads of functions without a stage, the code of each stage with the stages that it computes, the entry."""
    found: list[tuple[list[Stage], str]] = []
    for block in program.program.blocks:
        groups = program.computes[block.name]
        found.append(([], block_source(replace(block, body=[])).strip("\n")))
        for place, lowered in enumerate(groups[0]):
            meeting = [BARRIER] if place and lowered.barrier else []
            stages = [group[place].stage for group in groups if group[place].stage is not None]
            found.append((stages, statements([*meeting, *lowered.body])))
    return [*found, ([], entry_source(program.program).strip("\n"))]


def _symbols(program: Assembled) -> dict[Expr, Symbol]:
    """What the code calls each tensor that it stores; weights and state keep their names."""
    named = set(program.schedule.names.values())
    stored = {**program.temporaries, **program.owned}
    return {n: Symbol(name, plain=name not in named) for name, n in stored.items() if not isinstance(n.op, Leaf)}


def _formulas(stage: Stage, schedule: Schedule, symbols: dict[Expr, Symbol]) -> Iterator[str]:
    """What a stage computes: a tensor of its own, or a leaf that is overwritten."""
    for node, target in zip(stage.nodes, stage.targets, strict=True):
        left, sign = (symbols[node], "=") if target is None else (Symbol(target.name), "←")
        right = html(MatrixNotation(symbols).math(node, top=True))
        shape = plain(sizes.text(node.shape)) if node.shape else "a number"
        yield f'{html(left)} {sign} {right} <div class="quiet">{shape}</div>'
