"""Count, exact sum, exact sum of squares, minimum and maximum of a column, in one pass.

`grouped` and `powers` build on it; `aggregates`, `engine` and `steps` import it.

Spec: missing values (a cleared bit of the bitmap; for floats also NaN) are counted and otherwise
skipped. Infinities are counted as values and take part in minimum and maximum. They are also
counted separately by sign, the first row with any is kept, and they add nothing to the sums. Sums
are exact, even for subnormals and the largest floats; the order of floats is total, -0.0 below 0.0.
States add up: any split of the rows, merged in any order, gives the same `state.Moments`. An entry
adds rows [first, first + n) of one chunk to one state, or the rows of one chunk of each of several
columns to one state each, and returns 0. The words of its table follow. `state.summarize` and
`many.summarize_columns` run it over chunks, columns and threads.
"""

from __future__ import annotations

from typing import Final

from fastfeat_kernels.column import BLOCK

# The table: addresses and words that an entry reads.
TABLE_VALUES: Final = 0
TABLE_VALUE_BIT_OFFSET: Final = 1
TABLE_VALIDITY: Final = 2
TABLE_BIT_OFFSET: Final = 3
TABLE_STATE: Final = 4
TABLE_LEVEL: Final = 5
TABLE_FIRST_ROW: Final = 6
TABLE_ELEMENT: Final = 7  # place in `column.ELEMENTS`
TABLE_SCRATCH: Final = 8  # N_SCRATCH_WORDS
TABLE_N_COLUMNS: Final = 9  # number of consecutive tables, one per column; this is the first
N_TABLE_WORDS: Final = 10

# The state.
N_ROWS: Final = 0
COUNT: Final = 1
N_POSITIVE_INFINITE: Final = 2
N_NEGATIVE_INFINITE: Final = 3
FIRST_INFINITE: Final = 4
MIN_KEY: Final = 5
MAX_KEY: Final = 6
SUM: Final = 8
N_SUM_LIMBS: Final = 72
SQUARES: Final = SUM + N_SUM_LIMBS
N_SQUARE_LIMBS: Final = 136
SCRATCH: Final = SQUARES + N_SQUARE_LIMBS
N_SCRATCH_WORDS: Final = 3 * BLOCK
N_STATE_WORDS: Final = SCRATCH + N_SCRATCH_WORDS

# Limb 0 of the sum has the weight 2**-FLOAT_SCALE, limb 0 of the squares 2**(-2 * FLOAT_SCALE).
FLOAT_SCALE: Final = 34 * 32


def entry_of(element: str) -> str:
    """Return the entry that takes a type of column."""
    if element.startswith("float"):
        return "floats"
    return "bools" if element == "bool" else "integers"
