"""As-of joins: the latest row of a table, of the key of each row, that was known at its moment.

`steps.tables` imports it.

Spec: a row of the data has the number of its key, int32 in [0, n_keys) or negative for none, and a
time, int64, which may be missing. So has a row of the table. Both times are in ticks of their own,
each a whole number of nanoseconds, and the longer of the two a multiple of the shorter (of whole
numbers both are 1). A row of the table is known from its time + `delay` on; with `exact` at that
very moment too. Of the rows of its key that are known, a row of the data finds the latest, of equal
times the last one of the table, unless that is more than `tolerance` older than it. A row without a
key or a time finds none, and is found by none. Moments are compared as integers without bounds.

The rows of the table are put in order by `windows.ordering`: by key, time, and as they came in;
those of one key that stand in order stay as they are. Over the times stands a tree: the last of
each 8 of them, the last of each 8 of those, and so on. A run of one key is searched from the lowest
level on which it has two words at most; further down the 8 words below a word, a line of the cache,
are compared at once, those of other runs not counted. Of 128 rows of the data every one takes a
level before any takes the next, so that the lines they need are on their way meanwhile.

Whether rows come in order of time is seen 128 at a time (`walking`). Of rows of one key whose times
do not fall the first is looked for from where the rows before have ended. If there are few times up
to the last of them, each of these is compared with every 16th of the rows, then with 16 of them:
the rows up to there have found the row before it. If there are more, the rows are searched for
between both ends. Where times fall and the rows are within 256 places of the row before, the tree
is searched among these; where one is not, the next 15 times nobody looks.

Cost of a join of 2 columns of 1 million rows to 10 million, on two threads, as `python -m bench
--only asof` measures it: with 100,000 keys 0.14 s in any order and 0.12 s in order of time, without
0.14 s and 0.02 s. Memory beside the result: 13 bytes a row of the table, 4 a key, and 4 a row of
the data for the numbers of its keys.

An entry takes what its table asks for and returns 0; the words follow. In Python:

    state      `in_order` puts the rows of a table in order, `as_given` takes them as they stand,
               `find` finds rows in it
    reference  the same over lists, by the definition
    cuda       text and words of the kernel of a device

On a device the rows of the table are put in order by the kernels of `windows`; a thread searches
for each row of the data among the times of its key.
"""

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
