"""The vocabulary kernels on a device: their text, and the words of their tables.

`steps.keys` imports it.

A table has the words of a header; behind it those of the columns of the rows, a part of the key
each, as in `hashing.layout`; and, to look up, behind those the columns of the known keys. Keys that
are inserted stay where they are: slots hold numbers of rows, at most MOST_ROWS of them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Final

from fastfeat_kernels.cuda import definitions
from fastfeat_kernels.hashing.cuda import column_text

BLOCK: Final = 256
MOST_ROWS: Final = 1 << 30
"""Rows are numbered by 32 bits, slots by 31."""
FEWEST_SLOTS: Final = 1 << 10

_VALUE_WORDS: Final = ("VALUE_NUMBERS", "VALUE_VALUES", "VALUE_MISSING", "VALUE_TARGET")
_STATE: Final = ("STATE_KEYS", "STATE_FULL", "STATE_COLLECTED")
N_STATE_WORDS: Final = len(_STATE)
MISSING_IS_NO_KEY: Final = 0
MISSING_IS_A_PART: Final = 1


@dataclass(frozen=True, slots=True)
class KeyTable:
    """The header of a table of keys; a kernel reads the words of it that it needs.

    Args:
        n_parts: of a key.
        missing: MISSING_IS_NO_KEY, or MISSING_IS_A_PART of the key like any other.
        slots: address of the slots, 0 where they are free.
        n_slots: how many, a power of 2.
        state: address of N_STATE_WORDS int64.
        limit: more keys than that are too many for the slots.
        counts: address of an int64 for each slot; 0 where nothing is counted.
        weights: address of an int64 for each row, how often it counts; 0: once.
        rows: address of an int32 for each row: slots, then numbers of keys; or codes; 0 where they
            are not asked for. When numbers are taken, of a byte for each: whether it is a value.
        firsts: address of an int64 for each key: the first row that has it.
        totals: address of an int64 for each key: how often it counts. When numbers are taken, their
            canonical words.
        n_unseen: how many codes there are for what is no known key.
        is_cross: whether the published hash of a key is that of a cross.
    """

    n_parts: int
    missing: int = MISSING_IS_NO_KEY
    slots: int = 0
    n_slots: int = 0
    state: int = 0
    limit: int = 0
    counts: int = 0
    weights: int = 0
    rows: int = 0
    firsts: int = 0
    totals: int = 0
    n_unseen: int = 0
    is_cross: int = 0

    def words(self) -> list[int]:
        """Return the words of the header, in the order of the fields."""
        return [getattr(self, name) for name in _FIELDS]


_FIELDS: Final = tuple(field.name for field in fields(KeyTable))


@cache
def text(block: int = BLOCK) -> str:
    """Return the CUDA text of the kernels, less the prelude, for blocks of so many threads."""
    header = [f"KEY_{name.upper()}" for name in _FIELDS]
    words = {name: k for names in (header, _VALUE_WORDS, _STATE) for k, name in enumerate(names)}
    words |= {"N_KEY_WORDS": len(header), "BLOCK": block, "MISSING_IS_NO_KEY": MISSING_IS_NO_KEY}
    own = Path(__file__).with_name("vocabulary.cu").read_text()
    return "\n".join([definitions(words), column_text(), own])


def value_words(numbers: int, values: int, missing: int, target: int) -> list[int]:
    """Return the words of `read_values`.

    Args:
        numbers: address of an int32 for each row: the number of its key, -1 if it has none.
        values: address of an int32 for each key.
        missing: the value of a row without a key.
        target: address of an int32 for each row.
    """
    return [numbers, values, missing, target]


def n_slots_for(n_keys: int) -> int:
    """Return how many slots leave at least half of them free.

    >>> n_slots_for(0), n_slots_for(1024), n_slots_for(1025)
    (1024, 2048, 4096)
    """
    return max(FEWEST_SLOTS, 1 << max(2 * n_keys - 1, 0).bit_length())
