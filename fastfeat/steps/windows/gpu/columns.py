"""Columns in the order of windows on a device: counts, single values and extremes of each window.

The order of windows is by entity, time, tie and input order; see `order`. A place is the position
of a row in it. A kernel reads a table of 64-bit words: addresses and parameters, by name.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.windows import cuda
from fastfeat_kernels.windows.requests import WindowBounds

from fastfeat.engine.gpu.columns.kernels import download_array, on_device, zeros_on_device
from fastfeat.engine.gpu.columns.memory import DeviceMemory, allocate_output
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.engine.storage import storage
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import DType
from fastfeat.steps.windows.gpu.kernels import NamedWords, column_words, launch, room, scan
from fastfeat.steps.windows.gpu.order import DeviceOrder

COLUMN_BYTES = 8 + 8 + 4
"""Bytes per row: its value in order, the count of values before it, the place of a value."""
BOUNDS_BYTES = 4 + 4
"""Bytes per row and window: its begin and end."""
RESULT_BYTES = 8 + 1 + 8 + 1 / 8
"""Bytes per row with a result: a word and its flag, and the same again as a column."""
EXTREME_BYTES = 8 * cuda.FAN / (cuda.FAN - 1)
"""Bytes per row: the keys of a column, and the tree above them."""


class WindowResults(NamedTuple):
    """The results of a function on the device, one for each row from the first data row on.

    Args:
        words: The results in 64 bits: floats as their bits, integers as they are, uint64 minus
            2**63.
        present: One byte per row: whether there is a result.
    """

    words: Buffer
    present: Buffer

    def table(self) -> dict[str, int]:
        """Return the words that tell a kernel where to write or read the results."""
        return {"OUT": self.words.address, "OUT_PRESENT": self.present.address}


@dataclass(slots=True)
class InOrder:
    """A column on the device, its rows in the order of windows.

    Args:
        runtime: The device.
        order: The rows in order.
        dtype: Type of the values.
        words: Words that tell kernels where the column is.
        has_infinite: Whether a value is infinite.
        owners: The device buffers that hold it.
        trees: For "min" and "max", the tree from `_tree`, made on first use.
    """

    runtime: Runtime
    order: DeviceOrder
    dtype: DType
    words: NamedWords
    has_infinite: bool
    owners: tuple[object, ...]
    trees: dict[int, Buffer]

    @property
    def element(self) -> str:
        """The name of the values' type, from `column.ELEMENTS`."""
        return storage(self.dtype)


def in_order(runtime: Runtime, order: DeviceOrder, column: NamedWords, dtype: DType) -> InOrder:
    """Return a copy of a column with its rows in the order of windows.

    `column` has the words of the column in input order, from `column_words`.
    """
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
    seen = int(download_array(runtime, state, np.int64, 1)[0]) if is_float else 0
    words = {**order.words, **made, "FIRST_ROW": order.first_row}
    return InOrder(runtime, order, dtype, words, seen != 0, (values, counts, present), {})


class Bounds(NamedTuple):
    """The window of each place on the device: the places where it begins and ends."""

    begins: Buffer
    ends: Buffer

    def table(self) -> dict[str, int]:
        """Return the words that tell a kernel where the bounds are."""
        return {"BEGINS": self.begins.address, "ENDS": self.ends.address}


def bounds_of(runtime: Runtime, order: DeviceOrder, window: WindowBounds) -> Bounds:
    """Return the places where the window of each row begins and ends."""
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
    """Return memory for `n` results, all marked missing."""
    return WindowResults(zeros_on_device(runtime, 8 * n), zeros_on_device(runtime, n))


def count_in(column: InOrder, bounds: Bounds, kind: int) -> WindowResults:
    """Return, for each window, the number of rows with a value, or of rows without one."""
    return _run(column, bounds, "window_counts", {"KIND": kind})


def pick_values(column: InOrder, bounds: Bounds, kind: int, n: int, least: int) -> WindowResults:
    """Return one value of each window: the first, the last, or the n-th latest row's.

    `kind` is the number of "first", "last" or "lag" in `windows.statistics`. The result is missing
    for fewer than `least` values.
    """
    return _run(column, bounds, "window_picks", {"KIND": kind, "N": n, "MIN_SAMPLES": least})


def time_since(
    column: InOrder, bounds: Bounds, kind: int, n: int, least: int, seconds: tuple[int, int] | None
) -> tuple[WindowResults, int | None]:
    """Return, for a column of times, the time from the value of `pick_values` to the row's own.

    `pick_values` describes the other arguments. `seconds` is the factor and the divisor from ticks
    to seconds; None for ticks. The second item is the number of the first row with a result beyond
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
    """Return a tree for fast extremes: the column's sort keys, then levels of minima over them."""
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
    """Return device memory of one word, in which kernels record the first failing row."""
    return on_device(runtime, np.array([cuda.NO_ROW], np.int64))


def first_row_of(runtime: Runtime, state: Buffer) -> int | None:
    """Return the first failing row that kernels recorded, or None.

    It is counted from the first row with a result.
    """
    row = int(download_array(runtime, state, np.int64, 1)[0])
    return None if row == cuda.NO_ROW else row


def run_over(
    column: InOrder, bounds: Bounds, subject: cuda.Subject, kernel: str, words: NamedWords
) -> WindowResults:
    """Run a kernel over all windows; return its results."""
    found = no_results(column.runtime, column.order.n_asking)
    table = {**column.words, **bounds.table(), **found.table(), **words}
    launch(column.runtime, subject, kernel, table, column.order.n_placed)
    return found


def _run(column: InOrder, bounds: Bounds, kernel: str, words: NamedWords) -> WindowResults:
    return run_over(column, bounds, "picks", kernel, words)


def column_of(runtime: Runtime, found: WindowResults, n: int, dtype: DType) -> DeviceArray:
    """Return `n` results as a column of type `dtype`."""
    is_float = storage(dtype).startswith("float")
    memory: DeviceMemory = allocate_output(runtime, dtype, max(n, 1), with_validity=not is_float)
    place = column_words(memory.as_column(), storage(dtype))
    launch(runtime, "picks", "window_results", {**place, **found.table()}, n)
    return DeviceArray(dtype, n, memory.values.address, validity=place["VALIDITY"], owner=memory)
