"""Single columns that are not Arrow yet: NumPy arrays, lists, pandas and Polars series.

NumPy numbers and times are wrapped without a copy. `pyarrow.array` is used only for other values:
its first call in a process imports pandas, which takes 200 ms.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, time
from typing import Any, cast

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from numpy.typing import NDArray

from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.types import column_text
from fastfeat.ir.dtypes import INTEGER_RANGE


def column_array(values: Any, name: str) -> Array | ChunkedArray:
    """Return one column of any kind as a pyarrow array or chunked array.

    `values` is a NumPy array (also masked), list, tuple, range, pyarrow array, pandas or Polars
    series, or any object that exports Arrow data or a NumPy array.
    """
    if isinstance(values, np.ndarray):
        return numpy_array(cast("NDArray[Any]", values), name)
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, (list, tuple, range)):
        return _python_array(values, name)
    return _foreign_array(values, name)


def numpy_array(values: NDArray[Any], name: str) -> Array | ChunkedArray:
    """Return a NumPy array, shape (n_rows,), as a pyarrow array, without a copy if layouts agree.

    NaN stays a value; NaT and masked elements become null. Years and months become days, and so do
    weeks; hours and minutes become seconds.
    """
    if values.ndim != 1:
        raise TypeMismatch(
            f"{column_text(name)}: a column has one dimension, this array has shape {values.shape}"
        )
    present: BoolArray | None = None
    if type(values) is not np.ndarray and isinstance(values, np.ma.MaskedArray):
        present = ~np.ma.getmaskarray(values)
        values = values.data
    kind = values.dtype.kind
    if kind in "mM":
        return _ticks(values, present, name)
    if kind in "OUTS":
        return _object_array(values, present, name)
    arrow = _PRIMITIVE.get(values.dtype.newbyteorder("="))
    if arrow is None:
        raise TypeMismatch(
            f"{column_text(name)}: NumPy's {values.dtype} has no exact Arrow type. "
            "Convert it first, for example floats to float64"
        )
    return array_of_values(_in_native_order(values), present, arrow)


def _in_native_order(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array in contiguous, aligned memory and native byte order: itself, or a copy."""
    flags = values.flags
    if flags.c_contiguous and flags.aligned and values.dtype.isnative:
        return values
    return np.array(values, dtype=values.dtype.newbyteorder("="), order="C")


def _ticks(values: NDArray[Any], present: BoolArray | None, name: str) -> Array:
    """Return datetime64 or timedelta64 values as timestamps, dates or durations."""
    wanted = _TICK_TYPE.get(values.dtype.str[1:])
    if wanted is None:
        raise TypeMismatch(
            f"{column_text(name)}: NumPy's {values.dtype} has no exact Arrow type. "
            "Convert it to seconds, ms, us or ns first"
        )
    numpy_type, arrow = wanted
    native = _in_native_order(values)
    beyond = TypeMismatch(
        f"{column_text(name)}: some {values.dtype} values are outside the range of {numpy_type}"
    )
    try:
        converted = native if native.dtype.str[1:] == numpy_type else native.astype(numpy_type)
    except OverflowError:  # NumPy 2.5 and later; older versions wrap around
        raise beyond from None
    if converted is not native and not np.array_equal(
        converted.astype(native.dtype), native, equal_nan=True
    ):
        raise beyond
    ticks = converted.view(np.int64)
    is_time = ticks != _NAT
    if not is_time.all():
        present = is_time if present is None else present & is_time
    if arrow.bit_width == 32:
        ticks = _days(ticks, is_time, name)
    return array_of_values(ticks, present, arrow)


def _days(ticks: NDArray[np.int64], is_time: BoolArray, name: str) -> NDArray[np.int32]:
    """Return days as the 32-bit integers that Arrow stores; raises TypeMismatch beyond 32 bits."""
    days = np.where(is_time, ticks, 0)
    if ((days < -(2**31)) | (days >= 2**31)).any():
        raise TypeMismatch(
            f"{column_text(name)}: some datetime64[D] values are too far from 1970: their number "
            "of days does not fit in 32 bits"
        )
    return days.astype(np.int32)


def _object_array(values: NDArray[Any], present: BoolArray | None, name: str) -> Any:
    """Return a NumPy array of text or Python objects as an Arrow array."""
    if values.dtype.kind == "T":
        values = values.astype(object)  # pyarrow does not accept missing elements of StringDType
    if present is not None:
        values = values.astype(object)
        values[~present] = None
    return _python_array(values, name)


def _python_array(values: Any, name: str) -> Any:
    """Return Python objects as an Arrow array of one type that holds them; NaN becomes null."""
    try:
        return _without_loss(_inferred(values), values, name)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        if isinstance(error, TypeMismatch):
            raise
        if any(_is_no_time(value) for value in values):  # pyarrow rejects NaT without a unit
            return _python_array([None if _is_no_time(one) else one for one in values], name)
        raise TypeMismatch(
            f"{column_text(name)}: its values have no common type: {error}. Convert them to one"
        ) from error


def _inferred(values: Any) -> Any:
    """Return Python objects in the Arrow type that pyarrow infers, or uint64 if int64 overflows."""
    try:
        return _converted(values)
    except OverflowError:
        return _converted(values, pa.uint64())


def _converted(values: Any, kind: Any = None) -> Any:
    """Return Python objects as an Arrow array of type `kind` (None infers it); NaN becomes null.

    If the environment variable PYARROW_IGNORE_TIMEZONE is set, pyarrow treats the local time of a
    datetime with a zone as UTC. pandera and pyspark.pandas set it for the whole process. This
    function gives the correct instants nevertheless.
    """
    array = pa.array(values, type=kind, from_pandas=True)
    if os.environ.get("PYARROW_IGNORE_TIMEZONE") and "tz=" in str(array.type):
        return pa.array([_in_utc(value) for value in values], type=array.type, from_pandas=True)
    return array


def _in_utc(value: Any) -> Any:
    """Return a datetime with a zone as the same instant in UTC, also inside lists and dicts."""
    if isinstance(value, list | tuple | np.ndarray):
        return [_in_utc(one) for one in cast("Any", value)]
    if isinstance(value, dict):
        return {name: _in_utc(one) for name, one in cast("Any", value).items()}
    if not isinstance(value, datetime) or value.tzinfo is None:
        return value
    try:
        return value.astimezone(UTC)
    except OverflowError:  # a day before the first year, or after the last one
        raise ValueError(f"the time {value} is not within the years 1 to 9999 in UTC") from None


def _without_loss(array: Any, values: Any, name: str) -> Any:
    """Return times with all their digits; raise for values that pyarrow would change.

    PyArrow truncates the nanoseconds of pandas times, gives naive times the zone of their
    neighbours, drops the hours of a datetime among dates, and reads 5 steps of 3 s as 5 s.
    """
    given = array.type
    if not pa.types.is_temporal(given):
        return array
    if any(_in_steps(value) for value in values):  # pyarrow would mistake the steps for units
        return _python_array([_in_units(value) for value in values], name)
    is_present = array.is_valid().to_pylist()
    present = [value for value, is_value in zip(values, is_present, strict=True) if is_value]
    zones = {str(zone) for zone in (getattr(value, "tzinfo", None) for value in present)}
    if len(zones) > 1:
        raise TypeMismatch(
            f"{column_text(name)}: its times have different time zones: {sorted(zones)}. Convert "
            "them to one"
        )
    if pa.types.is_time(given) and zones - {"None"}:
        raise TypeMismatch(
            f"{column_text(name)}: a time of day cannot have a time zone, got {zones.pop()}. "
            "Remove the zone"
        )
    if pa.types.is_date(given) and any(_has_time(value) for value in present):
        raise TypeMismatch(
            f"{column_text(name)}: some values are dates and others are datetimes. Convert all to "
            "one of them"
        )
    if any(getattr(value, "nanosecond", 0) for value in present):
        return _converted(values, pa.timestamp("ns", given.tz))
    if any(getattr(value, "nanoseconds", 0) for value in present):
        return _converted(values, pa.duration("ns"))
    return array


def _is_no_time(value: Any) -> bool:
    """Return whether a value is a NumPy NaT."""
    return type(value) in (np.datetime64, np.timedelta64) and bool(np.isnat(value))


def _in_steps(value: Any) -> bool:
    """Return whether a value is a NumPy time that counts several units, such as datetime64[3s]."""
    return type(value) in (np.datetime64, np.timedelta64) and np.datetime_data(value.dtype)[1] > 1


def _in_units(value: Any) -> Any:
    """Return a NumPy time as a count of single units; other values unchanged."""
    if not _in_steps(value):
        return value
    return value.astype(f"{value.dtype.kind}8[{np.datetime_data(value.dtype)[0]}]")


def _has_time(value: object) -> bool:
    """Return whether a value among dates is a datetime other than midnight."""
    return isinstance(value, datetime) and value.time() != time()


def _foreign_array(values: Any, name: str) -> Any:
    """Return a column of another library as an Arrow array."""
    if type(values).__module__.partition(".")[0] == "pandas" and hasattr(values, "dtype"):
        return pandas_array(values, name)
    if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
        return _capsule_array(values, name)
    if hasattr(values, "__array__") or hasattr(values, "__array_interface__"):
        return numpy_array(np.asarray(values), name)
    raise TypeMismatch(
        f"{column_text(name)}: got {type(values).__name__}, which is not a column. "
        "Pass a NumPy array, a list, or an Arrow, pandas or Polars column; for one row [value]"
    )


def _capsule_array(values: Any, name: str) -> Any:
    """Return a column that exports Arrow data through the C interface, such as a Polars series."""
    dtype = getattr(values, "dtype", None)
    if is_polars_object(dtype):
        raise no_arrow_type(name, dtype)
    try:
        return (
            pa.chunked_array(values) if hasattr(values, "__arrow_c_stream__") else pa.array(values)
        )
    except (pa.ArrowException, ValueError, TypeError) as error:
        if type(values).__module__.partition(".")[0] == "polars":
            raise no_arrow_type(name, dtype) from error
        raise TypeMismatch(
            f"{column_text(name)}: its Arrow data cannot be read: {error}"
        ) from error


def is_polars_object(dtype: Any) -> bool:
    """Return whether a type, a class or an instance, is Polars' type of Python objects."""
    of = dtype if isinstance(dtype, type) else type(dtype)
    return of.__name__ == "Object" and of.__module__.partition(".")[0] == "polars"


def no_arrow_type(name: str, dtype: Any) -> TypeMismatch:
    """Return the error for a Polars column without an Arrow type."""
    if is_polars_object(dtype):
        hint = (
            "Arrow would see only the addresses of its Python objects. Give it a type first: "
            f"polars.Series({name!r}, frame[{name!r}].to_list())"
        )
    else:
        hint = "Cast it to one that Arrow has, such as polars.Int64 or polars.Float64"
    return TypeMismatch(f"{column_text(name)}: Polars' {dtype} has no Arrow type: {hint}")


def pandas_array(values: Any, name: str) -> Any:
    """Return a pandas Series or extension array as an Arrow array, with its zone."""
    dtype: Any = values.dtype
    kind = type(dtype).__name__
    if isinstance(dtype, np.dtype) or kind == "SparseDtype":
        return numpy_array(np.asarray(values), name)
    try:
        if kind == "DatetimeTZDtype":
            naive = numpy_array(np.asarray(values, dtype=f"M8[{dtype.unit}]"), name)
            return naive.view(pa.timestamp(dtype.unit, dtype.tz))
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise TypeMismatch(
            f"{column_text(name)}: pandas {dtype} has no Arrow type: {error}"
        ) from error


_NAT = np.iinfo(np.int64).min
_PRIMITIVE: dict[np.dtype[Any], Any] = {
    np.dtype(name): getattr(pa, "bool_" if name == "bool" else name)()
    for name in ("bool", "float16", "float32", "float64", *INTEGER_RANGE)
}
_UNITS = ("s", "ms", "us", "ns")
_TICK_TYPE: dict[str, tuple[str, Any]] = {
    **{f"M8[{unit}]": (f"M8[{unit}]", pa.timestamp(unit)) for unit in _UNITS},
    **{f"m8[{unit}]": (f"m8[{unit}]", pa.duration(unit)) for unit in _UNITS},
    **{f"M8[{unit}]": ("M8[D]", pa.date32()) for unit in ("Y", "M", "W", "D")},
    **{f"M8[{unit}]": ("M8[s]", pa.timestamp("s")) for unit in ("h", "m")},
    **{f"m8[{unit}]": ("m8[s]", pa.duration("s")) for unit in ("W", "D", "h", "m")},
}
