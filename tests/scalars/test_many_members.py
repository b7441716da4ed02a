"""`is_in` of many integers, near each other or far apart, against Python's sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col

TYPES = ("int8", "int16", "int64", "uint8", "uint32", "uint64")


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data(), n_keys=st.sampled_from([63, 64, 65, 200]))
def test_members_are_those_of_a_set(name: str, data: st.DataObject, n_keys: int) -> None:
    bounds = np.iinfo(name)
    low, high = int(bounds.min), int(bounds.max)
    start = data.draw(st.sampled_from([low, max(low, -100), 0, max(low, high - 300)]))
    width = data.draw(st.sampled_from([n_keys, 300, 64 * n_keys, 2**40]))
    ends = st.integers(start, min(high, start + width))
    keys = data.draw(st.sets(ends, min_size=min(n_keys, 60), max_size=n_keys))
    near = [k + d for k in list(keys)[:9] for d in (-64, -1, 0, 1, 63, 64)]
    drawn = data.draw(st.lists(ends, max_size=9))
    values = [v for v in [*near, *drawn, low, high] if low <= v <= high]
    table = pa.table({"x": pa.array([*values, None], getattr(pa, name)())})
    fitted = ff.Plan({"f": col("x").is_in(sorted(keys))}).fit(table)
    expected: list[Any] = [*(v in keys for v in values), None]
    for backend in ("cpu", "reference"):
        assert fitted.transform(table, backend=backend)["f"].to_pylist() == expected
    row = fitted.transform_row({"x": values[0]})
    assert row.tolist() == [float(expected[0])]


def test_many_members_are_found_by_a_bit_each() -> None:
    x = {"x": np.arange(10)}
    keys = list(range(0, 6400, 64))
    dense = ff.Plan({"f": col("x").is_in(keys)}).fit(x).explain("cpu")
    sparse = ff.Plan({"f": col("x").is_in([k * 1000 for k in keys])}).fit(x).explain("cpu")
    assert len(dense) < len(sparse)
