"""The driver of row kernels: runs generated loops over blocks, between Arrow's layout and theirs.

A generated loop reads plain arrays and writes plain arrays: numbers, and bytes 0 or 1 for bools and
for flags ("is present"). The driver finds or makes those arrays block by block: numbers are read in
place, bits are unpacked to bytes. After the loop bits are packed, missing values counted, and rows
of a strided matrix scattered. It is compiled once for a machine.

Words of the table:

    0 scratch memory   1 address of the loops   2 number of runs   3 words reserved for arguments
    then for each run: loop number, inputs, outputs, constants;
        for each input:  kind, values, first bit of values, validity, first bit of validity
        for each output: kind, values, validity, missing values (counted here), row stride or 0
        the constants

A kind is the code of the element type plus WANTS_VALUES, WANTS_FLAGS. The loops are one function
(loop number, address of its arguments, n rows) -> status. Arguments are, for each input and output,
the address of values and of flags, then the constants. Cost: one pass; a call and some 20
instructions a column and block.
"""

from __future__ import annotations

BLOCK = 2048
HEADER_WORDS = 4
RUN_WORDS = 4
COLUMN_WORDS = 5
WANTS_VALUES = 16
WANTS_FLAGS = 32
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
}


def scratch_bytes(n_arguments: int, n_columns: int) -> int:
    """Return the scratch memory of a call: arguments, a block of ones, two blocks a column."""
    return 8 * n_arguments + BLOCK + 2 * n_columns * BLOCK * 8 + 64
