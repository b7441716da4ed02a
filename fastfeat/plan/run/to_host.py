"""Rows in the memory of a device, brought to the host: for a message, a table, or a step there."""

from __future__ import annotations

from typing import Any

from fastfeat.backends import Backend
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray, DeviceTable


def rows_on_host(table: DeviceTable, start: int, n: int, backend: Backend) -> Any:
    """Return rows of a table as an Arrow table in the host's memory.

    Args:
        table: partly on a device.
        start: first row.
        n: number of rows.
        backend: of the device.
    """
    sliced = {name: column.slice(start, n) for name, column in table.given.items()}
    return on_host(DeviceTable(sliced, n), backend)


def on_host(table: DeviceTable, backend: Backend) -> Any:
    """Return a table as an Arrow table in the host's memory; NaN becomes null."""
    columns = [
        backend.to_host(column, name) if isinstance(column, DeviceArray) else column
        for name, column in table.given.items()
    ]
    return pa.Table.from_arrays(columns, names=table.column_names)
