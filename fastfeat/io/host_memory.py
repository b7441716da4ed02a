"""The memory of this machine and of this process, in bytes: what there is, and what is taken."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fastfeat.errors import InvalidConfig


@cache
def host_memory() -> int | None:
    """Return how many bytes this process may have: of the machine, or of its container.

    None where the system does not say.
    """
    known = [n_bytes for n_bytes in (_of_machine(), _of_container()) if n_bytes is not None]
    return min(known, default=None)


def free_memory() -> int | None:
    """Return how many bytes this process can still take before anything is swapped, or None.

    What the machine holds of files counts as free: it gives that up when asked for memory.
    """
    free = [max(0, limit - taken) for limit, taken in _groups()]
    available = _available()
    return min(free if available is None else [available, *free], default=None)


def resident_memory() -> int | None:
    """Return the bytes of this process that are in memory now, shared ones too, or None."""
    with suppress(OSError, ValueError):  # none but on Linux
        # a third of the time of the status, and asked several times a table
        return int(_COUNTS.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def peak_memory() -> int | None:
    """Return the most bytes of this process that were in memory at a time, or None.

    It is what the system counts since the process began.
    """
    peak = _of_status("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # none on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def release_unused() -> None:
    """Give memory back to the system that NumPy has freed, and the C library keeps for later."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """Return the function of the C library that gives memory back; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # none of musl


def bytes_of(given: str | int, name: str = "memory") -> int:
    """Return a number of bytes that is written with a unit.

    Args:
        given: such as "600MiB" or "2 GB", or a number of bytes.
        name: of the argument, for messages.

    Raises:
        InvalidConfig: it is none, or not above zero.

    Example:
        >>> bytes_of("600MiB"), bytes_of("1.5 kB")
        (629145600, 1500)
    """
    if isinstance(given, str):
        found = _WRITTEN.fullmatch(given.strip())
        n_bytes = int(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
    else:
        n_bytes = given if type(given) is int else 0
    if n_bytes <= 0:
        raise InvalidConfig(
            f'{name}={given!r}: takes bytes with a unit, such as "600MiB" or "2GB", or a number of '
            "bytes above zero"
        )
    return n_bytes


def as_bytes(n_bytes: float) -> str:
    """Return a number of bytes as text, for a message.

    Example:
        >>> as_bytes(629145600), as_bytes(1536), as_bytes(3 << 30)
        ('600 MiB', '1.5 KiB', '3 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024 or unit == "GiB":
            break
        n_bytes /= 1024
    return f"{n_bytes:,.0f} {unit}" if n_bytes >= 100 else f"{n_bytes:.3g} {unit}"


def _of_machine() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # none on Windows
        return None


def _of_container() -> int | None:
    return min((limit for limit, _ in _groups()), default=None)


def _groups() -> Iterator[tuple[int, int]]:
    """Yield the limit of each control group that this process is in, and what is taken of it."""
    for version in _VERSIONS:
        for folder in _group_folders(version):
            with suppress(OSError, ValueError):  # "max" is no number
                limit = int((folder / version.limit).read_text())
                taken = int((folder / version.taken).read_text())
                told = (folder / "memory.stat").read_text()
                of_files = re.search(rf"^{version.files} (\d+)", told, re.M)
                yield limit, taken - (int(of_files[1]) if of_files else 0)


def _group_folders(version: _Version) -> Iterator[Path]:
    """Yield the folders of the control groups of this process, from the root on.

    In a container the root may be its own group, and the path one that only its host has.
    """
    root = _GROUPS / version.root
    yield root
    with suppress(OSError):
        found = re.search(version.own, _OWN_GROUP.read_text(), re.M)
        parts = found[1].strip("/").split("/") if found else ()
        for n in range(1, len(parts) + 1):
            yield root.joinpath(*parts[:n])


class _Version(NamedTuple):
    """Names of files and folders of a version of control groups.

    Args:
        root: its folder below that of all groups.
        own: finds the path of a group among those of a process.
        limit: the file of the limit.
        taken: that of what is taken, of groups below it too.
        files: in `memory.stat`, what it holds of files and gives up first.
    """

    root: str
    own: str
    limit: str
    taken: str
    files: str


def _available() -> int | None:
    with suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB", _OF_MACHINE.read_text(), re.M)
        return int(found[1]) << 10 if found else None
    return None


def _of_status(name: str) -> int | None:
    with suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.M)
        return int(found[1]) << 10 if found else None
    return None


_VERSIONS = (
    _Version("", r"^0::(/.+)$", "memory.max", "memory.current", "inactive_file"),
    _Version(
        "memory",
        r"^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(/.+)$",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)
_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_OF_MACHINE = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_COUNTS = Path("/proc/self/statm")
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?B)", re.IGNORECASE)
_UNITS = {
    "b": 1,
    **{f"{unit}b": 1000**power for power, unit in enumerate("kmgt", 1)},
    **{f"{unit}ib": 1024**power for power, unit in enumerate("kmgt", 1)},
}
