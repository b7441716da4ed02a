"""What goes wrong on a device: features are named, memory comes back, the next call works.

Interrupts are raised at one request to the runtime after the other.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.gpu.device.card_runtime import CardRuntime
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.programs import launch
from fastfeat.engine.gpu.programs.program import MOST_OUTPUTS
from fastfeat.engine.gpu.runtime import Mark
from fastfeat.errors import KernelFailed
from fastfeat_tests.engine.gpu.simulated_card import SimulatedCard
from fastfeat_tests.patience import PATIENCE_S, joined

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
N_BYTES = 12_000  # several pieces
REQUESTS = ("allocate", "upload", "download", "launch", "mark", "finish", "synchronize")


class Interrupted(EmulatedRuntime):
    """A device whose n-th request is interrupted, before or after it is done."""

    left = 1 << 60
    is_after = False

    def arm(self, n: int, *, is_after: bool) -> None:
        self.left, self.is_after = n, is_after

    def _request(self, ask: Callable[[], Any]) -> Any:
        self.left -= 1
        is_chosen = self.left == 0
        if is_chosen and not self.is_after:
            raise KeyboardInterrupt
        result = ask()
        if is_chosen:
            raise KeyboardInterrupt
        return result


def _wrapped(name: str) -> Any:
    def request(self: Interrupted, *arguments: Any, **named: Any) -> Any:
        return self._request(lambda: getattr(EmulatedRuntime, name)(self, *arguments, **named))

    return request


for _name in REQUESTS:
    setattr(Interrupted, _name, _wrapped(_name))


def n_requests(runtime: Interrupted, work: Callable[[], Any]) -> int:
    runtime.arm(1 << 60, is_after=False)
    work()
    return (1 << 60) - runtime.left


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("work", ["fit", "transform", "matrix"])
def test_an_interrupted_run_gives_its_memory_back_and_the_next_one_works(
    work: str, deferred: bool
) -> None:
    runtime, fitted = Interrupted(n_bytes=N_BYTES, deferred=deferred), PLAN.fit(ROWS)
    matrix = ff.Plan({"exp": col("x").exp(), "k": col("k") * 2}).fit(ROWS)
    expected = fitted.transform(ROWS)
    run: Callable[[], Any] = {
        "fit": lambda: PLAN.fit(ROWS, backend="emulated").learnt(),
        "transform": lambda: fitted.transform(ROWS, backend="emulated"),
        "matrix": lambda: matrix.transform(ROWS, to="numpy", backend="emulated").tobytes(),
    }[work]
    with emulated.use_runtime(runtime):
        wanted, n = run(), n_requests(runtime, run)
        assert n > 20
        for k in range(1, n + 1, max(1, n // 30)):
            runtime.arm(k, is_after=bool(k % 2))
            with pytest.raises(KeyboardInterrupt):
                run()
            assert runtime.memory() == (N_BYTES, N_BYTES), k
        assert run() == wanted
        assert fitted.transform(ROWS, backend="emulated").equals(expected)


@pytest.mark.parametrize("kind", ["emulated", "card"])
def test_the_end_of_a_buffer_runs_no_line_of_python(kind: str) -> None:
    """An interrupt that came between such lines would lose the memory."""
    runtime: Any = EmulatedRuntime(n_bytes=N_BYTES)
    if kind == "card":
        runtime = CardRuntime(SimulatedCard(0, n_bytes=N_BYTES))
    seen: list[str] = []
    buffer, before = runtime.allocate(1000), sys.gettrace()
    sys.settrace(lambda frame, *_: seen.append(frame.f_code.co_name))
    del buffer
    sys.settrace(before)
    assert seen == []
    runtime.synchronize()
    assert runtime.memory() == (N_BYTES, N_BYTES)


def test_a_kernel_may_run_while_a_signal_is_handled() -> None:
    """A handler of a signal runs between the lines of what it interrupts, locks held."""
    handled: list[Any] = []

    class Signalled(EmulatedRuntime):
        is_new = True

        def module(self, text: str) -> Any:
            module = super().module(text)
            functions = module.loaded.functions
            launch_kernel = functions.ff_launch

            def interrupted(*arguments: Any) -> Any:
                functions.ff_launch = launch_kernel
                failed = launch_kernel(*arguments)
                handled.append(fitted.transform(ROWS, backend="emulated"))
                return failed

            if self.is_new:
                self.is_new, functions.ff_launch = False, interrupted
            return module

    def work() -> None:
        with emulated.use_runtime(Signalled()):
            handled.append(fitted.transform(ROWS, backend="emulated"))

    fitted = PLAN.fit(ROWS)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    joined(thread)
    assert [rows.equals(fitted.transform(ROWS)) for rows in handled] == [True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_kernels_run_runs_its_own() -> None:
    fitted, stop = PLAN.fit(ROWS), threading.Event()
    expected = fitted.transform(ROWS)

    def compute() -> None:
        while not stop.is_set():
            fitted.transform(ROWS, backend="emulated")

    def work() -> None:
        assert fitted.transform(ROWS, backend="emulated").equals(expected)

    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            child = multiprocessing.get_context("fork").Process(target=work)
            with warnings.catch_warnings():
                # Python 3.12 warns of any fork of a process with threads; this is what is tested.
                warnings.simplefilter("ignore", DeprecationWarning)
                child.start()
            child.join(PATIENCE_S)
            child.kill()
            assert child.exitcode == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_copy_that_is_outstanding_never_writes_to_memory_that_was_let_go() -> None:
    """A download asked for before an interrupt has ended when the interrupt arrives."""

    class Watching(Interrupted):
        n_outstanding = 0

        def synchronize(self) -> None:
            super().synchronize()
            self.n_outstanding = 0

        def download(
            self, buffer: Any, array: Any, offset: int = 0, after: Mark | None = None
        ) -> None:
            super().download(buffer, array, offset, after)
            self.n_outstanding += 1
            self._request(lambda: None)

    runtime, fitted = Watching(deferred=True), PLAN.fit(ROWS)
    with emulated.use_runtime(runtime):
        for k in range(1, 60):
            runtime.arm(k, is_after=False)
            try:
                fitted.transform(ROWS, backend="emulated")
            except KeyboardInterrupt:
                assert runtime.n_outstanding == 0
            else:
                assert k > 10
                return
    raise AssertionError("never ran to its end")


DIVERGENT = "if (threadIdx.x < 8) return;\n    __syncthreads();"


def _broken_text(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a divergent barrier into the kernel of one loop."""
    text_of = launch.text_of

    def broken(program: Any, exact: bool) -> str:
        begin = rf"(loop_{number}\(const i64\* table, i64 first, i64 n\) {{)"
        text, n = re.subn(begin, rf"\1\n    {DIVERGENT}", text_of(program, exact))
        assert n == 1
        return text

    monkeypatch.setattr(launch, "text_of", broken)


@pytest.mark.parametrize("deferred", [False, True])
def test_a_kernel_that_fails_names_its_features(
    deferred: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"n{k}": col("k") + k for k in range(MOST_OUTPUTS + 1)}
    fitted = ff.Plan({**many, "exp": col("x").exp()}).fit(ROWS)
    runtime = EmulatedRuntime(deferred=deferred)
    with emulated.use_runtime(runtime), monkeypatch.context() as patched:
        _broken_text(1, patched)
        with pytest.raises(KernelFailed, match=r"kernel 'loop_1': divergent barrier") as caught:
            fitted.transform(ROWS, backend="emulated")
    told = str(caught.value)
    del caught  # whose frames hold the memory of the run
    assert told.endswith(f"the kernel computes 'n{MOST_OUTPUTS}', 'exp'")
    with emulated.use_runtime(runtime):
        assert fitted.transform(ROWS, backend="emulated").equals(fitted.transform(ROWS))
        gc.collect()
        assert runtime.memory()[0] == runtime.memory()[1]


def test_a_kernel_that_fails_in_fit_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        _broken_text(0, patched)
        with pytest.raises(KernelFailed, match=r"kernel 'loop_0': .*; fit was .*'x', 'z'$"):
            ff.Plan({"x": (col("x") * 7).mean(), "y": col("k"), "z": col("k").median()}).fit(
                ROWS, backend="emulated"
            )
    assert ff.Plan({"x": (col("x") * 7).mean()}).fit(ROWS, backend="emulated").learnt()


@pytest.mark.parametrize("deferred", [False, True])
def test_threads_at_once_get_the_bits_of_one(deferred: bool) -> None:
    runtime = EmulatedRuntime("random", n_bytes=200_000, deferred=deferred)
    fitted = PLAN.fit(ROWS)
    firsts = range(0, 300, 50)
    halves = [{name: v[first : first + 400] for name, v in ROWS.items()} for first in firsts]
    expected = [(fitted.transform(half), PLAN.fit(half).learnt()) for half in halves]
    wrong: list[Any] = []
    start = threading.Barrier(len(halves))

    def work(k: int) -> None:
        try:
            start.wait()
            with emulated.use_runtime(runtime):
                for _ in range(3):
                    rows = fitted.transform(halves[k], backend="emulated")
                    learnt = PLAN.fit(halves[k], backend="emulated").learnt()
                    if not rows.equals(expected[k][0]) or learnt != expected[k][1]:
                        wrong.append(k)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(halves))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    gc.collect()
    assert runtime.memory()[0] == runtime.memory()[1]
