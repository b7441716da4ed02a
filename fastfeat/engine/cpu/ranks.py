"""A part of the learner of aggregates over all rows: the values at given ranks, in three rounds.

A round is one pass over all rows. A key is an int64 that sorts like the value (`column.key_of`).
The first round takes a sample of the rows, from which the ranges of buckets are defined. The second
counts the keys in each bucket, so that the bucket of each wanted rank is known exactly. The third
collects the keys of those buckets. A first-round state that has seen few rows holds all their keys
and finishes at once. If all rows are in memory, a direct selection finds the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import value_of_key
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.selection.rounds import (
    BucketMap,
    SelectionColumn,
    commonest,
    count_buckets,
    extract,
    in_runs,
    learn_map,
    take_sample,
)
from fastfeat_kernels.selection.state import select

from fastfeat.aggregates.function import ranks_of
from fastfeat.engine.cpu.kernels import runner
from fastfeat.engine.cpu.part import OF_RANKS, Asked, OutputLearner, OutputResult
from fastfeat.engine.learner import NextRound, PackedState, Rows
from fastfeat.io import temporary_files
from fastfeat.io.arrow import ChunkedArray, pa
from fastfeat.io.columns.column import physical_chunks

N_SAMPLE = 1 << 15  # keys at most; half as many at least, given enough rows
N_PER_KEY = 2  # buckets per key: counts of 8 bytes take at most 1 MiB
N_FEWEST = 1 << 10  # keys of a small map: its bucket counts stay in the L1 cache
MOST_KEYS = 1 << 20  # about how many keys may be extracted to keep the map small
FEW_KEYS = 4  # rows per key; with fewer rows, buckets are counted to size the memory
N_MAP_BYTES = (1 << 12) * 8 + 2 * N_SAMPLE * N_PER_KEY * 8


@dataclass(slots=True)
class Sampled:
    """The state of the first round: a sample of the keys.

    Args:
        asked: The aggregates.
        n_rows: Number of rows seen.
        stride: Every `stride`-th row is sampled; a power of two.
        keys: Keys of the sampled rows that have a value, in any order.
    """

    asked: Asked
    n_rows: int = 0
    stride: int = 1
    keys: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class Counting:
    """The input of the second round: the buckets, the sample that they come from, the row count."""

    buckets: BucketMap
    sample: Int64Array
    n_rows: int


@dataclass(slots=True)
class KeyBucketCounts:
    """The state of the second round: the number of keys in each bucket, shape (n_buckets,)."""

    asked: Asked
    hint: Counting
    counts: Int64Array


@dataclass(frozen=True, slots=True)
class Extracting:
    """The input of the third round: the buckets to collect keys from, and the ranks in them.

    Args:
        buckets: The buckets.
        wanted: Numbers of the buckets that contain wanted ranks, ascending.
        pivots: For each of these buckets, its most common key in the sample. It is counted instead
            of collected.
        totals: Number of values in each of these buckets.
        ranks: The wanted ranks, ascending.
        index: For each rank, the index of its bucket in `wanted`.
        inside: For each rank, the rank inside its bucket.
        count: Number of values.
    """

    buckets: BucketMap
    wanted: Int64Array
    pivots: Int64Array
    totals: Int64Array
    ranks: Int64Array
    index: Int64Array
    inside: Int64Array
    count: int


@dataclass(slots=True)
class Extracted:
    """The state of the third round.

    Args:
        asked: The aggregates.
        hint: The hint for the round.
        n_others: For each bucket in `hint.wanted`, the number of keys other than the pivot.
        n_less: For each of these buckets, the number of keys below the pivot.
        pieces: The collected keys, which are not pivots, in any order.
        runs: Collected keys in unnamed files, each file sorted.
    """

    asked: Asked
    hint: Extracting
    n_others: Int64Array
    n_less: Int64Array
    pieces: list[Int64Array] = field(default_factory=list[Int64Array])
    runs: list[Int64Array] = field(default_factory=list[Int64Array])


RankState = Sampled | KeyBucketCounts | Extracted


def _start(asked: Asked, hint: Any) -> RankState:
    match hint:
        case None:
            return Sampled(asked)
        case ("count", buckets, sample, n_rows):
            counting = Counting(BucketMap(*buckets), sample, n_rows)
            return KeyBucketCounts(asked, counting, np.zeros(counting.buckets.n_buckets, np.int64))
        case (_, buckets, *rest):
            extracting = Extracting(BucketMap(*buckets), *rest)
            n = len(extracting.wanted)
            return Extracted(asked, extracting, np.zeros(n, np.int64), np.zeros(n, np.int64))
        case _:
            raise AssertionError(hint)


def _add(state: RankState, column: ChunkedArray, rows: Rows, n_parts: int) -> None:
    match state:
        case Sampled():
            _add_sample(state, column, n_parts)
        case KeyBucketCounts():
            counts = count_buckets(_parts(state.asked, column, n_parts), state.hint.buckets)
            state.counts += counts.sum(axis=0, dtype=np.int64)
        case Extracted():
            _add_keys(state, _parts(state.asked, column, n_parts))


def _parts(asked: Asked, column: ChunkedArray, n_parts: int) -> SelectionColumn:
    return in_runs(asked.element, physical_chunks(column), runner("selection"), n_parts)


def _add_sample(state: Sampled, column: ChunkedArray, n_parts: int) -> None:
    _thin(state, state.n_rows + len(column))
    skipped = -state.n_rows % state.stride
    state.n_rows += len(column)
    if skipped < len(column):
        rows = _parts(state.asked, column.slice(skipped), n_parts)
        state.keys = np.concatenate([state.keys, take_sample(rows, state.stride)])


def _thin(state: Sampled, n_rows: int) -> None:
    """Halve the sample until it has the right size for `n_rows` rows."""
    while n_rows > state.stride * N_SAMPLE:
        state.keys = np.sort(state.keys)[::2].copy()
        state.stride *= 2


def _add_keys(state: Extracted, column: SelectionColumn) -> None:
    hint, n_parts = state.hint, len(column.parts)
    n_rows = sum(rows.n for part in column.parts for rows in part)
    if n_parts * int(hint.totals.sum()) <= n_rows // FEW_KEYS:
        room = np.tile(hint.totals, (n_parts, 1))
    else:
        counts = count_buckets(column, hint.buckets)
        room = counts[:, hint.wanted].astype(np.int64)
    found = extract(column, hint.buckets, room, hint.wanted, hint.pivots)
    state.n_others += found.sizes
    state.n_less += found.n_less
    for keys, starts, ends in zip(found.keys, found.starts, found.ends, strict=True):
        spans = zip(starts.tolist(), ends.tolist(), strict=True)
        kept = [keys[start:end] for start, end in spans if end > start]
        if kept:
            state.pieces.append(np.concatenate(kept))


def _merge(a: RankState, b: RankState) -> RankState:
    match a, b:
        case Sampled(), Sampled():
            n_rows, stride = a.n_rows + b.n_rows, max(a.stride, b.stride)
            for one in (a, b):
                while one.stride < stride:
                    _thin(one, one.stride * N_SAMPLE + 1)
            keys = np.concatenate([a.keys, b.keys])
            merged = Sampled(a.asked, n_rows, stride, keys)
            _thin(merged, n_rows)
            return merged
        case KeyBucketCounts(), KeyBucketCounts():
            a.counts += b.counts
            return a
        case Extracted(), Extracted():
            a.n_others += b.n_others
            a.n_less += b.n_less
            a.pieces += b.pieces
            a.runs += b.runs
            return a
        case _:
            raise AssertionError("states of different rounds cannot be merged")


def _next(state: RankState) -> OutputResult | NextRound:
    match state:
        case Sampled():
            return _after_sampling(state)
        case KeyBucketCounts():
            return _after_counting(state)
        case Extracted():
            return _found(state.asked, state.hint.count, state.hint.ranks, _keys_at(state))


def _found(asked: Asked, count: int, ranks: Int64Array, keys: Int64Array) -> OutputResult:
    """Return the result: the number of values, the wanted ranks, and the values at these ranks."""
    values = tuple(value_of_key(asked.element, key) for key in keys.tolist())
    return OutputResult((count, tuple(ranks.tolist()), values))


def _ranks(asked: Asked, count: int, n_rows: int) -> Int64Array:
    wanted = ranks_of(asked.rows(), count, n_rows) if count else ()
    return np.array(sorted(wanted), np.int64)


def _after_sampling(state: Sampled) -> OutputResult | NextRound:
    sample = np.sort(state.keys)
    if state.stride == 1:
        ranks = _ranks(state.asked, len(sample), state.n_rows)
        return _found(state.asked, len(sample), ranks, sample[ranks])
    return NextRound(_counting(state.asked, sample, state.n_rows))


def _of_sample(state: RankState, n_rows: int) -> Any:
    """Return the hint for the second round, from the sample.

    It is None if `n_rows` is so small that no counting is needed.
    """
    assert isinstance(state, Sampled)
    return _counting(state.asked, np.sort(state.keys), n_rows) if n_rows > N_SAMPLE else None


def _counting(asked: Asked, sample: Int64Array, n_rows: int) -> tuple[Any, ...]:
    """Return the hint for the second round, with buckets defined by a sorted sample."""
    if len(sample) == 0:
        sample = np.zeros(1, np.int64)  # no value exists, or the sample missed them all
    n_ranks = len(_ranks(asked, n_rows, n_rows))
    while len(sample) >= 2 * N_FEWEST and 2 * n_rows * n_ranks <= MOST_KEYS * len(sample):
        sample = sample[::2].copy()
    return "count", _plain(learn_map(sample, N_PER_KEY)), sample, n_rows


def _plain(buckets: BucketMap) -> tuple[Any, ...]:
    return buckets.low, buckets.high, buckets.shift, buckets.cells, buckets.n_buckets


def _after_counting(state: KeyBucketCounts) -> OutputResult | NextRound:
    ends, hint = np.cumsum(state.counts), state.hint
    count = int(ends[-1])
    ranks = _ranks(state.asked, count, hint.n_rows)
    holders, index = np.unique(np.searchsorted(ends, ranks, side="right"), return_inverse=True)
    inside = ranks - (ends - state.counts)[holders][index]
    pivots = commonest(hint.sample, hint.buckets)[holders]
    totals = state.counts[holders]
    found = ("extract", _plain(hint.buckets), holders, pivots, totals, ranks, index, inside, count)
    return NextRound(found)


def _keys_at(state: Extracted) -> Int64Array:
    """Return the key at each wanted rank: the pivot of its bucket, or a collected key."""
    hint, index = state.hint, state.hint.index
    n_less, n_equal = state.n_less[index], (hint.totals - state.n_others)[index]
    above = hint.inside >= n_less + n_equal
    others = above | (hint.inside < n_less)
    firsts = (np.cumsum(state.n_others) - state.n_others)[index]
    places = firsts + hint.inside - np.where(above, n_equal, 0)
    found = hint.pivots[index]
    found[others] = _at_places(_runs(state), places[others])
    return found


def _runs(state: Extracted) -> list[Int64Array]:
    """Return the collected keys as sorted arrays; those in files are memory-mapped."""
    pieces = [np.empty(0, np.int64), *state.pieces]
    return [np.sort(np.concatenate(pieces)), *state.runs]


def _at_places(runs: Sequence[Int64Array], places: Int64Array) -> Int64Array:
    """Return the keys at given positions in the merged order of sorted arrays."""
    if len(runs) == 1:
        return runs[0][places]
    found = [_at_place(runs, place) for place in places.tolist()]
    return np.array(found, np.int64)


def _at_place(runs: Sequence[Int64Array], place: int) -> int:
    """Return the key at position `place` (from 0) of sorted arrays, merged; found by bisection."""
    low, high = -(2**63), 2**63 - 1
    while low < high:
        middle = (low + high) // 2
        if sum(int(np.searchsorted(run, middle, side="right")) for run in runs) > place:
            high = middle
        else:
            low = middle + 1
    return low


def _spill(state: RankState, folder: Path) -> None:
    if isinstance(state, Extracted) and state.pieces:
        keys = np.sort(np.concatenate(state.pieces))
        file = temporary_files.unnamed_file(folder)
        file.append(keys)
        state.runs.append(temporary_files.map_file(file, keys.dtype))
        state.pieces.clear()


def _pack(state: RankState) -> PackedState:
    match state:
        case Sampled():
            numbers = {"n_rows": state.n_rows, "stride": state.stride}
            return PackedState(numbers, {"keys": pa.table({"keys": state.keys})})
        case KeyBucketCounts():
            return PackedState({}, {"counts": pa.table({"counts": state.counts})})
        case Extracted():
            others = pa.table({"n_others": state.n_others, "n_less": state.n_less})
            keys = pa.chunked_array([pa.array(run) for run in _runs(state)])
            return PackedState({}, {"buckets": others, "keys": pa.table({"keys": keys})})


def _unpack(asked: Asked, hint: Any, packed: PackedState) -> RankState:
    state = _start(asked, hint)

    def column(table: str, name: str) -> Int64Array:
        return packed.tables[table].column(name).to_numpy().copy()

    match state:
        case Sampled():
            state.n_rows, state.stride = packed.numbers["n_rows"], packed.numbers["stride"]
            state.keys = column("keys", "keys")
        case KeyBucketCounts():
            state.counts = column("counts", "counts")
        case Extracted():
            state.n_others = column("buckets", "n_others")
            state.n_less = column("buckets", "n_less")
            state.pieces = [column("keys", "keys")]
    return state


def _size(state: RankState) -> int:
    match state:
        case Sampled():
            return state.keys.nbytes
        case KeyBucketCounts():
            return state.counts.nbytes
        case Extracted():
            kept = sum(piece.nbytes for piece in state.pieces)
            return kept + state.n_others.nbytes + state.n_less.nbytes


def _bound(asked: Asked, n_rows: int) -> int:
    """Return the most bytes of a state: the counts, or the keys of all rows and their buckets."""
    of_ranks = 16 * len(_ranks(asked, n_rows, n_rows)) if n_rows else 0
    if 0 < n_rows <= N_SAMPLE:  # all keys are in the sample, so nothing is counted
        return 8 * n_rows + of_ranks
    return max(N_MAP_BYTES, 8 * n_rows + of_ranks)


def _at_once(asked: Asked, column: ChunkedArray, n_parts: int) -> Any:
    def ranks(count: int) -> set[int]:
        return ranks_of(asked.rows(), count, len(column))

    chunks = physical_chunks(column)
    found = select(asked.element, chunks, ranks, runner("selection"), n_parts)
    return found.count, tuple(found.values), tuple(found.values.values())


RANKS = OutputLearner(
    OF_RANKS,
    start=_start,
    add=_add,
    merge=_merge,
    next=_next,
    pack=_pack,
    unpack=_unpack,
    size=_size,
    bound=_bound,
    spill=_spill,
    at_once=_at_once,
    of_sample=_of_sample,
)
