"""A card whose streams run when chance has it: what no event orders may come in any order.

Memory that is freed is overwritten and handed out again at once, as CuPy's pool does. Kernels run
by g++. A fault can be seeded: then some order of the streams gives a wrong result.
"""

from __future__ import annotations

import ctypes
import random
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.errors import KernelFailed

Fault = Literal["no wait", "freed too early", "slot used again too early"]
_ALIGNMENT = 256
_POISON = 0xA5


class Request(NamedTuple):
    """What was asked of a card.

    Args:
        kind: "upload", "download", "launch", or "wait", which is that of the host for an event.
        n_bytes: of a copy.
    """

    kind: Literal["upload", "download", "launch", "wait"]
    n_bytes: int = 0


class Event:
    """Happens when its stream comes to it."""

    has_happened = False


class Stream:
    """Work that is outstanding, each a function that returns whether it could be done."""

    def __init__(self) -> None:
        self.work: deque[Callable[[], bool]] = deque()


class SimulatedCard:
    """A card made of host memory.

    Args:
        seed: of chance.
        n_bytes: of its memory.
        fault: what goes wrong.
    """

    name = "simulated"

    def __init__(self, seed: int, n_bytes: int = 1 << 30, fault: Fault | None = None) -> None:
        self._chance = random.Random(seed)
        self._fault = fault
        self._total = n_bytes
        self._used = 0
        self._free: dict[int, list[NDArray[np.uint8]]] = {}
        self._emulator = EmulatedRuntime()
        self._streams = [Stream()]
        self._lock = threading.RLock()
        self.n_bytes_given_back = 0
        self.requests: list[Request] = []
        self._pinned: list[NDArray[np.uint8]] = []
        self.stream = self._streams[0]
        self.is_the_current_one = True
        self.waited_for: list[tuple[str, int]] = []

    def is_current(self) -> bool:
        return self.is_the_current_one

    def allocate(self, n_bytes: int) -> tuple[int, object]:
        with self._lock:
            kept = self._free.get(n_bytes)
            if kept:
                memory = kept.pop()
            else:
                if self._used + n_bytes > self._total:
                    raise MemoryError
                self._used += n_bytes
                memory = np.full(n_bytes + _ALIGNMENT, _POISON, np.uint8)
        address = -(-memory.ctypes.data // _ALIGNMENT) * _ALIGNMENT
        owner = Event()
        weakref.finalize(owner, self._put_back, memory, n_bytes).atexit = False
        return address, owner

    def _put_back(self, memory: NDArray[np.uint8], n_bytes: int) -> None:
        memory[:] = _POISON
        with self._lock:
            self._free.setdefault(n_bytes, []).append(memory)

    def allocate_pinned(self, n_bytes: int) -> NDArray[np.uint8]:
        self._pinned.append(np.full(n_bytes, _POISON, np.uint8))
        return self._pinned[-1]

    def memory(self) -> tuple[int, int]:
        with self._lock:
            kept = sum(n_bytes * len(blocks) for n_bytes, blocks in [*self._free.items()])
            return self._total - self._used + kept, self._total

    def adopt(self, address: int, n_bytes: int) -> None:
        assert (address, n_bytes) != (0, 0)

    def array(
        self,
        address: int,
        n_bytes: int,
        owner: object,
        shape: tuple[int, ...],
        dtype: Any,
        strides: tuple[int, ...],
    ) -> Any:
        held = (ctypes.c_uint8 * n_bytes).from_address(address)
        held.owner = owner  # pyright: ignore[reportAttributeAccessIssue]  # ctypes takes any
        return np.ndarray(shape, dtype, memoryview(held), 0, strides)

    def give_back(self) -> None:
        with self._lock:
            free, self._free = self._free, {}
            for n_bytes, blocks in free.items():
                self._used -= n_bytes * len(blocks)
                self.n_bytes_given_back += n_bytes * len(blocks)

    def current_stream(self) -> Stream:
        return self.stream

    def new_stream(self) -> Stream:
        self._streams.append(Stream())
        return self._streams[-1]

    def record(self, stream: Stream) -> Event:
        event = Event()

        def happen() -> bool:
            event.has_happened = True
            return True

        self._put(stream, happen)
        return event

    def wait(self, stream: Stream, event: Event) -> None:
        if self._fault != "no wait":
            self._put(stream, lambda: event.has_happened)

    def has_happened(self, event: Event) -> bool:
        self._run_some()
        return event.has_happened or self._fault == "freed too early"

    def finish(self, pending: Stream | Event) -> None:
        if isinstance(pending, Event):
            self.requests.append(Request("wait"))
            if self._fault != "slot used again too early":
                self._run_until(lambda: pending.has_happened)
        else:
            self._run_until(lambda: not pending.work)

    def finish_other(self, kind: Literal["stream", "event"], number: int) -> None:
        self.waited_for.append((kind, number))

    def copy(self, target: int, source: int, n_bytes: int, stream: Stream) -> None:
        places = [(memory.ctypes.data, len(memory)) for memory in self._pinned]
        is_upload = any(place <= source < place + length for place, length in places)
        self.requests.append(Request("upload" if is_upload else "download", n_bytes))
        self._put(stream, lambda: ctypes.memmove(target, source, n_bytes) is not None)

    def zero(self, address: int, n_bytes: int, stream: Stream) -> None:
        self._put(stream, lambda: ctypes.memset(address, 0, n_bytes) is not None)

    def load(self, text: str) -> Any:
        return self._emulator.module(text).loaded

    def launch(
        self,
        kernels: Any,
        kernel: str,
        grid: tuple[int, int],
        block: int,
        arguments: tuple[int, int, int],
        shared_bytes: int,
    ) -> None:
        self.requests.append(Request("launch"))

        def run() -> bool:
            kernels.run(kernel, (*arguments, *grid, block, shared_bytes, 2, 0, 0))
            return True

        self._put(self.stream, run)

    def _put(self, stream: Stream, work: Callable[[], bool]) -> None:
        with self._lock:
            stream.work.append(work)
            self._run_some()

    def _run_some(self) -> None:
        while self._chance.random() < 0.3:
            self._step(self._chance.choice(self._streams))

    def _run_until(self, is_done: Callable[[], bool]) -> None:
        with self._lock:
            while not is_done():
                self._chance.shuffle(self._streams)
                if not sum(self._step(stream) for stream in self._streams):
                    raise AssertionError("the streams wait for each other")

    def _step(self, stream: Stream) -> bool:
        """Do the first work of a stream; return whether it could be done."""
        with self._lock:
            if not stream.work:
                return False
            try:
                is_done = stream.work[0]()
            except KernelFailed:  # which ends all work of the process on a card
                for other in self._streams:
                    other.work.clear()
                raise RuntimeError("cudaErrorIllegalAddress") from None
            if is_done:
                stream.work.popleft()
            return is_done
