"""Training rows that are read in passes, with window functions over them.

Window functions and functions over later rows ("functions of other rows") are computed once, before
the first round that reads them, and stay on disk as columns of the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.history import BATCH
from fastfeat.execute.shares import renumbering
from fastfeat.execute.transform import transform
from fastfeat.execute.window_columns import RowSource, WindowColumns, WindowContext, window_context
from fastfeat.io.arrow import Table, pa
from fastfeat.io.budget import Budget
from fastfeat.io.columns.decode import plain
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.frames import columns_table
from fastfeat.io.sources.scan import ScannedTable
from fastfeat.learn.learning import add_part, finish_learning, part_features
from fastfeat.learn.part_rows import AttachedColumns
from fastfeat.learn.part_state import PartState
from fastfeat.learn.round import LearningRound
from fastfeat.learn.row_choice import ChosenRows
from fastfeat.plan.lower.task_graph import functions_of_rows


@dataclass(frozen=True, slots=True, eq=False)
class RowsInPasses:
    """The training rows of a data set, read again in each pass, with functions of other rows.

    Args:
        dataset: The rows.
        functions: Columns on disk of the functions of other rows, as fit reads them.
        later: The same as `transform` computes them, for rows that fit does not learn from.
        chosen: The rows given to fit, and those to learn from; None if both are all rows.
    """

    dataset: Dataset
    functions: WindowColumns
    later: WindowColumns
    chosen: ChosenRows | None = None

    def begin(self, learning: LearningRound) -> PartState:
        """Return the state of a round before any row, after computing its functions of other rows.

        Raises FastfeatError as `Plan.fit` does.
        """
        self.functions.make(_bound(learning), [*learning.functions, *learning.ready_functions])
        known = AttachedColumns(self.functions.of_rows(learning.functions, 0, 0))
        return add_part(learning, learning.empty, range(0), None, known=known)

    def add(self, learning: LearningRound, scanned: ScannedTable, state: PartState) -> PartState:
        """Return a round's state with a chunk of rows added; `state` has the rows before."""
        first, table = scanned.first_row, scanned.table
        flags = None if self.chosen is None else self.chosen.of(first, table.num_rows).learnt
        learnt = self._part(learning, table, first, state.n_rows, flags)
        return add_part(learning, learnt.table, learnt.rows, state, known=learnt.known)

    def features(self, learning: LearningRound, scanned: ScannedTable) -> Any:
        """Return the features of a chunk of rows after the last round.

        They are out of fold for rows that fit learned from. Rows that are not given to fit are left
        out.
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
        kept = list(learning.prepared.plan.keep)  # their types may not support taking rows in Arrow
        both = pa.concat_tables([one.drop_columns(kept) for one in (own, rest)])
        places = np.concatenate([np.flatnonzero(flags.learnt), np.flatnonzero(others)])
        features = both.take(pa.array(np.argsort(places)))
        given = table.select(kept).filter(pa.array(flags.given))
        for name in kept:
            features = features.append_column(given.schema.field(name), given.column(name))
        return features

    def later_features(
        self,
        learning: LearningRound,
        scanned: ScannedTable,
        places: NDArray[np.int64] | None = None,
    ) -> Table:
        """Return the features of the rows given to fit in a chunk, as `transform` computes them.

        `places` selects some of the given rows, ascending; None for all.
        """
        first, n_rows = scanned.first_row, int(scanned.table.num_rows)
        given: BoolArray = np.ones(n_rows, np.bool_)
        if self.chosen is not None:
            given = self.chosen.of(first, n_rows).given
        flags = given
        if places is not None:
            flags = np.zeros(n_rows, np.bool_)
            flags[np.flatnonzero(given)[places]] = True
        pairs = zip(scanned.table.column_names, scanned.table.columns, strict=True)
        table = columns_table({name: plain(column) for name, column in pairs}, n_rows)
        return self._later_features(learning, table, first, flags)

    def _later_features(
        self, learning: LearningRound, table: Table, first: int, flags: BoolArray
    ) -> Table:
        """Return the features of the flagged rows of a chunk, as `transform` computes them."""
        fitted, tables = finish_learning(learning), learning.prepared.tables
        functions = functions_of_rows(fitted.schedule)
        self.later.make(window_context(fitted, tables, "cpu"), functions)
        numbers = first + np.flatnonzero(flags)
        made = self.later.of_rows(functions, first, table.num_rows)
        mask = pa.array(flags)
        known = {node: column.filter(mask) for node, column in made.items()}
        with renumbering(numbers[:0], numbers):
            rows = CallRows(table.filter(mask), history=BATCH, tables=tables)
            return transform(fitted, rows, known=known)

    def _part(
        self,
        learning: LearningRound,
        table: Table,
        first: int,
        n_before: int,
        flags: BoolArray | None,
    ) -> _Part:
        """Return the rows of a chunk to learn from, with their functions of other rows and numbers.

        `first` is the number of the table's first row, and `n_before` the number of learnt rows
        before it. `flags` marks the rows to learn from; None for all.
        """
        made = self.functions.of_rows(learning.functions, first, table.num_rows)
        if flags is None:
            return _Part(table, range(n_before, n_before + table.num_rows), AttachedColumns(made))
        mask, numbers = pa.array(flags), first + np.flatnonzero(flags)
        known = AttachedColumns(
            {node: column.filter(mask) for node, column in made.items()}, numbers
        )
        return _Part(table.filter(mask), range(n_before, n_before + len(numbers)), known)


class _Part(NamedTuple):
    """A chunk of the rows to learn from.

    Args:
        table: The rows.
        rows: Their numbers, counted among the rows to learn from.
        known: Columns and numbers that come with them.
    """

    table: Table
    rows: range
    known: AttachedColumns


def rows_in_passes(
    dataset: Dataset, history: Dataset | str | None, budget: Budget, folder: Path | None = None
) -> RowsInPasses:
    """Return the rows of a data set as `RowsInPasses`, before the first pass.

    `budget` limits the rows read at a time. `folder` takes unnamed files; None for the system's
    folder.
    """
    source = RowSource(dataset, history, budget.table_bytes, None, folder)
    return RowsInPasses(dataset, WindowColumns(source), WindowColumns(source))


def _bound(learning: LearningRound) -> WindowContext:
    """Return the types and values for computing a round's functions of other rows."""
    prepared = learning.prepared
    return WindowContext(
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
