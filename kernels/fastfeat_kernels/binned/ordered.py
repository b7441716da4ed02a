"""The bins of many columns of few rows, whose values are sorted, and the rows in them.

Spec: a column of n values has bins of at most n / n_bins rows. A value that more rows have is a bin
of its own, and so is each of at most n_bins values. An edge stands at a value where a bin begins,
and one float above each value that has a bin of its own, and above the greatest value: so all
values are between edges, and a bin holds those from where one edge stands among them to where the
next one does. Sums of places are those of `binned`. A column has no edges where one would not be
finite, or where a bin is wider than floats are. An entry takes columns [first, first + n), and adds
the edges of each behind those that there are.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

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
from fastfeat_kernels.column import BLOCK, ELEMENTS, Call, Columns, Run

Words = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ORDERED: Final = "ordered"

# The table: addresses and words that an entry reads.
ORDERED_VALUES: Final = 0  # float64, a row of the matrix for each column; 0.0 has no sign
ORDERED_WIDTH: Final = 1  # of a row of the matrix
ORDERED_SIZES: Final = 2  # int64, how many values of a row are the column's
ORDERED_N_BINS: Final = 3
ORDERED_ENDS: Final = 4  # int64, where the edges of each column end
ORDERED_EDGES: Final = 5  # float64
ORDERED_IS_ATOM: Final = 6  # a byte a bin, whether it holds one float alone
ORDERED_COUNTS: Final = 7  # int64, rows of a bin
ORDERED_OFFSETS: Final = 8  # int64, sums of places in it
N_ORDERED_WORDS: Final = 9


class OrderedBins(NamedTuple):
    """The bins of columns, one column after the other, and the rows in them.

    Args:
        ends: where the edges of each column end, shape (n_columns,).
        edges: of all, shape (n_edges,).
        is_atom: whether a bin holds one float alone, of a column [a : b + 1] where its edges are
            [a:b], shape (n_edges + 1,).
        counts: rows of each bin, alike.
        offsets: sums of places in each, alike.
    """

    ends: Words
    edges: Floats
    is_atom: npt.NDArray[np.bool_]
    counts: Words
    offsets: Words


def most_edges(n_bins: int) -> int:
    """Return how many edges a column has at most.

    Fewer than n_bins values are too frequent for a bin with others; of other bins any two
    neighbours hold more than one takes, so there are two of them for a share, and one more before
    each frequent value. A frequent value has two edges.
    """
    return 2 * n_bins + (2 * n_bins + n_bins + 1) + 1


def finite_values(element: str, columns: Columns, run: Run) -> tuple[Floats, Words]:
    """Return the finite values of columns as floats, and how many there are.

    Args:
        element: type of the values of all, of `column.ELEMENTS` but "bool".
        columns: where they lie.
        run: runs sequences of calls of `cpu.ENTRIES`.

    Returns:
        Values in the order of rows, and +inf behind them, shape (n_columns, n_rows); and how many
        values each column has.
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
    run(SPREAD, [[Call(tables, 0, columns.n_rows, (columns.owner, values, scratch))]])
    return values, tables[:, TABLE_N_OUTSIDE].copy()


def bins_of_ordered(values: Floats, sizes: Words, n_bins: int, run: Run) -> OrderedBins:
    """Return the bins of columns.

    Args:
        values: finite ones of each column, ascending, shape (n_columns, width).
        sizes: how many there are, shape (n_columns,).
        n_bins: the share of a bin is that part of the values.
        run: runs sequences of calls of `cpu.ENTRIES`.
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
    run(ORDERED, [[Call(table, 0, n, (values, sizes, ends, edges, is_atom, counts, offsets))]])
    total = int(ends[-1])
    return OrderedBins(
        ends,
        edges[:total].copy(),  # of the room only so much was ever written
        is_atom[: total + 1].copy(),
        counts[: total + 1].copy(),
        offsets[: total + 1].copy(),
    )
