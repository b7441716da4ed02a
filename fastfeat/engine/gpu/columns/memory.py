"""Columns on their way to a device and back, in Arrow's bit layout on both sides."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.gpu.runtime import Buffer, Mark, Runtime
from fastfeat.engine.storage import storage
from fastfeat.io.arrow import pa
from fastfeat.io.columns.column import physical_chunks
from fastfeat.ir.dtypes import BOOL, DType

WORD_BYTES = 4
"""Kernels read bitmaps by words of 32 bits."""
_BYTE_BITS = 8


@dataclass(frozen=True, slots=True)
class DeviceColumn:
    """The rows of an input on a device.

    Args:
        values: address of the first element; of bools, of the word that holds the first bit.
        value_bit: of bools, which bit from there on it is.
        validity: address of the bitmap; 0 when no value is missing.
        bit: which bit of the bitmap belongs to the first row.
        owners: the buffers.
    """

    values: int
    value_bit: int
    validity: int
    bit: int
    owners: tuple[object, ...]

    def from_row(self, start: int, dtype: DType) -> DeviceColumn:
        """Return the rows from one on, in place."""
        is_bits = storage(dtype) == "bool"
        return replace(
            self,
            values=self.values + (0 if is_bits else start * np.dtype(storage(dtype)).itemsize),
            value_bit=self.value_bit + (start if is_bits else 0),
            bit=self.bit + start,
        )


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Memory of a column on a device: its values, one after the other, and a bitmap or None."""

    values: Buffer
    validity: Buffer | None

    def as_column(self) -> DeviceColumn:
        """Return the written column as the input of another kernel."""
        validity = 0 if self.validity is None else self.validity.address
        return DeviceColumn(self.values.address, 0, validity, 0, (self,))


def place_column(runtime: Runtime, column: Any, dtype: DType, n_rows: int) -> DeviceMemory:
    """Return memory of a device for any `n_rows` rows of a column of the host.

    Args:
        runtime: of the device.
        column: an Arrow chunked array, as `conform` returns it.
        dtype: of the slot.
        n_rows: most rows at a time.
    """
    kind = storage(dtype)
    bitmap_bytes = word_bytes(n_rows + _BYTE_BITS - 1)  # the first bit may be any of a byte
    n_bytes = bitmap_bytes if kind == "bool" else n_rows * np.dtype(kind).itemsize
    validity = runtime.allocate(bitmap_bytes) if column.null_count else None
    return DeviceMemory(runtime.allocate(n_bytes), validity)


def laid_out(memory: DeviceMemory, rows: Any, dtype: DType) -> DeviceColumn:
    """Return the column that holds some rows, once `fill_column` has copied them.

    Args:
        memory: what `place_column` has returned.
        rows: those of a chunked array, not none.
        dtype: of the slot.
    """
    # Several chunks become one on the way, whose first bit is bit 0.
    bit = rows.chunk(0).offset % _BYTE_BITS if rows.num_chunks == 1 else 0
    has_bitmap = memory.validity is not None and rows.null_count
    validity = memory.validity.address if memory.validity is not None and has_bitmap else 0
    value_bit = bit if storage(dtype) == "bool" else 0
    return DeviceColumn(memory.values.address, value_bit, validity, bit, (memory,))


def fill_column(runtime: Runtime, memory: DeviceMemory, rows: Any, dtype: DType) -> None:
    """Copy rows of a column to where `laid_out` says.

    Args:
        runtime: of the device.
        memory: that of the column, which nothing outstanding needs.
        rows: those of a chunked array, not none.
        dtype: of the slot.
    """
    whole = rows.combine_chunks() if rows.num_chunks > 1 else rows
    (chunk,) = physical_chunks(
        whole if isinstance(whole, pa.ChunkedArray) else pa.chunked_array([whole])
    )
    assert rows.num_chunks == 1 or chunk.bit_offset == 0, "joined chunks begin at bit 0"
    if storage(dtype) == "bool":
        n_bytes = (chunk.value_bit_offset + chunk.length + 7) // _BYTE_BITS
    else:
        n_bytes = chunk.length * np.dtype(storage(dtype)).itemsize
    runtime.upload(bytes_at(chunk.values, n_bytes), memory.values)
    if chunk.validity and memory.validity is not None:
        skipped, bit = divmod(chunk.bit_offset, _BYTE_BITS)
        content = bytes_at(chunk.validity + skipped, (bit + chunk.length + 7) // _BYTE_BITS)
        runtime.upload(content, memory.validity)


def word_bytes(n_bits: int) -> int:
    """Return the bytes of whole words that hold some bits."""
    return -(-n_bits // (_BYTE_BITS * WORD_BYTES)) * WORD_BYTES


def bytes_at(address: int, n_bytes: int) -> NDArray[np.uint8]:
    """Return bytes of the host's memory, which the caller keeps alive."""
    held = (ctypes.c_uint8 * n_bytes).from_address(address)
    return np.frombuffer(memoryview(held), np.uint8)


def element_bytes(dtype: DType) -> float:
    """Return the bytes that an element of a column takes, with its bit of validity."""
    kind = storage(dtype)
    return (1 / 8 if kind == "bool" else np.dtype(kind).itemsize) + 1 / 8


def allocate_output(
    runtime: Runtime, dtype: DType, n_rows: int, *, with_validity: bool
) -> DeviceMemory:
    """Return memory for an output of some rows; bits are written by whole words."""
    kind = storage(dtype)
    bitmap_bytes = word_bytes(n_rows)
    n_bytes = bitmap_bytes if kind == "bool" else n_rows * np.dtype(kind).itemsize
    validity = runtime.allocate(bitmap_bytes) if with_validity else None
    return DeviceMemory(runtime.allocate(n_bytes), validity)


def download_output(
    runtime: Runtime,
    output: DeviceMemory,
    dtype: DType,
    values: NDArray[Any],
    bitmap: NDArray[np.uint8] | None,
    rows: tuple[int, int],
    after: Mark,
) -> None:
    """Bring an output of a piece to its rows in host memory.

    Args:
        runtime: of the device.
        output: its memory there.
        dtype: of the output.
        values: those of all rows, in the host.
        bitmap: that of all rows, if there is one.
        rows: the first one, a multiple of 64, and the end.
        after: behind the kernels that compute it.
    """
    start, stop = rows
    first, bit_bytes = start // _BYTE_BITS, word_bytes(stop - start)
    held = values.view(np.uint8)
    if dtype == BOOL:
        part = held[first:][:bit_bytes]
    else:
        part = held[start * values.itemsize : stop * values.itemsize]
    runtime.download(output.values, part, after=after)
    if bitmap is not None and output.validity is not None:
        runtime.download(output.validity, bitmap[first:][:bit_bytes], after=after)
