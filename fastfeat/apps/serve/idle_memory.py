"""Memory of a server that was busy: given back to the system once nobody asks."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from typing import Any

from fastfeat.io.arrow import pa

IDLE_SECONDS = 1.0
"""A server that has not answered for so long is idle."""
_WORTH_BYTES = 8 << 20
"""Bytes that came since memory was given back, before it is worth to do so again."""
_REQUEST_BYTES = 4 << 10
"""Memory that a request takes beside its body, about."""


class IdleMemory:
    """Memory that goes back to the system when a server is idle; of one event loop.

    Args:
        is_idle: whether no request waits, and no body is read.
    """

    def __init__(self, is_idle: Callable[[], bool]) -> None:
        self._is_idle = is_idle
        self._n_bytes = 0
        self._n_seen = 0

    def note(self, n_bytes: int) -> None:
        """Note that a request has ended, and the bytes of its body."""
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
        give_back()


def give_back() -> None:
    """Give free memory back to the system, as far as libraries can."""
    pa.default_memory_pool().release_unused()
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)
