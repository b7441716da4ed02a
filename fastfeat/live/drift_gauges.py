"""Prometheus gauges of the drift of rows that live states answered recently."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Final

from fastfeat.io.prometheus import MetricLabels, family
from fastfeat.live.live import Live
from fastfeat.live.recent import N_PARTS
from fastfeat.trust.quality.column_drift import ColumnDrift
from fastfeat.trust.quality.drift import Drift, compare_profiles
from fastfeat.trust.quality.later_rows import profile_to_compare
from fastfeat.trust.quality.profile import Profile
from fastfeat.trust.quality.thresholds import GateThresholds

_OF_COLUMNS: Final[tuple[tuple[str, str, Callable[[ColumnDrift], float]], ...]] = (
    ("drifted", "1 if the column has drifted, else 0.", lambda one: one.is_drifted),
    ("drift_psi", "Population stability index of the column.", lambda one: one.psi),
    (
        "drift_psi_threshold",
        "Population stability index above which the column counts as drifted.",
        lambda one: one.psi_threshold,
    ),
    (
        "drift_severity",
        "Largest ratio of a figure of the column to its limit; 1 at the limit.",
        lambda one: one.severity,
    ),
    ("drift_missing_ratio", "Share of missing values in the column.", lambda one: one.missing.now),
    (
        "drift_unseen_ratio",
        "Share of values in the column outside the categories or range of the training rows.",
        lambda one: one.unseen.now,
    ),
)
_MOST_SECONDS = 60.0


def drifts_of(lives: Sequence[Live[Any]], limits: GateThresholds | None = None) -> dict[str, Drift]:
    """Return a dict of plan name to drift from the training rows, over several states together.

    The states have the same plans. The profiles of their recently answered rows are merged, for
    example over the partitions of a topic. Empty unless every state is watched; see `Live.watch`.
    """
    found: dict[str, Drift] = {}
    if not all(live.recent for live in lives):
        return found
    for name in lives[0].recent if lives else ():
        fitted = lives[0].records[name]
        now = reduce(Profile.merge, (live.recent[name].profile() for live in lives))
        found[name] = compare_profiles(fitted, now, profile_to_compare(fitted), limits=limits)
    return found


def drift_text(drifts: Mapping[str, Drift], prefix: str = "fastfeat") -> str:
    """Return gauges of drift in the Prometheus text format.

    The plan name "" stands for the only plan.
    """
    rows = [(_of_plan(name), float(drift.n_now)) for name, drift in drifts.items()]
    texts = [family(f"{prefix}_drift_rows", "gauge", "Rows compared with the training rows.", rows)]
    for metric, told, value in _OF_COLUMNS:
        samples = [
            ((*_of_plan(name), ("kind", kind), ("column", one.name)), float(value(one)))
            for name, drift in drifts.items()
            for kind, columns in (("feature", drift.features), ("input", drift.inputs))
            for one in columns.values()
        ]
        texts.append(family(f"{prefix}_{metric}", "gauge", told, samples))
    return "".join(texts)


def _of_plan(name: str) -> MetricLabels:
    return (("plan", name),) if name else ()


class DriftGauges:
    """Gauges of drift, recomputed at intervals. Not thread-safe."""

    def __init__(self, seconds: float, prefix: str = "fastfeat") -> None:
        """Begin without gauges.

        `seconds` is the length of the window, `prefix` begins metric names.
        """
        self._each, self._prefix = min(seconds / N_PARTS, _MOST_SECONDS), prefix
        self._text, self._next = "", 0.0

    def text(self, lives: Sequence[Live[Any]]) -> str:
        """Return the gauges as text in the Prometheus format.

        They are recomputed once a minute, or at each twelfth of a window shorter than twelve
        minutes; each second while no rows have been answered.
        """
        now = time.monotonic()
        if now >= self._next or not self._text:
            drifts = drifts_of(lives)
            has_rows = any(drift.n_now for drift in drifts.values())
            name, is_watched = f"{self._prefix}_drift_watched", float(bool(drifts))
            told = "1 if drift is measured, 0 if the plan has no profile."
            self._text = family(name, "gauge", told, [((), is_watched)])
            self._text += drift_text(drifts, self._prefix)
            self._next = now + (self._each if has_rows else min(self._each, 1.0))
        return self._text
