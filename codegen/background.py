"""Long work in machine code, waited for so that a signal is answered while it goes on.

Python runs signal handlers in the main thread only, and not while that is inside machine code. So what may take long
is done by a thread of its own, and the main thread waits for it. Work that is left behind goes on to its end by itself;
what it reads and writes stays alive with it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sized
from typing import Any, NoReturn

LOOK = 0.05  # seconds between two looks at what has come
GRACE = 0.3  # seconds that work may still take once a signal has come
_left: list[threading.Thread] = []


class LeftBehind(Exception):
    """The work did not end within the grace that it has after a signal."""


def awaited(work: Callable[[], Any], signals: Sized) -> Any:
    """work() in another thread; what it gives or raises.

    `signals` fills while signals are held back: once there is one, the work has 0.3 seconds to end.
    Raises LeftBehind after that. Anywhere but in the main thread, which alone has signals, it is just work().
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # it belongs to the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="symgrad-work", daemon=True)
    thread.start()
    grace = GRACE
    thread.join(LOOK)
    while thread.is_alive():
        if len(signals):
            grace -= LOOK
            if grace <= 0:
                _left.append(thread)
                raise LeftBehind
        thread.join(LOOK)
    if errors:
        raise errors[0]
    return results[0]


def leave(code: int) -> NoReturn:
    """End the process; at once where work that was left behind still goes on, for it runs code that an exit unloads."""
    if any(thread.is_alive() for thread in _left):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
