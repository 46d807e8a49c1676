"""What people write naively stays finite: in the value, in the gradient and in the second derivative; and `derive` says so."""

from __future__ import annotations

import numpy as np
import pytest

import symgrad as sg
from symgrad.calculus.engine import Simplifier
from symgrad.calculus.gradient import derive
from symgrad.calculus.identities import STABLE
from symgrad.expression.parse import parse
from symgrad.formulas.overflow import witness

# (naive text, the points, value there in exact arithmetic or None)
NAIVE = [
    ("log(1 + exp(a))", [1000, -1000, 40, -40], lambda a: np.logaddexp(0, a)),
    ("log(sigmoid(a))", [1000, -1000], lambda a: min(a, 0)),
    ("log(1 - sigmoid(a))", [1000, -1000], lambda a: -max(a, 0)),
    ("1/(1 + exp(-a))", [1000, -1000], lambda a: float(a > 0)),
    ("exp(a)/(1 + exp(a))", [1000, -1000], lambda a: float(a > 0)),
    ("exp(a)*sigmoid(-a)", [1000, -1000], lambda a: float(a > 0)),
    ("(exp(a) - exp(-a))/(exp(a) + exp(-a))", [1000, -1000], np.sign),
    ("sinh(a)/cosh(a)", [1000, -1000], np.sign),
    ("log(cosh(a))", [1000, -1000], lambda a: abs(a) - np.log(2)),
    ("log(exp(a) + exp(-a))", [1000, -1000], abs),
    ("log(exp(a)*exp(a))", [1000, -1000], lambda a: 2 * a),
    ("log(sqrt(exp(a)))", [1000, -1000], lambda a: a / 2),
    ("log(exp(a))", [1000, -1000], lambda a: a),
    ("exp(a) - 1", [1e-20, -1e-20], lambda a: a),
    ("1 - exp(a)", [1e-20, -1e-20], lambda a: -a),
    ("log(1 + a)", [1e-20], lambda a: a),
    ("log(1 - a)", [1e-20], lambda a: -a),
    ("log(1 - exp(-a))", [1e-20, 50], lambda a: np.log(-np.expm1(-a)) if a < 1 else np.log1p(-np.exp(-a))),
    ("log(1 - erf(a))", [100], lambda a: -a * a - np.log(a * np.sqrt(np.pi)) + np.log1p(-0.5 / a**2)),
    ("log((1 + erf(a))/2)", [-100], lambda a: -a * a - np.log(-2 * a * np.sqrt(np.pi)) + np.log1p(-0.5 / a**2)),
    ("1 - sigmoid(a)", [40], lambda a: np.exp(-a)),
]  # fmt: skip
ROWS = [
    "log(softmax(m))",
    "log(softmax(m).T)",
    "log(take(softmax(m), i, axis=1))",
    "log(exp(m)/sum(exp(m), axis=1, keepdims=True))",
    "log(sum(exp(m), axis=1))",
    "exp(m)/sum(exp(m), axis=1, keepdims=True)",
    "exp(m - logsumexp(m, axis=1, keepdims=True))",
    "-one_hot(y, 3)*log(softmax(m))",
]


@pytest.mark.parametrize(("text", "points", "true"), NAIVE, ids=[text for text, _, _ in NAIVE])
def test_naive_scalars(text, points, true):
    a = sg.parameter("a")
    written = parse(text, {"a": a})
    value, slope = sg.simplify([written, sg.gradient(written, a)])
    bend = sg.hessian(written, a)
    for x in points:
        given = {"a": float(x)}
        assert np.isclose(sg.evaluate(value, given), true(x), rtol=1e-12, atol=1e-300)
        for derivative in (slope, bend):
            found = sg.evaluate(derivative, given if "a" in str(derivative) else {})
            assert np.isfinite(found), (derivative, x, found)
        kernel = sg.compile([value, slope], dtype="float32") if abs(x) < 1e4 else None
        assert kernel is None or np.isfinite(kernel(given)).all()


@pytest.mark.parametrize("text", ROWS)
def test_naive_rows(text):
    m = sg.parameter("m", (2, 3))
    names = {"m": m, "i": sg.constant(np.array([0, 2])), "y": sg.constant(np.array([0, 2]))}
    written = parse(text, names)
    value, slope = sg.simplify([written, sg.gradient(sg.sum(written * written), m)])
    bend = sg.hessian(sg.sum(written * written), m)
    at = {m: np.array([[1000.0, 0, -1000], [-800, 900, 100]])}
    for expression in (value, slope, bend):
        assert np.isfinite(sg.evaluate(expression, at)).all(), expression


def test_every_stable_form_has_an_input_at_which_it_is_needed_or_is_listed():
    """What a form spares is found by trying numbers; the others only rearrange what another form then makes stable."""
    a, b, m = sg.variable("a"), sg.variable("b"), sg.variable("m", (4, 3))
    known = {"a": a, "b": b, "m": m, "v": sg.variable("v", (3,)), "y": sg.labels("y", (4,), classes=3)}
    needed = set()
    for identity in STABLE:
        for example in identity.examples:
            engine = Simplifier(STABLE)
            engine.run(parse(example, known))
            needed |= {r.identity.name for r in engine.rewrites if witness(r) is not None}
    rearrangements = {"softmax from log-softmax", "log1mexp", "erfc", "erfc reflected", "log of a product", "exp of log", "exp of log1p",
                      "sigmoid of logit", "binary cross-entropy", "log of a moved softmax", "shift of softmax",
                      "shift of logsumexp"}  # fmt: skip
    assert {i.name for i in STABLE} - needed == rearrangements


def test_derive_says_what_fired_and_what_it_spares():
    z = sg.parameter("z", ("N", 4))
    naive = sg.exp(z) / sg.sum(sg.exp(z), axis=1, keepdims=True)
    shown = str(sg.derivation(-sg.mean(sg.log(naive)), z))
    assert "softmax: exp(a) / sum(exp(a)) = softmax(a)" in shown
    assert "as written it is nan where z = 1000; in this form 0.25" in shown
    assert "as written it is -inf where an entry of z is 1000, the others 0; in this form -1000" in shown


def test_a_rewrite_that_spares_nothing_says_nothing():
    a = sg.parameter("a")
    record = derive(sg.exp(sg.log(a)), [a])
    assert [r.identity.name for r in record.rewrites] == ["exp of log"] and witness(record.rewrites[0]) is None
