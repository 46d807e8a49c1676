"""The scalar functions of kernels: accuracy in units in the last place, edges, twins, and that loops become vectors."""

import math
import re

import numba
import numpy as np
import pytest

import symgrad as sg
import symgrad.interpreter
from symgrad.codegen.elementary import ELEMENTARY
from symgrad.codegen.scalar_text import TEXT

# The flags of generated kernels: a function that is not protected against them loses its corrections.
LOOSE = {"contract", "reassoc", "arcp", "nsz"}
WIDE = np.longdouble
NAN, INF = math.nan, math.inf


def reference(name):
    """The function on float64 arrays, at least as accurate as float64."""
    known = {
        "erf": np.vectorize(math.erf, otypes=[float]),
        "erfc": np.vectorize(math.erfc, otypes=[float]),
        "logerfc": sg.interpreter.SCALARS["logerfc"],
        "sigmoid": lambda x: np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x))),
        "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))),
        "log1mexp": lambda x: np.where(x < 0.69, np.log(-np.expm1(-x)), np.log1p(-np.exp(-x))),
        "atan": np.arctan,
    }
    function = known.get(name) or getattr(np, name)
    return lambda x: np.asarray(function(x if "erf" in name else x.astype(WIDE)))


def looped(name):
    function = ELEMENTARY[name].compiled

    @numba.njit(error_model="numpy", fastmath=LOOSE)
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return loop


def apply(name, x):
    out = np.empty_like(x)
    looped(name)(x, out)
    return out


# name: units in the last place allowed in float32, in float64
BOUNDS = {
    "exp": (1.5, 1), "expm1": (2, 2), "log": (1, 1), "log1p": (2, 2), "log1mexp": (3, 4), "tanh": (3, 2.5),
    "erf": (1.5, 1), "erfc": (4, 6), "logerfc": (6, 6), "sigmoid": (3, 3), "softplus": (2, 2), "sqrt": (0.51, 0.51), "floor": (0, 0), "sin": (1, 1),
    "cos": (1, 1), "tan": (2, 1.5), "atan": (1.5, 1.5), "sinh": (2.5, 2.5), "cosh": (2, 2.5),
}  # fmt: skip
TWO_ARGUMENTS, THREE_ARGUMENTS = {"logaddexp", "power"}, {"over_root"}


def test_every_function_that_a_kernel_may_call_is_here_and_tested():
    called = {match[1] for text in TEXT.values() if (match := re.match(r"([a-z]\w+)\(", text)) and match[1] != "abs"}
    assert called | {"power"} <= ELEMENTARY.keys()
    assert ELEMENTARY.keys() == BOUNDS.keys() | TWO_ARGUMENTS | THREE_ARGUMENTS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BOUNDS)
def test_error_is_within_its_bound(name, dtype):
    random = np.random.default_rng(11)
    wide = 90 if name in ("tan", "sin", "cos") else 110
    scales = 10.0 ** random.uniform(-44, 38 if wide > 90 else 1, 20000)
    x = np.concatenate(
        [random.uniform(-wide, wide, 40000), random.normal(0, 1, 60000), random.normal(0, 1, 20000) * scales]
    ).astype(dtype)
    with np.errstate(all="ignore"):
        exact = reference(name)(x)
        rounded = exact.astype(dtype)
        got = apply(name, x)
        error = np.abs(got.astype(WIDE) - exact) / np.spacing(np.abs(rounded))
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    worst = np.argmax(np.where(finite, error, 0))
    assert error[worst] <= BOUNDS[name][dtype == "float64"], (x[worst], got[worst], exact[worst])


EDGES = [
    ("exp", 1000, INF), ("exp", -1000, 0), ("exp", INF, INF), ("exp", -INF, 0), ("exp", 0, 1),
    ("expm1", 1000, INF), ("expm1", -1000, -1), ("expm1", INF, INF), ("expm1", -INF, -1), ("expm1", -0.0, -0.0),
    ("log", 0, -INF), ("log", -0.0, -INF), ("log", -1, NAN), ("log", INF, INF), ("log", -INF, NAN), ("log", 1, 0),
    ("log1p", -1, -INF), ("log1p", -2, NAN), ("log1p", INF, INF), ("log1p", -INF, NAN), ("log1p", -0.0, -0.0),
    ("log1mexp", 0, -INF), ("log1mexp", INF, -0.0), ("log1mexp", -1, NAN),
    ("tanh", INF, 1), ("tanh", -INF, -1), ("tanh", 0, 0), ("tanh", -0.0, -0.0), ("tanh", 50, 1),
    ("erf", INF, 1), ("erf", -INF, -1), ("erf", -0.0, -0.0), ("erf", -9, -1),
    ("sigmoid", INF, 1), ("sigmoid", -INF, 0), ("sigmoid", 0, 0.5), ("sigmoid", 1000, 1), ("sigmoid", -1000, 0),
    ("softplus", INF, INF), ("softplus", -INF, 0), ("softplus", 1000, 1000), ("softplus", -1000, 0),
    ("sqrt", -1, NAN), ("sqrt", INF, INF), ("floor", -0.5, -1), ("sin", INF, NAN),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BOUNDS)
def test_edges_and_twins(name, dtype):
    cases = [(x, y) for function, x, y in EDGES if function == name] + [(NAN, NAN)]
    # More than a vector's length, so that the vector code sees them as well as the remainder loop.
    x = np.array([x for x, _ in cases] * 37, dtype)
    expected = np.array([y for _, y in cases] * 37, dtype)
    got = apply(name, x)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got) & (got == 0), np.signbit(expected) & (expected == 0))
    twin = ELEMENTARY[name].twin
    for value, result in zip(x[: len(cases)], expected, strict=False):
        assert twin(value).dtype == dtype
        np.testing.assert_array_equal(twin(value), result)
    between = np.random.default_rng(12).uniform(0.1, 3, 50).astype(dtype)
    np.testing.assert_allclose(apply(name, between), [twin(v) for v in between], rtol=8 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_two_arguments(dtype):
    logaddexp, power = ELEMENTARY["logaddexp"], ELEMENTARY["power"]
    first, second = logaddexp.compiled, power.compiled

    @numba.njit(error_model="numpy", fastmath=LOOSE)
    def loop(x, y, sums, powers):
        for i in range(x.size):
            sums[i], powers[i] = first(x[i], y[i]), second(x[i], y[i])

    random = np.random.default_rng(13)
    edges = [(INF, INF), (-INF, -INF), (INF, -INF), (-INF, 3), (NAN, 1), (1, NAN), (NAN, INF), (1000, 0), (-1000, -999)]
    x, y = (np.array([pair[i] for pair in edges] + list(random.normal(0, 5, 500)), dtype) for i in (0, 1))
    sums, powers = np.empty_like(x), np.empty_like(x)
    loop(x, y, sums, powers)
    with np.errstate(all="ignore"):
        # Where the terms cancel, the error is that of the larger term.
        exact = np.logaddexp(x.astype(WIDE), y.astype(WIDE)).astype(dtype)
        np.testing.assert_allclose(sums, exact, rtol=4 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)
        np.testing.assert_allclose(powers, x**y, rtol=4 * np.finfo(dtype).eps)
    assert [logaddexp.twin(a, b).dtype for a, b in zip(x[:3], y[:3], strict=True)] == [dtype] * 3
    np.testing.assert_allclose([logaddexp.twin(a, b) for a, b in zip(x, y, strict=True)], sums, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([power.twin(a, b) for a, b in zip(x, y, strict=True)], powers, rtol=1e-5)


def test_small_arguments_survive_the_flags_of_the_caller():
    x = np.full(64, 3e-9, "f4")
    np.testing.assert_allclose(apply("log1p", x), 3e-9, rtol=1e-6)
    np.testing.assert_allclose(apply("expm1", x), 3e-9, rtol=1e-6)
    np.testing.assert_allclose(apply("softplus", np.full(64, -20, "f4")), 2.0611536e-9, rtol=1e-6)


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "log1mexp", "tanh", "erf", "sigmoid", "softplus"])
def test_loops_over_float32_become_vector_code(name):
    loop = looped(name)
    loop.compile("void(float32[::1], float32[::1])")
    (code,) = loop.inspect_llvm().values()
    assert re.search(r"f(mul|sub) .*<\d+ x float>", code)
    assert not re.search(rf"call .*@{name}f?\(", code)


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-6), ("float64", 1e-15)])
def test_the_optimizers_quotient_is_within_its_bound(dtype, bound):
    """x / (sqrt(v) + epsilon): by estimates and Newton steps in float32, where the processor has them."""
    x, v = sg.variable("x", ("N",)), sg.variable("v", ("N",))
    kernel = sg.compile(x / (sg.sqrt(v) + 1e-7), dtype=dtype)
    assert "over_root" in kernel.source
    random = np.random.default_rng(5)
    squares = np.concatenate([10 ** random.uniform(-37, 37, 50_000), random.uniform(0, 1, 50_000), [0.0, 1.0]]).astype(
        dtype
    )
    values = random.normal(size=squares.size).astype(dtype)
    true = values / (np.sqrt(squares.astype(WIDE)) + np.dtype(dtype).type(1e-7))
    assert (np.abs(kernel(x=values, v=squares) - true) <= bound * np.abs(true)).all()
    assert np.isnan(kernel(x=[1.0, np.nan], v=[np.nan, 1.0])).all()
    twin = ELEMENTARY["over_root"].twin
    some = [np.dtype(dtype).type(n) for n in (0.3, 4.0, 1e-7)]
    assert twin(*some) == pytest.approx(0.15, rel=1e-6)
