"""Processes that are killed or interrupted at random moments, and what is left of their work afterwards.

    python tests/killing.py training 1000        # kill -9 while training
    python tests/killing.py compiling 500        # kill -9 while compiling
    python tests/killing.py interrupting 100     # Ctrl-C and SIGTERM, in turn

A third argument chooses other moments, a fourth the number of threads. Each prints one JSON object. Children are forked from this process, which has everything imported and compiled, so that
the moments fall into the work and not into the start of Python.
"""

import contextlib
import gc
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import symgrad as sg
from symgrad.cli.app import run
from symgrad.storage import checkpoint
from symgrad.training import saved

LIVES = 20  # kills of one run; then it is finished and compared
MODEL = """\
import symgrad as sg


def model():
    x, y = sg.variable("x", ("N", 4)), sg.labels("y", ("N",), classes=3)
    W1, b1 = sg.parameter("W1", (4, 20)), sg.parameter("b1", (20,))
    W2, b2 = sg.parameter("W2", (20, 3)), sg.parameter("b2", (3,))
    z = sg.tanh(x @ W1 + b1) @ W2 + b2
    return sg.Model([x], [y], sg.softmax(z), sg.softmax_cross_entropy(z, y), [sg.accuracy],
                    sg.Training(sg.adam(0.001), batch_size={batch}, epochs=1_000_000))
"""


def rows(count):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, 4)).astype("f4")
    return x, (x @ generator.normal(size=(4, 3))).argmax(1)


def network(batch, threads=2):
    words = {}
    exec(MODEL.format(batch=batch), words)
    made = words["model"]()
    made.threads = threads
    return made


def forked(work):
    """The process number of a child that does `work` and ends with what it returns."""
    gc.collect()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = work()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)
    return child


def ended(child):
    """How a child ended: its exit code, or the negative number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def going_on(folder, data, pipe, epochs):
    """Train from the newest checkpoint; each one that is safely written is acknowledged through the pipe."""

    def acknowledge(event, facts):
        if event == "done":
            os.write(pipe, f"{facts['epoch']}\n".encode())
        elif event == "epoch":
            os.write(pipe, b"0\n")

    found = checkpoint.newest(folder).path
    if found is None:
        network(7).fit(*data, epochs=epochs, out=folder, watch=acknowledge)
    else:
        model, progress, _ = saved.load_progress(found)
        model.threads = 2
        model.fit(*data, epochs=epochs, out=folder, resume=progress, seed=progress.seed, watch=acknowledge)
    return 0


def weights(path):
    return {n: a.tobytes() for n, a in checkpoint.load(path)[0].items()}


def whole(data, batch, epochs):
    """The weights of a run that nobody disturbed."""
    folder = Path(tempfile.mkdtemp())
    return weights(network(batch).fit(*data, epochs=epochs, out=folder).checkpoint)


def kill_training(count, chance):
    """Kill a training run again and again; whenever it was, the last acknowledged checkpoint must load."""
    codes, facts, data = Counter(), Counter(), rows(60)
    network(7).fit(*data, epochs=1)  # compiled once, for all the children
    while sum(codes.values()) < count:
        folder = Path(tempfile.mkdtemp())
        for _ in range(min(LIVES, count - sum(codes.values()))):
            reader, writer = os.pipe()
            child = forked(lambda folder=folder, writer=writer: going_on(folder, data, writer, 1_000_000))
            os.close(writer)
            acknowledged = os.read(reader, 2)  # it has begun
            if chance.random() < 0.7:  # wait for a checkpoint, so that there is something to lose
                while not acknowledged.replace(b"0\n", b""):
                    acknowledged += os.read(reader, 1 << 16)
            time.sleep(chance.uniform(0, 0.06))
            os.kill(child, signal.SIGKILL)
            codes[ended(child)] += 1
            while piece := os.read(reader, 1 << 16):
                acknowledged += piece
            os.close(reader)
            last = max(map(int, acknowledged.split(b"\n")[:-1]), default=0)
            found = checkpoint.newest(folder)
            stands = int(found.path.stem.split("-")[1]) if found.path else 0
            facts["acknowledged"] += last > 0
            facts["lost"] += stands < last
            facts["damaged"] += len(found.skipped)
            for litter in folder.glob(".*.tmp"):
                facts["caught while writing"] += 1
                litter.unlink()
        end = (int(found.path.stem.split("-")[1]) if found.path else 0) + 2
        going_on(folder, data, os.open(os.devnull, os.O_WRONLY), end)
        facts["runs"] += 1
        facts["equal"] += weights(checkpoint.newest(folder).path) == whole(data, 7, end)
    return {"codes": dict(codes), **facts}


def compiled(number):
    """A kernel that no other number has, and whether its results are right."""
    x, w = sg.variable("x", ("N", 3)), sg.parameter("w", (3,))
    kernel = sg.compile(sg.sum(sg.tanh(x * w + (1 + number))), dtype="float64", threads=1)
    given = {"x": np.arange(6.0).reshape(2, 3) / 7, "w": np.array([-1.0, 0.5, 2.0])}
    return kernel.cached, bool(np.isclose(kernel(given), np.tanh(given["x"] * given["w"] + (1 + number)).sum()))


def kill_compiling(count, chance):
    """Kill processes that compile; afterwards the same kernel must come out right, and be kept."""
    codes, facts, number = Counter(), Counter(), 0
    compiled(0)
    started = time.perf_counter()
    compiled(1)
    usual, number = time.perf_counter() - started, 2
    while codes[-signal.SIGKILL] < count:
        child = forked(lambda number=number: 0 if compiled(number)[1] else 1)
        time.sleep(chance.uniform(0, 1.5 * usual))
        os.kill(child, signal.SIGKILL)
        codes[ended(child)] += 1
        for turn in range(2):
            cached, right = compiled(number)
            facts["wrong"] += not right
            facts["not kept"] += turn == 1 and not cached
            facts["finished before"] += turn == 0 and cached
        number += 1
    return {"codes": dict(codes), "wrong": facts["wrong"], "not kept": facts["not kept"], **facts}


def interrupt_training(count, chance, threads):
    """Interrupt the command line; it must be out soon, and the run that is resumed be the one that was not stopped."""
    codes, facts, waited, data, ends = Counter(), Counter(), [], rows(4_000), []
    os.chdir(tempfile.mkdtemp())
    Path("mine.py").write_text(MODEL.format(batch=1))
    np.savez("data.npz", x_train=data[0], y_train=data[1])
    words = ["train", "mine.py", "--data", "data.npz", "--validation", "0", "--threads", str(threads)]
    with contextlib.redirect_stdout(io.StringIO()):
        run([*words, "--epochs", "0", "--out", "warm"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores Ctrl-C
    for turn in range(count):
        number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
        folder, quiet = Path(f"run-{turn}"), os.open(os.devnull, os.O_WRONLY)

        def work(folder=folder, quiet=quiet):
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            return run([*words, "--out", str(folder)])

        child = forked(work)
        while not (folder / "epoch-0001.safetensors").exists():
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.15))
        os.kill(child, number)
        started = time.perf_counter()
        codes[ended(child)] += 1
        waited.append(time.perf_counter() - started)
        found = checkpoint.newest(folder)
        facts["damaged"] += len(found.skipped)
        facts["in the middle of an epoch"] += "step" in found.path.name
        model, progress, _ = saved.load_progress(found.path)
        model.threads = threads
        ends.append(progress.epoch + 1)
        model.fit(*data, epochs=ends[-1], out=folder, resume=progress, seed=0)
    network(1, threads).fit(*data, epochs=max(ends), out="undisturbed")
    for turn, end in enumerate(ends):
        name = checkpoint.checkpoint_name(end)
        facts["equal"] += weights(f"run-{turn}/{name}") == weights(f"undisturbed/{name}")
    return {"codes": dict(codes), "slowest": max(waited), **facts}


if __name__ == "__main__":
    what, number, *more = sys.argv[1:]
    seed, threads = [*more, *("0", "1")[len(more) :]]
    work = {"training": kill_training, "compiling": kill_compiling}.get(what)
    chance = random.Random(int(seed))
    print(json.dumps(work(int(number), chance) if work else interrupt_training(int(number), chance, int(threads))))
