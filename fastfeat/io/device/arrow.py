"""Arrow's C device interface: arrays and tables in device memory, passed as two capsules.

PyArrow's wheels support only host memory, so this module reads the array structures itself. PyArrow
reads the schema, which is always in host memory.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.arrow import pa
from fastfeat.io.columns.types import column_text, known_type, storage_type
from fastfeat.io.device.array import DeviceArray, ReadySignal
from fastfeat.io.device.capsule import pointer_in
from fastfeat.ir.dtypes import DType


class ArrowArray(ctypes.Structure):
    """`struct ArrowArray`."""


ArrowArray._fields_ = (
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(ArrowArray))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
)


class ArrowDeviceArray(ctypes.Structure):
    """`struct ArrowDeviceArray`."""

    _fields_ = (
        ("array", ArrowArray),
        ("device_id", ctypes.c_int64),
        ("device_type", ctypes.c_int32),
        ("sync_event", ctypes.c_void_p),
        ("reserved", ctypes.c_int64 * 3),
    )


_Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Owner:
    """Calls an exported array's release callback when no column refers to the array any more."""

    __slots__ = ("__weakref__",)


class _Schema:
    """A schema in a capsule, for PyArrow."""

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __arrow_c_schema__(self) -> object:
        return self._capsule


class ImportedArray(NamedTuple):
    """An Arrow array in device memory that another library has exported.

    Args:
        field: The Arrow field: name and type.
        held: The structure, with addresses on the device.
        owner: Object that keeps the memory alive.
    """

    field: Any
    held: Any
    owner: object

    @property
    def device_type(self) -> int:
        """The DLPack number of the device type."""
        return self.held.device_type


def import_arrow(data: Any, subject: str) -> ImportedArray:
    """Return the array that an object exports by `__arrow_c_device_array__`.

    `subject` names the object at the beginning of messages.

    Raises:
        TypeMismatch: The export fails or cannot be read.
        InvalidData: The exported array was already released.
    """
    try:
        schema, capsule = data.__arrow_c_device_array__()
        address = pointer_in(capsule, b"arrow_device_array")
        field = pa.field(_Schema(schema))
    except Exception as error:  # a library may raise any error
        raise TypeMismatch(
            f"{subject}: cannot be shared through Arrow's device interface: {error}"
        ) from error
    held = ArrowDeviceArray.from_address(address)
    if not held.array.release:
        raise InvalidData(
            f"{subject}: the Arrow device array was already released: it can be read only once. "
            "Export it again"
        )
    owner = _Owner()
    weakref.finalize(owner, _release, address, capsule).atexit = False
    return ImportedArray(field, held, owner)


def _release(address: int, capsule: object) -> None:
    """Call the release callback of an array unless it was released; the capsule outlives it."""
    callback = ArrowArray.from_address(address).release
    if callback:
        _Release(callback)(address)


def columns_in(imported: ImportedArray) -> Iterator[tuple[str, DeviceArray | None, Any]]:
    """Yield the name, the column and the Arrow type of each column of an exported table.

    The column is None if kernels cannot read its type.

    Raises:
        TypeMismatch: The array is not a table.
        InvalidData: The table has missing rows.
    """
    kind, table = imported.field.type, imported.held.array
    if not pa.types.is_struct(kind):
        raise TypeMismatch(
            f"an Arrow device array of type {kind} is not a table. Pass an array of type struct, "
            "whose fields are the columns"
        )
    if table.n_children != kind.num_fields or (table.n_children and not table.children):
        raise _malformed("the table")
    _check(table, 1, 0, "the table")
    if table.buffers[0] and table.null_count:
        raise InvalidData(
            "an Arrow device table marks whole rows as missing. Pass a table without such rows"
        )
    for k in range(table.n_children):
        field, array = kind.field(k), table.children[k].contents
        yield (
            field.name,
            _column(imported, array, field, table.offset, table.length),
            field.type,
        )


def of_arrow(imported: ImportedArray, name: str) -> DeviceArray:
    """Return an exported array as a column.

    Raises:
        TypeMismatch: Kernels do not read its type on a device.
    """
    array, field = imported.held.array, imported.field.with_name(name)
    column = _column(imported, array, field, 0, array.length)
    if column is None:
        raise unsupported_type(name, field.type)
    return column


def unsupported_type(name: str, kind: Any) -> TypeMismatch:
    """Return the error for a column with a type that kernels do not read."""
    return TypeMismatch(
        f"{column_text(name)}: Arrow arrays of {kind} on a device are not supported, only numbers, "
        "bools and times. Pass this column from host memory, or convert it on the device"
    )


def _column(
    imported: ImportedArray, array: Any, field: Any, offset: int, length: int
) -> DeviceArray | None:
    dtype = known_type(field.type)
    if dtype is None or not _is_plain(dtype, field.type):
        return None
    _check(array, 2, offset + length, column_text(field.name))
    first = array.offset + offset
    event = _event(imported)
    validity = array.buffers[0] if array.null_count else None
    whole = DeviceArray(
        dtype,
        array.length,
        array.buffers[1] or 0,
        validity=validity or 0,
        ready=ReadySignal("event", event) if event else None,
        owner=imported.owner,
    )
    return whole.slice(first, length)


def _check(array: Any, n_buffers: int, n_rows: int, subject: str) -> None:
    """Raise InvalidData if reading `n_rows` rows would go beyond the array."""
    is_whole = array.n_buffers == n_buffers and bool(array.buffers)
    if not is_whole or array.offset < 0 or array.length < n_rows or array.length < 0:
        raise _malformed(subject)


def _malformed(subject: str) -> InvalidData:
    return InvalidData(
        f"{subject}: the Arrow device array is malformed: its length, offset, buffers or "
        "children do not match its type"
    )


def _event(imported: ImportedArray) -> int | None:
    """Return the CUDA event to wait for before reading, or None.

    The structure holds its address as a `cudaEvent_t*`.
    """
    place: int | None = imported.held.sync_event
    return ctypes.c_void_p.from_address(place).value if place else None


def _is_plain(dtype: DType, kind: Any) -> bool:
    """Return whether kernels can read values of a type as Arrow stores them."""
    if dtype.name in ("utf8", "list", "float16", "null") or pa.types.is_dictionary(kind):
        return False
    if pa.types.is_decimal(kind):
        return False
    return not pa.types.is_run_end_encoded(kind) and kind.bit_width == storage_type(dtype).bit_width
