"""Every model that ships trains on real data, shortly and made small; its kernel and its formulas are the interpreter's."""

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

import symgrad as sg
from symgrad.expression.forms import evaluation_form
from symgrad.expression.node import leaves
from symgrad.interpreter import evaluate_all

MODELS = Path(__file__).parent.parent / "models"
# Arguments that make a model small, rows and epochs, and the accuracy that is reached at least; measured 3 points
# higher. The figures at full size stand in the README.
SMALL = {
    "softmax_regression": ({}, 6000, 2, 0.78),
    "mnist_mlp": ({"hidden": 64}, 6000, 2, 0.86),
    "mnist_mlp_deep": ({"first": 64, "second": 32, "third": 32}, 6000, 2, 0.80),
    "mnist_mlp_dropout": ({"hidden": 64}, 6000, 2, 0.80),
    "mnist_cnn": ({"first": 8, "second": 8}, 6000, 2, 0.80),
    "mnist_rnn": ({"hidden": 24}, 6000, 3, 0.60),
    "mnist_attention": ({"width": 32}, 6000, 2, 0.55),
}
OTHERS = {"mnist_autoencoder", "two_two_one", "linear_regression", "logistic_regression"}


@pytest.fixture(scope="module")
def mnist():
    return sg.mnist()


def build(name, **arguments):
    return importlib.import_module(f"symgrad.models.{name}").model(**arguments)


def test_every_model_is_tested():
    shipped = {path.stem for path in MODELS.glob("*.py")} - {"__init__"}
    assert shipped == set(SMALL) | OTHERS
    for name in shipped:
        function = importlib.import_module(f"symgrad.models.{name}").model
        assert function.__doc__ and all(p.default is not p.empty for p in inspect.signature(function).parameters.values())


@pytest.mark.parametrize("name", SMALL)
def test_a_model_learns_and_its_kernel_is_right(name, mnist, kernel_cache):
    arguments, rows, epochs, least = SMALL[name]
    model = build(name, **arguments)
    model.fit(mnist.x_train[:rows], mnist.y_train[:rows], epochs=epochs)
    reached = model.evaluate(mnist.x_test[:2000], mnist.y_test[:2000])["accuracy"]
    assert reached >= least
    given = {model.inputs[0].name: mnist.x_test[:8]} | model.weights
    output = evaluation_form(model.output)
    want = sg.evaluate(output, {n: given[n] for n in leaves([output])})
    np.testing.assert_allclose(model.predict(mnist.x_test[:8]), want, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", [*SMALL, *sorted(OTHERS)])
def test_the_formulas_in_numpy_notation_give_the_interpreters_numbers(name):
    """What is printed, run: loss, output and every gradient, of each model that ships."""
    arguments = SMALL[name][0] if name in SMALL else {}
    model = build(name, **arguments)
    model.initialize()
    rows, random = 3, np.random.default_rng(0)
    roots = {"L": model.gradients.loss, **{f"d_{n}": g for n, g in model.gradients.gradients.items()}}
    given = dict(model.weights)
    for leaf in leaves(roots.values()).values():
        shape = [rows if s == "N" else s for s in leaf.shape]
        if leaf.name not in given:
            given[leaf.name] = random.integers(0, 2, shape) if leaf.kind == "integer" else random.random(shape)
    scope = {n: np.asarray(a, np.float64) if a.dtype.kind == "f" else a for n, a in given.items()}
    given = {n: scope[n] for n in leaves(roots.values())}
    exec(sg.formula(roots, notation="numpy"), scope)
    for title, want in zip(roots, evaluate_all(list(roots.values()), given), strict=True):
        np.testing.assert_allclose(scope[title], want, rtol=1e-9, atol=1e-12)


def test_the_autoencoder_gives_images_again(mnist, kernel_cache):
    model = build("mnist_autoencoder", hidden=64, code=16)
    before = model.evaluate(mnist.x_test[:1000])["loss"]
    history = model.fit(mnist.x_train[:6000], epochs=3)
    error = model.evaluate(mnist.x_test[:1000], mnist.y_test[:1000])["loss"]  # labels are not looked at
    assert error < 0.055 < before and history["loss"] == sorted(history["loss"], reverse=True)
    images = mnist.x_test[:4] / 255
    np.testing.assert_allclose(((model.predict(mnist.x_test[:4]) - images) ** 2).mean(), error, atol=0.04)
    with pytest.raises(sg.ModelError, match="target"):
        model.compile(metrics=["accuracy"])


def test_regression_finds_the_weights_of_a_table(kernel_cache):
    random = np.random.default_rng(5)
    columns = random.normal(size=(400, 3)) * [10, 1, 200] + [50, 0, 1500]
    price = columns @ [0.5, -2.0, 0.01] + 3
    model = build("linear_regression", features=3)
    model.fit(columns, price)
    assert model.evaluate(columns, price)["mean_absolute_error"] < 0.05 * np.abs(price - price.mean()).mean()
    np.testing.assert_allclose(model.predict(columns), price, atol=1.0)


def test_classification_of_a_table(kernel_cache):
    random = np.random.default_rng(6)
    columns = random.normal(size=(400, 3)) * [10, 1, 200]
    label = (columns @ [0.1, 1.0, 0.005] > 0).astype(int)
    model = build("logistic_regression", features=3)
    model.fit(columns, label)
    assert model.evaluate(columns, label)["accuracy"] > 0.95


def test_dropout_and_running_statistics_go_on_where_a_run_was_left(tmp_path, mnist, kernel_cache):
    """Noise is a function of seed, epoch and row: a resumed run draws what the whole one drew."""
    x, y = mnist.x_train[:640], mnist.y_train[:640]
    whole, half = (build("mnist_mlp_dropout", hidden=16) for _ in range(2))
    whole.fit(x, y, epochs=2, seed=3)
    half.fit(x, y, epochs=1, seed=3, out=tmp_path)
    from symgrad.storage import checkpoint
    from symgrad.training.saved import load_progress

    model, progress, _ = load_progress(checkpoint.newest(tmp_path).path)
    model.fit(x, y, epochs=2, seed=3, resume=progress)
    for name, weights in whole.weights.items():
        np.testing.assert_array_equal(model.weights[name], weights)


def test_threads_draw_the_same_noise(mnist, kernel_cache):
    runs = []
    for threads in (1, 2, 3):
        model = build("mnist_mlp_dropout", hidden=16)
        model.compile(threads=threads)
        model.fit(mnist.x_train[:640], mnist.y_train[:640], epochs=1)
        runs.append(model.weights["W2"])
    for other in runs[1:]:
        np.testing.assert_allclose(other, runs[0], rtol=1e-4, atol=1e-6)
