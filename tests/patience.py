"""How tests wait: for an event that they cause, never for a time.

A busy machine may stop any process at any line for seconds. So a test waits until something lasting
is so, or halts a program at a call of its choice. `PATIENCE_S` only ends a wait in vain. What else
waits, and why, stands in `test_patience.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

Found = TypeVar("Found")

PATIENCE_S = 600
"""Less than `faulthandler_timeout`, so that a test that waits in vain says so itself."""
_PERIOD_S = 0.02


def until(find: Callable[[], Found], process: subprocess.Popen[Any] | None = None) -> Found:
    """Return what a function finds, once that is true.

    Args:
        find: looks for something that stays once it is there, so that no look can miss it.
        process: makes it; if it ends without, the wait ends.
    """
    ends = time.monotonic() + PATIENCE_S
    while True:
        has_ended = process is not None and process.poll() is not None
        if found := find():
            return found
        assert not has_ended, "the process has ended before"
        assert time.monotonic() < ends, "it did not become so"
        time.sleep(_PERIOD_S)


def passed(event: threading.Event) -> None:
    """Wait until another thread sets an event."""
    assert event.wait(PATIENCE_S), "the event did not come"


def joined(*threads: threading.Thread) -> None:
    """Wait until threads have ended."""
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "a thread did not end"


_HALTING = """
import os, pkgutil, sys
place, nth, when, reached, code = sys.argv[1:6]
sys.argv[1:] = sys.argv[6:]
module, _, name = place.rpartition(".")
module = pkgutil.resolve_name(module)
function, calls = getattr(module, name), []
def halt():
    os.write(int(reached), b".")
    sys.stdin.buffer.read()  # until the test has sent its signal
def halting(*args, **options):
    calls.append(1)
    is_chosen = len(calls) == int(nth)
    if is_chosen and when == "before":
        halt()
    result = function(*args, **options)
    if is_chosen and when == "after":
        halt()
    return result
setattr(module, name, halting)
exec(code)
"""


@contextmanager
def halted(
    place: str, code: str, *args: str, nth: int = 1, when: str = "before", **options: Any
) -> Generator[subprocess.Popen[str]]:
    """Give a program of Python that stands at a call; afterwards it goes on, with its signals.

    The program tells by a pipe that it has come there, and waits for the end of its standard input.

    Args:
        place: the function, by the module in which its caller finds it: "docs.demos.large.end".
        code: the program; `sys.argv[1:]` are the arguments.
        args: the arguments.
        nth: which call of the function.
        when: "before" the function runs, or "after".
        options: of `Popen`.
    """
    reads, writes = os.pipe()
    command = [sys.executable, "-c", _HALTING, place, str(nth), when, str(writes), code, *args]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, pass_fds=[writes], text=True, **options
    )
    os.close(writes)
    try:
        assert os.read(reads, 1) == b".", "the program has ended before the call"
        yield process
    except BaseException:
        process.kill()
        process.communicate()
        raise
    finally:
        os.close(reads)
        if process.stdin is not None:
            process.stdin.close()
        process.stdin = None  # so that `communicate` leaves it alone
