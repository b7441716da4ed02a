"""Reference of the as-of join kernel: plain Python over lists, by the definition."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class MatchRule(NamedTuple):
    """The rows of a table that a row of the data may find.

    Args:
        tick: Nanoseconds of a tick of the data; 1 for plain integers.
        tick_of_table: Nanoseconds of a tick of the table. The longer is a multiple of the shorter.
        delay: Nanoseconds from the time of a table row until it is known; 0 or more.
        exact: Whether a row is already found exactly at the moment when it becomes known.
        tolerance: Largest age in nanoseconds relative to the row of the data; None for any age.
    """

    tick: int = 1
    tick_of_table: int = 1
    delay: int = 0
    exact: bool = True
    tolerance: int | None = None


RowMoment = tuple[int, int | None]
"""A key number, negative for none, and a time, None if missing."""

KnownRows = tuple[Sequence[int], Sequence[int]]
"""Times of the rows of one key in order, and the numbers of these rows."""


def find(
    data: Sequence[RowMoment], table: Sequence[RowMoment], rule: MatchRule
) -> list[int | None]:
    """Return the table row that each row of the data finds, None for none."""
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


def latest(rows: KnownRows | None, moment: int, rule: MatchRule) -> int | None:
    """Return the row of one key that is found at a moment, None for none.

    `rows` are the key's rows in order, None for an unknown key. `moment` is in nanoseconds, or in
    the unit of plain integers.
    """
    times, numbers = rows or ((), ())
    find_end = bisect_right if rule.exact else bisect_left
    end = find_end(times, moment - rule.delay)
    if end == 0 or (rule.tolerance is not None and times[end - 1] < moment - rule.tolerance):
        return None
    return numbers[end - 1]
