"""As-of joins: for each row, the latest row of a table with the same key known at its time.

`steps.tables` imports it.

Spec: a row of the data has a key number, int32 in [0, n_keys) or negative for none, and a time,
int64, which may be missing. A row of the table has both too. Each side has its own tick, a whole
number of nanoseconds; the longer tick is a multiple of the shorter (if times are plain integers,
both are 1). A row of the table is known from its time + `delay` on; exactly at that moment only
with `exact`. A row of the data finds the latest known table row of its key, for equal times the
last one in the table, unless that is more than `tolerance` older than the row of the data. A row
without a key or a time finds nothing, and is never found. Times are compared as integers without
bounds.

`windows.ordering` sorts the rows of the table by key, time and input order; rows of a single key
that are in order stay in place. A tree is built over the times: the last of each 8, the last of
each 8 of those, and so on. The search for a key starts on the lowest level where its rows have at
most two words. On each lower level, the 8 words below a word, a cache line, are compared at once,
ignoring those of other keys. 128 rows of the data are searched together: all take one level before
any takes the next, so that their cache lines are loaded meanwhile.

Rows in order of time are detected 128 at a time (`walking`). For rows of one key in ascending order
of time, the search for the first row starts where the previous rows ended. If there are few table
times up to the place of the last row, each of these is compared with every 16th of the rows, then
with 16 rows: the rows before that point have found the previous table row. If there are more, the
rows are searched for between both places. For rows that are not in ascending order but lie within
256 places of the previous row, the tree search is limited to these places. After a block with a row
outside, the next 15 blocks are not tested for this.

Cost of a join of 2 columns of 1 million rows to 10 million, on two threads, measured by
`python -m bench --only asof`: with 100,000 keys 0.14 s in any order and 0.12 s in order of time,
without keys 0.14 s and 0.02 s. Memory besides the result: 13 bytes per row of the table, 4 per key,
and 4 per row of the data for its key number.

An entry (compiled function) computes the request in its table and returns 0; the words follow. In
Python:

    state      `in_order` sorts the rows of a table, `rows_in_place` takes sorted ones as they are,
               `find` finds rows in it
    reference  the same over lists, by the definition
    cuda       text and words of the kernel of a device

On a device the kernels of `windows` sort the rows of the table; a thread searches for each row of
the data among the times of its key.
"""

from __future__ import annotations

from typing import Final

BLOCK: Final = 128  # rows that are searched for together
PIECE: Final = 1024  # rows of the table that are copied between tests for falling times

# Rows of the data: a chunk of times, and attributes of the same rows.
TABLE_VALUES: Final = 0  # int64
TABLE_VALIDITY: Final = 1
TABLE_BIT_OFFSET: Final = 2
TABLE_CODES: Final = 3  # int32; 0 if all rows have one key
# Conversion of a time to the last known tick of the table.
TABLE_FACTOR: Final = 4  # ticks of the table in a tick of the data; 0 if the data's tick is shorter
TABLE_RATIO: Final = 5  # ticks of the data in a tick of the table
TABLE_ADDED: Final = 6  # whole ticks of the table, never above 0
TABLE_REST: Final = 7  # ticks of the data: a time less far into a tick does not know it
# Largest age of a found row, in nanoseconds, and the ticks.
TABLE_TOLERANCE: Final = 8  # -1 for any age
TABLE_TICK: Final = 9  # tick of the data
TABLE_TICK_OF_TABLE: Final = 10
# Rows of the table, in order.
TABLE_STARTS: Final = 11  # int32: first place of each key, and the end
TABLE_ROWS: Final = 12  # int32: the row in each place
TABLE_LEVELS: Final = 13  # address of each level: of times, of every 8th of them, and so on
# Results.
TABLE_FOUND: Final = 14  # int64: the found row, 0 for none; for `place` the times
TABLE_BITMAP: Final = 15  # bitmap of rows that found one; zeros at first. For `place` a
# word: whether times fall
TABLE_FIRST_BIT: Final = 16  # of row 0 of the chunk
TABLE_SCRATCH: Final = 17  # N_SCRATCH_WORDS words
TABLE_FIRST_CODE: Final = 18  # the code of key 0; lower codes mean none
N_TABLE_WORDS: Final = 19

FANOUT: Final = 8  # times under one time of the next level
LOG_FANOUT: Final = 3

# Rows that are in order of time, or nearly.
STRIDE: Final = BLOCK // FANOUT  # rows that are compared with a time at once
NEIGHBOURS: Final = 256  # places on either side of the previous row's that are searched first
SKIPS: Final = 15  # blocks that are not tested for this after a failure

# Words of the scratch memory, BLOCK of each; the kernel may read and write STRIDE more.
LATEST: Final = 0  # the last known tick; for a row without, that of the row before
PLACES: Final = 1 * (BLOCK + STRIDE)  # the place behind the found row, or of a later time
PRESENT: Final = 2 * (BLOCK + STRIDE)  # 1 if a row has a time and a key
STARTS: Final = 3 * (BLOCK + STRIDE)  # first place of the key's rows
LOWS: Final = 4 * (BLOCK + STRIDE)  # first place to search
ENDS: Final = 5 * (BLOCK + STRIDE)  # end of the places to search
# State of the previous search: the start of its key, the last tick, the place.
HINT_START: Final = 6 * (BLOCK + STRIDE)
HINT_LATEST: Final = HINT_START + 1
HINT_PLACE: Final = HINT_START + 2
HINT_SKIPS: Final = HINT_START + 3  # blocks left that are not tested for nearby places
TOPS: Final = HINT_START + 4  # the last of each STRIDE rows: FANOUT words
N_SCRATCH_WORDS: Final = TOPS + FANOUT

# Words of the table on a device.
DEVICE_WORDS: Final = (
    # rows of the data: their times as a column, the missing ones, and the codes of their keys
    *("VALUES", "VALUE_BIT_OFFSET", "VALIDITY", "BIT_OFFSET", "ELEMENT", "CODES", "FIRST_CODE"),
    # ticks of the finer side in a tick of the data, and in one of the table; one of both is 1
    *("FACTOR", "PARTS"),
    # such ticks: least age of a known row; age from which a row is too old, if there is a limit
    *("DELAY", "IS_LIMITED", "TOO_OLD"),
    # rows of the table, in order: first place of each key, int64; their times and numbers
    *("STARTS", "TIMES", "ROWS"),
    # results: the found row, int64; bits of rows that found one
    *("FOUND", "FOUND_BITS"),
)
