"""Columns and tables in device (GPU) memory: addresses, types, owners and locations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeGuard

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir.dtypes import DType


class ReadySignal(NamedTuple):
    """The CUDA stream or event to wait for before the memory of an array is read.

    Args:
        kind: "stream" waits for all work in a stream, "event" for one event.
        number: Number of the stream in CUDA's array interface, or address of the event.
    """

    kind: Literal["stream", "event"]
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class DeviceArray:
    """A column in device memory, in Arrow's layout unless `is_bytes`.

    Args:
        dtype: Type of the values.
        length: Number of rows.
        values: Address of the first value; for bits, of the byte from which `value_bit` counts.
        value_bit: Position of the first bit, if values are bits.
        validity: Address of the bitmap; 0 if no value is missing, except NaN.
        bit: Position of the first row's bit in the bitmap.
        is_bytes: Whether a bool takes a byte, as in arrays other than Arrow's.
        ready: Stream or event to wait for; None if the memory is ready.
        owner: Object that keeps the memory alive.
        name: Name of the column for messages, if known.
    """

    dtype: DType
    length: int
    values: int
    value_bit: int = 0
    validity: int = 0
    bit: int = 0
    is_bytes: bool = False
    ready: ReadySignal | None = None
    owner: object = None
    name: str = "an unnamed column"

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.length

    @property
    def type(self) -> Any:
        """The Arrow type of the values."""
        return arrow_type(self.dtype)

    @property
    def has_bits(self) -> bool:
        """Whether a value is a single bit."""
        return self.dtype.name == "bool" and not self.is_bytes

    @property
    def item_bytes(self) -> int:
        """Bytes from one value to the next; 0 for bits."""
        if self.dtype.name == "bool":
            return int(self.is_bytes)
        return int(self.type.bit_width) // 8

    def slice(self, start: int, length: int) -> DeviceArray:
        """Return rows `start` to `start + length` (exclusive), without a copy."""
        return replace(
            self,
            length=length,
            values=self.values + start * self.item_bytes,
            value_bit=self.value_bit + (start if self.has_bits else 0),
            bit=self.bit + start,
        )


@dataclass(frozen=True, slots=True, eq=False)
class DeviceTable:
    """Columns by name, some of them in device memory, the others Arrow columns in host memory.

    The class has the attributes of an Arrow table that a plan uses.
    """

    given: Mapping[str, Any]
    num_rows: int

    @property
    def column_names(self) -> list[str]:
        """The names, in order."""
        return list(self.given)

    @property
    def columns(self) -> list[Any]:
        """The columns, in order."""
        return list(self.given.values())

    @property
    def schema(self) -> Schema:
        """The Arrow type of each column."""
        return pa.schema([(name, column.type) for name, column in self.given.items()])

    def column(self, name: str) -> Any:
        """Return a column by name."""
        return self.given[name]

    def select(self, names: Sequence[str]) -> DeviceTable:
        """Return a table with those named columns that exist."""
        return DeviceTable({n: self.given[n] for n in names if n in self.given}, self.num_rows)

    def on_device(self) -> dict[str, DeviceArray]:
        """Return the columns in device memory."""
        return {n: column for n, column in self.given.items() if isinstance(column, DeviceArray)}


HOST_DEVICES = frozenset({1, 3})
"""DLPack device types of host memory: ordinary and pinned."""
CUDA_DEVICES = frozenset({2, 13})
"""DLPack device types of a CUDA card's memory, and of managed memory."""
_HOST_CLASSES: tuple[type, ...] = (np.ndarray, list, tuple, range, pa.Array, pa.ChunkedArray)
_TABLE_CLASSES: tuple[type, ...] = (pa.Table, pa.RecordBatch)


def holds_device_memory(data: Any, columns: Sequence[str]) -> bool:
    """Return whether any of the wanted columns may be in device memory."""
    if is_mapping(data):
        return any(is_on_device(data[name]) for name in names_in(data, columns))
    if isinstance(data, _TABLE_CLASSES):
        return False
    return isinstance(data, DeviceTable) or hasattr(data, "__arrow_c_device_array__")


def names_in(data: Mapping[Any, Any], columns: Sequence[str]) -> list[Any]:
    """Return the wanted columns that the data has, or its first column if it has none of them.

    One column is needed for the number of rows.
    """
    return [name for name in columns if name in data] or list(data)[:1]


def is_mapping(data: Any) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether data is a dict of columns."""
    return isinstance(data, Mapping)


def is_on_device(values: Any) -> bool:
    """Return whether a column may be in device memory of any kind."""
    if isinstance(values, _HOST_CLASSES):
        return False
    if cuda_interface(values) is not None or hasattr(values, "__arrow_c_device_array__"):
        return True
    device = dlpack_device(values)
    return device is not None and device not in HOST_DEVICES


def cuda_interface(values: object) -> Any:
    """Return an array's own CUDA description, not yet validated; None if it is no CUDA array."""
    try:
        return getattr(values, "__cuda_array_interface__", None)
    except Exception as error:  # a library may raise any error
        raise TypeMismatch(f"an array on the device cannot be shared: {error}") from error


def dlpack_device(values: object) -> int | None:
    """Return the DLPack device type of a tensor; None if it is no DLPack tensor."""
    device = getattr(values, "__dlpack_device__", None)
    try:
        return None if device is None else int(device()[0])
    except Exception as error:  # a library may raise any error
        raise TypeMismatch(f"a tensor does not tell which device it is on: {error}") from error
