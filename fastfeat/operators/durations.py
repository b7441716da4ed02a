"""Durations as users write them: "7d", a timedelta, or steps, which are whole numbers.

Steps are for data whose times are whole numbers.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.ir.literals import python_value
from fastfeat.ir.parameters import LONGEST

Duration = str | datetime.timedelta | int

_NS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 7 * 86_400 * 10**9,
}
_BELOW_ZERO = {
    "ahead": "ff.ahead always looks ahead. For a feature, look back with ff.window('7d', ...)",
    "window": "A window looks back, never ahead. For a label, look ahead with ff.ahead('30d', ...)",
}
"""Advice for negative lengths, by the function that got one."""
_PART = re.compile(r"(\d+)(ns|us|ms|mo|s|m|h|d|w|q|y|i)")


def resolve_duration(told: str, given: Any) -> tuple[int | None, str | None]:
    """Return a duration as (nanoseconds, "time") or (whole number, "steps"); None as (None, None).

    `told` begins the error messages. Raises InvalidPlan for a negative duration or one without a
    fixed length, such as a month, and TypeMismatch for anything else.
    """
    value = python_value(given)
    match value:
        case None:
            return None, None
        case bool():
            found = None
        case int():
            found = value, "steps"
        case datetime.timedelta():
            microseconds = datetime.timedelta(microseconds=1)
            found = value // microseconds * 1000, "time"
        case str():
            found = _parse_duration(told, value), "time"
        case _:
            found = None
    if found is None:
        raise TypeMismatch(f"{told}: takes a text such as '7d', a timedelta, or a whole number")
    if found[0] < 0:
        raise _negative_error(told)
    if found[0] > LONGEST:
        raise InvalidPlan(
            f"{told}: is {describe_limit(found[1])}. To reach back to the first row, pass None"
        )
    return found


def _negative_error(told: str) -> InvalidPlan:
    hint = _BELOW_ZERO.get(told.partition("(")[0], "Write the length without the sign")
    return InvalidPlan(f"{told}: must not be negative. {hint}")


def describe_limit(unit: str | None) -> str:
    return "longer than 292 years" if unit == "time" else "more than int64 can hold"


def _parse_duration(told: str, text: str) -> int:
    parts = list(_PART.finditer(text.replace("µ", "u")))
    if "".join(part.group() for part in parts) != text.replace("µ", "u") or not parts:
        if text.startswith("-"):
            raise _negative_error(told)
        raise InvalidPlan(
            f"{told}: is not a duration. Write numbers with the units ns, us, ms, s, m, h, d, w, "
            "such as '7d' or '1h30m'"
        )
    for part in parts:
        unit = part.group(2)
        if unit in ("mo", "q", "y"):
            raise InvalidPlan(
                f"{told}: {unit!r} has no fixed length. Write days, such as '30d' or '365d'"
            )
        if unit == "i":
            raise InvalidPlan(
                f"{told}: write a whole number without a unit: {part.group(1)}. To limit the "
                "number of rows use rows="
            )
    return sum(int(part.group(1)) * _NS[part.group(2)] for part in parts)
