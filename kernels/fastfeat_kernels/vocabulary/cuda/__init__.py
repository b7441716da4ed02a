"""The vocabulary kernels on a device: their text, and the words of their tables.

`steps.keys` imports it.

A table begins with the words of a header. Behind it are the columns of the rows, one per part of
the key, like in `hashing`, and for look-ups then the columns of the known keys. Inserted keys stay
where they are: slots hold row numbers, at most MOST_ROWS of them.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Final

from fastfeat_kernels.cuda import definitions
from fastfeat_kernels.hashing.cuda import column_text
from fastfeat_kernels.records import dataclass

BLOCK: Final = 256
MOST_ROWS: Final = 1 << 30
"""Row numbers have 32 bits, slots 31."""
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
        n_parts: Number of parts of a key.
        missing: MISSING_IS_NO_KEY, or MISSING_IS_A_PART of the key like any other.
        slots: Address of the slots, 0 if they are free.
        n_slots: Number of slots, a power of 2.
        state: Address of N_STATE_WORDS int64.
        limit: Largest number of keys for these slots.
        counts: Address of an int64 for each slot; 0 if nothing is counted.
        weights: Address of an int64 weight for each row; 0 for weights of 1.
        rows: Address of an int32 for each row: slots, then numbers of keys; or codes; 0 if not
            requested. While numbers are taken, one byte for each row: whether it is a value.
        firsts: Address of an int64 for each key: the first row that has it.
        totals: Address of an int64 for each key: its count. While numbers are taken, their
            canonical words.
        n_unseen: Number of codes for unknown keys.
        is_cross: Whether keys are hashed as crosses by the published hash.
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
    """Return the CUDA text of the kernels, without the prelude, for blocks of `block` threads."""
    header = [f"KEY_{name.upper()}" for name in _FIELDS]
    words = {name: k for names in (header, _VALUE_WORDS, _STATE) for k, name in enumerate(names)}
    words |= {"N_KEY_WORDS": len(header), "BLOCK": block, "MISSING_IS_NO_KEY": MISSING_IS_NO_KEY}
    own = Path(__file__).with_name("vocabulary.cu").read_text()
    return "\n".join([definitions(words), column_text(), own])


def value_words(numbers: int, values: int, missing: int, target: int) -> list[int]:
    """Return the words of `read_values`.

    Args:
        numbers: Address of an int32 for each row: the number of its key, -1 if it has none.
        values: Address of an int32 for each key.
        missing: Value of a row without a key.
        target: Address of an int32 for each row.
    """
    return [numbers, values, missing, target]


def n_slots_for(n_keys: int) -> int:
    """Return the number of slots that leaves at least half of them free.

    >>> n_slots_for(0), n_slots_for(1024), n_slots_for(1025)
    (1024, 2048, 4096)
    """
    return max(FEWEST_SLOTS, 1 << max(2 * n_keys - 1, 0).bit_length())
