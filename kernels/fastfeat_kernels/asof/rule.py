"""Which rows of a table a row of the data may find: data alone."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """Which rows of a table a row of the data may find.

    Args:
        tick: nanoseconds of a tick of the data; 1 of whole numbers.
        tick_of_table: the same of the table. The longer is a multiple of the shorter.
        delay: nanoseconds from the time of a row of the table until it is known; from 0 on.
        exact: whether a row that is known at the very moment is found.
        tolerance: how many nanoseconds older than the row of the data it may be; None for any age.
    """

    tick: int = 1
    tick_of_table: int = 1
    delay: int = 0
    exact: bool = True
    tolerance: int | None = None
