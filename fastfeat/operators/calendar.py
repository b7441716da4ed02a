"""The `.dt` namespace: parts of dates and times, truncation, epochs and totals of durations.

Parts are taken in the time zone of the column, or in `tz=`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fastfeat.calls.arguments import explaining_methods
from fastfeat.calls.recording import Recipe, recording_methods
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call
from fastfeat.operators.operator import checked
from fastfeat.scalars.calendar import EPOCH_UNITS, NAIVE
from fastfeat.scalars.truncation import interval_of
from fastfeat.scalars.zone_replacement import AMBIGUOUS, NON_EXISTENT

Naive = Literal["UTC"]
Ambiguous = Literal["raise", "earliest", "latest", "null"]
NonExistent = Literal["raise", "null"]


@recording_methods("dt")
@explaining_methods(lambda of: f"{of.expr!r}.dt.")
@dataclass(frozen=True, slots=True)
class DatetimeParts:
    """The parts of a date, time, timestamp or duration: `col("t").dt`.

    Every method takes missing to missing. Those with `tz=` take the part in that zone, a name of
    the tz database or an offset such as "+02:00", instead of the column's own; only timestamps have
    one.

    A timestamp without a zone (a naive one) is refused beside `tz=`, since it can be meant in two
    ways. If its values are local times of the zone, write
    `.dt.replace_time_zone("Europe/Berlin").dt.hour()`; if they are UTC,
    `.dt.hour(tz="Europe/Berlin", naive="UTC")`. Without `tz=` its parts are read off as they stand.

    Example:
        >>> from fastfeat import col
        >>> col("t").dt.hour(tz="Europe/Berlin")
        col('t').dt.hour(tz='Europe/Berlin')
    """

    expr: Expr
    recipe: Recipe | None = field(default=None, compare=False, repr=False)

    def year(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the year of a date or timestamp, int32."""
        return _part("year", self.expr, tz, naive)

    def quarter(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the quarter of a date or timestamp, 1 to 4."""
        return _part("quarter", self.expr, tz, naive)

    def month(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the month of a date or timestamp, 1 to 12."""
        return _part("month", self.expr, tz, naive)

    def week(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the week of ISO 8601 of a date or timestamp, 1 to 53: it begins on Monday.

        The first days of January can belong to week 52 or 53, the last of December to week 1.
        """
        return _part("week", self.expr, tz, naive)

    def weekday(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the weekday of a date or timestamp: Monday 1 to Sunday 7."""
        return _part("weekday", self.expr, tz, naive)

    def day(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the day of the month of a date or timestamp, 1 to 31."""
        return _part("day", self.expr, tz, naive)

    def ordinal_day(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the day of the year of a date or timestamp, 1 to 366."""
        return _part("ordinal_day", self.expr, tz, naive)

    def hour(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the hour of a time or timestamp, 0 to 23."""
        return _part("hour", self.expr, tz, naive)

    def minute(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the minute of a time or timestamp, 0 to 59."""
        return _part("minute", self.expr, tz, naive)

    def second(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the second of a time or timestamp, 0 to 59."""
        return _part("second", self.expr, tz, naive)

    def millisecond(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the milliseconds since the second of a time or timestamp, 0 to 999."""
        return _part("millisecond", self.expr, tz, naive)

    def microsecond(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the microseconds since the second of a time or timestamp, 0 to 999,999."""
        return _part("microsecond", self.expr, tz, naive)

    def nanosecond(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the nanoseconds since the second of a time or timestamp, 0 to 999,999,999."""
        return _part("nanosecond", self.expr, tz, naive)

    def is_leap_year(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return whether the year of a date or timestamp has 366 days."""
        return _part("is_leap_year", self.expr, tz, naive)

    def is_weekend(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return whether a date or timestamp is a Saturday or Sunday."""
        return _part("is_weekend", self.expr, tz, naive)

    def is_month_start(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return whether a date or timestamp lies on the first day of a month."""
        return _part("is_month_start", self.expr, tz, naive)

    def is_month_end(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return whether a date or timestamp lies on the last day of a month."""
        return _part("is_month_end", self.expr, tz, naive)

    def is_quarter_end(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return whether a date or timestamp lies on the last day of a quarter."""
        return _part("is_quarter_end", self.expr, tz, naive)

    def days_in_month(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the number of days in the month of a date or timestamp, 28 to 31."""
        return _part("days_in_month", self.expr, tz, naive)

    def date(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the date of a timestamp or date, date32."""
        return _part("date", self.expr, tz, naive)

    def truncate(self, every: str, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the start of the interval that a date or timestamp falls into, of the same type.

        Intervals are those of the local time: they count from 1970-01-01, weeks from Monday,
        1970-01-05. Where the clocks go back, a start that occurs twice is the one with the offset
        of the value itself, or else the first; where they go forward, a start that is skipped is
        the first instant after the gap. (Polars moves it by the length of the gap instead, or
        raises.)

        Args:
            every: numbers with units, "15m", "1h30m", "1d", "2w", "1mo", "1q", "1y": ns us ms s m
                h, or d, or w, or mo q y. Days and longer follow the calendar. Dates take days and
                longer.
            tz: the zone of the local time.

        Raises:
            TypeMismatch: an interval that cannot be read, or is finer than the type counts.
        """
        if not isinstance(every, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
            raise TypeMismatch(
                f"truncate(every={every!r}): takes a text of a number and a unit, such as '15m', "
                "'1d' or '1mo'"
            )
        interval_of(every)  # raises for a text that is none
        return _part("truncate", self.expr, tz, naive, every=every)

    def replace_time_zone(
        self,
        zone: str | None,
        *,
        ambiguous: Ambiguous = "raise",
        non_existent: NonExistent = "raise",
    ) -> Expr:
        """Return the instants at which the clocks of a zone show these local times.

        The local time of a timestamp stays and its instant changes: 08:00 becomes 08:00 of the
        zone. A timestamp without a zone is a local time itself. To keep the instant, and only take
        its parts in another zone, write `.dt.hour(tz=...)`.

        Where daylight saving ends, clocks show an hour twice; where it begins, they skip one.

        Args:
            zone: the name of the zone, or an offset such as "+02:00"; None for a timestamp without
                a zone.
            ambiguous: the instant of a local time that comes twice: "earliest", "latest", "null"
                for missing, or "raise" for an error.
            non_existent: "null" makes a local time that the clocks skip missing, "raise" is an
                error.

        Raises:
            TypeMismatch: at fit: not a timestamp, or there is no such zone.
            InvalidPlan: another word for `ambiguous` or `non_existent`.
            InvalidData: at transform: a local time that comes twice or is skipped, where "raise".
            Overflow: at transform: the instant is beyond what the type holds.

        Source:
            Polars' dt.replace_time_zone.

        Example:
            >>> import numpy as np
            >>> import fastfeat as ff
            >>> from fastfeat import col
            >>> instant = col("t").dt.replace_time_zone("Europe/Berlin")
            >>> times = {"t": np.array(["2024-07-01T08:00"], "M8[us]")}
            >>> fitted = ff.Plan({"s": instant.dt.epoch("s")}).fit(times)
            >>> fitted.transform(times, backend="reference")["s"].to_pylist()
            [1719813600]
        """
        if zone is not None:
            _zone(f"replace_time_zone({zone!r})", zone)
        words = checked(
            "replace_time_zone",
            (AMBIGUOUS, NON_EXISTENT),
            ambiguous=ambiguous,
            non_existent=non_existent,
        )
        return call("dt.replace_time_zone", self.expr, zone=zone, **words)

    def epoch(self, unit: str = "us") -> Expr:
        """Return the time since 1970-01-01T00:00 UTC of a date or timestamp, rounded down, int64.

        Args:
            unit: "s", "ms", "us", "ns", or "d" for days of 24 hours.
        """
        is_text = isinstance(unit, str)  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        if not is_text or unit not in EPOCH_UNITS:
            listed = ", ".join(repr(known) for known in EPOCH_UNITS)
            raise TypeMismatch(f"epoch({unit!r}): there is no such unit. Take one of {listed}")
        return call("dt.epoch", self.expr, unit=unit)

    def total_days(self) -> Expr:
        """Return the whole days of 24 hours in a duration, rounded towards zero, int64."""
        return call("dt.total_days", self.expr)

    def total_hours(self) -> Expr:
        """Return the whole hours in a duration, rounded towards zero, int64."""
        return call("dt.total_hours", self.expr)

    def total_minutes(self) -> Expr:
        """Return the whole minutes in a duration, rounded towards zero, int64."""
        return call("dt.total_minutes", self.expr)

    def total_seconds(self) -> Expr:
        """Return the whole seconds in a duration, rounded towards zero, int64."""
        return call("dt.total_seconds", self.expr)

    def total_milliseconds(self) -> Expr:
        """Return the whole milliseconds in a duration, rounded towards zero, int64."""
        return call("dt.total_milliseconds", self.expr)

    def total_microseconds(self) -> Expr:
        """Return the whole microseconds in a duration, rounded towards zero, int64."""
        return call("dt.total_microseconds", self.expr)

    def total_nanoseconds(self) -> Expr:
        """Return the nanoseconds in a duration, int64; beyond 292 years that is an overflow."""
        return call("dt.total_nanoseconds", self.expr)


def _part(name: str, expr: Expr, tz: object, naive: object, **params: str) -> Expr:
    """Return the call of a part; without `tz=` it has no such parameter, so nodes are equal.

    Raises:
        TypeMismatch: `tz` is not a text, or an empty one.
        InvalidPlan: `naive` is another word than "UTC", or stands without `tz`.
    """
    if isinstance(naive, str) and naive != "UTC":
        raise InvalidPlan(
            f"{name}(naive={naive!r}): takes 'UTC'. For local times write "
            f".dt.replace_time_zone({tz or 'Europe/Berlin'!r}).dt.{name}()"
        )
    said = checked(name, (NAIVE,), naive=naive)
    if tz is None:
        if said:
            raise InvalidPlan(
                f"{name}(naive={naive!r}): lacks tz=. Without it, a timestamp that has no zone is "
                "taken as it stands"
            )
        return call(f"dt.{name}", expr, **params)
    return call(f"dt.{name}", expr, tz=_zone(f"{name}(tz={tz!r})", tz), **said, **params)


def _zone(call: str, zone: object) -> str:
    """Return the name of a zone that is given in a call.

    Raises:
        TypeMismatch: it is not a text, or an empty one.
    """
    if not isinstance(zone, str) or not zone:
        raise TypeMismatch(
            f"{call}: takes the name of a time zone or an offset, such as 'Europe/Berlin' or "
            "'+02:00'"
        )
    return zone


@property
def dt(expr: Expr) -> DatetimeParts:
    """The parts of a date, time, timestamp or duration: `col("t").dt.hour()`."""
    return DatetimeParts(expr)
