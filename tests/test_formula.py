"""Formulas: golden texts of models whose gradients textbooks print, three notations, three formats, and their cost."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import symgrad as sg
from symgrad.calculus.simplify import simplified
from symgrad.expression.node import leaves
from symgrad.formulas import formula
from symgrad.interpreter import evaluate_all


def softmax_regression():
    x, y = sg.variable("x", ("N", 3)), sg.labels("y", ("N",), classes=4)
    weights, b = sg.parameter("W", (3, 4)), sg.parameter("b", (4,))
    return sg.softmax_cross_entropy((x @ weights + b).named("z"), y), [weights, b]


def logistic_regression():
    x, y, w = sg.variable("X", ("N", 3)), sg.variable("y", ("N",)), sg.parameter("w", (3,))
    return sg.sum(sg.log(1 + sg.exp(-y * (x @ w)))), [w]


def ridge():
    x, y, w = sg.variable("X", ("N", 3)), sg.variable("y", ("N",)), sg.parameter("w", (3,))
    return sg.sum((x @ w - y) ** 2) + sg.variable("lambda_") * sg.sum(w**2), [w]


def _two_layers(activation):
    x, w1, b1 = sg.variable("x", ("N", 3)), sg.parameter("W1", (3, 5)), sg.parameter("b1", (5,))
    w2, b2 = sg.parameter("W2", (5, 4)), sg.parameter("b2", (4,))
    h = activation((x @ w1 + b1).named("net")).named("h")
    return h @ w2 + b2, [w1, b1, w2, b2]


def tanh_network():
    output, parameters = _two_layers(sg.tanh)
    return sg.mean(sg.sum((output.named("o") - sg.variable("t", ("N", 4))) ** 2, axis=1)) / 2, parameters


def relu_network():
    output, parameters = _two_layers(sg.relu)
    return sg.softmax_cross_entropy(output.named("z"), sg.labels("y", ("N",), classes=4)), parameters


def quadratic_form():
    a, x = sg.variable("A", ("n", "n")), sg.parameter("x", ("n",))
    return x @ a @ x, [x]


def other_quadratic_form():
    a, x = sg.variable("A", ("n", "n")), sg.parameter("x", ("n",))
    return x @ (a @ x), [x]


def factorisation():
    t, u, v = sg.variable("T", ("m", "n")), sg.parameter("U", ("m", "k")), sg.parameter("V", ("n", "k"))
    return sg.sum((t - u @ v.T) ** 2), [u, v]


MODELS = {
    softmax_regression: """\
∂L/∂W = xᵀ δ_z
∂L/∂b = Σₙ δ_z
where
  δ_z = (softmax(z) − onehot(y)) / N
  z   = x W + b""",
    logistic_regression: "∂L/∂w = −Xᵀ (y ⊙ σ(−y ⊙ (X w)))",
    ridge: "∂L/∂w = 2 (Xᵀ (X w − y) + λ w)",
    tanh_network: """\
∂L/∂W₁ = xᵀ δ_net
∂L/∂b₁ = Σₙ δ_net
∂L/∂W₂ = hᵀ δ_o
∂L/∂b₂ = Σₙ δ_o
where
  δ_net = (δ_o W₂ᵀ) ⊙ (1 − h²)
  δ_o   = (o − t) / N
  o     = h W₂ + b₂
  h     = tanh(net)
  net   = x W₁ + b₁""",
    relu_network: """\
∂L/∂W₁ = xᵀ δ_net
∂L/∂b₁ = Σₙ δ_net
∂L/∂W₂ = hᵀ δ_z
∂L/∂b₂ = Σₙ δ_z
where
  δ_net = (δ_z W₂ᵀ) ⊙ [net > 0]
  δ_z   = (softmax(z) − onehot(y)) / N
  z     = h W₂ + b₂
  h     = relu(net)
  net   = x W₁ + b₁""",
    quadratic_form: "∂L/∂x = (A + Aᵀ) x",
    other_quadratic_form: "∂L/∂x = (A + Aᵀ) x",
    factorisation: """\
∂L/∂U = 2 t₁ V
∂L/∂V = 2 t₁ᵀ U
where
  t₁ = U Vᵀ − T""",
}
models = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


def gradients(model):
    loss, wrt = model()
    found = simplified(sg.gradient(loss, wrt), within=[loss]).expressions
    return list(found), [f"∂L/∂{sg_name(w)}" for w in wrt], loss


def sg_name(leaf):
    return re.sub(r"\d", lambda digit: "₀₁₂₃₄"[int(digit[0])], leaf.name)


@models
def test_gradients_as_a_textbook_has_them(model):
    found, names, _ = gradients(model)
    assert formula(found, names=names) == MODELS[model]


def arrays(expressions, seed=0):
    """Random arrays for the leaves of some expressions; every named size is 4."""
    random = np.random.default_rng(seed)
    values = {}
    for name, leaf in leaves(expressions).items():
        shape = [s if isinstance(s, int) else 4 for s in leaf.shape]
        values[name] = random.integers(0, 3, shape) if leaf.kind == "integer" else random.normal(size=shape)
    return values


def run(block, given):
    scope = dict(given)
    exec(block, scope)
    return scope


@models
def test_numpy_notation_runs_and_gives_the_interpreters_numbers(model):
    found, names, loss = gradients(model)
    expressions = [loss, *found]
    values = arrays(expressions)
    scope = run(formula(expressions, notation="numpy", names=["L", *names]), values)
    wanted = evaluate_all(expressions, values)
    for name, want in zip(["L", *(n.replace("∂", "d").replace("/", "_") for n in names)], wanted, strict=True):
        ascii_name = name.translate(str.maketrans("₁₂", "12"))
        assert np.allclose(scope[ascii_name], want, rtol=1e-12, atol=1e-13)


def test_numpy_block_is_what_a_person_would_write():
    found, names, _ = gradients(relu_network)
    assert formula(found, notation="numpy", names=names).split("\n\n")[-1] == """\
N = x.shape[0]
net = x @ W1 + b1
h = np.maximum(net, 0)
z = h @ W2 + b2
delta_z = (softmax(z, axis=1) - np.eye(4)[y]) / N
delta_net = np.where(net > 0, delta_z @ W2.T, 0)
dL_dW1 = x.T @ delta_net
dL_db1 = np.sum(delta_net, axis=0)
dL_dW2 = h.T @ delta_z
dL_db2 = np.sum(delta_z, axis=0)"""


def test_index_notation_states_every_entry():
    found, names, _ = gradients(relu_network)
    assert formula(found, notation="index", names=names) == """\
∂L/∂W₁[i,j] = Σₙ x[n,i] δ_net[n,j]
∂L/∂b₁[i]   = Σₙ δ_net[n,i]
∂L/∂W₂[i,j] = Σₙ h[n,i] δ_z[n,j]
∂L/∂b₂[i]   = Σₙ δ_z[n,i]
where
  δ_net[n,i] = (Σⱼ δ_z[n,j] W₂[i,j]) [net[n,i] > 0]
  δ_z[n,i]   = (exp(z[n,i]) / Σⱼ exp(z[n,j]) − [y[n] = i]) / N
  z[n,i]     = Σⱼ h[n,j] W₂[j,i] + b₂[i]
  h[n,i]     = relu(net[n,i])
  net[n,i]   = Σⱼ x[n,j] W₁[j,i] + b₁[i]"""


def balanced(latex):
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", latex):
        depth += 1 if brace == "{" else -1
        assert depth >= 0, latex
    return depth == 0 and latex.count(r"\left") == latex.count(r"\right")


EVERY = """exp log expm1 log1p log1mexp sqrt sin cos tan atan sinh cosh tanh erf erfc logerfc sigmoid softplus relu sign floor
           abs""".split()


def every_operation():
    """An expression for each operation of the closed set."""
    m, v, s = sg.variable("m", ("N", 3)), sg.variable("v", (3,)), sg.variable("s", ())
    y, t = sg.labels("y", ("N",), classes=3), sg.variable("T", (2, 3, 4))
    cube = np.arange(60).reshape(20, 3)[:1]
    return [
        *(getattr(sg, name)(m) for name in EVERY), -m, sg.logical_not(m > 0), m + v, m - 1, m * s, m / 2.5, m**2, m**-1,
        m**v, sg.maximum(m, 0), sg.minimum(m, v), sg.logaddexp(m, v), sg.where(m > 0, m, 0), sg.equal(y, 2) * 2,
        sg.where(sg.logical_or(m < 0, v >= m), v, 1), sg.logical_and(m <= 1, sg.not_equal(m, 0)), m @ v, m.T @ m, v @ v,
        sg.outer(v, v), sg.sum(m), sg.sum(m, axis=0), sg.sum(m, axis=1, keepdims=True), sg.mean(m), sg.max(m, axis=0),
        sg.min(m), sg.argmax(m), sg.logsumexp(m), sg.logsumexp(m, axis=0, keepdims=True), sg.softmax(m),
        sg.softmax(m, axis=0), sg.reshape(m, (-1, 1)), sg.one_hot(y, 3), sg.cast(m > 0, "real"), sg.cast(m, "integer"),
        sg.cast(y, "boolean"), sg.take(v, y), sg.scatter(m, y, 3), sg.identity(3) @ v, sg.einsum("abc,abc->ba", t, t),
        sg.transpose(t, (1, 2, 0)), sg.einsum("ii->i", sg.outer(v, v)), sg.einsum("i,j,k->kij", v, v, v),
        v * np.array([1.0, -2.0, np.inf]), (m * 1e-9).named("W_1") + s * cube, sg.gradient(sg.mean(m * m / s), m),
        sg.gradient(sg.sum(sg.max(m, axis=1)), m),
        sg.gradient(sg.sum(sg.einsum("ii->", sg.outer(v, v)) * sg.exp(v)), v),
    ]  # fmt: skip


@pytest.mark.parametrize("expression", every_operation(), ids=lambda e: e.label[:30])
def test_every_operation_has_every_notation_and_format(expression):
    for notation in ("matrix", "index", "numpy"):
        text = formula(expression, notation=notation)
        assert max(map(len, text.splitlines())) <= 100
        assert balanced(formula(expression, notation=notation, format="latex"))
        ElementTree.fromstring(formula(expression, notation=notation, format="html"))
    values = arrays([expression])
    with np.errstate(all="ignore"):
        got = run(formula(expression, notation="numpy"), values)["result"]
    want = sg.evaluate(expression, values)
    assert np.shape(got) == want.shape
    assert np.allclose(got, want, rtol=1e-12, atol=1e-14, equal_nan=True)


def test_depth_limits_the_explanations():
    found, names, _ = gradients(relu_network)
    assert "where" not in formula(found, names=names, depth=0)
    assert [line.split()[0] for line in formula(found[2], depth=1).splitlines()[2:]] == ["δ_z", "h"]
