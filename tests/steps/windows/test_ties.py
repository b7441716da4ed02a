"""Rows that share their time with another row of their entity: counted alike by all backends."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels.windows import ordering
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import backend_named, emulated, run_task
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.runtime import Buffer, Geometry
from fastfeat.errors import TiesInOrder
from fastfeat.ir.dtypes import INT64
from fastfeat.steps.windows import cpu
from fastfeat.steps.windows.gpu import order as device_order
from fastfeat.steps.windows.rows import RowOrder
from fastfeat.steps.windows.tasks import TiesTask
from fastfeat_tests.engine.gpu.device_producers import put

pytestmark = pytest.mark.emulator
Moment = tuple[Any, ...]


def n_of(moments: list[Moment]) -> int:
    counts = Counter(moment for moment in moments if None not in moment)
    return sum(n for n in counts.values() if n > 1)


def numbers(values: list[int | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.int64())])


@given(
    n=st.integers(0, 90),
    first=st.integers(0, 90),
    n_keys=st.integers(0, 2),
    seed=st.integers(0, 10**6),
    is_sorted=st.booleans(),
    shape=st.sampled_from([Geometry(), Geometry(block=32, most_blocks=2, rows_per_thread=1)]),
)
def test_every_backend_counts_them(
    n: int, first: int, n_keys: int, seed: int, is_sorted: bool, shape: Geometry
) -> None:
    rng, first = random.Random(seed), min(n, first)
    times = [rng.choice([None, *range(rng.choice([3, 40]))]) for _ in range(n)]
    if is_sorted:
        times.sort(key=lambda time: time or 0)
    keys = [[rng.choice([None, 7, -1, 2**40]) for _ in range(n)] for _ in range(n_keys)]
    moments = [*zip(times, *keys, strict=True)]
    expected = n_of(moments) - n_of(moments[:first])
    columns = numbers(times), INT64, [numbers(key) for key in keys], [INT64] * n_keys
    for name in ("reference", "cpu", "emulated"):
        past = RowOrder(*columns, cache={})
        with emulated.use_runtime(EmulatedRuntime(geometry=shape)):
            for again in range(2):  # then by the order that is kept
                found = run_task(backend_named(name), TiesTask(past, first))
                assert (name, again, found) == (name, again, expected)


def events(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    times, keys = rng.integers(0, n // 4, n), rng.integers(0, 4, n)
    return {"t": times, "k": keys, "x": rng.normal(size=n)}


WEEK = ff.window(7, by="k", time="t", closed="right")
X = col("x")


@pytest.mark.parametrize("backend", ["cpu", "emulated"])
@pytest.mark.parametrize(
    ("feature", "call"),
    [
        (X.sum(over=WEEK).standard_scale(), "fit"),
        (X - X.sum(over=WEEK).mean(), "fit_transform"),
        (X.sum(over=WEEK), "fit_transform"),
    ],
)
def test_windows_take_the_order_that_rows_are_counted_in(
    feature: ff.Expr, call: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    module, name = (cpu, "in_order") if backend == "cpu" else (device_order, "sort_on_device")
    original = getattr(module, name)

    def noting(*args: Any) -> Any:
        made.append(args)
        return original(*args)

    monkeypatch.setattr(module, name, noting)
    with pytest.warns(TiesInOrder):
        getattr(ff.Plan({"f": feature}), call)(events(400), backend=backend)
    assert len(made) == 1


def test_folds_of_one_order_are_fitted_by_what_each_has_learnt() -> None:
    day = (col("t") + col("k").sum()) // 5  # the sum is of the rows that are learnt from
    window = ff.window(7, by="k", time=day, closed="right")
    plan, data = ff.Plan({"n": ff.count(over=window)}), events(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TiesInOrder)
        for fold in plan.cross_fit(data, cv=3):
            again = fold.fitted.transform(data, rows=fold.test_rows, history="batch")
            assert fold.test.equals(again)


class _Noting(EmulatedRuntime):
    """A device that notes how many bytes leave it."""

    n_bytes = 0

    def download(self, buffer: Buffer, array: Any, offset: int = 0, after: Any = None) -> None:
        self.n_bytes += array.nbytes
        super().download(buffer, array, offset, after)


def test_no_more_leaves_a_device_for_more_rows() -> None:
    plan, left = ff.Plan({"sum": X.sum(over=WEEK)}), list[int]()
    for n in (400, 4000):
        runtime = _Noting()
        with emulated.use_runtime(runtime):
            data = {name: put(runtime, values) for name, values in events(n).items()}
            before = runtime.n_bytes
            with pytest.warns(TiesInOrder, match=r"same time: [\d,]+ rows of ff\.window"):
                plan.fit(data, backend="emulated")
            left.append(runtime.n_bytes - before)
    assert left[0] == left[1] < 400


def test_memory_of_rows_in_no_window_gives_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_signaling_nans(rows: ordering.WindowOrder) -> Any:
        return np.full(len(rows.codes), 0x7FF0_0000_0000_0001)

    monkeypatch.setattr(ordering, "_memory_for", of_signaling_nans)
    data = {**events(5000), "tie": np.tile([2.0, -0.0, 0.0, np.nan], 1250)}
    data["t"] = pa.array(data["t"], mask=data["t"] % 3 == 0)
    window = ff.window(7, by="k", time="t", closed="right", tie="tie")
    fitted = ff.Plan({"n": ff.count(over=window), "x": X.first(over=window)}).fit(data)
    features = fitted.transform(data, history="batch")
    assert features.equals(fitted.transform(data, history="batch", backend="reference"))
