"""Windows of plans on a device: the bits of the CPU, of columns of the host and of the device."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.runtime import Geometry
from fastfeat.errors import InvalidData, OutOfDeviceMemory, Overflow
from fastfeat.io.device import DeviceArray
from fastfeat.operators.windows import Window
from fastfeat.steps.windows.gpu import functions as device_windows
from fastfeat.steps.windows.tasks import WindowTask
from fastfeat_tests.engine.gpu.device_producers import put
from fastfeat_tests.operators.operator_tables import bits_of

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.filterwarnings("ignore::fastfeat.errors.TiesInOrder"),
]

RUNTIMES: dict[str, dict[str, Any]] = {
    "forward": {},
    "reverse": {
        "order": "reverse",
        "geometry": Geometry(block=64, most_blocks=1, rows_per_thread=1),
    },
    "random": {
        "order": "random",
        "resident": 3,
        "geometry": Geometry(block=32, most_blocks=3, rows_per_thread=1),
    },
    "deferred": {"deferred": True, "geometry": Geometry(block=128, rows_per_thread=1)},
}
N_ROWS = 400
FLOATS = [0.1, -0.0, 0.0, 1.5, float("inf"), -float("inf"), float("nan"), None, 1e9, -1e-9, 3.0]
TYPES: dict[str, tuple[pa.DataType, Callable[[random.Random], Any]]] = {
    "float64": (pa.float64(), lambda r: r.choice([*FLOATS, r.gauss(0, 1) * 2.0 ** r.randrange(9)])),
    "float32": (pa.float32(), lambda r: r.choice([*FLOATS[:8], r.randrange(-99, 99) / 8])),
    "tiny": (pa.float64(), lambda r: r.choice([5e-324, -1e-310, None, 0.0, 2.3e-308])),
    "huge": (pa.float64(), lambda r: r.choice([1.7e308, -1.7e308, None, 1.1e308])),
    "int64": (pa.int64(), lambda r: r.choice([None, r.randrange(-(2**53), 2**53)])),
    "uint64": (pa.uint64(), lambda r: r.choice([None, r.randrange(2**52)])),
    "int8": (pa.int8(), lambda r: r.choice([None, r.randrange(-128, 128)])),
    "bool": (pa.bool_(), lambda r: r.choice([None, True, False])),
}
OF_NUMBERS: dict[str, Callable[[ff.Expr, Window], ff.Expr]] = {
    "count": lambda x, w: x.count(over=w),
    "null_count": lambda x, w: x.null_count(over=w),
    "first": lambda x, w: x.first(over=w),
    "last": lambda x, w: x.last(over=w),
    "lag": lambda x, w: x.lag(2, over=w),
    "min": lambda x, w: x.min(over=w),
    "max": lambda x, w: x.max(over=w),
    "sum": lambda x, w: x.sum(over=w),
    "mean": lambda x, w: x.mean(over=w),
    "var": lambda x, w: x.var(over=w, ddof=0),
    "std": lambda x, w: x.std(over=w),
}
WINDOWS = (
    ff.window(40, time="t", by="card"),
    ff.window(time="t", by=["card", "device"], closed="right", tie="tie"),
    ff.window(90, time="t", closed="both", offset=3, min_samples=2),
    ff.window(2**62, time="t", by="card", rows=5, closed="neither", offset=2**61),
    ff.window(7, time="t", rows=3, closed="right"),
)


def events(n: int, begins: int = 0, seed: int = 0) -> pa.Table:
    """Return rows of some entities, with missing values everywhere, in any order."""
    rng = random.Random(seed + n)
    columns = {
        "t": pa.array([rng.choice([None, *[begins + rng.randrange(n)] * 20]) for _ in range(n)]),
        "card": pa.array([rng.choice(["a", "b", "c", None]) for _ in range(n)]),
        "device": pa.array([rng.choice(["web", "app", None]) for _ in range(n)]),
        "tie": pa.array([rng.choice([None, 0.0, -0.0, -1.0, 2.0]) for _ in range(n)]),
        "at": pa.array(
            [rng.choice([None, 1000 * begins + rng.randrange(1000 * n)]) for _ in range(n)]
        ).cast(pa.timestamp("ms")),
    }
    spans = [rng.choice([None, rng.randrange(-(2**60), 2**60), -1, 2**62]) for _ in range(n)]
    columns["span"] = pa.array(spans).cast(pa.duration("us"))
    columns |= {name: pa.array([f(rng) for _ in range(n)], t) for name, (t, f) in TYPES.items()}
    return pa.table(columns)


def features() -> dict[str, ff.Expr]:
    """Return every function of the device, over every window, of every type of numbers."""
    chosen: dict[str, ff.Expr] = {}
    for k, name in enumerate(TYPES):
        window = WINDOWS[k % len(WINDOWS)]
        chosen |= {f"{f} {name}": make(col(name), window) for f, make in OF_NUMBERS.items()}
    for k, window in enumerate(WINDOWS):
        chosen[f"sum {k}"] = col("float64").sum(over=window)
        chosen[f"since {k}"] = ff.time_since_last(over=window)
        chosen[f"rows {k}"] = ff.count(over=window)
    for k, window in enumerate(WINDOWS):
        chosen[f"span {k}"] = col("span").mean(over=window).dt.total_seconds()
    by_moment = ff.window("90s", time="at", by="card")
    chosen["seconds"] = ff.time_since(col("float64") > 1, over=by_moment)
    chosen["age"] = (col("at") - col("at").lag(1, over=by_moment)).dt.total_seconds()
    chosen["session"] = ff.session_id(3, over=ff.window(time="t", by="card"))
    chosen["device"] = (col("device").lag(1, over=WINDOWS[0]) == "web").fill_null(False)
    return chosen


PLAN = ff.Plan(features())


def assert_same(found: Any, expected: Any) -> None:
    assert found.schema == expected.schema
    for name in expected.column_names:
        assert bits_of(found[name]) == bits_of(expected[name]), name


@pytest.mark.parametrize("name", RUNTIMES)
def test_functions_over_windows_have_the_bits_of_the_cpu(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, rows = EmulatedRuntime(**RUNTIMES[name]), events(N_ROWS)
    fitted = PLAN.fit(rows)
    earlier = events(90, -N_ROWS)
    expected = fitted.transform(rows, history=earlier)
    no_rows = fitted.transform(rows.slice(0, 0), history=earlier)
    with emulated.use_runtime(runtime), monkeypatch.context() as patch:
        patch.setattr(device_windows.windows, "over", None)  # nothing of this is the host's
        found = fitted.transform(rows, history=earlier, backend="emulated")
    assert_same(found, expected)
    with emulated.use_runtime(runtime):
        assert_same(
            fitted.transform(rows.slice(0, 0), history=earlier, backend="emulated"), no_rows
        )


def test_what_has_no_kernel_is_computed_on_the_host_beside_the_rest() -> None:
    week = WINDOWS[0]
    hard = pa.array([(1e300, 0.1, -1e-300, None)[k % 4] for k in range(60)])
    rows = events(60).append_column("hard", hard)
    plan = ff.Plan(
        {
            **{name: getattr(col("float64"), name)(over=week) for name in ("sum", "median")},
            **{f"hard {n}": OF_NUMBERS[n](col("hard"), week) for n in ("sum", "std", "max")},
            "rank": col("int8").rank(over=week),
            "trend": col("float64").slope(over=week),
            "shape": col("float64").skew(over=week),
            "level": col("hard").ewm_mean(half_life=3, over=WINDOWS[1]),
            "streak": (col("float64") > 1).streak(over=week),
            "nested": col("hard").lag(1, over=WINDOWS[4]).mean(over=week),
            "codes": col("device").lag(1, over=week).ordinal_encode(),
            "scaled": (col("int8") - col("int8").mean(over=week)).standard_scale(),
        }
    )
    fitted, earlier = plan.fit(rows), rows.slice(0, 0)
    assert repr(plan.fit(rows, backend="emulated").learnt()) == repr(fitted.learnt())
    expected = fitted.transform(rows, history="batch")
    assert_same(fitted.transform(rows, history="batch", backend="emulated"), expected)
    assert fitted.verify(rows, history=earlier, backends=("cpu", "emulated")).ok
    shown = fitted.explain("cuda")
    assert "on the host if an entity's values span more than 100 bits: col('hard').sum(" in shown
    assert "on the device: col('hard').max(" in shown
    assert "on the host: col('float64').quantile(" in shown
    assert "on the host: col('float64').skew(" in shown


def test_columns_of_a_device_are_seen_by_windows() -> None:
    runtime = EmulatedRuntime()
    host = {"t": np.array([3, 1, 2, 2]), "x": np.array([1.0, 2.0, np.nan, 4.0])}
    past = ff.window(time="t", by="k", tie="x")
    plan = ff.Plan({"sum": col("x").sum(over=past), "lag": col("x").lag(1, over=past) + col("x")})
    host["k"] = np.array([1, 1, 1, 2])
    fitted, expected = plan.fit_transform(host)
    with emulated.use_runtime(runtime):
        data = {name: put(runtime, values) for name, values in host.items()}
        found = fitted.transform(data, history="batch", backend="emulated")
        assert found.equals(expected)
        with pytest.warns(ff.errors.HistoryMissing):
            fitted.transform(data, backend="emulated")
        with pytest.raises(InvalidData, match="combined with data in device memory"):
            fitted.transform(data, history=host, backend="emulated")


def test_results_stay_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, runtime = events(90), EmulatedRuntime()
    std, any_of = col("int8").std(over=WINDOWS[0]), col("bool").any(over=WINDOWS[0])
    plan = ff.Plan({"std": std, "any": any_of, "twice": std * 2})
    fitted = plan.fit(rows)
    expected = fitted.transform(rows, history="batch", to="numpy")
    made: list[Any] = []

    over = emulated.BACKEND.functions[WindowTask]

    def noting(task: WindowTask) -> Any:
        columns = over(task)
        made.extend(columns)
        return columns

    monkeypatch.setitem(emulated.BACKEND.functions, WindowTask, noting)
    with emulated.use_runtime(runtime):
        found = fitted.transform(rows, history="batch", to="cupy", backend="emulated")
    assert found.get().tobytes("F") == expected.tobytes("F")
    assert [type(column) for column in made] == [DeviceArray, DeviceArray]


@pytest.mark.parametrize(
    ("column", "window", "rows"),
    [
        ("x", ff.window(time="t"), {"t": [0, 1, 2, 3], "x": [2**62, 2**62, 0, 0]}),
        ("t", ff.window(time="t"), {"t": [-(2**62), 2**62], "x": [1, 2]}),
    ],
)
def test_what_fits_no_int64_fails_as_on_the_cpu(
    column: str, window: Window, rows: dict[str, Any]
) -> None:
    made = col("x").sum(over=window) if column == "x" else ff.time_since_last(over=window)
    fitted = ff.Plan({"rows": ff.count(over=window), "made": made}).fit({"t": [0], "x": [0]})
    told: list[str] = []
    for backend in ("cpu", "emulated"):
        with pytest.raises(Overflow) as failure:
            fitted.transform(rows, history="batch", backend=backend)
        told.append(str(failure.value))
    assert told[0] == told[1]


def test_a_history_that_overlaps_names_the_same_row_as_on_the_cpu() -> None:
    fitted = PLAN.fit(events(20))
    told: list[str] = []
    for backend in ("cpu", "emulated"):
        with pytest.raises(InvalidData, match="history=, row") as failure:
            fitted.transform(events(50), history=events(40, 20), backend=backend)
        told.append(str(failure.value))
    assert told[0] == told[1]


def test_a_window_inside_of_another_is_taken_from_the_rows_of_the_history() -> None:
    apart = ff.window(40, time="t", by="device")
    made = {"most": col("int8").max(over=WINDOWS[0]), "any": col("bool").any(over=WINDOWS[0])}
    features = {**made, **{f"{name} then": x.sum(over=apart) for name, x in made.items()}}
    rows, later = events(50), events(30, 50, seed=1)
    fitted = ff.Plan(features).fit(rows)
    expected = fitted.transform(later, history=rows)
    assert_same(fitted.transform(later, history=rows, backend="emulated"), expected)
    told: list[str] = []
    for backend in ("cpu", "emulated"):
        with pytest.raises(InvalidData, match="history=, row") as failure:
            fitted.transform(rows, history=later, backend=backend)
        told.append(str(failure.value))
    assert told[0] == told[1]


def test_rows_that_do_not_fit_the_device_are_told() -> None:
    rows = events(N_ROWS)
    fitted = PLAN.fit(rows)
    with (
        emulated.use_runtime(EmulatedRuntime(n_bytes=60_000)),
        pytest.raises(OutOfDeviceMemory, match=r"windows over 400 rows need [\d,]+ bytes"),
    ):
        fitted.transform(rows, history="batch", backend="emulated")


@pytest.mark.filterwarnings("default::fastfeat.errors.TiesInOrder")
def test_ties_are_told_of_columns_of_a_device() -> None:
    runtime = EmulatedRuntime()
    host = {"t": np.array([3, 1, 3, 2, 3]), "k": np.array([1, 1, 1, 2, 2])}
    plan = ff.Plan({"n": ff.count(over=ff.window(2, time="t", by="k", closed="right"))})
    with emulated.use_runtime(runtime):
        data = {name: put(runtime, values) for name, values in host.items()}
        with pytest.warns(ff.errors.TiesInOrder, match="same time: 2 rows of"):
            plan.fit(data, backend="emulated")
