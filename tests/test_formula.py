"""Formulas: golden texts of models whose gradients textbooks print, three notations, three formats, and their cost."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import symgrad as sg
from symgrad.calculus.simplify import simplified
from symgrad.expression.node import leaves
from symgrad.formulas import aligned, definitions, formula
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


EVERY = """exp log expm1 log1p log1mexp sqrt sin cos tan atan sinh cosh tanh erf sigmoid softplus relu sign floor abs
           negative logical_not""".split()


def every_operation():
    """An expression for each operation of the closed set."""
    m, v, s = sg.variable("m", ("N", 3)), sg.variable("v", (3,)), sg.variable("s", ())
    y, t = sg.labels("y", ("N",), classes=3), sg.variable("T", (2, 3, 4))
    found = [getattr(sg, name)(m) for name in EVERY if name not in ("negative", "logical_not")]
    found += [-m, sg.logical_not(m > 0), m + v, m - 1, m * s, m / 2.5, m**2, m**-1, m**v, sg.maximum(m, 0), sg.minimum(m, v)]
    found += [sg.logaddexp(m, v), sg.where(m > 0, m, 0), sg.where(sg.logical_or(m < 0, v >= m), v, 1), sg.equal(y, 2) * 2]
    found += [sg.logical_and(m <= 1, sg.not_equal(m, 0)), m @ v, m.T @ m, v @ v, sg.outer(v, v), sg.sum(m), sg.sum(m, axis=0)]
    found += [sg.sum(m, axis=1, keepdims=True), sg.mean(m), sg.max(m, axis=0), sg.min(m), sg.argmax(m), sg.logsumexp(m)]
    found += [sg.logsumexp(m, axis=0, keepdims=True), sg.softmax(m), sg.softmax(m, axis=0), sg.reshape(m, (-1, 1)), sg.one_hot(y, 3)]
    found += [sg.cast(m > 0, "real"), sg.cast(m, "integer"), sg.cast(y, "boolean"), sg.take(v, y), sg.scatter(m, y, 3)]
    found += [sg.identity(3) @ v, sg.einsum("abc,abc->ba", t, t), sg.transpose(t, (1, 2, 0)), sg.einsum("ii->i", sg.outer(v, v))]
    found += [sg.einsum("i,j,k->kij", v, v, v), v * np.array([1.0, -2.0, np.inf]), (m * 1e-9).named("W_1") + s * np.arange(60).reshape(20, 3)[:1]]
    found += [sg.gradient(sg.sum(sg.einsum("ii->", sg.outer(v, v)) * sg.exp(v)), v), sg.gradient(sg.sum(sg.max(m, axis=1)), m)]
    return found


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


a, b, c = sg.variable("a", (2, 2)), sg.variable("b", (2, 2)), sg.variable("c", (2, 2))
s, t, u = sg.variable("s"), sg.variable("t"), sg.variable("u")


@pytest.mark.parametrize(("expression", "text"), [
    (a - (b - c), "a − (b − c)"), ((a - b) - c, "a − b − c"), (a * (b @ c), "a ⊙ (b c)"), ((a * b) @ c, "(a ⊙ b) c"),
    (a @ b @ c, "a b c"), (-(a + b), "−(a + b)"), (a - (-b), "a − (−b)"), ((a @ b).T, "(a b)ᵀ"), ((a + b) ** 2, "(a + b)²"),
    ((-a) ** 2, "(−a)²"), (-(a**2), "−a²"), (s / (t / u), "s / (t / u)"), (s / t / u, "(s / t) / u"), (s / (t * u), "s / (t u)"),
    ((s + t) * a, "(s + t) a"), (a * (b / c), "a ⊙ (b / c)"), (2 * a * b, "2 a ⊙ b"), (sg.sum(a + b, axis=0), "Σⱼ (a + b)"),
    (sg.sum(a, axis=0) - sg.sum(b, axis=0), "Σᵢ a − Σᵢ b"), (s ** (t + u), "s^(t + u)"), (a**-1, "a⁻¹"), (sg.abs(a - b), "|a − b|"),
    (sg.sigmoid(a) * (1 - sg.sigmoid(a)), "σ(a) ⊙ (1 − σ(a))"), (a - 1.5, "a − 1.5"), (a + -1.5, "a + (−1.5)"), ((a**s) ** t, "(a^s)^t"),
    (sg.where(a > 0, b, 0), "b ⊙ [a > 0]"), (sg.logical_and(a > 0, sg.logical_or(a > b, b > 1)), "a > 0 ∧ (a > b ∨ b > 1)"),
    (sg.sqrt(a), "√(a)"), (s * sg.sum(a), "s Σ a"), (sg.sum(a) * s, "(Σ a) s"),
])  # fmt: skip
def test_parentheses(expression, text):
    assert formula(expression) == text.replace("Σⱼ", "Σᵢ")


def test_parentheses_of_stacked_formats_are_fewer_but_enough():
    assert formula(s / (t * u), format="latex") == r"\frac{s}{t \, u}"
    assert formula((s / t) ** 2, format="latex") == r"{\left(\frac{s}{t}\right)}^{2}"
    assert formula(-(a + b), format="latex") == r"-\left(a + b\right)"
    assert formula(sg.tanh(a) ** 2, format="latex") == r"{\tanh\left(a\right)}^{2}"


def test_names_are_mathematics_and_never_confused():
    names = ["W1", "W_1", "delta_z", "lambda_", "x_hat", "theta12", "net", "größe"]
    total = sum((sg.variable(n) for n in names[1:]), sg.variable(names[0]))
    assert formula(total) == "W₁ + W_1 + δ_z + λ + x_hat + θ₁₂ + net + größe"
    assert formula(total, format="latex") == (
        r"W_{1} + W_{\_1} + \delta_{z} + \lambda + x_{\mathrm{hat}} + \theta_{12} + \mathrm{net} + \mathrm{größe}"
    )
    html = formula(total, format="html")
    assert "<msub><mi>W</mi><mn>1</mn></msub>" in html and "<msub><mi>W</mi><mi>_1</mi></msub>" in html
    assert formula(sg.variable("delta") - sg.variable("δ")) == "delta − δ"
    for bad in ("__x<script>", "\\input", "for", "W₁", "a b", ""):
        with pytest.raises(sg.ExpressionError, match="is not a name"):
            sg.variable(bad)


def test_titles_are_escaped_in_every_format():
    title = r"<script>\input{x}</script> & _^$%#~"
    assert "<script>" not in formula(s + 1, format="html", names=[title])
    assert r"\input" not in formula(s + 1, format="latex", names=[title])
    ElementTree.fromstring(formula(s + 1, format="html", names=[title]))


def test_names_that_mean_something_in_the_block_are_renamed():
    values = {"np": 2.0, "softmax": np.array([1.0, 2.0]), "N": np.array([3.0])}
    expression = sg.variable("np") * sg.softmax(sg.variable("softmax", (2,))) + sg.mean(sg.variable("N", ("N",)))
    assert np.allclose(run(formula(expression, notation="numpy"), values)["result"], sg.evaluate(expression, values))


def test_two_nodes_of_one_name_stay_apart():
    x = sg.variable("x", ())
    both = sg.exp(x).named("h") + sg.sin(x).named("h")
    assert formula(both) == "h + h₂\nwhere\n  h₂ = sin(x)\n  h  = exp(x)".replace("h₂", "h_2")


def test_depth_limits_the_explanations():
    found, names, _ = gradients(relu_network)
    assert "where" not in formula(found, names=names, depth=0)
    assert [line.split()[0] for line in formula(found[2], depth=1).splitlines()[2:]] == ["δ_z", "h"]


def test_shared_parts_are_written_once():
    x, w = sg.variable("x", (3,)), sg.variable("w", (3, 3))
    part = sg.tanh(w @ x + 1)
    assert formula(part * sg.exp(part)) == "t₁ ⊙ exp(t₁)\nwhere\n  t₁ = tanh(w x + 1)"


def test_a_mapping_a_list_and_one_expression():
    assert formula({"f": s + 1, "g": s * t}) == "f = s + 1\ng = s t"
    assert formula([(s + 1).named("f"), s * t]) == "f      = s + 1\nresult = s t"
    assert formula((s + 1).named("f")) == "s + 1" == str((s + 1).named("f"))


def test_unknown_notations_and_formats_are_named():
    with pytest.raises(sg.ConfigurationError, match="'tex'; there are text, latex, html"):
        formula(s, format="tex")
    with pytest.raises(sg.ConfigurationError, match="'einstein'"):
        formula(s, notation="einstein")


def test_notebooks_show_latex_and_html():
    assert a._repr_latex_() == r"$\displaystyle a$"
    ElementTree.fromstring((a @ b)._repr_html_())


def test_lines_fit_and_equality_signs_stand_in_a_column():
    terms = [sg.variable(f"coefficient{i}") * sg.variable(f"quantity{i}") for i in range(20)]
    main, where = definitions({"long": sum(terms[1:], terms[0]), "l": s})
    lines = [line for entry in aligned(main, 2) for line in entry.splitlines()]
    assert max(map(len, lines)) <= 100 and not where
    assert lines[0].startswith("  long = coefficient₀ quantity₀ + ") and lines[1].startswith(" " * 9 + "+ ")
    assert lines[-1] == "  l    = s"


def network(depth):
    h = sg.variable("x", ("N", 8))
    for i in range(depth):
        h = sg.tanh(h @ sg.parameter(f"W{i}", (8, 8)) + sg.parameter(f"b{i}", (8,))).named(f"h{i}")
    return sg.mean(h**2)


def unnamed_chain(depth):
    h = sg.variable("x", ("N",))
    for _ in range(depth):
        h = h * sg.sigmoid(h) + 1
    return sg.sum(h)


def long_sum(depth):
    total = sg.variable("x", ())
    for i in range(depth):
        total = total + sg.parameter(f"p{i}", ())
    return total


def nested_softmax(depth):
    h = sg.variable("x", ("N", 3))
    for _ in range(depth):
        h = sg.softmax(h * 2)
    return h


@pytest.mark.parametrize("build", [network, unnamed_chain, long_sum, nested_softmax])
@pytest.mark.parametrize("notation", ["matrix", "index", "numpy"])
def test_formulas_grow_linearly_with_depth(build, notation):
    for format in ("text", "latex", "html"):
        short, long = (len(formula(build(depth), notation=notation, format=format)) for depth in (100, 400))
        assert long < 5.5 * short
    assert formula(build(2000), notation=notation).count("\n") > 50  # deeper than Python's stack


def test_gradients_of_a_deep_network_are_short():
    loss = network(100)
    weights = [leaf for name, leaf in leaves([loss]).items() if name[0] == "W"]
    found = simplified(sg.gradient(loss, weights), within=[loss]).expressions
    assert len(formula(found).splitlines()) < 450
