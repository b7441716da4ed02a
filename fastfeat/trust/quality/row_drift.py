"""Drift of rows: rows are counted in the bins of the training profile, and the counts compared.

A segment is the rows with one value of the columns `by=`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from fastfeat_kernels.records import dataclass

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import BATCH
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.trust.quality.drift import Drift, compare_profiles
from fastfeat.trust.quality.later_rows import each_piece, profile_to_compare
from fastfeat.trust.quality.profile import Profile, has_layout_of
from fastfeat.trust.quality.table_profiles import counted_tables
from fastfeat.trust.quality.thresholds import GateThresholds, ThresholdsSource, thresholds

MOST_SEGMENTS: Final = 1_000


@with_ieee_arithmetic
def drift(
    fitted: Fitted,
    rows: CallRows,
    *,
    by: str | Sequence[str] | None = None,
    reference: Any = None,
    reference_history: Any = None,
    given: ThresholdsSource = None,
) -> Drift:
    """Return the drift of rows against training; arguments and errors match `FittedPlan.drift`.

    `rows` must cover the whole data; `memory` applies to the CPU backend only. `reference` is
    earlier rows or a `Profile`, used in place of the training profile, and `reference_history` is
    the history of these rows.
    """
    layout, limits = profile_to_compare(fitted), limits_of(given)
    keys = _columns_named(by)
    if isinstance(reference, Profile):
        _check_layout(reference, layout)
    now = _count_segments(fitted, layout, rows, keys)
    then = _SegmentCounts(layout, {}, layout)
    if isinstance(reference, Profile):
        then = _SegmentCounts(reference, {}, reference)
    elif reference is not None:
        past = BATCH if reference_history is None else reference_history
        then = _count_segments(fitted, layout, rows._replace(data=reference, history=past), keys)
    compare = partial(compare_profiles, fitted, limits=limits, is_same_season=reference is not None)
    segments = {
        value: compare(profile, then.segments.get(value, then.of_others), fixed=keys)
        for value, profile in now.segments.items()
    }
    return compare(now.whole, then.whole, segments=segments)


def _columns_named(by: object) -> list[str]:
    """Return the names of the columns that define segments."""
    if by is None:
        return []
    names: list[Any] = list(cast("list[Any]", by)) if isinstance(by, list | tuple) else [by]
    if not all(isinstance(name, str) for name in names):
        raise TypeMismatch(f"by= takes the name of a column, or a list of names, got {by!r}")
    return names


def _check_layout(reference: Profile, layout: Profile) -> None:
    """Raise `InvalidData` if a reference has other columns, edges or categories than the plan."""
    inputs = {name: of for name, of in layout.inputs.items() if name in reference.inputs}
    for of, known in ((reference.inputs, inputs), (reference.features, layout.features)):
        for name, column in known.items():
            if name in of and has_layout_of(of[name], column):
                continue
            odd = "has another type, bins or categories for" if name in of else "lacks"
            raise InvalidData(
                f"reference=: the profile {odd} {name!r}. Create the profile with profile_of() of "
                "this plan"
            )


def limits_of(given: ThresholdsSource) -> GateThresholds:
    """Return the limits of drift, from a mapping or from a file of thresholds for all gates.

    Raises:
        InvalidConfig: An unknown key, or an invalid value.
    """
    return thresholds({"drift": given} if isinstance(given, Mapping) else given, "drift")


@dataclass(frozen=True, slots=True)
class _SegmentCounts:
    """Counts of rows, in the bins and categories of the training profile.

    Args:
        whole: Profile of all rows.
        segments: Profile of the rows of each segment, by the value of the columns `by=`.
        of_others: Profile with zero counts. It stands for a segment that has rows only in the other
            of the two sets of rows that are compared.
    """

    whole: Profile
    segments: Mapping[Any, Profile]
    of_others: Profile


def _count_segments(
    fitted: Fitted, layout: Profile, rows: CallRows, keys: Sequence[str]
) -> _SegmentCounts:
    """Return the profiles of rows and of their segments, counted by `layout`, the training profile.

    `keys` are the columns that define segments.
    """
    whole: list[Profile] = []
    segments: dict[Any, Profile] = {}

    def take(inputs: Table, features: Table | None) -> None:
        def count(numbers: Array) -> Profile:
            of_rows = None if features is None else features.take(numbers)
            return counted_tables(layout, fitted, inputs.take(numbers), of_rows)

        counted = counted_tables(layout, fitted, inputs, features)
        whole[:] = [whole[0].merge(counted) if whole else counted, count(NO_ROWS)]
        for value, numbers in _rows_by_value(inputs, keys, segments).items():
            before = segments.get(value)
            segments[value] = count(numbers) if before is None else before.merge(count(numbers))

    each_piece(fitted, layout, rows, keys, take)
    return _SegmentCounts(whole[0], segments, whole[1])


def _rows_by_value(table: Table, keys: Sequence[str], known: Collection[Any]) -> dict[Any, Array]:
    """Return the ascending row numbers of each segment, by its value of the columns `keys`.

    `known` are the segments found in earlier pieces of the rows; they count towards the limit.

    Raises:
        InvalidPlan: There are more than `MOST_SEGMENTS` segments.
        TypeMismatch: A column holds lists.
    """
    if not keys:
        return {}
    for key in keys:
        found = table.column(key).type
        if pa.types.is_nested(found):
            raise TypeMismatch(
                f"by={key!r}: a segment needs a single value, but the column has type {found}. "
                "Name another column"
            )
    names = [*map(str, range(len(keys)))]
    numbered = pa.table(
        [*(table.column(key) for key in keys), pa.array(range(table.num_rows), pa.int64())],
        names=[*names, "row"],
    )
    found = numbered.group_by(names, use_threads=False).aggregate([("row", "list")])
    rows = found.column("row_list").combine_chunks()
    values = zip(*(found.column(name).to_pylist() for name in names), strict=True)
    by_value = {
        value[0] if len(keys) == 1 else value: rows[k].values for k, value in enumerate(values)
    }
    n_values = len(by_value.keys() | set(known))
    if n_values > MOST_SEGMENTS:
        raise InvalidPlan(
            f"by={list(keys)!r}: there are {n_values:,} segments, but at most {MOST_SEGMENTS:,} "
            "are compared. Name a column with fewer values, or pass rows of fewer segments"
        )
    return by_value


NO_ROWS = pa.nulls(0, pa.int64())  # `pa.array` would import pandas
