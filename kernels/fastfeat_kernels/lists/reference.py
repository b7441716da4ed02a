"""What the kernel of lists does, in plain Python: exact sums; the same arguments and table."""

from __future__ import annotations

import math
from fractions import Fraction

from fastfeat_kernels.lists.layout import COUNTS, LEFT, N_WORDS, OFFSETS, SUMS, VALUES
from fastfeat_kernels.memory import doubles_at, words_at


def sums(table: int, first: int, n: int) -> int:
    """Write sum and count of each row; a row is left where a number, or the sum, is not finite."""
    words = words_at(table, N_WORDS)
    offsets = words_at(words[OFFSETS], first + n + 1)
    counts, left = words_at(words[COUNTS], first + n), words_at(words[LEFT], first + n)
    totals = doubles_at(words[SUMS], first + n)
    values = doubles_at(words[VALUES], offsets[first + n])
    for row in range(first, first + n):
        known = [x for x in values[offsets[row] : offsets[row + 1]] if x == x]
        total = _sum(known)
        totals[row], counts[row], left[row] = total or 0.0, len(known), int(total is None)
    return 0


def _sum(numbers: list[float]) -> float | None:
    """Return the exact sum rounded once, None where it, or a number, is not finite."""
    if not all(map(math.isfinite, numbers)):
        return None
    try:
        return float(sum(map(Fraction, numbers), Fraction(0)))
    except OverflowError:
        return None
