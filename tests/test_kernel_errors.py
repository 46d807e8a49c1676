"""What a kernel says to a wrong call, before it computes anything; and what cannot be compiled."""

import numpy as np
import pytest

import symgrad as sg

x, w = sg.variable("x", ("N", 3)), sg.parameter("w", (3, 2))
y, k = sg.labels("y", ("N",), classes=2), sg.variable("k", ("M",), dtype="int64")
GOOD = {"x": np.ones((4, 3)), "w": np.ones((3, 2)), "y": [0, 1, 1, 0], "k": [0, 3]}
EXPRESSIONS = [sg.softmax_cross_entropy(x @ w, y), sg.take(x, k), sg.scatter(sg.take(x, k), k, "N")]


@pytest.fixture(scope="module")
def kernel():
    return sg.compile(EXPRESSIONS, dtype="float64")


def both(kernel, given):
    """The same sentence from the kernel and from the interpreter."""
    with pytest.raises(sg.BindingError) as caught:
        kernel(given)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 300
    return text


def test_the_good_call(kernel):
    loss, taken, added = kernel(GOOD)
    np.testing.assert_allclose(loss, np.log(2))
    assert taken.shape == (2, 3) and added.sum() == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.ones((4, 5))}, ["x", "(N, 3)", "(4, 5)"]),
        ({"x": np.ones(4)}, ["x", "(N, 3)", "(4,)"]),
        ({"w": np.ones((2, 3))}, ["w", "(3, 2)", "(2, 3)"]),
        ({"y": [0, 1, 1]}, ["N", "4", "3", "equal length"]),
        ({"y": [0, 1, 2, 0]}, ["label 2", "position 2", "y", "2 classes"]),
        ({"y": [1, 2, 1, 1]}, ["label 2", "count from 1", "subtracted"]),
        ({"y": [0, 1, -1, 0]}, ["label -1", "y"]),
        ({"y": [0.0, 1.0, 1.0, 0.0]}, ["y is integer", "float64"]),
        ({"y": np.eye(4, dtype=int)[:, :2]}, ["y", "(N,)", "(4, 2)"]),
        ({"x": np.array([["a"] * 3] * 4)}, ["x", "real"]),
        ({"x": np.ones((4, 3), complex)}, ["x", "complex"]),
        ({"k": [0, 4]}, ["4", "k", "out of range", "4 entries"]),
        ({"k": [-1, 0]}, ["-1", "k", "out of range"]),
        ({"z": 1}, ["z", "not an input", "x"]),
        ({"W": 1}, ["W", "did you mean w"]),
        ({"x": np.ones((0, 3)), "y": np.ones(0, int)}, ["N", "0", "empty batch"]),
    ],
)
def test_a_wrong_array_is_a_sentence(kernel, change, words):
    text = both(kernel, {**GOOD, **change})
    assert all(word in text for word in words), text


def test_a_missing_array_is_named(kernel):
    text = both(kernel, {name: a for name, a in GOOD.items() if name not in ("w", "k")})
    assert "w, k" in text or "k, w" in text


@pytest.mark.parametrize(
    "change", [{"x": np.ones((4, 5))}, {"y": [0, 1, 2, 0]}, {"z": 1}, {"y": [0, 1]}, {"k": [0, 9]}]
)
def test_the_interpreter_says_no_as_well(change):
    with pytest.raises(sg.BindingError):
        sg.evaluate(sg.sum(EXPRESSIONS[1]) + EXPRESSIONS[0], {**GOOD, **change})


def test_a_leaf_of_another_expression_is_no_key(kernel):
    with pytest.raises(sg.BindingError, match="x is not an input"):
        kernel({**{n: a for n, a in GOOD.items() if n != "x"}, sg.variable("x", ("N", 3)): GOOD["x"]})


@pytest.mark.parametrize("index", [17, 1 << 40, -3])
def test_positions_beyond_a_named_axis_never_reach_memory(index):
    """The axis has N entries: the limit is known at the call only."""
    kernel = sg.compile([sg.scatter(sg.take(x, k), k, "N")], dtype="float64")
    with pytest.raises(sg.BindingError, match="out of range"):
        kernel(x=np.ones((4, 3)), k=[0, index])


def test_positions_found_by_argmax_stay_within_the_table():
    table = sg.variable("table", (3,))
    taken = sg.compile(sg.take(table, sg.argmax(sg.variable("a", ("N", 3)))), dtype="float64")
    assert taken(table=[5, 6, 7], a=[[0, 0, 1], [1, 0, 0]]).tolist() == [7, 5]
    with pytest.raises(sg.SymgradError, match="out of range"):
        sg.compile(sg.take(table, sg.argmax(sg.variable("a", ("N", 4)))))(table=[5, 6, 7], a=[[0, 0, 0, 1]])


def test_what_cannot_be_compiled():
    with pytest.raises(sg.CompileError, match="nothing to compile"):
        sg.compile([])
    with pytest.raises(sg.CompileError, match="float16"):
        sg.compile(sg.sum(x), dtype="float16")
    with pytest.raises(sg.BindingError, match="size M does not follow.*M=3"):
        sg.compile(sg.identity("M"))()
    with pytest.raises(sg.ExpressionError, match="two different leaves are called x"):
        sg.compile([sg.sum(x), sg.sum(sg.variable("x", (2,)))])


@pytest.mark.parametrize(
    "name", ["lambda_", "self", "table", "thread", "range", "exp", "real", "kept_x", "x_array", "µ", "été", "t1", "np"]
)
def test_any_name_is_safe_in_generated_source(name):
    """A name with a meaning in the source gets another there; one that is no identifier never comes that far."""
    a, size = sg.variable(name, ("N",)), sg.variable("other", ("N",))
    value = (sg.exp(a) * size).named(name if name != "t1" else "t2")
    np.testing.assert_allclose(
        sg.compile(sg.sum(value * value), dtype="float64")({name: [1.0, 2], "other": [1, 1]}), np.exp([2, 4]).sum()
    )


@pytest.mark.parametrize("size", ["thread", "range", "exp", "table", "i", "work", "N_from"])
def test_any_size_name_is_safe_in_generated_source(size):
    a = sg.variable("a", (size, 2))
    assert sg.compile(sg.sum(a * sg.mean(a)), dtype="float64")(a=np.ones((3, 2))) == 6.0


def test_too_few_rows_for_a_slice_are_refused_by_name():
    x = sg.variable("x", ("N", 2))
    expression = x[3:] * 2
    kernel = sg.compile(expression, dtype="float64", threads=1)
    for run in (lambda given: sg.evaluate(expression, given), kernel):
        assert run({"x": np.ones((5, 2))}).shape == (2, 2) and run({"x": np.ones((3, 2))}).shape == (0, 2)
        with pytest.raises(sg.BindingError, match="N - 3 entries, but N is 2"):
            run({"x": np.ones((2, 2))})
