"""The fastfeat type (DType) of an Arrow column, and the Arrow types for a DType."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import DataType, Schema, Table, pa
from fastfeat.ir import dtypes
from fastfeat.ir.dtypes import PER_SECOND, DType

DAY_MS = 86_400_000
ALWAYS_CONVERTED = frozenset({"float16", "decimal", "null"})
"""Types of values that are stored otherwise than as their bits."""


@dataclass(frozen=True, slots=True)
class UnsupportedType:
    """The type of a column that no expression can read, but that can be kept in the output.

    Args:
        name: The Arrow type as text, such as `struct<x: int64>`.
    """

    name: str

    def __str__(self) -> str:
        """Return the Arrow type as text."""
        return self.name


def dtype_of(arrow_type: DataType) -> DType:
    """Return the type of the values of an Arrow column.

    A dictionary or run-end encoded column has the type of its values.

    Example:
        >>> import pyarrow as pa
        >>> str(dtype_of(pa.dictionary(pa.int8(), pa.large_string())))
        'utf8'
    """
    dtype = known_type(arrow_type)
    if dtype is None:
        raise TypeMismatch(f"columns of type {arrow_type} cannot be read by an expression")
    return dtype


def schema_of(table: Table) -> dict[str, DType | UnsupportedType]:
    """Return the type of every column of a pyarrow Table, RecordBatch or Schema, in order."""
    schema = getattr(table, "schema", table)
    return {
        field.name: known_type(field.type) or UnsupportedType(str(field.type)) for field in schema
    }


def supported(dtype: DType | UnsupportedType, name: str) -> DType:
    """Return a type from `schema_of` for a column that an expression reads."""
    if isinstance(dtype, UnsupportedType):
        raise TypeMismatch(
            f"{column_text(name)}: columns of type {dtype} cannot be read by an expression. "
            "Convert it to numbers, text or times first, or pass it through with keep=[...]"
        )
    return dtype


@lru_cache(maxsize=4096)
def arrow_type(dtype: DType) -> DataType:
    """Return the Arrow type of an output feature.

    A decimal with digits after the point is read as float64, and therefore written as float64.
    """
    match dtype.name:
        case "timestamp":
            return pa.timestamp(dtype.unit, dtype.tz)
        case "duration":
            return pa.duration(dtype.unit)
        case "list":
            assert dtype.of is not None
            return pa.large_list(arrow_type(dtype.of))
        case "bfloat16":  # its bits; only inside a backend
            return pa.uint16()
        case "time":
            return pa.time32(dtype.unit) if dtype.unit in ("s", "ms") else pa.time64(dtype.unit)
        case _:
            return _OUTPUT[dtype.name]


@lru_cache(maxsize=4096)
def storage_type(dtype: DType) -> DataType:
    """Return the Arrow type of the storage from which kernels read a column of a type.

    Times, dates and durations are their integers; float16, decimals with a scale and null are
    float64. Lists are large lists of such values, or of large strings.
    """
    if dtype.of is not None:
        text = dtype.of == dtypes.UTF8
        return pa.large_list(pa.large_string() if text else storage_type(dtype.of))
    given = arrow_type(dtype)
    if dtype.is_temporal:
        return pa.int32() if given.bit_width == 32 else pa.int64()
    return pa.float64() if dtype.name in ("float16", "null") else given


def column_text(name: str) -> str:
    """Return a column as written in a plan, for messages."""
    return f"col({json.dumps(name, ensure_ascii=False)})"


def known_type(arrow: DataType) -> DType | None:
    """Return the DType of an Arrow type, or None if no expression can read it.

    Decimals without digits after the point are int64: warehouses write row ids as decimal(38, 0),
    and as float64 two adjacent ids above 2**53 would be equal.
    """
    plain = _INPUT.get(arrow.id)
    if plain is not None:
        return plain
    if arrow.id == _TIMESTAMP:
        return dtypes.timestamp(arrow.unit, arrow.tz)
    if arrow.id in _TIMES:
        return dtypes.time(arrow.unit)
    if arrow.id == _DURATION:
        return dtypes.duration(arrow.unit)
    if is_list_type(arrow):
        element = known_type(arrow.value_type)
        return None if element is None or element.is_list else dtypes.list_of(element)
    if pa.types.is_dictionary(arrow) or pa.types.is_run_end_encoded(arrow):
        return known_type(arrow.value_type)
    if not pa.types.is_decimal(arrow):
        return None
    return dtypes.INT64 if arrow.scale <= 0 else dtypes.DECIMAL


def is_list_type(arrow: DataType) -> bool:
    """Return whether each row of a column of this type holds several values."""
    types = pa.types
    return bool(
        types.is_list(arrow) or types.is_large_list(arrow) or types.is_fixed_size_list(arrow)
    )


_OUTPUT: dict[str, DataType] = {
    "bool": pa.bool_(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "decimal": pa.float64(),
    "date32": pa.date32(),
    "date64": pa.date64(),
    "utf8": pa.string(),
    "binary": pa.binary(),
    "null": pa.null(),
    **{name: getattr(pa, name)() for name in dtypes.INTEGER_RANGE},
}
_BYTES = (pa.binary(), pa.large_binary(), pa.binary_view())
_INPUT: dict[int, DType] = {
    **{_OUTPUT[name].id: DType(name) for name in _OUTPUT if name not in ("decimal", "utf8")},
    **{text.id: dtypes.UTF8 for text in (pa.string(), pa.large_string(), pa.string_view())},
    **{content.id: dtypes.BINARY for content in _BYTES},
}
_TIMESTAMP: int = pa.timestamp("s").id
_DURATION: int = pa.duration("s").id
_TIMES: frozenset[int] = frozenset({pa.time32("s").id, pa.time64("us").id})


def row_bytes(schema: Schema, of_text: int = 16) -> int:
    """Return the approximate bytes of a row, at least 1.

    `of_text` is the assumed size of a value without a fixed width: text, lists.

    Example:
        >>> import pyarrow as pa
        >>> schema = pa.schema({"x": pa.float64(), "s": pa.string(), "b": pa.bool_()})
        >>> row_bytes(schema), row_bytes(schema, of_text=32)
        (25, 41)
    """
    return max(1, sum(_value_bytes(dtype, of_text) for dtype in schema.types))


def _value_bytes(dtype: DataType, of_text: int) -> int:
    try:
        return -(-dtype.bit_width // 8)
    except ValueError:
        return of_text


@cache
def memory_type(dtype: DType) -> np.dtype[Any]:
    """Return the NumPy type of the memory to which kernels write a feature.

    bool is bits in uint8; bfloat16, which NumPy lacks, is bits in uint16.
    """
    if dtype.name in ("bool", "bfloat16"):
        return np.dtype(np.uint8 if dtype.name == "bool" else np.uint16)
    if dtype.is_temporal:
        return np.dtype(f"i{arrow_type(dtype).bit_width // 8}")
    return np.dtype(np.float64 if dtype.name in ("decimal", "null") else dtype.name)


def is_read_unconverted(given: DataType, dtype: DType) -> bool:
    """Return whether columns of an Arrow type are read without conversion as values of `dtype`."""
    if dtype.name in ALWAYS_CONVERTED or dtype.holds_bytes or dtype.is_list:
        return False
    return given == arrow_type(dtype)


def tick_ns(dtype: DType) -> int:
    """Return the nanoseconds between two adjacent values of a temporal type."""
    if dtype.unit is not None:
        return 10**9 // PER_SECOND[dtype.unit]
    return DAY_MS * 10**6 if dtype.name == "date32" else 10**6


def tick_of(dtype: DType) -> int:
    """Return the nanoseconds per tick of the time type; 1 for integer times."""
    return tick_ns(dtype) if dtype.is_temporal else 1
