"""Shapes, kinds and sizes of expressions: broadcasting, named sizes, reshape, and errors that name place and reason."""

import sys

import numpy as np
import pytest

import symgrad as sg
from symgrad.expression import sizes
from symgrad.expression.node import leaves

x, w = sg.variable("x", ("N", 3)), sg.parameter("w", (3, 2))
y, flag = sg.labels("y", ("N",), classes=2), sg.variable("flag", ("N", 3), dtype="bool")
k = sg.variable("k", ("N", 3), dtype="uint8")


def test_a_shape_error_names_operands_reason_and_place():
    line = sys._getframe().f_lineno + 1
    bad = sg.parameter("W1", (785, 512))
    a = sg.variable("a", ("N", 784))
    with pytest.raises(sg.ShapeError) as caught:
        a @ bad
    assert str(caught.value).splitlines()[:2] == [
        "cannot multiply  a (N, 784)  by  W1 (785, 512)", "  the inner sizes differ: 784 and 785"]  # fmt: skip
    assert f"  W1 was declared at test_shapes.py:{line}" in str(caught.value)


@pytest.mark.parametrize("other", [(2,), (3, 1, 2), ("M", 3), (4, 3)])
def test_broadcasting_that_does_not_fit(other):
    with pytest.raises(sg.ShapeError, match="x .N, 3.  by|by  x .N, 3."):
        x + sg.variable("other", other)


@pytest.mark.parametrize(
    ("shapes", "want"),
    [
        ([("N", 3), (3,)], ("N", 3)), ([("N", 1), (3,)], ("N", 3)), ([(1, 3), ("N", 1)], ("N", 3)), ([(), ("N",)], ("N",)),
        ([(2, 1, 3), ("N", 3)], (2, "N", 3)), ([("N",), ("N",)], ("N",)), ([(1,), (1, 1)], (1, 1)), ([(0, 3), (3,)], (0, 3)),
    ],
)  # fmt: skip
def test_broadcasting(shapes, want):
    a, b = (sg.variable(n, s) for n, s in zip("ab", shapes, strict=True))
    assert (a + b).shape == (b * a).shape == sg.maximum(a, b).shape == want


@pytest.mark.parametrize(
    ("built", "kind"),
    [
        (x + 1, "real"), (k + 1, "integer"), (k + 1.0, "real"), (k / 2, "real"), (k**2, "real"), (flag + flag, "integer"),
        (-flag, "integer"), (k > 1, "boolean"), (sg.where(flag, k, 0), "integer"), (sg.where(flag, flag, flag), "boolean"),
        (sg.where(flag, x, 0), "real"), (sg.sum(k), "integer"), (sg.sum(flag), "integer"), (sg.mean(k), "real"), (sg.argmax(x), "integer"),
        (sg.max(k), "integer"), (sg.one_hot(y, 2), "real"), (sg.exp(k), "real"), (sg.cast(x, "integer"), "integer"), (k @ w, "real"),
        (sg.logical_not(flag), "boolean"), (sg.equal(k, 2), "boolean"), (abs(k), "integer"), (sg.take(k, y), "integer"),
    ],
)  # fmt: skip
def test_kinds(built, kind):
    given = {
        "x": np.full((4, 3), 1.5),
        "k": np.full((4, 3), 2, np.uint8),
        "y": [0, 1, 0, 1],
        "flag": np.ones((4, 3), bool),
        "w": np.ones((3, 2)),
    }
    assert built.kind == kind
    value = sg.evaluate(built, {name: given[name] for name in leaves([built])})
    assert value.dtype == {"real": np.float64, "integer": np.int64, "boolean": np.bool_}[kind]


def test_reshape_with_names_and_minus_one():
    assert sg.reshape(x, (-1,)).shape[0] == sizes.times(["N", 3]) and sg.reshape(x, (3, -1)).shape == (3, "N")
    assert sg.reshape(x, ("N", 1, 3)).shape == ("N", 1, 3) and sg.reshape(x, ("N", 3)) is x
    assert sg.reshape(sg.reshape(x, (-1,)), (-1, 3)).shape == ("N", 3)
    both = sg.variable("both", ("N", "M"))
    assert sg.reshape(both, ("M", -1)).shape == ("M", "N")
    np.testing.assert_array_equal(
        sg.evaluate(sg.reshape(x, (3, -1)), {x: np.arange(6.0).reshape(2, 3)}), [[0, 1], [2, 3], [4, 5]]
    )


def test_sizes_are_bound_by_arrays():
    assert sg.evaluate(sg.mean(x), {x: np.ones((5, 3))}) == 1
    assert float(sg.evaluate(sg.sum(sg.reshape(x, (-1,)) * 0 + 1), {x: np.ones((5, 3))})) == 15
    with pytest.raises(sg.BindingError, match="N is 5 in x but 4 in t"):
        sg.evaluate(sg.sum(x) + sg.sum(sg.variable("t", ("N",))), {"x": np.ones((5, 3)), "t": np.ones(4)})
