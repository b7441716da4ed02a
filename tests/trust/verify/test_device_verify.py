"""`verify` between the CPU and a device: it agrees, and finds one bit that does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.tasks import RowTask

pytestmark = pytest.mark.emulator

ROWS = {"x": np.linspace(-3, 3, 500), "k": np.arange(500)}
PLAN = ff.Plan({"exp": col("x").exp(), "scaled": col("x").standard_scale(), "k": col("k") + 1})


def test_the_device_and_the_cpu_agree() -> None:
    report = PLAN.fit(ROWS).verify(ROWS, n_rows=50, backends=("cpu", "emulated", "reference"))
    assert report.ok, str(report)
    assert [(check.name, check.n_rows) for check in report.checks[:2]] == [
        ("cpu = emulated", 500),
        ("cpu = reference", 50),
    ]


def test_one_bit_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = emulated.BACKEND.functions
    compute = functions[RowTask]

    def one_bit_off(task: RowTask) -> list[Any]:
        first, *others = compute(task)
        values = first.to_numpy().copy()
        values.view(np.int64)[321] ^= 1
        return [pa.array(values), *others]

    monkeypatch.setitem(functions, RowTask, one_bit_off)
    report = PLAN.fit(ROWS).verify(ROWS, backends=("emulated", "cpu"))
    assert not report.ok
    (failed,) = [check for check in report.checks if check.difference]
    assert failed.name == "emulated = cpu"
    assert failed.difference is not None
    assert failed.difference.startswith("feature 'exp', row 321: ")
