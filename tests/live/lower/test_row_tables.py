"""One value of every type, as a row of a live state has it: that of a column of such values."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest

from fastfeat.ir import dtypes as d
from fastfeat.live.lower.row_tables import given_type, is_one_row, typed, value_array

NOON = datetime.datetime(2026, 11, 27, 12)
VALUES: list[tuple[d.DType, Any]] = [
    (d.BOOL, True),
    (d.INT8, -3),
    (d.UINT64, 2**64 - 1),
    (d.DType("float16"), 0.5),
    (d.FLOAT32, 0.25),
    (d.FLOAT64, float("inf")),
    (d.DECIMAL, 1.5),
    (d.DATE32, NOON.date()),
    (d.DATE64, NOON.date()),
    (d.time("s"), NOON.time()),
    (d.time("ns"), NOON.time()),
    (d.timestamp("us", "UTC"), NOON.replace(tzinfo=datetime.UTC)),
    (d.timestamp("s"), NOON),
    (d.duration("ms"), datetime.timedelta(seconds=1)),
    (d.UTF8, "é"),
    (d.BINARY, b"x"),
    (d.list_of(d.timestamp("s")), [NOON, None]),
    (d.list_of(d.UTF8), ["a", None]),
    (d.list_of(d.INT64), []),
]


@pytest.mark.parametrize(("dtype", "value"), VALUES, ids=lambda v: str(v))
def test_value_is_that_of_a_column_of_its_type(dtype: d.DType, value: Any) -> None:
    array = value_array(value, "x", dtype)
    assert array.type == given_type(dtype)
    assert array.to_pylist() == [value]
    column = typed(pa.chunked_array([pa.array([value, None], _plain(dtype))]), "x", dtype)
    assert column.type == array.type
    assert column.chunk(0).slice(0, 1).equals(array)
    assert value_array(None, "x", dtype).equals(column.chunk(0).slice(1, 1))


def _plain(dtype: d.DType) -> pa.DataType:
    """Return the type that a user's column of such values may have."""
    if dtype.of is not None:
        return pa.list_(_plain(dtype.of))
    return pa.string() if dtype == d.UTF8 else given_type(dtype)


def test_one_row_is_told_from_many() -> None:
    types = {"x": d.FLOAT64, "s": d.UTF8, "tags": d.list_of(d.UTF8)}
    for given in ({"x": 1.0}, {"s": "text", "tags": ["u"]}, {"tags": ["u"]}, {"y": 1}, {"x": None}):
        assert is_one_row(given, types)
    for given in ({"x": [1.0]}, {"tags": [["u"]]}, {"s": pa.array(["t"])}, {"y": [1]}, [{"x": 1}]):
        assert not is_one_row(given, types)
