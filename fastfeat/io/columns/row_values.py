"""Values of a single row, converted to the storage of their columns as whole columns would be."""

from __future__ import annotations

import datetime
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np

from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import pa
from fastfeat.io.columns.strings import content_of
from fastfeat.io.columns.types import tick_ns
from fastfeat.ir.dtypes import FLOAT64, INTEGER_RANGE, NULL, UTF8, DType

_NARROW = {"float16": "<e", "float32": "<f"}
_NUMPY_TIMES = (np.datetime64, np.timedelta64)
_DAY_NS = 86_400 * 10**9
_NUMPY_NS = {
    "W": 7 * _DAY_NS,
    "D": _DAY_NS,
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}
_EPOCH = datetime.datetime(1970, 1, 1)
# limit for an integer; int() of a Decimal with a million digits takes half a minute
_MOST_DIGITS = 20
_MICROSECOND = datetime.timedelta(microseconds=1)


def is_missing(value: Any) -> bool:
    """Return whether a Python value is missing: None, NaN, NaT, or pandas NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, float):
        return value != value
    return type(value).__name__ == "Decimal" and value.is_nan()


def plain_value(value: Any) -> Any:
    """Return a NumPy or pyarrow scalar as a Python value; NumPy times are unchanged."""
    if type(value) in _NUMPY_TIMES:
        return None if np.isnat(value) else value
    if isinstance(value, np.generic):
        return cast("Any", value).item()
    return value.as_py() if isinstance(value, pa.Scalar) else value


def text_of(value: Any, name: str) -> str | None:
    """Return the value if it is text, None if missing; raise TypeMismatch for anything else."""
    plain = plain_value(value)
    if is_missing(plain):
        return None
    if isinstance(plain, str):
        if not plain.isascii():
            _check_whole(plain, name)
        return plain
    raise TypeMismatch(
        f"column {name!r}: expected text, got {_shown(value)}. Pass text, as in fit: str(value)"
    )


def _check_whole(text: str, name: str) -> None:
    """Raise TypeMismatch if a text has half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TypeMismatch(
            f"column {name!r}: {text!r} has {text[error.start]!r}, half of a surrogate pair, which "
            "UTF-8 cannot encode. Replace it: text.encode(errors='replace').decode()"
        ) from None


def content_value(value: Any, dtype: DType, name: str) -> str | bytes | None:
    """Return a value that is text or bytes, as its column requires; None if missing.

    Raises:
        TypeMismatch: It is of another type.
    """
    if dtype == UTF8:
        return text_of(value, name)
    plain = plain_value(value)
    if isinstance(plain, bytes | bytearray | memoryview):
        return bytes(cast("Any", plain))
    if not isinstance(plain, str) and not is_missing(plain):
        raise TypeMismatch(
            f"column {name!r}: expected bytes, got {_shown(value)}. Pass bytes, as in fit"
        )
    text = text_of(plain, name)
    return None if text is None else content_of(text)


def convert(value: Any, dtype: DType, name: str) -> Any:
    """Return a value as the number or bool that its column stores; None if missing.

    Raises:
        TypeMismatch: It is of another type, or not exactly a value of that type.
    """
    value = plain_value(value)
    if is_missing(value):
        return None
    if dtype == NULL:
        raise TypeMismatch(
            f"column {name!r}: fit saw only missing values, got {_shown(value)}. Fit on rows in "
            "which the column has values, or cast it to a type before fit"
        )
    if dtype.is_temporal:
        return _ticks(value, dtype, name)
    if not isinstance(value, int | float) and type(value).__name__ != "Decimal":
        kind = "float" if dtype.is_float else "int"
        hint = f". Parse the text first: {kind}(text)" if isinstance(value, str) else ""
        raise TypeMismatch(f"column {name!r}: expected {dtype}, got {_shown(value)}{hint}")
    return _float(value, dtype, name) if dtype.is_float else _whole(value, dtype, name)


def list_value(value: Any, dtype: DType, name: str) -> list[Any] | None:
    """Return a list in the storage of its column, with None for a missing list or element.

    `value` is a list, tuple or array, and `dtype` the type of its elements.

    Raises:
        TypeMismatch: It is not a list, or an element is of another type.
    """
    plain = plain_value(value)
    if is_missing(plain):
        return None
    is_one = isinstance(plain, np.ndarray) and np.ndim(cast("Any", plain)) == 0
    if is_one or isinstance(plain, str | bytes | Mapping) or not isinstance(plain, Iterable):
        raise TypeMismatch(f"column {name!r}: expected a list, got {_shown(value)}")
    elements = cast("Iterable[Any]", plain)
    if dtype == UTF8:
        return [text_of(element, name) for element in elements]
    return [convert(element, dtype, name) for element in elements]


def stored_literal(value: Any, dtype: DType) -> Any:
    """Return a category that the user has listed, as the value that keys store.

    Raises:
        TypeMismatch: It is not exactly a value of that type.
    """
    if dtype.holds_bytes:
        return content_value(value, dtype, "vocabulary")
    stored = convert(value, FLOAT64 if dtype.is_float else dtype, "vocabulary")
    return stored + 0.0 if isinstance(stored, float) else stored  # -0.0 becomes 0.0


def _float(value: Any, dtype: DType, name: str) -> float:
    """Return a number as a float of some width; decimals are read as the nearest float64."""
    try:
        number = float(value)
    except (OverflowError, ValueError):  # an int beyond the range of floats, or a signalling NaN
        raise TypeMismatch(f"column {name!r}: {_shown(value)} cannot be a {dtype}") from None
    if dtype.name == "decimal":
        return number
    if number != value or (dtype.name in _NARROW and number != _narrowed(number, dtype)):
        rounded = (
            f"numpy.{dtype.name}({_shown(value)})"
            if dtype.name in _NARROW
            else f"float({_shown(value)})"
        )
        raise _inexact(value, dtype, name, f"Round it yourself: {rounded}")
    return number


def _narrowed(number: float, dtype: DType) -> float:
    """Return a float rounded to a narrower type; an infinity beyond its range."""
    code = _NARROW[dtype.name]
    try:
        return struct.unpack(code, struct.pack(code, number))[0]
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _whole(value: Any, dtype: DType, name: str) -> int | bool:
    """Return a number as an integer or a bool."""
    huge = type(value).__name__ == "Decimal" and value.adjusted() > _MOST_DIGITS
    try:
        number = 0 if huge else int(value)
    except (OverflowError, ValueError):  # the value is infinite
        raise TypeMismatch(f"column {name!r}: expected {dtype}, got {_shown(value)}") from None
    if number != value:
        raise TypeMismatch(f"column {name!r}: expected {dtype}, got {_shown(value)}")
    if dtype.name == "bool" and number in (0, 1):
        return bool(number)
    low, high = (0, 1) if dtype.name == "bool" else INTEGER_RANGE[dtype.name]
    if not low <= number <= high:
        raise TypeMismatch(f"column {name!r}: {_shown(value)} is outside the range of {dtype}")
    return number


def _ticks(value: Any, dtype: DType, name: str) -> int:
    """Return a time as the number that a temporal column stores."""
    # pandas times are also Python times, but with truncated nanoseconds
    if hasattr(value, "to_datetime64"):
        kind, count, unit_ns = _numpy_time(value.to_datetime64())
        kind = kind if value.tzinfo is None else "instant"
    elif hasattr(value, "to_timedelta64"):
        kind, count, unit_ns = _numpy_time(value.to_timedelta64())
    elif type(value) in _NUMPY_TIMES:
        kind, count, unit_ns = _numpy_time(value)
    else:
        kind, count, unit_ns = _python_time(value)
    wanted = _kind_of(dtype)
    if kind != wanted:
        hint = ""
        if {kind, wanted} == {"time", "instant"}:
            hint = (
                " Pass times with a time zone if the training times had one, and without "
                "one otherwise"
            )
        elif isinstance(value, str):
            hint = _FROM_TEXT[wanted]
        elif isinstance(value, int | float):
            hint = _FROM_NUMBER.get(wanted, "")
        raise TypeMismatch(
            f"column {name!r}: expected {dtype}, got {_shown(value)}{hint and '.'}{hint}"
        )
    ticks, rest = divmod(count * unit_ns, tick_ns(dtype))
    if rest or (dtype.name == "date64" and count * unit_ns % _DAY_NS):
        advice = "Round it yourself, or fit on times with that resolution"
        raise _inexact(value, dtype, name, advice)
    bits = 32 if dtype.name == "date32" else 64
    if not -(2 ** (bits - 1)) <= ticks < 2 ** (bits - 1):
        raise TypeMismatch(f"column {name!r}: {_shown(value)} is outside the range of {dtype}")
    return ticks


def _kind_of(dtype: DType) -> str:
    """Return the kind of a temporal type; dates are times at midnight without a zone."""
    if dtype.name in ("date32", "date64"):
        return "time"
    if dtype.name == "timestamp":
        return "time" if dtype.tz is None else "instant"
    return "clock" if dtype.name == "time" else dtype.name


def _numpy_time(value: Any) -> tuple[str, int, int]:
    """Return the kind of a NumPy time, its count, and the nanoseconds per counted unit."""
    kind = "time" if value.dtype.kind == "M" else "duration"
    if kind == "time" and np.datetime_data(value.dtype)[0] in ("Y", "M"):
        value = value.astype("M8[D]")
    unit, step = np.datetime_data(value.dtype)
    if unit not in _NUMPY_NS:
        return "no time", 0, 1
    return kind, int(value.astype(np.int64)) * step, _NUMPY_NS[unit]


def _python_time(value: Any) -> tuple[str, int, int]:
    """Return the kind of a Python time, its count, and the nanoseconds per counted unit."""
    match value:
        case datetime.datetime():
            offset = value.utcoffset()  # None if the zone does not know it: the time is naive
            kind = "time" if offset is None else "instant"
            since = value.replace(tzinfo=None) - _EPOCH - (offset or datetime.timedelta())
            return kind, since // _MICROSECOND, 1000
        case datetime.date():
            return "time", value.toordinal() - _EPOCH.toordinal(), _DAY_NS
        case datetime.timedelta():
            return "duration", value // _MICROSECOND, 1000
        case datetime.time() if value.tzinfo is None:
            since = datetime.datetime.combine(_EPOCH, value) - _EPOCH
            return "clock", since // _MICROSECOND, 1000
        case _:
            return "no time", 0, 1


def _inexact(value: Any, dtype: DType, name: str, hint: str) -> TypeMismatch:
    """Return the error for a value that storing would change."""
    return TypeMismatch(
        f"column {name!r}: {_shown(value)} is not exactly a value of type {dtype}, which fit saw. "
        f"{hint}"
    )


def _shown(value: Any) -> str:
    """Return the repr of a value, shortened."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4,300 digits
        return f"an integer of {value.bit_length()} bits"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}...{text[-10:]}"


_LONGEST = 60
_FROM_TEXT = {
    "time": " Parse the text first: datetime.datetime.fromisoformat(text)",
    "instant": " Parse the text first, with its zone: datetime.datetime.fromisoformat(text)",
    "clock": " Parse the text first: datetime.time.fromisoformat(text)",
    "duration": " Pass a datetime.timedelta",
}
_FROM_NUMBER = {
    "time": " Convert the number first: numpy.datetime64(number, 's')",
    "instant": " Convert the number first: datetime.datetime.fromtimestamp(seconds, datetime.UTC)",
    "duration": " Convert the number first: datetime.timedelta(seconds=number)",
}
