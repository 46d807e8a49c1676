"""Whether a gradient derived by hand is the true one; if not, where it differs and what is likely wrong with it.

Takes a loss, what it is differentiated by, and a person's formula as a text or an expression. The two are compared by
values, so the form in which a formula is written does not matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symgrad.calculus.gradient import gradient
from symgrad.errors import ExpressionError, GradientError, ShapeError
from symgrad.expression import functions as f
from symgrad.expression import ops, parse, sizes
from symgrad.expression.node import Expr, as_expr, leaves, make, rebuild, topological
from symgrad.expression.scalars import REAL, TABLE
from symgrad.proof import drafts
from symgrad.proof.drafts import Draft
from symgrad.proof.repairs import Activation, Known
from symgrad.proof.search import Search
from symgrad.proof.worlds import World, same, worlds

READABLE = {  # pullbacks as on paper
    "relu": "g * (a > 0)",
    "sigmoid": "g * y * (1 - y)",
    "softmax": "y * (g - sum(g * y, axis=-1, keepdims=True))",
}
PLAIN = ("add", "subtract", "multiply", "divide", "negative", "power")  # no activations
USUAL = ("relu", "tanh", "sigmoid", "softmax")


@dataclass(frozen=True)
class Verdict:
    """Whether a derivation is right; if not, the first entry that differs, the likely causes, the formula put right.

    `entry` is at sizes `at` and has the values `given` and `true`; `shape` says what is wrong with the shapes, "" if
    nothing. `kink` is set when the two differ nowhere but there. No `causes`: none of the `tried` repairs helped.
    """

    correct: bool
    wrt: str
    formula: str
    points: int
    kinks: int
    shape: str = ""
    entry: tuple[int, ...] | None = None
    given: float = 0.0
    true: float = 0.0
    at: str = ""
    kink: str = ""
    causes: tuple[str, ...] = ()
    corrected: str = ""
    tried: int = 0

    def __bool__(self) -> bool:
        return self.correct

    def __str__(self) -> str:
        title = f"∂L/∂{self.wrt}"
        where = f"{self.points} random points" + (f" and {self.kinks} points at kinks" if self.kinks else "")
        if self.correct:
            return f"right: {title} = {self.formula}\nequal at {where}"
        lines = [f"wrong: {title} is not {self.formula}"]
        lines += [f"  {line}" for line in self.shape.splitlines()]
        if self.entry is not None:
            index = f"[{', '.join(map(str, self.entry))}] " if self.entry else ""
            at = f" (at {self.at})" if self.at else ""
            lines.append(f"  entry {index}is {self.given:.6g}, the derivative is {self.true:.6g}{at}")
        if self.kink:
            lines.append(f"  equal everywhere but at kinks; here {self.kink}")
        lines += [f"likely cause: {cause}" for cause in self.causes]
        if self.causes:
            return "\n".join([*lines, f"right is: {self.corrected}"])
        return "\n".join([*lines, f"no cause found: none of the {self.tried:,} repairs that were tried makes it right"])


def derivative(loss: Expr, wrt: Expr) -> Expr:
    """The gradient, also with respect to a computed node, through which identities must not look: log(sigmoid(a))."""
    if isinstance(wrt.op, ops.Leaf) or wrt not in topological([loss]):
        return gradient(loss, wrt)
    alone = f.variable("alone", wrt.shape)
    return rebuild([gradient(rebuild([loss], {wrt: alone})[0], alone)], {alone: wrt})[0]


def usable(loss: Expr, wrt: Expr, extra: Mapping[str, Expr]) -> dict[str, Expr]:
    """The names that a derivation may use, with what they mean.

    Leaves and named nodes of the loss; labels stand for their one-hot form where the loss uses that; delta_h is the
    derivative of the loss by a named h; sizes such as N are numbers.
    """
    order = topological([loss])
    found = dict(leaves([loss]))
    found |= {node.args[0].name: node for node in order if isinstance(node.op, ops.OneHot) and not node.args[0].args}
    named = [node for node in order if isinstance(node.op, ops.Named)]
    for node in named:
        if [n.name for n in named].count(node.name) == 1:
            found.setdefault(node.name, node)
    found |= extra
    for size in sizes.names(s for leaf in leaves([loss]).values() for s in leaf.shape):
        found.setdefault(size, f.size(size))
    for node in named:
        if node is not wrt and node.kind == REAL and found.get(node.name) is node:
            try:
                found.setdefault(f"delta_{node.name}", derivative(loss, node))
            except GradientError:  # nothing differentiable leads there: it has no adjoint
                continue
    return found


def check_derivation(
    loss: Expr, wrt: Expr, against: str | Expr, names: Mapping[str, Expr] | None = None, seed: int = 0
) -> Verdict:
    """Whether a gradient derived by hand is the derivative of `loss` with respect to `wrt`.

    `against` is a text such as "x.T @ (p - y) / N" or an expression. A text may use the inputs, parameters and named
    nodes of the loss, the sizes (N), delta_h for the true derivative of the loss by a named h, and what `names` adds.
    Integer labels stand for their one-hot form where the loss uses that: in `p - y`, y is one_hot(y, classes).

    The two are compared by values in float64, at random points and at points exactly on kinks, at small sizes no two
    of which are alike. When they differ, repairs are tried, alone and in pairs; the first that helps names the cause.
    Raises ExpressionError for a text that cannot be read, with the column, GradientError without a derivative.

    >>> x, y, w = f.variable("x", ("N", 3)), f.variable("y", ("N",)), f.parameter("w", (3,))
    >>> print(check_derivation(f.mean((x @ w - y) ** 2), w, "2 * x.T @ (x @ w - y)").causes[0])
    the factor 1/N is missing, or N is too many
    """
    truth = derivative(loss, wrt)
    meanings = usable(loss, wrt, names or {})
    foreign = set(leaves([loss, *meanings.values()])) - set(leaves([loss]))
    hidden: dict[str, Expr] = {}
    if isinstance(against, Expr):
        foreign |= {n for n, leaf in leaves([against]).items() if leaves([loss]).get(n) is not leaf}
        draft = drafts.of_expression(against, meanings, hidden)
    else:
        integers = _integers(meanings)
        hidden = {f"integers of {n}": node for n, node in integers.items()}
        draft = drafts.of_text(against, meanings, {n: f"integers of {n}" for n in integers})
    if foreign:
        raise ExpressionError(f"the loss does not contain {', '.join(sorted(foreign))}, so its gradient cannot")
    text = against.strip() if isinstance(against, str) else drafts.shown(draft)
    shape = _shape_fault(draft, text, meanings | hidden, wrt)
    found = worlds(truth, loss, meanings | hidden, seed)
    search = Search(found, _known(loss, wrt, meanings, draft, found[0]))
    verdict = Verdict(search.right(draft), wrt.label, text, *_counts(search))
    if verdict:
        return verdict
    verdict = dataclasses.replace(verdict, shape=shape) if shape else _with_difference(verdict, search, draft)
    if not shape and not verdict.kink:
        assumption = _assumption(draft, [truth, loss, *(meanings | hidden).values()], [*meanings, *hidden], seed)
        if assumption:
            return dataclasses.replace(verdict, causes=(assumption,), corrected=text)
    cause = search.cause(draft)
    if cause is None:
        return dataclasses.replace(verdict, tried=search.tried)
    corrected = drafts.shown(cause.draft)
    return dataclasses.replace(verdict, causes=cause.causes, corrected=corrected, tried=search.tried)


def _integers(meanings: Mapping[str, Expr]) -> dict[str, Expr]:
    """Labels whose name stands for their one-hot form, as integers."""
    return {n: node.args[0] for n, node in meanings.items() if isinstance(node.op, ops.OneHot)}


def _shape_fault(draft: Draft, text: str, names: Mapping[str, Expr], wrt: Expr) -> str:
    """What is wrong with the shapes, in the user's sizes."""
    numbers = {str(s): s for node in topological(names.values()) for s in node.shape if isinstance(s, int)}
    try:
        shape = as_expr(parse.nested(draft, text, numbers | dict(names))).shape
    except ShapeError as error:
        return str(error)
    if len(shape) == wrt.ndim and all(map(sizes.same, shape, wrt.shape)):
        return ""
    return f"it has shape {sizes.text(shape)}, the derivative has that of {wrt.label}, {sizes.text(wrt.shape)}"


def _known(loss: Expr, wrt: Expr, meanings: Mapping[str, Expr], draft: Draft, world: World) -> Known:
    """What repairs may use. The true adjoints only where the person uses some: else they would be no repair."""
    words = drafts.shown(draft)
    tensors = [n for n, e in meanings.items() if not isinstance(e.op, ops.Extent)]
    if "delta_" not in words:
        tensors = [n for n in tensors if not n.startswith("delta_")]
    order = topological([loss])
    leads = {wrt}
    leads |= {node for node in order if any(a in leads for a in node.args) and not leads.add(node)}  # type: ignore[func-returns-value]
    bent = [n for n in order if n in leads and _function(n) and n is not wrt]
    activations = [
        Activation(_function(node), tuple(drafts.of_expression(a, meanings, {}) for a in node.args),
                   drafts.of_expression(node, meanings, {}), pullback)
        for node in bent for pullback in _pullbacks(node, leads)
    ]  # fmt: skip
    functions = dict.fromkeys([*(_function(n) for n in bent if len(n.args) == 1), *USUAL])
    called = set(meanings.values()) | {e.args[0] for e in meanings.values() if isinstance(e.op, ops.Named)}
    parts = [drafts.of_expression(n, meanings, {}) for n in order if _function(n) and n not in called]
    return Known(tuple(tensors), tuple(parts), tuple(activations), tuple(functions), world.size_names)


def _function(node: Expr) -> str:
    """The name of an activation, "" for any other operation."""
    if isinstance(node.op, ops.Softmax):
        return "softmax"
    return node.op.function if isinstance(node.op, ops.Elementwise) and node.op.function not in PLAIN else ""


def _pullbacks(node: Expr, leads: set[Expr]) -> list[str]:
    function = _function(node)
    if function in READABLE:
        return [READABLE[function]]
    return [text for text, a in zip(TABLE[function].pullback, node.args, strict=True) if text and a in leads]


def _counts(search: Search) -> tuple[int, int]:
    """How many points lie in general position, and how many on kinks."""
    kinks = [bool(point.kink) for world in search.worlds for point in world.points]
    return kinks.count(False), kinks.count(True)


def _with_difference(verdict: Verdict, search: Search, draft: Draft) -> Verdict:
    """The verdict with the first entry that differs, in general position if there is one."""
    pairs = [(world, point) for world in search.worlds for point in world.points]
    for world, point in sorted(pairs, key=lambda pair: bool(pair[1].kink)):
        value = world.value(draft, point)
        assert value is not None
        if not same(value, point):
            apart = ~(np.abs(value - point.truth) <= point.tolerance)
            wrong = np.argwhere(apart & np.isfinite(value) if point.kink else apart)
            index = tuple(int(i) for i in wrong[0])
            given, true = float(value[index]), float(point.truth[index])
            return dataclasses.replace(verdict, entry=index, given=given, true=true, at=str(world), kink=point.kink)
    raise AssertionError("a wrong derivation differs somewhere")


def _assumption(draft: Draft, roots: Sequence[Expr], names: Sequence[str], seed: int) -> str:
    """What would make a draft right as it is: that the entries of an input sum to one, as one-hot targets do."""
    for leaf in leaves(roots).values():
        if isinstance(leaf.op, ops.Variable) and leaf.kind == REAL and leaf.shape and not leaf.op.normalized:
            one_hot = make(dataclasses.replace(leaf.op, normalized=True))
            truth, loss, *meanings = rebuild(roots, {leaf: one_hot})
            there = worlds(truth, loss, dict(zip(names, meanings, strict=True)), seed)
            if Search(there, Known((), (), (), (), there[0].size_names)).right(draft):
                return (
                    f"it holds only where the entries of {leaf.name} sum to one along the last axis, as one-hot "
                    f"targets do: declare {leaf.name} with normalized=True"
                )
    return ""
