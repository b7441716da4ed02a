"""Words of the table of the kernels of lists, an int64 array of addresses and numbers."""

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

SUM, MEAN, MIN, MAX = range(4)  # functions that share a kernel of a device
FARTHEST: Final = 2**61  # of a place, and the length of a slice to the end: no list has as many
