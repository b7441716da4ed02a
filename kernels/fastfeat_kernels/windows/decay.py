"""Averages with decaying weights: the effect of one more value, in float64, to the bit."""

from __future__ import annotations

import math
from typing import Final

# (ln 2)**k / k!: the series of 2**r, accurate to 2**-57 of the value for |r| <= 1/2.
SERIES: Final = (
    1.0,
    0.6931471805599453,
    0.24022650695910072,
    0.05550410866482158,
    0.009618129107628477,
    0.0013333558146428443,
    0.0001540353039338161,
    1.5252733804059841e-05,
    1.321548679014431e-06,
    1.01780860092397e-07,
    7.054911620801123e-09,
    4.4455382718708116e-10,
    2.5678435993488206e-11,
    1.3691488853904128e-12,
)
OLDEST: Final = 1000.0  # half-lives, after which nothing is left


def half_power(age: float) -> float:
    """Return 2**-age for an age of 0 or more; 0 beyond `OLDEST`.

    With n the nearest integer to the age and r = n - age, exactly, it is the series in r times
    2**-n. Horner's rule evaluates the series; each product and each sum is rounded once.
    """
    if age > OLDEST:
        return 0.0
    n = math.floor(age + 0.5)
    r, total = n - age, SERIES[-1]
    for coefficient in reversed(SERIES[:-1]):
        total = total * r + coefficient
    return total * 2.0**-n


def moved_towards(average: float, x: float, weight: float) -> float:
    """Return average + (x - average) / weight, or x for a weight of 1.

    The difference is halved if it would overflow.
    """
    if weight == 1.0:
        return x
    step = x - average
    if math.isinf(step):
        return 2.0 * (average / 2.0 + (x / 2.0 - average / 2.0) / weight)
    return average + step / weight
