"""Words of the table of the hashing kernels, an int64 array: a header, then each column."""

from __future__ import annotations

from typing import Final

from fastfeat_kernels.column import BLOCK

N_COLUMNS: Final = 0
SEED: Final = 1
HASHES: Final = 2  # of row 0 in the numbering of `first`
SCRATCH: Final = 3  # N_SCRATCH_WORDS
N_HEADER_WORDS: Final = 4

VALUES: Final = 0  # of text, the bytes
VALUE_BIT_OFFSET: Final = 1
VALIDITY: Final = 2
BIT_OFFSET: Final = 3
ELEMENT: Final = 4  # place in `column.ELEMENTS`, or IS_TEXT
OFFSETS: Final = 5
OFFSET_BYTES: Final = 6
START: Final = 7  # which row, in the numbering of `first`, is row 0 of the column
N_COLUMN_WORDS: Final = 8

IS_TEXT: Final = -1

TAG_MISSING: Final = 0
TAG_INTEGER: Final = 1
TAG_FLOAT: Final = 2
TAG_TEXT: Final = 3

# Scratch: the four lanes of XXH64, bytes that wait to be hashed, and a block of values.
N_BUFFER_BYTES: Final = 4096  # a multiple of 32
LANES: Final = 0
BUFFER: Final = 4
BUFFER_END: Final = BUFFER + N_BUFFER_BYTES // 8 + 2  # a part's tag and length go in at once
N_SCRATCH_WORDS: Final = BUFFER_END + BLOCK
