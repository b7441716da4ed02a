"""Vocabularies: learnt from columns in chunks, ordered, and looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import numpy as np

from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.column import (
    ELEMENTS,
    TEXT,
    AnyChunk,
    CallRunner,
    ChunkRows,
    KernelRowCall,
    split_rows,
)
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary import layout, ordering, spans
from fastfeat_kernels.vocabulary import partitions as key_partitions
from fastfeat_kernels.vocabulary.keys import (
    KeyChunk,
    Keys,
    KeyTextChunk,
    TextKeys,
    chunk_of_keys,
    chunk_of_words,
    describe,
)
from fastfeat_kernels.vocabulary.tables import (
    N_FIRST_SLOTS,
    NUMBERS,
    TEXTS,
    KeySource,
    PartitionRows,
    Table,
    check_keys,
    check_size,
    fill,
    kind_of,
    n_slots_for,
    new_slots,
    new_table,
    table_words,
)

if TYPE_CHECKING:
    from fastfeat_kernels.vocabulary.partitions import Partitions
    from fastfeat_kernels.vocabulary.spans import SpanTable


@dataclass(frozen=True, slots=True)
class RowIds:
    """The key of each row, as the number that the table of its key gave it.

    Args:
        ids: int32 per row, -1 for a missing value, in the order of the tables' rows. With
            partitions, rows without a value have no entry.
        starts: First row of each table, and the end; empty with partitions.
        keys: For each table, the place in `DistinctKeys.keys` of each id, or all as a slice.
        partitions: Order of the rows; None for the order of the column.
    """

    ids: Int32Array
    starts: Sequence[int]
    keys: Sequence[Int32Array | slice]
    partitions: Partitions | None


@dataclass(frozen=True, slots=True)
class RowKeys:
    """The key of each row, by reading the column again: its keys are of a narrow range."""

    chunks: Sequence[AnyChunk]
    n_parts: int


@dataclass(frozen=True, slots=True)
class DistinctKeys:
    """The distinct keys of a column, in an arbitrary order.

    Args:
        element: Type of the values, of `column.ELEMENTS`, or `column.TEXT`.
        keys: An int64 array, or `TextKeys`.
        counts: int64 per key: number of its rows.
        n_missing: Number of rows without a value.
        rows: Key of each row, if requested; read by `row_values`.
        ends: For keys in the order of hashes: end of each group with the same first bits of the
            hash, for a power of 2 of groups; None if the keys are not in that order.
    """

    element: str
    keys: Keys
    counts: Int64Array
    n_missing: int
    rows: RowIds | RowKeys | None
    ends: Int64Array | None = None


@dataclass(frozen=True, slots=True)
class OrderedKeys:
    """The distinct keys of a column by count descending, key ascending.

    Args:
        keys: An int64 array, or `TextKeys`.
        counts: int64 per key.
        places: int32 per key of `DistinctKeys`: its place here.
    """

    keys: Keys
    counts: Int64Array
    places: Int32Array


@dataclass(frozen=True, slots=True)
class Index:
    """The place of each key in the array that it was made from.

    Args:
        element: Type of the values.
        keys: The array.
        table: The hash table, or the place of each number of a narrow range.
        last_of_region: For numbers, lines of a region less 1.
    """

    element: str
    keys: Keys
    table: Table | SpanTable
    last_of_region: int = 0


def learn(
    element: str,
    chunks: Sequence[AnyChunk],
    run: CallRunner,
    n_parts: int = 1,
    *,
    limit_bytes: int | None = None,
    with_rows: bool = False,
) -> DistinctKeys:
    """Return the distinct keys of a column with exact counts."""
    parts = split_rows(chunks, n_parts) or [[]]
    tallied = None if element == TEXT else spans.tally(element, parts, run)
    if tallied is not None:
        check_keys(NUMBERS, len(tallied.keys), 0, limit_bytes)
        of_rows = RowKeys(chunks, n_parts) if with_rows else None
        return DistinctKeys(element, tallied.keys, tallied.counts, tallied.n_missing, of_rows)
    starts = [0, *accumulate(sum(rows.n for rows in part) for part in parts)]
    ids = np.empty(starts[-1], np.int32) if with_rows else None
    sources = [KeySource(element, part, None, ids) for part in parts]
    tables = [new_table(kind_of(element)) for _ in parts]
    filled = fill(tables, sources, run, limit_bytes, gives_up=key_partitions.are_many)
    if filled is None:
        return _learn_partitioned(element, parts, tables, run, limit_bytes, with_rows)
    merged, maps = _merged(element, filled, run, limit_bytes)
    rows = None if ids is None else RowIds(ids, starts, maps, None)
    n_missing = sum(table.n_missing for table in filled)
    return found_in(element, [merged], n_missing, rows, run)


def _learn_partitioned(
    element: str,
    parts: Sequence[Sequence[ChunkRows[AnyChunk]]],
    tables: Sequence[Table],
    run: CallRunner,
    limit_bytes: int | None,
    with_rows: bool,
) -> DistinctKeys:
    """Learn by hash of the key; the tables, of a few rows, give the expected number of keys."""
    n_rows = sum(rows.n for part in parts for rows in part)
    n_keys = max(
        key_partitions.expected_keys(table.n_keys, table.n_rows, n_rows) for table in tables
    )
    filled, ids, partitions = key_partitions.learn_partitioned(
        element, parts, n_keys, run, limit_bytes, with_rows
    )
    check_size(filled, limit_bytes)
    ends = list(accumulate(table.n_keys for table in filled))
    maps = [slice(a, b) for a, b in pairwise([0, *ends])]
    rows = None if ids is None else RowIds(ids, (), maps, partitions)
    found = found_in(element, filled, partitions.n_missing, rows, run)
    return replace(found, ends=np.array(ends))


def ordered(found: DistinctKeys, run: CallRunner, n_parts: int = 1) -> OrderedKeys:
    """Return the keys in their final order, which depends only on the rows."""
    final = ordering.final_order(found.keys, found.counts, run, n_parts)
    keys = final.words
    if isinstance(found.keys, TextKeys):
        keys = copied(_pairs(found.keys)[final.ids], run, found.keys)
    return OrderedKeys(keys, final.counts, final.places)


def row_values(
    found: DistinctKeys, values: Int32Array, run: CallRunner, *, missing: int = -2
) -> Int32Array:
    """Return for each row the value of its key, `(n_rows,)`."""
    rows = found.rows
    assert rows is not None
    if isinstance(rows, RowKeys):
        return _values_of_keys(found, rows, values, run, missing)
    grouped = np.empty(len(rows.ids), np.int32)

    def call(
        keys: Int32Array | slice,
        first: int,
        n: int,
        runs: PartitionRows | None,
        has_ids: bool = True,
    ) -> KernelRowCall:
        of_ids = np.concatenate([np.array([missing], np.int32), values[keys]])
        table = np.zeros(layout.N_ROWS_WORDS, np.int64)
        table[layout.ROWS_IDS] = rows.ids.ctypes.data if has_ids else 0
        table[layout.ROWS_VALUES] = of_ids.ctypes.data
        table[layout.ROWS_TARGET] = grouped.ctypes.data
        if runs is not None:
            table[layout.ROWS_RUNS], table[layout.ROWS_RUN_STRIDE] = runs.address, runs.stride
        return KernelRowCall(table, first, n, (rows, of_ids, grouped))

    if rows.partitions is None:
        bounds = pairwise(rows.starts)
        run(
            "rows", [[call(k, a, b - a, None)] for k, (a, b) in zip(rows.keys, bounds, strict=True)]
        )
        return grouped
    partitions, n_blocks = rows.partitions, len(rows.partitions.starts)
    calls = [call(k, 0, n_blocks, partitions.runs(at)) for at, k in enumerate(rows.keys)]
    calls.append(call(slice(0), 0, n_blocks, partitions.runs(len(calls)), has_ids=False))
    run("rows", [[one] for one in calls])
    return key_partitions.in_order_of_rows(partitions, grouped, run)


def _values_of_keys(
    found: DistinctKeys, rows: RowKeys, values: Int32Array, run: CallRunner, missing: int
) -> Int32Array:
    """Return for each row the value of its key, for keys of a narrow range."""
    assert not isinstance(found.keys, TextKeys)
    places = np.arange(len(found.keys), dtype=np.int32)
    has_places = bool(values.min(initial=0) < 0)  # negative values are not places
    span = spans.span_of(found.keys, places if has_places else values, 2**63)
    words = {layout.TABLE_MISSING: missing}
    if has_places:
        words[layout.TABLE_OUTPUTS] = values.ctypes.data
    span = spans.SpanTable(0, np.full(1, -1, np.int32)) if span is None else span
    return spans.look_up(found.element, span, rows.chunks, run, rows.n_parts, words)


def index_of(element: str, keys: Keys, run: CallRunner, n_parts: int = 1) -> Index:
    """Return an index of distinct keys, which must not be written to afterwards.

    Each key must occur once.
    """
    if not isinstance(keys, TextKeys):
        places = np.arange(len(keys), dtype=np.int32)
        span = spans.span_of(keys, places, spans.room_for(len(keys)))
        if span is not None:
            return Index(element, keys, span)
        index = _built(element, keys, run, (n_parts - 1).bit_length())
        index = _built(element, keys, run, 0) if index is None else index
        assert index is not None, "one region has room for all"
        return index
    table = _add(new_table(TEXTS, len(keys)), chunk_of_keys(keys), None, None, run, None)
    assert table.n_keys == len(keys), "keys are distinct"
    return Index(element, keys, table)


def _built(element: str, keys: Int64Array, run: CallRunner, log_regions: int) -> Index | None:
    """Return an index with lines built in regions; None if the keys of one region do not fit."""
    n_slots = max(N_FIRST_SLOTS, n_slots_for(NUMBERS, len(keys)))
    n_lines = n_slots // layout.N_SLOTS_PER_LINE >> log_regions
    state = np.zeros((1 + (1 << log_regions), layout.N_STATE_WORDS), np.int64)
    state[0, layout.STATE_N_KEYS] = len(keys)
    none = np.empty(0, np.int64)
    table = Table(NUMBERS, new_slots(NUMBERS, n_slots), keys.reshape(-1, 1), none, state[0])
    chunk = chunk_of_keys(keys)
    calls: list[list[KernelRowCall]] = []
    for k, of_region in enumerate(state[1:]):
        words = table_words(table, layout.BUILD)
        scratch = describe(words, "int64", chunk)
        words[layout.TABLE_FIRST_LINE] = k * n_lines
        words[layout.TABLE_END_LINE] = (k + 1) * n_lines
        words[layout.TABLE_LAST_OF_REGION] = n_lines - 1
        words[layout.TABLE_STATE] = of_region.ctypes.data
        calls.append([KernelRowCall(words, 0, len(keys), (table, chunk, state, scratch))])
    run(NUMBERS.entry, calls)
    if state[1:, layout.STATE_IS_FULL].any():
        return None
    return Index(element, keys, table, n_lines - 1)


def lookup(
    index: Index,
    chunks: Sequence[AnyChunk],
    run: CallRunner,
    n_parts: int = 1,
    *,
    element: str | None = None,
    values: Int32Array | None = None,
    start: int = 0,
    none: int = -1,
    missing: int = -2,
) -> Int32Array:
    """Return for each row the place of its key, `(n_rows,)`."""
    table, element = index.table, element or index.element
    given = {
        layout.TABLE_NONE: none,
        layout.TABLE_MISSING: missing,
        layout.TABLE_START: start,
        layout.TABLE_OUTPUTS: 0 if values is None else values.ctypes.data,
    }
    if isinstance(table, spans.SpanTable):
        return spans.look_up(element, table, chunks, run, n_parts, given)
    out = np.empty(sum(chunk.length for chunk in chunks), np.int32)
    common = table_words(table, layout.LOOK_UP)
    common[layout.TABLE_LAST_OF_REGION] = index.last_of_region
    common[list(given)] = list(given.values())

    def call(rows: ChunkRows[AnyChunk]) -> KernelRowCall:
        words = common.copy()
        scratch = describe(words, element, rows.chunk)
        words[layout.TABLE_ROWS] = out.ctypes.data + 4 * rows.chunk_start
        return KernelRowCall(words, rows.first, rows.n, (index, rows, values, out, scratch))

    parts = split_rows(chunks, n_parts)
    run(table.kind.entry, [[call(rows) for rows in part] for part in parts])
    return out


def lookup_words(
    index: Index, element: str, *, start: int, none: int, missing: int
) -> tuple[Int64Array, str]:
    """Return the table of a call of `lookup` without its column and its output, and the entry.

    The options are those of `lookup`.
    """
    table = index.table
    if isinstance(table, spans.SpanTable):
        words, entry = spans.span_words(table), "numbers"
    else:
        words, entry = table_words(table, layout.LOOK_UP), table.kind.entry
        words[layout.TABLE_LAST_OF_REGION] = index.last_of_region
    words[layout.TABLE_START] = start
    words[layout.TABLE_NONE], words[layout.TABLE_MISSING] = none, missing
    if element != TEXT:
        words[layout.TABLE_ELEMENT] = ELEMENTS.index(element)
    return words, entry


def are_numbers(
    element: str,
    keys: Int64Array,
    chunks: Sequence[AnyChunk],
    numbers: Int32Array,
    run: CallRunner,
    n_parts: int = 1,
    *,
    start: int = 0,
) -> bool:
    """Return whether rows have the numbers of their keys: a look-up that needs no index."""
    parts = split_rows(chunks, n_parts)
    states = np.zeros((len(parts), layout.N_STATE_WORDS), np.int64)
    calls: list[list[KernelRowCall]] = []
    for part, state in zip(parts, states, strict=True):
        calls.append([])
        for rows in part:
            words = np.zeros(layout.N_TABLE_WORDS, np.int64)
            scratch = describe(words, element, rows.chunk)
            words[layout.TABLE_ROUND], words[layout.TABLE_START] = layout.CHECK, start
            words[layout.TABLE_KEYS] = keys.ctypes.data
            words[layout.TABLE_STATE] = state.ctypes.data
            words[layout.TABLE_ROWS] = numbers.ctypes.data + 4 * rows.chunk_start
            owners = rows, keys, numbers, states, scratch
            calls[-1].append(KernelRowCall(words, rows.first, rows.n, owners))
    run(NUMBERS.entry, calls)
    return not states[:, layout.STATE_IS_FULL].any()


def _merged(
    element: str, tables: list[Table], run: CallRunner, limit_bytes: int | None
) -> tuple[Table, list[Int32Array]]:
    """Return a table of the keys of all tables, and for each table the places of its keys there."""
    if not tables:
        return new_table(kind_of(element)), []
    merged, maps = tables[0], [np.arange(tables[0].n_keys, dtype=np.int32)]
    for table in tables[1:]:
        n = table.n_keys
        places = np.empty(n, np.int32)
        chunk = chunk_of_words(table.keys[:n], table)
        merged = _add(merged, chunk, table.counts[:n], places, run, limit_bytes)
        maps.append(places)
    check_size([merged], limit_bytes)
    return merged, maps


def _add(
    table: Table,
    chunk: KeyChunk | KeyTextChunk,
    counts: Int64Array | None,
    places: Int32Array | None,
    run: CallRunner,
    limit_bytes: int | None,
) -> Table:
    """Return a table with more keys and their counts, and write their places."""
    element = TEXT if isinstance(chunk, KeyTextChunk) else "int64"
    source = KeySource(element, [ChunkRows(chunk, 0, chunk.length, 0)], counts, places)
    filled = fill([table], [source], run, limit_bytes)
    assert filled is not None
    return filled[0]


def found_in(
    element: str, tables: Sequence[Table], n_missing: int, rows: RowIds | None, run: CallRunner
) -> DistinctKeys:
    """Return the keys of tables that share no key."""
    words = np.concatenate([table.keys[: table.n_keys] for table in tables])
    counts = np.concatenate([table.counts[: table.n_keys] for table in tables])
    keys = copied(words, run, tables) if element == TEXT else words.reshape(len(words))
    return DistinctKeys(element, keys, counts, n_missing, rows)


def _pairs(keys: TextKeys) -> Int64Array:
    """Return address and number of bytes of each key."""
    return np.stack([keys.offsets[:-1] + keys.data.ctypes.data, np.diff(keys.offsets)], axis=1)


def copied(pairs: Int64Array, run: CallRunner, owner: object) -> TextKeys:
    """Return the keys at some addresses, copied to one piece of memory."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(pairs[:, 1])])
    data = np.empty(int(offsets[-1]), np.uint8)
    words = np.zeros(layout.N_TABLE_WORDS, np.int64)
    words[layout.TABLE_ROUND], words[layout.TABLE_KEYS] = layout.COPY, pairs.ctypes.data
    words[layout.TABLE_STATE] = words.ctypes.data  # not read
    words[layout.TABLE_ENDS] = offsets[1:].ctypes.data
    words[layout.TABLE_BYTES] = data.ctypes.data
    run(TEXT, [[KernelRowCall(words, 0, len(pairs), (pairs, offsets, data, owner))]])
    return TextKeys(offsets, data)
