"""Times as a user reads them: those of Python, where Python has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import ChunkedArray, cast, pa
from fastfeat.io.columns.bits import Flags, present_rows
from fastfeat.io.columns.types import arrow_type, storage_type
from fastfeat.ir.dtypes import PER_SECOND, DType


def ticks_column(times: Any, dtype: DType) -> ChunkedArray:
    """Return times, or whole numbers, as a column of int64; missing where they are.

    Args:
        times: an array or a column, as stored, as keys or as given out.
        dtype: their type.
    """
    pieces = times.chunks if isinstance(times, pa.ChunkedArray) else [times]
    whole = pa.types.is_integer
    plain = [p if whole(p.type) else p.view(storage_type(dtype)) for p in pieces]
    wide = [piece if piece.type == pa.int64() else cast(piece, pa.int64()) for piece in plain]
    return pa.chunked_array(wide, pa.int64())


def ticks_of(column: ChunkedArray) -> tuple[NDArray[np.int64], Flags]:
    """Return the ticks of a column of int64, 0 where missing, and where there is one."""
    values: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    flags: list[Flags] = [np.zeros(0, np.bool_)]
    for chunk in column.chunks:
        present = present_rows(chunk)
        flags.append(np.ones(len(chunk), np.bool_) if present is None else present)
        filled = chunk if present is None else chunk.fill_null(0)
        values.append(filled.to_numpy(zero_copy_only=False))
    return np.concatenate(values), np.concatenate(flags)


_A_DAY = 86_400


def time_text(value: int, dtype: DType) -> str:
    """Return a time as text, as Python writes it, the same on every machine.

    A time in a zone is written in UTC; years go as far as the type does, and fractions to its unit.

    Args:
        value: as it is stored.
        dtype: a type of times.

    Example:
        >>> time_text(86_400_500, DType("timestamp", "ms", "Europe/Berlin"))
        '1970-01-02 00:00:00.500000+00:00'
    """
    if dtype.unit is None:
        days = value if dtype.name == "date32" else value // (1000 * _A_DAY)
        return str(np.datetime64(days, "D"))
    per_second = PER_SECOND[dtype.unit]
    seconds, rest = divmod(value, per_second)
    fraction = _fraction(rest * (10**9 // per_second))
    if dtype.name == "timestamp":
        text = str(np.datetime64(seconds, "s")).replace("T", " ")
        return f"{text}{fraction}{'+00:00' if dtype.tz else ''}"
    days, seconds = divmod(seconds, _A_DAY)
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    if dtype.name == "time":
        return f"{hours:02}:{minutes:02}:{seconds:02}{fraction}"
    before = f"{days} day{'' if abs(days) == 1 else 's'}, " if days else ""
    return f"{before}{hours}:{minutes:02}:{seconds:02}{fraction}"


def _fraction(nanoseconds: int) -> str:
    """Return a fraction of a second in microseconds, or where it is finer, in nanoseconds."""
    if nanoseconds % 1000:
        return f".{nanoseconds:09}"
    return f".{nanoseconds // 1000:06}" if nanoseconds else ""


def python_value(value: Any, dtype: DType) -> Any:
    """Return a value as a user reads it: a time, if it is one, in place of its number.

    Args:
        value: as it is stored; None is missing.
        dtype: its type.
    """
    if value is None or not dtype.is_temporal:
        return value
    exact = arrow_type(dtype)
    scalar = pa.scalar(value, exact)
    if dtype.unit == "ns":  # Python's times have microseconds
        microseconds, rest = divmod(value, 1000)
        if rest:
            return scalar
        zoned = (dtype.tz,) if dtype.name == "timestamp" else ()
        kinds = {"timestamp": pa.timestamp, "duration": pa.duration, "time": pa.time64}
        scalar_us = pa.scalar(microseconds, kinds[dtype.name]("us", *zoned))
    else:
        scalar_us = scalar
    try:
        return scalar_us.as_py()
    except (ValueError, OverflowError, LookupError):  # a year or zone that Python does not have
        return scalar
