"""Memory on a device that a user gives for a matrix: whole, its own, and on that device."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.device import DeviceArray, DeviceTable
from fastfeat.io.device.cuda import read_interface
from fastfeat.io.device.place import cuda_interface
from fastfeat.plan.memory import overlaps_itself

Strides = tuple[int, int]


def check_device_memory(
    out: Any, shape: tuple[int, int], dtype: np.dtype[Any], table: Any, runtime: Runtime
) -> tuple[int, Strides]:
    """Return the address of the first element of an array on the device, and its strides in bytes.

    Args:
        out: what the user gave.
        shape: of the matrix, (n_rows, n_features).
        dtype: of the matrix.
        table: the data, whose memory `out` must not share.
        runtime: of the device.

    Raises:
        TypeMismatch, InvalidData: it cannot take the matrix.
    """
    interface = cuda_interface(out)
    if interface is None:
        raise TypeMismatch(
            f"out= must be an array on the device, got {type(out).__name__}. Make one: "
            f"cupy.empty({shape}, '{dtype}', order='F')"
        )
    said = read_interface(interface, "out=")
    if said.shape != shape or said.kind != dtype:
        raise InvalidData(
            f"out= must have shape {shape} and type {dtype}, got {said.shape} and {said.kind}"
        )
    address = said.address
    width = dtype.itemsize
    row, column = said.strides or (width * shape[1], width)
    if said.is_readonly or address % width or row % width or column % width:
        raise InvalidData("out= must be writeable and aligned")
    if overlaps_itself(shape, (row, column), width):
        raise InvalidData("out= must not overlap itself: several elements would be in one place")
    if 0 not in shape:
        _check_place(out, _span(address, shape, (row, column), width), table, runtime)
        if said.stream is not None:
            runtime.wait_for("stream", said.stream)
    return address, (row, column)


def _check_place(out: Any, span: tuple[int, int], table: Any, runtime: Runtime) -> None:
    """Raise where an array is on another device, or shares memory with the data."""
    low, high = span
    try:
        runtime.adopt(low, high - low, out)
    except InvalidData as error:
        raise InvalidData(f"out=: {error}") from None
    columns = table.on_device() if isinstance(table, DeviceTable) else {}
    for name, array in columns.items():
        if any(start < high and low < end for start, end in _ranges(array)):
            raise InvalidData(
                f"out= overlaps the memory of the input column {name!r}: kernels would read what "
                "they have written. Give it memory of its own"
            )


def _span(address: int, shape: tuple[int, int], strides: Strides, n_bytes: int) -> tuple[int, int]:
    """Return the first address of an array, and the one after its last."""
    reach = [stride * (size - 1) for stride, size in zip(strides, shape, strict=True)]
    low = address + sum(min(0, r) for r in reach)
    return low, address + sum(max(0, r) for r in reach) + n_bytes


def _ranges(array: DeviceArray) -> list[tuple[int, int]]:
    """Return the addresses that a column takes: of its values, and of its bitmap."""
    n = len(array)
    if array.has_bits:
        ranges = [_bits(array.values, array.value_bit, n)]
    else:
        ranges = [(array.values, array.values + n * array.item_bytes)]
    if array.validity:
        ranges.append(_bits(array.validity, array.bit, n))
    return ranges


def _bits(address: int, first: int, n: int) -> tuple[int, int]:
    return address + first // 8, address + (first + n + 7) // 8
