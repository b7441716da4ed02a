"""Local time: an instant as a day number and the ticks since midnight, in the zone of a column."""

from __future__ import annotations

from dataclasses import dataclass

from fastfeat.dtypes import DType
from fastfeat.scalars import op
from fastfeat.scalars.op import Op
from fastfeat.scalars.ticks import ticks_per_day, unit_of
from fastfeat.scalars.utc_offset import offset_at, within_table
from fastfeat.scalars.whole import floor_parts, from_small, nearest_parts
from fastfeat.scalars.zones import ZoneTable, table_for

UTC = ZoneTable((), (0,))


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A day number, the ticks since its midnight, and the offset: whole numbers in float64."""

    days: Op
    ticks: Op
    offset: Op


def zone_of(dtype: DType, tz: str | None) -> ZoneTable:
    """Return the zone in which parts of a type are taken: a naive timestamp is UTC."""
    name = tz or dtype.tz
    return UTC if name is None else table_for(name)


def local_time(x: Op, dtype: DType, zone: ZoneTable) -> LocalTime:
    """Return the local time of a value.

    Args:
        x: ticks of a date, time or timestamp.
        dtype: what they count.
        zone: where; dates and times have none.
    """
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
