"""Jacobians, Hessians and products with them: closed forms as textbooks have them, and values beside other libraries."""

from __future__ import annotations

import numpy as np
import pytest

import symgrad as sg
from symgrad.expression.node import leaves, topological
from symgrad.expression.parse import parse
from symgrad.proof.stamp import stamp_jacobian

SIZES = {"n": 3, "m": 4, "k": 2}
SHAPES = {"A": ("n", "n"), "x": ("n",), "X": ("m", "n"), "w": ("n",), "y": ("m",), "l": (), "T": ("m", "n"), "t": ("n",),
          "U": ("m", "k"), "V": ("n", "k"), "P": ("n", "n"), "s": (), "W": ("n", "k"), "Y": ("m", "k")}  # fmt: skip

# (scalar, by, textbook form of the second derivative; "" where only values are compared)
HESSIANS = [
    ("x @ A @ x", "x", "A + Aᵀ"),
    ("sum((X @ w - y)**2)", "w", "2 Xᵀ X"),
    ("sum((X @ w - y)**2)/2 + l*sum(w**2)", "w", "Xᵀ X + 2 l I"),
    ("logsumexp(w) - w @ t", "w", "diag(softmax(w)) − softmax(w) softmax(w)ᵀ"),
    ("sum(exp(w))", "w", "diag(exp(w))"),
    ("sum(w**3)", "w", "6 diag(w)"),
    ("(t - w) @ P @ (t - w)/2", "w", "(P + Pᵀ) / 2"),
    ("exp(w @ w)", "w", "exp(wᵀ w) (4 w wᵀ + 2 I)"),
    ("sum(where(X @ w > 0, X @ w, 0)**2)", "w", "2 Xᵀ diag([X w > 0]) X"),
    ("s**3", "s", "6 s"),
    ("w @ t", "w", "[0]ₙᵢ"),
    ("sum(log(1 + exp(-y*(X @ w))))", "w", ""),
    ("sum((T - U @ V.T)**2)", "U", ""),
    ("sum((T - U @ V.T)**2)", "V", ""),
    ("mean(sum((tanh(X @ W) - Y)**2, axis=1))", "W", ""),
    ("sum(log(1 + relu(X @ W)**2))", "W", ""),
    ("sum(max(X @ W, axis=1)**2)", "W", ""),
    ("sum(softmax(X @ W)**2)", "W", ""),
    ("sum(reshape(tanh(X @ W), (-1,))**3)", "W", ""),
]  # fmt: skip


def names():
    return {name: sg.parameter(name, shape) for name, shape in SHAPES.items()}


def point(seed=0):
    random = np.random.default_rng(seed)
    return {name: random.normal(size=[SIZES[s] for s in shape]) for name, shape in SHAPES.items()}


def given(expression, values):
    """The values that an expression needs, and the sizes that none of them tells."""
    inputs = leaves([expression])
    told = {s for leaf in inputs.values() for s in leaf.shape}
    return {**{n: values[n] for n in inputs}, **{n: v for n, v in SIZES.items() if n not in told and n in inside(expression)}}


def inside(expression):
    return {s for node in topological([expression]) for s in (*node.shape, getattr(node.op, "size", "")) if isinstance(s, str)}


def by_differences(slope, wrt, values, step=1e-5):
    x, columns = values[wrt], []
    for index in np.ndindex(*x.shape):
        unit = np.zeros(x.shape)
        unit[index] = step
        up, down = (sg.evaluate(slope, given(slope, {**values, wrt: x + s * unit})) for s in (1, -1))
        columns.append((up - down) / (2 * step))
    return np.moveaxis(np.array(columns), 0, -1).reshape((*columns[0].shape, *x.shape))


@pytest.mark.parametrize(("text", "wrt", "form"), HESSIANS, ids=[f"{t} by {w}" for t, w, _ in HESSIANS])
def test_hessians(text, wrt, form):
    known, values = names(), point()
    loss = parse(text, known)
    hessian = sg.hessian(loss, known[wrt])
    if form:
        assert str(hessian) == form
    found = sg.evaluate(hessian, given(hessian, values))
    slope = sg.gradient(loss, known[wrt])
    true = by_differences(slope, wrt, values)
    assert np.allclose(found, true, atol=1e-6 * (1 + np.abs(true).max()))
    order = (*range(true.ndim // 2, true.ndim), *range(true.ndim // 2))
    assert np.allclose(found, found.transpose(order), atol=1e-12 * (1 + np.abs(true).max()))
    vector = sg.variable("direction", known[wrt].shape)
    product = sg.hessian_vector_product(loss, known[wrt], vector)
    v = np.random.default_rng(1).normal(size=values[wrt].shape)
    applied = sg.evaluate(product, given(product, {**values, "direction": v}))
    assert np.allclose(applied, np.tensordot(found, v, v.ndim), atol=1e-10 * (1 + np.abs(true).max()))


@pytest.mark.parametrize(("text", "wrt", "form"), [
    ("A @ x", "x", "A"),
    ("softmax(x)", "x", "diag(softmax(x)) − softmax(x) softmax(x)ᵀ"),
    ("tanh(A @ x)", "x", "diag(1 − tanh(A x)²) A"),
    ("x*t", "x", "diag(t)"),
    ("x/s", "x", "I / s"),
    ("X @ w", "w", "X"),
    ("x", "x", "I"),
    ("U @ V.T", "U", ""),
    ("relu(X @ W)", "W", ""),
    ("where(x > 0, log(x), 0)", "x", ""),
])  # fmt: skip
def test_jacobians(text, wrt, form):
    known, values = names(), point(3)
    value = parse(text, known)
    matrix = sg.jacobian(value, known[wrt])
    assert matrix.shape == (*value.shape, *known[wrt].shape)
    if form:
        assert str(matrix) == form
    found = sg.evaluate(matrix, given(matrix, values))
    assert np.isfinite(found).all()
    assert np.allclose(found, by_differences(value, wrt, values), atol=1e-7)
    vector = sg.variable("direction", known[wrt].shape)
    v = np.random.default_rng(1).normal(size=values[wrt].shape)
    product = sg.jacobian_vector_product(value, known[wrt], vector)
    assert np.allclose(sg.evaluate(product, given(product, {**values, "direction": v})), np.tensordot(found, v, v.ndim))


@pytest.mark.parametrize("text", ["x @ A @ x", "sum(log(1 + exp(-y*(X @ w))))", "mean(sum((tanh(X @ W) - Y)**2, axis=1))"])
def test_a_compiled_hessian_has_the_interpreters_numbers(text):
    known, values = names(), point()
    wrt = known[next(n for n in ("W", "w", "x") if n in text)]
    hessian = sg.hessian(parse(text, known), wrt)
    inputs = given(hessian, values)
    assert np.allclose(sg.compile(hessian, dtype="float64")(inputs), sg.evaluate(hessian, inputs), rtol=1e-11, atol=1e-12)


def test_third_derivatives():
    x = sg.parameter("x", ("n",))
    third = sg.jacobian(sg.hessian(sg.sum(sg.sin(x)), x), x)
    values = np.array([0.3, -1.0, 2.0])
    true = np.zeros((3, 3, 3))
    true[range(3), range(3), range(3)] = -np.cos(values)
    assert np.allclose(sg.evaluate(third, {x: values}), true)


def test_blocks_of_several_parameters():
    known = names()
    loss = parse("sum((X @ w + s - y)**2)", known)
    (ww, ws), (sw, ss) = sg.hessian(loss, [known["w"], known["s"]])
    assert [str(b) for b in (ww, ws, sw, ss)] == ["2 Xᵀ X", "2 Σₘ X", "2 Σₘ X", "2 m"]
    assert sg.evaluate(ss, {"m": 4}) == 8
    with pytest.raises(sg.BindingError, match="give it by name, as in m=3"):
        sg.evaluate(ss, {})
    with pytest.raises(sg.BindingError, match="whole number"):
        sg.evaluate(ss, {"m": 2.5})


def test_a_stamp_on_second_derivatives_catches_what_is_wrong():
    known = names()
    loss = parse("sum(log(1 + exp(-y*(X @ w))))", known)
    slope = sg.simplify(sg.gradient(loss, known["w"]))
    right = sg.hessian(loss, known["w"])
    assert stamp_jacobian(slope, right, known["w"]).differences < 1e-9
    for wrong in (2 * right, -right, right + sg.identity("n"), right * known["s"]):
        with pytest.raises(sg.GradientError, match="failed its check"):
            stamp_jacobian(slope, wrong, known["w"])
    product = known["A"] @ known["x"]
    with pytest.raises(sg.GradientError, match="failed its check"):
        stamp_jacobian(product, known["A"].T, known["x"])


def test_errors_are_in_the_users_names():
    x, q = sg.parameter("x", ("n",)), sg.variable("q", ("n",), dtype="int64")
    with pytest.raises(sg.GradientError, match="q is integer"):
        sg.jacobian(q, x)
    with pytest.raises(sg.GradientError, match=r"the vector v has shape \(m,\), but x has \(n,\)"):
        sg.hessian_vector_product(sg.sum(x**2), x, sg.variable("v", ("m",)))


def test_a_deep_networks_product_with_a_vector_stays_linear_in_depth():
    def count(depth):
        h, weights = sg.variable("x", ("N", 8)), []
        for i in range(depth):
            weights.append(sg.parameter(f"W{i}", (8, 8)))
            h = sg.tanh(h @ weights[-1]).named(f"h{i}")
        product = sg.hessian_vector_product(sg.mean(h**2), weights[0], sg.variable("v", (8, 8)))
        return len(topological([product]))

    five, ten, twenty = count(5), count(10), count(20)
    assert twenty - ten < 2.5 * (ten - five)
