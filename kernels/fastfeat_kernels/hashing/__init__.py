"""XXH64 of the values of a column, and of the rows of several columns.

`text` and `vocabulary` build on it; `steps` import it.

Spec: the hash of a value is XXH64 of its canonical bytes, with a seed that defaults to 0:

    integers, bools, dates, times     8 bytes: the number as int64, little endian, of any width
    uint64                            8 bytes: its 64 bits, so value - 2**64 from 2**63 on
    floats                            8 bytes: the number as float64, little endian, -0.0 as 0.0
    text, bytes                       its bytes; UTF-8 is not checked

A missing value (a cleared bit of the bitmap; for floats also NaN) has no canonical bytes, and its
hash is set to 0. Some present value also has the hash 0, so use the validity of the input to tell
them apart.

The hash of a row of several columns is XXH64 of its parts one after the other, in order. Each part
is a tag byte, the number of canonical bytes as int64 little endian, and the canonical bytes:

    tag 0 missing (length 0, no bytes)   1 integer, bool, date, time   2 float   3 text, bytes

A row always has a hash. An entry hashes rows [first, first + n) and returns 0; the words of its
table follow. Cost: "numbers" moves 16 bytes a row and is vectorized; "text" and "mixed" take a few
nanoseconds a row plus a cycle for 8 bytes. Source: github.com/Cyan4973/xxHash,
doc/xxhash_spec.md.
"""

from __future__ import annotations

from typing import Final

from fastfeat_kernels.column import BLOCK

N_COLUMNS: Final = 0
SEED: Final = 1
HASHES: Final = 2  # of row 0 in the numbering of `first`
SCRATCH: Final = 3  # N_SCRATCH_WORDS
N_HEADER_WORDS: Final = 4

VALUES: Final = 0  # for text, the bytes
VALUE_BIT_OFFSET: Final = 1
VALIDITY: Final = 2
BIT_OFFSET: Final = 3
ELEMENT: Final = 4  # place in `column.ELEMENTS`, or IS_TEXT
OFFSETS: Final = 5
OFFSET_BYTES: Final = 6
START: Final = 7  # number of the column's row 0, in the numbering of `first`
N_COLUMN_WORDS: Final = 8

IS_TEXT: Final = -1

TAG_MISSING: Final = 0
TAG_INTEGER: Final = 1
TAG_FLOAT: Final = 2
TAG_TEXT: Final = 3

# The table of the entry "buckets": hashes of rows; int32 target for each; number of buckets.
BUCKETS_HASHES: Final = 0
BUCKETS_OUT: Final = 1
BUCKETS_N: Final = 2

# Scratch: the four lanes of XXH64, bytes that wait to be hashed, and a block of values.
N_BUFFER_BYTES: Final = 4096  # a multiple of 32
LANES: Final = 0
BUFFER: Final = 4
BUFFER_END: Final = BUFFER + N_BUFFER_BYTES // 8 + 2  # a part's tag and length go in at once
N_SCRATCH_WORDS: Final = BUFFER_END + BLOCK
