"""Reference of the selection kernel: plain Python, same arguments, same table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastfeat_kernels.column import ELEMENTS, key_of
from fastfeat_kernels.memory import value_at, words_at
from fastfeat_kernels.selection import (
    COUNT,
    N_TABLE_WORDS,
    SAMPLE,
    TABLE_BIT_OFFSET,
    TABLE_CELLS,
    TABLE_COUNTS,
    TABLE_CURSORS,
    TABLE_ELEMENT,
    TABLE_HIGH,
    TABLE_KEYS,
    TABLE_LOW,
    TABLE_N_LESS,
    TABLE_N_SAMPLE,
    TABLE_PIVOTS,
    TABLE_ROUND,
    TABLE_SAMPLE,
    TABLE_SHIFT,
    TABLE_STRIDE,
    TABLE_TARGETS,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
)
from fastfeat_kernels.selection.rounds import CELL_BITS

GOLDEN = 0x9E3779B97F4A7C15  # spreads row numbers: 2**64 / golden ratio
KeyOfRow = Callable[[int], int | None]


def run_round(table: int, first: int, n: int) -> int:
    """Run the table's round on rows [first, first + n) of its chunk."""
    words = words_at(table, N_TABLE_WORDS)
    place: int = words[TABLE_ELEMENT]
    element = ELEMENTS[place]

    def key_of_row(row: int) -> int | None:
        value = value_at(
            element,
            words[TABLE_VALUES],
            words[TABLE_VALUE_BIT_OFFSET],
            words[TABLE_VALIDITY],
            words[TABLE_BIT_OFFSET],
            row,
        )
        return None if value is None else key_of(element, value)

    rows = range(first, first + n)
    if words[TABLE_ROUND] == SAMPLE:
        _sample(words, rows, key_of_row)
    elif words[TABLE_ROUND] == COUNT:
        _count(words, rows, key_of_row)
    else:
        _extract(words, rows, key_of_row)
    return 0


def _sample(words: Any, rows: range, key_of_row: KeyOfRow) -> None:
    """Append the key of one row of every `stride`; the result must not depend on which one."""
    stride: int = words[TABLE_STRIDE]
    size = words_at(words[TABLE_N_SAMPLE], 1)
    for start in range(0, len(rows), stride):
        offset = (start * GOLDEN % 2**64 >> 33) % stride
        row: int = min(start + offset, len(rows) - 1)
        key = key_of_row(rows[row])
        if key is not None:
            words_at(words[TABLE_SAMPLE], size[0] + 1)[size[0]] = key
            size[0] += 1


def _count(words: Any, rows: range, key_of_row: KeyOfRow) -> None:
    for row in rows:
        key = key_of_row(row)
        if key is not None:
            bucket = _bucket(words, key)
            words_at(words[TABLE_COUNTS], bucket + 1, signed=False, bits=32)[bucket] += 1


def _extract(words: Any, rows: range, key_of_row: KeyOfRow) -> None:
    """Append the keys of wanted buckets, except the pivots, to the keys of their bucket."""
    for row in rows:
        key = key_of_row(row)
        if key is None:
            continue
        bucket = _bucket(words, key)
        wanted = words_at(words[TABLE_TARGETS], bucket + 1, bits=32)[bucket]
        pivot = words_at(words[TABLE_PIVOTS], wanted + 1)[wanted]
        if wanted == 0 or key == pivot:
            continue
        cursors = words_at(words[TABLE_CURSORS], wanted + 1)
        words_at(words[TABLE_KEYS], cursors[wanted] + 1)[cursors[wanted]] = key
        cursors[wanted] += 1
        words_at(words[TABLE_N_LESS], wanted + 1)[wanted] += key < pivot


def _bucket(words: Any, key: int) -> int:
    offset = min(max(key, words[TABLE_LOW]), words[TABLE_HIGH]) - words[TABLE_LOW]
    cell = words_at(words[TABLE_CELLS], 1 << CELL_BITS)[offset >> words[TABLE_SHIFT]]
    return (cell >> 6) + (offset >> (cell & 63))


ENTRIES = {"rows": run_round}
