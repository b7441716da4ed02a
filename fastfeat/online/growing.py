"""Arrays that grow at their end: what columns of a log and the stretches of entities stand in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.bits import Flags

Places = NDArray[np.integer[Any]]
"""Numbers of rows as they stand in memory, shape (n_rows,)."""


class Growing:
    """A NumPy array that grows at its end, in constant time a value."""

    __slots__ = ("_memory", "n")

    def __init__(self, values: NDArray[Any]) -> None:
        """Args:
        values: what it begins with; they are not copied, and may be written to.
        """
        self._memory = values
        self.n = len(values)

    @property
    def values(self) -> NDArray[Any]:
        """The values, in place: they may be written to."""
        return self._memory[: self.n]

    def more(self, n: int) -> NDArray[Any]:
        """Return n further values, to be written."""
        end = self.n + n
        if end > len(self._memory):  # pages that nobody wrote to take no memory
            memory = np.empty(max(end, len(self._memory) * 3 // 2), self._memory.dtype)
            memory[: self.n] = self._memory[: self.n]
            self._memory = memory
        added = self._memory[self.n : end]
        self.n = end
        return added

    def extend(self, values: NDArray[Any] | float) -> None:
        """Add an array at the end."""
        values = np.atleast_1d(values)
        self.more(len(values))[:] = values

    def cut(self, n: int) -> None:
        """Take back all but the first n values."""
        self.n = n


class Presence:
    """Whether each row of a column has a value; no memory as long as all do."""

    __slots__ = ("_flags",)

    def __init__(self) -> None:
        self._flags: Growing | None = None

    def append(self, present: Flags | None, before: int, n_rows: int) -> None:
        if self._flags is None:
            if present is None:
                return
            self._flags = Growing(np.ones(before, np.bool_))
        self._flags.more(n_rows)[:] = True if present is None else present

    def put(self, places: Places, present: Flags | None, n_rows: int) -> None:
        if self._flags is None:
            if present is None:
                return
            self._flags = Growing(np.ones(n_rows, np.bool_))
        self._flags.values[places] = True if present is None else present

    def take(self, places: Places) -> Flags | None:
        """Return whether rows have values; None when all do."""
        if self._flags is None:
            return None
        present = self._flags.values.take(places)
        return None if present.all() else present

    def cut(self, n_rows: int) -> None:
        if self._flags is not None:
            self._flags.cut(n_rows)


def ranges(starts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers of some ranges, one range after the other.

    Example:
        >>> ranges(np.array([5, 2]), np.array([2, 3])).tolist()
        [5, 6, 2, 3, 4]
    """
    ends = np.cumsum(lengths)
    numbers = np.arange(int(ends[-1]) if len(ends) else 0)
    numbers += np.repeat(starts - (ends - lengths), lengths)
    return numbers
