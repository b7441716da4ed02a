"""Rows to check, in memory, in files or on workers: fits that count, and searches for rows.

A check counts the rows that break a rule by a fit: the count is a learnt sum over a bool that says
whether a row breaks the rule. So it is equal for any split of the rows, number of threads, and
backend.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.errors import FastfeatWarning
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import BATCH, is_batch
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.lookup_tables import read_tables, table_schemas
from fastfeat.execute.memory_needs import needs_of_call
from fastfeat.execute.pieces import pieces_of_later_rows
from fastfeat.execute.transform import transform
from fastfeat.execute.window_columns import history_of
from fastfeat.expr import Expr
from fastfeat.io.arrow import Table
from fastfeat.io.budget import Budget, budget_of, budget_of_free
from fastfeat.io.columns.types import UnsupportedType, schema_of
from fastfeat.io.host_memory import free_memory
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.read import may_be_large
from fastfeat.io.sources.scan import n_rows_of
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Node
from fastfeat.keep.learning import learning_record
from fastfeat.learn.fit import fit
from fastfeat.learn.learning import finish_learning
from fastfeat.learn.passes import learn_in_passes, with_scratch
from fastfeat.learn.rows_in_passes import rows_in_passes
from fastfeat.plan.declare.bind import TableTypes
from fastfeat.plan.declare.declaration import Declaration, declare


@dataclass(frozen=True, slots=True, eq=False)
class RowsElsewhere:
    """Rows in the processes of workers (of Ray or Spark, for example), which have no row numbers.

    Args:
        learn: Fits a plan on all of them.
        find: Returns the rows for which a given feature is true, up to a maximum number, with the
            columns that the plan passes through.
    """

    learn: Callable[[Declaration], Fitted]
    find: Callable[[Fitted, str, int | None], Table]


@dataclass(frozen=True, slots=True, eq=False)
class CheckedRows:
    """Rows to check, with the history and the tables that rules read.

    Args:
        data: A table, in memory or on a device, or a data set.
        schema: Types of the requested columns that are present.
        n_rows: Number of rows.
        history: Earlier rows; None without any.
        tables: Lookup tables, as Arrow tables.
        backend: Name of the backend.
        budget: Memory budget, for a data set.
        elsewhere: Access to rows that workers hold; None for other rows.
    """

    data: Any
    schema: Mapping[str, DType | UnsupportedType]
    n_rows: int
    history: Any
    tables: Mapping[str, Any]
    backend: str
    budget: Budget | None
    elsewhere: RowsElsewhere | None = None

    @property
    def schemas(self) -> TableTypes:
        """The column types of each lookup table."""
        return table_schemas(self.tables)


def read_rows_to_check(
    rows: CallRows, columns: Sequence[str], table_columns: Sequence[Any]
) -> CheckedRows:
    """Return rows to check; they are read now, unless they are too large for memory.

    Only those of the `columns` that the data has are read. `rows` must cover the whole data;
    `memory` applies to the CPU backend only.

    Raises:
        InvalidData: The data must be read in passes, but can be read only once.
        FastfeatError: The data cannot be read, or a lookup table is missing.
    """
    data, memory, backend, budget = rows.data, rows.memory, rows.backend, None
    if memory is not None:
        data = dataset_of(data)
        budget = budget_of(memory, needs_of_call(data, columns, rows.tables, list(table_columns)))
    read = read_tables(rows.tables, list(table_columns))
    past = None if is_batch(rows.history) else rows.history
    if memory is not None or (backend == "cpu" and may_be_large(data)):
        dataset, free = dataset_of(data), free_memory()
        budget = budget or budget_of_free(free)
        if memory is not None or (free is not None and dataset.bytes_of(columns) >= free):
            dataset.check_passes(2)  # to number, count and find rows
            dataset.check(columns)
            dataset.check_folders(columns)
            types, n_rows = schema_of(dataset.schema), n_rows_of(dataset)
            schema = {name: types[name] for name in columns if name in types}
            return CheckedRows(dataset, schema, n_rows, past, read, backend, budget)
    table = read_columns(data, [], columns)
    return CheckedRows(table, schema_of(table), table.num_rows, past, read, backend, None)


def learn_expressions(rows: CheckedRows, expressions: Mapping[str, Expr]) -> Fitted:
    """Return a plan with the given expressions as features, fitted on all rows to check.

    Raises like `Plan.fit`. Warnings of fit are suppressed: the rules report missing values
    themselves.
    """
    plan = _declared(tuple((name, of.node) for name, of in expressions.items()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        if rows.elsewhere is not None:
            return rows.elsewhere.learn(plan)
        if rows.budget is not None:
            return _learnt_in_passes(rows, plan, rows.budget)
        return fit(plan, CallRows(rows.data, None, rows.history, rows.tables, rows.backend))


def _learnt_in_passes(rows: CheckedRows, plan: Declaration, budget: Budget) -> Fitted:
    """Return a plan fitted on rows in a data set, which is read in passes.

    Windows also see the history, and rows of the data set that were read in an earlier piece.
    """
    earlier = history_of(rows.history) if plan.history_columns else None
    schema = earlier.schema if isinstance(earlier, Dataset) else None
    with with_scratch(rows.data) as copied:
        learning = learning_record(
            plan, copied.schema, rows.tables, past=schema, has_functions=True
        )
        copied.check_passes(learning.most_rounds + learning.n_function_passes)
        read = rows_in_passes(copied, earlier, budget)
        return finish_learning(learn_in_passes(learning, read, budget))


def features_of(rows: CheckedRows, fitted: Fitted) -> Iterator[Table]:
    """Yield tables with features and columns that are passed through, in the order of the rows."""
    past = BATCH if rows.history is None else rows.history
    given = CallRows(rows.data, None, past, rows.tables, rows.backend)
    if rows.budget is None:
        yield transform(fitted, given)
        return
    pieces = pieces_of_later_rows(fitted, given, most_bytes=rows.budget.table_bytes)
    yield from pieces.of_all()


@lru_cache(maxsize=32)
def _declared(expressions: tuple[tuple[str, Node], ...]) -> Declaration:
    """Return a plan with the given expressions as features, cached because it takes time."""
    return declare({name: Expr((node,)) for name, node in expressions})
