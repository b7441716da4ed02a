"""Words of the tables, of the sums and of the memory of the kernel of powers: int64 arrays."""

from __future__ import annotations

from typing import Final

from fastfeat_kernels.column import BLOCK

# A column, whose rows are added to a state.
TABLE_VALUES: Final = 0
TABLE_VALUE_BIT_OFFSET: Final = 1
TABLE_VALIDITY: Final = 2
TABLE_BIT_OFFSET: Final = 3
TABLE_ELEMENT: Final = 4  # place in `column.ELEMENTS`
TABLE_STATE: Final = 5
# Or keys by group.
TABLE_KEYS: Final = 6
TABLE_STARTS: Final = 7  # a word for each group: where its keys begin
TABLE_COUNTS: Final = 8  # how many they are
TABLE_SHAPE: Final = 9  # which shape is asked for
TABLE_OPTIONS: Final = 10
TABLE_OUT: Final = 11  # float64 for each group, NaN for missing
N_TABLE_WORDS: Final = 12

# Shapes, and what else is asked of them.
SKEW: Final = 0
KURTOSIS: Final = 1
SHAPES: Final = {"skew": SKEW, "kurtosis": KURTOSIS}
IS_BIASED: Final = 1  # bits of the options
IS_EXCESS: Final = 2

# Sums of the first to the fourth power, in units of 2**-1074 and its powers where they are of
# floats: limbs of 32 bits, lowest first, that can wait to be carried.
N_LIMBS: Final = (72, 144, 208, 272)
SUMS: Final = (0, 72, 216, 424)  # where each begins
N_SUM_WORDS: Final = 696

# Memory for reading a shape: digits of 32 bits.
N_DIGITS: Final = 288
DIGITS: Final = 0  # of a sum
OTHER_DIGITS: Final = N_DIGITS
FIRST_DIGITS: Final = 2 * N_DIGITS  # of the sum of values
SPREAD_DIGITS: Final = 3 * N_DIGITS  # of A
THIRD_DIGITS: Final = 4 * N_DIGITS  # of B
SQUARE_DIGITS: Final = 5 * N_DIGITS  # of A**2
TOTAL: Final = 6 * N_DIGITS  # limbs
N_READING_WORDS: Final = 7 * N_DIGITS

# The state of a column.
COUNT: Final = 0
N_INFINITE: Final = 1
STATE_SUMS: Final = 2
SCRATCH: Final = STATE_SUMS + N_SUM_WORDS
STATE_BUCKETS: Final = SCRATCH + 2 * BLOCK
# A bucket for each place of a float, 0 for integers: sums of powers in 2, 3, 4 and 5 words, which
# a call turns into limbs in its end.
N_BUCKETS: Final = 2046
BUCKET_WORDS: Final = (2, 3, 4, 5)
N_BUCKET_WORDS: Final = 14
N_STATE_WORDS: Final = STATE_BUCKETS + N_BUCKETS * N_BUCKET_WORDS

FLOAT_BITS: Final = 53
CARRY_EVERY: Final = 1 << 24  # values; each adds less than 2**36 to a limb


def options_of(bias: bool, fisher: bool = True) -> int:
    """Return the options of a shape.

    Args:
        bias: whether it is that of the values, not of what they are a sample of.
        fisher: of kurtosis, whether that of the normal distribution is 0, not 3.
    """
    return IS_BIASED * bias | IS_EXCESS * fisher
