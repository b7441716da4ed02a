"""Profiles of rows after training: inputs and features together, in memory or in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from fastfeat.backends import backend_named
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import InvalidPlan
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import IGNORE, as_rereadable
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.pieces import budget_of_features, pieces_of_later_rows
from fastfeat.execute.transform import transform
from fastfeat.io.arrow import Table
from fastfeat.io.budget import Budget, use_budget
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.scan import scan
from fastfeat.trust.quality.profile import Profile
from fastfeat.trust.quality.profiling import NO_FEATURES, host_table, profile_face
from fastfeat.trust.quality.table_profiles import counted_tables

PieceReceiver = Callable[[Table, Table | None], None]
"""Receives the inputs of some rows and their features, or None if these are not counted."""

NO_PROFILE = "the plan has no profile of its training rows: fit it with profile=True"


def known_profile(fitted: Fitted) -> Profile:
    """Return the profile of the training rows; other rows are counted by its edges and categories.

    Raises:
        InvalidPlan: The plan keeps no profile.
    """
    profile = profile_face(fitted)
    if profile is None:
        raise InvalidPlan(NO_PROFILE)
    return profile


def profile_to_compare(fitted: Fitted) -> Profile:
    """Return the profile of the training rows, if it can be compared with other rows.

    Raises:
        InvalidPlan: The plan keeps no profile, or its features could not be computed.
    """
    profile = known_profile(fitted)
    if profile.no_features not in ("", NO_FEATURES):
        raise InvalidPlan(
            "the profile of the training rows has no features to compare with: "
            f"{profile.no_features}"
        )
    return profile


def profile_of(fitted: Fitted, rows: CallRows) -> Profile:
    """Return the profile of later rows; errors match `ff.quality.profile`."""
    layout = known_profile(fitted)
    found: list[Profile] = []

    def take(inputs: Table, features: Table | None) -> None:
        counted = counted_tables(layout, fitted, inputs, features)
        found[:] = [found[0].merge(counted) if found else counted]

    each_piece(fitted, layout, rows, (), take)
    return found[0]


@with_ieee_arithmetic
def each_piece(
    fitted: Fitted, layout: Profile, rows: CallRows, others: Sequence[str], take: PieceReceiver
) -> None:
    """Call `take` with the inputs and features of all rows, or piece by piece if memory is bounded.

    `take` is called at least once; features are None if `layout` has none. `rows` must cover the
    whole data. Columns that are not yet known at the time of a row, such as the label, may be
    absent; `others` are columns to read besides the inputs. Raises like `FittedPlan.transform`, or
    `transform_to` with a budget.
    """
    late = set(fitted.declaration.late)
    wanted = list(dict.fromkeys([*(n for n in layout.inputs if n not in late), *others]))
    if_there = [name for name in layout.inputs if name in late and name not in wanted]
    if rows.memory is None:
        rows = rows._replace(data=as_rereadable(rows.data))
        table = read_columns(rows.data, wanted, if_there)
        features = transform(fitted, rows) if layout.features else None
        take(host_table(table, [*wanted, *if_there], backend_named(rows.backend)), features)
        return
    rows = rows._replace(data=dataset_of(rows.data))
    budget = budget_of_features(fitted, rows)
    assert budget is not None
    with use_budget(budget):
        columns = wanted, if_there
        _each_of_files(fitted, layout, rows, columns, take, budget)


def _each_of_files(
    fitted: Fitted,
    layout: Profile,
    rows: CallRows,
    columns: tuple[Sequence[str], Sequence[str]],
    take: PieceReceiver,
    budget: Budget,
) -> None:
    """Call `take` with the inputs and features of files, piece by piece.

    The files are read twice if features are counted. `columns` has the required and the optional
    columns.
    """
    dataset: Dataset = rows.data
    wanted, if_there = columns
    dataset.check(wanted)
    dataset.check_passes(2 if layout.features else 1)
    there = set(dataset.schema.names)
    names = [name for name in (*wanted, *if_there) if name in there]
    with closing(scan(dataset, names, budget.table_bytes)) as scanned:
        inputs = (piece.table for piece in scanned)
        if not layout.features:
            for table in inputs:
                take(table, None)
            return
        pieces = pieces_of_later_rows(
            fitted, rows, most_bytes=budget.table_bytes, on_violation=IGNORE
        )
        for table, features in _side_by_side(inputs, pieces.of_all()):
            take(table, features)


def _side_by_side(first: Iterator[Table], second: Iterator[Table]) -> Iterator[tuple[Table, Table]]:
    """Yield pairs of tables with the same rows, from two streams that are cut at different rows."""
    a, b = next(first), next(second)
    while True:
        n = min(a.num_rows, b.num_rows)
        yield a.slice(0, n), b.slice(0, n)
        a, b = a.slice(n), b.slice(n)
        while a.num_rows == 0 or b.num_rows == 0:
            rest, which = (a, first) if a.num_rows == 0 else (b, second)
            more = next(which, None)
            if more is None:
                return
            a, b = (more, b) if rest is a else (a, more)
