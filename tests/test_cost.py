"""What a model costs, against counts by hand, against the kernel's stages, and against NumPy doing the operations."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import symgrad as sg
from symgrad.expression import sizes
from symgrad.expression.counting import operations
from symgrad.expression.node import make, topological
from symgrad.expression.ops import OPS, Contraction, Elementwise
from symgrad.inspection.cost import model_costs
from symgrad.inspection.polynomials import polynomial, products
from symgrad.models import mnist_mlp
from symgrad.training.profile import _flops
from symgrad.training.steps import Plan


def symgrad(*arguments, cwd=None, **options):
    command = [sys.executable, "-m", "symgrad", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, **options)


def value(total, **values):
    return sizes.bind(total, values)


def deep(layers, named=True):
    """A network of so many layers of 8 units."""
    x, y = sg.variable("x", ("N", 4)), sg.labels("y", ("N",), classes=8)
    h, width = x, 4
    for k in range(layers):
        net = h @ sg.parameter(f"W{k}", (width, 8)) + sg.parameter(f"b{k}", (8,))
        h, width = (sg.tanh(net).named(f"h{k}") if named else sg.tanh(net)), 8
    return sg.Model([x], [y], sg.softmax(h), sg.softmax_cross_entropy(h, y))


def test_a_product_counts_two_a_term_and_reads_and_writes_each_matrix_once():
    x, W = sg.variable("x", ("N", 784)), sg.parameter("W", (784, 512))
    found = sg.cost(x @ W)
    for n in (1, 7, 128):
        assert value(found.flops, N=n) == 2 * n * 784 * 512
        assert value(found.bytes, N=n) == 4 * (n * 784 + 784 * 512 + n * 512) == value(found.memory, N=n)
        assert found.at({"N": n}).flops == 2 * n * 784 * 512
    assert found.flops_text == "2 N·784·512"
    assert sg.cost(x @ W, dtype="float64").bytes == 2 * found.bytes


def test_numbers_without_names_are_ints():
    a, b = sg.parameter("a", (3, 4)), sg.parameter("b", (4, 5))
    found = sg.cost(a @ b)
    assert (found.flops, found.bytes, found.memory) == (120, 4 * 47, 4 * 47) and type(found.flops) is int
    assert not found.names and found.at({}).flops == found.flops


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda a, b: a + b, 12),
        (lambda a, b: make(Elementwise("add"), a, b, a), 24),
        (lambda a, b: sg.relu(a), 12),
        (lambda a, b: a / 255, 12),
        (lambda a, b: a.T, 0),
        (lambda a, b: a.named("c"), 0),
        (lambda a, b: sg.reshape(a, (12,)), 0),
        (lambda a, b: sg.sum(a), 12),
        (lambda a, b: sg.mean(a), 13),
        (lambda a, b: sg.max(a), 12),
        (lambda a, b: sg.softmax(a), 12),
        (lambda a, b: a @ b.T, 2 * 3 * 3 * 4),
        (lambda a, b: sg.outer(sg.parameter("u", (3,)), sg.parameter("v", (4,))), 12),
        (lambda a, b: sg.einsum("ij,ij,ij->i", a, b, a), 3 * 12),
        (lambda a, b: sg.relu(a) + sg.relu(a), 24),  # shared: relu once
    ],
)
def test_operations_by_hand(build, count):
    a, b = sg.parameter("a", (3, 4)), sg.parameter("b", (3, 4))
    assert sg.cost(build(a, b)).flops == count


def test_bytes_by_hand():
    pixels = sg.variable("pixels", ("N", 784), dtype="uint8")
    x = pixels / 255
    assert value(sg.cost(x).bytes, N=10) == 10 * 784 * (1 + 4) == value(sg.cost(x).memory, N=10)
    w = sg.parameter("w", (5,))
    assert sg.cost(w * w).bytes == 4 * (5 + 5)  # an operand once, even where it stands twice
    assert sg.cost(sg.exp(w) + sg.exp(w).named("e")).bytes == 4 * (5 + 5 + 5 + 5)  # a name is the same tensor
    assert sg.cost(sg.sum(w)).bytes == 4 * 5 + 8  # a computed number is kept in double precision
    assert sg.cost(w > 0).bytes == 4 * 5 + 5
    assert sg.cost(w.T).bytes == 0 and sg.cost(w).memory == 20


def test_what_is_given_is_not_counted_again():
    x, W = sg.variable("x", ("N", 6)), sg.parameter("W", (6, 2))
    loss = sg.sum((x @ W) ** 2)
    gradient = sg.simplify(sg.gradient(loss, W))
    alone, after = sg.cost(gradient), sg.cost(gradient, given=[loss])
    assert value(alone.flops - after.flops, N=9) == 2 * 9 * 6 * 2
    assert sg.cost([loss, gradient]).flops == sg.cost(loss).flops + sg.cost(gradient, given=[loss]).flops


def test_the_mnist_network_by_hand():
    passes = model_costs(mnist_mlp.model())
    n, forward = 128, 784 * 512 + 512 * 10
    for form in ("as written", "simplified"):
        ahead, back = (passes[form][p].at({"N": n}).flops for p in ("forward", "backward"))
        assert 2 * n * forward < ahead < 2 * n * forward * 1.01
        assert 2 * n * (forward + 512 * 10) < back < 2 * n * (forward + 512 * 10) * 1.01
    for p in ("forward", "backward"):
        assert value(passes["simplified"][p].flops, N=n) <= value(passes["as written"][p].flops, N=n)


def test_products_are_those_that_the_kernel_makes():
    program = Plan(mnist_mlp.model()).program
    kernel = [_flops(part, {"N": 128}, program.schedule.stored) for part in program.parts]
    counted = [
        2 * math.prod(sizes.bind(s, {"N": 128}) for s in space)
        for found in model_costs(mnist_mlp.model())["simplified"].values()
        for space in found.products
    ]
    for product in sorted(counted)[1:]:  # the smallest is the loss's sum over classes
        # the stage that makes it holds some entrywise work besides: the optimizer, or the derivative of relu
        assert any(product <= stage < 1.5 * product for stage in kernel), product


def test_every_operation_has_a_count():
    """The rule gives a count over an index space for every kind of operation."""
    model = deep(2)
    seen = set()
    for node in topological([model.loss, *model.gradients.derivation.gradients, *model.gradients.gradients.values()]):
        each, space = operations(node)
        assert each >= 0 and isinstance(space, tuple)
        if isinstance(node.op, Contraction) and each == 2:
            assert set(space) <= {s for a in node.args for s in a.shape}
        seen.add(type(node.op))
    assert len(seen) > 6 and seen <= set(OPS)


@pytest.mark.parametrize("named", [True, False])
def test_fifty_layers_cost_fifty_times_one(named):
    one, fifty = deep(2, named), deep(51, named)
    for form in ("as written", "simplified"):
        few, many = (model_costs(m)[form] for m in (one, fifty))
        per_layer = 2 * 8 * 8 + 8 + 8
        grown = value(many["forward"].flops, N=3) - value(few["forward"].flops, N=3)
        assert grown == 49 * 3 * per_layer
        assert value(many["backward"].flops, N=3) < 60 * value(few["backward"].flops, N=3)


def test_polynomials_are_written_for_people():
    N = sizes.times(("N", "N"))
    assert polynomial(0) == "0" and polynomial(1234567) == "1,234,567"
    assert polynomial(sizes.plus([N, 3])) == "N² + 3"
    assert products([(3, 4, 5)]) == ["2·5·4·3"]
    assert products([("N", 8, 8)] * 3 + [("N", 4, 8)]) == ["2 N (3·8² + 8·4)"]
    assert products([("N", k, 8) for k in range(1, 9)]) == ["2 N · 288"]
    assert products([("N", "M", "K")]) == ["2 K M N"]


def test_the_command_prints_formulas_and_numbers():
    result = symgrad("cost", "mnist-mlp")
    assert result.returncode == 0 and not result.stderr
    for words in ("forward, as written", "backward, simplified", "2 N (784·512 + 512·10)", "104 MFLOP", "counts 2"):
        assert words in result.stdout
    facts = json.loads(symgrad("cost", "mnist-mlp", "--batch", 1, "--json", "-p", "hidden=3").stdout)
    assert facts["sizes"] == {"N": 1} and "conventions" in facts
    assert 2 * 3 * 794 < facts["as written"]["forward"]["operations"]["number"] < 2 * 3 * 794 + 2500


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [(("no-such",), 66, "there is no model"), (("mnist-mlp", "-p", "x=1"), 78, "hidden=512"), ((), 2, "Missing argument"),
     (("mnist-mlp", "--batch", "0"), 2, "--batch")],
)  # fmt: skip
def test_the_command_refuses_by_name(arguments, code, words):
    result = symgrad("cost", *arguments)
    assert result.returncode == code and words in result.stderr and not result.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    settings = {"stdout": writing, "stderr": subprocess.PIPE, "env": {**os.environ, "PYTHONUNBUFFERED": unbuffered}}
    result = subprocess.run([sys.executable, "-m", "symgrad", "cost", "mnist-mlp"], timeout=120, **settings)
    os.close(writing)
    assert result.returncode == 0 and not result.stderr


def test_operations_are_those_that_numpy_does():
    """A network evaluated by hand, counting every scalar operation, agrees with the formula."""
    x, W, b = sg.variable("x", ("N", 5)), sg.parameter("W", (5, 3)), sg.parameter("b", (3,))
    net = sg.tanh(x @ W + b)
    counted, data = 0, np.random.default_rng(0).normal(size=(4, 5))
    weights, out = np.ones((5, 3)), np.zeros((4, 3))
    for i in range(4):
        for j in range(3):
            total = 0.0
            for k in range(5):
                total += data[i, k] * weights[k, j]
                counted += 2
            out[i, j] = math.tanh(total + 0.5)
            counted += 2
    assert value(sg.cost(net).flops, N=4) == counted
