"""`ahead`: the rows after a row's own moment, for labels; features never see them."""

from __future__ import annotations

import datetime
import re
from typing import Any

from fastfeat.calls.arguments import explaining
from fastfeat.calls.recording import recording
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call
from fastfeat.ir.literals import python_value
from fastfeat.ir.node import Call
from fastfeat.ir.parameters import LONGEST
from fastfeat.operators.durations import Duration, resolve_duration, too_long
from fastfeat.operators.keys import Keys
from fastfeat.operators.lookup import By
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


@recording("ff.ahead", always=True)
@explaining
def ahead(
    next: Duration,  # what it is: the counterpart of last= of a window
    *,
    time: str | Expr,
    by: Keys | By | None = None,
    gap: Duration | None = None,
    tie: str | Expr | None = None,
    table: str | None = None,
    right_time: str | None = None,
    end: Moment | None = None,
) -> Window:
    """Return the window of the rows after a row's own moment, for a label from the future.

    A row at time t sees those of its entity in (t + gap, t + gap + next], in the order of time,
    then of `tie`, then as they come in; all rows of an instant are in it, or none. It stands in
    `Plan(label=...)` alone: `col("x").last(over=ff.ahead("30m", time="t"))` is the value in half an
    hour, `ff.count(over=ff.ahead("30d", time="t", by="user")) == 0` says who does not come back.

    A row has a label if what it looks ahead to is known by then: if t + gap + next is not after
    `end`. The label of any other row is missing, whatever is made of the window, and so is that of
    a row without a time or a key. `fit` learns nothing from rows whose label is missing, and says
    how many there are; windows of features see them.

    Beside such a label features see rows by its `time` alone, by that rounded down, or by that less
    a constant, so that no feature sees a row that the label sees: see `known_clocks` of `Plan`.

    Args:
        next: how far the window reaches: a text such as "30d", "90m" or "1h30m" (units as of
            `window`), a timedelta, or for whole-number times a whole number.
        time: the moment of a row: a column, or an expression, of timestamps, dates or whole
            numbers.
        by: the entity, as of `window`; with a table also a mapping from columns of the data, or
            expressions, to columns of the table.
        gap: how long after the row's own moment the window begins; None for at once.
        tie: what orders rows of one instant, as of `window`.
        table: the name of the table in `tables=` whose rows are in the window; None for the data,
            and what is passed as `history=`.
        right_time: the column of the table that says when; None for the name that `time` is.
        end: until when what happened is recorded, as `time` counts: a datetime, a date (its first
            moment) or a text of either, taken as UTC where they have no zone, or for whole-number
            times a whole number. None for the last time of the rows that the window sees at a call,
            of the data and its history or of the table; to be given where these are a part of what
            was recorded. Where `time` is rounded, the interval that this is in is not over: rows
            whose window reaches into it have no label.

    Raises:
        InvalidPlan: a duration of months or years, one below zero, a `next` of zero, or a mixture
            of durations and whole numbers.
        TypeMismatch: something else than a duration, or a moment.

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
        raise InvalidPlan(f"ahead({next!r}): a window that reaches nothing has no rows")
    if begins and unit_of_gap != unit:
        raise InvalidPlan(
            f"ahead({next!r}, gap={gap!r}): one is a duration and the other a whole number. Write "
            "both in the kind of the time"
        )
    if reach + (begins or 0) > LONGEST:
        raise InvalidPlan(f"ahead({next!r}, gap={gap!r}): reaches {too_long(unit)} in all")
    node = call(
        "ahead",
        resolve_order("ahead", time, by, tie, table, right_time),
        next=reach,
        gap=begins or 0,
        end=None if end is None else _end_given(end, unit),
        unit=unit,
    )
    assert isinstance(node.node, Call)
    return Window(node.node)


def _end_given(end: Any, unit: str) -> int:
    """Return the moment until which is recorded: nanoseconds since 1970, or a whole number."""
    value, told = python_value(end), f"ahead(end={end!r})"
    if unit == "steps":
        if type(value) is not int or not -LONGEST <= value <= LONGEST:
            raise TypeMismatch(f"{told}: takes a whole number of int64, as next= is one")
        return value
    match value:
        case str():
            return _nanoseconds_of(told, value)
        case datetime.datetime():
            return _since_epoch(value)
        case datetime.date():
            return _since_epoch(datetime.datetime.combine(value, datetime.time()))
        case _:
            raise TypeMismatch(
                f"{told}: takes a moment, as next= is a duration: a datetime, a date, or a text "
                "such as '2024-05-01' or '2024-05-01T12:00:00Z'"
            )


def _since_epoch(moment: datetime.datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1000


def _nanoseconds_of(told: str, text: str) -> int:
    """Return the moment that a text is, in nanoseconds since 1970."""
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        day, clock, fraction, zone = found.groups()
        moment = datetime.datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone or ''}")
    except ValueError:
        raise InvalidPlan(
            f"{told}: is no moment. Write '2024-05-01', '2024-05-01T12:00:00' in UTC, or "
            "'2024-05-01T12:00:00+02:00'"
        ) from None
    return _since_epoch(moment) + int((fraction or "0").ljust(9, "0"))
