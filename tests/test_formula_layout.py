"""Formulas as they look: parentheses, names, titles, lines, and that they grow with the graph and not beyond it."""

from xml.etree import ElementTree

import numpy as np
import pytest

import symgrad as sg
from symgrad.calculus.simplify import simplified
from symgrad.expression.node import leaves
from symgrad.formulas import aligned, definitions, formula

a, b, c = sg.variable("a", (2, 2)), sg.variable("b", (2, 2)), sg.variable("c", (2, 2))
s, t, u = sg.variable("s"), sg.variable("t"), sg.variable("u")


@pytest.mark.parametrize(("expression", "text"), [
    (a - (b - c), "a − (b − c)"), ((a - b) - c, "a − b − c"), (a * (b @ c), "a ⊙ (b c)"), ((a * b) @ c, "(a ⊙ b) c"),
    (a @ b @ c, "a b c"), (-(a + b), "−(a + b)"), (a - (-b), "a − (−b)"), ((a @ b).T, "(a b)ᵀ"), (a**-1, "a⁻¹"),
    ((a + b) ** 2, "(a + b)²"), ((-a) ** 2, "(−a)²"), (-(a**2), "−a²"), (s / (t / u), "s / (t / u)"),
    (s / t / u, "s / t / u"), (s / (t * u), "s / (t u)"), ((s + t) * a, "(s + t) a"), (a * (b / c), "a ⊙ (b / c)"),
    (2 * a * b, "2 a ⊙ b"), (sg.sum(a + b, axis=0), "Σᵢ (a + b)"), (s ** (t + u), "s^(t + u)"),
    (a + -1.5, "a + (−1.5)"), ((s * sg.sum(a)) * b, "(s Σ a) b"), (-sg.sum(a) * b, "(−Σ a) b"),
    (sg.equal(a, b) * c, "[a = b] ⊙ c"), (sg.equal(a, b), "a = b"), (sg.max(a, axis=0) * 2, "(maxᵢ a) · 2"),
    (sg.sum(a, axis=0) - sg.sum(b, axis=0), "Σᵢ a − Σᵢ b"), (sg.abs(a - b), "|a − b|"), (a - 1.5, "a − 1.5"),
    (sg.sigmoid(a) * (1 - sg.sigmoid(a)), "σ(a) ⊙ (1 − σ(a))"), ((a**s) ** t, "(a^s)^t"), (sg.sqrt(a), "√(a)"),
    (sg.where(a > 0, b, 0), "b ⊙ [a > 0]"), (s * sg.sum(a), "s Σ a"), (sg.sum(a) * s, "(Σ a) s"),
    (sg.logical_and(a > 0, sg.logical_or(a > b, b > 1)), "a > 0 ∧ (a > b ∨ b > 1)"),
])  # fmt: skip
def test_parentheses(expression, text):
    assert formula(expression) == text


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
    scope = dict(values)
    exec(formula(expression, notation="numpy"), scope)
    assert np.allclose(scope["result"], sg.evaluate(expression, values))


def test_two_nodes_of_one_name_stay_apart():
    x = sg.variable("x", ())
    both = sg.exp(x).named("h") + sg.sin(x).named("h")
    assert formula(both) == "h + h_2\nwhere\n  h_2 = sin(x)\n  h   = exp(x)"


def test_a_condition_with_a_name_is_told_from_its_definition():
    assert formula(sg.where(sg.equal(a, b).named("hit"), b, c)) == "where(hit, b, c)\nwhere\n  hit = (a = b)"


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
