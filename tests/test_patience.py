"""Waits of tests: what sleeps, reads a clock or gives up after a number stands here, with why."""

from __future__ import annotations

import ast
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastfeat_tests import patience
from fastfeat_tests.patience import halted, passed, until

HERE = Path(__file__).parent
CLOCKS = {"sleep", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
LIMITED = {"wait", "join", "result", "settimeout", "create_connection"}
"""Functions that give up after a number of seconds: `PATIENCE_S` is the one to give them."""
ALLOWED = {
    "live/file/test_journal.py": ("wait: how often a reader looks while others write",),
    "live/killing.py": ("sleep: a kill at a random moment; any is right",),
    "patience.py": (
        "monotonic: ends a wait in vain",
        "sleep: between two looks for what stays once it is there",
    ),
    "execute/test_killed.py": (
        "monotonic: how long a call takes that is killed within that time",
        "sleep: a kill at a random moment; any is right",
    ),
    "plan/test_processes.py": ("sleep: so that what must not run any more could; nothing tells",),
    "seed_faults.py": ("monotonic: printed",),
    "apps/serve/test_answers_tell_no_more.py": ("sleep: the pace of a sender that is too slow",),
    "apps/serve/test_load.py": (
        "perf_counter: printed",
        "sleep: the pace of callers for a minute, after which memory is compared",
    ),
    "apps/stream/test_stream_faults.py": (
        "sleep: a kill at a random moment, or for how long a broker is away; any is right",
        "wait: the pace of a sender",
    ),
    "apps/stream/test_stream_sides.py": ("sleep: a kill at a random moment; any is right",),
}
"""What each file may wait for, other than by `patience.py`, and why no outcome rests on it."""


def waits_of(source: str) -> Iterator[str]:
    """Yield the names of calls that sleep, read a clock, or give up after a number of seconds."""

    def is_number(node: ast.expr) -> bool:
        return isinstance(node, ast.Constant) and type(node.value) in (int, float)

    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
                if name in CLOCKS or (name in LIMITED and any(map(is_number, node.args))):
                    yield name
                for option in node.keywords:
                    if option.arg == "timeout" and is_number(option.value):
                        yield "timeout"
            case ast.Constant(value=str(text)) if "time.sleep(" in text:  # of a program
                yield "sleep"
            case _:
                pass


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("time.sleep(1)", ["sleep"]),
        ("sleep(period)", ["sleep"]),
        ("while time.monotonic() < end: pass", ["monotonic"]),
        ("process.wait(20)", ["wait"]),
        ("run(command, timeout=9.5)", ["timeout"]),
        ('run("import time; time.sleep(1)")', ["sleep"]),
        ("process.wait(PATIENCE_S)", []),
        ("run(command, timeout=PATIENCE_S)", []),
        ("', '.join(names)", []),
    ],
)
def test_waits_are_found(source: str, found: list[str]) -> None:
    assert [*waits_of(source)] == found


def test_every_wait_for_a_time_has_a_reason() -> None:
    found = {
        path.relative_to(HERE).as_posix(): {*waits_of(path.read_text("utf-8"))}
        for path in HERE.rglob("*.py")
        if path.name != Path(__file__).name
    }
    allowed = {
        file: {reason.partition(": ")[0] for reason in reasons} for file, reasons in ALLOWED.items()
    }
    assert {file: waits for file, waits in found.items() if waits} == allowed


def test_a_function_is_asked_until_it_finds_something() -> None:
    found = iter(["", "", "here", "never"])
    assert until(lambda: next(found)) == "here"
    assert next(found) == "never"


def test_a_wait_in_vain_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0)
    with pytest.raises(AssertionError, match="did not become so"):
        until(lambda: False)
    with pytest.raises(AssertionError, match="did not come"):
        passed(threading.Event())


PROGRAM = """
import json, sys
print(json.dumps(sys.argv[1:]), flush=True)
print(json.dumps(2), flush=True)
"""


def test_a_program_halts_at_a_call_and_goes_on() -> None:
    pipe: Any = {"stdout": -1}
    with halted("json.dumps", PROGRAM, "a", "b", nth=2, **pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == '["a", "b"]\n'
        assert process.poll() is None
    assert process.communicate(timeout=patience.PATIENCE_S)[0] == "2\n"
    assert process.returncode == 0


def test_a_program_that_halts_takes_its_signal_before_it_goes_on() -> None:
    pipe: Any = {"stdout": -1, "stderr": -1}
    with halted("json.dumps", PROGRAM, when="after", **pipe) as process:
        process.send_signal(signal.SIGINT)
    told, error = process.communicate(timeout=patience.PATIENCE_S)
    assert (told, process.returncode) == ("", -signal.SIGINT)
    assert error.rstrip().endswith("KeyboardInterrupt")


def test_a_program_that_ends_before_the_call_is_told() -> None:
    with pytest.raises(AssertionError, match="ended before the call"), halted("json.dumps", "0"):
        pass
    with halted("json.dumps", PROGRAM) as process:
        process.kill()
    assert process.wait(patience.PATIENCE_S) == -signal.SIGKILL
    with pytest.raises(AssertionError, match="ended before"):
        until(lambda: False, process)
