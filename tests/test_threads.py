"""Threads of the native library: the barrier, the denormal switch, and the pool that runs kernels."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from symgrad.codegen import native, placement
from symgrad.codegen.host import host
from symgrad.codegen.pool import Pool
from symgrad.codegen.threads import BARRIER, BARRIER_WORDS, FLUSH, RESTORE, barrier_twin

INTEGER, POINTER = ctypes.c_int64, ctypes.c_void_p


@pytest.fixture(scope="module")
def addresses():
    return native.load("float32", native.build("float32"))


def test_unjitted_barrier_refuses_company():
    barrier_twin(np.zeros(BARRIER_WORDS, np.int64), 1)
    with pytest.raises(AssertionError):
        barrier_twin(np.zeros(BARRIER_WORDS, np.int64), 2)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_nobody_passes_the_barrier_before_all_have_arrived(addresses, threads):
    barrier = ctypes.CFUNCTYPE(None, POINTER, INTEGER)(addresses[BARRIER])
    state, arrivals, early = np.zeros(BARRIER_WORDS, np.int64), [0] * threads, []

    def meet(thread):
        for turn in range(1, 101):
            arrivals[thread] = turn
            barrier(state.ctypes.data, threads)
            if min(arrivals) < turn:
                early.append((thread, turn))
            barrier(state.ctypes.data, threads)

    Pool().run(meet, threads)
    assert not early and arrivals == [100] * threads


def test_denormals_are_flushed_and_restored(addresses):
    if not host().triple.startswith(("x86_64", "aarch64", "arm64")):
        pytest.skip("no switch on this processor")
    flush = ctypes.CFUNCTYPE(INTEGER)(addresses[FLUSH])
    restore = ctypes.CFUNCTYPE(None, INTEGER)(addresses[RESTORE])
    tiny, half = np.full(8, 1e-38, "f4"), np.float32(1 / 16)
    old = flush()
    try:
        flushed = tiny * half
    finally:
        restore(old)
    assert (flushed == 0).all() and (tiny * half > 0).all()


def test_pool_runs_every_number_once_with_any_count():
    pool = Pool()
    for threads in (1, 4, 2, 3, 4, 1):
        seen = []
        pool.run(seen.append, threads)
        assert sorted(seen) == list(range(threads))
    assert len(pool.workers) == 3
    caller = []
    pool.run(lambda number: caller.append((number, threading.current_thread())), 2)
    assert (0, threading.current_thread()) in caller
    pool.close()
    pool.run(caller.append, 2)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_pool_raises_after_all_have_returned(failing):
    pool, finished = Pool(), []

    def task(number):
        if number == failing:
            raise KeyError(number)
        time.sleep(0.02)
        finished.append(number)

    with pytest.raises(KeyError):
        pool.run(task, 3)
    assert len(finished) == 2
    pool.run(finished.append, 3)
    assert len(finished) == 5


def stopped(number, frame):
    raise KeyboardInterrupt


@pytest.mark.parametrize("signalled", [signal.SIGINT, signal.SIGTERM])
def test_pool_holds_an_interrupt_back_until_all_have_returned(signalled):
    before = signal.signal(signalled, stopped)
    assert threading.current_thread() is threading.main_thread()
    pool, finished = Pool(), []

    def task(number):
        if number == 0:
            signal.raise_signal(signalled)
        time.sleep(0.02)
        finished.append(number)

    with pytest.raises(KeyboardInterrupt):
        pool.run(task, 3)
    assert sorted(finished) == [0, 1, 2]
    assert signal.getsignal(signalled) is stopped
    signal.signal(signalled, before)
    pool.run(finished.append, 3)
    assert len(finished) == 6


def test_two_callers_take_turns():
    pool, running, overlaps = Pool(), set(), []

    def call(caller):
        def task(number):
            if running - {caller}:
                overlaps.append(caller)
            running.add(caller)
            time.sleep(0.001)

        for _ in range(10):
            pool.run(lambda number: (task(number), running.discard(caller)) if number == 0 else None, 2)

    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert not overlaps and not any(caller.is_alive() for caller in callers)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_pool_works_in_a_forked_child():
    code = (
        "import os; from symgrad.codegen.pool import Pool; pool, seen = Pool(), []; pool.run(seen.append, 3)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    pool.run(seen.append, 3); os._exit(0 if sorted(seen) == [0, 0, 1, 1, 2, 2] else 1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=30)


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2, reason="needs two processors of its own")
def test_workers_stay_off_the_callers_processor():
    """Where they meet at barriers, each would wait until the system lets the other run."""
    pool, allowed, seen = Pool(), os.sched_getaffinity(0), {}
    pool.run(lambda number: seen.setdefault(number, (placement._processor(), os.sched_getaffinity(0))), 2)
    here, mine = seen[0]
    there, its = seen[1]
    assert mine == allowed and its < allowed and there in its
    assert here not in its or here != placement._processor()  # the caller itself may have been moved meanwhile
    pool.close()
