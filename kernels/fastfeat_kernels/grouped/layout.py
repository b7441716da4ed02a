"""Words of the table of the grouped kernel, and of its target memory: int64 arrays."""

from __future__ import annotations

from typing import Final

from fastfeat_kernels.column import BLOCK
from fastfeat_kernels.moments import SCRATCH

# Which of these entries a plan runs depends on the numbers of rows and groups.
BY_ROWS: Final = (
    "rows",
    "partition",
    "interleave",
    "look",
    "finalize",
    "count",
    "scatter",
    "wide",
    "sort",
    "runs",
)

# The column, and its groups.
TABLE_VALUES: Final = 0
TABLE_VALUE_BIT_OFFSET: Final = 1
TABLE_VALIDITY: Final = 2
TABLE_BIT_OFFSET: Final = 3
TABLE_ELEMENT: Final = 4  # place in `column.ELEMENTS`
TABLE_GROUPS: Final = 5  # int32, of row 0 of the chunk
# The target memory.
TABLE_STATE: Final = 6
TABLE_LEVEL: Final = 7
TABLE_EXPONENT: Final = 8  # exponent of the window
TABLE_LINES: Final = 9  # LINE_WORDS[level] words for each group
TABLE_EXTREMES: Final = 10  # minimum and maximum key of each group; 0 if not requested
TABLE_MISSING: Final = 11  # a word for each group; the two that follow too
TABLE_POSITIVE_INFINITE: Final = 12
TABLE_NEGATIVE_INFINITE: Final = 13
TABLE_LEFT_VALUES: Final = 14  # float64, as many as rows at most
TABLE_LEFT_GROUPS: Final = 15  # int32
TABLE_FIRST_GROUP: Final = 16  # first of the groups that the rows can be in
TABLE_N_GROUPS: Final = 17
TABLE_SCRATCH: Final = 18
TABLE_EXPONENTS: Final = 19  # N_EXPONENTS counts of floats for which a window of this exponent is
# the lowest to hold them, and as many for the highest
TABLE_OUT: Final = 22  # 8-byte words, one for each group, or one a column
TABLE_CURSORS: Final = 23  # a row count, or place, for each partition
TABLE_SHIFT: Final = 24  # group >> shift is the partition
TABLE_MARKED: Final = 25  # not 0: a missing value of group g is marked by ~g
TABLE_STAGE: Final = 26  # FIRST_CALL, LAST_CALL of the calls with the same state, or both
# Memory of sorted keys.
TABLE_KEYS: Final = 27
TABLE_STARTS: Final = 28  # a word for each group: its first key
TABLE_COUNTS: Final = 29  # number of keys
TABLE_N_UNIQUE: Final = 30  # number of distinct keys
TABLE_MODES: Final = 31  # the most frequent
TABLE_HARD: Final = 32  # int32, one more than groups: groups that are not read out
TABLE_WANTED: Final = 33  # for each statistic: its number, ddof, address of float64 by group
TABLE_N_WANTED: Final = 34
# Values of groups to write side by side: addresses of words.
TABLE_SOURCES: Final = 35
TABLE_N_COLUMNS: Final = 37
TABLE_STRIDE: Final = 38  # words from the value of a group to the next group's
TABLE_HEADROOM: Final = 39  # bits of the window that stay free
# Lines and extremes to join: of other rows, in a window that is not higher.
TABLE_OTHER_LINES: Final = 40
TABLE_OTHER_EXTREMES: Final = 41
N_TABLE_WORDS: Final = 42

MAX_SORTED: Final = 4096  # keys of a group that the kernel sorts; NumPy sorts more of them faster

FIRST_CALL: Final = 1  # starts with no extremes
LAST_CALL: Final = 2  # carries at the end
NO_MIN_KEY: Final = 2**63 - 1
NO_MAX_KEY: Final = -(2**63)

# Statistics.
TOTAL: Final = 0
MEAN: Final = 1
VARIANCE: Final = 2
DEVIATION: Final = 3

# The state.
N_SINCE: Final = 0  # rows since the limbs were carried
N_MISSING: Final = 1
N_INFINITE: Final = 2
N_LEFT: Final = 3
N_HARD: Final = 4
N_STATE_WORDS: Final = 8

# A line: the count, limbs of the sum, limbs of the sum of squares, each highest first.
LINE_WORDS: Final = (1, 4, 8)
COUNT: Final = 0
SUM: Final = 1
N_SUM_LIMBS: Final = 3
SQUARES: Final = SUM + N_SUM_LIMBS
N_SQUARE_LIMBS: Final = 4
LIMB_BITS: Final = 40
SUM_BITS: Final = N_SUM_LIMBS * LIMB_BITS
SQUARE_BITS: Final = N_SQUARE_LIMBS * LIMB_BITS

NORMALIZE_EVERY: Final = 1 << 20  # rows; each adds less than 2**42 to a limb
LOOK_EVERY: Final = 16  # blocks per surveyed block
N_EXPONENTS: Final = 2048  # biased
# How far above a float of 53 bits the window may reach to hold it, and its square.
SUM_ROOM: Final = SUM_BITS - 53
SQUARE_ROOM: Final = SQUARE_BITS // 2 - 53
MOST_AT_TOP: Final = 1 << 21  # floats just below the window's end that its highest limb holds
EXPONENT_BIAS: Final = 1022  # a float of biased exponent e is below 2**(e - 1022)
N_SCRATCH_WORDS: Final = 5 * BLOCK
N_WIDE_WORDS: Final = SCRATCH  # a state of `moments`, without its scratch memory


def units_of(element: str, exponent: int) -> tuple[int, int]:
    """Return the exponents of the lowest bits of sum and sum of squares."""
    if element.startswith("float"):
        return exponent - SUM_BITS, 2 * exponent - SQUARE_BITS
    return 0, 0


def headroom_of(n_rows: int) -> int:
    """Return the number of window bits to keep free, so that the highest limb holds all rows."""
    return max(0, n_rows.bit_length() - MOST_AT_TOP.bit_length() + 1)
