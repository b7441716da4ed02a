"""Conversions between column types: the converted values, and flags of those that stay exact.

Conversions between float widths give the same bits with flush-to-zero enabled. A library may enable
it for the whole process; the processor's own conversions then silently turn subnormal numbers into
zeros. Decimals become integers if they have no digits after the point, and correctly rounded
float64 otherwise, which is how a plan reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, pa
from fastfeat.io.columns.bits import present_rows, unpack
from fastfeat.io.columns.types import DAY_MS, tick_ns
from fastfeat.ir.dtypes import FLOAT_FORMATS, INTEGER_RANGE, DType

_SMALLEST = 2.0**-149  # the smallest float32 above zero
_NORMAL = 2.0**-126  # the smallest normal float32


def widen(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return floats of any width as float64, exactly."""
    wide = values.astype(np.float64)
    if values.dtype == np.float32:
        bits = values.view(np.uint32)
        magnitude = bits & np.uint32(0x7FFFFFFF)
        subnormal = magnitude - np.uint32(1) < 0x7FFFFF
        if subnormal.any():
            exact = magnitude[subnormal].astype(np.float64) * _SMALLEST
            wide[subnormal] = np.where(bits[subnormal] >> 31, -exact, exact)
    return wide


def narrow(wide: NDArray[np.float64]) -> tuple[NDArray[np.float32], BoolArray]:
    """Return float64 as float32, and flags of the exact conversions (NaN counts as exact)."""
    with np.errstate(all="ignore"):
        values = wide.astype(np.float32)
    tiny = (np.abs(wide) < _NORMAL) & (wide != 0)
    if tiny.any():
        units = (np.abs(wide[tiny]) / _SMALLEST).astype(np.uint32)
        values.view(np.uint32)[tiny] = units | (np.signbit(wide[tiny]).astype(np.uint32) << 31)
    return values, same_floats(widen(values), wide)


def is_half(wide: NDArray[np.float64]) -> BoolArray:
    """Return flags of float64 values that float16 holds exactly (NaN counts as exact)."""
    with np.errstate(all="ignore"):
        half = wide.astype(np.float16)
    return same_floats(widen(half), wide)


def same_floats(left: NDArray[np.float64], right: NDArray[np.float64]) -> BoolArray:
    """Return flags of rows in which two arrays hold the same bits, or both NaN."""
    return (left.view(np.int64) == right.view(np.int64)) | (np.isnan(left) & np.isnan(right))


_EXACT_POWER = 22  # 10**22 is the largest power of ten that float64 holds exactly
_EXACT_INTEGER = 2**53


def decimal_to_float64(array: Array) -> NDArray[np.float64]:
    """Return decimals of any width, shape (n_rows,), each correctly rounded; 0 if missing.

    Up to 2**53 in units of the last digit, one IEEE division (or product) of two exact numbers
    rounds once. Longer ones go through Python integers, at about half a microsecond each.
    """
    scale = array.type.scale
    units, fits = _small_units(array)
    if abs(scale) > _EXACT_POWER:
        fits[:] = False
    power = float(10 ** min(abs(scale), _EXACT_POWER))
    values = units.astype(np.float64)
    values = values / power if scale >= 0 else values * power
    present = present_rows(array)
    long = np.flatnonzero(~fits if present is None else ~fits & present)
    if len(long):
        all_units = decimal_units(array, long)
        values[long] = [nearest_quotient(value, scale) for value in all_units]
    if present is not None:
        values[~present] = 0.0
    return values


def decimal_units(array: Array, rows: NDArray[np.intp]) -> list[int]:
    """Return the integer value of some rows of a decimal array, in units of its last digit."""
    width = array.type.bit_width // 8
    data = memoryview(array.buffers()[1])
    start = array.offset * width
    return [
        int.from_bytes(data[at : at + width], "little", signed=True)
        for at in (start + row * width for row in rows.tolist())
    ]


def nearest_quotient(units: int, scale: int) -> float:
    """Return `units / 10**scale` as the nearest float64; an infinity beyond its range."""
    try:
        # True division of Python integers is correctly rounded.
        return units / 10**scale if scale >= 0 else float(units * 10**-scale)
    except OverflowError:
        return float("inf") if units > 0 else float("-inf")


def _small_units(array: Array) -> tuple[NDArray[np.int64], BoolArray]:
    """Return decimals as int64 in units of their last digit, and flags of those up to 2**53."""
    words = _words(array)
    units = words[:, 0].astype(np.int64)
    fits = (units >= -_EXACT_INTEGER) & (units <= _EXACT_INTEGER)
    for word in range(1, words.shape[1]):
        fits &= words[:, word] == units >> 63
    return units, fits


def _words(array: Array) -> NDArray[np.int64]:
    """Return the 64-bit integers of which decimals consist, shape (n_rows, n_words).

    The lowest comes first. Together they are the value in units of its last digit. 32-bit decimals
    are copied.
    """
    width, count = array.type.bit_width // 8, len(array)
    n_words = max(width // 8, 1)
    if count == 0:
        return np.empty((0, n_words), np.int64)
    data, start = array.buffers()[1], array.offset * width
    if width == 4:
        return np.frombuffer(data, np.int32, count, start).astype(np.int64).reshape(count, 1)
    return np.frombuffer(data, np.int64, count * n_words, start).reshape(count, n_words)


class ConvertedPiece(NamedTuple):
    """One chunk of a column after its conversion to another type.

    Args:
        values: Shape (n_rows,); arbitrary where a value is missing.
        exact: Whether the conversion changed nothing, per row.
        present: Whether there is a value, per row; None if all rows have one.
    """

    values: NDArray[Any]
    exact: BoolArray
    present: BoolArray | None


def conversion(
    given: DType, wanted: DType
) -> Callable[[Array, DType, DType], ConvertedPiece] | None:
    """Return a function that converts chunks of one type to another; None for unrelated types."""
    family = _family(given)
    if family is None or family != _family(wanted):
        return None
    return _rescale if given.is_temporal else _FROM_NUMBERS[_number_kind(given)]


def _family(dtype: DType) -> tuple[str, str | None] | None:
    """Return the family of types between which values can be converted; None for text and null.

    All timestamps with a zone form one family: the zone affects date parts, not the instant.
    """
    if dtype.name in ("date32", "date64"):
        return "timestamp", None
    if dtype.is_temporal:
        return dtype.name, None if dtype.tz is None else "instant"
    return ("number", None) if dtype.is_number and dtype.name != "null" else None


def _number_kind(dtype: DType) -> str:
    """Return the kind of a number: whole (including booleans), decimal, or float."""
    if dtype.is_integer or dtype.name == "bool":
        return "whole"
    return "decimal" if dtype.name == "decimal" else "float"


def _from_whole(piece: Array, given: DType, wanted: DType) -> ConvertedPiece:
    """Return integers, booleans or whole decimals as another numeric type."""
    if pa.types.is_decimal(piece.type):
        return _from_decimal(piece, given, wanted)
    values = read_values(piece, given)
    present = present_rows(piece)
    if _number_kind(wanted) == "whole":
        low, high = _whole_range(wanted)
        limits = np.iinfo(values.dtype)
        exact = (values >= max(low, limits.min)) & (values <= min(high, limits.max))
        return ConvertedPiece(values.astype(np.dtype(wanted.name)), exact, present)
    exact = (
        np.ones(len(values), dtype=np.bool_)  # a decimal of any precision may hold it
        if wanted.name == "decimal"
        else _fits_mantissa(values, wanted)
    )
    return ConvertedPiece(values.astype(_float_storage(wanted)), exact, present)


def _from_float(piece: Array, given: DType, wanted: DType) -> ConvertedPiece:
    """Return floats as another numeric type; NaN becomes missing in integers."""
    wide = widen(read_values(piece, given))
    present = present_rows(piece)
    if _number_kind(wanted) != "whole":
        return _from_wide(wide, present, wanted)
    low, high = _whole_range(wanted)
    is_number = ~np.isnan(wide)
    inside = (wide >= float(low)) & (wide < float(high + 1))
    values = np.where(inside, wide, 0.0).astype(np.int64 if low < 0 else np.uint64)
    # Compare bits because 5e-324 == 0.0 if denormals-are-zero is on.
    is_whole = same_floats(values.astype(np.float64), wide) | (wide.view(np.int64) << 1 == 0)
    present = is_number if present is None else present & is_number
    return ConvertedPiece(values.astype(np.dtype(wanted.name)), inside & is_whole, present)


def _from_wide(
    wide: NDArray[np.float64], present: BoolArray | None, wanted: DType
) -> ConvertedPiece:
    """Return float64 values as a float type; decimals and float16 are stored as float64."""
    if wanted.name == "float32":
        values, exact = narrow(wide)
        return ConvertedPiece(values, exact, present)
    exact = is_half(wide) if wanted.name == "float16" else np.ones(len(wide), dtype=np.bool_)
    return ConvertedPiece(wide, exact, present)


def _from_decimal(piece: Array, given: DType, wanted: DType) -> ConvertedPiece:
    """Return decimals as another numeric type; for floats each value is checked in Python."""
    del given
    present = present_rows(piece)
    if _number_kind(wanted) == "whole":
        values, exact = _whole_decimals(piece, wanted)
        return ConvertedPiece(values.astype(np.dtype(wanted.name), copy=False), exact, present)
    wide = decimal_to_float64(piece)
    if wanted.name == "decimal":
        return _from_wide(wide, present, wanted)
    units = decimal_units(piece, np.arange(len(piece)))
    scale = piece.type.scale
    true_values = [Fraction(value) / Fraction(10) ** scale for value in units]
    result = _from_wide(wide, present, wanted)
    is_finite = np.isfinite(wide)
    same = [
        ok and Fraction(near) == value
        for ok, near, value in zip(is_finite.tolist(), wide.tolist(), true_values, strict=True)
    ]
    return ConvertedPiece(result.values, result.exact & np.array(same, bool), present)


def _whole_decimals(piece: Array, wanted: DType) -> tuple[NDArray[Any], BoolArray]:
    """Return decimals as int64 or uint64, and flags of values that an integer type holds."""
    low, high = _whole_range(wanted)
    scale, is_signed = piece.type.scale, low < 0
    units, fits = _units_of_64_bits(piece, is_signed=is_signed)
    most = 19  # digits of the largest power of ten in 64 bits
    if abs(scale) > most or (is_signed and abs(scale) == most):  # only 0 is whole then
        fits &= units == 0
    elif scale > 0:
        power = units.dtype.type(10**scale)
        fits &= units % power == 0
        units = units // power
    elif scale < 0:
        power, limits = 10**-scale, np.iinfo(units.dtype)
        fits &= (units <= limits.max // power) & (units >= -(-limits.min // power))
        units = units * units.dtype.type(power)
    if high < np.iinfo(units.dtype).max:
        fits &= (units >= low) & (units <= high)
    return units, fits


def _units_of_64_bits(array: Array, *, is_signed: bool) -> tuple[NDArray[Any], BoolArray]:
    """Return decimals in units of their last digit, and flags of those that fit 64 bits."""
    words = _words(array)
    units = words[:, 0].copy()
    sign = units >> 63 if is_signed else np.int64(0)
    further = [words[:, word] == sign for word in range(1, words.shape[1])]
    if further:
        fits = np.logical_and.reduce(further) if len(further) > 1 else further[0]
    else:
        fits = np.ones(len(units), np.bool_) if is_signed else units >= 0
    return units.view(np.int64 if is_signed else np.uint64), fits


def _rescale(piece: Array, given: DType, wanted: DType) -> ConvertedPiece:
    """Return times in another resolution; dates are midnights."""
    ticks = read_values(piece, given).astype(np.int64)
    given_ns, wanted_ns = tick_ns(given), tick_ns(wanted)
    if given_ns >= wanted_ns:
        factor = given_ns // wanted_ns
        exact = (ticks >= -(2**63 // factor)) & (ticks <= (2**63 - 1) // factor)
        values = ticks * factor
    else:
        factor = wanted_ns // given_ns
        values = ticks // factor
        exact = values * factor == ticks
    if wanted.name == "date64":
        exact &= values % DAY_MS == 0
    if is_32_bits(wanted):
        exact &= values == values.astype(np.int32)
        values = values.astype(np.int32)
    return ConvertedPiece(values, exact, present_rows(piece))


def read_values(piece: Array, dtype: DType) -> NDArray[Any]:
    """Return the values of a chunk as NumPy, shape (n_rows,): bool as uint8, times as integers.

    The array must not be encoded, and its type not be decimal, text or null.
    """
    if dtype.name == "bool":
        return unpack(piece.buffers()[1], piece.offset, len(piece)).view(np.uint8)
    if dtype.is_temporal:
        storage = np.dtype(np.int32 if is_32_bits(dtype) else np.int64)
    else:
        storage = np.dtype(dtype.name)
    if len(piece) == 0:
        return np.empty(0, dtype=storage)
    return np.frombuffer(piece.buffers()[1], storage, len(piece), piece.offset * storage.itemsize)


def _fits_mantissa(values: NDArray[Any], wanted: DType) -> BoolArray:
    """Return flags of integers that a float type holds exactly."""
    signed = values.astype(np.int64) if values.dtype != np.uint64 else values
    magnitude = np.where(signed < 0, np.negative(signed.view(np.uint64)), signed.view(np.uint64))
    lowest_bit = magnitude & np.negative(magnitude)
    exact = (magnitude >> np.uint64(FLOAT_FORMATS[wanted.name].n_bits)) < lowest_bit
    if wanted.name == "float16":
        exact &= magnitude <= LARGEST_HALF
    return exact | (magnitude == 0)


def _whole_range(dtype: DType) -> tuple[int, int]:
    """Return the least and greatest value of an integer type, or of bool."""
    return (0, 1) if dtype.name == "bool" else INTEGER_RANGE[dtype.name]


def _float_storage(dtype: DType) -> type[np.floating[Any]]:
    """Return the NumPy type that values of a float type are read as."""
    return np.float32 if dtype.name == "float32" else np.float64


def is_32_bits(dtype: DType) -> bool:
    """Return whether values of a temporal type are stored in 32 bits instead of 64."""
    return dtype.name == "date32" or (dtype.name == "time" and dtype.unit in ("s", "ms"))


LARGEST_HALF = 65_504
_FROM_NUMBERS: dict[str, Callable[[Array, DType, DType], ConvertedPiece]] = {
    "whole": _from_whole,
    "float": _from_float,
    "decimal": _from_decimal,
}
