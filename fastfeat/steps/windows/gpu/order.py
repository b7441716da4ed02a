"""Rows in the order of windows, on a device: sorted by entity, time, tie column and input order.

An entity is all rows with one key. Rows before `first_row` are history, which windows see but which
gets no results. The place of a row is its position in the order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.windows import cuda

from fastfeat.engine.gpu.columns.kernels import download_array, on_device, zeros_on_device
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.engine.storage import storage
from fastfeat.io.columns.times import ticks_column
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import FLOAT64, INT64, UINT64, DType
from fastfeat.steps.keys.gpu.distinct_keys import numbers_of_keys
from fastfeat.steps.windows.gpu.kernels import (
    NamedWords,
    column_words,
    launch,
    launch_tiles,
    room,
    scan,
    whole_column,
)
from fastfeat.steps.windows.rows import HistoryOverlaps, RowOrder

_ORDER = "order on a device"

ORDER_BYTES = 4 + 8 + 4
"""Bytes per row while its windows exist: its number, time and entity in order."""
SORT_BYTES = 2 * (4 + 8) + 8 + 8 + 4 + 1
"""Bytes per row during sorting: row and key twice, time, tie, entity, counts of digits."""


class DeviceOrder(NamedTuple):
    """Rows in the order of windows, on a device.

    Args:
        n_placed: Number of rows with an entity and a time; they come first.
        n_entities: Number of entities.
        first_row: Number of the first row with a result, in input order; earlier rows are history.
        n_asking: Number of rows with a result.
        words: Words that tell kernels where the order is.
        owners: The device buffers that hold it.
    """

    n_placed: int
    n_entities: int
    first_row: int
    n_asking: int
    words: NamedWords
    owners: tuple[object, ...]


class _Rows(NamedTuple):
    """Row numbers with their sort keys, and two spare buffers for the result of a sort."""

    rows: Buffer
    keys: Buffer
    other_rows: Buffer
    other_keys: Buffer

    def turned(self) -> _Rows:
        """Return the rows with both pairs of buffers swapped, after a sort into the spare pair."""
        return _Rows(self.other_rows, self.other_keys, self.rows, self.keys)


class DeviceEntities(NamedTuple):
    """The entity of each row, on a device.

    Args:
        codes: The code of each row's key, int32; None if all rows belong to one entity.
        first_code: Code of entity 0; a row with a lower code has no entity.
        n_entities: Number of entities.
    """

    codes: Buffer | None
    first_code: int
    n_entities: int


def order_of(runtime: Runtime, past: RowOrder, first_row: int) -> DeviceOrder:
    """Return the rows of `past`, sorted in the order of windows.

    Raises HistoryOverlaps if a history row is later than a data row of its entity, and
    OutOfDeviceMemory.
    """
    order, n = _whole_order(runtime, past), len(past.times)
    order = order._replace(first_row=first_row, n_asking=n - first_row)
    if first_row and not past.is_mixed:
        _check_history(runtime, order)
    return order


def n_tied(runtime: Runtime, past: RowOrder, first_row: int) -> int:
    """Return the number of rows that share their time with another row of their entity.

    Only this number is copied from the device. Raises OutOfDeviceMemory if the rows do not fit.
    """
    order = _whole_order(runtime, past)
    state = zeros_on_device(runtime, 8)
    words = {**order.words, "STATE": state.address, "FIRST_ROW": first_row}
    launch(runtime, "order", "order_tied", words, order.n_placed)
    return int(download_array(runtime, state, np.int64, 1)[0])


def is_kept(runtime: Runtime, past: RowOrder) -> bool:
    """Return whether the sorted rows of an earlier task are still cached on the device."""
    known = None if past.cache is None else past.cache.get(_ORDER)
    return known is not None and known[0] is runtime


def _whole_order(runtime: Runtime, past: RowOrder) -> DeviceOrder:
    """Return all rows sorted in the order of windows, history or not; cached in `past.cache`."""
    if past.cache is not None and is_kept(runtime, past):
        return past.cache[_ORDER][1]
    entities = DeviceEntities(None, 0, 1)
    if past.keys:
        codes, n_entities = numbers_of_keys(runtime, past.keys, past.key_dtypes)
        entities = DeviceEntities(codes, 0, n_entities)
    tie = None if past.tie is None else _tie(runtime, past)
    n, times = len(past.times), upload_times(runtime, past.times, past.dtype)
    order = sort_on_device(runtime, n, times, entities, tie)
    if past.cache is not None:
        past.cache[_ORDER] = runtime, order
    return order


class PlacedColumn(NamedTuple):
    """A column on a device: the words that kernels read, and the owner of its memory."""

    words: NamedWords
    owner: object


def sort_on_device(
    runtime: Runtime,
    n: int,
    times: PlacedColumn,
    entities: DeviceEntities,
    tie: PlacedColumn | None = None,
) -> DeviceOrder:
    """Return the rows sorted by entity, time, tie (if any) and input order.

    Rows without a time or an entity come last, and are in no window.
    """
    made = [room(runtime, n, width) for width in (4, 8, 4, 8)]
    rows = _Rows(*made)
    launch(runtime, "order", "sort_begin", {"ROWS": rows.rows.address}, n)
    if tie is not None:
        for kind in (cuda.KEY_VALUE, cuda.KEY_PRESENT):
            rows = _sorted(runtime, rows, {**tie.words, "KIND": kind}, n)
    rows = _sorted(runtime, rows, {**times.words, "KIND": cuda.KEY_VALUE}, n)
    by_entity = {
        **times.words,
        "KIND": cuda.KEY_ENTITY,
        "CODES": 0 if entities.codes is None else entities.codes.address,
        "FIRST_CODE": entities.first_code,
        "N_ENTITIES": entities.n_entities,
    }
    rows = _sorted(runtime, rows, by_entity, n)
    return _placed(runtime, rows, times.words, entities.n_entities, n)


def upload_times(runtime: Runtime, times: Any, dtype: DType) -> PlacedColumn:
    """Return a column of times, or whole numbers, on the device, copied there if necessary."""
    if isinstance(times, DeviceArray):
        column, element = whole_column(runtime, times, dtype), storage(dtype)
    else:
        column, element = whole_column(runtime, ticks_column(times, dtype), INT64), "int64"
    return PlacedColumn(column_words(column, element), column)


def _tie(runtime: Runtime, past: RowOrder) -> PlacedColumn:
    dtype = _tie_dtype(past)
    column = whole_column(runtime, past.tie, dtype)
    return PlacedColumn(column_words(column, storage(dtype)), column)


def _tie_dtype(past: RowOrder) -> DType:
    """Return the type of stored tie values: their own on a device, the type of keys on the host."""
    if isinstance(past.tie, DeviceArray):
        return past.tie.dtype
    return {"double": FLOAT64, "uint64": UINT64}.get(str(past.tie.type), INT64)


def _sorted(runtime: Runtime, rows: _Rows, words: NamedWords, n: int) -> _Rows:
    """Return rows sorted by a key, with the keys; the sort is stable.

    Nothing moves if they are sorted already, which is common for rows in the order of time.
    """
    state = zeros_on_device(runtime, 24)
    places = {"ROWS": rows.rows.address, "KEYS": rows.keys.address, "STATE": state.address}
    launch(runtime, "order", "sort_keys", {**words, **places}, n)
    some_set, some_unset, is_unsorted = download_array(runtime, state, np.uint64, 3).tolist()
    if not is_unsorted:
        return rows
    n_counts = cuda.N_DIGITS * -(-n // cuda.tile_of(runtime.geometry.block))
    counts = room(runtime, n_counts + 1, 8)
    for shift in cuda.digit_shifts(some_set & some_unset):
        table = {
            "SHIFT": shift,
            "ROWS": rows.rows.address,
            "KEYS": rows.keys.address,
            "ROWS_OUT": rows.other_rows.address,
            "KEYS_OUT": rows.other_keys.address,
            "COUNTS": counts.address,
        }
        launch_tiles(runtime, "order", "sort_count", table, n)
        scan(runtime, counts, n_counts)
        launch_tiles(runtime, "order", "sort_move", table, n)
        rows = rows.turned()
    return rows


def _placed(
    runtime: Runtime, rows: _Rows, times: NamedWords, n_entities: int, n: int
) -> DeviceOrder:
    """Return the order of rows that are sorted already; their sort keys must be entity numbers."""
    starts = room(runtime, n_entities + 1, 8)
    words = {"KEYS": rows.keys.address, "STARTS": starts.address, "N_ROWS": n}
    launch(runtime, "order", "order_starts", words, n_entities + 1)
    end = np.zeros(1, np.int64)
    mark = runtime.mark()
    runtime.download(starts, end, 8 * n_entities, after=mark)
    runtime.finish(mark)
    n_placed = int(end[0])
    entities, ticks = room(runtime, n_placed, 4), room(runtime, n_placed, 8)
    made = {
        "ROWS": rows.rows.address,
        "ENTITIES": entities.address,
        "TIMES": ticks.address,
        "STARTS": starts.address,
    }
    table = {**times, **made, "KEYS": rows.keys.address}
    launch(runtime, "order", "order_places", table, n_placed)
    return DeviceOrder(n_placed, n_entities, 0, n, made, (rows.rows, entities, ticks, starts))


def _check_history(runtime: Runtime, order: DeviceOrder) -> None:
    """Raise HistoryOverlaps if a history row is later than a data row of its entity."""
    begins = zeros_on_device(runtime, 8 * order.n_entities)
    state = on_device(runtime, np.array([cuda.NO_ROW], np.int64))
    words = {
        **order.words,
        "DATA": begins.address,
        "STATE": state.address,
        "FIRST_ROW": order.first_row,
    }
    for kernel in ("order_asking", "order_late"):
        launch(runtime, "order", kernel, words, order.n_placed)
    row = int(download_array(runtime, state, np.int64, 1)[0])
    if row != cuda.NO_ROW:
        raise HistoryOverlaps(row)
