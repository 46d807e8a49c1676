"""The report as a reader's machine meets it: parsed as HTML and as XML, its parts against the model, in a browser."""

from __future__ import annotations

import base64
import html.parser
import io
import math
import os
import re
import shutil
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import symgrad as sg
from symgrad.calculus import rules
from symgrad.inspection import explained
from symgrad.inspection.blocks import code_section, cut
from symgrad.inspection.charts import curves, matrix, ticks
from symgrad.inspection.outcome import confusion, first_weights, mistakes
from symgrad.inspection.page import Section, page, plain
from symgrad.inspection.pictures import grey, image, sheet
from symgrad.models import mnist_mlp, softmax_regression
from symgrad.training.steps import Plan

X, SVG, MATH = (f"{{http://www.w3.org/{name}}}" for name in ("1999/xhtml", "2000/svg", "1998/Math/MathML"))
VOID = {"meta", "img", "br", "hr", "input", "link"}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
SECTIONS = ["model", "graph", "loss", "gradients", "derivation", "code", "cost"]
CLASSIFIER = """\
import symgrad as sg


def model(classes=3):
    x, y = sg.variable("x", ("N", 4)), sg.labels("y", ("N",), classes=classes)
    W, b = sg.parameter("W", (4, classes)), sg.parameter("b", (classes,))
    z = (x @ W + b).named("z")
    return sg.Model([x], [y], sg.softmax(z), sg.softmax_cross_entropy(z, y), [sg.accuracy],
                    sg.Training(sg.sgd(0.1), batch_size=8, epochs=2))
"""
REGRESSION = """\
import symgrad as sg


def model():
    η, 变量 = sg.variable("η", ("N", 4)), sg.parameter("变量", (4,))
    y = sg.variable("y", ("N",))
    prediction = (η @ 变量).named("prediction")
    return sg.Model([η], [y], prediction, sg.mean_squared_error(prediction, y), [], sg.Training(sg.sgd(0.1), epochs=2))
"""


def symgrad(*arguments, cwd=None):
    command = [sys.executable, "-m", "symgrad", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=300)


class Strict(html.parser.HTMLParser):
    """Every element closed in order; what could reach the network or run is collected."""

    def __init__(self):
        super().__init__()
        self.open, self.foreign, self.ids, self.targets = [], [], [], []

    def handle_starttag(self, tag, attributes, closed=False):
        values = dict(attributes)
        if tag in ("script", "link", "iframe", "object", "embed", "base", "form"):
            self.foreign.append(tag)
        self.foreign += [f"{k}={v[:40]}" for k, v in values.items() if k.startswith("on")]
        for key in ("src", "href", "srcset", "data", "action"):
            if key in values and not values[key].startswith(("#", "data:image/png;base64,")):
                self.foreign.append(f"{key}={values[key][:40]}")
        self.ids += [values["id"]] if "id" in values else []
        self.targets += [values["href"][1:]] if values.get("href", "").startswith("#") else []
        if not closed and tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes, closed=True)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag


def parse(text):
    """The document, after checking that it is sound, alone and consistent."""
    reader = Strict()
    reader.feed(text)
    reader.close()
    assert not reader.open and not reader.foreign, (reader.open, reader.foreign)
    assert len(reader.ids) == len(set(reader.ids)) and set(reader.targets) <= set(reader.ids)
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert "url(" not in style and "@import" not in style
    assert not re.search(r"https?://(?!www\.w3\.org/(?:1999/xhtml|2000/svg|1998/Math/MathML))", text)
    return ET.fromstring(text)


def words(element):
    return " ".join("".join(element.itertext()).split())


def section(root, key):
    return next(s for s in root.iter(f"{X}section") if s.get("id") == key)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two model files, data and a run of each."""
    path = tmp_path_factory.mktemp("report")
    (path / "mine.py").write_text(CLASSIFIER, encoding="utf-8")
    (path / "line.py").write_text(REGRESSION, encoding="utf-8")
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 4)).astype("f4")
    y = x[:, :3].argmax(1)
    np.savez(path / "data.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    np.savez(path / "real.npz", x_train=x, y_train=x.sum(axis=1))
    for model, data, out in (("mine.py", "data.npz", "run"), ("line.py", "real.npz", "line")):
        done = symgrad("train", model, "--data", data, "--out", out, cwd=path)
        assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The report of a network that was trained on some of MNIST."""
    path = tmp_path_factory.mktemp("digits")
    done = symgrad("train", "mnist-mlp", "-p", "hidden=20", "--limit", 2000, "--epochs", 2, "--out", "run", cwd=path)
    assert done.returncode == 0, done.stderr
    done = symgrad("report", "mnist-mlp", "-p", "hidden=20", "--run", "run", cwd=path)
    assert done.returncode == 0, done.stderr
    return path / "mnist-mlp-report.html"


def test_a_page_about_a_model():
    root = parse(sg.report(softmax_regression.model()))
    assert [s.get("id") for s in root.iter(f"{X}section")] == SECTIONS
    assert [a.get("href") for a in root.find(f".//{X}nav").iter(f"{X}a")] == [f"#{s}" for s in SECTIONS]
    assert "7,850 numbers are trained" in words(section(root, "model"))
    gradients = section(root, "gradients")
    assert len(gradients.findall(f".//{MATH}math")) >= 8 and "checked:" in words(gradients)
    assert "softmax(z)−onehot(y)" in words(gradients).replace(" ", "")
    assert "matrix product" in words(section(root, "derivation"))
    assert len(list(section(root, "graph").iter(f"{SVG}svg"))) == 1
    assert "2 N (784·10" in words(section(root, "cost")) and "counts 2" in words(section(root, "cost"))


def test_the_code_stands_whole_beside_its_formulas():
    model = mnist_mlp.model(hidden=20)
    plan = Plan(model)
    blocks = cut(plan.program)
    whole = [line.strip() for line in model.source_text().splitlines() if line.strip()][1:]  # without the heading
    assert [line.strip() for _, text in blocks for line in text.splitlines() if line.strip()] == whole
    assert sorted(id(s) for stages, _ in blocks for s in stages) == sorted(id(p.stage) for p in plan.program.parts)
    root = ET.fromstring(f"<div>{''.join(code_section(model).parts)}</div>")
    pairs = [(words(p[0]), words(p[1])) for p in root.iter("div") if p.get("class") == "pair"]
    formula, code = next(p for p in pairs if p[0].startswith("h") and "relu" in p[0])
    assert "b" in formula and "net" in code and "(N, 20)" in formula
    updated = [p for p in pairs if "←" in p[0]]
    assert sum(p[0].count(f"{w} ←") for p in updated for w in ("W1", "b1", "W2", "b2")) == 4
    assert all("matmul" in c or "learning_rate" in c for _, c in updated)


def test_two_reports_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        assert symgrad("report", "softmax-regression", "-o", f"{name}.html", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_run_on_pictures(digits):
    root = parse(digits.read_text(encoding="utf-8"))
    assert [s.get("id") for s in root.iter(f"{X}section")] == [*SECTIONS, "training", "classes", "weights"]
    training, classes = section(root, "training"), section(root, "classes")
    labels = [words(t) for t in training.iter(f"{SVG}text")]
    assert {"epoch", "loss", "accuracy", "training", "validation", "1", "2"} <= set(labels)
    assert len(list(training.iter(f"{SVG}polyline"))) == 4
    rows = [[words(cell) for cell in row.iter(f"{X}td")] for row in classes.find(f".//{X}table").iter(f"{X}tr")][2:]
    counts = np.array([[0 if cell == "·" else int(cell) for cell in row] for row in rows])
    right = int(re.match(r".*?([\d,]+) of 2,000 rows are told right", words(classes))[1].replace(",", ""))
    assert counts.shape == (10, 10) and counts.sum() == 2000 and np.trace(counts) == right
    pictures = [decoded(i) for i in classes.iter(f"{X}img")]
    assert len(pictures) == 24 and all(p.size == (28, 28) for p in pictures)
    (weights,) = [decoded(i) for i in section(root, "weights").iter(f"{X}img")]
    assert weights.mode == "RGB" and weights.size == (16 * 29 - 1, 2 * 29 - 1)


def decoded(element):
    assert element.get("alt")
    data = element.get("src").removeprefix("data:image/png;base64,")
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


def test_the_worst_mistakes_are_mistakes(digits):
    test = sg.mnist()
    captions = [words(c) for c in section(parse(digits.read_text(encoding="utf-8")), "classes").iter(f"{X}figcaption")]
    for caption in captions:
        truth, guess, row = map(int, re.match(r"(\d), taken for (\d) .*, row (\d+)", caption).groups())
        assert truth != guess and test.y_test[row] == truth


def complaints(path, profile):
    """What a browser has to say about a page, and the document that it made of it."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--enable-logging=stderr", "--v=0", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line], done.stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_browser_has_nothing_to_complain_about(digits, tmp_path):
    said, document = complaints(digits, tmp_path / "profile")
    assert not said and document.count("<section") == 10 and document.count("<svg") == 3
    wrong = tmp_path / "wrong.html"
    wrong.write_text(
        digits.read_text(encoding="utf-8").replace("</body>", "<script>nowhere()</script></body>"), encoding="utf-8"
    )
    assert complaints(wrong, tmp_path / "profile")[0]  # the policy of the page refuses a script, and says so


def test_a_classifier_of_rows_that_are_no_pictures(folder):
    done = symgrad("report", "mine.py", "--run", "run", cwd=folder)
    assert re.fullmatch(r"wrote mine-report.html, \d+ kB\n", done.stdout) and not done.stderr
    root = parse((folder / "mine-report.html").read_text(encoding="utf-8"))
    assert "The inputs are no pictures" in words(section(root, "weights")) and not list(root.iter(f"{X}img"))
    assert "of 20 rows are told right" in words(section(root, "classes"))
    assert "From mine.py" in words(root) or "mine.py with classes = 3" in words(root)


def test_a_model_that_is_no_classifier(folder):
    assert (
        symgrad("report", "line.py", "--run", "line/epoch-0002.safetensors", "-o", "r.html", cwd=folder).returncode == 0
    )
    root = parse((folder / "r.html").read_text(encoding="utf-8"))
    assert "does not tell classes apart" in words(section(root, "classes"))
    assert "变量" in words(section(root, "gradients")) and list(section(root, "training").iter(f"{SVG}polyline"))


def test_names_are_escaped(tmp_path):
    name = "__x<script>alert(1)<&>\"'"
    (tmp_path / f"{name}.py").write_text(REGRESSION, encoding="utf-8")
    assert symgrad("report", f"{name}.py", cwd=tmp_path).returncode == 0
    (path,) = tmp_path.glob("*-report.html")
    root = parse(path.read_text(encoding="utf-8"))
    assert words(root.find(f".//{X}h1")).startswith("--x<script>alert(1)<&>\"'")


@pytest.mark.parametrize("text", ["<b>", "a\x00b", "\ud800", "\ufffe", "]]>", "&amp;", "\"'"])
def test_any_text_can_stand_on_a_page(text):
    root = ET.fromstring(
        page(text, [], [Section("a", text, (f"<p title='{plain(text)}'>{plain(text)}</p>",))]).encode()
    )
    shown = re.sub("[\x00\ud800\ufffe]", "\ufffd", text)
    assert words(root.find(f".//{X}h1")) == words(root.find(f".//{X}p")) == shown == root.find(f".//{X}p").get("title")


def test_fifty_layers_on_a_page():
    """All chapters but the proof, whose time is not the page's."""
    x, y = sg.variable("x", ("N", 8)), sg.labels("y", ("N",), classes=8)
    h = x
    for k in range(50):
        h = sg.tanh(h @ sg.parameter(f"W{k}", (8, 8)) + sg.parameter(f"b{k}", (8,))).named(f"h{k}")
    model = sg.Model([x], [y], sg.softmax(h), sg.softmax_cross_entropy(h, y))
    chapters = [
        explained.model_section,
        explained.graph_section,
        explained.derivation_section,
        code_section,
        explained.cost_section,
    ]
    root = parse(page("deep", [], [chapter(model) for chapter in chapters]))
    assert words(section(root, "derivation")).count("matrix product, right operand") == 50
    assert "is deep" in words(section(root, "graph")) and list(section(root, "graph").iter(f"{SVG}svg"))


def test_a_wrong_rule_stops_the_report(monkeypatch, tmp_path):
    import dataclasses

    right = rules.rule_for

    def wrong(node, position):
        rule = right(node, position)
        if rule is None or rule.name != "tanh":
            return rule
        return dataclasses.replace(rule, pullback=lambda node, y, g, position: 2 * g)

    x, y = sg.variable("x", ("N", 2)), sg.variable("y", ("N",))
    output = sg.tanh(x @ sg.parameter("w", (2,))).named("output")
    model = sg.Model([x], [y], output, sg.mean_squared_error(output, y))
    monkeypatch.setattr(rules, "rule_for", wrong)
    with pytest.raises(sg.GradientError, match="tanh"):
        sg.report(model)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("no-such",), 66, "there is no model"),
        ((), 2, "Missing argument"),
        (("mine.py", "-p", "a=1"), 78, "classes=3"),
        (("mine.py", "--run", "nowhere"), 66, "there is no file or folder"),
        (("mine.py", "--run", "line"), 65, "symgrad report line.py --run line"),
        (("mine.py", "-p", "classes=4", "--run", "run"), 65, "symgrad report mine.py -p classes=3 --run run"),
        (("mine.py", "-o", "no/such/r.html"), 73, "cannot create"),
        (("mine.py", "-o", "."), 73, "cannot create"),
        (("mine.py", "--run", "mine.py"), 65, "model file"),
    ],
)
def test_the_command_refuses_by_name(folder, arguments, code, message):
    before = sorted(folder.rglob("*"))
    result = symgrad("report", *arguments, cwd=folder)
    assert result.returncode == code and message in result.stderr and not result.stdout, result.stderr
    assert sorted(folder.rglob("*")) == before


def test_an_interrupted_report_leaves_nothing_behind(tmp_path):
    code = """
        import os, signal, sys
        from symgrad.cli import app, reports
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores Ctrl-C
        reports.report = lambda *a: os.kill(os.getpid(), signal.SIGINT)
        sys.exit(app.run(["report", "softmax-regression"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 130 and "Traceback" not in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("low", "high"), [(0.1, 0.42), (0, 1), (0.97, 0.9801), (-3, 1e6), (2.5, 2.5), (0, 0), (1e-9, 3e-9), (-5, -4)]
)
def test_ticks_are_round_and_reach_beyond(low, high):
    found = ticks(low, high)
    assert found[0] <= low + 1e-12 and high - 1e-12 <= found[-1] and 2 <= len(found) <= 8
    steps = np.diff(found)
    assert np.allclose(steps, steps[0]) and f"{steps[0]:e}"[0] in "125"


def test_curves_lie_where_the_numbers_say():
    root = ET.fromstring(curves({"a": [1.0, 0.5, math.nan, 0.0], "b<": [0.2, 0.4]}, "loss & co"))
    lines = [
        [tuple(map(float, p.split(","))) for p in line.get("points").split()] for line in root.iter(f"{SVG}polyline")
    ]
    levels = {float(t.text): float(t.get("y")) - 4 for t in root.iter(f"{SVG}text") if t.get("text-anchor") == "end"}
    assert [y for _, y in lines[0]] == pytest.approx(
        [levels[1.0], (levels[1.0] + levels[0.0]) / 2, levels[0.0]], abs=0.2
    )
    assert [x for x, _ in lines[0]] == sorted(x for x, _ in lines[0]) and lines[1][0][0] == lines[0][0][0]
    assert {"loss & co", "a", "b<", "epoch"} <= {t.text for t in root.iter(f"{SVG}text")}
    width, height = float(root.get("width")), float(root.get("height"))
    assert all(0 <= x <= width and 0 <= y <= height for line in lines for x, y in line)
    assert ET.fromstring(curves({"a": [0.3]}, "one epoch")).find(f"{SVG}circle") is not None
    assert "nan" not in curves({"a": [math.nan]}, "no number")


def test_confusions_and_mistakes_by_hand():
    output = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.3, 0.7]])
    truth = np.array([0, 0, 1, 1])
    counts = confusion(output, truth)
    assert (
        counts.tolist() == [[1, 1], [1, 1]]
        and mistakes(output, truth, 5) == [2, 1]
        and mistakes(output, truth, 1) == [2]
    )
    assert confusion(output, truth.astype(float)) is None and confusion(output[:, :1], truth) is None
    cells = [td.text for td in ET.fromstring(matrix(counts, ["<a>", "b"])).iter("td")]
    assert cells == ["1", "1", "1", "1"]


def test_pictures_by_hand():
    shown = grey(np.array([0, 255, 51, 0]), (2, 2))
    assert shown.tolist() == [[255, 0], [204, 255]]  # ink is dark
    assert grey(np.zeros(4), (2, 2)).tolist() == [[255, 255], [255, 255]]
    pixels = sheet(np.array([[1.0, 0.0], [-1.0, 0.0]]), (1, 2), 2)
    assert pixels.shape == (1, 5, 3) and pixels[0, 3].tolist() == [255] * 3
    assert pixels[0, 0, 0] > pixels[0, 0, 2] and pixels[0, 1, 2] > pixels[0, 1, 0]
    element = ET.fromstring(image(shown, "<&>", 10))
    assert np.asarray(decoded(element)).tolist() == shown.tolist() and element.get("alt") == "<&>"


def test_first_weights_are_those_of_the_features():
    model = mnist_mlp.model(hidden=7)
    model.initialize()
    name, weights = first_weights(model, 784)
    assert name == "W1" and weights.shape == (784, 7) and first_weights(model, 5) is None
    turned = sg.Model([x := sg.variable("x", ("N", 5))], [y := sg.variable("y", ("N", 2))],
                      out := (x @ sg.parameter("A", (2, 5)).T).named("out"), sg.mean_squared_error(out, y))  # fmt: skip
    turned.initialize()
    assert first_weights(turned, 5)[1].shape == (5, 2)


def test_the_file_is_written_whole(folder):
    path = Path(folder / "old.html")
    path.write_text("old")
    os.link(path, folder / "kept.html")
    assert symgrad("report", "mine.py", "-o", "old.html", cwd=folder).returncode == 0
    assert (folder / "kept.html").read_text() == "old" and path.read_text(encoding="utf-8").endswith("</html>\n")
