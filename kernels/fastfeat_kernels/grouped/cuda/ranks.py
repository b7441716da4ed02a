"""Values by rank of each group on a device: the text of the kernels, and their tables.

The key of a rank is found digit by digit from the highest, for all groups at once. Each round reads
the rows once, and leaves the start of the next round on the device.
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
"""Distance in bits of each round's digit from the lowest bit."""
COUNTS_BYTES: Final = 4 * N_DIGITS
"""Shared memory of a search."""
SEARCH_BYTES: Final = 8 * (N_DIGITS + 2)
"""Memory of a search in bytes: its prefix, its rank within that, and its counts."""

_WORDS: Final = (
    *("TABLE_VALUES", "TABLE_VALUE_BIT_OFFSET", "TABLE_VALIDITY", "TABLE_BIT_OFFSET"),
    *("TABLE_ELEMENT", "TABLE_CODES", "TABLE_FOLDS", "TABLE_FOLD", "TABLE_IS_ORDERED"),
    *("TABLE_N_SEARCHES", "TABLE_PREFIXES", "TABLE_INSIDE", "TABLE_COUNTS"),
    *("TABLE_SHIFT", "TABLE_N_SHARED", "TABLE_N_COPIES"),
)


@cache
def text(block: int = BLOCK) -> str:
    """Return the CUDA text of the kernels, without the prelude, for blocks of `block` threads."""
    words = {name: k for k, name in enumerate(_WORDS)}
    words |= {"N_TABLE_WORDS": len(_WORDS), "BLOCK": block}
    words |= {"DIGIT_BITS": DIGIT_BITS, "N_DIGITS": N_DIGITS}
    own = Path(__file__).with_name("ranks.cu").read_text()
    return "\n".join([definitions(words), column_text(), own])


class RankedRows(NamedTuple):
    """The group of each row.

    Args:
        codes: Address of int32, negative for a row in no group; 0 puts all rows in group 0.
        folds: Address of int32; 0 if no row is left out.
        fold: Rows of this fold are left out.
        is_ordered: Whether rows of later folds are left out too.
    """

    codes: int
    folds: int = 0
    fold: int = 0
    is_ordered: bool = False


class Searches(NamedTuple):
    """Addresses of int64 on the device; the searches of a group are consecutive.

    Args:
        n: Number of searches per group.
        prefixes: Shape (n_groups, n): zeros before the first round, the keys after the last one.
        inside: Shape (n_groups, n): the ranks before the first round.
        counts: Shape (n_groups, n, N_DIGITS): zeros before each round.
    """

    n: int
    prefixes: int
    inside: int
    counts: int


def table_words(
    element: str,
    column: tuple[int, int, int, int],
    rows: RankedRows,
    searches: Searches,
    shift: int,
    shared: Shared,
) -> list[int]:
    """Return the words of a table.

    Args:
        element: Type of the values, of `column.ELEMENTS`.
        column: Address of the values, their first bit, address of the validity, its first bit.
        rows: The groups.
        searches: The ranks to find.
        shift: One of SHIFTS.
        shared: Groups that count in shared memory.
    """
    place = ELEMENTS.index(element)
    return [*column, place, *map(int, rows), *searches, shift, shared.n_groups, shared.n_copies]
