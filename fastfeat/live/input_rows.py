"""Conversion of rows that users pass to `Live` into tables with the columns of a state.

Late columns are filled in after a row is answered, such as labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastfeat.errors import FastfeatError, InvalidPlan
from fastfeat.execute.inputs import read_columns
from fastfeat.io.arrow import Table
from fastfeat.io.sources.read import column_names
from fastfeat.ir.dtypes import DType
from fastfeat.live.lower.row_tables import (
    is_one_row,
    rows_by_id,
    rows_table,
    with_time,
)
from fastfeat.live.state.state import LiveState


def list_input_types(state: LiveState) -> dict[str, DType]:
    """Return a dict of column name to type, for the columns that plans read from rows.

    The id column is left out while its type is unknown.
    """
    return {**state.types, **state.lowered.asked}


def one_row(state: LiveState, given: Any) -> Mapping[str, Any] | None:
    """Return the row if the user passed one row as a dict; None for any other form."""
    return given if is_one_row(given, list_input_types(state)) else None


def has_ids(state: LiveState, given: Any) -> bool:
    """Return whether the rows have the id column."""
    row_id = state.lowered.row_id
    if row_id is None:
        return False
    if isinstance(given, Mapping):
        return row_id in given
    names = column_names(given)
    return names is not None and row_id in names


def read_once(state: LiveState, given: Any, passed: Sequence[str]) -> Any:
    """Return the rows as passed, or read into a table if `passed` names pass-through columns.

    An input such as an Arrow reader can be read only once, but pass-through columns are read again
    for the result.
    """
    if not passed:
        return given
    row_id = state.lowered.row_id
    ids = [] if row_id is None else [row_id]
    return read_columns(given, (), [*list_input_types(state), *passed, *ids])


def add_time_column(
    state: LiveState, given: Any, at: Any, times: Sequence[str], passed: Sequence[str]
) -> Any:
    """Return rows with the time `at` in the one time column that they lack.

    Raises the errors of `row_tables.with_time`.
    """
    row_id = state.lowered.row_id
    others = [*passed, *([] if row_id is None else [row_id])]
    return with_time(given, at, list_input_types(state), times, others)


def table_of_rows(
    state: LiveState,
    given: Any,
    passed: Iterable[str] = (),
    *,
    has_ids: bool = True,
    if_there: Iterable[str] = (),
) -> Table:
    """Return rows as a table of the columns that plans read.

    Args:
        state: State that takes the rows.
        given: One row as a dict, or rows in any form that `FittedPlan.transform` takes.
        passed: Further columns that are passed through unchanged.
        has_ids: Whether the rows have the id column, if the plan names one.
        if_there: Columns that may be absent, in addition to late columns.

    Raises:
        UnknownColumn, TypeMismatch, InvalidData: See `row_tables.rows_table`.
    """
    lowered, types = state.lowered, list_input_types(state)
    row_id, others = lowered.row_id, list(passed)
    if row_id is not None and not has_ids:
        types.pop(row_id, None)
    elif row_id is not None and row_id not in types:
        others.append(row_id)
    return rows_table(given, types, [*late_columns(state), *if_there], others)


def table_of_history(state: LiveState, given: Any) -> Table:
    """Return a new state's history as a table; error messages begin with "history="."""
    try:
        return table_of_rows(state, given, if_there=state.lowered.asked)
    except FastfeatError as error:
        raise type(error)(f"history=: {error}") from error


def table_by_id(state: LiveState, given: Any, columns: Iterable[str]) -> Table:
    """Return a table of the id column, and of those columns in `columns` that the user passed.

    This is for outcomes and corrections. Raises `InvalidPlan` if no plan names the id column; other
    errors as in `row_tables.rows_by_id`.
    """
    row_id = state.lowered.row_id
    if row_id is None:
        raise InvalidPlan(
            "outcomes and corrections find rows by id, but no plan names the id column. Name it: "
            "Plan(..., row_id='id')"
        )
    wanted = set(columns)
    types = {name: dtype for name, dtype in state.types.items() if name in wanted}
    types.pop(row_id, None)
    return rows_by_id(given, types, row_id, state.types.get(row_id))


def late_columns(state: LiveState) -> list[str]:
    """Return the late columns of the log, in the order of the log."""
    return [name for name in state.lowered.columns if name in state.lowered.late]
