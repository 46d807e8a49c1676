"""A small network followed with numbers, as on a blackboard: forward, factor by factor back, one step of the optimizer.

Takes a model with a row of data that it calls its example; the weights are those it starts with. Every number comes
from the interpreter, and each product of factors is compared with the derived gradient before it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from symgrad.calculus.chain import product
from symgrad.calculus.gradient import gradient
from symgrad.calculus.simplify import simplified
from symgrad.errors import ConfigurationError, GradientError
from symgrad.expression import functions as f
from symgrad.expression import sizes
from symgrad.expression.node import Expr, topological
from symgrad.expression.ops import Leaf, Named, Parameter
from symgrad.formulas.chain import ChainRule, chain_rule
from symgrad.formulas.document import Definition, definitions
from symgrad.formulas.names import text as shown
from symgrad.formulas.text import text
from symgrad.interpreter import evaluate, sizes_in

if TYPE_CHECKING:
    from symgrad.training.model import Model

SMALL = 64  # numbers in a tensor that a person can follow
Values = Mapping[str, np.ndarray]


def blackboard(model: Model, wrt: Sequence[Expr]) -> str:
    """Values beside every formula, on the way forward and on the way back, and one update step.

    Raises ConfigurationError when the network is too large to follow by hand, or has no example of one row.
    """
    values = _example(model)
    rules = [chain_rule(model.training_loss, w) for w in wrt]
    lines = ["forward", *_forward(model, rules, values)]
    for w, rule in zip(wrt, rules, strict=True):
        lines += ["", f"back to {shown(w.label)}", *_back(model, w, rule, values)]
    return "\n".join(lines)


def _example(model: Model) -> Values:
    """The starting weights and one row of data, by name, in float64."""
    large = [n for n in topological([model.training_loss]) if _entries(n) > SMALL]
    if large:
        raise ConfigurationError(
            f"{model.name} is too large to follow by hand: {large[0].label} {sizes.text(large[0].shape)} has more than "
            f"{SMALL} entries; try the model two-two-one, or make yours smaller with -p"
        )
    if not model.example:
        row = ", ".join(f"{leaf.name!r}: [...]" for leaf in [*model.inputs, *model.targets])
        raise ConfigurationError(
            f"{model.name} has no example to follow; give it one row of data: sg.Model(..., example={{{row}}})"
        )
    model.initialize()
    weights = {n: np.asarray(w, np.float64) for n, w in model.weights.items()}
    return {**weights, **model.example}


def _entries(node: Expr) -> int:
    return int(np.prod([s if isinstance(s, int) else 1 for s in node.shape], dtype=np.int64))


def value(expression: Expr, values: Values) -> np.ndarray:
    """An expression of one sample, or of a batch of one row, in numbers."""
    order = topological([expression])
    given = {}
    for leaf in (n for n in order if isinstance(n.op, Leaf)):
        array = np.asarray(values[leaf.name])
        given[leaf.name] = array if array.ndim == leaf.ndim else array[0]
    told = {s for n in order if isinstance(n.op, Leaf) for s in n.shape}
    return evaluate(expression, {**given, **{n: 1 for n in sizes_in(order) if n not in told}})


def number(array: np.ndarray) -> str:
    """Numbers as they are written on a blackboard.

    >>> number(np.array([0.5, -1 / 3]))
    '[0.5, -0.333333]'
    """
    return np.array2string(
        np.asarray(array, np.float64), separator=", ", formatter={"float_kind": lambda v: f"{v:.6g}"}, max_line_width=90
    ).replace("\n", "")


def _forward(model: Model, rules: Sequence[ChainRule], values: Values) -> list[str]:
    """Each leaf and each named node of one sample in order, then the loss."""
    losses = {s.title: simplified([s.loss], within=[s.loss]).expressions[0] for r in rules for s in r.chain.sums}
    order = [n for n in topological(losses.values()) if isinstance(n.op, Leaf | Named)]
    main, where = definitions(losses)
    formulas = {d.node: d for d in where}
    rows = []
    for node in dict.fromkeys(order):
        name = shown(node.name)
        formula = f" = {text(formulas[node].math)}" if node in formulas else ""
        rows.append((name, f"{formula} = {number(value(node, values))}", isinstance(node.op, Parameter)))
    rows += [(d.name, f" = {text(d.math)} = {number(value(d.node, values))}", False) for d in main]
    width = max(len(name) for name, _, _ in rows)
    return [f"  {name:<{width}}{rest}" for name, rest, _ in rows]


def _back(model: Model, w: Expr, rule: ChainRule, values: Values) -> list[str]:
    """The factors with their values, their product, and what one step makes of the parameter."""
    main, _ = rule.written
    width = max(len(d.name) for d in main)
    lines = [f"  {rule.title} = {text(rule.written_sum)}"]
    for d, factor in zip(main, rule.factors.values(), strict=True):
        known = dict.fromkeys([text(d.math), number(value(factor.jacobian, values))])
        lines.append(f"  {d.name:<{width}} = {' = '.join(known)}   ({factor.part})")
    slope = value(gradient(model.training_loss, w), values)
    total = sum((value(product(path), values) for s in rule.chain.sums for path in s.paths), np.zeros(w.shape))
    complete = all(s.count == len(s.paths) for s in rule.chain.sums)
    if complete and not np.allclose(total, slope, rtol=1e-9, atol=1e-12):
        raise GradientError(
            f"the factors of {rule.title} multiply to {number(total)}, but the gradient is {number(slope)}"
        )
    after, words = _step(model, w, values[w.name], slope)
    return [
        *lines,
        f"  {rule.title} = {number(slope)}",
        f"  {shown(w.label)} ← {words} = {number(after)}",
    ]


def _step(model: Model, w: Expr, before: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, str]:
    """The parameter after the first step of the model's optimizer, and the formula of that step."""
    optimizer = model.training.optimizer
    g, rate, t = f.variable("g", w.shape), f.variable("eta"), f.variable("t")
    old = f.variable(shown(w.label) if shown(w.label).isidentifier() else w.name, w.shape)
    state = {name: f.variable(f"state_{name}", w.shape) for name in optimizer.states}
    new, _ = optimizer.update(old, g, rate, t, state)
    given = {old.name: before, "g": slope, "eta": optimizer.learning_rate, "t": 1.0}
    given |= {s.name: np.zeros(w.shape) for s in state.values()}
    used = {n.name for n in topological([new]) if isinstance(n.op, Leaf)}
    words = f"step of {optimizer.name}, learning rate {optimizer.learning_rate:g}: {_words(new)}"
    return evaluate(new, {n: v for n, v in given.items() if n in used}), words


def _words(new: Expr) -> str:
    found: list[Definition] = definitions({"": new})[0]
    return text(found[0].math)
