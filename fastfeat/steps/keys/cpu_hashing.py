"""Hashes on the CPU: of text and bytes, of crosses, and of keys that fit has not seen.

A cross is a key of several columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from fastfeat_kernels import hashing as layout
from fastfeat_kernels.arrays import Uint64Array
from fastfeat_kernels.column import ELEMENTS, TEXT
from fastfeat_kernels.hashing.state import HashedColumn, hash_column, hash_rows
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import n_parts, runner, written_kernel
from fastfeat.engine.cpu.step_calls import (
    KernelCall,
    KernelColumn,
    MemoryRequest,
    StepCalls,
    form_of,
    scratch_of,
)
from fastfeat.engine.storage import storage
from fastfeat.io.arrow import Array, ChunkedArray, DataType, pa
from fastfeat.io.columns import conform
from fastfeat.io.columns.bits import array_of_values, validity_of, values_in
from fastfeat.io.columns.column import physical_chunks
from fastfeat.io.columns.keys import key_type
from fastfeat.io.columns.strings import text_chunks
from fastfeat.io.columns.types import is_read_unconverted
from fastfeat.ir.dtypes import DType
from fastfeat.steps.entries import content_column, over_entries, without_dictionary
from fastfeat.steps.step import Argument

_RUN = "hashing"


def key_hashes(
    columns: Sequence[ChunkedArray], dtypes: Sequence[DType], *, is_cross: bool, seed: int = 0
) -> Uint64Array:
    """Return the XXH64 hash of each key, `(n_rows,)`; 0 for a missing value.

    The columns are in the form of `io.columns.keys`. With `is_cross` a tag of each part's type is
    hashed too, as in the step "hash_cross".
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


def buckets(hashes: Uint64Array, n_buckets: int) -> NDArray[np.int32]:
    """Return the bucket of each hash, floor(hash * n_buckets / 2**64); n_buckets is below 2**31."""
    half, n = np.uint64(32), np.uint64(n_buckets)
    low = ((hashes & np.uint64(0xFFFFFFFF)) * n) >> half
    return (((hashes >> half) * n + low) >> half).astype(np.int32)


def _array(hashes: Uint64Array, params: Mapping[str, Any], present: Any) -> Array:
    """Return hashes, or their buckets if `params` asks for them, as an Arrow array."""
    if params["n_buckets"] is None:
        return array_of_values(hashes, present, pa.uint64())
    return array_of_values(buckets(hashes, params["n_buckets"]), present, pa.int32())


def _hash(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    def work(column: ChunkedArray) -> Array:
        run, chunks = runner(_RUN), text_chunks(column)
        found = hash_column(TEXT, chunks, run, n_parts(len(column)), seed=params["seed"])
        if not column.null_count:
            return _array(found, params, None)
        return _array(found, params, values_in(validity_of(column)))

    return over_entries(content_column(args[0]), work)


def _hash_cross(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    columns, dtypes = [a.values for a in args], [a.dtype for a in args]
    return _array(key_hashes(columns, dtypes, is_cross=True, seed=params["seed"]), params, None)


KERNELS = {"hash": _hash, "hash_cross": _hash_cross}


def _calls(
    args: Sequence[Argument], given: Sequence[DataType], params: Mapping[str, Any], entry: str
) -> StepCalls | None:
    """Return kernel calls that hash columns in a prepared call; None if a type prevents it."""
    columns = [_column(k, *one) for k, one in enumerate(zip(given, args, strict=True))]
    known = [column for column in columns if column is not None]
    if len(known) < len(columns):
        return None
    words = np.zeros(layout.N_HEADER_WORDS + layout.N_COLUMN_WORDS * len(known), np.int64)
    words[layout.N_COLUMNS] = len(known)
    words[layout.SEED] = np.uint64(params["seed"]).astype(np.int64)
    for k, (element, column) in enumerate(known):
        first = layout.N_HEADER_WORDS + layout.N_COLUMN_WORDS * k
        words[first + layout.ELEMENT] = element
        words[first + layout.OFFSET_BYTES] = max(-column.form, 0)
    hashes, scratch = MemoryRequest(8), scratch_of(layout.N_SCRATCH_WORDS)
    rooms = {layout.HASHES: hashes, layout.SCRATCH: scratch}
    places = tuple(column for _, column in known)
    call = KernelCall(written_kernel(_RUN, entry), words, places, rooms)
    validity = None if entry == "mixed" else 0
    form, n_buckets = places[0].form, params["n_buckets"]
    if n_buckets is None:
        return StepCalls((call,), hashes, 8, validity, form)
    of_buckets, codes = np.zeros(3, np.int64), MemoryRequest(4)
    of_buckets[layout.BUCKETS_N] = n_buckets
    out = {layout.BUCKETS_HASHES: hashes, layout.BUCKETS_OUT: codes}
    last = KernelCall(written_kernel(_RUN, "buckets"), of_buckets, (), out)
    return StepCalls((call, last), codes, 4, validity, form)


def _column(number: int, given: DataType, arg: Argument) -> tuple[int, KernelColumn] | None:
    """Return a column's element type, and the table words for its addresses; None if impossible."""
    form, dtype = form_of(given), arg.dtype
    is_text = dtype.holds_bytes and conform.is_accepted_text(given, dtype)
    if form is None or not (is_text or (form >= 0 and is_read_unconverted(given, dtype))):
        return None
    element = layout.IS_TEXT if is_text else ELEMENTS.index(storage(dtype))
    first = layout.N_HEADER_WORDS + layout.N_COLUMN_WORDS * number
    return element, KernelColumn(
        number,
        form,
        values=first + layout.VALUES,
        bit=first + layout.VALUE_BIT_OFFSET,
        offsets=first + layout.OFFSETS,
        validity=first + layout.VALIDITY,
        validity_bit=first + layout.BIT_OFFSET,
    )


CALLS = {"hash": partial(_calls, entry=TEXT), "hash_cross": partial(_calls, entry="mixed")}
"""Steps as calls of kernels, for columns of the given Arrow types; None if not possible."""
