"""Where a number that is none came from: the step is run again, and the interpreter looks at every operation in it.

Takes a model, the data and what its kernel was given from a moment at which all was well; gives a sentence. It knows
nothing of epochs and files. Values are computed in float64 and held against the largest number of the model's own
dtype, so that what overflows in float32 is found too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from symgrad.codegen.runtime import uniform
from symgrad.errors import SymgradError
from symgrad.expression import binding, sizes
from symgrad.expression.node import Expr, leaves, topological
from symgrad.expression.ops import Elementwise, Leaf, Noise, Parameter, State, Variable
from symgrad.formulas import formula
from symgrad.interpreter import DTYPES, TABLE, sizes_in

if TYPE_CHECKING:
    from symgrad.training.model import Model

Tensors = dict[str, np.ndarray]
GROWTH = "numbers grow without bound: use a smaller learning rate{rate}, or clip the gradients (clip_norm=1.0)"
ADVICE = {
    "log": "the argument of a logarithm must be positive: compute the loss from logits, or add a small number inside",
    "log1p": "the argument of log1p must be above -1",
    "divide": "the divisor must not be 0: add a small number to it",
    "sqrt": "the argument of a root must not be negative: add a small number inside, or clip it at 0",
    "power": "the base is 0 or negative, or the power too large: add a small number to the base",
    "exp": "the argument of exp is too large: clip it, or use softmax, sigmoid or logsumexp, which cannot overflow",
}


@dataclass(frozen=True)
class Moment:
    """What a step starts from: copies of the weights and of the optimizer's state, and which step comes next."""

    step: int
    weights: Tensors
    state: Tensors

    @classmethod
    def of(cls, model: Model, step: int) -> Moment:
        """This very moment."""
        copied = ({n: a.copy() for n, a in tensors.items()} for tensors in (model.weights, model.state))
        return cls(step, *copied)

    def restore(self, model: Model) -> None:
        """Put the model back, in place: the kernel knows the addresses."""
        for kept, tensors in ((self.weights, model.weights), (self.state, model.state)):
            for name, array in kept.items():
                tensors[name][...] = array

    def replace(self, model: Model) -> None:
        """Put the model back in other arrays: a kernel may still write to those it has."""
        model.weights.update(self.weights)
        model.state.update(self.state)

    def damaged(self) -> str:
        """The first entry of weights or state that is no finite number, as a sentence, or ""."""
        for name, array in {**self.weights, **self.state}.items():
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                place = tuple(map(int, bad[0]))
                return f"{name}{list(place) if place else ''} is {array[place]}"
        return ""


@dataclass(frozen=True)
class Given:
    """What the kernel was given for an epoch: arrays, the order of their rows, and a number for each step."""

    arrays: Mapping[str, np.ndarray]
    tables: Mapping[str, Any]
    order: np.ndarray
    batch_size: int
    rates: np.ndarray
    counts: np.ndarray
    kept: Mapping[str, np.ndarray]


def cause(model: Model, start: Moment, last: int, given: Given) -> str:
    """Run from `start` on, at most to step `last`, and say which operation was the first to give no finite number.

    The model is left as it was before that step.
    """
    start.restore(model)
    if found := start.damaged():
        return f"{found} before step {start.step + 1}; start from finite weights and state"
    moment = start
    for step in range(start.step, last + 1):
        moment = Moment.of(model, step)
        steps = model.steps
        steps.run(
            given.tables, given.order, given.batch_size, step, step + 1, True, given.rates, given.counts, given.kept
        )
        if not np.isfinite(given.kept["loss"][step]) or Moment.of(model, step).damaged():
            moment.restore(model)
            return f"it began in step {step + 1}: {_first(model, step, given)}"
    return ""


def _first(model: Model, step: int, given: Given) -> str:
    """The first operation of a step whose arguments are numbers and whose result is none."""
    schedule = model.steps.machine.assembled.schedule
    roots = [*schedule.outputs.values(), *(value for _, value in schedule.updates)]
    order = topological(roots)
    if any(type(n.op) not in TABLE for n in order if not isinstance(n.op, Leaf)):
        return "its operation could not be found"
    rows = given.order[step * given.batch_size : (step + 1) * given.batch_size]
    own = {**model.weights, **model.state}
    own |= _noise(model, [n for n in order if isinstance(n.op, Noise)], step, given.batch_size, len(rows))
    own |= {model.steps.rate.name: given.rates[step], model.steps.count.name: given.counts[step]}
    known = leaves(roots)
    values: dict[Expr, np.ndarray] = {}
    try:
        arrays = {n: given.arrays[n][rows] if n in given.arrays else own[n] for n in known}
        bound, extents = binding.bind(known, arrays, sizes_in(order))
    except (KeyError, SymgradError):
        return "its operation could not be found"
    most = float(np.finfo(model.training.dtype).max)
    with np.errstate(all="ignore"):
        for node in order:
            if isinstance(node.op, Leaf):
                values[node] = bound[node.name].astype(DTYPES[node.kind])
            else:
                values[node] = TABLE[type(node.op)](node.op, node, [values[a] for a in node.args], extents)
            if values[node].dtype.kind != "f":
                continue
            bad = np.argwhere(~(np.abs(values[node]) <= most))
            if len(bad):
                return _sentence(model, node, tuple(map(int, bad[0])), values, rows)
    return "its operation could not be found"


def _noise(model: Model, noise: Sequence[Expr], step: int, batch_size: int, rows: int) -> Tensors:
    """What the kernel draws in a step, again: the counters are places in the epoch."""
    drawn = [leaf for leaf in model.steps.machine.assembled.schedule.inputs.values() if isinstance(leaf.op, Noise)]
    found = {}
    for leaf in noise:
        shape = tuple(sizes.bind(s, {model.batch: rows}) for s in leaf.shape)
        batched = leaf.shape[:1] == (model.batch,)
        first = step * batch_size * math.prod(shape[1:]) if batched else step * math.prod(shape)
        with np.errstate(over="ignore"):
            counters = (first + np.arange(math.prod(shape))).astype(np.uint64)
            found[leaf.name] = uniform(model.steps.noise_key + drawn.index(leaf), counters).reshape(shape)
    return found


def _sentence(model: Model, node: Expr, place: tuple[int, ...], values: Mapping[Expr, np.ndarray], rows: Any) -> str:
    """What the operation is, where it failed, and what would prevent it."""
    batched = bool(place) and node.shape[:1] == (model.batch,)
    where = f"row {rows[place[0]]} of the data" if batched else f"entry {list(place)}" if place else ""
    value = values[node][place]
    rate = f" (it is {model.training.optimizer.learning_rate:g})"
    if isinstance(node.op, Leaf):
        shown = [int(rows[place[0]]), *place[1:]] if batched else list(place)
        advice = "remove or fill in such rows" if isinstance(node.op, Variable) else GROWTH.format(rate=rate)
        if isinstance(node.op, Parameter | State):
            where = ""
        return f"{node.name}{shown if place else ''} is {value}{f' ({where})' if where else ''}; {advice}"
    function = node.op.function if isinstance(node.op, Elementwise) else ""
    advice = GROWTH if np.isfinite(value) and function != "exp" else ADVICE.get(function, GROWTH)
    arguments = [values[a][_within(values[a], place)] for a in node.args] if function else []
    told = f" for {', '.join(f'{v:.6g}' for v in arguments)}" if 0 < len(arguments) <= 3 else ""
    at = f" in {where}" if where else ""
    limit = "" if not np.isfinite(value) else f", too large for {model.training.dtype}"
    return f"{_text(node)} is {value:.6g}{limit}{at}{told}; {advice.format(rate=rate)}"


def _within(array: np.ndarray, place: tuple[int, ...]) -> tuple[int, ...]:
    """The entry of a broadcast argument that belongs to an entry of the result."""
    own = place[len(place) - array.ndim :]
    return tuple(0 if extent == 1 else i for i, extent in zip(own, array.shape, strict=True))


def _text(node: Expr) -> str:
    """The operation as its formula, on one line of a bearable length."""
    try:
        text = formula(node).splitlines()[0]
    except (SymgradError, AssertionError, KeyError):
        text = node.label
    return text if len(text) <= 100 else node.label[:100]
