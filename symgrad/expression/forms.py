"""An expression as it is in training and as it is in evaluation; and what a step of training writes back.

`in_training` chooses between the two, `assigned` notes a state's new value; both are resolved here, before anything
is differentiated or compiled for a model. Knows expressions only.
"""

from __future__ import annotations

from collections.abc import Sequence

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import ops, sizes
from symgrad.expression.node import Expr, as_expr, make, topological


def in_training(training: object, evaluation: object) -> Expr:
    """The first in training, the second in evaluation; both have one shape. Raises ShapeError, ExpressionError."""
    first, second = as_expr(training), as_expr(evaluation)
    if first.ndim != second.ndim or not all(map(sizes.same, first.shape, second.shape)):
        raise ShapeError(ops.disagreement("choose between", first, second, "in training and evaluation shapes agree"))
    if first.kind != second.kind:
        raise ExpressionError(f"{first.label} is {first.kind} in training, but {second.label} is {second.kind}")
    return make(ops.Mode(), first, second)


def assigned(value: Expr, state: Expr, new: Expr) -> Expr:
    """`value`, and after each step of training that computes it the state becomes `new`. Raises ShapeError."""
    if not isinstance(state.op, ops.State):
        raise ExpressionError(f"only a state (sg.state) is written back, not {state.label}")
    if new.ndim != state.ndim or not all(map(sizes.same, new.shape, state.shape)):
        raise ShapeError(ops.disagreement("assign", state, new, "a state keeps its shape"))
    return make(ops.Assign(), value, state, new)


def _formed(roots: Sequence[Expr], mode: int) -> list[Expr]:
    """The roots with each choice made; what the choice leaves out is not visited."""
    done: dict[Expr, Expr] = {}
    stack = list(reversed(roots))
    while stack:
        node = stack[-1]
        needed = (node.args[mode],) if isinstance(node.op, ops.Mode) else node.args
        if isinstance(node.op, ops.Assign) and mode == 1:
            needed = node.args[:1]
        missing = [a for a in needed if a not in done]
        if missing:
            stack.extend(reversed(missing))
            continue
        stack.pop()
        if node not in done:
            chosen = isinstance(node.op, ops.Mode) or len(needed) < len(node.args)
            done[node] = done[needed[0]] if chosen else make(node.op, *(done[a] for a in node.args))
    return [done[r] for r in roots]


def training_forms(roots: Sequence[Expr]) -> tuple[list[Expr], list[tuple[Expr, Expr]]]:
    """The roots as they are in training, and each state with its new value. Raises ExpressionError for two of one."""
    formed = _formed(roots, 0)
    updates: dict[Expr, Expr] = {}
    for node in topological(formed):
        if isinstance(node.op, ops.Assign):
            _, state, new = node.args
            if updates.setdefault(state, new) is not new:
                raise ExpressionError(f"the state {state.name} is given two new values: use one layer for each")
    known = {n: n for n in topological(formed) if not n.args}
    stripped = _stripped([*formed, *updates.values()], known)
    return stripped[: len(formed)], list(zip(updates, stripped[len(formed) :], strict=True))


def _stripped(roots: Sequence[Expr], done: dict[Expr, Expr]) -> list[Expr]:
    for node in topological(roots):
        if node not in done:
            args = [done[a] for a in node.args]
            done[node] = args[0] if isinstance(node.op, ops.Assign) else make(node.op, *args)
    return [done[r] for r in roots]


def training_form(expression: Expr) -> Expr:
    """An expression as it is in training, with noise in it and without what is written back.

    >>> from symgrad.expression.functions import variable
    >>> x = variable("x", ("N",))
    >>> training_form(in_training(2 * x, x)) is 2 * x
    True
    """
    return training_forms([expression])[0][0]


def evaluation_forms(roots: Sequence[Expr]) -> list[Expr]:
    """The roots as they are in evaluation."""
    return _formed(roots, 1) if has_forms(roots) else list(roots)


def evaluation_form(expression: Expr) -> Expr:
    """An expression as it is in evaluation, which is what `sg.evaluate` and `sg.compile` take.

    >>> from symgrad.expression.functions import variable
    >>> x = variable("x", ("N",))
    >>> evaluation_form(in_training(2 * x, x)) is x
    True
    """
    return evaluation_forms([expression])[0]


def has_forms(roots: Sequence[Expr]) -> bool:
    """Whether training and evaluation differ anywhere below the roots."""
    return any(isinstance(n.op, ops.Mode | ops.Assign) for n in topological(roots))
