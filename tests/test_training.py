"""Training: optimizers, schedules, initialisers, the model's verbs, checkpoints, resuming, interruption."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import symgrad as sg
from symgrad.training import fit as loop
from symgrad.training import initializers, optimizers, saved, schedules


def tiny(hidden: int = 5, **training) -> sg.Model:
    x, y = sg.variable("x", ("N", 4)), sg.labels("y", ("N",), classes=3)
    W1, b1 = sg.parameter("W1", (4, hidden)), sg.parameter("b1", (hidden,))
    W2, b2 = sg.parameter("W2", (hidden, 3)), sg.parameter("b2", (3,))
    z = (sg.tanh(x @ W1 + b1).named("h") @ W2 + b2).named("z")
    options = {"batch_size": 7, "epochs": 3, "dtype": "float64"} | training
    return sg.Model([x], [y], sg.softmax(z), sg.softmax_cross_entropy(z, y), [sg.accuracy], sg.Training(**options))


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 4))
    return x, (x @ random.normal(size=(4, 3))).argmax(1)


@pytest.mark.parametrize(("text", "expected"), [
    ("constant", lambda e, p: 1.0),
    ("step:0.5:2", lambda e, p: 0.5 ** (e // 2)),
    ("exponential:0.8", lambda e, p: 0.8**e),
    ("cosine", lambda e, p: (1 + math.cos(math.pi * p)) / 2),
])  # fmt: skip
def test_schedules(text, expected):
    schedule = schedules.as_schedule(text)
    for epoch in range(5):
        rates = schedule.rates(0.1, epoch, 4, 5)
        assert np.allclose(rates, [0.1 * expected(epoch, (epoch + i / 4) / 5) for i in range(4)])


@pytest.mark.parametrize("bad", ["nosuch", "step:a", "step:1:2:3", "exponential:-1"])
def test_unknown_schedules_are_refused(bad):
    with pytest.raises(sg.ConfigurationError):
        schedules.as_schedule(bad)


def test_initializers_have_the_papers_variance():
    shape = (400, 300)
    variances = {
        "zeros": 0,
        "ones": 0,
        "normal": 0.05**2,
        "uniform": 0.05**2 / 3,
        "glorot_uniform": 2 / 700,
        "he_uniform": 2 / 400,
    }
    for name, variance in variances.items():
        values = initializers.draw(name, shape, 3, 1)
        assert values.shape == shape and np.isclose(values.var(), variance, rtol=0.03)
        assert (values == initializers.draw(name, shape, 3, 1)).all()
    assert (initializers.draw("ones", (3,), 0, 0) == 1).all()
    assert np.isclose(initializers.draw("normal(2.0)", shape, 0, 0).std(), 2, rtol=0.03)
    assert (initializers.draw("normal", shape, 0, 0) != initializers.draw("normal", shape, 0, 1)).any()


def test_fit_learns_and_reports(rows):
    model = tiny(optimizer=sg.adam(0.02), epochs=30)
    history = model.fit(*rows, validation_data=rows)
    assert history["loss"][-1] < 0.5 * history["loss"][0] and len(history.epochs) == 30
    last = history.epochs[-1]
    assert set(last) == {"epoch", "seconds", "loss", "accuracy", "val_loss", "val_accuracy"}
    values = model.evaluate(*rows)
    assert values["loss"] == pytest.approx(last["val_loss"], rel=1e-12)
    assert (model.predict(rows[0]).argmax(1) == rows[1]).mean() == pytest.approx(values["accuracy"])


def test_the_compiled_step_is_the_formula(rows):
    """One step of plain descent equals the gradient that the interpreter computes from the unsimplified loss."""
    model = tiny(optimizer=sg.sgd(0.5), batch_size=60, epochs=1)
    model.initialize(seed=4)
    before = {name: w.copy() for name, w in model.weights.items()}
    leaves = list(model.parameters.values())
    gradients = sg.gradient(model.loss, leaves)
    model.fit(*rows, seed=4)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        g = sg.evaluate(gradient, {"x": rows[0], "y": rows[1], **before})
        assert np.allclose(model.weights[leaf.name], before[leaf.name] - 0.5 * g, atol=1e-13)


def test_same_seed_same_bits_other_seed_other_bits(rows):
    runs = []
    for seed in (1, 1, 2):
        model = tiny(dtype="float32")
        model.fit(*rows, seed=seed)
        runs.append(model.weights["W1"].tobytes())
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("name", ["rmsprop", "adam", "momentum"])
@pytest.mark.parametrize("stop", [1, 5, 9, 13])  # steps of 9 an epoch: mid-epoch, and exactly between two
def test_resumed_run_is_bit_equal(rows, tmp_path, name, stop):
    def fresh():
        return tiny(optimizer=optimizers.make(name, 0.01), schedule=sg.cosine_decay())

    whole = fresh()
    expected = whole.fit(*rows, validation_data=rows, out=tmp_path / "whole")
    seen = 0

    def interrupt(event, facts):
        nonlocal seen
        seen += event == "steps"
        if event == "steps" and seen >= stop:
            raise KeyboardInterrupt

    broken = fresh()
    broken.steps.sliced.__func__.__globals__["SLICE"], kept = 0.0, broken.steps.sliced.__func__.__globals__["SLICE"]
    try:
        with pytest.raises(KeyboardInterrupt):
            broken.fit(*rows, validation_data=rows, out=tmp_path / "broken", watch=interrupt)
    finally:
        broken.steps.sliced.__func__.__globals__["SLICE"] = kept
    from symgrad.storage import checkpoint

    model, progress, _ = saved.load_progress(checkpoint.newest(tmp_path / "broken").path)
    history = model.fit(
        *rows, epochs=3, validation_data=rows, resume=progress, seed=progress.seed, out=tmp_path / "broken"
    )
    for weight in whole.weights:
        assert model.weights[weight].tobytes() == whole.weights[weight].tobytes()
    for a, b in zip(expected.epochs, history.epochs, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


def test_checkpoint_round_trip_needs_no_model_file(rows, tmp_path):
    model = tiny()
    model.fit(*rows)
    model.save(tmp_path / "m.safetensors")
    again = sg.load(tmp_path / "m.safetensors")
    assert np.array_equal(again.predict(rows[0]), model.predict(rows[0]))
    assert again.evaluate(*rows) == model.evaluate(*rows)
    assert again.training == model.training and again.parameter_count == model.parameter_count
    assert str(sg.simplify(again.loss)) == str(sg.simplify(model.loss))


def test_files_of_a_run(rows, tmp_path):
    history = tiny().fit(*rows, out=tmp_path / "run", validation_data=rows)
    names = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert names == ["epoch-0001.safetensors", "epoch-0002.safetensors", "epoch-0003.safetensors", "history.jsonl"]
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == history.epochs
    assert history.checkpoint == tmp_path / "run" / "epoch-0003.safetensors"


def test_early_stopping_keeps_the_best_weights(rows):
    random = np.random.default_rng(5)
    model = tiny(hidden=40, optimizer=sg.adam(0.05), epochs=200)
    held = random.normal(size=(30, 4)), random.integers(0, 3, 30)
    history = model.fit(*rows, validation_data=held, early_stopping=3)
    assert history.stopped_early and len(history.epochs) < 200
    best = min(history["val_loss"])
    assert history["val_loss"].index(best) == len(history.epochs) - 4
    assert model.evaluate(*held)["loss"] == pytest.approx(best)


def test_divergence_names_epoch_step_and_checkpoint(rows, tmp_path):
    x, y = rows[0].copy(), rows[1]
    model = tiny(epochs=1)
    model.fit(x, y, out=tmp_path / "run")
    x[11, 2] = np.nan
    with pytest.raises(sg.DivergenceError, match=r"loss is nan in epoch 1, step (\d) of 9; it began in step \1: x\[11, 2\] is nan \(row 11 of the data\)"):
        model.fit(x, y)


@pytest.mark.parametrize(("change", "message"), [
    (lambda x, y: (x[:, :3], y), r"x has shape \(N, 4\), but its array has shape \(60, 3\)"),
    (lambda x, y: (x, y[:50]), r"N is 60 in x but 50 in y"),
    (lambda x, y: (x, y + 1), r"label 3 at position \d+ of y is out of range.*labels that count from 1"),
    (lambda x, y: (x, np.eye(3)[y]), r"y is integer, but its array holds float64"),
    (lambda x, y: (x[:0], y[:0]), r"there are no rows"),
])  # fmt: skip
def test_data_that_does_not_fit(rows, change, message):
    with pytest.raises(sg.BindingError, match=message):
        tiny().fit(*change(*rows))


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 2.5}, {"epochs": -1}, {"dtype": "float16"}])
def test_training_options_that_make_no_sense(options):
    with pytest.raises(sg.ConfigurationError):
        sg.Training(**options)


def test_models_that_do_not_hold_together():
    x, y, w = sg.variable("x", ("N", 2)), sg.variable("y", ("N",)), sg.parameter("w", (2,))
    other = sg.variable("other", ("N",))
    with pytest.raises(sg.ModelError, match="scalar"):
        sg.Model([x], [y], x @ w, (x @ w - y) ** 2)
    with pytest.raises(sg.ModelError, match="other, declared at test_training.py"):
        sg.Model([x], [y], x @ w, sg.mean_squared_error(x @ w, y + other))
    with pytest.raises(sg.ModelError, match="depends on the target y"):
        sg.Model([x], [y], x @ w + y, sg.mean_squared_error(x @ w, y))
    with pytest.raises(sg.ModelError, match="batch"):
        sg.Model([sg.variable("x", (2,))], [y], sg.sum(w), sg.sum(w)).fit(np.ones(2), np.ones(3))


def test_another_models_checkpoint_is_refused(rows, tmp_path):
    tiny().save(tmp_path / "five.safetensors")
    from symgrad.storage import checkpoint

    tensors, document = checkpoint.load(tmp_path / "five.safetensors")
    with pytest.raises(sg.ModelError, match=r"another model: W1 is \(4, 5\) there, \(4, 6\) here"):
        saved.set_tensors(tiny(hidden=6), tensors, tmp_path / "five.safetensors")
    document["expression"]["nodes"][0]["op"] = "System"
    with pytest.raises(sg.ModelError, match="node 0"):
        saved.model_of(tensors, document, tmp_path / "five.safetensors")


def test_order_of_rows_is_a_function_of_seed_and_epoch():
    a = loop.order_of(3, 2, 100)
    assert sorted(a) == list(range(100)) and (a == loop.order_of(3, 2, 100)).all()
    assert (a != loop.order_of(3, 3, 100)).any() and (a != loop.order_of(4, 2, 100)).any()


def test_summary_counts_the_seed_network():
    from symgrad.models.mnist_mlp import model

    assert "407,050 parameters" in model().summary()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_do_not_depend_on_timing(rows, threads):
    found = set()
    for _ in range(3):
        model = tiny(hidden=70, dtype="float32", epochs=2)
        model.compile(threads=threads)
        model.fit(*rows)
        found.add(b"".join(w.tobytes() for w in model.weights.values()))
    assert len(found) == 1


@pytest.mark.parametrize("optimizer", optimizers.TABLE)
def test_parameters_that_are_numbers(optimizer):
    """Weight and optimizer state of a scalar are overwritten together, as those of a tensor are."""
    inputs = np.linspace(-1, 1, 40)
    trained = []
    for shape in ((), (1,)):
        x, y = sg.variable("x", ("N",)), sg.variable("y", ("N",))
        a, b = sg.parameter("a", shape), sg.parameter("b", shape)
        settings = sg.Training(optimizer=getattr(sg, optimizer)(), batch_size=20, epochs=3, dtype="float64")
        model = sg.Model([x], [y], a * x + b, sg.mean((a * x + b - y) ** 2), training=settings)
        model.fit(inputs, 2 * inputs + 1)
        trained.append(np.array([float(model.weights[n].reshape(())) for n in ("a", "b")]))
    assert np.allclose(*trained, rtol=1e-12) and trained[0].any()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_weight_that_scales_a_product_is_updated_after_it_was_read(optimizer):
    """The gradient by w contains k, and the one by k contains w: both must see the old values."""
    x, t = sg.variable("x", ("N", 3)), sg.variable("t", ("N",))
    k, w = sg.parameter("k", (), init=0.5), sg.parameter("w", (3,), init=[0.1, 0.2, 0.3])
    made = sg.Model(inputs=[x], targets=[t], output=k * (x @ w), loss=sg.mean((k * (x @ w) - t) ** 2))
    made.compile(optimizer=optimizer, learning_rate=0.1, batch_size=4, dtype="float64")
    rows = np.random.default_rng(0).normal(size=(4, 3))
    answers = rows @ [1.0, 2.0, 3.0]
    made.fit(rows, answers, epochs=1)
    residual = 0.5 * (rows @ [0.1, 0.2, 0.3]) - answers
    by_k, by_w = 2 * np.mean(residual * (rows @ [0.1, 0.2, 0.3])), rows.T @ residual / 4
    if optimizer == "sgd":
        assert np.isclose(made.weights["k"], 0.5 - 0.1 * by_k)
        assert np.allclose(made.weights["w"], np.array([0.1, 0.2, 0.3]) - 0.1 * by_w)
    else:
        assert np.isclose(made.weights["k"], 0.5 - 0.1 * np.sign(by_k), atol=1e-6)
