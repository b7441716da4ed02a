"""Hypothesis strategies for Arrow columns of every fixed-width type, and memory read back."""

from __future__ import annotations

import ctypes
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from fastfeat.io.columns.column import Chunk

INTEGERS = {f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)}
UNSIGNED = {f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)}
FORMATS = {"int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B", "uint16": "H"}
FORMATS |= {"uint32": "I", "uint64": "Q", "float": "f", "double": "d", "halffloat": "e"}
DAY_MS = 86_400_000


def plain_types() -> list[tuple[pa.DataType, st.SearchStrategy[Any]]]:
    """Return every fixed-width type with a strategy of its values as it stores them."""
    ints = [
        (getattr(pa, name)(), st.integers(low, high))
        for name, (low, high) in (INTEGERS | UNSIGNED).items()
    ]
    int32, int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
    times = [(pa.date32(), int32), (pa.time32("s"), int32), (pa.time32("ms"), int32)]
    times += [(pa.date64(), int64), (pa.time64("us"), int64), (pa.time64("ns"), int64)]
    times += [(pa.duration(unit), int64) for unit in ("s", "ms", "us", "ns")]
    times += [
        (pa.timestamp(unit, tz), int64) for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC")
    ]
    floats = [
        (pa.float16(), st.floats(width=16)),
        (pa.float32(), st.floats(width=32)),
        (pa.float64(), st.floats()),
    ]
    return [(pa.bool_(), st.booleans()), *ints, *floats, *times]


def storage_of(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type of the integers that a temporal type is held as; others are themselves."""
    if pa.types.is_temporal(arrow_type):
        return pa.int32() if arrow_type.bit_width == 32 else pa.int64()
    return arrow_type


def array_of(values: list[Any], arrow_type: pa.DataType) -> pa.Array:
    """Return an array of a type from storage values."""
    if pa.types.is_float16(arrow_type):  # older versions take no Python float
        values = [None if value is None else np.float16(value) for value in values]
    return pa.array(values, storage_of(arrow_type)).view(arrow_type)


@st.composite
def chunked(
    draw: st.DrawFn, arrow_type: pa.DataType, values: st.SearchStrategy[Any]
) -> tuple[pa.ChunkedArray, list[Any]]:
    """Draw a column of sliced chunks, and its storage values as a list."""
    chunks, expected = [], []
    for _ in range(draw(st.integers(0, 3))):
        rows = draw(st.lists(st.none() | values, max_size=40))
        start = draw(st.integers(0, len(rows)))
        stop = draw(st.integers(start, len(rows)))
        chunks.append(array_of(rows, arrow_type)[start:stop])
        expected += rows[start:stop]
    return pa.chunked_array(chunks, arrow_type), expected


def read_memory(chunk: Chunk, arrow_type: pa.DataType) -> list[Any]:
    """Return the values of a piece by its addresses alone; None where a value is missing."""
    return [
        _value(chunk, row, arrow_type) if _bit(chunk.validity, chunk.bit_offset + row) else None
        for row in range(chunk.length)
    ]


def same_values(left: list[Any], right: list[Any]) -> bool:
    """Whether two lists hold the same values, NaN and the sign of zero included."""
    return len(left) == len(right) and all(_same(a, b) for a, b in zip(left, right, strict=True))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("d", a) == struct.pack("d", b) or (a != a and b != b)
    return type(a) is type(b) and a == b


def _bit(address: int, at: int) -> bool:
    """Return a bit of a bitmap; no bitmap means True."""
    return address == 0 or bool(ctypes.string_at(address + at // 8, 1)[0] >> at % 8 & 1)


def _value(chunk: Chunk, row: int, arrow_type: pa.DataType) -> Any:
    """Return one value from memory."""
    if pa.types.is_boolean(arrow_type):
        return _bit(chunk.values, chunk.value_bit_offset + row)
    code = FORMATS[str(storage_of(arrow_type))]
    width = struct.calcsize(code)
    return struct.unpack(code, ctypes.string_at(chunk.values + row * width, width))[0]


def decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    """Return decimals of a number of digits and a scale."""
    limit = 10**digits - 1
    return st.integers(-limit, limit).map(lambda units: Decimal(f"{units}E-{scale}"))
