"""Drift of rows: counted as the training rows of a plan were, in segments too, and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastfeat.backends import backend_named
from fastfeat.engine.float_environment import in_ieee
from fastfeat.errors import InvalidPlan
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.guard import read_again
from fastfeat.plan.run.history import BATCH
from fastfeat.plan.run.inputs import read_columns
from fastfeat.plan.run.transform import transform
from fastfeat.quality.drift import Drift, compared
from fastfeat.quality.profile import Profile
from fastfeat.quality.profiling import host_table, profile_face
from fastfeat.quality.table_profiles import counted_tables
from fastfeat.quality.thresholds import Given, Limits, thresholds

MOST_SEGMENTS: Final = 1_000


@in_ieee
def drift(
    fitted: Fitted,
    data: Any,
    *,
    by: str | Sequence[str] | None = None,
    reference: Any = None,
    reference_history: Any = None,
    given: Given = None,
    **options: Any,
) -> Drift:
    """Return the drift of rows; arguments and errors as of `FittedPlan.drift`.

    Args:
        fitted: the plan.
        data: the rows.
        by: columns whose values tell segments apart.
        reference: earlier rows, or a profile of some, in place of those of training.
        reference_history: what windows in rows of the reference see.
        given: thresholds.
        options: as of `profile_of`.
    """
    layout, limits = profile_to_compare(fitted), limits_of(given)
    keys = [by] if isinstance(by, str) else list(by or [])
    now = _counted(fitted, layout, data, keys, options)
    then = _Counted(layout, {}, layout)
    if isinstance(reference, Profile):
        then = _Counted(reference, {}, reference)
    elif reference is not None:
        past = BATCH if reference_history is None else reference_history
        then = _counted(fitted, layout, reference, keys, {**options, "history": past})
    of: Any = {"limits": limits, "is_same_season": reference is not None}
    segments = {
        value: compared(fitted, profile, then.segments.get(value, then.of_others), fixed=keys, **of)
        for value, profile in now.segments.items()
    }
    return compared(fitted, now.whole, then.whole, segments=segments, **of)


def profile_to_compare(fitted: Fitted) -> Profile:
    """Return the profile of the training rows.

    Raises:
        InvalidPlan: there is none, or its features could not be computed.
    """
    profile = profile_face(fitted)
    if profile is None:
        raise InvalidPlan(
            "the plan keeps no profile of its training rows: it was fitted with profile=False, or "
            "by an earlier version. Fit it again"
        )
    if profile.no_features and not profile.features and "fail" in profile.no_features:
        raise InvalidPlan(f"the profile has no features to compare with: {profile.no_features}")
    return profile


def limits_of(given: Given) -> Limits:
    """Return the limits of drift.

    Args:
        given: a mapping of words, or the path of a file of thresholds for all gates.

    Raises:
        InvalidConfig: a word is unknown, or a value is none of its word.
    """
    return thresholds({"drift": given} if isinstance(given, Mapping) else given, "drift")


@dataclass(frozen=True, slots=True)
class _Counted:
    """Rows, counted.

    Args:
        whole: all of them.
        segments: those of each value of the columns `by=`.
        of_others: what other segments are compared with.
    """

    whole: Profile
    segments: Mapping[Any, Profile]
    of_others: Profile


def _counted(
    fitted: Fitted, layout: Profile, data: Any, keys: Sequence[str], options: Mapping[str, Any]
) -> _Counted:
    """Return rows, counted on the edges and categories of the training rows."""
    if options.get("memory") is not None:
        raise InvalidPlan("drift compares rows that are in memory: leave out memory=")
    data, options = read_again(data), {k: of for k, of in options.items() if k != "memory"}
    late = set(fitted.declaration.late)
    wanted = [name for name in layout.inputs if name not in late]
    if_there = [name for name in layout.inputs if name in late]
    table = read_columns(data, [*wanted, *keys], if_there)
    features = transform(fitted, data, **options) if layout.features else None
    backend = backend_named(options["backend"])
    table = host_table(table, dict.fromkeys([*layout.inputs, *keys]), backend)

    def count(rows: Array | None) -> Profile:
        parts = [
            part if rows is None or part is None else part.take(rows) for part in (table, features)
        ]
        return counted_tables(layout, fitted, *parts)

    segments = {value: count(rows) for value, rows in _rows_by_value(table, keys).items()}
    return _Counted(count(None), segments, count(pa.array([], pa.int64())))


def _rows_by_value(table: Table, keys: Sequence[str]) -> dict[Any, Array]:
    """Return the numbers of the rows of each value of some columns, in their order.

    Raises:
        InvalidPlan: there are more values than `MOST_SEGMENTS`.
    """
    if not keys:
        return {}
    columns = [table.column(key) for key in keys]
    numbered = pa.table(
        [*columns, pa.array(range(table.num_rows), pa.int64())],
        names=[*map(str, range(len(keys))), "row"],
    )
    found = numbered.group_by([*map(str, range(len(keys)))], use_threads=False).aggregate(
        [("row", "list")]
    )
    if found.num_rows > MOST_SEGMENTS:
        raise InvalidPlan(
            f"by={list(keys)!r}: has {found.num_rows:,} values, and {MOST_SEGMENTS:,} are compared "
            "at most. Name a column of fewer segments, or pass rows of some of them"
        )
    rows = found.column("row_list").combine_chunks()
    values = zip(*(found.column(str(k)).to_pylist() for k in range(len(keys))), strict=True)
    return {value[0] if len(keys) == 1 else value: rows[k].values for k, value in enumerate(values)}
