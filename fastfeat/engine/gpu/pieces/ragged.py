"""Compute columns with rows of different lengths (text, lists) on a device, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from numpy.typing import NDArray

from fastfeat.engine.failure import WORD_ROWS
from fastfeat.engine.gpu.pieces.pieces import room_of_pieces
from fastfeat.engine.gpu.pieces.run import on_host
from fastfeat.engine.gpu.programs.launch import settle_on_error
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.errors import OutOfDeviceMemory, counted
from fastfeat.io.arrow import Array, pa
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import DType

KEPT_SHARE = 1 / 16
"""Share of the free memory for a column that stays on the device for its readers."""
_OFFSET_BYTES = 8 + 1 / 8  # per row: its offset and its bit

SpanResultT = TypeVar("SpanResultT")


class Cost(NamedTuple):
    """The device memory that a function takes.

    Args:
        row_bytes: Bytes per row, besides its offset and its validity bit.
        unit_bytes: Bytes per byte of text, or per element of a list.
    """

    row_bytes: float
    unit_bytes: float


def over_spans(
    runtime: Runtime, offsets: Int64Array, cost: Cost, work: Callable[[int, int], SpanResultT]
) -> list[SpanResultT]:
    """Return the results of `work(first, end)`, called for ranges of rows that fit the device.

    `offsets` are the column's, and `cost` is the memory that `work` takes. Raises OutOfDeviceMemory
    if not even 64 rows fit.
    """
    return _worked(runtime, spans_of(runtime, offsets, cost), work)


def _worked(
    runtime: Runtime, spans: Sequence[tuple[int, int]], work: Callable[[int, int], SpanResultT]
) -> list[SpanResultT]:
    with settle_on_error(runtime):
        return [work(start, stop) for start, stop in spans]


def compute_column(
    runtime: Runtime,
    offsets: Int64Array,
    kind: Any,
    cost: Cost,
    work: Callable[[int, int], SpanResultT],
    brought: Callable[[SpanResultT], Array],
) -> Any:
    """Return the result of a function of a column of text or lists.

    It stays on the device if it takes a small share of the free memory there; otherwise it is an
    Arrow column.

    Args:
        offsets: Offset of each row's first byte or element, and the end, shape (n_rows + 1,).
        kind: Arrow type of the result.
        cost: Memory that `work` takes; its `row_bytes` are the bytes of the result.
        work: Computes rows [start, stop).
        brought: Copies a result to a host array.
    """
    n_rows = len(offsets) - 1
    if not n_rows:
        return pa.chunked_array([], kind)
    spans, (free, _) = spans_of(runtime, offsets, cost), runtime.memory()
    if len(spans) == 1 and n_rows * cost.row_bytes <= KEPT_SHARE * free:
        return _worked(runtime, spans, work)[0]
    return pa.chunked_array(
        _worked(runtime, spans, lambda start, stop: brought(work(start, stop))), kind
    )


def compute_values(
    runtime: Runtime,
    offsets: Int64Array,
    dtype: DType,
    cost: Cost,
    work: Callable[[int, int], DeviceArray],
) -> Any:
    """Return the result of a function with one value per row and no text; see `compute_column`."""
    return compute_column(
        runtime, offsets, arrow_type(dtype), cost, work, partial(array_on_host, runtime)
    )


def array_on_host(runtime: Runtime, made: DeviceArray) -> Array:
    """Return a column that was computed on the device as a host array."""
    return on_host(runtime, made, made.name)


def spans_of(runtime: Runtime, offsets: Int64Array, cost: Cost) -> list[tuple[int, int]]:
    """Return ranges of rows (first, end) that fit the device.

    All but the last have a multiple of 64 rows.

    Raises OutOfDeviceMemory if not even 64 rows fit.
    """
    room = runtime.computations.share() * room_of_pieces(runtime)
    spans = _spans_in(runtime, offsets, cost, room)
    can_shrink = any(stop - start > WORD_ROWS for start, stop in spans)
    runtime.computations.plan(0, can_shrink=can_shrink)
    return spans


def _spans_in(
    runtime: Runtime, offsets: Int64Array, cost: Cost, room: float
) -> list[tuple[int, int]]:
    n_rows, row_bytes = len(offsets) - 1, cost.row_bytes + _OFFSET_BYTES
    n_units = int(offsets[-1]) - int(offsets[0])
    if n_rows and n_units * cost.unit_bytes + n_rows * row_bytes <= room:
        return [(0, n_rows)]
    costs: NDArray[np.float64] = offsets * cost.unit_bytes + np.arange(n_rows + 1) * row_bytes
    spans: list[tuple[int, int]] = []
    start = 0
    while start < n_rows:
        fitting = int(np.searchsorted(costs, float(costs[start]) + room, "right")) - 1
        stop = n_rows if fitting >= n_rows else fitting // WORD_ROWS * WORD_ROWS
        if stop <= start:
            stop = min(start + WORD_ROWS, n_rows)
            _check_room(runtime, stop - start, float(costs[stop]) - float(costs[start]))
        spans.append((start, stop))
        start = stop
    return spans


def _check_room(runtime: Runtime, n_rows: int, needed: float) -> None:
    if needed > room_of_pieces(runtime):
        runtime.give_back()
    if needed > room_of_pieces(runtime):
        free, _ = runtime.memory()
        need = "needs" if n_rows == 1 else "need"
        raise OutOfDeviceMemory(
            f"{counted(n_rows, 'row')} of text or lists {need} {needed:,.0f} bytes of device "
            f"memory, and {free:,} are free. Compute fewer features at a time, or free memory"
        )
