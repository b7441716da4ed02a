"""Scalars that a user writes: those of NumPy, pandas and `decimal` become Python's own."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any, cast

from fastfeat.errors import TypeMismatch

Scalar = bool | int | float | str | datetime.date | datetime.time | datetime.timedelta | None
"""A Python value that can stand for an expression."""


def literal_value(value: object) -> Any:
    """Return a Python value as a literal holds it; NumPy scalars and decimals become Python's."""
    value = python_value(value)
    if isinstance(value, Scalar):
        return value
    kind = type(value).__name__
    if type(value).__module__.partition(".")[0] == "polars" and kind == "Expr":
        raise TypeMismatch(
            "a Polars expression cannot stand in an expression. Write it with fastfeat.col in "
            "place of polars.col"
        )
    is_array = hasattr(value, "__array__")  # its values may be many
    shown = f"a {kind}" if is_array else f"{value!r} of type {kind}"
    raise TypeMismatch(
        f"{shown} cannot stand in an expression. "
        "Use a column, col('name'), a number, a bool, a text, a date or None"
    )


def in_order(given: Iterable[Any]) -> Iterable[Any]:
    """Return listed values as they stand, and the elements of a set by their value.

    A set of texts has another order in each process, and a plan must not.

    Example:
        >>> in_order({"b", "a", "c"}), in_order((2, 1))
        (['a', 'b', 'c'], (2, 1))
    """
    if not isinstance(given, set | frozenset):
        return given
    members = cast("set[Any]", given)
    try:
        return sorted(members)
    except TypeError:  # of several types, or expressions
        return sorted(members, key=repr)


def python_value(value: Any) -> Any:
    """Return a scalar of NumPy, pandas or `decimal` as Python's; anything else as it is.

    Types are known by their names: their modules would be imported for nothing.
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
    """Return a datetime64 or timedelta64 as Python's date, datetime or timedelta.

    Raises:
        TypeMismatch: Python has no such time: it has nanoseconds, months, no unit, a far year.
    """
    item = value.item()
    if isinstance(item, int) and value.dtype.str[-4:] == "[ns]":  # NumPy gives their number
        microseconds = value.astype(value.dtype.str.replace("[ns]", "[us]"))
        item = microseconds.item() if microseconds == value else item
    if isinstance(item, int):
        raise TypeMismatch(
            f"{value!r} cannot stand in an expression: literal times have microseconds, "
            "as those of Python's datetime"
        )
    return item


def _zoned(value: Any) -> datetime.datetime:
    """Return a pandas Timestamp that has a zone as Python's datetime."""
    _python_time(value.to_datetime64())  # raises where it has nanoseconds
    return value.to_pydatetime()
