"""Rows that are learnt from in passes, and what comes with them: what they see of other rows.

Functions of other rows are computed once, before the first round that reads them, and stand on disk
beside the rows from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.history import BATCH
from fastfeat.execute.shares import renumbering
from fastfeat.execute.transform import transform
from fastfeat.execute.window_columns import Bound, RowSource, WindowColumns, bound_of
from fastfeat.io.arrow import Table, pa
from fastfeat.io.budget import Budget
from fastfeat.io.columns.bits import Flags
from fastfeat.io.columns.decode import plain
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.frames import columns_table
from fastfeat.io.sources.scan import Scanned
from fastfeat.learn.chosen_rows import ChosenRows
from fastfeat.learn.learning import add_part, finished, part_features
from fastfeat.learn.part_rows import Known
from fastfeat.learn.part_state import PartState
from fastfeat.learn.round import Learning
from fastfeat.plan.lower.task_graph import functions_of_rows


@dataclass(frozen=True, slots=True, eq=False)
class RowsInPasses:
    """Rows that are learnt from, which are read again in each pass.

    Args:
        dataset: the rows.
        functions: those of other rows, as columns.
        later: those that features of rows read that nothing is learnt from.
        chosen: which rows are given to fit, and learnt from; None where all are.
    """

    dataset: Dataset
    functions: WindowColumns
    later: WindowColumns
    chosen: ChosenRows | None = None

    def begin(self, learning: Learning) -> PartState:
        """Return the state of no rows in a round, whose functions of other rows are there then.

        Args:
            learning: the round.

        Raises:
            FastfeatError: as `Plan.fit`.
        """
        self.functions.make(_bound(learning), [*learning.functions, *learning.ready_functions])
        known = Known(self.functions.of_rows(learning.functions, 0, 0))
        return add_part(learning, learning.empty, range(0), None, known=known)

    def add(self, learning: Learning, scanned: Scanned, state: PartState) -> PartState:
        """Return the state of a round with some rows more.

        Args:
            learning: the round.
            scanned: the rows.
            state: that of the rows before them.
        """
        first, table = scanned.first_row, scanned.table
        flags = None if self.chosen is None else self.chosen.of(first, table.num_rows).learnt
        learnt = self._part(learning, table, first, state.n_rows, flags)
        return add_part(learning, learnt.table, learnt.rows, state, known=learnt.known)

    def features(self, learning: Learning, scanned: Scanned) -> Any:
        """Return the features of some rows, once all is learnt: out of fold where they were.

        Rows that are not given to fit have none.

        Args:
            learning: after its last round.
            scanned: the rows.
        """
        self.functions.make(_bound(learning), learning.functions)
        first, table = scanned.first_row, scanned.table
        if self.chosen is None:
            part = self._part(learning, table, first, first, None)
            return part_features(learning, table, part.rows, "arrow", known=part.known)
        flags, n_before = self.chosen.of(first, table.num_rows), self.chosen.n_learnt_before(first)
        part = self._part(learning, table, first, n_before, flags.learnt)
        own = part_features(learning, part.table, part.rows, "arrow", known=part.known)
        others = flags.given & ~flags.learnt
        if not others.any():
            return own
        rest = self._later_features(learning, table, first, others)
        kept = list(learning.prepared.plan.keep)  # perhaps of types that Arrow takes no rows of
        both = pa.concat_tables([one.drop_columns(kept) for one in (own, rest)])
        places = np.concatenate([np.flatnonzero(flags.learnt), np.flatnonzero(others)])
        features = both.take(pa.array(np.argsort(places)))
        given = table.select(kept).filter(pa.array(flags.given))
        for name in kept:
            features = features.append_column(given.schema.field(name), given.column(name))
        return features

    def later_features(
        self, learning: Learning, scanned: Scanned, places: NDArray[np.int64] | None = None
    ) -> Table:
        """Return the features of rows that are given to fit, as those of later rows.

        Args:
            learning: after its last round.
            scanned: the rows, and others among them.
            places: of some among those given, ascending; None for all.
        """
        first, n_rows = scanned.first_row, int(scanned.table.num_rows)
        given: Flags = np.ones(n_rows, np.bool_)
        if self.chosen is not None:
            given = self.chosen.of(first, n_rows).given
        flags = given
        if places is not None:
            flags = np.zeros(n_rows, np.bool_)
            flags[np.flatnonzero(given)[places]] = True
        pairs = zip(scanned.table.column_names, scanned.table.columns, strict=True)
        table = columns_table({name: plain(column) for name, column in pairs}, n_rows)
        return self._later_features(learning, table, first, flags)

    def _later_features(self, learning: Learning, table: Table, first: int, flags: Flags) -> Table:
        """Return the features of rows that nothing is learnt from: as of later rows."""
        fitted, tables = finished(learning), learning.prepared.tables
        functions = functions_of_rows(fitted.schedule)
        self.later.make(bound_of(fitted, tables, "cpu"), functions)
        numbers = first + np.flatnonzero(flags)
        made = self.later.of_rows(functions, first, table.num_rows)
        mask = pa.array(flags)
        known = {node: column.filter(mask) for node, column in made.items()}
        with renumbering(numbers[:0], numbers):
            rows = CallRows(table.filter(mask), history=BATCH, tables=tables)
            return transform(fitted, rows, known=known)

    def _part(
        self, learning: Learning, table: Table, first: int, n_before: int, flags: Flags | None
    ) -> _Part:
        """Return the rows of a table that are learnt from, with what comes with them.

        Args:
            learning: the round.
            table: the rows.
            first: the number of the first one.
            n_before: how many rows before it are learnt from.
            flags: which are learnt from; None for all.
        """
        made = self.functions.of_rows(learning.functions, first, table.num_rows)
        if flags is None:
            return _Part(table, range(n_before, n_before + table.num_rows), Known(made))
        mask, numbers = pa.array(flags), first + np.flatnonzero(flags)
        known = Known({node: column.filter(mask) for node, column in made.items()}, numbers)
        return _Part(table.filter(mask), range(n_before, n_before + len(numbers)), known)


class _Part(NamedTuple):
    """Rows that are learnt from.

    Args:
        table: the rows.
        rows: their numbers among those that are learnt from.
        known: what comes with them.
    """

    table: Table
    rows: range
    known: Known


def rows_in_passes(
    dataset: Dataset, history: Dataset | str | None, budget: Budget, folder: Path | None = None
) -> RowsInPasses:
    """Return rows before the first pass.

    Args:
        dataset: the rows.
        history: earlier rows.
        budget: for what is read at a time.
        folder: where files without names go; None for that of the system.
    """
    source = RowSource(dataset, history, budget.table_bytes, None, folder)
    return RowsInPasses(dataset, WindowColumns(source), WindowColumns(source))


def _bound(learning: Learning) -> Bound:
    """Return the types and values that a round binds functions of other rows to."""
    prepared = learning.prepared
    return Bound(
        prepared.typed.types,
        prepared.schema,
        prepared.schemas,
        prepared.zones,
        learning.learnt,
        prepared.tables,
        (),
        prepared.told,
        True,
        backend_named("cpu"),
    )
