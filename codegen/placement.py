"""Which processor each thread runs on: no two that wait for each other on one.

A thread that is woken often starts on the processor of the one that woke it. Where the two then meet at barriers, each
waits for the other to be scheduled, and a step takes several times as long until the system moves one of them. So the
workers are told to stay off the caller's processor; when there are as many threads as processors, each has its own.
Only Linux offers this; elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from contextlib import suppress


def _finder() -> Callable[[], int] | None:
    """What gives the number of the processor this thread runs on, where that can be found out."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        found: Callable[[], int] = ctypes.CDLL(None).sched_getcpu
        return found if found() >= 0 else None
    except (OSError, AttributeError):
        return None


_processor = _finder()


class Placement:
    """Where the workers of one pool may run. It remembers what it said last: mostly nothing has changed."""

    def __init__(self) -> None:
        self._said: tuple[int, tuple[int, ...]] = (-1, ())

    def keep_apart(self, workers: Sequence[int]) -> None:
        """Keep these threads, by the system's numbers, off the caller's processor."""
        said = (_processor() if _processor is not None else -1, tuple(workers))
        if _processor is None or said == self._said:
            return
        self._said = said
        others = sorted(os.sched_getaffinity(0) - {said[0]})
        for number, worker in enumerate(workers) if others else ():
            own = {others[number % len(others)]} if len(workers) >= len(others) else others
            with suppress(OSError):  # a container may forbid it
                os.sched_setaffinity(worker, own)
