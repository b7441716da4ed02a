"""Sums, means and variances of windows on a device, from the exact sums before each place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from fastfeat_kernels.windows import cuda

from fastfeat.engine.gpu.columns.kernels import downloaded, zeros_on_device
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
"""Of a row: the sum of what stands before it, and its infinities."""
SQUARE_BYTES = 8 * cuda.SQUARE_WORDS


class Sums(NamedTuple):
    """The sums of a column before each place.

    Args:
        words: of kernels that read them.
        has_squares: whether those of squares are there.
        owners: the buffers.
    """

    words: dict[str, int]
    has_squares: bool
    owners: tuple[Buffer, ...]


def sums_of(column: InOrder, *, with_squares: bool) -> Sums | None:
    """Return the sums of a column; None where values of an entity lie too far apart.

    Args:
        column: of numbers.
        with_squares: those of squares, too.
    """
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
    return Sums(words, with_squares, tuple(owners))


def _fits(column: InOrder, ends: Buffer, *, with_squares: bool) -> bool:
    """Return whether the words hold the sums of each entity."""
    runtime, state = column.runtime, zeros_on_device(column.runtime, 16)
    words = {**column.words, "SUM_ENDS": ends.address, "STATE": state.address}
    launch(runtime, "sums", "sum_ends", words, column.order.n_placed)
    launch(runtime, "sums", "sum_reach", words, column.order.n_entities)
    n_sum_bits, n_square_bits = downloaded(runtime, state, np.int64, 2).tolist()
    fits = n_sum_bits <= cuda.SUM_BITS
    return fits and (not with_squares or n_square_bits <= cuda.SQUARE_BITS)


def integer_sums(
    column: InOrder, sums: Sums, bounds: Bounds, least: int
) -> tuple[WindowResults, int | None]:
    """Return the sum of integers in each window.

    Args:
        column: of integers.
        sums: of it.
        bounds: the windows.
        least: of fewer values there is none.

    Returns:
        That, and the first row that asks where it is no int64.
    """
    state = first_row_state(column.runtime)
    words = {**sums.words, "MIN_SAMPLES": least, "STATE": state.address}
    found = run_over(column, bounds, "sums", "window_integer_sums", words)
    return found, first_row_of(column.runtime, state)


def whole_means(column: InOrder, sums: Sums, bounds: Bounds, least: int) -> WindowResults:
    """Return the mean of integers in each window, without its fraction."""
    words = {**sums.words, "MIN_SAMPLES": least}
    return run_over(column, bounds, "sums", "window_whole_means", words)


def levels(column: InOrder, sums: Sums, bounds: Bounds, kind: int, least: int) -> WindowResults:
    """Return the sum of floats in each window, or the mean of numbers; see `spreads`."""
    words = {**sums.words, "KIND": kind, "MIN_SAMPLES": least}
    return run_over(column, bounds, "sums", "window_levels", words)


def spreads(
    column: InOrder, sums: Sums, bounds: Bounds, kind: int, ddof: int, least: int
) -> WindowResults:
    """Return the variance or deviation in each window.

    Args:
        column: of numbers.
        sums: of it, with squares.
        bounds: the windows.
        kind: the number of "var" or "std" in `windows.statistics`.
        ddof: what is taken from the number of values.
        least: of fewer values there is none.
    """
    words = {**sums.words, "KIND": kind, "N": ddof, "MIN_SAMPLES": least}
    return run_over(column, bounds, "sums", "window_spreads", words)
