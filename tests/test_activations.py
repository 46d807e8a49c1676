"""Activation functions: values, derivatives to order 2 near 0 and far out, formulas, kernels, text and storage."""

from __future__ import annotations

import math

import differences
import numpy as np
import pytest
import values

import symgrad as sg
from symgrad.expression import activations, parse

x = sg.parameter("x", ("N",))
SIGMOID = lambda v: np.where(v < 0, np.exp(-abs(v)), 1) / (1 + np.exp(-abs(v)))  # noqa: E731
SOFTPLUS = lambda v: np.maximum(v, 0) + np.log1p(np.exp(-abs(v)))  # noqa: E731
ERFC = np.vectorize(math.erfc, otypes=[float])
ELU = lambda v, a: np.where(v > 0, v, a * np.expm1(np.minimum(v, 0)))  # noqa: E731
HARD = lambda v: np.clip(v + 3, 0, 6) / 6  # noqa: E731
# name: (expression, the same in NumPy, points at which its derivative jumps)
CASES = {
    "gelu": (sg.gelu(x), lambda v: v * ERFC(-v / math.sqrt(2)) / 2, ()),
    "gelu tanh": (sg.gelu(x, approximate="tanh"),
                  lambda v: v * SIGMOID(2 * math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)), ()),
    "silu": (sg.silu(x), lambda v: v * SIGMOID(v), ()),
    "swish": (sg.swish(x, 1.5), lambda v: v * SIGMOID(1.5 * v), ()),
    "elu": (sg.elu(x), lambda v: ELU(v, 1), ()),
    "elu 0.5": (sg.elu(x, 0.5), lambda v: ELU(v, 0.5), (0,)),
    "selu": (sg.selu(x), lambda v: 1.0507009873554805 * ELU(v, 1.6732632423543772), (0,)),
    "leaky_relu": (sg.leaky_relu(x), lambda v: np.where(v > 0, v, 0.01 * v), (0,)),
    "prelu": (sg.prelu(x, 0.25), lambda v: np.where(v > 0, v, 0.25 * v), (0,)),
    "relu6": (sg.relu6(x), lambda v: np.clip(v, 0, 6), (0, 6)),
    "hard_sigmoid": (sg.hard_sigmoid(x), HARD, (-3, 3)),
    "hard_tanh": (sg.hard_tanh(x), lambda v: np.clip(v, -1, 1), (-1, 1)),
    "hard_silu": (sg.hard_silu(x), lambda v: v * HARD(v), (-3, 3)),
    "softsign": (sg.softsign(x), lambda v: v / (1 + abs(v)), ()),
    "mish": (sg.mish(x), lambda v: v * np.tanh(SOFTPLUS(v)), ()),
    "log_sigmoid": (sg.log_sigmoid(x), lambda v: -SOFTPLUS(-v), ()),
}  # fmt: skip
FAR = np.array(
    [1e4, -1e4, 300.0, -300, 88.5, -88.5, 40, -40, 15, -15, 6, -6, 3, -3, 1, -1, 0.5, -0.5, 1e-20, 0.0, -0.0]
)
NEAR = np.array([-4.3, -2.1, -0.7, -0.31, 0.2, 0.9, 1.7, 2.6, 4.4, 7.1])  # no kink within a step
ORDERS = {}  # the value, its derivative, and the derivative of that plus x: a line has no second derivative by itself
for _name, (_value, _, _) in CASES.items():
    _slope = sg.gradient(sg.sum(_value), x)
    ORDERS[_name] = (_value, _slope, sg.gradient(sg.sum(_slope + x), x))


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    expression, reference, _ = CASES[name]
    for points in (NEAR, FAR):
        np.testing.assert_allclose(values.of(expression, {"x": points}), reference(points), rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_differences(name):
    value, slope, bend = ORDERS[name]
    given = {"x": NEAR}
    for order, (function, derivative) in enumerate([(value, slope), (slope + x, bend)]):
        for form in (derivative, sg.simplify(derivative)):
            known = differences.slope([function], given, "x", np.ones_like(NEAR), 1e-3)[0]
            found = values.of(form, given, N=len(NEAR))
            np.testing.assert_allclose(found, known, rtol=1e-7, atol=1e-9, err_msg=f"order {order + 1}: {form}")


@pytest.mark.parametrize("name", CASES)
def test_finite_far_out_at_every_order_as_written_and_simplified(name):
    for order, written in enumerate(ORDERS[name]):
        for form in (written, sg.simplify(written)):
            found = values.of(form, {"x": FAR}, N=len(FAR))
            assert np.isfinite(found).all(), (order, str(form), found)
    slope = values.of(sg.simplify(ORDERS[name][1]), {"x": np.array([1e4, 3e4])}, N=2)
    assert np.allclose(slope, slope[0], rtol=0, atol=2e-8), "a line, far out on the right"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_agree_with_the_interpreter_far_out(dtype):
    """All of them in one kernel: values, first and second derivatives."""
    every = [form for orders in ORDERS.values() for form in orders]
    points = FAR.astype(dtype)
    found = sg.compile(every, dtype=dtype, threads=1)(x=points)
    bound = {"float32": 3e-6, "float64": 1e-12}[dtype]
    for place, (form, got) in enumerate(zip(every, found, strict=True)):
        name, order = list(ORDERS)[place // 3], place % 3
        want = values.of(form, {"x": points.astype("float64")}, N=len(points))
        assert np.isfinite(got).all(), (name, order, got)
        # the derivative of softsign is the difference of two numbers near 1: it loses what the point is large
        loose = bound * (1e4 if name == "softsign" else 1)
        np.testing.assert_allclose(got, want, rtol=loose, atol=bound * 30, err_msg=f"{name}, order {order}")


@pytest.mark.parametrize("name", CASES)
def test_not_a_number_stays_visible(name):
    assert np.isnan(values.of(CASES[name][0], {"x": np.array([np.nan])})).all()
    assert np.isfinite(values.of(ORDERS[name][1], {"x": np.array(CASES[name][2] or (0.0,), float)})).all()


@pytest.mark.parametrize("name", CASES)
def test_the_stamp_holds_and_formulas_print(name):
    assert sg.check(sg.sum(CASES[name][0]), x).entries > 0
    for form in ORDERS[name]:
        for notation in ("matrix", "index", "numpy"):
            assert sg.formula(form, notation=notation)
        assert "None" not in sg.formula(form, format="latex")


@pytest.mark.parametrize("name", CASES)
def test_stored_and_read_again(name):
    written = sg.expression_to_json([CASES[name][0]])
    (again,) = sg.expression_from_json(written)
    np.testing.assert_array_equal(values.of(again, {"x": NEAR}), values.of(CASES[name][0], {"x": NEAR}))
    assert sg.formula(again) == sg.formula(CASES[name][0])


def test_kinks():
    at = {"relu6": [0, 0], "hard_tanh": [0, 0], "hard_sigmoid": [0, 0], "leaky_relu": [0.01], "prelu": [0.25],
          "elu 0.5": [0.5], "hard_silu": [0, 1], "selu": [1.0507009873554805 * 1.6732632423543772]}  # fmt: skip
    for name, want in at.items():
        kinks = np.array(CASES[name][2], float)
        np.testing.assert_allclose(values.of(ORDERS[name][1], {"x": kinks}), want, rtol=1e-15, err_msg=name)
    assert values.of(ORDERS["elu"][1], {"x": np.zeros(1)}) == 1


def test_textbook_derivatives():
    shown = {name: sg.formula(sg.simplify(ORDERS[name][1])) for name in CASES}
    assert shown["log_sigmoid"] == "σ(−x)"
    assert shown["leaky_relu"] == "where(x > 0, 1, 0.01)"
    assert shown["mish"] == "x ⊙ (1 − tanh(softplus(x))²) ⊙ σ(x) + tanh(softplus(x))"
    assert "exp(−x² / 2)" in shown["gelu"] and "erfc(−x / √2) / 2" in shown["gelu"]


def test_rows_softmin_and_maxout():
    z = sg.parameter("z", ("N", 6))
    Z = np.random.default_rng(0).normal(size=(4, 6))
    given = {"z": Z}
    np.testing.assert_allclose(values.of(sg.softmin(z), given), np.exp(-Z) / np.exp(-Z).sum(1, keepdims=True))
    np.testing.assert_array_equal(values.of(sg.maxout(z, 3), given), Z.reshape(4, 2, 3).max(2))
    tall = sg.maxout(sg.variable("z", (4, 6)), 2, axis=0)
    np.testing.assert_array_equal(values.of(tall, given), Z.reshape(2, 2, 6).max(1))
    loss = sg.sum(sg.maxout(z, 3) ** 2 * 0.5) + sg.sum(sg.softmin(z, axis=0) ** 2)
    slope = sg.gradient(loss, z)
    for direction in differences.directions(Z.shape, np.random.default_rng(1)):
        known = differences.slope([loss], given, "z", direction, 1e-4)[0]
        np.testing.assert_allclose((values.of(slope, given) * direction).sum(), known, rtol=1e-8, atol=1e-10)
    assert sg.check(loss, z).entries
    np.testing.assert_allclose(sg.compile(slope)(z=Z), values.of(slope, given), rtol=1e-5, atol=1e-6)


def test_prelu_learns_a_slope_for_each_column():
    z, a = sg.parameter("z", ("N", 3)), sg.parameter("a", (3,))
    loss = sg.sum(sg.prelu(z, a) ** 2)
    Z = np.array([[1.0, -2, 3], [-1, 0, -0.5]])
    slope = values.of(sg.gradient(loss, a), {"z": Z, "a": np.array([0.1, 0.2, 0.3])})
    np.testing.assert_allclose(slope, (2 * np.minimum(Z, 0) ** 2 * [0.1, 0.2, 0.3]).sum(0))
    assert sg.check(loss, [z, a]).entries
    beta = sg.parameter("beta")
    assert sg.check(sg.sum(sg.swish(z, beta)), [z, beta]).entries


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("swish", "elu 0.5")])
def test_against_pytorch(name):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    theirs = {
        "gelu tanh": lambda t: F.gelu(t, approximate="tanh"), "log_sigmoid": F.logsigmoid, "hard_tanh": F.hardtanh,
        "hard_sigmoid": F.hardsigmoid, "hard_silu": F.hardswish, "prelu": lambda t: F.prelu(t, torch.tensor([0.25]).double()),
    }.get(name) or getattr(F, name)  # fmt: skip
    t = torch.tensor(NEAR, requires_grad=True)
    result = theirs(t)
    result.sum().backward()
    np.testing.assert_allclose(values.of(CASES[name][0], {"x": NEAR}), result.detach().numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(values.of(ORDERS[name][1], {"x": NEAR}), t.grad.numpy(), rtol=1e-7, atol=1e-13)


def test_formulas_given_as_text():
    names = {"x": x}
    for name, function in activations.table().items():
        if name != "maxout":
            text = f"{name}(x, 0.25)" if name == "prelu" else f"{name}(x)"
            assert sg.parse(text, names) is (function(x, 0.25) if name == "prelu" else function(x))
    assert sg.parse('gelu(x, approximate="tanh")', names) is CASES["gelu tanh"][0]
    assert sg.parse("elu(x, alpha=0.5)", names) is CASES["elu 0.5"][0]
    assert sg.parse("maxout(z, pieces=3)", {"z": sg.variable("z", (2, 6))}).shape == (2, 2)
    assert set(activations.table()) <= set(parse.FUNCTIONS) and all(hasattr(sg, n) for n in parse.FUNCTIONS)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: sg.gelu(x, approximate="erf"), ["gelu", "'tanh'", "'erf'"]),
        (lambda: sg.maxout(sg.variable("z", ("N", 6)), 4), ["z (N, 6)", "4", "multiple"]),
        (lambda: sg.maxout(sg.variable("z", ("N", 6)), 0), ["z (N, 6)", "0"]),
        (lambda: sg.maxout(sg.variable("z", ("N", 6)), 2, axis=2), ["maxout", "axis 2"]),
        (lambda: sg.prelu(sg.variable("z", ("N", 6)), sg.parameter("a", (5,))), ["a", "z", "6", "5"]),
        (lambda: sg.parse("gelu('tanh')", {}), ["cannot stand in a formula"]),
        (lambda: sg.parse("elu(x, alpha='one')", {"x": x}), ["cannot stand in a formula"]),
    ],
)  # fmt: skip
def test_what_is_refused(act, words):
    with pytest.raises(sg.ExpressionError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)
