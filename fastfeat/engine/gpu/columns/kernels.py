"""Run hand-written kernels on a device: copy their inputs there, launch them, read results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.gpu.programs.table import MOST_INSTANCES
from fastfeat.engine.gpu.runtime import Buffer, Module, Runtime

_WORD_BYTES = 8


def on_device(runtime: Runtime, array: NDArray[Any]) -> Buffer:
    """Copy a contiguous array to the device; the buffer has whole words of 64 bits."""
    n_words = -(-array.nbytes // _WORD_BYTES)
    buffer = runtime.allocate(max(n_words, 1) * _WORD_BYTES)
    if array.nbytes:
        runtime.upload(array, buffer)
    return buffer


def zeros_on_device(runtime: Runtime, n_bytes: int) -> Buffer:
    """Return device memory filled with zeros, at least one 64-bit word."""
    buffer = runtime.allocate(max(n_bytes, _WORD_BYTES))
    runtime.zero(buffer)
    return buffer


def download_array(runtime: Runtime, buffer: Buffer, dtype: Any, n: int) -> NDArray[Any]:
    """Return the first `n` elements of a buffer as a host array, after all requests so far."""
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

    `words` are the words of the kernel's table. Each thread takes `rows_per_thread` rows.
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
    """Launch a kernel that sums up rows [first, first + n) of several columns at once.

    `words` has the words of the table, one sequence per column. `shared_bytes` is shared memory per
    block.
    """
    geometry = runtime.geometry
    x = geometry.grid_of_sums(n)
    for k in range(0, len(words), MOST_INSTANCES):
        part = np.array(words[k : k + MOST_INSTANCES], np.int64)
        table = on_device(runtime, part)
        grid = (x, len(part))
        runtime.launch(module, kernel, grid, geometry.block, table, first, n, shared_bytes)
