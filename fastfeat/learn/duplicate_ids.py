"""Training rows that repeat the `row_id` of an earlier row: counted in memory or in files."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfeat.backends import Backend
from fastfeat.errors import RowsRepeated, WarningHistory, counted, warn
from fastfeat.execute import encoded_rows as rows_encoded
from fastfeat.execute import row_identity, shares
from fastfeat.io.sources import scan as scanning
from fastfeat.plan.declare.declaration import Declaration

if TYPE_CHECKING:
    from fastfeat.io.budget import Budget
    from fastfeat.io.sources.dataset import Dataset

_MOST_SHARES = 256


def warn_of_ids(plan: Declaration, table: Any, backend: Backend, told: WarningHistory) -> None:
    """Warn of rows of the data that repeat the `row_id` of an earlier row.

    With windows over the rows, repeated ids have raised an error before. Rows on a device are
    compared there. Raises InvalidData for a row without an id, and for rows of one id that differ
    in columns that the plan reads; raises TypeMismatch for a column that cannot be an id.
    """
    row_id = plan.row_id
    if row_id is None or plan.history_columns:
        return
    if row_id not in table.column_names:
        return
    read = dict.fromkeys((*plan.columns, *plan.label_sources))
    columns = [name for name in read if name in table.column_names]
    n_repeats, row = row_identity.check_alike(row_id, table, columns, backend=backend)
    if n_repeats:
        warn_of_repeats(row_id, n_repeats, table.num_rows, row, told)


def warn_of_ids_in_passes(
    plan: Declaration, dataset: Dataset, budget: Budget, folder: Path | None, told: WarningHistory
) -> None:
    """Warn like `warn_of_ids`; the data is read once and its rows partitioned by id into files.

    The plan has no windows. `folder` takes unnamed files; None for the system's folder. It raises
    the errors of `warn_of_ids`.
    """
    row_id = plan.row_id
    if row_id is None or row_id not in dataset.schema.names:
        return
    read = dict.fromkeys((row_id, *plan.columns, *plan.label_sources))
    columns = [name for name in read if name in dataset.schema.names]
    n_bytes, n_rows, n_repeats, first = dataset.bytes_of(columns), 0, 0, -1
    n_shares = min(_MOST_SHARES, 1 + 8 * n_bytes // max(1, budget.spare()))
    with ExitStack() as stack:
        writer = shares.ShareWriter(n_shares, folder, stack)
        with closing(scanning.scan(dataset, columns, budget.table_bytes)) as pieces:
            for piece in pieces:
                table, begin, n = piece.table, piece.first_row, int(piece.table.num_rows)
                row_identity.check_present(row_id, table, begin)
                numbers = np.arange(begin, begin + n)
                writer.add(
                    table,
                    rows_encoded.id_hashes(table, row_id).astype(np.int64) % n_shares,
                    numbers,
                )
                n_rows += n
        if not n_rows:
            return
        for file in writer.ended():
            table, numbers = shares.read_share(file)
            found, row = row_identity.check_alike(row_id, table, columns, numbers)
            if row is not None and found:
                first = row if first < 0 else min(first, row)
            n_repeats += found
    if n_repeats:
        warn_of_repeats(row_id, n_repeats, n_rows, first, told)


def warn_of_repeats(
    row_id: str, n_repeats: int, n_rows: int, row: int | None, told: WarningHistory
) -> None:
    """Warn of rows that repeat the id of an earlier row.

    `row` is the number of the first such row; None if unknown.
    """
    first = "" if row is None else f", first row {row},"
    warn(
        f"data: {n_repeats:,} of {counted(n_rows, 'row')}{first} have the {row_id!r} of "
        "an earlier row, and equal it in all columns that the plan reads. By row_id= they are the "
        "same row: folds keep them together, but fit learns from each of them",
        RowsRepeated,
        told,
    )
