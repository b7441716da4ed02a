"""Copy columns to a device and back, in Arrow's bit layout on both sides."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
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
    """Some rows of an input column on a device.

    Args:
        values: Address of the first element; for bools, of the word that holds the first bit.
        value_bit: For bools, the position of the first bit, counted from the start of that word.
        validity: Address of the bitmap; 0 if no value is missing.
        bit: Bit of the first row in the bitmap.
        owners: The buffers that hold the column.
    """

    values: int
    value_bit: int
    validity: int
    bit: int
    owners: tuple[object, ...]

    def from_row(self, start: int, dtype: DType) -> DeviceColumn:
        """Return the column without the rows before `start`; nothing is copied."""
        is_bits = storage(dtype) == "bool"
        return replace(
            self,
            values=self.values + (0 if is_bits else start * np.dtype(storage(dtype)).itemsize),
            value_bit=self.value_bit + (start if is_bits else 0),
            bit=self.bit + start,
        )


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """The memory of a column on a device: its values, contiguous, and a validity bitmap or None."""

    values: Buffer
    validity: Buffer | None

    def as_column(self) -> DeviceColumn:
        """Return the column in this memory as the input of a kernel."""
        validity = 0 if self.validity is None else self.validity.address
        return DeviceColumn(self.values.address, 0, validity, 0, (self,))


def place_column(runtime: Runtime, column: Any, dtype: DType, n_rows: int) -> DeviceMemory:
    """Return device memory into which any `n_rows` rows of a host column can be copied.

    `column` is a chunked array from `conform`. `dtype` is the type of the slot.
    """
    kind = storage(dtype)
    bitmap_bytes = word_bytes(n_rows + _BYTE_BITS - 1)  # the first bit may be any bit of a byte
    n_bytes = bitmap_bytes if kind == "bool" else n_rows * np.dtype(kind).itemsize
    validity = runtime.allocate(bitmap_bytes) if column.null_count else None
    return DeviceMemory(runtime.allocate(n_bytes), validity)


def laid_out(memory: DeviceMemory, rows: Any, dtype: DType) -> DeviceColumn:
    """Return the column that will hold some rows after `fill_column` has copied them.

    `memory` comes from `place_column`. `rows` is a chunked array with at least one row.
    """
    # Several chunks become one on the way; its first bit is bit 0.
    bit = rows.chunk(0).offset % _BYTE_BITS if rows.num_chunks == 1 else 0
    has_bitmap = memory.validity is not None and rows.null_count
    validity = memory.validity.address if memory.validity is not None and has_bitmap else 0
    value_bit = bit if storage(dtype) == "bool" else 0
    return DeviceColumn(memory.values.address, value_bit, validity, bit, (memory,))


def fill_column(runtime: Runtime, memory: DeviceMemory, rows: Any, dtype: DType) -> None:
    """Copy rows of a column to the places that `laid_out` gives.

    No outstanding work may need `memory`. `rows` is a chunked array with at least one row.
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
    """Return the bytes of the whole 64-bit words that hold `n_bits` bits."""
    return -(-n_bits // (_BYTE_BITS * WORD_BYTES)) * WORD_BYTES


def bytes_at(address: int, n_bytes: int) -> NDArray[np.uint8]:
    """Return bytes of host memory without a copy; the caller keeps them alive."""
    held = (ctypes.c_uint8 * n_bytes).from_address(address)
    return np.frombuffer(memoryview(held), np.uint8)


def element_bytes(dtype: DType) -> float:
    """Return the bytes of a value in a column, with its validity bit."""
    kind = storage(dtype)
    return (1 / 8 if kind == "bool" else np.dtype(kind).itemsize) + 1 / 8


def allocate_output(
    runtime: Runtime, dtype: DType, n_rows: int, *, with_validity: bool
) -> DeviceMemory:
    """Return device memory for `n_rows` rows of an output, in whole 64-bit words for its bits."""
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
    """Copy an output of a piece from the device to its rows in host memory.

    `values` and `bitmap` are host arrays of all rows. `rows` has the first row, a multiple of 64,
    and the end. `after` is a mark after the kernels that compute the output.
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
