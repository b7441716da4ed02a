"""The memory budget of a call: how large tables may be while learning states grow."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from fastfeat_kernels.records import dataclass

from fastfeat.errors import OutOfMemory
from fastfeat.io import host_memory, temporary_files
from fastfeat.io.arrow import pa

LESS = "or let the plan read fewer columns or smaller tables"
LEAST_TABLE, MOST_TABLE = 1 << 20, 1 << 26
"""Bytes of a table that is read at a time: smaller ones are slow, larger ones no faster."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most memory that this process may have resident, including interpreter and libraries."""

    n_bytes: int

    def room(self) -> int:
        """Return the bytes that are left now; negative if the budget is exceeded."""
        taken = host_memory.resident_memory()
        return self.n_bytes // 2 if taken is None else self.n_bytes - taken

    def table_bytes(self, n_growing: int = 0) -> int:
        """Return the size in bytes of the next table to read, so that work on it fits the budget.

        The next table is read while another is processed, and processing takes a multiple of its
        size. `n_growing` is the bytes of key tables, which take twice their size in addition while
        they grow.
        """
        room = self.spare() - 2 * n_growing
        return min(MOST_TABLE, max(LEAST_TABLE, room // _SHARE))

    def spare(self) -> int:
        """Return the bytes that may be taken now, after a reserve for unforeseen memory."""
        if self.room() < self.n_bytes >> 2:
            _give_back()
        return max(self.room() - (self.n_bytes >> _UNFORESEEN_BITS), 0)

    def lacks(self, n_bytes: int) -> bool:
        """Return whether `n_bytes` more do not fit, even after giving back unused memory."""
        if n_bytes <= self.spare():
            return False
        _give_back()
        return n_bytes > self.spare()

    def is_exceeded(self) -> bool:
        """Return whether the budget is exceeded, even after giving back unused memory."""
        if self.room() >= 0:
            return False
        _give_back()
        return self.room() < 0


class Need(NamedTuple):
    """Memory that some work needs and that cannot go to disk instead.

    Args:
        what: The work or the data in memory, as named in messages.
        n_bytes: About how many bytes it takes.
    """

    what: str
    n_bytes: int


def check_needs(
    needs: Sequence[Need], less: str, budget: Budget | None = None, n_freed: int = 0
) -> None:
    """Raise OutOfMemory, with a sufficient budget, if a budget has no room for all needs."""
    budget = budget or _current.get()
    n_bytes = sum(need.n_bytes for need in needs) - n_freed
    if budget is not None and needs and budget.lacks(n_bytes):
        raise _too_little(budget, n_bytes, needs, less)


def _too_little(budget: Budget, n_bytes: int, needs: Sequence[Need], less: str) -> OutOfMemory:
    """Return the error for a budget without room for `n_bytes`; it names a sufficient budget."""
    as_bytes, taken = host_memory.as_bytes, budget.n_bytes - budget.room()
    first, *others = sorted(needs, key=lambda need: -need.n_bytes)
    reason = f"{first.what} takes about {as_bytes(first.n_bytes)}"
    if others:
        reason += f", or {as_bytes(sum(need.n_bytes for need in needs))} together with everything"
        reason += " else that is needed at the same time"
    return OutOfMemory(
        f"memory={as_bytes(budget.n_bytes)} is too small: {reason}, and the process already uses "
        f'{as_bytes(taken)} of memory. Give memory="{enough_for(taken + n_bytes)}" or '
        f"more{less and ', '}{less}"
    )


def enough_for(n_bytes: int) -> str:
    """Return a budget that has room for `n_bytes` in addition to rows and kernels."""
    return f"{-(-((n_bytes + _BESIDES) * 9 // 8) >> 20)}MiB"


def _give_back() -> None:
    """Return unused memory, and pages of mapped files, to the operating system."""
    pa.default_memory_pool().release_unused()
    host_memory.release_unused()
    temporary_files.drop_pages()


def budget_of(memory: str | int, needs: Sequence[Need] = (), less: str = LESS) -> Budget:
    """Return the budget of a call from the user's `memory` argument.

    A call creates its budget once, before it reads a row, with all known needs. So it is refused at
    most once, and memory that the process takes later does not count against the call.
    """
    budget, n_bytes = Budget(host_memory.bytes_of(memory)), sum(need.n_bytes for need in needs)
    if budget.room() < n_bytes + _LEAST_ROOM:
        _give_back()
    if budget.lacks(n_bytes):
        raise _too_little(budget, n_bytes, needs, less)
    if budget.room() < n_bytes + _LEAST_ROOM:
        raise _too_little(budget, n_bytes, [*needs, _ROWS], less if needs else "")
    return budget


def budget_of_free(free: int | None, needs: Sequence[Need] = ()) -> Budget:
    """Return the default budget: the memory this process has, plus three quarters of free memory.

    `free` is the result of `free_memory`, None if unknown.
    """
    more = _UNKNOWN_FREE if free is None else free
    return budget_of((host_memory.resident_memory() or 0) + more // 4 * 3, needs)


@contextmanager
def use_budget(budget: Budget) -> Generator[None]:
    """Make a budget current for work in this thread; see `has_room`."""
    token = _current.set(budget)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def use_optional_budget(budget: Budget | None) -> Generator[None]:
    """Make a budget current for work in this thread; None changes nothing."""
    if budget is None:
        yield
        return
    with use_budget(budget):
        yield


def current_budget() -> Budget | None:
    """Return the budget of this thread's work, or None."""
    return _current.get()


def is_bounded() -> bool:
    """Return whether a budget bounds this thread's work."""
    return _current.get() is not None


def free_unused() -> None:
    """Give unused memory back to the system if a budget bounds this thread's work."""
    if is_bounded():
        _give_back()


def check_within(work: str) -> None:
    """Raise OutOfMemory if this thread's budget is exceeded, even after giving back unused memory.

    `work` is the last work done, as in a sentence: "computing features".
    """
    budget = _current.get()
    if budget is None or not budget.is_exceeded():
        return
    as_bytes, taken = host_memory.as_bytes, budget.n_bytes - budget.room()
    raise OutOfMemory(
        f"memory={as_bytes(budget.n_bytes)} is exceeded by {work}: the process uses "
        f"{as_bytes(taken)} of memory, including the values learnt per key, which must stay in "
        f'memory. Give memory="{enough_for(taken)}" or more'
    )


def has_room(n_bytes: int) -> bool:
    """Return whether `n_bytes` are at most a quarter of what this thread's budget has left.

    True without a budget. Work that would take more goes to disk, or takes longer.
    """
    budget = _current.get()
    return budget is None or n_bytes * _LARGE_SHARE <= budget.spare()


def sufficient_budget(n_bytes: int, n_more: int) -> str | None:
    """Return a sufficient budget as text if this thread's budget lacks room, else None.

    `n_bytes` cannot go to disk. `n_more` is the memory that the same work takes in addition with
    the larger budget.
    """
    budget = _current.get()
    if budget is None or not budget.lacks(n_bytes):
        return None
    return enough_for(budget.n_bytes - budget.room() + n_bytes + n_more)


_current: ContextVar[Budget | None] = ContextVar("budget", default=None)
_LARGE_SHARE = 4
_UNFORESEEN_BITS = 5
_LEAST_ROOM = 64 << 20
_ROWS = Need("processing even a few rows at a time", _LEAST_ROOM)
_BESIDES = 160 << 20
"""Bytes: compiled kernels took about 110 MiB, and rows in transit take the rest."""
_SHARE = 16
_UNKNOWN_FREE = 4 << 30
