"""`ColumnDrift`: a column then and now, by its profiles, and whether its values have drifted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from fastfeat_kernels.moments.exact import rounded, scaled_quotient
from numpy.typing import NDArray

from fastfeat.plan.fit.row_sample import MOST_ROWS
from fastfeat.quality import distances
from fastfeat.quality.distances import Binned, Bins, Bracket, ChiSquared
from fastfeat.quality.profile import POSITIONS, ColumnProfile, Exact

N_GROUPS: Final = 10
"""PSI of numbers is of as many groups of bins, as is usual."""
N_GROUPS_OF_CATEGORIES: Final = 20
FREQUENT: Final = 10
"""Categories of fewer rows are compared as one, with those that are new: by itself each of them
has fewer rows in any other sample than in the one that it was found in."""


class Shares(NamedTuple):
    """A share of the rows, 0 to 1, then and now."""

    then: float
    now: float


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """The values of a column now, compared with those then.

    Args:
        name: of the column.
        kind: "number", "moment", "category" or "other", as of its profile.
        n_then: rows then.
        n_now: rows now.
        psi: the population stability index, of about ten groups of values that were as frequent
            as one another then; 0 where there are no values.
        psi_threshold: what it must be above to be told: the limit, or what chance makes of so few
            rows, which one sample in a thousand is above without any drift.
        ks: the least and the greatest Kolmogorov-Smirnov statistic that the values can have;
            None of categories.
        wasserstein: the same of the Wasserstein distance, in the unit of the values.
        jensen_shannon: distance of the shares of bins or categories, 0 to 1.
        chi2: test of these shares: its p decides nothing, for of many rows every p is small.
        missing: shares of missing rows.
        missing_threshold: the difference of them that is told.
        unseen: shares of values that are no category of the sample of training rows, or beyond
            its numbers, or infinite.
        unseen_threshold: by how much it must have grown to be told.
        is_drifted: whether something is beyond its limit, and the column is judged.
        reason: what is beyond its limit, or why it is not judged; "" otherwise.
        is_judged: whether it counts: times, and features of times alone, do not.
    """

    name: str
    kind: str
    n_then: int
    n_now: int
    psi: float
    psi_threshold: float
    ks: Bracket | None
    wasserstein: Bracket | None
    jensen_shannon: float
    chi2: ChiSquared
    missing: Shares
    missing_threshold: float
    unseen: Shares
    unseen_threshold: float
    is_drifted: bool
    reason: str
    is_judged: bool = True

    @property
    def severity(self) -> float:
        """How far beyond its limit the farthest figure is: 1 at the limit; 0 of what is not judged.

        What is worst comes first by it.
        """
        if not self.is_judged:
            return 0.0
        ratios = (
            self.psi / self.psi_threshold,
            abs(self.missing.now - self.missing.then) / self.missing_threshold,
            (self.unseen.now - self.unseen.then) / self.unseen_threshold,
        )
        return max(0.0, *ratios)

    def __str__(self) -> str:
        """Return one line."""
        word = "drift" if self.is_drifted else "ok   " if self.is_judged else "skip "
        told = self.reason or f"PSI {self.psi:.3g}"
        return f"{word} {self.name}: {told}"


def worst_first(columns: Iterable[ColumnDrift]) -> list[ColumnDrift]:
    """Return columns by what has drifted, then by how far each is from its limit."""
    return sorted(columns, key=lambda column: (not column.is_drifted, -column.severity))


Limit = Mapping[str, Any]
"""Limits of a column: psi, missing, unseen, and ks, wasserstein, jensen_shannon or None."""


def compared_column(
    then: ColumnProfile, now: ColumnProfile, limits: Limit, not_judged: str = ""
) -> ColumnDrift:
    """Return the drift of a column.

    Args:
        then: its profile.
        now: another one, with the same edges and categories.
        limits: by the names of figures.
        not_judged: why the column does not count; "" where it does.
    """
    kept = then.counts >= FREQUENT
    p, q = counts_in_order(then, kept), counts_in_order(now, kept)
    most = N_GROUPS_OF_CATEGORIES if then.kind == "category" else N_GROUPS
    groups = distances.coarse_groups(p, int(q.sum()), most)
    noise = distances.psi_noise(len(groups), int(p.sum()), int(q.sum()))
    brackets: tuple[Bracket | None, Bracket | None] = None, None
    if then.has_bins:
        sides = binned_sides(then, now)
        brackets = distances.kolmogorov_smirnov(*sides), distances.wasserstein(*sides)
    missing, missing_noise = _shares((then.n_missing, then.n_rows), (now.n_missing, now.n_rows))
    n_once, n_new = n_seen_once(then), n_unseen(then)
    beyond = (n_unseen(now), now.n_values)
    unseen, _ = _shares((n_new, then.n_values), beyond)
    expected, unseen_noise = _shares((n_new + n_once, then.n_values), beyond)
    found = ColumnDrift(
        then.name,
        then.kind,
        then.n_rows,
        now.n_rows,
        distances.psi(np.add.reduceat(p, groups), np.add.reduceat(q, groups)),
        max(limits["psi"], noise),
        *brackets,
        distances.jensen_shannon(p, q),
        distances.chi_squared(p, q),
        missing,
        max(limits["missing"], missing_noise),
        unseen,
        max(limits["unseen"], unseen_noise) + expected.then - unseen.then,
        is_drifted=False,
        reason=not_judged,
        is_judged=not not_judged,
    )
    if not_judged:
        return found
    beyond = _beyond(found, limits, then, now)
    reason = "; ".join(beyond) or _untold(then, now)
    return replace(found, is_drifted=bool(beyond), reason=reason)


def _shares(then: tuple[int, int], now: tuple[int, int]) -> tuple[Shares, float]:
    """Return two shares of (number, of all), and the difference that chance makes of them."""
    found = Shares(*(n / of if of else 0.0 for n, of in (then, now)))
    return found, distances.share_noise(*then, *now)


def _beyond(
    found: ColumnDrift, limits: Limit, then: ColumnProfile, now: ColumnProfile
) -> list[str]:
    """Return the figures of a column that are beyond their limits, as text."""
    told: list[str] = []
    if found.psi > found.psi_threshold:
        told.append(f"PSI {found.psi:.3g}, above {found.psi_threshold:.3g}")
    if abs(found.missing.now - found.missing.then) > found.missing_threshold:
        told.append(f"missing {_then_now(found.missing)}")
    if found.unseen.now - found.unseen.then > found.unseen_threshold:
        what = "unseen categories" if then.kind == "category" else "values beyond all before"
        told.append(f"{what} {_then_now(found.unseen)}")
    return told + _beyond_given(found, limits, then, now)


def _beyond_given(
    found: ColumnDrift, limits: Limit, then: ColumnProfile, now: ColumnProfile
) -> list[str]:
    """Return figures beyond limits that a user must set, as text.

    Of a bracket the least value decides, and it must be more than what chance makes.
    """
    told: list[str] = []
    sizes = then.n_values, now.n_values
    limit, distance = limits.get("jensen_shannon"), found.jensen_shannon
    if limit is not None:
        chance = distances.jensen_shannon_noise(found.chi2.degrees + 1, *sizes)
        if distance > max(limit, chance):
            told.append(f"Jensen-Shannon {distance:.3g}, above {max(limit, chance):.3g}")
    if found.ks is None or found.wasserstein is None:
        return told
    chance = distances.ks_noise(*sizes)
    limit, least = limits.get("ks"), found.ks.low
    if limit is not None and least > max(limit, chance):
        told.append(f"KS {least:.3g} at least, above {max(limit, chance):.3g}")
    limit, least = limits.get("wasserstein"), found.wasserstein.low
    if limit is not None and least > limit * then.std and found.ks.low > chance:
        told.append(f"Wasserstein {least:.3g} at least, above {limit * then.std:.3g}")
    return told


def _untold(then: ColumnProfile, now: ColumnProfile) -> str:
    """Return the reason why nothing is told of the values of a column; "" where there is none."""
    if then.kind == "other":
        return f"of {then.dtype} only missing rows are counted"
    for column, when in ((then, "then"), (now, "now")):
        if column.n_rows == 0:
            return f"no rows {when}"
        if column.n_values == 0:
            return f"no values {when}, then as now" if column is now else "no values then"
    return ""


def counts_in_order(column: ColumnProfile, kept: NDArray[np.bool_]) -> distances.Counts:
    """Return the counts of all values: of numbers in ascending order, of categories as they are.

    Infinite values are the first and the last, categories that are not kept the last; of a column
    of which rows alone are counted, those that are not missing.
    """
    if column.has_bins:
        return np.concatenate([[column.n_low], column.counts, [column.n_high]])
    if column.kind == "category":
        n_kept = column.counts[kept]
        return np.concatenate([n_kept, [column.n_values - n_kept.sum()]])
    return np.array([column.n_values])


def n_seen_once(then: ColumnProfile) -> int:
    """Return how many values of as many other rows would be unseen, more than those that were.

    Categories and edges come from a sample, which has none beyond by construction: in other rows of
    the same kind there are about as many as the sample has values once. Of rows that are not in the
    sample, they are counted.

    Source:
        I. J. Good: The population frequencies of species, 1953.
    """
    if then.kind == "category":
        n_once = int((then.counts == 1).sum()) + then.n_other
    else:
        n_once = 2 if then.has_bins else 0  # the least and the greatest
    n = max(then.n_values, 1)
    return min(int(n_once * min(1.0, MOST_ROWS / n)), n - n_unseen(then))


def n_unseen(column: ColumnProfile) -> int:
    """Return how many values are none of the sample's: other categories, beyond all edges."""
    if column.kind == "category":
        return column.n_other
    if not column.has_bins or len(column.edges) == 0:
        return column.n_values if column.has_bins else 0
    return int(column.counts[0] + column.counts[-1]) + column.n_low + column.n_high


def binned_sides(then: ColumnProfile, now: ColumnProfile) -> tuple[Bins, Binned, Binned]:
    """Return the bins of two profiles of numbers, and both as brackets need them."""
    least, greatest = np.fmin(then.least, now.least), np.fmax(then.greatest, now.greatest)
    edges = then.edges
    if len(edges) == 0:
        ends = np.nan_to_num(np.array([least, greatest]))
        bins = Bins(ends[:1], ends[1:])
    else:
        low, high = np.fmin(least, edges[0]), np.fmax(greatest, edges[-1])
        first, last = np.concatenate([[low], edges]), np.concatenate([edges, [high]])
        if not then.dtype.startswith("float"):  # of whole numbers the last one is before the edge
            first[1:] = np.ceil(first[1:])
            last[:-1] = _before(np.ceil(last[:-1]))
            last = np.maximum(last, first)  # of those that hold none
        bins = Bins(first, np.where(then.is_atom, first, last))
    shares = _shares_of_places(edges, bins)
    return bins, _binned(then, bins, shares), _binned(now, bins, shares)


def _before(whole: distances.Floats) -> distances.Floats:
    """Return the whole numbers before others; beyond 2**53, where floats are no finer, these."""
    return np.where(np.abs(whole) < 2.0**53, whole - 1, whole)


class _PlaceShares(NamedTuple):
    """Factors from the mean place in a bin to a share of its width, but for the first and the last.

    Args:
        begin: the share at place 0, float64, shape `(n_bins - 2,)`.
        step: that of one step.
        unknown: 1 where places are not counted, and the share may be any.
        scale: 1 / width of all bins, shape `(n_bins,)`; 0 of those that have no width.
    """

    begin: distances.Floats
    step: distances.Floats
    unknown: distances.Floats
    scale: distances.Floats


def _shares_of_places(edges: distances.Floats, bins: Bins) -> _PlaceShares:
    width = bins.width
    scale = np.divide(1.0, width, out=np.zeros_like(width), where=width > _LEAST)
    inside = scale[1:-1]
    with np.errstate(over="ignore"):
        between = edges[1:] - edges[:-1]
    is_known = (inside > 0) & (between > _LEAST)
    begin = np.where(is_known, (edges[:-1] - bins.first[1:-1]) * inside, 0.0)
    step = np.where(is_known, between, 0.0) * inside / POSITIONS
    return _PlaceShares(begin, step, (~is_known & (width[1:-1] > 0)).astype(np.float64), scale)


def _binned(column: ColumnProfile, bins: Bins, of: _PlaceShares) -> Binned:
    """Return a profile as brackets need it: the means of bins from places and from exact sums."""
    counts, first = column.counts, bins.first
    low, high = np.zeros(len(counts)), (bins.last > first).astype(np.float64)
    if len(counts) > 2:
        begin = of.begin + (column.offsets / np.maximum(counts, 1))[1:-1] * of.step
        low[1:-1] = np.maximum(begin - of.step, 0.0)
        high[1:-1] = np.minimum(begin + 2 * of.step + of.unknown, 1.0)
    for k, tail in zip((0, -1)[: len(counts)], column.tails, strict=False):
        if counts[k] and of.scale[k] > 0:
            mean = mean_of(tail, int(counts[k]))
            off = _ROUNDED * max(abs(mean), abs(first[k]))
            low[k] = max((mean - first[k] - off) * of.scale[k], 0.0)
            high[k] = min((mean - first[k] + off) * of.scale[k], 1.0)
    return Binned(counts, column.n_low, column.n_high, low, high)


def mean_of(total: Exact, n: int) -> float:
    """Return an exact sum divided by a number."""
    mantissa, exponent = rounded(total[0])
    return scaled_quotient(mantissa, exponent + total[1], n)


_ROUNDED = 2.0**-50
"""More than what a mean, once rounded, is off by."""
_LEAST = 1e-290
"""Bins that are narrower are as if they had no width; places in them are not counted."""


def _then_now(shares: Shares) -> str:
    return f"{100 * shares.now:.3g} %, {100 * shares.then:.3g} % then"
