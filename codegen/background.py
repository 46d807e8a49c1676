"""Long work in machine code, waited for so that a signal is answered while it goes on.

Python runs signal handlers in the main thread only, and not while that is inside machine code. So what may take long
is done by a thread of its own, and the main thread waits for it. Work that is left behind goes on to its end by itself;
what it reads and writes stays alive with it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn, TypeVar

from symgrad.codegen.pool import Interrupts

LOOK = 0.05  # seconds between two looks at what has come
GRACE = 0.3  # seconds that work may still take once a signal has come
Result = TypeVar("Result")
_left: list[threading.Thread] = []


def awaited(work: Callable[[], Result], interrupts: Interrupts) -> Result:
    """work() in another thread; what it gives or raises.

    Once one of the signals has come that are held back, the work has 0.3 seconds to end. Then the signal is answered,
    and where that raises, as Ctrl-C does, the work is left behind. Anywhere but in the main thread, which alone has
    signals, this is just work().
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # it belongs to the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="symgrad-work", daemon=True)
    thread.start()
    thread.join(LOOK)
    while thread.is_alive():
        if interrupts.came:
            thread.join(GRACE)
            if thread.is_alive():
                _left.append(thread)
                interrupts.answer()
                _left.remove(thread)  # the handler did not raise: go on
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
