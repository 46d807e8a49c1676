"""The stamp under printed formulas: it holds for what is right, and catches every rule that is wrong on purpose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import symgrad as sg
from symgrad.calculus import rules
from symgrad.expression import ops, scalars
from symgrad.expression.node import make
from symgrad.proof import points, shrink

CASES = [
    (row.name, i)
    for row in scalars.ROWS
    for i, text in enumerate(row.pullback)
    if text and row.name not in ("add", "multiply")
]
FLAT = ("sign", "floor")  # derivative 0: a sign or a factor changes nothing


def loss_of(row: scalars.Scalar) -> tuple[sg.Expr, list[sg.Expr]]:
    """A loss through one scalar function of named parameters."""
    count = abs(row.arity)
    leaves = [sg.parameter(f"a{i}", (3, 4)) for i in range(count)]
    args = [leaves[0] > 0.7, *leaves[1:]] if row.name == "where" else leaves
    return sg.sum(make(ops.Elementwise(row.name), *args) * np.arange(1.0, 13).reshape(3, 4)), leaves[
        1:
    ] if row.name == "where" else leaves


@pytest.mark.parametrize(("name", "position"), CASES)
def test_a_wrong_scalar_rule_is_caught_and_named(name, position, monkeypatch):
    row = scalars.TABLE[name]
    loss, leaves = loss_of(row)
    assert sg.check(loss, leaves).differences < 1e-7
    changes = ["-({})", "2 * ({})"] if name not in FLAT else ["({}) + g"]
    for change in changes:
        texts = list(row.pullback)
        texts[position] = change.format(texts[position])
        monkeypatch.setitem(scalars.TABLE, name, dataclasses.replace(row, pullback=tuple(texts)))
        with pytest.raises(sg.GradientError, match=f"the rule '{name}' is wrong"):
            sg.check(loss, leaves)
    monkeypatch.setitem(scalars.TABLE, name, row)


A, B = sg.parameter("A", (3, 4)), sg.parameter("B", (4, 2))
INDEX = sg.variable("i", (5,), dtype="int64")
TENSOR = {
    ops.Softmax: sg.sum(sg.softmax(A) * A),
    ops.LogSumExp: sg.sum(sg.tanh(sg.logsumexp(A))),
    ops.Reduce: sg.sum(sg.tanh(sg.max(A, axis=1))),
    ops.Reshape: sg.sum(sg.reshape(sg.tanh(A), (2, 6)) ** 3),
    ops.Take: sg.sum(sg.tanh(sg.take(A, INDEX))),
    ops.Scatter: sg.sum(sg.tanh(sg.scatter(sg.parameter("C", (5, 2)), INDEX, 3))),
    ops.Named: sg.sum(sg.tanh(A).named("h") ** 2),
    ops.Contraction: sg.sum(sg.tanh(A @ B)),
}


@pytest.mark.parametrize("op", TENSOR, ids=lambda op: op.__name__)
@pytest.mark.parametrize("factor", [-2, 0.5])
def test_a_wrong_tensor_rule_is_caught(op, factor, monkeypatch):
    loss = TENSOR[op]
    wrt = [leaf for name, leaf in sg.expression.node.leaves([loss]).items() if name != "i"]
    assert sg.check(loss, wrt).direction < 1e-6
    rule = rules.TABLE[op]

    def wrong(node, y, g, i):
        found = rule.pullback(node, y, g, i)
        return None if found is None else factor * found

    monkeypatch.setitem(rules.TABLE, op, dataclasses.replace(rule, pullback=wrong))
    monkeypatch.setattr(rules, "_contraction", wrong if op is ops.Contraction else rules._contraction)
    with pytest.raises(sg.GradientError, match="is wrong at"):
        sg.check(loss, wrt)


def test_a_transposed_product_rule_is_caught(monkeypatch):
    """A square product whose adjoint comes back transposed: shapes cannot tell, values can."""
    square = sg.parameter("S", (4, 4)), sg.parameter("T", (4, 4))
    loss, right = sg.sum(sg.tanh(square[0] @ square[1])), rules._contraction
    monkeypatch.setattr(
        rules, "_contraction", lambda node, y, g, i: right(node, y, g, i).T if node.ndim == 2 else right(node, y, g, i)
    )
    with pytest.raises(sg.GradientError, match="matrix product"):
        sg.check(loss, square)


def test_a_sum_over_the_wrong_axis_is_caught(monkeypatch):
    bias = sg.parameter("b", (4,))
    loss, right = sg.sum(sg.tanh(sg.parameter("M", (4, 4)) + bias)), rules.unbroadcast
    monkeypatch.setattr(
        rules, "unbroadcast", lambda a, t: sg.sum(a, axis=1) if a.ndim == 2 and t.ndim == 1 else right(a, t)
    )
    with pytest.raises(sg.GradientError, match="check"):
        sg.check(loss, bias)


@pytest.mark.parametrize("name", ["mnist_mlp", "mnist_mlp_deep", "softmax_regression"])
def test_shipped_models_are_proven_line_by_line(name):
    model = __import__(f"symgrad.models.{name}", fromlist=["model"]).model()
    stamp = sg.check(model.loss, list(model.parameters.values()))
    assert stamp.lines >= len(model.parameters) and not stamp.unjudged and not stamp.reason
    assert stamp.differences < 1e-9 and stamp.direction < 1e-9


def test_shrinking_keeps_equal_sizes_equal():
    x, w = sg.variable("x", ("N", 784)), sg.parameter("w", (784, 512))
    small = shrink.shrink([x @ w, w])
    assert small.expressions[1].shape == (small.table[784], small.table[512]) and small.table["N"] in shrink.SMALL


def test_what_cannot_be_shrunk_is_said():
    x = sg.parameter("x", (4, 6))
    stamp = sg.check(sg.sum(sg.reshape(sg.tanh(x), (3, 8)) ** 2), x)
    assert "reshape" in stamp.reason and "not shrunk" in str(stamp)


def test_points_respect_kinds_and_labels():
    y = sg.labels("y", ("N",), classes=2)
    values = points.point(
        [sg.sum(sg.one_hot(y, 2)), sg.sum(sg.log(sg.parameter("p", (50,))))], np.random.default_rng(0)
    )
    assert set(values["y"]) <= {0, 1} and (values["p"] > 0).all()


def test_what_rows_are_declared_to_sum_to_is_kept_in_every_check():
    """The gradient of a cross-entropy with probabilities as targets uses that they sum to one."""
    z, share = sg.parameter("z", ("N", 3)), sg.variable("share", ("N", 3), normalized=True)
    stamp = sg.check(sg.mean(sg.sum(-share * sg.log(sg.softmax(z)), axis=1)), z)
    assert stamp.lines == 1 and not stamp.unjudged


@pytest.mark.parametrize("text", [
    "sum(cholesky(A))", "logdet(A)", "sum(cholesky(A @ A.T))", "log(determinant(A))", "sum(solve(A, A.T))", "sum(sqrt(cholesky(A @ A.T + identity(3))**2))",
])  # fmt: skip
def test_matrices_that_must_be_definite_get_points_at_which_they_are(text):
    A = sg.parameter("A", (3, 3))
    stamp = sg.check(sg.parse(text, {"A": A}), [A])
    assert stamp.differences < 1e-7 and stamp.entries > 0
