"""Whether a gradient derived by hand is the true one; if not, where it differs and what is likely wrong with it.

Takes a loss, what it is differentiated by, and a person's formula as a text or an expression. The two are compared by
values, so the form in which a formula is written does not matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symgrad.errors import ExpressionError, ShapeError
from symgrad.expression import ops, parse, sizes
from symgrad.expression.node import Expr, as_expr, leaves, make, rebuild, topological
from symgrad.expression.scalars import REAL
from symgrad.proof import drafts
from symgrad.proof.drafts import Draft
from symgrad.proof.meanings import derivative, known, usable
from symgrad.proof.repairs import Known
from symgrad.proof.search import Search
from symgrad.proof.worlds import same, worlds


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

    >>> from symgrad.expression.functions import mean, parameter, variable
    >>> x, y, w = variable("x", ("N", 3)), variable("y", ("N",)), parameter("w", (3,))
    >>> print(check_derivation(mean((x @ w - y) ** 2), w, "2 * x.T @ (x @ w - y)").causes[0])
    the factor 1/N is missing, or N is too many
    """
    truth = derivative(loss, wrt)
    reading = _read(against, loss, usable(loss, wrt, names or {}))
    shape = _shape_fault(reading, wrt)
    found = worlds(truth, loss, reading.names, seed, drafts.numbers(reading.draft))
    search = Search(found, known(loss, wrt, reading.given, reading.draft, found[0]))
    verdict = Verdict(search.right(reading.draft), wrt.label, reading.text, *_counts(search))
    if verdict:
        return verdict
    verdict = dataclasses.replace(verdict, shape=shape) if shape else _with_difference(verdict, search, reading.draft)
    assumption = "" if shape or verdict.kink else _assumption(reading, [truth, loss, *reading.names.values()], seed)
    if assumption:
        return dataclasses.replace(verdict, causes=(assumption,), corrected=reading.text)
    cause = search.cause(reading.draft)
    if cause is None:
        return dataclasses.replace(verdict, tried=search.tried)
    corrected = drafts.shown(cause.draft)
    return dataclasses.replace(verdict, causes=cause.causes, corrected=corrected, tried=search.tried)


@dataclass(frozen=True)
class _Reading:
    """A derivation as a draft, and as text; `names` are those given to it and those that only the draft uses."""

    draft: Draft
    text: str
    given: dict[str, Expr]
    names: dict[str, Expr]


def _read(against: str | Expr, loss: Expr, given: dict[str, Expr]) -> _Reading:
    """What a person wrote. Raises ExpressionError, also for leaves that the loss does not have."""
    own = leaves([loss])
    foreign = set(leaves([loss, *given.values()])) - set(own)
    hidden: dict[str, Expr] = {}
    if isinstance(against, Expr):
        foreign |= {n for n, leaf in leaves([against]).items() if own.get(n) is not leaf}
        draft = drafts.of_expression(against, given, hidden)
        text = drafts.shown(draft)
    elif isinstance(against, str):
        integers = {n: f"integers of {n}" for n, node in given.items() if isinstance(node.op, ops.OneHot)}
        hidden = {integer: given[n].args[0] for n, integer in integers.items()}
        draft, text = drafts.of_text(against, given, integers), against.strip()
    else:
        raise ExpressionError(f"a derivation is a text or an expression, not {type(against).__name__}")
    if foreign:
        raise ExpressionError(f"the loss does not contain {', '.join(sorted(foreign))}, so its gradient cannot")
    return _Reading(draft, text, given, given | hidden)


def _shape_fault(reading: _Reading, wrt: Expr) -> str:
    """What is wrong with the shapes, in the user's sizes."""
    numbers = {str(s): s for node in topological(reading.names.values()) for s in node.shape if isinstance(s, int)}
    try:
        shape = as_expr(parse.nested(reading.draft, reading.text, numbers | reading.names)).shape
    except ShapeError as error:
        return str(error)
    if len(shape) == wrt.ndim and all(map(sizes.same, shape, wrt.shape)):
        return ""
    return f"it has shape {sizes.text(shape)}, the derivative has that of {wrt.label}, {sizes.text(wrt.shape)}"


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


def _assumption(reading: _Reading, roots: Sequence[Expr], seed: int) -> str:
    """What would make a draft right as it is: that the entries of an input sum to one, as one-hot targets do."""
    for leaf in leaves(roots).values():
        if isinstance(leaf.op, ops.Variable) and leaf.kind == REAL and leaf.shape and not leaf.op.normalized:
            one_hot = make(dataclasses.replace(leaf.op, normalized=True))
            truth, loss, *meanings = rebuild(roots, {leaf: one_hot})
            named = dict(zip(reading.names, meanings, strict=True))
            there = worlds(truth, loss, named, seed, drafts.numbers(reading.draft))
            if Search(there, Known((), (), (), (), there[0].size_names)).right(reading.draft):
                return (
                    f"it holds only where the entries of {leaf.name} sum to one along the last axis, as one-hot "
                    f"targets do: declare {leaf.name} with normalized=True"
                )
    return ""
