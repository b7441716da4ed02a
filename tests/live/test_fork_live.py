"""Processes that fork: a child has its own copy of a state in memory, and none of one on disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import StateError
from fastfeat_tests.patience import joined

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
OVER = ff.window(100, time="t")
PLAN = ff.Plan({"n": ff.count(over=OVER), "sum": col("x").sum(over=OVER)}).fit({"t": [0], "x": [1]})


def in_child(work: Callable[[], str]) -> str:
    """Return what work gives in a child, or how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = "it has not ended"
        try:
            told = work()
        except BaseException as error:  # the parent reads it
            told = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, told.encode()[:4000])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        found = told.read().decode()
    os.waitpid(child, 0)
    return found


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_child_has_its_own_copy_of_a_state_in_memory() -> None:
    live = PLAN.online()
    live.process({"t": [1, 2], "x": [1, 1]})
    asked = {"t": 50, "x": 0}

    def work() -> str:
        before = live.features(asked).tolist()
        live.process({"t": [3, 4, 5], "x": [1, 1, 1]})
        return f"{before} {live.features(asked).tolist()}"

    assert in_child(work) == "[2.0, 2.0] [5.0, 5.0]"
    assert live.features(asked).tolist() == [2.0, 2.0]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_child_of_a_process_that_writes_sees_whole_calls() -> None:
    live = PLAN.online()
    done = threading.Event()

    def write() -> None:
        first = 0
        while not done.is_set():
            live.process({"t": [first] * 5, "x": [1] * 5})
            first += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):

            def work() -> str:
                history = live.history()
                n = 0 if history is None else history.num_rows
                live.process({"t": [10**6], "x": [1]})  # nobody holds a lock here
                return str(n % 5)

            assert in_child(work) == "0"
    finally:
        done.set()
        joined(writer)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_child_may_not_use_a_state_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "some.state"
    with PLAN.online(path=path) as live:
        live.process({"t": [1, 2], "x": [1, 1]})
        told = f"StateError: .*process {os.getpid()}.*after the fork"
        for call in (
            lambda: str(live.process({"t": [3], "x": [1]})),
            lambda: str(live.features({"t": 3, "x": 1})),
            lambda: str(live.history()),
        ):
            with pytest.raises(StateError, match=told):
                raise StateError(in_child(call))
        live.process({"t": [3], "x": [1]})
        assert in_child(lambda: str(live.close())) == "None"
        live.process({"t": [4], "x": [1]})
    with PLAN.online(path=path) as live:
        assert live.features({"t": 5, "x": 1}).tolist() == [4.0, 4.0]
