"""Sums, means and variances of windows on a device, from exact prefix sums."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from fastfeat_kernels.windows import cuda

from fastfeat.engine.gpu.columns.kernels import download_array, zeros_on_device
from fastfeat.engine.gpu.runtime import Buffer
from fastfeat.steps.windows.gpu.columns import (
    Bounds,
    InOrder,
    WindowResults,
    first_row_of,
    first_row_state,
    run_over,
)
from fastfeat.steps.windows.gpu.kernels import launch, room, scan

SUM_BYTES = 8 * (cuda.SUM_WORDS + 1)
"""Bytes per row: the sum of the values before it, and the count of infinite ones."""
SQUARE_BYTES = 8 * cuda.SQUARE_WORDS


class PrefixSums(NamedTuple):
    """Prefix sums of a column: for each row in order, the exact sum of the values before it.

    Args:
        words: Words that tell kernels where the sums are.
        has_squares: Whether the sums of squares are included.
        owners: The buffers.
    """

    words: dict[str, int]
    has_squares: bool
    owners: tuple[Buffer, ...]


def sums_of(column: InOrder, *, with_squares: bool) -> PrefixSums | None:
    """Return the prefix sums of a column; None if values of one entity lie too far apart."""
    runtime, n = column.runtime, column.order.n_placed
    words: dict[str, int] = {}
    owners: list[Buffer] = []
    if column.element.startswith("float"):
        ends = zeros_on_device(runtime, 16 * column.order.n_entities)
        words["SUM_ENDS"] = ends.address
        owners.append(ends)
        if not _fits(column, ends, with_squares=with_squares):
            return None
    parts = [("sum_values", "SUMS", cuda.SUM_WORDS)]
    if with_squares:
        parts.append(("sum_squares", "SQUARES", cuda.SQUARE_WORDS))
    if column.has_infinite:
        parts.append(("sum_infinite", "INFINITE", 1))
    for kernel, name, width in parts:
        data = room(runtime, n + 1, 8 * width)
        words[name] = data.address
        owners.append(data)
        launch(runtime, "sums", kernel, {**column.words, **words}, n)
        scan(runtime, data, n, width)
    return PrefixSums(words, with_squares, tuple(owners))


def _fits(column: InOrder, ends: Buffer, *, with_squares: bool) -> bool:
    """Return whether the integers for prefix sums are wide enough for each entity's values."""
    runtime, state = column.runtime, zeros_on_device(column.runtime, 16)
    words = {**column.words, "SUM_ENDS": ends.address, "STATE": state.address}
    launch(runtime, "sums", "sum_ends", words, column.order.n_placed)
    launch(runtime, "sums", "sum_reach", words, column.order.n_entities)
    n_sum_bits, n_square_bits = download_array(runtime, state, np.int64, 2).tolist()
    fits = n_sum_bits <= cuda.SUM_BITS
    return fits and (not with_squares or n_square_bits <= cuda.SQUARE_BITS)


def integer_sums(
    column: InOrder, sums: PrefixSums, bounds: Bounds, least: int
) -> tuple[WindowResults, int | None]:
    """Return the sum of integers in each window, missing for fewer than `least` values.

    The second item is the number of the first result row with a sum beyond int64, or None.
    """
    state = first_row_state(column.runtime)
    words = {**sums.words, "MIN_SAMPLES": least, "STATE": state.address}
    found = run_over(column, bounds, "sums", "window_integer_sums", words)
    return found, first_row_of(column.runtime, state)


def whole_means(column: InOrder, sums: PrefixSums, bounds: Bounds, least: int) -> WindowResults:
    """Return the truncated mean of integers in each window; missing below `least` values."""
    words = {**sums.words, "MIN_SAMPLES": least}
    return run_over(column, bounds, "sums", "window_whole_means", words)


def levels(
    column: InOrder, sums: PrefixSums, bounds: Bounds, kind: int, least: int
) -> WindowResults:
    """Return the sum of floats in each window, or the mean of numbers, missing if too few values.

    Too few are fewer than `least`. `kind` is the number of "sum" or "mean" in `windows.statistics`.
    """
    words = {**sums.words, "KIND": kind, "MIN_SAMPLES": least}
    return run_over(column, bounds, "sums", "window_levels", words)


def spreads(
    column: InOrder, sums: PrefixSums, bounds: Bounds, kind: int, ddof: int, least: int
) -> WindowResults:
    """Return the variance or deviation in each window, missing for fewer than `least` values.

    `sums` includes squares. `kind` is the number of "var" or "std" in `windows.statistics`.
    """
    words = {**sums.words, "KIND": kind, "N": ddof, "MIN_SAMPLES": least}
    return run_over(column, bounds, "sums", "window_spreads", words)
