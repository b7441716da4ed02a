"""Exact order statistics of a column in chunks, on the caller's threads.

A sample gives the map of buckets; counting finds the exact bucket of each wanted rank; the keys of
those buckets are extracted and sorted. See `rounds` for the data in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import ArrowChunk, CallRunner, value_of_key
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.selection.rounds import (
    BucketKeys,
    SelectionColumn,
    commonest,
    count_buckets,
    extract,
    in_runs,
    learn_map,
    take_sample,
)

# Rows in the sample for the map, and buckets per row: so few that the counts stay in the
# first-level cache, unless there are so many ranks that extracting costs more than counting.
FEW_RANKS = 32
N_SAMPLE_FEW, N_BUCKETS_FEW = 1 << 11, 1
N_SAMPLE_MANY, N_BUCKETS_MANY = 1 << 14, 4
N_SORTED_WHOLE = 1 << 15  # rows; up to here every row is sampled, and sorting is fastest
N_SORTED = 1 << 18  # keys of one bucket up to which it is sorted rather than selected from

WantedRanks = Callable[[int], Iterable[int]]


@dataclass(frozen=True, slots=True)
class OrderStatistics:
    """Order statistics of a column.

    Args:
        count: Number of values.
        values: By rank from 0, the value with that many values below it in total order.
    """

    count: int
    values: Mapping[int, float | int | bool]


@dataclass(frozen=True, slots=True)
class KeyChunk:
    """Keys as a column of int64, without missing values; `owner` keeps them alive."""

    values: int
    length: int
    owner: object
    value_bit_offset: int = 0
    validity: int = 0
    bit_offset: int = 0


def select(
    element: str,
    chunks: Sequence[ArrowChunk],
    ranks: WantedRanks,
    run: CallRunner,
    n_parts: int = 1,
) -> OrderStatistics:
    """Return exact order statistics of a column."""
    n_rows = sum(chunk.length for chunk in chunks)
    if n_rows <= N_SORTED_WHOLE:
        keys = np.sort(take_sample(in_runs(element, chunks, run, 1), 1))
        places = _places(ranks, len(keys))
        return _decode(element, len(keys), places, keys[places])
    return _select_in_buckets(in_runs(element, chunks, run, n_parts), ranks, n_rows)


def _select_in_buckets(column: SelectionColumn, ranks: WantedRanks, n_rows: int) -> OrderStatistics:
    few = len(set(ranks(n_rows))) <= FEW_RANKS
    n_sample, n_per_key = (N_SAMPLE_FEW, N_BUCKETS_FEW) if few else (N_SAMPLE_MANY, N_BUCKETS_MANY)
    sample = np.sort(take_sample(column, max(n_rows // n_sample, 1)))
    if len(sample) == 0:
        sample = np.zeros(1, np.int64)  # there may be no value, or the sample missed all
    buckets = learn_map(sample, n_per_key)
    counts = count_buckets(column, buckets)
    totals = counts.sum(axis=0, dtype=np.int64)
    ends = np.cumsum(totals)
    places = _places(ranks, int(ends[-1]))
    holders, index = np.unique(np.searchsorted(ends, places, side="right"), return_inverse=True)
    room = counts[:, holders].astype(np.int64)
    extracted = extract(column, buckets, room, holders, commonest(sample, buckets)[holders])
    inside = places - (ends - totals)[holders][index]
    found = _keys_at(extracted, totals[holders], index, inside, column, int(ends[-1]))
    return _decode(column.element, int(ends[-1]), places, found)


def _keys_at(
    extracted: BucketKeys,
    totals: Int64Array,
    index: Int64Array,
    inside: Int64Array,
    column: SelectionColumn,
    count: int,
) -> Int64Array:
    """Return the keys at places inside buckets: the pivot of the bucket, or one of the others."""
    n_less, n_equal = extracted.n_less[index], (totals - extracted.sizes)[index]
    above = inside >= n_less + n_equal
    is_other = above | (inside < n_less)
    positions = inside - np.where(above, n_equal, 0)
    heavy = extracted.sizes > N_SORTED
    sizes = np.where(heavy, 0, extracted.sizes)
    pieces = [piece for j in np.flatnonzero(sizes).tolist() for piece in extracted.pieces(j)]
    ordered = np.sort(np.concatenate([np.empty(0, np.int64), *pieces]))
    found = extracted.pivots[index]
    light = is_other & ~heavy[index]
    found[light] = ordered[(np.cumsum(sizes) - sizes)[index][light] + positions[light]]
    for j in np.flatnonzero(heavy).tolist():
        mine = is_other & (index == j)
        found[mine] = _select_again(extracted.pieces(j), count, positions[mine], column)
    return found


def _select_again(
    pieces: list[Int64Array], count: int, positions: Int64Array, column: SelectionColumn
) -> Int64Array:
    """Return the keys at positions of one bucket that holds very many, after an unlucky sample."""
    n_keys = sum(map(len, pieces))
    if n_keys > count * 7 // 8:  # no progress: the keys lie where the sample has none
        return np.sort(np.concatenate(pieces))[positions]
    chunks = [KeyChunk(piece.ctypes.data, len(piece), piece) for piece in pieces]
    values = select("int64", chunks, lambda _: positions.tolist(), column.run, len(pieces)).values
    return np.array([values[position] for position in positions.tolist()], np.int64)


def _places(ranks: WantedRanks, count: int) -> Int64Array:
    return np.array(sorted(set(ranks(count))) if count else [], np.int64)


def _decode(element: str, count: int, places: Int64Array, keys: Int64Array) -> OrderStatistics:
    found = zip(places.tolist(), keys.tolist(), strict=True)
    return OrderStatistics(count, {place: value_of_key(element, key) for place, key in found})
