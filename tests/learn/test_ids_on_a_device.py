"""Ids of rows in the memory of a device: folds are of them, and no row leaves for a warning."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import backend_named, emulated, run_task
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.errors import FoldsLeak, HistoryMissing, InvalidData, RowsRepeated, TiesInOrder
from fastfeat.ir.dtypes import INT64, UTF8
from fastfeat.steps.keys.tasks import DistinctTask
from fastfeat_tests.engine.gpu.device_producers import ArrowDeviceData, put

pytestmark = pytest.mark.emulator

RISK = {"risk": col("k").target_encode("y")}
BY_ID = ff.Plan(RISK, label="y", row_id="id")
BEFORE = col("k").sum(over=ff.window(time="id", rows=3, closed="right"))
OVER_ROWS = ff.Plan({"before": BEFORE}, row_id="id")
N = 20_000


class Counting(EmulatedRuntime):
    """Counts the bytes that leave the device."""

    n_bytes = 0

    def download(self, buffer: Any, array: Any, *args: Any, **kwargs: Any) -> None:
        self.n_bytes += array.nbytes
        super().download(buffer, array, *args, **kwargs)


def rows(n: int = N) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"id": rng.permutation(n), "k": rng.integers(0, 50, n), "y": rng.integers(0, 2, n)}


def fitted_there(plan: ff.Plan, data: dict[str, Any]) -> tuple[Any, int]:
    """Return the plan fitted on a device, and the bytes that left it."""
    runtime = Counting()
    there = {name: put(runtime, values) for name, values in data.items()}
    with emulated.use_runtime(runtime):
        return plan.fit(there, backend="emulated"), runtime.n_bytes


def test_folds_by_id_leave_no_row_of_the_device() -> None:
    data = rows()
    fitted, n_bytes = fitted_there(BY_ID, data)
    assert fitted.learnt() == BY_ID.fit(data).learnt()
    assert n_bytes < N


@pytest.mark.parametrize("how", [{}, {"fold": "k"}, {"fold_by": "k", "folds": 30}])
def test_small_folds_are_counted_on_the_device(how: Any) -> None:
    data = rows(90)
    plan = ff.Plan({"risk": col("id").target_encode("y", **how)}, label="y", row_id="id")
    with pytest.warns(FoldsLeak, match=r"\d+ of 90 rows in folds of fewer than 20") as told:
        plan.fit(data)
    with pytest.warns(FoldsLeak) as told_there:
        fitted_there(plan, data)
    assert str(told_there[0].message) == str(told[0].message)


def twice(data: dict[str, Any], n: int) -> dict[str, Any]:
    return {name: np.append(values, values[:n]) for name, values in data.items()}


def test_rows_of_one_id_are_counted_on_the_device() -> None:
    with pytest.warns(RowsRepeated, match="7 of 20,007 rows have the 'id' of an earlier row"):
        _, n_bytes = fitted_there(BY_ID, twice(rows(), 7))
    assert n_bytes < N


@pytest.mark.parametrize("column", ["k", "y"])
def test_rows_of_one_id_that_differ_are_an_error(column: str) -> None:
    data = twice(rows(400), 7)
    data[column][403] += 1
    with pytest.raises(InvalidData) as expected:
        BY_ID.fit(data)
    with pytest.raises(InvalidData, match="data, row 403") as found:
        fitted_there(BY_ID, data)
    assert str(found.value) == str(expected.value)


def test_rows_of_one_moment_are_counted_on_the_device() -> None:
    data = rows(1000)
    data["id"] //= np.array([1, 2] * 500)
    by_moment = ff.Plan({"before": BEFORE})
    with pytest.warns(TiesInOrder, match="rows of") as told:
        by_moment.fit(data)
    with pytest.warns(TiesInOrder) as told_there:
        _, n_bytes = fitted_there(by_moment, data)
    assert str(told_there[0].message) == str(told[0].message)
    assert n_bytes < 1000


@pytest.mark.parametrize("kind", [pa.int64(), pa.timestamp("us"), pa.date32()])
def test_windows_that_begin_before_the_data_are_counted_on_the_device(kind: Any) -> None:
    plan = ff.Plan(
        {
            "day": col("k").sum(over=ff.window("3d" if kind != pa.int64() else 3, time="t")),
            "ever": col("k").mean(over=ff.window(time="t")),
        }
    )
    rng, n = np.random.default_rng(0), 5000
    ticks = pa.array(rng.integers(5, 15, n), mask=rng.random(n) < 0.1)
    if kind != pa.int64():
        ticks = ticks.cast(pa.int32()).view(pa.date32()).cast(kind)
    data = pa.record_batch({"k": pa.array(rng.integers(0, 50, n)), "t": ticks})
    fitted = plan.fit(data)
    with pytest.warns(HistoryMissing, match="rows of") as told:
        fitted.transform(data)
    runtime, there = Counting(), plan.fit(data)
    table = ArrowDeviceData(runtime, data)
    with emulated.use_runtime(runtime), pytest.warns(HistoryMissing) as told_there:
        there.transform(table, backend="emulated", to="cupy")
    assert str(told_there[0].message) == str(told[0].message)
    assert runtime.n_bytes < n


def test_windows_see_no_id_twice() -> None:
    _, n_bytes = fitted_there(OVER_ROWS, rows(1000))
    assert n_bytes < 1000
    with pytest.raises(InvalidData, match=r"data, row 300: .* is also the id of row 0"):
        fitted_there(OVER_ROWS, twice(rows(300), 1))


def test_a_row_without_an_id_is_an_error() -> None:
    data = rows(400)
    table = pa.record_batch({**data, "id": pa.array(data["id"], mask=np.arange(400) == 30)})
    runtime = EmulatedRuntime()
    with (
        emulated.use_runtime(runtime),
        pytest.raises(InvalidData, match=r"data, row 30: col\(\"id\"\) is missing"),
    ):
        BY_ID.fit(ArrowDeviceData(runtime, table), backend="emulated")


def test_ids_of_the_host_stand_beside_columns_of_the_device() -> None:
    data, runtime = twice(rows(400), 3), EmulatedRuntime()
    there = {name: put(runtime, data[name]) for name in ("k", "y")}
    ids = [f"r{k}" for k in data["id"]]
    with (
        emulated.use_runtime(runtime),
        pytest.warns(RowsRepeated, match="3 of 403 rows have the 'id' of an earlier row"),
    ):
        fitted = BY_ID.fit({"id": ids, **there}, backend="emulated")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsRepeated)
        assert fitted.learnt() == BY_ID.fit({**data, "id": ids}).learnt()


@pytest.mark.parametrize("missing", ["key", "value"])
def test_distinct_keys_are_as_many_on_every_backend(missing: str) -> None:
    ids = pa.chunked_array([pa.array([3, None, 3, 2**62, None, 4])])
    texts = pa.chunked_array([pa.array(["a", "b", "a", None, "b", "a"])])
    task = DistinctTask([ids, texts], [INT64, UTF8], missing)
    expected = {"key": 2, "value": 4}[missing]
    for name in ("reference", "cpu", "emulated"):
        assert run_task(backend_named(name), task) == expected, name
