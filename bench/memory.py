"""Peak memory of one call: the growth of the process above its size just before."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

METHOD = (
    "a process of its own per contender; VmHWM, reset through /proc/self/clear_refs just before "
    "the call, less VmRSS just before it (elsewhere than on Linux: growth of ru_maxrss)"
)
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


def peak_bytes(call: Callable[[], Any]) -> int:
    """Return the peak bytes of a call above the present, including its result."""
    gc.collect()
    if _reset_high_water():
        before = _kilobytes("VmRSS")
        result = call()
        grown = (_kilobytes("VmHWM") - before) * 1024
    else:
        before = _maximum()
        result = call()
        grown = _maximum() - before
    del result
    return max(0, grown)


def _reset_high_water() -> bool:
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return _STATUS.exists()


def _kilobytes(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise AssertionError(f"{_STATUS} has no {key}")


def _maximum() -> int:
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
