"""The tables of a spline: the starts of its intervals, and its knots with those beyond the ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate

MOST_DEGREE = 10
MOST_KNOTS = 1000


def base_knots(elements: Sequence[float]) -> list[float]:
    """Return sorted knots; if all are equal, knots 1 apart, or more if rounding loses that."""
    known = list(accumulate((float(e) for e in elements), max))
    if not known or known[0] < known[-1]:
        return known
    step = max(1.0, abs(known[0]) * 2.0**-44)
    return [known[0] + k * step for k in range(len(known))]


def starts(elements: Sequence[float], length: int) -> list[float]:
    """Return the knots below the last, padded with NaN: an interval without width has no start."""
    knots = base_knots(elements)
    return _padded([knot for knot in knots if knot < knots[-1]], length)


def extended(elements: Sequence[float], length: int, degree: int) -> list[float]:
    """Return the knots with `degree` more at each end, as far apart as the two nearest ones."""
    knots = base_knots(elements)
    if len(knots) < 2:
        return _padded([], length)
    (first, second), (before, last) = knots[:2], knots[-2:]
    below = [first - k * (second - first) for k in range(degree, 0, -1)]
    above = [last + k * (last - before) for k in range(1, degree + 1)]
    return _padded([*below, *knots, *above], length)


def periodic(elements: Sequence[float], length: int, degree: int) -> list[float]:
    """Return the knots with `degree` more at each end, from the periods before and after."""
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
