"""Every type that a column may have: read alike by both backends, in a batch and in a row."""

from __future__ import annotations

import datetime
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, TypeMismatch, UnknownColumn
from fastfeat.io.columns.conform import conform
from fastfeat.io.columns.row_values import convert
from fastfeat.io.columns.types import dtype_of
from fastfeat.io.sources.read import read_table
from fastfeat.keep.artifact import artifact_bytes
from fastfeat_tests.plan.plan_tables import differing

# the column `nothing` has no greatest value
pytestmark = pytest.mark.filterwarnings("ignore:col\\('nothing'\\) has too few values")
ZONE = "America/New_York"
TICKS = [0, 1, -1, None, 10**9, -(10**9), 5]
SECONDS = [0, 1, 86399, None, 5, 6, 7]
WORDS = ["a", None, "b", "a", "b", "", "x" * 30]


def integers(bits: int, *, signed: bool) -> pa.Array:
    """Return integers of a width, with the ends of its range."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    kind = f"{'int' if signed else 'uint'}{bits}"
    return pa.array([0, 1, low, high, None, 7, high // 2 + 1], kind)


def runs(values: pa.Array) -> pa.Array:
    """Return values in runs of equal ones."""
    return pc.call_function("run_end_encode", [values])


def timed(kind: pa.DataType, ticks: list[int | None] = TICKS) -> pa.Array:
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    return pa.array(ticks, width).cast(kind)


NUMBERS: dict[str, pa.Array] = {
    **{f"i{bits}": integers(bits, signed=True) for bits in (8, 16, 32, 64)},
    **{f"u{bits}": integers(bits, signed=False) for bits in (8, 16, 32, 64)},
    "f16": pa.array(np.array([0, 1.5, -2, np.nan, 0.1, 6e-8, 65504], np.float16)),
    "f32": pa.array([0.0, 1.5, None, float("nan"), 3e38, 1e-45, -0.0], pa.float32()),
    "f64": pa.array([0.0, 1.5, None, float("nan"), 3e300, 5e-324, -0.0]),
    "d128": pa.array(
        [
            Decimal(text) if text else None
            for text in ("1.25", "", "-3.1", "0.1", "99999.99", "0", "7")
        ],
        pa.decimal128(12, 2),
    ),
    "flag": pa.array([True, None, False, True, True, False, None]),
    "dictionary": pa.array([1.5, None, 2.5, 1.5, 2.5, 1.5, None]).dictionary_encode(),
    "runs": runs(pa.array([1, 1, None, None, 2, 2, 2])),
    "nothing": pa.nulls(7),
    "strided": pa.array(np.arange(21.0)[::3]),
}
TIMES: dict[str, pa.Array] = {
    "d32": timed(pa.date32(), [0, 1, -1, None, 20000, -20000, 5]),
    "d64": timed(
        pa.date64(), [86_400_000 * day if day else day for day in (0, 1, -1, None, 9, 8, 7)]
    ),
    "t32s": timed(pa.time32("s"), SECONDS),
    "t32ms": timed(pa.time32("ms"), SECONDS),
    "t64us": timed(pa.time64("us"), SECONDS),
    "t64ns": timed(pa.time64("ns"), [s and 1000 * s for s in SECONDS]),
    **{f"t{unit}": timed(pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")},
    **{f"z{unit}": timed(pa.timestamp(unit, ZONE)) for unit in ("s", "ms", "us", "ns")},
    **{f"duration_{unit}": timed(pa.duration(unit)) for unit in ("s", "ms", "us", "ns")},
}
TEXTS: dict[str, pa.Array] = {
    "string": pa.array(WORDS),
    "large": pa.array(WORDS, pa.large_string()),
    "view": pa.array(WORDS, pa.string_view()),
    "words": pa.array(WORDS).dictionary_encode(),
    "word_runs": runs(pa.array(WORDS)),
}
ROWS = pa.table({**NUMBERS, **TIMES, **TEXTS})


def features() -> dict[str, ff.Expr]:
    """Return features that read each column in each way."""
    found: dict[str, ff.Expr] = {}
    for name in (*NUMBERS, *TIMES):
        column = col(name)
        found |= {
            name: column,
            f"{name} missing": column.is_null(),
            f"{name} below": column < column.max(),
        }
    for name in TEXTS:
        text = col(name)
        found |= {
            f"{name} equal": text == "a",
            f"{name} in": text.is_in(["b", ""]),
            f"{name} missing": text.is_null(),
            f"{name} code": text.replace_strict({"a": 1, "b": 2}, default=0),
            f"{name} count": text.count(),
        }
    return found | {"same text": col("string") == col("view")}


@cache
def fitted() -> ff.FittedPlan:
    return ff.Plan(features()).fit(ROWS)


def test_both_backends_read_and_learn_alike():
    by_reference = ff.Plan(features()).fit(ROWS, backend="reference")
    assert artifact_bytes(by_reference.record) == artifact_bytes(fitted().record)
    assert differing(fitted().transform(ROWS), fitted().transform(ROWS, backend="reference")) == {}


def test_values_come_out_as_they_came_in():
    out = fitted().transform(ROWS)
    for name in (*NUMBERS, *TIMES):
        given = ROWS[name].to_pylist()
        expected = [None if v is None or v != v else v for v in given]
        if name == "d128":
            expected = [None if v is None else float(v) for v in expected]
        assert out[name].to_pylist() == expected, name
        assert out[f"{name} missing"].to_pylist() == [v is None for v in expected], name
    for name in TEXTS:
        assert out[f"{name} equal"].to_pylist() == [None if w is None else w == "a" for w in WORDS]
        assert out[f"{name} missing"].to_pylist() == [w is None for w in WORDS]
        assert out[f"{name} count"].to_pylist() == [6] * 7


def test_slices_at_any_offset_read_the_same():
    expected = fitted().transform(ROWS)
    longer = pa.concat_tables([ROWS.slice(2, 3), ROWS, ROWS.slice(0, 1)]).combine_chunks()
    assert differing(fitted().transform(longer.slice(3, 7)), expected) == {}
    assert differing(fitted().transform(ROWS.slice(4)), expected.slice(4)) == {}


def test_a_row_is_read_as_the_batch_is():
    whole = fitted()
    numbers = [
        n
        for n in whole.feature_names
        if whole.record.types[whole.plan.declaration.nodes[n]].is_number
    ]
    numbers = [name for name in numbers if not name.startswith(("i64", "u64"))]  # beyond 2**53
    some = whole.select(numbers)
    matrix = np.ascontiguousarray(some.transform(ROWS, to="numpy"))
    for k, row in enumerate(ROWS.to_pylist()):
        found = some.transform_row(row).view(np.int64) == matrix[k].view(np.int64)
        assert [name for name, same in zip(numbers, found, strict=True) if not same] == []


NOON = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.float16(), 0.125),
        (pa.float32(), np.float32(0.1)),
        (pa.float32(), 2.0**-149),
        (pa.float64(), 7),
        (pa.int8(), 7.0),
        (pa.int64(), np.int32(5)),
        (pa.float64(), np.float32(0.1)),
        (pa.decimal128(5, 2), Decimal("1.25")),
        (pa.bool_(), np.bool_(True)),
        (pa.timestamp("ns", "UTC"), NOON),
        (pa.timestamp("s", ZONE), NOON),
        (pa.date32(), datetime.date(2024, 2, 29)),
        (pa.time64("ns"), datetime.time(1, 2, 3, 4)),
        (pa.duration("ms"), datetime.timedelta(seconds=1)),
    ],
)
def test_a_value_of_python_in_a_row_is_that_of_the_column(kind: Any, value: Any):
    column = pa.array([value], kind)
    feature = col("x")
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        feature = (col("x") == col("x").max()).cast("float64")
    elif pa.types.is_duration(kind):
        feature = col("x").dt.total_milliseconds()
    plan = ff.Plan({"y": feature})
    whole = plan.fit({"x": column})
    matrix = whole.transform({"x": column}, to="numpy")
    assert whole.transform_row({"x": value}).tobytes() == matrix[0].tobytes()
    assert np.isnan(whole.transform_row({"x": None})[0])


EXACT: list[tuple[pa.DataType, Any]] = [
    (pa.int64(), True),
    (pa.bool_(), 1),
    (pa.bool_(), 0.0),
    (pa.uint8(), Decimal(255)),
    (pa.float64(), Decimal("0.5")),
    (pa.decimal128(5, 2), 0.1),
    (pa.decimal128(20, 0), 2**53 + 1),
    (pa.date32(), datetime.datetime(2024, 2, 29)),
    (pa.date64(), np.datetime64("2024-02")),
    (pa.timestamp("us"), datetime.date(1969, 12, 31)),
    (pa.timestamp("ns"), np.datetime64(1, "ns")),
    (pa.timestamp("us"), np.datetime64(-1000, "ns")),
    (pa.timestamp("s"), np.datetime64("2024-07-01T12")),
    (pa.timestamp("ns"), pd.Timestamp(1)),
    (pa.timestamp("ns", "UTC"), pd.Timestamp(1, tz="UTC")),
    (pa.duration("ns"), pd.Timedelta(1)),
    (pa.duration("s"), np.timedelta64(1, "W")),
    (pa.time32("s"), datetime.time(23, 59, 59)),
]


@pytest.mark.parametrize(("kind", "value"), EXACT)
def test_what_a_batch_converts_a_row_converts_alike(kind: Any, value: Any):
    dtype, column = dtype_of(kind), read_table({"x": batch_of(value)})["x"]
    assert convert(value, dtype, "x") == conform(column, "x", dtype).to_pylist()[0]


def batch_of(value: Any) -> Any:
    """Return a column of one value, as its library makes it."""
    if isinstance(value, np.generic):
        return np.array([value])
    return pd.Series([value]) if hasattr(value, "to_numpy") else [value]


INEXACT: list[tuple[pa.DataType, Any]] = [
    (pa.int64(), 1.5),
    (pa.int8(), 128),
    (pa.bool_(), 2),
    (pa.bool_(), 0.5),
    (pa.float16(), 0.1),
    (pa.float32(), 0.1),
    (pa.float32(), 1e-46),
    (pa.float32(), 1e300),
    (pa.float32(), 2**30 + 1),
    (pa.float64(), 2**53 + 1),
    (pa.float64(), Decimal("0.1")),
    (pa.int64(), Decimal("0.5")),
    (pa.date32(), datetime.datetime(2024, 2, 29, 1)),
    (pa.date32(), pd.Timestamp("2024-02-29 00:00:00.000000001")),
    (pa.date32(), np.datetime64("2024-02-29T01")),
    (pa.date64(), datetime.datetime(2024, 2, 29, 1)),
    (pa.timestamp("s"), datetime.datetime(2024, 2, 29, 0, 0, 0, 1)),
    (pa.timestamp("us"), pd.Timestamp(1)),
    (pa.timestamp("us"), np.datetime64(1, "ns")),
    (pa.timestamp("us", "UTC"), pd.Timestamp(1, tz="UTC")),
    (pa.duration("s"), datetime.timedelta(microseconds=1)),
    (pa.duration("us"), pd.Timedelta(1)),
    (pa.time32("s"), datetime.time(0, 0, 0, 1)),
    (pa.timestamp("us"), 5),
    (pa.timestamp("us"), "2024-01-01"),
    (pa.timestamp("us"), NOON),
    (pa.timestamp("us", "UTC"), datetime.datetime(2024, 1, 1)),
    (pa.timestamp("us", "UTC"), datetime.date(2024, 1, 1)),
    (pa.duration("us"), datetime.datetime(2024, 1, 1)),
    (pa.date32(), 5),
    (pa.float64(), "1"),
    (pa.timestamp("ns"), datetime.datetime(2400, 1, 1)),
]


@pytest.mark.parametrize(("kind", "value"), INEXACT)
def test_what_a_batch_refuses_a_row_refuses(kind: Any, value: Any):
    """Both border rules are one: no value is changed on its way in, and none is guessed."""
    dtype, column = dtype_of(kind), read_table({"x": batch_of(value)})["x"]
    with pytest.raises((TypeMismatch, InvalidData)):
        conform(column, "x", dtype)
    with pytest.raises(TypeMismatch, match="column 'x': "):
        convert(value, dtype, "x")


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NaT, pd.NA, np.datetime64("NaT", "s")])
def test_what_is_missing_in_a_row_is_missing_for_every_type(missing: Any):
    for kind in (pa.float32(), pa.int8(), pa.bool_(), pa.date32(), pa.timestamp("s", ZONE)):
        fitted = ff.Plan({"y": col("x").is_null()}).fit({"x": pa.nulls(1, kind)})
        assert fitted.transform_row({"x": missing})[0] == 1


def test_a_row_of_float32_has_the_bits_of_the_batch():
    values = [0.5, -0.0, np.nan, np.inf, 2.0**-149, float(np.float32(0.1))]
    rows = pa.table({"x": pa.array(values, pa.float32()), "y": pa.array(values)})
    fitted = ff.Plan({"a": col("x"), "b": col("x") * col("y")}).fit(rows)
    matrix = np.ascontiguousarray(fitted.transform(rows, to="numpy"))
    for k, row in enumerate(rows.to_pylist()):
        assert fitted.transform_row(row).tobytes() == matrix[k].tobytes()
    with pytest.raises(TypeMismatch, match=r"0.1 is not exactly .*float32.* numpy.float32\(0.1\)"):
        fitted.transform_row({"x": 0.1, "y": 0.1})


def in_steps(time: Any) -> Any:
    """Return a time of NumPy as a number of steps of 3 s."""
    return time.astype(f"{time.dtype.kind}8[3s]")


def test_times_of_numpy_in_steps_of_several_units_are_those_units():
    times = [in_steps(np.datetime64(15, "s")), in_steps(np.datetime64("NaT", "s")), None]
    fitted = ff.Plan({"s": col("t").dt.epoch("s")}).fit({"t": times})
    assert fitted.transform({"t": times})["s"].to_pylist() == [15, None, None]
    assert fitted.transform({"t": np.array(times, object)})["s"].to_pylist() == [15, None, None]
    assert fitted.transform_row({"t": times[0]}).tolist() == [15.0]
    lasting = {"d": [in_steps(np.timedelta64(15, "s")), np.timedelta64(7, "s")]}
    seconds = ff.Plan({"d": col("d").dt.total_seconds()}).fit(lasting).transform(lasting)
    assert seconds["d"].to_pylist() == [15, 7]


@pytest.mark.parametrize("huge", [Decimal("1e999999"), Decimal("-1e999999")])
def test_a_decimal_of_a_million_digits_is_refused_at_once(huge: Decimal):
    fitted = ff.Plan({"i": col("i")}).fit({"i": [1]})
    with pytest.raises(TypeMismatch, match=r"expected int64, got Decimal\('-?1E\+999999'\)"):
        fitted.transform_row({"i": huge})
    assert fitted.transform_row({"i": Decimal("7e3")}).tolist() == [7000.0]


class NoZone(datetime.tzinfo):
    """A zone that does not know its offset: its times are naive."""

    def utcoffset(self, dt: datetime.datetime | None) -> None:
        """Return nothing."""


def test_a_time_whose_zone_has_no_offset_is_naive():
    noon = datetime.datetime(2024, 1, 1, 12)
    fitted = ff.Plan({"h": col("t").dt.hour()}).fit({"t": [noon]})
    assert fitted.transform_row({"t": noon.replace(tzinfo=NoZone())}).tolist() == [12.0]


def test_times_that_64_bits_do_not_count_are_refused():
    lasting = {"d": np.array([1], "m8[us]")}
    with pytest.raises(TypeMismatch, match="does not fit into 64 bits as microseconds"):
        ff.Plan({"y": col("d") < datetime.timedelta.max}).fit(lasting).transform(lasting)
    early = datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    times = {"t": pa.array([0], pa.timestamp("us", "UTC"))}
    plan = ff.Plan({"y": col("t") > early})
    assert plan.fit(times).transform(times)["y"].to_pylist() == [True]


def test_a_reader_whose_batches_differ_is_an_error():
    other = pa.record_batch({"y": [1]})
    reader = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), iter([other]))
    with pytest.raises((InvalidData, UnknownColumn)):
        ff.Plan({"x": col("x")}).fit(reader)
    wider = pa.record_batch({"x": [1.5]})
    reader = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), iter([wider]))
    with pytest.raises(InvalidData, match="another schema than the reader's"):
        ff.Plan({"x": col("x")}).fit(reader)
