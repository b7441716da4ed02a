"""Launch the kernels of windows: over rows, over tiles (blocks of rows), and for prefix sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.windows import cuda

from fastfeat.engine.gpu.columns.kernels import launch_rows
from fastfeat.engine.gpu.columns.memory import DeviceColumn, fill_column, laid_out, place_column
from fastfeat.engine.gpu.pieces.adopt import adopt
from fastfeat.engine.gpu.pieces.column_groups import plain_column
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import DType

NamedWords = Mapping[str, int]
"""Words of the table of a kernel, by name."""


def launch(
    runtime: Runtime,
    subject: cuda.Subject,
    kernel: str,
    words: NamedWords,
    n: int,
    per_thread: int = 1,
) -> None:
    """Run a kernel of windows over `n` items: rows, places in the order of windows, or entities.

    Each thread takes `per_thread` of them. `words` are the words of the kernel's table, by name.
    """
    if n:
        module = runtime.module(cuda.text(subject, runtime.geometry.block))
        launch_rows(runtime, module, kernel, cuda.table_words(words), 0, n, per_thread)


def launch_tiles(
    runtime: Runtime, subject: cuda.Subject, kernel: str, words: NamedWords, n: int
) -> None:
    """Run a kernel over `n` rows, in which each block of threads takes one tile of rows."""
    launch(runtime, subject, kernel, words, n, cuda.TILE_ROWS)


def scan(runtime: Runtime, data: Buffer, n: int, width: int = 1) -> None:
    """Compute a prefix sum in place: each of n integers becomes the sum of those before it.

    The total is written behind them, so `data` has room for n + 1 integers. `width` is the size of
    one in 64-bit words, from `cuda.WIDTHS`.
    """
    if not n:
        runtime.zero(data)
        return
    words = {"DATA": data.address}
    n_tiles = -(-n // cuda.tile_of(runtime.geometry.block))
    if n_tiles > 1:
        totals = room(runtime, n_tiles + 1, 8 * width)
        words["TOTALS"] = totals.address
        launch_tiles(runtime, "scans", f"scan_totals_{width}", words, n)
        scan(runtime, totals, n_tiles, width)
    launch_tiles(runtime, "scans", f"scan_tiles_{width}", words, n)


def room(runtime: Runtime, n: int, width: int) -> Buffer:
    """Return device memory for `n` elements of `width` bytes, at least 8 bytes."""
    return runtime.allocate(max(n * width, 8))


def whole_column(runtime: Runtime, values: Any, dtype: DType) -> DeviceColumn:
    """Return a column (a DeviceArray or an Arrow column) with all rows on the device.

    Raises InvalidData if an array is not in the memory of this device or not aligned, and
    OutOfDeviceMemory.
    """
    if isinstance(values, DeviceArray):
        return adopt(runtime, values, values.name)
    plain = plain_column(values, dtype)
    if not len(plain):
        return DeviceColumn(0, 0, 0, 0, ())
    memory = place_column(runtime, plain, dtype, len(plain))
    fill_column(runtime, memory, plain, dtype)
    return laid_out(memory, plain, dtype)


def column_words(column: DeviceColumn, element: str) -> dict[str, int]:
    """Return the words that tell a kernel where a column is.

    `element` is the type of its values, from `column.ELEMENTS`.
    """
    return {
        "VALUES": column.values,
        "VALUE_BIT_OFFSET": column.value_bit,
        "VALIDITY": column.validity,
        "BIT_OFFSET": column.bit,
        "ELEMENT": ELEMENTS.index(element),
    }
