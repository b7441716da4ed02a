"""Libraries that hand over memory of a device, as seen from outside: each over emulated memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastfeat.engine.gpu.device.emulated import EmulatedArray, EmulatedRuntime
from fastfeat.io.device.arrow import ArrowArray, ArrowDeviceArray

CUDA = 2
_new_capsule = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)(("PyCapsule_New", ctypes.pythonapi))


def put(runtime: EmulatedRuntime, values: Any) -> EmulatedArray:
    """Return a copy of a NumPy array on the emulated device."""
    array = np.ascontiguousarray(values)
    buffer = runtime.allocate(array.nbytes)
    runtime.upload(array, buffer)
    return runtime.array(buffer, array.shape, array.dtype, array.strides)


class CudaArray:
    """An array that says of itself what a test wants it to."""

    def __init__(self, array: EmulatedArray, **said: Any) -> None:
        self.array = array
        strides = {"strides": None} if "shape" in said else {}
        self.__cuda_array_interface__ = array.__cuda_array_interface__ | strides | said


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("dtype", ctypes.c_uint8 * 4),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


class DlpackTensor:
    """A DLPack tensor on a CUDA device, that notes the calls of its deleter."""

    def __init__(
        self,
        array: EmulatedArray,
        *,
        code: int | None = None,
        bits: int | None = None,
        strides: Sequence[int] | None = None,
        device: int = CUDA,
    ) -> None:
        self.array = array
        self.code = {"i": 0, "u": 1, "f": 2, "b": 6}[array.dtype.kind] if code is None else code
        self.bits = 8 * array.dtype.itemsize if bits is None else bits
        self.strides = strides
        self.device = device
        self.deleted: list[int] = []
        self.streams: list[int] = []
        self._delete = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.deleted.append)
        self._kept: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device, 0

    def __dlpack__(self, *, stream: int) -> Any:
        self.streams.append(stream)
        shape = (ctypes.c_int64 * len(self.array.shape))(*self.array.shape)
        strides = None if self.strides is None else (ctypes.c_int64 * len(shape))(*self.strides)
        tensor = _Tensor(
            data=self.array.buffer.address - 8,
            device=(ctypes.c_int32 * 2)(self.device, 0),
            ndim=len(shape),
            dtype=(ctypes.c_uint8 * 4)(self.code, self.bits, 1, 0),
            shape=ctypes.addressof(shape),
            strides=None if strides is None else ctypes.addressof(strides),
            byte_offset=8,
            deleter=ctypes.cast(self._delete, ctypes.c_void_p).value,
        )
        self._kept += [shape, strides, tensor]
        return _new_capsule(ctypes.addressof(tensor), b"dltensor", None)


class ArrowDeviceData:
    """An Arrow array or table whose buffers are on the emulated device, by the C device interface.

    Args:
        runtime: of the device.
        data: an array, or a record batch; offsets stay as they are.
        device: type of the device.
        event: the event to wait for.
        unaligned: by how many bytes each buffer misses a multiple of 256.
    """

    def __init__(
        self,
        runtime: EmulatedRuntime,
        data: Any,
        *,
        device: int = CUDA,
        event: int | None = None,
        unaligned: int = 0,
    ) -> None:
        self.released = 0
        self._runtime, self._unaligned = runtime, unaligned
        self._device, self._event = device, event
        self._kept: list[Any] = []
        self._release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._released)
        is_table = isinstance(data, pa.RecordBatch)
        self._schema = data.schema if is_table else pa.field("", data.type)
        self._array = self._table(data) if is_table else self._column(data)

    def __arrow_c_device_array__(self, requested_schema: object = None) -> tuple[Any, Any]:
        assert self._array.release is None, "exported once"
        self._array.release = ctypes.cast(self._release, ctypes.c_void_p).value
        event = ctypes.c_void_p(self._event)
        place = None if self._event is None else ctypes.addressof(event)
        self._exported = exported = ArrowDeviceArray(self._array, 0, self._device, place)
        self._kept.append(event)
        capsule = _new_capsule(ctypes.addressof(exported), b"arrow_device_array", None)
        return self._schema.__arrow_c_schema__(), capsule

    def pretend(self, child: int | None = None, **fields: Any) -> None:
        """Change fields of the structure that is exported, or of one of its columns."""
        array = self._array if child is None else self._array.children[child].contents
        for name, value in fields.items():
            setattr(array, name, value)

    def release(self) -> None:
        """Release what was exported, as a consumer does."""
        self._released(ctypes.addressof(self._exported))

    def _released(self, address: int) -> None:
        self.released += 1
        ArrowArray.from_address(address).release = None

    def _table(self, batch: Any) -> ArrowArray:
        columns = [self._column(column) for column in batch.columns]
        pointers = (ctypes.POINTER(ArrowArray) * len(columns))(*map(ctypes.pointer, columns))
        buffers = (ctypes.c_void_p * 1)(None)
        self._kept += [columns, pointers, buffers]
        return ArrowArray(
            length=batch.num_rows,
            n_buffers=1,
            n_children=len(columns),
            buffers=buffers,
            children=pointers,
        )

    def _column(self, array: Any) -> ArrowArray:
        held = [None if b is None else self._on_device(b) for b in array.buffers()]
        buffers = (ctypes.c_void_p * len(held))(*held)
        self._kept.append(buffers)
        return ArrowArray(
            length=len(array),
            null_count=-1 if array.null_count else 0,
            offset=array.offset,
            n_buffers=len(held),
            buffers=buffers,
        )

    def _on_device(self, buffer: Any) -> int:
        content: NDArray[Any] = np.frombuffer(buffer, np.uint8)
        held = self._runtime.allocate(-(-(len(content) + self._unaligned) // 64) * 64)
        self._runtime.upload(content, held, self._unaligned)
        self._kept.append(held)
        return held.address + self._unaligned
