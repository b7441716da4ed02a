"""Threads that compute at once in one device's memory: all get their bits, and it is free again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.gpu.device.card_runtime import CardRuntime
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.pieces.pieces import SHARE_OF_MEMORY, SMALL_SHARE, pieces_of
from fastfeat.engine.gpu.runtime import Mark
from fastfeat.errors import OutOfDeviceMemory, Overflow
from fastfeat_tests.engine.gpu.device_threads import Held, Worker, lacking, passed
from fastfeat_tests.engine.gpu.simulated_card import SimulatedCard
from fastfeat_tests.patience import PATIENCE_S

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
        with emulated.use_runtime(runtime):
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
    with emulated.use_runtime(runtime):
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


def test_an_error_that_is_kept_keeps_no_memory() -> None:
    rows = {**ROWS, "k": np.full(N_ROWS, 2**62)}
    fitted, runtime = ff.Plan({"k": col("k") * 2}).fit(ROWS), EmulatedRuntime(n_bytes=N_BYTES)
    with emulated.use_runtime(runtime), pytest.raises(Overflow) as caught:
        fitted.transform(rows, backend="emulated")
    assert runtime.memory() == (N_BYTES, N_BYTES)
    assert "row 0" in str(caught.value)


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
    with emulated.use_runtime(runtime):
        assert fitted.transform(ROWS, backend="emulated").equals(fitted.transform(ROWS))
        runtime.largest = 8 * 64 - 1
        with pytest.raises(OutOfDeviceMemory, match=r"^512 bytes .* 100,000 are free$"):
            fitted.transform(ROWS, backend="emulated")
    assert runtime.memory() == (100_000, 100_000)


def test_a_result_that_is_kept_is_less_that_is_free() -> None:
    runtime, fitted = EmulatedRuntime(n_bytes=3 * 16 * N_ROWS), MATRIX.fit(ROWS)
    more = {name: np.tile(v, 2) for name, v in ROWS.items()}
    with emulated.use_runtime(runtime):
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
