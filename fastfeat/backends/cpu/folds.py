"""Folds of training rows on the CPU; see `steps.fold`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends.cpu.hashing import buckets, key_hashes
from fastfeat.dtypes import INT64
from fastfeat.io.arrow import pa
from fastfeat.io.bits import array_of_values
from fastfeat.steps import Argument


def fold(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    """Return the fold of each row by its number, or by a key."""
    columns, dtypes = [a.values for a in args], [a.dtype for a in args]
    if not args:
        numbers = array_of_values(np.arange(n_rows, dtype=np.int64), None, pa.int64())
        columns, dtypes = [pa.chunked_array([numbers])], [INT64]
    hashes = key_hashes(columns, dtypes, is_cross=bool(args))
    return array_of_values(buckets(hashes, params["n_folds"]), None, pa.int32())


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
