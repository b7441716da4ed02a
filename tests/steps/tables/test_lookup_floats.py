"""Floats of lookup tables: a NaN in one is missing, wherever the value goes."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff

NAN = math.nan
KEYS = [3, 2, None, 1, 0, 9] * 50
WAYS = (ff.lookup("table", by="k"), ff.asof("table", time="k", tolerance=0))


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("dtype", [None, "float32"])
@pytest.mark.parametrize("values", [[1.5, NAN, None, -0.0], [1.5, 2.5, NAN, 4.5], [1.0, 2.0, 3, 4]])
@pytest.mark.parametrize("joined", WAYS, ids=["lookup", "as-of"])
def test_what_is_nan_in_a_table_is_missing(
    joined: Any, values: list[Any], dtype: Any, kind: Any
) -> None:
    tables = {"table": pa.table({"k": [0, 1, 2, 3], "x": pa.array(values).cast(kind)})}
    x = joined.col("x")
    plan = ff.Plan({"x": x, "more": x + 1, "gone": x.is_null()}, dtype=dtype)
    fitted = plan.fit({"k": KEYS}, tables=tables)
    found = fitted.transform({"k": KEYS}, tables=tables)
    assert found.equals(fitted.transform({"k": KEYS}, tables=tables, backend="reference"))
    there = [None if value is None or math.isnan(value) else value for value in values]
    expected = [there[k] if k in range(4) else None for k in KEYS]
    assert found["x"].to_pylist() == expected
    assert found["x"].null_count == expected.count(None)
    assert found["gone"].to_pylist() == [value is None for value in expected]
    again = fitted.transform({"k": KEYS}, tables=tables)
    assert again.equals(found)
