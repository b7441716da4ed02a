"""One part of the training rows as a batch for a round: checked, numbered, with its history.

A part is a chunk of the rows; a round is one pass over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.aggregates import is_fold_by_number
from fastfeat.engine.learner import Rows
from fastfeat.errors import InvalidData, InvalidPlan, counted
from fastfeat.execute.batch import Batch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.entities import SHARE, share_plan
from fastfeat.execute.fitted import InputSchema
from fastfeat.execute.history import history_table, with_past
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.row_identity import check_present
from fastfeat.execute.transform import transform
from fastfeat.execute.values import place_folds
from fastfeat.io.arrow import Table
from fastfeat.io.columns import conform
from fastfeat.io.columns.types import known_type
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Node
from fastfeat.learn.round import LearningRound
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.plan.lower.schedule import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class AttachedColumns:
    """Columns and numbers that come with a part of the rows.

    Args:
        columns: Functions of other rows, each as a column of the part.
        numbers: Row numbers for messages, ascending; None to use the numbers that divide rows into
            folds.
    """

    columns: Mapping[Node, Any] = field(default_factory=dict[Node, Any])
    numbers: NDArray[np.int64] | None = None


NOTHING = AttachedColumns()


def shares_of_rows(learning: LearningRound, data: Any, n_shares: int) -> NDArray[np.int64]:
    """Return the partition number of each row, 0 to `n_shares - 1`; an entity's rows have the same.

    A part of `learning` must have all rows of its entities. `data` has the columns of the keys.
    """
    prepared, columns = learning.prepared, columns_of(learning.keys)
    table = read_columns(data, columns, features=prepared.plan.nodes)
    if not columns:
        return np.arange(table.num_rows, dtype=np.int64) % np.int64(n_shares)
    zones = prepared.zones
    known = ("share", n_shares)
    if known not in learning.shared:
        learning.shared[known] = share_plan(
            learning.keys, n_shares, prepared.schema, prepared.schemas, zones, {}
        )
    found: Table = transform(learning.shared[known], CallRows(table, tables=prepared.tables))
    shares: NDArray[np.uint32] = found.column(SHARE).fill_null(0).to_numpy()
    return shares.astype(np.int64)


def batch_of_part(
    learning: LearningRound,
    data: Any,
    given: Rows | None,
    schedule: Schedule,
    known: AttachedColumns = NOTHING,
    n_before: int = 0,
) -> Batch:
    """Return a part of the rows as a batch. Of its columns, only folds by row number are computed.

    `given` are the row numbers in the whole data; None if there are none, and messages then count
    from `n_before`, the number of rows before the part. `schedule` has the tasks that will read the
    batch.
    """
    prepared = learning.prepared
    table = read_columns(data, learning.columns, features=prepared.plan.nodes)
    check_numbers(given, table.num_rows)
    rows = range(n_before, n_before + table.num_rows) if given is None else given
    numbers = rows if known.numbers is None else known.numbers
    _check_types(table, prepared.schema, numbers)
    batch = replace(
        prepared.rows,
        table=table,
        learnt=dict(learning.learnt),
        made={**prepared.rows.made, **known.columns},
        orders={},
        past=None,
        places=None,
        first_number=int(numbers[0]) if len(numbers) else 0,
        numbers=numbers,
        programs=learning.programs,
        shared=learning.shared,
    )
    read = dict.fromkeys(place for task in schedule.tasks for place in task.reads)
    origins = [schedule.columns[place].origin for place in read]
    if given is None and any(map(is_fold_by_number, origins)):
        raise InvalidPlan(
            "rows are divided into folds by their number, but rows=None says that they have no "
            "numbers. Name another way to divide them: Plan(row_id=), fold_by=, fold= or time="
        )
    place_folds(batch, rows, origins)
    row_id = prepared.plan.row_id
    if row_id is not None and row_id in table.column_names:
        check_present(row_id, table, batch.first_number)
    return batch


def check_numbers(given: Rows | None, n_rows: int) -> None:
    """Raise InvalidData unless there is one number per row of a part.

    `given` may be None for rows without numbers.
    """
    if given is not None and len(given) != n_rows:
        raise InvalidData(
            f"rows= has {counted(len(given), 'row number')}, but the part has "
            f"{counted(n_rows, 'row')}. Pass the number of each row, such as range(first, first + "
            "n_rows)"
        )


def after_history(learning: LearningRound, batch: Batch, history: Any) -> Batch:
    """Return the batch with history rows that its windows see."""
    if history is None:
        return batch
    read = set(learning.columns)
    columns = [name for name in learning.prepared.plan.training_past_columns if name in read]
    return with_past(batch, history_table(history, columns, "cpu"), columns)


def _check_types(table: Any, types: InputSchema, rows: Rows) -> None:
    """Raise for the first value that does not have its column's type, with its row number.

    Columns that already have their type, which is usual, are not inspected.
    """
    for name in table.column_names:
        dtype, column = types.get(name), table.column(name)
        if not isinstance(dtype, DType) or known_type(column.type) == dtype:
            continue
        if not (dtype.is_number or dtype.is_temporal):
            continue
        numbers = np.asarray(rows, np.int64)
        begins = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
        for first, stop in pairwise(begins):
            conform.conform(column.slice(first, stop - first), name, dtype, int(rows[first]))
