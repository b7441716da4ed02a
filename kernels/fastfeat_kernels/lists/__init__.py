"""Sums, extremes and elements of each list of a column of lists.

`steps` import it.

Spec: row i has the 64-bit words values[offsets[i]:offsets[i + 1]].

`sums` reads float64; NaN is missing and skipped. For each row it writes the number of values, and
RN(sum), the exact sum rounded once. Two floats hold the sum. If that is not exact, or not finite in
between, it writes a nonzero flag, and the caller must compute the sum of that row in another way.
Lists of similar numbers are exact: the second float needs few bits. `integer_sums` reads int64 and
writes the exact sum, and a flag if it overflows int64. `extremes` writes the smallest or greatest
word in an order (`state.extremes_of`), and the number of values; NaN is skipped. `elements` writes
the element at a place, counted from the start or the end, and whether there is one; otherwise 0.

An entry takes rows [first, first + n), at least eight of them, and returns 0; the words of its
table follow. A prepared call has two more, over all rows: `ends` before it, and `finish` after it.

Cost of `sums`: 8 bytes a number, and 12 additions, 2 of them dependent on the previous number.
Source: D. Knuth, The Art of Computer Programming, volume 2, section 4.2.2 (the error of an
addition).

On a device (`cuda`) there are more functions of lists, with a thread per row: integers are summed
in 128 bits, extremes are compared as keys in the total order, slices are measured and then written.
A function's requests to the kernels, on the CPU and on a device, are its row of `requests`.
"""

from __future__ import annotations

from typing import Final

OFFSETS: Final = 0  # int64, one more than rows
VALUES: Final = 1  # float64 or int64
RESULTS: Final = 2  # float64 or int64 a row
COUNTS: Final = 3  # int64 a row; for `elements` not 0 if there is one
LEFT: Final = 4  # int64 a row: not 0 if the sum may be inexact
MAGNITUDE: Final = 5  # for `extremes`: see `lanes.least_words`
FLIP: Final = 6
INDEX: Final = 7  # for `elements`: from 0 on, or below 0 from the end
N_WORDS: Final = 8

# Input of the entry "ends", a column in Arrow's layout: its offsets and their width, its bits,
# the bits of its elements. Outputs, for at least eight rows: int64 offsets, and lengths unless
# 0. It returns 1 if an element is missing, or lies under a missing row.
(
    ENDS_GIVEN, ENDS_BYTES, ENDS_VALIDITY, ENDS_BIT, ENDS_OF_ELEMENTS, ENDS_BIT_OF_ELEMENTS,
    ENDS_OFFSETS, ENDS_LENGTHS,
) = range(8)  # fmt: skip
# Input of the entry "finish", outputs of another entry: results, counts, and left rows, or 0;
# bits of the column; bits of the result; whether to turn sums into means; whether a list must have
# a number. It returns 1 if a row is left.
(
    FINISH_RESULTS, FINISH_COUNTS, FINISH_LEFT, FINISH_VALIDITY, FINISH_BIT, FINISH_BITS,
    FINISH_MEANS, FINISH_COUNTED,
) = range(8)  # fmt: skip

SUM, MEAN, MIN, MAX = range(4)  # functions that share a kernel of a device
FARTHEST: Final = 2**61  # limit of a place, and the length of a slice to the end: no list is longer
