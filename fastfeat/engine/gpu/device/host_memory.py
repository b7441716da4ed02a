"""The memory of the emulated device, with poison (fixed bytes) where nothing may be read."""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque

from fastfeat.engine.gpu.runtime import ALIGNMENT, Buffer, Owner, Watch

POISON = 0xA5
_KEPT_BYTES = 64 << 20
"""Bytes of dropped memory to keep poisoned for a while, so that a stale address reads poison."""

LOCK = threading.RLock()
"""The lock of all emulated devices; it is reentrant.

A garbage collection or a signal handler may run while it is held. A fork waits for it, because in
the child nobody would release it.
"""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: LOCK.acquire(),
        after_in_parent=lambda: LOCK.release(),
        after_in_child=lambda: LOCK.release(),
    )


class HostMemory:
    """Allocates buffers, and reuses their memory only after `sweep` shows that nothing needs it.

    `n_asked` is the number of requests to the device so far; these may use memory that is dropped
    now.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._libc.free.argtypes = (ctypes.c_void_p,)
        self.n_asked = 0
        self._held: dict[int, Watch] = {}
        self._dropped: deque[Watch] = deque()
        self._retiring: deque[tuple[int, Watch]] = deque()
        self._kept: deque[tuple[int, int]] = deque()
        self._n_kept = 0
        self._n_used = 0

    @property
    def n_bytes_used(self) -> int:
        """Return the bytes of all buffers in use."""
        return self._n_used

    def allocate(self, n_bytes: int) -> Buffer:
        """Return poisoned memory; AddressSanitizer detects accesses beyond its last byte.

        Raises MemoryError if the host has no memory.
        """
        place, length = ctypes.c_void_p(), max(1, n_bytes)
        aligned, wanted = ctypes.c_size_t(ALIGNMENT), ctypes.c_size_t(length)
        if self._libc.posix_memalign(ctypes.byref(place), aligned, wanted) or not place.value:
            raise MemoryError(f"no room for {n_bytes:,} bytes of host memory, the emulated device")
        ctypes.memset(place.value, POISON, length)
        owner = Owner()
        watch = Watch(owner, self._dropped.append)
        watch.address, watch.n_bytes = place.value, length
        with LOCK:
            self._held[place.value] = watch
            self._n_used += length
        return Buffer(place.value, n_bytes, owner)

    def notice(self) -> None:
        """Take note of buffers dropped since the last request; no later request uses them."""
        with LOCK:
            while self._dropped:
                self._retiring.append((self.n_asked, self._dropped[0]))
                self._dropped.popleft()

    def holds(self, address: int, n_bytes: int) -> bool:
        """Return whether all bytes of a range are within one of the buffers in use."""
        with LOCK:
            held = list(self._held.items())
        return any(
            start <= address and address + n_bytes <= start + watch.n_bytes for start, watch in held
        )

    def sweep(self, n_done: int) -> None:
        """Poison dropped memory once the requests that could use it are done, and free it later.

        `n_done` is the number of requests that are done.
        """
        with LOCK:
            self.notice()
            if not self._retiring:
                return
            while self._retiring and self._retiring[0][0] <= n_done:
                gone = self._retiring[0][1]
                # otherwise an interrupt came before `popleft`
                if self._held.get(gone.address) is gone:
                    ctypes.memset(gone.address, POISON, gone.n_bytes)
                    del self._held[gone.address]
                    self._kept.append((gone.address, gone.n_bytes))
                    self._n_kept += gone.n_bytes
                self._retiring.popleft()
            self._n_used = sum(watch.n_bytes for watch in self._held.values())
            while self._kept and self._n_kept > _KEPT_BYTES:
                address, n_bytes = self._kept.popleft()
                self._n_kept -= n_bytes
                self._libc.free(address)
