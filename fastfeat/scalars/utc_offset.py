"""Finding the offset of a zone at an instant, in primitives: two loads and a comparison.

Time from the first change to the last is cut into equal buckets that hold one change at most, so
the bucket number is one multiplication, whatever the number of changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fastfeat.dtypes import PER_SECOND, Unit
from fastfeat.ir.node import Literal
from fastfeat.scalars import op
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import TableKey
from fastfeat.scalars.whole import to_integer
from fastfeat.scalars.zone_buckets import HEADER, NEVER, bucket_count
from fastfeat.scalars.zones import CYCLE, HORIZON, ZoneTable


@dataclass(frozen=True, slots=True)
class Offset:
    """The offset of a zone at an instant.

    Args:
        ticks: the offset east of UTC, a whole number in float64.
        change: the change of offset in the bucket of the instant, NEVER for none.
    """

    ticks: Op
    change: Op


def within_table(zone: ZoneTable, unit: Unit, x: Op) -> Op:
    """Return an instant within the table around which offsets are those around `x`.

    Args:
        zone: the table.
        unit: what instants count.
        x: any int64.
    """
    if not zone.repeats or unit == "ns":  # nanoseconds end in 2262
        return x
    cycle, first = CYCLE * PER_SECOND[unit], (HORIZON - CYCLE) * PER_SECOND[unit]
    n_cycles = op.floor((op.to_f64(x) - float(first)) * (1.0 / cycle))
    n_cycles = op.select(n_cycles > 0.0, n_cycles, 0.0)
    return x - to_integer(n_cycles) * cycle


def offset_at(zone: ZoneTable, unit: Unit, x: Op) -> Offset:
    """Return the offset at an instant within the table."""
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


@lru_cache(maxsize=256)
def _elements(zone: ZoneTable, unit: Unit) -> Literal:
    """Return the literal of a zone; kept, as interning looks at each of its thousand numbers."""
    return Literal((PER_SECOND[unit], zone.changes, zone.offsets))
