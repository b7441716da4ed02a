"""Columns on their way to a device and back, in Arrow's bit layout on both sides."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends.cpu.render import storage
from fastfeat.backends.gpu.runtime import Buffer, Runtime
from fastfeat.dtypes import BOOL, DType
from fastfeat.io.arrow import pa
from fastfeat.io.column import physical_chunks

WORD_BYTES = 4
"""Kernels read bitmaps by words of 32 bits."""


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
class DeviceOutput:
    """Memory of an output on a device: its values, one after the other, and a bitmap or None."""

    values: Buffer
    validity: Buffer | None

    def as_column(self) -> DeviceColumn:
        """Return what was written as the input of another kernel."""
        validity = 0 if self.validity is None else self.validity.address
        return DeviceColumn(self.values.address, 0, validity, 0, (self,))


def upload_column(runtime: Runtime, column: Any, dtype: DType) -> DeviceColumn:
    """Return rows of a column on a device, where each buffer begins at a multiple of 256 bytes.

    Args:
        runtime: of the device.
        column: an Arrow chunked array, as `conform` returns it, not empty.
        dtype: of the slot.
    """
    whole = column.combine_chunks() if column.num_chunks > 1 else column
    (chunk,) = physical_chunks(
        whole if isinstance(whole, pa.ChunkedArray) else pa.chunked_array([whole])
    )
    bits = _upload_bits(runtime, chunk.validity, chunk.bit_offset, chunk.length)
    if storage(dtype) == "bool":
        values = _upload_bits(runtime, chunk.values, chunk.value_bit_offset, chunk.length)
    else:
        n_bytes = chunk.length * np.dtype(storage(dtype)).itemsize
        values = _upload(runtime, chunk.values, n_bytes), 0
    buffers = tuple(buffer for buffer, _ in (values, bits) if buffer is not None)
    address = [0 if buffer is None else buffer.address for buffer, _ in (values, bits)]
    return DeviceColumn(address[0], values[1], address[1], bits[1], buffers)


def _upload_bits(
    runtime: Runtime, address: int, first: int, length: int
) -> tuple[Buffer | None, int]:
    """Return bits on a device and which is the first; None where there is no bitmap."""
    if not address:
        return None, 0
    skipped, bit = first >> 3, first & 7
    return _upload(runtime, address + skipped, (bit + length + 7) >> 3), bit


def _upload(runtime: Runtime, address: int, n_bytes: int) -> Buffer:
    buffer = runtime.allocate(-(-n_bytes // WORD_BYTES) * WORD_BYTES)
    runtime.upload(_bytes_at(address, n_bytes), buffer)
    return buffer


def _bytes_at(address: int, n_bytes: int) -> NDArray[np.uint8]:
    held = (ctypes.c_uint8 * n_bytes).from_address(address)
    return np.frombuffer(memoryview(held), np.uint8)


def element_bytes(dtype: DType) -> float:
    """Return the bytes that an element of a column takes, with its bit of validity."""
    kind = storage(dtype)
    return (1 / 8 if kind == "bool" else np.dtype(kind).itemsize) + 1 / 8


def allocate_output(
    runtime: Runtime, dtype: DType, n_rows: int, *, with_validity: bool
) -> DeviceOutput:
    """Return memory for an output of some rows; bits are written by whole words."""
    kind = storage(dtype)
    bitmap_bytes = -(-n_rows // 32) * WORD_BYTES
    n_bytes = bitmap_bytes if kind == "bool" else n_rows * np.dtype(kind).itemsize
    validity = runtime.allocate(bitmap_bytes) if with_validity else None
    return DeviceOutput(runtime.allocate(n_bytes), validity)


def download_output(
    runtime: Runtime,
    output: DeviceOutput,
    dtype: DType,
    values: NDArray[Any],
    bitmap: NDArray[np.uint8] | None,
    start: int,
) -> None:
    """Bring an output of a piece to its rows in host memory; `start` is a multiple of 64."""
    first = start // 8 if dtype == BOOL else start * values.itemsize
    held = values.view(np.uint8)[first:]
    runtime.download(output.values, held[: output.values.n_bytes])
    if bitmap is not None and output.validity is not None:
        runtime.download(output.validity, bitmap[start // 8 :][: output.validity.n_bytes])
