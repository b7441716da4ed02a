"""A terminal of a test's own: what a program shows on it, and what is done once it has shown it."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fastfeat_tests.patience import PATIENCE_S


class Seen(NamedTuple):
    """What a program wrote to the terminal, and to its standard output, and how it ended."""

    terminal: str
    stdout: str
    code: int


def environment_of(**more: str) -> dict[str, str]:
    """Return the environment of a program that tells what it does, as tests else do not."""
    kept = {name: value for name, value in os.environ.items() if name != "FASTFEAT_PROGRESS"}
    return kept | {"TERM": "xterm"} | more


def on_a_terminal(
    code: str,
    when: str = "",
    then: Callable[[Any], object] | None = None,
    arguments: Sequence[str] = (),
    **environment: str,
) -> Seen:
    """Return what a Python program shows where its stderr is a terminal.

    Args:
        code: the program; its standard input ends once the text is shown.
        when: a text that it shows; "" if there is none to wait for.
        then: what is done to the process when it has shown the text.
        arguments: of the program.
        environment: variables of its own.
    """
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        stdin=subprocess.PIPE if when else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment_of(**environment),
        text=True,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            ready, _, _ = select.select([ours], [], [], PATIENCE_S)
            assert ready, f"{when!r} was not shown: {shown!r}"
            try:
                read = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            shown += read
            if when and re.search(when.encode(), shown):
                if then is not None:
                    then(process)
                assert process.stdin is not None
                process.stdin.close()
                process.stdin = None  # so that `communicate` leaves it alone
                when = ""
        stdout, _ = process.communicate(timeout=PATIENCE_S)
    os.close(ours)
    return Seen(shown.decode(), stdout, process.returncode)
