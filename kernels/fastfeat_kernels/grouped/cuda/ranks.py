"""Values by rank of every group on a device: the text of the kernels, and their tables.

The key of a rank is found digit by digit from the highest, for all groups at a time: a round takes
the rows once, and leaves what the next one begins with on the device.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.cuda import column_text, definitions
from fastfeat_kernels.grouped.cuda import BLOCK, Shared

DIGIT_BITS: Final = 4
N_DIGITS: Final = 1 << DIGIT_BITS
SHIFTS: Final = range(64 - DIGIT_BITS, -1, -DIGIT_BITS)
"""By how many bits the digit of each round stands above the lowest."""
COUNTS_BYTES: Final = 4 * N_DIGITS
"""Shared memory of a search."""
SEARCH_BYTES: Final = 8 * (N_DIGITS + 2)
"""Memory of a search: its prefix, its rank within that, and its counts."""

_WORDS: Final = (
    *("TABLE_VALUES", "TABLE_VALUE_BIT_OFFSET", "TABLE_VALIDITY", "TABLE_BIT_OFFSET"),
    *("TABLE_ELEMENT", "TABLE_CODES", "TABLE_FOLDS", "TABLE_FOLD", "TABLE_IS_ORDERED"),
    *("TABLE_N_SEARCHES", "TABLE_PREFIXES", "TABLE_INSIDE", "TABLE_COUNTS"),
    *("TABLE_SHIFT", "TABLE_N_SHARED", "TABLE_N_COPIES"),
)


@cache
def text(block: int = BLOCK) -> str:
    """Return the CUDA text of the kernels, less the prelude, for blocks of so many threads."""
    words = {name: k for k, name in enumerate(_WORDS)}
    words |= {"N_TABLE_WORDS": len(_WORDS), "BLOCK": block}
    words |= {"DIGIT_BITS": DIGIT_BITS, "N_DIGITS": N_DIGITS}
    own = Path(__file__).with_name("ranks.cu").read_text()
    return "\n".join([definitions(words), column_text(), own])


class Rows(NamedTuple):
    """The group of each row.

    Args:
        codes: address of int32, negative where a row is in no group; 0: all are in group 0.
        folds: address of int32; 0 where no row is left out.
        fold: rows of this fold are left out.
        is_ordered: rows of later folds are, too.
    """

    codes: int
    folds: int = 0
    fold: int = 0
    is_ordered: bool = False


class Searches(NamedTuple):
    """Addresses of int64 on the device, those of a group one after the other.

    Args:
        n: how many a group has.
        prefixes: shape (n_groups, n): zeros before the first round, the keys after the last one.
        inside: shape (n_groups, n): the ranks before the first round.
        counts: shape (n_groups, n, N_DIGITS): zeros before each round.
    """

    n: int
    prefixes: int
    inside: int
    counts: int


def table_words(
    element: str,
    column: tuple[int, int, int, int],
    rows: Rows,
    searches: Searches,
    shift: int,
    shared: Shared,
) -> list[int]:
    """Return the words of a table.

    Args:
        element: type of the values, of `column.ELEMENTS`.
        column: address of the values, their first bit, address of the validity, its first bit.
        rows: the groups.
        searches: what is looked for.
        shift: one of SHIFTS.
        shared: which groups count in shared memory.
    """
    place = ELEMENTS.index(element)
    return [*column, place, *map(int, rows), *searches, shift, shared.n_groups, shared.n_copies]
