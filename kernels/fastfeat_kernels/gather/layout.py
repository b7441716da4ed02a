"""Words of the tables of the kernels that gather values: int64 arrays of addresses and numbers."""

from __future__ import annotations

from typing import Final

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
