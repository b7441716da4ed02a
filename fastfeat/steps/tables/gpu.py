"""As-of joins on a device, and values of a table at the rows that lookups and joins found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat_kernels.asof import cuda as asof_cuda
from fastfeat_kernels.gather import cuda as gather_cuda

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.engine.gpu.columns.kernels import launch_rows, on_device
from fastfeat.engine.gpu.columns.memory import DeviceColumn, word_bytes
from fastfeat.engine.gpu.pieces.pieces import pieces_of, room_of_pieces
from fastfeat.engine.gpu.pieces.ragged import array_on_host
from fastfeat.engine.gpu.programs.launch import settle_on_error
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.engine.storage import storage
from fastfeat.errors import OutOfDeviceMemory
from fastfeat.io.arrow import pa
from fastfeat.io.columns.keys import comparable, table_keys_as
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import INT64, VOCABULARY, DType
from fastfeat.steps.keys.gpu.columns import KEPT_SHARE
from fastfeat.steps.keys.gpu.vocabulary import count_keys, encode
from fastfeat.steps.keys.tasks import KeysTask
from fastfeat.steps.on_device import DeviceKernel
from fastfeat.steps.step import Argument
from fastfeat.steps.tables.rows import parts_of, rule_of
from fastfeat.steps.windows.gpu.columns import RESULT_BYTES, column_of, no_results
from fastfeat.steps.windows.gpu.kernels import column_words, room, whole_column
from fastfeat.steps.windows.gpu.order import (
    ORDER_BYTES,
    SORT_BYTES,
    DeviceEntities,
    DeviceOrder,
    sort_on_device,
    upload_times,
)

_LOOKUP_ROW_BYTES = RESULT_BYTES + 8 + 1 / 8
"""Bytes per data row: the table row that is found, and its value."""


def is_gathered(types: Sequence[DType]) -> bool:
    """Return whether the device can look up values of a table column: bools and fixed-width types.

    `types` has the type of the row numbers, then of the table's column.
    """
    dtype = types[1]
    return comparable(dtype) == dtype and not dtype.holds_bytes and not dtype.is_list


def lookup_values(
    runtime: Runtime, args: Sequence[Argument], params: Mapping[str, Any], n_rows: int
) -> Any:
    """Return the table's value for each row of the data, by the table rows that were found.

    The result stays on the device if there is room. Raises OutOfDeviceMemory if the column of the
    table, or 64 rows, do not fit.
    """
    rows, column = args
    with settle_on_error(runtime):
        held = whole_column(runtime, pa.chunked_array([column.values.array]), column.dtype)
        spans = pieces_of(runtime, _LOOKUP_ROW_BYTES, n_rows).spans
        if len(spans) == 1 and n_rows * _LOOKUP_ROW_BYTES <= KEPT_SHARE * room_of_pieces(runtime):
            return _gathered(runtime, rows.values, held, column.dtype, spans[0])
        made = [
            array_on_host(runtime, _gathered(runtime, rows.values, held, column.dtype, span))
            for span in spans
        ]
        return pa.chunked_array(made, arrow_type(column.dtype))


def _gathered(
    runtime: Runtime, rows: Any, column: DeviceColumn, dtype: DType, span: tuple[int, int]
) -> DeviceArray:
    """Return the table's values for rows `span`, (first, end), of the data."""
    start, n = span[0], span[1] - span[0]
    found = whole_column(runtime, rows.slice(start, n), INT64)
    result = no_results(runtime, n)
    if n == 0:
        return column_of(runtime, result, n, dtype)
    words = {
        **column_words(column, storage(dtype)),
        "NUMBERS": found.values,
        "NUMBERS_VALIDITY": found.validity,
        "NUMBERS_BIT": found.bit,
        "GATHERED": result.words.address,
        "PRESENT": result.present.address,
    }
    module = runtime.module(gather_cuda.text(runtime.geometry.block))
    launch_rows(runtime, module, gather_cuda.KERNEL, gather_cuda.table_words(words), 0, n)
    return column_of(runtime, result, n, dtype)


_ANY_SIZE = 1 << 62

_FIRST_KEY = 2  # codes 0 and 1 are missing and unseen keys

_CODES = {"n_unseen": 1, "missing": "key"}

_ASOF_ROW_BYTES = 4 + 8 + 8 + 1 / 8
"""Bytes per data row: code, time, and the table row that is found."""


def asof_rows(
    runtime: Runtime, args: Sequence[Argument], params: Mapping[str, Any], n_rows: int
) -> Any:
    """Return, for each row of the data, the number of the table row that was known at its moment.

    It is null if there is none; `steps.tables.rows` has the definition. Raises OutOfDeviceMemory if
    the rows do not fit the device.
    """
    time, keys, right, right_keys = parts_of(args)
    if not n_rows:
        return pa.chunked_array([], pa.int64())
    dtypes = [comparable(key.dtype) for key in keys]
    with settle_on_error(runtime):
        _check_room(runtime, len(right.values.array), n_rows)
        known = _distinct_keys(runtime, right, right_keys, dtypes) if keys else None
        table = _in_order(runtime, right, right_keys, dtypes, known)
        codes = None if known is None else _codes(runtime, known, keys, dtypes, n_rows)
        out, present = room(runtime, n_rows, 8), room(runtime, word_bytes(n_rows), 1)
        times = upload_times(runtime, time.values, time.dtype)
        words = {
            **times.words,
            **{name: table.words[name] for name in ("STARTS", "TIMES", "ROWS")},
            **asof_cuda.rule_words(rule_of(time.dtype, right.dtype, params)),
            "CODES": 0 if codes is None else codes.address,
            "FIRST_CODE": _FIRST_KEY,
            "FOUND": out.address,
            "FOUND_BITS": present.address,
        }
        module = runtime.module(asof_cuda.text(runtime.geometry.block))
        launch_rows(runtime, module, asof_cuda.KERNEL, asof_cuda.table_words(words), 0, n_rows)
        return DeviceArray(
            INT64, n_rows, out.address, validity=present.address, owner=(out, present)
        )


def _check_room(runtime: Runtime, n_right: int, n_rows: int) -> None:
    """Raise OutOfDeviceMemory, with the bytes needed, if an as-of join does not fit the device."""
    needed = n_right * (ORDER_BYTES + SORT_BYTES) + n_rows * _ASOF_ROW_BYTES
    if needed > room_of_pieces(runtime):
        runtime.give_back()
    if needed > room_of_pieces(runtime):
        free, _ = runtime.memory()
        raise OutOfDeviceMemory(
            f"an as-of join of {n_rows:,} rows with a table of {n_right:,} needs {needed:,.0f} "
            f"bytes of device memory, and {free:,} are free. Use backend='cpu', transform fewer "
            "rows at a time, or free memory"
        )


def _distinct_keys(
    runtime: Runtime, right: Argument, keys: Sequence[Argument], dtypes: Sequence[DType]
) -> Vocabulary:
    """Return the distinct keys of a table as a vocabulary, cached."""
    name = ("keys of an as-of join", tuple(key.values.name for key in keys), tuple(dtypes))
    found: Vocabulary | None = right.values.cache.get(name)
    if found is None:
        counted = count_keys(runtime, KeysTask(_parts(keys, dtypes), dtypes, "key", _ANY_SIZE))
        found = Vocabulary(counted.parts, counted.counts, counted.n_missing)
        right.values.cache[name] = found
    return found


def _parts(keys: Sequence[Argument], dtypes: Sequence[DType]) -> list[Any]:
    """Return the keys of a table, converted to the key types of the data."""
    return table_keys_as([key.values.array for key in keys], [key.dtype for key in keys], dtypes)


def _in_order(
    runtime: Runtime,
    right: Argument,
    keys: Sequence[Argument],
    dtypes: Sequence[DType],
    known: Vocabulary | None,
) -> DeviceOrder:
    """Return the rows of a table sorted by key and time; rows of equal times keep their order."""
    n = len(right.values.array)
    entities = DeviceEntities(None, 0, 1)
    if known is not None:
        parts = [
            Argument(part, dtype) for part, dtype in zip(_parts(keys, dtypes), dtypes, strict=True)
        ]
        codes = _codes(runtime, known, parts, dtypes, n)
        entities = DeviceEntities(codes, _FIRST_KEY, len(known))
    return sort_on_device(
        runtime, n, upload_times(runtime, right.values.array, right.dtype), entities
    )


def _codes(
    runtime: Runtime,
    known: Vocabulary,
    keys: Sequence[Argument],
    dtypes: Sequence[DType],
    n_rows: int,
) -> Buffer:
    """Return the code of each row's key in the vocabulary `known`, as int32 on the device."""
    parts = [replace(key, dtype=dtype) for key, dtype in zip(keys, dtypes, strict=True)]
    codes = encode(runtime, [*parts, Argument(known, VOCABULARY)], _CODES, n_rows)
    if isinstance(codes, DeviceArray):
        return runtime.adopt(codes.values, 4 * n_rows, codes.owner)
    whole = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    return on_device(runtime, whole.to_numpy(zero_copy_only=False))


KERNELS = {
    "asof_row": DeviceKernel(asof_rows),
    "lookup_value": DeviceKernel(lookup_values, is_gathered),
}
"""The steps of tables that run on the device; the others run on the host."""
