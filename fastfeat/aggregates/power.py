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
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from fastfeat.aggregates.definition import Values, ordered
from fastfeat.aggregates.function import AggregateFunction, Primitive, Summary
from fastfeat.aggregates.minimum import bounded_minimum
from fastfeat.aggregates.rules import to_float64
from fastfeat.dtypes import DType
from fastfeat.errors import InvalidData
from fastfeat.ir.node import Params
from fastfeat.scalars.arrays import Floats, of_array, of_float

Method = Literal["yeo-johnson", "box-cox"]

TOLERANCE = 1.48e-8
# The search stays where values 20 times as far out as the largest are in the range of floats; of
# Yeo and Johnson, as in SciPy, in the half of it in which squares are too. Logarithms of its ends:
RANGE = {"box-cox": (-708.0, 709.0), "yeo-johnson": (-336.1763825715735, 336.8695297521334)}
ROOM = 20.0
WIDEST = 1e300
LARGEST_FLOAT = 1.7976931348623157e308
NOISE = 8 * 2.0**-52


class Sample(NamedTuple):
    """The distinct values as their logarithms: log(1 + |x|), of Box and Cox log(x).

    Args:
        below: of the values below 0, in order; none of Box and Cox.
        above: of the others, in order.
        counts: how many times each value is there, in the same order.
    """

    below: Floats
    above: Floats
    counts: Floats


def _ranks(count: int, n_rows: int, params: Params) -> Iterable[int]:
    return range(count)


def _learn(summary: Summary, method: Method) -> float | None:
    count = summary.moments.count
    if count == 0:
        return None
    known = np.array([float(summary.order[rank]) for rank in range(count)])
    low, high = float(known[0]), float(known[-1])
    settled = settled_lambda(low, high, method)
    if settled is not None:
        return settled
    sample, n = _sample_of(known, method), float(count)

    def cost(power: float) -> float:
        raised, jacobian = _all_raised(sample, power)
        distance = raised - _total(sample.counts * raised) / n
        variance = _total(sample.counts * (distance * distance)) / n
        return cost_of(variance, n, jacobian)

    with np.errstate(all="ignore"):  # an overflow makes the cost infinite
        return bounded_minimum(cost, *bounds(low, high, method), TOLERANCE)


def _sample_of(known: Floats, method: Method) -> Sample:
    values, n_each = np.unique(known, return_counts=True)
    counts = n_each.astype(np.float64)
    if method == "box-cox":
        return Sample(np.empty(0), of_array("log", values), counts)
    sizes, n_below = of_array("log1p", np.abs(values)), int(np.sum(values < 0.0))
    return Sample(sizes[:n_below], sizes[n_below:], counts)


def _all_raised(sample: Sample, power: float) -> tuple[Floats, float]:
    """Return the values raised to a power, but for a constant and a factor.

    The second result is the logarithm of the product of all derivatives over that factor, less a
    constant, with its sign changed.
    """
    if len(sample.below) and len(sample.above):
        below, above = -_raised(sample.below, 2.0 - power), _raised(sample.above, power)
        slope = _total(sample.counts * np.concatenate([-sample.below, sample.above]))
        return np.concatenate([below, above]), (1.0 - power) * slope
    sizes, exponent = (sample.below, 2.0 - power) if len(sample.below) else (sample.above, power)
    ends = float(sizes[0]), float(sizes[-1])
    end = max(ends) if exponent > 0.0 else min(ends)
    moved = sizes - end
    return _raised(moved, exponent), -exponent * _total(sample.counts * moved)


def _raised(logarithms: Floats, power: float) -> Floats:
    """Return (exp(logarithm) ** power - 1) / power, of power 0 the logarithm."""
    if power == 0.0:
        return logarithms
    return of_array("expm1", power * logarithms) / power


def _total(terms: Floats) -> float:
    """Return the sum: the second half is added to the first, until one number is left."""
    while len(terms) > 1:
        half = (len(terms) + 1) // 2
        sums = terms[:half].copy()
        sums[: len(terms) - half] += terms[half:]
        terms = sums
    return float(terms[0])


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
    return AggregateFunction(name, primitives, to_float64, finalize, reference, _ranks)


YEO_JOHNSON_LAMBDA = _function("yeo_johnson_lambda", "yeo-johnson")
BOX_COX_LAMBDA = _function("box_cox_lambda", "box-cox")
