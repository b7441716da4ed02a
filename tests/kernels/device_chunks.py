"""Columns in the memory of an emulated device, and kernels over them in every order of threads."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.column import TEXT

from fastfeat.engine.gpu.device.emulated import EmulatedRuntime, ThreadOrder
from fastfeat.engine.gpu.runtime import Buffer, Geometry, Runtime

ORDERS: tuple[ThreadOrder, ...] = ("forward", "reverse", "random")
WORD_BYTES = 8


class Placed(NamedTuple):
    """A chunk, of numbers or text, on a device."""

    values: int
    value_bit_offset: int
    validity: int
    bit_offset: int
    length: int
    owner: object
    offsets: int = 0
    offset_bytes: int = 0


@cache
def runtime_of(order: ThreadOrder) -> EmulatedRuntime:
    """Return a device with small blocks, several of which share the rows."""
    return EmulatedRuntime(order, geometry=Geometry(block=64, most_blocks=3, rows_per_thread=1))


def uploaded(runtime: Runtime, content: bytes, skipped: int = 0) -> tuple[int, Buffer]:
    """Return the address of bytes on a device, in whole words.

    Args:
        runtime: of the device.
        content: the bytes.
        skipped: how many bytes stand before them.
    """
    n_bytes = -(-(skipped + len(content)) // WORD_BYTES) * WORD_BYTES
    buffer = runtime.allocate(max(n_bytes, WORD_BYTES))
    if content:
        runtime.upload(np.frombuffer(content, np.uint8), buffer, skipped)
    return buffer.address + skipped, buffer


def place(runtime: Runtime, element: str, chunk: Any, skipped: int = 0) -> Placed:
    """Return a chunk of `kernel_columns` on a device; of text the bytes after some others."""
    n_bits = chunk.bit_offset + chunk.length
    validity, bitmap = 0, None
    if chunk.validity:
        content = ctypes.string_at(chunk.validity, -(-n_bits // 8))
        validity, bitmap = uploaded(runtime, content)
    if element == TEXT:
        width = chunk.offset_bytes
        raw = ctypes.string_at(chunk.offsets, width * (chunk.length + 1))
        last = int(np.frombuffer(raw, f"int{8 * width}")[-1])
        offsets, ends = uploaded(runtime, raw)
        values, data = uploaded(runtime, ctypes.string_at(chunk.data, last), skipped)
        owner = (bitmap, ends, data)
        return Placed(values, 0, validity, chunk.bit_offset, chunk.length, owner, offsets, width)
    if element == "bool":
        n_bytes = -(-(chunk.value_bit_offset + chunk.length) // 8)
    else:
        n_bytes = np.dtype(element).itemsize * chunk.length
    values, data = uploaded(runtime, ctypes.string_at(chunk.values, n_bytes))
    owner = (bitmap, data)
    return Placed(values, chunk.value_bit_offset, validity, chunk.bit_offset, chunk.length, owner)


def launch(
    runtime: Runtime, text: str, kernel: str, words: Sequence[int], first: int, n: int
) -> None:
    """Run a kernel over rows [first, first + n)."""
    table = runtime.allocate(8 * len(words))
    runtime.upload(np.array([w % 2**64 for w in words], np.uint64), table)
    geometry = runtime.geometry
    grid = (geometry.grid_of_rows(n), 1)
    runtime.launch(runtime.module(text), kernel, grid, geometry.block, table, first, n)


def downloaded(runtime: Runtime, buffer: Buffer, dtype: Any, n: int) -> Any:
    """Return the first elements of a buffer."""
    found = np.zeros(n, dtype)
    if n:
        runtime.download(buffer, found)
    runtime.synchronize()
    return found
