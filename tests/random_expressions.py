"""Random expressions for the tests: the same one for the same number, every op and scalar function often, values tame.

`make(number)` gives a scalar loss of depth 8 or more with at least 3 shared nodes, sizes from 1, 2, 3 and 17 (one of
them often a named size), and arrays for its leaves that keep away from kinks. All names end in the number, so that
several expressions can share one kernel. What is drawn stands in `random_operations`.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from random_operations import FORCED, OPERATIONS
from random_pool import Grower

import symgrad as sg
from symgrad.expression import ops, sizes
from symgrad.expression.node import leaves, topological, users
from symgrad.expression.scalars import COMPARISONS
from symgrad.interpreter import evaluate_all

MARGIN = 1e-3  # least distance of an argument from a kink or a jump
FORCED_EACH = 5  # of every expression; with 200 expressions each operation comes at least 10 times
GROWTH = 1  # operations besides the forced ones, more after failed attempts


@dataclass
class Sample:
    """One expression: the loss, the leaves to differentiate by, and arrays for all leaves by name."""

    number: int
    loss: object
    wrt: list
    arrays: dict


@functools.cache
def make(number):
    """The random expression of that number."""
    for attempt in range(200):
        rng = np.random.default_rng((20250801, number, attempt))
        grower = Grower(rng, number)
        steps = [FORCED[(number * FORCED_EACH + i) % len(FORCED)] for i in range(FORCED_EACH)]
        steps += [OPERATIONS[rng.integers(len(OPERATIONS))] for _ in range(GROWTH + attempt // 5)]
        sample = grown(grower, [steps[place] for place in rng.permutation(len(steps))])
        if sample is None:
            continue
        order = topological([sample.loss])
        shared = [n for n, who in users(order).items() if len(who) > 1 and n.args]
        if depth(order) >= 8 and len(shared) >= 3:
            return sample
    raise AssertionError(f"no expression {number}")


def grown(grower, steps):
    """The expression that operations make in turn; None where it depends on nothing real or stays near a kink."""
    for step in steps:
        grower.apply(step)
    loss = grower.loss()
    order, wrt = topological([loss]), differentiable(loss)
    bound = {size for leaf in leaves([loss]).values() for size in sizes.names(leaf.shape)}
    lost = set(sizes.names(s for n in order for s in n.shape)) - bound
    if not wrt or lost:
        return None
    for _ in range(10):
        arrays = {name: grower.array(leaf) for name, leaf in leaves([loss]).items()}
        if clearance(order, arrays) > MARGIN:
            return Sample(grower.number, loss, wrt, arrays)
    return None


def bending(sample):
    """The slope of the loss along one direction of all leaves, and a leaf on which it depends; None for a flat one."""
    slopes = sg.gradient(sample.loss, sample.wrt)
    terms = [(0.4 + 0.2 * (i % 3)) * sg.sum(g) for i, g in enumerate(slopes)]
    slope = functools.reduce(lambda a, b: a + b, terms)
    inside = set(differentiable(slope)) & set(sample.wrt)
    return next(((slope, leaf) for leaf in sample.wrt if leaf in inside), None)


@functools.cache
def derivatives(number):
    """A random expression's loss and gradients, and the gradient of a slope by a leaf: order 0, 1 and 2."""
    sample = make(number)
    found = bending(sample)
    second = [] if found is None else [sg.gradient(*found)]
    return [sample.loss, *sg.gradient(sample.loss, sample.wrt), *second]


def depth(order):
    """The longest way from the last node down to a leaf."""
    found = {}
    for node in order:
        found[node] = 1 + max((found[a] for a in node.args), default=-1)
    return found[order[-1]]


def differentiable(loss):
    """The real leaves that a loss depends on through real numbers only."""
    order, reached = topological([loss]), {loss}
    for node in reversed(order):
        if node in reached:
            reached |= {a for a in node.args if a.kind == "real"}
    return [n for n in order if n in reached and isinstance(n.op, ops.Leaf)]


def clearance(order, arrays):
    """How far the arguments of functions with kinks and jumps are from them."""
    zero, whole, apart = [], [], []
    for node in order:
        name = node.op.function if isinstance(node.op, ops.Elementwise) else ""
        if all(a.kind != "real" for a in node.args):
            continue
        if name in ("relu", "abs", "sign"):
            zero.append(node.args[0])
        elif name in ("maximum", "minimum", *COMPARISONS):
            zero.append(node.args[0] - node.args[1])
        elif name == "floor" or (isinstance(node.op, ops.Cast) and node.kind == "integer"):
            whole.append(node.args[0])
        elif isinstance(node.op, ops.Reduce | ops.ArgMax):
            apart.append(node)
    watched = [*zero, *whole, *(n.args[0] for n in apart)]
    values = evaluate_all([*watched, order[-1]], arrays)[:-1]
    found = [np.abs(v).min() for v in values[: len(zero)]]
    found += [np.abs(v - np.round(v)).min() for v in values[len(zero) : len(zero) + len(whole)]]
    for node, value in zip(apart, values[len(zero) + len(whole) :], strict=True):
        axes = node.op.axes if isinstance(node.op, ops.Reduce) else (node.op.axis,)
        rest = [a for a in range(value.ndim) if a not in axes]
        rows = value.transpose(*rest, *axes).reshape(*(value.shape[a] for a in rest), -1)
        if rows.shape[-1] > 1:
            rows = np.sort(-rows if getattr(node.op, "function", "max") == "min" else rows, axis=-1)
            found.append((rows[..., -1] - rows[..., -2]).min())
    return min(found, default=math.inf)
