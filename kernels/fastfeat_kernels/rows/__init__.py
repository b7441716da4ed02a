"""The driver of row kernels: runs generated loops over blocks of columns in Arrow's layout.

`engine.cpu` imports it.

A generated loop reads and writes plain arrays: numbers, and bytes 0 or 1 for bools and for flags
("is present"). The driver finds or makes those arrays block by block: numbers are read in place,
bits are unpacked to bytes. After the loop it packs bits, counts missing values, and writes rows of
a matrix from a tile. It is compiled once for a machine.

If the columns of the matrix are not contiguous, a block's outputs go to a tile, column after
column, that stays in the cache, and from there to their rows, 8 by 8 through registers: 1M x 50
float32 took 72 ms when each column was scattered, and 25 ms by the tile's columns.

Words of the table:

    0 scratch memory   1 address of the loops   2 number of runs   3 words reserved for arguments
    4 rows of a block, at most BLOCK, a multiple of 64
    5 to 11, of a tile: its address, bytes between its columns, columns (0: there is no tile), code
        of their type; address of the matrix, bytes between its rows, and between its columns
    then for each run: loop number, inputs, outputs, constants;
        for each input:  kind, values, first bit of values, validity, first bit of validity
        for each output: kind, values, validity, missing values (counted here), whether values is a
            place in the tile
        the constants

A kind is the code of the element type plus WANTS_VALUES, WANTS_FLAGS, AS_BITS. The loops are one
function (loop number, address of its arguments, n rows) -> status. Arguments are, for each input
and output, the address of values and of flags, then the constants. Cost: one pass; a call and some
20 instructions a column and block.

A loop whose outputs are all bools, or bools as numbers 0 and 1, computes 64 rows at a time. For
such a loop bools and flags stay bits, AS_BITS: its inputs are words of 64 rows, moved to begin at
bit 0, and it writes words in place. 40 comparisons of 8 columns took a third of the time that bytes
took, which were packed after the loop.

A prepared call fills in a table from a batch of Arrow's C interface, runs the driver, and returns a
matrix or another batch. Words of its block:

    0 table   1 address of the driver   2 columns read   3 columns written
    4 bytes of an element, if columns of the matrix are contiguous; 0: there is a tile
    5 bytes of an element of the matrix
    6, 7 addresses of malloc and free   8 address of `release`
    9 number of kernels that run before the driver   10 address of their words
    then for each column read: the place of its words in the table, in bytes; its number in the
        batch; bytes of a value, 0 for a bool
    and for each column written: the place of its words, or -1 for a copy of the output of one of
        those kernels; its output number; bytes of a value; for a copy the addresses of values and
        validity, and the first bit of the validity

Words of columns are the words after the kind. A call returns the status, or the reason of a
refusal.

For each kernel that runs before, over all rows:

    0 its address   1 address of its table   2 columns that it reads
    3 address of a word that it leaves unchanged unless it fails   4 that word
    5 least number of rows that it takes   6 address of memory that is set to 0 before
    7 bytes a row of that memory; 0: a bit
    then for each column read: its number in the batch; for lists whether to read its elements;
        bytes of a value, 0 for a bool, below 0 for an offset; and the targets, unless 0, of the
        addresses of values and the first bit of bools, of offsets, of validity and its first bit
"""

from __future__ import annotations

BLOCK = 2048
HEADER_WORDS = 12
TILE_BYTES = 1 << 18
BLOCK_WORD, TILE_WORDS, MATRIX_WORD = 4, slice(5, 12), 9
RUN_WORDS = 4
COLUMN_WORDS = 5
CALL_WORDS, READ_WORDS, WRITE_WORDS = 11, 3, 6
BEFORE_WORDS, FILL_WORDS = 8, 8
ARRAY_WORDS = 10  # of Arrow's array structure
UNLIKE, OVERLAPS = -1, -2
"""Reasons to refuse a call: kernels cannot read the memory's layout, or it overlaps the output."""
WANTS_VALUES = 16
WANTS_FLAGS = 32
AS_BITS = 64
CODES = {
    "bool": 0,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "float32": 9,
    "float64": 10,
    "float16": 11,
    "bfloat16": 12,  # only for a matrix
}


def scratch_bytes(n_arguments: int, n_columns: int) -> int:
    """Return the scratch memory of a call: arguments, a block of ones, two blocks a column."""
    return 8 * n_arguments + BLOCK + 2 * n_columns * BLOCK * 8 + 64


def tile_rows(n_columns: int, item_bytes: int) -> int:
    """Return the rows of a block with outputs that stay in the second-level cache."""
    fit = TILE_BYTES // max(n_columns * item_bytes, 1)
    return min(BLOCK, max(64, fit - fit % 64))


def tile_column_bytes(n_rows: int, item_bytes: int) -> int:
    """Return the bytes between columns of a tile: an odd number of cache lines.

    Columns a power of two apart would compete for the same sets of the cache.
    """
    return 64 * (-(-n_rows * item_bytes // 64) | 1)
