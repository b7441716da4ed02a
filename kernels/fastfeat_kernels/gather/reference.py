"""The reference of the kernel that gathers values: plain Python over lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def gather(numbers: Sequence[int | None], values: Sequence[T | None]) -> list[T | None]:
    """Return the value of each row number, None where either is missing."""
    return [None if number is None else values[number] for number in numbers]
