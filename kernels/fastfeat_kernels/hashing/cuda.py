"""The hashing kernels on a device: their text; the words of their table are those of the package.

A table on a device has no scratch memory; N_BUCKETS takes its place. Bitmaps are read in 32-bit
words and text in 64-bit words, so addresses of bitmaps must be multiples of 4, and text must lie in
whole aligned words. A column of text may be a dictionary; its INDICES are where numbers have the
bit of a bool.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from fastfeat_kernels import hashing as layout
from fastfeat_kernels.column import TEXT
from fastfeat_kernels.cuda import definitions

BLOCK: Final = 256
N_BUCKETS: Final = layout.SCRATCH
"""0: hashes as uint64. Else, below 2**31: the number of buckets; results are int32 buckets."""
INDICES: Final = layout.VALUE_BIT_OFFSET
"""For text 0, or the address of an int32 for each row: the place of its entry, negative if missing.
"""

KERNELS: Final = {"numbers": "hash_numbers", TEXT: "hash_text", "mixed": "hash_rows"}
"""The kernel of each entry of `reference.ENTRIES`."""
ROW_NUMBERS: Final = "hash_row_numbers"
"""The kernel that hashes row numbers; its table is only the header."""
_LAYOUT: Final = (
    *("N_COLUMNS", "SEED", "HASHES", "N_HEADER_WORDS"),
    *("VALUES", "VALUE_BIT_OFFSET", "VALIDITY", "BIT_OFFSET", "ELEMENT"),
    *("OFFSETS", "OFFSET_BYTES", "START", "N_COLUMN_WORDS", "IS_TEXT"),
    *("TAG_MISSING", "TAG_INTEGER", "TAG_FLOAT", "TAG_TEXT"),
)


@cache
def xxh64_text() -> str:
    """Return the functions of XXH64, which need only the prelude."""
    return Path(__file__).with_name("xxh64.cuh").read_text()


@cache
def column_text() -> str:
    """Return the functions of XXH64 and of columns in the package's layout."""
    words = {name: getattr(layout, name) for name in _LAYOUT} | {
        "N_BUCKETS": N_BUCKETS,
        "INDICES": INDICES,
    }
    own = Path(__file__).with_name("column.cuh").read_text()
    return "\n".join([definitions(words), xxh64_text(), own])


@cache
def text(block: int = BLOCK) -> str:
    """Return the CUDA text of the kernels, without the prelude, for blocks of `block` threads."""
    own = Path(__file__).with_name("hashing.cu").read_text()
    return "\n".join([f"#define BLOCK {block}", column_text(), own])
