"""History: earlier rows of the same entities, which windows see before the rows of a batch."""

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
    GivenWarnings,
    HistoryMissing,
    InvalidData,
    counted,
    did_you_mean,
    warn,
)
from fastfeat.execute import row_identity, values
from fastfeat.execute.batch import Batch, Stands
from fastfeat.execute.inputs import check_place, check_still_missing, read_columns
from fastfeat.execute.steps import make
from fastfeat.io.arrow import ChunkedArray, cast, pa
from fastfeat.io.columns import conversions, lists
from fastfeat.io.columns import keys as column_keys
from fastfeat.io.columns import times as column_times
from fastfeat.io.columns.bits import values_in
from fastfeat.io.columns.conform import conform
from fastfeat.io.columns.decode import decoded
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.device import DeviceArray, DeviceTable
from fastfeat.ir.dtypes import BOOL, NULL, DType
from fastfeat.ir.node import Column, Node, TableColumn
from fastfeat.ir.scope import window_nodes, window_of
from fastfeat.ir.show import show
from fastfeat.scalars import op
from fastfeat.scalars.value import NO_STATUS, column_slot

BATCH = "batch"
"""Says that a batch holds its own past."""


class Ages(NamedTuple):
    """Times of the rows of a batch, and the earliest of all rows that it sees.

    Args:
        n_rows: rows that have a time.
        earliest: the least of all, in ticks; None without any.
        tick: nanoseconds of one, or 1.
        n_before: gives the number of rows whose time is less than a number of ticks.
    """

    n_rows: int
    earliest: int | None
    tick: int
    n_before: Callable[[int], int]


def is_batch(history: Any) -> bool:
    """Return whether a history, as a user gives it, says that the data holds its own past."""
    return isinstance(history, str) and history == BATCH


def id_columns(row_id: str | None, history: Any, columns: Sequence[str]) -> list[str]:
    """Return the column that tells rows of the data and of a history apart, where one is read.

    Args:
        row_id: its name; None where there is none.
        history: as a user gives it.
        columns: what windows read.
    """
    return [row_id] if row_id is not None and _is_read(history, columns) else []


def given_ids(row_id: str | None, columns: Sequence[str]) -> list[str]:
    """Return the column that tells rows apart, where windows see rows: data may lack it.

    Args:
        row_id: its name; None where there is none.
        columns: what windows read.
    """
    return [row_id] if row_id is not None and columns else []


def _is_read(history: Any, columns: Sequence[str]) -> bool:
    return history is not None and not is_batch(history) and len(columns) > 0


def history_table(
    history: Any, columns: Sequence[str], backend: str, row_id: str | None = None
) -> Any:
    """Return earlier rows as a table of the columns that windows read; None where there are none.

    Args:
        history: as a user gives it.
        columns: what windows read.
        backend: its name.
        row_id: the column that tells rows apart, which is read too; None where there is none.

    Raises:
        UnknownColumn: a column that windows read is not there.
        FastfeatError: it is no data; the message says that it is of the history.
    """
    if not _is_read(history, columns):
        return None
    with naming_history(hint_of(history)):
        table = read_columns(history, [*columns, *id_columns(row_id, history, columns)])
    check_place(table, backend)
    if isinstance(table, DeviceTable):
        raise InvalidData(
            "history= is in the memory of a device: earlier rows are read from the host's in this "
            "version. Bring them there first: cupy.asnumpy(x)"
        )
    return table


def with_past(
    batch: Batch, earlier: Any, columns: Sequence[str], row_id: str | None = None
) -> Batch:
    """Return rows with those that windows see: the earlier ones, and after them the rows.

    Args:
        batch: the rows.
        earlier: a table of earlier rows; None where there are none.
        columns: what windows read. Late columns may lack in the rows: there they are missing.
        row_id: the column that tells rows apart. An earlier row of the id of one of the rows is
            that row: it keeps its place, and has what the rows lack; what they have is theirs.

    Raises:
        InvalidData: rows of an id that cannot be one; a row without an id, or two of one, in the
            data alone too, where it has the column.
    """
    there = set(batch.table.column_names)
    on_device = isinstance(batch.table, DeviceTable)
    if row_id is not None and row_id in there and columns and earlier is None:
        row_identity.check_ids(row_id, batch.table, batch.backend)
    if not columns or (earlier is None and there.issuperset(columns)):
        return batch
    if on_device and earlier is not None:
        raise InvalidData(
            "history= beside data in the memory of a device is not read in this version. Bring the "
            "data to the host first: cupy.asnumpy(x)"
        )
    joined = {name: _joined(batch, earlier, name) for name in columns}
    of_tables = {node: made for node, made in batch.made.items() if isinstance(node, TableColumn)}
    rows = DeviceTable(joined, batch.n_rows) if on_device else pa.table(joined)
    places, stands = None, None
    if earlier is not None:
        stands = Stands(earlier.num_rows, None)
    if earlier is not None and row_id is not None:
        found = row_identity.identified(row_id, earlier, batch.table)
        rows = pa.table({n: found.column(c, is_in_data=n in there) for n, c in joined.items()})
        places, stands = found.places, Stands(earlier.num_rows, found.rows)
    past = replace(batch, table=rows, made=of_tables, stands=stands)
    return replace(batch, past=past, places=places)


def _joined(batch: Batch, earlier: Any, name: str) -> ChunkedArray:
    """Return a column of the earlier rows and, after them, of the rows."""
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


def hint_of(history: Any) -> str:
    """Return a hint for a text that is no file; empty for anything else."""
    if not isinstance(history, str) or os.path.exists(history):
        return ""
    hint = did_you_mean(history, [BATCH])
    return f".{hint or f' {BATCH!r} instead says that the data holds its own past'}"


@contextmanager
def naming_history(hint: str = "") -> Generator[None]:
    """Put `history=` in front of errors about earlier rows, and a hint behind."""
    try:
        yield
    except FastfeatError as error:
        raise type(error)(f"history=: {error}{hint}") from error


def _concatenated(*columns: ChunkedArray) -> ChunkedArray:
    chunks = [chunk for column in columns for chunk in column.chunks]
    return pa.chunked_array(chunks, columns[0].type)


def as_type(column: ChunkedArray, name: str, dtype: DType, first_row: int = 0) -> ChunkedArray:
    """Return a column in the one Arrow type that values of its type are given out in.

    Args:
        column: as a user gives it.
        name: of it.
        dtype: its type.
        first_row: the number that a user knows its first row by.
    """
    if dtype.holds_bytes:
        return decoded(column_keys.key_column(column, name, dtype))
    if dtype.is_list:
        return cast(lists.list_column(column, name, dtype), arrow_type(dtype))
    if dtype == NULL:
        check_still_missing(pa.table({name: column}), [name])
        return pa.chunked_array([pa.nulls(len(column))])
    plain, wanted = conform(column, name, dtype, first_row), arrow_type(dtype)
    if dtype.is_temporal:
        chunks = [c if c.type == wanted else c.view(wanted) for c in plain.chunks]
        return pa.chunked_array(chunks, wanted)
    return plain if plain.type == wanted else cast(plain, wanted)


def warn_without_history(batch: Batch, roots: Iterable[Node], told: GivenWarnings) -> None:
    """Warn of rows whose windows begin before the rows of a batch that came without history.

    Args:
        batch: the rows.
        roots: the features.
        told: the warnings that came.
    """
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
            "transform(data, history=earlier), or history='batch' where the data holds its past",
            HistoryMissing,
            told,
        )


def _ages(batch: Batch, time: Node) -> Ages:
    """Return the times of a batch, beside the earliest that it sees."""
    past = batch.seen
    make(past, [time])
    dtype, times = values.values_of(past, time)
    if isinstance(times, DeviceArray):
        if batch.places is None:
            return _ages_on_device(past, times, dtype)
        dtype, times = values.computed_values(past, time)
    column = column_times.ticks_column(times, dtype)
    placed = [values_in(piece.drop_null()) for piece in column.chunks]
    earliest = min((int(piece.min()) for piece in placed if len(piece)), default=None)
    if batch.places is not None:
        ticks, present = column_times.ticks_of(column)
        placed = [ticks[batch.places[present[batch.places]]]]

    def n_before(end: int) -> int:
        return sum(int(np.count_nonzero(piece < end)) for piece in placed)

    return Ages(sum(map(len, placed)), earliest, conversions.tick_of(dtype), n_before)


def _ages_on_device(past: Batch, times: DeviceArray, dtype: DType) -> Ages:
    """Return the times of a column in the memory of a device, of which no row leaves it."""
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
    return Ages(
        n_rows, None if earliest is None else int(earliest), conversions.tick_of(dtype), n_before
    )


_END = "end"
"""The parameter of a program that counts the times before it."""


def _n_begun_before(ages: Ages, window: Mapping[str, Any]) -> int:
    """Return of how many rows a window begins before the first row of the batch."""
    if window["last"] is None or ages.earliest is None:
        return ages.n_rows
    end = ages.earliest - (-(window["last"] + window["offset"]) // ages.tick)
    return ages.n_rows if end > np.iinfo(np.int64).max else ages.n_before(end)
