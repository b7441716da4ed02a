"""Seasons: features that only depend on times, which differ in another part of the year.

For example, the month of later rows differs from training without any drift. Features of hours,
minutes or weekdays repeat within a week: if the rows span enough repetitions, they are judged like
any other feature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from fastfeat.execute.fitted import Fitted
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call, Node, postorder
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.scalars import SCALARS
from fastfeat.scalars.temporal import SECONDS_PER_DAY, ticks_per_day
from fastfeat.trust.quality.profile import ColumnProfile, Profile

ENOUGH: Final = 7
"""Repetitions that rows must span; then a partial one changes the shares little."""
_POINTS = ("date", "timestamp")
"""Types of points in time; durations and other temporal types count as numbers."""


def is_moment(column: ColumnProfile) -> bool:
    """Return whether a column holds points in time, which are always later than in training."""
    return column.kind == "moment" and column.dtype.startswith(_POINTS)


def features_reading_only(fitted: Fitted, is_of: Callable[[str], bool]) -> list[str]:
    """Return the features that read columns, and only columns for which `is_of` returns True."""
    read = {name: columns_of([node]) for name, node in fitted.nodes.items()}
    return [name for name, columns in read.items() if columns and all(map(is_of, columns))]


def out_of_season(fitted: Fitted, now: Profile, then: Profile) -> frozenset[str]:
    """Return the features that only depend on times and cannot be judged for drift.

    Their values repeat, for example each week, and the training rows or the rows now cover too few
    repetitions.
    """

    def is_time(name: str) -> bool:
        dtype = fitted.inputs.get(name)
        return isinstance(dtype, DType) and dtype.name.startswith(_POINTS)

    found: list[str] = []
    for name in features_reading_only(fitted, is_time):
        node = fitted.nodes[name]
        least = ENOUGH * _repeats_s(node, fitted.types)
        spans = [_span_s(of.inputs, columns_of([node]), fitted) for of in (now, then)]
        if min(spans) < least:
            found.append(name)
    return frozenset(found)


def _repeats_s(node: Node, types: Mapping[Node, DType]) -> float:
    """Return the period of an expression of times, in seconds: the longest of its parts.

    Infinite if a part, such as a year, does not repeat.
    """
    longest = 0.0
    for of in postorder([node]):
        dtype = types.get(of)
        if not of_times(of, types) or (dtype is not None and dtype.name.startswith(_POINTS)):
            continue
        # steps, such as a table's row at a point in time, have no season
        row = SCALARS.get(of.function) if isinstance(of, Call) else None
        repeats = 0 if row is None else row.repeats_s
        longest = max(longest, repeats or math.inf)
    return longest


def of_times(node: Node, types: Mapping[Node, DType]) -> bool:
    """Return whether an argument of a node is a point in time."""
    found = (types.get(arg) for arg in getattr(node, "args", ()))
    return any(dtype is not None and dtype.name.startswith(_POINTS) for dtype in found)


def _span_s(inputs: Mapping[str, ColumnProfile], columns: list[str], fitted: Fitted) -> float:
    """Return the time from first to last value of a column in seconds, the shortest of all columns.

    `inputs` has the profiles; 0 if no column has values.
    """
    spans = [0.0]
    for name in columns:
        column, dtype = inputs.get(name), fitted.inputs[name]
        if column is not None and column.n_finite and isinstance(dtype, DType):
            ticks = column.greatest - column.least
            spans.append(ticks * SECONDS_PER_DAY / ticks_per_day(dtype))
    return min(spans[1:], default=0.0)
