"""Local time: an instant as a day number and the ticks since midnight, in a time zone.

A change is an instant at which the zone's offset from UTC changes; a `ZoneTable` lists them. The
offset at an instant is found with primitive operations: two loads and a comparison. For this, the
time from the first change to the last is cut into equal buckets with at most one change each, so
the bucket number is one multiplication, whatever the number of changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.ir.dtypes import PER_SECOND, DType, TimeUnit
from fastfeat.ir.node import Literal
from fastfeat.scalars import op
from fastfeat.scalars.integers import INT64_MIN
from fastfeat.scalars.integral_floats import floor_parts, from_small, nearest_parts, to_integer
from fastfeat.scalars.op import Op
from fastfeat.scalars.temporal import INT64_MAX, ticks_per_day, unit_of
from fastfeat.scalars.value import TableKey
from fastfeat.scalars.zone_files import CYCLE, HORIZON, ZoneTable
from fastfeat.scalars.zones import table_for

HEADER = 3
"""Number of floats before the offsets: slope and intercept of the bucket number, last bucket."""
NEVER = (1 << 63) - 1
"""Stands for the change in a bucket that has none: the latest instant, in ticks."""


@lru_cache(maxsize=256)
def bucket_length(changes: tuple[int, ...]) -> int:
    """Return the length of a zone's buckets in seconds, such that no bucket has two changes."""
    return min((b - a for a, b in pairwise(changes)), default=HORIZON)


def bucket_count(changes: tuple[int, ...]) -> int:
    """Return the number of buckets from the first change to the last."""
    return (changes[-1] - changes[0]) // bucket_length(changes) + 1


def bucket_changes(
    elements: tuple[int, tuple[int, ...], tuple[int, ...]], length: int
) -> list[int]:
    """Return the instant of the change in each bucket, in ticks; NEVER for a bucket without one.

    `elements` is (ticks per second, changes, offsets), the latter two in seconds; `length` is the
    number of buckets.
    """
    per_second, changes, _ = elements
    n_seconds = bucket_length(changes)
    words = [NEVER] * length
    for change in changes:
        words[(change - changes[0]) // n_seconds] = min(change * per_second, NEVER)
    return words


def bucket_offsets(
    elements: tuple[int, tuple[int, ...], tuple[int, ...]], length: int
) -> list[float]:
    """Return the header, then the offset in ticks at the start of each bucket and at the end.

    `HEADER` says what the header is; `elements` is as in `bucket_changes`, and `length` is the
    number of floats to return. Buckets begin half a second before a whole second. An instant
    rounded to the wrong side of such a boundary in float64 is then still far from any change.
    """
    per_second, changes, offsets = elements
    n_seconds = bucket_length(changes)
    n_buckets = length - HEADER - 1
    n_passed = [0] * (n_buckets + 1)
    for change in changes:
        n_passed[(change - changes[0]) // n_seconds + 1] += 1
    start = (changes[0] - 0.5) / n_seconds
    words = [1.0 / (n_seconds * per_second), -start - 0.5, float(n_buckets - 1)]
    passed = 0
    for n_more in n_passed:
        passed += n_more
        words.append(float(offsets[passed] * per_second))
    return words


LAYOUTS: Mapping[str, Any] = {"zone_changes": bucket_changes, "zone_offsets": bucket_offsets}


@dataclass(frozen=True, slots=True)
class Offset:
    """The offset of a zone at an instant.

    Args:
        ticks: The offset east of UTC, a whole number in float64.
        change: The instant of the offset's change in the same bucket, in ticks; NEVER if none.
    """

    ticks: Op
    change: Op


def within_table(zone: ZoneTable, unit: TimeUnit, x: Op) -> Op:
    """Return an instant that the table covers, with the same offsets around it as around `x`.

    Offsets repeat every 400 years, so whole cycles are taken off an instant beyond the table. `x`
    is any int64.
    """
    if not zone.repeats or unit == "ns":  # nanoseconds end in 2262
        return x
    cycle, first = CYCLE * PER_SECOND[unit], (HORIZON - CYCLE) * PER_SECOND[unit]
    n_cycles = op.floor((op.to_f64(x) - float(first)) * (1.0 / cycle))
    n_cycles = op.select(n_cycles > 0.0, n_cycles, 0.0)
    return x - to_integer(n_cycles) * cycle


def offset_at(zone: ZoneTable, unit: TimeUnit, x: Op) -> Offset:
    """Return the zone's offset at an instant that the table covers."""
    if not zone.changes:
        ticks = op.literal(zone.offsets[0] * PER_SECOND[unit], "f64")
        return Offset(ticks, op.literal(NEVER, "i64"))
    n_buckets = bucket_count(zone.changes)
    elements = _elements(zone, unit)
    changes = op.table(TableKey(elements, "zone_changes", n_buckets))
    offsets = op.table(TableKey(elements, "zone_offsets", HEADER + n_buckets + 1))
    slope, intercept, last = (op.load_f64(offsets, k) for k in range(HEADER))
    number = op.fma(op.to_f64(x), slope, intercept)
    number = op.select(number > 0.0, number, 0.0)
    bucket = to_integer(op.select(number < last, number, last))
    change = op.load_i64(changes, bucket)
    passed = op.from_bool(x >= change)
    return Offset(op.load_f64(offsets, bucket + passed + HEADER), change)


def offsets_around(zone: ZoneTable, unit: TimeUnit, x: Op, seconds: int) -> tuple[Op, Op]:
    """Return the offsets, in ticks, `seconds` before and `seconds` after an instant in the table.

    Changes of a zone are more than 64 hours apart: within 32 hours of `x` there is at most one.
    """
    window = seconds * PER_SECOND[unit]
    early = op.select(x > INT64_MIN + window, x, INT64_MIN + window) - window
    late = op.select(x < INT64_MAX - window, x, INT64_MAX - window) + window
    return offset_at(zone, unit, early).ticks, offset_at(zone, unit, late).ticks


@lru_cache(maxsize=256)
def _elements(zone: ZoneTable, unit: TimeUnit) -> Literal:
    """Return the literal node that holds a zone's table.

    Cached, because interning a node reads each of its thousand numbers.
    """
    return Literal((PER_SECOND[unit], zone.changes, zone.offsets))


UTC = ZoneTable((), (0,))


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A day number, ticks since its midnight, and the zone's offset: whole numbers in float64."""

    days: Op
    ticks: Op
    offset: Op


def zone_of(dtype: DType, tz: str | None) -> ZoneTable:
    """Return the zone in which parts of a type are taken: `tz`, else the column's, else UTC."""
    name = tz or dtype.tz
    return UTC if name is None else table_for(name)


def local_time(x: Op, dtype: DType, zone: ZoneTable) -> LocalTime:
    """Return the local time of a date, time or timestamp; dates and times ignore the zone."""
    zero = op.literal(0, "f64")
    if dtype.name == "date32":
        return LocalTime(from_small(x), zero, zero)
    if dtype.name == "time":
        return LocalTime(zero, from_small(x), zero)
    per_day = ticks_per_day(dtype)
    days, rest = nearest_parts(x, per_day)
    ticks = from_small(rest)
    offset = zero
    if dtype.name == "timestamp" and zone != UTC:
        unit = unit_of(dtype)
        offset = offset_at(zone, unit, within_table(zone, unit, x)).ticks
        ticks = ticks + offset
    carried, ticks = floor_parts(ticks, per_day)
    return LocalTime(from_small(days) + carried, ticks, offset)
