"""`ColumnDrift`: a column's profile then and now, and whether its values have drifted.

"Then" is the training rows and "now" the rows compared with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.markup.html import printable
from fastfeat.trust.quality import distances
from fastfeat.trust.quality.column_brackets import Distances, distances_of
from fastfeat.trust.quality.distances import Bracket, ChiSquared
from fastfeat.trust.quality.layout import SAMPLED
from fastfeat.trust.quality.profile import ColumnProfile

N_GROUPS: Final = 10
"""Groups of bins for the PSI of numbers; ten is usual."""
N_GROUPS_OF_CATEGORIES: Final = 20
FREQUENT: Final = 10
"""Categories with fewer rows form one group, together with new categories.

By chance, each of them has fewer rows in any sample other than the one it was chosen from.
"""

USUAL: Final = 0.2
"""Share of rows in uncounted categories, at training, above which they are normal.

Beyond it, the limit of their growth is in proportion to their share at training.
"""


class Shares(NamedTuple):
    """The share of rows, 0 to 1, then and now."""

    then: float
    now: float


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """The values of a column now, compared with training.

    Limits allow for chance: few rows can differ from training without any drift, and such
    differences are not reported.

    Args:
        name: Name of the column.
        kind: "number", "moment" (a time), "category" or "other", from its profile.
        n_then: Number of training rows.
        n_now: Number of rows now.
        psi: Population stability index over about ten groups of values that were equally frequent
            then; 0 without values.
        psi_threshold: Limit of `psi`: the given one, or if greater the PSI that one sample in a
            thousand exceeds by chance.
        ks: Least and greatest Kolmogorov-Smirnov statistic possible; None for categories.
        wasserstein: Least and greatest Wasserstein distance possible, in the unit of the values;
            None for categories.
        shift: Least Wasserstein distance, in the unit of the values, if infinite values count as
            the nearest finite value; None for categories.
        shift_threshold: Limit of `shift`, at least as large as chance produces. If all values move
            by more, the move is reported. None for categories.
        std: Standard deviation of the finite values then; None for categories or without values.
        jensen_shannon: Distance of the shares of bins or categories, 0 to 1.
        chi2: Chi-squared test of these shares. It decides nothing: with many rows every p is small.
        missing: Shares of missing rows.
        missing_threshold: Limit of the difference between these shares.
        unseen: Shares of values outside the categories or the range of the training sample, and of
            infinite values.
        unseen_threshold: Limit of the growth of `unseen`.
        is_drifted: Whether a figure exceeds its limit and the column is judged.
        reason: Figures that exceed their limits, or why the column is not judged; otherwise "".
        is_judged: Whether the column counts for the verdict; times, and features that only depend
            on times, do not.
    """

    name: str
    kind: str
    n_then: int
    n_now: int
    psi: float
    psi_threshold: float
    ks: Bracket | None
    wasserstein: Bracket | None
    shift: float | None
    shift_threshold: float | None
    std: float | None
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
    def has_moved(self) -> bool:
        """Whether `shift` exceeds its limit."""
        return self.shift is not None and self.shift > (self.shift_threshold or 0.0)

    @property
    def smallest_shift(self) -> float | None:
        """The smallest move of all values that these rows could reveal.

        The unit is the standard deviation of training.

        None for categories, and if training has at most one distinct value.
        """
        if not self.std or self.shift_threshold is None:
            return None
        return self.shift_threshold / self.std

    @property
    def severity(self) -> float:
        """The largest ratio of a figure to its limit: 1 at the limit; 0 if not judged.

        Reports are sorted by it, worst first.
        """
        if not self.is_judged:
            return 0.0
        ratios = (
            self.psi / self.psi_threshold,
            abs(self.missing.now - self.missing.then) / self.missing_threshold,
            (self.unseen.now - self.unseen.then) / self.unseen_threshold,
            (self.shift or 0.0) / self.shift_threshold if self.shift_threshold else 0.0,
        )
        return max(0.0, *ratios)

    def __str__(self) -> str:
        """Return the verdict, the name and the reason on one line."""
        word = "drift" if self.is_drifted else "ok   " if self.is_judged else "skip "
        told = self.reason or f"PSI {self.psi:.3g}"
        return printable(f"{word} {self.name}: {told}")


def worst_first(columns: Iterable[ColumnDrift]) -> list[ColumnDrift]:
    """Return columns in sorted order: those with drift first, then by `severity`."""
    return sorted(columns, key=lambda column: (not column.is_drifted, -column.severity))


Limit = Mapping[str, Any]
"""Limits of a column by figure; values of "ks" and "jensen_shannon" may be None."""


@dataclass(frozen=True, slots=True)
class ComparedColumn:
    """Both profiles of a column, and the limits to judge their difference by.

    Args:
        then: Profile of the training rows.
        now: Profile of other rows, with the same edges and categories.
        limits: Limits by name of figure.
        reason_not_judged: Why drift of the column does not count for the verdict; "" if it does.
    """

    then: ColumnProfile
    now: ColumnProfile
    limits: Limit
    reason_not_judged: str = ""


def compared_columns(columns: Sequence[ComparedColumn]) -> list[ColumnDrift]:
    """Return the drift of each column; many together cost less than one at a time."""
    binned = [k for k, column in enumerate(columns) if column.then.has_bins]
    found = distances_of([(columns[k].then, columns[k].now) for k in binned])
    by_place = dict(zip(binned, found, strict=True))
    return [_drift_of_column(column, by_place.get(k)) for k, column in enumerate(columns)]


def _drift_of_column(column: ComparedColumn, apart: Distances | None) -> ColumnDrift:
    then, now, limits, not_judged = column.then, column.now, column.limits, column.reason_not_judged
    kept = _mixed(np.flatnonzero(then.counts >= FREQUENT))
    p, q = counts_in_order(then, kept), counts_in_order(now, kept)
    most = N_GROUPS_OF_CATEGORIES if then.kind == "category" else N_GROUPS
    groups = distances.coarse_groups(p, int(q.sum()), most)
    sizes = int(p.sum()), int(q.sum())
    noise = distances.psi_noise(len(groups), *sizes, apart=_psi_of_choice(then))
    missing, missing_noise = _shares((then.n_missing, then.n_rows), (now.n_missing, now.n_rows))
    n_once, n_new = n_seen_once(then), n_unseen(then)
    new_now = (n_unseen(now), now.n_values)
    std = then.std if then.has_bins and then.n_finite else None
    unseen, _ = _shares((n_new, then.n_values), new_now)
    expected, unseen_noise = _shares((n_new + n_once, then.n_values), new_now)
    found = ColumnDrift(
        then.name,
        then.kind,
        then.n_rows,
        now.n_rows,
        distances.psi(np.add.reduceat(p, groups), np.add.reduceat(q, groups)),
        max(limits["psi"], noise),
        apart and apart.ks,
        apart and apart.wasserstein,
        apart and apart.shift,
        apart and max(limits["wasserstein"] * (std or 0.0), apart.shift_noise),
        std,
        distances.jensen_shannon(p, q),
        distances.chi_squared(p, q),
        missing,
        max(limits["missing"], missing_noise),
        unseen,
        max(_unseen_limit(limits, then, unseen), unseen_noise) + expected.then - unseen.then,
        is_drifted=False,
        reason=not_judged,
        is_judged=not not_judged,
    )
    if not_judged:
        return found
    beyond = _reasons_beyond_limits(found, limits, then, now)
    reason = "; ".join(beyond) or _reason_not_compared(then, now)
    return replace(found, is_drifted=bool(beyond), reason=reason)


def _shares(then: tuple[int, int], now: tuple[int, int]) -> tuple[Shares, float]:
    """Return the share of rows then and now, and the difference that chance alone produces.

    Each argument is a pair: a number of rows, and the total.
    """
    found = Shares(*(n / of if of else 0.0 for n, of in (then, now)))
    return found, distances.share_noise(*then, *now)


def _unseen_limit(limits: Limit, then: ColumnProfile, unseen: Shares) -> float:
    """Return the limit of the growth of the share of unseen values, without regard to chance.

    The limit is higher for columns with many values outside the counted categories at training.
    Such values are usual there: a few rows decide which categories are counted, and categories come
    and go. PSI counts them as a group.
    """
    if then.kind != "category":
        return limits["beyond"]
    return limits["unseen"] * max(1.0, unseen.then / USUAL)


def _reasons_beyond_limits(
    found: ColumnDrift, limits: Limit, then: ColumnProfile, now: ColumnProfile
) -> list[str]:
    """Return a text for each figure that exceeds its limit."""
    told: list[str] = []
    if found.psi > found.psi_threshold:
        told.append(f"PSI {found.psi:.3g}, above {found.psi_threshold:.3g}")
    if found.has_moved:
        limit = found.shift_threshold
        told.append(f"Wasserstein at least {found.shift:.3g}, above {limit:.3g}")
    if abs(found.missing.now - found.missing.then) > found.missing_threshold:
        told.append(f"missing {_share_change_text(found.missing)}")
    if found.unseen.now - found.unseen.then > found.unseen_threshold:
        what = "values outside the earlier range"
        if then.kind == "category":
            what = "unseen categories"
        if then.kind == "category" and then.n_other:  # some values were outside in training too
            what = f"categories beyond the {len(then.categories):,} counted ones"
        told.append(f"{what} {_share_change_text(found.unseen)}")
    return told + _reasons_beyond_user_limits(found, limits, then, now)


def _reasons_beyond_user_limits(
    found: ColumnDrift, limits: Limit, then: ColumnProfile, now: ColumnProfile
) -> list[str]:
    """Return a text for each figure that exceeds a limit that only users set.

    The lower end of a bracket decides, and it must also exceed the distance that chance produces.
    """
    told: list[str] = []
    sizes = then.n_values, now.n_values
    limit, distance = limits.get("jensen_shannon"), found.jensen_shannon
    if limit is not None:
        chance = distances.jensen_shannon_noise(found.chi2.degrees + 1, *sizes)
        if distance > max(limit, chance):
            told.append(f"Jensen-Shannon {distance:.3g}, above {max(limit, chance):.3g}")
    limit = limits.get("ks")
    if found.ks is not None and limit is not None:
        chance, least = distances.ks_noise(*sizes), found.ks.low
        if least > max(limit, chance):
            told.append(f"KS at least {least:.3g}, above {max(limit, chance):.3g}")
    return told


def _reason_not_compared(then: ColumnProfile, now: ColumnProfile) -> str:
    """Return the reason why the values of a column cannot be compared; "" if they can."""
    if then.kind == "other":
        return f"for type {then.dtype}, only missing rows are counted"
    for column, when in ((then, "before"), (now, "now")):
        if column.n_rows == 0:
            return f"no rows {when}"
        if column.n_values == 0:
            return f"no values {when}"
    return ""


def _psi_of_choice(then: ColumnProfile) -> float:
    """Return the PSI that other rows of the same kind show because rare categories are grouped.

    Whether a category was frequent enough to stand alone was partly chance: see
    `_rows_next_to_left_out`. 0 if the column is not categorical.
    """
    if then.kind != "category":
        return 0.0
    n_kept = int(then.counts[then.counts >= FREQUENT].sum())
    n_few = then.n_values - n_kept
    n_more = min(_rows_next_to_left_out(then, FREQUENT), n_few)
    shares = ([n_kept, n_few], [n_kept - n_more, n_few + n_more])
    return distances.psi(*(np.array(of, np.int64) for of in shares))


def _rows_next_to_left_out(then: ColumnProfile, least: int) -> int:
    """Return how many more rows than this sample another one would have in left-out categories.

    A profile counts only the most frequent categories of its sample. These were partly frequent by
    chance: other rows have fewer rows in them, and more in the left-out ones. Other rows have as
    many rows in categories seen up to k times as this sample has in categories seen up to k + 1
    times. Categories with fewer than `least` rows count as left out too.

    Source:
        I. J. Good: The population frequencies of species, 1953.
    """
    counts = then.counts[then.counts >= least]
    of_sample = _share_of_sample(then)
    most = np.ceil(then.counts.min() * of_sample) if then.n_other and len(counts) else 0
    return int(counts[(counts <= least) | (counts * of_sample <= most + 1)].sum() * of_sample)


def _share_of_sample(then: ColumnProfile) -> float:
    """Return the share, 0 to 1, of the rows in the sample that categories and edges came from."""
    return min(1.0, SAMPLED / max(then.n_values, 1))


def _mixed(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the indices of categories, given by falling count, in a pseudo-random order.

    PSI groups neighbours. In the given order, one group would have the categories that chance made
    frequent in training, and other rows would have fewer rows in it. Multiples of the golden ratio
    separate neighbours well.
    """
    return places[np.argsort(np.arange(len(places)) * _GOLDEN % 1, kind="stable")]


_GOLDEN: Final = (5**0.5 - 1) / 2


def counts_in_order(column: ColumnProfile, kept: NDArray[np.intp]) -> Int64Array:
    """Return the number of rows per bin, in ascending order, or per category.

    For bins, the counts of -inf and inf come first and last. For categories, `kept` has the indices
    of the categories to count, and the number of all other values comes last. For a column that is
    only counted, the result is the number of values that are not missing.
    """
    if column.has_bins:
        return np.concatenate([[column.n_low], column.counts, [column.n_high]])
    if column.kind == "category":
        n_kept = column.counts[kept]
        return np.concatenate([n_kept, [column.n_values - n_kept.sum()]])
    return np.array([column.n_values])


def n_seen_once(then: ColumnProfile) -> int:
    """Return the number of values that another sample would have outside the known ones.

    Known values are the counted categories, or the range of the edges. They come from a sample, so
    this sample has no values outside. Another sample of the same size has about as many values
    outside as this sample has values that occur once. Training rows outside the sample are counted
    already.
    """
    if then.kind == "category":
        n_once = _rows_next_to_left_out(then, 1)
    else:  # the least and the greatest value
        n_once = int(2 * _share_of_sample(then)) if then.has_bins else 0
    return min(n_once, then.n_values - n_unseen(then))


def n_unseen(column: ColumnProfile) -> int:
    """Return the number of values that the sample lacks: other categories, or beyond all edges.

    This includes infinite values.
    """
    if column.kind == "category":
        return column.n_other
    if not column.has_bins or len(column.edges) == 0:
        return column.n_values if column.has_bins else 0
    return int(column.counts[0] + column.counts[-1]) + column.n_low + column.n_high


def _share_change_text(shares: Shares) -> str:
    return f"{100 * shares.now:.3g} %, {100 * shares.then:.3g} % before"
