"""Dates, timestamps and durations in pandas and Polars: types, constants and functions.

Functions return Python code as text. A site is a call to write, with the code of its arguments;
`NotSupported` means that the library has nothing equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from fastfeat.ir.dtypes import PER_SECOND, UNITS, DType, TimeUnit
from fastfeat.tell.peers.code_writer import CallSite, CodeTemplate, NotSupported, kind_of

_SECONDS_PER_DAY = 86_400


def pandas_type(dtype: DType) -> str:
    """Return the name of a temporal type in pandas; raises Unwritable for other types."""
    match dtype.name:
        case "date32":
            return "datetime64[s]"
        case "date64":
            return "datetime64[ms]"
        case "timestamp":
            return f"datetime64[{dtype.unit}{', ' + dtype.tz if dtype.tz else ''}]"
        case "duration":
            return f"timedelta64[{dtype.unit}]"
        case _:
            raise NotSupported(f"pandas has no column type for {dtype}")


def polars_type(dtype: DType) -> str:
    """Return Polars code for a temporal type; raises Unwritable for other types."""
    unit = "ms" if dtype.unit == "s" else dtype.unit
    match dtype.name:
        case "date32":
            return "pl.Date"
        case "date64":
            return 'pl.Datetime("ms")'
        case "timestamp":
            return f"pl.Datetime({unit!r}{', ' + repr(dtype.tz) if dtype.tz else ''})"
        case "duration":
            return f"pl.Duration({unit!r})"
        case _:
            raise NotSupported(f"columns of {dtype} are not supported")


def literal_in_pandas(value: Any, dtype: DType) -> str:
    """Return pandas code for a date, timestamp or duration."""
    if value is None:
        return "pd.NaT"
    if dtype.name == "duration":
        return f"pd.Timedelta({_iso(value)!r})"
    zone = f", tz={dtype.tz!r}" if dtype.tz else ""
    return f"pd.Timestamp({value.isoformat()!r}{zone if '+' not in value.isoformat() else ''})"


def _iso(value: Any) -> str:
    return f"{value.days} days {value.seconds} s {value.microseconds} us"


def literal_in_polars(value: Any, dtype: DType) -> str:
    """Return a Polars expression, as code, for a date, timestamp or duration."""
    if value is None:
        return f"pl.lit(None, {polars_type(dtype)})"
    if dtype.name == "duration":
        parts = f"days={value.days}, seconds={value.seconds}, microseconds={value.microseconds}"
        return f'pl.duration({parts}, time_unit="us")'
    if dtype.name == "date32":
        return f"pl.date({value.year}, {value.month}, {value.day})"
    text = value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    if value.tzinfo is not None and dtype.tz != "UTC":
        raise NotSupported("a constant timestamp in a time zone other than UTC is not supported")
    found = f'pl.lit("{text}").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us")'
    return f'{found}.dt.replace_time_zone("{dtype.tz}")' if dtype.tz else found


def _local_in_pandas(site: CallSite) -> str:
    dtype, tz = site.args[0].dtype, site.params.get("tz")
    x = site.shown(0)
    if tz is None:
        return x
    if dtype.tz is None:
        return f'{x}.dt.tz_localize("UTC").dt.tz_convert({tz!r})'
    return f"{x}.dt.tz_convert({tz!r})"


def _local_in_polars(site: CallSite) -> str:
    dtype, tz = site.args[0].dtype, site.params.get("tz")
    x = site.shown(0)
    if tz is None:
        return x
    if dtype.tz is None:
        return f'{x}.dt.replace_time_zone("UTC").dt.convert_time_zone({tz!r})'
    return f"{x}.dt.convert_time_zone({tz!r})"


def _part_in_pandas(template: str) -> Callable[[CallSite], str]:
    def write(site: CallSite) -> str:
        _check(site)
        x = _local_in_pandas(site)
        if template.count("{x}") > 1:
            x = site.scribe.named(x)
        return site.help("integers", template.format(x=x))

    return write


def _flag_in_pandas(template: str) -> Callable[[CallSite], str]:
    def write(site: CallSite) -> str:
        _check(site)
        x = site.scribe.named(_local_in_pandas(site))
        return site.help("known", template.format(x=x), x)

    return write


def _check(site: CallSite) -> None:
    """Raise Unwritable unless the first argument is a date or timestamp."""
    if site.args[0].dtype.name not in ("date32", "date64", "timestamp"):
        raise NotSupported(f"calendar parts of {site.args[0].dtype} are not supported")


def _part_in_polars(template: str, suffix: str = ".cast(pl.Int64)") -> Callable[[CallSite], str]:
    def write(site: CallSite) -> str:
        _check(site)
        x = _local_in_polars(site)
        if template.count("{x}") > 1:
            x = site.scribe.named(x)
        return template.format(x=x) + suffix

    return write


def _date_in_pandas(site: CallSite) -> str:
    _check(site)
    x = _local_in_pandas(site)
    has_zone = site.args[0].dtype.tz or site.params.get("tz")
    return f"{x}.dt{'.tz_localize(None).dt' if has_zone else ''}.normalize()"


def _ticks(dtype: DType, unit: str) -> tuple[TimeUnit, int]:
    """Return the time unit to count in, and the number of these in one `unit`.

    The unit is the finer one of `unit` and the type's own, so that values stay whole numbers.
    """
    own: TimeUnit = dtype.unit or ("s" if dtype.name == "date32" else "ms")
    seconds = {"d": _SECONDS_PER_DAY, "h": 3600, "m": 60}.get(unit)
    wanted = cast("TimeUnit", "s" if seconds else unit)
    finer = cast("TimeUnit", max(own, wanted, key=UNITS.index))
    per = PER_SECOND[finer]
    return finer, per * seconds if seconds else per // PER_SECOND[wanted]


def _counted_in_pandas(unit: str | None, kind: str) -> Callable[[CallSite], str]:
    def write(site: CallSite) -> str:
        finer, per = _ticks(site.args[0].dtype, unit or site.params["unit"])
        helper = "ticks" if kind == "datetime64" else "totals"
        return site.help(helper, site.named(0), f'"{kind}[{finer}]"', str(per))

    return write


def _counted_in_polars(unit: str | None) -> Callable[[CallSite], str]:
    def write(site: CallSite) -> str:
        dtype = site.args[0].dtype
        finer, per = _ticks(dtype, unit or site.params["unit"])
        x = site.shown(0)
        if finer == "s":
            finer, per = "ms", per * 1000
        kind = "Duration" if dtype.name == "duration" else "Datetime"
        zone = f", {dtype.tz!r}" if dtype.tz else ""
        counted = f"{x}.cast(pl.{kind}({finer!r}{zone})).cast(pl.Int64)"
        if per == 1:
            return counted
        if kind == "Datetime":
            return f"{counted} // {per}"
        name = site.scribe.named(counted)
        return f"{name}.sign() * ({name}.abs() // {per})"

    return write


_EVERY = re.compile(r"(\d+)(ns|us|ms|s|m|h|d|w|mo|q|y)")
_OFFSETS = {"ns": "ns", "us": "us", "ms": "ms", "s": "s", "m": "min", "h": "h", "d": "D"}


def _truncate_in_pandas(site: CallSite) -> str:
    _check(site)
    dtype, tz = site.args[0].dtype, site.params.get("tz")
    if {tz or "UTC", dtype.tz or "UTC"} != {"UTC"}:
        raise NotSupported(
            "truncation in a time zone other than UTC is not supported: when clocks go back, "
            "pandas does not say which of the two equal local times it means"
        )
    x, found = site.named(0), _EVERY.fullmatch(site.params["every"])
    if found is None:
        raise NotSupported("an interval that mixes units is not supported")
    n, unit = int(found[1]), found[2]
    typed = f'.astype("{pandas_type(dtype)}")'
    if unit in _OFFSETS:
        return f'{x}.dt.floor("{n}{_OFFSETS[unit]}"){typed}'
    if unit == "w" and n == 1:
        days = f'pd.to_timedelta({x}.dt.day_of_week, unit="D")'
        return f"({x}.dt.normalize() - {days}){typed}"
    if n == 1:
        letter = {"mo": "M", "q": "Q", "y": "Y"}[unit]
        naive = f"{x}.dt.tz_localize(None)" if dtype.tz else x
        starts = f'{naive}.dt.to_period("{letter}").dt.start_time'
        return f"{starts}{'.dt.tz_localize(' + repr('UTC') + ')' if dtype.tz else ''}{typed}"
    raise NotSupported("truncating to several weeks or months is not supported")


def _truncate_in_polars(site: CallSite) -> str:
    _check(site)
    dtype, tz = site.args[0].dtype, site.params.get("tz")
    text = f"{_local_in_polars(site)}.dt.truncate({site.params['every']!r})"
    if dtype.unit == "s":
        raise NotSupported("Polars has no timestamps in seconds")
    if tz is None:
        return text
    if dtype.tz is None:
        return f'{text}.dt.convert_time_zone("UTC").dt.replace_time_zone(None)'
    return f"{text}.dt.convert_time_zone({dtype.tz!r})"


def moved_in_pandas(sign: str) -> Callable[[CallSite], str]:
    """Return a function that writes `+` or `-` (`sign`) of timestamps and durations for pandas."""

    def write(site: CallSite) -> str:
        if {p.kind for p in site.args} != {"t"}:
            raise NotSupported(f"{site.args[0].dtype} {sign} {site.args[1].dtype} is not supported")
        return f'({site.shown(0)} {sign} {site.shown(1)}).astype("{pandas_type(site.dtype)}")'

    return write


def moved_in_polars(sign: str) -> Callable[[CallSite], str]:
    """Return a function that writes `+` or `-` (`sign`) of timestamps and durations for Polars."""

    def write(site: CallSite) -> str:
        if {p.kind for p in site.args} != {"t"}:
            raise NotSupported(f"{site.args[0].dtype} {sign} {site.args[1].dtype} is not supported")
        sides = [
            f'{site.shown(k)}.cast(pl.Datetime("us"))'
            if site.args[k].dtype.name == "date32"
            else site.shown(k)
            for k in range(2)
        ]
        return f"({f' {sign} '.join(sides)}).cast({polars_type(site.dtype)})"

    return write


def is_moment(site: CallSite) -> bool:
    """Return whether any argument of a call is a date, timestamp or duration."""
    return any(kind_of(piece.dtype) == "t" for piece in site.args)


_PARTS_IN_PANDAS = {
    "year": "{x}.dt.year",
    "quarter": "{x}.dt.quarter",
    "month": "{x}.dt.month",
    "week": "{x}.dt.isocalendar().week",
    "weekday": "{x}.dt.day_of_week + 1",
    "day": "{x}.dt.day",
    "ordinal_day": "{x}.dt.day_of_year",
    "hour": "{x}.dt.hour",
    "minute": "{x}.dt.minute",
    "second": "{x}.dt.second",
    "millisecond": "{x}.dt.microsecond // 1000",
    "microsecond": "{x}.dt.microsecond",
    "nanosecond": "{x}.dt.microsecond * 1000 + {x}.dt.nanosecond",
    "days_in_month": "{x}.dt.days_in_month",
}
_FLAGS_IN_PANDAS = {
    "is_leap_year": "{x}.dt.is_leap_year",
    "is_weekend": "{x}.dt.day_of_week >= 5",
    "is_month_start": "{x}.dt.is_month_start",
    "is_month_end": "{x}.dt.is_month_end",
    "is_quarter_end": "{x}.dt.is_quarter_end",
}
_PARTS_IN_POLARS = {
    **{
        name: f"{{x}}.dt.{name}()"
        for name in (
            *("year", "quarter", "month", "week", "weekday", "day", "ordinal_day", "hour"),
            *("minute", "second", "millisecond", "microsecond", "nanosecond"),
        )
    },
    "days_in_month": "{x}.dt.month_end().dt.day()",
}
_FLAGS_IN_POLARS = {
    "is_leap_year": "{x}.dt.is_leap_year()",
    "is_weekend": "({x}.dt.weekday() >= 6)",
    "is_month_start": "({x}.dt.day() == 1)",
    "is_month_end": "({x}.dt.day() == {x}.dt.month_end().dt.day())",
    "is_quarter_end": "(({x}.dt.day() == {x}.dt.month_end().dt.day()) & ({x}.dt.month() % 3 == 0))",
}
_TOTALS: Mapping[str, str] = {
    "days": "d",
    "hours": "h",
    "minutes": "m",
    "seconds": "s",
    "milliseconds": "ms",
    "microseconds": "us",
    "nanoseconds": "ns",
}

IN_PANDAS: dict[str, CodeTemplate] = {
    **{f"dt.{name}": _part_in_pandas(text) for name, text in _PARTS_IN_PANDAS.items()},
    **{f"dt.{name}": _flag_in_pandas(text) for name, text in _FLAGS_IN_PANDAS.items()},
    "dt.date": _date_in_pandas,
    "dt.epoch": _counted_in_pandas(None, "datetime64"),
    **{f"dt.total_{n}": _counted_in_pandas(unit, "timedelta64") for n, unit in _TOTALS.items()},
    "dt.truncate": _truncate_in_pandas,
}
IN_POLARS: dict[str, CodeTemplate] = {
    **{f"dt.{name}": _part_in_polars(text) for name, text in _PARTS_IN_POLARS.items()},
    **{f"dt.{name}": _part_in_polars(text, "") for name, text in _FLAGS_IN_POLARS.items()},
    "dt.date": _part_in_polars("{x}.dt.date()", ""),
    "dt.epoch": _counted_in_polars(None),
    **{f"dt.total_{name}": _counted_in_polars(unit) for name, unit in _TOTALS.items()},
    "dt.truncate": _truncate_in_polars,
}
