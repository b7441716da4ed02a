"""Windows that hold no moment of times in whole steps, whichever row asks."""

from __future__ import annotations

from typing import Any

from fastfeat.operators.windows import Window

TICKS: dict[str, int] = {
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
    "date64": 10**6,
    "date32": 86_400 * 10**9,
    "date": 86_400 * 10**9,
}
"""Nanoseconds between two neighbouring moments."""


def is_between_ticks(window: Window, tick: int) -> bool:
    """Return whether no whole number of ticks is in a window, by trying the nearest ones."""
    given: dict[str, Any] = dict(window.node.params)
    if given["last"] is None:
        return False
    end = -given["offset"]
    begin, first = end - given["last"], (end - given["last"]) // tick
    return not any(
        begin < n * tick < end
        or (n * tick == begin and given["closed"] in ("left", "both"))
        or (n * tick == end and given["closed"] in ("right", "both"))
        for n in range(first, first + 3)
    )
