"""`ahead`: windows over rows in the future of a row, for labels only; features never see them."""

from __future__ import annotations

import datetime
import re
from typing import Any

from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call
from fastfeat.ir.literals import python_value
from fastfeat.ir.node import Call
from fastfeat.ir.parameters import LONGEST
from fastfeat.operators.durations import Duration, describe_limit, resolve_duration
from fastfeat.operators.keys import KeyColumns
from fastfeat.operators.lookup import LookupKeys
from fastfeat.operators.windows import (
    Window,
    resolve_order,
)

Moment = datetime.datetime | datetime.date | str | int

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?)?"
)


@with_argument_errors
def ahead(
    next: Duration,  # the counterpart of last= of a window
    *,
    time: str | Expr,
    by: KeyColumns | LookupKeys | None = None,
    gap: Duration | None = None,
    tie: str | Expr | None = None,
    table: str | None = None,
    right_time: str | None = None,
    end: Moment | None = None,
) -> Window:
    """Return a window over the rows that follow each row in time, for a label from the future.

    A row at time t sees the rows of its entity in (t + gap, t + gap + next], ordered by time, then
    by `tie`, then by position in the data. Rows with equal times are all in the window, or all
    outside. Such a window is allowed in `Plan(label=...)` only: `col("x").last(over=ff.ahead("30m",
    time="t"))` is the value in half an hour, and `ff.count(over=ff.ahead("30d", time="t",
    by="user")) == 0` tells which users do not come back.

    A row has a label if its future is fully recorded: if t + gap + next is not after `end`. The
    label of any other row is missing, whatever is computed from the window; so is the label of a
    row with a missing time or key. `fit` learns nothing from rows with a missing label and reports
    how many there are. Windows of features still see them.

    In a plan with such a label, the windows of features must use the same `time`, or that time
    rounded down or minus a constant. Otherwise a feature could see a row that the label sees. For
    exceptions see `known_clocks` of `Plan`.

    Args:
        next: How far the window reaches: a text such as "30d", "90m" or "1h30m" (units ns, us, ms,
            s, m, h, d of 24 hours, w), a timedelta, or a whole number if times are whole numbers.
        time: Time of each row: a column or expression of timestamps, dates or whole numbers.
        by: The entity: one or several keys, as names or expressions. None treats all rows as one
            entity. With a table also a mapping from columns of the data, or expressions, to columns
            of the table.
        gap: How long after the row's own time the window begins. None begins at once.
        tie: Order of rows with equal times: a column or expression of numbers or times; with a
            table, one of its columns.
        table: Name of the table in `tables=` that supplies the rows. None uses the data, and the
            rows passed as `history=`.
        right_time: The table's time column. None uses the name of `time`.
        end: Moment until which events are recorded, on the scale of `time`: a datetime, a date (its
            first moment) or a text of either, in UTC if it has no zone, or a whole number if times
            are whole numbers. None takes the last time of the rows that the window sees at a call:
            the data with its history, or the table. Give it if these rows are only a part of the
            record. If `time` is rounded, the interval that contains `end` is not over: rows whose
            window reaches into it have no label.

    Raises:
        InvalidPlan: A duration has months or years, or is negative; `next` is zero; or durations
            and whole numbers are mixed.
        TypeMismatch: An argument is not a duration, or not a moment.

    Example:
        >>> visits = ff.count(over=ff.ahead(10, time="t", by="user", end=60))
        >>> plan = ff.Plan({"hour": col("t") % 24}, label={"gone": visits == 0})
        >>> data = {"t": [0, 8, 30, 41], "user": ["a", "a", "a", "a"]}
        >>> fitted = plan.fit(data)
        >>> fitted.label(data).to_pylist()
        [False, True, True, True]
        >>> fitted.label({"t": [51, 55], "user": ["a", "a"]}).to_pylist()
        [None, None]
    """
    reach, unit = resolve_duration(f"ahead({next!r})", next)
    begins, unit_of_gap = resolve_duration(f"ahead(gap={gap!r})", gap)
    if not reach or unit is None:
        raise InvalidPlan(f"ahead({next!r}): takes a length above zero, such as '30d'")
    if begins and unit_of_gap != unit:
        raise InvalidPlan(
            f"ahead({next!r}, gap={gap!r}): one is a duration and the other a whole number. Write "
            "both as durations, or both as whole numbers if the time column holds integers"
        )
    if reach + (begins or 0) > LONGEST:
        raise InvalidPlan(
            f"ahead({next!r}, gap={gap!r}): next= and gap= together are {describe_limit(unit)}. "
            "Shorten one of them"
        )
    node = call(
        "ahead",
        resolve_order("ahead", time, by, tie, table, right_time),
        next=reach,
        gap=begins or 0,
        end=None if end is None else _resolve_end(end, unit),
        unit=unit,
    )
    assert isinstance(node.node, Call)
    return Window(node.node)


def _resolve_end(end: Any, unit: str) -> int:
    """Return the checked `end`: nanoseconds since 1970, or steps if `unit` is "steps"."""
    value, told = python_value(end), f"ahead(end={end!r})"
    if unit == "steps":
        if type(value) is not int or not -LONGEST <= value <= LONGEST:
            raise TypeMismatch(f"{told}: takes a whole number (int64), because next= is one")
        return value
    match value:
        case str():
            return _parse_time(told, value)
        case datetime.datetime():
            return _since_epoch(value)
        case datetime.date():
            return _since_epoch(datetime.datetime.combine(value, datetime.time()))
        case _:
            raise TypeMismatch(
                f"{told}: takes a date or time, because next= is a duration: a datetime, a date, "
                "or a text such as '2024-05-01' or '2024-05-01T12:00:00Z'"
            )


def _since_epoch(moment: datetime.datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1000


def _parse_time(told: str, text: str) -> int:
    """Return the date or time that a text spells out, in nanoseconds since 1970.

    `told` begins the error message.
    """
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        day, clock, fraction, zone = found.groups()
        moment = datetime.datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone or ''}")
    except ValueError:
        raise InvalidPlan(
            f"{told}: is not a date or time. Write '2024-05-01', '2024-05-01T12:00:00' in UTC, or "
            "'2024-05-01T12:00:00+02:00'"
        ) from None
    return _since_epoch(moment) + int((fraction or "0").ljust(9, "0"))
