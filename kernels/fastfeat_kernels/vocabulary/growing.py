"""Keys of rows that come in several calls: one table stays open, and its text is its own.

A key keeps its place, so that places of one call mean the same in the next. Costs the hash of each
row and, where keys are many, a line of memory that is asked for ahead; no key is hashed again but
when the table grows. One sequence of calls at a time: threads have tables of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fastfeat_kernels.column import TEXT, AnyChunk, Rows, Run
from fastfeat_kernels.vocabulary.keys import Integers, TextKeys
from fastfeat_kernels.vocabulary.state import DistinctKeys, Places, copied
from fastfeat_kernels.vocabulary.tables import Source, Table, check_keys, fill, kind_of, new_table


@dataclass(slots=True)
class Growing:
    """The distinct keys of the rows so far.

    Args:
        element: type of the values, of `column.ELEMENTS`, or `column.TEXT`.
        table: the keys; those of text are in `texts`.
        texts: the text of the keys, as it came.
    """

    element: str
    table: Table
    texts: list[TextKeys] = field(default_factory=list[TextKeys])

    def __len__(self) -> int:
        """Return the number of keys."""
        return self.table.n_keys

    @property
    def n_bytes(self) -> int:
        """The memory that it takes."""
        table, texts = self.table, self.texts
        numbers = table.slots.nbytes + table.keys.nbytes + table.counts.nbytes
        return numbers + sum(text.data.nbytes + text.offsets.nbytes for text in texts)


def growing(element: str, n_keys: int = 0) -> Growing:
    """Return no keys yet.

    Args:
        element: type of the values.
        n_keys: how many to have room for.
    """
    return Growing(element, new_table(kind_of(element), n_keys))


def count_into(
    into: Growing,
    chunks: Sequence[AnyChunk],
    run: Run,
    *,
    weights: Integers | None = None,
    limit_bytes: int | None = None,
    with_places: bool = False,
) -> Places | None:
    """Count further rows, and return the place of the key of each, -1 of no value, if wanted.

    Args:
        into: takes the keys.
        chunks: the column.
        run: runs sequences of calls of `cpu.ENTRIES`.
        weights: int64 per row: how often it counts; each once by default.
        limit_bytes: memory that the table of all keys may take.
        with_places: whether places are wanted.

    Raises:
        VocabularyTooLarge: the keys take more than `limit_bytes`.
    """
    starts = np.cumsum([0, *(chunk.length for chunk in chunks)]).tolist()
    places = np.empty(starts[-1], np.int32) if with_places else None
    rows = [
        Rows(chunk, 0, chunk.length, start) for chunk, start in zip(chunks, starts, strict=False)
    ]
    n_before = into.table.n_keys
    filled = fill([into.table], [Source(into.element, rows, weights, places)], run, limit_bytes)
    assert filled is not None
    into.table = filled[0]
    if into.element == TEXT and into.table.n_keys > n_before:
        _own(into, n_before, run)
    n_bytes = sum(len(text.data) for text in into.texts)
    check_keys(into.table.kind, into.table.n_keys, n_bytes, limit_bytes)
    return places


def _own(into: Growing, first: int, run: Run) -> None:
    """Copy the text of the keys from the first on, which is that of rows."""
    table = into.table
    keys = table.keys[first : table.n_keys]
    text = copied(keys, run, table)
    keys[:, 0] = text.offsets[:-1] + text.data.ctypes.data
    into.texts.append(text)


def distinct_keys(of: Growing, run: Run) -> DistinctKeys:
    """Return the keys so far in the order of their places; further rows do not change them."""
    table, n = of.table, of.table.n_keys
    counts, words = table.counts[:n].copy(), table.keys[:n]
    keys = copied(words, run, of) if of.element == TEXT else words.reshape(n).copy()
    return DistinctKeys(of.element, keys, counts, table.n_missing, None)
