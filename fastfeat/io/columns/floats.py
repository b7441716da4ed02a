"""Conversions between float widths that give the same bits with flush-to-zero switched on.

A library may do that for the whole process; the processor's own conversions then turn subnormal
numbers into zeros without a word.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.columns.bits import Flags

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


def narrow(wide: NDArray[np.float64]) -> tuple[NDArray[np.float32], Flags]:
    """Return float64 as float32, and where that is exact (NaN is)."""
    with np.errstate(all="ignore"):
        values = wide.astype(np.float32)
    tiny = (np.abs(wide) < _NORMAL) & (wide != 0)
    if tiny.any():
        units = (np.abs(wide[tiny]) / _SMALLEST).astype(np.uint32)
        values.view(np.uint32)[tiny] = units | (np.signbit(wide[tiny]).astype(np.uint32) << 31)
    return values, same_floats(widen(values), wide)


def is_half(wide: NDArray[np.float64]) -> Flags:
    """Return flags of float64 values that are exactly float16 values (NaN is)."""
    with np.errstate(all="ignore"):
        half = wide.astype(np.float16)
    return same_floats(widen(half), wide)


def same_floats(left: NDArray[np.float64], right: NDArray[np.float64]) -> Flags:
    """Return flags of rows in which two arrays hold the same bits, or both NaN."""
    return (left.view(np.int64) == right.view(np.int64)) | (np.isnan(left) & np.isnan(right))
