"""Words of the table of the kernel of lists, an int64 array of addresses."""

from __future__ import annotations

from typing import Final

OFFSETS: Final = 0  # int64, one more than rows
VALUES: Final = 1  # float64
SUMS: Final = 2  # float64 a row
COUNTS: Final = 3  # int64 a row
LEFT: Final = 4  # int64 a row: not 0 where the sum may not be exact
N_WORDS: Final = 5
