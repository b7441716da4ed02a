"""Features of data read in chunks of rows ("pieces"), equal to those of one table of all rows."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidPlan
from fastfeat.execute import sparse
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.encoded_rows import warn_encoded_files
from fastfeat.execute.entities import stages_of
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import IGNORE, check_option, guard_of, guarded_table_columns, judge
from fastfeat.execute.history import BATCH
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.lookup_tables import Tables, read_tables
from fastfeat.execute.memory_needs import needs_of_call
from fastfeat.execute.transform import transform
from fastfeat.execute.window_columns import (
    RowSource,
    WindowColumns,
    check_shared,
    history_of,
    window_context,
)
from fastfeat.io.arrow import Schema, pa, schema_with
from fastfeat.io.budget import Budget, budget_of, check_within, use_budget
from fastfeat.io.columns.types import row_bytes
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.scan import ScannedTable, scan, with_place_in_errors
from fastfeat.plan.lower.outputs import check_result
from fastfeat.plan.lower.task_graph import functions_of_rows

MOST_BYTES = 32 << 20
"""Bytes of a piece. With 64 MiB, 4M rows took no less time and 150 MiB more memory."""


@dataclass(frozen=True, slots=True)
class FeaturePieces:
    """A data set with features that are computed chunk by chunk.

    Args:
        dataset: The data.
        schema: Schema of the columns that are read.
        features: Returns the features of a piece.
        most_bytes: Returns the most bytes of rows to read at a time; called anew for each table.
        row_of: Returns the number of the data row with the k-th row of features, for data in which
            only selected rows have features; None if all rows have.
    """

    dataset: Dataset
    schema: Schema
    features: Callable[[ScannedTable], Any]
    most_bytes: Callable[[], int]
    row_of: Callable[[int], int] | None = None

    def of_all(self, start: int = 0) -> Generator[Any]:
        """Yield the features of all chunks of rows, in order.

        The first `start` rows of features are skipped.

        Raises:
            FastfeatError: From `features`; the message names the file of a row.
            OutOfMemory: The work exceeds its memory budget.
        """
        start = start if self.row_of is None else self.row_of(start)
        with closing(scan(self.dataset, self.schema.names, self.most_bytes, start=start)) as pieces:
            for piece in pieces:
                with with_place_in_errors(piece):
                    features = self.features(piece)
                check_within(_WORK)
                yield features

    def of_none(self) -> Any:
        """Return the features of a table without rows, for their columns and types."""
        return self.features(ScannedTable(pa.Table.from_batches([], self.schema), 0, ()))


def pieces_of(
    dataset: Dataset,
    columns: Sequence[str],
    if_there: Sequence[str],
    features: Callable[[ScannedTable], Any],
    given: Schema,
    most_bytes: int | Callable[[], int] = MOST_BYTES,
) -> FeaturePieces:
    """Return a data set with features that the function `features` computes, chunk by chunk.

    Args:
        dataset: The data.
        columns: Columns to read.
        if_there: Further columns, which may be absent.
        features: Returns the features of a piece.
        given: Schema of the features.
        most_bytes: Most bytes of a piece or of its features, whichever is larger; a function is
            called anew for each piece.

    Raises:
        UnknownColumn: The data lacks a column.
        TypeMismatch: Files differ in a column that is read.
    """
    dataset.check([*columns, *if_there])
    dataset.check_folders(columns)
    read_columns(pa.Table.from_batches([], dataset.schema), columns)
    there = set(dataset.schema.names)
    names = [name for name in dict.fromkeys([*columns, *if_there]) if name in there]
    schema = schema_with(dataset.schema, names)
    width, most_width = row_bytes(schema), max(row_bytes(schema), row_bytes(given))

    def n_bytes() -> int:
        most = most_bytes if isinstance(most_bytes, int) else most_bytes()
        return max(1, most * width // most_width)

    return FeaturePieces(dataset, schema, features, n_bytes)


def pieces_of_later_rows(
    fitted: Fitted,
    rows: CallRows,
    *,
    to: str = "arrow",
    categories: bool = False,
    most_bytes: int | Callable[[], int] = MOST_BYTES,
    n_shares: int | None = None,
    folder: Path | None = None,
    on_violation: str | None = None,
) -> FeaturePieces:
    """Return a data set with features that a fitted plan computes chunk by chunk.

    Args:
        fitted: The plan.
        rows: All rows of the data and of a history, as `dataset_of` accepts them; tables are read
            here, once.
        to: The form of the features, as for `FittedPlan.transform`.
        categories: Whether codes become categories.
        most_bytes: Most bytes of a piece or of its features; a function is called for each piece.
        n_shares: Number of shares for windows that see other rows; None to choose it by size.
        folder: Folder of the temporary files for shares; None for the system's.
        on_violation: Action for rows that break a rule of the contract; None for each rule's own.

    Raises:
        ContractBroken: Rows break a rule.
        InvalidPlan: The plan's functions cannot be computed in shares, or it has windows and
            `row_id=`.
        FastfeatError: The data cannot be read, or its columns do not fit the plan.
    """
    dtype = fitted.declaration.dtype
    check_result(to, None, rows.backend, categories=categories, dtype=dtype)
    check_option(on_violation, {"quarantine": _NO_QUARANTINE})
    guard = None if on_violation == IGNORE else guard_of(fitted)
    dataset = dataset_of(rows.data)
    known = known_tables(fitted, rows.tables)
    warn_encoded_files(fitted.encoded, dataset.identity, fitted.told)

    def judged(piece: ScannedTable, history: str | None = None) -> CallRows:
        given = CallRows(piece.table, history=history, tables=known, backend=rows.backend)
        if guard is not None:
            judge(guard, given, on_violation=on_violation, first_row=piece.first_row)
        return given

    compute = partial(transform, fitted, to=to, categories=categories)

    def features(piece: ScannedTable) -> Any:
        return compute(judged(piece), first_row=piece.first_row)

    written = sparse.stored_schema(fitted) if to == "scipy" else fitted.schema
    columns = [*fitted.declaration.row_columns, *fitted.declaration.keep]
    columns += [] if guard is None else guard.columns
    if not fitted.declaration.past_columns:
        encoded = fitted.encoded
        ids = [] if encoded is None or encoded.row_id is None else [encoded.row_id[0]]
        return pieces_of(dataset, columns, ids, features, written, most_bytes)
    if fitted.declaration.row_id is not None:
        raise InvalidPlan(
            "this version cannot use the row_id= of a plan with windows when data is read in "
            "pieces. Read the data whole: fitted.transform(data, history=...)"
        )
    source = RowSource(dataset, history_of(rows.history), most_bytes, n_shares, folder)
    windows, bound = WindowColumns(source), window_context(fitted, known, rows.backend)
    functions = functions_of_rows(fitted.schedule)
    check_shared(fitted.nodes)
    dataset.check_passes(1 + len(stages_of(functions)))

    def windowed(piece: ScannedTable) -> Any:
        given = judged(piece, BATCH)
        first_row, made = piece.first_row, {}
        if piece.table.num_rows:
            windows.make(bound, functions)
            made = windows.of_rows(functions, first_row, piece.table.num_rows)
        return compute(given, known=made, first_row=first_row)

    return pieces_of(dataset, columns, (), windowed, written, most_bytes)


def budget_of_features(fitted: Fitted, rows: CallRows) -> Budget | None:
    """Return the memory budget for computing features of a `Dataset`; None without a limit.

    No row is read.

    Raises:
        InvalidConfig: `memory` is not a number of bytes.
        OutOfMemory: The budget has no room for the tables and for reading.
    """
    if rows.memory is None:
        return None
    declared = fitted.declaration
    columns = [*dict.fromkeys((*declared.row_columns, *declared.past_columns, *declared.keep))]
    needs = needs_of_call(rows.data, columns, rows.tables, guarded_table_columns(fitted))
    return budget_of(rows.memory, needs)


def known_tables(fitted: Fitted, tables: Tables) -> Tables:
    """Return the lookup tables as Arrow tables, so that work on them is reused between chunks."""
    columns = guarded_table_columns(fitted)
    return read_tables(tables, columns) if columns else tables


def pieces_within(pieces: FeaturePieces, budget: Budget | None) -> FeaturePieces:
    """Return the data set with features that are computed within a memory budget.

    Work is slower if memory is short. A chunk that exceeds the budget raises OutOfMemory.
    """
    if budget is None:
        return pieces
    compute = pieces.features

    def features(piece: ScannedTable) -> Any:
        with use_budget(budget):  # only here: between pieces this thread does the caller's work
            found = compute(piece)
            check_within(_WORK)
            return found

    return replace(pieces, features=features)


def bytes_within(budget: Budget | None) -> int | Callable[[], int]:
    """Return the bytes of rows to read at a time, or a function that reads them from the budget."""
    if budget is None:
        return MOST_BYTES
    return lambda: min(MOST_BYTES, budget.table_bytes())


_WORK = "computing features"
_NO_QUARANTINE = (
    "rows that are read in pieces cannot be set apart. Divide them first, "
    "contract.quarantine_to(rows, 'good/', 'bad/'), or write the features with transform_to"
)
