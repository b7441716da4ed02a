"""Computations that share one device, without any device: who waits for whom, and for how long."""

from __future__ import annotations

import ctypes
import linecache
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fastfeat.engine.gpu import computations
from fastfeat.engine.gpu.computations import SMALLER, Computations
from fastfeat.errors import OutOfDeviceMemory
from fastfeat_tests.engine.gpu.device_threads import Held, Worker, lacking, passed, waiting


def test_an_interrupt_ends_waiting_and_nobody_waits_for_who_is_gone() -> None:
    shared, was_lacking = Computations(), threading.Event()

    def lack() -> None:
        was_lacking.set()
        lacking()

    first = Held(shared)
    second = Worker(lambda: shared.run(lack))
    passed(was_lacking)
    interrupt = ctypes.pythonapi.PyThreadState_SetAsyncExc
    interrupt(ctypes.c_ulong(second.ident or 0), ctypes.py_object(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        second.end()
    assert Worker(lambda: shared.run(lambda: "beside the first")).end() == "beside the first"
    first.end()


def test_who_lacks_memory_alone_is_told_at_once() -> None:
    tries: list[int] = []

    def lack() -> None:
        tries.append(1)
        lacking()

    shared = Computations()
    for _ in range(2):
        with pytest.raises(OutOfDeviceMemory, match="lacking"):
            shared.run(lack)
    assert len(tries) == 2


def test_who_has_the_device_alone_lets_nobody_begin() -> None:
    shared, order, was_lacking = Computations(), list[str](), threading.Event()

    def second() -> None:
        if not was_lacking.is_set():
            was_lacking.set()
            lacking()
        order.append("second begins")
        third.append(Worker(lambda: shared.run(lambda: order.append("third"))))
        waiting(shared, 1)
        order.append("second ends")

    third: list[Worker] = []
    first = Held(shared)
    second_worker = Worker(lambda: shared.run(second))
    passed(was_lacking)
    waiting(shared, 1)
    order.append("first ends")
    first.end()
    second_worker.end()
    third[0].end()
    assert order == ["first ends", "second begins", "second ends", "third"]


def test_who_comes_later_lets_those_begin_who_wait_for_memory() -> None:
    shared, order, was_lacking = Computations(), list[str](), threading.Event()

    def second() -> None:
        order.append("second")
        if not was_lacking.is_set():
            was_lacking.set()
            lacking()

    first = Held(shared)
    workers = [Worker(lambda: shared.run(second))]
    passed(was_lacking)
    waiting(shared, 1)
    workers.append(Worker(lambda: shared.run(lambda: order.append("third"))))
    waiting(shared, 2)
    first.end()
    for worker in workers:
        worker.end()
    assert order == ["second", "second", "third"]


def test_company_that_comes_later_counts() -> None:
    shared, tries = Computations(), list[int]()

    def lack() -> None:
        tries.append(1)
        if len(tries) == 1:
            Worker(lambda: shared.run(lambda: None)).end()
        lacking()

    with pytest.raises(OutOfDeviceMemory):
        shared.run(lack)
    assert len(tries) == 2


def test_who_lacks_memory_alone_takes_smaller_pieces_first() -> None:
    shared, shares = Computations(), list[float]()

    def lack() -> None:
        shares.append(shared.share())
        shared.plan(0, can_shrink=len(shares) < 3)
        lacking()

    with pytest.raises(OutOfDeviceMemory):
        shared.run(lack)
    assert shares == [1, SMALLER, SMALLER**2]


def test_a_computation_within_another_waits_for_nobody() -> None:
    """Such as the filling of a matrix, or the handler of a signal."""
    shared, seen = Computations(), list[str]()
    other = Held(shared)

    def outer() -> str:
        seen.append("outer")
        if seen.count("outer") == 1:
            shared.run(lambda: seen.append("inner"))
            try:
                shared.run(lacking)
            finally:
                ending.append(Worker(other.end))
        return "done"

    ending: list[Worker] = []
    assert Worker(lambda: shared.run(outer)).end() == "done"
    ending[0].end()
    assert seen == ["outer", "inner", "outer"]


@contextmanager
def interrupted_at(k: int) -> Iterator[None]:
    """Raise KeyboardInterrupt at the k-th line of the computations that is run.

    Where a lock is taken or released no interrupt comes in between.
    """
    left, before = [k], sys.gettrace()

    def trace(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != computations.__file__:
            return None
        line = linecache.getline(computations.__file__, frame.f_lineno)
        if event == "line" and "with _LOCK" not in line:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("fails", [False, True])
def test_an_interrupt_at_any_line_leaves_nobody_behind(fails: bool) -> None:
    shared, tries, k = Computations(), list[int](), 0

    def work() -> None:
        if fails:
            lacking()

    def probe() -> None:
        tries.append(1)
        lacking()

    for k in range(1, 1000):
        try:
            with interrupted_at(k):
                shared.run(work)
        except KeyboardInterrupt:
            pass
        except OutOfDeviceMemory:
            break
        else:
            break
        tries.clear()
        with pytest.raises(OutOfDeviceMemory):
            Worker(lambda: shared.run(probe)).end()
        assert len(tries) == 1, k
    assert 20 < k < 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_waits_for_no_thread_of_its_parent() -> None:
    shared = Computations()
    other = Held(shared)
    child = os.fork()
    if child == 0:
        try:
            shared.run(lacking)
        except OutOfDeviceMemory:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    other.end()


def test_frames_of_an_error_that_the_caller_handles_stay_as_they_are() -> None:
    def fail() -> None:
        kept = "kept"
        raise ValueError(kept)

    trace: Any = None
    try:
        fail()
    except ValueError as error:
        trace = error.__traceback__
        with pytest.raises(OutOfDeviceMemory):
            Computations().run(lacking)
    assert trace.tb_next.tb_frame.f_locals == {"kept": "kept"}
