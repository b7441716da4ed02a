"""The line of progress: what a terminal shows, and where nothing may be shown."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fastfeat import progress
from fastfeat.progress import PATIENCE
from fastfeat_tests.patience import PATIENCE_S
from fastfeat_tests.terminal import Seen, environment_of, on_a_terminal

LONG = """
import sys, threading
from fastfeat.progress import report_progress, show_progress
with show_progress("learning", 3, "scans") as step:
    step(1)
    with show_progress("looking [red]"):
        report_progress("now")
        print([thread.name for thread in threading.enumerate()].count("fastfeat"), flush=True)
        sys.stdin.readline()  # until the test has seen what it waits for
"""
"""Tells something, and prints how many threads draw it."""
AT_ONCE = "import fastfeat.progress\nfastfeat.progress.PATIENCE = 0\n"
WITHOUT_RICH = "import sys; sys.modules['rich'] = None\n"


def in_a_pipe(code: str, **environment: str) -> Seen:
    """Return what a Python program shows where its stderr is a pipe."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment_of(**environment),
    )
    return Seen(done.stderr, done.stdout, done.returncode)


@pytest.mark.parametrize("begin", ["", WITHOUT_RICH])
def test_a_terminal_shows_what_takes_longer_than_a_second(begin: str) -> None:
    shown = r"[1-9]\d* s  learning: looking \[red\], now"
    seen = on_a_terminal(begin + LONG, shown)
    assert (seen.code, seen.stdout) == (0, "1\n")
    assert seen.terminal.count("\n") == (0 if begin else 1)  # one line, drawn anew
    assert seen.terminal.rstrip(" \r").endswith("\x1b[2K")  # and gone


def test_nothing_is_shown_or_imported_within_a_second() -> None:
    assert PATIENCE == 1
    patient = AT_ONCE.replace("= 0", "= 3600")  # a machine may stall
    short = patient + LONG + "print('rich' in sys.modules)"
    assert on_a_terminal(short) == ("", "1\nFalse\n", 0)


def test_a_text_stands_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawings are an eighth of a second apart, by a clock of the test."""
    drawn, told = list[str](), count()

    class Ended(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return len(drawn) == 30

    drawing = progress._Drawing(drawn.append, lambda: None, 0.1, lambda began: f"{next(told)}")
    clock: Any = SimpleNamespace(monotonic=lambda: 100 + len(drawn) / 8)
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress, "_drawing", lambda stream: drawing)
    progress._watch(Ended(), 0.0, 0.0, None)
    assert drawn == [*["0"] * 8, *["1"] * 8, *["2"] * 8, *["3"] * 6]


def test_a_pipe_a_file_and_a_dumb_terminal_stay_empty_without_an_event(tmp_path: Path) -> None:
    nothing = Seen("", "0\n", 0)
    assert in_a_pipe(LONG) == nothing
    with (tmp_path / "log").open("w") as log:
        subprocess.run(
            [sys.executable, "-c", LONG],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, check=True,
            env=environment_of(),
        )  # fmt: skip
    assert (tmp_path / "log").read_text() == ""
    assert on_a_terminal(LONG, TERM="dumb") == nothing


def test_it_is_turned_off_by_the_environment() -> None:
    assert on_a_terminal(LONG, FASTFEAT_PROGRESS="0") == ("", "0\n", 0)
    assert on_a_terminal(LONG, "learning", FASTFEAT_PROGRESS="1").stdout == "1\n"


LEAK_TEST = """
import sys
import fastfeat as ff
from sklearn.dummy import DummyClassifier

fits = []
class Slow(DummyClassifier):
    def fit(self, X, y):
        fits.append(1)
        if len(fits) == 5:  # one permutation is done
            sys.stdin.readline()
        return super().fit(X, y)

plan = ff.Plan({"x": ff.col("x")}, label="y")
data = {"x": [*range(40)], "y": [0, 1, 1, 0, 1] * 8}
ff.leak_test(plan, data, Slow(), cv=2, n_permutations=2)
print(len(fits))
"""


def test_a_search_for_leaks_counts_its_permutations() -> None:
    told = r"looking for leaks, 1 of 2 permutations, training a model"
    seen = on_a_terminal(LEAK_TEST, told)
    assert (seen.stdout, seen.code) == ("8\n", 0), seen.terminal


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
    assert on_a_terminal(code) == ("", "0\n", 0)


def interrupt(process: Any) -> None:
    """Do what Ctrl-C does."""
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("begin", ["", WITHOUT_RICH])
def test_an_error_and_an_interrupt_end_the_line(begin: str) -> None:
    interrupted = on_a_terminal(begin + LONG, "looking", interrupt)
    assert interrupted.code != 0
    bad = "import signal\ndef fail(*_):\n    raise ValueError('bad')\n"
    failing = f"{bad}signal.signal(signal.SIGINT, fail)\n{begin}{LONG}"
    failed = on_a_terminal(failing, "looking", interrupt)
    assert failed.code == 1
    for seen, error in ((interrupted, "KeyboardInterrupt"), (failed, "ValueError")):
        shown, _, after = seen.terminal.rpartition("\x1b[2K")
        assert "looking" in shown
        assert after.lstrip(" \r").startswith("Traceback")
        assert error in after


def test_a_notebook_has_a_plain_line() -> None:
    cell = """
import io, sys, threading, types
sys.modules["ipykernel"] = types.ModuleType("ipykernel")
is_seen = threading.Event()
class Cell(io.StringIO):
    def write(self, text):
        if "looking [red], now" in text:
            is_seen.set()
        return super().write(text)
Cell.__module__ = "ipykernel.iostream"
sys.stderr = Cell()
"""
    end = "\nprint(repr(sys.stderr.getvalue()))"
    program = cell + LONG.replace("sys.stdin.readline()", f"is_seen.wait({PATIENCE_S})") + end
    result = in_a_pipe(program)
    assert result.code == 0, result.terminal
    assert re.search(r"\\r[|/\\-]+ \d+ s  learning: looking \[red\], now", result.stdout)
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


def test_without_a_terminal_a_line_says_what_is_compiled(tmp_path: Path) -> None:
    seen = in_a_pipe(COMPILING, FASTFEAT_CACHE_DIR=str(tmp_path))
    assert seen.code == 0, seen.terminal
    lines = seen.terminal.splitlines()
    assert len(lines) >= 2
    assert len({*lines}) == len(lines)
    assert all(re.fullmatch(r"fastfeat: compiling kernel \d+ \(.+\)", line) for line in lines)
    again = in_a_pipe(COMPILING, FASTFEAT_CACHE_DIR=str(tmp_path))
    assert again == ("", "", 0)
    off = {"FASTFEAT_CACHE_DIR": str(tmp_path / "off"), "FASTFEAT_PROGRESS": "0"}
    assert in_a_pipe(COMPILING, **off) == ("", "", 0)


EVENTS = (
    AT_ONCE
    + """
import threading
from fastfeat.progress import _HOLD, report_progress, show_progress
class Stream:
    def isatty(self):
        return False
    def flush(self):
        pass
    def write(self, text):
        sys.stdout.write(text)
        is_told.set()
import sys
is_told, sys.stderr = threading.Event(), Stream()
fastfeat.progress._HOLD = 0
def wait():
    is_told.clear()
    is_told.wait()
with show_progress("Starting", at_once=True, is_event=True) as step:
    is_told.wait()
    step("Replaying")
    wait()
    with show_progress("learning", 3, "scans") as inner:
        inner(2)
        report_progress("medians")
    with show_progress("waiting for another", is_event=True):
        wait()
"""
)


def test_steps_of_an_event_are_lines_and_what_changes_within_is_not() -> None:
    told = "fastfeat: Starting\nfastfeat: Replaying\nfastfeat: Replaying: waiting for another\n"
    assert in_a_pipe(EVENTS).stdout == told


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
