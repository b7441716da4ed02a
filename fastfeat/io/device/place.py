"""The place of a column's memory: on a device, or in the host's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import pa
from fastfeat.io.device.array import DeviceTable

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
