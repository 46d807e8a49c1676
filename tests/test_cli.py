"""The command line as a user meets it, in processes of its own: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from symgrad.cli import find
from symgrad.storage import checkpoint
from symgrad.training import saved

FORMULAS = """\
∂L/∂W₁ = xᵀ δ_net
∂L/∂b₁ = Σₙ δ_net
∂L/∂W₂ = hᵀ δ_z
∂L/∂b₂ = Σₙ δ_z
where
  δ_net = (δ_z W₂ᵀ) ⊙ [net > 0]
  δ_z   = (softmax(z) − onehot(y)) / N
  z     = h W₂ + b₂
  h     = relu(net)
  net   = x W₁ + b₁
  x     = pixels / 255
"""
MINE = """\
import symgrad as sg


def model(hidden=8, scale=1.0, deep=False):
    x, y = sg.variable("x", ("N", 4)), sg.labels("y", ("N",), classes=3)
    W, b = sg.parameter("W", (4, 3)), sg.parameter("b", (3,))
    z = (x @ W + scale * b).named("z")
    return sg.Model([x], [y], sg.softmax(z), sg.softmax_cross_entropy(z, y), [sg.accuracy],
                    sg.Training(sg.sgd(0.1), batch_size=8, epochs=2))
"""


def command(*arguments, **options):
    return [sys.executable, "-m", "symgrad", *map(str, arguments)], {"text": True, **options}


def run(*arguments, cwd=None, **options):
    words, settings = command(*arguments, **options)
    return subprocess.run(words, cwd=cwd, capture_output=True, timeout=120, **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model file, data, and a finished run."""
    path = tmp_path_factory.mktemp("cli")
    (path / "mine.py").write_text(MINE)
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 4)).astype("f4")
    y = x[:, :3].argmax(1)
    np.savez(path / "data.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    header = "a,b,c,d,label\n"
    (path / "data.csv").write_text(
        header + "".join(",".join(f"{v:.6f}" for v in r) + f",{k}\n" for r, k in zip(x, y, strict=True))
    )
    done = run("train", "mine.py", "--data", "data.npz", "--out", "run", cwd=path)
    assert done.returncode == 0, done.stderr
    return path


def test_version_and_help():
    assert run("--version").stdout == "symgrad 0.1.0\n"
    for name in ("", "train", "evaluate", "predict", "gradients", "summary", "source", "models", "info", "cache"):
        result = run(*filter(None, [name]), "--help")
        assert result.returncode == 0 and "Usage" in result.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from symgrad.cli.app import run; run(['--version']); print(sorted({'numpy', "
        "'numba', 'sympy', 'llvmlite'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines()[-1] == "[]"


def test_gradients_of_the_seed_network():
    result = run("gradients", "mnist-mlp")
    assert result.stdout.startswith(FORMULAS + "checked: ") and result.stderr == ""
    data = json.loads(run("gradients", "mnist-mlp", "--json").stdout)
    assert data["gradients"]["W2"] == {"formula": "hᵀ δ_z", "shape": [512, 10]}


@pytest.mark.parametrize("model", ["mnist-mlp", "mnist-mlp-deep", "softmax-regression"])
def test_no_line_is_longer_than_100(model):
    assert max(map(len, run("gradients", model).stdout.splitlines())) <= 100


def test_train_json_has_what_was_promised(folder):
    result = run("train", "mine.py", "--data", "data.npz", "--validation", 10, "--json", "--epochs", 3, cwd=folder)
    value = json.loads(result.stdout)
    assert {"model", "parameters", "derive_seconds", "compile_seconds", "epochs", "test", "checkpoint"} <= set(value)
    assert value["parameters"] == 15 and set(value["test"]) == {"loss", "accuracy"}
    assert [set(e) for e in value["epochs"]] == [
        {"epoch", "seconds", "loss", "accuracy", "val_loss", "val_accuracy"}
    ] * 3
    assert (folder / value["checkpoint"]).is_file() and "∂L/∂W" in result.stderr


def test_training_says_what_it_does(folder):
    result = run("train", "mine.py", "--data", "data.csv", "--epochs", 2, "-p", "hidden=9", cwd=folder)
    for text in (
        "15 parameters",
        "∂L/∂W = xᵀ δ_z",
        "kernel",
        "epoch 2/2",
        "val_loss",
        "● loss",
        "checkpoint runs/mine-",
    ):
        assert text in result.stdout, text


def test_runs_never_overwrite_each_other(folder):
    first, second = (
        json.loads(run("train", "mine.py", "--data", "data.npz", "--json", cwd=folder).stdout)["checkpoint"]
        for _ in range(2)
    )
    assert first != second
    again = run("train", "mine.py", "--data", "data.npz", "--out", "run", cwd=folder)
    assert again.returncode == 73 and "--resume" in again.stderr


def test_resume_goes_on(folder):
    assert run("train", "mine.py", "--data", "data.npz", "--out", "more", cwd=folder).returncode == 0
    value = json.loads(run("train", "mine.py", "--resume", "more", "--epochs", 4, "--json", cwd=folder).stdout)
    whole = json.loads(run("train", "mine.py", "--data", "data.npz", "--epochs", 4, "--json", cwd=folder).stdout)
    assert [e["loss"] for e in value["epochs"]] == [e["loss"] for e in whole["epochs"]] and value["test"] == whole[
        "test"
    ]


def test_evaluate_and_predict(folder):
    data = json.loads(run("evaluate", "run", "--data", "data.npz", "--json", cwd=folder).stdout)
    assert data["rows"] == 20 and np.sum(data["confusion"]) == 20
    assert "truth" in run("evaluate", "run", "--data", "data.npz", cwd=folder).stdout
    result = json.loads(
        run("predict", "--checkpoint", "run", "--data", "data.npz", "-i", 3, "--json", cwd=folder).stdout
    )
    (row,) = result["predictions"]
    assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5) and row["truth"] in (0, 1, 2)


def test_other_commands(folder):
    assert "15 parameters" in run("summary", "mine.py", cwd=folder).stdout
    assert json.loads(run("summary", "mnist-mlp", "--json").stdout)["parameters"] == 407050
    text = run("source", "mine.py", cwd=folder).stdout
    compile(text, "generated", "exec")
    assert "def train(thread, threads, table):" in text
    shipped = {p.stem.replace("_", "-") for p in (Path(__file__).parent.parent / "models").glob("*.py")} - {"--init--"}
    assert {m["model"] for m in json.loads(run("models", "--json").stdout)} == shipped >= {"mnist-mlp", "mnist-cnn"}
    assert "threads" in json.loads(run("info", "--json").stdout)


def test_cache_clear(tmp_path):
    own = {**os.environ, "SYMGRAD_CACHE_DIR": str(tmp_path / "kernels")}
    assert json.loads(run("cache", "clear", "--json", env=own).stdout)["removed"] == 0


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["train"], 2, "Missing argument"),
    (["nosuch"], 2, "No such command"),
    (["train", "mine.py", "--epochs", "x"], 2, "--epochs"),
    (["train", "mnist-mpl"], 66, "did you mean mnist-mlp"),
    (["train", "absent.py"], 66, "absent.py"),
    (["gradients", "data.csv"], 65, "not a Python file"),
    (["train", "broken.py"], 65, "broken.py, line 4: ZeroDivisionError"),
    (["train", "syntax.py"], 65, "syntax.py, line 1"),
    (["train", "empty.py"], 65, "defines no function model()"),
    (["train", "mine.py", "-p", "nosuch=1"], 78, "hidden=8"),
    (["train", "mine.py", "-p", "hidden=many"], 78, "whole number"),
    (["train", "mine.py", "--optimizer", "magic"], 78, "rmsprop"),
    (["train", "mine.py", "--schedule", "magic"], 78, "cosine"),
    (["train", "mine.py", "--batch-size", "0"], 78, "batch-size"),
    (["train", "mine.py", "--learning-rate", "-1"], 78, "positive"),
    (["train", "mine.py", "--dtype", "float16"], 78, "float32 or float64"),
    (["train", "mine.py", "--data", "absent.npz"], 66, "absent.npz"),
    (["train", "mine.py", "--data", "torn.npz"], 65, "torn.npz"),
    (["train", "mine.py", "--data", "data.npz", "--validation", "60"], 78, "validation"),
    (["train", "mine.py"], 65, "x has shape (N, 4), but its array has shape"),
    (["train", "mine.py", "--data", "data.npz", "--out", "data.csv/run"], 73, "data.csv"),
    (["train", "mnist-mlp", "--resume", "run"], 65, "another model"),
    (["train", "mine.py", "--resume", "run", "--optimizer", "adam"], 78, "fixed by the checkpoint"),
    (["train", "mine.py", "--resume", "absent"], 66, "absent"),
    (["evaluate", "data.csv"], 65, "data.csv"),
    (["evaluate", "absent.safetensors"], 66, "absent"),
    (["evaluate", "run", "--data", "data.npz", "--label", "y"], 78, "CSV"),
    (["predict"], 78, "nothing to predict"),
    (["predict", "--checkpoint", "run", "absent.png"], 66, "absent.png"),
    (["predict", "--checkpoint", "run", "--data", "data.npz", "-i", "20"], 65, "0 to 19"),
])  # fmt: skip
def test_what_goes_wrong_is_a_paragraph(folder, arguments, code, words):
    (folder / "broken.py").write_text("import symgrad as sg\n\ndef model():\n    return 1 / 0\n")
    (folder / "syntax.py").write_text("def model(:\n")
    (folder / "empty.py").write_text("x = 1\n")
    (folder / "torn.npz").write_bytes((folder / "data.npz").read_bytes()[:300])
    result = run(*arguments, cwd=folder)
    assert result.returncode == code, result.stderr
    assert words in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_saves_and_resumes(folder, number, code):
    words, settings = command(
        "train", "mine.py", "--data", "data.npz", "--epochs", 1_000_000, "--out", f"stopped-{number}", cwd=folder
    )
    settings["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job ignores Ctrl-C
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings)
    deadline = time.time() + 60
    while not (folder / f"stopped-{number}" / "history.jsonl").exists() and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    started = time.perf_counter()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and time.perf_counter() - started < 30 and "Traceback" not in errors
    done = json.loads((folder / f"stopped-{number}" / "history.jsonl").read_text().splitlines()[-1])["epoch"]
    again = run("train", "mine.py", "--resume", f"stopped-{number}", "--epochs", done + 2, "--json", cwd=folder)
    assert again.returncode == 0 and len(json.loads(again.stdout)["epochs"]) == done + 2


def test_a_step_of_seconds_is_left_behind(folder):
    """Ctrl-C is not kept waiting for the step: what is saved are the weights before it."""
    options = ["-p", "hidden=4096", "--batch-size", "full", "--limit", "30000", "--validation", "0", "--threads", "1"]
    words, settings = command("train", "mnist-mlp", *options, "--out", "long", cwd=folder)
    settings["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    settings["env"] = {**os.environ, **(settings.get("env") or {}), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings) as process:
        assert any("rows for training" in line for line in process.stdout)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors and "--resume long" in errors
    kept = checkpoint.newest(folder / "long").path
    model, progress, _ = saved.load_progress(kept)
    assert (progress.epoch, progress.step) == (0, 0)
    fresh = find.find_model("mnist-mlp", ["hidden=4096"])
    fresh.initialize(0)
    assert all(np.array_equal(model.weights[name], weight) for name, weight in fresh.weights.items())


@pytest.mark.parametrize("after", [0.3, 1.0, 1.7])
def test_compiling_is_interrupted_like_anything_else(folder, after):
    """LLVM calls back into Python, where an interruption would be lost."""
    words, settings = command("train", "mnist-cnn", "--out", "never", cwd=folder)
    settings["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    settings["env"] = {**os.environ, "SYMGRAD_CACHE_DIR": str(folder / f"empty-{after}"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings) as process:
        assert any("pixels" in line for line in process.stdout)  # the last line of the formulas; then it compiles
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors == "error: interrupted\n"


def test_a_closed_pipe_is_no_error():
    words, settings = command("source", "mnist-mlp")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings) as process:
        process.stdout.readline()
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 0


def test_narrow_terminal(folder):
    result = run("train", "mine.py", "--data", "data.npz", cwd=folder, env={**os.environ, "COLUMNS": "40"})
    assert result.returncode == 0


@pytest.mark.parametrize(("expression", "shapes", "wrt", "formula"), [
    ("sum((X @ w - y)**2)", ["X=m,n", "w=n", "y=m"], "w", "∂L/∂w = 2 Xᵀ (X w − y)"),
    ("x @ A @ x", ["x=n", "A=n,n"], "x", "∂L/∂x = (A + Aᵀ) x"),
    ("sum(softplus(-y * (X @ w)))", ["X=m,n", "w=n", "y=m"], "w", "∂L/∂w = −Xᵀ (y ⊙ σ(−y ⊙ (X w)))"),
    ("sum((T - U @ V.T)**2)", ["T=m,n", "U=m,k", "V=n,k"], "U", "∂L/∂U = 2 (U Vᵀ − T) V"),
])  # fmt: skip
def test_formulas_without_a_model_file(expression, shapes, wrt, formula):
    result = run("gradients", "--expression", expression, *(w for s in shapes for w in ("--shape", s)), "--wrt", wrt)
    assert result.stdout.splitlines()[0] == formula and "checked: " in result.stdout


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["--expression", "sum(foo(X))", "--shape", "X=m"], 65, "column 5"),
    (["--expression", "sum(X @ z)", "--shape", "X=m"], 65, "what is the shape of z"),
    (["--expression", "sum(X)", "--shape", "X"], 78, "X=m,n"),
    (["--expression", "X", "--shape", "X=m"], 65, "scalar"),
    (["--expression", "sum(X)", "--shape", "X=m", "--wrt", "Y"], 66, "Y is not declared"),
    (["--expression", "__import__('os').system('x')", "--shape", "X=m"], 65, "cannot stand in a formula"),
    (["mnist-mlp", "--expression", "sum(X)"], 78, "not both"),
    ([], 78, "name a model"),
    (["mnist-mlp", "--wrt", "W9"], 66, "W1, b1, W2, b2"),
    (["mnist-mlp", "--notation", "magic"], 78, "matrix, index, numpy"),
])  # fmt: skip
def test_formulas_that_cannot_be(arguments, code, words):
    result = run("gradients", *arguments)
    assert result.returncode == code and words in result.stderr and not result.stdout


def test_derive_names_the_rules():
    text = run("derive", "mnist-mlp", "--wrt", "W1").stdout
    for words in (
        "matrix product, right operand: if C = A B then ∂L/∂B = Aᵀ ∂L/∂C",
        "distributions sum to one",
        "∂L/∂W₁ = xᵀ δ_net",
    ):
        assert words in text
    assert json.loads(run("derive", "softmax-regression", "--json").stdout)["gradients"]


def test_check_compares_formula_interpreter_and_kernel():
    facts = json.loads(run("check", "softmax-regression", "--json").stdout)
    assert facts["text_error"] < 1e-12 and facts["kernel_error"] < 1e-12 and facts["naive_error"] < 1e-6


def test_profile_takes_a_step_apart():
    facts = json.loads(run("profile", "softmax-regression", "--threads", 1, "--batch-size", 50, "--json").stdout)
    product = next(row for row in facts["rows"] if "@ W (N, 10)" in row["formula"])
    assert product["flops"] == 2 * 50 * 784 * 10 and facts["step"] > 0 and facts["memory"] > 47_000_000
    assert 0.9 < sum(row["share"] for row in facts["rows"]) <= 1
    assert 0 < product["flops"] / product["microseconds"] / 1e3 < facts["peak"]  # nothing beats multiply-adds alone
    table = run("profile", "softmax-regression", "--batch-size", "full").stdout
    assert "of peak" in table and "a step of 60000 rows" in table
    assert "--batch-size is a whole number" in run("profile", "softmax-regression", "--batch-size", 0, check=False).stderr


def test_the_chain_rule_and_values_on_the_command_line():
    chain = run("derive", "mnist-mlp", "--chain", "--wrt", "W1").stdout
    assert chain.startswith("∂L/∂W₁ = Σₙ ∂L_n/∂z · ∂z/∂h · ∂h/∂net · ∂net/∂W₁") and "checked: the factors multiply" in chain
    assert "underbrace" in run("derive", "mnist-mlp", "--chain", "--format", "latex").stdout
    assert json.loads(run("derive", "two-two-one", "--chain", "--json").stdout)["checked"]["∂L/∂b₂"] < 1e-12
    assert "o   = σ(s) = 0.751365" in run("derive", "two-two-one", "--values").stdout
    failed = run("derive", "mnist-mlp", "--values", check=False)
    assert failed.returncode == 78 and "too large to follow by hand" in failed.stderr
    assert "text or latex" in run("derive", "mnist-mlp", "--format", "pdf", check=False).stderr
    assert r"\text{1. divide}" in run("derive", "softmax-regression", "--format", "latex").stdout


def test_second_derivatives_on_the_command_line():
    asked = ["gradients", "--expression", "x @ A @ x", "--shape", "x=n", "--shape", "A=n,n", "--wrt", "x", "--order", "2"]
    shown = run(*asked).stdout
    assert "∂²L/∂x² = A + Aᵀ" in shown and shown.count("checked: ") == 2
    assert json.loads(run(*asked, "--json").stdout)["hessians"]["∂²L/∂x²"] == {"formula": "A + Aᵀ", "shape": ["n", "n"]}
    assert r"\frac{\partial^{2} L}{\partial x^{2}}" in run(*asked, "--format", "latex").stdout
    assert "d2L_dx2 = A + A.T" in run(*asked, "--notation", "numpy").stdout


TABLE = "rooms,age,price,label\n" + "".join(f"{i % 7},{i % 5},{2 * (i % 7) - (i % 5)},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(140))


def test_tables_from_the_command_line(tmp_path):
    """Regression and classification of a CSV file: the width comes from the table, predictions are numbers or classes."""
    (tmp_path / "prices.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in TABLE.splitlines()))
    (tmp_path / "labels.csv").write_text("\n".join(",".join(line.split(",")[i] for i in (0, 1, 3)) for line in TABLE.splitlines()))
    trained = run("train", "linear-regression", "--data", "prices.csv", "--label", "price", "--json", cwd=tmp_path)
    assert json.loads(trained.stdout)["parameters"] == 3, trained.stderr
    shown = run("predict", "--data", "prices.csv", "--test-index", "0", "--test-index", "6", "--json", cwd=tmp_path)
    first, second = json.loads(shown.stdout)["predictions"]
    assert abs(first["prediction"] - 0) < 0.5 and abs(second["prediction"] - 11) < 0.5, shown.stdout
    trained = run("train", "logistic-regression", "--data", "labels.csv", "--json", cwd=tmp_path)
    assert json.loads(trained.stdout)["epochs"][-1]["accuracy"] > 0.9, trained.stderr
    result = run("evaluate", "--data", "labels.csv", cwd=tmp_path).stdout
    assert "yes" in result and "no" in result and "accuracy" in result
    wrong = run("train", "linear-regression", "-p", "features=5", "--data", "prices.csv", "--label", "price", cwd=tmp_path)
    assert wrong.returncode not in (0, 1) and "columns has shape (N, 5)" in wrong.stderr
