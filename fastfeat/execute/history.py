"""History: earlier rows of the same entities, which windows see before the rows of a batch.

A late column is known only after the moment of its row, such as a label.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastfeat.backends import run_task
from fastfeat.engine.program import Constants, Output, program_of
from fastfeat.engine.tasks import LearnTask
from fastfeat.errors import (
    FastfeatError,
    HistoryMissing,
    InvalidData,
    WarningHistory,
    counted,
    did_you_mean,
    warn,
)
from fastfeat.execute import row_identity, values
from fastfeat.execute.batch import Batch, HistoryPlaces
from fastfeat.execute.inputs import check_place, check_still_missing, read_columns
from fastfeat.execute.steps import make
from fastfeat.io.arrow import ChunkedArray, cast, pa
from fastfeat.io.columns import conform, lists
from fastfeat.io.columns import keys as column_keys
from fastfeat.io.columns import times as column_times
from fastfeat.io.columns.bits import values_in
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.types import arrow_type, tick_of
from fastfeat.io.device import DeviceArray, DeviceTable
from fastfeat.ir.dtypes import BOOL, NULL, DType
from fastfeat.ir.node import Column, Node, TableColumn
from fastfeat.ir.scope import window_nodes, window_of
from fastfeat.ir.show import show
from fastfeat.scalars import op
from fastfeat.scalars.value import NO_STATUS, column_slot

BATCH = "batch"
"""Value of `history=` for a batch that contains its own past."""


class Ages(NamedTuple):
    """Times of the rows of a batch, and the earliest time among all rows that its windows see.

    Args:
        n_rows: Number of rows with a time.
        earliest: The earliest time, in ticks; None if no row has a time.
        tick: Nanoseconds per tick of the time type; 1 for integer times.
        n_before: Returns the number of rows with a time less than the given ticks.
    """

    n_rows: int
    earliest: int | None
    tick: int
    n_before: Callable[[int], int]


def is_batch(history: Any) -> bool:
    """Return whether `history` is "batch": the data contains its own past."""
    return isinstance(history, str) and history == BATCH


def id_columns(row_id: str | None, history: Any, columns: Sequence[str]) -> list[str]:
    """Return `[row_id]` if windows read a separate history and rows have ids; else an empty list.

    `columns` are the columns that windows read.
    """
    return [row_id] if row_id is not None and _is_read(history, columns) else []


def id_column_names(row_id: str | None, columns: Sequence[str]) -> list[str]:
    """Return `[row_id]` if windows read any columns and rows have ids; else an empty list.

    The data itself may lack the id column. `columns` are the columns that windows read.
    """
    return [row_id] if row_id is not None and columns else []


def _is_read(history: Any, columns: Sequence[str]) -> bool:
    return history is not None and not is_batch(history) and len(columns) > 0


def history_table(
    history: Any, columns: Sequence[str], backend: str, row_id: str | None = None
) -> Any:
    """Return the history as a table of the id and the columns that windows read, if any."""
    if not _is_read(history, columns):
        return None
    with naming_history(batch_hint(history)):
        table = read_columns(history, [*columns, *id_columns(row_id, history, columns)])
    check_place(table, backend)
    if isinstance(table, DeviceTable):
        raise InvalidData(
            "history= is in device memory, but this version reads earlier rows from host memory "
            "only. Copy them to the host first: cupy.asnumpy(x)"
        )
    return table


def with_past(
    batch: Batch, earlier: Any, columns: Sequence[str], row_id: str | None = None
) -> Batch:
    """Return the batch with its past set: the history rows, followed by the rows of the batch."""
    there = set(batch.table.column_names)
    on_device = isinstance(batch.table, DeviceTable)
    if row_id is not None and row_id in there and columns and earlier is None:
        row_identity.check_ids(row_id, batch.table, batch.backend)
    if not columns or (earlier is None and there.issuperset(columns)):
        return batch
    if on_device and earlier is not None:
        raise InvalidData(
            "history= cannot be combined with data in device memory in this version. Copy the data "
            "to the host first: cupy.asnumpy(x)"
        )
    joined = {name: _joined(batch, earlier, name) for name in columns}
    of_tables = {node: made for node, made in batch.made.items() if isinstance(node, TableColumn)}
    rows = DeviceTable(joined, batch.n_rows) if on_device else pa.table(joined)
    places, stands = None, None
    if earlier is not None:
        stands = HistoryPlaces(earlier.num_rows, None)
    if earlier is not None and row_id is not None:
        found = row_identity.match_rows_by_id(row_id, earlier, batch.table)
        rows = pa.table({n: found.column(c, is_in_data=n in there) for n, c in joined.items()})
        places, stands = found.places, HistoryPlaces(earlier.num_rows, found.rows)
    past = replace(batch, table=rows, made=of_tables, history_places=stands)
    return replace(batch, past=past, places=places)


def _joined(batch: Batch, earlier: Any, name: str) -> ChunkedArray:
    """Return one column of the history rows followed by the rows of the batch."""
    dtype = batch.types[Column(name)]
    if name in batch.table.column_names:
        now = batch.table.column(name)
    else:
        now = pa.chunked_array([pa.nulls(batch.n_rows, arrow_type(dtype))])
    if earlier is None:
        return now
    past = earlier.column(name)
    if past.type == now.type and (dtype.holds_bytes or past.type == arrow_type(dtype)):
        return _concatenated(past, now)
    with naming_history():
        past = as_type(past, name, dtype)
    return _concatenated(past, as_type(now, name, dtype, batch.first_number))


def batch_hint(history: Any) -> str:
    """Return a hint for the error if `history` is text that is not a file; "" otherwise."""
    if not isinstance(history, str) or os.path.exists(history):
        return ""
    hint = did_you_mean(history, [BATCH])
    return f".{hint or f' If the data itself has the earlier rows, pass {BATCH!r}'}"


@contextmanager
def naming_history(hint: str = "") -> Generator[None]:
    """Prefix errors about earlier rows with `history=`, and append a hint."""
    try:
        yield
    except FastfeatError as error:
        raise type(error)(f"history=: {error}{hint}") from error


def _concatenated(*columns: ChunkedArray) -> ChunkedArray:
    chunks = [chunk for column in columns for chunk in column.chunks]
    return pa.chunked_array(chunks, columns[0].type)


def as_type(column: ChunkedArray, name: str, dtype: DType, first_row: int = 0) -> ChunkedArray:
    """Return a column converted to the one Arrow type that stands for its dtype.

    `first_row` is the number of the first row in messages.
    """
    if dtype.holds_bytes:
        return decode_column(column_keys.key_column(column, name, dtype))
    if dtype.is_list:
        return cast(lists.list_column(column, name, dtype), arrow_type(dtype))
    if dtype == NULL:
        check_still_missing(pa.table({name: column}), [name])
        return pa.chunked_array([pa.nulls(len(column))])
    plain, wanted = conform.conform(column, name, dtype, first_row), arrow_type(dtype)
    if dtype.is_temporal:
        chunks = [c if c.type == wanted else c.view(wanted) for c in plain.chunks]
        return pa.chunked_array(chunks, wanted)
    return plain if plain.type == wanted else cast(plain, wanted)


def warn_without_history(batch: Batch, roots: Iterable[Node], told: WarningHistory) -> None:
    """Warn about windows that begin before the first row of a batch without history."""
    if HistoryMissing in told.kinds:
        return
    ages: dict[Node, Ages] = {}
    n_rows: dict[str, int] = {}
    for window in dict.fromkeys(map(window_of, window_nodes(roots))):
        time, text = window.args[0].args[0], show(window)
        if time not in ages:
            ages[time] = _ages(batch, time)
        if text not in n_rows:
            n_rows[text] = _n_begun_before(ages[time], dict(window.params))
    texts = [f"{counted(n, 'row')} of {window}" for window, n in n_rows.items() if n]
    if texts:
        more = f" and {counted(len(texts) - 3, 'more window')}" if len(texts) > 3 else ""
        warn(
            f"windows begin before the data: {'; '.join(texts[:3])}{more}. Pass the earlier rows, "
            "transform(data, history=earlier), or history='batch' if the data has them already",
            HistoryMissing,
            told,
        )


def _ages(batch: Batch, time: Node) -> Ages:
    """Return the times of a batch's rows, and the earliest time that its windows see."""
    past = batch.seen
    make(past, [time])
    dtype, times = values.values_of(past, time)
    if isinstance(times, DeviceArray):
        if batch.places is None:
            return _ages_on_device(past, times, dtype)
        dtype, times = values.computed_values(past, time)
    column = column_times.ticks_column(times, dtype)
    # drop_null imports pyarrow.compute, 30 ms
    known = (piece.drop_null() if piece.null_count else piece for piece in column.chunks)
    placed = [values_in(piece) for piece in known]
    earliest = min((int(piece.min()) for piece in placed if len(piece)), default=None)
    if batch.places is not None:
        ticks, present = column_times.ticks_of(column)
        placed = [ticks[batch.places[present[batch.places]]]]

    def n_before(end: int) -> int:
        return sum(int(np.count_nonzero(piece < end)) for piece in placed)

    return Ages(sum(map(len, placed)), earliest, tick_of(dtype), n_before)


def _ages_on_device(past: Batch, times: DeviceArray, dtype: DType) -> Ages:
    """Return the `Ages` of rows in device memory, computed there from their column of times."""
    slot = column_slot(times.name, dtype)
    value, has_value = op.input_value(slot, "i64"), op.input_ok(slot)
    is_before = value < op.parameter(_END, "i64")

    def learnt(output: Output, functions: Sequence[str], end: int = 0) -> list[Any]:
        wanted = [[(name, ()) for name in functions]]
        constants = Constants({_END: end}, {})
        columns = {slot: times}
        task = LearnTask(program_of([output]), wanted, columns, past.n_rows, constants)
        (found,) = run_task(past.backend, task)
        return found

    def n_before(end: int) -> int:
        output = Output("", BOOL, is_before, has_value, NO_STATUS)
        return int(learnt(output, ["sum"], end)[0] or 0)

    n_rows, earliest = learnt(Output("", dtype, value, has_value, NO_STATUS), ["count", "min"])
    return Ages(n_rows, None if earliest is None else int(earliest), tick_of(dtype), n_before)


_END = "end"
"""Name of the parameter of the counting program: times before its value are counted."""


def _n_begun_before(ages: Ages, window: Mapping[str, Any]) -> int:
    """Return the number of rows with a window that begins before the first row of the batch."""
    if window["last"] is None or ages.earliest is None:
        return ages.n_rows
    end = ages.earliest - (-(window["last"] + window["offset"]) // ages.tick)
    return ages.n_rows if end > np.iinfo(np.int64).max else ages.n_before(end)
