"""Hand-written kernels on a device: what they read is copied there, they are launched, read out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.gpu.programs.table import MOST_INSTANCES
from fastfeat.engine.gpu.runtime import Buffer, Module, Runtime

_WORD_BYTES = 8


def on_device(runtime: Runtime, array: NDArray[Any]) -> Buffer:
    """Return the copy of a contiguous array on the device, in whole words of 64 bits."""
    n_words = -(-array.nbytes // _WORD_BYTES)
    buffer = runtime.allocate(max(n_words, 1) * _WORD_BYTES)
    if array.nbytes:
        runtime.upload(array, buffer)
    return buffer


def zeros_on_device(runtime: Runtime, n_bytes: int) -> Buffer:
    """Return memory that holds zeros, at least a word."""
    buffer = runtime.allocate(max(n_bytes, _WORD_BYTES))
    runtime.zero(buffer)
    return buffer


def downloaded(runtime: Runtime, buffer: Buffer, dtype: Any, n: int) -> NDArray[Any]:
    """Return the first elements of a buffer, once what was asked for is done.

    Args:
        runtime: of the device.
        buffer: holds them.
        dtype: their type.
        n: how many.
    """
    found = np.empty(n, dtype)
    mark = runtime.mark()
    if n:
        runtime.download(buffer, found, after=mark)
    runtime.finish(mark)
    return found


def launch_rows(
    runtime: Runtime,
    module: Module,
    kernel: str,
    words: NDArray[Any],
    first: int,
    n: int,
    rows_per_thread: int = 1,
) -> None:
    """Launch a kernel over rows [first, first + n).

    Args:
        runtime: where to run.
        module: where the kernel is.
        kernel: its name.
        words: of its table.
        first: first row.
        n: number of rows.
        rows_per_thread: how many a thread takes.
    """
    geometry, table = runtime.geometry, on_device(runtime, words)
    grid = (geometry.grid_of_rows(-(-n // rows_per_thread)), 1)
    runtime.launch(module, kernel, grid, geometry.block, table, first, n)


def launch_sums(
    runtime: Runtime,
    module: Module,
    kernel: str,
    words: Sequence[Sequence[int]],
    first: int,
    n: int,
    shared_bytes: int = 0,
) -> None:
    """Launch a kernel that adds up, over rows [first, first + n) of all columns at once.

    Args:
        runtime: where to run.
        module: where the kernel is.
        kernel: its name.
        words: of the table, those of one column after the other.
        first: first row.
        n: number of rows.
        shared_bytes: memory of a block.
    """
    geometry = runtime.geometry
    x = geometry.grid_of_sums(n)
    for k in range(0, len(words), MOST_INSTANCES):
        part = np.array(words[k : k + MOST_INSTANCES], np.int64)
        table = on_device(runtime, part)
        grid = (x, len(part))
        runtime.launch(module, kernel, grid, geometry.block, table, first, n, shared_bytes)
