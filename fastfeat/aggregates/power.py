"""yeo_johnson_lambda, box_cox_lambda: the power that makes values most like normal ones.

The cost of a power is the negative logarithm of the likelihood per value, less a constant:
    log(variance of y) / 2 - (power - 1) * mean of s

where s is log(1 + |x|) with the sign of x, or log(x) for Box and Cox, and y is x raised to the
power, both as a row's float64. The sums of s, y and y**2 are exact, so the cost has the same bits
in any order and any partition of the rows. Powers are tried on successive grids, each between the
two tried powers beside the best one so far. The last step takes the minimum of the polynomial
through the best power and those near it.

Powers of values with one sign, far from 0 and near each other, would differ by rounding noise only.
In this case y is taken relative to the y of an end, the smallest or the largest value:
exp(e s) = exp(e end) exp(e (s - end)) with e the exponent. The logarithm of the first factor adds
to the logarithm of the variance, and is merged with the mean of s.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from fastfeat_kernels.moments import FLOAT_SCALE
from fastfeat_kernels.moments.exact import nearest_float, rounded

from fastfeat.aggregates.definition import AggregateColumn, sort_values
from fastfeat.aggregates.function import (
    AggregateFunction,
    ColumnSummary,
    KernelQuantity,
    to_float64,
)
from fastfeat.errors import InvalidData
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.ir.writing import PLAIN
from fastfeat.scalars.interpret import elementary_function

LambdaMethod = Literal["yeo-johnson", "box-cox"]

# The search stays where values 20 times as large as the largest do not overflow; for Yeo and
# Johnson, like in SciPy, where their squares do not overflow either. Logarithms of its ends:
RANGE = {"box-cox": (-708.0, 709.0), "yeo-johnson": (-336.1763825715735, 336.8695297521334)}

ROOM = 20.0

WIDEST = 1e300

LARGEST_FLOAT = 1.7976931348623157e308

NOISE = 8 * 2.0**-52

LN_2, LN_ROOM = 0.6931471805599453, 2.995732273553991

# A power times the logarithm of the largest value, 20 times as far out, is the scale on which costs
# are smooth: derivatives of their sums of exponentials are about 1 there.
FIRST_POINTS = (0.003, 0.01, 0.03, 0.08, 0.2, 0.45, 1.0)  # shares of the way from middle to end
N_BETWEEN = 16  # intervals of the grids in between
FINEST = 0.06  # of the last grid: a polynomial through 7 points is then exact to 1e-12
N_STENCIL = 7
N_HALVINGS = 60


class PowerRange(NamedTuple):
    """The range of the values of a column, and the transformation to apply.

    Args:
        method: The transformation.
        low: The smallest value.
        high: The largest value.
    """

    method: LambdaMethod
    low: float
    high: float

    @property
    def is_mixed(self) -> bool:
        """Whether there are values of both signs; those below 0 get the exponent 2 - power."""
        return self.method == "yeo-johnson" and self.low < 0.0 <= self.high

    @property
    def is_below(self) -> bool:
        """Whether all values are below 0; all get the exponent 2 - power."""
        return self.method == "yeo-johnson" and self.high < 0.0

    def exponent(self, power: float) -> float:
        """Return the exponent to which this power raises the values; all values have one sign."""
        return 2.0 - power if self.is_below else power

    def end(self, power: float) -> float:
        """Return the logarithm of the end (smallest or largest value) that sums are relative to.

        It is the end with the largest raised value. All values have one sign.
        """
        sizes = size_of(self.method, self.low), size_of(self.method, self.high)
        return max(sizes) if self.exponent(power) > 0.0 else min(sizes)


class PowerGrid(NamedTuple):
    """The powers tried in one pass over the rows.

    Args:
        powers: In ascending order.
        is_last: Whether the powers are so close that a polynomial through their costs is exact.
    """

    powers: tuple[float, ...]
    is_last: bool


class RaisedSums(NamedTuple):
    """Exact sums of all values of a column raised to one power.

    Args:
        is_finite: Whether all raised values are finite.
        total: Their sum, in units of 2**-1088.
        squares: The sum of their squares, in units of 2**-2176.
    """

    is_finite: bool
    total: int
    squares: int


def size_of(method: LambdaMethod, x: float) -> float:
    """Return the logarithm of a value's size: log(1 + |x|), or log(x) for Box and Cox."""
    if method == "box-cox":
        return elementary_function("log")(x)
    return elementary_function("log1p")(abs(x))


def lambda_without_search(field: PowerRange) -> float | None:
    """Return the power if the smallest and largest value settle it; None if it must be searched.

    The power is 1 for a constant column, NaN if a value is infinite. Raises InvalidData if the
    method takes positive values only and the smallest is not.
    """
    method, low, high = field
    if math.isinf(low) or math.isinf(high):
        return math.nan
    if method == "box-cox" and low <= 0.0:
        raise InvalidData(
            f"box-cox takes values above 0, but the smallest is {low!r}. "
            "Use power_transform(method='yeo-johnson')"
        )
    return 1.0 if high - low <= NOISE * max(abs(low), abs(high)) else None


def cost_of(field: PowerRange, power: float, count: int, sizes: int, raised: RaisedSums) -> float:
    """Return the cost of a power; infinite if raised values are infinite or no longer differ.

    `sizes` is the exact sum of `size_of` of all `count` values, in units of 2**-1088. If values of
    both signs are present, the sizes of values below 0 are subtracted.
    """
    spread = count * raised.squares - raised.total**2
    if not raised.is_finite or spread == 0:
        return math.inf
    mantissa, place = rounded(spread, count * count)
    logarithm = elementary_function("log")(float(mantissa)) + (place - 2 * FLOAT_SCALE) * LN_2
    if field.is_mixed:
        return 0.5 * logarithm + (1.0 - power) * nearest_float(sizes, count << FLOAT_SCALE)
    distance = nearest_float(
        sizes - count * _to_exact_units(field.end(power)), count << FLOAT_SCALE
    )
    return 0.5 * logarithm - field.exponent(power) * distance


def _to_exact_units(x: float) -> int:
    """Return a float as a whole number of units of 2**-1088, rounded down."""
    numerator, denominator = x.as_integer_ratio()
    return (numerator << FLOAT_SCALE) // denominator


def bounds(field: PowerRange) -> tuple[float, float]:
    """Return the smallest and the largest power to try."""
    method, low, high = field
    if method == "box-cox":
        furthest = max(abs(size_of(method, end)) for end in (low, high)) + LN_ROOM
    else:
        furthest = size_of(method, min(ROOM * max(abs(low), abs(high)), LARGEST_FLOAT))
    smallest, largest = RANGE[method]
    least, most = max(smallest / furthest, -WIDEST), min(largest / furthest, WIDEST)
    if method == "box-cox" or low >= 0.0:
        return least, most
    mirrored = 2.0 - most, 2.0 - least
    return mirrored if high < 0.0 else (max(mirrored[0], least), min(mirrored[1], most))


def first_grid(field: PowerRange) -> PowerGrid:
    """Return the first grid: powers near the middle of the range, and far from it."""
    least, most = bounds(field)
    middle, half = 0.5 * (least + most), 0.5 * (most - least)
    above = [middle + half * share for share in FIRST_POINTS[:-1]]
    below = [middle - half * share for share in reversed(FIRST_POINTS[:-1])]
    return PowerGrid(tuple(sorted({least, *below, middle, *above, most})), is_last=False)


def next_grid(
    field: PowerRange, costs: Mapping[float, float], grid: PowerGrid
) -> PowerGrid | float:
    """Return the next grid to try, or the power of least cost if the search is over.

    `grid` is the last grid; `costs` has the cost of every power tried so far.
    """
    tried = sorted(costs)
    best = min(range(len(tried)), key=lambda place: (costs[tried[place]], place))
    if math.isinf(costs[tried[best]]):
        return 1.0  # raised to any power they no longer differ: like a constant
    if grid.is_last:
        return _minimum(costs, grid.powers)
    low, high = tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)]
    least, most = bounds(field)
    smallest, largest = RANGE[field.method]
    finest = FINEST * (abs(most - least) / (largest - smallest))  # both reversed for huge values
    is_last = high - low <= N_BETWEEN * finest
    n_steps = max(math.ceil((high - low) / finest), N_STENCIL - 1) if is_last else N_BETWEEN
    step = (high - low) / n_steps
    powers = (low, *(low + k * step for k in range(1, n_steps)), high)
    if any(a >= b for a, b in pairwise(powers)):  # floats end here
        return tried[best]
    return PowerGrid(powers, is_last)


def most_rounds(method: LambdaMethod) -> int:
    """Return the greatest number of passes over rows that come in chunks.

    The first pass finds the smallest and the largest value; each grid takes one more. A grid
    reaches from one neighbour of the best power to the other, over two intervals of the previous
    grid. Widths in the code are fractions of the range of powers.
    """
    smallest, largest = RANGE[method]
    ends = (0.0, *FIRST_POINTS)
    width = 0.5 * max(after - before for before, after in zip(ends, ends[2:], strict=False))
    n_grids = 2  # the first, and the last
    while width > N_BETWEEN * FINEST / (largest - smallest):
        width *= 2.0 / N_BETWEEN
        n_grids += 1
    return 1 + n_grids


def _minimum(costs: Mapping[float, float], grid: Sequence[float]) -> float:
    """Return the power of least cost on the polynomial through the best powers of a grid."""
    best = min(range(len(grid)), key=lambda place: (costs[grid[place]], place))
    first = min(max(best - N_STENCIL // 2, 0), len(grid) - N_STENCIL)
    near = grid[first : first + N_STENCIL]
    if any(math.isinf(costs[power]) for power in near):
        return grid[best]
    scale = near[-1] - near[0]
    places = [(power - grid[best]) / scale for power in near]
    slope = _slope_through(places, [costs[power] - costs[grid[best]] for power in near])
    low = places[max(best - first - 1, 0)]
    high = places[min(best - first + 1, N_STENCIL - 1)]
    for _ in range(N_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if slope(middle) > 0.0 else (middle, high)
    return grid[best] + scale * (0.5 * (low + high))


def _slope_through(x: Sequence[float], y: Sequence[float]) -> Callable[[float], float]:
    """Return the derivative, as a function, of the polynomial through points (x, y)."""
    parts = list(y)
    for order in range(1, len(x)):
        for k in range(len(x) - 1, order - 1, -1):
            parts[k] = (parts[k] - parts[k - 1]) / (x[k] - x[k - order])

    def slope(at: float) -> float:
        value = found = 0.0
        for part, place in zip(reversed(parts), reversed(x), strict=True):
            found = found * (at - place) + value
            value = value * (at - place) + part
        return found

    return slope


def find_most_likely_power(
    field: PowerRange, costs_of: Callable[[Sequence[float]], Sequence[float]]
) -> float:
    """Return the power with the least cost; `costs_of` computes the cost of each of some powers."""
    grid, costs = first_grid(field), dict[float, float]()
    while True:
        untried = [power for power in grid.powers if power not in costs]
        costs |= zip(untried, costs_of(untried), strict=True)
        found = next_grid(field, costs, grid)
        if not isinstance(found, PowerGrid):
            return found
        grid = found


def _by_definition(values: AggregateColumn, dtype: DType, method: LambdaMethod) -> float | None:
    known = [float(value) for value in sort_values(values, dtype)]
    if not known:
        return None
    field, counts = PowerRange(method, known[0], known[-1]), Counter(known)
    settled = lambda_without_search(field)
    if settled is not None:
        return settled
    expm1 = elementary_function("expm1")
    sizes = {x: size_of(method, x) for x in counts}

    def raised(x: float, power: float) -> float:
        is_turned = field.is_mixed and x < 0.0
        exponent = 2.0 - power if is_turned else field.exponent(power)
        size = sizes[x] if field.is_mixed else sizes[x] - field.end(power)
        y = expm1(exponent * size) / exponent if exponent else size
        return -y if is_turned else y

    signed = sum(
        n * _to_exact_units(-sizes[x] if field.is_mixed and x < 0.0 else sizes[x])
        for x, n in counts.items()
    )

    def cost(power: float) -> float:
        found = [(raised(x, power), n) for x, n in counts.items()]
        if not all(math.isfinite(y) for y, _ in found):
            return math.inf
        exact = [(_to_exact_units(y), n) for y, n in found]
        total, squares = sum(n * y for y, n in exact), sum(n * y * y for y, n in exact)
        return cost_of(field, power, len(known), signed, RaisedSums(True, total, squares))

    return find_most_likely_power(field, lambda powers: [cost(power) for power in powers])


def _function(name: str, method: LambdaMethod) -> AggregateFunction:
    def finalize(summary: ColumnSummary, params: Params) -> float | None:
        return summary.most_likely_powers[method]

    def reference(values: AggregateColumn, params: Params, dtype: DType) -> float | None:
        return _by_definition(values, dtype, method)

    primitives: frozenset[KernelQuantity] = frozenset({"likelihood"})
    return AggregateFunction(
        *(name, primitives, to_float64, finalize, reference),
        written=PLAIN,
        n_rounds=most_rounds(method),
    )


METHODS: Mapping[str, LambdaMethod] = {
    "yeo_johnson_lambda": "yeo-johnson",
    "box_cox_lambda": "box-cox",
}
"""The transformation behind each aggregate, by the aggregate's name."""

FUNCTIONS = tuple(_function(name, method) for name, method in METHODS.items())
