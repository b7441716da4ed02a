"""As-of joins on a device: rows of the definition, of times of all units, in several orders."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat.backends import device, emulated
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.runtime import Geometry
from fastfeat.errors import OutOfDeviceMemory
from fastfeat.steps.step import StepTask
from fastfeat_tests.engine.gpu.device_producers import put

pytestmark = pytest.mark.emulator

SMALL = Geometry(block=32, most_blocks=2, rows_per_thread=1)
ORDERS = ("forward", "reverse", "random")
ENDS = (2**63 - 1, -(2**63), 2**62)
UNITS = ("s", "ms", "us", "ns")
WAYS: tuple[dict[str, Any], ...] = (
    {"by": "k"},
    {"by": ["k", "n"], "delay": "3ns", "tolerance": "2h"},
    {"tolerance": "5ns", "allow_exact_matches": False},
    {"by": {"n": "n"}, "delay": "1s", "allow_exact_matches": False},
)


def rows_of(n: int, kind: Any, rng: random.Random) -> pa.Table:
    far = rng.choice([10, 10**6])
    moments = [rng.choice([None, *ENDS, *[rng.randint(-far, far)] * 9]) for _ in range(n)]
    return pa.table(
        {
            "t": pa.array(moments, kind),
            "k": pa.array([rng.choice(["a", "b", None]) for _ in range(n)], pa.string()),
            "n": pa.array([rng.choice([1, 2, 3, None]) for _ in range(n)], pa.int32()),
            "row": pa.array(range(n), pa.int64()),
        }
    )


def plan_of(ways: Any) -> ff.Plan:
    joins = [ff.asof("table", time="t", **way) for way in ways]
    return ff.Plan({f"row {k}": join.col("row") for k, join in enumerate(joins)})


@pytest.mark.parametrize("left", UNITS)
@pytest.mark.parametrize("right", UNITS)
def test_the_device_finds_the_rows_of_the_definition(left: str, right: str) -> None:
    rng = random.Random(f"{left} {right}")
    data = rows_of(70, pa.timestamp(left), rng)
    tables = {"table": rows_of(300, pa.timestamp(right), rng)}
    fitted = plan_of(WAYS).fit(data, tables=tables)
    expected = fitted.transform(data, tables=tables, backend="reference")
    runtime = EmulatedRuntime(rng.choice(ORDERS), geometry=SMALL)
    with emulated.use_runtime(runtime):
        found = fitted.transform(data, tables=tables, backend="emulated")
    assert found.equals(expected)
    assert 0 < expected["row 0"].null_count < len(data)


@pytest.mark.parametrize("order", ORDERS)
def test_whole_numbers_are_joined_as_they_are(order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(order)
    data, tables = rows_of(50, pa.int64(), rng), {"table": rows_of(40, pa.int64(), rng)}
    longest = {"tolerance": 2**63 - 1, "allow_exact_matches": False}
    fitted = plan_of([{"by": "k"}, longest, {"delay": 2**63 - 1}, {"delay": 4}]).fit(
        data, tables=tables
    )
    expected = fitted.transform(data, tables=tables, backend="reference")
    made: list[str] = []
    run_step = device.host.run_step

    def noting(task: StepTask) -> Any:
        made.append(task.call.function)
        return run_step(task)

    monkeypatch.setattr(device.host, "run_step", noting)
    with emulated.use_runtime(EmulatedRuntime(order, geometry=SMALL)):
        assert fitted.transform(data, tables=tables, backend="emulated").equals(expected)
    assert made == []  # nothing of this is the host's
    assert "on the device: ff.asof(" in fitted.explain("cuda")


def test_values_of_every_type_are_gathered_on_the_device() -> None:
    kinds = {
        "f64": pa.array([1.5, None, float("nan"), -0.0]),
        "f32": pa.array([1.5, None, float("inf"), -0.0], pa.float32()),
        "i8": pa.array([-1, None, 127, 0], pa.int8()),
        "u64": pa.array([2**64 - 1, None, 0, 7], pa.uint64()),
        "bool": pa.array([True, None, False, True]),
        "date": pa.array([0, None, -5, 9], pa.int32()).cast(pa.date32()),
        "text": pa.array(["a", None, "", "b"]),
    }
    table = pa.table({"k": [4, 3, 2, 1], **kinds})
    data = {"k": [None, *range(6)] * 60}
    for joined in (ff.lookup("table", by="k"), ff.asof("table", time="k")):
        chosen = {name: joined.col(name) for name in ("f64", "f32", "i8", "bool")}
        chosen["u64"] = (joined.col("u64") > 5).fill_null(False)
        chosen["date"] = joined.col("date").dt.day()
        chosen["text"] = joined.col("text") == "a"
        fitted = ff.Plan(chosen).fit(data, tables={"table": table})
        expected = fitted.transform(data, tables={"table": table})
        for n_bytes in (1 << 34, 30_000, 12_000):  # whole, and in pieces that come back
            with emulated.use_runtime(EmulatedRuntime(n_bytes=n_bytes, geometry=SMALL)):
                found = fitted.transform(data, tables={"table": table}, backend="emulated")
            assert found.equals(expected)
        shown = fitted.explain("cuda")
        assert "on the device: " in shown
        assert "on the host: " in shown  # text


def test_times_of_a_device_are_looked_up_in_place() -> None:
    table = {"t": [1, 5, 5, 9], "k": [1, 1, 2, 1], "row": [0, 1, 2, 3]}
    host = {"t": np.array([0, 1, 6, 9, 9]), "k": np.array([1, 1, 2, 1, 3])}
    fitted = plan_of([{"by": "k"}, {}]).fit(host, tables={"table": table})
    expected = fitted.transform(host, tables={"table": table})
    runtime = EmulatedRuntime()
    with emulated.use_runtime(runtime):
        data = {name: put(runtime, values) for name, values in host.items()}
        found = fitted.transform(data, tables={"table": table}, backend="emulated")
    assert found.equals(expected)


def test_a_table_that_does_not_fit_the_device_is_told() -> None:
    rng = random.Random(0)
    data, tables = rows_of(5, pa.int64(), rng), {"table": rows_of(3000, pa.int64(), rng)}
    fitted = plan_of([{"by": "k"}]).fit(data, tables=tables)
    with (
        emulated.use_runtime(EmulatedRuntime(n_bytes=100_000)),
        pytest.raises(OutOfDeviceMemory, match=r"as-of join of 5 rows with a table of 3,000 needs"),
    ):
        fitted.transform(data, tables=tables, backend="emulated")
