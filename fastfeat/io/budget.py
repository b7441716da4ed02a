"""A budget of memory: how much of it tables may take that are read while states grow."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple

from fastfeat.errors import OutOfMemory
from fastfeat.io.arrow import pa
from fastfeat.io.host_memory import as_bytes, bytes_of, release_unused, resident_memory
from fastfeat.io.unnamed import drop_pages

LESS = "or let the plan read fewer columns, or smaller tables"
LEAST_TABLE, MOST_TABLE = 1 << 20, 1 << 26
"""Bytes: smaller tables take long, and larger ones are no faster."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most memory that this process may have resident, interpreter and libraries included.

    Args:
        n_bytes: all of it.
    """

    n_bytes: int

    def room(self) -> int:
        """Return the bytes that are left now, below zero where it is exceeded."""
        taken = resident_memory()
        return self.n_bytes // 2 if taken is None else self.n_bytes - taken

    def table_bytes(self, n_growing: int = 0) -> int:
        """Return the bytes of the next table that is read, so that all that it brings has room.

        A table is read while another one is worked on, and work takes a multiple of it.

        Args:
            n_growing: bytes of tables of keys, which are there twice and once more as they grow.
        """
        room = self.spare() - 2 * n_growing
        return min(MOST_TABLE, max(LEAST_TABLE, room // _SHARE))

    def spare(self) -> int:
        """Return the bytes that are left to plan with: some are of what nobody foresees."""
        if self.room() < self.n_bytes >> 2:
            _give_back()
        return max(self.room() - (self.n_bytes >> _UNFORESEEN_BITS), 0)

    def lacks(self, n_bytes: int) -> bool:
        """Whether so many bytes more have no room, also when all that can be is given back."""
        if n_bytes <= self.spare():
            return False
        _give_back()
        return n_bytes > self.spare()

    def is_exceeded(self) -> bool:
        """Whether more is taken, also when all that can be given back to the system is."""
        if self.room() >= 0:
            return False
        _give_back()
        return self.room() < 0


class Need(NamedTuple):
    """Memory that work needs and that cannot go to disk.

    Args:
        what: The work, or what is held, as a message names it.
        n_bytes: About how many bytes it takes.
    """

    what: str
    n_bytes: int


def check_needs(
    needs: Sequence[Need], less: str, budget: Budget | None = None, n_freed: int = 0
) -> None:
    """Raise where a budget has no room for all needs together.

    Args:
        needs: What is needed at the same time.
        less: How a user can need less, as the end of a sentence.
        budget: None for the budget of this thread; without one there is room.
        n_freed: Bytes that are in memory now and are free by then.

    Raises:
        OutOfMemory: It has no room. The message gives a budget that has.
    """
    budget = budget or _current.get()
    n_bytes = sum(need.n_bytes for need in needs) - n_freed
    if budget is not None and needs and budget.lacks(n_bytes):
        raise _too_little(budget, n_bytes, needs, less)


def _too_little(budget: Budget, n_bytes: int, needs: Sequence[Need], less: str) -> OutOfMemory:
    """Return the error of a budget that lacks room for so many bytes; it names one that has it."""
    taken = budget.n_bytes - budget.room()
    first, *others = sorted(needs, key=lambda need: -need.n_bytes)
    told = f"{first.what} takes about {as_bytes(first.n_bytes)}"
    if others:
        told += f", and {as_bytes(sum(need.n_bytes for need in needs))} with all else that is"
        told += " needed at the same time"
    return OutOfMemory(
        f"memory={as_bytes(budget.n_bytes)} has too little room: {told}, and the process has "
        f'{as_bytes(taken)} in memory already. Give memory="{enough_for(taken + n_bytes)}" or '
        f"more{less and ', '}{less}"
    )


def enough_for(n_bytes: int) -> str:
    """Return a budget that has room for so many bytes, and for rows and kernels besides."""
    return f"{-(-((n_bytes + _BESIDES) * 9 // 8) >> 20)}MiB"


def _give_back() -> None:
    """Give memory that nobody uses, and pages of files, back to the system."""
    pa.default_memory_pool().release_unused()
    release_unused()
    drop_pages()


def budget_of(memory: str | int, needs: Sequence[Need] = (), less: str = LESS) -> Budget:
    """Return the budget that a user gives for a call.

    A call makes its budget once, before it reads a row, with all that it knows it needs: so it is
    refused at most once, and what the process has taken later does not count against the call.

    Args:
        memory: Such as "600MiB", or a number of bytes.
        needs: Memory that the call needs at the same time and that cannot go to disk.
        less: How a user can need less of that, as the end of a sentence.

    Raises:
        InvalidConfig: It is no number of bytes.
        OutOfMemory: It has no room for the needs, for rows and for kernels beside what this process
            has already. The message gives a budget that has.
    """
    budget, n_bytes = Budget(bytes_of(memory)), sum(need.n_bytes for need in needs)
    if budget.room() < n_bytes + _LEAST_ROOM:
        _give_back()
    if budget.lacks(n_bytes):
        raise _too_little(budget, n_bytes, needs, less)
    if budget.room() < n_bytes + _LEAST_ROOM:
        raise _too_little(budget, n_bytes, [*needs, _ROWS], less if needs else "")
    return budget


def budget_of_free(free: int | None, needs: Sequence[Need] = ()) -> Budget:
    """Return the budget where a user gives none: what the process has, and most of what is free.

    Args:
        free: The bytes that are free, as `free_memory` returns them; None if unknown.
        needs: As `budget_of` takes them.

    Raises:
        OutOfMemory: As good as nothing is free.
    """
    more = _UNKNOWN_FREE if free is None else free
    return budget_of((resident_memory() or 0) + more // 4 * 3, needs)


@contextmanager
def within(budget: Budget) -> Generator[None]:
    """Let work of this thread ask a budget for room: see `has_room`."""
    token = _current.set(budget)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def bounded(budget: Budget | None) -> Generator[None]:
    """Let work of this thread ask a budget for room, if there is one."""
    if budget is None:
        yield
        return
    with within(budget):
        yield


def current_budget() -> Budget | None:
    """Return the budget that bounds the work of this thread; None where none does."""
    return _current.get()


def is_bounded() -> bool:
    """Whether a budget bounds the work of this thread."""
    return _current.get() is not None


def free_unused() -> None:
    """Give memory that nobody uses back to the system, where a budget bounds the work."""
    if is_bounded():
        _give_back()


def check_within(work: str) -> None:
    """Raise where a budget that bounds the work of this thread is exceeded.

    Args:
        work: what was done last, as in a sentence: "computing features".

    Raises:
        OutOfMemory: it is, also when all that can be given back to the system is.
    """
    budget = _current.get()
    if budget is None or not budget.is_exceeded():
        return
    taken = budget.n_bytes - budget.room()
    raise OutOfMemory(
        f"memory={as_bytes(budget.n_bytes)} is exceeded by {work}: the process has "
        f"{as_bytes(taken)} in memory, with what is learnt of keys, which is looked up there. Give "
        f'memory="{enough_for(taken)}" or more'
    )


def has_room(n_bytes: int) -> bool:
    """Whether so many bytes more leave others most of the room of a budget; True without one.

    What would take more goes to disk, or takes longer.
    """
    budget = _current.get()
    return budget is None or n_bytes * _LARGE_SHARE <= budget.spare()


def lacking(n_bytes: int, n_more: int) -> str | None:
    """Return a budget that has room, where that of this thread has none; None where it has.

    Args:
        n_bytes: that cannot go to disk.
        n_more: that the same work takes besides with the larger budget.
    """
    budget = _current.get()
    if budget is None or not budget.lacks(n_bytes):
        return None
    return enough_for(budget.n_bytes - budget.room() + n_bytes + n_more)


_current: ContextVar[Budget | None] = ContextVar("budget", default=None)
_LARGE_SHARE = 4
_UNFORESEEN_BITS = 5
_LEAST_ROOM = 64 << 20
_ROWS = Need("work on rows, however few at a time,", _LEAST_ROOM)
_BESIDES = 160 << 20
"""Bytes: kernels that are compiled took about 110 MiB, and rows on their way take the rest."""
_SHARE = 16
_UNKNOWN_FREE = 4 << 30
