"""Exact order statistics of a column: the k-th smallest of its values, for any set of ranks k.

`aggregates` and `engine` import it.

Spec: missing values (a cleared bit of the bitmap; for floats also NaN) are skipped; infinities take
part. The order of floats is total, -0.0 below 0.0. An entry does one of three rounds on rows
[first, first + n) of one chunk and returns 0: it samples keys, counts keys in the buckets of a map,
or extracts the keys of wanted buckets. The words of its table follow; `state.select` runs the
rounds over chunks and threads. The map comes from the sample, but only the time depends on it, not
the result. Time: two passes over the column. Memory: the keys of the wanted buckets, at most 8
bytes a row.
"""

from __future__ import annotations

from typing import Final

from fastfeat_kernels.column import BLOCK

# The column, and the round.
TABLE_VALUES: Final = 0
TABLE_VALUE_BIT_OFFSET: Final = 1
TABLE_VALIDITY: Final = 2
TABLE_BIT_OFFSET: Final = 3
TABLE_SCRATCH: Final = 4  # N_SCRATCH_WORDS
TABLE_ROUND: Final = 5
TABLE_ELEMENT: Final = 6  # place in `column.ELEMENTS`
# The map from keys to buckets; see `buckets.BucketMap`.
TABLE_LOW: Final = 7
TABLE_HIGH: Final = 8
TABLE_SHIFT: Final = 9
TABLE_CELLS: Final = 10
# Sample: one row of every `stride`; their keys, and the address of their number.
TABLE_STRIDE: Final = 11
TABLE_SAMPLE: Final = 12
TABLE_N_SAMPLE: Final = 13
# Count: uint32 per bucket.
TABLE_COUNTS: Final = 11
# Extract: int32 per bucket: 0, or the number of the wanted bucket; per number the key that is
# left out, the next place in `keys`, and how many keys below the pivot have been
# extracted.
TABLE_TARGETS: Final = 11
TABLE_PIVOTS: Final = 12
TABLE_CURSORS: Final = 13
TABLE_N_LESS: Final = 14
TABLE_KEYS: Final = 15
N_TABLE_WORDS: Final = 16

SAMPLE: Final = 0
COUNT: Final = 1
EXTRACT: Final = 2

N_SCRATCH_WORDS: Final = 3 * BLOCK
