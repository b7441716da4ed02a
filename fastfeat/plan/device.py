"""Results that stay in the memory of a device, and rows of it that a message or a table shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastfeat.backends import Backend, DeviceBackend, device_backend_named
from fastfeat.backends.gpu import run as device_run
from fastfeat.backends.gpu.matrix import Place, compute_into
from fastfeat.backends.gpu.pieces import room_for
from fastfeat.backends.program import Constants, Program, RowFailed
from fastfeat.dtypes import DType
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray, DeviceTable
from fastfeat.plan.border import slot_columns
from fastfeat.plan.constants import bind
from fastfeat.plan.device_memory import check_device_memory
from fastfeat.plan.failures import failed_row
from fastfeat.plan.made import Made
from fastfeat.plan.outputs import matrix_dtype
from fastfeat.plan.tables import Tables

if TYPE_CHECKING:
    from fastfeat.plan.fitted import FittedPlan


def matrix(fitted: FittedPlan, table: Any, tables: Tables, out: Any, backend: str) -> Any:
    """Return the features as a matrix on the device, column after column in its memory.

    Args:
        fitted: what is computed.
        table: the data.
        tables: as in `transform`.
        out: the array on the device to write to, or None.
        backend: one of DEVICE_NAMES.

    Raises:
        TypeMismatch, InvalidData: `out` cannot take the matrix.
        OutOfDeviceMemory: there is no room for it; names the need and what is free.
    """
    engine, made = device_backend_named(backend), fitted.made(table, tables, backend)
    return engine.runtime().computations.run(partial(_matrix, fitted, table, made, out, engine))


def _matrix(fitted: FittedPlan, table: Any, made: Made, out: Any, engine: DeviceBackend) -> Any:
    runtime, program = engine.runtime(), fitted.matrix_program
    shape, dtype = (table.num_rows, len(program.outputs)), np.dtype(matrix_dtype(fitted.plan).name)
    if out is None:
        n_bytes = math.prod(shape) * dtype.itemsize
        buffer = room_for(runtime, n_bytes, f"a matrix of shape {shape}")
        strides = (dtype.itemsize, dtype.itemsize * table.num_rows)
        out, address = runtime.array(buffer, shape, dtype, strides), buffer.address
    else:
        address, strides = check_device_memory(out, shape, dtype, table, runtime)
    places = [
        Place(address + k * strides[1], strides[0], strides[0] // dtype.itemsize)
        for k in range(shape[1])
    ]
    _compute_into(engine, program, fitted.matrix_constants, table, places, made)
    return out


def arrays(fitted: FittedPlan, table: Any, tables: Tables, backend: str) -> dict[str, Any]:
    """Return the features as arrays on the device by name, each of its own type.

    Args:
        fitted: what is computed.
        table: the data.
        tables: as in `transform`.
        backend: one of DEVICE_NAMES.

    Raises:
        InvalidData: an integer or bool is missing.
        OutOfDeviceMemory: there is no room; names the need and what is free.
    """
    engine, made = device_backend_named(backend), fitted.made(table, tables, backend)
    return engine.runtime().computations.run(partial(_arrays, fitted, table, made, engine))


def _arrays(fitted: FittedPlan, table: Any, made: Made, engine: DeviceBackend) -> dict[str, Any]:
    runtime, program, n_rows = engine.runtime(), fitted.arrays_program, table.num_rows
    found: dict[str, Any] = {}
    places: list[Place] = []
    for output, (name, node) in zip(program.outputs, fitted.nodes.items(), strict=True):
        stored = np.dtype(output.dtype.name)
        buffer = room_for(runtime, n_rows * stored.itemsize, f"feature {name!r}")
        shown = _shown_type(fitted.types[node], stored)
        found[name] = runtime.array(buffer, (n_rows,), shown, (stored.itemsize,))
        places.append(Place(buffer.address, stored.itemsize, 1))
    _compute_into(engine, program, bind(program, fitted.constants), table, places, made)
    return found


def _shown_type(dtype: DType, stored: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of an array of a feature: a bool is stored as a byte that is 0 or 1."""
    return np.dtype(np.bool_) if dtype.name == "bool" else stored


def _compute_into(
    engine: DeviceBackend,
    program: Program,
    constants: Constants,
    table: Any,
    places: Sequence[Place],
    made: Made,
) -> None:
    columns = slot_columns(program, table, made)
    try:
        compute_into(engine.runtime(), program, columns, table.num_rows, constants, places)
    except RowFailed as failure:
        row = failure.args[0]
        raise failed_row(program, row, columns, constants, table, engine) from None


def rows_on_host(table: DeviceTable, start: int, n: int, backend: Backend | None) -> Any:
    """Return rows of a table as an Arrow table in the host's memory.

    Args:
        table: partly on a device.
        start: first row.
        n: number of rows.
        backend: of the device.
    """
    sliced = {name: column.slice(start, n) for name, column in table.given.items()}
    return on_host(DeviceTable(sliced, n), backend)


def on_host(table: DeviceTable, backend: Backend | None) -> Any:
    """Return a table as an Arrow table in the host's memory; NaN becomes null."""
    runtime = cast(DeviceBackend, backend).runtime()
    columns = [
        device_run.on_host(runtime, column, name) if isinstance(column, DeviceArray) else column
        for name, column in table.given.items()
    ]
    return pa.Table.from_arrays(columns, names=table.column_names)
