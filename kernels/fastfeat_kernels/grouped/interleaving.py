"""Values of groups side by side, and joined back to the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastfeat_kernels.column import Call, Run
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.finalize import Floats
from fastfeat_kernels.grouped.tables import Groups, Words, aligned_empty

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


def values_by_row(
    values: Sequence[Floats],
    groups: Groups,
    run: Run,
    n_parts: int = 1,
    out: Sequence[Floats] | None = None,
) -> list[Floats]:
    """Return for each row the values of its group, NaN where it is in none.

    Args:
        values: arrays of shape (n_groups,), float64; at least one.
        groups: shape (n_rows,): number of the group of each row; negative where it is in none.
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of rows to divide the work.
        out: arrays of shape (n_rows,), float64, contiguous, to write to.
    """
    groups, n_rows = np.ascontiguousarray(groups, np.int32), len(groups)
    found = [np.empty(n_rows, np.float64) for _ in values] if out is None else list(out)
    if any(len(one) == 0 for one in values):  # no group: no row is in one
        for target in found:
            target[:] = np.nan
        return found
    # a row reads one line of the cache, not many
    table_of_groups = side_by_side([one.view(np.int64) for one in values], run, n_parts)
    sources = table_of_groups.ctypes.data + 8 * np.arange(len(values))
    targets = np.array([one.ctypes.data for one in found], np.int64)
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    table[layout.TABLE_GROUPS] = groups.ctypes.data
    table[layout.TABLE_SOURCES] = sources.ctypes.data
    table[layout.TABLE_TARGETS] = targets.ctypes.data
    table[layout.TABLE_N_COLUMNS] = len(values)
    table[layout.TABLE_STRIDE] = table_of_groups.shape[1]
    owners = table_of_groups, groups, found, sources, targets
    share = -(-n_rows // n_parts) or 1
    starts = range(0, n_rows, share)
    run("take", [[Call(table, first, min(share, n_rows - first), owners)] for first in starts])
    return found
