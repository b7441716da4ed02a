"""The runtime of the card that the calling thread works on, created once per card."""

from __future__ import annotations

import os
import threading

from fastfeat.engine.gpu.compile import nvrtc
from fastfeat.engine.gpu.device import cupy_card
from fastfeat.engine.gpu.device.availability import missing
from fastfeat.engine.gpu.device.card_runtime import FORKED, CardRuntime
from fastfeat.errors import BackendUnavailable

_runtimes: dict[int, CardRuntime] = {}
_lock = threading.RLock()  # a signal handler may compute while it is held
_process = os.getpid()


def current_runtime() -> CardRuntime:
    """Return the runtime of the current card: device 0, or the one of `with cupy.cuda.Device(1):`.

    Raises BackendUnavailable, with the missing part, if no card can be used.
    """
    if _runtimes and os.getpid() != _process:
        raise BackendUnavailable(FORKED)
    if not _runtimes:
        _check()
    device = cupy_card.current_device()
    runtime = _runtimes.get(device)
    return _new_runtime(device) if runtime is None else runtime


def _new_runtime(device: int) -> CardRuntime:
    global _process
    with _lock:
        if device not in _runtimes:
            _check()
            _process = os.getpid()
            _runtimes[device] = CardRuntime(cupy_card.CupyCard())
        return _runtimes[device]


def _check() -> None:
    """Raise BackendUnavailable if anything is missing."""
    reason = missing(cupy_card.look())
    if reason is not None:
        raise BackendUnavailable(reason)
    nvrtc.version()
