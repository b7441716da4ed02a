"""Forks of a process: a child gets whole states in memory, and new locks."""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol


class ForkAware(Protocol):
    """An object that threads change and read under locks."""

    reading: Any

    def renew_locks(self) -> None:
        """Replace the locks by new ones.

        After a fork, the threads that held them are not in the child.
        """
        ...


def wait_before_forks(state: ForkAware) -> None:
    """Register a state, so that a fork of the process waits until no thread is changing it.

    The state is held by a weak reference.
    """
    _STATES.add(state)


_STATES: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_HELD: list[ForkAware] = []


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


if hasattr(os, "register_at_fork"):  # systems without fork start processes anew
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
