"""The chain rule of lecture slides: paths, labelled factors, their product, and the same with numbers."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import symgrad as sg
from symgrad.calculus.chain import chain
from symgrad.calculus.sample import Sample
from symgrad.expression.node import leaves
from symgrad.formulas.html import html
from symgrad.models import mnist_mlp, mnist_mlp_deep, softmax_regression, two_two_one
from symgrad.proof.paths import multiplied
from symgrad.training.blackboard import blackboard

SHIPPED = {m.__name__.split(".")[-1]: m.model() for m in (mnist_mlp, mnist_mlp_deep, softmax_regression, two_two_one)}


def network():
    x, y = sg.variable("x", ("N", 3)), sg.variable("y", ("N",))
    W, w = sg.parameter("W", (3, 3)), sg.parameter("w", (3,))
    return x, y, W, w


@pytest.mark.parametrize(("model", "name"), [(m, n) for m in SHIPPED for n in SHIPPED[m].parameters])
def test_the_factors_multiply_to_the_gradient(model, name):
    found = multiplied(chain(SHIPPED[model].loss, SHIPPED[model].parameters[name]))
    assert found.error is not None and found.error < 1e-12


def test_a_wrong_factor_is_caught():
    found = chain(SHIPPED["two_two_one"].loss, SHIPPED["two_two_one"].parameters["W1"])
    (one,) = found.sums
    for position in range(len(one.paths[0])):
        path = list(one.paths[0])
        path[position] = dataclasses.replace(path[position], jacobian=path[position].jacobian * 1.01)
        wrong = dataclasses.replace(found, sums=(dataclasses.replace(one, paths=(tuple(path),)),))
        with pytest.raises(sg.GradientError, match="multiply"):
            multiplied(wrong)


def test_the_view_of_the_lecture():
    model = SHIPPED["mnist_mlp"]
    lines = str(sg.chain_rule(model.loss, model.parameters["W1"])).splitlines()
    assert lines[0] == "∂L/∂W₁ = Σₙ ∂L_n/∂z · ∂z/∂h · ∂h/∂net · ∂net/∂W₁"
    shown = "\n".join(lines)
    for words in ("from the layer above", "gradient of the non-linearity", "input to the first layer", "of one sample",
                  "∂z/∂h    = W₂ᵀ", "∂h/∂net  = diag([net > 0])", "∂L/∂W₁ = xᵀ δ_net"):  # fmt: skip
        assert words in shown


def test_latex_has_a_brace_with_a_label_under_each_factor():
    rule = sg.chain_rule(SHIPPED["mnist_mlp"].loss, SHIPPED["mnist_mlp"].parameters["W1"])
    assert rule.latex().count(r"\underbrace") == 4 and r"\text{from the layer above}" in rule.latex()
    assert rule.latex().count("{") == rule.latex().count("}")
    ET.fromstring(html(rule._sum(True)))


def test_several_paths_are_a_sum():
    x, y, W, w = network()
    h = sg.tanh(x @ W).named("h")
    g = sg.tanh(h @ W + h).named("g")
    rule = sg.chain_rule(sg.mean((g @ w - y) ** 2), W)
    assert str(rule).startswith("∂L/∂W = Σₙ (∂L_n/∂g · ∂g/∂h · ∂h/∂W + ∂L_n/∂g · ∂g/∂W)")
    assert multiplied(rule.chain).error < 1e-12


def test_many_paths_are_counted():
    x, _, W, w = network()
    h = x
    for i in range(5):
        h = sg.tanh(h @ W).named(f"a{i}") + h
    rule = sg.chain_rule(sg.mean(h @ w), W)
    (one,) = rule.chain.sums
    assert len(one.paths) == 8 and one.count > 8
    assert f"({one.count - 8} more paths)" in str(rule)
    assert "not written out" in str(multiplied(rule.chain))


def test_a_penalty_stands_beside_the_sum_over_the_batch():
    x, y, _, w = network()
    rate = sg.variable("rate")
    rule = sg.chain_rule(sg.mean((x @ w - y) ** 2) + rate * sg.sum(w**2), w)
    assert str(rule).startswith("∂L/∂w = Σₙ ∂L_n/∂w + ∂R/∂w") and "L = Σₙ L_n + R" in str(rule)
    assert multiplied(rule.chain).error < 1e-12


@pytest.mark.parametrize("coupled", [
    lambda h: sg.log(sg.sum(sg.exp(h))),
    lambda h: sg.mean(h / sg.sum(h, axis=0, keepdims=True)),
    lambda h: sg.max(h),
    lambda h: sg.sum(h) ** 2,
    lambda h: sg.sum(h.T @ h),
])  # fmt: skip
def test_where_rows_meet_the_factors_are_those_of_the_batch(coupled):
    x, _, W, _ = network()
    rule = sg.chain_rule(coupled(sg.sigmoid(x @ W).named("h")), W)
    assert [s.batch for s in rule.chain.sums] == [None] and "Σₙ ∂L" not in str(rule)
    assert multiplied(rule.chain).error < 1e-12


def test_networks_without_names_get_some():
    x, _, W, w = network()
    rule = sg.chain_rule(sg.sum(sg.sigmoid(x @ W) @ w), W)
    assert str(rule).startswith("∂L/∂W = Σₙ ∂L_n/∂h · ∂h/∂net · ∂net/∂W")


def test_one_sample_without_a_batch():
    x, t, w = sg.variable("x", (2,)), sg.variable("t"), sg.parameter("w", (2,))
    o = sg.sigmoid((w @ x).named("net")).named("o")
    rule = sg.chain_rule((o - t) ** 2 / 2, w)
    assert str(rule).startswith("∂L/∂w = ∂L/∂o · ∂o/∂net · ∂net/∂w") and "∂net/∂w = x" in str(rule)


def by_hand():
    """The example of two_two_one with nothing but NumPy, rounded as a lecturer would."""
    x, t = np.array([0.05, 0.1]), 0.01
    W1, b1 = np.array([[0.15, 0.25], [0.2, 0.3]]), np.array([0.35, 0.35])
    w2, b2 = np.array([0.4, 0.45]), 0.6
    h = 1 / (1 + np.exp(-(x @ W1 + b1)))
    o = 1 / (1 + np.exp(-(h @ w2 + b2)))
    s = (o - t) * o * (1 - o)
    net = s * w2 * h * (1 - h)
    return {"o": o, "L": (o - t) ** 2 / 2, "W1": np.outer(x, net), "b1": net, "w2": s * h, "b2": s}, w2 - 0.5 * s * h


def test_values_are_those_of_the_blackboard():
    model, (true, w2) = SHIPPED["two_two_one"], by_hand()
    shown = blackboard(model, list(model.parameters.values()))
    assert f"o   = σ(s) = {true['o']:.6g}" in shown and f"(2 N) = {true['L']:.6g}" in shown
    assert f"∂L/∂b₂ = {true['b2']:.6g}" in shown
    assert f"∂L/∂W₁ = [[{true['W1'][0, 0]:.6g}, {true['W1'][0, 1]:.6g}], " in shown
    assert f"w₂ ← step of sgd, learning rate 0.5: w₂ − η g = [{w2[0]:.6g}, {w2[1]:.6g}]" in shown


def test_what_cannot_be_followed_by_hand_is_said():
    with pytest.raises(sg.ConfigurationError, match="too large to follow by hand.*two-two-one"):
        blackboard(SHIPPED["mnist_mlp"], [])
    x, t, w = sg.variable("x", ("N", 2)), sg.variable("t", ("N",)), sg.parameter("w", (2,))
    lacking = sg.Model(inputs=[x], targets=[t], output=x @ w, loss=sg.mean((x @ w - t) ** 2))
    with pytest.raises(sg.ConfigurationError, match="example={'x': "):
        blackboard(lacking, [w])
    with pytest.raises(sg.ModelError, match="one row"):
        sg.Model(inputs=[x], targets=[t], output=x @ w, loss=lacking.loss, example={"x": np.ones((2, 2)), "t": [0, 1]})
    with pytest.raises(sg.ModelError, match="gives x, t"):
        sg.Model(inputs=[x], targets=[t], output=x @ w, loss=lacking.loss, example={"x": [[1, 2]]})


def test_given_starting_values():
    w = sg.parameter("w", (2,), init=[0.5, -1])
    x, t = sg.variable("x", ("N", 2)), sg.variable("t", ("N",))
    model = sg.Model(inputs=[x], targets=[t], output=x @ w, loss=sg.mean((x @ w - t) ** 2))
    model.initialize()
    assert model.weights["w"].tolist() == [0.5, -1.0]
    with pytest.raises(sg.ShapeError, match=r"w has shape \(3,\), its starting values have \(2,\)"):
        sg.parameter("w", (3,), init=[1, 2])
    with pytest.raises(sg.ExpressionError, match="not an array of numbers"):
        sg.parameter("w", (2,), init=["a", "b"])
    with pytest.raises(sg.ExpressionError, match="finite"):
        sg.parameter("w", (1,), init=[float("nan")])


def test_rows_of_what_moves_entries_are_what_the_batch_holds():
    """One sample of windows, slices, joins and matrices: the same numbers as that row of the batch."""
    x, u = sg.variable("x", ("N", 6, 5, 2)), sg.noise("u", ("N", 6, 5, 2))
    K = sg.parameter("K", (2, 3, 2, 4))
    random = np.random.default_rng(8)
    given = {"x": random.normal(size=(3, 6, 5, 2)), "u": random.random((3, 6, 5, 2)), "K": random.normal(size=(2, 3, 2, 4))}
    square = sg.einsum("nijc,nkjc->nik", x, x) + 3 * sg.identity(6)
    cases = [
        sg.conv2d(x, K, (1, 2), "same"), sg.max_pool2d(sg.where(u > 0.5, x, 0)), x[:, 1:, ::-1, 1],
        sg.concatenate([x, 2 * x], axis=2), sg.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))), sg.inverse(square),
        sg.logdet(square), sg.gradient(sg.sum(sg.conv2d(x, K) ** 2), x), sg.tril(square),
    ]  # fmt: skip
    for case in cases:
        one = Sample("N").of(case)
        assert one.shape == case.shape[1:]
        needed = leaves([case])
        whole = sg.evaluate(case, {n: given[n] for n in needed})
        row = sg.evaluate(one, {n: given[n] if n == "K" else given[n][1] for n in needed})
        np.testing.assert_allclose(row, whole[1], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("act", [lambda x: x[1:], lambda x: sg.flip(x, 0), lambda x: sg.concatenate([x, x]),
                                 lambda x: sg.windows(x, 0, 2), lambda x: sg.inverse(x @ x.T)])  # fmt: skip
def test_what_goes_over_the_batch_is_refused(act):
    with pytest.raises(sg.ExpressionError, match="batch|rows"):
        Sample("N").of(act(sg.variable("x", ("N", 3))))
