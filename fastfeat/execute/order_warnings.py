"""Warnings about repeated rows, and about ties: rows of one entity with the same time.

Repeated rows are searched column by column among fewer and fewer rows, so that data without them
costs little. An order is a time column with entity keys. Counting its ties reuses the sort of the
windows that run next, if they have the same order.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array

from fastfeat.backends import run_task
from fastfeat.errors import FastfeatError, RowsRepeated, TiesInOrder, WarningHistory, counted, warn
from fastfeat.execute import values as row_values
from fastfeat.execute import windows as window_values
from fastfeat.execute.batch import Batch, take_rows
from fastfeat.execute.steps import make
from fastfeat.io.arrow import ChunkedArray, call, cast, index_in, pa
from fastfeat.io.columns import times as column_times
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.decode import decode_column, plain
from fastfeat.io.device import DeviceArray
from fastfeat.io.sources.read import column_names, read_table
from fastfeat.ir.dtypes import INT64
from fastfeat.ir.node import Aggregate, Call, Column, Node, postorder
from fastfeat.ir.scope import is_over_window, order_of, takes_rows_in_order, window_of
from fastfeat.ir.show import show
from fastfeat.steps.windows import tasks as window_tasks

if TYPE_CHECKING:
    from fastfeat.steps.windows.rows import RowOrder


def warn_repeated(
    batch: Batch, data: Any, history: Any, roots: Sequence[Node], told: WarningHistory
) -> None:
    """Warn about history rows that equal rows of the data in all columns that both have.

    Rows without a time are in no window, so they do not count if there is a single time.
    """
    if RowsRepeated in told.kinds or batch.places is not None or not batch.first_place:
        return
    there = set(batch.table.column_names)
    n_history, seen = batch.first_place, batch.seen.table
    names = [name for name in seen.column_names if name in there]
    time = _time(roots)
    names.sort(key=lambda name: name != time)  # time first, since few rows share one
    before = [seen.column(name).slice(0, n_history) for name in names]
    now = [seen.column(name).slice(n_history) for name in names]
    rows = np.arange(n_history) if time is None else _of_its_times(before[0], now[0])
    others = np.arange(batch.n_rows)
    alike = _Alike(rows, others, np.zeros(len(rows) + len(others), np.int64))
    alike = _narrowed(alike, zip(before, now, strict=True))
    if len(alike.rows):
        alike = _narrowed(alike, _others(data, history, names))
    if len(alike.rows):
        n, first = len(alike.rows), int(alike.rows.min())
        warn(
            f"history= repeats {counted(n, 'row')} of the data (first: row {first} of the "
            "history), and windows see both copies. Leave them out of the history, or name the "
            "column that identifies a row, Plan(row_id='id'), so that each row counts once",
            RowsRepeated,
            told,
        )


def _time(roots: Sequence[Node]) -> str | None:
    """Return the time column by which all windows sort rows; None if windows use several."""
    windows = [over for over in postorder(list(roots)) if is_over_window(over)]
    times = {order_of(over).args[0] for over in windows}
    time = times.pop() if len(times) == 1 else None
    return time.name if isinstance(time, Column) else None


def _of_its_times(column: ChunkedArray, times: ChunkedArray) -> Int64Array:
    """Return the rows of the time column `column` with a time that also occurs in `times`."""
    ends = call("min_max", times)
    low = call("greater_equal", column, ends["min"])
    inside = call("and", low, call("less_equal", column, ends["max"]))
    rows = np.flatnonzero(call("coalesce", inside, pa.scalar(False)).to_numpy())
    if len(rows) < len(times):  # no more rows than there are to compare with
        return rows
    few = column if len(rows) == len(column) else take_rows(column, rows)
    is_in = call("is_valid", index_in(few, call("unique", times)))
    return rows[is_in.to_numpy()]


class _Alike(NamedTuple):
    """Pairs of groups: history rows and data rows that are equal in the columns compared so far.

    Args:
        rows: Rows of the history.
        others: Rows of the data.
        groups: Number of each row's group of equal rows, for `rows` followed by `others`.
    """

    rows: Int64Array
    others: Int64Array
    groups: Int64Array


def _narrowed(alike: _Alike, columns: Iterable[tuple[ChunkedArray, ChunkedArray]]) -> _Alike:
    """Return the rows that are also equal in further columns, given as (history, data) pairs."""
    for before, now in columns:
        rows, others, groups = alike
        if not len(rows):
            break
        codes = _codes([take_rows(before, rows), take_rows(now, others)])
        if codes is None:
            continue
        groups = _numbered(groups * (codes.max() + 1) + codes)
        ours, theirs = groups[: len(rows)], groups[len(rows) :]
        keep, keep_others = np.isin(ours, theirs), np.isin(theirs, ours)
        groups = np.append(ours[keep], theirs[keep_others])
        alike = _Alike(rows[keep], others[keep_others], groups)
    return alike


def _codes(columns: Sequence[ChunkedArray]) -> Int64Array | None:
    """Return an integer per value, equal for equal values and 0 if missing, for all columns joined.

    The values of the first column come first. None if the columns cannot be compared.
    """
    values = [plain(decode_column(column)) for column in columns]
    kind = values[0].type
    if any(one.type != kind for one in values) or pa.types.is_nested(kind):
        return None
    joined = pa.chunked_array([c for one in values for c in one.chunks], kind).combine_chunks()
    if pa.types.is_floating(kind):
        numbers = call("equal", joined, joined)  # not NaN
        joined = call("if_else", numbers, joined, pa.scalar(None, kind))
        joined = call("add", cast(joined, pa.float64()), pa.scalar(0.0))  # 0.0 for -0.0
    try:
        coded = call("dictionary_encode", joined)
    except pa.ArrowNotImplementedError:
        return None
    return (
        call("coalesce", coded.indices, pa.scalar(-1, pa.int32())).to_numpy().astype(np.int64) + 1
    )


def _numbered(values: Int64Array) -> Int64Array:
    """Return numbers from 0 on, equal for equal integers."""
    return call("dictionary_encode", pa.array(values)).indices.to_numpy().astype(np.int64)


def _others(
    data: Any, history: Any, known: Sequence[str]
) -> Iterator[tuple[ChunkedArray, ChunkedArray]]:
    """Yield the columns that history and data share and that are not compared yet, as pairs.

    Yields nothing if the data cannot be read again. Rows that are equal for the windows may differ
    in these columns, for example in a row number.
    """
    there = column_names(data) or []
    names = [n for n in column_names(history) or [] if n in there and n not in known]
    try:
        before, now = read_table(history, names), read_table(data, names)
    except FastfeatError:  # an exhausted reader, or an unreadable column
        return
    yield from zip(before.columns, now.columns, strict=True)


def ordered_windows(
    roots: Iterable[Node], *, by_learnt: bool = False, known: Iterable[Node] = ()
) -> dict[Call, Node]:
    """Return the orders in which ties matter, each with one window that uses it.

    An order is a time column with entity keys. Ties matter if a window's result depends on the
    order of rows with equal times.
    """
    windows: dict[Call, Node] = {}  # the first of each order
    seen = set(postorder(list(known)))
    for over in postorder(roots):
        if is_over_window(over) and over not in seen and _takes_ties(over):
            windows.setdefault(order_of(over), window_of(over))
    return {o: window for o, window in windows.items() if _is_learnt(o) == by_learnt}


def warn_ties(
    batch: Batch,
    windows: Mapping[Call, Node],
    told: WarningHistory,
    coming: Container[Node] = (),
) -> None:
    """Warn about ties (rows of one entity with the same time) if windows depend on their order."""
    seen = batch.seen
    if not seen.n_rows:  # parts come later, and reuse the columns computed here
        return
    found = {
        window: n_tied(seen, order, is_coming=order in coming) for order, window in windows.items()
    }
    warn_tied(found, told)


def warn_tied(found: Mapping[Node, int], told: WarningHistory) -> None:
    """Warn about ties; `found` holds the number of tied rows by window."""
    texts = [f"{counted(n, 'row')} of {show(window)}" for window, n in found.items() if n]
    if texts:
        warn(
            f"rows of one entity have the same time: {'; '.join(texts)}. Each of them sees only "
            "the ones that are before it in the data. Name a column that orders them, tie='seq', "
            "or leave out rows of the same time, closed='left'",
            TiesInOrder,
            told,
        )


def _is_learnt(order: Node) -> bool:
    return any(isinstance(node, Aggregate) for node in postorder([order]))


def _takes_ties(over: Call) -> bool:
    """Return whether a window's result depends on the order of rows with equal times."""
    return takes_rows_in_order(over) and not dict(order_of(over).params)["has_tie"]


def n_tied(seen: Batch, order: Call, first: int = 0, *, is_coming: bool = False) -> int:
    """Return the number of rows with the same entity and time as another row."""
    computed = [node for node in order.args if not isinstance(node, Column)]
    if computed:
        make(seen, computed)
        row_values.compute_columns(seen, computed)
    if is_coming:
        past = window_values.past_of(seen, order, kept=seen.orders.setdefault(order, {}))
        return run_task(seen.backend, window_tasks.TiesTask(past, first))
    past = window_values.past_of(seen, order)
    if not isinstance(past.times, DeviceArray):
        rows = _of_shared_times(past)
        if len(rows) < 2:
            return 0
        if 2 * len(rows) < seen.n_rows:
            past, first = _order_of(past, rows), int(np.searchsorted(rows, first))
    return run_task(seen.backend, window_tasks.TiesTask(past, first))


def _of_shared_times(past: RowOrder) -> Int64Array:
    """Return the rows, ascending, that share their time with another row, of any entity."""
    ticks, present = column_times.ticks_of(column_times.ticks_column(past.times, past.dtype))
    rows = None if present.all() else np.flatnonzero(present)
    own = ticks if rows is None else ticks[rows]
    is_same = own[1:] == own[:-1]
    if (own[1:] >= own[:-1]).all():
        is_shared = np.append(is_same, False) | np.append(False, is_same)
    else:
        ordered = np.sort(own)  # 10 ns a row: ordering rows by entity and time takes 100
        is_again = ordered[1:] == ordered[:-1]
        shared = ordered[1:][is_again & np.append(True, ~is_again)[: len(is_again)]]
        wanted, of_rows = (array_of_values(one, None, pa.int64()) for one in (shared, own))
        is_shared = call("is_valid", index_in(of_rows, wanted)).to_numpy(zero_copy_only=False)
    found = np.flatnonzero(is_shared)
    return found if rows is None else rows[found]


def _order_of(past: RowOrder, rows: Int64Array) -> RowOrder:
    """Return the times and keys of the given rows only."""
    times = take_rows(column_times.ticks_column(past.times, past.dtype), rows)
    keys = [take_rows(_chunked(key), rows) for key in past.keys]
    return replace(past, times=times, dtype=INT64, keys=keys)


def _chunked(column: Any) -> ChunkedArray:
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
