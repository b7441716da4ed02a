"""The record of what was answered, done again, and once more with one byte changed in a copy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Audited:
    """What replays found.

    Args:
        told: of the state as it is, in a line.
        seconds: that this replay took.
        changed: what was changed in the copy.
        found: of the copy, in a line.
        ok: whether all is as it was noted, and what was changed was named.
    """

    told: str
    seconds: float
    changed: str
    found: str
    ok: bool
