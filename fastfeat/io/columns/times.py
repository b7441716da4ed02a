"""Times as integer ticks, and stored times as text and as Python values."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from numpy.typing import NDArray

from fastfeat.io.arrow import ChunkedArray, cast, pa
from fastfeat.io.columns.bits import present_rows
from fastfeat.io.columns.types import arrow_type, storage_type
from fastfeat.ir.dtypes import PER_SECOND, DType


def ticks_column(times: Any, dtype: DType) -> ChunkedArray:
    """Return times as an int64 column of ticks, with nulls for missing values.

    `times` is an array or column of times or integers, as columns, keys or outputs store them.
    """
    pieces = times.chunks if isinstance(times, pa.ChunkedArray) else [times]
    whole = pa.types.is_integer
    plain = [p if whole(p.type) else p.view(storage_type(dtype)) for p in pieces]
    wide = [piece if piece.type == pa.int64() else cast(piece, pa.int64()) for piece in plain]
    return pa.chunked_array(wide, pa.int64())


def ticks_of(column: ChunkedArray) -> tuple[NDArray[np.int64], BoolArray]:
    """Return the values of an int64 column as NumPy, 0 if missing, and flags of present values."""
    values: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    flags: list[BoolArray] = [np.zeros(0, np.bool_)]
    for chunk in column.chunks:
        present = present_rows(chunk)
        flags.append(np.ones(len(chunk), np.bool_) if present is None else present)
        filled = chunk if present is None else chunk.fill_null(0)
        values.append(filled.to_numpy(zero_copy_only=False))
    return np.concatenate(values), np.concatenate(flags)


_A_DAY = 86_400


def time_text(value: int, dtype: DType) -> str:
    """Return a stored time as text in Python's style, identical on every machine.

    A time in a zone is written in UTC. All years of the type are supported, with fractions to its
    unit.

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
    """Return a fraction of a second in microseconds, or in nanoseconds if it is finer."""
    if nanoseconds % 1000:
        return f".{nanoseconds:09}"
    return f".{nanoseconds // 1000:06}" if nanoseconds else ""


def python_value(value: Any, dtype: DType) -> Any:
    """Return a stored value as users see it: times as Python times; None is missing."""
    if value is None or not dtype.is_temporal:
        return value
    exact = arrow_type(dtype)
    scalar = pa.scalar(value, exact)
    if dtype.unit == "ns":  # Python times have microseconds
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
    except (ValueError, OverflowError, LookupError):  # a year or zone that Python does not support
        return scalar
