"""Words of the table, the state and the slots of the vocabulary kernels, all int64."""

from __future__ import annotations

from typing import Final

# Which of these entries a plan runs depends on the numbers of rows and keys.
BY_ROWS: Final = ("rows", "gather", "sort", "descending")

# The column.
TABLE_VALUES: Final = 0  # for text, the bytes
TABLE_VALUE_BIT_OFFSET: Final = 1
TABLE_VALIDITY: Final = 2
TABLE_BIT_OFFSET: Final = 3
TABLE_ELEMENT: Final = 4  # place in `column.ELEMENTS`
TABLE_OFFSETS: Final = 5  # of text
TABLE_OFFSET_BYTES: Final = 6  # 4, 8, or PAIRS
TABLE_SCRATCH: Final = 7  # N_SCRATCH_WORDS
# The keys.
TABLE_ROUND: Final = 8
TABLE_SLOTS: Final = 9
TABLE_N_SLOTS: Final = 10  # a power of 2; for numbers four slots are a line
TABLE_KEYS: Final = 11  # for numbers a word a key, for text two: address and number of bytes
TABLE_STATE: Final = 12
TABLE_LAST_OF_REGION: Final = 13  # for numbers: lines of a region, a power of 2, less 1
# Learn: the room for keys, int64 per key and, unless 0, per row.
TABLE_LIMIT: Final = 14
TABLE_COUNTS: Final = 15
TABLE_WEIGHTS: Final = 16  # weight of each row; 0: all 1
TABLE_CLEARS: Final = 17  # whether to empty the slots first
# Learn from a partition: [first, first + n) are blocks, not rows. Address of the beginning and the
# end of the partition's rows in the first block, two int64; words from one block to the next;
# number of rows taken before.
TABLE_RUNS: Final = 18  # 0: rows
TABLE_RUN_STRIDE: Final = 19
TABLE_N_TAKEN: Final = 20
# Learn and look up: int32 per row, or 0.
TABLE_ROWS: Final = 21
TABLE_MISSING: Final = 22  # number for a missing value
# Look up: number for no key; number to add to a place; int32 per key to write instead of its place,
# or 0.
TABLE_NONE: Final = 23
TABLE_START: Final = 24
TABLE_OUTPUTS: Final = 25
# Widen: the slots of the smaller table are in TABLE_VALUES.
# Build: the lines that take keys; rows with keys of other lines are skipped.
TABLE_FIRST_LINE: Final = 14
TABLE_END_LINE: Final = 15
# Range, tally and direct: first key, number of keys, and int32 for each: a count or a place.
TABLE_LOW: Final = 18
TABLE_SPAN: Final = 19
TABLE_OF_SPAN: Final = 20
# Copy: int64 per key: the end of its bytes, an offset into `bytes`.
TABLE_ENDS: Final = 14
TABLE_BYTES: Final = 15
# Deal out: uint8 per row: its partition, the last one for a missing value. Rows are
# taken in blocks. int64 for each partition of a block, and one more: the beginning of its rows in
# `scattered`, and the end of the block. Rows of a block stay together there.
TABLE_LOG_PARTITIONS: Final = 14
TABLE_NUMBERS: Final = 15
TABLE_BLOCK_ROWS: Final = 16
TABLE_BLOCK_STARTS: Final = 17  # starts of the block of the first row
TABLE_CHUNK_START: Final = 18  # place of row 0 of the chunk, in `numbers` and `scattered`
TABLE_SCATTERED: Final = 19  # keys, in the layout of the array of keys
N_TABLE_WORDS: Final = 26

# The table of the entry "rows": int32 per row, 0 if all ids are -1; int32 per id, preceded by the
# value for id -1; int32 per row; runs of rows in blocks, like for learn.
ROWS_IDS: Final = 0
ROWS_VALUES: Final = 1
ROWS_TARGET: Final = 2
ROWS_RUNS: Final = 3
ROWS_RUN_STRIDE: Final = 4
N_ROWS_WORDS: Final = 5
# The table of the entry "gather", over blocks: numbers and starts written by dealing out; words of
# the starts of a block; int32 per row in the order of partitions; int32 per row.
GATHER_NUMBERS: Final = 0
GATHER_BLOCK_STARTS: Final = 1
GATHER_STRIDE: Final = 2
GATHER_VALUES: Final = 3
GATHER_TARGET: Final = 4
GATHER_SCRATCH: Final = 5  # as many words as the stride
N_GATHER_WORDS: Final = 6
# The table of the entry "sort": int64 and int32 per key, which are moved together; int64 per
# key, with runs of equal values that are sorted separately; memory for a copy of the first two, and
# for counting digits; int32 per id for its final place, or 0.
SORT_KEYS: Final = 0
SORT_IDS: Final = 1
SORT_COUNTS: Final = 2
SORT_SPARE_KEYS: Final = 3
SORT_SPARE_IDS: Final = 4
SORT_DIGITS: Final = 5
SORT_PLACES: Final = 6
N_SORT_WORDS: Final = 7
N_SORT_DIGITS: Final = 1 << 11
# The table of the entry "descending": int64 and int64 per key, words and counts; target of both in
# order of counts, with an int32 for their place before; number of keys with each count, the
# greatest first, or the next place for one of them.
DEAL_ROUND: Final = 0  # COUNT_COUNTS, or PUT_IN_ORDER
DEAL_WORDS: Final = 1
DEAL_COUNTS: Final = 2
DEAL_NEW_WORDS: Final = 3
DEAL_NEW_COUNTS: Final = 4
DEAL_NEW_IDS: Final = 5
DEAL_BINS: Final = 6
DEAL_N_BINS: Final = 7  # counts from this number, less one, on share a bin
N_DEAL_WORDS: Final = 8
COUNT_COUNTS: Final = 0
PUT_IN_ORDER: Final = 1

# The table of the entries "combine" and "lacking": int64 a row, the number of a combination of
# parts, -1 if a part is missing; or int32 a row, its code, which becomes 0 if a part is 0; number
# of parts, and for each part int32 a row, and its number of values.
COMBINE_KEYS: Final = 0
COMBINE_N_PARTS: Final = 1
COMBINE_PARTS: Final = 2

PAIRS: Final = 16  # for offsets: address and number of bytes of each row, the layout of keys

LEARN: Final = 0
LOOK_UP: Final = 1
COPY: Final = 2
DEAL_OUT: Final = 3
# Of numbers only:
BUILD: Final = 4  # insert new keys with their row number as place
RANGE: Final = 5  # record the range of keys, until it is too wide
TALLY: Final = 6  # count keys of a range
DIRECT: Final = 7  # look up keys of a range
CHECK: Final = 9  # check presumed numbers of rows against their keys
# For both; the rows are lines of numbers, or slots of text:
WIDEN: Final = 8  # copy the keys of a smaller table, with their places

STATE_N_KEYS: Final = 0
STATE_N_MISSING: Final = 1
STATE_N_ROWS: Final = 2  # rows taken so far
STATE_IS_FULL: Final = 3  # for a range: it is too wide; for a check: a number is wrong
STATE_LOW: Final = 4
STATE_HIGH: Final = 5
N_STATE_WORDS: Final = 6

# Numbers are in lines of 64 bytes: the words of up to 5 keys, an int32 each for their places, and
# an int32 for their number. The next line of a region takes the overflow. A line has the
# memory of 4 slots.
N_NUMBER_SLOT_WORDS: Final = 2
N_LINE_KEYS: Final = 5
N_SLOTS_PER_LINE: Final = 4
# A slot of text: up to 16 bytes of text as two words, else the hash and an unused word, since the
# bytes are where the array of keys says; place + 1 in the lower half and the number
# of bytes, or ALL_ONES if it is greater, in the upper; the hash.
N_TEXT_SLOT_WORDS: Final = 4
N_INLINE_BYTES: Final = 16
ALL_ONES: Final = 2**32 - 1

BATCH: Final = 256  # rows hashed before the first is looked up
N_SCRATCH_BATCHES: Final = 8
N_SCRATCH_WORDS: Final = N_SCRATCH_BATCHES * BATCH
