"""Expressions: interning, construction as written, kinds, sizes, and errors at the line that wrote them."""

import copy
import gc
import pickle
import sys

import numpy as np
import pytest

import symgrad as sg
from symgrad.expression import ops
from symgrad.expression.node import topological
from symgrad.expression.scalars import ROWS

x, w = sg.variable("x", ("N", 3)), sg.parameter("w", (3, 2))
y, flag = sg.labels("y", ("N",), classes=2), sg.variable("flag", ("N", 3), dtype="bool")
k = sg.variable("k", ("N", 3), dtype="uint8")


def function(node):
    return node.op.function


# the node


def test_equal_expressions_are_one_object():
    assert x @ w is x @ w and sg.tanh(x + 1) is sg.tanh(x + 1)
    assert x + 1 is not 1 + x and hash(x @ w) == hash(x @ w)
    assert (x == x) is True and (x == x + 0) is False and x != w


def test_leaves_have_identity():
    assert sg.parameter("w", (3, 2)) is not w
    assert {x: 1}[x] == 1


def test_nodes_nobody_holds_are_forgotten():
    from symgrad.expression import node

    before = len(node._nodes)
    kept = [sg.sin(x + float(i)) for i in range(1000)]
    assert len(node._nodes) >= before + 1000
    del kept
    gc.collect()
    assert len(node._nodes) < before + 100


def test_construction_builds_what_was_written():
    assert [function(e) for e in (x + 0, x * 1, x - x, --x, x**1, x / 1)] == [
        "add", "multiply", "subtract", "negative", "power", "divide"]  # fmt: skip
    third = (x - 1) / 3
    assert function(third) == "divide" and function(third.args[0]) == "subtract" and len(topological([third])) == 5
    assert len(topological([sg.log(sg.softmax(x))])) == 3
    assert isinstance(x.T.T.op, ops.Contraction) and x.T.T is not x


@pytest.mark.parametrize(
    "values", [(1, 1.0), (0.0, -0.0), (True, 1), (np.float32(0.1), 0.1), (np.int32(1), 1), ([1], [[1]])]
)
def test_constants_keep_their_type_and_every_bit(values):
    a, b = (sg.constant(v) for v in values)
    assert a is not b and a is sg.constant(values[0])
    assert np.asarray(a.op.array).dtype == np.asarray(values[0]).dtype


def test_the_sign_of_zero_survives():
    assert np.signbit(sg.evaluate(sg.constant(-0.0))) and not np.signbit(sg.evaluate(sg.constant(0.0)))
    assert sg.evaluate(1 / (sg.constant(-0.0) * 1)) == -np.inf


@pytest.mark.parametrize("value", ["2", None, object(), 1j, [1, "a"]])
def test_what_is_no_number(value):
    with pytest.raises(sg.ExpressionError, match="number"):
        x + value


OPERATORS = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b, "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b, "less": lambda a, b: a < b, "less_equal": lambda a, b: a <= b, "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
}  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [2, 2.5, True, np.float32(2), np.float64(2), np.int64(2), np.array(2.0), np.arange(1.0, 4), np.ones((4, 3))],
)
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_in_either_order(name, other):
    a = sg.variable("a", (4, 3))
    array = np.linspace(0.1, 3.3, 12).reshape(4, 3)
    for left in (True, False):
        built = OPERATORS[name](a, other) if left else OPERATORS[name](other, a)
        assert isinstance(built, sg.Expr)
        want = OPERATORS[name](array, other) if left else OPERATORS[name](other, array)
        np.testing.assert_array_equal(sg.evaluate(built, {a: array}), want)


def test_matrix_products_with_arrays_and_unary_operators():
    m = np.arange(6.0).reshape(3, 2)
    values = {x: np.ones((4, 3))}
    np.testing.assert_array_equal(sg.evaluate(x @ m, values), np.ones((4, 3)) @ m)
    np.testing.assert_array_equal(sg.evaluate(m.T @ x.T, values), m.T @ np.ones((3, 4)))
    np.testing.assert_array_equal(sg.evaluate(abs(-x), values), 1)
    assert +x is x
    one = sg.variable("one", (3,))
    assert (w.T @ one).shape == (2,) and (one @ w).shape == (2,) and (one @ one).shape == ()
    batch = sg.variable("batch", (5, "N", 3))
    assert (batch @ sg.variable("b", (5, 3, 2))).shape == (5, "N", 2)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: bool(x > 0), ["x > 0", "truth value", "sg.where"]),
        (lambda: 0 if sg.sum(x) else 1, ["truth value"]),
        (lambda: list(x), ["x", "looped", "einsum"]),
        (lambda: 1 in x, ["looped"]),
        (lambda: len(x), ["len()", "(N, 3)"]),
        (lambda: x[[0, 1]], ["indexed", "sg.take"]),
        (lambda: sg.where(x, 1, 0), ["condition", "x is real", "x != 0"]),
        (lambda: sg.take(x, x), ["integers", "x is real"]),
        (lambda: sg.reshape(x, (4, 3)), ["reshape", "x (N, 3)", "(4, 3)"]),
        (lambda: sg.reshape(x, (-1, 2)), ["reshape", "x (N, 3)"]),
        (lambda: sg.sum(x, axis=2), ["axis 2", "x (N, 3)", "0 to 1"]),
        (lambda: sg.sum(x, axis=(0, -2)), ["twice"]),
        (lambda: sg.transpose(x, (0, 0)), ["transpose", "x (N, 3)"]),
        (lambda: sg.einsum("ij,jk", x, w), ["einsum", "arrow"]),
        (lambda: sg.einsum("ij->i", x, w), ["einsum", "1 operands, 2"]),
        (lambda: sg.einsum("ijk->i", x), ["3 indices", "x", "(N, 3)"]),
        (lambda: sg.einsum("ij->ik", x), ["output"]),
        (lambda: x @ 2, ["@", "number", "*"]),
        (lambda: sg.cast(x, "float32"), ["float32", "sg.compile"]),
        (lambda: sg.one_hot(x, 3), ["integers", "x is real"]),
        (lambda: sg.variable("x", 3), ["shape of x", "(512,)"]),
        (lambda: sg.variable("x", (-1,)), ["shape of x", "-1"]),
        (lambda: sg.variable("x", (2.0,)), ["shape of x", "2.0"]),
        (lambda: sg.variable("x", (2,), dtype="U3"), ["x", "uint8"]),
        (lambda: sg.labels("y", ("N",), classes=0), ["classes", "0"]),
    ],
)  # fmt: skip
def test_errors_say_what_and_what_to_do(act, words):
    with pytest.raises(sg.ExpressionError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    "name", ["", "1x", "a b", "lambda", "a.b", "a;b", "__class__", "a" * 65, "x\n", 3, None, "é é"]
)
@pytest.mark.parametrize("declare", [lambda n: sg.variable(n), lambda n: sg.parameter(n), lambda n: x.named(n)])
def test_names_are_identifiers(declare, name):
    with pytest.raises(sg.ExpressionError, match="is not a name"):
        declare(name)


def test_expressions_never_change_and_are_no_files():
    with pytest.raises(AttributeError, match="never changes"):
        x.shape = (1,)
    with pytest.raises(AttributeError, match="no name"):
        _ = (x + 1).name
    assert copy.copy(x) is x and copy.deepcopy([x])[0] is x
    with pytest.raises(TypeError, match="expression_to_json"):
        pickle.dumps(x)
    assert "(N, 3)" in repr(x) and len(repr(sg.sum(sg.tanh(sg.exp(x + 1) @ w) * 2))) < 200


def test_two_leaves_of_one_name_are_an_error_naming_both_lines():
    line = sys._getframe().f_lineno + 1
    first, second = sg.parameter("v", (3,)), sg.parameter("v", (3,))
    for act in (lambda e: sg.evaluate(e, {"v": np.ones(3)}), sg.compile, lambda e: sg.gradient(e, first)):
        with pytest.raises(sg.ExpressionError) as caught:
            act(sg.sum(first * second))
        assert (
            "two different leaves are called v" in str(caught.value)
            and str(caught.value).count(f"test_expression.py:{line}") == 2
        )


def test_deep_graphs_need_no_recursion():
    h = v = sg.variable("v", (2,))
    for i in range(5000):
        h = sg.sin(h) + v if i % 2 else h * 0.5
    loss = sg.sum(h)
    assert len(topological([loss])) > 5000
    gradient = sg.gradient(loss, v)
    given = {v: [0.3, -0.2]}
    want = sg.evaluate(gradient, given)
    np.testing.assert_allclose(sg.evaluate(sg.simplify(gradient), given), want, rtol=1e-12)
    measured = [
        (sg.evaluate(loss, {v: [0.3 + d, -0.2]}) - sg.evaluate(loss, {v: [0.3 - d, -0.2]})) / 2e-6 for d in (1e-6,)
    ]
    np.testing.assert_allclose(want[0], measured, rtol=1e-6)
    assert repr(loss) and sg.expression_from_json(sg.expression_to_json([loss]))[0].shape == ()


def test_every_public_scalar_function_is_a_row():
    for row in ROWS:
        if row.arity == 1 and row.kind != "boolean" and row.name != "negative":
            assert function(getattr(sg, row.name)(x)) == row.name


def test_softmax_of_integers():
    k = sg.variable("k", (3,), dtype="int64")
    np.testing.assert_allclose(sg.evaluate(sg.softmax(k), {k: [0, 0, 0]}), 1 / 3)
    np.testing.assert_allclose(sg.evaluate(sg.logsumexp(k), {k: [2, 2, 2]}), 2 + np.log(3))
