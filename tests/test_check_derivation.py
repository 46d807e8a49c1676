"""Check my derivation: right ones are never accused, wrong ones never accepted, and the cause is named."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys

import hand_derivations as hand
import pytest

import symgrad as sg
from symgrad.proof.causes import CAUSES

build = functools.cache(lambda function: function())


def verdict(derivation, text):
    loss, parameters, names = build(derivation.build)
    return sg.check_derivation(loss, parameters[derivation.wrt], text, names)


@pytest.mark.parametrize(("case", "text"), [(c, t) for c, texts in hand.RIGHT.items() for t in texts])
def test_right_derivations_are_never_accused(case, text):
    loss, parameters, names = build(case[0])
    found = sg.check_derivation(loss, parameters[case[1]], text, names)
    assert found, str(found)
    assert found.points and str(found).startswith("right: ")


@pytest.mark.parametrize("derivation", hand.DERIVATIONS, ids=lambda d: f"{d.build.__name__}-{d.wrt}")
def test_what_faults_are_planted_into_is_right(derivation):
    assert verdict(derivation, derivation.text)


@pytest.mark.parametrize("function", [hand.mnist_mlp, hand.deep_tanh, hand.ridge, hand.logistic, hand.one_sample])
def test_gradients_as_expressions(function):
    loss, parameters, _ = build(function)
    for parameter in list(parameters.values())[:2]:
        derived = sg.gradient(loss, parameter)
        shown = sg.simplify(derived)
        assert sg.check_derivation(loss, parameter, derived) and sg.check_derivation(
            loss, parameter, 2 * shown - derived
        )
        wrong = sg.check_derivation(loss, parameter, 2 * shown)
        assert not wrong and "2" in wrong.causes[0]
        if parameter.ndim == 2:
            assert "transposed" in sg.check_derivation(loss, parameter, shown.T).causes[0]


@pytest.mark.parametrize(("count", "size"), [(1, 60), (2, 24)])
def test_causes_are_named(count, size):
    """Seeded: of derivations with one and with two faults, at least nine in ten causes."""
    missed = []
    for derivation, text, patterns in hand.sample(count, size, seed=2):
        found = verdict(derivation, text)
        assert not found.correct, f"accepted: {text}"
        said = "; ".join(found.causes)
        if not all(re.search(pattern, said) for pattern in patterns):
            missed.append(f"{text}: {said or 'no cause'}; wanted {patterns}")
        if found.causes:
            assert verdict(derivation, found.corrected), f"{text} is not put right by {found.corrected}"
    assert len(missed) <= size / 10, "\n".join(missed)


def test_the_verdict_says_where_and_what():
    derivation = hand.DERIVATIONS[0]
    found = verdict(derivation, "x.T @ (p - y)")
    assert (
        found.entry == (0, 0)
        and found.given == pytest.approx(found.true * 3, rel=1e-9)
        and found.at.startswith("N → 3")
    )
    assert found.causes == ("the factor 1/N is missing, or N is too many",) and found.corrected == "x.T @ (p - y) / N"
    text = str(found)
    assert text.startswith("wrong: ∂L/∂W is not x.T @ (p - y)\n  entry [0, 0] is ") and "right is: " in text


def test_shapes_in_the_users_sizes():
    softmax = hand.DERIVATIONS[0]
    assert "cannot multiply  x (N, 784)" in verdict(softmax, "x @ (p - y) / N").shape
    found = verdict(hand.Derivation(hand.softmax_regression, "b", "", ()), "(p - y) / N")
    assert found.shape == "it has shape (N, 10), the derivative has that of b, (10,)"
    assert "the sum over N is missing" in found.causes[0] and found.entry is None


def test_wrong_only_at_a_kink():
    derivation = hand.Derivation(hand.mnist_mlp, "W1", "", ())
    found = verdict(derivation, "x.T @ (delta_h * (net >= 0))")
    assert found.kink == "net = 0" and "equal everywhere but at kinks" in str(found)
    assert found.causes == ("the mask is wrong at the kink, where net == 0: net > 0 is meant",)
    assert verdict(derivation, "x.T @ (delta_h * h / net)")  # has no value at the kink, which is no fault


def test_an_assumption_is_named():
    x, y, W = sg.variable("x", ("N", 4)), sg.variable("y", ("N", 3)), sg.parameter("W", (4, 3))
    z = (x @ W).named("z")
    found = sg.check_derivation(sg.softmax_cross_entropy(z, y), W, "x.T @ (softmax(z) - y) / N")
    assert not found and "normalized=True" in found.causes[0]


def test_no_cause_is_said_honestly():
    found = verdict(hand.Derivation(hand.logistic, "w", "", ()), "sin(w) * cos(w)")
    assert not found and not found.causes
    assert f"none of the {found.tried:,} repairs that were tried makes it right" in str(found)


def test_adjoints_and_what_is_computed():
    loss, _, _ = build(hand.logistic)
    parts = {
        node.name: node
        for node in sg.expression.node.topological([loss])
        if isinstance(node.op, sg.expression.ops.Named)
    }
    assert sg.check_derivation(loss, parts["net"], "(p - y) / N")
    assert sg.check_derivation(loss, parts["p"], "(p - y) / (p * (1 - p)) / N")
    assert sg.check_derivation(loss, parts["net"], "delta_p * p * (1 - p)")


def test_mistakes_of_the_text():
    loss, parameters, _ = build(hand.mnist_mlp)
    with pytest.raises(sg.ExpressionError, match=r"(?s)q has no meaning here; there are .*net, h, z.*column 8"):
        sg.check_derivation(loss, parameters["W2"], "h.T @ (q - y)")
    with pytest.raises(sg.ExpressionError, match="column 7"):
        sg.check_derivation(loss, parameters["W2"], "h.T @ (z - y")
    with pytest.raises(sg.ExpressionError, match="there is no function softmux"):
        sg.check_derivation(loss, parameters["W2"], "h.T @ softmux(z)")
    with pytest.raises(sg.ExpressionError, match="the loss does not contain stranger"):
        sg.check_derivation(loss, parameters["W2"], sg.variable("stranger", (512, 10)) * 2)


def test_the_table_of_causes_is_complete():
    """Every kind of fault has a name of its own, and undoes something."""
    assert len({cause.name for cause in CAUSES}) == len(CAUSES) and all(cause.about for cause in CAUSES)


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "symgrad", "check", *words], capture_output=True, text=True, timeout=120
    )


def test_on_the_command_line():
    wrong = command("mnist-mlp", "--wrt", "W2", "--against", "h.T @ (p - y)", "--where", "p=softmax(z)")
    assert wrong.returncode == 1 and "the factor 1/N is missing" in wrong.stdout
    right = command("mnist-mlp", "--wrt", "W2", "--against", "h.T @ (output - y) / N", "--json")
    assert right.returncode == 0 and json.loads(right.stdout)["correct"] is True
    text = ("--expression", "sum((X @ w - y)**2)", "--shape", "X=m,n", "--shape", "w=n", "--shape", "y=m")
    assert command(*text, "--wrt", "w", "--against", "2 * X.T @ (X @ w - y)").returncode == 0
    twice = command("mnist-mlp", "--wrt", "W2", "--wrt", "W1", "--against", "h")
    assert twice.returncode == 78 and "one derivation is checked at a time" in twice.stderr
    assert command().returncode == 78 and command("mnist-mlp", "--wrt", "Q", "--against", "h").returncode == 66


@pytest.mark.parametrize(("text", "draft", "right"), [
    ("logdet(A)", "inverse(A).T", True), ("logdet(A)", "inverse(A)", False), ("sum(cholesky(A))", "cholesky(A)", False),
    ("determinant(A)", "determinant(A)*inverse(A.T)", True),
])  # fmt: skip
def test_a_draft_is_judged_where_its_matrices_have_a_value(text, draft, right):
    A = sg.parameter("A", (3, 3))
    verdict = sg.check_derivation(sg.parse(text, {"A": A}), A, draft)
    assert verdict.correct is right
