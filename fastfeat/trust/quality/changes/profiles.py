"""Changes of the training rows, from the profiles that both plans keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastfeat.execute.fitted import Fitted
from fastfeat.trust.quality.changes.record import Change, shown
from fastfeat.trust.quality.distribution import length_text, value_text
from fastfeat.trust.quality.profile import ColumnProfile
from fastfeat.trust.quality.profiling import profile_face

_MOST_SHOWN = 3


def changes_of_profiles(a: Fitted, b: Fitted) -> Iterator[Change]:
    """Yield a change for each input with other training values; nothing without two profiles.

    Only figures that do not depend on row order are compared: bin edges and counted categories come
    from a sample. Features are left out because they follow from inputs and learnt values.
    """
    before, after = profile_face(a), profile_face(b)
    if before is None or after is None:
        return
    for name, column in before.inputs.items():
        other = after.inputs.get(name)
        if other is None or column.dtype != other.dtype:
            continue
        was, now = _facts(column), _facts(other)
        if was != now or _counted(column, other) != _counted(other, column):
            yield _change(name, column, other, was, now)


def _facts(column: ColumnProfile) -> dict[str, Any]:
    """Return the figures of a column that do not depend on the order of its rows."""
    found: dict[str, Any] = {"n_rows": column.n_rows, "n_missing": column.n_missing}
    if column.has_bins:
        ends = {"least": column.least, "greatest": column.greatest}
        found |= {"n_low": column.n_low, "n_high": column.n_high} | ends
        found |= {"mean": column.mean, "std": column.std}
    # NaN means no values here, and must equal itself
    return {name: None if value != value else value for name, value in found.items()}


def _counted(column: ColumnProfile, other: ColumnProfile) -> Mapping[Any, int]:
    """Return the counts of those categories of `column` that `other` counts too."""
    if column.kind != "category":
        return {}
    known = set(other.categories)
    pairs = zip(column.categories, column.counts.tolist(), strict=True)
    return {category: n for category, n in pairs if category in known}


def _change(
    name: str, a: ColumnProfile, b: ColumnProfile, was: dict[str, Any], now: dict[str, Any]
) -> Change:
    """Return the change of an input in words: shares of rows and moments instead of counts.

    `was` and `now` are the figures of `_facts` for the two columns.
    """
    told: list[str] = []
    if a.has_bins and a.n_finite and b.n_finite:
        moved = f" ({(b.mean - a.mean) / a.std:+.2g} standard deviations)" if a.std else ""
        if a.mean != b.mean:
            told.append(f"mean {_text(a, a.mean)} -> {_text(b, b.mean)}{moved}")
        elif a.std != b.std:
            told.append(f"standard deviation {_length(a)} -> {_length(b)}")
        ends = [_text(of, end) for of in (a, b) for end in (of.least, of.greatest)]
        if ends[:2] != ends[2:]:
            told.append(f"range {ends[0]} to {ends[1]} -> {ends[2]} to {ends[3]}")
    if a.kind == "category" and a.n_values and b.n_values:
        told += _shares(a, b)
    missing = [f"{of.n_missing / max(of.n_rows, 1):.2%}" for of in (a, b)]
    if missing[0] != missing[1]:
        told.append(f"missing {missing[0]} -> {missing[1]}")
    text = ", ".join(told) or f"{a.n_rows:,} rows -> {b.n_rows:,}"
    return Change("profile changed", name, was, now, text)


def _text(column: ColumnProfile, value: float) -> str:
    return value_text(column, value) if column.kind == "moment" else f"{value:.6g}"


def _length(column: ColumnProfile) -> str:
    return length_text(column, column.std) if column.kind == "moment" else f"{column.std:.6g}"


def _shares(a: ColumnProfile, b: ColumnProfile) -> list[str]:
    """Return the categories with the largest changes of share, as text."""
    before, after = _counted(a, b), _counted(b, a)
    shares = {of: (n / a.n_values, after[of] / b.n_values) for of, n in before.items()}
    largest = sorted(shares, key=lambda of: -abs(shares[of][1] - shares[of][0]))[:_MOST_SHOWN]
    pairs = {of: [f"{share:.1%}" for share in shares[of]] for of in largest}
    return [f"{shown(of)} {was} -> {now}" for of, (was, now) in pairs.items() if was != now]
