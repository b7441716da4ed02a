"""Durations and moments as text, for printed plans and messages.

Durations are written in days, hours and shorter units of fixed length; moments in UTC.
"""

from __future__ import annotations

import datetime

_EPOCH = datetime.datetime(1970, 1, 1)
_UNITS = (("d", 86_400 * 10**9), ("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9),
          ("ms", 10**6), ("us", 10**3), ("ns", 1))  # fmt: skip


def duration_text(nanoseconds: int) -> str:
    """Return a duration as text, in as few units as possible.

    >>> duration_text(7 * 86_400 * 10**9), duration_text(5_400 * 10**9)
    ('7d', '1h30m')
    """
    parts: list[str] = []
    for unit, length in _UNITS:
        n, nanoseconds = divmod(nanoseconds, length)
        if n:
            parts.append(f"{n}{unit}")
    return "".join(parts) or "0s"


def length_text(length: int, unit: str | None) -> str:
    """Return the length of a window or delay as Python source.

    With the unit "time" the length is in nanoseconds, otherwise a number of steps.

    >>> length_text(7 * 86_400 * 10**9, "time"), length_text(28, "steps")
    ("'7d'", '28')
    """
    return repr(duration_text(length)) if unit == "time" else str(length)


def moment_text(nanoseconds: int) -> str:
    """Return nanoseconds since 1970 as an ISO date or time in UTC.

    A moment that Python's datetime cannot represent is written as the number.

    >>> moment_text(0), moment_text(86_400 * 10**9 + 1)
    ('1970-01-01', '1970-01-02T00:00:00.000000001')
    """
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        moment = _EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:  # the plan was altered by hand
        return str(nanoseconds)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    text = moment.isoformat() + fraction
    return text.removesuffix("T00:00:00")
