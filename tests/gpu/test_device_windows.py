"""Windows of plans on a device: the bits of the CPU, of columns of the host and of the device."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from device_producers import put

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.backends.gpu.emulated import EmulatedRuntime
from fastfeat.errors import InvalidData

pytestmark = pytest.mark.emulator


WEEK = ff.window(7, by="card", time="t")
FEATURES = {
    **{name: getattr(col("x"), name)(over=WEEK) for name in ("sum", "std", "max", "median")},
    "rank": col("x").rank(over=WEEK),
    "trend": col("x").slope(over=WEEK),
    "level": col("x").ewm_mean(half_life=3, over=ff.window(by="card", time="t", closed="right")),
    "streak": (col("x") > 1).streak(over=WEEK),
    "nested": col("x").lag(1, over=ff.window(by="card", time="t")).mean(over=WEEK),
    "device": col("device").lag(1, over=WEEK).ordinal_encode(),
    "scaled": (col("x") - col("x").mean(over=WEEK)).standard_scale(),
}


def events(n: int, begins: int = 0) -> dict[str, list[Any]]:
    rng = random.Random(n)
    return {
        "t": [begins + rng.randrange(30) for _ in range(n)],
        "card": [rng.choice(["a", "b", None]) for _ in range(n)],
        "x": [rng.choice([None, 0.1, 2.0, 1e300]) for _ in range(n)],
        "device": [rng.choice(["web", "app", None]) for _ in range(n)],
    }


def test_a_device_gives_the_bits_of_the_cpu() -> None:
    fitted = ff.Plan(FEATURES).fit(events(60))
    rows, earlier = events(50, 40), events(51)
    expected = fitted.transform(rows, history=earlier)
    assert fitted.transform(rows, history=earlier, backend="emulated").equals(expected)
    assert fitted.verify(rows, history=earlier, backends=("cpu", "emulated")).ok


def test_columns_of_a_device_are_seen_by_windows() -> None:
    runtime = EmulatedRuntime()
    host = {"t": np.array([3, 1, 2, 2]), "x": np.array([1.0, 2.0, np.nan, 4.0])}
    past = ff.window(time="t", by="k", tie="x")
    plan = ff.Plan({"sum": col("x").sum(over=past), "lag": col("x").lag(1, over=past) + col("x")})
    host["k"] = np.array([1, 1, 1, 2])
    fitted, expected = plan.fit_transform(host)
    with emulated.running_on(runtime):
        data = {name: put(runtime, values) for name, values in host.items()}
        found = fitted.transform(data, history="batch", backend="emulated")
        assert found.equals(expected)
        with pytest.warns(ff.errors.HistoryMissing):
            fitted.transform(data, backend="emulated")
        with pytest.raises(InvalidData, match="beside data in the memory of a device"):
            fitted.transform(data, history=host, backend="emulated")
