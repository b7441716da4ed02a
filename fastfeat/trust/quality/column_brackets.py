"""Distances between two profiles of binned columns, for many columns at once.

"Then" is the training rows and "now" the rows compared with them. A bracket is the least and the
greatest possible value of a distance, since only counts in bins are known. A place is the position
of a value in its bin, a whole number from 0 at the low edge to POSITIONS at the high edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Float64Array
from fastfeat_kernels.moments.exact import rounded, scaled_quotient
from numpy.typing import NDArray

from fastfeat.trust.quality import distances
from fastfeat.trust.quality.distances import BinnedMoments, BinnedSide, Bins, Bracket
from fastfeat.trust.quality.profile import POSITIONS, ColumnProfile, Exact

ProfilePair = tuple[ColumnProfile, ColumnProfile]
"""A binned column's profile then, and its profile now."""


class Distances(NamedTuple):
    """Distances between the values of a column then and now, as exactly as its bins allow.

    Args:
        ks: Least and greatest possible Kolmogorov-Smirnov statistic.
        wasserstein: Least and greatest possible Wasserstein distance, in the unit of the values.
        shift: Least possible Wasserstein distance, in the unit of the values, if infinite values
            count as the nearest finite value.
        shift_noise: The `shift` that chance alone produces with these numbers of rows.
    """

    ks: Bracket
    wasserstein: Bracket
    shift: float
    shift_noise: float


def distances_of(pairs: Sequence[ProfilePair]) -> list[Distances]:
    """Return the distances of each pair of profiles of a column: then, and now.

    The columns hold numbers or times; both profiles of a pair have the same edges.
    """
    if not pairs:
        return []
    sides = binned_sides(pairs)
    bins, then, now = sides
    ks, area = distances.kolmogorov_smirnov(*sides), distances.area(*sides)
    wasserstein = distances.with_infinite(area, then, now)
    noise = distances.area_noise(*sides, _moments(pairs, bins))
    figures = (*ks, *wasserstein, area.low, noise)
    ends = zip(*(of.tolist() for of in figures), strict=True)
    return [Distances(Bracket(a, b), Bracket(c, d), e, f) for a, b, c, d, e, f in ends]


def _moments(pairs: Sequence[ProfilePair], bins: Bins) -> BinnedMoments:
    """Return mean and deviation of the values then and now together, shape `(n_columns,)`.

    Values are scaled to the range from least to greatest, so that no square overflows.
    """
    first, last = bins.ends
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        width = last - first
        parts: list[
            tuple[Float64Array, Float64Array, Float64Array]
        ] = []  # rows, their mean place, its deviation
        zeros, ones = np.zeros(len(pairs)), np.ones(len(pairs))
        for side in (0, 1):
            columns = [pair[side] for pair in pairs]
            n_finite, n_low, n_high = np.array(
                [(of.n_finite, of.n_low, of.n_high) for of in columns], np.float64
            ).T
            mean = np.nan_to_num((np.array([of.mean for of in columns]) - first) / width)
            std = np.nan_to_num(np.array([of.std for of in columns]) / width)
            parts += [(n_finite, mean, std), (n_low, zeros, zeros), (n_high, ones, zeros)]
        total = np.maximum(sum(n for n, _, _ in parts), 1)
        mean = sum(n * place for n, place, _ in parts) / total
        squares = sum(n * (std * std + (place - mean) ** 2) for n, place, std in parts)
        is_wide = width > 0
        std = np.where(is_wide, np.sqrt(squares / total) * width, 0.0)
        return BinnedMoments(np.where(is_wide, first + mean * width, first), std)


def binned_sides(pairs: Sequence[ProfilePair]) -> tuple[Bins, BinnedSide, BinnedSide]:
    """Return the bins of columns, the values then in these bins, and the values now.

    All have shape `(n_columns, most bins)`. Columns with fewer bins end in empty bins of zero
    width.
    """
    n_edges = np.array([len(then.edges) for then, _ in pairs], np.int64)
    edges = np.empty((len(pairs), n_edges.max() + 2))
    is_atom = np.zeros((len(pairs), n_edges.max() + 1), np.bool_)
    for k, (then, now) in enumerate(pairs):
        n = n_edges[k]
        least, greatest = np.fmin(then.least, now.least), np.fmax(then.greatest, now.greatest)
        if n:
            least, greatest = np.fmin(least, then.edges[0]), np.fmax(greatest, then.edges[-1])
        edges[k, 0], edges[k, n + 1 :] = least, greatest
        edges[k, 1 : n + 1], is_atom[k, : n + 1] = then.edges, then.is_atom
    edges = np.nan_to_num(edges)  # columns without values have NaN edges
    is_whole = np.array([not then.dtype.startswith("float") for then, _ in pairs])
    bins = _bins(edges, n_edges, is_atom, is_whole)
    places = _places(edges, n_edges, bins)
    then, now = (_binned([pair[side] for pair in pairs], bins, places) for side in (0, 1))
    return bins, then, now


def _bins(
    edges: Float64Array,
    n_edges: NDArray[np.int64],
    is_atom: NDArray[np.bool_],
    is_whole: NDArray[np.bool_],
) -> Bins:
    """Return the bins of columns, each with the first and last value that it may hold.

    Args:
        edges: Per column its least value, its edges, then its greatest value, repeated to the end;
            `(n_columns, most edges + 2)`.
        n_edges: Number of edges of each column.
        is_atom: Whether a bin holds a single float.
        is_whole: Whether a column holds whole numbers.
    """
    place: NDArray[np.int64] = np.arange(edges.shape[1], dtype=np.int64)
    is_edge = (place >= 1) & (place <= n_edges[:, None]) & is_whole[:, None]
    up = np.ceil(edges)  # the last whole number of a bin lies before its edge
    first = np.where(is_edge, up, edges)[:, :-1]
    last = np.where(is_edge, _before(up), edges)[:, 1:]
    return Bins(first, np.where(is_atom, first, np.maximum(last, first)))


def _before(whole: Float64Array) -> Float64Array:
    """Return each whole number minus 1; beyond 2**53, where floats are coarser, the same number."""
    return np.where(np.abs(whole) < 2.0**53, whole - 1, whole)


class _Places(NamedTuple):
    """Numbers that turn the mean place in a bin into a share of its width; `(n_columns, n_bins)`.

    The share is 0 at the first value of the bin and 1 at the last.

    Args:
        begin: The share at place 0.
        step: The share per place.
        unknown: 1 if places are not counted, so that the share may be any; else 0.
        scale: 1 / width; 0 for bins of zero or infinite width.
    """

    begin: Float64Array
    step: Float64Array
    unknown: Float64Array
    scale: Float64Array


def _places(edges: Float64Array, n_edges: NDArray[np.int64], bins: Bins) -> _Places:
    width = bins.width
    scale = np.divide(1.0, width, out=np.zeros_like(width), where=width > _LEAST)
    with np.errstate(over="ignore"):
        between = edges[:, 1:] - edges[:, :-1]
    place: NDArray[np.int64] = np.arange(width.shape[1], dtype=np.int64)
    is_known = (place >= 1) & (place < n_edges[:, None]) & (scale > 0) & (between > _LEAST)
    begin = np.where(is_known, edges[:, :-1] - bins.first, 0.0) * scale
    step = np.where(is_known, between, 0.0) * scale / POSITIONS
    return _Places(begin, step, (~is_known & (width > 0)).astype(np.float64), scale)


def _binned(columns: Sequence[ColumnProfile], bins: Bins, places: _Places) -> BinnedSide:
    """Return the values of columns in bins, with the least and greatest possible mean in each.

    The means come from the sums of places, and in the outer bins from exact sums.
    """
    counts, offsets = np.zeros(bins.first.shape, np.int64), np.zeros(bins.first.shape, np.int64)
    for k, column in enumerate(columns):
        counts[k, : len(column.counts)] = column.counts
        offsets[k, : len(column.counts)] = column.offsets
    mean = offsets / np.maximum(counts, 1)
    low = np.maximum(places.begin + (mean - 1) * places.step, 0.0)
    high = np.minimum(places.begin + (mean + 2) * places.step + places.unknown, 1.0)
    for k, column in enumerate(columns):
        n = len(column.edges)
        for j, tail in zip((0, n) if n else (0,), column.tails, strict=False):
            scale = float(places.scale[k, j])
            if column.counts[j] and scale > 0:
                first, middle = float(bins.first[k, j]), mean_of(tail, int(column.counts[j]))
                off = _ROUNDED * max(abs(middle), abs(first))
                low[k, j] = max((middle - first - off) * scale, 0.0)
                high[k, j] = min((middle - first + off) * scale, 1.0)
    n_low, n_high = np.array([(column.n_low, column.n_high) for column in columns]).T
    return BinnedSide(counts, n_low, n_high, low, high)


def mean_of(total: Exact, n: int) -> float:
    """Return an exact sum divided by the number of its values."""
    mantissa, exponent = rounded(total[0])
    return scaled_quotient(mantissa, exponent + total[1], n)


_ROUNDED = 2.0**-50
"""Upper bound on the relative error of a mean that is rounded once."""
_LEAST = 1e-290
"""Narrower bins count as bins of zero width; places in them are not counted."""
