"""A card through CuPy. Only this module imports CuPy, when a card is first needed.

CuPy provides memory, streams, events and launches. It compiles nothing: see `compile`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.gpu.compile.cuda import cubin_file
from fastfeat.engine.gpu.device.availability import Surroundings
from fastfeat.engine.gpu.device.driver import driver_version, version_of
from fastfeat.errors import InvalidData, OutOfDeviceMemory


def look() -> Surroundings:
    """Return the software and hardware found; reading a card's name starts CUDA in this process."""
    driver, visible = driver_version(), os.environ.get("CUDA_VISIBLE_DEVICES")
    found = Surroundings(sys.platform, driver=driver, visible=visible)
    if find_spec("cupy") is None:
        return found
    try:
        cupy: Any = import_module("cupy")
    except ImportError as error:
        return replace(found, cupy="unknown", cupy_error=str(error))
    runtime = cupy.cuda.runtime
    built_for = version_of(runtime.runtimeGetVersion())
    found = replace(found, cupy=cupy.__version__, cupy_cuda=built_for)
    if driver is None:
        return found
    try:
        n_devices = runtime.getDeviceCount()
        name = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
        architecture = int(cupy.cuda.Device().compute_capability)
    except runtime.CUDARuntimeError as error:
        return replace(found, device_error=str(error))
    return replace(found, n_devices=n_devices, device=name, architecture=architecture)


def current_device() -> int:
    """Return the number of the card that the calling thread works on."""
    return import_module("cupy").cuda.runtime.getDevice()


class CupyKernels:
    """The kernels of a loaded module, by name.

    Cached, since CuPy makes a new object at each request.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._known: dict[str, Any] = {}

    def named(self, kernel: str) -> Any:
        """Return a kernel, looked up on the card at its first launch."""
        found = self._known.get(kernel)
        if found is None:
            found = self._known[kernel] = self._module.get_function(kernel)
        return found


class CupyCard:
    """The card that the calling thread works on.

    It has its own memory pool. CuPy's default pool hands out memory that work in the current stream
    still uses, and an upload in another stream would overwrite it.
    """

    def __init__(self) -> None:
        self._cupy: Any = import_module("cupy")
        self._runtime = self._cupy.cuda.runtime
        self._device = current_device()
        properties = self._runtime.getDeviceProperties(self._device)
        self.architecture = int(self._cupy.cuda.Device().compute_capability)
        named = properties["name"].decode()
        self._name = f"{named} (device {self._device}, sm_{self.architecture})"
        self._pool = self._cupy.cuda.MemoryPool()

    @property
    def name(self) -> str:
        """Return the name of the card in messages."""
        return self._name

    def is_current(self) -> bool:
        """Whether the calling thread works on this card."""
        return self._runtime.getDevice() == self._device

    def allocate(self, n_bytes: int) -> tuple[int, object]:
        """Return the address of memory and an owner object.

        When the owner dies, the pool gets it back.
        """
        memory = self._pool.malloc(n_bytes)
        return memory.ptr, memory

    def allocate_pinned(self, n_bytes: int) -> NDArray[np.uint8]:
        """Return page-locked host memory."""
        try:
            memory = self._cupy.cuda.alloc_pinned_memory(n_bytes)
        except self._runtime.CUDARuntimeError as error:
            raise OutOfDeviceMemory(
                f"no room for {n_bytes:,} bytes of page-locked host memory: {error}"
            ) from error
        return np.frombuffer(memory, np.uint8, n_bytes)

    def memory(self) -> tuple[int, int]:
        """Return two numbers of bytes: free memory, with free memory in pools, and all memory."""
        free, total = self._runtime.memGetInfo()
        return free + sum(pool.free_bytes() for pool in self._pools()), total

    def adopt(self, address: int, n_bytes: int) -> None:
        """Raise InvalidData unless memory is on this card, or is CUDA's managed memory."""
        kinds = {self._runtime.memoryTypeDevice, self._runtime.memoryTypeManaged}
        for place in (address, address + n_bytes - 1):
            found = self._runtime.pointerGetAttributes(place)
            if found.type in kinds and found.device == self._device:
                continue
            where = f"on device {found.device}" if found.type in kinds else "in host memory"
            raise InvalidData(
                f"{n_bytes:,} bytes at address {address:#x} are {where}, not on {self.name}. Copy "
                "the array there, or compute on the array's device: with cupy.cuda.Device(k):"
            )

    def array(
        self,
        address: int,
        n_bytes: int,
        owner: object,
        shape: tuple[int, ...],
        dtype: Any,
        strides: tuple[int, ...],
    ) -> Any:
        """Return memory of the card as a CuPy array, which keeps `owner` alive."""
        memory = self._cupy.cuda.UnownedMemory(address, n_bytes, owner, self._device)
        pointer = self._cupy.cuda.MemoryPointer(memory, 0)
        return self._cupy.ndarray(shape, dtype, pointer, strides)

    def give_back(self) -> None:
        """Return the free memory of both pools to the device."""
        for pool in self._pools():
            pool.free_all_blocks()

    def _pools(self) -> tuple[Any, Any]:
        return self._pool, self._cupy.get_default_memory_pool()

    def current_stream(self) -> Any:
        """Return the thread's current stream, so that work is ordered with the user's own."""
        return self._cupy.cuda.get_current_stream()

    def new_stream(self) -> Any:
        """Return a stream that does not wait for the default stream."""
        return self._cupy.cuda.Stream(non_blocking=True)

    def record(self, stream: Any) -> Any:
        """Return an event that happens when all current work of a stream is done."""
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(stream)
        return event

    def wait(self, stream: Any, event: Any) -> None:
        """Make later work of a stream wait for an event."""
        stream.wait_event(event)

    def has_happened(self, event: Any) -> bool:
        """Whether an event has happened."""
        return event.done

    def finish(self, pending: Any) -> None:
        """Wait for an event, or for all work of a stream."""
        pending.synchronize()

    def finish_other(self, kind: Literal["stream", "event"], number: int) -> None:
        """Wait for all work of a foreign stream, or for a foreign event."""
        if kind == "stream":
            self._runtime.streamSynchronize(number)
        else:
            self._runtime.eventSynchronize(number)

    def copy(self, target: int, source: int, n_bytes: int, stream: Any) -> None:
        """Copy between the device and pinned memory; CUDA infers the direction."""
        kind = self._runtime.memcpyDefault
        self._runtime.memcpyAsync(target, source, n_bytes, kind, stream.ptr)

    def zero(self, address: int, n_bytes: int, stream: Any) -> None:
        """Fill memory of the device with zeros."""
        self._runtime.memsetAsync(address, 0, n_bytes, stream.ptr)

    def load(self, text: str) -> CupyKernels:
        """Return the kernels of a text; CuPy caches a module by its path forever."""
        path = cubin_file(text, self.architecture)
        return CupyKernels(self._cupy.RawModule(path=str(path)))

    def launch(
        self,
        kernels: CupyKernels,
        kernel: str,
        grid: tuple[int, int],
        block: int,
        arguments: tuple[int, int, int],
        shared_bytes: int,
    ) -> None:
        """Run a kernel in the current stream; CuPy passes each integer as an int64."""
        kernels.named(kernel)(grid, (block,), arguments, shared_mem=shared_bytes)
