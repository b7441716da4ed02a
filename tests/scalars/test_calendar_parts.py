"""Calendar parts against Python's datetime, calendar and zoneinfo."""

from __future__ import annotations

import calendar
import datetime
import platform
import random
import re
import zoneinfo
from collections.abc import Sequence
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import Overflow, TypeMismatch
from fastfeat.scalars.zone_files import CYCLE, HORIZON
from fastfeat.scalars.zones import table_for
from fastfeat_tests.scalars.temporal_rows import (
    LARGEST,
    SMALLEST,
    UNITS,
    computed,
    computed_rows,
    fitted,
)

DATE_PARTS = (
    *("year", "quarter", "month", "week", "weekday", "day", "ordinal_day", "date"),
    *("is_leap_year", "is_weekend", "is_month_start", "is_month_end", "is_quarter_end"),
    "days_in_month",
)
CLOCK_PARTS = ("hour", "minute", "second", "millisecond", "microsecond", "nanosecond")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
DAYS_PER_CYCLE = CYCLE // 86_400
ZONES = (
    None,
    "UTC",
    "+05:45",
    "-09:30",
    "Africa/Casablanca",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Manila",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
)


def python_zone(name: str | None) -> datetime.tzinfo:
    """Return the zone of a name as Python has it."""
    if name is None or name == "UTC":
        return datetime.UTC
    if name[0] in "+-":
        return datetime.datetime.strptime(name, "%z").tzinfo or datetime.UTC
    return zoneinfo.ZoneInfo(name)


def date_parts(date: datetime.date) -> dict[str, Any]:
    """Return the parts of a date from their definitions."""
    _, length = calendar.monthrange(date.year, date.month)
    return {
        "year": date.year,
        "quarter": (date.month - 1) // 3 + 1,
        "month": date.month,
        "week": date.isocalendar().week,
        "weekday": date.isoweekday(),
        "day": date.day,
        "ordinal_day": date.timetuple().tm_yday,
        "is_leap_year": calendar.isleap(date.year),
        "is_weekend": date.isoweekday() in (6, 7),
        "is_month_start": date.day == 1,
        "is_month_end": date.day == length,
        "is_quarter_end": date.day == length and date.month in (3, 6, 9, 12),
        "days_in_month": length,
        "date": (date - EPOCH.date()).days,
    }


def clock_parts(time: datetime.time, nanoseconds: int) -> dict[str, int]:
    """Return the parts of a time of day from their definitions."""
    return {
        "hour": time.hour,
        "minute": time.minute,
        "second": time.second,
        "millisecond": nanoseconds // 10**6,
        "microsecond": nanoseconds // 10**3,
        "nanosecond": nanoseconds,
    }


@cache
def plan_of(names: tuple[str, ...], dtype: pa.DataType, tz: str | None = None) -> Any:
    """Return a plan of parts of one column."""
    params = {} if tz is None else {"tz": tz}
    return fitted({name: getattr(col("t").dt, name)(**params) for name in names}, t=dtype)


def parts_of(
    dtype: pa.DataType, ticks: Sequence[int | None], names: Sequence[str], tz: str | None = None
):
    """Return the parts that a plan computes, one dict a row."""
    return computed_rows(plan_of(tuple(names), dtype, tz), {"t": (dtype, ticks)})


def instants(zone: str | None) -> st.SearchStrategy[int]:
    """Return seconds since 1970 of the years 2 to 9998, many of them where the clocks change."""
    anywhere = st.integers(-62_000_000_000, 253_000_000_000) | st.integers(0, 4 * 10**9)
    changes = table_for(zone).changes if zone else ()
    if not changes:
        return anywhere
    return anywhere | st.builds(
        lambda change, seconds: change + seconds, st.sampled_from(changes), st.integers(-2, 2)
    )


def local_datetime(seconds: int, zone: datetime.tzinfo) -> datetime.datetime:
    """Return the local time; zoneinfo is not asked beyond the years that it has as a table."""
    n_cycles = max(0, (seconds - HORIZON) // CYCLE + 1)
    near = (EPOCH + datetime.timedelta(seconds=seconds - n_cycles * CYCLE)).astimezone(zone)
    return near.replace(year=near.year + 400 * n_cycles, tzinfo=None)


@pytest.mark.parametrize("zone", ZONES)
@given(data=st.data())
def test_parts_of_timestamps_equal_datetime(zone: str | None, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(list(UNITS)))
    per_second = UNITS[unit]
    fraction = st.integers(0, per_second - 1) | st.sampled_from([0, per_second - 1])
    rows = data.draw(st.lists(st.tuples(instants(zone), fraction), min_size=1, max_size=40))
    if unit == "ns":
        rows = [(s, f) for s, f in rows if abs(s) < 9 * 10**9]
    ticks = [seconds * per_second + part for seconds, part in rows]
    found = parts_of(pa.timestamp(unit, zone), [*ticks, None], DATE_PARTS + CLOCK_PARTS)
    for (seconds, part), row in zip(rows, found, strict=False):
        local = local_datetime(seconds, python_zone(zone))
        nanoseconds = part * 10**9 // per_second
        assert row == {**date_parts(local.date()), **clock_parts(local.time(), nanoseconds)}
    assert set(found[-1].values()) == {None}


@pytest.mark.parametrize("unit", UNITS)
def test_parts_in_another_zone_are_those_of_the_instant(unit: str) -> None:
    ticks = [s * UNITS[unit] for s in random.Random(1).sample(range(4 * 10**9), 50)]
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        there = parts_of(pa.timestamp(unit, zone), ticks, ["day", "hour"], tz="Australia/Lord_Howe")
        assert there == parts_of(pa.timestamp(unit, "Australia/Lord_Howe"), ticks, ["day", "hour"])


def test_every_day_of_400_years_has_its_date() -> None:
    first = datetime.date(1898, 1, 1)
    days = list(range((first - EPOCH.date()).days, (first - EPOCH.date()).days + DAYS_PER_CYCLE))
    given_days = pa.array(days, pa.int32()).view(pa.date32())
    found = plan_of(DATE_PARTS, pa.date32()).transform(pa.table({"t": given_days}))
    rows = zip(*(found[name].cast(_plain(name)).to_pylist() for name in DATE_PARTS), strict=True)
    for k, row in enumerate(rows):
        date = first + datetime.timedelta(days=k)
        parts = date_parts(date)
        assert row == tuple(parts[name] for name in DATE_PARTS)


def _plain(name: str) -> pa.DataType:
    return pa.bool_() if name.startswith("is_") else pa.int32()


@given(
    st.integers(0, DAYS_PER_CYCLE - 1),
    st.integers(-700_000_000, 700_000_000) | st.integers(-5, 5),
    st.sampled_from(["date64", "s", "ms"]),
)
def test_years_far_away_repeat_those_of_the_same_cycle(day: int, cycles: int, kind: str) -> None:
    if kind != "s":
        cycles = cycles % 14_000 - 7_000
    near = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
    days = day + cycles * DAYS_PER_CYCLE
    dtype = pa.date64() if kind == "date64" else pa.timestamp(kind)
    per_day = 86_400 if kind == "s" else 86_400_000
    names = [name for name in DATE_PARTS if name not in ("year", "date")]
    expected = date_parts(near)
    year = expected.pop("year") + 400 * cycles
    del expected["date"]
    assert parts_of(dtype, [days * per_day], names) == [expected]
    if abs(year) < 2**31 - 1:
        assert parts_of(dtype, [days * per_day], ["year"]) == [{"year": year}]


@pytest.mark.parametrize("zone", [None, "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_parts_of_the_first_and_last_instant_have_values(unit: str, zone: str | None) -> None:
    found = parts_of(pa.timestamp(unit, zone), [SMALLEST, LARGEST], ["year", "weekday", "second"])
    year = 1970 + LARGEST / UNITS[unit] / (CYCLE / 400)
    assert abs(found[1]["year"] - year) <= 1
    assert abs(found[0]["year"] - (3940 - year)) <= 1
    for row, tick in zip(found, (SMALLEST, LARGEST), strict=True):
        seconds = tick // UNITS[unit]
        if zone is None:
            assert row["second"] == seconds % 60
            assert row["weekday"] == (seconds // 86_400 + 3) % 7 + 1


BEYOND = {
    "year": (2**31 * 31_556_952, "the year of a time does not fit into int32"),
    "date": (2**31 * 86_400, "the date of a time does not fit into date32"),
}


@pytest.mark.parametrize("part", BEYOND)
def test_a_part_beyond_int32_is_an_error_that_names_it_and_the_value(part: str) -> None:
    seconds, told = BEYOND[part]
    dtype = pa.timestamp("s")
    rows = pa.table({"t": pa.array([0, seconds], pa.int64()).view(dtype)})
    shown = rf"row 1 \(t='{seconds} \(timestamp\[s\]\)'\): {told}.*\.dt\.{part}\(\) fails"
    with pytest.raises(Overflow, match=shown):
        plan_of((part,), dtype).transform(rows)


@given(
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.sampled_from([SMALLEST, LARGEST]) | st.integers(SMALLEST, LARGEST),
)
def test_no_time_is_an_error_of_a_cast_that_nobody_wrote(unit: str, ticks: int) -> None:
    for dtype, plan in (
        (pa.timestamp(unit), far_plan(pa.timestamp(unit))),
        (pa.duration(unit), far_plan(pa.duration(unit))),
    ):
        rows = pa.table({"t": pa.array([ticks], pa.int64()).view(dtype)})
        for name in plan.feature_names:
            try:
                plan.select(name).transform(rows, backend="reference")
            except Overflow as error:
                told = str(error)
            else:
                continue
            assert "cast(..., strict=False)" not in told
            assert "float64" not in told


@cache
def far_plan(dtype: pa.DataType) -> ff.FittedPlan:
    """Return a plan of all that `.dt` gives of a type, and of times that are moved."""
    t: Any = col("t")
    features = {part: getattr(t.dt, part)() for part in (*DATE_PARTS, *CLOCK_PARTS)}
    features |= {every: t.dt.truncate(every) for every in ("1d", "1w", "1mo", "1y", "10y")}
    features |= {f"epoch {unit}": t.dt.epoch(unit) for unit in ("s", "ms", "us", "ns", "d")}
    features["later"] = t + datetime.timedelta(days=400_000)
    if pa.types.is_duration(dtype):
        totals = ("days", "hours", "seconds", "milliseconds", "microseconds", "nanoseconds")
        features = {name: getattr(t.dt, f"total_{name}")() for name in totals}
        features |= {"twice": t * 2, "half": t * 1e300, "sum": t + t, "less": t - (t + t)}
    return ff.Plan(features).fit({"t": pa.array([0], dtype)})


@given(st.lists(st.integers(-10_000, 40_000), min_size=1, max_size=20))
def test_dates_have_calendar_parts(days: list[int]) -> None:
    for dtype, per_day in ((pa.date32(), 1), (pa.date64(), 86_400_000)):
        found = parts_of(dtype, [day * per_day for day in days], DATE_PARTS)
        for day, row in zip(days, found, strict=True):
            assert row == date_parts(EPOCH.date() + datetime.timedelta(days=day))


@given(st.integers(0, 86_399), st.integers(0, 10**9 - 1))
def test_times_have_a_clock(seconds: int, nanoseconds: int) -> None:
    for dtype, unit in (
        (pa.time32("s"), "s"),
        (pa.time32("ms"), "ms"),
        (pa.time64("us"), "us"),
        (pa.time64("ns"), "ns"),
    ):
        part = nanoseconds * UNITS[unit] // 10**9
        found = parts_of(dtype, [seconds * UNITS[unit] + part], CLOCK_PARTS)
        time = (EPOCH + datetime.timedelta(seconds=seconds)).time()
        assert found == [clock_parts(time, part * 10**9 // UNITS[unit])]


@given(st.integers(SMALLEST, LARGEST), st.sampled_from(list(UNITS)))
def test_totals_of_durations_are_rounded_towards_zero(ticks: int, unit: str) -> None:
    lengths = {"days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}
    names = [f"total_{name}" for name in lengths]
    (found,) = parts_of(pa.duration(unit), [ticks], names)
    for name, length in lengths.items():
        whole = abs(ticks) // (length * UNITS[unit])
        assert found[f"total_{name}"] == (whole if ticks >= 0 else -whole)


@given(st.integers(SMALLEST // 10**9 + 1, LARGEST // 10**9), st.sampled_from(list(UNITS)))
def test_epochs_are_rounded_down(ticks: int, unit: str) -> None:
    dtype = pa.timestamp(unit, "America/New_York")
    (found,) = computed_rows(epoch_plan(dtype), {"t": (dtype, [ticks])})
    for wanted, per_second in UNITS.items():
        assert found[wanted] == ticks * per_second // UNITS[unit]
    assert found["d"] == ticks // (86_400 * UNITS[unit])


@pytest.mark.parametrize("second", [2**33 + 2**31, -(2**33) - 2**31])
def test_an_epoch_beyond_int64_overflows(second: int) -> None:
    dtype = pa.timestamp("s")
    with pytest.raises(Overflow, match="row 1"):
        computed(epoch_plan(dtype), {"t": (dtype, [0, second])})


@cache
def epoch_plan(dtype: pa.DataType) -> Any:
    """Return a plan of the epochs in every unit."""
    return fitted({unit: col("t").dt.epoch(unit) for unit in (*UNITS, "d")}, t=dtype)


@pytest.mark.parametrize(
    ("part", "dtype", "words"),
    [
        ("hour", pa.date32(), "a date has no time of day"),
        ("year", pa.time64("us"), "a time of day has only hour"),
        ("year", pa.duration("s"), "total_hours"),
        ("year", pa.int64(), "Give the number a unit"),
        ("total_hours", pa.timestamp("s"), "Subtract two of them"),
    ],
)
def test_a_part_that_a_type_lacks_is_refused(part: str, dtype: pa.DataType, words: str) -> None:
    with pytest.raises(TypeMismatch, match=f"(?i){words}"):
        fitted({"x": getattr(col("t").dt, part)()}, t=dtype)


def test_a_zone_for_a_date_is_refused() -> None:
    with pytest.raises(TypeMismatch, match="date32 has no time zone"):
        fitted({"x": col("t").dt.year(tz="UTC")}, t=pa.date32())


def test_an_unknown_epoch_unit_is_refused() -> None:
    with pytest.raises(TypeMismatch, match=r"'min'.*'ms'"):
        col("t").dt.epoch("min")


def test_a_column_without_any_value_has_missing_parts() -> None:
    import fastfeat as ff

    nothing = pa.table({"t": pa.nulls(3)})
    plan = ff.Plan({"h": col("t").dt.hour(), "s": col("t").dt.total_hours()})
    assert plan.fit(nothing).transform(nothing).to_pydict() == {"h": [None] * 3, "s": [None] * 3}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
def test_parts_are_computed_in_vector_lanes_without_division() -> None:
    from fastfeat_kernels.llvm import assembly_of

    names = ("year", "week", "hour", "is_month_end", "days_in_month")
    text = assembly_of(plan_of(names, pa.timestamp("us", "Europe/Berlin")).explain("cpu"))
    packed = re.findall(r"\tv?(?:add|mul|round|rndscale|fmadd\w*)pd\t", text)
    assert len(packed) > 30
    assert not re.findall(r"\t(?:idiv|div|cvttsd2si|vcvttsd2si)\w*\t", text)
    assert not re.findall(r"\b(?:floor|fma|rint)\b", text)
