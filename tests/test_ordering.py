"""Products of many factors are multiplied in the cheapest order: forward, reverse or from the middle."""

from itertools import pairwise, permutations

import numpy as np
import pytest

import symgrad as sg
from symgrad.codegen.ordering import WRITTEN, in_pairs
from symgrad.codegen.schedule import prepare
from symgrad.expression import ops
from symgrad.expression.node import make, topological


def network(widths):
    """A chain of tanh layers, its input and its weights."""
    x = sg.variable("x", (widths[0],))
    h, weights = x, []
    for number, (inner, outer) in enumerate(pairwise(widths), 1):
        weights.append(sg.parameter(f"W{number}", (outer, inner)))
        h = sg.tanh(weights[-1] @ h)
    return h, x, weights


def work(roots):
    """Multiply-adds of all products, and what their results cost to keep: counted from the shapes alone."""
    total = 0
    for node in topological(roots):
        if isinstance(node.op, ops.Contraction) and len(node.args) > 1:
            total += int(np.prod(list(node.op.sizes_of(node.args).values()))) + WRITTEN * int(np.prod(node.shape))
    return total


def cheapest_of_all(shapes):
    """The least work over every order of a chain of matrices, found by trying each."""
    best = None
    for order in permutations(range(len(shapes) - 1)):
        blocks, total = [[a, b] for a, b in shapes], 0
        joints = list(range(len(shapes) - 1))
        for joint in order:
            i = joints.index(joint)
            (a, b), (_, c) = blocks[i], blocks[i + 1]
            total += a * b * c + WRITTEN * a * c
            blocks[i : i + 2] = [[a, c]]
            joints.pop(i)
        best = total if best is None else min(best, total)
    return best


@pytest.mark.parametrize(
    "shape", [(3, 50, 40, 2), (2, 40, 50, 3), (30, 2, 30, 3, 30), (7, 7, 7, 7, 7), (1, 9, 1, 9, 1, 9)]
)
def test_a_chain_of_matrices_costs_what_the_best_order_costs(shape):
    matrices = [sg.parameter(f"A{i}", pair) for i, pair in enumerate(pairwise(shape))]
    letters = "abcdefgh"
    subscripts = ",".join(letters[i : i + 2] for i in range(len(matrices))) + f"->{letters[0]}{letters[len(matrices)]}"
    product = sg.einsum(subscripts, *matrices)
    assert work([in_pairs(product)]) == cheapest_of_all([m.shape for m in matrices])


@pytest.mark.parametrize("widths", [(4, 30, 30, 200), (200, 30, 30, 4)])
def test_a_jacobian_is_forward_or_reverse_whichever_is_narrow(widths):
    """The widest product is with the narrow end; written the other way round it costs several times as much."""
    h, x, _ = network(widths)
    jacobian = sg.simplify(sg.jacobian(h, x))
    (root,), _ = prepare([jacobian])
    products = [n for n in topological([root]) if isinstance(n.op, ops.Contraction) and len(n.op.output) == 2]
    narrow = [n for n in products if 4 in n.shape]
    assert len(narrow) >= 2 and not any(n.shape == (200, 30) and len(n.op.sizes_of(n.args)) == 3 for n in products)
    assert work([root]) < 3 * (30 * 30 * 4 + 30 * 200 * 4) + 8 * (30 * 30 + 200 * 30 + 120 + 800)


@pytest.mark.parametrize("widths", [(4, 30, 30, 50), (50, 30, 30, 4), (40, 3, 40, 3, 40), (5, 5, 5, 5, 5, 5, 5)])
def test_the_order_does_not_change_the_value(widths):
    h, x, weights = network(widths)
    jacobian = sg.jacobian(h, x)
    rng = np.random.default_rng(0)
    values = {leaf: rng.normal(size=leaf.shape) for leaf in (x, *weights)}
    kernel = sg.compile(jacobian, dtype="float64", threads=1)
    np.testing.assert_allclose(kernel(values), sg.evaluate(jacobian, values), rtol=1e-11, atol=1e-13)


def test_what_has_a_name_or_is_used_twice_is_a_value_of_its_own():
    A, B, C = (sg.parameter(name, (20, 20)) for name in "ABC")
    x = sg.variable("x", (20,))
    named, _ = prepare([(A @ B).named("P") @ x])
    shared, _ = prepare([(A @ B) @ x, (A @ B) @ C])
    free, _ = prepare([(A @ B) @ x])
    whole = make(ops.Contraction(((0, 1), (1, 2)), (0, 2)), A, B)
    assert whole in topological(named) and whole in topological(shared) and whole not in topological(free)


def test_many_factors_are_put_in_order_at_once():
    vectors = [sg.parameter(f"v{i}", (6, 6)) for i in range(14)]
    letters = "abcdefghijklmnop"
    product = sg.einsum(",".join(letters[i : i + 2] for i in range(14)) + "->ao", *vectors)
    rng = np.random.default_rng(1)
    values = {v: rng.normal(size=(6, 6)) / 3 for v in vectors}
    np.testing.assert_allclose(
        sg.evaluate(in_pairs(product), values), np.linalg.multi_dot([values[v] for v in vectors]), rtol=1e-9, atol=1e-12
    )
