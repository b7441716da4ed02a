"""Zones as kernels read them: changes of offset in buckets, at most one in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fastfeat.scalars.zones import HORIZON

HEADER = 3
"""Floats before the offsets: slope and intercept of the bucket number, and the last bucket."""
NEVER = (1 << 63) - 1
"""The change of a bucket that holds none, in ticks."""


def bucket_length(changes: Sequence[int]) -> int:
    """Return the length in seconds of the buckets of a zone: none holds two changes."""
    return min((b - a for a, b in pairwise(changes)), default=HORIZON)


def bucket_count(changes: Sequence[int]) -> int:
    """Return how many buckets there are from the first change to the last."""
    return (changes[-1] - changes[0]) // bucket_length(changes) + 1


def bucket_changes(
    elements: tuple[int, tuple[int, ...], tuple[int, ...]], length: int
) -> list[int]:
    """Return the instant of the change in each bucket, in ticks; 2**63 - 1 where there is none.

    Args:
        elements: ticks per second, changes and offsets in seconds.
        length: number of buckets.
    """
    per_second, changes, _ = elements
    n_seconds = bucket_length(changes)
    words = [NEVER] * length
    for change in changes:
        words[(change - changes[0]) // n_seconds] = min(change * per_second, NEVER)
    return words


def bucket_offsets(
    elements: tuple[int, tuple[int, ...], tuple[int, ...]], length: int
) -> list[float]:
    """Return the header, then the offset at the start of each bucket and after the last, in ticks.

    Buckets begin half a second before a whole second: an instant whose float is rounded to the
    wrong side of such a bound is still far from any change.
    """
    per_second, changes, offsets = elements
    n_seconds = bucket_length(changes)
    n_buckets = length - HEADER - 1
    n_passed = [0] * (n_buckets + 1)
    for change in changes:
        n_passed[(change - changes[0]) // n_seconds + 1] += 1
    start = (changes[0] - 0.5) / n_seconds
    words = [1.0 / (n_seconds * per_second), -start - 0.5, float(n_buckets - 1)]
    passed = 0
    for n_more in n_passed:
        passed += n_more
        words.append(float(offsets[passed] * per_second))
    return words


LAYOUTS: Mapping[str, Any] = {"zone_changes": bucket_changes, "zone_offsets": bucket_offsets}
