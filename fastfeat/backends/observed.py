"""Which kernels are asked for while somebody looks: what `compile` counts."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple


class Used(NamedTuple):
    """A kernel that was asked for.

    Args:
        name: its folder and entry, such as "windows.compute"; of generated code "features".
        is_compiled: whether it had to be compiled; else it was there already.
        is_kept: whether it is on disk now, for other processes.
    """

    name: str
    is_compiled: bool
    is_kept: bool


_observers: list[dict[str, Used]] = []


@contextmanager
def observed() -> Generator[dict[str, Used]]:
    """Give the kernels that a block asks for, by their keys.

    Each is on disk then, if it can be: what this process has loaded, and the file of which is gone,
    is compiled again.
    """
    used: dict[str, Used] = {}
    _observers.append(used)
    try:
        yield used
    finally:
        _observers[:] = [other for other in _observers if other is not used]


def is_observed() -> bool:
    """Return whether somebody looks."""
    return bool(_observers)


def note(key: str, used: Used) -> None:
    """Tell whoever looks of a kernel; the first time counts."""
    for seen in _observers:
        seen.setdefault(key, used)
