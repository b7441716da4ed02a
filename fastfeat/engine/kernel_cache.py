"""Compiled code of this machine: its folder and files, and a record of the kernels in use.

A kernel is a compiled function over rows. While an observer is active, each kernel that is
requested is recorded; `compile` counts them this way.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import local
from typing import NamedTuple

from fastfeat_kernels.records import dataclass

from fastfeat.errors import FastfeatError
from fastfeat.io.sinks import atomic

_CODE = re.compile(r"[0-9a-f]{40}(\.kernel|-[0-9a-f]{16}\.[a-z]+)")

_BESIDE_CODE = re.compile(r"[0-9a-f]{40}(\.py|\.ll|\.lock|\.[a-z]+\.digest)")


def cache_folder() -> Path:
    """Return the folder of compiled code: FASTFEAT_CACHE_DIR, or the user's cache folder."""
    chosen = os.environ.get("FASTFEAT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    try:
        return _user_folder()
    except RuntimeError as error:
        raise FastfeatError(f"{error} Set FASTFEAT_CACHE_DIR to a folder for kernels") from None


def _user_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "fastfeat"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fastfeat"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastfeat"


def written_files() -> list[Path]:
    """Return the files that fastfeat wrote in the cache folder; files of others are left out."""
    patterns = (_CODE, _BESIDE_CODE, atomic.TEMPORARY)
    return [
        path
        for path in cache_folder().glob("*")
        if any(pattern.fullmatch(path.name) for pattern in patterns) and path.is_file()
    ]


def is_code(path: Path) -> bool:
    """Return whether a file is a compiled kernel, rather than a file beside one."""
    return _CODE.fullmatch(path.name) is not None


class UsedKernel(NamedTuple):
    """A kernel that was requested.

    Args:
        name: Its folder and entry, such as "windows.compute"; "features" for generated code.
        is_compiled: Whether it had to be compiled.
        is_kept: Whether it is on disk now, for other processes.
    """

    name: str
    is_compiled: bool
    is_kept: bool


_observers: list[dict[str, UsedKernel]] = []


@contextmanager
def observe_kernels() -> Generator[dict[str, UsedKernel]]:
    """Yield a dict that collects the kernels requested in a block, by their keys.

    It also brings each of them to disk if possible: if the file of a loaded kernel is gone, the
    kernel is compiled again.
    """
    used: dict[str, UsedKernel] = {}
    _observers.append(used)
    try:
        yield used
    finally:
        _observers[:] = [other for other in _observers if other is not used]


@dataclass(slots=True)
class KernelSeconds:
    """Time that this process spent on compiling and loading kernels.

    Args:
        wall_s: Elapsed seconds.
        cpu_s: CPU seconds, including all threads that ran meanwhile.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0


_spent = KernelSeconds()
_open = local()  # no lock: a process forked meanwhile would hold it for ever


def kernel_seconds() -> tuple[float, float]:
    """Return the elapsed and the CPU seconds that kernels have taken so far."""
    return _spent.wall_s, _spent.cpu_s


@contextmanager
def measure_kernels() -> Generator[None]:
    """Add the time that the `with` block takes to the record that `kernel_seconds` returns."""
    if getattr(_open, "is_open", False):  # inside another such block of this thread
        yield
        return
    _open.is_open = True
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        _open.is_open = False
        _spent.wall_s += time.perf_counter() - wall
        _spent.cpu_s += time.process_time() - cpu


def is_observed() -> bool:
    """Return whether any observer is active."""
    return bool(_observers)


def note(key: str, used: UsedKernel) -> None:
    """Report the use of a kernel to all observers; only its first report counts."""
    for seen in _observers:
        seen.setdefault(key, used)
