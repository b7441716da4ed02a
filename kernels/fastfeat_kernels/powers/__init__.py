"""Sums of the powers of values up to the fourth, exact, and the shape that they say: skewness etc.

`windows` builds on it; `aggregates`, `engine.cpu` and `steps.keys` import it.

Spec: missing values, NaN among them, are skipped; infinities are counted and not added. The sums
S1 to S4 of x to x**4 are exact integers in units of the powers of the lowest bit of a float, or of
1, so states add up, and what is added can be taken away: any split and order says the same. With
n values the central moments are, but for powers of n that fall out,

    A = n S2 - S1**2                                   n**2 times the second
    B = n**2 S3 - 3 n S1 S2 + 2 S1**3                  n**3 times the third
    C = n**3 S4 - 4 n**2 S1 S3 + 6 n S1**2 S2 - 3 S1**4    n**4 times the fourth

all exact. Each integer that follows in brackets is rounded once to 53 bits, RN, and every other
operation is one of float64, whose exponent has no bounds before the last:

    skew                 [B] / ([A] sqrt([A]))
    of a sample          [B] sqrt(RN(n (n - 1))) / ([A] sqrt([A]) (n - 2)), of 3 values or more
    kurtosis             [C - 3 A**2] / [A**2], or [C] / [A**2] that of the normal distribution is 3
    of a sample          [(n**2 - 1) C - 3 (n - 1)**2 A**2] / ([A**2] ((n - 2) (n - 3))), or
                         [(n**2 - 1) C - 3 (3 n - 5) A**2] over the same, of 4 values or more

Both are missing where A is 0, that is of less than two values and of values that are all equal, and
where one is infinite. So skew is within 6, kurtosis within 3 units in the last place of what real
numbers would give, whatever the values are; sums of floats would lose all digits where the mean is
large.

Sums stand as limbs of 32 bits in 64 that hold any float, of which only those are touched that
values reach. Rows of a column are added to a bucket for each exponent instead, in 14 words, which
a call empties into limbs in its end, with 230 kB for each run of rows. Values by group, which the
order of groups brings together (`state.shapes_of`), and those that windows take in and let go
(`windows.cpu.shapes`) cost a few limbs each; reading a shape costs the square of the limbs that
values span. `python -m bench --only shapes`, and the same of `shapes_by_key` and
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
