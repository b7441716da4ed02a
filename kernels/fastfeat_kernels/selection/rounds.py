"""The three rounds of a selection, each over all parts of a column, and the data between them.

Counts add up and extracted keys concatenate in any order, so threads, files and machines may share
a round.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import (
    ELEMENTS,
    ArrowChunk,
    CallRunner,
    ChunkRows,
    KernelRowCall,
    split_rows,
)
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.selection import (
    COUNT,
    EXTRACT,
    N_SCRATCH_WORDS,
    N_TABLE_WORDS,
    SAMPLE,
    TABLE_BIT_OFFSET,
    TABLE_CELLS,
    TABLE_COUNTS,
    TABLE_CURSORS,
    TABLE_ELEMENT,
    TABLE_HIGH,
    TABLE_KEYS,
    TABLE_LOW,
    TABLE_N_LESS,
    TABLE_N_SAMPLE,
    TABLE_PIVOTS,
    TABLE_ROUND,
    TABLE_SAMPLE,
    TABLE_SCRATCH,
    TABLE_SHIFT,
    TABLE_STRIDE,
    TABLE_TARGETS,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
)

CELL_BITS = 12
MAX_PART = 1 << 30  # rows; the counts of a part are 32-bit


@dataclass(frozen=True, slots=True)
class BucketMap:
    """A map of keys from `low` to `high`: 2**12 cells of one width, each with 2**b buckets.

    If a column spans all floats, a cell holds the floats of one exponent and sign; a column in a
    narrow range has narrow cells. Keys outside belong to the first or the last bucket.

    Args:
        cells: For each cell a shift in the lower 6 bits, and above them the number that gives the
            bucket when added to the shifted distance from `low`.
    """

    low: int
    high: int
    shift: int
    cells: npt.NDArray[np.int64]
    n_buckets: int


def learn_map(sample: Int64Array, n_per_key: int) -> BucketMap:
    """Return the map that gives each key of a sorted sample about `n_per_key` buckets."""
    low, high = int(sample[0]), int(sample[-1])
    shift = max((high - low).bit_length() - CELL_BITS, 0)
    indices = np.arange(1 << CELL_BITS)
    starts = np.searchsorted(_offsets(sample, low), indices.astype(np.uint64) << np.uint64(shift))
    counts = np.diff(starts, append=len(sample)) * n_per_key
    bits = np.minimum(np.frexp(np.maximum(counts - 1, 0))[1], shift).astype(np.int64)
    sizes = np.int64(1) << bits
    firsts = np.cumsum(sizes) - sizes
    cells = ((firsts - (indices << bits)) << 6) + (shift - bits)
    return BucketMap(low, high, shift, cells, int(sizes.sum()))


def bucket_of(keys: Int64Array, buckets: BucketMap) -> npt.NDArray[np.int64]:
    """Return the bucket of each key."""
    offsets = _offsets(np.clip(keys, buckets.low, buckets.high), buckets.low)
    cells = buckets.cells[(offsets >> np.uint64(buckets.shift)).astype(np.int64)]
    return (cells >> 6) + (offsets >> (cells & 63).astype(np.uint64)).astype(np.int64)


def _offsets(keys: Int64Array, low: int) -> npt.NDArray[np.uint64]:
    return keys.view(np.uint64) - np.uint64(low % 2**64)


SelectionWords = dict[int, int]


@dataclass(frozen=True, slots=True)
class SelectionColumn:
    """A column cut into runs of rows, with the runner of the kernel."""

    element: str
    parts: list[list[ChunkRows[ArrowChunk]]]
    run: CallRunner


def in_runs(
    element: str, chunks: Sequence[ArrowChunk], run: CallRunner, n_parts: int
) -> SelectionColumn:
    """Return a column cut into at most `n_parts` runs of rows, or more for very many rows.

    The result of a round does not depend on `n_parts`.
    """
    n_rows = sum(chunk.length for chunk in chunks)
    return SelectionColumn(
        element, split_rows(chunks, max(n_parts, -(-n_rows // MAX_PART), 1)), run
    )


@dataclass(frozen=True, slots=True)
class BucketKeys:
    """The keys of the wanted buckets, except one key of each, its pivot.

    Args:
        keys: For each part, keys grouped by bucket.
        starts: Start of each bucket, `(n_parts, n_wanted)`.
        ends: End of each bucket, `(n_parts, n_wanted)`.
        pivots: For each bucket, the key that is left out every time it occurs.
        n_less: For each bucket, the number of keys below the pivot.
    """

    keys: list[Int64Array]
    starts: Int64Array
    ends: Int64Array
    pivots: Int64Array
    n_less: Int64Array

    @property
    def sizes(self) -> Int64Array:
        """Number of keys of each bucket, without the pivot."""
        return (self.ends - self.starts).sum(axis=0)

    def pieces(self, bucket: int) -> list[Int64Array]:
        """Return the keys of a wanted bucket, in arbitrary order."""
        bounds = zip(self.starts[:, bucket].tolist(), self.ends[:, bucket].tolist(), strict=True)
        return [keys[start:end] for keys, (start, end) in zip(self.keys, bounds, strict=True)]


def take_sample(column: SelectionColumn, stride: int) -> Int64Array:
    """Return the keys of the values among one row of every `stride`, in any order."""
    outputs = [
        np.empty(sum(-(-rows.n // stride) for rows in part), np.int64) for part in column.parts
    ]
    sizes = np.zeros(len(outputs), np.int64)
    common = {TABLE_ROUND: SAMPLE, TABLE_STRIDE: stride}
    _run_round(
        column,
        [
            common | {TABLE_SAMPLE: _address(output), TABLE_N_SAMPLE: _address(sizes[i:])}
            for i, output in enumerate(outputs)
        ],
        (outputs, sizes),
    )
    return np.concatenate(
        [np.empty(0, np.int64), *(output[:n] for output, n in zip(outputs, sizes, strict=True))]
    )


def count_buckets(column: SelectionColumn, buckets: BucketMap) -> npt.NDArray[np.uint32]:
    """Return the number of values of each part in each bucket, `(n_parts, n_buckets)`."""
    counts = np.zeros((len(column.parts), buckets.n_buckets), np.uint32)
    common = _map_words(buckets) | {TABLE_ROUND: COUNT}
    words = [common | {TABLE_COUNTS: _address(row)} for row in counts]
    _run_round(column, words, (buckets, counts))
    return counts


def extract(
    column: SelectionColumn,
    buckets: BucketMap,
    room: Int64Array,
    wanted: Int64Array,
    pivots: Int64Array,
) -> BucketKeys:
    """Return the keys of some buckets, except one of each."""
    targets = np.zeros(buckets.n_buckets, np.int32)
    targets[wanted] = np.arange(1, len(wanted) + 1)
    pivots = np.append(0, pivots)
    sizes = np.insert(room, 0, 0, axis=1)
    starts = np.cumsum(sizes, axis=1) - sizes
    cursors, n_less = starts.copy(), np.zeros(starts.shape, np.int64)
    outputs = [np.empty(n, np.int64) for n in sizes.sum(axis=1)]
    common = _map_words(buckets) | {
        TABLE_ROUND: EXTRACT,
        TABLE_TARGETS: _address(targets),
        TABLE_PIVOTS: _address(pivots),
    }
    _run_round(
        column,
        [
            common
            | {
                TABLE_KEYS: _address(output),
                TABLE_CURSORS: _address(cursors[i]),
                TABLE_N_LESS: _address(n_less[i]),
            }
            for i, output in enumerate(outputs)
        ],
        (buckets, targets, pivots, cursors, n_less, outputs),
    )
    return BucketKeys(outputs, starts[:, 1:], cursors[:, 1:], pivots[1:], n_less[:, 1:].sum(axis=0))


def commonest(sample: Int64Array, buckets: BucketMap) -> Int64Array:
    """Return the commonest key of a sorted sample in each bucket, 0 for empty buckets."""
    starts = np.flatnonzero(np.append(True, sample[1:] != sample[:-1]))
    n_seen = np.diff(starts, append=len(sample))
    keys = sample[starts[np.argsort(n_seen, kind="stable")]]
    pivots = np.zeros(buckets.n_buckets, np.int64)
    pivots[bucket_of(keys, buckets)] = keys  # the last of several in one bucket is kept
    return pivots


def _run_round(
    column: SelectionColumn, words_of_parts: Sequence[SelectionWords], owners: object
) -> None:
    """Run the kernel once over all rows.

    `owners` keeps alive the memory that `words_of_parts` points to.
    """
    element = {TABLE_ELEMENT: ELEMENTS.index(column.element)}
    calls = [
        _calls(part, own | element, owners)
        for part, own in zip(column.parts, words_of_parts, strict=True)
    ]
    column.run("rows", calls)


def _calls(
    part: Sequence[ChunkRows[ArrowChunk]], words: SelectionWords, owners: object
) -> list[KernelRowCall]:
    """Return the calls of one part: a table for each run of rows, and one scratch for all."""
    buffer = np.zeros(N_SCRATCH_WORDS + len(part) * N_TABLE_WORDS, np.int64)
    tables = buffer[N_SCRATCH_WORDS:].reshape(len(part), N_TABLE_WORDS)
    for word, value in words.items():
        tables[:, word] = value
    tables[:, TABLE_SCRATCH] = _address(buffer)
    for table, rows in zip(tables, part, strict=True):
        table[TABLE_VALUES] = rows.chunk.values
        table[TABLE_VALUE_BIT_OFFSET] = rows.chunk.value_bit_offset
        table[TABLE_VALIDITY] = rows.chunk.validity
        table[TABLE_BIT_OFFSET] = rows.chunk.bit_offset
    return [
        KernelRowCall(table, rows.first, rows.n, (rows.chunk, owners))
        for table, rows in zip(tables, part, strict=True)
    ]


def _map_words(buckets: BucketMap) -> SelectionWords:
    return {
        TABLE_LOW: buckets.low,
        TABLE_HIGH: buckets.high,
        TABLE_SHIFT: buckets.shift,
        TABLE_CELLS: _address(buckets.cells),
    }


def _address(array: npt.NDArray[np.generic]) -> int:
    return array.ctypes.data
