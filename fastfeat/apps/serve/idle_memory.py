"""Returning memory to the system after a server was busy."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from typing import Any

from fastfeat.io.arrow import pa

IDLE_SECONDS = 1.0
"""Seconds without answers after which a server is idle."""
_WORTH_BYTES = 8 << 20
"""Bytes that must have arrived since memory was last returned, to make returning it worthwhile."""
_REQUEST_BYTES = 4 << 10
"""Approximate memory of a request without its body."""


class IdleMemory:
    """Returns memory to the system some time after requests have ended; used from one event loop.

    `is_idle` returns whether no request waits and no body is being read.
    """

    def __init__(self, is_idle: Callable[[], bool]) -> None:
        self._is_idle = is_idle
        self._n_bytes = 0
        self._n_seen = 0

    def note(self, n_bytes: int) -> None:
        """Note that a request has ended, and the size of its body in bytes."""
        before, self._n_bytes = self._n_bytes, self._n_bytes + n_bytes + _REQUEST_BYTES
        if before < _WORTH_BYTES <= self._n_bytes:
            self._look_later()

    def _look_later(self) -> None:
        self._n_seen = self._n_bytes
        asyncio.get_running_loop().call_later(IDLE_SECONDS, self._look)

    def _look(self) -> None:
        if self._n_bytes != self._n_seen or not self._is_idle():
            self._look_later()
            return
        self._n_bytes = 0
        release_free_memory()


def release_free_memory() -> None:
    """Return free memory of this process to the system, as far as the libraries can."""
    pa.default_memory_pool().release_unused()
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    if trim is not None:
        trim(0)
