"""A report: everything there is to see about a model, on one page that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from symgrad.inspection.blocks import code_section
from symgrad.inspection.explained import (
    cost_section,
    derivation_section,
    gradient_section,
    graph_section,
    loss_section,
    model_section,
)
from symgrad.inspection.page import page, paragraph
from symgrad.inspection.trained import trained_sections

if TYPE_CHECKING:
    from symgrad.inspection.outcome import Outcome
    from symgrad.training.model import Model

SECTIONS = (
    model_section,
    graph_section,
    loss_section,
    gradient_section,
    derivation_section,
    code_section,
    cost_section,
)


def report(model: Model, seen: Outcome | None = None) -> str:
    """A model as one HTML page, readable offline: graph, loss, proved gradients, derivation, generated code, cost.

    `seen` adds what training brought: curves, confusions, mistakes, weights. The page holds no script and no address;
    it is XML, too. Raises GradientError when the proof of the gradients fails, ModelError when the model cannot be
    trained.

    >>> from symgrad.models.softmax_regression import model
    >>> report(model()).startswith("<!DOCTYPE html>")
    True
    """
    sections = [section(model) for section in SECTIONS]
    sections += trained_sections(model, seen) if seen is not None else []
    arguments = ", ".join(f"{name} = {value}" for name, value in model.arguments.items())
    about = " with ".join(filter(None, (Path(model.source).name, arguments)))
    return page(f"{model.name}: model, gradients, code", [paragraph(about, "quiet")], sections)
