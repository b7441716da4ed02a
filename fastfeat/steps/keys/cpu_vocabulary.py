"""Vocabularies on the CPU: the codes of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.vocabulary.state import Index, index_of, lookup

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.dtypes import DType
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.io.arrow import Array, ChunkedArray, call, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.column import physical_chunks
from fastfeat.steps.keys.cpu_counting import (
    WIDEST,
    Places,
    chunks_of,
    combined_of,
    element_of,
    keys_of,
    of_codes,
    ranks_of,
)
from fastfeat.steps.keys.cpu_hashing import buckets, key_hashes

_RUN = "vocabulary"


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
    return of_codes(chunk, _looked_up(index, entries, dtype, n_unseen), 0)


def _cached(vocabulary: Vocabulary, name: str, make: Any) -> Any:
    """Return the value that a vocabulary keeps under a name; made on first use."""
    found = vocabulary.cache.get(name)
    return vocabulary.cache.setdefault(name, make()) if found is None else found


def _index(keys: Array, dtype: DType) -> Index:
    return index_of(element_of(dtype), keys_of(keys, dtype), runner(_RUN), n_parts(len(keys)))


def _lookup(vocabulary: Vocabulary, dtypes: Sequence[DType]) -> Lookup:
    """Return the indices in which rows of several parts are looked up."""
    ranks = [
        ranks_of(pa.chunked_array([part]), dtype, WIDEST, in_order=False)
        for part, dtype in zip(vocabulary.parts, dtypes, strict=True)
    ]
    combined, sizes = combined_of([r.rows for r in ranks], [len(r.values) for r in ranks])
    parts = tuple(_index(r.values, dtype) for r, dtype in zip(ranks, dtypes, strict=True))
    n = n_parts(len(combined))
    return Lookup(parts, tuple(sizes), index_of("int64", combined, runner(_RUN), n))
