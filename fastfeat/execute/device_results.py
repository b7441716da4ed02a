"""Results that stay in the memory of a device: a matrix, or arrays.

Memory that a user passes for a matrix must be on that device and must not overlap itself or the
data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import device_of
from fastfeat.engine.gpu.pieces.pieces import room_for
from fastfeat.engine.gpu.pieces.run import OutputPlace, compute_into
from fastfeat.engine.gpu.programs.launch import settle_on_error
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.program import Constants, Program
from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.execute.batch import Batch, run_program
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.inputs import SlotColumns
from fastfeat.execute.results import overlaps_itself
from fastfeat.io.device import DeviceArray, DeviceTable
from fastfeat.io.device.array import cuda_interface
from fastfeat.io.device.cuda import read_interface
from fastfeat.ir.dtypes import DType


def matrix(
    batch: Batch, program: Program, constants: Constants, dtype: np.dtype[Any], out: Any
) -> Any:
    """Return the features as a device matrix of shape (n_rows, n_features), stored by columns.

    `batch` has its steps computed, on the device's backend.

    Raises:
        TypeMismatch, InvalidData: `out` cannot take the matrix.
        OutOfDeviceMemory: There is no room; the message says how much is needed and free.
    """
    runtime = _runtime(batch)
    work = partial(_matrix, batch, program, constants, dtype, out, runtime)
    return runtime.computations.run(work)


def _runtime(batch: Batch) -> Runtime:
    return device_of(batch.backend)


def _matrix(
    batch: Batch,
    program: Program,
    constants: Constants,
    dtype: np.dtype[Any],
    out: Any,
    runtime: Runtime,
) -> Any:
    shape = (batch.n_rows, len(program.outputs))
    if out is None:
        n_bytes = math.prod(shape) * dtype.itemsize
        buffer = room_for(runtime, n_bytes, f"a matrix of shape {shape}")
        strides = (dtype.itemsize, dtype.itemsize * batch.n_rows)
        out, address = runtime.array(buffer, shape, dtype, strides), buffer.address
    else:
        address, strides = check_device_memory(out, shape, dtype, batch.table, runtime)
    places = [
        OutputPlace(address + k * strides[1], strides[0], strides[0] // dtype.itemsize)
        for k in range(shape[1])
    ]
    _compute_into(batch, program, constants, places)
    return out


def arrays(fitted: Fitted, batch: Batch, program: Program, constants: Constants) -> dict[str, Any]:
    """Return the features by name as arrays on the device, each of its own type.

    Raises:
        InvalidData: An integer or bool is missing.
        OutOfDeviceMemory: There is no room; the message says how much is needed and free.
    """
    runtime = _runtime(batch)
    return runtime.computations.run(partial(_arrays, fitted, batch, program, constants, runtime))


def _arrays(
    fitted: Fitted, batch: Batch, program: Program, constants: Constants, runtime: Runtime
) -> dict[str, Any]:
    n_rows = batch.n_rows
    found: dict[str, Any] = {}
    places: list[OutputPlace] = []
    for output, (name, node) in zip(program.outputs, fitted.nodes.items(), strict=True):
        stored = np.dtype(output.dtype.name)
        buffer = room_for(runtime, n_rows * stored.itemsize, f"feature {name!r}")
        shown = _shown_type(fitted.types[node], stored)
        found[name] = runtime.array(buffer, (n_rows,), shown, (stored.itemsize,))
        places.append(OutputPlace(buffer.address, stored.itemsize, 1))
    _compute_into(batch, program, constants, places)
    return found


def on_device(array: NDArray[Any], batch: Batch) -> Any:
    """Copy a column-major array from host memory to the device; the result has the same strides.

    Raises:
        OutOfDeviceMemory: There is no room; the message says how much is needed and free.
    """
    runtime = _runtime(batch)
    return runtime.computations.run(partial(_moved, array, runtime))


def _moved(array: NDArray[Any], runtime: Runtime) -> Any:
    buffer = room_for(runtime, array.nbytes, f"features of shape {array.shape}")
    with settle_on_error(runtime):
        runtime.upload(array.ravel(order="F"), buffer)
        runtime.synchronize()  # the user may read the array on another stream
    return runtime.array(buffer, array.shape, array.dtype, array.strides)


def _shown_type(dtype: DType, stored: np.dtype[Any]) -> np.dtype[Any]:
    """Return the array type of a feature: a bool is stored as a byte that is 0 or 1."""
    return np.dtype(np.bool_) if dtype.name == "bool" else stored


def _compute_into(
    batch: Batch, program: Program, constants: Constants, places: Sequence[OutputPlace]
) -> None:
    runtime = _runtime(batch)

    def run(columns: SlotColumns) -> None:
        compute_into(runtime, program, columns, batch.n_rows, constants, places)

    run_program(batch, program, constants, run)


Strides = tuple[int, int]


def check_device_memory(
    out: Any, shape: tuple[int, int], dtype: np.dtype[Any], table: Any, runtime: Runtime
) -> tuple[int, Strides]:
    """Return the address of the first element of a device array, and its strides in bytes.

    `shape` is (n_rows, n_features). `table` is the data; `out` must not share memory with it.

    Raises:
        TypeMismatch, InvalidData: The array cannot take the matrix.
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
    if said.is_readonly:
        raise InvalidData("out= is read-only. Pass a writeable array")
    if address % width or row % width or column % width:
        raise InvalidData(
            f"out= must be aligned: the address and the strides must be multiples of {width} bytes"
        )
    if overlaps_itself(shape, (row, column), width):
        raise InvalidData("out= must not overlap itself: several elements share one address")
    if 0 not in shape:
        _check_place(out, _span(address, shape, (row, column), width), table, runtime)
        if said.stream is not None:
            runtime.wait_for("stream", said.stream)
    return address, (row, column)


def _check_place(out: Any, span: tuple[int, int], table: Any, runtime: Runtime) -> None:
    """Raise if an array is on another device or shares memory with the data."""
    low, high = span
    try:
        runtime.adopt(low, high - low, out)
    except InvalidData as error:
        raise InvalidData(f"out=: {error}") from None
    columns = table.on_device() if isinstance(table, DeviceTable) else {}
    for name, array in columns.items():
        if any(start < high and low < end for start, end in _ranges(array)):
            raise InvalidData(
                f"out= overlaps the memory of the input column {name!r}: kernels would overwrite "
                "values that they still have to read. Pass an array with its own memory"
            )


def _span(address: int, shape: tuple[int, int], strides: Strides, n_bytes: int) -> tuple[int, int]:
    """Return the half-open address range `(first, end)` of the bytes that an array covers."""
    reach = [stride * (size - 1) for stride, size in zip(strides, shape, strict=True)]
    low = address + sum(min(0, r) for r in reach)
    return low, address + sum(max(0, r) for r in reach) + n_bytes


def _ranges(array: DeviceArray) -> list[tuple[int, int]]:
    """Return the address ranges of a column's memory: its values and, if any, its null bitmap."""
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
