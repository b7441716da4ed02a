"""Processes that fork: what a child has of states in memory is whole, and its locks are free."""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol


class Forked(Protocol):
    """An object that changes under a lock, and is read under it."""

    reading: Any

    def renew_locks(self) -> None:
        """Make locks that nobody holds: in a child, those who held them are not there."""
        ...


def wait_before_forks(state: Forked) -> None:
    """Have forks wait until a state is not half changed, as long as it lives."""
    _STATES.add(state)


_STATES: weakref.WeakSet[Forked] = weakref.WeakSet()
_HELD: list[Forked] = []


def _before() -> None:
    for state in list(_STATES):
        state.reading.acquire()
        _HELD.append(state)


def _after_in_parent() -> None:
    while _HELD:
        _HELD.pop().reading.release()


def _after_in_child() -> None:
    while _HELD:
        _HELD.pop().renew_locks()


if hasattr(os, "register_at_fork"):  # not on every system: others start processes anew
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
