"""Tables with columns in device memory: dicts of arrays, and Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from fastfeat.errors import InvalidData, TypeMismatch, counted
from fastfeat.io.arrow import pa
from fastfeat.io.columns.types import column_text
from fastfeat.io.device.array import (
    CUDA_DEVICES,
    HOST_DEVICES,
    DeviceArray,
    DeviceTable,
    cuda_interface,
    dlpack_device,
    is_mapping,
    is_on_device,
    names_in,
)
from fastfeat.io.device.arrow import (
    ImportedArray,
    columns_in,
    import_arrow,
    of_arrow,
    unsupported_type,
)
from fastfeat.io.device.cuda import of_cuda_array
from fastfeat.io.device.dlpack import of_tensor
from fastfeat.io.sources.arrays import column_array


def device_table(data: Any, columns: Sequence[str]) -> Any:
    """Return the wanted columns of data that may be in device memory, in the wanted order.

    `data` is a dict of columns, an object with `__arrow_c_device_array__`, or a result of this
    function. Wanted columns that it lacks are left out.

    Returns:
        A DeviceTable, or a pyarrow Table if an Arrow array turns out to be in host memory.

    Raises:
        TypeMismatch, InvalidData: A value is not a column, or lengths differ.
    """
    if isinstance(data, DeviceTable):
        return data.select(columns)
    if not is_mapping(data):
        return _of_arrow(data, columns)
    given = {name: _column(data[name], name) for name in names_in(data, columns)}
    n_rows = len(next(iter(given.values())))
    for name, column in given.items():
        if len(column) != n_rows:
            raise InvalidData(
                f"columns of unequal lengths: {column_text(next(iter(given)))} has "
                f"{counted(n_rows, 'row')}, {column_text(name)} has {len(column)}"
            )
    return DeviceTable(given, n_rows).select(columns)


def _column(values: Any, name: str) -> Any:
    """Return a column: a DeviceArray, or in host memory a chunked array."""
    if not is_on_device(values):
        array = column_array(values, name)
        return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    interface = cuda_interface(values)
    if interface is not None:
        return of_cuda_array(values, interface, name)
    if hasattr(values, "__arrow_c_device_array__"):
        imported = import_arrow(values, column_text(name))
        if imported.device_type in HOST_DEVICES:
            return pa.chunked_array([pa.array(values)])
        _check_device(imported.device_type, column_text(name))
        return of_arrow(imported, name)
    _check_device(cast(int, dlpack_device(values)), column_text(name))
    return of_tensor(values, name)


def _of_arrow(data: Any, columns: Sequence[str]) -> Any:
    imported: ImportedArray = import_arrow(data, "the table")
    if imported.device_type in HOST_DEVICES:
        table = pa.Table.from_batches([pa.record_batch(data)])
        return table.select([name for name in columns if name in table.column_names])
    _check_device(imported.device_type, "the table")
    there: dict[str, tuple[DeviceArray | None, Any]] = {}
    for name, column, kind in columns_in(imported):
        if name in there and name in columns:
            raise InvalidData(f"the data has several columns named {column_text(name)}")
        there[name] = column, kind
    given: dict[str, DeviceArray] = {}
    for name in columns:
        if name in there:
            column, kind = there[name]
            if column is None:
                raise unsupported_type(name, kind)
            given[name] = column
    return DeviceTable(given, imported.held.array.length)


def _check_device(number: int, subject: str) -> None:
    """Raise TypeMismatch if memory is on a device other than CUDA."""
    if number not in CUDA_DEVICES:
        raise TypeMismatch(
            f"{subject}: is on a device of DLPack type {number}, not on a CUDA device (types 2 and "
            "13). Copy it to the host first"
        )
