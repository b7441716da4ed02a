"""Columns compared by their bits: the first row that differs, and the text of its value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, pa


def first_difference(one: Array, other: Array) -> int | None:
    """Return the first row with different bits in two Arrow arrays of one type, or None."""
    if _are_same_bytes(one, other):
        return None
    missing = [np.asarray(a.is_null().to_numpy(zero_copy_only=False)) for a in (one, other)]
    differ = missing[0] != missing[1]
    values = [_bits(a) for a in (one, other)]
    differ |= (values[0] != values[1]) & ~missing[0]
    rows = np.flatnonzero(differ)
    return int(rows[0]) if len(rows) else None


def _are_same_bytes(one: Array, other: Array) -> bool:
    """Return whether all memory buffers of two arrays are equal, which proves the arrays equal."""
    if one.offset or other.offset or len(one) != len(other):
        return False
    pairs = zip(one.buffers(), other.buffers(), strict=True)
    return all(a is b is None or (a and b and a.equals(b)) for a, b in pairs)


def bits_text(array: Array, row: int) -> str:
    """Return one value as text; a float with its bits, since equal texts may hide different bits.

    Example:
        >>> import pyarrow as pa
        >>> bits_text(pa.array([0.5, None]), 0), bits_text(pa.array([0.5, None]), 1)
        ('0.5 (0x3fe0000000000000)', 'missing')
    """
    value = array[row].as_py()
    if value is None:
        return "missing"
    if not pa.types.is_floating(array.type):
        return f"{value!r}"
    width = array.type.bit_width // 8
    bits = int(_bits(array)[row]) % (1 << 8 * width)
    return f"{value!r} (0x{bits:0{2 * width}x})"


def _bits(array: Array) -> NDArray[Any]:
    """Return the values of an array as integers with the same bits; arbitrary where missing."""
    if pa.types.is_boolean(array.type):
        return array.fill_null(False).to_numpy(zero_copy_only=False)
    width = array.type.bit_width // 8
    buffer = array.buffers()[1]
    if buffer is None:
        return np.zeros(len(array), dtype=np.int64)
    values = np.frombuffer(buffer, dtype=f"i{width}", count=array.offset + len(array))
    return values[array.offset :]
