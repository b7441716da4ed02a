"""The runtime of a card: kernels run in the thread's current stream, copies in two further streams.

A thread's uploads run in parallel with its kernels; a kernel waits for uploads requested before it.
Downloads wait for the kernels before a mark, and run in parallel with later ones. Dropped memory is
freed only when all earlier requests are done. Allocated memory is therefore idle, and an upload to
it need not wait.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

from numpy.typing import NDArray

from fastfeat.engine.gpu.computations import Computations
from fastfeat.engine.gpu.device.card import Card
from fastfeat.engine.gpu.device.staging import SLOT_BYTES, StagingRing
from fastfeat.engine.gpu.runtime import (
    Buffer,
    Geometry,
    Mark,
    Module,
    Owner,
    Watch,
    bytes_of,
    check_launch,
)
from fastfeat.errors import BackendUnavailable, FastfeatError, KernelFailed, OutOfDeviceMemory

FORKED = (
    "CUDA was in use before this process was forked, so the child cannot use CUDA. Start the child "
    "by multiprocessing.get_context('spawn'), or use the GPU only in the child"
)


class _Lane:
    """The requests of a thread to a card since it last waited for them."""

    def __init__(self, card: Card, slot_bytes: int) -> None:
        self.stream: Any = card.current_stream()
        self.upload_stream: Any = card.new_stream()
        self.download_stream: Any = card.new_stream()
        self.uploads = StagingRing(card, slot_bytes=slot_bytes)
        self.downloads = StagingRing(card, slot_bytes=slot_bytes)
        self.is_uploading = False
        self.n_launched = 0
        self.launched: dict[str, int] = {}  # number of the last launch of each kernel

    def streams(self) -> tuple[Any, Any, Any]:
        """Return the streams in which the thread may have unfinished requests."""
        return self.stream, self.upload_stream, self.download_stream


class CardRuntime:
    """A card as a runtime, shared by all threads of this process.

    Args:
        card: The device.
        slot_bytes: Bytes per slot of staging memory; a thread has up to six slots.
    """

    geometry = Geometry()

    def __init__(self, card: Card, slot_bytes: int = SLOT_BYTES) -> None:
        self.computations = Computations()
        self._card = card
        self._slot_bytes = slot_bytes
        self._process = os.getpid()
        self._threads = threading.local()
        self._sweeping = threading.RLock()
        self._compiling = threading.RLock()  # a signal handler may compile, too
        self._modules: dict[str, Module] = {}
        self._held: dict[int, Watch] = {}
        self._dropped: deque[Watch] = deque()
        self._retiring: list[tuple[tuple[Any, ...], list[object]]] = []

    @property
    def name(self) -> str:
        """Return the name of the card in messages."""
        return self._card.name

    def allocate(self, n_bytes: int) -> Buffer:
        """Return device memory that no earlier request uses any more."""
        with self._asking() as lane:
            self._sweep()
            try:
                address, memory = self._card.allocate(max(1, n_bytes))
            except MemoryError:
                self.give_back()
                address, memory = self._allocate_at_last(n_bytes)
        owner = Owner()
        watch = Watch(owner, self._dropped.append)
        watch.address, watch.n_bytes, watch.kept = address, n_bytes, (memory, lane)
        self._held[address] = watch
        return Buffer(address, n_bytes, owner)

    def _allocate_at_last(self, n_bytes: int) -> tuple[int, object]:
        try:
            return self._card.allocate(max(1, n_bytes))
        except MemoryError:
            free, total = self._card.memory()
            raise OutOfDeviceMemory(
                f"no room for {n_bytes:,} bytes on {self.name}: {free:,} of {total:,} are free"
            ) from None

    def adopt(self, address: int, n_bytes: int, owner: object) -> Buffer:
        """Return memory of the card that belongs to another object, without a copy."""
        with self._asking():
            self._card.adopt(address, n_bytes)
        return Buffer(address, n_bytes, owner)

    def wait_for(self, kind: Literal["stream", "event"], number: int) -> None:
        """Wait for a stream or event of another library; see `Runtime.wait_for`."""
        with self._asking():
            self._card.finish_other(kind, number)

    def array(
        self, buffer: Buffer, shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]
    ) -> Any:
        """Return device memory as a CuPy array, which keeps the buffer alive."""
        owner = buffer.owner
        return self._card.array(buffer.address, buffer.n_bytes, owner, shape, dtype, strides)

    def upload(self, array: NDArray[Any], buffer: Buffer, offset: int = 0) -> None:
        """Copy a host array into a buffer, in parallel with computations."""
        content = bytes_of(array, buffer, offset)
        with self._asking() as lane:
            lane.uploads.upload(content, buffer.address + offset, lane.upload_stream)
            lane.is_uploading = True

    def download(
        self, buffer: Buffer, array: NDArray[Any], offset: int = 0, after: Mark | None = None
    ) -> None:
        """Copy from a buffer to a host array, filled when `synchronize` or `finish` returns."""
        content = bytes_of(array, buffer, offset)
        with self._asking() as lane:
            event = (after or self._mark(lane)).event
            self._card.wait(lane.download_stream, event)
            lane.downloads.download(buffer.address + offset, content, lane.download_stream)

    def zero(self, buffer: Buffer) -> None:
        """Fill a buffer with zeros."""
        with self._asking() as lane:
            self._join(lane)
            self._card.zero(buffer.address, buffer.n_bytes, lane.stream)

    def module(self, text: str) -> Module:
        """Return the kernels of a CUDA text, compiled on first use."""
        module = self._modules.get(text)
        if module is None:
            with self._asking(), self._compiling:
                module = self._modules.get(text)
                if module is None:
                    module = self._modules[text] = Module(text, self._card.load(text))
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
        """Put a run of a kernel into the current stream."""
        check_launch(kernel, grid, block, n, shared_bytes)
        address = table.address if isinstance(table, Buffer) else table
        arguments = (address, first, n)
        with self._asking() as lane:
            self._join(lane)
            lane.n_launched += 1
            lane.launched[kernel] = lane.n_launched
            self._card.launch(module.loaded, kernel, grid, block, arguments, shared_bytes)

    def mark(self) -> Mark:
        """Return a mark after the uploads and kernels of this thread so far."""
        with self._asking() as lane:
            return self._mark(lane)

    def finish(self, mark: Mark) -> None:
        """Wait until all requests before a mark are done, and all downloads."""
        with self._asking() as lane:
            self._card.finish(mark.event)
            self._card.finish(lane.download_stream)
            lane.downloads.deliver()
            later = {name: at for name, at in lane.launched.items() if at > mark.number}
            lane.launched = later

    def synchronize(self) -> None:
        """Wait until all requests of the calling thread are done."""
        with self._asking() as lane:
            self._sweep()
            self._finish(lane)
            self._sweep()

    def memory(self) -> tuple[int, int]:
        """Return two numbers of bytes: free memory, and all memory."""
        with self._asking():
            self._sweep()
            self._finish_retiring()
            return self._card.memory()

    def give_back(self) -> None:
        """Return to the device the freed memory that was kept for later."""
        with self._asking():
            self.synchronize()
            self._finish_retiring()
            self._card.give_back()

    def _lane(self) -> _Lane:
        """Return the record of the calling thread's requests.

        Raises BackendUnavailable if this process was forked from one that uses the card, or if the
        thread works on another card.
        """
        if os.getpid() != self._process:
            raise BackendUnavailable(FORKED)
        if not self._card.is_current():
            raise BackendUnavailable(
                f"{self.name} is not the current device of this thread. Compute on the device that "
                "has the data: with cupy.cuda.Device(k):"
            )
        lane: _Lane | None = getattr(self._threads, "lane", None)
        if lane is None:
            lane = self._threads.lane = _Lane(self._card, self._slot_bytes)
        return lane

    def _join(self, lane: _Lane) -> None:
        """Make later kernels wait for the uploads requested so far."""
        if lane.is_uploading:
            self._card.wait(lane.stream, self._card.record(lane.upload_stream))
            lane.is_uploading = False

    def _mark(self, lane: _Lane) -> Mark:
        self._join(lane)
        return Mark(lane.n_launched, self._card.record(lane.stream))

    def _finish(self, lane: _Lane) -> None:
        """Wait for a thread's requests, and fill the arrays of its downloads."""
        self._join(lane)
        for stream in lane.streams():
            self._card.finish(stream)
        lane.launched.clear()
        lane.downloads.deliver()

    @contextmanager
    def _asking(self) -> Generator[_Lane]:
        """Give the `with` block the calling thread's record, for requests to the card.

        Raises KernelFailed if CUDA reports a failure, of these requests or of an earlier kernel.
        """
        lane = self._lane()
        try:
            stream = self._card.current_stream()
            if stream != lane.stream:  # the user has chosen another
                self._finish(lane)
                lane.stream = stream
            yield lane
        except FastfeatError:
            raise
        except RuntimeError as error:
            kernels = [*lane.launched]
            lane.launched.clear()
            lane.downloads.drop()
            raise KernelFailed(_failure(error, kernels), kernels) from error

    def _finish_retiring(self) -> None:
        """Wait until all dropped memory is free, even if other threads' requests still use it."""
        for event in [event for events, _ in self._retiring for event in events]:
            self._card.finish(event)
        self._sweep()

    def _sweep(self) -> None:
        """Free dropped memory once all earlier requests are done."""
        with self._sweeping:
            gone = list(self._dropped)  # they stay there until they are retiring: see `owner`
            dropped: dict[_Lane, list[object]] = {}
            for watch in gone:
                memory, lane = cast(tuple[object, _Lane], watch.kept)
                dropped.setdefault(lane, []).append(memory)
            for lane, memories in dropped.items():
                events = tuple(map(self._card.record, lane.streams()))
                self._retiring.append((events, memories))
            for watch in gone:
                self._held.pop(watch.address, None)
                self._dropped.popleft()
            self._retiring = [
                (events, memories)
                for events, memories in self._retiring
                if not all(map(self._card.has_happened, events))
            ]


def _failure(error: RuntimeError, kernels: Sequence[str]) -> str:
    """Return an error message with the names of kernels that may have failed; CUDA omits them."""
    names = ", ".join(map(repr, kernels)) or "none"
    which = ", with CUDA_LAUNCH_BLOCKING=1 to see which kernel fails" if len(kernels) > 1 else ""
    return (
        f"{error}. Kernels since the last wait: {names}. After a kernel has failed, CUDA accepts "
        f"no more work in this process: start another process{which}"
    )
