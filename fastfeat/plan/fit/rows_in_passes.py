"""Rows that are learnt from in passes, and what comes with them: what they see of other rows.

Functions of other rows are computed once, before the first round that reads them, and stand on disk
beside the rows from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastfeat.backends import backend_named
from fastfeat.io.budget import Budget
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.scan import Scanned
from fastfeat.plan.fit.learning import NOTHING, Known, add_part, part_features
from fastfeat.plan.fit.part_state import PartState
from fastfeat.plan.fit.round import Learning
from fastfeat.plan.run.window_columns import Bound, RowSource, WindowColumns


@dataclass(frozen=True, slots=True, eq=False)
class RowsInPasses:
    """Rows that are learnt from, which are read again in each pass.

    Args:
        dataset: the rows.
        functions: those of other rows, as columns.
    """

    dataset: Dataset
    functions: WindowColumns

    def begin(self, learning: Learning) -> PartState:
        """Return the state of no rows in a round, whose functions of other rows are there then.

        Args:
            learning: the round.

        Raises:
            FastfeatError: as `Plan.fit`.
        """
        self.functions.make(_bound(learning), [*learning.functions, *learning.ready_functions])
        known = Known(self.functions.of_rows(learning.functions, 0, 0))
        return add_part(learning, learning.prepared.table, range(0), None, known=known)

    def add(self, learning: Learning, scanned: Scanned, state: PartState) -> PartState:
        """Return the state of a round with some rows more.

        Args:
            learning: the round.
            scanned: the rows.
            state: that of the rows before them.
        """
        rows, known = self._known(learning, scanned)
        return add_part(learning, scanned.table, rows, state, known=known)

    def features(self, learning: Learning, scanned: Scanned) -> Any:
        """Return the features of some rows, once all is learnt: out of fold.

        Args:
            learning: after its last round.
            scanned: the rows.
        """
        self.functions.make(_bound(learning), learning.functions)
        rows, known = self._known(learning, scanned)
        return part_features(learning, scanned.table, rows, "arrow", known=known)

    def _known(self, learning: Learning, scanned: Scanned) -> tuple[range, Known]:
        """Return the numbers of some rows, and what comes with them."""
        rows = range(scanned.first_row, scanned.first_row + scanned.table.num_rows)
        if not learning.functions:
            return rows, NOTHING
        return rows, Known(self.functions.of_rows(learning.functions, rows.start, len(rows)))


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
    return RowsInPasses(dataset, WindowColumns(source))


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
