"""Times as a user reads them: those of Python, where Python has them."""

from __future__ import annotations

from typing import Any

from fastfeat.dtypes import DType
from fastfeat.io.arrow import pa
from fastfeat.io.types import arrow_type


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
