"""Arrow decimals as integers and as correctly rounded float64, which is how a plan reads them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import Array
from fastfeat.io.columns.bits import Flags, present_rows

_EXACT_POWER = 22  # 10**22 is the largest power of ten that float64 holds exactly
_EXACT_INTEGER = 2**53


def decimal_to_float64(array: Array) -> NDArray[np.float64]:
    """Return decimals, each correctly rounded; 0 where one is missing.

    Up to 2**53 in units of the last digit, one IEEE division (or product) of two exact numbers
    rounds once. Longer ones go through Python's integers, about half a microsecond each.

    Args:
        array: a pyarrow decimal array of any width, shape (n_rows,).
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
        values[long] = [rounded(value, scale) for value in all_units]
    if present is not None:
        values[~present] = 0.0
    return values


def decimal_units(array: Array, rows: NDArray[np.intp]) -> list[int]:
    """Return the value of some rows of a decimal array in units of its last digit."""
    width = array.type.bit_width // 8
    data = memoryview(array.buffers()[1])
    start = array.offset * width
    return [
        int.from_bytes(data[at : at + width], "little", signed=True)
        for at in (start + row * width for row in rows.tolist())
    ]


def rounded(units: int, scale: int) -> float:
    """Return `units / 10**scale` as the nearest float64; beyond its range, an infinity."""
    try:
        # True division of Python integers is correctly rounded.
        return units / 10**scale if scale >= 0 else float(units * 10**-scale)
    except OverflowError:
        return float("inf") if units > 0 else float("-inf")


def _small_units(array: Array) -> tuple[NDArray[np.int64], Flags]:
    """Return the values in units of the last digit, and where they are at most 2**53."""
    width = array.type.bit_width // 8
    count = len(array)
    if count == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_)
    data, start = array.buffers()[1], array.offset * width
    if width == 4:
        units = np.frombuffer(data, np.int32, count, start).astype(np.int64)
        return units, np.ones(count, dtype=np.bool_)
    words = np.frombuffer(data, np.int64, count * width // 8, start).reshape(count, width // 8)
    units = words[:, 0].copy()
    fits = (units >= -_EXACT_INTEGER) & (units <= _EXACT_INTEGER)
    for word in range(1, width // 8):
        fits &= words[:, word] == units >> 63
    return units, fits
