"""Products of bfloat16 from the expression to the command line: what is rounded, what is not, what is kept."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import unjitted

import symgrad as sg
from symgrad.cli import train as train_module
from symgrad.codegen.twins import rounded
from symgrad.expression.node import leaves
from symgrad.expression.precision import precision_of
from symgrad.models import mnist_cnn, mnist_mlp, mnist_rnn

random = np.random.default_rng(0)


def values(*shape):
    return random.standard_normal(shape).astype("f4")


def test_precisions_belong_to_dtypes():
    assert precision_of("float32", "float32") == "float32" and precision_of("float64", "float64") == "float64"
    wrong = {("float64", "bfloat16"): "precision bfloat16 goes with dtype float32, not with float64",
             ("float32", "float64"): "precision float64 goes with dtype float64, not with float32",
             ("float32", "half"): "precision is one of float32, float64, bfloat16, not 'half'",
             ("float32", ""): "precision is one of float32, float64, bfloat16, not ''"}  # fmt: skip
    for (dtype, precision), message in wrong.items():
        with pytest.raises(sg.ConfigurationError, match=message):
            precision_of(dtype, precision)
        with pytest.raises(sg.ConfigurationError):
            sg.Training(dtype=dtype, precision=precision)
    x = sg.variable("x", ("N", 3))
    with pytest.raises(sg.ConfigurationError, match="bfloat16"):
        sg.compile(x @ x.T, "float64", precision="bfloat16")


def test_a_precision_that_is_the_dtype_follows_it():
    training = sg.Training(precision="bfloat16")
    assert training.factors == "bfloat16" and training.changed(batch_size=3).precision == "bfloat16"
    plain = training.changed(precision="float32")
    assert plain == sg.Training() and plain.changed(dtype="float64").factors == "float64"
    with pytest.raises(sg.ConfigurationError, match="precision bfloat16 goes with dtype float32, not with float64"):
        training.changed(dtype="float64")


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", [1, 2, 5, 31, 64, 131])
def test_factors_are_rounded_and_nothing_else_is(rows, threads):
    x, w, b = sg.variable("x", ("N", 67)), sg.parameter("w", (67, 45)), sg.parameter("b", (45,))
    kernel = sg.compile([x @ w + b, sg.sum(x * x, axis=0)], precision="bfloat16", threads=threads)
    given = {"x": values(rows, 67), "w": values(67, 45), "b": values(45)}
    product, squares = kernel(given)
    exact = rounded(given["x"]).astype(float) @ rounded(given["w"]).astype(float) + given["b"]
    np.testing.assert_allclose(product, exact, atol=2e-5)
    np.testing.assert_allclose(squares, (given["x"].astype(float) ** 2).sum(0), rtol=1e-5)
    assert abs(product - (given["x"].astype(float) @ given["w"] + given["b"])).max() > 1e-3  # and that shows
    for ours, plain in zip((product, squares), unjitted.call(kernel, given), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_products_of_every_form_agree_with_the_interpreter(threads):
    """Of numbers that are bfloat16 already, so that rounding them changes nothing."""
    a, b, c = (sg.variable(n, ("B", *s)) for n, s in [("a", (9, 17)), ("b", (17, 33)), ("c", (33, 17))])
    image, kernel = sg.variable("image", ("B", 8, 9, 3)), sg.parameter("kernel", (3, 3, 3, 5))
    forms = [
        sg.einsum("bij,bjk->bik", a, b), sg.einsum("bij,bkj->bik", a, c), sg.einsum("bij,bjk->ik", a, b),
        sg.einsum("bij,bil->jl", a, a), sg.conv2d(image, kernel), sg.einsum("bjk,bji->bik", b, sg.transpose(a, (0, 2, 1))),
    ]  # fmt: skip
    shapes = {"a": (4, 9, 17), "b": (4, 17, 33), "c": (4, 33, 17), "image": (4, 8, 9, 3), "kernel": (3, 3, 3, 5)}
    given = {name: rounded(values(*shape)) for name, shape in shapes.items()}
    found = sg.compile(forms, precision="bfloat16", threads=threads)
    assert found.source.count("matmul_bfloat16(") >= len(forms) - 1
    exact = {name: array.astype(float) for name, array in given.items()}
    for form, ours in zip(forms, found(given), strict=True):
        want = sg.evaluate(form, {n: exact[n] for n in leaves([form])})
        np.testing.assert_allclose(ours, want, rtol=1e-5, atol=3e-5)


def network(**training):
    x, y = sg.variable("x", ("N", 40)), sg.labels("y", ("N",), classes=3)
    W1, W2 = sg.parameter("W1", (40, 32)), sg.parameter("W2", (32, 3))
    z = (sg.relu(x @ W1).named("h") @ W2).named("z")
    settings = {"batch_size": 16, "epochs": 1, "precision": "bfloat16"} | training
    return sg.Model([x], [y], sg.softmax(z), sg.softmax_cross_entropy(z, y), [sg.accuracy],
                    sg.Training(sg.sgd(0.1), **settings))  # fmt: skip


def test_a_step_of_training_is_that_of_rounded_factors():
    model = network()
    x, y = values(16, 40), random.integers(0, 3, 16)
    model.initialize()
    before = {n: w.copy() for n, w in model.weights.items()}

    def product(a, b):
        return rounded(a).astype(float) @ rounded(b).astype(float)

    net = product(x, before["W1"]).astype("f4")
    h = np.maximum(net, 0)
    z = product(h, before["W2"])
    p = np.exp(z - z.max(1, keepdims=True))
    delta = ((p / p.sum(1, keepdims=True) - np.eye(3)[y]) / 16).astype("f4")
    behind = (product(delta, before["W2"].T) * (net > 0)).astype("f4")
    want = {"W2": before["W2"] - 0.1 * product(h.T, delta), "W1": before["W1"] - 0.1 * product(x.T, behind)}
    model.fit(x, y, epochs=1)
    for name, weight in want.items():
        # A sum in another order may round a factor to its other neighbour, which is 2^-8 of it.
        np.testing.assert_allclose(model.weights[name], weight, atol=0.1 * 2**-8 * abs(weight - before[name]).max())


def test_training_learns_as_well_as_in_float32():
    x = values(600, 40)
    y = (x @ values(40, 3)).argmax(1)
    found = {}
    for precision in ("float32", "bfloat16"):
        model = network(precision=precision)
        model.fit(x, y, epochs=8)
        found[precision] = model.evaluate(x, y)
    assert found["float32"] != found["bfloat16"] and found["float32"]["accuracy"] > 0.9
    assert abs(found["float32"]["accuracy"] - found["bfloat16"]["accuracy"]) < 0.02


def test_predictions_follow_the_settings():
    """As evaluation does: a kernel of before is not called again."""
    model, x = network(precision=None), values(8, 40)
    plain = model.predict(x)
    model.compile(precision="bfloat16")
    coarse = model.predict(x)
    model.compile(precision="float32")
    np.testing.assert_array_equal(model.predict(x), plain)
    model.compile(dtype="float64")
    assert model.predict(x).dtype == np.float64
    assert 1e-5 < abs(coarse - plain).max() < 0.1


def test_bits_do_not_depend_on_threads():
    x, y = values(64, 40), random.integers(0, 3, 64)
    found = []
    for threads in (1, 2, 3):
        model = network()
        model.compile(threads=threads)
        model.initialize()
        found.append(model.evaluate(x, y)["loss"])
    assert len(set(found)) == 1


def test_a_saved_model_keeps_its_precision(tmp_path):
    model = network()
    loaded = sg.load(model.save(tmp_path / "model.safetensors"))
    assert loaded.training == model.training and "matmul_bfloat16(" in loaded.source_text()
    older = network(precision=None)
    assert sg.load(older.save(tmp_path / "older.safetensors")).training.precision is None


@pytest.mark.parametrize("module", [mnist_mlp, mnist_cnn, mnist_rnn])
def test_every_product_of_a_model_is_of_the_precision(module):
    model = module.model()
    model.compile(precision="bfloat16")
    text = model.source_text()
    assert "matmul_bfloat16(" in text and "matmul(" not in text


def symgrad(*arguments, cwd):
    words = [sys.executable, "-m", "symgrad", *map(str, arguments)]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_the_command_line_trains_resumes_and_shows(tmp_path):
    quick = ("--limit", 2000, "--validation", 0, "--threads", 1)
    done = symgrad("train", "mnist-mlp", "--precision", "bfloat16", "--epochs", 1, "--out", "run", *quick, cwd=tmp_path)
    assert done.returncode == 0 and "(float32, products of bfloat16, 1 thread)" in done.stdout, done.stderr
    assert ("this processor has no AVX512-BF16" in done.stdout) is not train_module.host().has_bfloat16
    again = symgrad("train", "mnist-mlp", "--resume", "run", "--epochs", 2, "--json", cwd=tmp_path)
    assert again.returncode == 0 and "products of bfloat16" in again.stderr
    assert [r["epoch"] for r in json.loads(again.stdout)["epochs"]] == [1, 2]
    fixed = symgrad("train", "mnist-mlp", "--resume", "run", "--precision", "float32", cwd=tmp_path)
    assert fixed.returncode != 0 and "--precision is fixed by the checkpoint" in fixed.stderr
    assert symgrad("evaluate", "run", "--limit", 500, cwd=tmp_path).returncode == 0
    source = json.loads(symgrad("source", "mnist-mlp", "--precision", "bfloat16", "--json", cwd=tmp_path).stdout)
    assert (source["dtype"], source["precision"]) == ("float32", "bfloat16") and "matmul_bfloat16(" in source["source"]
    shown = symgrad("profile", "mnist-mlp", "--precision", "bfloat16", "--batch-size", 32, cwd=tmp_path)
    assert "with nothing but bfloat16 multiply-adds" in shown.stdout, shown.stderr


@pytest.mark.parametrize("words", [("--precision", "fp16"), ("--dtype", "float64", "--precision", "bfloat16")])
def test_the_command_line_says_what_a_precision_can_be(tmp_path, words):
    refused = symgrad("train", "mnist-mlp", *words, cwd=tmp_path)
    assert refused.returncode == 78 and refused.stderr.startswith("error: precision") and refused.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
