"""`.dt.replace_time_zone`: timestamps of another zone that show the same local time.

A local time becomes an instant by subtracting an offset of the new zone. Two offsets are tried:
those 16 hours before and after the local time. At most one change of the zone lies in between. If
the zone has the tried offset at the resulting instant, the instant is right. There are three cases:

- one instant is right, or both are the same instant: the usual case;
- two different instants are right: the clocks are set back, and show the local time twice;
- no instant is right: the clocks are set forward, and skip the local time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat.ir import dtypes
from fastfeat.ir.dtypes import NULL, DType, TimeUnit
from fastfeat.ir.parameters import FreeText, Parameter, TextChoice
from fastfeat.scalars import op, zone_files
from fastfeat.scalars.calendar import require_kind
from fastfeat.scalars.integers import add_overflows
from fastfeat.scalars.integral_floats import to_integer
from fastfeat.scalars.local_time import offset_at, offsets_around, within_table, zone_of
from fastfeat.scalars.op import Op
from fastfeat.scalars.temporal import unit_of
from fastfeat.scalars.value import (
    TIME_AMBIGUOUS,
    TIME_OUT_OF_RANGE,
    TIME_SKIPPED,
    ScalarFunction,
    Value,
    raise_status,
)

if TYPE_CHECKING:
    from fastfeat.scalars.zone_files import ZoneTable

NEW_ZONE = Parameter(
    "zone",
    FreeText(may_be_empty=False),
    "Time zone of the local time; None gives timestamps without a zone",
    or_none=True,
)
AMBIGUOUS = Parameter(
    "ambiguous",
    TextChoice(("raise", "earliest", "latest", "null")),
    "Instant of a local time that occurs twice; `null` makes it missing, `raise` is an error",
    "raise",
    hidden=True,
)
NON_EXISTENT = Parameter(
    "non_existent",
    TextChoice(("raise", "null")),
    "Result for a local time that the clocks skip; `null` makes it missing, `raise` is an error",
    "raise",
    hidden=True,
)


@dataclass(frozen=True, slots=True)
class Instants:
    """The instants at which clocks show a local time: equal if there is only one."""

    earliest: Value
    latest: Value
    is_skipped: Op


def _result_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    (dtype,) = types
    require_kind(dtype, ("timestamp",), "a timestamp")
    zone_of(dtype, params["zone"])  # raises if the zone does not exist
    return NULL if dtype == NULL else dtypes.timestamp(unit_of(dtype), params["zone"])


def _replace(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    if value.dtype == NULL:
        return value
    unit = unit_of(value.dtype)
    own, wanted = zone_of(value.dtype, None), zone_of(dtypes.timestamp(unit), params["zone"])
    local = _shift_ticks(value, offset_at(own, unit, within_table(own, unit, value.op)).ticks)
    found = _instants(wanted, unit, local)
    made = found.latest if params["ambiguous"] == "latest" else found.earliest
    made = replace(made, dtype=dtypes.timestamp(unit, params["zone"]))
    if params["ambiguous"] in ("raise", "null"):
        is_twice = found.earliest.op.ne(found.latest.op)
        made = _handle_condition(made, is_twice, params["ambiguous"], TIME_AMBIGUOUS)
    return _handle_condition(made, found.is_skipped, params["non_existent"], TIME_SKIPPED)


def _instants(zone: ZoneTable, unit: TimeUnit, local: Value) -> Instants:
    """Return the instants at which a zone's clocks show a local time.

    `local` is the local time as if it were UTC.
    """
    same = within_table(zone, unit, local.op)
    old, new = offsets_around(zone, unit, same, zone_files.LARGEST_OFFSET)
    is_first = offset_at(zone, unit, same - to_integer(old)).ticks.eq(old)
    is_second = offset_at(zone, unit, same - to_integer(new)).ticks.eq(new)
    return Instants(
        earliest=_shift_ticks(local, -op.select(is_first, old, new)),
        latest=_shift_ticks(local, -op.select(is_second | ~is_first, new, old)),
        is_skipped=~(is_first | is_second),
    )


def _shift_ticks(value: Value, ticks: Op) -> Value:
    """Return a time moved by a whole number of ticks in float64; overflow sets an error status."""
    by = to_integer(ticks)
    total = value.op + by
    beyond = add_overflows(value.op, by, total)
    return raise_status(replace(value, op=total), beyond, TIME_OUT_OF_RANGE)


def _handle_condition(value: Value, condition: Op, word: str, status: int) -> Value:
    """Return the value, made missing or an error if the condition holds.

    It is made missing if `word` is "null"; otherwise the error bit `status` is set.
    """
    if word == "null":
        return replace(value, ok=value.ok & ~condition)
    return raise_status(value, condition, status)


FUNCTIONS: dict[str, ScalarFunction] = {
    "dt.replace_time_zone": ScalarFunction(
        _result_type, _replace, parameters=(NEW_ZONE, AMBIGUOUS, NON_EXISTENT)
    )
}
