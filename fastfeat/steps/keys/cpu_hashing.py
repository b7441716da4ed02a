"""Hashes on the CPU: of text and bytes, of crosses, and of keys that fit has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.column import TEXT
from fastfeat_kernels.hashing.state import HashedColumn, hash_column, hash_rows
from numpy.typing import NDArray

from fastfeat.dtypes import DType
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns.bits import array_of_values, validity_of
from fastfeat.io.columns.column import physical_chunks
from fastfeat.io.columns.keys import key_type
from fastfeat.io.columns.strings import text_chunks
from fastfeat.steps.entries import content_column, over_entries, without_dictionary
from fastfeat.steps.step import Argument

_RUN = "hashing"
Hashes = NDArray[np.uint64]


def key_hashes(
    columns: Sequence[ChunkedArray], dtypes: Sequence[DType], *, is_cross: bool, seed: int = 0
) -> Hashes:
    """Return the hash of each key, `(n_rows,)`; of a value that is missing, 0.

    Args:
        columns: the parts of the key, as `io.columns.keys` stores them.
        dtypes: their types.
        is_cross: whether the parts are hashed with their tags, as those of a cross.
        seed: of XXH64.
    """
    run, parts = runner(_RUN), n_parts(len(columns[0]))
    given = [_hashed(column, dtype) for column, dtype in zip(columns, dtypes, strict=True)]
    if is_cross:
        return hash_rows(given, run, parts, seed=seed)
    return hash_column(given[0].element, given[0].chunks, run, parts, seed=seed)


def _hashed(column: ChunkedArray, dtype: DType) -> HashedColumn:
    if dtype.holds_bytes:
        return HashedColumn(TEXT, text_chunks(without_dictionary(column)))
    element = {"double": "float64"}.get(str(key_type(dtype)), str(key_type(dtype)))
    return HashedColumn(element, physical_chunks(column))


def buckets(hashes: Hashes, n_buckets: int) -> NDArray[np.int32]:
    """Return floor(hash * n_buckets / 2**64) of each hash; n_buckets is below 2**31."""
    half, n = np.uint64(32), np.uint64(n_buckets)
    low = ((hashes & np.uint64(0xFFFFFFFF)) * n) >> half
    return (((hashes >> half) * n + low) >> half).astype(np.int32)


def _array(hashes: Hashes, params: Mapping[str, Any], present: Any) -> Array:
    """Return hashes, or their buckets, as an Arrow array."""
    if params["n_buckets"] is None:
        return array_of_values(hashes, present, pa.uint64())
    return array_of_values(buckets(hashes, params["n_buckets"]), present, pa.int32())


def _hash(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    def work(column: ChunkedArray) -> Array:
        run, chunks = runner(_RUN), text_chunks(column)
        found = hash_column(TEXT, chunks, run, n_parts(len(column)), seed=params["seed"])
        if not column.null_count:
            return _array(found, params, None)
        return _array(found, params, validity_of(column).to_numpy())

    return over_entries(content_column(args[0]), work)


def _hash_cross(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    columns, dtypes = [a.values for a in args], [a.dtype for a in args]
    return _array(key_hashes(columns, dtypes, is_cross=True, seed=params["seed"]), params, None)


KERNELS = {"hash": _hash, "hash_cross": _hash_cross}
