"""Computations of several threads on one device: they share its memory, or one has it alone.

A computation that lacks memory while others compute drops all that it has, waits until they have
ended, and begins again alone. Nobody waits who has memory, so all come to their end. One that lacks
memory alone begins again with smaller pieces; with the smallest, the error is that of the caller.

What is not a computation's, such as a matrix that the user keeps, is only less that is free.
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
"""The share of its pieces with which a computation that lacks memory alone begins again."""
_LOOK_AGAIN_S = 0.002
"""How often one who waits looks whether others have ended: an interrupt may keep them from saying.
"""
_TELLING = (RowFailed, FastfeatError, KeyboardInterrupt)
_Result = TypeVar("_Result")

_LOCK = threading.RLock()
"""Of all devices: a handler of a signal may compute while it is held; a fork waits for it, because
in the child nobody would release it. Nothing is asked of a device, and so nothing else is waited
for, while it is held."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _LOCK.acquire(),
        after_in_parent=lambda: _LOCK.release(),
        after_in_child=lambda: _LOCK.release(),
    )


class _Computation:
    """One attempt at a computation.

    Args:
        is_alone: it begins when no other runs, and until its end no other begins.
        share: of the memory that there is, for its pieces.
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
        self.outer: _Computation | None = None  # of this thread, which goes on after this one
        self.is_running = False
        self.is_over = False
        self.had_company = False
        self.can_shrink = False
        self.n_claimed = 0.0


class Computations:
    """The computations of all threads that compute on a device."""

    def __init__(self) -> None:
        # In the order of arrival. What is dropped without a word, by an interrupt, is over, too.
        self._known: list[weakref.ref[_Computation]] = []

    def run(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of a computation, which may be begun several times.

        What has failed gives its memory back, though the error may be kept. A computation within
        another of the same thread, such as that of a handler of a signal, waits for nobody.

        Args:
            work: computes; what it writes is the same each time.

        Raises:
            OutOfDeviceMemory: it lacks memory alone, with the smallest pieces.
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
                mine.is_over = True  # not by a call, which an interrupt may come before

    def unclaimed(self, free: int) -> float:
        """Return how much of the free memory the computations of other threads do not claim."""
        with _LOCK:
            thread = threading.get_ident()
            others = [one for one in self._live() if one.thread != thread and one.is_running]
            return max(0.0, free - sum(one.n_claimed for one in others))

    def share(self) -> float:
        """Return the share of the memory left that the calling computation may plan with."""
        mine = self._current()
        return 1.0 if mine is None else mine.share

    def plan(self, n_claimed: float, can_shrink: bool) -> None:
        """Record the memory that the calling computation has planned.

        Args:
            n_claimed: bytes that it is going to take bit by bit, besides its pieces.
            can_shrink: there are smaller pieces.
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
        """Let a computation run if it may."""
        with _LOCK:
            mine.is_running = self._may_run(mine)
            for one in self._live():
                if mine.is_running and one.is_running and one.thread != mine.thread:
                    one.had_company = mine.had_company = True
        return mine.is_running

    def _may_run(self, mine: _Computation) -> bool:
        """Return whether nobody who runs, or has come before, keeps others from running."""
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
        """Return the computations that are not over; after a fork only this thread's can end."""
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
    """Drop the memory of what has failed, which the frames of its error hold.

    An error that tells all that there is to say has no need of its frames. Of others, which are
    looked into, the frames stay, less their variables.

    Args:
        error: just caught.
        handled: what the caller was handling before; its frames are not ours.
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
