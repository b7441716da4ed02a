"""Threads that compute at once in one device's memory: who waits for whom, and what is an error."""

from __future__ import annotations

import ctypes
import linecache
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from simulated_card import SimulatedCard

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.backends.gpu import computations
from fastfeat.backends.gpu.card_runtime import CardRuntime
from fastfeat.backends.gpu.computations import SMALLER, Computations
from fastfeat.backends.gpu.emulated import EmulatedRuntime
from fastfeat.backends.gpu.pieces import SHARE_OF_MEMORY, SMALL_SHARE, pieces_of
from fastfeat.backends.gpu.runtime import Mark
from fastfeat.errors import OutOfDeviceMemory, Overflow

pytestmark = pytest.mark.emulator

N_ROWS = 700
ROWS = {"x": np.linspace(-3, 3, N_ROWS), "k": np.arange(N_ROWS), "flag": np.arange(N_ROWS) % 3 == 0}
PLAN = ff.Plan(
    {
        "exp": col("x").exp() + col("x").mean(),
        "median": col("k") - (col("k") * 3).median(),
        "not": ~col("flag"),
    }
)
MATRIX = ff.Plan({"exp": col("x").exp(), "k": col("k") * 2})
N_BYTES = 12_000  # for some rows of one computation
CARD_BYTES = 20_000
PATIENCE_S = 60


class Worker(threading.Thread):
    """A thread whose result or error is taken by `end`."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:
            self.error = error

    def end(self) -> Any:
        self.join(PATIENCE_S)
        assert not self.is_alive(), "threads wait for each other"
        if self.error is not None:
            raise self.error
        return self.result


def passed(event: threading.Event) -> None:
    assert event.wait(PATIENCE_S)


def lacking() -> None:
    raise OutOfDeviceMemory("lacking")


def small_card(seed: int) -> CardRuntime:
    return CardRuntime(SimulatedCard(seed, n_bytes=CARD_BYTES), slot_bytes=512)


MAKERS: dict[str, Callable[[], Any]] = {
    "emulated": lambda: EmulatedRuntime("random", n_bytes=N_BYTES),
    "deferred": lambda: EmulatedRuntime(n_bytes=N_BYTES, deferred=True),
    **{f"card {seed}": lambda seed=seed: small_card(seed) for seed in range(3)},
}


@pytest.mark.parametrize("kind", MAKERS)
def test_threads_that_fit_one_by_one_get_their_bits_at_once(kind: str) -> None:
    runtime, fitted, matrix = MAKERS[kind](), PLAN.fit(ROWS), MATRIX.fit(ROWS)
    parts = [{name: v[k * 50 :][:400] for name, v in ROWS.items()} for k in range(6)]
    start = threading.Barrier(len(parts))

    def work(rows: dict[str, Any]) -> None:
        few = {name: v[:20] for name, v in rows.items()}
        expected = (
            fitted.transform(rows),
            PLAN.fit(rows).learnt(),
            matrix.transform(few, to="numpy"),
        )
        start.wait(PATIENCE_S)
        with emulated.running_on(runtime):
            for _ in range(2):
                assert fitted.transform(rows, backend="emulated").equals(expected[0])
                assert PLAN.fit(rows, backend="emulated").learnt() == expected[1]
                found = matrix.transform(few, to="cupy", backend="emulated")
                found = found.get() if hasattr(found, "get") else found
                assert found.tobytes("F") == expected[2].tobytes("F")

    for worker in [Worker(lambda rows=rows: work(rows)) for rows in parts]:
        worker.end()
    runtime.synchronize()
    assert runtime.memory()[0] == runtime.memory()[1]


class Gate:
    """Stops the first thread that computes until another one has lacked memory."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.is_inside, self.was_lacking = threading.Event(), threading.Event()
        self.at_gate: Callable[[], None] = lambda: None
        self.stopped: int | None = None

    def finish(self, mark: Mark) -> None:
        if self.stopped is None:
            self.stopped = threading.get_ident()
            self.is_inside.set()
            passed(self.was_lacking)
            self.at_gate()
        super().finish(mark)  # pyright: ignore  # of the runtime that it is mixed with

    def give_back(self) -> None:
        if threading.get_ident() != self.stopped:
            self.was_lacking.set()
        super().give_back()  # pyright: ignore


class GatedEmulator(Gate, EmulatedRuntime):
    pass


class GatedCard(Gate, CardRuntime):
    pass


def gated(kind: str) -> Any:
    if kind == "card":
        return GatedCard(SimulatedCard(0, n_bytes=N_BYTES), slot_bytes=512)
    return GatedEmulator(n_bytes=N_BYTES, deferred=kind == "deferred")


def transform_on(runtime: Any) -> Any:
    with emulated.running_on(runtime):
        return PLAN.fit(ROWS).transform(ROWS, backend="emulated")


@pytest.mark.parametrize("kind", ["emulated", "deferred", "card"])
def test_who_lacks_memory_has_it_when_the_other_has_ended(kind: str) -> None:
    runtime = gated(kind)
    first = Worker(lambda: transform_on(runtime))
    passed(runtime.is_inside)
    second = Worker(lambda: transform_on(runtime))
    expected = PLAN.fit(ROWS).transform(ROWS)
    assert first.end().equals(expected)
    assert second.end().equals(expected)
    assert runtime.was_lacking.is_set()
    runtime.synchronize()
    assert runtime.memory()[0] == runtime.memory()[1]


@pytest.mark.parametrize("kind", ["emulated", "deferred", "card"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, Overflow, OutOfDeviceMemory])
def test_who_waits_goes_on_when_the_other_fails(kind: str, error: type[BaseException]) -> None:
    runtime = gated(kind)

    def fail() -> None:
        raise error("at the gate")

    runtime.at_gate = fail
    first = Worker(lambda: transform_on(runtime))
    passed(runtime.is_inside)
    second = Worker(lambda: transform_on(runtime))
    expected = PLAN.fit(ROWS).transform(ROWS)
    assert second.end().equals(expected)
    if error is OutOfDeviceMemory:  # which begins again, too
        assert first.end().equals(expected)
    else:
        with pytest.raises(error, match="at the gate"):  # its traceback is still there
            first.end()
    assert runtime.memory()[0] == runtime.memory()[1]


class Held:
    """A computation of another thread, inside of which it waits for `end`."""

    def __init__(self, shared: Computations, work: Callable[[], Any] = lambda: None) -> None:
        self._is_inside, self._may_end = threading.Event(), threading.Event()

        def wait() -> Any:
            found = work()
            self._is_inside.set()
            passed(self._may_end)
            return found

        self._worker = Worker(lambda: shared.run(wait))
        passed(self._is_inside)

    def end(self) -> Any:
        self._may_end.set()
        return self._worker.end()


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
        time.sleep(0.05)
        order.append("second ends")

    third: list[Worker] = []
    first = Held(shared)
    second_worker = Worker(lambda: shared.run(second))
    passed(was_lacking)
    time.sleep(0.05)
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
    time.sleep(0.05)  # it waits by now
    workers.append(Worker(lambda: shared.run(lambda: order.append("third"))))
    time.sleep(0.05)
    first.end()
    for worker in workers:
        worker.end()
    assert order == ["second", "second", "third"]


def test_who_waits_for_one_device_keeps_nobody_from_another() -> None:
    runtimes = [EmulatedRuntime(n_bytes=N_BYTES) for _ in range(2)]
    was_lacking = threading.Event()

    def lack_once() -> None:
        if not was_lacking.is_set():
            was_lacking.set()
            lacking()

    first = Held(runtimes[0].computations)
    second = Worker(lambda: runtimes[0].computations.run(lack_once))
    passed(was_lacking)
    expected = PLAN.fit(ROWS).transform(ROWS)
    assert Worker(lambda: transform_on(runtimes[1])).end().equals(expected)
    first.end()
    second.end()


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


def test_an_error_that_is_kept_keeps_no_memory() -> None:
    rows = {**ROWS, "k": np.full(N_ROWS, 2**62)}
    fitted, runtime = ff.Plan({"k": col("k") * 2}).fit(ROWS), EmulatedRuntime(n_bytes=N_BYTES)
    with emulated.running_on(runtime), pytest.raises(Overflow) as caught:
        fitted.transform(rows, backend="emulated")
    assert runtime.memory() == (N_BYTES, N_BYTES)
    assert "row 0" in str(caught.value)


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


def test_what_others_are_still_going_to_take_is_not_planned_with() -> None:
    runtime = EmulatedRuntime(n_bytes=100_000)
    first = Held(runtime.computations, lambda: pieces_of(runtime, 8, 1000, reserved=2000))
    second = Worker(lambda: runtime.computations.run(lambda: pieces_of(runtime, 8, 1 << 20)))
    beside, n_claimed = second.end(), 2000 + SMALL_SHARE * 8 * 1000
    assert beside.n_rows == int(SHARE_OF_MEMORY * (100_000 - n_claimed) / 2 / 8) // 64 * 64
    assert first.end().spans == ((0, 1000),)
    alone = runtime.computations.run(lambda: pieces_of(runtime, 8, 1 << 20))
    assert alone.n_rows == int(SHARE_OF_MEMORY * 100_000 / 2 / 8) // 64 * 64


class Fragmented(EmulatedRuntime):
    """A device whose free memory is in small parts."""

    largest = 1000

    def allocate(self, n_bytes: int) -> Any:
        if n_bytes > self.largest:
            free, _ = self.memory()
            raise OutOfDeviceMemory(f"{n_bytes:,} bytes of device memory, {free:,} are free")
        return super().allocate(n_bytes)


def test_pieces_become_smaller_where_memory_is_in_parts() -> None:
    runtime = Fragmented(n_bytes=100_000)
    fitted = ff.Plan({"x": col("x") * 2, "k": col("k") + 1}).fit(ROWS)
    with emulated.running_on(runtime):
        assert fitted.transform(ROWS, backend="emulated").equals(fitted.transform(ROWS))
        runtime.largest = 8 * 64 - 1
        with pytest.raises(OutOfDeviceMemory, match=r"^512 bytes .* 100,000 are free$"):
            fitted.transform(ROWS, backend="emulated")
    assert runtime.memory() == (100_000, 100_000)


def test_a_result_that_is_kept_is_less_that_is_free() -> None:
    runtime, fitted = EmulatedRuntime(n_bytes=3 * 16 * N_ROWS), MATRIX.fit(ROWS)
    more = {name: np.tile(v, 2) for name, v in ROWS.items()}
    with emulated.running_on(runtime):
        kept = [fitted.transform(ROWS, to="cupy", backend="emulated") for _ in range(2)]
        worker = Worker(lambda: transform_on(runtime))
        assert worker.end().equals(PLAN.fit(ROWS).transform(ROWS))
        with pytest.raises(OutOfDeviceMemory, match=r"needs 22,400 bytes .* 11,200 are free"):
            fitted.transform(more, to="cupy", backend="emulated")
    del kept
    assert runtime.memory()[0] == runtime.memory()[1]


def test_memory_that_outstanding_work_keeps_comes_back() -> None:
    runtime = EmulatedRuntime(n_bytes=N_BYTES, deferred=True)
    runtime.zero(runtime.allocate(1000))
    assert runtime.memory() == (N_BYTES - 1000, N_BYTES)
    runtime.give_back()
    assert runtime.memory() == (N_BYTES, N_BYTES)


@pytest.mark.parametrize("seed", range(6))
def test_what_another_thread_has_dropped_is_free_for_who_needs_it(seed: int) -> None:
    """Though work of that thread, which uses it, is outstanding."""
    runtime = CardRuntime(SimulatedCard(seed, n_bytes=10_000), slot_bytes=4096)

    def drop() -> None:
        buffer = runtime.allocate(6000)
        runtime.upload(np.zeros(600), buffer)
        runtime.zero(buffer)

    for _ in range(5):
        Worker(drop).end()
        assert runtime.allocate(9000).n_bytes == 9000
