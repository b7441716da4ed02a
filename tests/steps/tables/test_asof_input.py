"""What an as-of join is given: times and keys of any kind, and what is refused, with why."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat.errors import FastfeatError, InvalidPlan, TypeMismatch, UnknownColumn

BACKENDS = pytest.mark.parametrize("backend", ["cpu", "reference"])
MOST = 2**63 - 1


def joined(data: Any, table: Any, backend: str = "cpu", **how: Any) -> list[Any]:
    data, table = pa.table(data), pa.table(table)
    plan = ff.Plan({"x": ff.asof("right", **{"time": "t", **how}).col("x")})
    fitted = plan.fit(data, tables={"right": table})
    found = fitted.transform(data, tables={"right": table}, backend=backend)
    return found["x"].to_pylist()


def times(values: list[int | None], unit: str, tz: str | None = None) -> pa.Array:
    return pa.array(values, pa.int64()).cast(pa.timestamp(unit, tz))


@BACKENDS
def test_zones_compare_as_instants_and_one_zone_alone_is_refused(backend: str) -> None:
    berlin = {"t": times([3600, 7199], "s", "Europe/Berlin")}
    tokyo = {"t": times([3600, 7200], "s", "Asia/Tokyo"), "x": [1, 2]}
    assert joined(berlin, tokyo, backend) == [1, 1]
    utc, naive = {"t": times([0], "s", "UTC")}, {"t": times([0], "s"), "x": [1]}
    for data, table in ((utc, naive), (naive, {**utc, "x": [1]})):
        with pytest.raises(TypeMismatch, match=r"one of them has a time zone.*tz_localize"):
            joined(data, table)


@BACKENDS
def test_units_are_exact_and_times_may_be_before_1970(backend: str) -> None:
    data = {"t": times([-1, 0, 1], "s")}
    table = {"t": times([-1_000_000_001, -1_000_000_000, -1, 0, 1], "ns"), "x": [1, 2, 3, 4, 5]}
    assert joined(data, table, backend) == [2, 4, 5]
    fine = {"t": times([-1_000_000_001, -1_000_000_000, -1, 0, 999_999_999], "ns")}
    coarse = {"t": times([-2, -1, 0], "s"), "x": [1, 2, 3]}
    assert joined(fine, coarse, backend) == [1, 2, 2, 3, 3]
    assert joined(fine, coarse, backend, delay="1ns") == [1, 1, 2, 2, 3]
    assert joined(fine, coarse, backend, allow_exact_matches=False) == [1, 1, 2, 2, 3]
    assert joined(fine, coarse, backend, tolerance="999999999ns") == [1, 2, 2, 3, 3]
    assert joined(fine, coarse, backend, tolerance="1ns") == [None, 2, None, 3, None]


@BACKENDS
def test_times_at_the_ends_of_their_range(backend: str) -> None:
    ends = {"t": times([-MOST, MOST], "ns"), "x": [1, 2]}
    assert joined({"t": times([-MOST, MOST], "s")}, ends, backend) == [None, 2]
    assert joined({"t": times([MOST], "s")}, ends, backend, delay="100000d") == [2]
    assert joined({"t": times([MOST], "us")}, ends, backend, delay="1s") == [2]
    assert joined({"t": times([MOST], "s")}, ends, backend, tolerance="100000d") == [None]
    near = {"t": times([1 - MOST, MOST - 1, MOST], "ns")}
    assert joined(near, ends, backend, delay="2ns") == [None, 1, 1]
    assert joined(near, ends, backend, tolerance="2ns") == [1, None, 2]
    seconds = {"t": times([-MOST, MOST], "s"), "x": [1, 2]}
    assert joined(ends, seconds, backend) == [1, 1]
    assert joined({"t": [-MOST - 1, 0]}, {"t": [-MOST - 1], "x": [1]}, backend) == [1, 1]
    least = {"t": [-MOST - 1, MOST]}
    how: dict[str, Any] = {"allow_exact_matches": False}
    assert joined(least, {**least, "x": [1, 2]}, backend, **how) == [None, 1]
    assert joined(least, {**least, "x": [1, 2]}, backend, delay=1) == [None, 1]


@BACKENDS
def test_dates_are_midnight_and_compare_with_times(backend: str) -> None:
    days = pa.array([datetime.date(1969, 12, 31), datetime.date(1970, 1, 2)])
    data = {"t": times([-86_401, -86_400, 0, 86_400], "s")}
    assert joined(data, {"t": days, "x": [1, 2]}, backend) == [None, 1, 1, 2]
    assert joined({"t": days}, {"t": times([-1, 0], "ms"), "x": [1, 2]}, backend) == [None, 2]
    wide = {"t": days.cast(pa.date64()), "x": [1, 2]}
    assert joined({"t": days}, wide, backend) == [1, 2]
    with pytest.raises(TypeMismatch, match="one of them has a time zone"):
        joined({"t": days}, {"t": times([0], "s", "UTC"), "x": [1]})


@BACKENDS
def test_missing_times_and_keys_match_nothing_on_either_side(backend: str) -> None:
    data = {"t": [None, 5, 5, 5], "k": ["a", None, "a", "b"]}
    table = {"t": [None, 1, 2, 3], "k": ["a", None, "a", "c"], "x": [1, 2, 3, 4]}
    assert joined(data, table, backend, by="k") == [None, None, 3, None]
    floats = {"t": [5, 5, 5], "k": [np.nan, 0.0, -0.0]}
    assert joined(floats, {"t": [1, 1], "k": [np.nan, -0.0], "x": [1, 2]}, backend, by="k") == [
        None,
        2,
        2,
    ]
    of_two = {"t": [5, 5], "k": ["a", "a"], "j": [1, None]}
    right = {"t": [1, 2], "k": ["a", "a"], "j": [1, None], "x": [1, 2]}
    assert joined(of_two, right, backend, by=["k", "j"]) == [1, None]


@BACKENDS
def test_tables_without_rows_or_without_values(backend: str) -> None:
    data = {"t": [1, 2], "k": ["a", "b"]}
    empty = pa.schema([("t", pa.int64()), ("k", pa.string()), ("x", pa.int64())]).empty_table()
    assert joined(data, empty, backend) == [None, None]
    assert joined(data, empty, backend, by="k") == [None, None]
    missing = pa.table({"t": [0], "k": ["a"], "x": pa.array([None], pa.int64())})
    assert joined(data, missing, backend, by="k") == [None, None]
    nothing = pa.table({name: pa.nulls(2, field.type) for name, field in
                        zip(empty.column_names, empty.schema, strict=True)})  # fmt: skip
    assert joined(data, nothing, backend) == [None, None]
    assert joined(data, nothing, backend, by="k") == [None, None]
    assert joined(pa.table(data).slice(0, 0), missing, backend, by="k") == []


@BACKENDS
@pytest.mark.parametrize(
    "values",
    [
        pa.array([1.5, None, 2.5]),
        pa.array([1, None, -3], pa.int8()),
        pa.array([1, None, 2**64 - 1], pa.uint64()),
        pa.array([0.5, None, 1.0], pa.float32()),
        pa.array([True, None, False]),
        pa.array([datetime.date(2024, 1, 1), None, datetime.date(1960, 1, 1)]),
        pa.array([1, None, 2], pa.timestamp("us", "Asia/Tokyo")),
        pa.array([1, None, 2], pa.duration("s")),
    ],
    ids=lambda values: str(values.type),
)
def test_columns_of_any_type_come_as_they_are(values: pa.Array, backend: str) -> None:
    data = {"t": [3, 1, 0, 2, None]}
    expected = [values[2], values[0], None, values[1], None]
    expected = [None if value is None else value.as_py() for value in expected]
    assert joined(data, {"t": [1, 2, 3], "x": values}, backend) == expected


def test_text_is_joined_and_encoded() -> None:
    data, table = pa.table({"t": [1, 2, 3]}), pa.table({"t": [2, 3], "x": ["rain", "sun"]})
    found = ff.asof("right", time="t").col("x").ordinal_encode()
    _, codes = ff.Plan({"x": found}).fit_transform(data, tables={"right": table})
    assert codes["x"].to_pylist() == [0, 2, 3]


@BACKENDS
def test_tolerance_and_delay_of_zero_are_lengths(backend: str) -> None:
    data, table = {"t": [4, 5, 6]}, {"t": [5], "x": [1]}
    assert joined(data, table, backend, tolerance=0, delay=0) == [None, 1, None]
    nothing = {"tolerance": 0, "allow_exact_matches": False}
    assert joined(data, table, backend, **nothing) == [None, None, None]
    assert joined(data, table, backend, tolerance=1, delay=2) == [None, None, None]


def of_length(name: str, length: Any) -> Any:
    return ff.asof("right", time="t", **{name: length})


@pytest.mark.parametrize("name", ["tolerance", "delay"])
def test_durations_that_are_none_are_refused(name: str) -> None:
    for length, why in {
        "1mo": "'mo' has no fixed length",
        "1y": "'y' has no fixed length",
        "3 h": "not a duration",
        "": "not a duration",
        "-1s": "must not be negative. Write the length without the sign$",
        -1: "must not be negative",
        2**63: "more than int64 can hold",
        datetime.timedelta(-1): "must not be negative",
    }.items():
        with pytest.raises(InvalidPlan, match=rf"asof\('right', {name}=.*{why}"):
            of_length(name, length)
    for other in (1.5, True, ["1h"]):
        with pytest.raises(TypeMismatch, match="takes a text such as"):
            of_length(name, other)
    with pytest.raises(InvalidPlan, match="one is a duration and the other a whole number"):
        ff.asof("right", time="t", tolerance="1h", delay=1)
    of: dict[str, Any] = {name: 1}
    with pytest.raises(TypeMismatch, match="write tolerance= and delay= as a duration"):
        joined({"t": times([0], "s")}, {"t": times([0], "s"), "x": [1]}, **of)


def test_what_is_not_there_is_named() -> None:
    data, table = pa.table({"t": [1], "k": [1]}), pa.table({"t": [1], "k": [1], "x": [1]})
    plan = ff.Plan({"x": ff.asof("right", time="t", by="k").col("x")})
    fitted = plan.fit(data, tables={"right": table})
    with pytest.raises(UnknownColumn, match="'right'"):
        fitted.transform(data)
    with pytest.raises(UnknownColumn, match="'right'"):
        fitted.transform(data, tables={"rights": table})
    for lacking in ("t", "k", "x"):
        with pytest.raises(UnknownColumn, match=f"the table 'right' has no column '{lacking}'"):
            fitted.transform(data, tables={"right": table.drop_columns(lacking)})
    with pytest.raises(UnknownColumn, match="'t'"):
        fitted.transform(data.drop_columns("t"), tables={"right": table})


def test_names_that_are_there_twice() -> None:
    data = pa.table({"t": [1], "k": [1]})
    twice = pa.table([pa.array([1]), pa.array([1]), pa.array([2])], names=["t", "k", "k"])
    with pytest.raises(FastfeatError, match=r"the table 'right': the data has 2 columns named"):
        joined(data, twice.append_column("x", pa.array([1])), by="k")
    table = {"t": [1, 1], "k": [1, 2], "x": [1, 2]}
    assert joined({"t": [1, 1], "a": [1, 1], "b": [1, 2]}, table, by={"a": "k", "b": "k"}) == [
        1,
        None,
    ]


@pytest.mark.parametrize(
    ("data", "table", "by", "why"),
    [
        ({"t": ["1"]}, {"t": ["1"]}, None, "needs timestamps, dates or whole numbers, got utf8"),
        ({"t": [1.0]}, {"t": [1.0]}, None, "got float64"),
        ({"t": [1]}, {"t": pa.array([1], pa.uint64())}, None, "got uint64"),
        ({"t": [1]}, {"t": pa.nulls(1)}, None, "got null"),
        ({"t": [1], "k": [[1]]}, {"t": [1], "k": [1]}, "k", "needs text, a number.*got list"),
        ({"t": [1], "k": [1]}, {"t": [1], "k": [[1]]}, "k", "needs text, a number.*got list"),
        ({"t": [1], "k": ["a"]}, {"t": [1], "k": [1]}, "k", "cannot compare the key of the data"),
    ],
)
def test_times_and_keys_of_other_types_are_refused(
    data: Any, table: Any, by: Any, why: str
) -> None:
    with pytest.raises(TypeMismatch, match=why):
        joined(data, {**table, "x": [1]}, by=by)


def test_a_column_of_lists_is_not_joined() -> None:
    with pytest.raises(TypeMismatch, match="cannot look up lists"):
        joined({"t": [1]}, {"t": [1], "x": [[1]]})


@pytest.mark.parametrize("given", [{"time": 3}, {"time": None}, {"right_time": 3}])
def test_times_that_are_no_columns_are_refused(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(TypeMismatch, match=rf"asof\('right', {name}=.*takes the name of a column"):
        ff.asof("right", **{"time": "t", **given})
