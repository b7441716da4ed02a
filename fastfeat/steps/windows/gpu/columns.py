"""Columns in the order of windows on a device: counts, picks and extremes of each window."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from fastfeat_kernels.windows import cuda
from fastfeat_kernels.windows.requests import Window

from fastfeat.engine.gpu.columns.kernels import downloaded, on_device, zeros_on_device
from fastfeat.engine.gpu.columns.memory import DeviceMemory, allocate_output
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.engine.storage import storage
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import DType
from fastfeat.steps.windows.gpu.kernels import Words, column_words, launch, room, scan
from fastfeat.steps.windows.gpu.order import Order

COLUMN_BYTES = 8 + 8 + 4
"""Bytes per row: its value in order, the count of values before it, the place of a value."""
BOUNDS_BYTES = 4 + 4
"""Bytes per row and window: its begin and end."""
RESULT_BYTES = 8 + 1 + 8 + 1 / 8
"""Bytes per row with a result: a word and its flag, and the same again as a column."""
EXTREME_BYTES = 8 * cuda.FAN / (cuda.FAN - 1)
"""Bytes per row: the keys of a column, and the tree above them."""


class WindowResults(NamedTuple):
    """One result for each row from the first data row on.

    Args:
        words: Floats as their bits, integers as they are, uint64 minus 2**63.
        present: One byte per row: whether there is a result.
    """

    words: Buffer
    present: Buffer

    def table(self) -> dict[str, int]:
        """Return the words for a kernel that writes or reads the results."""
        return {"OUT": self.words.address, "OUT_PRESENT": self.present.address}


@dataclass(slots=True)
class InOrder:
    """A column in the order of windows.

    Args:
        runtime: The device.
        order: The rows in order.
        dtype: Type of the values.
        words: Words of the tables of kernels that read it.
        has_infinite: Whether a value is infinite.
        owners: The buffers.
        trees: Trees of least keys, by kind, filled on first use.
    """

    runtime: Runtime
    order: Order
    dtype: DType
    words: Words
    has_infinite: bool
    owners: tuple[object, ...]
    trees: dict[int, Buffer]

    @property
    def element(self) -> str:
        """The type of the values, from `column.ELEMENTS`."""
        return storage(self.dtype)


def in_order(runtime: Runtime, order: Order, column: Words, dtype: DType) -> InOrder:
    """Return a column in the order of windows; `column` has its words, from `column_words`."""
    n = order.n_placed
    values, counts, present = room(runtime, n, 8), room(runtime, n + 1, 8), room(runtime, n, 4)
    state = zeros_on_device(runtime, 8)
    made = {
        "WORDS": values.address,
        "COUNTS": counts.address,
        "PRESENT": present.address,
        "ELEMENT": column["ELEMENT"],
    }
    table = {**order.words, **column, **made, "STATE": state.address}
    launch(runtime, "picks", "window_values", table, n)
    scan(runtime, counts, n)
    launch(runtime, "picks", "window_present", table, n)
    is_float = storage(dtype).startswith("float")
    seen = int(downloaded(runtime, state, np.int64, 1)[0]) if is_float else 0
    words = {**order.words, **made, "FIRST_ROW": order.first_row}
    return InOrder(runtime, order, dtype, words, seen != 0, (values, counts, present), {})


class Bounds(NamedTuple):
    """Begin and end of the window of each place."""

    begins: Buffer
    ends: Buffer

    def table(self) -> dict[str, int]:
        """Return the words for a kernel that reads the bounds."""
        return {"BEGINS": self.begins.address, "ENDS": self.ends.address}


def bounds_of(runtime: Runtime, order: Order, window: Window) -> Bounds:
    """Return begin and end of the window of each place."""
    n = order.n_placed
    bounds = Bounds(room(runtime, n, 4), room(runtime, n, 4))
    words = {
        **order.words,
        **bounds.table(),
        "LOW": window.low,
        "HIGH": window.high,
        "OWN": int(window.own),
        "WINDOW_ROWS": window.rows,
    }
    launch(runtime, "picks", "window_bounds", words, n)
    return bounds


def no_results(runtime: Runtime, n: int) -> WindowResults:
    """Return room for `n` results, all marked missing."""
    return WindowResults(zeros_on_device(runtime, 8 * n), zeros_on_device(runtime, n))


def count_in(column: InOrder, bounds: Bounds, kind: int) -> WindowResults:
    """Return the number of values, or of missing ones, in each window."""
    return _run(column, bounds, "window_counts", {"KIND": kind})


def picked(column: InOrder, bounds: Bounds, kind: int, n: int, least: int) -> WindowResults:
    """Return the first or last value of each window, or the value of the n-th latest row.

    `kind` is the number of "first", "last" or "lag" in `windows.statistics`. The result is missing
    for fewer than `least` values.
    """
    return _run(column, bounds, "window_picks", {"KIND": kind, "N": n, "MIN_SAMPLES": least})


def since(
    column: InOrder, bounds: Bounds, kind: int, n: int, least: int, seconds: tuple[int, int] | None
) -> tuple[WindowResults, int | None]:
    """Return the time from the picked time to the row's own time, for a column of times.

    `picked` describes the other arguments. `seconds` is the factor and the divisor from ticks to
    seconds; None for ticks. The second item is the number of the first row with a result beyond
    int64, or None.
    """
    factor, parts = seconds or (1, 0)
    words = {"KIND": kind, "N": n, "MIN_SAMPLES": least, "FACTOR": factor, "PARTS": parts}
    state = first_row_state(column.runtime)
    found = _run(column, bounds, "window_since", {**words, "STATE": state.address})
    return found, None if seconds else first_row_of(column.runtime, state)


def extremes(column: InOrder, bounds: Bounds, kind: int, least: int) -> WindowResults:
    """Return the least or greatest value of each window, missing for fewer than `least` values.

    `kind` is the number of "min" or "max" in `windows.statistics`.
    """
    if kind not in column.trees:
        column.trees[kind] = _tree(column, kind)
    data = column.trees[kind].address
    words = {"KIND": kind, "MIN_SAMPLES": least, "DATA": data}
    return _run(column, bounds, "window_extremes", words)


def _tree(column: InOrder, kind: int) -> Buffer:
    """Return the keys of a column, then levels of least keys of each `cuda.FAN`, up to one key."""
    runtime, sizes = column.runtime, cuda.level_sizes(column.order.n_placed)
    tree = room(runtime, sum(sizes), 8)
    words = {**column.words, "KIND": kind, "DATA": tree.address}
    launch(runtime, "picks", "extreme_keys", words, sizes[0])
    at = tree.address
    for below, n in pairwise(sizes):
        words = {"DATA": at, "TOTALS": at + 8 * below, "N_ROWS": below}
        launch(runtime, "picks", "extreme_level", words, n)
        at += 8 * below
    return tree


def first_row_state(runtime: Runtime) -> Buffer:
    """Return a word for kernels to store the first failing row."""
    return on_device(runtime, np.array([cuda.NO_ROW], np.int64))


def first_row_of(runtime: Runtime, state: Buffer) -> int | None:
    """Return the first failing row, counted from the first row with a result, or None."""
    row = int(downloaded(runtime, state, np.int64, 1)[0])
    return None if row == cuda.NO_ROW else row


def run_over(
    column: InOrder, bounds: Bounds, subject: cuda.Subject, kernel: str, words: Words
) -> WindowResults:
    """Return the results of a kernel for each window."""
    found = no_results(column.runtime, column.order.n_asking)
    table = {**column.words, **bounds.table(), **found.table(), **words}
    launch(column.runtime, subject, kernel, table, column.order.n_placed)
    return found


def _run(column: InOrder, bounds: Bounds, kernel: str, words: Words) -> WindowResults:
    return run_over(column, bounds, "picks", kernel, words)


def column_of(runtime: Runtime, found: WindowResults, n: int, dtype: DType) -> DeviceArray:
    """Return `n` results as a column of `dtype`."""
    is_float = storage(dtype).startswith("float")
    memory: DeviceMemory = allocate_output(runtime, dtype, max(n, 1), with_validity=not is_float)
    place = column_words(memory.as_column(), storage(dtype))
    launch(runtime, "picks", "window_results", {**place, **found.table()}, n)
    return DeviceArray(dtype, n, memory.values.address, validity=place["VALIDITY"], owner=memory)
