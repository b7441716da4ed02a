"""What the kernel of as-of joins does, in plain Python over lists, by the definition."""

from __future__ import annotations

from collections.abc import Sequence
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


Moment = tuple[int, int | None]
"""The number of a key, negative for none; a time, None where it is missing."""


def find(data: Sequence[Moment], table: Sequence[Moment], rule: Rule) -> list[int | None]:
    """Return the row of a table that each row of the data finds, None for none."""
    return [_found(code, time, table, rule) for code, time in data]


def _found(code: int, time: int | None, table: Sequence[Moment], rule: Rule) -> int | None:
    if code < 0 or time is None:
        return None
    moment = time * rule.tick
    known: list[tuple[int, int]] = []
    for row, (key, its_time) in enumerate(table):
        if key == code and its_time is not None:
            then = its_time * rule.tick_of_table
            if then + rule.delay < moment or (rule.exact and then + rule.delay == moment):
                known.append((then, row))
    if not known:
        return None
    then, row = max(known)
    is_too_old = rule.tolerance is not None and then < moment - rule.tolerance
    return None if is_too_old else row
