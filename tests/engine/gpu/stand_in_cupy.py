"""What stands for the module `cupy`: its names and signatures, on the host; g++ runs the kernels.

Only what fastfeat uses of CuPy is here, so that a call which CuPy does not have fails.
"""

from __future__ import annotations

import ctypes
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from fastfeat.engine.gpu.device.emulated import EmulatedRuntime

NAMES = (
    *("ndarray", "get_default_memory_pool", "RawModule", "RawModule.get_function"),
    *("cuda.MemoryPool", "cuda.MemoryPool.malloc", "cuda.MemoryPool.free_bytes"),
    *("cuda.MemoryPool.free_all_blocks", "cuda.UnownedMemory", "cuda.MemoryPointer"),
    *("cuda.alloc_pinned_memory", "cuda.get_current_stream", "cuda.Device", "cuda.Stream"),
    *("cuda.Stream.wait_event", "cuda.Stream.synchronize", "cuda.Event", "cuda.Event.record"),
    *("cuda.Event.synchronize", "cuda.runtime.runtimeGetVersion", "cuda.runtime.getDevice"),
    *("cuda.runtime.getDeviceCount", "cuda.runtime.getDeviceProperties"),
    *("cuda.runtime.memGetInfo", "cuda.runtime.pointerGetAttributes"),
    *("cuda.runtime.streamSynchronize", "cuda.runtime.eventSynchronize"),
    *("cuda.runtime.memcpyAsync", "cuda.runtime.memsetAsync"),
)
"""What can be called, by the path from the module."""
_TOTAL = 1 << 26
_held: dict[int, Any] = {}  # by address, what is allocated
_emulator: list[EmulatedRuntime] = []


class CUDARuntimeError(RuntimeError):
    """What CUDA says of a call that failed."""


class OutOfMemoryError(MemoryError):
    """More memory than there is was asked for."""


class MemoryPointer:
    """A place in memory of the device."""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem = mem
        self.ptr: int = mem.ptr + offset


class UnownedMemory:
    """Memory that another object keeps."""

    def __init__(self, ptr: int, size: int, owner: object, device_id: int = -1) -> None:
        assert device_id == 0
        self.ptr, self.size, self.owner = ptr, size, owner


class _Memory:
    def __init__(self, size: int) -> None:
        self.size = size
        block = np.full(size + 512, 0xA5, np.uint8)
        self.ptr: int = -(-block.ctypes.data // 512) * 512
        _held[self.ptr] = block

    def __del__(self) -> None:
        _held.pop(self.ptr, None)


class MemoryPool:
    """Memory of the device; nothing that is freed is kept."""

    def malloc(self, size: int) -> MemoryPointer:
        """Return new memory."""
        if size > _TOTAL:
            raise OutOfMemoryError
        return MemoryPointer(_Memory(size), 0)

    def free_bytes(self) -> int:
        """Return how many bytes are kept."""
        return 0

    def free_all_blocks(self, stream: Any = None) -> None:
        """Give back what is kept."""


class Stream:
    """Does everything at once."""

    def __init__(
        self,
        null: bool = False,
        non_blocking: bool = False,
        ptds: bool = False,
        priority: int | None = None,
    ) -> None:
        self.ptr = 0 if null else id(self)

    def wait_event(self, event: Event) -> None:
        """Let what comes wait for an event."""
        assert isinstance(event, Event)

    def synchronize(self) -> None:
        """Wait for everything."""


class Event:
    """Has happened."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self.done = True

    def record(self, stream: Stream | None = None) -> None:
        """Happen when what is in a stream is done."""
        assert stream is None or isinstance(stream, Stream)

    def synchronize(self) -> None:
        """Wait for it."""


class Device:
    """The only device."""

    compute_capability = "90"

    def __init__(self, device: int | None = None) -> None:
        self.id = device or 0


class ndarray:  # the name that CuPy gives it
    """An array on the device."""

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: Any = float,
        memptr: MemoryPointer | None = None,
        strides: tuple[int, ...] | None = None,
        order: str = "C",
    ) -> None:
        assert memptr is not None
        assert strides is not None
        self.shape, self.dtype, self.strides, self.data = shape, np.dtype(dtype), strides, memptr

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.data.ptr, False),
            "strides": self.strides,
            "stream": 1,
            "version": 3,
        }

    def get(self) -> Any:
        """Return a copy on the host."""
        held = (ctypes.c_uint8 * max(1, self.data.mem.size)).from_address(self.data.ptr)
        return np.ndarray(self.shape, self.dtype, memoryview(held), 0, self.strides).copy("K")


class RawModule:
    """Kernels of a file, which holds their text."""

    def __init__(self, code: str | None = None, *, path: str | None = None) -> None:
        assert code is None
        assert isinstance(path, str)
        self._loaded = _emulator[0].module(Path(path).read_text("utf-8")).loaded

    def get_function(self, name: str) -> Any:
        """Return a kernel."""

        def call(
            grid: tuple[int, ...], block: tuple[int, ...], args: Any, *, shared_mem: int = 0
        ) -> None:
            assert [type(arg) for arg in args] == [int] * 3  # CuPy passes each as an int64
            self._loaded.run(name, (*args, *grid, *block, shared_mem, 2, 0, 0))

        return call


def _refuse(status: int) -> None:
    if status:
        raise CUDARuntimeError("cudaErrorInvalidValue: invalid argument")


def _alloc_pinned_memory(size: int) -> Any:
    if size > _TOTAL:
        raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
    return bytearray(1 << max(9, (size - 1).bit_length()))  # CuPy rounds up


def _get_current_stream(device_id: int = -1) -> Stream:
    return _NULL


def _pointer_get_attributes(ptr: int) -> Any:
    is_there = any(k <= ptr < k + len(block) for k, block in _held.items())
    return SimpleNamespace(type=2, device=0) if is_there else SimpleNamespace(type=0, device=-2)


def _get_device_properties(device: int) -> dict[str, Any]:
    return {"name": b"stand-in"}


def _stream_synchronize(stream: int) -> None:
    _refuse(stream not in (0, 1, 2))


def _event_synchronize(event: int) -> None:
    _refuse(not event)


def _memcpy_async(dst: int, src: int, size: int, kind: int, stream: int) -> None:
    assert kind == 4
    ctypes.memmove(dst, src, size)


def _memset_async(ptr: int, value: int, size: int, stream: int) -> None:
    ctypes.memset(ptr, value, size)


_NULL, _POOL = Stream(null=True), MemoryPool()


def new_module() -> ModuleType:
    """Return a module to be imported as `cupy`.

    Raises:
        BackendUnavailable: there is no g++.
    """
    _emulator[:] = [EmulatedRuntime()]
    module = ModuleType("cupy")
    module.__spec__ = ModuleSpec("cupy", None)
    runtime = SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        memoryTypeDevice=2,
        memoryTypeManaged=3,
        memcpyDefault=4,
        runtimeGetVersion=lambda: 13020,
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
        getDeviceProperties=_get_device_properties,
        memGetInfo=lambda: (_TOTAL, _TOTAL),
        pointerGetAttributes=_pointer_get_attributes,
        streamSynchronize=_stream_synchronize,
        eventSynchronize=_event_synchronize,
        memcpyAsync=_memcpy_async,
        memsetAsync=_memset_async,
    )
    cuda = SimpleNamespace(
        runtime=runtime,
        Device=Device,
        Event=Event,
        MemoryPointer=MemoryPointer,
        MemoryPool=MemoryPool,
        Stream=Stream,
        UnownedMemory=UnownedMemory,
        alloc_pinned_memory=_alloc_pinned_memory,
        get_current_stream=_get_current_stream,
    )
    vars(module).update(
        __version__="14.2.0",
        RawModule=RawModule,
        cuda=cuda,
        get_default_memory_pool=lambda: _POOL,
        ndarray=ndarray,
    )
    return module
