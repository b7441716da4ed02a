"""Arithmetic, comparison and casts of temporal columns against Python's integers."""

from __future__ import annotations

import datetime
from functools import cache
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import Overflow, TypeMismatch
from fastfeat.scalars.temporal import literal_to_i64
from fastfeat_tests.scalars.temporal_rows import (
    LARGEST,
    SMALLEST,
    UNITS,
    computed,
    computed_rows,
    fitted,
    table,
)

DAY = datetime.timedelta(days=1)
UTC = datetime.UTC
MS, US, NS = (pa.timestamp(unit) for unit in ("ms", "us", "ns"))
TYPES: dict[str, pa.DataType] = {
    "ms": MS,
    "us": US,
    "here": pa.timestamp("us", "Europe/Berlin"),
    "there": pa.timestamp("ms", "Asia/Tokyo"),
    "date": pa.date32(),
    "day": pa.date64(),
    "span": pa.duration("ms"),
    "step": pa.duration("us"),
    "clock": pa.time32("ms"),
    "watch": pa.time64("us"),
}
TEN_YEARS = 315_360_000
TICKS: dict[str, st.SearchStrategy[int]] = {
    "ms": st.integers(-TEN_YEARS * 1000, TEN_YEARS * 1000),
    "us": st.integers(-TEN_YEARS * 10**6, TEN_YEARS * 10**6),
    "here": st.integers(-TEN_YEARS * 10**6, TEN_YEARS * 10**6),
    "there": st.integers(-TEN_YEARS * 1000, TEN_YEARS * 1000),
    "date": st.integers(-30_000, 30_000),
    "day": st.integers(-30_000, 30_000).map(lambda day: day * 86_400_000),
    "span": st.integers(-(10**12), 10**12) | st.integers(-3, 3),
    "step": st.integers(-(10**14), 10**14) | st.integers(-3, 3),
    "clock": st.integers(0, 86_399_999),
    "watch": st.integers(0, 86_399_999_999),
}
PER_DAY = 86_400 * 10**6
EXPRESSIONS: dict[str, tuple[Any, Any, pa.DataType]] = {
    # name: expression, its value in Python from the columns in microseconds (dates in days), type
    "us - ms": (col("us") - col("ms"), lambda r: r["us"] - r["ms"], pa.duration("us")),
    "here - there": (
        col("here") - col("there"),
        lambda r: r["here"] - r["there"],
        pa.duration("us"),
    ),
    "date - day": (
        col("date") - col("day"),
        lambda r: (r["date"] - r["day"]) * PER_DAY,
        pa.duration("us"),
    ),
    "us - date": (
        col("us") - col("date"),
        lambda r: r["us"] - r["date"] * PER_DAY,
        pa.duration("us"),
    ),
    "watch - clock": (
        col("watch") - col("clock"),
        lambda r: r["watch"] - r["clock"],
        pa.duration("us"),
    ),
    "here + span": (
        col("here") + col("span"),
        lambda r: r["here"] + r["span"],
        pa.timestamp("us", "Europe/Berlin"),
    ),
    "step + us": (col("step") + col("us"), lambda r: r["step"] + r["us"], US),
    "us - literal": (col("us") - 3 * DAY, lambda r: r["us"] - 3 * PER_DAY, US),
    "date + step": (
        col("date") + col("step"),
        lambda r: (r["date"] * PER_DAY + r["step"]) // PER_DAY,
        pa.date32(),
    ),
    "date - span": (
        col("date") - col("span"),
        lambda r: (r["date"] * PER_DAY - r["span"]) // PER_DAY,
        pa.date32(),
    ),
    "span + step": (col("span") + col("step"), lambda r: r["span"] + r["step"], pa.duration("us")),
    "span - step": (col("span") - col("step"), lambda r: r["span"] - r["step"], pa.duration("us")),
    "step * 3": (col("step") * 3, lambda r: r["step"] * 3, pa.duration("us")),
    "-2 * step": (-2 * col("step"), lambda r: r["step"] * -2, pa.duration("us")),
    "step * 0.25": (col("step") * 0.25, lambda r: int(r["step"] * 0.25), pa.duration("us")),
    "step / 7": (col("step") / 7, lambda r: r["step"] // 7, pa.duration("us")),
    "step / 2.5": (col("step") / 2.5, lambda r: int(r["step"] / 2.5), pa.duration("us")),
    "step / 0": (col("step") / 0, lambda r: None, pa.duration("us")),
    "step / 0.0": (col("step") / 0.0, lambda r: None, pa.duration("us")),
    "step // -7": (col("step") // -7, lambda r: r["step"] // -7, pa.duration("us")),
    "step / span": (
        col("step") / col("span"),
        lambda r: r["step"] / r["span"] if r["span"] else None,
        pa.float64(),
    ),
    "step // span": (
        col("step") // col("span"),
        lambda r: r["step"] // r["span"] if r["span"] else None,
        pa.int64(),
    ),
    "step % span": (
        col("step") % col("span"),
        lambda r: r["step"] % r["span"] if r["span"] else None,
        pa.duration("us"),
    ),
    "-step": (-col("step"), lambda r: -r["step"], pa.duration("us")),
    "abs(step)": (abs(col("step")), lambda r: abs(r["step"]), pa.duration("us")),
    "us < ms": (col("us") < col("ms"), lambda r: r["us"] < r["ms"], pa.bool_()),
    "here == there": (col("here") == col("there"), lambda r: r["here"] == r["there"], pa.bool_()),
    "us >= date": (col("us") >= col("date"), lambda r: r["us"] >= r["date"] * PER_DAY, pa.bool_()),
    "date != day": (col("date") != col("day"), lambda r: r["date"] != r["day"], pa.bool_()),
    "watch > clock": (col("watch") > col("clock"), lambda r: r["watch"] > r["clock"], pa.bool_()),
    "ms < literal": (
        col("ms") < datetime.datetime(1970, 1, 2, 0, 0, 0, 500),
        lambda r: r["ms"] < PER_DAY + 500,
        pa.bool_(),
    ),
    "span > literal": (
        col("span") > datetime.timedelta(microseconds=1500),
        lambda r: r["span"] > 1500,
        pa.bool_(),
    ),
    "here < aware literal": (
        col("here") < datetime.datetime(1970, 1, 1, 2, tzinfo=datetime.timezone(DAY / 24)),
        lambda r: r["here"] < 3600 * 10**6,
        pa.bool_(),
    ),
    "coalesce": (ff.coalesce(col("ms"), col("us")), lambda r: r["ms"], US),
    "max": (ff.max_horizontal(col("ms"), col("us")), lambda r: max(r["ms"], r["us"]), US),
    "as ms": (col("us").cast(MS), lambda r: r["us"] // 1000, MS),
    "as ns": (col("us").cast(NS), lambda r: r["us"] * 1000, NS),
    "as naive": (col("here").cast(US), lambda r: r["here"], US),
    "step as ms": (
        col("step").cast(pa.duration("ms")),
        lambda r: abs(r["step"]) // 1000 * (1 if r["step"] > 0 else -1),
        pa.duration("ms"),
    ),
    "as date": (col("us").cast(pa.date32()), lambda r: r["us"] // PER_DAY, pa.date32()),
    "as day": (
        col("there").cast(pa.date64()),
        lambda r: (r["there"] + 9 * 3600 * 10**6) // PER_DAY * 86_400_000,
        pa.date64(),
    ),
    "as clock": (
        col("us").cast(pa.time32("ms")),
        lambda r: r["us"] % PER_DAY // 1000,
        pa.time32("ms"),
    ),
    "there as watch": (
        col("there").cast(pa.time64("us")),
        lambda r: (r["there"] + 9 * 3600 * 10**6) % PER_DAY,
        pa.time64("us"),
    ),
    "date as us": (col("date").cast(US), lambda r: r["date"] * PER_DAY, US),
    "day as date": (col("day").cast(pa.date32()), lambda r: r["day"], pa.date32()),
    "clock as watch": (col("clock").cast(pa.time64("us")), lambda r: r["clock"], pa.time64("us")),
    "as int64": (col("ms").cast(pa.int64()), lambda r: r["ms"] // 1000, pa.int64()),
    "as float64": (col("us").cast(pa.float64()), lambda r: float(r["us"]), pa.float64()),
    "back": (
        col("span").cast("int64").cast(pa.duration("ms")),
        lambda r: r["span"] // 1000,
        TYPES["span"],
    ),
}
_TO_US = {"ms": 1000, "there": 1000, "span": 1000, "clock": 1000}


@cache
def plan_of_all() -> ff.FittedPlan:
    """Return a plan of all expressions."""
    return fitted({name: expression for name, (expression, _, _) in EXPRESSIONS.items()}, **TYPES)


@given(st.fixed_dictionaries(TICKS), st.sampled_from([None, *TICKS]))
def test_every_operation_equals_that_of_python_integers(
    row: dict[str, int], missing: str | None
) -> None:
    ticks = {**row, missing: None} if missing else row
    (found,) = computed_rows(plan_of_all(), {n: (TYPES[n], [ticks[n]]) for n in TYPES})
    scaled = {name: value * _TO_US.get(name, 1) for name, value in row.items()}
    scaled["day"] = row["day"] // 86_400_000
    for name, (expression, value, _) in EXPRESSIONS.items():
        reads = {node for node in TYPES if f"'{node}'" in repr(expression)}
        if missing in reads and name not in ("coalesce", "max"):
            assert found[name] is None, name
        elif missing not in reads:
            assert found[name] == value(scaled), name


def test_every_operation_has_its_type() -> None:
    schema = plan_of_all().schema
    assert {name: schema.field(name).type for name in EXPRESSIONS} == {
        name: dtype for name, (_, _, dtype) in EXPRESSIONS.items()
    }


def test_dates_move_as_in_polars() -> None:
    days, spans = list(range(-5, 6)), [-86_400_001, -1, 0, 1, 86_399_999, 86_400_000]
    pairs = [(day, span) for day in days for span in spans]
    columns = {
        "date": (pa.date32(), [day for day, _ in pairs]),
        "span": (pa.duration("ms"), [span for _, span in pairs]),
    }
    features = {"after": col("date") + col("span"), "before": col("date") - col("span")}
    found = computed(fitted(features, date=pa.date32(), span=pa.duration("ms")), columns)
    frame = pl.from_arrow(table(columns))
    assert isinstance(frame, pl.DataFrame)
    expected = frame.select(
        after=(pl.col("date") + pl.col("span")).cast(pl.Int32),
        before=(pl.col("date") - pl.col("span")).cast(pl.Int32),
    )
    assert found == expected.to_dict(as_series=False)


@given(
    st.integers(SMALLEST, LARGEST) | st.sampled_from([SMALLEST, LARGEST]),
    st.integers(SMALLEST, LARGEST) | st.sampled_from([SMALLEST, LARGEST]),
    st.sampled_from([(a, b) for a in UNITS for b in ("us", "ns")]),
)
def test_comparisons_are_exact_where_a_common_unit_would_overflow(
    x: int, y: int, units: tuple[str, str]
) -> None:
    left, right = (pa.timestamp(unit) for unit in units)
    x = near_limit(x, units)
    found = computed(comparison_plan(left, right), {"x": (left, [x]), "y": (right, [y])})
    a, b = x * 10**9 // UNITS[units[0]], y * 10**9 // UNITS[units[1]]
    assert found == {"lt": [a < b], "eq": [a == b], "gt": [a > b], "literal": [a < SENTINEL]}


def near_limit(x: int, units: tuple[str, str]) -> int:
    """Return the extremes as what just fits, or does not fit, into the finer unit."""
    ratio = UNITS[units[1]] // UNITS[units[0]]
    if ratio <= 1 or x not in (SMALLEST, LARGEST):
        return x
    return x // ratio + (1 if x > 0 else 0)


SENTINEL = literal_to_i64(datetime.datetime(9999, 12, 31)) * 1000


@cache
def comparison_plan(left: pa.DataType, right: pa.DataType) -> ff.FittedPlan:
    """Return a plan that compares two columns, and one with a date that nanoseconds cannot hold."""
    x, y = col("x"), col("y")
    literal = x < datetime.datetime(9999, 12, 31)
    return fitted({"lt": x < y, "eq": x == y, "gt": x > y, "literal": literal}, x=left, y=right)


OVERFLOWING = {
    "difference": (col("t") - col("u"), {"t": LARGEST, "u": -1}),
    "sum": (col("t") + col("d"), {"t": LARGEST, "d": 1}),
    "finer unit": (ff.coalesce(col("s"), col("t")), {"s": LARGEST // 10**9 + 1, "t": 0}),
    "product": (col("d") * 3, {"d": LARGEST // 3 + 1}),
    "float product": (col("d") * 1e10, {"d": 10**10}),
    "float quotient": (col("d") / 1e-18, {"d": 10**10}),
    "quotient": (col("d") // -1, {"d": SMALLEST}),
    "negation": (-col("d"), {"d": SMALLEST}),
    "date": (col("a") + col("e"), {"a": 2**31 - 1, "e": 86_400}),
}


@pytest.mark.parametrize("name", OVERFLOWING)
def test_what_int64_cannot_hold_is_an_overflow(name: str) -> None:
    types: dict[str, pa.DataType] = {
        "t": NS,
        "u": NS,
        "s": pa.timestamp("s"),
        "d": pa.duration("ns"),
        "a": pa.date32(),
        "e": pa.duration("s"),
    }
    expression, row = OVERFLOWING[name]
    used = {column: types[column] for column in row}
    plan = fitted({"x": expression}, **used)
    harmless = {column: (used[column], [1, None]) for column in row}
    assert computed(plan, harmless)["x"][1] is None
    with pytest.raises(Overflow, match="'x', row 1"):
        computed(plan, {column: (used[column], [1, row[column]]) for column in row})


CASTS_OUT_OF_RANGE = [
    (pa.timestamp("s"), NS, 10**11),
    (pa.timestamp("s"), pa.date32(), 2**31 * 86_400),
    (pa.date64(), pa.date32(), 2**31 * 86_400_000),
    (pa.timestamp("s"), pa.date64(), 10**17),
    (pa.int64(), pa.time32("s"), 86_400),
    (pa.int64(), pa.date32(), 2**31),
    (NS, pa.int32(), 2**31),
    (NS, pa.uint64(), -1),
]


@pytest.mark.parametrize(("source", "target", "ticks"), CASTS_OUT_OF_RANGE)
def test_casts_out_of_range_are_errors_or_missing(
    source: pa.DataType, target: pa.DataType, ticks: int
) -> None:
    columns = {"x": (source, [0, ticks])}
    lax = fitted({"y": col("x").cast(target, strict=False)}, x=source)
    assert computed(lax, columns) == {"y": [0, None]}
    strict = fitted({"y": col("x").cast(target)}, x=source)
    with pytest.raises(Overflow, match="row 1"):
        computed(strict, columns)


def test_an_unsigned_integer_is_cast_where_it_fits() -> None:
    values = pa.table({"x": pa.array([5, 2**63], pa.uint64())})
    plan = ff.Plan({"y": col("x").cast(pa.duration("s"), strict=False)}).fit(values)
    assert plan.transform(values)["y"].cast(pa.int64()).to_pylist() == [5, None]


MISMATCHES = [
    (col("us") < col("here"), "one has a time zone, the other has none"),
    (col("here") < datetime.datetime(2020, 1, 1), "Give a literal a tzinfo"),
    (col("here") - col("us"), "cannot subtract"),
    (col("here") < col("date"), "has the time zone Europe/Berlin"),
    (col("us") < "2020-01-01", r"datetime\.datetime"),
    (col("us") > 5, r"\.dt\.epoch"),
    (col("span") > 5, r"\.dt\.total_seconds"),
    (col("us") < col("clock"), "cannot compare"),
    (col("us") + col("us"), "a sum has no meaning"),
    (col("us") + 1, "timedelta"),
    (col("clock") + DAY, "cannot pass midnight"),
    (col("us") * 2, r"cannot compute timestamp\[us\] \* int64"),
    (1 / col("span"), "cannot compute int64 /"),
    (col("span") ** 2, "needs a number"),
    (-col("us"), "needs a number"),
    (ff.coalesce(col("here"), col("there")), "one time zone"),
    (ff.coalesce(col("here"), col("us")), "has none"),
    (ff.coalesce(col("us"), col("span")), "cannot choose between"),
    (col("date").cast(pa.timestamp("us", "UTC")), "A date is not a moment in UTC"),
    (col("us").cast("bool"), "Compare it instead"),
    (col("us").cast(pa.duration("us")), "cannot cast"),
    (col("us").cast(pa.timestamp("us", "Mars/Base")), "no time zone 'Mars/Base'"),
    (col("f").cast(US), r"\.cast\('int64'\)"),
]


@pytest.mark.parametrize(("expression", "words"), MISMATCHES)
def test_what_has_no_meaning_is_refused_with_advice(expression: Any, words: str) -> None:
    with pytest.raises(TypeMismatch, match=words):
        ff.Plan({"x": expression}).fit(
            table({**{name: (dtype, [0]) for name, dtype in TYPES.items()}}).append_column(
                "f", pa.array([1.5])
            )
        )


def test_literals_become_ticks() -> None:
    assert literal_to_i64(datetime.date(1969, 12, 31)) == -1
    assert literal_to_i64(datetime.datetime(1970, 1, 1, 0, 0, 1)) == 10**6
    east = datetime.timezone(datetime.timedelta(hours=2))
    assert literal_to_i64(datetime.datetime(1970, 1, 1, 2, tzinfo=east)) == 0
    assert literal_to_i64(datetime.datetime.max) == 253_402_300_799_999_999
    assert literal_to_i64(-DAY) == -PER_DAY
    assert literal_to_i64(datetime.time(1, 0, 0, 5)) == 3_600_000_005


def test_literals_that_would_lose_something_are_refused() -> None:
    import pandas as pd

    with pytest.raises(TypeMismatch, match="nanoseconds"):
        literal_to_i64(cast(datetime.timedelta, pd.Timedelta(5)))
    with pytest.raises(TypeMismatch, match="nanoseconds"):
        literal_to_i64(cast(datetime.datetime, pd.Timestamp(5)))
    with pytest.raises(TypeMismatch, match="Write None"):
        literal_to_i64(cast(datetime.datetime, pd.NaT))
    with pytest.raises(TypeMismatch, match="has a time zone"):
        literal_to_i64(datetime.time(1, tzinfo=UTC))


def test_the_clocks_of_a_zone_do_not_change_a_difference() -> None:
    zone = pa.timestamp("s", "Europe/Berlin")
    before, after = 1_585_443_600 - 1800, 1_585_443_600 + 1800  # 01:30 and 03:30 local
    features = {"d": col("b") - col("a"), "hour": (col("a") + DAY).dt.hour()}
    found = computed(
        fitted(features, a=zone, b=zone), {"a": (zone, [before]), "b": (zone, [after])}
    )
    assert found == {"d": [3600], "hour": [2]}
