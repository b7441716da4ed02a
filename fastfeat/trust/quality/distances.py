"""Distances between two samples, given only their counts in the same bins.

All are pure functions over arrays of counts: one of the rows then (training), one of the rows now.
The KS statistic and the Wasserstein distance are brackets, which are the least and the greatest
value that is possible for any positions of the values in their bins. For each distance, a function
named `..._noise` gives the value that chance alone produces. F and G are the distribution functions
of the two samples.
"""

from __future__ import annotations

import math
from dataclasses import field
from functools import lru_cache, reduce
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Float64Array, Int64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray


class Bracket(NamedTuple):
    """The least and greatest possible value of a distance."""

    low: float
    high: float


class Brackets(NamedTuple):
    """The least and greatest possible values of a distance, per column; both of shape `(...)`."""

    low: Float64Array
    high: Float64Array


class ChiSquared(NamedTuple):
    """The statistic of a chi-squared test, its degrees of freedom and its p value."""

    statistic: float
    degrees: int
    p_value: float


def psi(then: Int64Array, now: Int64Array) -> float:
    """Return the population stability index, sum((q - p) * ln(q / p)) over the shares in bins.

    Half a row is added to every bin so that one empty bin cannot dominate; with many rows the
    effect is negligible. Both counts have shape `(n_bins,)`. 0 if a sample is empty.
    """
    if not (then.sum() and now.sum()):
        return 0.0
    p, q = (then + 0.5) / (then.sum() + 0.5 * len(then)), (now + 0.5) / (now.sum() + 0.5 * len(now))
    return float(((q - p) * np.log(q / p)).sum())


def psi_noise(
    n_bins: int, n_then: int, n_now: int, confidence: float = 0.999, apart: float = 0.0
) -> float:
    """Return the PSI that two samples of one distribution stay below with a given probability.

    Without a difference, PSI / (1 / n + 1 / m) is close to chi-squared with n_bins - 1 degrees.

    Args:
        n_bins: Number of bins.
        n_then: Size of one sample.
        n_now: Size of the other sample.
        confidence: The probability.
        apart: PSI that the samples have anyway, because the bins were chosen from one of them.

    Returns:
        The limit; infinite if a sample is empty.

    Source:
        B. Yurdakul, J. Naranjo: Statistical properties of the population stability index, 2020; P.
        Patnaik: The non-central chi-squared and F distributions, 1949.
    """
    if not (n_then and n_now):
        return math.inf
    degrees, unit = max(n_bins - 1, 1), 1 / n_then + 1 / n_now
    if not apart:
        return chi_squared_quantile(confidence, degrees) * unit
    mean, spread = degrees + apart / unit, degrees + 2 * apart / unit
    return chi_squared_quantile(confidence, mean * mean / spread) * unit * spread / mean


def jensen_shannon_noise(n_bins: int, n_then: int, n_now: int, confidence: float = 0.999) -> float:
    """Return the Jensen-Shannon distance that two samples of one distribution rarely exceed.

    For similar shares the divergence is PSI / 8, in bits PSI / (8 ln 2). `confidence` is the
    probability to stay below it; `n_then` and `n_now` are the sizes of the samples.
    """
    return math.sqrt(psi_noise(n_bins, n_then, n_now, confidence) / (8 * math.log(2)))


def ks_noise(n_then: int, n_now: int, confidence: float = 0.999) -> float:
    """Return the KS statistic that two samples of one distribution rarely exceed.

    `confidence` is the probability to stay below it; `n_then` and `n_now` are the sizes of the
    samples. Infinite if a sample is empty.

    Source:
        The first term of Kolmogorov's distribution, an upper bound of the whole series.
    """
    if not (n_then and n_now):
        return math.inf
    return math.sqrt(math.log(2 / (1 - confidence)) / 2 * (1 / n_then + 1 / n_now))


def share_noise(
    n_then: int, of_then: int, n_now: int, of_now: int, confidence: float = 0.999
) -> float:
    """Return the difference of two samples' shares of rows that chance alone rarely exceeds.

    Uses Bernstein's inequality, which also holds for rare events.

    Args:
        n_then: Counted rows then.
        of_then: All rows then.
        n_now: Counted rows now.
        of_now: All rows now.
        confidence: The probability to stay below the result.

    Returns:
        The limit; infinite if a sample is empty.

    Source:
        S. Boucheron, G. Lugosi, P. Massart: Concentration inequalities, 2013, theorem 2.10.
    """
    if not (of_then and of_now):
        return math.inf
    pooled = (n_then + n_now) / (of_then + of_now)
    variance = pooled * (1 - pooled) * (1 / of_then + 1 / of_now)
    bits = math.log(2 / (1 - confidence))
    return math.sqrt(2 * bits * variance) + bits / (3 * min(of_then, of_now))


def jensen_shannon(then: Int64Array, now: Int64Array) -> float:
    """Return the Jensen-Shannon distance: 0 for equal shares, 1 if no bin has rows of both samples.

    It is the square root of the divergence, in bits, of the shares in bins. It is at most as large
    as the distance computed from exact values. Both counts have shape `(n_bins,)`. 0 if a sample is
    empty.
    """
    if not (then.sum() and now.sum()):
        return 0.0
    p, q = then / then.sum(), now / now.sum()
    middle = (p + q) / 2
    divergence = (_entropy_terms(p, middle) + _entropy_terms(q, middle)).sum() / 2
    return float(np.sqrt(min(max(divergence, 0.0), 1.0)))


def _entropy_terms(p: Float64Array, middle: Float64Array) -> Float64Array:
    ratio = np.divide(p, middle, out=np.ones_like(p), where=p > 0)
    return p * np.log2(ratio)


def chi_squared(then: Int64Array, now: Int64Array) -> ChiSquared:
    """Return the chi-squared test of two samples; bins that are empty in both do not count.

    Both counts have shape `(n_bins,)`. Statistic 0 and p 1 if a sample is empty or all rows are in
    one bin.
    """
    n, m = int(then.sum()), int(now.sum())
    filled = (then + now) > 0
    degrees = int(filled.sum()) - 1
    if degrees < 1 or not (n and m):
        return ChiSquared(0.0, max(degrees, 0), 1.0)
    a, b = then[filled].astype(np.float64), now[filled].astype(np.float64)
    statistic = float(((math.sqrt(m / n) * a - math.sqrt(n / m) * b) ** 2 / (a + b)).sum())
    return ChiSquared(statistic, degrees, 1 - _gamma_p(degrees / 2, statistic / 2))


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins of numbers, ascending; each holds values from `first` to `last`.

    The last axis is the axis of bins; leading axes are columns.

    Args:
        first: Least value that a bin may hold, float64, shape `(..., n_bins)`.
        last: Greatest value that a bin may hold; equal to `first` for bins of one value.
    """

    first: Float64Array
    last: Float64Array

    @property
    def width(self) -> Float64Array:
        """The distance from the least to the greatest value of each bin."""
        with np.errstate(over="ignore"):
            return self.last - self.first

    @property
    def ends(self) -> tuple[Float64Array, Float64Array]:
        """The least and the greatest value of all bins, shape `(...)`."""
        return self.first[..., 0], self.last.max(axis=-1)

    @property
    def gaps(self) -> Float64Array:
        """The distance from the greatest value of each bin to the least value of the next bin."""
        with np.errstate(over="ignore"):
            return np.maximum(self.first[..., 1:] - self.last[..., :-1], 0.0)


@dataclass(frozen=True, slots=True)
class BinnedSide:
    """Samples of numbers in bins, with the figures that brackets need.

    Args:
        counts: Finite values in each bin, int64, shape `(..., n_bins)`.
        n_low: Number of values that are -inf, shape `(...)`.
        n_high: Number of values that are inf, shape `(...)`.
        mean_low: Least possible mean of the values in each bin, as a share of the bin's width above
            its least value: 0 to 1, float64, shape `(..., n_bins)`.
        mean_high: Greatest possible mean, in the same form.
        n: Number of values, shape `(...)`.
        below: Share of values below each bin, then below the end of the last bin, float64, shape
            `(..., n_bins + 1)`; 0 without values.
    """

    counts: Int64Array
    n_low: Int64Array
    n_high: Int64Array
    mean_low: Float64Array
    mean_high: Float64Array
    n: Int64Array = field(init=False)
    below: Float64Array = field(init=False)

    def __post_init__(self) -> None:
        """Compute `n` and `below`."""
        *lead, n_bins = self.counts.shape
        sums = np.zeros((*lead, n_bins + 1), np.int64)
        np.cumsum(self.counts, axis=-1, out=sums[..., 1:])
        n = sums[..., -1] + self.n_low + self.n_high
        below = (sums + np.asarray(self.n_low)[..., None]) / np.maximum(n, 1)[..., None]
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "below", below)


def kolmogorov_smirnov(bins: Bins, then: BinnedSide, now: BinnedSide) -> Brackets:
    """Return brackets of the largest difference between the two distribution functions.

    A bracket is at most as wide as the greatest share of rows that both samples have in one bin
    with several possible values. 0 to 0 if a sample is empty.
    """
    f, g = then.below, now.below
    low = np.abs(f - g).max(axis=-1)
    inside = np.maximum(f[..., 1:] - g[..., :-1], g[..., 1:] - f[..., :-1])
    both = (then.counts > 0) & (now.counts > 0) & (bins.width > 0)
    high = np.maximum(np.where(both, inside, 0.0).max(axis=-1), low)
    ends = np.maximum(low - _ROUNDING, 0.0), np.minimum(high + _ROUNDING, 1.0)
    return Brackets(*(np.where(_are_there(then, now), end, 0.0) for end in ends))


def wasserstein(bins: Bins, then: BinnedSide, now: BinnedSide) -> Brackets:
    """Return brackets of the Wasserstein distance, the integral of |F - G|.

    The unit is the unit of the values. 0 to 0 if a sample is empty; infinite if the shares of -inf
    or of inf differ.
    """
    return with_infinite(area(bins, then, now), then, now)


def area(bins: Bins, then: BinnedSide, now: BinnedSide) -> Brackets:
    """Return brackets of the integral of |F - G| between the least and the greatest finite value.

    This is the Wasserstein distance if infinite values count as the nearest finite value, in the
    unit of the values. 0 to 0 if a sample is empty.
    """
    low, high = _area_inside(then, now)
    width, gaps = bins.width, bins.gaps
    between = np.abs(then.below - now.below)[..., 1:-1]
    with np.errstate(over="ignore", invalid="ignore"):
        gap = _summed(between, gaps)
        of_any = (high > 0).astype(np.float64), (between > 0).astype(np.float64)
        slack = _ROUNDING * (_summed(of_any[0], width) + _summed(of_any[1], gaps))
        slack += _LEAST_FLOAT * (_n_terms(of_any[0], width) + _n_terms(of_any[1], gaps))
        least = (_summed(low, width) + gap) * (1 - _ROUNDING) - slack
        most = (_summed(high, width) + gap) * (1 + _ROUNDING) + slack
    ends = np.where(np.isfinite(least), np.maximum(least, 0.0), 0.0), most
    return Brackets(*(np.where(_are_there(then, now), end, 0.0) for end in ends))


def with_infinite(finite: Brackets, then: BinnedSide, now: BinnedSide) -> Brackets:
    """Return brackets of the Wasserstein distance: infinite if shares of infinite values differ.

    `finite` is the result of `area` for the same samples, and is returned where shares are equal.
    """
    differs = then.n_low * now.n != now.n_low * then.n
    differs |= then.n_high * now.n != now.n_high * then.n
    differs &= _are_there(then, now)
    return Brackets(*(np.where(differs, np.inf, end) for end in finite))


class BinnedMoments(NamedTuple):
    """Mean and standard deviation of columns; infinite values count as the nearest finite value.

    Both arrays are float64, shape `(...)`.
    """

    mean: Float64Array
    std: Float64Array


def area_noise(
    bins: Bins,
    then: BinnedSide,
    now: BinnedSide,
    together: BinnedMoments,
    confidence: float = 0.995,
) -> Float64Array:
    """Return the `area` that two samples of one distribution rarely exceed.

    The mean of the area is the mean area between a Brownian bridge and zero. The area is the
    largest difference of the two samples' means of f(x), over all functions f that change no faster
    than x. So the spread of the area is at most the spread of the mean of x. If a few values lie
    far out, the skewness of x moves the quantile farther out.

    Args:
        bins: Bins of both samples.
        then: One sample.
        now: The other sample.
        together: Moments of the values of both samples.
        confidence: The probability. Because the spread is a bound, at most one sample in a thousand
            exceeds the result (measured: `python -m bench.drift_power`).

    Returns:
        The limit in the unit of the values, shape `(...)`; infinite if a sample is empty.

    Source:
        E. del Barrio, E. Giné, C. Matrán: Central limit theorems for the Wasserstein distance,
        1999; C. Borell: The Brunn-Minkowski inequality in Gauss space, 1975; E. Cornish, R. Fisher:
        Moments and cumulants in the specification of distributions, 1938.
    """
    a, b = 1 / np.maximum(then.n, 1), 1 / np.maximum(now.n, 1)
    both, quantile = _together(then, now), NormalDist().inv_cdf(confidence)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = math.sqrt(2 / math.pi) * _bridge(bins, both)
        noise = np.sqrt(a + b) * (mean + quantile * together.std)
        far = (a * a + b * b) / (a + b) * (quantile**2 - 1) / 6
        noise = noise + far * _third_by_second(bins, both, together)
    return np.where(_are_there(then, now) & np.isfinite(noise), noise, np.inf)


def _together(then: BinnedSide, now: BinnedSide) -> BinnedSide:
    """Return two samples in the same bins as one sample."""
    counts = then.counts + now.counts
    of_then = then.counts / np.maximum(counts, 1)
    low, high = (
        of_then * one + (1 - of_then) * other
        for one, other in ((then.mean_low, now.mean_low), (then.mean_high, now.mean_high))
    )
    return BinnedSide(counts, then.n_low + now.n_low, then.n_high + now.n_high, low, high)


def _bridge(bins: Bins, of: BinnedSide) -> Float64Array:
    """Return an upper bound of the integral of sqrt(F (1 - F)), with the mean of F in each bin."""
    below = of.below
    inside = below[..., :-1] + (below[..., 1:] - below[..., :-1]) * (1 - _mean_place(of))
    return _summed(_deviation(inside), bins.width) + _summed(
        _deviation(below[..., 1:-1]), bins.gaps
    )


def _third_by_second(bins: Bins, of: BinnedSide, moments: BinnedMoments) -> Float64Array:
    """Return the third absolute central moment divided by the variance, in the unit of the values.

    In a bin, the third moment is at most its value with all values at the two ends.
    """
    start, end = bins.ends
    range_ = end - start
    scale = np.divide(1.0, range_, out=np.zeros_like(range_), where=range_ > 0)

    def cubed(
        place: Float64Array,
    ) -> Float64Array:  # products: bits of powers depend on columns nearby
        far = np.abs((place - moments.mean[..., None]) * scale[..., None])
        return far * far * far

    n, at_high = np.maximum(of.n, 1), _mean_place(of)
    low, high = cubed(bins.first), cubed(bins.last)
    third = _summed(of.counts / n[..., None], low + at_high * (high - low))
    infinite = np.stack([of.n_low / n, of.n_high / n], axis=-1)
    third = third + _summed(infinite, cubed(np.stack([start, end], axis=-1)))
    std = moments.std * scale
    return np.divide(third, std * std, out=np.zeros_like(third), where=std > 0) * range_


def _mean_place(of: BinnedSide) -> Float64Array:
    return (of.mean_low + of.mean_high) / 2


def _deviation(share: Float64Array) -> Float64Array:
    """Return the standard deviation of a variable that is 1 with probability `share`, else 0."""
    return np.sqrt(np.clip(share * (1 - share), 0.0, None))


def _are_there(then: BinnedSide, now: BinnedSide) -> NDArray[np.bool_]:
    return (np.asarray(then.n) > 0) & (np.asarray(now.n) > 0)


def _summed(shares: Float64Array, widths: Float64Array) -> Float64Array:
    """Return the sum of `shares * widths` over the bins, for values >= 0; 0 times inf counts as 0.

    The sum runs in order, so that empty bins at the end change no bit. Columns with fewer bins than
    other columns end in such bins.
    """
    there = (shares > 0) & (widths > 0)
    products = np.multiply(shares, widths, out=np.zeros_like(shares), where=there)
    if products.shape[-1] == 0:
        return np.zeros(products.shape[:-1])
    return np.cumsum(products, axis=-1)[..., -1]


def _n_terms(shares: Float64Array, widths: Float64Array) -> Int64Array:
    """Return the number of products that `_summed` adds."""
    return ((shares > 0) & (widths > 0)).sum(axis=-1)


def _area_inside(then: BinnedSide, now: BinnedSide) -> tuple[Float64Array, Float64Array]:
    """Return the least and greatest integral of |F - G| over each bin, in units of its width.

    Within a bin F = f0 + p * P and G = g0 + q * Q, where P and Q are distribution functions over 0
    to 1 with known means: the integral of F is f0 + p * (1 - mean). For means a and b, |P - Q|
    integrates to at most a (1 - b) + b (1 - a), because |x - y| <= x (1 - y) + y (1 - x). Therefore
    |F - G| <= |f0 - g0 + (p - q) P| + q |P - Q|, where the first term is convex in P.
    """
    f, g = then.below, now.below
    f0, f1, g0, g1 = f[..., :-1], f[..., 1:], g[..., :-1], g[..., 1:]
    p, q = f1 - f0, g1 - g0
    a, b = (then.mean_low, then.mean_high), (now.mean_low, now.mean_high)
    least = (f0 - g0) + p * (1 - a[1]) - q * (1 - b[0])
    most = (f0 - g0) + p * (1 - a[0]) - q * (1 - b[1])
    low = np.maximum(np.maximum(least, -most), 0.0)
    apart = _most([x + y - 2 * x * y for x in a for y in b])
    at_start, at_end = np.abs(f0 - g0), np.abs(f1 - g1)

    def by(mean: tuple[Float64Array, Float64Array], other: Float64Array) -> Float64Array:
        """Return the upper bound in which one sample's function is in the convex term."""
        return _most([at_end + (at_start - at_end) * x for x in mean]) + other * apart

    high = np.minimum(np.maximum(f1 - g0, g1 - f0), np.minimum(by(a, q), by(b, p)))
    high = np.where(f0 >= g1, np.minimum(high, most), high)
    high = np.where(g0 >= f1, np.minimum(high, -least), high)
    return low, np.maximum(high, low)


def _most(of: list[Float64Array]) -> Float64Array:
    return reduce(np.maximum, of)


_ROUNDING = 2.0**-45
"""Upper bound on the error of sums of a few hundred rounded shares."""
_LEAST_FLOAT = 2.0**-1074
"""Upper bound on the error of a product with a subnormal factor, where rounding is absolute."""


def coarse_groups(then: Int64Array, n_now: int, most: int = 10) -> NDArray[np.intp]:
    """Return the first bin of each group of adjacent bins; groups have about equal shares then.

    PSI over many bins is noise. At most `most` groups are made, and fewer if there are few rows, so
    that each group expects ten rows. `then` has shape `(n_bins,)`, in the order of the values.

    Returns:
        Ascending starts, the first is 0, shape `(n_groups,)`: for `np.add.reduceat`.
    """
    n = int(then.sum())
    n_groups = min(max(min(n, n_now) // _EXPECTED, 2), most)
    middles = np.cumsum(then) - (then + 1) // 2  # puts a heavy bin in a group of its own
    group = np.minimum((middles * n_groups) // max(n, 1), n_groups - 1)
    return np.flatnonzero(np.diff(group, prepend=-1))


_EXPECTED = 10
"""Rows that each group of bins expects."""


@lru_cache(maxsize=1024)
def chi_squared_quantile(probability: float, degrees: float) -> float:
    """Return the value that a chi-squared variable stays below with a given probability.

    The probability lies strictly between 0 and 1; `degrees` is at least 1 and need not be whole.
    The result is the least such float, found by bisection of the distribution function.
    """
    low, high = 0.0, degrees + 10.0
    while _gamma_p(degrees / 2, high / 2) < probability:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        if _gamma_p(degrees / 2, middle / 2) < probability:
            low = middle
        else:
            high = middle
    return high


def _gamma_p(a: float, x: float) -> float:
    """Return the regularized lower incomplete gamma function.

    Source:
        DLMF 8.11.4 for small x; 8.9.2 by Lentz's method otherwise.
    """
    if x <= 0:
        return 0.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        k = a
        while term > total * 1e-17:
            k += 1
            term *= x / k
            total += term
        return min(total * scale, 1.0)
    return 1 - scale * _upper_fraction(a, x)


def _upper_fraction(a: float, x: float) -> float:
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    value = d
    for k in range(1, 10_000):
        step = -k * (k - a)
        b += 2
        d = 1 / (step * d + b or tiny)
        c = b + step / c or tiny
        value *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return value
