"""The memory of the emulated device: poisoned when it is new, and again when it is dropped."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections import deque

from fastfeat.backends.gpu.runtime import ALIGNMENT, Buffer

POISON = 0xA5
_KEPT_BYTES = 64 << 20
"""Dropped memory that is kept poisoned for a while, so that a stale address reads poison."""


class _Owner:
    """What buffers refer to; its end gives the memory back."""

    __slots__ = ("__weakref__",)


class HostMemory:
    """Allocates buffers, and reuses their memory only when `sweep` says that nothing needs it.

    `n_asked` counts the requests of the device: those up to it may use memory that is dropped now.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._libc.free.argtypes = (ctypes.c_void_p,)
        self._held: dict[int, int] = {}
        self.n_asked = 0
        self._dropped: deque[tuple[int, int, int]] = deque()
        self._kept: deque[tuple[int, int]] = deque()
        self._n_kept = 0
        self._n_used = 0
        self._lock = threading.RLock()  # a collection of garbage may come while it is held

    @property
    def n_bytes_used(self) -> int:
        """Return how many bytes of buffers are in use."""
        return self._n_used

    def allocate(self, n_bytes: int) -> Buffer:
        """Return poisoned memory, after whose last byte AddressSanitizer watches.

        Raises:
            MemoryError: the host has none.
        """
        place, length = ctypes.c_void_p(), max(1, n_bytes)
        aligned, wanted = ctypes.c_size_t(ALIGNMENT), ctypes.c_size_t(length)
        if self._libc.posix_memalign(ctypes.byref(place), aligned, wanted) or not place.value:
            raise MemoryError(f"{n_bytes} bytes of host memory for the emulated device")
        ctypes.memset(place.value, POISON, length)
        owner = _Owner()
        # `atexit` is off: the process may end with modules and their memory as they are.
        weakref.finalize(owner, self._drop, place.value, length).atexit = False
        with self._lock:
            self._n_used += length
            self._held[place.value] = length
        return Buffer(place.value, n_bytes, owner)

    def _drop(self, address: int, length: int) -> None:
        self._dropped.append((self.n_asked, address, length))

    def holds(self, address: int, n_bytes: int) -> bool:
        """Return whether bytes are within one of the buffers in use."""
        with self._lock:
            held = list(self._held.items())
        return any(
            start <= address and address + n_bytes <= start + length for start, length in held
        )

    def sweep(self, n_done: int) -> None:
        """Poison what was dropped before some request, and free it some time later.

        Args:
            n_done: number of requests that are done.
        """
        with self._lock:
            while self._dropped and self._dropped[0][0] <= n_done:
                _, address, length = self._dropped.popleft()
                ctypes.memset(address, POISON, length)
                del self._held[address]
                self._kept.append((address, length))
                self._n_used -= length
                self._n_kept += length
            while self._n_kept > _KEPT_BYTES:
                address, length = self._kept.popleft()
                self._libc.free(address)
                self._n_kept -= length
