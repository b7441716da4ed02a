"""Tensors in GPU memory through DLPack, which shares addresses between libraries in a capsule."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np

from fastfeat.errors import TypeMismatch
from fastfeat.io.columns.types import column_text
from fastfeat.io.device.array import DeviceArray, ReadySignal
from fastfeat.io.device.capsule import pointer_in, rename
from fastfeat.io.device.cuda import DEVICE_TYPES, check_vector, device_type

LEGACY_STREAM = 1
_KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}


class _Tensor(ctypes.Structure):
    """`DLTensor`."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    """`DLManagedTensor`."""

    _fields_ = (
        ("tensor", _Tensor),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
    )


class _Owner:
    """Calls a tensor's deleter when no column refers to the tensor any more."""

    __slots__ = ("__weakref__",)


def of_tensor(values: Any, name: str) -> DeviceArray:
    """Return a tensor on a device as a column.

    Raises:
        TypeMismatch, InvalidData: The type, shape or strides do not suit a column.
    """
    try:
        capsule = values.__dlpack__(stream=LEGACY_STREAM)
        address = pointer_in(capsule, b"dltensor")
    except Exception as error:  # a library may raise any error
        raise TypeMismatch(
            f"{column_text(name)}: cannot be shared through DLPack: {error}"
        ) from error
    managed = _Managed.from_address(address)
    rename(capsule, b"used_dltensor")  # from here on we must delete it
    owner = _Owner()
    if managed.deleter:
        weakref.finalize(owner, managed.deleter, address).atexit = False
    tensor: Any = managed.tensor
    text = f"{_KINDS.get(tensor.code, 'unknown')}{tensor.bits}".replace("bool8", "bool")
    if tensor.lanes != 1 or text not in DEVICE_TYPES:
        raise TypeMismatch(
            f"{column_text(name)}: tensors of {text} x {tensor.lanes} are not supported. Supported "
            f"types: {', '.join(DEVICE_TYPES)}. Convert it on the device, such as x.double()"
        )
    kind = np.dtype(text)
    n_dims = tensor.ndim if tensor.shape else 0
    shape = tuple(tensor.shape[k] for k in range(n_dims))
    strides = None
    if tensor.strides:
        strides = tuple(tensor.strides[k] * kind.itemsize for k in range(tensor.ndim))
    check_vector(shape, strides, kind.itemsize, name)
    return DeviceArray(
        device_type(kind, name),
        shape[0],
        (tensor.data or 0) + tensor.byte_offset,
        is_bytes=text == "bool",
        ready=ReadySignal("stream", LEGACY_STREAM),
        owner=owner,
    )
