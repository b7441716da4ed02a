"""The label of rows, computed from late columns or from later rows, and which rows have one.

The record is the time for which rows are recorded. A window ahead of a row is its window of later
rows. If it ends after the end of the record, the row has no label, whatever its expression gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, InvalidPlan, RowsWithoutLabel, counted, warn
from fastfeat.execute.batch import Batch, take_rows_of_type
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted, fitted_label
from fastfeat.execute.history import id_columns
from fastfeat.execute.inputs import check_place, column_in_host, read_columns, used_schema
from fastfeat.execute.row_selection import row_numbers
from fastfeat.execute.steps import make
from fastfeat.execute.transform import read_out, run_steps
from fastfeat.execute.values import compute_columns, key_values, times_in_ticks, values_of
from fastfeat.io.arrow import ChunkedArray, call, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.types import tick_of
from fastfeat.io.device import DeviceTable
from fastfeat.ir.dtypes import DType
from fastfeat.ir.durations import duration_text, moment_text
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import is_of_table, query_of, table_columns_of, window_of
from fastfeat.plan.declare.clocks import clock_of
from fastfeat.plan.declare.late_columns import windows_ahead
from fastfeat.plan.declare.source_columns import columns_of

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


class RowLabels(NamedTuple):
    """The labels of some rows, with the reasons for missing ones.

    Args:
        values: The label of each row, missing for rows without one, shape (n_rows,).
        known: Whether a row has a label, shape (n_rows,).
        placed: Whether a row has a time and a key, shape (n_rows,).
        recorded: Whether all windows ahead of a row end within the record, shape (n_rows,).
        reasons: For each window ahead, its length and the end of the record, as text for messages.
    """

    values: ChunkedArray
    known: BoolArray
    placed: BoolArray
    recorded: BoolArray
    reasons: tuple[str, ...]


class RecordState(NamedTuple):
    """Whether the record covers the window ahead of each row; for one window.

    Args:
        placed: Whether a row has a time and a key.
        recorded: Whether the window of a row ends within the record.
        end: End of the record, in nanoseconds or steps; None if nothing is recorded.
    """

    placed: BoolArray
    recorded: BoolArray
    end: int | None


def label_of(fitted: Fitted, rows: CallRows) -> ChunkedArray:
    """Return the label of rows; the arguments are described in `FittedPlan.label`."""
    plan = fitted.declaration
    nodes = plan.label_nodes
    if not nodes:
        raise InvalidPlan("the plan has no label. Give it one: Plan(..., label='y')")
    of_label = None if isinstance(plan.label, str) else plan.label_plan
    ids: list[str] = []
    if of_label is not None:
        ids = id_columns(of_label.row_id, rows.history, of_label.history_columns)
    # one reading: the data may be a reader
    table = read_columns(rows.data, [*columns_of(nodes.values()), *ids])
    if isinstance(plan.label, str):
        check_place(table, "cpu")
        values, wanted = table.column(plan.label), row_numbers(rows.rows, table)
        return values if wanted is None else take_rows_of_type(values, wanted)
    wanted = row_numbers(rows.rows, table)
    inputs = fitted.label_inputs or used_schema(table, plan.label_columns)
    label = fitted_label(plan, inputs, fitted.label_tables, fitted.n_rows, dict(fitted.zones))
    told = replace(label, told=fitted.told)  # do not repeat the warnings of fit
    values = labels_of(told, rows._replace(data=table)).values
    return values if wanted is None else values.take(pa.array(wanted))


Latest = Mapping[Node, int | None]
"""For each order (time column and entity keys), the latest time of any row, in nanoseconds or
steps; None if no row has a time."""


def labels_of(
    label: Fitted,
    rows: CallRows,
    *,
    made: Mapping[Node, Any] | None = None,
    latest: Latest | None = None,
    first_row: int = 0,
) -> RowLabels:
    """Return the labels of rows, computed by the label's expression.

    `label` is the label's expression as a plan of one feature. The data in `rows` is a table with
    its inputs. `made` has functions of other rows as columns, and `latest` the latest time of each
    order, if these other rows are not in the table. `first_row` is the number of the first row in
    messages.

    Raises InvalidData if the label looks ahead and the rows are in the memory of a device.
    """
    functions = windows_ahead(label.declaration.nodes.values())
    table = rows.data
    if functions and isinstance(table, DeviceTable) and table.on_device():
        raise InvalidData(
            "the label is computed from later rows, but the data is in device memory: this version "
            "reads later rows only from host memory. Copy the data to the host first: "
            "cupy.asnumpy(x)"
        )
    batch = run_steps(label, table, rows, made or {}, frees=False, first_row=first_row)
    found = read_out(label, batch, label.arrow_program, label.arrow_constants, "arrow").column(0)
    windows = {window_of(function): None for function in functions}
    if made:
        asked = [node for window in windows for node in query_of(_order_of(window))]
        make(batch, asked)
        compute_columns(batch, asked)
    ahead = {window: _ahead_of(batch, window, latest or {}) for window in windows}
    placed, recorded = np.ones(batch.n_rows, np.bool_), np.ones(batch.n_rows, np.bool_)
    for state in ahead.values():
        placed, recorded = placed & state.placed, recorded & state.recorded
    known = placed & recorded
    values = found if known.all() else _where(found, known)
    reasons = dict.fromkeys(_reason(window, state.end) for window, state in ahead.items())
    return RowLabels(values, _flags(values), placed, recorded, tuple(reasons))


def _where(column: ChunkedArray, known: BoolArray) -> ChunkedArray:
    """Return the column with values only in `known` rows; they are missing in all other rows."""
    return column.take(array_of_values(np.arange(len(known)), known, pa.int64()))


def _flags(column: ChunkedArray) -> BoolArray:
    """Return flags, one per row, of whether a column has a value."""
    return call("is_valid", column).to_numpy(zero_copy_only=False)


def _order_of(window: Call) -> Call:
    """Return the order (time column and entity keys) of the rows that a window sees."""
    order = window.args[0]
    assert isinstance(order, Call)
    return order


def _ahead_of(batch: Batch, window: Call, latest_of: Latest) -> RecordState:
    """Return whether the record covers a window ahead, for each row.

    `latest_of` has the latest time of each order with rows outside of `batch`.
    """
    order, params = _order_of(window), dict(window.params)
    time, *keys = query_of(order)
    ticks, placed, dtype = times_in_ticks(batch, *values_of(batch, time))
    end = params["end"]
    complete = end  # the last moment up to which all rows of that time are recorded
    if end is None:
        end = complete = latest_of[order] if order in latest_of else _latest(batch, order)
    if complete is not None and not is_of_table(order):
        complete -= _unrecorded(batch, time, is_latest=params["end"] is None)
    for key in keys:
        column = column_in_host(key_values(batch, key, narrow=False), batch.backend)
        placed = placed & _flags(decode_column(column))
    if end is None or complete is None:
        return RecordState(placed, np.zeros(batch.n_rows, np.bool_), None)
    tick = tick_of(dtype)
    # Python integers do not wrap around
    latest = (complete - params["gap"] - params["next"]) // tick
    recorded = ticks <= min(latest, _MOST) if latest >= _LEAST else np.zeros(len(ticks), np.bool_)
    return RecordState(placed, recorded, end)


def _unrecorded(batch: Batch, time: Node, *, is_latest: bool) -> int:
    """Return how far before the end of the record all rows of a time are known to be complete.

    Rows of a week arrive until it ends, even if their time is its Monday. `is_latest` says that the
    record ends at the latest time of the rows, not at a given moment.
    """
    clock = clock_of(time, batch.types)
    if is_latest:
        return 0 if clock is not None and not clock.slack else 1
    if clock is None or not clock.slack:  # an expression without a clock is not a moment
        return 0
    column = batch.types[Column(clock.column)]
    tick = tick_of(column)
    return -(-(clock.slack - tick) // (clock.step or 1))


def _latest(batch: Batch, order: Call) -> int | None:
    """Return the latest time of the rows that a window sees, in nanoseconds or steps, or None."""
    seen = batch.seen
    if not is_of_table(order):
        return latest_time(seen, order.args[0])
    column = table_columns_of(order)[0]
    return _latest_of(seen, batch.types[column], batch.made[column].array)


def latest_time(batch: Batch, time: Node) -> int | None:
    """Return the latest time of some rows, in nanoseconds or steps; None if no row has a time."""
    return _latest_of(batch, *values_of(batch, time))


def _latest_of(batch: Batch, dtype: DType, times: Any) -> int | None:
    ticks, present, _ = times_in_ticks(batch, dtype, times)
    return int(ticks[present].max()) * tick_of(dtype) if present.any() else None


def _reason(window: Call, end: int | None) -> str:
    """Return a text for messages that a window ahead ends after the record, with both lengths."""
    params = dict(window.params)
    is_time, reach = params["unit"] == "time", params["next"] + params["gap"]
    if end is None:
        return "no row that the window could see has a time"
    which = "the last recorded time" if params["end"] is None else "the given end="
    told = duration_text(reach) if is_time else str(reach)
    return f"the window of {told} ends after {moment_text(end) if is_time else end}, {which}"


def flag_labelled_rows(labels: RowLabels, wanted: NDArray[np.int64] | None) -> BoolArray | None:
    """Return flags of the training rows that have a label, and warn of the others.

    `labels` covers all rows; `wanted` are the numbers of the training rows, shape (n_wanted,), None
    for all. The result has shape (n_wanted,), or is None if all have a label. Raises InvalidData if
    none has.
    """
    given = np.arange(len(labels.known)) if wanted is None else wanted
    is_known = labels.known[given]
    return is_known if check_any_label(counts_of(labels, given), labels.reasons) else None


class LabelCounts(NamedTuple):
    """Numbers of rows with a label, and of rows without one by reason.

    Args:
        n_known: Rows with a label.
        n_after: Rows with a window ahead that ends after the record.
        n_unplaced: Rows without a time or a key.
        n_missing: Rows with a missing label although their rows ahead are recorded.
    """

    n_known: int = 0
    n_after: int = 0
    n_unplaced: int = 0
    n_missing: int = 0

    def with_more(self, other: LabelCounts) -> LabelCounts:
        """Return the sum of both counts."""
        return LabelCounts(*(a + b for a, b in zip(self, other, strict=True)))


def counts_of(labels: RowLabels, wanted: Any) -> LabelCounts:
    """Return the counts for the wanted rows, given as row numbers or as one flag per row."""
    placed, recorded, known = (
        flags[wanted] for flags in (labels.placed, labels.recorded, labels.known)
    )
    n_after = int(np.count_nonzero(placed & ~recorded))
    n_unplaced, n_known = int(np.count_nonzero(~placed)), int(np.count_nonzero(known))
    return LabelCounts(n_known, n_after, n_unplaced, len(known) - n_known - n_after - n_unplaced)


def check_any_label(counts: LabelCounts, reasons: Sequence[str]) -> bool:
    """Return whether some training rows have no label, and warn of them.

    `reasons` is described in `RowLabels`. Raises InvalidData if no row has a label.
    """
    n_rows = sum(counts)
    if counts.n_known == n_rows:
        return False
    told = "; ".join(_reasons_without_label(counts, reasons))
    if not counts.n_known:
        raise InvalidData(
            f"none of {counted(n_rows, 'training row')} has a label: {told}. Set the end of the "
            "record, ff.ahead(..., end=), use a shorter window, or add later rows"
        )
    warn(
        f"{n_rows - counts.n_known:,} of {counted(n_rows, 'training row')} have no label, and "
        f"nothing is learnt from them: {told}",
        RowsWithoutLabel,
    )
    return True


def _reasons_without_label(counts: LabelCounts, reasons: Sequence[str]) -> Iterator[str]:
    """Yield the reasons why rows have no label, with the number of rows."""
    _, n_after, n_unplaced, n_missing = counts
    if n_after:
        yield f"{n_after:,} because {', or '.join(reasons)}"
    if n_unplaced:
        yield f"{n_unplaced:,} because the time or key is missing"
    if n_missing:
        yield f"{n_missing:,} because the rows ahead give no value"
