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
from fastfeat.steps.fold import delay_in_ticks


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
    times, present = _times_of(args[0])
    return _numbers(_folds_by_time(times, present, params["n_folds"]))


def time_fold_known(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    """Return the last fold by time that does not learn from each row yet."""
    times, present = _times_of(args[0])
    folds = _folds_by_time(times, present, params["n_folds"])
    last = folds.max(initial=0)
    used, places = np.unique(np.sort(folds[present]), return_index=True)
    begins = np.sort(times[present])[places]  # folds stand in the order of time
    after = np.searchsorted(begins, _later(times, delay_in_ticks(args[0].dtype, params)), "right")
    before = np.append(used - 1, last)  # the fold before the first one that begins later
    return _numbers(np.where(present, np.maximum(folds, before[after]), last))


def _later(times: NDArray[Any], delay: int) -> NDArray[Any]:
    """Return times and a delay; whole numbers end at the last of their type."""
    if times.dtype.kind == "f":
        return times + delay
    most = np.iinfo(times.dtype).max
    return np.where(times > most - min(delay, int(most)), most, times + min(delay, int(most)))


def _folds_by_time(
    times: NDArray[Any], present: NDArray[np.bool_], n_folds: int
) -> NDArray[np.int64]:
    known = np.sort(times[present])
    ranks: NDArray[np.int64] = np.searchsorted(known, times, side="left")
    return np.where(present, ranks * n_folds // max(len(known), 1), n_folds)


def _times_of(argument: Argument) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return times as numbers, and where they are present."""
    chunks = argument.values.chunks
    times = np.concatenate([_values(chunk) for chunk in chunks] or [np.zeros(0)])
    return times, np.concatenate([_present(chunk) for chunk in chunks] or [np.zeros(0, bool)])


def _numbers(folds: NDArray[np.int64]) -> Any:
    return array_of_values(folds.astype(np.int32), None, pa.int32())


def _values(chunk: Any) -> NDArray[Any]:
    return chunk.fill_null(0).to_numpy(zero_copy_only=False)


def _present(chunk: Any) -> NDArray[np.bool_]:
    return chunk.is_valid().to_numpy(zero_copy_only=False)
