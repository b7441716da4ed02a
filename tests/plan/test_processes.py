"""Plans in threads, in forked children and in spawned workers: the same bits, and no deadlock."""

from __future__ import annotations

import contextlib
import gc
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels import objects

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import FittedPlan
from fastfeat.engine.cpu.threads import run_tasks
from fastfeat.keep.artifact import artifact_bytes
from fastfeat_tests.patience import PATIENCE_S, until
from fastfeat_tests.plan.plan_tables import differing, feature_bytes, row_of, table_of

PLAN = ff.Plan(
    {
        "log": col("x").log1p(),
        "scaled": col("y").standard_scale(),
        "bin": col("y").qcut(5),
        "both": col("flag") & (col("i") > col("i").mean()),
    }
)
TRAIN, ROWS = table_of(3000, 0, finite=True), table_of(3000, 1)


@pytest.fixture(autouse=True, scope="module")
def several_tasks() -> Iterator[None]:
    """Let a few thousand rows run on three threads."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("run", "kernels"):
            patch.setattr(import_module(f"fastfeat.engine.cpu.{module}"), "SERIAL_BELOW", 1)
        patch.setattr(import_module("fastfeat.engine.cpu.run"), "ROWS_PER_TASK", 512)
        ff.set_num_threads(3)
        yield
        ff.set_num_threads(None)


def in_child(work: Callable[[], object]) -> None:
    """Run work in a forked child; fail if it fails, or hangs."""
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork of a process with threads; this is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    ended = 0, 0

    def has_ended() -> int:
        nonlocal ended
        ended = os.waitpid(child, os.WNOHANG)
        return ended[0]

    try:
        until(has_ended)
    finally:
        if not ended[0]:  # it hangs
            os.kill(child, 9)
            os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended[1]) == 0


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_a_forked_child_transforms_fits_and_computes_rows():
    fitted = PLAN.fit(TRAIN)
    expected = feature_bytes(fitted.transform(ROWS))
    row = fitted.transform_row(row_of(ROWS, 0)).tobytes()
    learnt = artifact_bytes(fitted.record)

    def work() -> None:
        assert feature_bytes(fitted.transform(ROWS)) == expected
        assert fitted.transform_row(row_of(ROWS, 0)).tobytes() == row
        assert artifact_bytes(PLAN.fit(TRAIN).record) == learnt
        in_child(lambda: fitted.transform(ROWS))
        new = ff.Plan({"new": col("full") * 3 - 1})
        assert new.fit(ROWS).transform(ROWS).num_rows == ROWS.num_rows

    in_child(work)
    in_child(work)
    assert feature_bytes(fitted.transform(ROWS)) == expected


@needs_fork
def test_a_child_forked_while_others_compute_does_not_hang():
    fitted = PLAN.fit(TRAIN)
    expected = feature_bytes(fitted.transform(ROWS))
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            fitted.transform(ROWS)
            ff.Plan({"y": col("x") + 1.5})

    def work() -> None:
        assert feature_bytes(fitted.transform(ROWS)) == expected
        assert ff.Plan({"y": col("x") + 2.5, "z": col("y")}).declaration.nodes

    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            in_child(work)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def work_on(path: str, rows: str, out: str) -> None:
    """Load a plan, transform a file and write the features."""
    from fastfeat.io.sinks.write import write_table

    write_table(ff.load(path).transform(rows), out)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_that_load_an_artifact_give_the_same_bits(method, tmp_path):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    fitted = PLAN.fit(TRAIN)
    path, rows = tmp_path / "plan.fastfeat", tmp_path / "rows.arrow"
    fitted.save(path)
    with pa.ipc.new_file(str(rows), ROWS.schema) as writer:
        writer.write_table(ROWS)
    outputs = [tmp_path / f"{k}.arrow" for k in range(2)]
    context = multiprocessing.get_context(method)
    workers = [
        context.Process(target=work_on, args=(str(path), str(rows), str(output)))
        for output in outputs
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE_S)
        assert worker.exitcode == 0
    expected = fitted.transform(ROWS)
    for output in outputs:
        assert differing(pa.ipc.open_file(str(output)).read_all(), expected) == {}


def test_four_threads_transform_fit_and_compute_rows_at_once():
    fitted = PLAN.fit(TRAIN)
    expected = feature_bytes(fitted.transform(ROWS))
    learnt = artifact_bytes(fitted.record)
    numbers = np.ascontiguousarray(fitted.transform(ROWS, to="numpy"))
    failures: list[str] = []

    def work(k: int) -> None:
        try:
            for turn in range(6):
                row = 100 * k + turn
                assert feature_bytes(fitted.transform(ROWS)) == expected
                assert artifact_bytes(PLAN.fit(TRAIN).record) == learnt
                found = fitted.transform_row(row_of(ROWS, row)).tobytes()
                assert found == numbers[row].tobytes()
                own = ff.Plan({f"own {k}": col("y") * (k + turn)}).fit(ROWS).transform(ROWS)
                assert own.num_rows == ROWS.num_rows
        except BaseException:
            failures.append(traceback.format_exc())

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_row_of_one_thread_is_not_that_of_another():
    fitted = ff.Plan({"a": col("x"), "b": col("x") * 2}).fit({"x": [1.0]})
    wrong: list[object] = []

    def work(k: int) -> None:
        mine = fitted.transform_row({"x": float(k)})
        for _ in range(2000):
            found = fitted.transform_row({"x": float(k)})
            if found.tolist() != [k, 2 * k] or mine.tolist() != [k, 2 * k]:
                wrong.append((k, found))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_error_in_one_task_leaves_the_threads_in_order():
    plan = ff.Plan({"twice": col("n") * 2})
    good = pa.table({"n": np.arange(3000)})
    bad = pa.table({"n": np.full(3000, 2**62)})
    fitted = plan.fit(good)
    for _ in range(5):
        with pytest.raises(ff.errors.Overflow, match="row 0"):
            fitted.transform(bad)
        assert fitted.transform(good)["twice"][2999].as_py() == 5998


PROGRAM = """
import sys
import numpy as np
import fastfeat as ff
plan = ff.Plan({"y": ff.col("x").log1p() - ff.col("x").median()})
fitted = plan.fit({"x": np.array([1.0, 2.0])})
print(fitted.transform({"x": np.array([3.0])}, to="numpy").tolist())
print(sorted({"numba", "llvmlite", "pandas", "polars", "rich", "typer"} & set(sys.modules)))
"""


@pytest.mark.skipif(not objects.manifest_of(objects.FOLDER), reason="no kernel is shipped here")
def test_a_new_process_needs_no_numba_and_with_a_filled_cache_no_llvm(tmp_path):
    """A warm start loads machine code; importing Numba takes half a second."""
    environment = {**os.environ, "FASTFEAT_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM]
    first, second = (
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    )
    assert first.splitlines()[1] == "['llvmlite']"
    assert second.splitlines() == [first.splitlines()[0], "[]"]


@needs_fork
def test_a_child_forked_while_another_thread_compiles_does_not_hang():
    stop, numbers = threading.Event(), itertools.count()

    def compile_something_new() -> None:
        shift = next(numbers)
        new = ff.Plan({"y": sum((col("x") * k for k in range(shift + 2)), col("y"))})
        assert new.fit(ROWS).transform(ROWS).num_rows == ROWS.num_rows

    def compute() -> None:
        while not stop.is_set():
            compile_something_new()

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for _ in range(3):
            in_child(compile_something_new)
    finally:
        stop.set()
        thread.join()


class Interrupt(BaseException):
    """What a signal raises here."""


def interrupt(*_: object) -> None:
    """Handle a signal as Ctrl-C is handled."""
    raise Interrupt


@contextmanager
def handling(handle: Callable[..., None]) -> Iterator[None]:
    """Let a function handle the alarms of this thread.

    No garbage is collected meanwhile: what is raised in a callback of the collector, such as that
    of Hypothesis, goes no further.
    """
    before = signal.signal(signal.SIGALRM, handle)
    gc.disable()
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # the last alarm may have set another one
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


needs_alarm = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")


def interrupt_twice(function: Callable[..., Any], every: float) -> Callable[..., None]:
    """Return what interrupts a call at an alarm, and again while that is handled."""
    alarms = iter((every, 0.0))

    def handle(_: int, frame: FrameType | None) -> None:
        if any(called.f_code is function.__code__ for called, _ in traceback.walk_stack(frame)):
            signal.setitimer(signal.ITIMER_REAL, next(alarms))
            raise Interrupt
        signal.setitimer(signal.ITIMER_REAL, every)

    return handle


def without_end(function: Callable[[], object], every: float) -> NoReturn:
    """Call a function again and again, until the alarm is handled."""
    signal.setitimer(signal.ITIMER_REAL, every)
    while True:
        function()


@needs_alarm
def test_no_thread_writes_after_an_interrupt():
    n = 2_000_000
    data = {"x": np.linspace(0, 9, n)}
    fitted = ff.Plan({f"a{k}": (col("x") + k).sin().exp().tanh() for k in range(4)}).fit(data)
    expected = fitted.transform(data, to="numpy")
    for every in (0.05, 0.03, 0.01):
        out = np.zeros((n, 4), order="F")
        with handling(interrupt_twice(FittedPlan.transform, every)), pytest.raises(Interrupt):
            without_end(partial(fitted.transform, data, to="numpy", out=out), every)
        left = out.copy()
        time.sleep(0.2)
        assert out.tobytes() == left.tobytes()
    assert fitted.transform(data, to="numpy").tobytes() == expected.tobytes()


def test_no_task_runs_after_an_interrupt_at_any_line():
    """What a signal raises can come between any two lines of the calling thread."""
    running: list[int] = []

    def task() -> None:
        running.append(1)
        time.sleep(0.005)
        running.pop()

    def lines_of(chosen: int) -> int:
        n = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal n
            if not frame.f_code.co_filename.endswith("cpu/threads.py"):
                return None
            n += event == "line"
            if event == "line" and n == chosen:
                raise Interrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            run_tasks([task] * 9)
        finally:
            sys.settrace(before)
        return n

    for chosen in range(1, lines_of(0)):
        with contextlib.suppress(Interrupt):
            lines_of(chosen)
        assert running == [], chosen


@needs_alarm
def test_a_row_after_an_interrupted_one_is_right():
    fitted = ff.Plan({"a": col("i") + 1, "b": col("j") * 2}).fit({"i": [1, 2], "j": [1, 2]})
    fitted.transform_row({"i": None, "j": None})
    with handling(interrupt):
        for k in range(2000):
            with contextlib.suppress(Interrupt):
                signal.setitimer(signal.ITIMER_REAL, 5e-5 * (1 + k % 7))
                while True:
                    fitted.transform_row({"i": None, "j": None})
            assert fitted.transform_row({"i": 1, "j": 2}).tolist() == [2, 4]


@needs_alarm
def test_a_row_computed_by_a_signal_handler_leaves_that_of_the_thread_alone():
    fitted = ff.Plan({"a": col("i") + 1}).fit({"i": [1, 2]})
    fitted.transform_row({"i": 1})
    handled: list[float] = []

    def handle(*_: object) -> None:
        handled.append(fitted.transform_row({"i": 100})[0])
        signal.setitimer(signal.ITIMER_REAL, 1e-4)

    with handling(handle):
        signal.setitimer(signal.ITIMER_REAL, 1e-4)
        while len(handled) < 500:
            assert fitted.transform_row({"i": 1}).tolist() == [2]
    assert set(handled) == {101.0}


def test_a_plan_runs_while_the_interpreter_ends():
    program = """
import atexit, numpy as np, fastfeat as ff
fitted = ff.Plan({"y": ff.col("x") + 1}).fit({"x": np.zeros(1)})
def late():
    features = fitted.transform({"x": np.zeros(300_000)})
    print(features.num_rows, features["y"][299_999])
atexit.register(late)
"""
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stdout.split() == ["300000", "1.0"]
    assert done.stderr == ""
