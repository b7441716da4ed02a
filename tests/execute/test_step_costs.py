"""What steps cost is measured where it is asked for, and changes nothing."""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine import kernel_cache
from fastfeat.engine.kernel_cache import measure_kernels
from fastfeat.execute.step_costs import FEATURES, is_measured, measure_step, measure_steps

ROWS = pa.table(
    {
        "x": np.arange(50.0),
        "k": ["a", "b"] * 25,
        "t": pa.array(range(50), pa.timestamp("s")),
    }
)
HOUR = ff.window("1h", by="k", time="t")
PLAN = ff.Plan(
    {
        "scaled": col("x").standard_scale(),
        "code": col("k").ordinal_encode(),
        "mean": col("x").mean(over=HOUR),
    }
)


def test_each_step_is_measured_over_all_pieces() -> None:
    fitted = PLAN.fit(ROWS)
    expected = fitted.transform(ROWS, history="batch")
    for _ in range(2):  # the second time a small batch would run through in one call
        with measure_steps() as costs:
            assert is_measured()
            assert fitted.transform(ROWS, history="batch").equals(expected)
            fitted.transform(ROWS.slice(0, 7), history="batch")
        found = {step.kind: step for step in costs.steps}
        assert set(found) == {"step", "windows", FEATURES}
        for step in found.values():
            assert (step.n_rows, step.n_runs) == (57, 2)
            assert step.wall_s > 0
            assert step.cpu_s >= 0
        assert found["windows"].order is not None
    assert not is_measured()


def test_a_step_within_a_step_is_a_part_of_it() -> None:
    with measure_steps() as costs, measure_step("step", [], 3):
        assert not is_measured()
        with measure_step("program", [], 3):
            pass
    assert [step.kind for step in costs.steps] == ["step"]


def test_a_step_that_fails_leaves_the_next_one_measured() -> None:
    with measure_steps() as costs:
        with suppress(ValueError), measure_step("step", [], 1):
            raise ValueError
        assert is_measured()
    assert costs.steps == []


def test_nothing_is_measured_in_other_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    fitted = PLAN.fit(ROWS)
    with measure_steps() as costs, ThreadPoolExecutor(1) as pool:
        pool.submit(fitted.transform, ROWS, history="batch").result()
    assert costs.steps == []


def test_kernels_that_are_made_ready_meanwhile_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_cache, "_spent", kernel_cache.KernelSeconds())
    clock = [0.0]
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, name, lambda: clock[0])
    with measure_steps() as costs, measure_step("step", [], 1):
        clock[0] += 1
        with measure_kernels():
            clock[0] += 100
            with measure_kernels():  # a kernel that another one asks for
                clock[0] += 10
        clock[0] += 2
    (step,) = costs.steps
    assert (step.wall_s, step.cpu_s) == (3, 3)
