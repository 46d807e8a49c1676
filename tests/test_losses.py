"""Losses and metrics: values, every form of target, the same stable gradient from each, and what is refused."""

import numpy as np
import pytest
import values

import symgrad as sg

Z = np.array([[1.0, -2, 0.5], [0.3, 0.8, -1], [2, 2, 2], [-3, 0, 1]])
Y = np.array([2, 0, 1, 1])
z, y = sg.variable("z", ("N", 3)), sg.labels("y", ("N",), classes=3)
q = sg.variable("q", ("N", 3), normalized=True)
onehot = sg.variable("onehot", ("N", 3), dtype="int64")
GIVEN = {"z": Z, "y": Y, "q": np.eye(3)[Y], "onehot": np.eye(3, dtype=int)[Y]}
P = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
WANT = -np.log(P[np.arange(4), Y]).mean()
NAIVE = sg.exp(z) / sg.sum(sg.exp(z), axis=1, keepdims=True)
FORMS = {
    "logits, labels": sg.softmax_cross_entropy(z, y),
    "logits, normalized": sg.softmax_cross_entropy(z, q),
    "logits, integer one-hot": sg.softmax_cross_entropy(z, onehot),
    "probabilities, labels": sg.cross_entropy(sg.softmax(z), y),
    "probabilities, normalized": sg.cross_entropy(sg.softmax(z), q),
    "naive probabilities, labels": sg.cross_entropy(NAIVE, y),
    "naive probabilities, normalized": sg.cross_entropy(NAIVE, q),
}


@pytest.mark.parametrize("name", FORMS)
def test_cross_entropy(name):
    loss = FORMS[name]
    assert loss.shape == () and loss.kind == "real"
    np.testing.assert_allclose(values.of(loss, GIVEN), WANT, rtol=1e-13)
    np.testing.assert_allclose(values.of(sg.gradient(loss, z), GIVEN), (P - np.eye(3)[Y]) / 4, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", [n for n in FORMS if "integer one-hot" not in n])
def test_every_form_reaches_the_same_stable_gradient(name):
    """(softmax(z) - y) / N, and finite where exp overflows."""
    target = "y" if "labels" in name else "q"
    gradient = sg.simplify(sg.gradient(FORMS[name], z))
    assert sg.formula(gradient) == f"(softmax(z) − {'onehot(y)' if target == 'y' else 'q'}) / N"
    extreme = {"z": Z * 1e6, target: GIVEN[target]}
    assert np.isfinite(values.of(gradient, extreme)).all()
    assert np.isfinite(sg.compile(gradient)(extreme)).all()


a, t = sg.variable("a", ("N",)), sg.variable("t", ("N",))
A, T = np.array([2.0, -1, 0.3, -4]), np.array([1.0, 0, 0, 1])
SIGMOID = 1 / (1 + np.exp(-A))
BINARY = {
    "logits": sg.binary_cross_entropy(a, t, from_logits=True),
    "probabilities": sg.binary_cross_entropy(sg.sigmoid(a), t),
    "naive probabilities": sg.binary_cross_entropy(1 / (1 + sg.exp(-a)), t),
}


@pytest.mark.parametrize("name", BINARY)
def test_binary_cross_entropy(name):
    given = {"a": A, "t": T}
    want = -(T * np.log(SIGMOID) + (1 - T) * np.log(1 - SIGMOID)).mean()
    np.testing.assert_allclose(values.of(BINARY[name], given), want, rtol=1e-12)
    gradient = sg.gradient(BINARY[name], a)
    np.testing.assert_allclose(values.of(gradient, given), (SIGMOID - T) / 4, rtol=1e-12)
    assert sg.formula(sg.simplify(gradient)) == "(σ(a) − t) / N"
    far = {"a": np.array([1e4, -1e4, 40, -40]), "t": T}
    assert np.isfinite(values.of(sg.simplify(BINARY[name]), far)) and np.isfinite(values.of(gradient, far)).all()


def test_squares_and_absolute_values():
    given = {"a": A, "t": T}
    np.testing.assert_allclose(values.of(sg.mean_squared_error(a, t), given), ((A - T) ** 2).mean())
    np.testing.assert_allclose(values.of(sg.mean_absolute_error(a, t), given), np.abs(A - T).mean())
    assert sg.formula(sg.simplify(sg.gradient(sg.mean_squared_error(a, t), a))) == "2 (a − t) / N"


def test_accuracy():
    assert values.of(sg.accuracy(sg.softmax(z), y), GIVEN) == (P.argmax(1) == Y).mean()
    assert values.of(sg.accuracy(z, q), GIVEN) == (P.argmax(1) == Y).mean()
    assert values.of(sg.accuracy(sg.sigmoid(a), t), {"a": A, "t": T}) == ((SIGMOID > 0.5) == T).mean()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: sg.softmax_cross_entropy(sg.softmax(z), y), ["softmax already", "logits", "sg.cross_entropy"]),
        (lambda: sg.softmax_cross_entropy(sg.softmax(z).named("p"), y), ["p", "softmax already"]),
        (lambda: sg.softmax_cross_entropy(z, sg.labels("l", ("N",), classes=4)), ["l", "4", "z", "3"]),
        (lambda: sg.softmax_cross_entropy(z, sg.variable("l", ("N",))), ["l (N,)", "z (N, 3)", "sg.labels"]),
        (lambda: sg.softmax_cross_entropy(z, sg.labels("l", ("N", 1), classes=3)), ["l (N, 1)", "z (N, 3)"]),
        (lambda: sg.softmax_cross_entropy(z, sg.labels("l", ("M",), classes=3)), ["l", "z"]),
        (lambda: sg.cross_entropy(sg.softmax(z), sg.variable("l", ("N", 4))), ["l (N, 4)", "(N, 3)"]),
        (lambda: sg.binary_cross_entropy(sg.sigmoid(a), t, from_logits=True), ["sigmoid already", "from_logits"]),
        (lambda: sg.binary_cross_entropy(a, sg.variable("l", ("N", 1))), ["a (N,)", "l (N, 1)", "reshape"]),
        (lambda: sg.mean_squared_error(a, sg.variable("l", ("N", 1))), ["a (N,)", "l (N, 1)", "reshape"]),
    ],
)  # fmt: skip
def test_what_is_refused(act, words):
    with pytest.raises(sg.ExpressionError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)
