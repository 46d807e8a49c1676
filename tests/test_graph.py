"""The graph as a picture: parsed again as XML and as DOT, its geometry measured, its content against the expression."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

import symgrad as sg
from symgrad.expression.node import leaves, topological
from symgrad.inspection.crossings import Rows, ordered
from symgrad.inspection.drawing import drawing
from symgrad.inspection.graph import model_graph
from symgrad.inspection.layout import layout, ranks
from symgrad.inspection.svg import text_width
from symgrad.models import mnist_mlp, mnist_mlp_deep, softmax_regression

SVG = "{http://www.w3.org/2000/svg}"
MODELS = {"mlp": mnist_mlp.model, "deep": mnist_mlp_deep.model, "regression": softmax_regression.model}
FORMS = list(itertools.product((False, True), repeat=2))
WEIRD = """\
import symgrad as sg


def model():
    η, 变量 = sg.variable("η", ("N", 2)), sg.parameter("变量", (2, 3))
    y, lambda_ = sg.variable("y", ("N", 3)), sg.parameter("lambda_", (3,))
    ελπίδα = sg.softplus(η @ 变量 * lambda_).named("ελπίδα")
    return sg.Model([η], [y], ελπίδα, sg.mean_squared_error(ελπίδα, y))
"""


def symgrad(*arguments, cwd=None):
    command = [sys.executable, "-m", "symgrad", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=120)


def network(layers):
    """A network with a residual connection over every second layer."""
    x, y = sg.variable("x", ("N", 8)), sg.labels("y", ("N",), classes=8)
    h = x
    for k in range(layers):
        W, b = sg.parameter(f"W{k}", (8, 8)), sg.parameter(f"b{k}", (8,))
        new = sg.tanh(h @ W + b)
        h = (new + h if k % 2 else new).named(f"h{k}")
    return sg.Model([x], [y], sg.softmax(h), sg.softmax_cross_entropy(h, y))


def moved(element):
    return tuple(map(float, re.fullmatch(r"translate\(([-\d.]+),([-\d.]+)\)", element.get("transform")).groups()))


def parse(text):
    """Boxes as (left, top, right, bottom, lines of text), edges as lists of points, from the SVG itself."""
    root = ET.fromstring(text)
    group = next(g for g in root.findall(f"{SVG}g") if g.get("class") != "legend")
    boxes, edges = [], []
    for g in group.findall(f"{SVG}g"):
        if g.get("class") == "box":
            (x, y), rect = moved(g), g.find(f"{SVG}rect")
            boxes.append((x, y, x + float(rect.get("width")), y + float(rect.get("height")),
                          [(t.text, float(t.get("font-size"))) for t in g.findall(f"{SVG}text")]))  # fmt: skip
        else:
            edges += [sampled(path.get("d")) for path in g.findall(f"{SVG}path")]
    return root, boxes, edges


def sampled(d):
    """Points along a path of lines and cubic curves."""
    points = []
    for kind, numbers in re.findall(r"([MLC])([^MLC]*)", d):
        values = [float(v) for v in re.findall(r"-?[\d.]+", numbers)]
        if kind == "C":
            p = [points[-1], *zip(values[::2], values[1::2], strict=True)]
            for t in (k / 12 for k in range(1, 13)):
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                points.append(tuple(sum(w * q[i] for w, q in zip(weights, p, strict=True)) for i in (0, 1)))
        else:
            start, end = points[-1] if points else tuple(values), tuple(values)
            points += [tuple(a + (b - a) * k / 6 for a, b in zip(start, end, strict=True)) for k in range(7)]
    return points


def inside(box, point, by=0.5):
    return box[0] + by < point[0] < box[2] - by and box[1] + by < point[1] < box[3] - by


@pytest.mark.parametrize(("operations", "gradient"), FORMS)
@pytest.mark.parametrize("name", MODELS)
def test_nothing_overlaps_and_no_edge_crosses_a_box(name, operations, gradient):
    root, boxes, edges = parse(model_graph(MODELS[name](), "svg", operations, gradient))
    for a, b in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for edge, box in itertools.product(edges, boxes):
        assert not any(inside(box, p) for p in edge)
    for x0, y0, x1, y1, _ in boxes:
        assert x0 >= 0 and x1 + 16 <= float(root.get("width")) and y0 >= 0 and y1 + 16 <= float(root.get("height"))


@pytest.mark.parametrize(("operations", "gradient"), FORMS)
def test_text_fits_its_box(operations, gradient):
    for x0, _, x1, _, lines in parse(model_graph(mnist_mlp.model(), "svg", operations, gradient))[1]:
        assert lines and all(text_width(text, size) <= x1 - x0 for text, size in lines)


def test_edges_begin_and_end_at_boxes():
    _, boxes, edges = parse(model_graph(mnist_mlp.model(), gradient=True))
    touching = [(x0, y0 - 0.1, x1, y1 + 0.1) for x0, y0, x1, y1, _ in boxes]
    for edge in edges:
        for end in (edge[0], edge[-1]):
            assert any(
                b[0] <= end[0] <= b[2] and (abs(end[1] - b[1]) < 0.3 or abs(end[1] - b[3]) < 0.3) for b in touching
            )


def test_a_reader_finds_names_formulas_and_shapes():
    text = model_graph(mnist_mlp.model(), gradient=True)
    words = {line for box in parse(text)[1] for line, _ in box[4]}
    assert {
        "net",
        "x W₁ + b₁",
        "(N, 512)",
        "δ_net",
        "(δ_z W₂ᵀ) ⊙ [net > 0]",
        "∂L/∂W₁",
        "xᵀ δ_net",
        "pixels",
        "relu(net)",
    } <= words
    legend = {
        t.text for g in ET.fromstring(text).iter(f"{SVG}g") if g.get("class") == "legend" for t in g.iter(f"{SVG}text")
    }
    assert legend == {"input", "parameter", "named value", "result", "gradient"}


def test_folded_boxes_are_what_the_formulas_name():
    model = mnist_mlp.model()
    picture = drawing({"L": model.loss, "output": model.output}, {}, operations=False)
    names = {"pixels", "x", "W₁", "b₁", "net", "h", "W₂", "b₂", "z", "L", "y", "output"}
    assert len(picture.boxes) == len(names) and {b.name for b in picture.boxes} == names
    by_name = {b.name: i for i, b in enumerate(picture.boxes)}
    uses = {b: {a for a, user in picture.edges if user == i} for b, i in by_name.items()}
    assert uses["net"] == {by_name["x"], by_name["W₁"], by_name["b₁"]} and uses["output"] == {by_name["z"]}
    assert uses["L"] == {by_name["z"], by_name["y"]} and not uses["pixels"]


def test_every_operation_has_its_box():
    model = mnist_mlp.model()
    picture = drawing({"L": model.loss, "output": model.output}, {}, operations=True)
    nodes = topological([model.loss, model.output])
    kinds = [type(n.op).__name__ for n in nodes]
    numbers = sum(k == "Extent" or (k == "Constant" and not n.shape) for k, n in zip(kinds, nodes, strict=True))
    assert len(picture.boxes) == len(nodes) - kinds.count("Named") - numbers
    assert {"· + b₁", "relu(net)", "x W₁", "pixels / 255"} <= {b.formula for b in picture.boxes}


def test_gradients_share_what_the_network_has():
    model = mnist_mlp.model()
    derived = model.gradients
    alone = drawing({"L": derived.loss}, {}, False)
    both = drawing({"L": derived.loss}, {f"∂L/∂{n}": g for n, g in derived.gradients.items()}, False)
    assert len(both.boxes) - len(both.backward) == len(alone.boxes)
    assert {both.boxes[i].kind for i in both.backward} == {"gradient"}


def test_the_python_function():
    x, w = sg.variable("x", ("N", 3)), sg.parameter("w", (3,))
    a, b = sg.exp(x @ w).named("a"), sg.sin(x @ w)
    one, several = sg.graph(a), sg.graph([a, b])
    assert len(parse(one)[1]) == 3 < len(parse(several)[1])
    assert "first" in sg.graph({"first": b}) and len(parse(sg.graph(x))[1]) == 1
    loss = sg.sum(a)
    assert len(parse(sg.graph(loss, gradients=sg.simplify(sg.gradient(loss, [w]))))[1]) > len(parse(sg.graph(loss))[1])
    with pytest.raises(sg.ConfigurationError, match="png.*svg, dot"):
        sg.graph(a, format="png")


@pytest.mark.parametrize(("operations", "gradient"), FORMS)
def test_two_runs_draw_the_same_bytes(operations, gradient):
    code = (
        "import sys; from symgrad.models import mnist_mlp_deep as m; from symgrad.inspection.graph import model_graph;"
        f"sys.stdout.reconfigure(encoding='utf-8'); print(model_graph(m.model(), 'svg', {operations}, {gradient}))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, env={"PYTHONHASHSEED": seed, "PATH": ""}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1 and len(runs.pop()) > 1000


@pytest.mark.parametrize("operations", [False, True])
def test_fifty_layers(operations):
    model = network(50)
    text = model_graph(model, "svg", operations, gradient=True)
    _, boxes, edges = parse(text)
    assert len(boxes) > 250 and len(edges) > len(boxes)
    for (x0, y0, x1, y1, _), (u0, v0, u1, v1, _) in itertools.combinations(boxes, 2):
        assert x1 <= u0 or u1 <= x0 or y1 <= v0 or v1 <= y0
    assert max(b[2] for b in boxes) < (1400 if not operations else 12_000)  # it does not lean


def test_layers_without_names_are_drawn_too():
    h = sg.variable("x", ("N", 2))
    for _ in range(300):
        h = sg.tanh(h) + 1
    assert len(parse(sg.graph(sg.sum(h)))[1]) > 3
    assert len(parse(sg.graph(sg.sum(h), operations=True))[1]) == 602


def test_names_are_escaped(tmp_path):
    (tmp_path / "__x<script>&\"'.py").write_text(WEIRD, encoding="utf-8")
    result = symgrad("graph", "__x<script>&\"'.py", "--gradient", cwd=tmp_path)
    assert result.returncode == 0 and "<script>" not in result.stdout
    root, boxes, _ = parse(result.stdout)
    assert root.find(f"{SVG}title").text == "--x<script>&\"'"
    assert {"output = ελπίδα", "变量", "λ", "η"} <= {line for box in boxes for line, _ in box[4]}
    dot = symgrad("graph", "__x<script>&\"'.py", "--format", "dot", cwd=tmp_path).stdout
    assert dot.startswith('digraph "--x<script>&\\"\'" {')


def test_dot_has_the_same_boxes_and_edges():
    model = mnist_mlp.model()
    _, boxes, edges = parse(model_graph(model, "svg", False, True))
    text = model_graph(model, "dot", False, True)
    nodes = re.findall(r"^  n(\d+) \[label=\"((?:[^\"\\]|\\.)*)\"", text, re.M)
    arrows = re.findall(r"^  n(\d+) -> n(\d+);$", text, re.M)
    assert len(nodes) == len(boxes) and len(arrows) == len(edges)
    assert sorted(label.replace("\\n", "|") for _, label in nodes) == sorted(
        "|".join(t for t, _ in b[4]) for b in boxes
    )
    assert text.count("{") == text.count("}") == 1 + sum(label.count("{") for _, label in nodes)


def test_rows_follow_use():
    edges = [(0, 1), (1, 3), (2, 3), (0, 3), (1, 4), (3, 4)]
    rank = ranks(5, edges, {4})
    assert rank[0] < rank[1] < rank[3] and rank[2] == rank[3] - 1 and rank[4] < min(rank[1], rank[3])
    assert ranks(0, [], set()) == [] and ranks(1, [], set()) == [0]
    assert layout([], [], set()).corners == ()


def test_crossings_are_counted_and_undone():
    def rows():
        return Rows([[0, 1, 2], [3, 4, 5]], [(0, 5), (1, 4), (2, 3)], dict.fromkeys(range(6), 0))

    by_hand = sum((a - b) * (c - d) < 0 for (a, c), (b, d) in itertools.combinations([(0, 5), (1, 4), (2, 3)], 2))
    found = rows()
    assert found.crossings() == by_hand == 3
    ordered(found)
    assert found.crossings() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [(("no-such",), 66, "there is no model"), (("mnist-mlp", "--format", "png"), 78, "there are svg, dot"), ((), 2, "Missing"),
     (("mnist-mlp", "-o", "no/such/folder/g.svg"), 73, "cannot create"), (("mnist-mlp", "-p", "a=1"), 78, "hidden")],
)  # fmt: skip
def test_the_command_refuses_by_name(arguments, code, words, tmp_path):
    result = symgrad("graph", *arguments, cwd=tmp_path)
    assert result.returncode == code and words in result.stderr and not result.stdout and not list(tmp_path.iterdir())


def test_the_command_writes_a_file_or_to_stdout(tmp_path):
    assert symgrad("graph", "softmax-regression", "-o", "g.svg", cwd=tmp_path).stdout == "wrote g.svg\n"
    text = (tmp_path / "g.svg").read_text(encoding="utf-8")
    assert text == symgrad("graph", "softmax-regression", cwd=tmp_path).stdout
    assert set(leaves([softmax_regression.model().loss])) <= {line for box in parse(text)[1] for line, _ in box[4]}
