"""Functions of rows in the order of time: of a table after another, with what it sees before it.

Where rows have no key in common, no share has all that a row sees. Of rows in order of time a
window of bounded length sees the latest ones, which are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import InvalidData
from fastfeat.io.arrow import ChunkedArray, Table, pa
from fastfeat.io.columns.conversions import tick_ns
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.sinks.parts import regrouped
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.frames import rows_only
from fastfeat.io.sources.scan import Origin, Scanned, scan, telling_place
from fastfeat.ir.node import Call, Column, TableColumn, postorder
from fastfeat.ir.scope import is_over_window, order_of, query_of
from fastfeat.ir.show import show
from fastfeat.plan.declare.window_reach import Reach, live_reach, together
from fastfeat.plan.run.batch import Batch
from fastfeat.plan.run.history import as_type, naming_history
from fastfeat.plan.run.inputs import read_columns
from fastfeat.plan.run.lookup_tables import table_values
from fastfeat.plan.run.shares import ROWS_AT_ONCE, RowsOnDisk, on_disk, renumbering
from fastfeat.plan.run.stage_work import (
    PlaceOnDisk,
    StageWork,
    functions_of,
    no_rows,
    with_given,
)
from fastfeat.plan.run.steps import make
from fastfeat.plan.run.values import compute_columns, times_in_ticks, values_of
from fastfeat.progress import doing
from fastfeat.scalars.zones import using

Numbers = NDArray[np.int64]


def is_bounded(node: Call) -> bool:
    """Return whether a function of all rows sees the latest of them alone, in the order of time."""
    is_of_all = is_over_window(node) and len(query_of(order_of(node))) == 1
    return is_of_all and not live_reach(node).is_everything


def made_in_time(
    work: StageWork, given: Sequence[PlaceOnDisk], stack: ExitStack
) -> tuple[RowsOnDisk, int]:
    """Return functions of all rows on disk, and how many of these rows are of the history.

    Args:
        work: the stage, of bounded functions in one order.
        given: columns of earlier stages.
        stack: closes the file.

    Raises:
        InvalidData: a row is earlier than one before it.
        FastfeatError: of a row, by its number in the data.
    """
    none = functions_of(work, no_rows(work, given), None, given)
    stream = _Stream(work, given)
    with doing("windows over all rows, in the order of time"):
        groups = regrouped(stream.functions(), ROWS_AT_ONCE, sys.maxsize)
        made = on_disk(groups, none.schema, work.source.folder, stack)
    return made, stream.n_earlier


@dataclass(slots=True)
class _Past:
    """The rows that the next ones may see.

    Args:
        table: the rows.
        ticks: their times.
        places: among those of the history and of the data after them.
    """

    table: Table
    ticks: Numbers
    places: Numbers


class _Stream:
    """A stage over rows in the order of time.

    Args:
        work: the stage.
        given: columns of earlier stages.
    """

    def __init__(self, work: StageWork, given: Sequence[PlaceOnDisk]) -> None:
        """Have seen no row yet."""
        self.work, self.given = work, given
        has_history = isinstance(work.source.history, Dataset)
        self.n_earlier = sys.maxsize if has_history else 0  # until it is read
        self.time = order_of(work.stage.nodes[0]).args[0]
        self.reach: Reach = together([live_reach(node) for node in work.stage.nodes])
        self.origins: list[Origin] = []

    def functions(self) -> Generator[Table]:
        """Yield the functions of the rows, in order; of a history where later stages read them."""
        past: _Past | None = None
        held, first = no_rows(self.work, self.given), 0  # rows of the latest moment
        latest: int | None = None
        for more in self._tables():
            is_last = more is None
            rows = held if more is None else pa.concat_tables([held, more]).combine_chunks()
            ticks, present = self._ticks(rows)
            self._check_order(ticks, present, first, latest)
            known = ticks[present]
            cut = rows.num_rows
            if len(known):
                latest = int(known[-1])
                if not is_last:
                    cut = int(np.argmax(present & (ticks == latest)))
            part, places = rows.slice(0, cut), np.arange(first, first + cut)
            if cut:
                found = self._functions(part, places, past)
                n_left = 0 if self.work.stage.of_seen else int((places < self.n_earlier).sum())
                yield found.slice(n_left)
                there = present[:cut]
                own = _Past(part.filter(pa.array(there)), ticks[:cut][there], places[there])
                past = self._left(past, own, latest)
            held, first = rows.slice(cut), first + cut

    def _tables(self) -> Iterator[Table | None]:
        """Yield the rows of the history and of the data after them, and None at the end."""
        source, work = self.work.source, self.work
        n_before = 0
        if isinstance(source.history, Dataset):
            with naming_history():
                read_columns(source.history.schema.empty_table(), work.columns)
                for piece in self._scanned(source.history):
                    yield with_given(self._of_types(piece.table), self.given, piece.first_row)
                    n_before += piece.table.num_rows
            self.n_earlier = n_before
        known = [name for name in work.columns if name not in work.bound.late]
        read_columns(source.dataset.schema.empty_table(), known)
        for piece in self._scanned(source.dataset):
            self.origins.extend(piece.origins)
            table = self._of_types(piece.table)
            yield with_given(table, self.given, n_before + piece.first_row)
        yield None

    def _scanned(self, dataset: Dataset) -> Generator[Scanned]:
        """Yield the rows of a data set, with the columns that are read."""
        with closing(scan(dataset, self.work.columns, self.work.source.most_bytes)) as pieces:
            yield from pieces

    def _of_types(self, table: Table) -> Table:
        """Return rows whose columns have one Arrow type for a type: of both they are alike."""
        columns: dict[str, object] = {}
        for name in self.work.columns:
            dtype = self.work.bound.types[Column(name)]
            if name in table.column_names:
                columns[name] = as_type(table.column(name), name, dtype)
            else:
                columns[name] = pa.nulls(table.num_rows, arrow_type(dtype))
        return pa.table(columns) if columns else rows_only(table.num_rows)

    def _ticks(self, rows: Table) -> tuple[Numbers, NDArray[np.bool_]]:
        """Return the times of rows, and where there is one."""
        bound, time = self.work.bound, self.time
        read = [node for node in postorder([time]) if isinstance(node, TableColumn)]
        made = {**table_values({node: bound.types[node] for node in read}, bound.tables)}
        batch = Batch(rows, bound.types, bound.backend, dict(bound.learnt), made, bound.training)
        for node, column in zip(self.work.stage.given, _given_of(rows, self.given), strict=True):
            batch.made[node] = column
        with using(bound.zones):
            make(batch, [time])
            compute_columns(batch, [time])
            ticks, present, _ = times_in_ticks(batch, *values_of(batch, time))
        return ticks, np.broadcast_to(present, ticks.shape)

    def _check_order(
        self, ticks: Numbers, present: NDArray[np.bool_], first: int, latest: int | None
    ) -> None:
        """Raise where a row is earlier than one before it."""
        rows = np.flatnonzero(present)
        known: Numbers = ticks[rows]
        least = known[:1] if latest is None else np.array([latest], np.int64)
        earlier = np.flatnonzero(known < np.concatenate([least, known[:-1]])[: len(known)])
        if len(earlier):
            place = first + int(rows[earlier[0]])
            which = f"row {place - self.n_earlier}"
            if place < self.n_earlier:
                which = f"history=, row {place}"
            time, function = show(self.time), show(self.work.stage.nodes[0])
            raise InvalidData(
                f"{which}: {time} is earlier than in a row before it, and {function} sees all "
                f"rows: where data is read in pieces, they stand in the order of {time}. Sort "
                "them, or read the data whole"
            )

    def _functions(self, part: Table, places: Numbers, past: _Past | None) -> Table:
        """Return the functions of rows, of which errors tell the number in the data."""
        n = self.n_earlier
        numbers = np.where(places < n, places, places - n)
        earlier = None if past is None else past.table
        of_past = np.zeros(0, np.int64) if past is None else past.places
        of_past = np.where(of_past < n, of_past, of_past - n)
        everything = Scanned(rows_only(int(numbers[-1]) + 1), 0, tuple(self.origins))
        with telling_place(everything), renumbering(of_past, numbers):
            own = np.zeros(0, np.int64) if past is None else past.places
            return functions_of(
                self.work, part, earlier, self.given, own, places, is_continued=True
            )

    def _left(self, past: _Past | None, own: _Past, latest: int | None) -> _Past:
        """Return the rows that those from the latest moment on may see."""
        if past is not None:
            own = _Past(
                pa.concat_tables([past.table, own.table]),
                np.concatenate([past.ticks, own.ticks]),
                np.concatenate([past.places, own.places]),
            )
        if latest is None:
            return own
        start = int(np.searchsorted(own.ticks, latest))
        if self.reach.span is not None:
            dtype = self.work.bound.types[self.time]
            tick = tick_ns(dtype) if dtype.is_temporal else 1
            start = int(np.searchsorted(own.ticks, latest - -(-self.reach.span // tick)))
        start = max(0, start - (self.reach.n_rows or 0))
        table = own.table.slice(start).take(pa.array(np.arange(len(own.ticks) - start)))
        return _Past(table.combine_chunks(), own.ticks[start:], own.places[start:])


def _given_of(rows: Table, given: Sequence[PlaceOnDisk]) -> list[ChunkedArray]:
    """Return the columns of earlier stages of rows."""
    first = rows.num_columns - len(given)
    return [rows.column(first + k) for k in range(len(given))]
