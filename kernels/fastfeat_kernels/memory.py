"""Reading columns and words at an address in plain Python, for the reference of every kernel."""

from __future__ import annotations

import ctypes
from typing import Any, Final

_FLOATS: Final = {"float64": ctypes.c_double, "float32": ctypes.c_float}
_INTEGERS: Final = {
    "int8": ctypes.c_int8,
    "int16": ctypes.c_int16,
    "int32": ctypes.c_int32,
    "int64": ctypes.c_int64,
    "uint8": ctypes.c_uint8,
    "uint16": ctypes.c_uint16,
    "uint32": ctypes.c_uint32,
    "uint64": ctypes.c_uint64,
}


def words_at(address: int, n: int, signed: bool = True, bits: int = 64) -> Any:
    """Return n integers at an address as a sequence that can be read and written."""
    return (_INTEGERS[f"{'int' if signed else 'uint'}{bits}"] * n).from_address(address)


def doubles_at(address: int, n: int) -> Any:
    """Return n floats at an address as a sequence that can be read and written."""
    return (ctypes.c_double * n).from_address(address)


def bit_at(address: int, index: int) -> bool:
    """Return a bit of a bitmap."""
    byte = ctypes.c_uint8.from_address(address + (index >> 3)).value
    return bool(byte >> (index & 7) & 1)


def value_at(
    element: str, values: int, value_bit: int, validity: int, bit_offset: int, row: int
) -> float | int | bool | None:
    """Return the value of a row, None if it is missing; NaN is missing."""
    if validity and not bit_at(validity, bit_offset + row):
        return None
    if element == "bool":
        return bit_at(values, value_bit + row)
    if element in _INTEGERS:
        kind = _INTEGERS[element]
        return kind.from_address(values + row * ctypes.sizeof(kind)).value
    kind = _FLOATS[element]
    value = kind.from_address(values + row * ctypes.sizeof(kind)).value
    return value if value == value else None


def text_at(
    offsets: int, offset_bytes: int, data: int, validity: int, bit_offset: int, row: int
) -> bytes | None:
    """Return the bytes of a row of text, None if it is missing."""
    if validity and not bit_at(validity, bit_offset + row):
        return None
    start, end = words_at(offsets + row * offset_bytes, 2, bits=8 * offset_bytes)
    return ctypes.string_at(data + start, end - start) if end > start else b""
