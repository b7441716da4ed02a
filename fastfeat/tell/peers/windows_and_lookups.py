"""Windows and table lookups of a plan, as pandas or Polars code needs them.

A site is a call to write, with the code of its arguments. A tick is one unit of a time column: a
day, or a nanosecond, for example.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fastfeat.io.columns.types import tick_ns
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call, TableColumn
from fastfeat.tell.peers.code_writer import CallSite, CodePiece, NotSupported


class ExportWindow(NamedTuple):
    """The earlier rows of the same entity that a function over a window reads for a row.

    Columns are given by their indices in the site's arguments.

    Args:
        values: Column that the function reads; None for a count of rows.
        time: Column of the times.
        keys: Columns of the entity key.
        last: Length of the window in ticks of the time; None for all of the past.
        offset: Gap between the end of the window and the row, in ticks.
        rows: Largest number of rows; None for no limit.
        closed: Ends of the window that belong to it: "left", "right", "both" or "neither".
        min_samples: Least number of values for a result; with fewer it is missing.
    """

    values: int | None
    time: int
    keys: tuple[int, ...]
    last: int | None
    offset: int
    rows: int | None
    closed: str
    min_samples: int


def window_of(site: CallSite) -> ExportWindow:
    """Return the window of a function over earlier rows.

    Raises:
        Unwritable: The window is over a table, looks ahead, orders rows of one time by `tie=`, or
            the function reads several columns.
    """
    call = site.node.args[-1]
    if not isinstance(call, Call) or call.function != "window":
        raise NotSupported("windows over later rows are not supported")
    (order,) = call.args
    if not isinstance(order, Call) or order.function != "order":
        raise NotSupported("windows over a lookup table are not supported")
    given = dict(order.params)
    if given["has_tie"]:
        raise NotSupported("windows with tie= are not supported")
    params: dict[str, Any] = dict(call.params)
    n_values = len(site.node.args) - 1
    if n_values > 1:
        raise NotSupported("window functions of several columns are not supported")
    time = site.args[n_values].dtype
    return ExportWindow(
        0 if n_values else None,
        n_values,
        tuple(range(n_values + 1, len(site.args))),
        None if params["last"] is None else ticks_of(params["last"], time),
        ticks_of(params["offset"], time),
        params["rows"],
        params["closed"],
        params["min_samples"],
    )


def ticks_of(reach: int, time: DType) -> int:
    """Return a duration in nanoseconds as ticks of a time type; a number of steps is unchanged.

    Raises:
        Unwritable: The duration is not a whole number of ticks.
    """
    if not time.is_temporal:
        return reach
    tick = 10**9 if time.name == "date32" else tick_ns(time)
    if reach % tick:
        raise NotSupported(f"a duration that is not in whole steps of {time} is not supported")
    return reach // tick


class ExportLookup(NamedTuple):
    """A lookup in a table: by equal keys, or the latest row before a time (as-of join).

    Args:
        table: Name of the table.
        keys: Columns of the table to compare, in the order of the site's arguments.
        value: Column of the table to return.
        types: Types of all columns read from the table, by name.
        params: Parameters of an as-of join; None for a lookup by key.
    """

    table: str
    keys: tuple[str, ...]
    value: str
    types: dict[str, DType]
    params: dict[str, Any] | None


def lookup_of(site: CallSite) -> ExportLookup:
    """Return the table lookup of a call of "lookup_value"."""
    row, value = site.node.args
    assert isinstance(row, Call)
    assert isinstance(value, TableColumn)
    columns = [c for c in row.args[len(row.args) // 2 :] if isinstance(c, TableColumn)]
    types = {c.name: site.scribe.types[c] for c in (*columns, value)}
    params = dict(row.params) if row.function == "asof_row" else None
    return ExportLookup(value.table, tuple(c.name for c in columns), value.name, types, params)


def age_and_delay(params: Mapping[str, Any], time: DType) -> tuple[int | None, int]:
    """Return the greatest age of a table row in an as-of join (None: any), and its delay, in ticks.

    The delay is the time after which a table row is known. A plan counts the age from the row's own
    time, pandas and Polars code from the time when it is known.

    Raises:
        Unwritable: The delay exceeds the tolerance.
    """
    delay = ticks_of(params["delay"], time)
    if params["tolerance"] is None:
        return None, delay
    age = ticks_of(params["tolerance"], time) - delay
    if age < 0:
        raise NotSupported("an as-of join with delay > tolerance is not supported")
    return age, delay


def is_number(piece: CodePiece) -> bool:
    """Return whether an expression gives floats, integers or bools."""
    return piece.kind in "fib"
