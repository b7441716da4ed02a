"""Columns of a log: every type that is read, in every form of Arrow, grown, replaced and cut."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.columns.types import dtype_of
from fastfeat.ir import dtypes
from fastfeat.live.log.columns import GrowingArray, column_of, ranges
from fastfeat.live.lower.row_tables import given_type

TEXTS = ["", "a", "ä" * 9, "newark"]
SAMPLES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.bool_(), [True, False]),
    (pa.int8(), [-128, 127]),
    (pa.uint64(), [2**64 - 1, 0]),
    (pa.float16(), [np.float16(0.5), np.float16(6e-8)]),
    (pa.float32(), [2**-149, -0.0, float("inf")]),
    (pa.float64(), [5e-324, -0.0, float("-inf")]),
    (pa.decimal128(9, 2), [decimal.Decimal("1.25"), decimal.Decimal("-0.1")]),
    (pa.date32(), [datetime.date(1960, 2, 29)]),
    (pa.date64(), [datetime.date(2024, 2, 29)]),
    (pa.time32("s"), [datetime.time(1, 2, 3)]),
    (pa.time64("ns"), [datetime.time(23, 59, 59, 999)]),
    (pa.timestamp("ns", "Asia/Tokyo"), [1, -(2**62)]),
    (pa.timestamp("s"), [0, 2**35]),
    (pa.duration("us"), [datetime.timedelta(days=-1)]),
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.string_view(), TEXTS),
    (pa.dictionary(pa.int8(), pa.string()), TEXTS),
    (pa.binary(), [b"", b"\xff\x00"]),
    (pa.large_binary(), [b"x"]),
    (pa.list_(pa.int64()), [[], [1, None, 3]]),
    (pa.large_list(pa.string()), [[], ["a", None, ""]]),
    (pa.list_(pa.float16()), [[np.float16(0.5)], [None]]),
    (pa.list_(pa.timestamp("ms")), [[datetime.datetime(2024, 1, 1)], [None]]),
    (pa.list_(pa.bool_()), [[True, None], []]),
    (pa.list_(pa.float32(), 2), [[1.5, None], [2.0, float("inf")]]),
    (pa.null(), [None]),
]


def plain(value: Any, dtype: dtypes.DType) -> Any:
    """Return a value as a column of the type gives it back."""
    if isinstance(value, list):
        assert dtype.of is not None
        return [plain(one, dtype.of) for one in value]
    if value is None:
        return None
    return float(value) if dtype.is_float else value


def python(array: pa.Array) -> list[Any]:
    """Return an array as Python values; times beyond Python's as their ticks."""
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.int64()).to_pylist()
    dtype = dtype_of(array.type)
    return [plain(value, dtype) for value in array.to_pylist()]


@pytest.mark.parametrize("begin", range(0, len(SAMPLES), 7))
@settings(deadline=None)
@given(data=st.data())
def test_column_equals_a_list(begin: int, data: st.DataObject) -> None:
    kind, values = data.draw(st.sampled_from(SAMPLES[begin : begin + 7]))
    dtype = dtype_of(kind)
    one = st.none() | st.sampled_from(values)
    column, model = column_of(dtype), list[Any]()
    for operation in data.draw(
        st.lists(st.sampled_from(["append", "append", "add", "put", "cut", "only"]), max_size=8)
    ):
        match operation:
            case "append":
                more = data.draw(st.lists(one, max_size=5))
                piece = column.read(given_column(more, values[-1], kind, data), "x")
                column.append(piece, len(more))
                model += more
            case "add":
                value = data.draw(one)
                column.add(stored(value, kind, dtype))
                model.append(value)
            case "put" if model:
                rows = data.draw(st.lists(st.integers(0, len(model) - 1), unique=True))
                new = data.draw(st.lists(one, min_size=len(rows), max_size=len(rows)))
                piece = column.read(given_column(new, values[-1], kind, data), "x")
                column.put(np.array(rows, np.int64), piece)
                for row, value in zip(rows, new, strict=True):
                    model[row] = value
            case "cut":
                n_rows = data.draw(st.integers(0, len(model)))
                column.cut(n_rows)
                del model[n_rows:]
            case "only" if model:
                rows = data.draw(st.lists(st.integers(0, len(model) - 1), unique=True).map(sorted))
                column = column.only(np.array(rows, np.int64))
                model = [model[row] for row in rows]
            case _:
                pass
        rows = data.draw(st.lists(st.integers(0, len(model) - 1), max_size=9)) if model else []
        taken = column.take(np.array(rows, np.int32))
        taken.validate(full=True)
        assert taken.type == given_type(dtype)
        expected = [plain(model[row], dtype) for row in rows]
        assert list(map(repr, python(taken))) == list(map(repr, expected))  # -0.0 is not 0.0


def stored(value: Any, kind: pa.DataType, dtype: dtypes.DType) -> Any:
    """Return a value as columns of a type store it."""
    if dtype.of is not None and value is not None:
        return [stored(element, kind.value_type, dtype.of) for element in value]
    if value is None or dtype.name == "null":
        return None
    if dtype.is_temporal:
        array = pa.array([value], kind)
        return array.view(f"int{kind.bit_width}")[0].as_py()
    return float(value) if dtype.is_float else value


def given_column(
    values: list[Any], before: Any, kind: pa.DataType, data: st.DataObject
) -> pa.ChunkedArray:
    """Return values as a column that begins behind another in memory, in one piece or two."""
    cut = data.draw(st.integers(0, len(values)))
    pieces = [values] if data.draw(st.booleans()) else [values[:cut], values[cut:]]
    if pa.types.is_dictionary(kind):
        arrays = [pa.array(piece, kind.value_type).dictionary_encode() for piece in pieces]
        return pa.chunked_array([array.cast(kind) for array in arrays], kind)
    return pa.chunked_array([pa.array([before, *piece], kind).slice(1) for piece in pieces], kind)


def test_nan_is_given_back_as_missing():
    column = column_of(dtypes.FLOAT64)
    column.append(column.read(pa.chunked_array([[float("nan"), 1.0, None]]), "x"), 3)
    assert column.take(np.arange(3)).to_pylist() == [None, 1.0, None]


def test_values_of_other_types_are_taken_where_exact():
    column = column_of(dtypes.FLOAT32)
    column.append(column.read(pa.chunked_array([pa.array([1, 2], pa.int8())]), "x"), 2)
    assert column.take(np.arange(2)).to_pylist() == [1.0, 2.0]
    with pytest.raises(InvalidData, match=r"0\.1 in row 0 is not exactly"):
        column.read(pa.chunked_array([[0.1]]), "x")
    with pytest.raises(TypeMismatch, match="fit saw utf8, got int64"):
        column_of(dtypes.UTF8).read(pa.chunked_array([[1]]), "x")
    assert column.take(np.arange(2)).to_pylist() == [1.0, 2.0]


def test_a_column_that_grows_row_by_row_moves_seldom():
    growing, moves, last = GrowingArray(np.empty(0, np.int64)), 0, None
    for k in range(20_000):
        growing.more(1)[:] = k
        moves += growing.values.base is not last
        last = growing.values.base
    assert growing.values.tolist() == list(range(20_000))
    assert moves < 40


def test_ranges_may_be_empty():
    assert ranges(np.array([3, 9, 1]), np.array([2, 0, 1])).tolist() == [3, 4, 1]
    assert ranges(np.array([], np.int64), np.array([], np.int64)).tolist() == []
