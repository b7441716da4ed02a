"""Words of the tables of the kernels of as-of joins, int64 arrays of addresses and numbers."""

from __future__ import annotations

from typing import Final

BLOCK: Final = 128  # rows that are searched for together
PIECE: Final = 1024  # rows of the table that are placed before anybody looks whether they fall

# Rows of the data: a chunk of times, and what is of the same rows.
TABLE_VALUES: Final = 0  # int64
TABLE_VALIDITY: Final = 1
TABLE_BIT_OFFSET: Final = 2
TABLE_CODES: Final = 3  # int32; 0 where all rows have one key
# The last tick of the table that is known at a time.
TABLE_FACTOR: Final = 4  # ticks of the table in a tick of the data; 0 where it is the other way
TABLE_RATIO: Final = 5  # ticks of the data in a tick of the table
TABLE_ADDED: Final = 6  # whole ticks of the table, never above 0
TABLE_REST: Final = 7  # ticks of the data: a time less far into a tick of the table misses it
# How old a row may be, in nanoseconds, and those of ticks.
TABLE_TOLERANCE: Final = 8  # -1 for any age
TABLE_TICK: Final = 9  # of the data
TABLE_TICK_OF_TABLE: Final = 10
# Rows of the table, in order.
TABLE_STARTS: Final = 11  # int32: where the rows of each key begin, and the end
TABLE_ROWS: Final = 12  # int32: the row in each place
TABLE_LEVELS: Final = 13  # address of each level: of times, of every 8th of them, and so on
# Results.
TABLE_FOUND: Final = 14  # int64: the row that was found, 0 for none; of `place` the times
TABLE_BITMAP: Final = 15  # of the column: which rows have found one; zeros before. Of `place` a
# word: whether times fall
TABLE_FIRST_BIT: Final = 16  # of row 0 of the chunk
TABLE_SCRATCH: Final = 17  # N_SCRATCH_WORDS words
TABLE_FIRST_CODE: Final = 18  # the code of key 0; lower ones are of none
N_TABLE_WORDS: Final = 19

FANOUT: Final = 8  # times under one of the level above
LOG_FANOUT: Final = 3

# Rows that come in order of time, or nearly.
STRIDE: Final = BLOCK // FANOUT  # rows that are compared with a time at once
NEIGHBOURS: Final = 256  # places on either side of that of a row, where others are looked for first
SKIPS: Final = 15  # blocks that are not looked for there, after one that was not there

# Words of the scratch memory, BLOCK of each; the kernel may read and write STRIDE more.
LATEST: Final = 0  # the last tick that is known; of a row without, that of the row before
PLACES: Final = 1 * (BLOCK + STRIDE)  # the place behind what was found, or that of a time above it
PRESENT: Final = 2 * (BLOCK + STRIDE)  # 1 where a row has a time and a key
STARTS: Final = 3 * (BLOCK + STRIDE)  # the first place of the run of its key
LOWS: Final = 4 * (BLOCK + STRIDE)  # the first place that is searched
ENDS: Final = 5 * (BLOCK + STRIDE)  # the place behind the last one that is
# Where the search before has ended: the start of its run, the last tick, the place.
HINT_START: Final = 6 * (BLOCK + STRIDE)
HINT_LATEST: Final = HINT_START + 1
HINT_PLACE: Final = HINT_START + 2
HINT_SKIPS: Final = HINT_START + 3  # blocks of which nothing is near
TOPS: Final = HINT_START + 4  # the last of each STRIDE rows: FANOUT words
N_SCRATCH_WORDS: Final = TOPS + FANOUT

# Words of the table on a device.
DEVICE_WORDS: Final = (
    # rows of the data: their times as a column, what is missing, and the codes of their keys
    *("VALUES", "VALUE_BIT_OFFSET", "VALIDITY", "BIT_OFFSET", "ELEMENT", "CODES", "FIRST_CODE"),
    # ticks of the finer side in a tick of the data, and in one of the table; one of both is 1
    *("FACTOR", "PARTS"),
    # such ticks: how much older a row of the table is at least; from where on it is too old, if so
    *("DELAY", "IS_LIMITED", "TOO_OLD"),
    # rows of the table, in order: where those of each key begin, int64; their times and numbers
    *("STARTS", "TIMES", "ROWS"),
    # results: the row that was found, int64; which rows have found one, bits
    *("FOUND", "FOUND_BITS"),
)
