"""SymPy as a language for scalar functions, the gate before it, and expressions as SymPy objects."""

import contextlib
import math
import threading

import numpy as np
import pytest
import sympy
from sympy import (
    Abs,
    Heaviside,
    Lambda,
    Max,
    Min,
    Piecewise,
    Rational,
    Symbol,
    erf,
    exp,
    log,
    pi,
    sign,
    sin,
    sqrt,
    tanh,
)

import symgrad as sg
from symgrad.expression.node import leaves, topological
from symgrad.expression.ops import Constant, Elementwise

t, u = sympy.symbols("t u", real=True)
BODIES = [
    t * (1 + erf(t / sqrt(2))) / 2, exp(-(t**2) / 2) / sqrt(2 * pi), 1 / (1 + exp(-t)), t**3 - 2 * t + Rational(1, 3),
    (t - 1) / 7, Piecewise((t, t > 0), (exp(t) - 1, True)), Piecewise((1, t < -1), (2, (t < 1) & (t > 0)), (7, True)),
    Piecewise((t, (t > 3) | (t < 0)), (7, True)), t**2.0 + Abs(t) ** 0.5, 1 / (1 + t**2) ** Rational(3, 2), 2**t,
    Max(t, 0) + Min(t, 0, 2 * t), Max(t, 1, -t), Heaviside(t), Heaviside(t, 0), Abs(t) * sign(t), log(1 + t**2),
    sympy.floor(3 * t) + sympy.ceiling(t), sympy.cosh(t) - sympy.sinh(t) / sympy.cos(t) + sympy.tan(t) * sympy.atan(t),
    -tanh(t) + sin(-t), 0.1 * t - sympy.E, Piecewise((1, sympy.Ne(t, 1)), (0, True)),
    Piecewise((1, sympy.Not(t >= 1)), (0, True)),
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=str)
def test_values_are_those_of_sympy(body):
    points = np.array([-2.25, -1.0, -0.5, 0.0, 0.75, 1.0, 3.5])
    x = sg.variable("x", (7,))
    got = sg.evaluate(sg.elementwise(Lambda(t, body))(x), {"x": points})
    want = [float(body.xreplace({t: sympy.Float(p)}).evalf(30)) for p in points]
    assert np.allclose(got, want, rtol=1e-14, atol=1e-15)


def operations(expression):
    return [n.op.function for n in topological([expression]) if isinstance(n.op, Elementwise)]


def constants(expression):
    return [n.op.value for n in topological([expression]) if isinstance(n.op, Constant)]


def test_constants_are_exact():
    x = sg.variable("x", ())
    third = sg.elementwise(Lambda(t, t / 3))(x)
    assert operations(third) == ["divide"] and constants(third) == [3] and type(constants(third)[0]) is int
    assert constants(sg.elementwise(Lambda(t, sympy.Float(1 / 3) * t))(x)) == [1 / 3]  # all 53 bits
    assert constants(sg.elementwise(Lambda(t, sqrt(2) * t / 2))(x)) == [math.sqrt(0.5)]
    assert constants(sg.elementwise(Lambda(t, 10**30 * t))(x)) == [1e30]


def test_no_exponential_is_moved_below_a_fraction():
    x = sg.variable("x", (1,))
    bell = sg.elementwise(Lambda(t, t * exp(-(t**2) / 2)))(x)
    assert "divide" in operations(bell) and sg.evaluate(bell, {"x": [1e3]})[0] == 0.0


def test_stable_forms_are_left_to_the_identities():
    x = sg.variable("x", (2,))
    naive = sg.elementwise(Lambda(t, log(1 + exp(t))))(x)
    assert operations(naive) == ["exp", "add", "log"]
    assert operations(sg.simplify(naive)) == ["softplus"]


def test_max_with_zero_is_relu_with_its_derivative_at_zero():
    x = sg.variable("x", (3,))
    relu = sg.elementwise(Lambda(t, Max(t, 0)))(x)
    assert operations(relu) == ["relu"]
    assert sg.evaluate(sg.gradient(sg.sum(relu), x), {"x": [-1.0, 0.0, 2.0]}).tolist() == [0.0, 0.0, 1.0]
    assert math.isnan(sg.evaluate(relu, {"x": [math.nan, 0.0, 0.0]})[0])


def test_arguments_broadcast_and_lost_ones_keep_their_shape():
    a, b = sg.variable("a", ("N", 1)), sg.variable("b", (3,))
    assert sg.elementwise(Lambda((t, u), t * u + 1))(a, b).shape == ("N", 3)
    assert sg.elementwise(Lambda(t, 0 * t))(a).shape == ("N", 1)
    first = sg.elementwise(Lambda((t, u), t))(a, b)
    assert sg.evaluate(first, {"a": [[5.0], [6.0]]}).tolist() == [[5.0] * 3, [6.0] * 3]


def test_function_classes_and_two_argument_classes():
    x = sg.variable("x", (2,))
    assert operations(sg.elementwise(sympy.tanh)(x)) == ["tanh"]
    assert operations(sg.elementwise(sympy.Min)(x, 1)) == ["minimum"]
    assert sg.elementwise(sympy.tanh).__name__ == "tanh"


deep = t
for _ in range(31):
    deep = sin(deep)
REFUSED = {
    "the text": lambda: "tanh(t)",
    "not Add t \\+ 1": lambda: t + 1,
    "uses u, not among": lambda: Lambda(t, t * u),
    "declared positive": lambda: Lambda(Symbol("p", positive=True), Symbol("p", positive=True) ** 2),
    "declared integer": lambda: Lambda(Symbol("k", integer=True), Symbol("k", integer=True) + 1),
    "declared negative": lambda: Lambda(Symbol("n", negative=True), Symbol("n", negative=True) + 1),
    "is the identity": lambda: Lambda(Symbol("p", positive=True), Max(Symbol("p", positive=True), 0)),
    "gamma has no row.*known are": lambda: Lambda(t, sympy.gamma(t) + 1),
    "^besselj has no row": lambda: sympy.besselj,
    "mine has no row": lambda: Lambda(t, sympy.Function("mine")(t)),
    "Derivative has no row": lambda: Lambda(t, sympy.Derivative(sympy.Function("f")(t), t)),
    "ITE has no row.*Piecewise": lambda: Lambda(t, sympy.ITE(t > 0, t > 1, t > -1, evaluate=False)),
    "I is not a finite real": lambda: Lambda(t, sympy.I * t),
    "oo is not a finite real": lambda: Lambda(t, t + sympy.oo),
    "larger than a float64": lambda: Lambda(t, t * sympy.Integer(10) ** 400),
    "with \\(value, True\\)": lambda: Lambda(t, Piecewise((t, t > 0))),
    "at most 50 operations": lambda: Lambda(t, sum(sin(k * t) for k in range(60))),
    "at most 30 levels": lambda: Lambda(t, deep),
    "apply it": lambda: Lambda(t, sympy.Function("f")),
    "nested groups": lambda: Lambda(((t, u),), t + u),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refusals_name_reason_and_remedy(message):
    with pytest.raises(sg.ExpressionError, match=message):
        sg.elementwise(REFUSED[message]())


def test_text_is_never_executed(tmp_path):
    target = tmp_path / "touched"
    attack = f"__import__('pathlib').Path({str(target)!r}).touch()"
    for attempt in (attack, Lambda(Symbol(attack, real=True), Symbol(attack, real=True) ** 2)):
        with contextlib.suppress(sg.ExpressionError):
            sg.elementwise(attempt)(sg.variable("x", (1,)))
    assert not target.exists()


def test_the_number_of_arguments_is_checked():
    with pytest.raises(sg.ExpressionError, match="takes 2 arguments, 1 were given"):
        sg.elementwise(Lambda((t, u), t * u))(sg.variable("x", ()))


def test_threads_get_the_same_nodes():
    x, found = sg.variable("x", (3,)), []

    def build():
        found.append(sg.elementwise(Lambda(t, t * tanh(t)))(x))

    work = [threading.Thread(target=build) for _ in range(4)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert all(e is found[0] for e in found)


def test_gradients_agree_with_sympys_derivative_entry_by_entry():
    x, w = sg.variable("x", (2, 2)), sg.parameter("w", (2,))
    loss = sg.mean(sg.tanh(x @ w) ** 2)
    scalar = sg.to_sympy(loss)
    entries = [Symbol(f"w_{i}", real=True) for i in range(2)]
    derived = sg.to_sympy(sg.simplify(sg.gradient(loss, w)))
    point = {Symbol(f"x_{i}_{j}", real=True): 0.1 + i - 0.7 * j for i in range(2) for j in range(2)}
    point |= dict(zip(entries, (0.3, -0.2), strict=True))
    for entry, symbol in zip(derived, entries, strict=True):
        assert abs(float((entry - scalar.diff(symbol)).xreplace(point))) < 1e-12


def test_tensor_operations_have_sympy_forms():
    m, y = sg.variable("m", (2, 2)), sg.labels("y", (2,), classes=2)
    values = {f"m_{i}_{j}": 0.4 * i - 0.9 * j + 0.2 for i in range(2) for j in range(2)}
    given = {"m": np.array([[0.2, -0.7], [0.6, -0.3]]), "y": [0, 1]}
    expressions = [
        sg.softmax(m), sg.logsumexp(m), sg.max(m, axis=0), sg.min(m), m @ m.T, sg.sum(m, axis=1, keepdims=True),
        sg.mean(m), sg.reshape(m, (4,)), sg.where(m > 0, m, 0), sg.cast(m > 0, "real") * 2, sg.one_hot(y, 2) * m,
        sg.identity(2) @ m, sg.cast(m, "integer") + 1,
    ]  # fmt: skip
    for expression in expressions:
        got = sg.to_sympy(expression)
        assert tuple(getattr(got, "shape", ())) == expression.shape
        swap = {s: values[s.name] if s.name in values else int(s.name == "y_1") for s in got.free_symbols}
        flat = [float(e.xreplace(swap)) for e in (sympy.flatten(got.tolist()) if expression.shape else [got])]
        want = sg.evaluate(expression, {name: given[name] for name in leaves([expression])})
        assert np.allclose(flat, np.ravel(want), atol=1e-12)


def test_to_sympy_refuses_with_a_reason():
    with pytest.raises(sg.ExpressionError, match="size N is a name"):
        sg.to_sympy(sg.sum(sg.variable("x", ("N",))))
    with pytest.raises(sg.ExpressionError, match="smaller sizes"):
        sg.to_sympy(sg.variable("x", (784, 512)))
    with pytest.raises(sg.ExpressionError, match="no SymPy form"):
        sg.to_sympy(sg.argmax(sg.variable("x", (3,))))
    with pytest.raises(sg.ExpressionError, match="W_1"):
        sg.to_sympy(sg.sum(sg.variable("W", (2,))) + sg.variable("W_1", ()))


def test_sympy_takes_scalars_by_its_own_protocol():
    w = sg.parameter("w", ())
    assert sympy.sympify(w**2 + 1) == Symbol("w", real=True) ** 2 + 1
