"""The distribution of a column, drawn from its profile: bars for training, a line for rows now.

The bins of a profile have about equal counts, so a drawing of them would be flat. Instead, their
rows are spread over cells of equal width, evenly within a bin. A frequent value counts in the one
cell that contains it. A column with only a few distinct values is drawn like categories.
"""

from __future__ import annotations

import math
import re
from html import escape
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from fastfeat_kernels.arrays import Float64Array
from fastfeat_kernels.records import dataclass

from fastfeat.io.columns.times import time_text
from fastfeat.ir.dtypes import PER_SECOND, DType
from fastfeat.markup.html import short, shorten_middle
from fastfeat.markup.svg import distribution_svg

if TYPE_CHECKING:
    from fastfeat.trust.quality.profile import ColumnProfile

N_CELLS = 32
_MOST_CATEGORIES = 16
_LEAST_EDGES = 8
_LONGEST_TAIL = 0.15
"""Longest tail, as a share of the width between the tails; the end cell counts rows beyond it."""


@dataclass(frozen=True, slots=True)
class DistributionChart:
    """The distribution of a column as shares of rows in cells, the bars of the drawing.

    Missing values are left out.

    Args:
        then: Share of the training rows in each cell, 0 to 1, shape `(n_cells,)`.
        now: Share of the rows now in each cell, shape `(n_cells,)`; None without such rows.
        first: Label of the left end.
        last: Label of the right end.
        labels: Name of each cell if cells are categories; empty for cells of a continuous range.
    """

    then: Float64Array
    now: Float64Array | None
    first: str
    last: str
    labels: tuple[str, ...] = ()

    @property
    def moved(self) -> str:
        """The category with the largest change of share, as text; "" for a continuous range."""
        if self.now is None or not self.labels:
            return ""
        k = int(np.abs(self.now - self.then).argmax())
        if abs(self.now[k] - self.then[k]) < _LEAST_CHANGE:
            return ""
        return f"{self.labels[k]}: {self.then[k]:.0%} → {self.now[k]:.0%}"

    def html(self) -> str:
        """Return the drawing as HTML, with its ends written below."""
        now = None if self.now is None else self.now.tolist()
        ends = " … ".join(dict.fromkeys(filter(None, (self.first, self.last))))
        picture = distribution_svg(
            self.then.tolist(), now, apart=bool(self.labels), told=f"distribution, {ends}"
        )
        return f"{picture}<small>{escape(self.moved or ends)}</small>"


_LEAST_CHANGE = 0.005


def distribution(then: ColumnProfile, now: ColumnProfile | None = None) -> DistributionChart | None:
    """Return the distribution of a column's training rows and, if given, of the rows now.

    `now` must have the same edges and categories as `then`. None if nothing can be drawn: no
    values, or values that are only counted.
    """
    if then.kind == "other" or then.n_values + (now.n_values if now else 0) == 0:
        return None
    if then.kind == "category":
        return _of_categories(then, now)
    if _is_of_few_values(then, now):
        return _of_few_values(then, now)
    return _of_bins(then, now)


def _of_categories(then: ColumnProfile, now: ColumnProfile | None) -> DistributionChart:
    every = [then] if now is None else [then, now]
    n_shown = min(len(then.categories), _MOST_CATEGORIES)
    has_others = n_shown < len(then.categories) or any(of.n_other for of in every)

    def shares(of: ColumnProfile) -> Float64Array:
        others = of.n_other + int(of.counts[n_shown:].sum())
        counts = [*of.counts[:n_shown], *([others] if has_others else [])]
        return _shares(counts, of.n_values)

    names = [short(str(one), 24) for one in then.categories[:n_shown]]
    labels = (*names, *(["other"] if has_others else []))
    first, last = labels[0], labels[-1]
    return DistributionChart(shares(then), now and shares(now), first, last, labels)


def _is_of_few_values(then: ColumnProfile, now: ColumnProfile | None) -> bool:
    """Return whether a column has few distinct values, each in a bin of its own."""
    there = then.counts + (now.counts if now else 0) > 0
    return bool(then.is_atom[there].all()) and 0 < int(there.sum()) <= _MOST_CATEGORIES


def _of_few_values(then: ColumnProfile, now: ColumnProfile | None) -> DistributionChart:
    bins = np.flatnonzero(then.counts + (now.counts if now else 0) > 0)
    labels = tuple(value_text(then, float(then.edges[place - 1])) for place in bins)

    def shares(of: ColumnProfile) -> Float64Array:
        return _shares(of.counts[bins], of.n_values)

    return DistributionChart(shares(then), now and shares(now), labels[0], labels[-1], labels)


def _of_bins(then: ColumnProfile, now: ColumnProfile | None) -> DistributionChart:
    every = [then] if now is None else [then, now]
    ends = [end for of in every for end in (of.least, of.greatest) if not math.isnan(end)]
    if not ends:  # only infinite values
        return DistributionChart(np.ones(1), now and np.ones(1), "infinite", "infinite")
    low, high = min(ends), max(ends)
    if len(then.edges) > _LEAST_EDGES:  # without about a sixtieth of the sample at each end
        inner_low, inner_high = float(then.edges[1]), float(then.edges[-2])
        longest = _LONGEST_TAIL * (inner_high - inner_low)
        low = low if inner_low - low <= longest else inner_low
        high = high if high - inner_high <= longest else inner_high
    if not low < high:
        low, high = low - 0.5 * max(abs(low), 1), high + 0.5 * max(abs(high), 1)
    cells = np.linspace(low / 4, high / 4, N_CELLS + 1) * 4  # the quarters avoid overflow
    left = f"{'< ' if low > min(ends) else ''}{value_text(then, low, n_digits=2)}"
    right = f"{'> ' if high < max(ends) else ''}{value_text(then, high, n_digits=2)}"
    of_now = None if now is None else _in_cells(now, cells)
    return DistributionChart(_in_cells(then, cells), of_now, left, right)


def _in_cells(of: ColumnProfile, cells: Float64Array) -> Float64Array:
    """Return the share of rows in each cell; values beyond all cells count in the outer ones.

    `cells` are the ascending edges of the cells.
    """
    found, counts = np.zeros(len(cells) - 1), of.counts.astype(np.float64)
    if len(of.edges):
        lows, highs = of.lows, of.highs
    else:
        lows, highs = np.array([of.least]), np.array([of.greatest])
    is_point = of.is_atom | ~(highs > lows)
    places = np.searchsorted(cells, lows[is_point], side="right") - 1
    np.add.at(found, np.clip(places, 0, len(found) - 1), counts[is_point])
    spread = np.flatnonzero(~is_point)
    if len(spread):
        below = np.concatenate([[0], np.cumsum(counts[spread])])
        ends = np.stack([lows[spread], highs[spread]], axis=1).ravel()
        rows = np.stack([below[:-1], below[1:]], axis=1).ravel()
        upto = np.interp(cells, ends, rows)
        upto[0], upto[-1] = 0, below[-1]
        found += np.diff(upto)
    found[0] += of.n_low
    found[-1] += of.n_high
    return _shares(found, of.n_values)


def _shares(counts: Any, n_rows: int) -> Float64Array:
    return np.asarray(counts, np.float64) / max(n_rows, 1)


def value_text(of: ColumnProfile, value: float, n_digits: int = 4) -> str:
    """Return a value from a column's profile as text; times are formatted as times.

    `n_digits` applies to numbers that are not whole; digits before the point are always shown.
    """
    if math.isnan(value):
        return ""
    if of.kind == "moment" and math.isfinite(value):
        dtype = _time_type(of.dtype)
        if dtype is not None:
            text = time_text(round(value), dtype)
            return shorten_middle(text.removesuffix("+00:00").removesuffix(" 00:00:00"), 30)
    if not math.isfinite(value) or abs(value) >= 1e6:
        return f"{value:.{n_digits}g}"
    is_whole = value == int(value) or abs(value) >= 10**n_digits
    return f"{round(value):,}" if is_whole else f"{value:.{n_digits}g}"


def length_text(of: ColumnProfile, length: float) -> str:
    """Return a distance between values of a column as text; times in days or smaller units."""
    dtype = _time_type(of.dtype) if of.kind == "moment" else None
    if dtype is None or not math.isfinite(length):
        return f"{length:.3g}"
    if dtype.unit is None:
        seconds = length * (86_400 if dtype.name == "date32" else 1e-3)
    else:
        seconds = length / PER_SECOND[dtype.unit]
    for name, unit in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"


def _time_type(text: str) -> DType | None:
    """Return the type of times from text such as "timestamp[us, UTC]"; None for other types."""
    found = re.fullmatch(r"(date32|date64|time|timestamp|duration)(?:\[(\w+)(?:, (.*))?\])?", text)
    if found is None:
        return None
    name, unit, zone = found.groups()
    return DType(name, cast("Any", unit), zone)
