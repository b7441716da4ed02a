"""Rows in the memory of a device, brought to the host: for a message, a table, or a step there."""

from __future__ import annotations

from typing import Any, cast

from fastfeat.backends import Backend, DeviceBackend
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray, DeviceTable


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
    columns = [
        array_on_host(column, name, backend) if isinstance(column, DeviceArray) else column
        for name, column in table.given.items()
    ]
    return pa.Table.from_arrays(columns, names=table.column_names)


def array_on_host(array: DeviceArray, name: str, backend: Backend | None) -> Any:
    """Return a column on the device of a backend as an Arrow array; `name` is for messages."""
    from fastfeat.engine.gpu.pieces import run as device_run  # imports the GPU backend

    return device_run.on_host(cast(DeviceBackend, backend).runtime(), array, name)
