"""Zone tables against zoneinfo, zone files made by hand, and the search that kernels do."""

from __future__ import annotations

import bisect
import datetime
import struct
import time
import zoneinfo
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat import col
from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.scalars import zone_files, zones
from fastfeat.scalars.local_time import bucket_length
from fastfeat.scalars.tzif import read_changes
from fastfeat.scalars.zone_files import CYCLE, HORIZON, ZoneTable
from fastfeat.scalars.zones import table_for, use_zone_tables
from fastfeat_tests.scalars.temporal_rows import LARGEST, SMALLEST, UNITS, computed, fitted

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
DAY = 86_400


def offset_of(table: ZoneTable, second: int) -> int:
    """Return the offset at an instant by plain search; rules repeat every 400 years."""
    if table.repeats and second >= HORIZON:
        second -= CYCLE * ((second - HORIZON) // CYCLE + 1)
    return table.offsets[bisect.bisect_right(table.changes, second)]


def test_tables_equal_zoneinfo_in_every_zone_of_the_machine() -> None:
    names = sorted(zoneinfo.available_timezones())
    assert len(names) > 400
    for name in names:
        zone, table = zoneinfo.ZoneInfo(name), table_for(name)
        near = [change + k for change in table.changes for k in (-1, 0)]
        for second in (-5 * 10**9, 0, 10**9, *near[:: max(1, len(near) // 80)]):
            instant = EPOCH + datetime.timedelta(seconds=second)
            offset = instant.astimezone(zone).utcoffset()
            assert offset is not None
            assert offset.total_seconds() == offset_of(table, second), (name, second)


def test_rules_are_followed_up_to_the_horizon() -> None:
    table = table_for("Europe/Berlin")
    last = EPOCH + datetime.timedelta(seconds=table.changes[-1])
    assert (last.year, last.month, last.isoweekday(), last.hour) == (2500, 10, 7, 1)
    assert table.repeats
    assert not table_for("Asia/Tokyo").repeats


def zone_file(
    rule: str, changes: list[tuple[int, int]], offsets: list[int], *, leaps: int = 0
) -> bytes:
    """Return a TZif file: changes as (instant, number of the offset)."""
    header = struct.Struct(">4sc15x6l")
    types = b"".join(struct.pack(">lBB", offset, 0, 0) for offset in offsets)
    empty = header.pack(b"TZif", b"2", 0, 0, 0, 0, 1, 4) + types[:6] + b"abc\0"
    second = header.pack(b"TZif", b"2", 0, 0, leaps, len(changes), len(offsets), 4)
    instants = b"".join(struct.pack(">q", instant) for instant, _ in changes)
    numbers = bytes(number for _, number in changes)
    return empty + second + instants + numbers + types + b"abc\0" + f"\n{rule}\n".encode()


RULES = [
    "<+0330>-3:30",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "EST5EDT,M3.2.0,M11.1.0",
    "IST-1GMT0,M10.5.0,M3.5.0/1",
    "NZST-12NZDT,M9.5.0,M4.1.0/3",
    "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
    "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
    "EET-2EEST,M3.4.4/50,M10.4.4/50",
    "AAA3BBB,J60/2,J300/2",
    "AAA3BBB,59/2,299/2",
    "AAA-3:30:15BBB-4:30:15,J2/1:30:30,J363/23:59:59",
]


@pytest.fixture
def clock_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the C library's clock to a rule; zoneinfo counts the days of "n" from 1, not from 0."""

    def set_clock(rule: str) -> None:
        monkeypatch.setenv("TZ", rule)
        time.tzset()

    yield set_clock
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the C library has no tzset")
@pytest.mark.parametrize("rule", RULES)
def test_rules_equal_the_c_library(rule: str, clock_of: Callable[[str], None]) -> None:
    clock_of(rule)
    first = 10**9
    start, changes = read_changes(zone_file(rule, [(first, 1)], [-7200, 0]), 2036)
    instants = [t for t, _ in changes]
    assert start == -7200
    assert len(changes) > (1 if "," in rule else 0)
    near = [t + k for t in instants[1:] for k in (-1, 0, 1)]
    for second in [first + k * 2_000_003 for k in range(500)] + near:
        k = bisect.bisect_right(instants, second)
        assert time.localtime(second).tm_gmtoff == (changes[k - 1][1] if k else start)


def test_daylight_time_without_end_is_one_offset() -> None:
    content = zone_file("AAA3BBB,0/0,J365/25", [(10**9, 0)], [-10_800])
    _, changes = read_changes(content, 2040)
    assert [offset for t, offset in changes if t > 1_010_000_000] == []
    assert changes[-1][1] == -7200


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b"TZif" + b"1" * 60, "version 2"),
        (b"PK" + b"0" * 60, "version 2"),
        (zone_file("UTC0", [], [0])[:70], "damaged"),
        (zone_file("UTC0", [], [0], leaps=1), "leap seconds"),
        (zone_file("what is this", [], [0]), "rule that cannot be read"),
    ],
)
def test_a_damaged_zone_file_is_an_error(content: bytes, words: str) -> None:
    with pytest.raises(InvalidData, match=words):
        read_changes(content, 2040)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Europe/Berln", "'Europe/Berlin'"),
        ("berlin", "'Europe/Berlin'"),
        ("New York", "'America/New_York'"),
        ("../../etc/passwd", "no time zone"),
        ("/etc/localtime", "no time zone"),
        ("", "no time zone"),
        ("tzdata.zi", "no time zone"),
        ("+25:00", "no time zone"),
    ],
)
def test_an_unknown_zone_is_named_with_those_that_are_close(name: str, words: str) -> None:
    with pytest.raises(TypeMismatch, match=words):
        table_for(name)


def test_zones_come_from_the_package_where_the_machine_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    zone_files.machine_table.cache_clear()  # pyright: ignore[reportPrivateUsage]
    try:
        packaged = table_for("Europe/Berlin")
        with pytest.raises(TypeMismatch, match="no time zone"):
            table_for("Europe")
    finally:
        zone_files.machine_table.cache_clear()  # pyright: ignore[reportPrivateUsage]
    assert packaged.changes[-10:] == zones.table_for("Europe/Paris").changes[-10:]


def test_an_unknown_zone_is_refused_before_any_data() -> None:
    with pytest.raises(TypeMismatch, match=r"col\('t'\).dt.hour\(tz='Mars/Base'\)"):
        fitted({"x": col("t").dt.hour(tz="Mars/Base")}, t=pa.timestamp("us"))


@pytest.mark.parametrize(
    ("changes", "offsets", "words"),
    [
        ((0,), (0,), "number of changes plus 1"),
        ((0,), (0, 60_000), "16 hours"),
        ((0, 1000), (0, 3600, 0), "64 hours"),
        ((10 * DAY, 0), (0, 3600, 0), "64 hours"),
        ((10**15,), (0, 3600), "too far in the past"),
    ],
)
def test_a_table_that_a_kernel_cannot_search_is_refused(
    changes: tuple[int, ...], offsets: tuple[int, ...], words: str
) -> None:
    with pytest.raises(InvalidData, match=words):
        zone_files.check_zone_table(changes, offsets)


def test_plans_take_zones_from_the_given_tables_and_record_those_they_read() -> None:
    fake = {"Europe/Berlin": ZoneTable((0,), (0, 5 * 3600))}
    with use_zone_tables(fake):
        plan = fitted(
            {
                "here": col("t").dt.hour(),
                "there": col("t").dt.hour(tz="Asia/Tokyo"),
                "fixed": col("t").dt.hour(tz="-01:00"),
            },
            t=pa.timestamp("s", "Europe/Berlin"),
        )
        rows = computed(plan, {"t": (pa.timestamp("s", "Europe/Berlin"), [-3600, 3600])})
    assert rows == {"here": [23, 6], "there": [8, 10], "fixed": [22, 0]}
    assert fake["Asia/Tokyo"] == table_for("Asia/Tokyo")
    assert set(fake) == {"Europe/Berlin", "Asia/Tokyo"}
    assert table_for("Europe/Berlin") != fake["Europe/Berlin"]


@pytest.mark.parametrize("name", ["Europe/Berlin", "Asia/Gaza", "Africa/Freetown", "Asia/Kolkata"])
def test_a_bucket_holds_one_change_at_most(name: str) -> None:
    changes = table_for(name).changes
    buckets = [(change - changes[0]) // bucket_length(changes) for change in changes]
    assert len(set(buckets)) == len(changes)


SEARCHED = ("Europe/Berlin", "Africa/Casablanca", "Africa/Freetown", "Asia/Gaza", "Asia/Manila")


@pytest.mark.parametrize("name", SEARCHED)
@given(data=st.data())
def test_the_search_of_kernels_finds_the_offset_of_any_instant(
    name: str, data: st.DataObject
) -> None:
    unit = data.draw(st.sampled_from(list(UNITS)))
    table, per_second = table_for(name), UNITS[unit]
    near = st.builds(
        lambda change, cycle, tick: (change + cycle * CYCLE) * per_second + tick,
        st.sampled_from(table.changes) | st.just(HORIZON),
        st.integers(0, 3) | st.integers(0, 500),
        st.integers(-2, 2),
    )
    drawn = st.integers(SMALLEST, LARGEST) | st.sampled_from([SMALLEST, LARGEST]) | near
    ticks = [min(LARGEST, x) for x in data.draw(st.lists(drawn, min_size=1, max_size=60))]
    dtype = pa.timestamp(unit, name)
    columns = {part: getattr(col("t").dt, part)() for part in ("hour", "minute", "second")}
    found = computed(fitted(columns, t=dtype), {"t": (dtype, ticks)})
    for x, *clock in zip(ticks, *found.values(), strict=True):
        local = x // per_second + offset_of(table, x // per_second)
        assert clock == [local // 3600 % 24, local // 60 % 60, local % 60]
