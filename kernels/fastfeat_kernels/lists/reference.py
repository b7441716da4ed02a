"""Reference of the kernels of lists: plain Python, the same arguments and table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from fastfeat_kernels.lists import (
    COUNTS,
    FLIP,
    INDEX,
    LEFT,
    MAGNITUDE,
    N_WORDS,
    OFFSETS,
    RESULTS,
    VALUES,
)
from fastfeat_kernels.memory import doubles_at, words_at


def sums(table: int, first: int, n: int) -> int:
    """Write sum and count of each row; a row is left if a number, or the sum, is not finite."""
    words = words_at(table, N_WORDS)
    counts, left = words_at(words[COUNTS], first + n), words_at(words[LEFT], first + n)
    totals = doubles_at(words[RESULTS], first + n)
    for row, places in _rows(words, first, n):
        values = doubles_at(words[VALUES], places.stop)
        known = [values[place] for place in places if values[place] == values[place]]
        total = _sum(known)
        totals[row], counts[row], left[row] = total or 0.0, len(known), int(total is None)
    return 0


def _rows(words: Any, first: int, n: int) -> Iterator[tuple[int, range]]:
    """Yield rows, and the places of their elements."""
    offsets = words_at(words[OFFSETS], first + n + 1)
    for row in range(first, first + n):
        yield row, range(offsets[row], offsets[row + 1])


def _sum(numbers: list[float]) -> float | None:
    """Return the exact sum rounded once; None if it, or a number, is not finite."""
    if not all(map(math.isfinite, numbers)):
        return None
    try:
        return float(sum(map(Fraction, numbers), Fraction(0)))
    except OverflowError:
        return None


def integer_sums(table: int, first: int, n: int) -> int:
    """Write the sum of each row modulo 2**64, and whether it overflowed."""
    words = words_at(table, N_WORDS)
    totals, left = words_at(words[RESULTS], first + n), words_at(words[LEFT], first + n)
    for row, places in _rows(words, first, n):
        values = words_at(words[VALUES], places.stop)
        total = sum(values[place] for place in places)
        totals[row] = (total + 2**63) % 2**64 - 2**63
        left[row] = int(totals[row] != total)
    return 0


def extremes(table: int, first: int, n: int) -> int:
    """Write the smallest word, compared with flipped bits, and the number of words."""
    words = words_at(table, N_WORDS)
    results, counts = words_at(words[RESULTS], first + n), words_at(words[COUNTS], first + n)
    magnitude, flip = words[MAGNITUDE], words[FLIP]

    def key(word: int) -> int:
        return (word ^ (magnitude if word < 0 else 0)) ^ flip

    for row, places in _rows(words, first, n):
        values = words_at(words[VALUES], places.stop)
        known = [values[p] for p in places if values[p] & magnitude <= 0x7FF << 52]
        results[row], counts[row] = min(known, key=key, default=0), len(known)
    return 0


def elements(table: int, first: int, n: int) -> int:
    """Write one element of each row, and whether there is one."""
    words = words_at(table, N_WORDS)
    index: int = words[INDEX]
    results, there = words_at(words[RESULTS], first + n), words_at(words[COUNTS], first + n)
    for row, places in _rows(words, first, n):
        there[row] = int(-len(places) <= index < len(places))
        results[row] = 0
        if there[row]:
            place = places[index]
            results[row] = words_at(words[VALUES], place + 1)[place]
    return 0
