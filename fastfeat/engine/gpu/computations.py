"""Computations of several threads on one device: they share its memory, or one uses it alone.

If a computation lacks memory while others compute, it drops all of its memory, waits until they
have ended, and starts again alone. A computation that has memory never waits, so all of them end.
If it lacks memory although it is alone, it starts again with smaller pieces; if these are already
the smallest, the caller gets the error. Memory outside of computations, such as a matrix that the
user keeps, only reduces the free memory.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from traceback import clear_frames
from typing import TypeVar

from fastfeat.engine.program import RowFailed
from fastfeat.errors import FastfeatError, OutOfDeviceMemory

SMALLER = 1 / 4
"""Factor on the size of pieces for a new start of a computation that lacks memory alone."""
_LOOK_AGAIN_S = 0.002
"""Seconds between checks of a waiting computation whether the others have ended.

It must check, because an interrupt may keep the others from notifying it.
"""
_TELLING = (RowFailed, FastfeatError, KeyboardInterrupt)
_Result = TypeVar("_Result")

_LOCK = threading.RLock()
"""The lock of all devices. A signal handler may compute while it is held.

A fork waits for it, because in the child nobody would release it. While it is held, no request goes
to a device, so nothing else is waited for.
"""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _LOCK.acquire(),
        after_in_parent=lambda: _LOCK.release(),
        after_in_child=lambda: _LOCK.release(),
    )


class _Computation:
    """One attempt at a computation.

    Args:
        is_alone: Whether it starts only if no other runs, and blocks others until its end.
        share: Share of the memory for its pieces.
    """

    __slots__ = (
        *("__weakref__", "can_shrink", "had_company", "is_alone", "is_over", "is_running"),
        *("n_claimed", "outer", "process", "share", "thread"),
    )

    def __init__(self, is_alone: bool, share: float) -> None:
        self.is_alone = is_alone
        self.share = share
        self.thread = threading.get_ident()
        self.process = os.getpid()
        self.outer: _Computation | None = None  # of this thread, which continues after this one
        self.is_running = False
        self.is_over = False
        self.had_company = False
        self.can_shrink = False
        self.n_claimed = 0.0


class Computations:
    """The computations of all threads that compute on a device."""

    def __init__(self) -> None:
        # In the order of arrival. One that an interrupt dropped without notice counts as over.
        self._known: list[weakref.ref[_Computation]] = []

    def run(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` and return its result; it may be started several times if memory is short.

        A failed attempt frees its memory even if the error is kept. A computation within another of
        the same thread, such as one of a signal handler, waits for nobody.

        `work` computes; it must write the same each time. Raises OutOfDeviceMemory if it lacks
        memory alone, with the smallest pieces.
        """
        handled = sys.exc_info()[1]
        is_alone, share = False, 1.0
        while True:
            mine = _Computation(is_alone, share)
            try:
                self._begin(mine)
                return work()
            except OutOfDeviceMemory as error:
                _let_go(error, handled)
                has_company = (mine.outer or mine).had_company
                if (has_company and mine.outer) or not (has_company or mine.can_shrink):
                    raise
                is_alone, share = True, share if has_company else share * SMALLER
            except BaseException as error:
                _let_go(error, handled)
                raise
            finally:
                mine.is_over = True  # not by a call, since an interrupt may come before it

    def unclaimed(self, free: int) -> float:
        """Return the part of `free` bytes that computations of other threads have not claimed."""
        with _LOCK:
            thread = threading.get_ident()
            others = [one for one in self._live() if one.thread != thread and one.is_running]
            return max(0.0, free - sum(one.n_claimed for one in others))

    def share(self) -> float:
        """Return the share, 0 to 1, of unclaimed memory that the calling computation may use."""
        mine = self._current()
        return 1.0 if mine is None else mine.share

    def plan(self, n_claimed: float, can_shrink: bool) -> None:
        """Record the memory that the calling computation has planned.

        `n_claimed` are the bytes that it will allocate over time, besides its pieces. `can_shrink`
        says that smaller pieces are possible.
        """
        mine = self._current()
        if mine is not None:
            mine.n_claimed, mine.can_shrink = n_claimed, can_shrink

    def _begin(self, mine: _Computation) -> None:
        """Wait until a computation may run."""
        with _LOCK:
            mine.outer = next((one for one in self._live() if one.thread == mine.thread), None)
            self._known = [*map(weakref.ref, self._live()), weakref.ref(mine)]
        while not self._has_begun(mine):
            time.sleep(_LOOK_AGAIN_S)

    def _has_begun(self, mine: _Computation) -> bool:
        """Start a computation if it may run; return whether it runs."""
        with _LOCK:
            mine.is_running = self._may_run(mine)
            for one in self._live():
                if mine.is_running and one.is_running and one.thread != mine.thread:
                    one.had_company = mine.had_company = True
        return mine.is_running

    def _may_run(self, mine: _Computation) -> bool:
        """Return whether no running or earlier computation blocks this one."""
        if mine.outer is not None:
            return True
        live = self._live()
        earlier = live[: live.index(mine)]
        return not any(one.is_alone for one in earlier) and not any(
            one.is_running and (one.is_alone or mine.is_alone) for one in live
        )

    def _current(self) -> _Computation | None:
        with _LOCK:
            thread = threading.get_ident()
            own = [one for one in self._live() if one.thread == thread and one.is_running]
            return own[-1] if own else None

    def _live(self) -> list[_Computation]:
        """Return the computations that wait or run.

        After a fork, these are only this thread's.
        """
        process, thread = os.getpid(), threading.get_ident()
        known = (ref() for ref in self._known)
        return [
            one
            for one in known
            if one is not None
            and not one.is_over
            and (one.process == process or one.thread == thread)
        ]


def _let_go(error: BaseException, handled: BaseException | None) -> None:
    """Free the memory of a failed attempt, which the frames of its error hold.

    Errors with a complete message lose their frames. Other errors keep their frames for debugging,
    without the variables. `handled` is the error that the caller was handling before; its frames
    stay.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and one is not handled and id(one) not in seen:
            seen.add(id(one))
            clear_frames(one.__traceback__)
            if isinstance(error, _TELLING):
                one.__traceback__ = None
            left += one.__cause__, one.__context__
