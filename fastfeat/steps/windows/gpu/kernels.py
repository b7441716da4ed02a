"""The kernels of windows, launched: over rows, over tiles of rows, and scans of integers."""

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

Words = Mapping[str, int]
"""Words of the table of a kernel, by name."""


def launch(
    runtime: Runtime, subject: cuda.Subject, kernel: str, words: Words, n: int, per_thread: int = 1
) -> None:
    """Run a kernel of windows.

    Args:
        runtime: where to run.
        subject: its module.
        kernel: its name.
        words: of its table.
        n: number of rows, places or entities.
        per_thread: how many a thread takes.
    """
    if n:
        module = runtime.module(cuda.text(subject, runtime.geometry.block))
        launch_rows(runtime, module, kernel, cuda.table_words(words), 0, n, per_thread)


def launch_tiles(
    runtime: Runtime, subject: cuda.Subject, kernel: str, words: Words, n: int
) -> None:
    """Run a kernel whose blocks take a tile each."""
    launch(runtime, subject, kernel, words, n, cuda.TILE_ROWS)


def scan(runtime: Runtime, data: Buffer, n: int, width: int = 1) -> None:
    """Write the sum of the integers before each place, and of all n of them at the end, in place.

    Args:
        runtime: where to run.
        data: room for n + 1 integers.
        n: how many there are.
        width: words of an integer, of `cuda.WIDTHS`.
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
    """Return memory for n elements of so many bytes, at least a word."""
    return runtime.allocate(max(n * width, 8))


def whole_column(runtime: Runtime, values: Any, dtype: DType) -> DeviceColumn:
    """Return all rows of a column on the device.

    Args:
        runtime: of the device.
        values: a DeviceArray, or Arrow's.
        dtype: their type.

    Raises:
        InvalidData: an array is not in the memory of this device, or not aligned.
        OutOfDeviceMemory: there is no room for them.
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
    """Return the words of a column.

    Args:
        column: on the device.
        element: type of its values, of `column.ELEMENTS`.
    """
    return {
        "VALUES": column.values,
        "VALUE_BIT_OFFSET": column.value_bit,
        "VALIDITY": column.validity,
        "BIT_OFFSET": column.bit,
        "ELEMENT": ELEMENTS.index(element),
    }
