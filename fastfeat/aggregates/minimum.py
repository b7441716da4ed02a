"""Brent's search for the minimum of a function between two bounds."""

from __future__ import annotations

import math
from collections.abc import Callable

GOLDEN = 0.5 * (3.0 - math.sqrt(5.0))
RELATIVE_TOLERANCE = math.sqrt(2.2e-16)
MOST_EVALUATIONS = 500


def bounded_minimum(
    function: Callable[[float], float], low: float, high: float, tolerance: float
) -> float:
    """Return where a function of one minimum is smallest, between two bounds.

    A step goes to the minimum of the parabola through the three best points, or, where that is of
    no use, to the golden section of the larger part. Only sums, products and quotients of floats:
    the same function gives the same bits everywhere.

    Args:
        function: may be infinite where it cannot be computed.
        low: the lower bound, which is not evaluated.
        high: the upper bound.
        tolerance: how near the result is to the minimum, beside 1.5e-8 of it.

    Source:
        R. Brent: Algorithms for Minimization without Derivatives (1973), chapter 5; with the
        tolerances of scipy.optimize.fminbound, whose bits it gives.

    Example:
        >>> round(bounded_minimum(lambda x: (x - 2.0) ** 2, 0.0, 5.0, 1e-8), 9)
        2.0
    """
    best = second = third = low + GOLDEN * (high - low)
    at_best = at_second = at_third = function(best)
    step = before = 0.0
    for _ in range(MOST_EVALUATIONS - 1):
        middle = 0.5 * (low + high)
        near = RELATIVE_TOLERANCE * abs(best) + tolerance / 3.0
        if abs(best - middle) <= 2.0 * near - 0.5 * (high - low):
            break
        parabolic = None
        if abs(before) > near:
            r = (best - second) * (at_best - at_third)
            q = (best - third) * (at_best - at_second)
            p = (best - third) * q - (best - second) * r
            q = 2.0 * (q - r)
            p, q = (-p if q > 0.0 else p), abs(q)
            is_shorter = abs(p) < abs(0.5 * q * before)
            before = step
            if is_shorter and q * (low - best) < p < q * (high - best):
                parabolic = p / q
        if parabolic is None:
            before = (low if best >= middle else high) - best
            step = GOLDEN * before
        else:
            point = best + parabolic
            at_end = point - low < 2.0 * near or high - point < 2.0 * near
            step = math.copysign(near, middle - best) if at_end else parabolic
        point = best + math.copysign(max(abs(step), near), step)
        value = function(point)
        if value <= at_best:
            low, high = (best, high) if point >= best else (low, best)
            best, second, third = point, best, second
            at_best, at_second, at_third = value, at_best, at_second
            continue
        low, high = (point, high) if point < best else (low, point)
        if value <= at_second or second == best:
            second, third, at_second, at_third = point, second, value, at_second
        elif value <= at_third or third in (best, second):
            third, at_third = point, value
    return best
