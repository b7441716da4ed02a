"""Real-world data faults, planted in flights: eleven, each by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fastfeat.io.arrow import Table, call, cast, pa


@dataclass(frozen=True, slots=True)
class Fault:
    """A data fault.

    Args:
        name: Its name.
        told: Description of the fault.
        plant: Function that returns flights with the fault.
        found_by: Rule of the inferred contract that it breaks; None if only the profile can detect
            it.
    """

    name: str
    told: str
    plant: Callable[[Table], Table]
    found_by: str | None


def _replaced(flights: Table, column: str, values: Any) -> Table:
    return flights.set_column(flights.schema.get_field_index(column), column, values)


def _some(flights: Table, column: str, share: float, value: Any) -> Table:
    """Return flights with another value in a column for a share of the rows."""
    is_chosen = pa.array(np.random.default_rng(0).random(flights.num_rows) < share)
    scalar = pa.scalar(value, flights[column].type)
    return _replaced(flights, column, call("if_else", is_chosen, scalar, flights[column]))


def _seconds(flights: Table) -> Table:
    return _replaced(flights, "dep_delay", call("multiply", flights["dep_delay"], 60))


def _in_kilometres(flights: Table) -> Table:
    kilometres = call("round", call("multiply", flights["distance"], 1.609))
    return _replaced(flights, "distance", cast(kilometres, pa.int64()))


def _as_text(flights: Table) -> Table:
    return _replaced(flights, "distance", cast(flights["distance"], pa.string()))


def _in_lower_case(flights: Table) -> Table:
    return _replaced(flights, "dest", call("utf8_lower", flights["dest"]))


def _hours_off(flights: Table) -> Table:
    times = flights["time_hour"]
    by = pa.scalar(timedelta(hours=5), pa.duration(times.type.unit))
    return _replaced(flights, "time_hour", call("add", times, by))


KEY = ("time_hour", "carrier", "flight", "origin")
"""Columns that identify a flight."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FAULTS = (
    Fault("seconds", "delays in seconds, not minutes", _seconds, "dep_delay: range"),
    Fault(
        "nulls",
        "10 % of the tail numbers are lost",
        lambda flights: _some(flights, "tailnum", 0.1, None),
        "tailnum: missing",
    ),
    Fault(
        "new carrier",
        "2 % fly with a carrier that nobody knows",
        lambda flights: _some(flights, "carrier", 0.02, "ZZ"),
        "carrier: values",
    ),
    Fault(
        "lost column",
        "the distance is not there",
        lambda flights: flights.drop_columns(["distance"]),
        "distance: int64",
    ),
    Fault("text", "distances come as text", _as_text, "distance: int64"),
    Fault(
        "sentinel",
        "0.1 % of the distances are -999",
        lambda flights: _some(flights, "distance", 0.001, -999),
        "distance: range",
    ),
    Fault(
        "1970",
        "0.1 % of the times are 0",
        lambda flights: _some(flights, "time_hour", 0.001, _EPOCH),
        "time_hour: since",
    ),
    Fault("lower case", "destinations in lower case", _in_lower_case, "dest: values"),
    Fault("kilometres", "distances in kilometres, not miles", _in_kilometres, "distance: range"),
    Fault(
        "twice",
        "every flight is there twice",
        lambda flights: pa.concat_tables([flights, flights]),
        f"{', '.join(KEY)}: unique",
    ),
    Fault("time zone", "times are five hours off", _hours_off, None),
)
