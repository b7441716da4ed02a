"""Gauges of drift: what live states have answered of late, compared, as Prometheus reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Final

from fastfeat.io.prometheus import Labels, family
from fastfeat.live.live import Live
from fastfeat.live.recent import N_PARTS
from fastfeat.trust.quality.column_drift import ColumnDrift
from fastfeat.trust.quality.drift import Drift, compared
from fastfeat.trust.quality.later_rows import profile_to_compare
from fastfeat.trust.quality.profile import Profile
from fastfeat.trust.quality.thresholds import Limits

_OF_COLUMNS: Final[tuple[tuple[str, str, Callable[[ColumnDrift], float]], ...]] = (
    ("drifted", "Whether a column has drifted: 1, or 0.", lambda one: one.is_drifted),
    ("drift_psi", "Population stability index of a column.", lambda one: one.psi),
    (
        "drift_psi_threshold",
        "The index above which the column has drifted.",
        lambda one: one.psi_threshold,
    ),
    (
        "drift_severity",
        "How far the farthest figure of a column is: 1 at its limit.",
        lambda one: one.severity,
    ),
    ("drift_missing_ratio", "Share of its missing values.", lambda one: one.missing.now),
    ("drift_unseen_ratio", "Share of its unseen values.", lambda one: one.unseen.now),
)
_MOST_SECONDS = 60.0


def drifts_of(lives: Sequence[Live[Any]], limits: Limits | None = None) -> dict[str, Drift]:
    """Return the drift of the rows that states of the same plans have answered, by plan.

    Args:
        lives: states with `Live.watch`, such as those of the partitions of a topic; their profiles
            are merged. Nothing is told of plans that no state watches.
        limits: as of `compared`.
    """
    found: dict[str, Drift] = {}
    if not all(live.recent for live in lives):
        return found
    for name in lives[0].recent if lives else ():
        fitted = lives[0].records[name]
        now = reduce(Profile.merge, (live.recent[name].profile() for live in lives))
        found[name] = compared(fitted, now, profile_to_compare(fitted), limits=limits)
    return found


def drift_text(drifts: Mapping[str, Drift], prefix: str = "fastfeat") -> str:
    """Return gauges of drift, as text.

    Args:
        drifts: by plan; "" is the only one.
        prefix: of the names of metrics.
    """
    rows = [(_of_plan(name), float(drift.n_now)) for name, drift in drifts.items()]
    texts = [family(f"{prefix}_drift_rows", "gauge", "Rows that are compared.", rows)]
    for metric, told, value in _OF_COLUMNS:
        samples = [
            ((*_of_plan(name), ("kind", kind), ("column", one.name)), float(value(one)))
            for name, drift in drifts.items()
            for kind, columns in (("feature", drift.features), ("input", drift.inputs))
            for one in columns.values()
        ]
        texts.append(family(f"{prefix}_{metric}", "gauge", told, samples))
    return "".join(texts)


def _of_plan(name: str) -> Labels:
    return (("plan", name),) if name else ()


class DriftGauges:
    """Gauges of drift that are made anew from time to time; of one thread at a time.

    A class, for they are kept between two readings.
    """

    def __init__(self, seconds: float, prefix: str = "fastfeat") -> None:
        """Begin without gauges.

        Args:
            seconds: of the window.
            prefix: of the names of metrics.
        """
        self._each, self._prefix = min(seconds / N_PARTS, _MOST_SECONDS), prefix
        self._text, self._next = "", 0.0

    def text(self, lives: Sequence[Live[Any]]) -> str:
        """Return the gauges, made anew each minute, or twelfth of a shorter window.

        While nothing was answered they are looked for each second.

        Args:
            lives: as of `drifts_of`.
        """
        now = time.monotonic()
        if now >= self._next or not self._text:
            drifts = drifts_of(lives)
            has_rows = any(drift.n_now for drift in drifts.values())
            name, is_watched = f"{self._prefix}_drift_watched", float(bool(drifts))
            told = "1 while drift is judged, 0 while the plan has no profile."
            self._text = family(name, "gauge", told, [((), is_watched)])
            self._text += drift_text(drifts, self._prefix)
            self._next = now + (self._each if has_rows else min(self._each, 1.0))
        return self._text
