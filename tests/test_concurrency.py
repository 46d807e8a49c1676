"""Kernels called from several threads and processes at once, and models made and freed a thousand times."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import cycling
import killing
import numpy as np
import pytest

import symgrad as sg

x, w = sg.variable("x", ("N", 5)), sg.parameter("w", (5, 4))
W = np.linspace(-1, 1, 20).reshape(5, 4)


@pytest.fixture(scope="module")
def kernel():
    return sg.compile([sg.mean(sg.tanh(x @ w)), sg.tanh(x @ w)], dtype="float64", threads=2)


def hammered(call, callers=8, turns=100):
    """What went wrong when several threads call at once, with sizes that differ from call to call."""
    wrong, start = [], threading.Barrier(callers)

    def work(caller):
        generator = np.random.default_rng(caller)
        start.wait()
        for _ in range(turns):  # more sizes than a kernel remembers
            given = generator.normal(size=(int(generator.integers(1, 200)), 5))
            try:
                total, each = call(x=given, w=W)
                if not np.allclose(each, np.tanh(given @ W)) or not np.isclose(total, np.tanh(given @ W).mean()):
                    wrong.append("other numbers")
            except BaseException as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=work, args=(caller,)) for caller in range(callers)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    finally:
        sys.setswitchinterval(interval)
    assert not any(thread.is_alive() for thread in threads)
    return wrong


def test_a_kernel_called_from_eight_threads_gives_the_right_numbers(kernel):
    assert hammered(kernel) == []


def test_the_comparison_can_fail(kernel):
    """A kernel whose callers share one place for their results."""
    results = []

    def shared(**given):
        results.append(kernel(**given))
        return results[-1]

    assert hammered(lambda **given: (shared(**given), results[0])[1], callers=2, turns=5)


def test_two_kernels_and_two_sizes_of_pool_at_once():
    narrow, wide = (sg.compile([sg.mean(sg.tanh(x @ w)), sg.tanh(x @ w)], dtype="float64", threads=t) for t in (1, 3))
    turn = iter(range(10**9))
    assert hammered(lambda **given: (narrow, wide)[next(turn) % 2](**given), callers=4, turns=25) == []


def compute(number):
    """For a process of its own: a kernel's numbers compared with the interpreter's."""
    kernel = sg.compile([sg.mean(sg.tanh(x @ w)), sg.tanh(x @ w)], dtype="float64", threads=2)
    given = np.random.default_rng(number).normal(size=(10 + number, 5))
    return bool(np.allclose(kernel(x=given, w=W)[1], np.tanh(given @ W)))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_are_started_afresh(method):
    killing.compiled(5)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(killing.compiled, [5, 5]).get(60) == [(True, True)] * 2


FORKED = """
import sys, threading
from test_concurrency import W, compute, np, sg, w, x
import killing

assert compute(0)
kernel = sg.compile([sg.mean(sg.tanh(x @ w)), sg.tanh(x @ w)], dtype="float64", threads=2)
data, busy = np.ones((20_000, 5)), True

def work():
    while busy:
        kernel(x=data, w=W)

threads = [threading.Thread(target=work) for _ in range(2)]
[t.start() for t in threads]
print([killing.ended(killing.forked(lambda: 5 if compute(n) and np.allclose(kernel(x=data, w=W)[1], np.tanh(data @ W)) else 6))
       for n in range(10)])
busy = False
[t.join() for t in threads]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_children_forked_while_other_threads_are_inside_the_kernel():
    """Neither the threads nor the locks that they hold exist in the child."""
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], env=where, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str([5] * 10), done.stderr


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
@pytest.mark.parametrize("cycles", [60, pytest.param(1000, marks=pytest.mark.rigorous)])
def test_models_that_are_loaded_trained_and_freed_leave_nothing(cycles):
    words = [sys.executable, "-W", "ignore", cycling.__file__, str(cycles), "loading"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["growth"] < 0.05, done.stdout


def test_expressions_of_a_model_that_is_gone_are_gone():
    from symgrad.expression import node

    def cycle():
        model = killing.network(7)
        model.fit(*killing.rows(20), epochs=1)

    counts = []
    for _ in range(4):
        cycle()
        cycling.megabytes()  # collects garbage
        counts.append(len(node._nodes))
    assert counts[1] == counts[3]
