"""The bins of many columns of few rows, from sorted values, and the rows in them.

Spec: a column of n values has bins of at most n / n_bins rows. A value with more rows has a bin of
its own; if there are at most n_bins distinct values, each has one. There is an edge at each value
where a bin begins, an edge one float above each value with a bin of its own, and an edge above the
greatest value. So all values lie between edges, and a bin holds the values from one edge to the
next. Sums of places are those of `binned`. A column has no edges if one would not be finite, or if
the width of a bin exceeds the float range. An entry takes columns [first, first + n), and appends
the edges of each to the existing ones.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Float64Array, Int64Array
from fastfeat_kernels.binned import (
    N_TABLE_WORDS,
    SPREAD,
    TABLE_BIT_OFFSET,
    TABLE_ELEMENT,
    TABLE_N_COLUMNS,
    TABLE_N_OUTSIDE,
    TABLE_OUTSIDE,
    TABLE_ROOM,
    TABLE_SCRATCH,
    TABLE_VALIDITY,
    TABLE_VALUES,
)
from fastfeat_kernels.column import BLOCK, ELEMENTS, CallRunner, EqualChunks, KernelRowCall

ORDERED: Final = "ordered"

# The table: addresses and words that an entry reads.
ORDERED_VALUES: Final = 0  # float64, a row of the matrix for each column; without -0.0
ORDERED_WIDTH: Final = 1  # of a row of the matrix
ORDERED_SIZES: Final = 2  # int64, number of values in each row
ORDERED_N_BINS: Final = 3
ORDERED_ENDS: Final = 4  # int64, end of the edges of each column
ORDERED_EDGES: Final = 5  # float64
ORDERED_IS_ATOM: Final = 6  # a byte a bin, whether it holds only one float
ORDERED_COUNTS: Final = 7  # int64, rows of a bin
ORDERED_OFFSETS: Final = 8  # int64, sums of places in it
N_ORDERED_WORDS: Final = 9


class OrderedBins(NamedTuple):
    """The bins of columns, one column after the other, and the rows in them.

    Args:
        ends: End of the edges of each column, shape (n_columns,).
        edges: Edges of all columns, shape (n_edges,).
        is_atom: Whether a bin holds only one float, shape (n_edges + 1,). A column with edges [a:b]
            has [a : b + 1] of it.
        counts: Rows of each bin, shape (n_edges + 1,).
        offsets: Sums of places in each bin, shape (n_edges + 1,).
    """

    ends: Int64Array
    edges: Float64Array
    is_atom: npt.NDArray[np.bool_]
    counts: Int64Array
    offsets: Int64Array


def most_edges(n_bins: int) -> int:
    """Return the largest number of edges of a column.

    Fewer than n_bins values are too frequent for a bin with others. Any two neighbours among the
    other bins hold more than the share of one bin together, so there are at most two of them per
    share, and one more before each frequent value. A frequent value has two edges.
    """
    return 2 * n_bins + (2 * n_bins + n_bins + 1) + 1


def finite_values(
    element: str, columns: EqualChunks, run: CallRunner
) -> tuple[Float64Array, Int64Array]:
    """Return the finite values of columns as floats, and their number in each column.

    The values have shape (n_columns, n_rows), in the order of rows, with +inf behind them. The
    element type must not be "bool".
    """
    n = len(columns.values)
    values, scratch = np.empty((n, columns.n_rows)), np.empty(2 * BLOCK, np.int64)
    tables = np.zeros((n, N_TABLE_WORDS), np.int64)
    tables[:, TABLE_VALUES], tables[:, TABLE_VALIDITY] = columns.values, columns.validity
    tables[:, TABLE_BIT_OFFSET], tables[:, TABLE_ELEMENT] = (
        columns.bit_offset,
        ELEMENTS.index(element),
    )
    tables[:, TABLE_SCRATCH] = scratch.ctypes.data
    tables[:, TABLE_OUTSIDE] = values.ctypes.data + 8 * columns.n_rows * np.arange(n)
    tables[:, TABLE_ROOM], tables[0, TABLE_N_COLUMNS] = columns.n_rows, n
    run(SPREAD, [[KernelRowCall(tables, 0, columns.n_rows, (columns.owner, values, scratch))]])
    return values, tables[:, TABLE_N_OUTSIDE].copy()


def bins_of_ordered(
    values: Float64Array, sizes: Int64Array, n_bins: int, run: CallRunner
) -> OrderedBins:
    """Return the bins of columns.

    Args:
        values: Finite values of each column, ascending, shape (n_columns, width).
        sizes: Number of values, shape (n_columns,).
        n_bins: A bin has at most the n_bins-th part of the values.
        run: Runs sequences of calls of `cpu.ENTRIES`.
    """
    n, room = len(sizes), len(sizes) * most_edges(n_bins)
    ends, edges = np.zeros(n, np.int64), np.empty(room)
    counts, offsets = np.zeros((2, room + 1), np.int64)
    is_atom = np.zeros(room + 1, np.bool_)
    table = np.zeros(N_ORDERED_WORDS, np.int64)
    table[ORDERED_VALUES], table[ORDERED_WIDTH] = values.ctypes.data, values.shape[1]
    table[ORDERED_SIZES], table[ORDERED_N_BINS] = sizes.ctypes.data, n_bins
    table[ORDERED_ENDS], table[ORDERED_EDGES] = ends.ctypes.data, edges.ctypes.data
    table[ORDERED_IS_ATOM] = is_atom.ctypes.data
    table[ORDERED_COUNTS], table[ORDERED_OFFSETS] = counts.ctypes.data, offsets.ctypes.data
    run(
        ORDERED,
        [[KernelRowCall(table, 0, n, (values, sizes, ends, edges, is_atom, counts, offsets))]],
    )
    total = int(ends[-1])
    return OrderedBins(
        ends,
        edges[:total].copy(),  # only this part of the room was ever written
        is_atom[: total + 1].copy(),
        counts[: total + 1].copy(),
        offsets[: total + 1].copy(),
    )
