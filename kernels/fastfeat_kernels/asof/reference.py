"""The reference of the kernel of as-of joins: plain Python over lists, by the definition."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class Rule(NamedTuple):
    """The rows of a table that a row of the data may find.

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

KnownRows = tuple[Sequence[int], Sequence[int]]
"""The times of rows of one key in order, and the numbers of these rows."""


def find(data: Sequence[Moment], table: Sequence[Moment], rule: Rule) -> list[int | None]:
    """Return the row of a table that each row of the data finds, None for none."""
    known: dict[int, list[tuple[int, int]]] = {}
    for row, (key, time) in enumerate(table):
        if time is not None:
            known.setdefault(key, []).append((time * rule.tick_of_table, row))
    ordered = {key: in_order(rows) for key, rows in known.items()}
    return [
        None if code < 0 or time is None else latest(ordered.get(code), time * rule.tick, rule)
        for code, time in data
    ]


def in_order(rows: Sequence[tuple[int, int]]) -> KnownRows:
    """Return the rows of one key in order, from the time and the number of each."""
    ordered = sorted(rows)
    return [time for time, _ in ordered], [row for _, row in ordered]


def latest(rows: KnownRows | None, moment: int, rule: Rule) -> int | None:
    """Return the row of one key that is found at a moment, None for none.

    Args:
        rows: those of the key in order, with their times; None of a key that is not there.
        moment: in nanoseconds, or steps, as the times are.
        rule: which of them may be found.
    """
    times, numbers = rows or ((), ())
    find_end = bisect_right if rule.exact else bisect_left
    end = find_end(times, moment - rule.delay)
    if end == 0 or (rule.tolerance is not None and times[end - 1] < moment - rule.tolerance):
        return None
    return numbers[end - 1]
