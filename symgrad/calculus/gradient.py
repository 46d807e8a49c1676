"""The reverse sweep: walk back from the loss, apply the rule, undo broadcasting once, add. Every step is recorded.

The record *is* the derivation that people read; there is no second algorithm that could disagree. Stable forms are
recognised before differentiating (`log(softmax(z))` written naively), because their own derivatives stay stable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from symgrad.calculus import rules
from symgrad.calculus.arithmetic import repeat
from symgrad.calculus.engine import Rewrite, Simplifier
from symgrad.calculus.identities import STABLE
from symgrad.errors import GradientError
from symgrad.expression import functions as f
from symgrad.expression import ops, sizes
from symgrad.expression.forms import evaluation_form, has_forms, in_training, training_form
from symgrad.expression.node import Expr, as_expr, cut, leaves, make, topological
from symgrad.expression.scalars import REAL


@dataclass(frozen=True)
class Step:
    """One application of a rule: `node` was differentiated by argument `position`, from `incoming` to `result`."""

    rule: str
    statement: str
    node: Expr
    position: int
    incoming: Expr
    result: Expr


@dataclass(frozen=True)
class Derivation:
    """What the sweep did: the loss with stable forms recognised, each step, and the gradients as derived."""

    loss: Expr
    recognised: Expr
    rewrites: tuple[Rewrite, ...]
    steps: tuple[Step, ...]
    wrt: tuple[Expr, ...]
    gradients: tuple[Expr, ...]


@overload
def gradient(loss: Expr, wrt: Expr) -> Expr: ...
@overload
def gradient(loss: Expr, wrt: Sequence[Expr]) -> list[Expr]: ...
def gradient(loss: Expr, wrt: Expr | Sequence[Expr]) -> Expr | list[Expr]:
    """The gradient of a scalar with respect to one node, or a list for a list; as derived, not simplified.

    Raises GradientError when the loss is not a scalar, does not contain what is asked for, or passes through an
    operation without derivative.

    >>> from symgrad.expression.functions import parameter, sum
    >>> w = parameter("w", (3,))
    >>> gradient(sum(w * w), w).shape
    (3,)
    """
    if isinstance(wrt, Expr):
        return gradient(loss, [wrt])[0]
    if not isinstance(loss, Expr) or not has_forms([loss]):
        return list(derive(loss, wrt).gradients)
    forms = training_form(loss), evaluation_form(loss)  # each by itself: neither needs what only the other has
    return [in_training(*(_in_form(form, w) for form in forms)) for w in wrt]


def _in_form(form: Expr, w: Expr) -> Expr:
    """The gradient in training or in evaluation; zero where that does not contain the node."""
    return derive(form, [w]).gradients[0] if w in set(topological([form])) else repeat(as_expr(0.0), w)


def derive(loss: Expr, wrt: Sequence[Expr]) -> Derivation:
    """The gradients together with the record of how they came about; of a loss as it is in training."""
    if isinstance(loss, Expr) and has_forms([loss]):
        loss = training_form(loss)
    _check(loss, wrt)
    recognised, rewrites = _recognise(loss, wrt)
    steps: list[Step] = []
    adjoints, _ = _sweep(recognised, wrt, steps)
    cancelled = [w for w in wrt if w not in adjoints]
    if cancelled:  # recognised, the loss does not depend on them: softmax(a + c) is softmax(a), the gradient by c is 0
        _check_reached(cancelled, *_sweep(loss, cancelled, []))
        adjoints |= {w: repeat(as_expr(0.0), w) for w in cancelled}
    return Derivation(loss, recognised, rewrites, tuple(steps), tuple(wrt), tuple(adjoints[w] for w in wrt))


def _recognise(loss: Expr, wrt: Sequence[Expr]) -> tuple[Expr, tuple[Rewrite, ...]]:
    """The loss with its stable forms, none of which sees through a node that it is differentiated by."""
    held = {w: f.variable(f"held_{i}", w.shape) for i, w in enumerate(wrt) if w.args}
    stable = Simplifier(STABLE)
    found = stable.run(cut(loss, held))
    if not held:
        return found, tuple(stable.rewrites)
    back = {leaf: w for w, leaf in held.items()}
    restored = (Rewrite(r.identity, cut(r.before, back), cut(r.after, back)) for r in stable.rewrites)
    return cut(found, back), tuple(restored)


def gradient_as_written(loss: Expr, wrt: Expr) -> Expr:
    """The gradient without recognising stable forms: what differentiating naively gives. Raises GradientError."""
    _check(loss, [wrt])
    adjoints, blocked = _sweep(loss, [wrt], [])
    _check_reached([wrt], adjoints, blocked)
    return adjoints[wrt]


def _check(loss: Expr, wrt: Sequence[Expr]) -> None:
    if not isinstance(loss, Expr):
        raise GradientError(f"the loss is an expression, not {type(loss).__name__}")
    if loss.shape:
        raise GradientError(
            f"a gradient is taken of a scalar, but {loss.label} has shape {sizes.text(loss.shape)}: "
            f"take its sum or mean first"
        )
    if loss.kind != REAL:
        raise GradientError(f"{loss.label} is {loss.kind}: it has no derivative")
    inside, names = set(topological([loss])), leaves([loss])
    for w in wrt:
        if not isinstance(w, Expr):
            raise GradientError(
                f"gradients are taken with respect to expressions such as a parameter, not {type(w).__name__} {w!r}"
            )
        if w not in inside:
            twin = f": it contains another leaf called {w.label}" if w.label in names else ""
            raise GradientError(f"the loss does not contain {w.label}{twin}; it contains {', '.join(names)}")
        if w.kind != REAL:
            raise GradientError(f"{w.label} is {w.kind}: a derivative is taken with respect to real numbers")


def _sweep(loss: Expr, wrt: Sequence[Expr], steps: list[Step]) -> tuple[dict[Expr, Expr], list[Expr]]:
    """The adjoint of every node that real numbers connect with the loss, and the nodes that nothing passes through."""
    order = topological([loss])
    wanted = set(wrt)
    leads: set[Expr] = set()  # nodes that depend on something wanted
    for node in order:
        if node in wanted or any(a in leads for a in node.args):
            leads.add(node)
    called = {node.args[0]: node for node in order if isinstance(node.op, ops.Named)}
    parts: dict[Expr, list[Expr]] = {loss: [as_expr(1.0)]}
    total: dict[Expr, Expr] = {}
    blocked: list[Expr] = []
    for node in reversed(order):
        if node not in leads or node not in parts:
            continue
        g = _collect(node, parts.pop(node))
        total[node] = g
        for position, argument in enumerate(node.args):
            if argument not in leads:
                continue
            result = _apply(node, called.get(node, node), g, position, steps)
            if result is None:
                blocked.append(node)
            else:
                parts.setdefault(argument, []).append(result)
    return total, blocked


def _check_reached(wrt: Sequence[Expr], total: Mapping[Expr, Expr], blocked: Sequence[Expr]) -> None:
    for w in wrt:
        if w not in total:
            stop = blocked[0].label if blocked else "an integer"
            raise GradientError(
                f"the loss depends on {w.label} only through {stop}, which has no derivative; use a "
                f"smooth stand-in such as a softmax"
            )


def _collect(node: Expr, parts: list[Expr]) -> Expr:
    g = parts[0] if len(parts) == 1 else make(ops.Elementwise("add"), *reversed(parts))  # in the order of the loss
    if isinstance(node.op, ops.Named):  # the adjoint of z is called delta_z, as in a textbook
        g = make(ops.Named(f"delta_{node.op.name}", adjoint=True), g)
    return g


def _apply(node: Expr, y: Expr, g: Expr, position: int, steps: list[Step]) -> Expr | None:
    argument = node.args[position]
    rule = rules.rule_for(node, position)
    if rule is None:
        raise GradientError(f"{type(node.op).__name__} ({node.label}) has no derivative rule")
    if argument.kind != REAL:
        return None
    result = rule.pullback(node, y, g, position)
    if result is None:
        return None
    result = rules.unbroadcast(result, argument)
    assert len(result.shape) == len(argument.shape) and all(map(sizes.same, result.shape, argument.shape)), (
        rule.name,
        result,
        argument,
    )
    steps.append(Step(rule.name, rule.statement, node, position, g, result))
    return result
