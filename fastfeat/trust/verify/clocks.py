"""Clocks by which features see other rows: which clock can judge each feature.

A clock is a time by which rows are earlier or later. A feature sees earlier rows of the data by the
time of a window, and rows of a table by one of the table's columns. To judge a feature at a moment
is to remove all rows after it: by its clock, the feature may not see them, so its values must not
change. A run judges all features of one clock together. A table that is never cut keeps all its
rows, since its rows have no time, or since the user declared them known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from fastfeat_kernels.records import dataclass

from fastfeat.errors import shortened
from fastfeat.execute.fitted import Fitted
from fastfeat.ir.node import Aggregate, Call, GroupFrame, Node, TableColumn, fold
from fastfeat.ir.scope import (
    is_asof,
    is_over_table,
    is_over_window,
    order_of,
    table_columns_of,
)
from fastfeat.ir.show import show
from fastfeat.plan.declare.clocks import clock_of
from fastfeat.plan.declare.late_columns import LateColumns
from fastfeat.plan.declare.rows_ahead import is_known


class OtherRowsSource(NamedTuple):
    """A way in which a feature reads other rows: by a window, an as-of join, or a lookup.

    Args:
        time: Expression for the time of the feature's own row; None if rows of a table are looked
            up by key alone.
        column: Column with the times of the table's rows, or else their first key; None for rows of
            the data.
    """

    time: Node | None
    column: TableColumn | None


OtherRowsSources = frozenset[OtherRowsSource]


class TableTime(NamedTuple):
    """A column of a table with the times of its rows.

    Args:
        column: The column.
        step: Nanoseconds per unit if the times are whole numbers; None if unknown.
    """

    column: TableColumn
    step: int | None


@dataclass(frozen=True, slots=True)
class ClockRun:
    """The features that one clock judges.

    Args:
        clock: Expression for the time of a row.
        columns: Names of the output columns that are judged.
        tables: The columns with the times of a table's rows, for each table that these features
            read; empty for a table that is never cut.
    """

    clock: Node
    columns: list[str] = field(default_factory=list[str])
    tables: dict[str, frozenset[TableTime]] = field(default_factory=dict[str, frozenset[TableTime]])

    def takes(self, tables: Mapping[str, frozenset[TableTime]]) -> bool:
        """Return whether a feature can join the run, given the columns by which it sees tables.

        It can if it agrees with the run on each table that both read.
        """
        return all(self.tables.get(name, seen) == seen for name, seen in tables.items())


class ClockRuns(NamedTuple):
    """The runs of a plan, and lines of text on the features and tables that no run judges."""

    runs: tuple[ClockRun, ...]
    on_word: tuple[str, ...]


def runs_of(fitted: Fitted) -> ClockRuns:
    """Return the runs of a fitted plan, and text on the features that cannot be judged.

    If the label reads later rows, its clock judges every feature. Otherwise each feature is judged
    by its own clock, and a feature with several clocks is left out: a row that is later by one
    clock may be earlier by another.
    """
    late = fitted.declaration.known_late
    seen = fold(list(fitted.nodes.values()), _sights_of)
    runs: list[ClockRun] = []
    unjudged: dict[str, list[str]] = {}
    for name, node in fitted.nodes.items():
        own = seen[node]
        clocks = list(dict.fromkeys(sight.time for sight in own if sight.time is not None))
        known = [time for time in clocks if is_known(time, late, fitted.types)]
        if not clocks:
            continue
        if known:
            unjudged.setdefault(f"by {show(known[0])}, which is in known_clocks=", []).append(name)
        elif late.ahead is not None:
            for clock in late.ahead.times:
                _join(runs, clock, name, _tables_of(own, late, fitted))
        elif len(clocks) > 1:
            several = " and ".join(sorted(map(show, clocks)))
            unjudged.setdefault(f"by several clocks, {several}", []).append(name)
        else:
            _join(runs, clocks[0], name, _tables_of(own, late, fitted))
    told = [f"features that see rows {by}: {shortened(names)}" for by, names in unjudged.items()]
    all_seen = frozenset[OtherRowsSource]().union(*(seen[node] for node in fitted.nodes.values()))
    return ClockRuns(tuple(runs), (*told, *_tables_on_word(all_seen, late)))


def _join(
    runs: list[ClockRun], clock: Node, name: str, tables: Mapping[str, frozenset[TableTime]]
) -> None:
    """Add an output column to the run with its clock and tables; make a new run if none fits."""
    run = next((run for run in runs if run.clock is clock and run.takes(tables)), None)
    if run is None:
        run = ClockRun(clock)
        runs.append(run)
    run.columns.append(name)
    run.tables.update(tables)


def _sights_of(node: Node, below: Sequence[OtherRowsSources]) -> OtherRowsSources:
    """Return the ways in which an expression sees other rows; learnt values do not count.

    `below` has these ways for each argument of `node`.
    """
    match node:
        case Aggregate(_, _, _, frame):
            return frozenset[OtherRowsSource]().union(
                *below[1:2] if isinstance(frame, GroupFrame) else ()
            )
        case Call() if is_over_window(node):
            own = OtherRowsSource(order_of(node).args[0], None)
        case Call() if is_over_table(node):
            order = order_of(node)
            own = OtherRowsSource(order.args[0], table_columns_of(order)[0])
        case Call(_, (time, *others)) if is_asof(node):
            own = OtherRowsSource(time, _column(others[(len(others) - 1) // 2]))
        case Call("lookup_row", (*_, key)):
            own = OtherRowsSource(None, _column(key))
        case _:
            return frozenset[OtherRowsSource]().union(*below)
    return frozenset({own}).union(*below)


def _column(node: Node) -> TableColumn:
    assert isinstance(node, TableColumn)
    return node


def _tables_of(
    own: OtherRowsSources, late: LateColumns, fitted: Fitted
) -> dict[str, frozenset[TableTime]]:
    """Return the columns with the times of a table's rows, for each table that a feature reads.

    See `ClockRun.tables`; `own` are the ways in which the feature sees other rows.
    """
    found: dict[str, frozenset[TableTime]] = {}
    whole = {sight.column.table for sight in own if sight.column and sight.time is None}
    for time, column in own:
        if column is None:
            continue
        name = column.table
        if time is None or name in whole or name in late.known_tables:
            found[name] = frozenset()
            continue
        clock = clock_of(time, fitted.types)
        step = None if clock is None else clock.step
        times = {TableTime(one, step) for one in _columns_that_say_when(column, late, fitted)}
        found[name] = found.get(name, frozenset()) | times
    return found


def _columns_that_say_when(
    column: TableColumn, late: LateColumns, fitted: Fitted
) -> list[TableColumn]:
    """Return the columns with the times of a table's rows.

    `column` is the column by which a feature sees these rows. If the label reads later rows of the
    table, these are the label's columns, unless the user declares `column` with `known_clocks`.
    """
    seen = frozenset[str]() if late.ahead is None else late.ahead.tables.get(column.table, ())
    if not seen or column.name in seen or column.name in late.known_clocks:
        return [column]
    of_label = [TableColumn(column.table, name) for name in seen]
    return [one for one in of_label if one in fitted.table_columns] or [column]


def _tables_on_word(seen: OtherRowsSources, late: LateColumns) -> list[str]:
    """Return a line for each kind of table that is never cut."""
    columns = [sight.column for sight in seen if sight.column is not None]
    looked_up = {s.column.table for s in seen if s.column is not None and s.time is None}
    named = {column.table for column in columns} & set(late.known_tables)
    told = {
        "tables that are only looked up by key": looked_up - named,
        "tables in known_tables=": named,
    }
    return [f"{what}: {shortened(sorted(names))}" for what, names in told.items() if names]
