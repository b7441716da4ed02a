"""Values of groups side by side: a row that reads several of them waits for memory once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastfeat_kernels.column import Call, Run
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.tables import Words, aligned_empty

SERIAL_BELOW = 1 << 14


def side_by_side(columns: Sequence[Words], run: Run, n_parts: int = 1) -> Words:
    """Return columns as those of one array, shape (n_groups, n_words): n_words is a power of 2."""
    n_groups, n_words = len(columns[0]), 1 << (len(columns) - 1).bit_length()
    array = aligned_empty(n_groups, n_words)
    if n_groups < SERIAL_BELOW:
        np.stack(columns, axis=1, out=array[:, : len(columns)])
        return array
    columns = [np.ascontiguousarray(column) for column in columns]
    sources = np.array([column.ctypes.data for column in columns], np.int64)
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    table[layout.TABLE_SOURCES] = sources.ctypes.data
    table[layout.TABLE_OUT] = array.ctypes.data
    table[layout.TABLE_N_COLUMNS], table[layout.TABLE_STRIDE] = len(columns), n_words
    owners, share = (columns, sources, array), -(-n_groups // n_parts) or 1
    starts = range(0, n_groups, share)
    calls = [[Call(table, first, min(share, n_groups - first), owners)] for first in starts]
    run("interleave", calls)
    return array
