"""Reads compiled time zone files (TZif): the changes of a zone's offset from UTC.

A file lists past changes, and ends with a rule text for later years. Instants are in seconds since
1970 UTC, offsets in seconds east of UTC, day numbers count from 1970-01-01.

Source: RFC 8536 for the file; POSIX.1-2017, chapter 8.3, for the rule text at its end.
"""

from __future__ import annotations

import datetime
import re
import struct
from collections.abc import Callable, Iterator

from fastfeat.errors import InvalidData

_HEADER = struct.Struct(">4s c 15x 6l")
_TYPE = struct.Struct(">l 2B")
SECONDS_PER_DAY = 86_400
_FIRST_YEAR = 1800
_EPOCH_ORDINAL = datetime.date(1970, 1, 1).toordinal()
_NAME = r"(?:<[^<>]+>|[A-Za-z]+)"
_TIME = r"[+-]?\d+(?::\d+){0,2}"
_DATE = r"M\d+\.\d\.\d|J\d+|\d+"
_RULE = re.compile(
    rf"{_NAME}({_TIME})(?:{_NAME}({_TIME})?,({_DATE})(?:/({_TIME}))?,({_DATE})(?:/({_TIME}))?)?"
)

OffsetChange = tuple[int, int]
"""An instant in UTC seconds since 1970, and the offset from then on, in seconds east."""


def read_changes(content: bytes, last_year: int) -> tuple[int, list[OffsetChange]]:
    """Return the first offset of a zone, and its changes up to the end of `last_year`.

    `content` is a TZif file of version 2 or later. Raises InvalidData for other content, and for a
    file that counts leap seconds.
    """
    first, history, rule = _parse(content)
    last = history[-1][0] if history else None
    changes = {**dict(history), **_changes_by_rule(rule, last, last_year)}
    return first, list(_drop_equal_offsets(first, changes))


def _parse(content: bytes) -> tuple[int, list[OffsetChange], str]:
    """Return (first offset, changes in the file, rule text) from the content of a file."""
    try:
        _, counts = _header(content, 0)
        block, counts = _header(content, _HEADER.size + _block_size(counts, 4))
        n_local, n_utc, n_leaps, n_changes, n_types, n_characters = counts
        if n_leaps:
            raise InvalidData("the zone file counts leap seconds, but timestamps do not")
        instants = struct.unpack_from(f">{n_changes}q", content, block)
        numbers = content[block + 8 * n_changes : block + 9 * n_changes]
        types = block + 9 * n_changes
        offsets = [_TYPE.unpack_from(content, types + 6 * k)[0] for k in range(n_types)]
        footer = types + 6 * n_types + n_characters + n_local + n_utc
        rule = content[footer:].strip(b"\n").decode("ascii")
        return offsets[0], [(t, offsets[k]) for t, k in zip(instants, numbers, strict=True)], rule
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, InvalidData):
            raise
        raise InvalidData("the zone file is damaged") from error


def _header(content: bytes, at: int) -> tuple[int, tuple[int, ...]]:
    """Return the position after a header, and the six counts that the header holds.

    `at` is the position of the header.
    """
    magic, version, *counts = _HEADER.unpack_from(content, at)
    if magic != b"TZif" or version < b"2":
        raise InvalidData("the zone file is not TZif of version 2 or later")
    return at + _HEADER.size, tuple(counts)


def _block_size(counts: tuple[int, ...], n_bytes: int) -> int:
    n_local, n_utc, n_leaps, n_changes, n_types, n_characters = counts
    changes = n_changes * (n_bytes + 1)
    return changes + 6 * n_types + n_characters + n_leaps * (n_bytes + 4) + n_local + n_utc


def _drop_equal_offsets(first: int, changes: dict[int, int]) -> Iterator[OffsetChange]:
    """Yield the changes at which the offset differs from the one before.

    Other changes in the file concern only the zone's abbreviation or its daylight flag.
    """
    current = first
    for instant, offset in sorted(changes.items()):
        if offset != current:
            yield instant, offset
        current = offset


def _changes_by_rule(rule: str, last: int | None, last_year: int) -> dict[int, int]:
    """Return the changes by the rule text, from the last change in the file on.

    The result maps instants to offsets.
    """
    match = _RULE.fullmatch(rule)
    if rule and match is None:
        raise InvalidData(f"the zone file ends with a rule that cannot be read: {rule!r}")
    if match is None:
        return {}
    standard_text, daylight_text, start, start_time, end, end_time = match.groups()
    standard = -_seconds(standard_text)
    if start is None:
        return {} if last is None else {last: standard}
    daylight = -_seconds(daylight_text) if daylight_text else standard + 3600
    starts, ends = _day_of(start), _day_of(end)
    start_clock, end_clock = (_seconds(text or "2") for text in (start_time, end_time))
    first_year = _FIRST_YEAR if last is None else datetime.date.fromordinal(_ordinal(last)).year
    changes: dict[int, int] = {}
    for year in range(first_year - 1, last_year + 2):
        changes[ends(year) * SECONDS_PER_DAY + end_clock - daylight] = standard
    for year in range(first_year - 1, last_year + 2):  # at one instant: daylight time never ends
        changes[starts(year) * SECONDS_PER_DAY + start_clock - standard] = daylight
    final = (_january_first(last_year + 1) + 8) * SECONDS_PER_DAY
    return _keep_later_changes(last, {t: offset for t, offset in changes.items() if t < final})


def _keep_later_changes(last: int | None, changes: dict[int, int]) -> dict[int, int]:
    """Return the changes from an instant on, the first of them at that instant.

    The first change has the offset that holds at that instant.
    """
    if last is None:
        return changes
    before = max(t for t in changes if t <= last)
    return {last: changes[before], **{t: offset for t, offset in changes.items() if t > last}}


def _ordinal(instant: int) -> int:
    return instant // SECONDS_PER_DAY + _EPOCH_ORDINAL


def _seconds(text: str) -> int:
    """Return "[+-]hh[:mm[:ss]]" in seconds."""
    parts = [int(part) for part in text.lstrip("+-").split(":")]
    total = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    return -total if text.startswith("-") else total


def _day_of(text: str) -> Callable[[int], int]:
    """Return a function from a year to the day number of a rule's date: "Mm.w.d", "Jn" or "n"."""
    if text.startswith("M"):
        month, week, weekday = (int(part) for part in text[1:].split("."))
        return lambda year: _weekday_of_month(year, month, week, weekday)
    if text.startswith("J"):
        return lambda year: _without_leap_day(year, int(text[1:]))
    return lambda year: _january_first(year) + int(text)


def _january_first(year: int) -> int:
    return datetime.date(year, 1, 1).toordinal() - _EPOCH_ORDINAL


def _without_leap_day(year: int, number: int) -> int:
    """Return the day number of the n-th day (1 to 365) of a year; February 29th is not counted."""
    leap = datetime.date(year, 3, 1).timetuple().tm_yday - 60
    return _january_first(year) + number - 1 + (leap if number >= 60 else 0)


def _weekday_of_month(year: int, month: int, week: int, weekday: int) -> int:
    """Return the day number of the week-th weekday (Sunday is 0) of a month; week 5 is the last."""
    first = datetime.date(year, month, 1)
    following = datetime.date(year + month // 12, month % 12 + 1, 1)
    day = 1 + (weekday - first.isoweekday()) % 7 + 7 * (week - 1)
    if day > (following - first).days:
        day -= 7
    return first.toordinal() - _EPOCH_ORDINAL + day - 1
