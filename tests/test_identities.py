"""Identities: each fires and keeps value and gradient, each is needed by a golden formula; cost; stability."""

import dataclasses

import golden_formulas
import mpmath
import numpy as np
import pytest
import random_expressions

import symgrad as sg
from symgrad.calculus import gradient
from symgrad.calculus.engine import Simplifier
from symgrad.calculus.identities import ALL, STABLE
from symgrad.calculus.simplify import simplified
from symgrad.expression import ops
from symgrad.expression.node import leaves, make, topological
from symgrad.expression.parse import parse
from symgrad.expression.scalars import REAL
from symgrad.interpreter import evaluate_all

each = pytest.mark.parametrize("identity", ALL, ids=lambda identity: identity.name)

LEAVES = {name: sg.variable(name, (5,)) for name in "abc"} | {
    "m": sg.variable("m", (4, 3)),
    "v": sg.variable("v", (4,)),
    "w": sg.variable("w", (4,)),
    "x": sg.variable("x", ("N", 3)),
    "y": sg.labels("y", (4,), classes=3),
}
WINDOWS = sg.windows(LEAVES["m"], 1, 2)
NOT_IN_TEXT = {
    "plain adjoint": [make(ops.Named("delta_h", adjoint=True), LEAVES["v"])],
    "slice of everything": [make(ops.Slice(0, 0, 1, 4), LEAVES["m"])],
    "padding below windows": [make(ops.Pad(0, 1, 1, 6), WINDOWS), make(ops.Pad(2, 0, 2, 5), sg.windows(LEAVES["m"], 0, 2))],
    "turned kernel": [
        make(ops.Overlap(1, 4, 1, 1), sg.einsum("no,k->nok", LEAVES["m"], LEAVES["v"][:2])),
        make(ops.Overlap(1, 6, 2, 1), sg.einsum("no,k->nok", LEAVES["m"][:, :2], LEAVES["v"][:3])),
    ],
}
"""Examples of what a formula given as text cannot say: only the sweep names adjoints, and makes overlapping sums."""


def examples(identity):
    return [parse(text, LEAVES) for text in identity.examples] + NOT_IN_TEXT.get(identity.name, [])


def arrays_for(expression, rng):
    sizes, found = {"N": 6}, {}
    for name, leaf in leaves([expression, LEAVES["x"]]).items():  # x tells N, which a step may contain without it
        shape = [sizes.get(s, s) for s in leaf.shape]
        found[name] = rng.uniform(0.2, 1.8, shape) if leaf.kind == REAL else rng.integers(0, 3, shape)
    return found


def unaided(loss, wrt, monkeypatch):
    """Gradients without any identity."""
    with monkeypatch.context() as patch:
        patch.setattr(gradient, "STABLE", ())
        return sg.gradient(loss, wrt)


def assert_kept(before, after, monkeypatch):
    """The same shape and kind, the same value and gradient on random bindings."""
    assert (after.shape, after.kind) == (before.shape, before.kind)
    wrt = [leaf for leaf in leaves([before]).values() if leaf.kind == REAL and leaf.name in leaves([after])]
    pairs = [LEAVES["x"], before, after]
    if wrt:
        pairs += unaided(sg.sum(sg.tanh(before)), wrt, monkeypatch) + unaided(sg.sum(sg.tanh(after)), wrt, monkeypatch)
    for seed in range(3):
        found = evaluate_all(pairs, arrays_for(before, np.random.default_rng(seed)))
        np.testing.assert_allclose(found[2], found[1], rtol=1e-12)
        for one, other in zip(found[3 : 3 + len(wrt)], found[3 + len(wrt) :], strict=True):
            assert np.isfinite(one).all()
            np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)


def test_names_are_distinct_and_every_identity_has_an_example():
    assert len({identity.name for identity in ALL}) == len(ALL)
    assert [identity.name for identity in ALL if not examples(identity)] == []
    assert set(STABLE) <= set(ALL)
    assert all(" = " in str(identity) for identity in ALL)


@each
def test_examples_fire_under_their_own_name_and_keep_value_and_gradient(identity, monkeypatch):
    for before in examples(identity):
        engine = Simplifier(ALL)
        after = engine.run(before)
        fired = [step for step in engine.rewrites if step.identity is identity]
        assert fired, f"{before} becomes {after} by {[step.identity.name for step in engine.rewrites]}"
        assert_kept(before, after, monkeypatch)
        for step in fired:
            assert_kept(step.before, step.after, monkeypatch)


def test_a_wrong_identity_is_caught(monkeypatch):
    a = LEAVES["a"]
    for before, after in [(sg.log(1 + a), sg.log1p(2 * a)), (a * 1, a + 1e-9), (sg.sum(a), a)]:
        with pytest.raises(AssertionError):
            assert_kept(before, after, monkeypatch)
    broken = dataclasses.replace(ALL[0], ops=(ops.Softmax,), rewrite=lambda node: sg.sum(node))
    with pytest.raises(AssertionError):
        Simplifier([broken]).run(sg.softmax(a))


@pytest.mark.parametrize("key", golden_formulas.GOLDEN)
def test_golden_formula(key):
    assert golden_formulas.formulas_of(key) == golden_formulas.EXPECTED[key]


@each
def test_deleting_any_one_identity_changes_a_golden_formula(identity):
    without = [other for other in ALL if other is not identity]
    changed = (key for key in golden_formulas.GOLDEN
               if golden_formulas.formulas_of(key, without) != golden_formulas.EXPECTED[key])  # fmt: skip
    assert next(changed, None) is not None, f"no golden formula needs {identity.name}"


@pytest.mark.parametrize("key", golden_formulas.GOLDEN)
def test_simplify_is_done_after_one_run(key):
    once = list(golden_formulas.results(key))
    again = simplified(once)
    assert all(a is b for a, b in zip(again.expressions, once, strict=True)), [s.identity.name for s in again.steps]


def test_what_is_positive_stays_so_when_repeated():
    """exp(-(t^0.5)²) is exp(-t) for t that stands in rows, in the first run as in the second."""
    t = sg.broadcast_to(sg.variable("x", (3,)), (4, 3)) ** 2 + 0.5
    once = sg.simplify(sg.sum(sg.exp(-((t**0.5) ** 2))))
    assert sg.simplify(once) is once and "^0.5" not in sg.formula(once)


def test_simplify_ends_on_random_expressions():
    for number in range(100):
        sample = random_expressions.make(number)
        result = simplified([sample.loss, *sg.gradient(sample.loss, sample.wrt)])
        again = simplified(result.expressions)
        assert [e for e, f in zip(result.expressions, again.expressions, strict=True) if e is not f] == [], number


def test_cost_is_linear_in_depth():
    def count(depth):
        h, parameters = sg.variable("x", ("N", 3)), []
        for layer in range(depth):
            weights, b = sg.parameter(f"W{layer}", (3, 3)), sg.parameter(f"b{layer}", (3,))
            h = sg.tanh(h @ weights + b)
            parameters += [weights, b]
        record = gradient.derive(sg.mean_squared_error(h, sg.variable("t", ("N", 3))), parameters)
        result = simplified(record.gradients, within=[record.loss])
        return np.array([len(result.steps), len(topological(record.gradients)), len(topological(result.expressions))])

    five, ten, twenty, forty = map(count, (5, 10, 20, 40))
    per_layer = (ten - five) / 5
    assert (per_layer < 40).all()
    for deep, shallow, layers in ((twenty, ten, 10), (forty, twenty, 20)):
        np.testing.assert_array_equal(deep - shallow, per_layer * layers)


# Naive forms over four numbers `a` (and `b`), what they mean to many digits, and the points where the naive form fails.
LARGE, SMALL, POSITIVE = (-1000.0, -40.0, 2.0, 1000.0), (1e-20, -3e-18, 0.5, 1e-12), (1e-20, 0.5, 40.0, 1000.0)
exp, log = mpmath.exp, mpmath.log
NAIVE = [
    ("log(exp(a)/sum(exp(a)))", lambda a: [e - log(sum(map(exp, a))) for e in a], LARGE),
    ("log(softmax(a))", lambda a: [e - log(sum(map(exp, a))) for e in a], LARGE),
    ("log(reshape(softmax(a), (2, 2)).T)", lambda a: [a[i] - log(sum(map(exp, a))) for i in (0, 2, 1, 3)], LARGE),
    ("exp(a)/sum(exp(a))", lambda a: [exp(e) / sum(map(exp, a)) for e in a], LARGE),
    ("exp(log_softmax(a)) + exp(a)/sum(exp(a))", lambda a: [2 * exp(e) / sum(map(exp, a)) for e in a], LARGE),
    ("log(sum(exp(a)))", lambda a: [log(sum(map(exp, a)))], LARGE),
    ("log(exp(a) + exp(b))", lambda a: [log(exp(e) + exp(-e / 2)) for e in a], LARGE),
    ("log(1 + exp(a))", lambda a: [log(1 + exp(e)) for e in a], LARGE),
    ("log(sigmoid(a))", lambda a: [-log(1 + exp(-e)) for e in a], LARGE),
    ("log(1 - sigmoid(a))", lambda a: [-log(1 + exp(e)) for e in a], LARGE),
    ("log(1/(1 + exp(-a)))", lambda a: [-log(1 + exp(-e)) for e in a], LARGE),
    ("1 - sigmoid(a)", lambda a: [1 / (1 + exp(e)) for e in a], (-1000.0, 2.0, 40.0, 1000.0)),
    ("1/(1 + exp(-a))", lambda a: [1 / (1 + exp(-e)) for e in a], LARGE),
    ("exp(a)/(1 + exp(a))", lambda a: [1 / (1 + exp(-e)) for e in a], LARGE),
    ("exp(a)*sigmoid(-a)", lambda a: [1 / (1 + exp(-e)) for e in a], LARGE),
    ("(exp(a) - exp(-a))/(exp(a) + exp(-a))", lambda a: [mpmath.tanh(e) for e in a], (-1000.0, 0.5, 2.0, 1000.0)),
    ("log(exp(a))", lambda a: list(a), LARGE),
    ("-(b*log(sigmoid(a)) + (1 - b)*log(1 - sigmoid(a)))", lambda a: [log(1 + exp(e)) + e / 2 * e for e in a], LARGE),
    ("log(1 + a)", lambda a: [log(1 + e) for e in a], SMALL),
    ("log(1 - a)", lambda a: [log(1 - e) for e in a], SMALL),
    ("exp(a) - 1", lambda a: [exp(e) - 1 for e in a], SMALL),
    ("log(1 - exp(-a))", lambda a: [log(1 - exp(-e)) for e in a], POSITIVE),
    ("log(-(exp(-a) - 1))", lambda a: [log(1 - exp(-e)) for e in a], POSITIVE),
    ("sigmoid(log(a/(1 - a)))", lambda a: list(a), (1.0, 0.0, 0.5, 1e-300)),
]
WEIGHTS = [0.75, -1.5, 1.25, 0.5]  # exact, so that the gradient is one of a generic weighted sum


def stable_and_naive(text):
    """[value, gradient] of the weighted sum's argument: simplified, and as written without any identity."""
    a = sg.parameter("a", (4,))
    written = parse(text, {"a": a, "b": -a / 2})
    weights = np.array(WEIGHTS[: int(np.prod(written.shape))]).reshape(written.shape)
    loss = sg.sum(written * weights)
    simple = sg.simplify([written, sg.gradient(loss, a)])
    with pytest.MonkeyPatch.context() as patch:
        return simple, [written, unaided(loss, [a], patch)[0]]


def reference(meaning, points):
    """Value and gradient with so many digits that nothing overflows or cancels."""
    with mpmath.workdps(2000):
        at = [mpmath.mpf(p) for p in points]
        step = mpmath.mpf(10) ** -600

        def total(i, shift):
            moved = [p + shift if j == i else p for j, p in enumerate(at)]
            return sum(c * f for c, f in zip(WEIGHTS, meaning(moved), strict=False))

        slopes = [(total(i, step) - total(i, -step)) / (2 * step) for i in range(len(at))]
        return [np.array([float(f) for f in meaning(at)]), np.array([float(f) for f in slopes])]


@pytest.mark.parametrize(("text", "meaning", "points"), NAIVE, ids=[text for text, _, _ in NAIVE])
def test_naive_forms_are_right_where_they_overflow_or_cancel(text, meaning, points):
    simple, naive = stable_and_naive(text)
    array = {"a": np.array(points)}
    with np.errstate(all="ignore"):
        before, after = evaluate_all(naive, array), evaluate_all(simple, array)
    wrong = False
    for got, was, want in zip(after, before, reference(meaning, points), strict=True):
        np.testing.assert_allclose(np.ravel(got), want, rtol=1e-12, atol=1e-300)
        wrong |= not np.allclose(np.ravel(was), want, rtol=1e-6, atol=1e-300)
    assert wrong, "the naive form is right here too: choose other points"


def test_naive_forms_in_single_precision_kernels():
    """The same by one float32 kernel at 100, where exp overflows single precision."""
    points = (-100.0, 1.5, 30.0, 100.0)
    rows = [(text, meaning) for text, meaning, where in NAIVE if where is LARGE]
    a, wanted, expressions = sg.parameter("a", (4,)), [], []
    for text, meaning in rows:
        written = parse(text, {"a": a, "b": -a / 2})
        weights = np.array(WEIGHTS[: int(np.prod(written.shape))]).reshape(written.shape)
        expressions += [written, sg.gradient(sg.sum(written * weights), a)]
        wanted += reference(meaning, points)
    kernel = sg.compile(expressions, dtype="float32")
    for (text, _), got, want in zip(np.repeat(rows, 2, axis=0), kernel(a=np.array(points)), wanted, strict=True):
        np.testing.assert_allclose(np.ravel(got), want, rtol=2e-5, atol=1e-6, err_msg=text)
