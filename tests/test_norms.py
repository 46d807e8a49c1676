"""Moments, norms, normalised layers, distances and matrix helpers: values, derivatives, kernels, and what is refused."""

from __future__ import annotations

import differences
import numpy as np
import pytest
import values

import symgrad as sg
from symgrad.expression import matrices, normalization
from symgrad.expression.node import leaves

random = np.random.default_rng(11)
x, o = sg.parameter("x", ("N", 4)), sg.variable("o", ("N", 4))
gain, bias = sg.parameter("gain", (4,)), sg.parameter("bias", (4,))
a, b, v = sg.parameter("a", (3, 3)), sg.parameter("b", (2, 4)), sg.parameter("v", (3,))
cube, aim = sg.parameter("cube", ("N", 2, 3)), sg.variable("aim", (1, 4))
GIVEN = {
    "x": random.normal(size=(5, 4)), "o": random.normal(size=(5, 4)), "gain": random.normal(size=4),
    "bias": random.normal(size=4), "a": random.normal(size=(3, 3)), "b": random.normal(size=(2, 4)),
    "v": random.normal(size=3), "cube": random.normal(size=(5, 2, 3)), "aim": random.normal(size=(1, 4)),
}  # fmt: skip
X, Other, G, B = (GIVEN[n] for n in ("x", "o", "gain", "bias"))
CENTRED = X - X.mean(1, keepdims=True)
STANDARD = CENTRED / np.sqrt(X.var(1, keepdims=True) + 1e-5)
LENGTHS = np.linalg.norm(X, axis=1, keepdims=True)
# name: (expression, its value)
CASES = {
    "var": (sg.var(x), X.var()),
    "var of columns": (sg.var(x, axis=0), X.var(0)),
    "var kept": (sg.var(x, axis=1, keepdims=True), X.var(1, keepdims=True)),
    "std": (sg.std(x), X.std()),
    "std of columns": (sg.std(x, axis=0), X.std(0)),
    "norm": (sg.norm(x), np.linalg.norm(X)),
    "norm of rows": (sg.norm(x, axis=1), LENGTHS[:, 0]),
    "norm of a vector": (sg.norm(v), np.linalg.norm(GIVEN["v"])),
    "l2_normalize": (sg.l2_normalize(x), X / LENGTHS),
    "cosine_similarity": (sg.cosine_similarity(x, o), (X * Other).sum(1) / LENGTHS[:, 0] / np.linalg.norm(Other, axis=1)),
    "squared_distance": (sg.squared_distance(x, o), ((X - Other) ** 2).sum(1)),
    "standardize": (sg.standardize(x), STANDARD),
    "standardize columns": (sg.standardize(x, axis=0, eps=1e-3), (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-3)),
    "layer_norm": (sg.layer_norm(x, gain, bias), G * STANDARD + B),
    "layer_norm, plain": (sg.layer_norm(x), STANDARD),
    "rms_norm": (sg.rms_norm(x, gain), G * X / np.sqrt((X**2).mean(1, keepdims=True) + 1e-5)),
    "flatten": (sg.flatten(cube), GIVEN["cube"].reshape(5, 6)),
    "trace": (sg.trace(a), np.trace(GIVEN["a"])),
    "diagonal": (sg.diagonal(a), np.diagonal(GIVEN["a"])),
    "diag": (sg.diag(v), np.diag(GIVEN["v"])),
    "kron": (sg.kron(a, b), np.kron(GIVEN["a"], GIVEN["b"])),
    "kron with itself": (sg.kron(a, a), np.kron(GIVEN["a"], GIVEN["a"])),
}  # fmt: skip


def _loss(name):
    """A scalar that depends on every entry of an expression, and on its curvature."""
    value = CASES[name][0]
    count = int(np.prod([5 if s == "N" else s for s in value.shape], dtype=int))
    if "N" not in value.shape and value.shape:
        value = value * np.cos(np.arange(count)).reshape(value.shape)
    elif value.shape == x.shape:
        value = value * aim
    return sg.sum(value) + sg.sum(value**2) / 2


LOSSES = {name: _loss(name) for name in CASES}
BY = {name: [n for n in (x, gain, bias, a, b, v, cube) if n.name in leaves([CASES[name][0]])] for name in CASES}
GRADIENTS = {name: sg.gradient(LOSSES[name], BY[name]) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    expression, want = CASES[name]
    found = values.of(expression, GIVEN)
    assert found.shape == np.shape(want)
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(values.of(sg.simplify(expression), GIVEN), want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_to_order_two(name):
    loss, by = LOSSES[name], BY[name]
    slope = sg.sum(GRADIENTS[name][0] * GRADIENTS[name][0]) + sg.sum(by[0] ** 2)
    for function, derivatives in ((loss, GRADIENTS[name]), (slope, [sg.gradient(slope, by[0])])):
        needed = {n: GIVEN[n] for n in leaves([function])}
        for leaf, derivative in zip(by, derivatives, strict=False):
            for form in (derivative, sg.simplify(derivative)):
                found = values.of(form, GIVEN, N=5)
                for direction in differences.directions(found.shape, np.random.default_rng(2), most=3):
                    known = differences.slope([function], needed, leaf.name, direction, 1e-4)[0]
                    np.testing.assert_allclose((found * direction).sum(), known, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_the_stamp_holds_formulas_print_and_are_stored(name):
    assert sg.check(LOSSES[name], BY[name]).entries
    for form in (CASES[name][0], GRADIENTS[name][0]):
        for notation in ("matrix", "index", "numpy"):
            assert sg.formula(form, notation=notation)
        assert "None" not in sg.formula(form, format="latex")
    (again,) = sg.expression_from_json(sg.expression_to_json([CASES[name][0]]))
    np.testing.assert_array_equal(values.of(again, GIVEN), values.of(CASES[name][0], GIVEN))
    assert sg.formula(again) == sg.formula(CASES[name][0])


def test_kernels_agree_with_the_interpreter():
    """All values and gradients in one kernel."""
    every = [form for name in CASES for form in (CASES[name][0], *GRADIENTS[name])]
    found = sg.compile(every, dtype="float64", threads=1)(GIVEN)
    for form, got in zip(every, found, strict=True):
        np.testing.assert_allclose(got, values.of(form, GIVEN, N=5), rtol=1e-9, atol=1e-12, err_msg=str(form))


EDGES = ["std", "std of columns", "norm", "norm of rows", "l2_normalize", "cosine_similarity", "standardize",
         "layer_norm", "rms_norm", "var"]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_at_a_root_of_zero_and_far_out_nothing_is_nan(dtype):
    """Where all entries are 0 or equal, and at 1e4: value, gradient, second derivative; as written and as compiled."""
    zero = np.zeros((3, 4))
    forms = {}
    for name in EDGES:
        (slope,) = sg.gradient(LOSSES[name], [x])
        forms[name] = (CASES[name][0], slope, sg.gradient(sg.sum(slope * aim) + sg.sum(x**2), x))
    every = [form for three in forms.values() for form in three]
    for points in (zero, zero + 2, np.array([[1e4, -1e4, 0, 1], [0, 0, 0, 0], [1e4, 1e4, 1e4, 1e4]])):
        given = {**GIVEN, "x": points, "o": np.ones((3, 4))}
        if dtype == "float64":
            for form in every:
                assert np.isfinite(values.of(form, given, N=3)).all(), form
        needed = {n: given[n] for n in leaves(every)}
        for place, got in enumerate(sg.compile(every, dtype=dtype, threads=1)(needed)):
            assert np.isfinite(got).all(), (EDGES[place // 3], place % 3, got)


def test_the_subgradient_at_zero_is_zero():
    given = {"x": np.zeros((3, 4)), "v": np.zeros(3)}
    for value, by in ((sg.norm(x), x), (sg.std(x), x), (sg.norm(v), v), (sg.std(v), v)):
        assert values.of(value, given) == 0
        for form in (sg.gradient(value, by), sg.simplify(sg.gradient(value, by))):
            np.testing.assert_array_equal(values.of(form, given, N=3), 0)
    tiny = {"v": np.array([3e-150, 0, 4e-150])}
    np.testing.assert_allclose(values.of(sg.gradient(sg.norm(v), v), tiny), [0.6, 0, 0.8])


def test_textbook_forms():
    assert sg.formula(sg.simplify(sg.gradient(sg.norm(v), v))) == "v / √(Σᵢ v² + [Σᵢ v² = 0])"
    assert sg.formula(sg.simplify(sg.gradient(sg.sum(sg.squared_distance(x, o)), x))) == "2 (x − o)"
    assert sg.formula(sg.simplify(sg.gradient(sg.trace(a), a))) == "I"
    assert sg.formula(sg.simplify(sg.gradient(sg.trace(a @ a), a))) == "2 aᵀ"


def test_shapes_with_names():
    assert sg.flatten(sg.variable("w", ("N", "H", 3))).shape[0] == "N"
    assert sg.flatten(sg.variable("w", ("N",))).shape == ("N", 1)
    assert sg.kron(sg.variable("p", ("m", 2)), sg.variable("q", (3, 4))).ndim == 2
    assert sg.trace(sg.variable("p", ("m", "m"))).shape == ()


def test_against_pytorch():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    t, other, g, c = (torch.tensor(GIVEN[n], requires_grad=True) for n in ("x", "o", "gain", "bias"))
    theirs = {
        "layer_norm": F.layer_norm(t, (4,), g, c), "rms_norm": F.rms_norm(t, (4,), g, eps=1e-5),
        "l2_normalize": F.normalize(t), "cosine_similarity": F.cosine_similarity(t, other),
        "std": t.std(correction=0), "norm of rows": torch.linalg.norm(t, dim=1),
    }  # fmt: skip
    for name, value in theirs.items():
        np.testing.assert_allclose(values.of(CASES[name][0], GIVEN), value.detach().numpy(), rtol=1e-10, err_msg=name)
        weighted = value * torch.tensor(GIVEN["aim"]) if value.shape == t.shape else value
        (gradient,) = torch.autograd.grad((weighted + weighted**2 / 2).sum(), t)
        np.testing.assert_allclose(values.of(GRADIENTS[name][0], GIVEN), gradient.numpy(), rtol=1e-8, atol=1e-10)


def test_formulas_given_as_text():
    names = {"x": x, "gain": gain, "bias": bias, "a": a, "b": b}
    assert sg.parse("layer_norm(x, gain, bias)", names) is CASES["layer_norm"][0]
    assert sg.parse("layer_norm(x, gain=gain, bias=bias, eps=0.00001)", names) is CASES["layer_norm"][0]
    assert sg.parse("standardize(x, axis=0, eps=0.001)", names) is CASES["standardize columns"][0]
    assert sg.parse("var(x, axis=1, keepdims=True)", names) is CASES["var kept"][0]
    assert sg.parse("trace(a) + norm(kron(a, b))", names).shape == ()
    for name, function in (*matrices.table().items(), *normalization.table().items()):
        assert getattr(sg, name) is function


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: sg.var(x, axis=2), ["var", "axis 2"]),
        (lambda: sg.norm(x, axis=(0, 0)), ["norm", "twice"]),
        (lambda: sg.layer_norm(x, eps=0), ["layer_norm", "eps", "above 0"]),
        (lambda: sg.rms_norm(x, eps=-1e-5), ["rms_norm", "eps"]),
        (lambda: sg.layer_norm(x, sg.parameter("g", (5,))), ["g", "5", "4"]),
        (lambda: sg.trace(b), ["trace", "b", "(2, 4)", "square"]),
        (lambda: sg.diagonal(v), ["diagonal", "v", "(3,)"]),
        (lambda: sg.diag(a), ["diag", "a", "(3, 3)", "sg.diagonal"]),
        (lambda: sg.kron(a, v), ["kron", "v", "(3,)"]),
        (lambda: sg.flatten(2.0), ["flatten", "2.0"]),
        (lambda: sg.squared_distance(x, v), ["x", "v"]),
    ],
)  # fmt: skip
def test_what_is_refused(act, words):
    with pytest.raises(sg.ExpressionError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)
