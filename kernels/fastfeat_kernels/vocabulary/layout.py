"""Words of the table, the state and the slots of the vocabulary kernels, all int64."""

from __future__ import annotations

from typing import Final

# What a plan runs of these is the rows' to choose, by how many they are, and of how many keys.
BY_ROWS: Final = ("rows", "gather", "sort", "descending")

# The column.
TABLE_VALUES: Final = 0  # of text, the bytes
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
TABLE_N_SLOTS: Final = 10  # a power of 2; of numbers four slots are a line
TABLE_KEYS: Final = 11  # of numbers a word a key, of text two: address and number of bytes
TABLE_STATE: Final = 12
TABLE_LAST_OF_REGION: Final = 13  # of numbers: lines of a region, a power of 2, less 1
# Learn: how many keys there is room for, int64 per key and, unless 0, per row.
TABLE_LIMIT: Final = 14
TABLE_COUNTS: Final = 15
TABLE_WEIGHTS: Final = 16  # how often each row counts; 0: once
TABLE_CLEARS: Final = 17  # whether the slots are first made free
# Learn from a partition: [first, first + n) are blocks, not rows. Where the rows of the partition
# begin and end in the first block, as two int64; how many words further those of the next block
# are; how many rows were taken before.
TABLE_RUNS: Final = 18  # 0: rows
TABLE_RUN_STRIDE: Final = 19
TABLE_N_TAKEN: Final = 20
# Learn and look up: int32 per row, or 0.
TABLE_ROWS: Final = 21
TABLE_MISSING: Final = 22  # what is written for a missing value
# Look up: what is written for no key; what is added to a place, and int32 per key that is written
# instead of its place, or 0.
TABLE_NONE: Final = 23
TABLE_START: Final = 24
TABLE_OUTPUTS: Final = 25
# Widen: the slots of the smaller table stand where the values of rows do.
# Build: which lines take keys; rows whose key belongs to another line are passed over.
TABLE_FIRST_LINE: Final = 14
TABLE_END_LINE: Final = 15
# Range, tally and direct: keys from one on, how many; and int32 for each, a count or a place.
TABLE_LOW: Final = 18
TABLE_SPAN: Final = 19
TABLE_OF_SPAN: Final = 20
# Copy: where the bytes of each key go: int64 per key, offsets into `bytes`.
TABLE_ENDS: Final = 14
TABLE_BYTES: Final = 15
# Deal out: uint8 per row, which partition it belongs to, the last one if it has no value. Rows are
# taken in blocks. int64 for each partition of a block, and one more: where its rows begin in
# `scattered`, and where those of the block end. Rows of a block stay together there.
TABLE_LOG_PARTITIONS: Final = 14
TABLE_NUMBERS: Final = 15
TABLE_BLOCK_ROWS: Final = 16
TABLE_BLOCK_STARTS: Final = 17  # those of the block of the first row
TABLE_CHUNK_START: Final = 18  # the place of row 0 of the chunk, in `numbers` and `scattered`
TABLE_SCATTERED: Final = 19  # keys, as in the array of keys
N_TABLE_WORDS: Final = 26

# The table of the entry "rows": int32 per row, 0 where all ids are -1; int32 per id, where that for
# id -1 stands first; int32 per row; runs of rows in blocks, as for learn.
ROWS_IDS: Final = 0
ROWS_VALUES: Final = 1
ROWS_TARGET: Final = 2
ROWS_RUNS: Final = 3
ROWS_RUN_STRIDE: Final = 4
N_ROWS_WORDS: Final = 5
# The table of the entry "gather", of blocks: numbers and starts as those that dealing out writes;
# words of the starts of a block; int32 per row in the order of partitions; int32 per row.
GATHER_NUMBERS: Final = 0
GATHER_BLOCK_STARTS: Final = 1
GATHER_STRIDE: Final = 2
GATHER_VALUES: Final = 3
GATHER_TARGET: Final = 4
GATHER_SCRATCH: Final = 5  # as many words as the stride
N_GATHER_WORDS: Final = 6
# The table of the entry "sort": int64 and int32 per key, which change places together; int64 per
# key, whose runs of equal values are sorted each by itself; memory for a copy of the first two, and
# for counting digits; int32 per id, where it stands in the end, or 0.
SORT_KEYS: Final = 0
SORT_IDS: Final = 1
SORT_COUNTS: Final = 2
SORT_SPARE_KEYS: Final = 3
SORT_SPARE_IDS: Final = 4
SORT_DIGITS: Final = 5
SORT_PLACES: Final = 6
N_SORT_WORDS: Final = 7
N_SORT_DIGITS: Final = 1 << 11
# The table of the entry "descending": int64 and int64 per key, words and counts; where they go in
# order of counts, with an int32 for their place before; how many keys have each count, the greatest
# first, or where the next of them goes.
DEAL_ROUND: Final = 0  # COUNT_COUNTS, or PUT_IN_ORDER
DEAL_WORDS: Final = 1
DEAL_COUNTS: Final = 2
DEAL_NEW_WORDS: Final = 3
DEAL_NEW_COUNTS: Final = 4
DEAL_NEW_IDS: Final = 5
DEAL_BINS: Final = 6
DEAL_N_BINS: Final = 7  # counts from there on, less one, are not told apart
N_DEAL_WORDS: Final = 8
COUNT_COUNTS: Final = 0
PUT_IN_ORDER: Final = 1

# The table of the entries "combine" and "lacking": int64 a row, the number of a combination of
# parts, -1 where a part has none; or int32 a row, its code, which becomes 0 where a part is 0; how
# many parts, and for each int32 a row, and how many numbers it has.
COMBINE_KEYS: Final = 0
COMBINE_N_PARTS: Final = 1
COMBINE_PARTS: Final = 2

PAIRS: Final = 16  # for offsets: address and number of bytes of each row, as keys are kept

LEARN: Final = 0
LOOK_UP: Final = 1
COPY: Final = 2
DEAL_OUT: Final = 3
# Of numbers only:
BUILD: Final = 4  # give keys of which none is there their row number as place
RANGE: Final = 5  # note the least and the greatest key, as far as they are close together
TALLY: Final = 6  # count keys of a range
DIRECT: Final = 7  # look up keys of a range
CHECK: Final = 9  # whether numbers that rows are thought to have are those of their keys
# Of both; the rows are lines of numbers, or slots of text:
WIDEN: Final = 8  # copy the keys of a smaller table, with their places

STATE_N_KEYS: Final = 0
STATE_N_MISSING: Final = 1
STATE_N_ROWS: Final = 2  # taken so far
STATE_IS_FULL: Final = 3  # of a range: that it is too wide; of a check: that a number is wrong
STATE_LOW: Final = 4
STATE_HIGH: Final = 5
N_STATE_WORDS: Final = 6

# Numbers are in lines of 64 bytes: the words of up to 5 keys, an int32 each for their places, an
# int32 for how many there are. The next line of a region takes what does not fit. A line has the
# memory of 4 slots.
N_NUMBER_SLOT_WORDS: Final = 2
N_LINE_KEYS: Final = 5
N_SLOTS_PER_LINE: Final = 4
# A slot of text: of up to 16 bytes the bytes as two words, else the hash and a word that is not
# read, for the bytes stand where the array of keys says; place + 1 in the lower half and the number
# of bytes, or ALL_ONES if it is greater, in the upper; the hash.
N_TEXT_SLOT_WORDS: Final = 4
N_INLINE_BYTES: Final = 16
ALL_ONES: Final = 2**32 - 1

BATCH: Final = 256  # rows hashed before the first is looked up
N_SCRATCH_BATCHES: Final = 8
N_SCRATCH_WORDS: Final = N_SCRATCH_BATCHES * BATCH
