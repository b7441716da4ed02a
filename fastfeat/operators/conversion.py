"""`cast`, and the ways to write a type."""

from __future__ import annotations

import datetime
import math
import re
import struct
from fractions import Fraction
from typing import Any

from fastfeat import dtypes
from fastfeat.dtypes import DType
from fastfeat.errors import TypeMismatch
from fastfeat.expr import Expr, call
from fastfeat.operators.operator import Case, Operator, each
from fastfeat.operators.parameters import switch


def cast(x: Expr, dtype: object, *, strict: bool = True) -> Expr:
    """Return the values as another type: exactly, or rounded once to a float type.

    A float loses its fraction on the way to an integer; anything but zero is True.

    Args:
        x: numbers, dates or times; missing stays missing.
        dtype: "int64", "float32", "bool", "timestamp[us, Europe/Berlin]"; also a pyarrow or NumPy
            type, and Python's int, float, bool.
        strict: whether a value that the type cannot hold is an error; otherwise it becomes missing.

    Raises:
        TypeMismatch: `dtype` is no type that can be cast to.
        InvalidPlan: `strict` is neither True nor False.
        Overflow: at transform, when strict: a value is out of range.

    Example:
        >>> col("x").cast("int32", strict=False)
        col('x').cast(dtype='int32', strict=False)
    """
    return call("cast", x, dtype=as_dtype(dtype), strict=switch("cast", "strict", strict))


def as_float(x: Expr) -> Expr:
    """Return x as float64: the difference of two int64 may not fit into one."""
    return call("cast", x, dtype=dtypes.FLOAT64, strict=True)


def as_dtype(written: object) -> DType:
    """Return the type that a user means by a text, a pyarrow or NumPy type, or a Python class.

    Raises:
        TypeMismatch: it is none.

    Example:
        >>> str(as_dtype("timestamp[us, UTC]")), str(as_dtype(float))
        ('timestamp[us, UTC]', 'float64')
    """
    if isinstance(written, DType):
        return written
    if isinstance(written, str):
        return _from_text(written)
    if isinstance(written, type) and written in _PYTHON:
        return _PYTHON[written]
    if type(written).__module__.partition(".")[0] == "pyarrow":
        from fastfeat.io.types import dtype_of

        return dtype_of(written)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    module = written.__module__ if isinstance(written, type) else type(written).__module__
    if module.partition(".")[0] == "numpy":
        return _from_numpy(written)
    raise TypeMismatch(f"{written!r} is no type. Write one as text, such as {_EXAMPLES}")


def _from_text(text: str) -> DType:
    match = _WRITTEN.fullmatch(text.strip())
    name, unit, tz = match.groups() if match else ("", None, None)
    if unit is None and name in _NAMES:
        return _NAMES[name]
    timed = name in ("timestamp", "duration", "time")
    if timed and unit in dtypes.UNITS and (tz is None or name == "timestamp"):
        return DType(name, unit, tz)
    raise TypeMismatch(f"{text!r} is no type. There are {_EXAMPLES}")


def _from_numpy(written: Any) -> DType:
    import numpy as np

    kind = np.dtype(written)
    unit, _ = np.datetime_data(kind) if kind.kind in "mM" else ("", 1)
    name = {"M": "timestamp", "m": "duration"}.get(kind.kind, kind.name)
    return _from_text(f"{name}[{unit}]" if unit else name)


def _cast(x: Any, dtype: str, strict: bool) -> Any:
    """Return x cast to a number type, without errors: out of range is missing."""
    match dtype:
        case "bool":
            return x != 0
        case "float64":
            return float(x)
        case "float32":
            return _as_float32(x)
        case _:
            bits = int(dtype.strip("uint"))
            low, high = (0, 2**bits) if dtype[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1))
            whole = math.trunc(x) if math.isfinite(x) else high
            return whole if low <= whole < high else None


def _as_float32(x: float) -> float | None:
    if isinstance(x, int) and x.bit_length() > 24:
        unit = 2 ** (x.bit_length() - 24)
        x = round(Fraction(x, unit)) * float(unit)
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return None


_WRITTEN = re.compile(r"(\w+)(?:\[\s*(\w+)\s*(?:,\s*(.+?)\s*)?\])?", re.ASCII)
_EXAMPLES = (
    '"bool", "int64", "uint8", "float32", "date32", "time[us]", "timestamp[us, UTC]", '
    '"duration[ms]"'
)
_NAMES: dict[str, DType] = {
    **{name: DType(name) for name in dtypes.INTEGER_RANGE},
    **{name: DType(name) for name in ("bool", "float16", "float32", "float64", "date32", "date64")},
    **dict.fromkeys(("utf8", "string"), dtypes.UTF8),
    "boolean": dtypes.BOOL,
    "int": dtypes.INT64,
    "float": dtypes.FLOAT64,
    "double": dtypes.FLOAT64,
    "date": dtypes.DATE32,
}
_PYTHON: dict[type, DType] = {
    bool: dtypes.BOOL,
    int: dtypes.INT64,
    float: dtypes.FLOAT64,
    str: dtypes.UTF8,
    datetime.date: dtypes.DATE32,
    datetime.datetime: dtypes.timestamp("us"),
    datetime.timedelta: dtypes.duration("us"),
}

OPERATORS: dict[str, Operator] = {
    "cast": Operator(
        cast,
        each(_cast),
        tuple(
            Case(params={"dtype": name, "strict": False})
            for name in ("int8", "int64", "uint8", "uint64", "bool", "float32", "float64")
        ),
    ),
}
