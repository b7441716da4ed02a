"""Distinct keys of rows on a device: first row and count of each key, and each row's key number.

Rows that do not fit the device are counted in pieces (ranges of rows); then the distinct keys of
all pieces are counted together. Kernels put keys into a hash table: an array of slots, of which
each holds the number of a row with the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary import cuda

from fastfeat.engine.gpu.columns.kernels import (
    download_array,
    launch_rows,
    on_device,
    zeros_on_device,
)
from fastfeat.engine.gpu.pieces.pieces import DevicePieces, pieces_of
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.errors import OutOfDeviceMemory
from fastfeat.io.arrow import Array, call, cast, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.keys import key_type
from fastfeat.ir.dtypes import DType
from fastfeat.steps.entries import without_dictionary
from fastfeat.steps.keys.gpu.columns import KeyRows, key_rows, row_bytes

FIRST_KEYS = 1 << 15
"""Number of keys that the first table has room for."""
GROWTH = 16
ROWS_PER_THREAD = 16
"""Rows per thread of the counting kernel: each block adds its counts to the whole at its end."""
_TABLE_BYTES = 4 + 4 * 16 + 4 * 8
"""Bytes per row, at most: the number of its key, four slots with counts, and the key itself.

A table needs up to four slots per row if the keys of all rows differ.
"""


@dataclass(frozen=True, slots=True)
class Distinct:
    """The distinct keys of some rows, in arbitrary order.

    Args:
        parts: An Arrow array for each part of a key, stored as keys are, null if missing.
        counts: Number of rows of each key, shape (n_keys,).
        n_missing: Number of rows without a key.
        rows: Key number of each row, -1 for a row without a key; on the device if all rows fitted.
    """

    parts: tuple[Array, ...]
    counts: Int64Array
    n_missing: int
    rows: Buffer | Int32Array


@dataclass(frozen=True, slots=True)
class _PieceKeys:
    """Distinct keys of a piece: first row and count of each key, and each row's key number."""

    firsts: Int64Array
    counts: Int64Array
    rows: Buffer


def distinct(
    runtime: Runtime, columns: Sequence[Any], dtypes: Sequence[DType], missing: str
) -> Distinct:
    """Return the distinct keys of some rows with their counts; for `columns` see `key_rows`.

    `missing` is "key" if one missing part makes the key missing, "value" if it is a value. Raises
    OutOfDeviceMemory if not even 64 rows fit, or the distinct keys of all pieces do not.
    """
    n_rows = len(columns[0])
    pieces = _pieces(runtime, columns, dtypes, n_rows)
    if len(pieces.spans) < 2:
        return _of_rows(runtime, columns, dtypes, missing, (0, n_rows), None)
    found: list[Distinct] = []
    rows = np.empty(n_rows, np.int32)
    n_before = 0
    for start, stop in pieces.spans:
        one = _of_rows(runtime, columns, dtypes, missing, (start, stop), None)
        rows[start:stop] = numbers_in_host(runtime, one.rows, stop - start)
        rows[start:stop][rows[start:stop] >= 0] += np.int32(n_before)
        n_before += len(one.counts)
        found.append(Distinct(one.parts, one.counts, one.n_missing, np.zeros(0, np.int32)))
    return _together(runtime, found, dtypes, missing, rows)


def numbers_of_keys(
    runtime: Runtime, columns: Sequence[Any], dtypes: Sequence[DType]
) -> tuple[Buffer, int]:
    """Return the number of each row's key as int32 on the device, and the number of keys.

    Keys are numbered in arbitrary order; a row with a missing part has -1. There is at least one
    column. Raises OutOfDeviceMemory if not even 64 rows fit, or the distinct keys of all pieces do
    not.
    """
    n_rows, pairs = len(columns[0]), zip(columns, dtypes, strict=True)
    if len(_pieces(runtime, columns, dtypes, n_rows).spans) < 2:
        placed = [key_rows(runtime, column, dtype, 0, n_rows) for column, dtype in pairs]
        one = _find(runtime, placed, "key", n_rows, None)
        return one.rows, len(one.firsts)
    found = distinct(runtime, columns, dtypes, "key")
    rows = numbers_in_host(runtime, found.rows, n_rows)
    return on_device(runtime, rows), len(found.counts)


def n_distinct(
    runtime: Runtime, columns: Sequence[Any], dtypes: Sequence[DType], missing: str
) -> int:
    """Return the number of distinct keys of some rows. Only one number is copied from the device.

    There is at least one column. Raises OutOfDeviceMemory if a hash table for all rows, 16 to 32
    bytes per row, does not fit.
    """
    n_rows = len(columns[0])
    if n_rows > cuda.MOST_ROWS:
        raise OutOfDeviceMemory(
            f"the distinct keys of {n_rows:,} rows must be counted at once, but a device can count "
            f"keys of at most {cuda.MOST_ROWS:,} rows. Use backend='cpu'"
        )
    pairs = zip(columns, dtypes, strict=True)
    placed = [key_rows(runtime, column, dtype, 0, n_rows) for column, dtype in pairs]
    n_slots = cuda.n_slots_for(n_rows)
    slots, state = (zeros_on_device(runtime, 8 * n) for n in (n_slots, cuda.N_STATE_WORDS))
    words = cuda.KeyTable(
        len(placed),
        missing_word(missing),
        slots=slots.address,
        n_slots=n_slots,
        state=state.address,
        limit=n_slots // 2,
    )
    launch(runtime, "insert_keys", words.words(), placed, n_rows, ROWS_PER_THREAD)
    return int(download_array(runtime, state, np.int64, cuda.N_STATE_WORDS)[0])


def _pieces(
    runtime: Runtime, columns: Sequence[Any], dtypes: Sequence[DType], n_rows: int
) -> DevicePieces:
    """Return the pieces to process rows in, so that rows and hash table fit the device."""
    pairs = zip(columns, dtypes, strict=True)
    n_bytes = _TABLE_BYTES + sum(row_bytes(column, dtype) for column, dtype in pairs)
    return pieces_of(runtime, n_bytes, n_rows, most_bytes=n_bytes * cuda.MOST_ROWS)


def _together(
    runtime: Runtime,
    found: Sequence[Distinct],
    dtypes: Sequence[DType],
    missing: str,
    rows: Int32Array,
) -> Distinct:
    """Return the distinct keys of all rows, from the distinct keys of each piece.

    `rows` has the key number of each row, counted through all pieces; -1 for a row without a key.
    """
    columns = [pa.chunked_array([*parts]) for parts in zip(*(f.parts for f in found), strict=True)]
    counts = np.concatenate([one.counts for one in found])
    n_keys = len(counts)
    if len(_pieces(runtime, columns, dtypes, n_keys).spans) > 1:
        raise OutOfDeviceMemory(
            f"{n_keys:,} distinct keys do not fit in device memory at once. Use backend='cpu', "
            "free memory, or reduce the number of distinct keys"
        )
    whole = _of_rows(runtime, columns, dtypes, missing, (0, n_keys), counts)
    of_keys = np.append(numbers_in_host(runtime, whole.rows, n_keys), np.int32(-1))
    n_missing = sum(one.n_missing for one in found)
    return Distinct(whole.parts, whole.counts, n_missing, of_keys[rows])


def _of_rows(
    runtime: Runtime,
    columns: Sequence[Any],
    dtypes: Sequence[DType],
    missing: str,
    span: tuple[int, int],
    weights: Int64Array | None,
) -> Distinct:
    """Return the distinct keys of the rows in `span`, (start, end), which fit the device.

    `weights` says how often each row counts; None means once.
    """
    start, n = span[0], span[1] - span[0]
    pairs = [*zip(columns, dtypes, strict=True)]
    placed = [key_rows(runtime, column, dtype, start, n) for column, dtype in pairs]
    found = _find(runtime, placed, missing, n, weights)
    parts = tuple(
        _at_rows(runtime, column, dtype, rows, start, n, found.firsts)
        for (column, dtype), rows in zip(pairs, placed, strict=True)
    )
    n_counted = n if weights is None else int(weights.sum())
    return Distinct(parts, found.counts, n_counted - int(found.counts.sum()), found.rows)


@dataclass(frozen=True, slots=True)
class _Table:
    """A hash table with the keys of a piece, and the words that describe it to kernels."""

    n_keys: int
    words: cuda.KeyTable
    owners: tuple[Buffer, ...]


def _find(
    runtime: Runtime, columns: Sequence[KeyRows], missing: str, n: int, weights: Int64Array | None
) -> _PieceKeys:
    """Return the distinct keys of a piece; its hash table is enlarged until they fit."""
    rows = runtime.allocate(max(4 * n, 8))
    held = None if weights is None else on_device(runtime, weights)
    weighed = 0 if held is None else held.address
    empty = cuda.KeyTable(len(columns), missing_word(missing), weights=weighed, rows=rows.address)
    n_slots, table = cuda.n_slots_for(min(n, FIRST_KEYS)), None
    while table is None:
        table = _insert(runtime, columns, empty, n, n_slots)
        n_slots = min(GROWTH * n_slots, cuda.n_slots_for(n))
    firsts, totals = (runtime.allocate(max(8 * table.n_keys, 8)) for _ in range(2))
    words = replace(table.words, firsts=firsts.address, totals=totals.address).words()
    launch(runtime, "collect_keys", words, columns, table.words.n_slots)
    launch(runtime, "number_keys", words, columns, n)
    first_rows, counts = (
        download_array(runtime, b, np.int64, table.n_keys) for b in (firsts, totals)
    )
    return _PieceKeys(first_rows, counts, rows)


def _insert(
    runtime: Runtime, columns: Sequence[KeyRows], empty: cuda.KeyTable, n: int, n_slots: int
) -> _Table | None:
    """Return a hash table of the keys of a piece; None if they fill over half of the slots."""
    slots, counts = (zeros_on_device(runtime, 8 * n_slots) for _ in range(2))
    state = zeros_on_device(runtime, 8 * cuda.N_STATE_WORDS)
    words = replace(
        empty,
        slots=slots.address,
        n_slots=n_slots,
        state=state.address,
        limit=n_slots // 2,
        counts=counts.address,
    )
    launch(runtime, "insert_keys", words.words(), columns, n, ROWS_PER_THREAD)
    n_keys, is_full, _ = download_array(runtime, state, np.int64, cuda.N_STATE_WORDS).tolist()
    return None if is_full else _Table(n_keys, words, (slots, counts, state))


def _at_rows(
    runtime: Runtime,
    column: Any,
    dtype: DType,
    placed: KeyRows,
    start: int,
    n: int,
    rows: Int64Array,
) -> Array:
    """Return the values of a column in some rows of a piece, as a host array of keys."""
    wanted = key_type(dtype)
    if dtype.holds_bytes:
        taken = call("take", column.slice(start, n), pa.array(rows, pa.int64()))
        chunks = [cast(chunk, wanted) for chunk in without_dictionary(taken).chunks]
        return pa.concat_arrays(chunks) if chunks else pa.array([], wanted)
    n_keys, places = len(rows), on_device(runtime, rows)
    words, present = (runtime.allocate(max(8 * n_keys, 8)) for _ in range(2))
    table = cuda.KeyTable(1, firsts=places.address, totals=words.address, rows=present.address)
    launch(runtime, "take_numbers", table.words(), [placed], n_keys)
    values = download_array(runtime, words, np.dtype(wanted.to_pandas_dtype()), n_keys)
    flags = download_array(runtime, present, np.bool_, n_keys)
    return array_of_values(values, flags, wanted)


def missing_word(missing: str) -> int:
    """Return the number that tells kernels how to treat missing parts: "key" or "value"."""
    return cuda.MISSING_IS_NO_KEY if missing == "key" else cuda.MISSING_IS_A_PART


def launch(
    runtime: Runtime,
    kernel: str,
    words: Sequence[int],
    columns: Sequence[KeyRows],
    n: int,
    rows_per_thread: int = 1,
) -> None:
    """Run a kernel of `vocabulary.cu` over `n` rows; it reads `words`, then the columns' words."""
    behind = [word for column in columns for word in column.words()]
    module, table = runtime.module(cuda.text(runtime.geometry.block)), [*words, *behind]
    launch_rows(runtime, module, kernel, np.array(table, np.int64), 0, n, rows_per_thread)


def numbers_in_host(runtime: Runtime, rows: Buffer | Int32Array, n: int) -> Int32Array:
    """Return the key number of each row as a host array, copied from the device if necessary."""
    return download_array(runtime, rows, np.int32, n) if isinstance(rows, Buffer) else rows
