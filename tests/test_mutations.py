"""Every rule and identity wrong on purpose: sign, factor, order of axes, one term lost; every mutant must be caught."""

import dataclasses

import numpy as np
import pytest
from differences import directions, slope
from test_gradients import ARRAYS, CASES, arrays_for, real_leaves, scalar, value_of
from test_identities import assert_kept, examples

import symgrad as sg
from symgrad.calculus import gradient as sweep
from symgrad.calculus import rules
from symgrad.calculus.identities import ALL
from symgrad.expression import ops
from symgrad.expression.node import make
from symgrad.expression.scalars import TABLE as SCALARS

CAUGHT = 1e-6  # relative: what a mutant must be wrong by


def turned(x):
    """Entries along the last axis in reverse order; a number unchanged."""
    return sg.flip(x, -1) if x.ndim else x


def transposed(x):
    square = x.ndim > 1 and x.shape[-1] == x.shape[-2]
    return sg.swapaxes(x, -1, -2) if square else turned(x)


MUTANTS = {
    "sign": lambda x: -x,
    "factor": lambda x: 2 * x,
    "a little": lambda x: x * 1.0001,
    "lost": lambda x: 0.0 * x,
    "turned": turned,
    "transposed": transposed,
    "shifted": lambda x: x + 1e-3,
}
TENSOR_RULES = [op for op, rule in rules.TABLE.items() if rule.pullback is not rules._nothing and op is not ops.Named]
# What turning or transposing cannot change: where every case has one number along an axis, or a symmetric adjoint.
SAME = {(ops.Cholesky, "transposed")}


def wrong(expression):
    """Whether a gradient by some leaf is not the differences'."""
    loss, given = scalar(expression)
    for leaf in real_leaves(expression):
        value = value_of(sg.gradient(loss, leaf), given)
        for direction in directions(value.shape, np.random.default_rng(2), most=6):
            (measured,) = slope([loss], arrays_for(loss, given), leaf.name, direction, 1e-3)
            size = max(1.0, np.abs(value).max(), abs(measured))
            if abs(measured - (value * direction).sum()) > CAUGHT * size:
                return True
    return False


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("op", TENSOR_RULES, ids=lambda op: op.__name__)
def test_a_wrong_tensor_rule(op, mutant, monkeypatch):
    if (op, mutant) in SAME:
        return
    rule, change = rules.TABLE[op], MUTANTS[mutant]

    def mutated(node, y, g, i):
        result = rule.pullback(node, y, g, i)
        return None if result is None else change(result)

    if op is ops.Contraction:
        monkeypatch.setattr(rules, "_contraction", mutated)
    monkeypatch.setitem(rules.TABLE, op, dataclasses.replace(rule, pullback=mutated))
    monkeypatch.setattr(sweep, "STABLE", ())  # no identity may step in
    assert any(wrong(expression) for expression in CASES[op]), f"nobody saw that {op.__name__} is wrong by {mutant}"


SCALAR_MUTANTS = {"sign": "-({})", "factor": "2*({})", "a little": "({})*1.0001", "lost": "0*({})", "swapped": "({}) + g/1000"}
PULLBACKS = [
    (name, i)
    for name, row in SCALARS.items()
    for i, text in enumerate(row.pullback)
    if text and name not in ("add", "multiply")  # of any number of arguments: their rule is code
]
FLAT = {"sign", "floor"}  # derivative 0: neither sign nor factor can be wrong


def operands(row):
    x = np.random.default_rng(len(row.name)).uniform(*row.domain, (3, 5))
    if row.name in ("relu", "abs", "maximum", "minimum", "sign", "floor"):
        x = np.where(np.abs(x - np.round(x)) < 0.05, x + 0.1, x)
    leaves = [sg.variable(f"x{i}", (5,)) for i in range(abs(row.arity))]
    return leaves, {f"x{i}": x[i] for i in range(len(leaves))}


@pytest.mark.parametrize("mutant", SCALAR_MUTANTS)
@pytest.mark.parametrize(("name", "position"), PULLBACKS)
def test_a_wrong_scalar_rule(name, position, mutant, monkeypatch):
    row = SCALARS[name]
    if name in FLAT and mutant != "swapped":
        return
    pullback = tuple(SCALAR_MUTANTS[mutant].format(t) if i == position else t for i, t in enumerate(row.pullback))
    monkeypatch.setitem(SCALARS, name, dataclasses.replace(row, pullback=pullback))
    monkeypatch.setattr(sweep, "STABLE", ())
    leaves, arrays = operands(row)
    arguments = [leaves[0] > 0, *leaves[1:]] if name == "where" else leaves
    if name == "where":
        arrays["x0"] = np.array([1.0, -1, 1, -1, 1])
    every = 0.0 * sum(map(sg.sum, leaves))  # so that all arrays have their leaf
    loss, leaf = sg.sum(make(ops.Elementwise(name), *arguments)) + every, leaves[position]
    value = sg.evaluate(sg.gradient(loss, leaf) + every, arrays)
    seen = False
    for place in range(5):
        unit = np.eye(5)[place]
        (measured,) = slope([loss], arrays, leaf.name, unit, 1e-4)
        seen |= abs(measured - value[place]) > CAUGHT * max(1.0, abs(measured))
    assert seen, f"nobody saw that the derivative of {name} by argument {position} is wrong by {mutant}"


@pytest.mark.parametrize("mutant", ["sign", "factor", "a little", "shifted"])
@pytest.mark.parametrize("identity", [i for i in ALL if i.name != "plain adjoint"], ids=lambda i: i.name)
def test_a_wrong_identity(identity, mutant, monkeypatch):
    caught = False
    for before in examples(identity):
        after = sg.simplify(before)
        if before.kind != "real":
            continue
        try:
            assert_kept(before, MUTANTS[mutant](after), monkeypatch)
        except AssertionError:
            caught = True
    assert caught, f"nobody saw that {identity.name} is wrong by {mutant}"


def test_there_are_as_many_mutants_as_promised():
    assert len(TENSOR_RULES) * len(MUTANTS) >= 119 and len(PULLBACKS) * len(SCALAR_MUTANTS) >= 180
    assert ARRAYS and len(ALL) * 4 >= 240
