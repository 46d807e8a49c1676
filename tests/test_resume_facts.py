"""What a checkpoint says about its run is a stranger's too: where the data are, how many rows, how many threads."""

import signal
from pathlib import Path

import killing
import numpy as np
import pytest

from symgrad.cli import app
from symgrad.storage import checkpoint

BAD = {
    "data": [7, "", [], True, "two\nlines", "x" * 5000, {}],
    "label": [7, "", [], "\x1b[2J"],
    "limit": [0, -1, 1.5, "3", True, 1 << 50, []],
    "validation": [-1, 1.5, "3", True, 1 << 50],
    "threads": [0, -1, 1.5, "2", True, 257, 1 << 40],
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run in the working folder: what its checkpoint holds."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    Path("mine.py").write_text(killing.MODEL.format(batch=7))
    x, y = killing.rows(60)
    np.savez("data.npz", x_train=x, y_train=y)
    assert app.run(["train", "mine.py", "--data", "data.npz", "--epochs", "1", "--out", "run", "--threads", "1"]) == 0
    yield checkpoint.load("run/epoch-0001.safetensors")
    signal.signal(signal.SIGTERM, before)


def test_facts_that_no_run_has_written_are_exit_code_65(run, capsys):
    tensors, document = run
    tried = 0
    for name, values in BAD.items():
        for value in values:
            checkpoint.save("run/epoch-0001.safetensors", tensors, {**document, "about": {**document["about"], name: value}})
            for words in (["train", "mine.py", "--resume", "run"], ["report", "mine.py", "--run", "run"]):
                capsys.readouterr()
                code = app.run(words)
                errors = capsys.readouterr().err
                assert code == 65 and f"the fact {name} about its run is damaged" in errors, (name, value, errors)
                tried += 1
    assert tried >= 60


def test_a_file_may_be_called_like_markup(run):
    """Names of files and models are shown as they are, whatever the terminal's library makes of brackets."""
    Path("[").mkdir()
    Path("data.npz").rename("[/b].npz")  # a file in a folder called [
    words = ["train", "mine.py", "--data", "[/b].npz", "--epochs", "1", "--threads", "1"]
    assert app.run([*words, "--out", "[red]"]) == 0 and Path("[red]/epoch-0001.safetensors").exists()
