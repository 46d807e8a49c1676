"""How optimizers, schedules and clipping are chosen, shown as formulas, refused, saved and loaded."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

import symgrad as sg
from symgrad.cli import optimizers as shown
from symgrad.expression.node import leaves
from symgrad.storage import checkpoint
from symgrad.training import optimizers, saved, schedules
from symgrad.training.update_rules import TABLE


def network(**training) -> sg.Model:
    x, y = sg.variable("x", ("N", 4)), sg.labels("y", ("N",), classes=3)
    W, k = sg.parameter("W", (4, 3)), sg.parameter("k", ())
    z = x @ W + k
    return sg.Model([x], [y], sg.softmax(z), sg.softmax_cross_entropy(z, y), (), sg.Training(**training))


@pytest.mark.parametrize(("name", "expected"), [
    ("rmsprop", ["s ← ρ s + (1 − ρ) g²", "w ← w − η g / (√s + ε)"]),
    ("nesterov", ["v ← μ v + g", "w ← w − η (g + μ v)"]),
    ("adamw", ["m ← β₁ m + (1 − β₁) g", "v ← β₂ v + (1 − β₂) g²",
               "w ← (1 − η λ) w − η (m / (1 − β₁^t)) / (√(v / (1 − β₂^t)) + ε)"]),
    ("lion", ["w ← (1 − η λ) w − η sign(β₁ m + (1 − β₁) g)", "m ← β₂ m + (1 − β₂) g"]),
])  # fmt: skip
def test_formulas(name, expected):
    """√s and √(s) are both right: how a root is written is not this table's business."""
    assert shown.assignments(name, "text").replace("√(s)", "√s").split("\n") == expected


@pytest.mark.parametrize("name", TABLE)
def test_every_row_is_complete(name):
    """The printed assignments, followed one after the other, are the update that is compiled."""
    row, optimizer = TABLE[name], optimizers.make(name)
    assert row.source and hasattr(sg, name) and getattr(sg, name)() == optimizer and set(row.numbers) <= set(row.states)
    random = np.random.default_rng(3)
    given = {"w": random.normal(size=3), "g": random.normal(size=3), "eta": 0.1, "t": 3.0, "lambda_": row.decay}
    given |= {s: random.uniform(0.1, 1) if s in row.numbers else random.uniform(0.1, 1, 3) for s in row.states}
    given |= dict(row.settings)
    symbols = {s: sg.variable(s, np.shape(given[s])) for s in ("w", "g", "eta", "t", *row.states)}
    state = {s: symbols[s] for s in row.states}
    weight, new = optimizer.update(*(symbols[n] for n in ("w", "g", "eta", "t")), state)
    expected = {n: sg.evaluate(e, {k: given[k] for k in leaves([e])}) for n, e in {**new, "w": weight}.items()}
    after = dict(given)
    for n, e in optimizers.update_formulas(name).items():
        after[n] = sg.evaluate(e, {k: after[k] for k in leaves([e])})
    for n, value in expected.items():
        np.testing.assert_allclose(after[n], value, rtol=1e-12, err_msg=n)


def command(*arguments, cwd=None):
    return subprocess.run([sys.executable, "-m", "symgrad", *arguments], cwd=cwd, capture_output=True, text=True)


def test_the_command():
    listed = command("optimizers").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["name", *TABLE]
    assert all(row.source in listed for row in TABLE.values())
    one = command("optimizers", "adadelta").stdout
    assert one.startswith("adadelta: Zeiler 2012") and "w ← w − η Δ" in one and "ε = 1e-06" in one and "Keras" in one
    assert "t counts" in command("optimizers", "adam").stdout and "t counts" not in one
    latex = command("optimizers", "adam", "--format", "latex").stdout
    assert latex.startswith("% adam: Kingma") and r"m &\leftarrow \beta_{1}" in latex and "&=" not in latex
    data = json.loads(command("optimizers", "lion", "--json").stdout)
    assert data["source"] == TABLE["lion"].source and len(data["formulas"]) == 2 and data["settings"]["beta2"] == 0.99
    assert len(json.loads(command("optimizers", "--json").stdout)) == len(TABLE)
    for arguments, words in ((["adamm"], "did you mean adam?"), (["adam", "--format", "pdf"], "text or latex")):
        result = command("optimizers", *arguments)
        assert result.returncode == 78 and words in result.stderr and "Traceback" not in result.stderr


def test_the_command_line_sets_them(tmp_path):
    code = (
        "import symgrad as sg\n\ndef model():\n"
        '    x, y = sg.variable("x", ("N", 4)), sg.labels("y", ("N",), classes=3)\n'
        '    z = x @ sg.parameter("W", (4, 3))\n'
        "    return sg.Model([x], [y], sg.softmax(z), sg.softmax_cross_entropy(z, y))\n"
    )
    (tmp_path / "mine.py").write_text(code)
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("f4")
    np.savez(tmp_path / "data.npz", x_train=x, y_train=x[:, :3].argmax(1))
    chosen = ["--optimizer", "adamw", "--weight-decay", "0.05", "--clip-norm", "0.7"]
    words = ["--data", "data.npz", "--epochs", "2", "--schedule", "warmup:3steps+cosine", "--out", "run", "--json"]
    done = command("train", "mine.py", *words, *chosen, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    training = sg.load(tmp_path / json.loads(done.stdout)["checkpoint"]).training
    assert training.optimizer == sg.adamw(weight_decay=0.05) and (training.clip_norm, training.clip_value) == (
        0.7,
        None,
    )
    assert training.schedule == sg.warmup(3, sg.cosine_decay(), "steps")
    source = command("source", "mine.py", *chosen, cwd=tmp_path).stdout
    assert "0.7" in source and source != command("source", "mine.py", "--optimizer", "adamw", cwd=tmp_path).stdout
    for bad in (["--clip-norm", "0"], ["--clip-value", "1", "--clip-norm", "1"], ["--weight-decay", "-1"]):
        result = command("train", "mine.py", "--data", "data.npz", *bad, cwd=tmp_path)
        assert result.returncode == 78 and "Traceback" not in result.stderr
    fixed = command("train", "mine.py", "--resume", "run", "--clip-value", "1", cwd=tmp_path)
    assert fixed.returncode == 78 and "--clip-value is fixed by the checkpoint" in fixed.stderr


@pytest.mark.parametrize("bad", [
    {"clip_value": 0}, {"clip_norm": -1.0}, {"clip_norm": math.nan}, {"clip_value": "1"}, {"clip_norm": True},
    {"clip_value": 1.0, "clip_norm": 1.0},
])  # fmt: skip
def test_bounds_that_make_no_sense(bad):
    with pytest.raises(sg.ConfigurationError, match="clip"):
        sg.Training(**bad)


@pytest.mark.parametrize("bad", [{"nosuch": 1.0}, {"beta1": 1.0}, {"epsilon": -1.0}, {"weight_decay": math.inf}])
def test_settings_that_make_no_sense(bad):
    with pytest.raises(sg.ConfigurationError, match=next(iter(bad))):
        sg.adam(**bad)


def test_a_model_keeps_what_is_not_changed():
    model = network(optimizer=sg.adamw(0.02, weight_decay=0.1, beta1=0.8), clip_norm=1.0)
    model.compile(learning_rate=0.03)
    assert model.training.optimizer == sg.adamw(0.03, weight_decay=0.1, beta1=0.8) and model.training.clip_norm == 1.0
    model.compile(clip_value=0.5, weight_decay=0.2)
    assert (model.training.clip_value, model.training.clip_norm) == (0.5, None)
    assert dict(model.training.optimizer.settings)["weight_decay"] == 0.2


RESTS = {"constant": lambda e, p: 1.0, "step:0.5:2": lambda e, p: 0.5 ** (e // 2),
         "exponential:0.8": lambda e, p: 0.8**e, "cosine": lambda e, p: (1 + math.cos(math.pi * p)) / 2}  # fmt: skip


@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize(("text", "warm"), [("warmup:2", 8), ("warmup:1.5epochs", 6), ("warmup:4steps", 4)])
def test_a_schedule_begins_when_the_warm_up_is_over(text, warm, rest):
    schedule, per_epoch, epochs = schedules.as_schedule(f"{text}+{rest}"), 4, 6
    for epoch in range(epochs):
        rates = schedule.rates(0.1, epoch, per_epoch, epochs)
        for i, rate in enumerate(rates):
            step = epoch * per_epoch + i
            progress = (step - warm) / (per_epoch * epochs - warm)
            after = RESTS[rest](max(0, epoch - warm / per_epoch), progress)
            assert math.isclose(rate, 0.1 * ((step + 1) / warm if step < warm else after), rel_tol=1e-12)


def test_a_warm_up_may_be_longer_than_the_run():
    rates = np.concatenate([sg.warmup(10, "cosine").rates(1.0, epoch, 3, 2) for epoch in range(2)])
    assert np.allclose(rates, np.arange(1, 7) / 30)
    assert schedules.as_schedule("warmup:2") == sg.warmup(2) == sg.warmup(2, sg.constant_rate())


@pytest.mark.parametrize("bad", ["warmup", "warmup:", "warmup:0", "warmup:-1+cosine", "warmup:a+cosine", "warmup:2+",
                                 "warmup:1..2", "warmup:2+nosuch", "warmup:2+warmup:2+cosine", "warmup:1e999"])  # fmt: skip
def test_warm_ups_that_are_refused(bad):
    with pytest.raises(sg.ConfigurationError):
        schedules.as_schedule(bad)
    for call in (lambda: sg.warmup(0), lambda: sg.warmup(2, unit="rows"), lambda: sg.warmup(2, sg.warmup(2))):
        with pytest.raises(sg.ConfigurationError):
            call()


def test_settings_are_saved_and_old_files_load(tmp_path):
    model = network(optimizer=sg.nadam(weight_decay=0.1), clip_norm=2.0, schedule=sg.warmup(2, sg.step_decay(0.3, 4)))
    random = np.random.default_rng(0)
    model.fit(random.normal(size=(40, 4)), random.integers(0, 3, 40))
    path = model.save(tmp_path / "new.safetensors")
    loaded = sg.load(path)
    assert loaded.training == model.training
    assert (
        loaded.weights["k"].shape == loaded.state["k_c"].shape == () and loaded.state["W_c"] == model.state["W_c"] != 0
    )
    tensors, document = checkpoint.load(path)
    for name in ("warmup", "warmup_unit", "clip_value", "clip_norm"):  # as version 0.1.0 wrote it
        del document["training"][name]
    del document["training"]["settings"]["weight_decay"]
    old = saved.model_of(tensors, document, path).training
    expected = dataclasses.replace(model.training, optimizer=sg.nadam(), clip_norm=None, schedule=sg.step_decay(0.3, 4))
    assert old == expected
    for damage in ({"clip_norm": "x"}, {"warmup": "x", "warmup_unit": "steps"}, {"warmup": 2.0}):
        with pytest.raises(sg.ModelError, match="damaged"):
            saved.model_of(tensors, {**document, "training": document["training"] | damage}, path)
