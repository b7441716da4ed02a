"""Vocabularies on the CPU: distinct keys with counts, and the codes of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.column import TEXT
from fastfeat_kernels.vocabulary.keys import Keys, TextKeys, number_keys, numbers_of
from fastfeat_kernels.vocabulary.spans import counts_of, numbers_of_codes
from fastfeat_kernels.vocabulary.state import (
    DistinctKeys,
    Index,
    OrderedKeys,
    index_of,
    learn,
    lookup,
    ordered,
    row_values,
)
from fastfeat_kernels.vocabulary.tables import VocabularyTooLarge, check_keys, kind_of
from numpy.typing import NDArray

from fastfeat.aggregates.keys import KeyCounts, OfRows, Vocabulary
from fastfeat.dtypes import INT64, DType
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Array, ChunkedArray, call, cast, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.column import Chunk, physical_chunks
from fastfeat.io.columns.keys import first_keys, key_type
from fastfeat.io.columns.strings import text_chunks
from fastfeat.steps.keys.cpu_hashing import buckets, key_hashes
from fastfeat.steps.keys.tasks import KeysTask

_RUN = "vocabulary"
_WIDEST = 1 << 62
Places = NDArray[np.int32]


def count_keys(task: KeysTask) -> KeyCounts:
    """Return the distinct keys of some rows in order.

    Raises:
        InvalidData: they take more memory than they may.
    """
    columns, dtypes, missing = task.columns, task.dtypes, task.missing
    max_memory, with_rows = task.max_memory, task.with_rows
    try:
        if len(columns) == 1 and missing == "key":
            return _count(columns[0], dtypes[0], max_memory, with_rows)
        return _count_rows(columns, dtypes, missing, max_memory, with_rows)
    except VocabularyTooLarge as error:
        raise _refused(error, max_memory) from None


def _refused(error: VocabularyTooLarge, max_memory: int) -> InvalidData:
    return InvalidData(
        f"{error.n_keys:,} distinct keys take {error.needed_bytes:,} bytes, and "
        f"max_memory={max_memory:,}. Allow more, or make fewer keys of the values"
    )


def in_order(
    parts: Sequence[Array],
    dtypes: Sequence[DType],
    counts: NDArray[np.int64],
    missing: str,
    max_memory: int,
) -> NDArray[np.int64]:
    """Return the order of some distinct keys, as places: of the first in the order of codes first.

    Args:
        parts: an Arrow array for each part of a key, as keys are stored.
        dtypes: their types.
        counts: how many rows have each key.
        missing: as of `count_keys`.
        max_memory: bytes that the keys may take.

    Raises:
        InvalidData: they take more.
    """
    try:
        if len(parts) == 1 and missing == "key":
            keys = _keys(parts[0], dtypes[0])
            n_bytes = len(keys.data) if isinstance(keys, TextKeys) else 0
            element = element_of(dtypes[0])
            check_keys(kind_of(element), len(counts), n_bytes, max_memory)
            return np.argsort(_ordered(DistinctKeys(element, keys, counts, 0, None)).places)
        ranks = [
            _ranks(pa.chunked_array([part]), dtype, max_memory)
            for part, dtype in zip(parts, dtypes, strict=True)
        ]
        combined, _ = _combined([r.rows for r in ranks], [len(r.values) for r in ranks])
        check_keys(kind_of("int64"), len(counts), 0, max_memory)
        return np.lexsort((combined, -counts))
    except VocabularyTooLarge as error:
        raise _refused(error, max_memory) from None


def _count(column: ChunkedArray, dtype: DType, max_memory: int, with_rows: bool) -> KeyCounts:
    """Return the distinct values of one column."""
    if pa.types.is_dictionary(column.type):
        return _count_entries(column, dtype, max_memory)
    found = _learn(element_of(dtype), chunks_of(column, dtype), len(column), max_memory, with_rows)
    in_order = _ordered(found)
    of_rows = _of_rows(found, in_order.places) if with_rows else None
    return KeyCounts((_array(in_order.keys, dtype),), in_order.counts, found.n_missing, of_rows)


def _learn(
    element: str, chunks: Sequence[Any], n_rows: int, max_memory: int, with_rows: bool = False
) -> DistinctKeys:
    run, parts = runner(_RUN), n_parts(n_rows)
    return learn(element, chunks, run, parts, limit_bytes=max_memory, with_rows=with_rows)


def _ordered(found: DistinctKeys) -> OrderedKeys:
    return ordered(found, runner(_RUN), n_parts(len(found.counts)))


def _of_rows(found: DistinctKeys, places: Places) -> OfRows:
    """Return the function that gives rows the number of their key.

    Args:
        found: learnt with rows.
        places: where each of its keys stands in the order that the numbers are in.
    """

    def of_rows(numbers: Places, missing: int) -> Places:
        return row_values(found, numbers[places], runner(_RUN), missing=missing)

    return of_rows


def _count_entries(column: ChunkedArray, dtype: DType, max_memory: int) -> KeyCounts:
    """Return the distinct values of a dictionary: what its codes stand for is looked at once."""
    counts = [_uses(chunk) for chunk in column.chunks]
    entries = pa.chunked_array([c.dictionary for c in column.chunks], column.type.value_type)
    uses = np.concatenate(counts or [np.zeros(0, np.int64)])
    found = _learn(TEXT, chunks_of(entries, dtype), len(entries), max_memory, with_rows=True)
    # which key each entry is: several may be equal, some are missing or never used
    n_keys = len(found.counts)
    keys = row_values(found, np.arange(n_keys, dtype=np.int32), runner(_RUN), missing=n_keys)
    totals = np.zeros(n_keys + 1, np.int64)
    np.add.at(totals, keys, uses)
    in_order = _ordered(replace(found, counts=totals[:n_keys]))
    n_used = int((in_order.counts > 0).sum())  # those that are never used are the last
    of_keys = first_keys(_array(in_order.keys, dtype), n_used)
    places = np.append(in_order.places, np.int32(n_keys))

    def of_rows(numbers: Places, missing: int) -> Places:
        by_place = np.full(n_keys + 1, missing, np.int32)
        by_place[: len(numbers)] = numbers
        of_entries = by_place[places][keys]
        starts = np.cumsum([0, *(len(chunk.dictionary) for chunk in column.chunks)])
        pieces = [
            _of_codes(chunk, of_entries[a:b], missing)
            for chunk, a, b in zip(column.chunks, starts[:-1], starts[1:], strict=True)
        ]
        return np.concatenate(pieces) if len(pieces) != 1 else pieces[0]

    n_missing = len(column) - int(in_order.counts.sum())
    return KeyCounts((of_keys,), in_order.counts[:n_used], n_missing, of_rows)


def _uses(chunk: Array) -> NDArray[np.int64]:
    """Return how many rows have each entry of a dictionary."""
    element, codes = _codes(chunk)
    parts = n_parts(len(chunk))
    return counts_of(element, codes, len(chunk.dictionary), runner(_RUN), parts)


def _codes(chunk: Array) -> tuple[str, list[Chunk]]:
    """Return the type of the codes of a dictionary, and the codes as a kernel reads them."""
    indices = chunk.indices
    return str(indices.type), physical_chunks(pa.chunked_array([indices]))


def _of_codes(chunk: Array, numbers: Places, missing: int) -> Places:
    """Return the number of each row, of those of the entries of a dictionary."""
    element, codes = _codes(chunk)
    parts = n_parts(len(chunk))
    return numbers_of_codes(element, codes, numbers, runner(_RUN), parts, missing=missing)


def numbered(columns: Sequence[ChunkedArray], dtypes: Sequence[DType]) -> tuple[Places, int]:
    """Return for each row the number of its key, -1 where a part of it is missing; how many are.

    Numbers come in any order: what only tells keys apart need not sort them.

    Args:
        columns: the parts of the key, as `io.columns.keys` stores them.
        dtypes: their types.
    """
    parts = [_numbered(*part) for part in zip(columns, dtypes, strict=True)]
    if len(parts) == 1:
        return parts[0]
    combined, _ = _combined([rows + np.int32(1) for rows, _ in parts], [n for _, n in parts])
    present = np.logical_and.reduce([rows >= 0 for rows, _ in parts])
    return _numbered(pa.chunked_array([array_of_values(combined, present, pa.int64())]), INT64)


def _numbered(column: ChunkedArray, dtype: DType) -> tuple[Places, int]:
    if not pa.types.is_dictionary(column.type):
        found = _learn(element_of(dtype), chunks_of(column, dtype), len(column), _WIDEST, True)
        return _numbers(found), len(found.counts)
    entries = pa.chunked_array([c.dictionary for c in column.chunks], column.type.value_type)
    found = _learn(TEXT, chunks_of(entries, dtype), len(entries), _WIDEST, True)
    of_entries = _numbers(found)
    starts = np.cumsum([0, *(len(chunk.dictionary) for chunk in column.chunks)])
    pieces = [
        _of_codes(chunk, of_entries[a:b], -1)
        for chunk, a, b in zip(column.chunks, starts[:-1], starts[1:], strict=True)
    ]
    return np.concatenate([np.zeros(0, np.int32), *pieces]), len(found.counts)


def _numbers(found: DistinctKeys) -> Places:
    numbers = np.arange(len(found.counts), dtype=np.int32)
    return row_values(found, numbers, runner(_RUN), missing=-1)


class _Ranks(NamedTuple):
    """The distinct values of a part of a key, and which of them each row has.

    Args:
        values: in order, as an Arrow array.
        rows: per row 1 + the place of its value, 0 where it is missing.
    """

    values: Array
    rows: Places


def _count_rows(
    columns: Sequence[ChunkedArray],
    dtypes: Sequence[DType],
    missing: str,
    max_memory: int,
    with_rows: bool = False,
) -> KeyCounts:
    """Return the distinct combinations of several columns: of the places of their values."""
    ranks = [
        _ranks(column, dtype, max_memory) for column, dtype in zip(columns, dtypes, strict=True)
    ]
    combined, sizes = _combined([r.rows for r in ranks], [len(r.values) for r in ranks])
    present = None
    if missing == "key":
        present = np.logical_and.reduce([r.rows != 0 for r in ranks])
    chunk = pa.chunked_array([array_of_values(combined, present, pa.int64())])
    found = _learn("int64", physical_chunks(chunk), len(chunk), max_memory, with_rows)
    in_order = _ordered(found)
    assert not isinstance(in_order.keys, TextKeys)
    digits = _digits(in_order.keys, sizes)
    parts = tuple(_taken(r.values, digit) for r, digit in zip(ranks, digits, strict=True))
    of_rows = _of_rows(found, in_order.places) if with_rows else None
    return KeyCounts(parts, in_order.counts, found.n_missing, of_rows)


def _ranks(column: ChunkedArray, dtype: DType, max_memory: int) -> _Ranks:
    """Return the values of a column in order, and the place of that of each row."""
    run = runner(_RUN)
    found = _learn(element_of(dtype), chunks_of(column, dtype), len(column), max_memory, True)
    by_value = _ordered(replace(found, counts=np.zeros_like(found.counts)))
    rows = row_values(found, by_value.places + np.int32(1), run, missing=0)
    return _Ranks(_array(by_value.keys, dtype), rows)


def _combined(
    rows: Sequence[Places], n_values: Sequence[int]
) -> tuple[NDArray[np.int64], list[int]]:
    """Return one number for the values of a row, which orders as they do, and its bases."""
    sizes = [n + 1 for n in n_values]
    combined = np.zeros(len(rows[0]), np.int64)
    width = 1
    for part, size in zip(rows, sizes, strict=True):
        width *= size
        if width > _WIDEST:
            raise InvalidData(
                f"a key of {len(rows)} parts with {' x '.join(f'{n:,}' for n in n_values)} values "
                "has more combinations than 64 bits tell apart. Cross fewer parts"
            )
        combined *= size
        combined += part
    return combined, sizes


def _digits(combined: NDArray[np.int64], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return the parts that numbers are combined of."""
    digits: list[NDArray[np.int64]] = []
    for size in reversed(sizes):
        combined, digit = np.divmod(combined, size)
        digits.append(digit)
    return digits[::-1]


def _taken(values: Array, digits: NDArray[np.int64]) -> Array:
    """Return values by place, counted from 1; 0 is missing."""
    places = array_of_values(np.maximum(digits - 1, 0), digits != 0, pa.int64())
    return call("array_take", values, places)


class Lookup(NamedTuple):
    """The indices in which codes of rows are looked up: one a part, and one of combinations."""

    parts: tuple[Index, ...]
    sizes: tuple[int, ...]
    keys: Index


def encode(
    vocabulary: Vocabulary,
    columns: Sequence[ChunkedArray],
    dtypes: Sequence[DType],
    missing: str,
    n_unseen: int,
) -> Array:
    """Return the code of each row, int32; see `steps.keys.rows`."""
    run, first = runner(_RUN), 1 + n_unseen
    if len(columns) == 1 and missing == "key":
        index = _cached(vocabulary, "index", lambda: _index(vocabulary.parts[0], dtypes[0]))
        found = _looked_up(index, columns[0], dtypes[0], n_unseen)
        return array_of_values(found, None, pa.int32())
    known = _cached(vocabulary, "lookup", lambda: _lookup(vocabulary, dtypes))
    rows = [
        lookup(
            index, chunks_of(column, dtype), run, n_parts(len(column)),
            start=1, none=-1, missing=0,
        )
        for index, column, dtype in zip(known.parts, columns, dtypes, strict=True)
    ]  # fmt: skip
    combined = np.zeros(len(rows[0]), np.int64)
    for part, size in zip(rows, known.sizes, strict=True):
        combined = combined * size + part
    combined[np.logical_or.reduce([part < 0 for part in rows])] = -1  # no key is negative
    column = pa.chunked_array([array_of_values(combined, None, pa.int64())])
    parts = n_parts(len(combined))
    found = lookup(known.keys, physical_chunks(column), run, parts, start=first, none=1, missing=0)
    if missing == "key":
        found[np.logical_or.reduce([part == 0 for part in rows])] = 0
    _spread_unseen(found, columns, dtypes, n_unseen, is_cross=True)
    return array_of_values(found, None, pa.int32())


def _spread_unseen(
    codes: Places,
    columns: Sequence[ChunkedArray],
    dtypes: Sequence[DType],
    n_unseen: int,
    *,
    is_cross: bool,
) -> None:
    """Give the rows of unseen keys, of code 1, 1 + the bucket of their hash among n_unseen."""
    rows = np.flatnonzero(codes == 1) if n_unseen > 1 else np.zeros(0, np.int64)
    if len(rows):
        places = array_of_values(rows, None, pa.int64())
        unseen = [call("take", column, places) for column in columns]
        hashes = key_hashes(unseen, dtypes, is_cross=is_cross)
        codes[rows] = 1 + buckets(hashes, n_unseen)


def _looked_up(index: Index, column: ChunkedArray, dtype: DType, n_unseen: int) -> Places:
    """Return the codes of one column; of a dictionary, its entries are looked up."""
    run = runner(_RUN)
    if not pa.types.is_dictionary(column.type):
        parts = n_parts(len(column))
        chunks = chunks_of(column, dtype)
        found = lookup(index, chunks, run, parts, start=1 + n_unseen, none=1, missing=0)
        _spread_unseen(found, [column], [dtype], n_unseen, is_cross=False)
        return found
    pieces = [_of_entries(index, chunk, dtype, n_unseen) for chunk in column.chunks]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int32)


def _of_entries(index: Index, chunk: Array, dtype: DType, n_unseen: int) -> Places:
    entries = pa.chunked_array([chunk.dictionary])
    return _of_codes(chunk, _looked_up(index, entries, dtype, n_unseen), 0)


def _cached(vocabulary: Vocabulary, name: str, make: Any) -> Any:
    """Return the value that a vocabulary keeps under a name; made on first use."""
    found = vocabulary.cache.get(name)
    return vocabulary.cache.setdefault(name, make()) if found is None else found


def _index(keys: Array, dtype: DType) -> Index:
    return index_of(element_of(dtype), _keys(keys, dtype), runner(_RUN), n_parts(len(keys)))


def _lookup(vocabulary: Vocabulary, dtypes: Sequence[DType]) -> Lookup:
    """Return the indices in which rows of several parts are looked up."""
    ranks = [
        _ranks(pa.chunked_array([part]), dtype, _WIDEST)
        for part, dtype in zip(vocabulary.parts, dtypes, strict=True)
    ]
    combined, sizes = _combined([r.rows for r in ranks], [len(r.values) for r in ranks])
    parts = tuple(_index(r.values, dtype) for r, dtype in zip(ranks, dtypes, strict=True))
    n = n_parts(len(combined))
    return Lookup(parts, tuple(sizes), index_of("int64", combined, runner(_RUN), n))


def element_of(dtype: DType) -> str:
    """Return the type of keys, as kernels name it."""
    if dtype.holds_bytes:
        return TEXT
    return {"double": "float64"}.get(str(key_type(dtype)), str(key_type(dtype)))


def chunks_of(column: ChunkedArray, dtype: DType) -> list[Any]:
    """Return the pieces of a column of keys in place."""
    if not dtype.holds_bytes:
        return list(physical_chunks(column))
    if pa.types.is_dictionary(column.type):
        wanted = key_type(dtype)
        pieces = [call("array_take", cast(c.dictionary, wanted), c.indices) for c in column.chunks]
        column = pa.chunked_array(pieces, wanted)
    return list(text_chunks(column))


def _array(keys: Keys, dtype: DType) -> Array:
    """Return keys of a kernel as an Arrow array."""
    if isinstance(keys, TextKeys):
        buffers = [None, pa.py_buffer(keys.offsets), pa.py_buffer(keys.data)]
        return pa.Array.from_buffers(key_type(dtype), len(keys), buffers)
    element = element_of(dtype)
    return array_of_values(np.ascontiguousarray(numbers_of(element, keys)), None, key_type(dtype))


def _keys(array: Array, dtype: DType) -> Keys:
    """Return an Arrow array of distinct keys as a kernel takes them."""
    if not dtype.holds_bytes:
        return number_keys(element_of(dtype), array.to_numpy(zero_copy_only=False))
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8)
    content = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return TextKeys(ends - ends[0], content[int(ends[0]) : int(ends[-1])])
