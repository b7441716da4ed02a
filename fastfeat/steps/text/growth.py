"""Limits for steps that enlarge text: the new size is computed before memory is allocated."""

from __future__ import annotations

from typing import Any

from fastfeat.errors import InvalidData, counted
from fastfeat.io.arrow import ChunkedArray, call, options_of, pa
from fastfeat.io.columns.regex import groups_of_replacement, without_groups
from fastfeat.io.host_memory import host_memory
from fastfeat.steps.step import StepFailed

_COPIES = 2
"""Arrow allocates twice the size of a text if it does not know the size in advance."""


def check_growth(
    column: ChunkedArray, pattern: str, value: str, n: int, literal: bool, max_memory: int
) -> None:
    """Raise StepFailed, with the sizes, if replacing matches in text needs too much memory.

    Args:
        column: The text.
        pattern: A regular expression, or plain text if `literal`.
        value: The replacement, in RE2's syntax, or plain text if `literal`.
        n: Highest number of replacements per row; -1 for all.
        literal: Whether pattern and value are plain text.
        max_memory: Highest number of bytes for the new text while Arrow builds it.
    """
    n_bytes = content_bytes(column)
    # a match of a regular expression may be empty, before each byte and at the end
    most = n_bytes // len(pattern.encode()) if literal else n_bytes + len(column)
    most = most if n < 0 else min(most, n * len(column))
    if _COPIES * _grown(n_bytes, most, 0, n_bytes, value, literal) <= max_memory:
        return
    matches = _n_matches(column, pattern, n, literal)
    matched = n_bytes - content_bytes(replace_matches(column, pattern, "", n, literal))
    found = _grown(n_bytes, matches, matched, matched, value, literal)
    check_grown(len(column), n_bytes, found, max_memory)


def check_grown(n_texts: int, n_bytes: int, grown: int, max_memory: int) -> None:
    """Raise StepFailed if texts of `n_bytes` bytes grow to more bytes than `max_memory` allows."""
    if grown > n_bytes and grown > most_bytes(max_memory):
        raise StepFailed(
            None,
            f"{counted(n_texts, 'text')} of {n_bytes:,} bytes would grow to up to {grown:,} "
            f"bytes. Computing this takes up to {_COPIES * grown:,}, more than "
            f"max_memory={max_memory:,}. Replace less, or raise max_memory",
            InvalidData,
        )


def most_bytes(max_memory: int) -> int:
    """Return the highest number of bytes that text may grow to."""
    return max_memory // _COPIES


def replace_matches(
    column: ChunkedArray, pattern: str, value: str, n: int, literal: bool
) -> ChunkedArray:
    """Return a column with matches of a pattern replaced; for the arguments see `check_growth`."""
    function = "replace_substring" if literal else "replace_substring_regex"
    options = options_of("ReplaceSubstringOptions", pattern, value, max_replacements=n)
    return call(function, column, options=options)


def check_choice(n_bytes: int, n_rows: int) -> None:
    """Raise StepFailed if the result of a choice between texts may exceed the machine's memory.

    `n_bytes` is the highest size that the result may have.
    """
    room = host_memory()
    if room is not None and _COPIES * n_bytes > room:
        raise StepFailed(
            None,
            f"{n_rows:,} texts may take {n_bytes:,} bytes, and computing them takes twice as many, "
            f"but this machine has {room:,}. Choose among shorter texts, or for fewer rows at once",
            InvalidData,
        )


def content_bytes(column: Any) -> int:
    """Return the number of bytes of the text of a column."""
    return call("sum", call("binary_length", column)).as_py() or 0


def _grown(n_bytes: int, n_matches: int, least: int, most: int, value: str, literal: bool) -> int:
    """Return the highest number of bytes that a text may have after its matches are replaced.

    The text has `n_bytes` bytes and `n_matches` matches, together `least` to `most` bytes long. A
    group (a part of the pattern that `value` refers to) is never longer than its match.
    """
    n_groups = 0 if literal else len(groups_of_replacement(value))
    return n_bytes - least + n_matches * _plain_bytes(value, literal) + n_groups * most


def _plain_bytes(value: str, literal: bool) -> int:
    """Return the number of bytes of a replacement that are not references to groups."""
    return len((value if literal else without_groups(value)).encode())


def _n_matches(column: ChunkedArray, pattern: str, n: int, literal: bool) -> int:
    function = "count_substring" if literal else "count_substring_regex"
    counts = call(function, column, options=options_of("MatchSubstringOptions", pattern))
    if n >= 0:
        options = options_of("ElementWiseAggregateOptions", skip_nulls=False)
        counts = call("min_element_wise", counts, pa.scalar(n, counts.type), options=options)
    return call("sum", counts).as_py() or 0
