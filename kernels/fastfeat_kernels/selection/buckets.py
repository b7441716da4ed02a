"""The map from keys to buckets, learnt from a sample so that each bucket holds about as many.

Whatever the sample, the map keeps the order of keys, so the counts of buckets say exactly in which
bucket a rank lies. A bad sample costs time only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.int64]
CELL_BITS = 12


@dataclass(frozen=True, slots=True)
class BucketMap:
    """Keys from `low` to `high` fall into 2**12 cells of one width, each cell into 2**b buckets.

    Floats of one exponent and sign make one cell where the column spans them all; a column in a
    narrow range has narrow cells. Keys outside belong to the first or the last bucket.

    Args:
        cells: per cell a shift in the lower 6 bits, and above them what makes, added to the shifted
            offset from `low`, the bucket.
    """

    low: int
    high: int
    shift: int
    cells: npt.NDArray[np.int64]
    n_buckets: int


def learn_map(sample: Keys, n_per_key: int) -> BucketMap:
    """Return the map that gives every key of a sorted sample about `n_per_key` buckets."""
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


def bucket_of(keys: Keys, buckets: BucketMap) -> npt.NDArray[np.int64]:
    """Return the bucket of each key."""
    offsets = _offsets(np.clip(keys, buckets.low, buckets.high), buckets.low)
    cells = buckets.cells[(offsets >> np.uint64(buckets.shift)).astype(np.int64)]
    return (cells >> 6) + (offsets >> (cells & 63).astype(np.uint64)).astype(np.int64)


def _offsets(keys: Keys, low: int) -> npt.NDArray[np.uint64]:
    return keys.view(np.uint64) - np.uint64(low % 2**64)
