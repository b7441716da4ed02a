"""Values by row number, on the caller's threads; `fastfeat_kernels.gather` has the spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from fastfeat_kernels import gather as layout
from fastfeat_kernels.arrays import Int64Array, Uint8Array
from fastfeat_kernels.column import ArrowChunk, CallRunner, KernelRowCall, split_rows

_LANES: Final = 64


class GatheredValues(NamedTuple):
    """Values by row.

    Args:
        values: Bytes of the values, 0 for missing ones.
        bitmap: Bits of present values, in Arrow's layout, in whole words; None if all are present.
    """

    values: Uint8Array
    bitmap: Int64Array | None


def gather(
    numbers: Sequence[ArrowChunk],
    column: ArrowChunk,
    n_bytes: int,
    run: CallRunner,
    n_parts: int = 1,
    memory: Uint8Array | None = None,
) -> GatheredValues:
    """Return the value of each row number."""
    n_rows = sum(chunk.length for chunk in numbers)
    is_marked = bool(column.validity) or any(chunk.validity for chunk in numbers)
    bitmap = np.zeros(-(-n_rows // _LANES), np.int64) if is_marked else None
    values = np.empty(n_bytes * n_rows, np.uint8) if memory is None else memory
    if column.length == 0:  # so no number can be present
        values[:] = 0
        return GatheredValues(values, bitmap)
    calls: list[list[KernelRowCall]] = []
    for part in split_rows(numbers, n_parts, _LANES):
        calls.append([])
        for rows in part:
            words = np.zeros(layout.N_TABLE_WORDS, np.int64)
            words[layout.TABLE_NUMBERS] = rows.chunk.values
            words[layout.TABLE_VALIDITY] = rows.chunk.validity
            words[layout.TABLE_BIT_OFFSET] = rows.chunk.bit_offset
            words[layout.TABLE_VALUES] = column.values
            words[layout.TABLE_VALUES_VALIDITY] = column.validity
            words[layout.TABLE_VALUES_BIT_OFFSET] = column.bit_offset
            words[layout.TABLE_LOG_BYTES] = n_bytes.bit_length() - 1
            words[layout.TABLE_GATHERED] = values.ctypes.data + n_bytes * rows.chunk_start
            words[layout.TABLE_BITMAP] = 0 if bitmap is None else bitmap.ctypes.data
            words[layout.TABLE_FIRST_BIT] = rows.chunk_start
            owners = rows, column, values, bitmap
            calls[-1].append(KernelRowCall(words, rows.first, rows.n, owners))
    run("gather", calls)
    return GatheredValues(values, bitmap)
