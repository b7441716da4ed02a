"""Results that stay in the memory of a device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import DeviceBackend
from fastfeat.backends.gpu.launch import settled
from fastfeat.backends.gpu.matrix import Place, compute_into
from fastfeat.backends.gpu.pieces import room_for
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.backends.program import Constants, Program
from fastfeat.dtypes import DType
from fastfeat.plan.batch import Batch, run_program
from fastfeat.plan.border import Columns
from fastfeat.plan.device_memory import check_device_memory
from fastfeat.plan.fitted import Fitted


def matrix(
    batch: Batch, program: Program, constants: Constants, dtype: np.dtype[Any], out: Any
) -> Any:
    """Return the features as a matrix on the device, column after column in its memory.

    Args:
        batch: the rows, with what steps make of them; the backend is that of the device.
        program: computes the columns.
        constants: what it reads besides the rows.
        dtype: of the matrix.
        out: the array on the device to write to, or None.

    Raises:
        TypeMismatch, InvalidData: `out` cannot take the matrix.
        OutOfDeviceMemory: there is no room for it; names the need and what is free.
    """
    runtime = _runtime(batch)
    work = partial(_matrix, batch, program, constants, dtype, out, runtime)
    return runtime.computations.run(work)


def _runtime(batch: Batch) -> Runtime:
    return cast(DeviceBackend, batch.backend).runtime()


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
        Place(address + k * strides[1], strides[0], strides[0] // dtype.itemsize)
        for k in range(shape[1])
    ]
    _compute_into(batch, program, constants, places)
    return out


def arrays(fitted: Fitted, batch: Batch, program: Program, constants: Constants) -> dict[str, Any]:
    """Return the features as arrays on the device by name, each of its own type.

    Args:
        fitted: whose features they are.
        batch: as of `matrix`.
        program: computes them.
        constants: what it reads besides the rows.

    Raises:
        InvalidData: an integer or bool is missing.
        OutOfDeviceMemory: there is no room; names the need and what is free.
    """
    runtime = _runtime(batch)
    return runtime.computations.run(partial(_arrays, fitted, batch, program, constants, runtime))


def _arrays(
    fitted: Fitted, batch: Batch, program: Program, constants: Constants, runtime: Runtime
) -> dict[str, Any]:
    n_rows = batch.n_rows
    found: dict[str, Any] = {}
    places: list[Place] = []
    for output, (name, node) in zip(program.outputs, fitted.nodes.items(), strict=True):
        stored = np.dtype(output.dtype.name)
        buffer = room_for(runtime, n_rows * stored.itemsize, f"feature {name!r}")
        shown = _shown_type(fitted.types[node], stored)
        found[name] = runtime.array(buffer, (n_rows,), shown, (stored.itemsize,))
        places.append(Place(buffer.address, stored.itemsize, 1))
    _compute_into(batch, program, constants, places)
    return found


def on_device(array: NDArray[Any], batch: Batch) -> Any:
    """Return an array of the host's memory as one on the device, with the same strides.

    Args:
        array: column after column in memory.
        batch: the rows that it is of; the backend is that of the device.

    Raises:
        OutOfDeviceMemory: there is no room; names the need and what is free.
    """
    runtime = _runtime(batch)
    return runtime.computations.run(partial(_moved, array, runtime))


def _moved(array: NDArray[Any], runtime: Runtime) -> Any:
    buffer = room_for(runtime, array.nbytes, f"features of shape {array.shape}")
    with settled(runtime):
        runtime.upload(array.ravel(order="F"), buffer)
        runtime.synchronize()  # a user reads the array by another way than we do
    return runtime.array(buffer, array.shape, array.dtype, array.strides)


def _shown_type(dtype: DType, stored: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of an array of a feature: a bool is stored as a byte that is 0 or 1."""
    return np.dtype(np.bool_) if dtype.name == "bool" else stored


def _compute_into(
    batch: Batch, program: Program, constants: Constants, places: Sequence[Place]
) -> None:
    runtime = _runtime(batch)

    def run(columns: Columns) -> None:
        compute_into(runtime, program, columns, batch.n_rows, constants, places)

    run_program(batch, program, constants, run)
