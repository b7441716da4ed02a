"""Compiled code of this machine: its folder, its files, and who asks for it.

Kernels are noted while somebody looks: that is what `compile` counts.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import NamedTuple

from fastfeat.errors import FastfeatError
from fastfeat.io.sinks.atomic import TEMPORARY

_CODE = re.compile(r"[0-9a-f]{40}(\.kernel|-[0-9a-f]{16}\.[a-z]+)")

_BESIDE_CODE = re.compile(r"[0-9a-f]{40}(\.py|\.ll|\.lock|\.[a-z]+\.digest)")


def cache_folder() -> Path:
    """Return the folder of compiled code: FASTFEAT_CACHE_DIR, or the user's cache folder.

    Raises:
        FastfeatError: neither that variable nor the home folder of the user is known.
    """
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
    """Return the files in the folder that were written here, never what others keep there."""
    patterns = (_CODE, _BESIDE_CODE, TEMPORARY)
    return [
        path
        for path in cache_folder().glob("*")
        if any(pattern.fullmatch(path.name) for pattern in patterns) and path.is_file()
    ]


def is_code(path: Path) -> bool:
    """Return whether a file is a compiled kernel, not what belongs to one."""
    return _CODE.fullmatch(path.name) is not None


class UsedKernel(NamedTuple):
    """A kernel that was asked for.

    Args:
        name: its folder and entry, such as "windows.compute"; of generated code "features".
        is_compiled: whether it had to be compiled; else it was there already.
        is_kept: whether it is on disk now, for other processes.
    """

    name: str
    is_compiled: bool
    is_kept: bool


_observers: list[dict[str, UsedKernel]] = []


@contextmanager
def observing() -> Generator[dict[str, UsedKernel]]:
    """Give the kernels that a block asks for, by their keys.

    Each is on disk then, if it can be: what this process has loaded, and the file of which is gone,
    is compiled again.
    """
    used: dict[str, UsedKernel] = {}
    _observers.append(used)
    try:
        yield used
    finally:
        _observers[:] = [other for other in _observers if other is not used]


@dataclass(slots=True)
class Spent:
    """Seconds that this process has spent to compile and load kernels: once each, not once a row.

    Args:
        wall_s: seconds that passed.
        cpu_s: seconds of processors, of all threads meanwhile.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0


_spent = Spent()
_open = local()  # no lock: a process that is forked meanwhile would have it for ever


def spent() -> tuple[float, float]:
    """Return the seconds, and those of processors, that kernels have taken up to now."""
    return _spent.wall_s, _spent.cpu_s


@contextmanager
def spending() -> Generator[None]:
    """Add what a block takes to `spent`: it compiles or loads a kernel."""
    if getattr(_open, "is_open", False):  # it is a part of a block of this thread
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
    """Return whether somebody looks."""
    return bool(_observers)


def note(key: str, used: UsedKernel) -> None:
    """Tell whoever looks of a kernel; the first time counts."""
    for seen in _observers:
        seen.setdefault(key, used)
