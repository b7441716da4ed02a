"""Memory of this machine, its container and this process, in bytes: limits and use."""

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
    """Return the bytes that this process may have, limited by the machine or its container.

    None if the system does not report it.
    """
    known = [n_bytes for n_bytes in (_of_machine(), _of_container()) if n_bytes is not None]
    return min(known, default=None)


def free_memory() -> int | None:
    """Return the bytes that this process can still take before swapping, or None if unknown.

    Cached file pages count as free, because the machine gives them up on demand.
    """
    free = [max(0, limit - taken) for limit, taken in _groups()]
    available = _available()
    return min(free if available is None else [available, *free], default=None)


def resident_memory() -> int | None:
    """Return the bytes of this process in memory now, including shared ones, or None."""
    with suppress(OSError, ValueError):  # only available on Linux
        # takes a third of the time of /proc/self/status, and is read several times per table
        return int(_COUNTS.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def peak_memory() -> int | None:
    """Return the peak bytes of this process in memory since it began, or None."""
    peak = _of_status("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # not available on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def release_unused() -> None:
    """Return memory that is freed but still held by the C library to the operating system."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """Return the C library's function that gives freed memory to the system; None without one."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl does not have it


def bytes_of(given: str | int, name: str = "memory") -> int:
    """Return a number of bytes from a text such as "600MiB" or "2 GB", or from a number.

    `name` is the name of the argument, for messages.

    Raises:
        InvalidConfig: It is not a number of bytes, or not above zero.

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
    except (AttributeError, OSError, ValueError):  # not available on Windows
        return None


def _of_container() -> int | None:
    return min((limit for limit, _ in _groups()), default=None)


def _groups() -> Iterator[tuple[int, int]]:
    """Yield for each control group of this process its memory limit and its bytes in use."""
    for version in _VERSIONS:
        for folder in _group_folders(version):
            with suppress(OSError, ValueError):  # "max" is not a number
                limit = int((folder / version.limit).read_text())
                taken = int((folder / version.taken).read_text())
                told = (folder / "memory.stat").read_text()
                of_files = re.search(rf"^{version.files} (\d+)", told, re.M)
                yield limit, taken - (int(of_files[1]) if of_files else 0)


def _group_folders(version: _Version) -> Iterator[Path]:
    """Yield the folders of the control groups of this process, from the root on.

    In a container the root may be the container's own group, and the path may exist only on its
    host.
    """
    root = _GROUPS / version.root
    yield root
    with suppress(OSError):
        found = re.search(version.own, _OWN_GROUP.read_text(), re.M)
        parts = found[1].strip("/").split("/") if found else ()
        for n in range(1, len(parts) + 1):
            yield root.joinpath(*parts[:n])


class _Version(NamedTuple):
    """File and folder names for one version of control groups.

    Args:
        root: Folder below the folder of all groups.
        own: Pattern that finds the path of a process's group.
        limit: File with the limit.
        taken: File with the bytes in use, including groups below.
        files: Entry of `memory.stat` for cached file pages that are given up first.
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
