"""The table of scalar functions: SymPy differentiates every meaning and agrees with the rule.

Interpreter and kernels compute the meaning; kinks are as the design says; no function lacks a row anywhere.
"""

import functools

import numpy as np
import pytest
import sympy
import values

import symgrad as sg
from symgrad.expression import ops
from symgrad.expression.node import make
from symgrad.expression.scalars import LOGIC, ROWS, TABLE
from symgrad.interpreter import SCALARS

POINTS = 21
SMOOTH = [row for row in ROWS if row.smooth]
REAL = [row for row in ROWS if row.kind != "boolean" and row.name != "where"]
each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
each_real = pytest.mark.parametrize("row", REAL, ids=lambda row: row.name)


def counts(row):
    """How many arguments to try a function with."""
    return [row.arity] if row.arity > 0 else [2, 3]


def points(row, count):
    """Arguments within the domain of a function, none at a kink."""
    rng = np.random.default_rng(len(row.name))
    low, high = row.domain
    return [rng.uniform(low, high, POINTS) for _ in range(count)]


def symbols(row, count):
    names = sympy.symbols(f"t0:{count}", real=True)
    given = list(names)
    if row.name in LOGIC:
        given = [n > 0 for n in names]
    elif row.name == "where":
        given[0] = names[0] > 0
    return names, row.meaning(sympy, *given)


def exact(expression, names, arguments):
    """A SymPy expression's value at each point, with 30 digits."""
    found = []
    for point in zip(*arguments, strict=True):
        value = expression.subs({n: sympy.Float(float(x), 40) for n, x in zip(names, point, strict=True)})
        value = value.doit() if value.has(sympy.Derivative) else value
        found.append(bool(value) if value in (sympy.true, sympy.false) else float(value.evalf(30)))
    return np.array(found)


def leaves(row, count):
    return [sg.variable(f"{row.name}_{i}_{count}", (POINTS,)) for i in range(count)]


def built(row, count):
    inputs = leaves(row, count)
    given = [x > 0 if row.name in LOGIC or (row.name == "where" and i == 0) else x for i, x in enumerate(inputs)]
    return inputs, make(ops.Elementwise(row.name), *given)


@functools.cache
def kernels(dtype):
    """Every function and its derivatives in one kernel, what it needs, and where each result stands."""
    outputs, arrays, place = [], {}, {}
    for row in ROWS:
        for count in counts(row):
            inputs, value = built(row, count)
            place[row.name, count] = len(outputs)
            outputs.append(value)
            if row in REAL:
                outputs += sg.gradient(sg.sum(sg.cast(value, "real")), inputs)
            arrays |= {x.name: a.astype(dtype) for x, a in zip(inputs, points(row, count), strict=True)}
    return sg.compile(outputs, dtype=dtype, simplify=False)(arrays), place


@each
def test_interpreter_computes_the_meaning(row):
    for count in counts(row):
        inputs, value = built(row, count)
        arguments = points(row, count)
        got = sg.evaluate(value, dict(zip(inputs, arguments, strict=True)))
        want = exact(symbols(row, count)[1], symbols(row, count)[0], arguments)
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-14)
        assert (got.dtype == bool) == (row.kind == "boolean")


@each
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_kernel_computes_the_meaning(row, dtype, tolerance):
    computed, place = kernels(dtype)
    for count in counts(row):
        arguments = [a.astype(dtype).astype(float) for a in points(row, count)]
        names, meaning = symbols(row, count)
        got = computed[place[row.name, count]]
        assert got.dtype == (bool if row.kind == "boolean" else dtype)
        np.testing.assert_allclose(got.astype(float), exact(meaning, names, arguments), rtol=tolerance, atol=tolerance)


@each_real
def test_pullback_is_what_sympy_derives(row):
    computed, place = kernels("float64")
    for count in counts(row):
        inputs, value = built(row, count)
        arguments = points(row, count)
        names, meaning = symbols(row, count)
        gradients = sg.gradient(sg.sum(sg.cast(value, "real")), inputs)
        for i, gradient in enumerate(gradients):
            got = values.of(gradient, dict(zip(inputs, arguments, strict=True)))
            flat = row.name in ("sign", "floor")  # SymPy has DiracDelta and an unevaluated derivative there
            want = np.zeros(POINTS) if flat else exact(meaning.diff(names[i]), names, arguments)
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
            kernel = computed[place[row.name, count] + 1 + i]
            np.testing.assert_allclose(kernel, want, rtol=1e-12, atol=1e-12)


def test_where_passes_the_adjoint_to_the_branch_that_was_taken():
    a, b, c = (sg.variable(n, (4,)) for n in "abc")
    da, db = sg.gradient(sg.sum(sg.where(c > 0, a * a, 3 * b)), [a, b])
    given = {"a": [1.0, 2, 3, 4], "b": [1.0, 1, 1, 1], "c": [1.0, -1, 0, 2]}
    np.testing.assert_array_equal(values.of(da, given), [2, 0, 0, 8])
    np.testing.assert_array_equal(values.of(db, given), [0, 3, 3, 0])


def slope(text, at):
    x = sg.variable("x")
    return float(values.of(sg.gradient(sg.parse(text, {"x": x}), x), {"x": at}))


@pytest.mark.parametrize(
    ("text", "at", "want"),
    [
        ("relu(x) + 0*x", 0.0, 0.0), ("abs(x) + 0*x", 0.0, 0.0), ("sign(x) + 0*x", 0.0, 0.0), ("floor(x) + 0*x", 1.0, 0.0),
        ("maximum(x, 1) + 0*x", 1.0, 0.5), ("minimum(x, 1) + 0*x", 1.0, 0.5), ("maximum(1, x) + 0*x", 1.0, 0.5),
        ("maximum(x, x)", 0.3, 1.0), ("maximum(2*x, x) + 0*x", 0.0, 1.5), ("minimum(3*x, x) + 0*x", 0.0, 2.0),
    ],
)  # fmt: skip
def test_kinks_are_one_table(text, at, want):
    assert slope(text, at) == want
    left, right = slope(text, at - 1e-6), slope(text, at + 1e-6)
    assert min(left, right) <= want <= max(left, right), "the value lies between the slopes beside the kink"


@pytest.mark.parametrize("function", ["max", "min"])
def test_ties_of_a_reduction_share_the_derivative(function):
    x = sg.variable("x", (2, 3))
    gradient = sg.gradient(sg.sum(getattr(sg, function)(x, axis=1)), x)
    tied = np.array([[1.0, 1, 1], [2, 2, 5 if function == "min" else 1]])
    want = [[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]]
    for value in (sg.evaluate(gradient, {"x": tied}), sg.compile(gradient, dtype="float64")(x=tied)):
        np.testing.assert_allclose(value, want, rtol=1e-15)


@pytest.mark.parametrize("name", ["relu", "maximum", "minimum", "where"])
def test_a_derivative_through_a_condition_selects(name):
    """0 · ∞ would be NaN: an infinite adjoint must not reach the branch that was not taken."""
    x, w = sg.variable("x", (2,)), sg.variable("w", (2,))
    chosen = {"relu": lambda: sg.relu(x), "maximum": lambda: sg.maximum(x, 0), "minimum": lambda: -sg.minimum(-x, 0),
              "where": lambda: sg.where(x > 0, x, 0)}[name]()  # fmt: skip
    gradient = sg.gradient(sg.sum(chosen * w), x)
    given = {"x": [-1.0, 2.0], "w": [np.inf, 3.0]}
    for value in (sg.evaluate(gradient, given), sg.evaluate(sg.simplify(gradient), given),
                  sg.compile(gradient, dtype="float64")(given)):  # fmt: skip
        np.testing.assert_array_equal(value, [0.0, 3.0])


@pytest.mark.parametrize("row", REAL, ids=lambda row: row.name)
def test_nan_stays_visible(row):
    count = counts(row)[0]
    x = sg.variable("x", (1,))
    value = make(ops.Elementwise(row.name), *[x] * count)
    assert np.isnan(sg.evaluate(value, {"x": [np.nan]})).all()
    assert np.isnan(sg.compile(value, dtype="float32", simplify=False)(x=[np.nan])).all()


def test_the_table_is_complete():
    assert len(TABLE) == len(ROWS) >= 30
    assert set(SCALARS) == set(TABLE)
    for row in ROWS:
        assert len(row.pullback) == (row.arity if row.arity > 0 else 2), row.name
        assert row.domain[0] < row.domain[1]
        x = sg.variable("x", (3,))
        given = [
            x > 0 if row.name in LOGIC or (row.name == "where" and i == 0) else x + i for i in range(counts(row)[0])
        ]
        assert sg.formula(make(ops.Elementwise(row.name), *given)), row.name
