"""Durations as they are written: days, hours and shorter units, each of one length anywhere.

And moments, in UTC.
"""

from __future__ import annotations

import datetime

_EPOCH = datetime.datetime(1970, 1, 1)
_UNITS = (("d", 86_400 * 10**9), ("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9),
          ("ms", 10**6), ("us", 10**3), ("ns", 1))  # fmt: skip


def duration_text(nanoseconds: int) -> str:
    """Return a duration as it is written: in as few units as it takes.

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
    """Return a length as code has it, of nanoseconds where the unit is "time", else of steps.

    >>> length_text(7 * 86_400 * 10**9, "time"), length_text(28, "steps")
    ("'7d'", '28')
    """
    return repr(duration_text(length)) if unit == "time" else str(length)


def moment_text(nanoseconds: int) -> str:
    """Return a moment as it is written, of nanoseconds since 1970 in UTC; a far one as they are.

    >>> moment_text(0), moment_text(86_400 * 10**9 + 1)
    ('1970-01-01', '1970-01-02T00:00:00.000000001')
    """
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        moment = _EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:  # of a plan that someone has altered
        return str(nanoseconds)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    text = moment.isoformat() + fraction
    return text.removesuffix("T00:00:00")
