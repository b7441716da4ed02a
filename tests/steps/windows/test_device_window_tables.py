"""Windows over a table on a device: the bits of the CPU, of rows of the host and of the device."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat_tests.engine.gpu.device_producers import put

pytestmark = pytest.mark.emulator

WEEK = ff.window(7, by="card", time="t", tie="place", closed="both", table="payments")
FEATURES = {
    **{name: getattr(col("x"), name)(over=WEEK) for name in ("sum", "std", "max", "median")},
    "log": (col("x") + 1).log().mean(over=WEEK),
    "shop": col("shop").str.to_uppercase().last(over=WEEK) == "A",
    "coded": col("shop").lag(1, over=WEEK).ordinal_encode(),
    "since": ff.time_since(col("x") > 1, over=WEEK),
    "nested": ff.count(over=WEEK).mean(over=ff.window(time="t", by="card")),
}


def payments(n: int) -> dict[str, list[Any]]:
    rng = random.Random(n)
    return {
        "t": [rng.randrange(30) for _ in range(n)],
        "card": [rng.choice([1, 2, None]) for _ in range(n)],
        "x": [rng.choice([None, 0.1, 2.0, 1e300]) for _ in range(n)],
        "shop": [rng.choice(["a", "b", None]) for _ in range(n)],
        "place": [rng.randrange(3) for _ in range(n)],
    }


def test_a_device_gives_the_bits_of_the_cpu() -> None:
    tables = {"payments": payments(60)}
    rows = {"t": [5, 9, None, 40, 9], "card": [1, 2, 1, 1, 3]}
    fitted = ff.Plan(FEATURES).fit(rows, tables=tables)
    expected = fitted.transform(rows, tables=tables, history="batch")
    found = fitted.transform(rows, tables=tables, history="batch", backend="emulated")
    assert found.equals(expected)
    report = fitted.verify(rows, tables=tables, history="batch", backends=("cpu", "emulated"))
    assert report.ok, report


def test_rows_of_a_device_ask() -> None:
    runtime, tables = EmulatedRuntime(), {"payments": payments(40)}
    rows = {"t": np.array([3, 30, 12, 12]), "card": np.array([1, 1, 2, 7])}
    chosen = {name: FEATURES[name] for name in ("sum", "log", "since")}
    fitted, expected = ff.Plan(chosen).fit_transform(rows, tables=tables)
    with emulated.use_runtime(runtime):
        data = {name: put(runtime, values) for name, values in rows.items()}
        assert fitted.transform(data, tables=tables, backend="emulated").equals(expected)
