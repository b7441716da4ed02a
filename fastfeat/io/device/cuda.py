"""CUDA's array interface, version 2 or 3: CuPy, Numba, torch, JAX and cuDF arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastfeat.dtypes import INTEGER_RANGE, DType
from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.device.array import DeviceArray, Ready
from fastfeat.io.types import column_text

DEVICE_TYPES = ("bool", *INTEGER_RANGE, "float32", "float64")


def of_cuda_array(values: object, interface: dict[str, Any], name: str) -> DeviceArray:
    """Return an array on a device as a column.

    Args:
        values: what the user gave; it keeps the memory.
        interface: what `cuda_interface` returned.
        name: of the column, for messages.

    Raises:
        TypeMismatch, InvalidData: its type, its shape or its strides are not those of a column.
    """
    if interface.get("mask") is not None:
        raise InvalidData(
            f"{column_text(name)}: a mask of a device array is not read. Write NaN where a float "
            "is missing, or pass an Arrow array, which has a bitmap"
        )
    kind = np.dtype(interface["typestr"])
    check_vector(tuple(interface["shape"]), interface.get("strides"), kind.itemsize, name)
    stream = interface.get("stream")
    return DeviceArray(
        device_type(kind, name),
        int(interface["shape"][0]),
        int(interface["data"][0] or 0),
        is_bytes=kind == np.bool_,
        ready=None if stream is None else Ready("stream", int(stream)),
        owner=values,
    )


def device_type(kind: np.dtype[Any], name: str) -> DType:
    """Return the type of a column of an element type, in native byte order.

    Raises:
        TypeMismatch: there is none.
    """
    if kind.name in DEVICE_TYPES and kind.isnative:
        return DType(kind.name)
    raise TypeMismatch(
        f"{column_text(name)}: arrays of {kind.name} on a device are not read. There are: "
        f"{', '.join(DEVICE_TYPES)}. Convert it there: x.astype('float64'); pass times as Arrow"
    )


def check_vector(
    shape: tuple[int, ...], strides: tuple[int, ...] | None, n_bytes: int, name: str
) -> None:
    """Raise unless an array is one row of elements without gaps.

    Args:
        shape: of the array.
        strides: in bytes; None without gaps.
        n_bytes: of an element.
        name: of the column, for messages.

    Raises:
        TypeMismatch: more than one dimension.
        InvalidData: there are gaps.
    """
    if len(shape) != 1:
        raise TypeMismatch(
            f"{column_text(name)}: a column has one dimension, this array has shape {shape}"
        )
    if strides is not None and math.prod(shape) > 1 and tuple(strides) != (n_bytes,):
        raise InvalidData(
            f"{column_text(name)}: its elements are {strides[0]} bytes apart, and kernels read "
            f"them {n_bytes} apart. Make it contiguous: cupy.ascontiguousarray(x), x.contiguous()"
        )
