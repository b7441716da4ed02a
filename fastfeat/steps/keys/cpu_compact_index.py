"""An index of keys by their sorted hashes: 8 bytes per key, for keys too many for a hash table.

A hash table takes 26 bytes per key of numbers, and 80 per key of text. The price of this index is
time: it sorts the hashes of the rows, searches them, and compares each match with the key itself.
The index of a key is its position among the distinct keys that the index was made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, ChunkedArray, call, cast, pa
from fastfeat.io.columns.bits import present_rows
from fastfeat.io.columns.keys import key_type
from fastfeat.ir.dtypes import DType
from fastfeat.steps.keys import cpu_hashing

KEYS_AT_ONCE = 1 << 18  # hashed or looked up together
_ID = np.uint64(0xFFFFFFFF)
_TAG = np.uint64(32)


class CompactIndex(NamedTuple):
    """An index of distinct keys by hash.

    Args:
        parts: One Arrow array per part of the key, shape (n_keys,), as keys are stored.
        dtypes: Types of the parts.
        is_cross: Whether a missing part counts as a value of its own.
        entries: One 64-bit number per key, ascending: its upper half is the upper half of the key's
            hash, its lower half the position of the key in `parts`.
    """

    parts: tuple[Array, ...]
    dtypes: tuple[DType, ...]
    is_cross: bool
    entries: NDArray[np.uint64]


def compact_index(
    parts: Sequence[Array], dtypes: Sequence[DType], *, is_cross: bool
) -> CompactIndex:
    """Return a hash index over distinct keys, which are given part by part.

    `parts` are in the form of `io.columns.keys`. `is_cross` says that keys have several parts, or
    that a missing key is a value.
    """
    n_keys = len(parts[0])
    entries = np.empty(n_keys, np.uint64)
    for first in range(0, n_keys, KEYS_AT_ONCE):
        some = slice(first, min(first + KEYS_AT_ONCE, n_keys))
        columns = [pa.chunked_array([part[some]]) for part in parts]
        hashes = cpu_hashing.key_hashes(columns, dtypes, is_cross=is_cross)
        places = np.arange(some.start, some.stop, dtype=np.uint64)
        entries[some] = hashes >> _TAG << _TAG | places
    entries.sort()
    return CompactIndex(tuple(parts), tuple(dtypes), is_cross, entries)


def find_positions(
    index: CompactIndex, columns: Sequence[ChunkedArray], *, start: int, none: int, missing: int
) -> NDArray[np.int32]:
    """Return the position of each row's key in the index, plus `start`, shape (n_rows,).

    Rows with a key that the index lacks get `none`. Rows with a missing key get `missing`, unless
    missing parts count as values. `columns` has one column per part, in the form of
    `io.columns.keys`; none of them is a dictionary.
    """
    n_rows = len(columns[0])
    found = np.full(n_rows, none, np.int32)
    for first in range(0, n_rows, KEYS_AT_ONCE):
        some = [_whole(column.slice(first, KEYS_AT_ONCE)) for column in columns]
        own = found[first : first + KEYS_AT_ONCE]
        places = _places(index, some)
        is_found = places >= 0
        own[is_found] = places[is_found] + np.int32(start)
        if not index.is_cross:
            present = present_rows(some[0])
            if present is not None:
                own[~present] = missing
    return found


def _whole(column: ChunkedArray) -> Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def _places(index: CompactIndex, parts: Sequence[Array]) -> NDArray[np.int32]:
    """Return the position of each row's key in the index, shape (n_rows,); -1 if unknown."""
    n_rows, entries = len(parts[0]), index.entries
    found = np.full(n_rows, -1, np.int32)
    if not len(entries) or not n_rows:
        return found
    columns = [pa.chunked_array([part]) for part in parts]
    tags = cpu_hashing.key_hashes(columns, index.dtypes, is_cross=index.is_cross) >> _TAG
    rows = np.argsort(tags, kind="stable")
    tags = tags[rows]
    at = np.searchsorted(entries, tags << _TAG)
    while len(rows):  # several keys may have the same half of a hash
        there = at < len(entries)
        there[there] = entries[at[there]] >> _TAG == tags[there]
        rows, tags, at = rows[there], tags[there], at[there]
        places = (entries[at] & _ID).astype(np.int64)
        equal = _are_equal(index, parts, rows, places)
        found[rows[equal]] = places[equal]
        rows, tags, at = rows[~equal], tags[~equal], at[~equal] + 1
    return found


def _are_equal(
    index: CompactIndex, parts: Sequence[Array], rows: NDArray[np.int64], places: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return, for each row number in `rows`, whether its key equals the index's key at `places`."""
    equal = np.ones(len(rows), np.bool_)
    at, of = pa.array(places), pa.array(rows)
    for key, part, dtype in zip(index.parts, parts, index.dtypes, strict=True):
        wanted = pa.large_binary() if dtype.holds_bytes else key_type(dtype)
        own = call("array_take", _as(key, wanted), at)
        other = call("array_take", _as(part, wanted), of)
        same = call("equal", own, other).fill_null(False).to_numpy(zero_copy_only=False)
        if own.null_count and other.null_count:
            both = call("and", call("is_null", own), call("is_null", other))
            same |= both.to_numpy(zero_copy_only=False)
        equal &= same
    return equal


def _as(part: Array, wanted: object) -> Array:
    """Return an array as type `wanted`, without checking that text is valid UTF-8."""
    if part.type == wanted:
        return part
    return part.view(wanted) if pa.types.is_large_string(part.type) else cast(part, wanted)
