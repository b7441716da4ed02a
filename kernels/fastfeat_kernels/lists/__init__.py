"""Sums, extremes and elements of each list of a column of lists.

`steps` import it.

Spec: row i has the words values[offsets[i]:offsets[i + 1]], of 64 bits.

`sums` takes float64, NaN where missing, which is skipped. Of each row it writes how many numbers
there are, and RN(sum), the exact sum rounded once. Two floats hold the sum; where that is not
exact, or not finite on the way, it writes a flag that is not 0, and the caller adds up that row by
other means. Lists of like numbers are exact: what the second float takes in has few bits.
`integer_sums` takes int64 and writes the exact sum, and a flag where int64 does not hold it.
`extremes` writes the word that is least in an order, or greatest (`state.extremes_of`), and how
many there are: NaN is skipped. `elements` writes the element at a place, counted from the start or
the end, and whether there is one; 0 where there is none.

An entry takes rows [first, first + n), at least eight of them, and returns 0; the words of its
table follow. A prepared call has two more, of all rows: `ends` before it, and `finish` after it.

Cost of `sums`: 8 bytes a number, and 12 additions of which 2 wait for the
number before. Source: D. Knuth, The Art of Computer Programming, volume 2, section 4.2.2 (the error
of an addition).

On a device (`cuda`) there are more functions of lists, a row a thread: integers are added up in 128
bits, ends are compared as keys in the total order, slices are measured and then written. What a
function asks of the kernels, on the CPU and on a device, is its row of `requests`.
"""

from __future__ import annotations

from typing import Final

OFFSETS: Final = 0  # int64, one more than rows
VALUES: Final = 1  # float64 or int64
RESULTS: Final = 2  # float64 or int64 a row
COUNTS: Final = 3  # int64 a row; of `elements` not 0 where there is one
LEFT: Final = 4  # int64 a row: not 0 where the sum may not be exact
MAGNITUDE: Final = 5  # of `extremes`: see `lanes.least_words`
FLIP: Final = 6
INDEX: Final = 7  # of `elements`: from 0 on, or below 0 from the end
N_WORDS: Final = 8

# Of a column as Arrow has it, by the entry "ends": its offsets and how wide they are, its bits,
# those of its elements; int64 offsets go to one place, for at least eight rows, and lengths, unless
# 0, to another. It returns 1 where an element is missing, or stands under a missing row.
(
    ENDS_GIVEN, ENDS_BYTES, ENDS_VALIDITY, ENDS_BIT, ENDS_OF_ELEMENTS, ENDS_BIT_OF_ELEMENTS,
    ENDS_OFFSETS, ENDS_LENGTHS,
) = range(8)  # fmt: skip
# Of what an entry has written, by the entry "finish": results, counts, and which are left, or 0;
# bits of the column; bits of the result; whether sums become means; whether a list must have a
# number. It returns 1 where a row is left.
(
    FINISH_RESULTS, FINISH_COUNTS, FINISH_LEFT, FINISH_VALIDITY, FINISH_BIT, FINISH_BITS,
    FINISH_MEANS, FINISH_COUNTED,
) = range(8)  # fmt: skip

SUM, MEAN, MIN, MAX = range(4)  # functions that share a kernel of a device
FARTHEST: Final = 2**61  # of a place, and the length of a slice to the end: no list has as many
