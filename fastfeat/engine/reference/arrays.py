"""Arrow arrays from the reference's lists, with the same bytes as a kernel writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfeat.dtypes import DType
from fastfeat.io.columns.keys import key_array, stored_array
from fastfeat.io.sinks.write import array_from_buffers, output_storage


def array_of(values: list[Any], dtype: DType) -> Any:
    """Return an Arrow array of a type; a missing float is a NaN under a null, anything else a 0."""
    storage = output_storage(dtype)
    is_float = storage.kind == "f"
    filler: Any = float("nan") if is_float else 0
    present = np.array([value is not None for value in values], dtype=bool)
    filled = [filler if value is None else value for value in values]
    null_count = len(values) - int(present.sum())
    validity = np.packbits(present, bitorder="little")
    if dtype.name == "bool":
        bits = np.packbits(np.array(filled, dtype=bool), bitorder="little")
        return array_from_buffers(dtype, bits, validity, null_count, len(values))
    if is_float:
        with np.errstate(over="ignore"):
            array = np.array(filled, dtype=np.float64).astype(storage)
    else:
        wide = [value % (1 << 64) for value in filled]
        array = np.array(wide, dtype=np.uint64).view(np.int64).astype(storage)
    return array_from_buffers(dtype, array, validity, null_count, len(values))


def column_of_values(values: list[Any], dtype: DType) -> Any:
    if dtype.is_temporal:
        return stored_array(values, dtype)
    return key_array(values, dtype) if dtype.holds_bytes else array_of(values, dtype)


def stored_values(values: Any, dtype: DType) -> list[Any]:
    """Return values as they are stored: times as integers."""
    from fastfeat.io.columns.types import storage_type

    if not dtype.is_temporal:
        return values.to_pylist()
    plain = storage_type(dtype)
    chunks = values.chunks if hasattr(values, "chunks") else [values]
    return [value for chunk in chunks for value in chunk.view(plain).to_pylist()]
