"""The threads that run a kernel together: persistent, woken in microseconds, consistent whatever happens.

`Pool.run(function, threads)` calls function(0) here and function(1), function(2) ... in workers. It is made for
functions that release the interpreter lock and wait for each other, so nothing may keep one of them from being called
once another was: Ctrl-C and SIGTERM are held back until all have returned. This module must not know what the functions
do.
"""

import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from symgrad.codegen.placement import Placement


class Worker:
    """One thread that waits for a task, runs it, and says so. It holds no reference to the pool."""

    def __init__(self, thread_number: int) -> None:
        self.thread_number = thread_number
        self.task: Callable[[int], object] | None = None
        self.error: BaseException | None = None
        # Locks used as signals: the quickest way from one Python thread to another.
        self.wake, self.done = threading.Lock(), threading.Lock()
        self.wake.acquire()
        self.done.acquire()
        thread = threading.Thread(target=self.serve, name=f"symgrad-{thread_number}", daemon=True)
        thread.start()
        self.number = thread.native_id or 0  # the system's

    def serve(self) -> None:
        """The thread's life: one task after the other, until it is woken without one."""
        while True:
            self.wake.acquire()
            if self.task is None:
                return
            try:
                self.task(self.thread_number)
            except BaseException as error:  # it belongs to the caller, even SystemExit
                self.error = error
            self.task = None
            self.done.release()

    def begin(self, task: Callable[[int], object]) -> None:
        """Hand over a task."""
        self.task = task
        self.wake.release()

    def finish(self) -> BaseException | None:
        """Wait for the task's end; what it raised."""
        self.done.acquire()
        error, self.error = self.error, None
        return error

    def stop(self) -> None:
        """End the thread; only between tasks."""
        self.wake.release()


class Pool:
    """Threads that run one function at a time together. Two threads that call `run` at once take turns."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.workers: list[Worker] = []
        self.placement = Placement()
        self.finalizer = weakref.finalize(self, stop_all, self.workers)
        # A pool collected at exit may be left alone: its threads are daemons.
        self.finalizer.atexit = False
        POOLS.add(self)

    def run(self, function: Callable[[int], object], threads: int) -> None:
        """function(number) for each number below `threads`; returns when all have returned.

        If any raises, the exception of the lowest number is raised here, after all have returned. `function` must not
        use the same pool.
        """
        assert threads >= 1
        if threads == 1:
            with self.turn:
                function(0)
            return
        with interrupts_held(), self.turn:
            # All threads exist before any is woken: one that cannot be started leaves nobody waiting for it.
            while len(self.workers) < threads - 1:
                self.workers.append(Worker(len(self.workers) + 1))
            busy = self.workers[: threads - 1]
            self.placement.keep_apart([worker.number for worker in busy])
            for worker in busy:
                worker.begin(function)
            outcomes: list[BaseException | None] = []
            try:
                function(0)
            except BaseException as error:
                outcomes.append(error)
            outcomes += [worker.finish() for worker in busy]
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def close(self) -> None:
        """End the threads; a later `run` starts new ones."""
        with self.turn:
            stop_all(self.workers)

    def forget(self) -> None:
        """In the child of a fork, where the threads do not exist and any lock may be held by one of them."""
        self.turn = threading.Lock()
        self.workers.clear()


POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()


def stop_all(workers: list[Worker]) -> None:
    """End these threads and forget them."""
    while workers:
        workers.pop().stop()


def forget_all() -> None:
    """After a fork, in the child."""
    for pool in POOLS:
        pool.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_all)


HELD = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Signals that came while they were held back, and the handlers that would have had them."""

    def __init__(self) -> None:
        self.came: list[tuple[int, FrameType | None]] = []
        self.handlers: dict[int, Callable[[int, FrameType | None], object]] = {}

    def answer(self) -> None:
        """Have the last that came answered now, if there is one; mostly its handler raises."""
        if self.came:
            number, frame = self.came[-1]
            self.came.clear()
            self.handlers[number](number, frame)


@contextmanager
def interrupts_held() -> Iterator[Interrupts]:
    """Hold back Ctrl-C and SIGTERM to the end of the block; then the last that came is answered.

    Python runs the handlers in the main thread only, between any two bytecodes: anywhere else there is nothing to do.
    """
    held = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    try:
        for number in HELD:
            handler = signal.getsignal(number)
            if callable(handler):  # else ignored, default (ends the process at once), or not Python's
                held.handlers[number] = handler
                signal.signal(number, lambda number, frame: held.came.append((number, frame)))
        yield held
    finally:
        for kept, handler in held.handlers.items():
            signal.signal(kept, handler)
        held.answer()
