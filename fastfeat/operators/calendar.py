"""The `.dt` namespace: parts of dates and times, truncation, epochs and totals of durations.

A part, such as the hour, is read in the time zone of the column, or in `tz=`.
"""

from __future__ import annotations

from typing import Literal

from fastfeat_kernels.records import dataclass

from fastfeat.calls.arguments import with_method_errors
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call
from fastfeat.operators.operator import check_parameters
from fastfeat.scalars.calendar import EPOCH_UNITS, NAIVE
from fastfeat.scalars.truncation import interval_of
from fastfeat.scalars.zone_replacement import AMBIGUOUS, NON_EXISTENT

Naive = Literal["UTC"]
Ambiguous = Literal["raise", "earliest", "latest", "null"]
NonExistent = Literal["raise", "null"]


@with_method_errors(lambda of: f"{of.expr!r}.dt.")
@dataclass(frozen=True, slots=True)
class DatetimeParts:
    """The parts of a date, time, timestamp or duration: `col("t").dt`.

    Missing values give missing results in every method. Methods with `tz=` take the part in that
    zone instead of the column's own: a name from the tz database, or an offset such as "+02:00".
    Only timestamps can have a zone.

    A timestamp without a zone (a naive one) is an error beside `tz=`, because it can mean two
    things. If its values are local times of the zone, write
    `.dt.replace_time_zone("Europe/Berlin").dt.hour()`. If they are UTC, write
    `.dt.hour(tz="Europe/Berlin", naive="UTC")`. Without `tz=` the parts are read directly from the
    values.

    Example:
        >>> from fastfeat import col
        >>> col("t").dt.hour(tz="Europe/Berlin")
        col('t').dt.hour(tz='Europe/Berlin')
    """

    expr: Expr

    def year(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the year of a date or timestamp, int32.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.year()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [2024]
        """
        return _part("year", self.expr, tz, naive)

    def quarter(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the quarter of a date or timestamp, 1 to 4.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.quarter()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [1]
        """
        return _part("quarter", self.expr, tz, naive)

    def month(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the month of a date or timestamp, 1 to 12.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.month()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [3]
        """
        return _part("month", self.expr, tz, naive)

    def week(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the ISO 8601 week of a date or timestamp, 1 to 53; weeks begin on Monday.

        The first days of January can belong to week 52 or 53, the last days of December to week 1.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.week()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [13]
        """
        return _part("week", self.expr, tz, naive)

    def weekday(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the weekday of a date or timestamp, from 1 for Monday to 7 for Sunday.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.weekday()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [7]
        """
        return _part("weekday", self.expr, tz, naive)

    def day(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the day of the month of a date or timestamp, 1 to 31.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.day()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [31]
        """
        return _part("day", self.expr, tz, naive)

    def ordinal_day(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the day of the year of a date or timestamp, 1 to 366.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.ordinal_day()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [91]
        """
        return _part("ordinal_day", self.expr, tz, naive)

    def hour(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the hour of a time or timestamp, 0 to 23.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.hour()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [23]
        """
        return _part("hour", self.expr, tz, naive)

    def minute(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the minute of a time or timestamp, 0 to 59.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.minute()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [30]
        """
        return _part("minute", self.expr, tz, naive)

    def second(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the second of a time or timestamp, 0 to 59.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.second()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [15]
        """
        return _part("second", self.expr, tz, naive)

    def millisecond(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the milliseconds within the second of a time or timestamp, 0 to 999.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.millisecond()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [0]
        """
        return _part("millisecond", self.expr, tz, naive)

    def microsecond(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the microseconds within the second of a time or timestamp, 0 to 999,999.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.microsecond()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [0]
        """
        return _part("microsecond", self.expr, tz, naive)

    def nanosecond(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the nanoseconds within the second of a time or timestamp, 0 to 999,999,999.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.nanosecond()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [0]
        """
        return _part("nanosecond", self.expr, tz, naive)

    def is_leap_year(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return whether the year of a date or timestamp has 366 days.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.is_leap_year()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [True]
        """
        return _part("is_leap_year", self.expr, tz, naive)

    def is_weekend(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return whether a date or timestamp is on a Saturday or Sunday.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.is_weekend()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [True]
        """
        return _part("is_weekend", self.expr, tz, naive)

    def is_month_start(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return whether a date or timestamp is on the first day of a month.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.is_month_start()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [False]
        """
        return _part("is_month_start", self.expr, tz, naive)

    def is_month_end(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return whether a date or timestamp is on the last day of a month.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.is_month_end()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [True]
        """
        return _part("is_month_end", self.expr, tz, naive)

    def is_quarter_end(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return whether a date or timestamp is on the last day of a quarter.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.is_quarter_end()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [True]
        """
        return _part("is_quarter_end", self.expr, tz, naive)

    def days_in_month(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the number of days in the month of a date or timestamp, 28 to 31.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.days_in_month()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [31]
        """
        return _part("days_in_month", self.expr, tz, naive)

    def date(self, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the date of a timestamp or date, date32.

        Args:
            tz: Time zone to read a timestamp in: a name such as "Europe/Berlin", or an offset such
                as "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.date().dt.epoch("d")})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [19813]
        """
        return _part("date", self.expr, tz, naive)

    def truncate(self, every: str, *, tz: str | None = None, naive: Naive | None = None) -> Expr:
        """Return the start of the interval that contains a date or timestamp; the type is kept.

        Intervals follow local time. They count from 1970-01-01, weeks from Monday, 1970-01-05. When
        clocks go back, a start can occur twice: the result is the one with the offset of the value
        itself, or else the first. When clocks go forward, a start can be skipped: the result is the
        first instant after the gap. (Polars moves it by the length of the gap instead, or raises.)

        Args:
            every: Length of the intervals: numbers with units, such as "15m", "1h30m", "1d", "2w",
                "1mo", "1q" or "1y". The units ns, us, ms, s, m and h can be combined, and so can
                mo, q and y; d and w stand alone. Days and longer units follow the calendar. Dates
                need days or longer.
            tz: Time zone of the local time: a name such as "Europe/Berlin", or an offset such as
                "+02:00". None uses the column's own zone.
            naive: "UTC" lets `tz` apply to timestamps without a zone, taken as UTC.

        Raises:
            TypeMismatch: `every` cannot be read, or is finer than the type's resolution.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.truncate("1d").dt.hour()})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [0]
        """
        if not isinstance(every, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
            raise TypeMismatch(
                f"truncate(every={every!r}): takes a text with a number and a unit, such as '15m', "
                "'1d' or '1mo'"
            )
        interval_of(every)  # raises for other texts
        return _part("truncate", self.expr, tz, naive, every=every)

    def replace_time_zone(
        self,
        zone: str | None,
        *,
        ambiguous: Ambiguous = "raise",
        non_existent: NonExistent = "raise",
    ) -> Expr:
        """Return the instants at which the clocks of a zone show these local times.

        The local time of a timestamp stays and its instant changes: 08:00 becomes 08:00 in the
        zone. A timestamp without a zone already is a local time. To keep the instant and only read
        its parts in another zone, write `.dt.hour(tz=...)`.

        When daylight saving ends, clocks show an hour twice; when it begins, they skip one.

        Args:
            zone: Name of the zone, or an offset such as "+02:00". None gives timestamps without a
                zone.
            ambiguous: Instant of a local time that occurs twice: "earliest", "latest", "null" for
                missing, or "raise" for an error.
            non_existent: "null" makes a local time that clocks skip missing; "raise" is an error.

        Raises:
            TypeMismatch: At fit, if the column is not a timestamp or the zone does not exist.
            InvalidPlan: `ambiguous` or `non_existent` has an unknown value.
            InvalidData: At transform, with "raise", if a local time occurs twice or is skipped.
            Overflow: At transform, if the instant is out of range of the type.

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
        words = check_parameters(
            "replace_time_zone",
            (AMBIGUOUS, NON_EXISTENT),
            ambiguous=ambiguous,
            non_existent=non_existent,
        )
        return call("dt.replace_time_zone", self.expr, zone=zone, **words)

    def epoch(self, unit: str = "us") -> Expr:
        """Return the time since 1970-01-01T00:00 UTC of a date or timestamp, rounded down, int64.

        Args:
            unit: Unit of the result: "s", "ms", "us", "ns", or "d" for days of 24 hours.

        Raises:
            TypeMismatch: The unit is unknown.

        Example:
            >>> from datetime import datetime
            >>> plan = ff.Plan({"x": col("t").dt.epoch("s")})
            >>> plan.fit_transform({"t": [datetime(2024, 3, 31, 23, 30, 15)]})[1]["x"].to_pylist()
            [1711927815]
        """
        is_text = isinstance(unit, str)  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        if not is_text or unit not in EPOCH_UNITS:
            listed = ", ".join(repr(known) for known in EPOCH_UNITS)
            raise TypeMismatch(f"epoch({unit!r}): unknown unit. Use one of {listed}")
        return call("dt.epoch", self.expr, unit=unit)

    def total_days(self) -> Expr:
        """Return the whole number of 24-hour days in a duration, rounded towards zero, int64.

        Example:
            >>> from datetime import timedelta
            >>> plan = ff.Plan({"x": col("t").dt.total_days()})
            >>> plan.fit_transform({"t": [timedelta(days=1, hours=2)]})[1]["x"].to_pylist()
            [1]
        """
        return call("dt.total_days", self.expr)

    def total_hours(self) -> Expr:
        """Return the number of whole hours in a duration, rounded towards zero, int64.

        Example:
            >>> from datetime import timedelta
            >>> plan = ff.Plan({"x": col("t").dt.total_hours()})
            >>> plan.fit_transform({"t": [timedelta(days=1, hours=2)]})[1]["x"].to_pylist()
            [26]
        """
        return call("dt.total_hours", self.expr)

    def total_minutes(self) -> Expr:
        """Return the number of whole minutes in a duration, rounded towards zero, int64.

        Example:
            >>> from datetime import timedelta
            >>> plan = ff.Plan({"x": col("t").dt.total_minutes()})
            >>> plan.fit_transform({"t": [timedelta(days=1, hours=2)]})[1]["x"].to_pylist()
            [1560]
        """
        return call("dt.total_minutes", self.expr)

    def total_seconds(self) -> Expr:
        """Return the number of whole seconds in a duration, rounded towards zero, int64.

        Example:
            >>> from datetime import timedelta
            >>> plan = ff.Plan({"x": col("t").dt.total_seconds()})
            >>> plan.fit_transform({"t": [timedelta(days=1, hours=2)]})[1]["x"].to_pylist()
            [93600]
        """
        return call("dt.total_seconds", self.expr)

    def total_milliseconds(self) -> Expr:
        """Return the number of whole milliseconds in a duration, rounded towards zero, int64.

        Example:
            >>> from datetime import timedelta
            >>> plan = ff.Plan({"x": col("t").dt.total_milliseconds()})
            >>> plan.fit_transform({"t": [timedelta(days=1, hours=2)]})[1]["x"].to_pylist()
            [93600000]
        """
        return call("dt.total_milliseconds", self.expr)

    def total_microseconds(self) -> Expr:
        """Return the number of whole microseconds in a duration, rounded towards zero, int64.

        Example:
            >>> from datetime import timedelta
            >>> plan = ff.Plan({"x": col("t").dt.total_microseconds()})
            >>> plan.fit_transform({"t": [timedelta(days=1, hours=2)]})[1]["x"].to_pylist()
            [93600000000]
        """
        return call("dt.total_microseconds", self.expr)

    def total_nanoseconds(self) -> Expr:
        """Return the number of nanoseconds in a duration, int64; beyond 292 years it overflows.

        Example:
            >>> from datetime import timedelta
            >>> plan = ff.Plan({"x": col("t").dt.total_nanoseconds()})
            >>> plan.fit_transform({"t": [timedelta(days=1, hours=2)]})[1]["x"].to_pylist()
            [93600000000000]
        """
        return call("dt.total_nanoseconds", self.expr)


def _part(name: str, expr: Expr, tz: object, naive: object, **params: str) -> Expr:
    """Return the expression for a part; without `tz=` its node has no zone parameters."""
    if isinstance(naive, str) and naive != "UTC":
        raise InvalidPlan(
            f"{name}(naive={naive!r}): takes 'UTC'. For local times write "
            f".dt.replace_time_zone({tz or 'Europe/Berlin'!r}).dt.{name}()"
        )
    said = check_parameters(name, (NAIVE,), naive=naive)
    if tz is None:
        if said:
            raise InvalidPlan(
                f"{name}(naive={naive!r}): naive= needs tz=. Without tz=, a timestamp without a "
                "zone is not converted"
            )
        return call(f"dt.{name}", expr, **params)
    return call(f"dt.{name}", expr, tz=_zone(f"{name}(tz={tz!r})", tz), **said, **params)


def _zone(call: str, zone: object) -> str:
    """Return a zone name, checked; raise TypeMismatch if it is not a text, or is empty."""
    if not isinstance(zone, str) or not zone:
        raise TypeMismatch(
            f"{call}: takes the name of a time zone or an offset, such as 'Europe/Berlin' or "
            "'+02:00'"
        )
    return zone


@property
def dt(expr: Expr) -> DatetimeParts:
    """Functions of a date, time, timestamp or duration, such as `col("t").dt.hour()`."""
    return DatetimeParts(expr)
