"""Vocabularies: learnt from columns in chunks, merged, put in order, and looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import TEXT, AnyChunk, Call, Rows, Run, split_rows
from fastfeat_kernels.vocabulary import layout
from fastfeat_kernels.vocabulary.keys import Integers, Keys, TextKeys, final_order
from fastfeat_kernels.vocabulary.tables import (
    TEXTS,
    Source,
    Table,
    check_size,
    describe,
    fill,
    kind_of,
    new_table,
)

Places = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class RowPart:
    """Which key each of some rows has: rows [first, first + n) of the column.

    Args:
        ids: int32 per row, -1 where the value is missing.
        keys: the place in `Found.keys` of each id.
    """

    first: int
    ids: Places
    keys: Places


@dataclass(frozen=True, slots=True)
class Found:
    """The distinct keys of a column, in no order that means anything.

    Args:
        element: type of the values, of `column.ELEMENTS`, or `column.TEXT`.
        keys: an int64 array, or `TextKeys`.
        counts: int64 per key: how many rows have it.
        n_missing: how many rows have no value.
        rows: which key each row has, if that was asked for; read by `row_values`.
    """

    element: str
    keys: Keys
    counts: Integers
    n_missing: int
    rows: tuple[RowPart, ...] | None


@dataclass(frozen=True, slots=True)
class Ordered:
    """The distinct keys of a column by count descending, key ascending.

    Args:
        keys: as in `Found`.
        counts: int64 per key.
        places: int32 per key of `Found`: where it stands here.
    """

    keys: Keys
    counts: Integers
    places: Places


@dataclass(frozen=True, slots=True)
class Index:
    """Keys by hash: the place of each in the array that it was made from."""

    element: str
    keys: Keys
    table: Table


@dataclass(frozen=True, slots=True)
class KeyChunk:
    """Numbers that are keys already, as a column of int64."""

    values: int
    length: int
    owner: object
    value_bit_offset: int = 0
    validity: int = 0
    bit_offset: int = 0


@dataclass(frozen=True, slots=True)
class KeyTextChunk:
    """Text, of which `offsets` says where it is: as offsets, or as pairs (`layout.PAIRS`)."""

    offsets: int
    offset_bytes: int
    data: int
    length: int
    owner: object
    validity: int = 0
    bit_offset: int = 0


def learn(
    element: str,
    chunks: Sequence[AnyChunk],
    run: Run,
    n_parts: int = 1,
    *,
    limit_bytes: int | None = None,
    with_rows: bool = False,
) -> Found:
    """Return the distinct keys of a column with exact counts.

    Args:
        element: type of the values, of `column.ELEMENTS`, or `column.TEXT` for text and bytes.
        chunks: the column.
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of rows to divide the work; once ordered, the result does not
            depend on it.
        limit_bytes: memory that the table of all keys may take.
        with_rows: whether to keep which key each row has, 4 bytes a row.

    Raises:
        VocabularyTooLarge: the keys take more than `limit_bytes`.
    """
    kind, parts = kind_of(element), split_rows(chunks, n_parts) or [[]]
    n_rows = sum(chunk.length for chunk in chunks)
    ids = np.empty(n_rows, np.int32) if with_rows else None
    sources = [Source(element, part, None, ids) for part in parts]
    tables = fill([new_table(kind) for _ in parts], sources, run, limit_bytes)
    merged, maps = _merged(element, tables, run, limit_bytes)
    rows = None if ids is None else _row_parts(parts, ids, maps)
    n_missing = sum(table.n_missing for table in tables)
    return _found(element, merged, n_missing, rows, run)


def merge(a: Found, b: Found, run: Run, *, limit_bytes: int | None = None) -> Found:
    """Return the keys of the rows of both, without which row has which; in any order the same.

    Raises:
        VocabularyTooLarge: the keys take more than `limit_bytes`.
        ValueError: they are keys of two types.
    """
    if a.element != b.element:
        raise ValueError(f"keys of {a.element} and of {b.element} do not merge")
    table = new_table(kind_of(a.element), max(len(a.keys), len(b.keys)))
    for found in (a, b):
        (table,) = _add(table, found.keys, found.counts, None, run, limit_bytes)
    check_size(table, limit_bytes)
    return _found(a.element, table, a.n_missing + b.n_missing, None, run)


def ordered(found: Found, run: Run) -> Ordered:
    """Return the keys in their final order, which depends on nothing but the rows."""
    order = final_order(found.keys, found.counts)
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    keys = found.keys
    if isinstance(keys, TextKeys):
        pairs = _pairs(keys)[order]
        keys = _copied(pairs, run, keys)
    else:
        keys = keys[order]
    return Ordered(keys, found.counts[order], places)


def row_values(found: Found, values: Places, run: Run, *, missing: int = -2) -> Places:
    """Return for each row the value of its key, `(n_rows,)`.

    Args:
        found: learnt `with_rows`.
        values: int32 per key of `found`, such as `Ordered.places`.
        run: runs sequences of calls of `cpu.ENTRIES`.
        missing: for rows without a value.
    """
    assert found.rows is not None
    out = np.empty(sum(len(part.ids) for part in found.rows), np.int32)
    calls: list[list[Call]] = []
    for part in found.rows:
        outputs = np.concatenate([np.array([missing], np.int32), values[part.keys]])
        target = out[part.first :]
        table = np.array([part.ids.ctypes.data, outputs.ctypes.data, target.ctypes.data], np.int64)
        calls.append([Call(table, 0, len(part.ids), (part, outputs, out))])
    run("rows", calls)
    return out


def index_of(element: str, keys: Keys, run: Run) -> Index:
    """Return an index of distinct keys, which then must not be written to."""
    table = new_table(kind_of(element), len(keys))
    (table,) = _add(table, keys, None, None, run, None)
    assert table.n_keys == len(keys), "keys are distinct"
    return Index(element, keys, table)


def lookup(
    index: Index,
    chunks: Sequence[AnyChunk],
    run: Run,
    n_parts: int = 1,
    *,
    values: Places | None = None,
    none: int = -1,
    missing: int = -2,
) -> Places:
    """Return for each row the place of its key, `(n_rows,)`.

    Args:
        index: of keys of the same type.
        chunks: the column.
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of rows to divide the work; the result does not depend on it.
        values: int32 per key: what is returned instead of its place.
        none: for values that are no key.
        missing: for rows without a value.
    """
    out = np.empty(sum(chunk.length for chunk in chunks), np.int32)
    table = index.table
    common = np.zeros(layout.N_TABLE_WORDS, np.int64)
    common[layout.TABLE_ROUND] = layout.LOOK_UP
    common[layout.TABLE_SLOTS] = table.slots.ctypes.data
    common[layout.TABLE_N_SLOTS] = table.n_slots
    common[layout.TABLE_KEYS] = table.keys.ctypes.data
    common[layout.TABLE_STATE] = table.state.ctypes.data
    common[layout.TABLE_NONE], common[layout.TABLE_MISSING] = none, missing
    common[layout.TABLE_OUTPUTS] = 0 if values is None else values.ctypes.data

    def call(rows: Rows[AnyChunk]) -> Call:
        words = common.copy()
        scratch = describe(words, index.element, rows.chunk)
        words[layout.TABLE_ROWS] = out.ctypes.data + 4 * rows.chunk_start
        return Call(words, rows.first, rows.n, (index, rows, values, out, scratch))

    run(table.kind.entry, [[call(rows) for rows in part] for part in split_rows(chunks, n_parts)])
    return out


def _merged(
    element: str, tables: list[Table], run: Run, limit_bytes: int | None
) -> tuple[Table, list[Places]]:
    """Return a table of the keys of all, and for each table the places of its keys there."""
    if not tables:
        return new_table(kind_of(element)), []
    merged, maps = tables[0], [np.arange(tables[0].n_keys, dtype=np.int32)]
    for table in tables[1:]:
        n = table.n_keys
        places = np.empty(n, np.int32)
        chunk = _chunk_of_words(table.keys[:n], table)
        source = _source(chunk, table.counts[:n], places)
        (merged,) = fill([merged], [source], run, limit_bytes)
        maps.append(places)
    check_size(merged, limit_bytes)
    return merged, maps


def _add(
    table: Table,
    keys: Keys,
    counts: Integers | None,
    places: Places | None,
    run: Run,
    limit_bytes: int | None,
) -> list[Table]:
    """Return a table with more keys, each counted so often."""
    if isinstance(keys, TextKeys):
        chunk = KeyTextChunk(keys.offsets.ctypes.data, 8, keys.data.ctypes.data, len(keys), keys)
    else:
        chunk = KeyChunk(keys.ctypes.data, len(keys), keys)
    return fill([table], [_source(chunk, counts, places)], run, limit_bytes)


def _source(
    chunk: KeyChunk | KeyTextChunk, weights: Integers | None, places: Places | None
) -> Source:
    element = TEXT if isinstance(chunk, KeyTextChunk) else "int64"
    return Source(element, [Rows(chunk, 0, chunk.length, 0)], weights, places)


def _chunk_of_words(keys: Integers, table: Table) -> KeyChunk | KeyTextChunk:
    if table.kind is TEXTS:
        return KeyTextChunk(keys.ctypes.data, layout.PAIRS, 0, len(keys), table)
    return KeyChunk(keys.ctypes.data, len(keys), table)


def _row_parts(
    parts: Sequence[Sequence[Rows[AnyChunk]]], ids: Places, maps: Sequence[Places]
) -> tuple[RowPart, ...]:
    found: list[RowPart] = []
    first = 0
    for part, keys in zip(parts, maps, strict=True):
        n = sum(rows.n for rows in part)
        found.append(RowPart(first, ids[first : first + n], keys))
        first += n
    return tuple(found)


def _found(
    element: str, table: Table, n_missing: int, rows: tuple[RowPart, ...] | None, run: Run
) -> Found:
    n = table.n_keys
    pairs = table.keys[:n]
    keys = _copied(pairs, run, table) if table.kind is TEXTS else pairs.reshape(n)
    return Found(element, keys, table.counts[:n], n_missing, rows)


def _pairs(keys: TextKeys) -> Integers:
    """Return address and number of bytes of each key."""
    return np.stack([keys.offsets[:-1] + keys.data.ctypes.data, np.diff(keys.offsets)], axis=1)


def _copied(pairs: Integers, run: Run, owner: object) -> TextKeys:
    """Return the keys at some addresses in one piece of memory of their own."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(pairs[:, 1])])
    data = np.empty(int(offsets[-1]), np.uint8)
    words = np.zeros(layout.N_TABLE_WORDS, np.int64)
    words[layout.TABLE_ROUND], words[layout.TABLE_KEYS] = layout.COPY, pairs.ctypes.data
    words[layout.TABLE_STATE] = words.ctypes.data  # not read
    words[layout.TABLE_ENDS] = offsets[1:].ctypes.data
    words[layout.TABLE_BYTES] = data.ctypes.data
    run(TEXT, [[Call(words, 0, len(pairs), (pairs, offsets, data, owner))]])
    return TextKeys(offsets, data)
