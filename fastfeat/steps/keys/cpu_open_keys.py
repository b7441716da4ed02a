"""Growing hash tables of distinct keys: batches of rows are counted into them.

A key of several parts is counted as one int64. The values of each part have a hash table of their
own, which numbers them from 1; 0 is a missing value. For two parts the int64 is (number of the
first part's value << 32) + number of the second part's value. For more parts, the left half is
itself a number: the combination of all parts but the last, from another hash table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary.growing import (
    GrowingVocabulary,
    count_into,
    count_keys_of,
    distinct_keys,
    growing,
)
from fastfeat_kernels.vocabulary.tables import VocabularyTooLarge
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import runner
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.column import physical_chunks
from fastfeat.ir.dtypes import DType
from fastfeat.steps.keys.cpu_counting import (
    KeysSpec,
    array_of,
    chunks_of,
    element_of,
    of_codes,
    take_values,
    uses_of,
    vocabulary_error,
)
from fastfeat.steps.keys.cpu_key_files import Weighted

_RUN = "vocabulary"
_LOW = 0xFFFFFFFF


@dataclass(slots=True)
class OpenKeys:
    """The hash tables of one state; see the module for the numbers.

    Args:
        keys: Counts by key: by values if keys have one part, else by int64.
        values: For keys of several parts, one table per part, which numbers the part's values.
        heads: Tables that number the combinations of the first two parts, of the first three, ...
    """

    keys: GrowingVocabulary
    values: tuple[GrowingVocabulary, ...]
    heads: tuple[GrowingVocabulary, ...]

    @property
    def all(self) -> tuple[GrowingVocabulary, ...]:
        """All hash tables."""
        return (self.keys, *self.values, *self.heads)


def open_tables(spec: KeysSpec, n_keys: int) -> OpenKeys:
    """Return empty hash tables; the table of keys has room for `n_keys` keys."""
    if spec.is_column:
        return OpenKeys(growing(element_of(spec.dtypes[0]), n_keys), (), ())
    return OpenKeys(
        growing("int64", n_keys),
        tuple(growing(element_of(dtype)) for dtype in spec.dtypes),
        tuple(growing("int64") for _ in spec.dtypes[2:]),
    )


def count_rows(
    spec: KeysSpec, tables: OpenKeys, columns: Sequence[ChunkedArray], weights: Int64Array | None
) -> int:
    """Add the keys of rows to the tables; return the number of rows without a key.

    `weights` says how often each row counts; None means once. With weights, no column may be a
    dictionary. Raises InvalidData if the keys exceed the memory limit.
    """
    try:
        if spec.is_column and pa.types.is_dictionary(columns[0].type):
            return _count_dictionary(spec, tables.keys, columns[0])
        if not spec.is_column:
            columns = [_numbers_of_keys(spec, tables, columns)]
        keys = tables.keys
        n_before = keys.table.n_missing
        chunks = (
            chunks_of(columns[0], spec.dtypes[0]) if spec.is_column else physical_chunks(columns[0])
        )
        count_into(keys, chunks, runner(_RUN), weights=weights, limit_bytes=spec.max_memory)
        return keys.table.n_missing - n_before
    except VocabularyTooLarge as error:
        raise vocabulary_error(error, spec.max_memory) from None


def count_tables(spec: KeysSpec, tables: OpenKeys, keys: OpenKeys) -> None:
    """Add another state's keys and counts; raise InvalidData beyond the memory limit."""
    run, limit = runner(_RUN), spec.max_memory
    try:
        if spec.is_column:
            count_keys_of(keys.keys, tables.keys, run, limit_bytes=limit)
            return
        numbers: list[Int32Array] = []
        for own, others, part in zip(tables.values, keys.values, _parts_of(keys), strict=True):
            places = count_keys_of(others, own, run, limit_bytes=limit, with_places=True)
            assert places is not None
            numbers.append(np.append(np.int32(0), places + np.int32(1))[part])
        chunks = physical_chunks(_numbers_of_parts(spec, tables, numbers))
        weights = keys.keys.table.counts[: len(keys.keys)]
        count_into(tables.keys, chunks, run, weights=weights, limit_bytes=limit)
    except VocabularyTooLarge as error:
        raise vocabulary_error(error, limit) from None


def weighted_of(spec: KeysSpec, tables: OpenKeys) -> Weighted:
    """Return the keys that have been counted so far, with their counts."""
    return next(weighted_pieces(spec, tables, len(tables.keys) or 1))


def weighted_pieces(spec: KeysSpec, tables: OpenKeys, most_keys: int) -> Iterator[Weighted]:
    """Yield the keys counted so far with their counts, at most `most_keys` at a time.

    It yields at least once, even without keys.
    """
    n_keys, run = len(tables.keys), runner(_RUN)
    values: list[Array] = []
    if not spec.is_column:
        pairs = zip(tables.values, spec.dtypes, strict=True)
        values = [array_of(distinct_keys(own, run).keys, dtype) for own, dtype in pairs]
    for first in range(0, n_keys or 1, most_keys):
        stop = min(first + most_keys, n_keys)
        found = distinct_keys(tables.keys, run, first, stop)
        if spec.is_column:
            yield Weighted((array_of(found.keys, spec.dtypes[0]),), found.counts)
            continue
        numbers = _parts_of(tables, slice(first, stop))
        pairs = zip(values, numbers, strict=True)
        yield Weighted(tuple(take_values(own, part) for own, part in pairs), found.counts)


def _count_dictionary(spec: KeysSpec, keys: GrowingVocabulary, column: ChunkedArray) -> int:
    """Count a dictionary column by its entries; return the number of rows without a value."""
    n_present = 0
    for chunk in column.chunks:
        entries, uses = _used(chunk)
        present = entries.is_valid().to_numpy(zero_copy_only=False)
        n_present += int(uses[present].sum())
        chunks = chunks_of(pa.chunked_array([entries]), spec.dtypes[0])
        count_into(keys, chunks, runner(_RUN), weights=uses, limit_bytes=spec.max_memory)
    return len(column) - n_present


def _used(chunk: Array) -> tuple[Array, Int64Array]:
    """Return the dictionary entries that rows refer to, and the number of rows of each."""
    uses = uses_of(chunk)
    if uses.all():
        return chunk.dictionary, uses
    used = np.flatnonzero(uses)
    return chunk.dictionary.take(pa.array(used)), uses[used]


def _numbers_of_keys(
    spec: KeysSpec, tables: OpenKeys, columns: Sequence[ChunkedArray]
) -> ChunkedArray:
    """Return the int64 that stands for the key of each row; null for a missing key."""
    numbers = [
        _numbers_of_values(values, column, dtype, spec.max_memory)
        for values, column, dtype in zip(tables.values, columns, spec.dtypes, strict=True)
    ]
    return _numbers_of_parts(spec, tables, numbers)


def _numbers_of_parts(
    spec: KeysSpec, tables: OpenKeys, numbers: Sequence[Int32Array]
) -> ChunkedArray:
    """Return the int64 that stands for each key, from the value numbers of its parts."""
    limit, run = spec.max_memory, runner(_RUN)
    present = None
    if spec.missing == "key":
        present = np.logical_and.reduce([part != 0 for part in numbers])
    found = numbers[0].astype(np.int64)
    for k, part in enumerate(numbers[1:]):
        if k:
            # of keys: there are never more heads than keys
            heads = array_of_values(found, present, pa.int64())
            chunks = physical_chunks(pa.chunked_array([heads]))
            places = count_into(
                tables.heads[k - 1], chunks, run, limit_bytes=limit, with_places=True
            )
            assert places is not None
            found = places.astype(np.int64)
        found = found << 32 | part
    return pa.chunked_array([array_of_values(found, present, pa.int64())])


def _numbers_of_values(
    values: GrowingVocabulary, column: ChunkedArray, dtype: DType, limit: int
) -> Int32Array:
    """Return the number of each row's value in the part's table, counted from 1; 0 if missing."""
    if pa.types.is_dictionary(column.type):
        pieces = [_numbers_of_entries(values, chunk, dtype, limit) for chunk in column.chunks]
        return np.concatenate([np.zeros(0, np.int32), *pieces])
    chunks = chunks_of(column, dtype)
    places = count_into(values, chunks, runner(_RUN), limit_bytes=limit, with_places=True)
    assert places is not None
    return places + np.int32(1)


def _numbers_of_entries(
    values: GrowingVocabulary, chunk: Array, dtype: DType, limit: int
) -> Int32Array:
    entries, _ = _used(chunk)
    numbers = _numbers_of_values(values, pa.chunked_array([entries]), dtype, limit)
    if len(entries) < len(chunk.dictionary):
        of_used, numbers = numbers, np.zeros(len(chunk.dictionary), np.int32)
        numbers[np.flatnonzero(uses_of(chunk))] = of_used
    return of_codes(chunk, numbers, 0)


def _parts_of(tables: OpenKeys, some: slice = slice(None)) -> list[NDArray[np.int64]]:
    """Return, for each part, the value numbers of the selected keys, decoded from their int64s."""
    numbers = tables.keys.table.keys[: len(tables.keys), 0][some]
    found: list[NDArray[np.int64]] = []
    for k in range(len(tables.values) - 1, 0, -1):
        found.append(numbers & _LOW)
        numbers = numbers >> 32
        if k > 1:
            numbers = tables.heads[k - 2].table.keys[numbers, 0]
    return [*found, numbers][::-1]
