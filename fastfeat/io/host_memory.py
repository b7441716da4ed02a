"""The memory of this machine, for errors before memory is asked for that it does not have."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup/memory.max")


@cache
def host_memory() -> int | None:
    """Return how many bytes this process may have: of the machine, or of its container.

    None where the system does not say.
    """
    known = [n_bytes for n_bytes in (_of_machine(), _of_container()) if n_bytes is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # none on Windows
        return None


def _of_container() -> int | None:
    try:
        return int(_GROUP.read_text())
    except (OSError, ValueError):  # "max" is no number
        return None
