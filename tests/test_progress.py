"""The line of progress: what a terminal shows, and where nothing may be shown."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from fastfeat.progress import PATIENCE
from tests.patience import PATIENCE_S

LONG = """
import time
from fastfeat.progress import doing, tell
with doing("learning", 3, "scans") as step:
    step(1)
    time.sleep(.05)
    with doing("looking [red]"):
        tell("now")
        time.sleep(2.4)
"""
WITHOUT_RICH = "import sys; sys.modules['rich'] = None\n"


class Seen(NamedTuple):
    """What a program wrote to the terminal, and to its standard output, and how it ended."""

    terminal: str
    stdout: str
    code: int


def on_a_terminal(code: str, signal_when: str = "", **environment: str) -> Seen:
    """Return what a Python program shows where its stderr is a terminal.

    Args:
        code: the program.
        signal_when: what is shown when it is interrupted; "" if it is not.
        environment: variables of its own.
    """
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"} | environment,
        text=True,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                read = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            shown += read
            if signal_when and signal_when in shown.decode():
                process.send_signal(signal.SIGINT)
                signal_when = ""
        stdout, _ = process.communicate(timeout=PATIENCE_S)
    os.close(ours)
    return Seen(shown.decode(), stdout, process.returncode)


@pytest.mark.parametrize("begin", ["", WITHOUT_RICH])
def test_a_terminal_shows_what_takes_longer_than_a_second(begin: str) -> None:
    seen = on_a_terminal(begin + LONG)
    assert seen.code == 0
    assert re.search(r"\d s  learning: looking \[red\], now", seen.terminal)
    assert "scans" not in seen.terminal  # told only while that was done, in the first second
    assert seen.terminal.count("\n") == (0 if begin else 1)  # one line, drawn anew
    assert seen.terminal.rstrip(" \r").endswith("\x1b[2K")  # and gone


def test_nothing_is_shown_or_imported_within_a_second() -> None:
    assert PATIENCE == 1
    patient = "import fastfeat.progress\nfastfeat.progress.PATIENCE = 60\n"  # a machine may stall
    short = patient + LONG.replace("2.4", "1.2") + "import sys; print('rich' in sys.modules)"
    assert on_a_terminal(short) == ("", "False\n", 0)


def test_a_pipe_a_file_and_a_dumb_terminal_stay_empty(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LONG]
    piped = subprocess.run(command, capture_output=True, check=True)
    assert piped.stderr == piped.stdout == b""
    with (tmp_path / "log").open("w") as log:
        subprocess.run(command, stderr=log, check=True)
    assert (tmp_path / "log").read_text() == ""
    assert on_a_terminal(LONG, TERM="dumb") == ("", "", 0)


def test_it_is_turned_off_by_the_environment() -> None:
    assert on_a_terminal(LONG, FASTFEAT_PROGRESS="0") == ("", "", 0)
    assert "learning" in on_a_terminal(LONG, FASTFEAT_PROGRESS="1").terminal


LEAK_TEST = """
import time
import fastfeat as ff
from sklearn.dummy import DummyClassifier

class Slow(DummyClassifier):
    def fit(self, X, y):
        time.sleep(0.4)
        return super().fit(X, y)

plan = ff.Plan({"x": ff.col("x")}, label="y")
data = {"x": [*range(40)], "y": [0, 1, 1, 0, 1] * 8}
ff.leak_test(plan, data, Slow(), cv=2, n_permutations=2)
"""


def test_a_search_for_leaks_counts_its_permutations() -> None:
    told = r"looking for leaks, 1 of 2 permutations, training a model"
    assert re.search(told, on_a_terminal(LEAK_TEST).terminal)


IN_A_THREAD = """
import threading
def work():
{}
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
IN_A_FORK = """
import os, fastfeat.progress
child = os.fork()
if child == 0:
{}
    os._exit(0)
os.waitpid(child, 0)
"""
IN_A_WORKER = """
import multiprocessing
def work():
{}
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=work)
    process.start()
    process.join()
    raise SystemExit(process.exitcode)
"""


@pytest.mark.parametrize("program", [IN_A_THREAD, IN_A_FORK, IN_A_WORKER])
def test_other_threads_and_processes_show_nothing(program: str, tmp_path: Path) -> None:
    body = "".join(f"    {line}\n" for line in LONG.splitlines())
    file = tmp_path / "program.py"  # a worker that is spawned imports it
    file.write_text(program.format(body))
    code = f"import runpy, sys; sys.argv = [{str(file)!r}]; runpy.run_path({str(file)!r}, "
    if program is IN_A_WORKER:
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import program, "
        code += "multiprocessing as m; p = m.get_context('spawn').Process(target=program.work); "
        code += "p.start(); p.join(); raise SystemExit(p.exitcode)"
    else:
        code += "run_name='__main__')"
    assert on_a_terminal(code) == ("", "", 0)


@pytest.mark.parametrize("begin", ["", WITHOUT_RICH])
def test_an_error_and_an_interrupt_end_the_line(begin: str) -> None:
    endless = begin + LONG.replace("sleep(2.4)", "sleep(60)")
    interrupted = on_a_terminal(endless, signal_when="looking")
    assert interrupted.code != 0
    bad = "import signal\ndef fail(*_):\n    raise ValueError('bad')\n"
    failed = on_a_terminal(f"{bad}signal.signal(signal.SIGINT, fail)\n{endless}", "looking")
    assert failed.code == 1
    for seen, error in ((interrupted, "KeyboardInterrupt"), (failed, "ValueError")):
        shown, _, after = seen.terminal.rpartition("\x1b[2K")
        assert "looking" in shown
        assert after.lstrip(" \r").startswith("Traceback")
        assert error in after


def test_a_notebook_has_a_plain_line() -> None:
    cell = """
import io, sys, types
sys.modules["ipykernel"] = types.ModuleType("ipykernel")
class Cell(io.StringIO):
    pass
Cell.__module__ = "ipykernel.iostream"
sys.stderr = Cell()
"""
    end = "\nprint(repr(sys.stderr.getvalue()))"
    result = subprocess.run(
        [sys.executable, "-c", cell + LONG + end], capture_output=True, text=True, check=True
    )
    assert re.search(r"\\r\| \d s  learning: looking \[red\], now", result.stdout)
    assert "\\x1b" not in result.stdout  # a cell shows such a code as it is
    assert result.stdout.endswith(" \\r'\n")


COMPILING = """
import fastfeat as ff
import fastfeat.progress
fastfeat.progress.PATIENCE = .01  # a fast machine compiles within a second
rows = {"x": [1.0, 2.0]}
ff.Plan({"y": ff.col("x").log1p().standard_scale()}).fit(rows).transform(rows)
"""


def test_a_wait_for_the_compiler_is_told(tmp_path: Path) -> None:
    seen = on_a_terminal(COMPILING, FASTFEAT_CACHE_DIR=str(tmp_path))
    assert seen.code == 0, seen.terminal
    assert "compiling kernel " in seen.terminal
    assert "(features)" in seen.terminal
    again = on_a_terminal(COMPILING, FASTFEAT_CACHE_DIR=str(tmp_path))
    assert again.code == 0
    assert "compiling" not in again.terminal


SHORT = """
import threading
import numpy as np, fastfeat as ff
plan = ff.Plan({"y": ff.col("x") + 1})
rows = {"x": np.zeros(70_000)}
fitted = plan.fit(rows)
fitted.transform(rows)  # compiles, maybe
def no_thread(thread):
    raise SystemExit(thread.name)
threading.Thread.start = no_thread
fitted.transform({"x": rows["x"][:1000]})
print("short")
fitted.transform(rows)
"""


def test_a_small_batch_starts_no_thread() -> None:
    seen = on_a_terminal(SHORT)
    assert seen.terminal.endswith("fastfeat\r\n")
    assert (seen.stdout, seen.code) == ("short\n", 1)
