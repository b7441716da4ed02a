"""`Drift`: the values of columns now, compared with the training rows of a fitted plan.

Only profiles are compared, never rows: the profile that the plan keeps is enough.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.calls.completion import with_completion
from fastfeat.errors import InvalidConfig, InvalidPlan, counted, did_you_mean
from fastfeat.execute.fitted import Fitted
from fastfeat.markup.html import printable
from fastfeat.trust.quality.column_drift import (
    ColumnDrift,
    ComparedColumn,
    compared_columns,
    worst_first,
)
from fastfeat.trust.quality.profile import ColumnProfile, Profile
from fastfeat.trust.quality.seasons import features_reading_only, is_moment, out_of_season
from fastfeat.trust.quality.thresholds import SECTIONS, GateThresholds, thresholds

_CALENDAR = "depends on times only: judged only against a reference from the same season"
_TIME = "times always advance"
_IGNORED = "ignored"
_FIXED = "has one value in each segment"


@with_completion(
    "ok", "drifted", "drifted_inputs", "features", "inputs", "segments", "n_then", "n_now",
    "smallest_shift",
)  # fmt: skip
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Drift:
    """The drift of each feature and input of a plan; prints one line for each, the worst first.

    Args:
        features: Drift of each feature by name, in the order of the plan.
        inputs: Drift of each input column by name.
        n_then: Number of reference rows: training rows, unless a reference was given.
        n_now: Number of rows now.
        segments: Drift of the rows of each segment, by the value of the column `by=`, or by a tuple
            of values for several columns.
        no_features: Why features were not compared; "" if they were.

    Example:
        >>> import fastfeat as ff
        >>> then = {"x": [k / 1000 for k in range(1000)]}
        >>> fitted = ff.Plan({"square": ff.col("x") * ff.col("x")}).fit(then, profile=True)
        >>> drift = fitted.drift({"x": [k / 2000 for k in range(1000)]})
        >>> drift.drifted, drift.drifted_inputs, drift.ok
        (['square'], ['x'], False)
        >>> drift["x"].psi > drift["x"].psi_threshold
        True
    """

    features: Mapping[str, ColumnDrift]
    inputs: Mapping[str, ColumnDrift]
    n_then: int
    n_now: int
    segments: Mapping[Any, Drift] = field(default_factory=lambda: MappingProxyType({}))
    no_features: str = ""

    @property
    def ok(self) -> bool:
        """Whether no feature and no input has drifted, including in segments."""
        here = not any(one.is_drifted for one in self.columns)
        return here and all(drift.ok for drift in self.segments.values())

    @property
    def drifted(self) -> list[str]:
        """The features that have drifted, the worst first."""
        return [one.name for one in worst_first(self.features.values()) if one.is_drifted]

    @property
    def drifted_inputs(self) -> list[str]:
        """The inputs that have drifted, the worst first."""
        return [one.name for one in worst_first(self.inputs.values()) if one.is_drifted]

    @property
    def columns(self) -> list[ColumnDrift]:
        """The drift of the features, then of the inputs."""
        return [*self.features.values(), *self.inputs.values()]

    @property
    def summary(self) -> str:
        """One line: the number of rows compared, and how many features and inputs have drifted."""
        n_features, n_inputs = len(self.drifted), len(self.drifted_inputs)
        of = [
            f"{n} of {counted(len(all_of), what)}"
            for n, all_of, what in (
                (n_features, self.features, "feature"),
                (n_inputs, self.inputs, "input"),
            )
            if all_of
        ]
        told = " and ".join(of) if n_features or n_inputs else "nothing"
        if not self.n_now or not self.n_then:
            return f"{counted(self.n_now, 'row')} against {self.n_then:,}: nothing was compared"
        rows = f"{counted(self.n_now, 'row')}, compared with {self.n_then:,}"
        bad = [value for value, drift in self.segments.items() if not drift.ok]
        segments = f"; {len(bad)} of {counted(len(self.segments), 'segment')}"
        return f"{rows}: {told} drifted{segments if self.segments else ''}"

    @property
    def smallest_shift(self) -> str:
        """One line: the smallest shift of all values that this number of rows could reveal.

        It names the columns with the smallest and the greatest such shift; "" if no numeric column
        is judged.
        """
        shifts = {
            one.name: one.smallest_shift
            for one in self.columns
            if one.is_judged and one.smallest_shift is not None
        }
        shifts = {name: shift for name, shift in shifts.items() if math.isfinite(shift)}
        if not shifts:
            return ""
        ends = [pick(shifts, key=lambda name: shifts[name]) for pick in (min, max)]
        texts = dict.fromkeys(f"{shifts[name]:.2g}" for name in ends)
        told = " to ".join(texts) + " standard deviations"
        if len(texts) > 1:
            told += f" ({printable(ends[0])} to {printable(ends[1])})"
        return f"the smallest shift that {counted(self.n_now, 'row')} could show: {told}"

    def __getitem__(self, name: str) -> ColumnDrift:
        """Return the drift of a feature, or of an input if no feature has the name.

        Raises:
            InvalidPlan: No feature or input of this name was compared.
        """
        for columns in (self.features, self.inputs):
            if name in columns:
                return columns[name]
        known = [*self.features, *self.inputs]
        why = f" Features were not compared: {self.no_features}" if self.no_features else ""
        raise InvalidPlan(f"{name!r} was not compared.{did_you_mean(str(name), known)}{why}")

    def __repr__(self) -> str:
        """Return the summary and one line per feature and input, the worst first."""
        lines = [self.summary]
        for what, columns in (("", self.features), ("input ", self.inputs)):
            for one in worst_first(columns.values()):
                word, _, told = str(one).partition(" ")
                lines.append(f"{word} {what}{told.strip()}")
        for value, drift in self.segments.items():
            if not drift.ok:
                inputs = (f"input {name}" for name in drift.drifted_inputs)
                names = printable(", ".join([*drift.drifted, *inputs]))
                lines.append(f"drift of {value!r}, {counted(drift.n_now, 'row')}: {names}")
        return "\n".join([*lines, *filter(None, [self.smallest_shift])])

    def _repr_html_(self) -> str:
        """Return a table of the columns, for notebooks."""
        from fastfeat.trust.quality.html import drift_html  # seldom needed

        told = "; ".join(filter(None, [self.summary, self.smallest_shift]))
        return drift_html(told, self.features.values(), self.inputs.values())


def compare_profiles(
    fitted: Fitted,
    now: Profile,
    then: Profile,
    *,
    limits: GateThresholds | None = None,
    is_same_season: bool = False,
    fixed: Collection[str] = (),
    segments: Mapping[Any, Drift] | None = None,
) -> Drift:
    """Return the drift between two profiles of one plan.

    Args:
        fitted: The plan.
        now: Profile of the later rows; columns that it lacks are left out.
        then: Profile of the earlier rows.
        limits: Thresholds; None for the defaults.
        is_same_season: Whether the earlier rows cover the same season. Then features of times alone
            are judged; otherwise only those that repeat weekly, if the rows cover enough time.
        fixed: Columns with one value in all later rows, because these rows are the segment with
            this value.
        segments: Drift of segments, to include in the result.

    Raises:
        InvalidConfig: Limits name an unknown column.
    """
    limits = thresholds(None, "drift") if limits is None else limits
    names = [*then.features, *then.inputs]
    limits.check_names(names)
    ignored = _ignored_columns(limits, names)
    of_keys = features_reading_only(fitted, lambda name: name in fixed) if fixed else []
    calendar = frozenset[str]() if is_same_season else out_of_season(fitted, now, then)

    def columns(
        of_then: Mapping[str, ColumnProfile], of_now: Mapping[str, ColumnProfile], *, own: bool
    ) -> Mapping[str, ColumnDrift]:
        found: list[ComparedColumn] = []
        for name, column in of_then.items():
            if name not in of_now:
                continue
            why = _IGNORED if name in ignored else _TIME if is_moment(column) else ""
            if name in (of_keys if own else fixed):
                why = _FIXED
            elif own and name in calendar:
                why = why or _CALENDAR
            of_name = {word: limits.of(name, word) for word in SECTIONS["drift"].named}
            found.append(ComparedColumn(column, of_now[name], of_name, why))
        return MappingProxyType({one.name: one for one in compared_columns(found)})

    return Drift(
        columns(then.features, now.features, own=True),
        columns(then.inputs, now.inputs, own=False),
        then.n_rows,
        now.n_rows,
        MappingProxyType(dict(segments or {})),
        then.no_features,
    )


def _ignored_columns(limits: GateThresholds, names: Collection[str]) -> frozenset[str]:
    """Return the columns that the limits say to ignore; raises `InvalidConfig` for unknown ones."""
    ignored: tuple[str, ...] = limits["ignore"]
    for name in ignored:
        if name not in names:
            hint = did_you_mean(name, names)
            raise InvalidConfig(f"[drift] ignore: there is no column {name!r}.{hint}")
    return frozenset(ignored)
