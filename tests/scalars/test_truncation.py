"""`.dt.truncate` against Polars, and against its definition where Polars raises or goes astray."""

from __future__ import annotations

import datetime
import random
import zoneinfo
from functools import cache
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat import col
from fastfeat.errors import FastfeatError, TypeMismatch
from fastfeat.scalars.zones import table_for
from fastfeat_tests.scalars.temporal_rows import LARGEST, SMALLEST, UNITS, computed, fitted

EVERY = (
    "7us",
    "3s",
    "90m",
    "1h",
    "7h",
    "1000h",
    "1d",
    "3d",
    "2w",
    "1mo",
    "5mo",
    "1q",
    "3y",
    "100y",
)
ZONES = (
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
)
MONTHS = {"1mo": 1, "5mo": 5, "1q": 3, "3y": 36, "100y": 1200}
"""The intervals of whole months."""
LENGTHS = {
    "3s": datetime.timedelta(seconds=3),
    "90m": datetime.timedelta(minutes=90),
    "1h": datetime.timedelta(hours=1),
    "7h": datetime.timedelta(hours=7),
    "1000h": datetime.timedelta(hours=1000),
    "1d": datetime.timedelta(days=1),
    "3d": datetime.timedelta(days=3),
}
"""The intervals of one length, counted from 1970-01-01."""
EPOCH = datetime.datetime(1970, 1, 1)
SECOND = datetime.timedelta(seconds=1)
CHRONO_END = 4 * 10**9
"""The zones of Polars follow their rules up to 2099."""


@cache
def plan_of(dtype: pa.DataType, names: tuple[str, ...] = EVERY, tz: str | None = None) -> Any:
    """Return a plan that truncates to several intervals."""
    return fitted({every: col("t").dt.truncate(every, tz=tz) for every in names}, t=dtype)


def truncated(dtype: pa.DataType, ticks: list[int], names: tuple[str, ...] = EVERY):
    """Return the starts by interval."""
    return computed(plan_of(dtype, names), {"t": (dtype, ticks)})


def seconds_near_changes(zone: str, first: int = -(10**10)) -> st.SearchStrategy[int]:
    """Return instants around which the clocks of a zone change, and any others."""
    changes = [change for change in table_for(zone).changes if first < change < CHRONO_END]
    hours = st.integers(-26, 26).map(lambda hour: hour * 3600) | st.integers(0, 90 * 86_400)
    near = st.builds(
        lambda change, hour, second: change + hour + second,
        st.sampled_from(changes),
        hours,
        st.integers(-1, 1),
    )
    return near | st.integers(max(first, -(5 * 10**9)), CHRONO_END)


def polars_start(ticks: int, unit: str, zone: str | None, every: str) -> int | None:
    """Return what Polars gives, or None where it raises."""
    values = pl.Series([ticks]).cast(pl.Datetime(unit, zone))  # pyright: ignore[reportArgumentType]
    try:
        return values.dt.truncate(every).cast(pl.Int64)[0]
    except pl.exceptions.ComputeError:
        return None


@given(st.lists(st.integers(-6 * 10**16, 25 * 10**16), min_size=1, max_size=8))
def test_naive_timestamps_are_truncated_as_polars_does(ticks: list[int]) -> None:
    found = truncated(pa.timestamp("us"), ticks)
    for every in EVERY:
        assert found[every] == [polars_start(x, "us", None, every) for x in ticks]


@pytest.mark.parametrize("unit", ["ms", "ns"])
def test_other_units_are_truncated_as_polars_does(unit: str) -> None:
    names = ("3s", "7h", "2w", "5mo")
    ticks = [
        s * UNITS[unit] + s % 7 for s in random.Random(2).sample(range(-(8 * 10**9), 9 * 10**9), 99)
    ]
    found = truncated(pa.timestamp(unit), ticks, names)
    for every in names:
        assert found[every] == [polars_start(x, unit, None, every) for x in ticks]


@given(st.lists(st.integers(-100_000, 100_000), min_size=1, max_size=8))
def test_dates_are_truncated_as_polars_does(days: list[int]) -> None:
    names = ("1d", "3d", "2w", "5mo", "1q", "3y")
    found = truncated(pa.date32(), days, names)
    assert truncated(pa.date64(), [day * 86_400_000 for day in days], names) == {
        every: [day * 86_400_000 for day in starts] for every, starts in found.items()
    }
    for every in names:
        dates = pl.Series(days, dtype=pl.Int32).cast(pl.Date)
        assert found[every] == dates.dt.truncate(every).cast(pl.Int32).to_list()


def local_of(second: int, zone: zoneinfo.ZoneInfo) -> datetime.datetime:
    """Return the local time of an instant."""
    return EPOCH + (second + offset_of(second, zone)) * SECOND


def offset_of(second: int, zone: zoneinfo.ZoneInfo) -> int:
    """Return the offset of a zone in seconds."""
    instant = (EPOCH + second * SECOND).replace(tzinfo=datetime.UTC)
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset // SECOND


def local_start(local: datetime.datetime, every: str) -> datetime.datetime:
    """Return the start of the interval of a local time."""
    midnight = datetime.datetime.combine(local.date(), datetime.time())
    if every in MONTHS:
        n_months = (local.year - 1970) * 12 + local.month - 1
        first = n_months - n_months % MONTHS[every]
        return midnight.replace(year=1970 + first // 12, month=first % 12 + 1, day=1)
    if every == "2w":
        return midnight - (local - datetime.datetime(1970, 1, 5)).days % 14 * 86_400 * SECOND
    return local - (local - EPOCH) % LENGTHS[every]


def start_by_definition(second: int, zone: zoneinfo.ZoneInfo, every: str) -> int:
    """Return the start of an interval as an instant, from the three rules of the docstring."""
    start = (local_start(local_of(second, zone), every) - EPOCH) // SECOND
    own = offset_of(second, zone)
    if offset_of(start - own, zone) == own:
        return start - own
    offsets = {offset_of(start + hours * 3600, zone) for hours in (-16, 16)}
    instants = [start - offset for offset in offsets if offset_of(start - offset, zone) == offset]
    if instants:
        return min(instants)
    low, high = start - 16 * 3600, start + 16 * 3600
    while high - low > 1:  # the one change between them ends the gap
        middle = (low + high) // 2
        if offset_of(middle, zone) == offset_of(start - 16 * 3600, zone):
            low = middle
        else:
            high = middle
    return high


DEFINED = tuple(every for every in EVERY if every != "7us")
"""The intervals of whole seconds."""


@pytest.mark.parametrize("name", ZONES)
@given(data=st.data())
def test_starts_of_local_intervals_are_those_of_the_definition(
    name: str, data: st.DataObject
) -> None:
    seconds = data.draw(st.lists(seconds_near_changes(name), min_size=1, max_size=8))
    found = truncated(pa.timestamp("s", name), seconds, DEFINED)
    zone = zoneinfo.ZoneInfo(name)
    for every in DEFINED:
        assert found[every] == [start_by_definition(second, zone, every) for second in seconds]
        assert all(start <= second for start, second in zip(found[every], seconds, strict=True))


@pytest.mark.parametrize("name", ZONES)
@given(data=st.data())
def test_starts_equal_polars_outside_of_gaps(name: str, data: st.DataObject) -> None:
    second = data.draw(seconds_near_changes(name, first=-(10**9)))
    found = truncated(pa.timestamp("us", name), [second * 10**6])
    zone = zoneinfo.ZoneInfo(name)
    for every in EVERY:
        (start,) = found[every]
        local = local_of(start // 10**6, zone)
        before = local_of(start // 10**6 - 1, zone)
        if local - before == SECOND:  # else the clocks skip to the start, and Polars may go beyond
            theirs = polars_start(second * 10**6, "us", name, every)
            assert theirs is not None
            if theirs < start and local_of(theirs // 10**6, zone) == local:
                # Polars took the first of a local time that comes twice: the definition decides
                assert every in DEFINED
                assert start == start_by_definition(second, zone, every) * 10**6
            else:
                assert start == theirs


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_units_agree(unit: str) -> None:
    drawn = random.Random(3).sample(range(-(10**9), CHRONO_END), 40)
    name, names = "America/New_York", ("7h", "1q")
    expected = truncated(pa.timestamp("s", name), drawn, DEFINED)
    found = truncated(pa.timestamp(unit, name), [s * UNITS[unit] for s in drawn], names)
    for every in names:
        assert found[every] == [start * UNITS[unit] for start in expected[every]]


def test_a_zone_of_the_caller_is_used() -> None:
    ticks = [1_600_000_000 + 1000 * k for k in range(200)]
    utc, there = pa.timestamp("s", "UTC"), pa.timestamp("s", "Asia/Tokyo")
    plan = plan_of(utc, DEFINED, tz="Asia/Tokyo")
    assert computed(plan, {"t": (utc, ticks)}) == truncated(there, ticks, DEFINED)
    assert plan.schema.field("1d").type == utc


@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_a_start_before_the_first_instant_overflows(zone: str | None) -> None:
    dtype = pa.timestamp("ns", zone)
    plan = plan_of(dtype, ("1d",))
    for ticks in (SMALLEST, SMALLEST + 10**9):
        with pytest.raises(FastfeatError, match="row 0"):
            computed(plan, {"t": (dtype, [ticks])})
    day, offset = 86_400 * 10**9, 0 if zone is None else 4 * 3600 * 10**9
    assert LARGEST % day > offset  # it is the same day there
    assert computed(plan, {"t": (dtype, [LARGEST])}) == {"1d": [LARGEST // day * day + offset]}


def test_a_start_ages_before_the_first_instant_overflows() -> None:
    dtype = pa.timestamp("ns")
    plan = plan_of(dtype, ("100000y",))
    for ticks in (0, 10**18, LARGEST):
        assert computed(plan, {"t": (dtype, [ticks])}) == {"100000y": [0]}
    for ticks in (-1, -(10**18), SMALLEST):
        with pytest.raises(FastfeatError, match="row 0"):
            computed(plan, {"t": (dtype, [ticks])})


@pytest.mark.parametrize(
    ("every", "words"),
    [
        ("", "cannot read"),
        ("1", "cannot read"),
        ("1x", "cannot read"),
        ("-1d", "cannot read"),
        ("1.5h", "cannot read"),
        ("1 d", "cannot read"),
        ("0h", "no length"),
        ("1d12h", "mixes units"),
        ("1mo2d", "mixes units"),
        ("1w2d", "mixes units"),
        ("100001y", "too long"),
        ("999999999h", "too long"),
        ("10us", "no fractions of 1 ms"),
    ],
)
def test_an_interval_that_cannot_be_used_is_refused(every: str, words: str) -> None:
    with pytest.raises(TypeMismatch, match=words):
        fitted({"x": col("t").dt.truncate(every)}, t=pa.timestamp("ms"))


def test_dates_have_no_hours() -> None:
    with pytest.raises(TypeMismatch, match="date32 has whole days"):
        fitted({"x": col("t").dt.truncate("1h")}, t=pa.date32())
