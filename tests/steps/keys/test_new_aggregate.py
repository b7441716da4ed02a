"""An aggregate that is only a row of the registry is found per key, of what its primitives name."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from fastfeat.aggregates import AGGREGATES
from fastfeat.backends import cpu, reference, run_task
from fastfeat.ir.dtypes import FLOAT64
from fastfeat.steps.keys.tasks import GroupsTask


@pytest.mark.parametrize("name", ["count", "null_count", "sum", "mean", "min", "max"])
def test_the_primitives_of_a_row_are_accumulated(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(AGGREGATES, "new", replace(AGGREGATES[name], name="new"))
    values = pa.chunked_array([pa.array([1.5, 4.0, None, -9.0, None])])
    codes = pa.chunked_array([pa.array([0, 0, 1, 1, 2], pa.int32())])
    task = GroupsTask([("new", ())], values, FLOAT64, codes, n_groups=3)
    (found,), (expected,) = (run_task(one.BACKEND, task) for one in (cpu, reference))
    assert found.present.tolist() == expected.present.tolist()
    assert found.values[found.present].tolist() == expected.values[expected.present].tolist()
