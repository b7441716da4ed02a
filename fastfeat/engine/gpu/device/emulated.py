"""The runtime without a card: g++ compiles kernels, and fibers run their threads on the host.

Tests choose the order of the threads.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.gpu.compile.gcc import Sanitizer, check_preloaded, find_compiler, shared_object
from fastfeat.engine.gpu.computations import Computations
from fastfeat.engine.gpu.device.host_memory import LOCK, POISON, HostMemory
from fastfeat.engine.gpu.runtime import Buffer, Geometry, Mark, Module, bytes_of, check_launch
from fastfeat.errors import BackendUnavailable, InvalidData, KernelFailed, OutOfDeviceMemory


@dataclass(frozen=True, slots=True, eq=False)
class EmulatedArray:
    """An array on the emulated device; read it with `get`, or pass it to the emulated backend.

    Args:
        buffer: Its memory.
        shape: Number of elements along each axis.
        dtype: Type of an element.
        strides: Bytes from one element to the next, along each axis.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Return the interface with which arrays on a card give their address."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.buffer.address, False),
            "strides": self.strides,
            "stream": None,
            "version": 3,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the device of its memory: the host."""
        return self.view().__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        """Share the memory without a copy, like NumPy shares an array."""
        return self.view().__dlpack__(**options)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Raise TypeError, like CuPy: a copy to the host must be explicit."""
        raise TypeError("a device array does not become a NumPy array implicitly. Copy it: .get()")

    def view(self) -> NDArray[Any]:
        """Return a NumPy array of the same memory, which it keeps alive."""
        held = (ctypes.c_uint8 * max(1, self.buffer.n_bytes)).from_address(self.buffer.address)
        held.owner = self.buffer  # pyright: ignore[reportAttributeAccessIssue]  # ctypes takes any
        array: NDArray[Any] = np.ndarray(self.shape, self.dtype, memoryview(held), 0, self.strides)
        return array

    def get(self) -> NDArray[Any]:
        """Return a copy as a NumPy array, like CuPy's method."""
        return self.view().copy(order="K")


ThreadOrder = Literal["forward", "reverse", "random"]


_ORDERS: tuple[ThreadOrder, ...] = ("forward", "reverse", "random")

_MOST_THREADS = 192
"""Threads that ThreadSanitizer can tell apart; with more, a race may go unseen."""


class _Stacks(ctypes.Structure):
    """The C++ structure `ff_emulator::Stacks`, for ctypes."""

    _fields_ = (("idle", ctypes.c_void_p), ("n", ctypes.c_uint32))


_stacks = _Stacks()  # shared by all modules: only one launch runs at a time


class _Launch(ctypes.Structure):
    """The C++ structure `ff_emulator::Launch`, for ctypes."""

    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("table", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("first", "n")),
        *((name, ctypes.c_uint32) for name in ("grid_x", "grid_y", "block", "shared_bytes")),
        *((name, ctypes.c_uint32) for name in ("resident", "order")),
        ("seed", ctypes.c_uint64),
        ("stacks", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True)
class _Library:
    """A loaded shared object with compiled kernels."""

    functions: Any

    def run(self, kernel: str, arguments: tuple[int, ...]) -> None:
        """Run a kernel, and return when it is done.

        `arguments` are the fields of `_Launch` between the first and the last. Raises KernelFailed
        with the problem and its line.
        """
        try:
            address = ctypes.cast(getattr(self.functions, kernel), ctypes.c_void_p).value
        except AttributeError:
            raise KernelFailed(f"there is no kernel {kernel!r} in the module", [kernel]) from None
        launch = _Launch(address, *arguments, ctypes.addressof(_stacks))
        said = ctypes.create_string_buffer(400)
        with LOCK:  # the scheduler of a module keeps its state in global variables
            failed = self.functions.ff_launch(ctypes.byref(launch), said, len(said))
        if failed:
            raise KernelFailed(f"kernel {kernel!r}: {said.value.decode()}", [kernel])


class EmulatedRuntime:
    """A device made of host memory and fibers.

    Args:
        order: Order of the threads of a launch.
        seed: Seed of the random order; each launch takes another number.
        resident: Number of blocks that run at a time.
        sanitizer: "address" builds modules with AddressSanitizer and UBSan, "thread" with
            ThreadSanitizer, which takes blocks of 64 threads. The process must be started with
            `sanitizer_environment`.
        deferred: Whether launches run only at `synchronize` and `finish`, and only as many as these
            must wait for. If a wait is missing, the caller then reads poison.
        n_bytes: Memory of the device in bytes.
        geometry: Threads and blocks of launches; None takes those of a card, with blocks of 64
            threads under ThreadSanitizer.

    Raises:
        BackendUnavailable: There is no g++, or no sanitizer in this process.
    """

    name = "emulated"

    def __init__(
        self,
        order: ThreadOrder = "forward",
        seed: int = 0,
        resident: int = 2,
        sanitizer: Sanitizer | None = None,
        *,
        deferred: bool = False,
        n_bytes: int = 1 << 34,
        geometry: Geometry | None = None,
    ) -> None:
        find_compiler()
        if sanitizer is not None:
            check_preloaded(sanitizer)
        self.geometry = geometry or Geometry(block=64 if sanitizer == "thread" else 256)
        self.computations = Computations()
        self.waited_for: list[tuple[str, int]] = []
        self._order = _ORDERS.index(order)
        self._seed = seed
        self._resident = resident
        self._sanitizer: Sanitizer | None = sanitizer
        self._deferred = deferred
        self._n_bytes = n_bytes
        self._memory = HostMemory()
        self._queue: deque[tuple[int, Callable[[], object]]] = deque()
        self._downloads: list[tuple[int, Callable[[], object]]] = []
        self._modules: dict[str, Module] = {}

    def allocate(self, n_bytes: int) -> Buffer:
        """Return memory filled with poison, so that reads before a write are noticed."""
        with LOCK:
            free, _ = self.memory()
            if n_bytes > free and self._queue:
                self.synchronize()  # outstanding work may keep memory that has been dropped
                free, _ = self.memory()
            if n_bytes > free:
                raise OutOfDeviceMemory(
                    f"no room for {n_bytes:,} bytes of device memory: {free:,} are free"
                )
            return self._memory.allocate(n_bytes)

    def adopt(self, address: int, n_bytes: int, owner: object) -> Buffer:
        """Return memory of another object without a copy; this runtime must have allocated it.

        Each runtime is a device of its own.
        """
        if not self._memory.holds(address, n_bytes):
            raise InvalidData(
                f"{n_bytes:,} bytes at address {address:#x} are not in the memory of this emulated "
                "device. Allocate them there, or pass an array in host memory"
            )
        return Buffer(address, n_bytes, owner)

    def wait_for(self, kind: Literal["stream", "event"], number: int) -> None:
        """Record that a wait was requested.

        There is only one stream, so there is nothing to wait for.
        """
        self.waited_for.append((kind, number))

    def array(
        self, buffer: Buffer, shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]
    ) -> EmulatedArray:
        """Return device memory as an array that behaves like CuPy's."""
        return EmulatedArray(buffer, shape, np.dtype(dtype), strides)

    def upload(self, array: NDArray[Any], buffer: Buffer, offset: int = 0) -> None:
        """Copy an array into a buffer at once, perhaps before launches requested earlier."""
        content = bytes_of(array, buffer, offset)
        ctypes.memmove(buffer.address + offset, content.ctypes.data, content.nbytes)

    def download(
        self, buffer: Buffer, array: NDArray[Any], offset: int = 0, after: Mark | None = None
    ) -> None:
        """Copy a buffer to an array; if deferred, poison it until `synchronize` or `finish`."""
        content = bytes_of(array, buffer, offset)
        if self._deferred:
            content[:] = POISON

        def copy() -> None:
            ctypes.memmove(content.ctypes.data, buffer.address + offset, content.nbytes)

        with LOCK:
            number = self._memory.n_asked if after is None else after.number
            self._downloads.append((number, copy))
            if not self._deferred:
                self.synchronize()

    def zero(self, buffer: Buffer) -> None:
        """Fill a buffer with zeros."""
        address, n_bytes = buffer.address, buffer.n_bytes
        self._ask(lambda: ctypes.memset(address, 0, n_bytes))

    def module(self, text: str) -> Module:
        """Return the kernels of a text, compiled by g++ on first use."""
        with LOCK:
            module = self._modules.get(text)
            if module is None:
                path = shared_object(text, self._sanitizer)
                module = self._modules[text] = Module(path.stem, _load(path))
            return module

    def launch(
        self,
        module: Module,
        kernel: str,
        grid: tuple[int, int],
        block: int,
        table: Buffer | int,
        first: int,
        n: int,
        shared_bytes: int = 0,
    ) -> None:
        """Run a kernel: at once or, if deferred, at the next `synchronize` or `finish`."""
        check_launch(kernel, grid, block, n, shared_bytes)
        resident = self._resident
        if self._sanitizer == "thread":
            resident = max(1, min(resident, _MOST_THREADS // block))
            if block > _MOST_THREADS:
                raise KernelFailed(
                    f"kernel {kernel!r}: a block has {block} threads, but under ThreadSanitizer at "
                    f"most {_MOST_THREADS} may run"
                )
        self._seed += 1
        address = table.address if isinstance(table, Buffer) else table
        shape = (*grid, block, shared_bytes, resident, self._order, self._seed)
        self._ask(lambda: module.loaded.run(kernel, (address, first, n, *shape)))

    def synchronize(self) -> None:
        """Run all requests that are still deferred; after a failure the rest of them is dropped."""
        with LOCK:
            self._run(None)

    def mark(self) -> Mark:
        """Return a mark after all requests so far."""
        return Mark(self._memory.n_asked, None)

    def finish(self, mark: Mark) -> None:
        """Run the requests before a mark, and the downloads after them, but nothing else."""
        with LOCK:
            self._run(mark.number)

    def memory(self) -> tuple[int, int]:
        """Return two numbers of bytes: free memory, and all memory."""
        with LOCK:
            self._sweep()
            return self._n_bytes - self._memory.n_bytes_used, self._n_bytes

    def give_back(self) -> None:
        """Run all requests that are still deferred, since they may keep dropped memory in use."""
        self.synchronize()

    def _run(self, end: int | None) -> None:
        """Run the requests before number `end`, or all, and each download as soon as possible."""
        try:
            self._copy_down()
            while self._queue and (end is None or self._queue[0][0] <= end):
                _, task = self._queue.popleft()
                task()
                self._copy_down()
        except BaseException:
            self._queue.clear()
            self._downloads.clear()
            raise
        self._sweep()

    def _n_done(self) -> int:
        return self._queue[0][0] - 1 if self._queue else self._memory.n_asked

    def _copy_down(self) -> None:
        n_done = self._n_done()
        due = [copy for after, copy in self._downloads if after <= n_done]
        self._downloads = [one for one in self._downloads if one[0] > n_done]
        for copy in due:
            copy()

    def _sweep(self) -> None:
        self._memory.sweep(self._n_done())

    def _ask(self, task: Callable[[], object]) -> None:
        with LOCK:
            self._memory.notice()
            number = self._memory.n_asked + 1
            self._queue.append((number, task))
            self._memory.n_asked = number
            if not self._deferred:
                self.synchronize()


def _load(path: Path) -> _Library:
    try:
        functions = ctypes.CDLL(str(path))
    except OSError as error:
        raise BackendUnavailable(
            f"a module of the emulated backend cannot be loaded: {error}. Set FASTFEAT_CACHE_DIR "
            "to a folder that programs may be loaded from, or use backend='cpu'"
        ) from None
    functions.ff_launch.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
    return _Library(functions)
