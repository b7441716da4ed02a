"""Arrays in GPU memory through CUDA's array interface: CuPy, Numba, torch, JAX and cuDF arrays."""

from __future__ import annotations

import math
from operator import index
from typing import Any, NamedTuple

import numpy as np

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.columns.types import column_text
from fastfeat.io.device.array import DeviceArray, ReadySignal
from fastfeat.ir.dtypes import INTEGER_RANGE, DType

DEVICE_TYPES = ("bool", *INTEGER_RANGE, "float32", "float64")


MOST_ADDRESS = (1 << 63) - 1
"""Kernels take addresses and lengths as int64."""


class ArrayDescription(NamedTuple):
    """An array's own description of its device memory.

    Args:
        kind: Type of the elements.
        shape: Number of elements along each axis.
        address: Address of the first element.
        is_readonly: Whether it must not be written.
        strides: Bytes between elements along each axis; None if contiguous.
        stream: Stream to wait for; None if the memory is ready.
    """

    kind: np.dtype[Any]
    shape: tuple[int, ...]
    address: int
    is_readonly: bool
    strides: tuple[int, ...] | None
    stream: int | None


def read_interface(interface: Any, subject: str) -> ArrayDescription:
    """Return a validated description from the result of `cuda_interface`.

    `subject` names the array at the beginning of the message.

    Raises:
        InvalidData: An entry is missing or malformed.
    """
    try:
        return _description(interface)
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidData(
            f"{subject}: its __cuda_array_interface__ is malformed: {error!r}. Pass a CuPy "
            "array, or a tensor that supports DLPack"
        ) from None


def _description(interface: Any) -> ArrayDescription:
    kind, (address, is_readonly) = interface["typestr"], interface["data"]
    if not isinstance(kind, str):
        raise TypeError(f"typestr is {kind!r}")
    strides, stream = interface.get("strides"), interface.get("stream")
    described = ArrayDescription(
        np.dtype(kind),
        tuple(map(index, interface["shape"])),
        0 if address is None else index(address),
        bool(is_readonly),
        None if strides is None else tuple(map(index, strides)),
        None if stream is None else index(stream),
    )
    shape, end = described.shape, described.address + math.prod(described.shape)
    numbers = (end, described.address, described.stream or 0, *shape)
    if min(numbers) < 0 or max(numbers) > MOST_ADDRESS:
        raise ValueError("a number is out of range")
    if described.strides is not None and len(described.strides) != len(shape):
        raise ValueError(f"strides {described.strides} do not match shape {shape}")
    return described


def of_cuda_array(values: object, interface: Any, name: str) -> DeviceArray:
    """Return an array on a device as a column.

    `values` keeps the memory alive; `interface` is the result of `cuda_interface`.

    Raises:
        TypeMismatch, InvalidData: The type, shape or strides do not suit a column.
    """
    said = read_interface(interface, column_text(name))
    if interface.get("mask") is not None:
        raise InvalidData(
            f"{column_text(name)}: masks of device arrays are not supported. Write NaN for missing "
            "floats, or pass an Arrow array, which has a bitmap of its own"
        )
    check_vector(said.shape, said.strides, said.kind.itemsize, name)
    return DeviceArray(
        device_type(said.kind, name),
        said.shape[0],
        said.address,
        is_bytes=said.kind == np.bool_,
        ready=None if said.stream is None else ReadySignal("stream", said.stream),
        owner=values,
    )


def device_type(kind: np.dtype[Any], name: str) -> DType:
    """Return the column type for a NumPy element type in native byte order.

    Raises:
        TypeMismatch: There is none.
    """
    if kind.name in DEVICE_TYPES and kind.isnative:
        return DType(kind.name)
    raise TypeMismatch(
        f"{column_text(name)}: device arrays of {kind.name} are not supported. Supported types: "
        f"{', '.join(DEVICE_TYPES)}. Convert it: x.astype('float64'); pass times as Arrow"
    )


def check_vector(
    shape: tuple[int, ...], strides: tuple[int, ...] | None, n_bytes: int, name: str
) -> None:
    """Raise unless an array has one dimension and no gaps between elements.

    `strides` and `n_bytes`, the size of an element, are in bytes; strides are None if contiguous.

    Raises:
        TypeMismatch: It has more than one dimension.
        InvalidData: It has gaps, or a negative length.
    """
    if len(shape) != 1:
        raise TypeMismatch(
            f"{column_text(name)}: a column has one dimension, this array has shape {shape}"
        )
    if shape[0] < 0:
        raise InvalidData(f"{column_text(name)}: the array is malformed: it has {shape[0]} rows")
    if strides is not None and shape[0] > 1 and tuple(strides) != (n_bytes,):
        raise InvalidData(
            f"{column_text(name)}: its elements are {strides[0]} bytes apart, but must be "
            f"{n_bytes} bytes apart. Make it contiguous: cupy.ascontiguousarray(x), x.contiguous()"
        )
