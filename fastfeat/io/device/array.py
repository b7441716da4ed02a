"""Columns and tables in the memory of a device: addresses, types, who keeps them, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeGuard

import numpy as np

from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir.dtypes import DType


class Ready(NamedTuple):
    """The stream or event to wait for before memory is read.

    Args:
        kind: "stream": all that was asked of a stream, by its number in CUDA's array interface;
            "event": the event at an address.
        number: which.
    """

    kind: Literal["stream", "event"]
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class DeviceArray:
    """A column in the memory of a device, in Arrow's layout unless `is_bytes`.

    Args:
        dtype: type of the values.
        length: number of rows.
        values: address of the first value; of bits, of the byte that `value_bit` counts from.
        value_bit: which bit is the first value, of bits.
        validity: address of the bitmap; 0 where no value is missing, but for NaN.
        bit: which bit of the bitmap belongs to the first row.
        is_bytes: whether a bool takes a byte, as in arrays that are not Arrow's.
        ready: what to wait for; None if nothing.
        owner: what keeps the memory.
        name: what the column is called in messages, where that is known.
    """

    dtype: DType
    length: int
    values: int
    value_bit: int = 0
    validity: int = 0
    bit: int = 0
    is_bytes: bool = False
    ready: Ready | None = None
    owner: object = None
    name: str = "a made column"

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.length

    @property
    def type(self) -> Any:
        """The Arrow type of the values."""
        return arrow_type(self.dtype)

    @property
    def has_bits(self) -> bool:
        """Whether a value is a bit."""
        return self.dtype.name == "bool" and not self.is_bytes

    @property
    def item_bytes(self) -> int:
        """Bytes from one value to the next; 0 of bits."""
        if self.dtype.name == "bool":
            return int(self.is_bytes)
        return int(self.type.bit_width) // 8

    def slice(self, start: int, length: int) -> DeviceArray:
        """Return rows [start, start + length), in place."""
        return replace(
            self,
            length=length,
            values=self.values + start * self.item_bytes,
            value_bit=self.value_bit + (start if self.has_bits else 0),
            bit=self.bit + start,
        )


@dataclass(frozen=True, slots=True, eq=False)
class DeviceTable:
    """Columns by name, some of them in the memory of a device, the others Arrow's in the host's.

    It answers what the plan asks of an Arrow table.
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
        """Return a column by its name."""
        return self.given[name]

    def select(self, names: Sequence[str]) -> DeviceTable:
        """Return the table with the columns of those names that it has."""
        return DeviceTable({n: self.given[n] for n in names if n in self.given}, self.num_rows)

    def on_device(self) -> dict[str, DeviceArray]:
        """Return the columns that are in the memory of a device."""
        return {n: column for n, column in self.given.items() if isinstance(column, DeviceArray)}


HOST_DEVICES = frozenset({1, 3})
"""Types of devices in DLPack's numbering: the host's memory, and the part of it that is pinned."""
CUDA_DEVICES = frozenset({2, 13})
"""A card's memory, and memory that moves between card and host."""
_HOST_CLASSES: tuple[type, ...] = (np.ndarray, list, tuple, range, pa.Array, pa.ChunkedArray)
_TABLE_CLASSES: tuple[type, ...] = (pa.Table, pa.RecordBatch)


def holds_device_memory(data: Any, columns: Sequence[str]) -> bool:
    """Return whether any of the wanted columns may be in the memory of a device."""
    if is_mapping(data):
        return any(is_on_device(data[name]) for name in names_in(data, columns))
    if isinstance(data, _TABLE_CLASSES):
        return False
    return isinstance(data, DeviceTable) or hasattr(data, "__arrow_c_device_array__")


def names_in(data: Mapping[Any, Any], columns: Sequence[str]) -> list[Any]:
    """Return the wanted columns that data has; one that it has, if it has none of them."""
    return [name for name in columns if name in data] or list(data)[:1]


def is_mapping(data: Any) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether data is a dict of columns."""
    return isinstance(data, Mapping)


def is_on_device(values: Any) -> bool:
    """Return whether a column may be in the memory of a device, of whatever kind."""
    if isinstance(values, _HOST_CLASSES):
        return False
    if cuda_interface(values) is not None or hasattr(values, "__arrow_c_device_array__"):
        return True
    device = dlpack_device(values)
    return device is not None and device not in HOST_DEVICES


def cuda_interface(values: object) -> Any:
    """Return an array's description of itself, unread; None where it is no CUDA array.

    Raises:
        TypeMismatch: it cannot be shared as it is, such as a tensor that records gradients.
    """
    try:
        return getattr(values, "__cuda_array_interface__", None)
    except Exception as error:  # of a library that may raise anything
        raise TypeMismatch(f"an array on the device cannot be shared: {error}") from error


def dlpack_device(values: object) -> int | None:
    """Return the type of the device that a tensor is on; None where it is no DLPack tensor.

    Raises:
        TypeMismatch: it is one, and does not say where it is.
    """
    device = getattr(values, "__dlpack_device__", None)
    try:
        return None if device is None else int(device()[0])
    except Exception as error:  # of a library that may raise anything
        raise TypeMismatch(f"a tensor does not say on which device it is: {error}") from error
