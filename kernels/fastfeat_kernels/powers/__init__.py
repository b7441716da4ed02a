"""Exact sums of powers of values up to the fourth, for skewness and kurtosis.

`windows` builds on it; `aggregates`, `engine.cpu` and `steps.keys` import it.

Spec: missing values, NaN among them, are skipped; infinities are counted and not added. The sums
S1 to S4 of x to x**4 are exact integers in units of the powers of the lowest bit of a float, or of
1. So states add up and can be subtracted, and any split and order of rows gives the same result.
With n values the central moments, multiplied by powers of n, are

    A = n S2 - S1**2                                   n**2 times the second
    B = n**2 S3 - 3 n S1 S2 + 2 S1**3                  n**3 times the third
    C = n**3 S4 - 4 n**2 S1 S3 + 6 n S1**2 S2 - 3 S1**4    n**4 times the fourth

all exact. Each integer in brackets below is rounded once to 53 bits, RN, and every other operation
is one of float64, except that exponents have no bounds before the last operation:

    skew                 [B] / ([A] sqrt([A]))
    of a sample          [B] sqrt(RN(n (n - 1))) / ([A] sqrt([A]) (n - 2)), of 3 values or more
    kurtosis             [C - 3 A**2] / [A**2], or [C] / [A**2] if a normal distribution has 3
    of a sample          [(n**2 - 1) C - 3 (n - 1)**2 A**2] / ([A**2] ((n - 2) (n - 3))), or
                         [(n**2 - 1) C - 3 (3 n - 5) A**2] over the same, of 4 values or more

Both are missing if A is 0, that is for fewer than two values and for equal values, and if a value
is infinite. So skew is within 6, kurtosis within 3 units in the last place of the result with real
numbers, whatever the values are; sums of floats would lose all digits if the mean is large.

Sums are stored as 32-bit limbs in 64-bit words that hold any float; only the limbs that values
reach are touched. Rows of a column are instead added to a bucket of 14 words for each exponent. A
call empties the buckets into limbs at its end, and takes 230 kB for each run of rows. For values by
group, sorted by group (`state.shapes_of`), and for values that windows add and remove
(`windows.cpu.shapes`), a value costs a few limbs; reading a shape costs the square of the limbs
that values span. `python -m bench --only shapes`, and the same with `shapes_by_key` and
`shapes_over_rows`, measure them. There is no kernel for a device.

In Python:

    state      sums of a column, merged; shapes from such sums, and of groups
    reference  shapes by their definition, from values
"""

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
TABLE_STARTS: Final = 7  # a word for each group: its first key
TABLE_COUNTS: Final = 8  # number of keys
TABLE_SHAPE: Final = 9  # the requested shape
TABLE_OPTIONS: Final = 10
TABLE_OUT: Final = 11  # float64 for each group, NaN for missing
N_TABLE_WORDS: Final = 12

# Shapes, and their options.
SKEW: Final = 0
KURTOSIS: Final = 1
SHAPES: Final = {"skew": SKEW, "kurtosis": KURTOSIS}
IS_BIASED: Final = 1  # bits of the options
IS_EXCESS: Final = 2

# Sums of the first to the fourth power, for floats in units of 2**-1074 and its powers:
# limbs of 32 bits, lowest first, with room before they must be carried.
N_LIMBS: Final = (72, 144, 208, 272)
SUMS: Final = (0, 72, 216, 424)  # beginning of each
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
# A bucket for each exponent of a float, 0 for integers: sums of powers in 2, 3, 4 and 5 words,
# which a call turns into limbs at its end.
N_BUCKETS: Final = 2046
BUCKET_WORDS: Final = (2, 3, 4, 5)
N_BUCKET_WORDS: Final = 14
N_STATE_WORDS: Final = STATE_BUCKETS + N_BUCKETS * N_BUCKET_WORDS

FLOAT_BITS: Final = 53
CARRY_EVERY: Final = 1 << 24  # values; each adds less than 2**36 to a limb


def options_of(bias: bool, fisher: bool = True) -> int:
    """Return the options of a shape as bits.

    `bias` asks for the shape of the values themselves, not of the population they are a sample of.
    `fisher` asks for a kurtosis of 0, not 3, for a normal distribution.
    """
    return IS_BIASED * bias | IS_EXCESS * fisher
