"""What training has acknowledged survives kills, signals, full disks and damage; what goes on is the same run."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import killing
import numpy as np
import pytest

import symgrad as sg
from symgrad.cli import app
from symgrad.storage import atomic, checkpoint
from symgrad.training import saved

SCRIPT = Path(killing.__file__)
TRAIN = ["train", "mine.py", "--data", "data.npz", "--validation", "10", "--threads", "1"]


def in_its_own_process(*arguments: object) -> dict:
    """What killing.py found out."""
    words = [sys.executable, "-W", "ignore", str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=7200)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.rigorous)])
def test_kills_while_training_lose_nothing(count):
    found = in_its_own_process("training", count)
    assert found["codes"] == {str(-signal.SIGKILL): count}
    assert found["lost"] == 0 and found["damaged"] == 0 and found["acknowledged"] > count / 4
    assert found["equal"] == found["runs"] == -(-count // killing.LIVES)


@pytest.mark.parametrize(("count", "threads"), [(6, 1), pytest.param(100, 2, marks=pytest.mark.rigorous)])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(count, threads):
    """Out within a second on an idle machine; here with room for a busy one."""
    found = in_its_own_process("interrupting", count, 0, threads)
    assert found["codes"] == {"130": count // 2, "143": count // 2} and found["slowest"] < 15
    assert found["damaged"] == 0 and found["in the middle of an epoch"] > 0 and found["equal"] == count


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model file and data, and signal handlers as they were."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(killing.MODEL.format(batch=7))
    x, y = killing.rows(60)
    np.savez("data.npz", x_train=x, y_train=y)
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


class FailingOs:
    """The module `os` of a machine whose i-th call that touches the disk fails."""

    COUNTED = ("open", "write", "fsync", "close", "replace")

    def __init__(self, at: int, code: int) -> None:
        self.left, self.code = at, code

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in self.COUNTED:
            return real

        def counted(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                raise OSError(self.code, os.strerror(self.code))
            return real(*arguments, **options)

        return counted


def test_a_failure_of_every_call_in_turn_leaves_the_old_checkpoint(here, monkeypatch, capsys):
    """Two epochs write 4 files with 8 calls each; the disk is full or broken at one of them."""
    at, ended = 0, {0: 0, 74: 0}
    while not ended[0]:
        at += 1
        out = f"run-{at}"
        with monkeypatch.context() as patch:
            patch.setattr(atomic, "os", FailingOs(at, (errno.ENOSPC, errno.EIO, errno.EDQUOT)[at % 3]))
            code = app.run([*TRAIN, "--epochs", "2", "--out", out])
        errors = capsys.readouterr().err
        ended[code] += 1
        assert code in (0, 74) and ("error: " in errors) == (code == 74) and "Traceback" not in errors
        found = checkpoint.newest(out)
        assert found.skipped == () and not list(Path(out).glob(".*.tmp"))
        # The first file is renamed by the 5th call; every 16 calls the next epoch's.
        least = 0 if at <= 5 else 1 if at <= 21 else 2
        assert (int(found.path.stem[-4:]) if found.path else 0) >= least
    assert ended == {74: 32, 0: 1}


def test_a_file_larger_than_the_system_allows_is_exit_code_74(here):
    """A real failure, of the kernel's: the process may write only so many bytes to a file."""
    assert app.run([*TRAIN, "--epochs", "1", "--out", "run"]) == 0
    before = checkpoint.newest("run").path.read_bytes()

    words = [sys.executable, "-m", "symgrad", "train", "mine.py", "--resume", "run", "--epochs", "3", "--no-cache"]
    limited = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # noqa: E731
    done = subprocess.run(words, preexec_fn=limited, capture_output=True, text=True, timeout=120)
    assert done.returncode == 74 and "what was saved before is intact" in done.stderr and "Traceback" not in done.stderr
    assert checkpoint.newest("run").path.read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_to_a_full_disk_is_exit_code_74():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "symgrad", "--version"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 74 and b"Traceback" not in done.stderr


def straight(folder, epochs=4, **options):
    model = killing.network(7)
    model.fit(*killing.rows(60), epochs=epochs, validation_data=killing.rows(20), out=folder, **options)
    return model


def resumed(path, folder, epochs=4, **options):
    model, progress, _ = saved.load_progress(path)
    model.threads = 2
    held = killing.rows(20)
    model.fit(*killing.rows(60), epochs=epochs, validation_data=held, out=folder, resume=progress, **options)
    return model


def test_a_run_goes_on_bit_equal_from_each_of_its_checkpoints(tmp_path, monkeypatch):
    """From whole epochs and from every step of one."""
    from symgrad.training import steps

    expected = straight(tmp_path / "straight")
    monkeypatch.setattr(steps, "SLICE", 0.0)  # back to Python after each step
    starts = [tmp_path / "straight" / checkpoint.checkpoint_name(e) for e in (1, 2, 3)]
    for at in range(1, 9):

        def stop(event, facts, at=at):
            if event == "steps" and facts["step"] == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            straight(tmp_path / f"stopped-{at}", watch=stop)
        starts.append(tmp_path / f"stopped-{at}" / checkpoint.checkpoint_name(1, at))
    for path in starts:
        model = resumed(path, tmp_path / "again")
        assert {n: w.tobytes() for n, w in model.weights.items()} == {n: w.tobytes() for n, w in expected.weights.items()}
        shutil.rmtree(tmp_path / "again")
    assert len(starts) == 11


def test_the_newest_valid_checkpoint_is_found_when_the_last_is_damaged(here, capsys):
    assert app.run([*TRAIN, "--epochs", "3", "--out", "run"]) == 0
    assert app.run([*TRAIN, "--epochs", "4", "--out", "whole"]) == 0
    last = Path("run") / checkpoint.checkpoint_name(3)
    last.write_bytes(last.read_bytes()[:-7])
    capsys.readouterr()
    assert app.run(["train", "mine.py", "--resume", "run", "--epochs", "4"]) == 0
    assert f"skipped {last}" in capsys.readouterr().err
    name = checkpoint.checkpoint_name(4)
    assert killing.weights(Path("run") / name) == killing.weights(Path("whole") / name)
    for path in Path("run").glob("*.safetensors"):
        path.write_bytes(b"")
    assert app.run(["train", "mine.py", "--resume", "run"]) == 66


def test_early_stopping_remembers_the_best_weights_of_before_the_interruption(tmp_path):
    """Validation data that only get worse: the best epoch is the first, and lies before the resumption."""
    x, y = killing.rows(60)
    held = x, (y + 1) % 3
    runs = []
    for name, stops in (("straight", (9,)), ("resumed", (2, 9))):
        for epochs in stops:
            found = checkpoint.newest(tmp_path / name).path if (tmp_path / name).exists() else None
            model, progress, _ = saved.load_progress(found) if found else (killing.network(7), None, None)
            model.threads = 2
            history = model.fit(x, y, epochs=epochs, validation_data=held, out=tmp_path / name, resume=progress, early_stopping=4)
        assert history.stopped_early and len(history.epochs) == 5
        assert history.checkpoint == tmp_path / name / checkpoint.checkpoint_name(1)
        runs.append({n: w.tobytes() for n, w in model.weights.items()})
    assert runs[0] == runs[1]
    first = sg.load(tmp_path / "resumed" / checkpoint.checkpoint_name(1))
    assert {n: w.tobytes() for n, w in first.weights.items()} == runs[1]


def test_a_validation_loss_that_is_no_number_does_not_end_the_run(tmp_path):
    x, y = killing.rows(60)
    model = killing.network(7)
    history = model.fit(x, y, epochs=2, validation_data=(x * np.nan, y), out=tmp_path / "run")
    assert np.isnan(history["val_loss"]).all() and len(history.epochs) == 2
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert [line["val_loss"] for line in lines] == ["nan", "nan"]
    _, progress, _ = saved.load_progress(history.checkpoint)
    assert np.isnan(progress.records[1]["val_loss"]) and progress.records[0]["loss"] == history["loss"][0]


def test_leftovers_of_a_killed_run_go_when_it_is_taken_up(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    litter = folder / f".epoch-0001.safetensors.{'0' * 16}.tmp"
    litter.write_bytes(b"half")
    os.utime(litter, (0, 0))
    straight(folder, epochs=1)
    assert not litter.exists()
