"""The chapters of a report that explain a model: what it is, its loss and gradients, how these come about, its cost.

Takes a model, gives sections of a page. Formulas are printed by `symgrad.formulas`, proved by `symgrad.proof`.
"""

from __future__ import annotations

import math

from symgrad.calculus.engine import Rewrite
from symgrad.calculus.gradient import Step
from symgrad.expression import sizes
from symgrad.expression.node import Expr, leaves
from symgrad.expression.ops import Leaf, Named, Noise, Parameter, State, Variable
from symgrad.formulas import definitions, formula
from symgrad.formulas.derivation import derivation, one_line
from symgrad.formulas.document import Writer
from symgrad.formulas.html import html
from symgrad.formulas.names import text as shown
from symgrad.formulas.tree import Symbol
from symgrad.inspection.cost import conventions, model_costs, model_sizes
from symgrad.inspection.graph import model_graph
from symgrad.inspection.page import Section, figure, folded, paragraph, plain, table, wide
from symgrad.proof.stamp import stamp
from symgrad.training.model import Model

DRAWN = 150  # boxes; a larger graph is shown without its gradients
UNFOLDED = 12  # steps of a derivation that need no click


def mathml(node: Expr) -> str:
    """A node as one formula, its names unexplained; a named node by its name."""
    if isinstance(node.op, Leaf | Named):
        return html(Symbol(node.op.name))
    return html(Writer({"": node}, "matrix").main()[0].math)


def model_section(model: Model) -> Section:
    """Inputs, parameters, named values, and how the model is trained."""
    used = leaves([*model.inputs, *model.targets, model.output, model.training_loss]).values()
    rows = [
        (mathml(leaf), plain(_role(leaf)), plain(sizes.text(leaf.shape)), plain(_count(leaf)))
        for leaf in sorted(used, key=lambda leaf: isinstance(leaf.op, Parameter))
    ]
    main, where = definitions({"output": model.output})
    named = [(html(d.left), html(d.math), plain(sizes.text(d.node.shape))) for d in [*main, *where]]
    training = model.training
    how = (
        f"{training.optimizer.name}, learning rate {training.optimizer.learning_rate:g}, schedule "
        f"{training.schedule.name}, batches of {training.batch_size} rows, {training.epochs} epochs, {training.dtype}."
    )
    return Section("model", "Model", (
        paragraph(f"{model.parameter_count:,} numbers are trained: {how}"),
        "<h3>Inputs and parameters</h3>", table(("name", "what it is", "shape", "numbers"), rows, (3,)),
        "<h3>From the output back to the inputs</h3>", table(("value", "formula", "shape"), named),
    ))  # fmt: skip


def _role(leaf: Expr) -> str:
    if isinstance(leaf.op, Parameter):
        return f"parameter, starts as {leaf.op.initializer}"
    if isinstance(leaf.op, State):
        return f"state that training writes back, starts at {leaf.op.initial}"
    if isinstance(leaf.op, Noise):
        return "uniform noise, drawn anew for each step"
    assert isinstance(leaf.op, Variable)
    labels = f"class labels 0 to {leaf.op.classes - 1}" if leaf.op.classes else "input"
    return f"{labels}, stored as {leaf.op.dtype}" if leaf.op.dtype else labels


def _count(leaf: Expr) -> str:
    return f"{math.prod(leaf.shape):,}" if isinstance(leaf.op, Parameter) else ""


def graph_section(model: Model) -> Section:
    """The network and its gradients as a picture."""
    drawn = model_graph(model, gradient=True)
    gradient = drawn.count('<g class="box"') <= DRAWN
    picture = drawn if gradient else model_graph(model)
    about = "Values stand below what they use; gradients climb back beside them." if gradient else (
        "The network is deep: its gradients are left out here, `symgrad graph --gradient` draws them.")  # fmt: skip
    return Section("graph", "Graph", (figure(wide(picture), about),))


def loss_section(model: Model) -> Section:
    """The loss as written."""
    return Section("loss", "Loss", (formula({"L": model.training_loss}, format="html"),))


def gradient_section(model: Model) -> Section:
    """The simplified gradients with the stamp of their proof. Raises GradientError when the proof fails."""
    derived = model.gradients
    proof = stamp(derived.derivation, derived.simplified)
    named = {f"∂L/∂{shown(name)}": g for name, g in derived.gradients.items()}
    badge = f'<p class="badge">{plain(str(proof))}</p>'
    return Section("gradients", "Gradients", (formula(named, format="html"), badge))


def derivation_section(model: Model) -> Section:
    """Every rule and every simplification that was applied, in order."""
    found = derivation(model.training_loss, list(model.parameters.values()))
    stable = [_rewrite(r) for r in found.derivation.rewrites]
    rules = [_step(s) for s in found]
    rewrites = [_rewrite(r) for r in found.rewrites if one_line(r.before) != one_line(r.after)]
    parts = [
        folded(f"{title}: {len(steps)}", steps, len(steps) <= UNFOLDED)
        for title, steps in (
            ("stable forms, recognised before differentiating", stable),
            ("applications of the chain rule, from the loss back", rules),
            ("simplifications", rewrites),
        )
        if steps
    ]
    about = "What the program did, recorded while it did it; nothing here was written by hand."
    return Section("derivation", "Derivation", (paragraph(about), *parts))


def _step(step: Step) -> str:
    rows = [
        ("at", f"{mathml(step.node)} &#160; by &#160; {mathml(step.node.args[step.position])}"),
        ("incoming", _with_shape(step.incoming)),
        ("gives", _with_shape(step.result)),
    ]
    body = "".join(f'<tr><td class="quiet">{head}</td><td>{cell}</td></tr>' for head, cell in rows)
    return f'<div class="step"><b>{plain(step.rule)}</b>: {plain(step.statement)}{wide(f"<table>{body}</table>")}</div>'


def _with_shape(node: Expr) -> str:
    return f"{mathml(node)} &#160; {plain(sizes.text(node.shape))}" if node.shape else mathml(node)


def _rewrite(rewrite: Rewrite) -> str:
    change = wide(f"{mathml(rewrite.before)} &#160;→&#160; {mathml(rewrite.after)}")
    return f'<div class="step"><b>{plain(rewrite.identity.name)}</b>: {plain(rewrite.identity)}{change}</div>'


def cost_section(model: Model) -> Section:
    """Operations, bytes and memory of both passes, as written and simplified."""
    found = model_costs(model)
    values = model_sizes(model, found)
    rows = [
        (plain(f"{part}, {form}") if what == "operations" else "", plain(what), plain(text), plain(number))
        for form, passes in found.items()
        for part, value in passes.items()
        for what, text, number in value.rows(values)
    ]
    at = ", ".join(f"{name} = {value}" for name, value in values.items()) or "number"
    return Section("cost", "Cost of a step", (
        table(("pass", "what", "formula", at), rows, (3,)), paragraph(conventions(model.training.dtype), "quiet"),
    ))  # fmt: skip
