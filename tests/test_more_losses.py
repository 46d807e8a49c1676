"""Losses beyond squares and cross-entropy: values, derivatives, kernels, formulas, and what is refused."""

from __future__ import annotations

import math

import differences
import numpy as np
import pytest
import values

import symgrad as sg
from symgrad.expression import more_losses
from symgrad.expression.node import leaves

random = np.random.default_rng(7)
p, t = sg.parameter("p", ("N", 3)), sg.variable("t", ("N", 3))
v, m = sg.parameter("v", ("N", 3)), sg.variable("m", ("N", 3))
side, share = sg.variable("side", ("N", 3)), sg.variable("share", ("N", 3), normalized=True)
weights = sg.variable("weights", (3,))
y = sg.labels("y", ("N",), classes=3)
P, T = random.normal(size=(5, 3)), random.normal(size=(5, 3)) * 2
V, M = random.uniform(0.5, 2, (5, 3)), random.integers(0, 5, (5, 3)).astype(float)
SIDE, SHARE = np.where(random.normal(size=(5, 3)) > 0, 1.0, -1.0), np.abs(T) / np.abs(T).sum(1, keepdims=True)
SHARE[0] = [0, 1, 0]
WEIGHTS, Y = np.array([1.0, 0.5, 4.0]), np.array([2, 0, 1, 1, 2])
GIVEN = {"p": P, "t": T, "v": V, "m": M, "side": SIDE, "share": SHARE, "weights": WEIGHTS, "y": Y}
R, LOGP = P - T, P - np.log(np.exp(P).sum(1, keepdims=True))
ONEHOT = np.eye(3)[Y]
SMOOTH, CHOSEN = 0.9 * ONEHOT + 0.1 / 3, 0.5 * (SIDE + 1)
SURPRISE = SHARE * np.log(np.where(SHARE > 0, SHARE, 1))


def huber(r, delta):
    return np.where(abs(r) <= delta, r * r / 2, delta * (abs(r) - delta / 2)).mean()


def cosine(a, b):
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def focal(z, gamma):
    q = 1 / (1 + np.exp(-SIDE * z))
    return -((1 - q) ** gamma * np.log(q)).mean()


# name: (loss, its value, what it is differentiated by)
CASES = {
    "huber": (sg.huber(p, t), huber(R, 1), [p]),
    "huber 2.5": (sg.huber(p, t, delta=2.5), huber(R, 2.5), [p]),
    "log_cosh": (sg.log_cosh(p, t), np.log(np.cosh(R)).mean(), [p]),
    "hinge": (sg.hinge(p, side), np.maximum(1 - SIDE * P, 0).mean(), [p]),
    "squared_hinge": (sg.squared_hinge(p, side), (np.maximum(1 - SIDE * P, 0) ** 2).mean(), [p]),
    "kl_divergence": (sg.kl_divergence(sg.softmax(p), share), (SURPRISE - SHARE * LOGP).sum(1).mean(), [p]),
    "kl_divergence, logits": (sg.kl_divergence(p, share, from_logits=True), (SURPRISE - SHARE * LOGP).sum(1).mean(), [p]),
    "poisson_nll": (sg.poisson_nll(p, m), (np.exp(P) - M * P).mean(), [p]),
    "poisson_nll, rate": (sg.poisson_nll(v, m, from_log=False), (V - M * np.log(V)).mean(), [v]),
    "gaussian_nll": (sg.gaussian_nll(p, t, v), ((np.log(V) + R**2 / V) / 2).mean(), [p, v]),
    "gaussian_nll, exp": (sg.gaussian_nll(p, t, sg.exp(v)), ((V + R**2 / np.exp(V)) / 2).mean(), [p, v]),
    "cosine_distance": (sg.cosine_distance(p, t), (1 - cosine(P, T)).mean(), [p]),
    "binary_focal_loss": (sg.binary_focal_loss(p, (side + 1) / 2), focal(P, 2), [p]),
    "binary_focal_loss 0": (sg.binary_focal_loss(p, (side + 1) / 2, gamma=0), focal(P, 0), [p]),
    "l1": (sg.l1(p), abs(P).sum(), [p]),
    "l2": (sg.l2(p), (P**2).sum(), [p]),
    "smoothed": (sg.softmax_cross_entropy(p, y, label_smoothing=0.1), -(SMOOTH * LOGP).sum(1).mean(), [p]),
    "weighted": (sg.softmax_cross_entropy(p, y, class_weights=WEIGHTS),
                 -(WEIGHTS * ONEHOT * LOGP).sum() / WEIGHTS[Y].sum(), [p]),
    "weighted by an expression": (sg.softmax_cross_entropy(p, y, class_weights=weights),
                                  -(WEIGHTS * ONEHOT * LOGP).sum() / WEIGHTS[Y].sum(), [p]),
    "both": (sg.softmax_cross_entropy(p, y, label_smoothing=0.1, class_weights=WEIGHTS),
             -(WEIGHTS * SMOOTH * LOGP).sum() / WEIGHTS[Y].sum(), [p]),
    "both, probabilities": (sg.cross_entropy(sg.softmax(p), y, label_smoothing=0.1, class_weights=WEIGHTS),
                            -(WEIGHTS * SMOOTH * LOGP).sum() / WEIGHTS[Y].sum(), [p]),
    "weighted shares": (sg.softmax_cross_entropy(p, share, class_weights=WEIGHTS),
                        -(WEIGHTS * SHARE * LOGP).sum() / (WEIGHTS * SHARE).sum(), [p]),
}  # fmt: skip
GRADIENTS = {name: sg.gradient(loss, by) for name, (loss, _, by) in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    loss, want, _ = CASES[name]
    assert loss.shape == () and loss.kind == "real"
    np.testing.assert_allclose(values.of(loss, GIVEN), want, rtol=1e-12)
    np.testing.assert_allclose(values.of(sg.simplify(loss), GIVEN), want, rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_gradients(name):
    loss, _, by = CASES[name]
    for leaf, gradient in zip(by, GRADIENTS[name], strict=True):
        found = [values.of(form, GIVEN) for form in (gradient, sg.simplify(gradient))]
        for direction in differences.directions((5, 3), np.random.default_rng(1)):
            known = differences.slope([loss], {n: GIVEN[n] for n in leaves([loss])}, leaf.name, direction, 1e-4)[0]
            for slope in found:
                np.testing.assert_allclose((slope * direction).sum(), known, rtol=1e-8, atol=1e-9)
    assert sg.check(loss, by).entries


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_are_those_of_differences(name):
    _, _, by = CASES[name]
    aim = sg.constant(np.random.default_rng(3).normal(size=(1, 3)))
    slope = sg.sum(GRADIENTS[name][0] * aim) + sg.sum(by[0] ** 2)  # a hinge has no second derivative by itself
    bend = sg.gradient(slope, by[0])
    for form in (bend, sg.simplify(bend)):
        found = values.of(form, GIVEN, N=5)
        assert np.isfinite(found).all()
        for direction in differences.directions((5, 3), np.random.default_rng(2), most=3):
            needed = {n: GIVEN[n] for n in leaves([slope])}
            known = differences.slope([slope], needed, by[0].name, direction, 1e-4)[0]
            np.testing.assert_allclose((found * direction).sum(), known, rtol=1e-8, atol=1e-8)


def test_kernels_agree_with_the_interpreter():
    """All losses and gradients in one kernel."""
    every = [form for name in CASES for form in (CASES[name][0], *GRADIENTS[name])]
    found = sg.compile(every, dtype="float64", threads=1)(GIVEN)
    for form, got in zip(every, found, strict=True):
        np.testing.assert_allclose(got, values.of(form, GIVEN, N=5), rtol=1e-11, atol=1e-14, err_msg=str(form))


FAR = ["huber", "log_cosh", "hinge", "squared_hinge", "kl_divergence, logits", "cosine_distance", "binary_focal_loss",
       "smoothed", "both"]  # fmt: skip


def test_finite_far_out():
    """Where exp and cosh overflow, at what is confidently right and at what is confidently wrong."""
    far = {
        **GIVEN,
        "p": np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [0, 0, 0]]),
        "side": np.ones((3, 3)),
        "t": np.eye(3),
    }
    far |= {"share": np.eye(3), "y": np.arange(3)}
    every = [form for name in FAR for form in (CASES[name][0], *GRADIENTS[name])]
    for form in every:
        assert np.isfinite(values.of(form, far, N=3)).all(), form
    for dtype in ("float32", "float64"):
        given = {name: far[name] for name in leaves(every)}
        for form, got in zip(every, sg.compile(every, dtype=dtype, threads=1)(given), strict=True):
            assert np.isfinite(got).all(), (dtype, str(form))


@pytest.mark.parametrize("name", CASES)
def test_formulas_print_and_are_stored(name):
    loss = CASES[name][0]
    for notation in ("matrix", "index", "numpy"):
        assert sg.formula(loss, notation=notation) and sg.formula(GRADIENTS[name][0], notation=notation)
    assert "None" not in sg.formula(loss, format="latex")
    (again,) = sg.expression_from_json(sg.expression_to_json([loss]))
    assert values.of(again, GIVEN) == values.of(loss, GIVEN) and sg.formula(again) == sg.formula(loss)


def test_textbook_gradients():
    shown = {name: sg.formula(sg.simplify(GRADIENTS[name][0])) for name in CASES}
    assert shown["kl_divergence"] == shown["kl_divergence, logits"] == "(softmax(p) − share) / N"
    assert shown["poisson_nll"] == "(exp(p) − m) / (3 N)"
    assert shown["gaussian_nll"] == "(p − t) / (3 N v)"
    assert shown["huber"] == "where(|p − t| ≤ 1, (p − t) / (3 N), sign(p − t) / (3 N))"
    assert shown["l1"] == "sign(p)" and shown["l2"] == "2 p"
    plain = sg.softmax_cross_entropy(p, y)
    assert plain is sg.softmax_cross_entropy(p, y, label_smoothing=0.0, class_weights=None)
    assert sg.formula(sg.simplify(sg.gradient(plain, p))) == "(softmax(p) − onehot(y)) / N"


def test_limits_of_one_loss_are_another():
    def at(loss):
        return values.of(loss, GIVEN)

    np.testing.assert_allclose(at(sg.huber(p, t, delta=1e6)), at(sg.mean_squared_error(p, t)) / 2)
    target = (side + 1) / 2
    cross = at(sg.binary_cross_entropy(p, target, from_logits=True))
    np.testing.assert_allclose(at(sg.binary_focal_loss(p, target, gamma=0)), cross)
    even = sg.softmax_cross_entropy(p, y, class_weights=np.full(3, 7.0))
    np.testing.assert_allclose(at(even), at(sg.softmax_cross_entropy(p, y)))
    entropy = -(SURPRISE.sum(1)).mean()
    np.testing.assert_allclose(at(CASES["kl_divergence"][0]) + entropy, at(sg.softmax_cross_entropy(p, share)))
    assert at(sg.cosine_distance(p, 2 * p)) < 1e-15


def test_a_row_of_zeros_has_no_direction():
    given = {"p": np.zeros((2, 3)), "t": np.eye(3)[:2]}
    assert values.of(sg.cosine_distance(p, t), given) == 1
    assert np.isfinite(values.of(GRADIENTS["cosine_distance"][0], given)).all()
    assert np.isfinite(values.of(sg.simplify(GRADIENTS["cosine_distance"][0]), given)).all()


def test_against_pytorch():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    _a, b, var, counts, one, part, w = map(torch.tensor, (P, T, V, M, SIDE, SHARE, WEIGHTS))
    labels, z = torch.tensor(Y), torch.tensor(P, requires_grad=True)
    theirs = {
        "huber": F.huber_loss(z, b), "huber 2.5": F.huber_loss(z, b, delta=2.5),
        "kl_divergence": F.kl_div(F.log_softmax(z, 1), part, reduction="batchmean"),
        "poisson_nll": F.poisson_nll_loss(z, counts, log_input=True),
        "gaussian_nll": F.gaussian_nll_loss(z, b, var, eps=1e-30),
        "cosine_distance": (1 - F.cosine_similarity(z, b)).mean(),
        "smoothed": F.cross_entropy(z, labels, label_smoothing=0.1), "weighted": F.cross_entropy(z, labels, weight=w),
        "both": F.cross_entropy(z, labels, weight=w, label_smoothing=0.1),
        "hinge": F.relu(1 - one * z).mean(), "l1": z.abs().sum(), "l2": (z**2).sum(),
    }  # fmt: skip
    for name, value in theirs.items():
        (gradient,) = torch.autograd.grad(value, z)
        np.testing.assert_allclose(values.of(CASES[name][0], GIVEN), value.item(), rtol=1e-10, err_msg=name)
        np.testing.assert_allclose(values.of(GRADIENTS[name][0], GIVEN), gradient.numpy(), rtol=1e-9, atol=1e-12)
    rate = F.poisson_nll_loss(var, counts, log_input=False, eps=0)
    np.testing.assert_allclose(CASES["poisson_nll, rate"][1], rate.item())


def test_formulas_given_as_text():
    names = {"p": p, "t": t, "share": share, "y": y, "v": v, "w": weights}
    assert sg.parse("huber(p, t, delta=2.5)", names) is CASES["huber 2.5"][0]
    assert sg.parse("kl_divergence(p, share, from_logits=True)", names) is CASES["kl_divergence, logits"][0]
    assert sg.parse("softmax_cross_entropy(p, y, label_smoothing=0.1)", names) is CASES["smoothed"][0]
    assert sg.parse("softmax_cross_entropy(p, y, class_weights=w)", names) is CASES["weighted by an expression"][0]
    assert sg.parse("gaussian_nll(p, t, v) + 0.01*l2(p)", names).shape == ()
    assert all(getattr(sg, name) is function for name, function in more_losses.table().items())


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: sg.huber(p, y), ["huber", "p (N, 3)", "y (N,)", "reshape"]),
        (lambda: sg.huber(p, t, delta=0), ["delta", "0"]),
        (lambda: sg.huber(p, t, delta=math.inf), ["delta", "inf"]),
        (lambda: sg.log_cosh(p, sg.variable("o", ("N", 4))), ["log_cosh", "o (N, 4)"]),
        (lambda: sg.kl_divergence(p, y), ["kl_divergence", "y (N,)"]),
        (lambda: sg.binary_focal_loss(p, t, gamma=-1), ["gamma", "-1"]),
        (lambda: sg.cosine_distance(p, t, axis=2), ["axis 2"]),
        (lambda: sg.softmax_cross_entropy(p, y, label_smoothing=1.0), ["label_smoothing", "1.0"]),
        (lambda: sg.softmax_cross_entropy(p, y, class_weights=[1.0, 2.0]), ["class_weights", "(2,)", "3 classes"]),
        (lambda: sg.cross_entropy(p, y, class_weights=2.0), ["cross_entropy", "class_weights", "vector"]),
        (lambda: sg.softmax_cross_entropy(sg.softmax(p), y, 0.1), ["softmax already"]),
    ],
)  # fmt: skip
def test_what_is_refused(act, words):
    with pytest.raises(sg.ExpressionError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)
