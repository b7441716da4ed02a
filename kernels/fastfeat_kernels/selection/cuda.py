"""Order statistics on a device: the text of its kernel, and the update of a search by its counts.

The k-th smallest key is found digit by digit from the highest: a round counts the digits that
follow the prefixes known so far, and each wanted rank moves to the digit that contains it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastfeat_kernels.column import ELEMENTS, value_of_key
from fastfeat_kernels.cuda import column_text, definitions
from fastfeat_kernels.records import dataclass

BLOCK: Final = 256
DIGIT_BITS: Final = 8
N_DIGITS: Final = 1 << DIGIT_BITS
SHIFTS: Final = range(64 - DIGIT_BITS, -1, -DIGIT_BITS)
"""Distance in bits of each round's digit from the lowest bit."""

_WORDS: Final = (
    "TABLE_VALUES",
    "TABLE_VALUE_BIT_OFFSET",
    "TABLE_VALIDITY",
    "TABLE_BIT_OFFSET",
    "TABLE_ELEMENT",
    "TABLE_PREFIXES",
    "TABLE_N_PREFIXES",
    "TABLE_COUNTS",
    "TABLE_SHIFT",
)
N_TABLE_WORDS: Final = len(_WORDS)


@cache
def text(block: int = BLOCK) -> str:
    """Return the CUDA text of the kernel, without the prelude, for blocks of `block` threads."""
    words = {name: k for k, name in enumerate(_WORDS)}
    words |= {"N_TABLE_WORDS": N_TABLE_WORDS, "BLOCK": block}
    words |= {"DIGIT_BITS": DIGIT_BITS, "N_DIGITS": N_DIGITS}
    own = Path(__file__).with_name("selection.cu").read_text()
    return "\n".join([definitions(words), column_text(), own])


def table_words(
    element: str,
    column: tuple[int, int, int, int],
    prefixes: tuple[int, int],
    counts: int,
    shift: int,
) -> list[int]:
    """Return the words of one column.

    Args:
        element: Type of the values, of `column.ELEMENTS`.
        column: Address of the values, their first bit, address of the validity, its first bit.
        prefixes: Address of the sorted prefixes, and their number.
        counts: Address of N_DIGITS counts for each prefix.
        shift: One of SHIFTS.
    """
    return [*column, ELEMENTS.index(element), *prefixes, counts, shift]


@dataclass(frozen=True, slots=True)
class RankSearch:
    """A digit-by-digit search for wanted ranks.

    Args:
        ranks: The wanted ranks, sorted.
        prefixes: Shape (n_prefixes,): the sorted prefixes that contain any of them.
        place: For each rank, the place of its prefix.
        inside: For each rank, the number of keys of its prefix below it.
    """

    ranks: NDArray[np.int64]
    prefixes: NDArray[np.uint64]
    place: NDArray[np.int64]
    inside: NDArray[np.int64]


def begin(ranks: Sequence[int]) -> RankSearch:
    """Return the search for some ranks before the first round: all keys have the empty prefix."""
    wanted = np.array(sorted(set(ranks)), np.int64)
    return RankSearch(wanted, np.zeros(1, np.uint64), np.zeros(len(wanted), np.int64), wanted)


def narrowed(search: RankSearch, counts: NDArray[np.int64]) -> RankSearch:
    """Return the search after a round.

    `counts`, shape (n_prefixes, N_DIGITS), has the number of keys with each digit after each
    prefix.
    """
    ends = np.cumsum(counts, axis=1)
    rows = ends[search.place]
    digits = (rows <= search.inside[:, None]).sum(axis=1)
    below = np.where(digits > 0, rows[np.arange(len(rows)), digits - 1], 0)
    longer = (search.prefixes[search.place] << np.uint64(DIGIT_BITS)) | digits.astype(np.uint64)
    prefixes, place = np.unique(longer, return_inverse=True)
    return RankSearch(search.ranks, prefixes, place.astype(np.int64), search.inside - below)


def values_of(element: str, search: RankSearch) -> Mapping[int, Any]:
    """Return the value of each rank, after the last round: its prefix is its key."""
    keys = (search.prefixes[search.place] ^ np.uint64(1 << 63)).view(np.int64)
    found = zip(search.ranks.tolist(), keys.tolist(), strict=True)
    return {rank: value_of_key(element, key) for rank, key in found}
