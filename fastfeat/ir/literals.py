"""Constants given by users: NumPy, pandas and `decimal` scalars become Python values."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any, cast

from fastfeat.errors import TypeMismatch

Scalar = bool | int | float | str | datetime.date | datetime.time | datetime.timedelta | None
"""A Python value that can stand for an expression."""


def literal_value(value: object) -> Any:
    """Return a user's constant as the Python value that a literal node holds."""
    value = python_value(value)
    if isinstance(value, Scalar):
        return value
    kind = type(value).__name__
    if type(value).__module__.partition(".")[0] == "polars" and kind == "Expr":
        raise TypeMismatch(
            "a Polars expression cannot be part of a fastfeat expression. Write it with "
            "fastfeat.col instead of polars.col"
        )
    is_array = hasattr(value, "__array__")  # an array may hold many values
    shown = f"a {kind}" if is_array else f"{value!r} of type {kind}"
    raise TypeMismatch(
        f"{shown} cannot be part of an expression. "
        "Use a column, col('name'), or a number, bool, text, date or None"
    )


def in_order(given: Iterable[Any]) -> Iterable[Any]:
    """Return a collection in its own order, or the elements of a set sorted by value.

    Python orders a set of texts differently in each process, but a plan must be the same in all.

    Example:
        >>> in_order({"b", "a", "c"}), in_order((2, 1))
        (['a', 'b', 'c'], (2, 1))
    """
    if not isinstance(given, set | frozenset):
        return given
    members = cast("set[Any]", given)
    try:
        return sorted(members)
    except TypeError:  # elements of several types, or expressions
        return sorted(members, key=repr)


def python_value(value: Any) -> Any:
    """Return a NumPy, pandas or `decimal` scalar as a Python value, and any other value unchanged.

    Types are recognised by name, which avoids importing their modules.
    """
    match type(value).__module__.partition(".")[0], type(value).__name__:
        case "numpy", "datetime64" | "timedelta64":
            return _python_time(value)
        case "numpy", _ if getattr(value, "ndim", 1) == 0:
            return value.item()
        case "pandas", "NAType" | "NaTType":
            return None
        case "pandas", "Timestamp":
            return _python_time(value.to_datetime64()) if value.tz is None else _zoned(value)
        case "pandas", "Timedelta":
            return _python_time(value.to_timedelta64())
        case "decimal", "Decimal":
            return float(value)
        case _:
            return value


def _python_time(value: Any) -> Any:
    """Return a datetime64 or timedelta64 as a Python date, datetime or timedelta."""
    item = value.item()
    # NumPy returns the number of nanoseconds
    if isinstance(item, int) and value.dtype.str[-4:] == "[ns]":
        microseconds = value.astype(value.dtype.str.replace("[ns]", "[us]"))
        item = microseconds.item() if microseconds == value else item
    if isinstance(item, int):
        raise TypeMismatch(
            f"{value!r} cannot be part of an expression: no datetime or timedelta of Python equals "
            "it, since these have whole microseconds, and years 1 to 9999. Round it, or write a "
            "datetime"
        )
    return item


def _zoned(value: Any) -> datetime.datetime:
    """Return a pandas Timestamp with a zone as a Python datetime."""
    _python_time(value.to_datetime64())  # raises if it has nanoseconds
    return value.to_pydatetime()
