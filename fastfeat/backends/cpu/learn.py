"""Learning on the CPU."""

from typing import Any


def learn(*args: Any) -> Any:
    """Learn."""
    raise AssertionError("pending")
