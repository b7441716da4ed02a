"""The knots of a spline as tables for kernels: interval starts, and knots extended at both ends.

Each function returns `length` floats, padded with NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

MOST_DEGREE = 10
MOST_KNOTS = 1000


def base_knots(elements: Sequence[float]) -> list[float]:
    """Return the knots in ascending order, not padded.

    If all are equal they are placed 1 apart, or further if 1 is lost by rounding.
    """
    known = list(accumulate((float(e) for e in elements), max))
    if not known or known[0] < known[-1]:
        return known
    step = max(1.0, abs(known[0]) * 2.0**-44)
    return [known[0] + k * step for k in range(len(known))]


def starts(elements: Sequence[float], length: int) -> list[float]:
    """Return the start of each interval that has a width: the knots below the last one."""
    knots = base_knots(elements)
    return _padded([knot for knot in knots if knot < knots[-1]], length)


def extended(elements: Sequence[float], length: int, degree: int) -> list[float]:
    """Return the knots with `degree` more at each end.

    The added knots at an end are as far apart as the two knots nearest to that end.
    """
    knots = base_knots(elements)
    if len(knots) < 2:
        return _padded([], length)
    (first, second), (before, last) = knots[:2], knots[-2:]
    below = [first - k * (second - first) for k in range(degree, 0, -1)]
    above = [last + k * (last - before) for k in range(1, degree + 1)]
    return _padded([*below, *knots, *above], length)


def periodic(elements: Sequence[float], length: int, degree: int) -> list[float]:
    """Return the knots with `degree` more at each end: knots moved by the period.

    The period reaches from the first to the last knot.
    """
    knots = base_knots(elements)
    if len(knots) <= degree:
        return _padded([], length)
    period = knots[-1] - knots[0]
    below = [knot - period for knot in knots[-degree - 1 : -1]]
    above = [knot + period for knot in knots[1 : degree + 1]]
    return _padded([*below, *knots, *above], length)


def _padded(known: list[float], length: int) -> list[float]:
    return [*known, *[math.nan] * (length - len(known))]


LAYOUTS: dict[str, Callable[[Sequence[float], int], list[float]]] = {
    "spline_starts": starts,
    **{f"spline_knots_{d}": partial(extended, degree=d) for d in range(MOST_DEGREE + 1)},
    **{f"periodic_knots_{d}": partial(periodic, degree=d) for d in range(MOST_DEGREE + 1)},
}
