"""Words of the table of the windows kernel, and of the int64 arrays that it points to."""

from __future__ import annotations

from typing import Final

from fastfeat_kernels import powers
from fastfeat_kernels.column import FLOAT as FLOAT
from fastfeat_kernels.column import INTEGER as INTEGER
from fastfeat_kernels.column import UNSIGNED as UNSIGNED

# Which of these entries a plan runs depends on the numbers of rows and entities.
BY_ROWS: Final = ("keep", "count", "deal", "order", "check", "survey", "add", "collect")

# A column, and the entities of its rows.
TABLE_VALUES: Final = 0
TABLE_VALUE_BIT_OFFSET: Final = 1
TABLE_VALIDITY: Final = 2
TABLE_BIT_OFFSET: Final = 3
TABLE_ELEMENT: Final = 4  # place in `column.ELEMENTS`
TABLE_CODES: Final = 5  # int32, of row 0 of the chunk
TABLE_KEPT: Final = 6  # int32, the same, -1 if the value is missing
# Rows dealt out, stripe by stripe of the input, to partitions of neighbouring entities, in their
# order within each.
TABLE_SHIFT: Final = 7  # code >> shift is the partition
TABLE_CURSORS: Final = 8  # a row count, or place, for each partition
TABLE_DEALT: Final = 9  # a word for each dealt row: float64 with NaN for missing, or a key
TABLE_DEALT_PRESENT: Final = 10  # a byte for each dealt row, for integers; 0 if none is missing
TABLE_DEALT_CODES: Final = 11  # int32
TABLE_DEALT_TIES: Final = 12  # keys; 0 if there are none
# Rows in window order.
TABLE_STARTS: Final = 13  # first place of each entity, and the end
TABLE_ARRIVALS: Final = 14  # int32: the dealt row in each place
TABLE_TIMES: Final = 15
TABLE_FIRST_PLACE: Final = 16  # of a partition; for results, of the asking rows
TABLE_END_PLACE: Final = 17
TABLE_SCRATCH: Final = 18
TABLE_SPARE: Final = 34  # memory for sorting: N_DIGITS words, 12 bytes for each key
# The request: words of columns, windows and outputs.
TABLE_COLUMNS: Final = 19
TABLE_N_COLUMNS: Final = 20
TABLE_WINDOWS: Final = 21
TABLE_N_WINDOWS: Final = 22
TABLE_OUTPUTS: Final = 23
TABLE_N_OUTPUTS: Final = 24
TABLE_ASK_FROM: Final = 25  # the first dealt row of the partition that asks
TABLE_STAGE: Final = 26  # addresses of pieces, where results of dealt rows wait
TABLE_ROW_WORDS: Final = 27  # words in the results of a row
TABLE_FLAGS: Final = 28  # the word with bits that mark other results present; -1 for none
TABLE_OVERFLOWS: Final = 29  # for each output the first dealt row that overflows, or is late
TABLE_TARGETS: Final = 30  # addresses of results in input order, for each word of a row;
# 0 if results wait for `collect`
TABLE_FLAG_BITS: Final = 31  # addresses of bitmaps of flagged results; 0 if not requested
TABLE_NUMBER_BITS: Final = 35  # the same for floats, which are present unless NaN
TABLE_FIRST_ASKING: Final = 32  # the input row of the first target
TABLE_ABSENT: Final = 33  # the words of a row that is in no window
TABLE_PIECE_BITS: Final = 36  # a piece has the results of 1 << this many dealt rows
TABLE_CELLS: Final = 37  # first dealt row of a partition in each stripe, and the end
TABLE_CELL_STRIDE: Final = 38  # words from one stripe to the next
TABLE_N_STRIPES: Final = 39
TABLE_BOUNDS: Final = 40  # bounds that are searched by time: 2 * window, + 1 for its end
TABLE_N_BOUNDS: Final = 41
# Asking rows in window order: the rows in the windows, or others of the same entities.
TABLE_ASKING_STARTS: Final = 42
TABLE_ASKING_ARRIVALS: Final = 43
TABLE_ASKING_TIMES: Final = 44
TABLE_IS_MOVED: Final = 45  # address of a word: whether any row's place differs from its dealt row
TABLE_CARRIED: Final = 46  # for a slice: number of rows its first place stands for; 0 for itself
TABLE_CARRY: Final = 47  # summaries of these rows, N_CARRY_WORDS words for each column
N_TABLE_WORDS: Final = 48

# A column: an offset is a number of bytes from the scratch memory on, 0 if not requested.
COLUMN_KIND: Final = 0  # kind of its words: `FLOAT`, `INTEGER` or `UNSIGNED`
COLUMN_VALUES: Final = 1  # address of dealt values; 0 for the times of the rows
COLUMN_PRESENT: Final = 2  # address of dealt bytes, or 0
COLUMN_STATE: Final = 3  # offset of N_STATE_WORDS words
COLUMN_WORDS: Final = 4  # offset of the values in order
COLUMN_COUNTS: Final = 5  # int32, one more than rows: values before each place
COLUMN_INFINITE: Final = 6  # int32 in pairs, one more than rows: +inf and -inf before each place
COLUMN_SUMS: Final = 7  # in pairs, one more than rows: limbs of the sum of earlier values; for a
# narrow column float64 one after the other, and then the values
COLUMN_SQUARES: Final = 8  # the same for squares, limbs in fours
COLUMN_MIN_KEYS: Final = 9  # ~key, or the lowest; with levels, LEVEL_ROWS apart
COLUMN_MAX_KEYS: Final = 10  # key, or the lowest
COLUMN_NEXT: Final = 11  # int32, one more than rows: the first place from here on with a value
COLUMN_LAST: Final = 12  # int32, one more than rows: the last place before with a value
COLUMN_RANKS: Final = 13  # int32: place among the distinct values of the entity, -1 for none
COLUMN_RANK_KEYS: Final = 14  # those values in order, from the place of the entity on
COLUMN_MERGED_RANKS: Final = 15  # the same with -0.0 as 0.0
COLUMN_MERGED_KEYS: Final = 16
N_COLUMN_WORDS: Final = 17

# Summary of a column in a batch of entities.
STATE_MISSING: Final = 0  # whether a value is missing
STATE_INFINITE: Final = 1  # whether one is infinite
STATE_UNIT: Final = 2  # exponent of the lowest bit of the limbs
STATE_WIDE: Final = 3  # whether the values are too wide for the limbs
STATE_LOWEST: Final = 4  # the lowest bit of any value, above 2**-1074
STATE_HIGHEST: Final = 5  # the lowest bit of the greatest value, likewise
STATE_NARROW: Final = 6  # whether sums are whole units in float64, not limbs
STATE_MIN_LEVELS: Final = 7  # number of written levels of keys
STATE_MAX_LEVELS: Final = 8
STATE_CARRY: Final = 9  # address of the summary of the rows that the first place stands for, or 0
N_STATE_WORDS: Final = 16

# Summary of a column in some rows of an entity.
CARRY_COUNT: Final = 0  # number of values
CARRY_POSITIVE: Final = 1  # number of +inf values
CARRY_NEGATIVE: Final = 2
CARRY_MAX_KEY: Final = 3  # the greatest key, or the lowest
CARRY_MIN_KEY: Final = 4  # the greatest ~key, or the lowest
CARRY_FIRST: Final = 5  # the earliest value
CARRY_LAST: Final = 6  # the latest, or the word of a missing value
CARRY_GREATEST: Final = 7  # bits of the greatest magnitude of finite floats
CARRY_LOWEST: Final = 8  # exponent of the lowest bit of any of these
CARRY_GRID: Final = 9  # grid of sums: none, or the entity's
CARRY_UNIT: Final = 10  # like STATE_UNIT
CARRY_SUM: Final = 11  # two limbs, or the bits of a float64
CARRY_SQUARES: Final = 13  # four limbs, or the bits of a float64
N_CARRY_WORDS: Final = 17

# Grids of sums. A float of biased exponent e is below 2**(e - BIAS); if the exponents of values lie
# between these ends, no result comes near the ends of the float range.
BIAS: Final = 1022
MIN_EXPONENT: Final = BIAS - 380
MAX_EXPONENT: Final = BIAS + 480
FLOAT_BITS: Final = 53
MAX_NARROW_BITS: Final = 50  # values below 2**51 are rounded by adding 1.5 * 2**52
NO_GRID: Final = 0
NARROW_GRID: Final = 1
GRID_OF_LIMBS: Final = 2

WINDOW_LOW: Final = 0
WINDOW_HIGH: Final = 1
WINDOW_OWN: Final = 2
WINDOW_ROWS: Final = 3
WINDOW_BEGINS: Final = 4  # offset of int32 for each asking row of a block
WINDOW_ENDS: Final = 5  # the same for ends, shared by windows with the same end
WINDOW_STATE: Final = 6  # offset of N_WINDOW_STATE_WORDS words
N_WINDOW_WORDS: Final = 7

# State of a window in a block: both ends, and whether each moves by one place a row.
BEGIN_STEADY: Final = 2
END_STEADY: Final = 3
N_WINDOW_STATE_WORDS: Final = 4

OUTPUT_WINDOW: Final = 0
OUTPUT_COLUMN: Final = 1
OUTPUT_STATISTIC: Final = 2  # its number in `statistics`
OUTPUT_PARAMETER: Final = 3  # ddof, n, a method, or the bits of a float
OUTPUT_INTERPOLATION: Final = 4
OUTPUT_MIN_SAMPLES: Final = 5
OUTPUT_SLOT: Final = 6  # its word in the results of a row
OUTPUT_FLAGGED: Final = 7  # whether a bit marks it present, and who writes the bit
OUTPUT_STATE: Final = 8  # offset of N_OUTPUT_STATE_WORDS words
OUTPUT_MEMORY: Final = 9  # offset of suffix keys, of limbs, of a tree, or of an average
OUTPUT_COUNTED: Final = 10  # whether window and column are the same as for the previous output
OUTPUT_SINCE: Final = 11  # for picks: the value, or the time since it
OUTPUT_FACTOR: Final = 12  # factor from ticks to whole parts of a second
OUTPUT_PARTS: Final = 13  # of a second
OUTPUT_DIVISOR: Final = 14  # for a slope: its divisor; its factor is the parameter
OUTPUT_FAMILY: Final = 15  # its loop
OUTPUT_LEAST: Final = 16  # with fewer values it is missing
OUTPUT_NOTHING: Final = 17  # the word of a missing result
OUTPUT_SHAPE: Final = 18  # shape number in `powers`
N_OUTPUT_WORDS: Final = 19
N_OUTPUT_STATE_WORDS: Final = 4

FLAGGED_BY_COUNT: Final = 1  # it is present if the window has enough values
FLAGGED_BY_LOOP: Final = 2
NAN_BITS: Final = 0x7FF8 << 48
SINCE_TICKS: Final = 1  # time since, as int64
SINCE_SECONDS: Final = 2  # as float64

# Scratch memory begins with words of a batch.
NEXT_ENTITY: Final = 0  # where to look for asking rows
NEXT_ROW: Final = 1
TIMES: Final = 2  # address of the batch's times
ASKING_TIMES: Final = 3  # address of the asking rows' times
SUMMED: Final = 4  # column and window that the sums of a block in SUMS belong to
BATCH_ROWS: Final = 5  # number of rows of the batch
FOUR_BOUNDS: Final = 8  # four numbers of bounds

# Byte offsets of memory that every batch needs.
ASKS: Final = 256  # asking rows with results written at a time
BATCH: Final = 2048  # rows: entities are batched until they have so many
MAX_ROW_WORDS: Final = 16  # words in the results of a row in one pass, including flags
PLACES: Final = 128  # int32: place among the asking rows of the batch; 16 words of state before
ENTITY_STARTS: Final = PLACES + 4 * ASKS
ENTITY_ENDS: Final = ENTITY_STARTS + 4 * ASKS
ARRIVALS: Final = ENTITY_ENDS + 4 * ASKS
COUNTS: Final = ARRIVALS + 4 * ASKS  # int32
TIMES_ASKED: Final = COUNTS + 4 * ASKS  # of the asking rows
RESULTS: Final = TIMES_ASKED + 8 * ASKS  # a column of words for each word of a row
DOUBTS: Final = RESULTS + 8 * ASKS * MAX_ROW_WORDS  # a word for each row of a block
LINES: Final = DOUBTS + 8 * ASKS  # 8 columns of words of 256 rows, in the layout of `grouped`
SUMS: Final = LINES + 8 * 8 * 256  # 2 columns of words: limbs, or float64 in the first
DIGITS: Final = SUMS + 2 * 8 * ASKS  # 2 integers of up to 160 digits
FIXED_BYTES: Final = DIGITS + 2 * 8 * 160

# Level k of keys has at each place the maximum of 1 << k; only batches of fewer rows use levels.
LEVEL_ROWS: Final = 4096
N_LEVELS: Final = 12

LIMB_BITS: Final = 40  # like in `grouped`
N_SUM_LIMBS: Final = 72  # 32-bit limbs that hold any float
N_SQUARE_LIMBS: Final = 144
N_WIDE_WORDS: Final = N_SUM_LIMBS + N_SQUARE_LIMBS

# Spare memory for sorting the rows of an entity.
N_DIGITS: Final = 2048

# Words of the memory of an average with decaying weights.
AVERAGE: Final = 0
WEIGHT: Final = 1
LAST_TIME: Final = 2
IS_FINITE: Final = 3  # whether a finite value was among those before
IS_POSITIVE: Final = 4  # whether +inf was
IS_NEGATIVE: Final = 5
N_AVERAGE_WORDS: Final = 6

# Words of the memory of a slope: limbs of 32 bits, and room for reading them.
N_VALUE_LIMBS: Final = 80
N_TIME_LIMBS: Final = 4
N_TIME_SQUARE_LIMBS: Final = 6
SUM_OF_X: Final = 0
SUM_OF_TX: Final = N_VALUE_LIMBS
SUM_OF_T: Final = 2 * N_VALUE_LIMBS
SUM_OF_TT: Final = SUM_OF_T + N_TIME_LIMBS
BOUNDS: Final = SUM_OF_TT + N_TIME_SQUARE_LIMBS  # lowest and highest place of the entity's values
DIGITS_OF_X: Final = BOUNDS + 2
DIGITS_OF_TX: Final = DIGITS_OF_X + N_VALUE_LIMBS
DIGITS_OF_TIME: Final = DIGITS_OF_TX + N_VALUE_LIMBS
TOTAL: Final = DIGITS_OF_TIME + N_VALUE_LIMBS + 16
N_SLOPE_WORDS: Final = TOTAL + N_VALUE_LIMBS + 16

# Words of the memory of a shape: lowest and highest bit of the entity's values, sums, digits.
N_SHAPE_WORDS: Final = 2 + powers.N_SUM_WORDS + powers.N_READING_WORDS
