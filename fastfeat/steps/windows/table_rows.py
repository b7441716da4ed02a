"""The step table_order, and functions of the table rows in a window, with their definitions.

Table rows are ordered by key and time. A query row is a row of the data; its window has table rows
only, counted from the query row's time. A window that is closed at its end ("right" or "both")
includes all table rows at exactly the time of that end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat_kernels.records import dataclass
from fastfeat_kernels.windows.statistic import WindowView

from fastfeat.io.columns.types import tick_ns, tick_of
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call
from fastfeat.ir.scope import table_columns_of
from fastfeat.steps.step import Argument, ReferenceValues, StepFunction
from fastfeat.steps.tables.rows import check_moments, comparable_values, instants
from fastfeat.steps.windows.rows import (
    OF_ORDERS,
    OVER_FUNCTIONS,
    WindowRequest,
    check_tie,
    first_place,
    order_of_time,
    sort_rows,
    value_of,
)
from fastfeat.steps.windows.texts import order_text

TableRowsByKey = Mapping[tuple[Any, ...], tuple[Sequence[int], Sequence[int]]]
"""For each key of a table, the instants of its rows in order, and their row numbers."""


@dataclass(frozen=True, slots=True)
class QueryRows:
    """The query rows: rows of the data for which values over the table are computed.

    Args:
        keys: Key of each row in comparable form; None if a part is missing.
        times: Stored time of each row; None if missing.
        dtype: Type of the times.
    """

    keys: Sequence[tuple[Any, ...] | None]
    times: ReferenceValues
    dtype: DType


def moments_of(
    times: ReferenceValues,
    dtype: DType,
    keys: Sequence[ReferenceValues],
    key_dtypes: Sequence[DType],
) -> QueryRows:
    """Return the query rows, from their columns of times and keys."""
    columns = [comparable_values(*pair) for pair in zip(keys, key_dtypes, strict=True)]
    together = [tuple(column[row] for column in columns) for row in range(len(times))]
    return QueryRows([None if None in key else key for key in together], times, dtype)


def rows_of_table(
    times: ReferenceValues,
    dtype: DType,
    keys: Sequence[ReferenceValues],
    key_dtypes: Sequence[DType],
    tie: ReferenceValues | None,
) -> TableRowsByKey:
    """Return, for each key of a table, its rows sorted by time.

    Rows of equal times are ordered by the tie, then by input order.
    """
    columns = [comparable_values(*pair) for pair in zip(keys, key_dtypes, strict=True)]
    order = sort_rows(times, dtype, columns, tie, len(times))
    at = instants(times, dtype)
    return {
        tuple(column[rows[0]] for column in columns): ([at[row] for row in rows], rows)
        for rows in order.rows
    }


def over_table(
    table: TableRowsByKey, time: DType, asked: WindowRequest, which: int, query: QueryRows
) -> list[Any]:
    """Return the value of a function over a window of a table for each query row.

    `asked` has its table column as a list; `which` is the index of the request, for errors. Raises
    OverFailed if a value does not fit its type.
    """
    found: list[Any] = []
    finer = finer_time(time, query.dtype)
    if OVER_FUNCTIONS[asked.function].of_times:
        values = _in_ticks(asked.values, asked.dtype, finer)
        asked = replace(asked, values=values, dtype=finer)
    tick = tick_of(finer)
    for row, (key, moment) in enumerate(
        zip(query.keys, instants(query.times, query.dtype), strict=True)
    ):
        if key is None or moment is None:
            found.append(None)
            continue
        at, rows = table.get(key, ((), ()))
        inside = places_in_window(at, moment, asked.window)
        values = [asked.values[k] for k in rows[inside]]
        times = [instant // tick for instant in at[inside]]
        view = WindowView(values, times, moment // tick, None, None)
        found.append(value_of(view, asked, finer, which, row))
    return found


def finer_time(one: DType, other: DType) -> DType:
    """Return the one of two time types that has the shorter ticks."""
    if not one.is_temporal:
        return one
    return other if tick_ns(other) < tick_ns(one) else one


def _in_ticks(values: ReferenceValues, given: DType, wanted: DType) -> ReferenceValues:
    """Return times in the ticks of another type; these must not be longer."""
    if not given.is_temporal:
        return values
    ratio = tick_ns(given) // tick_ns(wanted)
    return [None if value is None else value * ratio for value in values]


def places_in_window(at: Sequence[int], moment: int, window: Mapping[str, Any]) -> slice:
    """Return the positions, among the sorted rows of a key, that are in a window at `moment`."""
    end = moment - window["offset"]
    find = bisect_left if window["closed"] in ("left", "neither") else bisect_right
    stop = find(at, end)
    return slice(first_place(at, end, stop, window), stop)


def _result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    n = 1 + params["n_keys"]
    (time, *keys), (right, *right_keys) = types[:n], types[n : 2 * n]
    check_moments(time, keys, right, right_keys)
    if params["has_tie"]:
        check_tie(types[-1])
    return order_of_time(time)


def _never(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    raise AssertionError("windows are computed of many rows at once: TableWindowTask")


def _is_table_order(call: Call) -> bool:
    """Return whether the arguments of "table_order" are well-formed.

    They are times and keys of the data, then the same of one table, then the table's tie.
    """
    params = dict(call.params)
    is_whole = len(call.args) == 2 * (1 + params["n_keys"]) + params["has_tie"]
    n_seen = 1 + params["n_keys"] + params["has_tie"]
    tables = {column.table for column in table_columns_of(call)}
    return is_whole and len(table_columns_of(call)) == n_seen and len(tables) == 1


STEPS: dict[str, StepFunction] = {
    "table_order": StepFunction(
        _result,
        _never,
        n_args=None,
        belongs=_is_table_order,
        tells_apart=True,
        parameters=OF_ORDERS,
        written=order_text,
    )
}
