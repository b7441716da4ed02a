"""Tasks of windows: requests to a backend for functions over the rows in each row's window.

The functions below the tasks define their results in plain Python, with columns as lists; backends
must return the same. `past` is the rows that windows see, in the order of their columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.engine.reference import run
from fastfeat.engine.tasks import Task
from fastfeat.io.columns import strings
from fastfeat.progress import report_progress
from fastfeat.steps.windows import table_rows
from fastfeat.steps.windows.rows import RowOrder, WindowRequest, check_order, result_over, sort_rows
from fastfeat.steps.windows.rows import over as values_over
from fastfeat.steps.windows.rows import over_rows as values_over_rows


@dataclass(frozen=True, slots=True)
class WindowTask(Task[list[Any]]):
    """A request for functions over windows: the result of each is an Arrow array or a DeviceArray.

    Results are for the rows from `first_row` on; earlier rows are history. The task fails if a
    history row is later than another row of its entity, even without any function. A mixed past is
    not checked.
    """

    past: RowOrder
    asked: Sequence[WindowRequest]
    first_row: int


@dataclass(frozen=True, slots=True)
class TiesTask(Task[int]):
    """A request for the number of rows that share their time with another row of their entity.

    `past` has no tie. Ties among the rows before `first_row` are not counted.
    """

    past: RowOrder
    first_row: int


@dataclass(frozen=True, slots=True)
class TableWindowTask(Task[list[Any]]):
    """A request for functions over windows of a table: the result of each is an Arrow array.

    `past` has the rows of the table, `query` the rows of the data to compute values for.
    """

    past: RowOrder
    asked: Sequence[WindowRequest]
    query: RowOrder


def over(past: RowOrder, asked: Sequence[WindowRequest], first_row: int) -> list[Any]:
    """Return the results of each function as an Arrow array, for the rows from `first_row` on."""
    times, keys, tie = ordering(past)
    order = sort_rows(times, past.dtype, keys, tie, len(times))
    if not past.is_mixed:
        check_order(order, first_row)
    found: list[Any] = []
    for which, one in enumerate(asked):
        report_progress(f"window function {which + 1} of {len(asked)}")
        found.append(
            run.column_of_values(
                values_over(order, with_python_values(one), which, first_row), result_over(one)
            )
        )
    return found


def n_tied(past: RowOrder, first_row: int) -> int:
    """Return the number of rows that share their time with another row of their entity.

    Ties among the rows before `first_row` are not counted.
    """
    times, keys, tie = ordering(past)
    order = sort_rows(times, past.dtype, keys, tie, len(times))
    found = 0
    for members in order.rows:
        for _, rows in groupby(members, key=times.__getitem__):
            n_before, n = 0, 0
            for row in rows:
                n_before, n = n_before + (row < first_row), n + 1
            found += (n if n > 1 else 0) - (n_before if n_before > 1 else 0)
    return found


def over_at(past: RowOrder, asked: WindowRequest, which: int, rows: Sequence[int]) -> Any:
    """Return the results of a function over windows as an Arrow array, for the given row numbers.

    `which` is the index of the request, for errors. Raises OverFailed if a value does not fit its
    type, with the index in `rows` of its row.
    """
    times, keys, tie = ordering(past)
    order = sort_rows(times, past.dtype, keys, tie, len(times))
    return run.column_of_values(
        values_over_rows(order, with_python_values(asked), which, rows), result_over(asked)
    )


def over_table(past: RowOrder, asked: Sequence[WindowRequest], query: RowOrder) -> list[Any]:
    """Return the results of each function over windows of a table as an Arrow array.

    `past` and `asked` have columns of the table. `query` has the times and keys of the rows to
    compute values for.
    """
    times, keys, tie = ordering(past)
    table = table_rows.rows_of_table(times, past.dtype, keys, past.key_dtypes, tie)
    own, own_keys, _ = ordering(query)
    moments = table_rows.moments_of(own, query.dtype, own_keys, query.key_dtypes)
    return [
        run.column_of_values(
            table_rows.over_table(table, past.dtype, with_python_values(one), which, moments),
            result_over(one),
        )
        for which, one in enumerate(asked)
    ]


def ordering(past: RowOrder) -> tuple[list[Any], list[Any], list[Any] | None]:
    """Return, as lists, the columns that order rows: times, keys and tie."""
    keys = [[None if k != k else k for k in strings.contents_of(key)] for key in past.keys]
    tie = None if past.tie is None else strings.contents_of(past.tie)
    return run.stored_values(past.times, past.dtype), keys, tie


def with_python_values(asked: WindowRequest) -> WindowRequest:
    """Return the request with its column as a Python list; NaN becomes None."""
    values = run.stored_values(asked.values, asked.dtype)
    return replace(asked, values=[None if value != value else value for value in values])
