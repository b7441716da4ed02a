"""Keys of rows that come in several calls: one table stays open and owns its text.

A key keeps its place, so places mean the same in all calls. Each row costs its hash and, with many
keys, a prefetched cache line; keys are hashed again only when the table grows. Only one sequence of
calls at a time: each thread needs its own table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field, replace
from itertools import pairwise

import numpy as np

from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.column import TEXT, AnyChunk, CallRunner, ChunkRows
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary import layout, spans
from fastfeat_kernels.vocabulary import partitions as key_partitions
from fastfeat_kernels.vocabulary.keys import TextKeys, chunk_of_keys, chunk_of_words
from fastfeat_kernels.vocabulary.state import DistinctKeys, copied, found_in
from fastfeat_kernels.vocabulary.tables import (
    GROWTH,
    N_FIRST_SLOTS,
    TEXTS,
    KeySource,
    Table,
    check_keys,
    check_size,
    fill,
    kind_of,
    n_slots_for,
    new_slots,
    new_table,
    new_tables,
    widened,
)


@dataclass(slots=True)
class GrowingVocabulary:
    """The distinct keys of the rows so far.

    Args:
        element: Type of the values, of `column.ELEMENTS`, or `column.TEXT`.
        table: The keys; text keys point into `texts`.
        texts: Bytes of the text keys, in order of arrival.
    """

    element: str
    table: Table
    texts: list[TextKeys] = field(default_factory=list[TextKeys])

    def __len__(self) -> int:
        """Return the number of keys."""
        return self.table.n_keys

    @property
    def n_bytes(self) -> int:
        """Memory of the keys in bytes."""
        table, texts = self.table, self.texts
        numbers = table.slots.nbytes + table.keys.nbytes + table.counts.nbytes
        return numbers + sum(text.data.nbytes + text.offsets.nbytes for text in texts)


def growing(element: str, n_keys: int = 0) -> GrowingVocabulary:
    """Return an empty set of keys, with room for `n_keys`."""
    return GrowingVocabulary(element, new_table(kind_of(element), n_keys))


def make_room(into: GrowingVocabulary, n_keys: int, run: CallRunner) -> None:
    """Give a table room for `n_keys` keys, so that it does not grow in between."""
    table = into.table
    n_slots = n_slots_for(table.kind, n_keys)
    if n_slots > table.n_slots:
        into.table, call = widened(table, n_slots)
        run(table.kind.entry, [[call]])


def bound_of(element: str, n_keys: int) -> int:
    """Return the most bytes that `n_keys` keys take while they grow, without the bytes of text."""
    kind = kind_of(element)
    n_slots = max(N_FIRST_SLOTS, GROWTH * n_slots_for(kind, n_keys))
    n_words = kind.slot_words + (kind.key_words + 1) * kind.max_eighths / 8
    return math.ceil(8 * n_slots * n_words) + (8 * (n_keys + 1) if kind is TEXTS else 0)


def count_into(
    into: GrowingVocabulary,
    chunks: Sequence[AnyChunk],
    run: CallRunner,
    *,
    weights: Int64Array | None = None,
    limit_bytes: int | None = None,
    with_places: bool = False,
) -> Int32Array | None:
    """Count further rows; if wanted, return the place of each row's key, -1 for a missing value.

    Args:
        into: Takes the keys.
        chunks: The column.
        run: Runs sequences of calls of `cpu.ENTRIES`.
        weights: int64 per row: its weight in the counts; 1 by default.
        limit_bytes: Memory limit for the table of all keys.
        with_places: Whether to return places.

    Raises:
        VocabularyTooLarge: The keys take more than `limit_bytes`.
    """
    starts = np.cumsum([0, *(chunk.length for chunk in chunks)]).tolist()
    places = np.empty(starts[-1], np.int32) if with_places else None
    rows: list[ChunkRows[AnyChunk]] = [
        ChunkRows(chunk, 0, chunk.length, start)
        for chunk, start in zip(chunks, starts, strict=False)
    ]
    source = KeySource(into.element, rows, weights, places)
    is_tallied = into.element != TEXT and weights is None and places is None
    tallied = spans.tally(into.element, [rows], run) if is_tallied else None
    if tallied is not None:
        into.table.state[layout.STATE_N_MISSING] += tallied.n_missing
        keys = chunk_of_keys(tallied.keys)
        source = KeySource("int64", [ChunkRows(keys, 0, keys.length, 0)], tallied.counts, None)
    _fill(into, source, run, limit_bytes)
    return places


def count_keys_of(
    of: GrowingVocabulary,
    into: GrowingVocabulary,
    run: CallRunner,
    *,
    limit_bytes: int | None = None,
    with_places: bool = False,
) -> Int32Array | None:
    """Add the keys and counts of another set; if wanted, return the places of its keys.

    The other set's rows without a value are not added. `limit_bytes` limits the memory of the table
    of all keys.
    """
    table, n = of.table, of.table.n_keys
    chunk = chunk_of_words(table.keys[:n], of)
    places = np.empty(n, np.int32) if with_places else None
    element = TEXT if of.element == TEXT else "int64"
    _fill(
        into,
        KeySource(element, [ChunkRows(chunk, 0, n, 0)], table.counts[:n], places),
        run,
        limit_bytes,
    )
    return places


def drop_slots(of: GrowingVocabulary) -> None:
    """Free the slots of a set of keys: no further rows can be counted into it."""
    of.table = replace(of.table, slots=np.empty(0, np.int64))


def _fill(
    into: GrowingVocabulary, source: KeySource, run: CallRunner, limit_bytes: int | None
) -> None:
    """Count the rows of a source."""
    n_before = into.table.n_keys
    filled = fill([into.table], [source], run, limit_bytes)
    assert filled is not None
    into.table = filled[0]
    if into.element == TEXT and into.table.n_keys > n_before:
        _own(into, n_before, run)
    n_bytes = sum(len(text.data) for text in into.texts)
    check_keys(into.table.kind, into.table.n_keys, n_bytes, limit_bytes)


def _own(into: GrowingVocabulary, first: int, run: CallRunner) -> None:
    """Copy the text of the keys from the first on out of the memory of rows."""
    table = into.table
    keys = table.keys[first : table.n_keys]
    text = copied(keys, run, table)
    keys[:, 0] = text.offsets[:-1] + text.data.ctypes.data
    into.texts.append(text)


def joined_by_hash(
    found: Sequence[DistinctKeys], run: CallRunner, *, limit_bytes: int | None = None
) -> DistinctKeys:
    """Return the distinct keys of the rows of several columns, in the order of hashes.

    Keys with the same first bits of the hash are counted in a table that stays in the cache.

    Args:
        found: Keys of one type, each with its `ends`.
        run: Runs sequences of calls of `cpu.ENTRIES`.
        limit_bytes: Memory limit for the table of all keys.

    Raises:
        VocabularyTooLarge: The keys take more than `limit_bytes`.
    """
    element, kind = found[0].element, kind_of(found[0].element)
    every = [one.ends for one in found if one.ends is not None]
    assert len(every) == len(found)
    n = min(map(len, every))
    bounds = [np.append(0, ends[len(ends) // n - 1 :: len(ends) // n]).tolist() for ends in every]
    begins = np.cumsum([0, *(len(one.counts) for one in found)]).tolist()
    weights = np.concatenate([one.counts for one in found])
    chunks = [chunk_of_keys(one.keys) for one in found]
    n_keys = 2 * max(b - a for own in bounds for a, b in pairwise(own))
    slots = [
        new_slots(kind, n_slots_for(kind, n_keys))
        for _ in range(min(key_partitions.N_SEQUENCES, n))
    ]
    words = TEXT if element == TEXT else "int64"
    sources: list[KeySource] = []
    for k in range(n):
        rows: list[ChunkRows[AnyChunk]] = [
            ChunkRows(chunk, own[k], own[k + 1] - own[k], begin)
            for chunk, own, begin in zip(chunks, bounds, begins, strict=False)
        ]
        sources.append(KeySource(words, rows, weights, None))
    tables = new_tables(kind, [slots[k % len(slots)] for k in range(n)])
    filled = fill(tables, sources, run, limit_bytes, n_sequences=len(slots), are_disjoint=True)
    assert filled is not None
    check_size(filled, limit_bytes)
    n_missing = sum(one.n_missing for one in found)
    ends = np.cumsum([table.n_keys for table in filled])
    return replace(found_in(element, filled, n_missing, None, run), ends=ends)


def distinct_keys(
    of: GrowingVocabulary, run: CallRunner, first: int = 0, stop: int | None = None
) -> DistinctKeys:
    """Return the keys so far in the order of their places; numbers are shared, text is copied.

    Further rows change the returned counts. The keys are [first, stop) by place; None for all the
    rest.
    """
    table, some = of.table, slice(first, of.table.n_keys if stop is None else stop)
    words = table.keys[some]
    keys = copied(words, run, of) if of.element == TEXT else words.reshape(len(words))
    return DistinctKeys(of.element, keys, table.counts[some], table.n_missing, None)
