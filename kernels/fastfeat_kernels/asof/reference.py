"""What the kernel of as-of joins does, in plain Python over lists, by the definition."""

from __future__ import annotations

from collections.abc import Sequence

from fastfeat_kernels.asof.rule import Rule

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
