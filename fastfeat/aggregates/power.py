"""yeo_johnson_lambda, box_cox_lambda: the power that makes values most like normal ones.

The logarithm of the likelihood is computed over the distinct values in order, with elementary
functions of our own and sums by halves: its bits depend on the values alone, and so does the power
that Brent's search finds.

Powers of values of one sign, far from 0 and near each other, would differ by rounding noise only.
They are computed beside that of an end, exp(p log) = exp(p end) exp(p (log - end)), and the first
factor, whose logarithm adds to that of the variance, is joined with the sum of the logarithms.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from fastfeat.aggregates.definition import Values, ordered
from fastfeat.aggregates.function import (
    AggregateFunction,
    Primitive,
    Summary,
    floats_in_order,
    to_float64,
)
from fastfeat.dtypes import DType
from fastfeat.errors import InvalidData
from fastfeat.ir.node import Params
from fastfeat.ir.writing import PLAIN
from fastfeat.scalars.arrays import Floats, of_array, of_float

GOLDEN = 0.5 * (3.0 - math.sqrt(5.0))

RELATIVE_TOLERANCE = math.sqrt(2.2e-16)

MOST_EVALUATIONS = 500


def bounded_minimum(
    function: Callable[[float], float], low: float, high: float, tolerance: float
) -> float:
    """Return the argument at which a function of one minimum is smallest, between two bounds.

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


Method = Literal["yeo-johnson", "box-cox"]


TOLERANCE = 1.48e-8

# The search stays where values 20 times as far out as the largest are in the range of floats; of
# Yeo and Johnson, as in SciPy, in the half of it in which squares are too. Logarithms of its ends:
RANGE = {"box-cox": (-708.0, 709.0), "yeo-johnson": (-336.1763825715735, 336.8695297521334)}

ROOM = 20.0

WIDEST = 1e300

LARGEST_FLOAT = 1.7976931348623157e308

NOISE = 8 * 2.0**-52

BLOCK = 1 << 14  # values: what is made of them on the way stays in the second-level cache


class Sample(NamedTuple):
    """The distinct values in order, as their logarithms: log(1 + |x|), of Box and Cox log(x).

    Args:
        sizes: the logarithms.
        counts: how many times each value is there.
        n_below: how many of the values are below 0; none of Box and Cox.
    """

    sizes: Floats
    counts: Floats
    n_below: int


def _ranks(count: int, n_rows: int, params: Params) -> Iterable[int]:
    return range(count)


def _learn(summary: Summary, method: Method) -> float | None:
    count = summary.moments.count
    if count == 0:
        return None
    low, high = float(summary.order[0]), float(summary.order[count - 1])
    settled = settled_lambda(low, high, method)
    if settled is not None:
        return settled
    sample, n = _sample_of(floats_in_order(summary), method), float(count)
    raised = np.empty(len(sample.counts))

    def cost(power: float) -> float:
        jacobian = _raise_all(sample, power, raised)
        mean = _total(len(raised), lambda some: sample.counts[some] * raised[some]) / n

        def squares(some: slice) -> Floats:
            distance = raised[some] - mean
            return sample.counts[some] * (distance * distance)

        return cost_of(_total(len(raised), squares) / n, n, jacobian)

    with np.errstate(all="ignore"):  # an overflow makes the cost infinite
        return bounded_minimum(cost, *bounds(low, high, method), TOLERANCE)


def _sample_of(known: Floats, method: Method) -> Sample:
    """Return the distinct values of those in order; -0.0 and 0.0 are one."""
    starts = np.append(True, known[1:] != known[:-1])
    values, n_known = known[starts], len(known)
    del known
    places, counts = np.flatnonzero(starts), np.empty(len(values))
    np.subtract(places[1:], places[:-1], out=counts[:-1], dtype=np.float64)
    counts[-1] = n_known - places[-1]
    del places
    if method == "box-cox":
        return Sample(of_array("log", values), counts, 0)
    n_below = int(np.searchsorted(values, 0.0))
    return Sample(of_array("log1p", np.abs(values, out=values)), counts, n_below)


def _raise_all(sample: Sample, power: float, raised: Floats) -> float:
    """Write the values raised to a power, but for a constant and a factor.

    Returns:
        The logarithm of the product of all derivatives over that factor, less a constant, with its
        sign changed.
    """
    sizes, counts, n_below = sample
    if 0 < n_below < len(sizes):
        below = raised[:n_below]
        _raise(sizes[:n_below], 0.0, 2.0 - power, below)
        np.negative(below, out=below)
        _raise(sizes[n_below:], 0.0, power, raised[n_below:])
        return (1.0 - power) * _total(len(sizes), lambda some: _signed(sample, some))
    exponent = 2.0 - power if n_below else power
    ends = float(sizes[0]), float(sizes[-1])
    end = max(ends) if exponent > 0.0 else min(ends)
    _raise(sizes, end, exponent, raised)
    return -exponent * _total(len(sizes), lambda some: counts[some] * (sizes[some] - end))


def _signed(sample: Sample, some: slice) -> Floats:
    """Return some logarithms times their counts, those of values below 0 negative."""
    terms = sample.counts[some] * sample.sizes[some]
    below = terms[: max(sample.n_below - some.start, 0)]
    np.negative(below, out=below)
    return terms


def _raise(logarithms: Floats, end: float, power: float, raised: Floats) -> None:
    """Write (exp(logarithm - end) ** power - 1) / power, of power 0 the logarithm less the end."""
    for some in _blocks(len(logarithms)):
        moved = logarithms[some] - end
        raised[some] = of_array("expm1", power * moved) / power if power != 0.0 else moved


def _blocks(stop: int, start: int = 0) -> Iterable[slice]:
    """Return slices that cover [start, stop)."""
    return (slice(at, min(at + BLOCK, stop)) for at in range(start, stop, BLOCK))


def _total(n: int, terms: Callable[[slice], Floats]) -> float:
    """Return the sum of n terms: the second half is added to the first, until one is left.

    Args:
        n: how many, at least 1.
        terms: some of them, by their places.
    """
    half = (n + 1) // 2
    sums = np.empty(half)
    for some in _blocks(half):
        sums[some] = terms(some)
    for some in _blocks(n, half):
        sums[some.start - half : some.stop - half] += terms(some)
    while len(sums) > 1:
        half = (len(sums) + 1) // 2
        sums[: len(sums) - half] += sums[half:]
        sums = sums[:half]
    return float(sums[0])


def settled_lambda(low: float, high: float, method: Method) -> float | None:
    """Return the power that the ends of the values settle: 1 of a constant, NaN of infinities.

    Raises:
        InvalidData: the method takes positive values only, and there is another.
    """
    if math.isinf(low) or math.isinf(high):
        return math.nan
    if method == "box-cox" and low <= 0.0:
        raise InvalidData(
            f"box-cox takes values above 0, and the smallest is {low!r}. "
            "Use power_transform(method='yeo-johnson')"
        )
    return 1.0 if high - low <= NOISE * max(abs(low), abs(high)) else None


def cost_of(variance: float, n: float, jacobian: float) -> float:
    """Return the negative logarithm of the likelihood, less a constant; infinite of no variance."""
    if not 0.0 < variance < math.inf:
        return math.inf
    return 0.5 * n * of_float("log", variance) + jacobian


def bounds(low: float, high: float, method: Method) -> tuple[float, float]:
    """Return the least and the largest power that are tried."""
    if method == "box-cox":
        ends = [abs(of_float("log", end)) for end in (low, high)]
        furthest = max(ends) + of_float("log", ROOM)
    else:
        furthest = of_float("log1p", min(ROOM * max(abs(low), abs(high)), LARGEST_FLOAT))
    smallest, largest = RANGE[method]
    least, most = max(smallest / furthest, -WIDEST), min(largest / furthest, WIDEST)
    if method == "box-cox" or low >= 0.0:
        return least, most
    mirrored = 2.0 - most, 2.0 - least
    return mirrored if high < 0.0 else (max(mirrored[0], least), min(mirrored[1], most))


def _by_definition(values: Values, dtype: DType, method: Method) -> float | None:
    known = [float(value) for value in ordered(values, dtype)]
    if not known:
        return None
    settled = settled_lambda(known[0], known[-1], method)
    if settled is not None:
        return settled
    distinct, counts = zip(*sorted(Counter(known).items()), strict=True)
    n = float(len(known))

    def logarithm(x: float) -> float:
        return of_float("log", x) if method == "box-cox" else of_float("log1p", abs(x))

    def raised(x: float, size: float, power: float) -> float:
        exponent = 2.0 - power if x < 0.0 else power
        y = of_float("expm1", exponent * size) / exponent if exponent else size
        return -y if x < 0.0 and is_mixed else y

    is_mixed = known[0] < 0.0 <= known[-1]
    sizes = [logarithm(x) for x in distinct]
    signed = [-s if x < 0 else s for x, s in zip(distinct, sizes, strict=True)]
    slope = _halved(_times(counts, signed))

    def cost(power: float) -> float:
        exponent = 2.0 - power if known[0] < 0.0 else power
        end = 0.0 if is_mixed else max(sizes) if exponent > 0.0 else min(sizes)
        y = [raised(x, size - end, power) for x, size in zip(distinct, sizes, strict=True)]
        mean = _halved(_times(counts, y)) / n
        variance = _halved(_times(counts, [(v - mean) * (v - mean) for v in y])) / n
        if is_mixed:
            return cost_of(variance, n, (1.0 - power) * slope)
        return cost_of(variance, n, -exponent * _halved(_times(counts, [s - end for s in sizes])))

    return bounded_minimum(cost, *bounds(known[0], known[-1], method), TOLERANCE)


def _times(counts: Sequence[int], values: Sequence[float]) -> list[float]:
    return [count * value for count, value in zip(counts, values, strict=True)]


def _halved(terms: Sequence[float]) -> float:
    """Return the sum of the two halves' sums, term by term."""
    if len(terms) == 1:
        return terms[0]
    half = (len(terms) + 1) // 2
    second = [*terms[half:], 0.0][:half]
    return _halved([x + y for x, y in zip(terms[:half], second, strict=True)])


def _function(name: str, method: Method) -> AggregateFunction:
    def finalize(summary: Summary, params: Params) -> float | None:
        return _learn(summary, method)

    def reference(values: Values, params: Params, dtype: DType) -> float | None:
        return _by_definition(values, dtype, method)

    primitives: frozenset[Primitive] = frozenset({"count", "order"})
    return AggregateFunction(
        name, primitives, to_float64, finalize, reference, _ranks, written=PLAIN
    )


FUNCTIONS = (
    _function("yeo_johnson_lambda", "yeo-johnson"),
    _function("box_cox_lambda", "box-cox"),
)
