"""Rows of JSON of every type of column: the short way, the general way, and what both refuse."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.serve.answers import matrix_of, rows_of
from fastfeat.apps.serve.json_rows import column_of, row_reader
from fastfeat.apps.serve.json_text import read_json, write_json
from fastfeat.apps.serve.plain_row import NotPlain, plain_row_of
from fastfeat.apps.serve.refusals import Refusal
from fastfeat.ir.dtypes import DType, list_of, timestamp

GOOD: list[tuple[DType, Any, Any]] = [
    (DType("int8"), -128, -128),
    (DType("uint64"), 2**64 - 1, 2**64 - 1),
    (DType("int64"), 3.0, 3),
    (DType("float64"), 2**53, 2.0**53),
    (DType("float32"), 0.1, float(np.float32(0.1))),
    (DType("float16"), 0.1, float(np.float16(0.1))),
    (DType("decimal"), 0.1, 0.1),
    (DType("bool"), True, True),
    (DType("utf8"), "é", "é"),
    (DType("binary"), "é", "é".encode()),
    (DType("date32"), "2026-01-31", date(2026, 1, 31)),
    (DType("date64"), "2026-01-31", date(2026, 1, 31)),
    (DType("time", "s"), "12:00:01", time(12, 0, 1)),
    (DType("time", "us"), "12:00:01.5", time(12, 0, 1, 500_000)),
    (DType("duration", "ms"), 5, timedelta(milliseconds=5)),
    (timestamp("us"), "2026-01-31T00:00:00.5", datetime(2026, 1, 31, 0, 0, 0, 500_000)),
    (timestamp("s", "UTC"), "2026-01-31T02:00:00+02:00", datetime(2026, 1, 31, tzinfo=UTC)),
    (list_of(DType("int64")), [1, None, 3.0], [1, None, 3]),
    (list_of(DType("utf8")), [], []),
    (DType("null"), None, None),
]
BAD: list[tuple[DType, Any]] = [
    (DType("int8"), 128),
    (DType("uint8"), -1),
    (DType("int64"), True),
    (DType("int64"), 1e300),
    (DType("int64"), 2.0**53),
    (DType("float64"), 2**53 + 1),
    (DType("float32"), 1e300),
    (DType("float16"), 1e6),
    (DType("float64"), False),
    (DType("bool"), 1),
    (DType("bool"), "true"),
    (DType("bool"), []),
    (DType("utf8"), True),
    (DType("date32"), "2026-02-30"),
    (DType("time", "s"), "12:00:01.5"),
    (DType("time", "s"), "12:00:01+01:00"),
    (DType("time", "s"), "25:00:00"),
    (DType("duration", "ms"), 1.5),
    (timestamp("s"), "2026-01-31T00:00:00.5"),
    (timestamp("us"), "2026-01-31T00:00:00Z"),
    (timestamp("us", "UTC"), "2026-01-31T00:00:00"),
    (list_of(DType("int64")), 1),
    (list_of(DType("int64")), [1, "a"]),
    (list_of(list_of(DType("int64"))), [1]),
    (DType("null"), 0),
]


@pytest.mark.parametrize(("dtype", "value", "wanted"), GOOD)
def test_a_value_is_read_as_its_type(dtype: DType, value: Any, wanted: Any) -> None:
    found = column_of([None, value, None], "x", dtype)
    assert found.to_pylist() == [None, wanted, None]
    found.validate(full=True)
    assert column_of([], "x", dtype).to_pylist() == []


@pytest.mark.parametrize(("dtype", "value"), BAD)
def test_a_value_of_another_type_is_named(dtype: DType, value: Any) -> None:
    with pytest.raises(Refusal) as raised:
        column_of([None, value], "x", dtype)
    error = raised.value.error
    assert (error["kind"], error["row"], error["column"]) == ("TypeMismatch", 1, "x")
    assert str(dtype) in error["message"] or "only missing values" in error["message"]
    write_json(raised.value.document)


PLAIN = pa.table(
    {
        "f": [1.5, 2.5],
        "i": [1, 2],
        "s": ["a", "b"],
        "b": [True, False],
        "t": pa.array([1, 2], pa.timestamp("ms")),
        "z": pa.array([1, 2], pa.timestamp("us", "Europe/Berlin")),
    }
)
FITTED = ff.Plan(
    {
        "f": col("f") * 2,
        "i": col("i") + 1,
        "s": col("s").ordinal_encode(),
        "b": col("b"),
        "h": col("t").dt.hour(),
        "m": col("z").dt.minute(),
        "half": col("f").cast("float32"),
    }
).fit(PLAIN)
READER = row_reader(FITTED.inputs, (), (), 10)
SINGLE = plain_row_of(FITTED, READER)

floats = st.one_of(st.floats(allow_infinity=False), st.integers(-(2**60), 2**60))
moments = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))
odd = st.sampled_from(
    [
        *("", "2026", "2026-01-01", "20260101T000000", "2026-W01-1", "2026-01-01T24:00:00", "nan"),
        *("2026-01-01T00:00", "2026-01-01T00:00:00,5", "2026-01-01T00:00:00+01", "２０２６-01-01"),
        *("2026-01-01T00:00:00.1234567", "2026-01-01T00:00:00+25:00", "2026-02-30T00:00:00"),
        *("2026-01-01T00:00:00-00:00", "0000-01-01T00:00:00", "2026-01-01T23:59:60"),
        *("2026-01-01T00:00:00+00:00:30", "2026-01-01T00:00:00Z", "2026-01-01 00:00:00.5Z"),
    ]
)
anything = st.one_of(st.none(), floats, odd, st.booleans(), st.text(max_size=3), st.just([]))


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(usual, usual, usual, usual, st.none(), anything)


@given(
    st.fixed_dictionaries(
        {
            "f": mostly(floats),
            "i": mostly(st.integers(-(2**63) + 1, 2**63 - 2)),
            "s": mostly(st.text(max_size=4).filter(str.isprintable)),
            "b": mostly(st.booleans()),
            "t": mostly(moments.map(lambda t: t.replace(microsecond=0).isoformat())),
            "z": mostly(moments.map(lambda t: t.isoformat() + "+02:00")),
        }
    )
)
def test_the_short_way_gives_what_the_general_way_gives(row: dict[str, Any]) -> None:
    assert SINGLE is not None
    row = read_json(write_json(row))
    try:
        plain = SINGLE.read(row)
    except NotPlain:
        return
    table = READER.table([row])  # whatever is plain is right
    try:
        general = FITTED.transform(table)
    except ff.errors.Overflow:  # a float that no float32 holds
        with pytest.raises(ff.errors.Overflow):
            FITTED.transform_row(plain)
        return
    try:
        short = SINGLE.written(FITTED.transform_row(plain), FITTED.feature_names)
    except ff.errors.Overflow:  # an integer that no float holds: it goes the general way
        assert abs(row["i"]) >= 2**53
        return
    wanted = [list(one) for one in rows_of(general)]
    assert read_json(write_json([short])) == read_json(write_json(wanted))
    assert [list(map(type, short))] == [list(map(type, one)) for one in general_types(wanted)]


def general_types(rows: list[list[Any]]) -> list[list[Any]]:
    """Return values of JSON: NaN is null there."""
    return [[None if value != value else value for value in row] for row in rows]


def test_some_rows_go_the_short_way() -> None:
    assert SINGLE is not None
    noon = "2026-01-31T12:00:00"
    row = {"f": 1, "i": 2, "s": "a", "b": None, "t": noon + ".5", "z": noon + "Z"}
    assert SINGLE.read(row)["f"] == 1.0
    for name, value in (("f", "1"), ("i", 1.0), ("b", 1), ("t", "2026"), ("t", 1), ("s", 1)):
        with pytest.raises(NotPlain):
            SINGLE.read({**row, name: value})
    with pytest.raises(NotPlain):
        SINGLE.read({"f": 1})
    with pytest.raises(NotPlain):
        SINGLE.read([])
    listed = ff.Plan({"n": col("l").list.len()}).fit(pa.table({"l": [[1], [2, 3]]}))
    assert plain_row_of(listed, row_reader(listed.inputs, (), (), 10)) is None
    kept = ff.Plan({"f": col("f")}, keep=["s"]).fit(PLAIN)
    assert plain_row_of(kept, row_reader(kept.inputs, (), ["s"], 10)) is None


def test_features_of_every_type_are_written() -> None:
    midnight = datetime(2026, 1, 31, tzinfo=UTC)
    table = pa.table(
        {
            "f": pa.array([1.5, None]),
            "h": pa.array([0.1, None], pa.float32()),
            "i": pa.array([2**60 + 1, None]),
            "b": [True, None],
            "s": ["é", None],
            "x": pa.array([b"a", None], pa.binary()),
            "d": pa.array([date(2026, 1, 31), None]),
            "t": pa.array([datetime(2026, 1, 31, 1, 2, 3), None], pa.timestamp("ns")),
            "z": pa.array([midnight, None], pa.timestamp("us", "Asia/Tokyo")),
            "o": pa.array([time(1, 2, 3), None]),
            "u": pa.array([timedelta(seconds=1), None], pa.duration("ms")),
            "l": [[1, None], None],
        }
    )  # fmt: skip
    assert read_json(write_json(rows_of(table))) == [
        [
            1.5, float(np.float32(0.1)), 2**60 + 1, True, "é", "a", "2026-01-31",
            "2026-01-31T01:02:03.000000000", "2026-01-31T00:00:00.000000Z", "01:02:03.000000", 1000,
            [1, None],
        ],
        [None] * 12,
    ]  # fmt: skip
    many = pa.table({"a": np.arange(20.0), "b": [None, *range(19)]})
    assert read_json(write_json(rows_of(many)))[:2] == [[0.0, None], [1.0, 0]]
    for n_rows in (1, 40):
        for kind in (pa.float64(), pa.float32()):
            values = [0.0] * (n_rows - 1) + [float("-inf")]
            with pytest.raises(Refusal) as raised:
                rows_of(pa.table({"ok": [0.0] * n_rows, "bad": pa.array(values, kind)}))
            error = raised.value.error
            assert (error["row"], error["column"], error["value"]) == (n_rows - 1, "bad", "-inf")
    assert rows_of(pa.table({"a": pa.array([], pa.float64())})) == []
    assert matrix_of(pa.table({"a": [1, None], "b": [True, None]})).tolist()[0] == [1.0, 1.0]
    for column in (pa.array([2**60 + 1]), pa.array(["a"])):
        with pytest.raises(Refusal, match="/v1/features"):
            matrix_of(pa.table({"a": column}))


@given(st.recursive(st.one_of(st.none(), st.text(max_size=4)), lambda one: st.one_of(
    st.lists(one, max_size=3), st.dictionaries(st.text(max_size=3), one, max_size=3))))  # fmt: skip
def test_json_without_repeated_keys_is_read(value: Any) -> None:
    assert read_json(write_json(value)) == value
