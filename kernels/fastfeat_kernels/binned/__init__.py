"""The number of values of a column in each bin, the sum of their places in it, and their moments.

`trust.quality.counting` imports it.

Spec: a bin j of n_edges + 1 holds [edges[j - 1], edges[j]), of edges that ascend; integers are in
the bin of the float nearest to them. The place of x in a bin is floor((x - low) * scale), a
subtraction and a product of float64, with the low edge and the scale of its bin: both are 0 in the
first and the last bin. Rows that are missing, NaN among them, and -inf are in the first bin, which
the caller takes away; +inf is in the last. Counts and sums of places are integers: any split of
the rows adds up to the same. An entry adds rows [first, first + n) of one chunk. Values below the
first edge, and those not below the last, it writes down as well; blocks of which they have no room
are flagged. It adds them to the state of `moments` too, all in one pass: reading a column costs as
much as either.

A bin is looked for among cells of equal width, of the values themselves or of the bits that order
them (`grid.grid_of` takes the one with fewer edges in a cell): a cell says in which bin it begins,
and as many steps by half as its edges need say the rest. `python -m bench --only profile` measures.

In Python:

    grid       the cells of some edges
    state      the bins of a column, on any number of threads
    ordered    edges and bins of many columns of few rows, whose values are sorted
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
TABLE_EDGES: Final = 4  # float64: 0, n_edges of them, and then N_PADDING times +inf
TABLE_N_EDGES: Final = 5
TABLE_SCALES: Final = 6  # float64, n_edges + 1
TABLE_CELLS: Final = 7  # uint16, the bin in which each begins
TABLE_IS_OF_BITS: Final = 8  # whether cells are of the bits that order values
TABLE_LEAST: Final = 9  # the bits of a value in the first cell, below all edges
TABLE_BASE: Final = 10  # where the first cell begins, as the bits of a float64 or of its key
TABLE_FACTOR: Final = 11  # cells by unit, as the bits of a float64; or the bits of a cell
TABLE_MOST: Final = 12  # the most edges in a cell
TABLE_STEP: Final = 13  # the first of the steps by half, a power of 2; 0 for at most three
TABLE_COUNTS: Final = 14  # int64, n_edges + 1
TABLE_OFFSETS: Final = 15  # int64, n_edges + 1
TABLE_FLAGS: Final = 16  # a byte a block
TABLE_SCRATCH: Final = 17
TABLE_OUTSIDE: Final = 18  # float64, values outside of all edges
TABLE_N_OUTSIDE: Final = 19  # how many are there, which the entry counts
TABLE_ROOM: Final = 20  # for how many there is room
TABLE_MOMENTS: Final = 21  # address of the table of `moments`, of the same rows
TABLE_N_COLUMNS: Final = 22  # of `SPREAD`: so many tables follow one another, this the first
N_TABLE_WORDS: Final = 23

MOST_EDGES: Final = 1023
N_PADDING: Final = 1024
OFFSET_BITS: Final = 22
"""A place is at most 2**22, since scales are that many steps a bin."""
N_ACCUMULATORS: Final = 4
"""Rows take turns, so that one need not wait for the bin of the row before."""
N_SCRATCH_WORDS: Final = 3 * BLOCK + N_ACCUMULATORS * (MOST_EDGES + 1)

ENTRY: Final = "numbers"
SPREAD: Final = "spread"
"""The entry that writes down the finite values of columns as floats, 0.0 without a sign."""
