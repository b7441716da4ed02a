"""Folds of training rows on the CPU; see `steps.fold`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.hashing.state import HashedColumn, hash_column, hash_rows
from numpy.typing import NDArray

from fastfeat.backends.cpu.kernels import n_parts, runner
from fastfeat.backends.cpu.vocabulary import chunks_of, element_of
from fastfeat.io.arrow import pa
from fastfeat.io.bits import array_of_values
from fastfeat.io.column import physical_chunks
from fastfeat.steps import Argument

_RUN = "hashing"


def fold(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    """Return the fold of each row by its number, or by a key."""
    run, parts = runner(_RUN), n_parts(n_rows)
    if args:
        columns = [HashedColumn(element_of(a.dtype), chunks_of(a.values, a.dtype)) for a in args]
        hashes = hash_rows(columns, run, parts)
    else:
        numbers = array_of_values(np.arange(n_rows, dtype=np.int64), None, pa.int64())
        chunks = physical_chunks(pa.chunked_array([numbers]))
        hashes = hash_column("int64", chunks, run, parts)
    return array_of_values(buckets(hashes, params["n_folds"]), None, pa.int32())


def buckets(hashes: NDArray[np.uint64], n_buckets: int) -> NDArray[np.int32]:
    """Return the upper word of the product of each hash and the number of buckets."""
    n, low_bits = np.uint64(n_buckets), np.uint64(2**32 - 1)
    low = (hashes & low_bits) * n >> np.uint64(32)
    high = (hashes >> np.uint64(32)) * n
    return ((high + low) >> np.uint64(32)).astype(np.int32)


def time_fold(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    """Return the fold of each row by time."""
    n_folds: int = params["n_folds"]
    column = args[0].values
    times = np.concatenate([_values(chunk) for chunk in column.chunks] or [np.zeros(0)])
    present = np.concatenate([_present(chunk) for chunk in column.chunks] or [np.zeros(0, bool)])
    known = np.sort(times[present])
    ranks: NDArray[np.int64] = np.searchsorted(known, times, side="left")
    folds: NDArray[np.int64] = np.where(present, ranks * n_folds // max(len(known), 1), n_folds)
    return array_of_values(folds.astype(np.int32), None, pa.int32())


def _values(chunk: Any) -> NDArray[Any]:
    return chunk.fill_null(0).to_numpy(zero_copy_only=False)


def _present(chunk: Any) -> NDArray[np.bool_]:
    return chunk.is_valid().to_numpy(zero_copy_only=False)
