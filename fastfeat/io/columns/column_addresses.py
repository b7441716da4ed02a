"""Memory addresses of many columns at once, through one export to Arrow's C interface.

This takes 0.5 us per column, mostly inside Arrow; column by column in Python takes 2 us.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from fastfeat_kernels.column import EqualChunks
from numpy.typing import NDArray

from fastfeat.io.arrow import RecordBatch

_N_WORDS = 10  # in a `struct ArrowArray`
_N_ROWS, _NULL_COUNT, _OFFSET, _N_BUFFERS, _N_CHILDREN, _BUFFERS, _CHILDREN = range(7)
_RELEASE = 8
_Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def columns_in_place(
    batch: RecordBatch, places: NDArray[np.int64], bits: NDArray[np.int64]
) -> EqualChunks | None:
    """Return the memory addresses of some columns of a batch.

    None if kernels cannot read one of these columns directly.

    Args:
        batch: The rows, at least one.
        places: Positions of columns of numbers and bools, shape (n_columns,).
        bits: Width of the values of each column in bits, shape (n_columns,).
    """
    array = np.zeros(_N_WORDS, np.int64)
    exported: Any = batch
    exported._export_to_c(array.ctypes.data)
    try:
        children = _words_at(array[_CHILDREN] + 8 * places)
        n_rows, null_counts, offsets, n_buffers, _, buffers = (
            _words_at(children + 8 * word) for word in range(_N_CHILDREN + 2)
        )
        if (n_buffers != 2).any() or (n_rows != batch.num_rows).any():
            return None
        validity, values = _words_at(buffers), _words_at(buffers + 8)
    finally:
        _Release(int(array[_RELEASE]))(array.ctypes.data)
    unknown = np.flatnonzero((null_counts < 0) & (validity != 0))
    for k, place in zip(unknown.tolist(), places[unknown].tolist(), strict=True):
        null_counts[k] = batch.column(place).null_count
    is_bits = bits == 1
    values = values + np.where(is_bits, offsets >> 3, offsets * (bits >> 3))
    if (values & np.where(is_bits, 0, (bits >> 3) - 1)).any():
        return None
    return EqualChunks(
        values,
        np.where(is_bits, offsets & 7, 0),
        np.where(null_counts == 0, 0, validity),
        offsets,
        batch.num_rows,
        batch,
    )


def _words_at(addresses: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the 64-bit integers stored at some memory addresses, which must be multiples of 8.

    The array spans all memory from the first to the last address, but only these words are read.
    """
    low = int(addresses.min())
    n = (int(addresses.max()) - low) // 8 + 1
    memory: Any = (ctypes.c_int64 * n).from_address(low)
    return np.frombuffer(memory, np.int64)[(addresses - low) >> 3]
