"""The number of values of a column in each bin, the sum of their offsets in it, and their moments.

`trust.quality.counting` imports it.

Spec: of n_edges + 1 bins, bin j holds [edges[j - 1], edges[j]); edges ascend, and an integer is in
the bin of its nearest float. The place of x within a bin is floor((x - low) * scale), a subtraction
and a product of float64, with the low edge and the scale of its bin; both are 0 in the first and
the last bin. Missing rows, NaN included, and -inf are in the first bin, and the caller subtracts
them; +inf is in the last. Counts and sums of places are integers, so any split of the rows adds up
to the same. An entry adds rows [first, first + n) of one chunk. It also writes down values below
the first edge, and values not below the last; blocks that exceed the room for them are flagged. It
adds the values to the state of `moments` as well, in the same pass: reading a column costs as much
as either.

Bins are found through cells of equal width, either of the values or of the bits that order them
(`grid.grid_of` takes the kind with fewer edges in a cell). A cell gives the bin at its beginning,
and a bisection over its edges finds the rest. `python -m bench --only profile` measures it.

In Python:

    grid       the cells of some edges
    state      the bins of a column, on any number of threads
    ordered    edges and bins of many columns of few rows, from sorted values
    reference  the same by bisection
"""

from __future__ import annotations

from typing import Final

from fastfeat_kernels.column import BLOCK

# The table: addresses and words that an entry reads.
TABLE_VALUES: Final = 0
TABLE_VALIDITY: Final = 1
TABLE_BIT_OFFSET: Final = 2
TABLE_ELEMENT: Final = 3  # place in `column.ELEMENTS`
TABLE_EDGES: Final = 4  # float64: 0, the n_edges edges, and then N_PADDING times +inf
TABLE_N_EDGES: Final = 5
TABLE_SCALES: Final = 6  # float64, n_edges + 1
TABLE_CELLS: Final = 7  # uint16, the bin at the beginning of each
TABLE_IS_OF_BITS: Final = 8  # whether cells divide the bits that order values
TABLE_LEAST: Final = 9  # the bits of a value in the first cell, below all edges
TABLE_BASE: Final = 10  # beginning of the first cell, as the bits of a float64 or of its key
TABLE_FACTOR: Final = 11  # cells per unit, as the bits of a float64; or the bits of a cell
TABLE_MOST: Final = 12  # the most edges in a cell
TABLE_STEP: Final = 13  # first step of the bisection, a power of 2; 0 for at most three
TABLE_COUNTS: Final = 14  # int64, n_edges + 1
TABLE_OFFSETS: Final = 15  # int64, n_edges + 1
TABLE_FLAGS: Final = 16  # a byte a block
TABLE_SCRATCH: Final = 17
TABLE_OUTSIDE: Final = 18  # float64, values outside of all edges
TABLE_N_OUTSIDE: Final = 19  # their number, which the entry counts
TABLE_ROOM: Final = 20  # room for them
TABLE_MOMENTS: Final = 21  # address of the table of `moments`, for the same rows
TABLE_N_COLUMNS: Final = 22  # for `SPREAD`: number of consecutive tables, this is the first
N_TABLE_WORDS: Final = 23

MOST_EDGES: Final = 1023
N_PADDING: Final = 1024
OFFSET_BITS: Final = 22
"""A place is at most 2**22: scales give so many steps per bin."""
N_ACCUMULATORS: Final = 4
"""Rows take turns, so that a row need not wait for the bin of the row before."""
N_SCRATCH_WORDS: Final = 3 * BLOCK + N_ACCUMULATORS * (MOST_EDGES + 1)

ENTRY: Final = "numbers"
SPREAD: Final = "spread"
"""The entry that writes the finite values of columns as floats, with 0.0 instead of -0.0."""
