"""Window functions over rows sorted by time, in one pass that keeps only the latest rows.

Used if rows have no common key and so cannot be split into partitions, or if one entity has more
rows than memory holds. In rows sorted by time, a window of bounded length sees only the latest
rows, and only these are kept. Positions ("places") count the history rows and then the rows of the
data. A stage is a set of functions that are computed together; "given" columns are functions of
earlier stages.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from itertools import chain

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import InvalidData
from fastfeat.execute.batch import Batch
from fastfeat.execute.history import as_type, naming_history
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.lookup_tables import table_values
from fastfeat.execute.shares import ROWS_AT_ONCE, RowsOnDisk, renumbering, write_rows
from fastfeat.execute.stage_work import (
    SpilledColumn,
    StageWork,
    compute_stage,
    no_rows,
    with_stage_columns,
    without_stage_columns,
)
from fastfeat.execute.steps import make
from fastfeat.execute.values import compute_columns, key_values, times_in_ticks, values_of
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.types import arrow_type, tick_of
from fastfeat.io.sinks.parts import regroup_rows
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.frames import rows_only
from fastfeat.io.sources.scan import Origin, ScannedTable, scan, with_place_in_errors
from fastfeat.ir.node import Call, Column, Node, TableColumn, postorder
from fastfeat.ir.scope import is_over_window, order_of, query_of, window_nodes
from fastfeat.ir.show import show
from fastfeat.plan.declare.window_reach import Reach, history_reach, live_reach, merge_reaches
from fastfeat.progress import show_progress
from fastfeat.scalars.zones import use_zone_tables

RowNaming = Callable[[Int64Array, int], AbstractContextManager[object]]
"""Function `(places, n_past) -> context` in which errors name rows by their number in the data.

`places` are positions of the `n_past` earlier rows that windows see, then of the rows computed.
"""
_NONE: Int64Array = np.zeros(0, np.int64)


def is_bounded(node: Call) -> bool:
    """Return whether a window function sees all entities, but only the latest rows by time."""
    is_of_all = is_over_window(node) and len(query_of(order_of(node))) == 1
    return is_of_all and not live_reach(node).is_everything


def compute_in_time_order(
    work: StageWork, given: Sequence[SpilledColumn], stack: ExitStack
) -> tuple[RowsOnDisk, int]:
    """Compute a stage without keys; return its function values on disk, and the history's length.

    The length is in rows. `stack` closes the file of the values.

    Raises:
        InvalidData: A row is earlier than one before it.
        FastfeatError: A row cannot be computed, with its number in the data.
    """
    none = compute_stage(work, no_rows(work, given), None, given)
    nodes = work.stage.nodes
    time, reach = order_of(nodes[0]).args[0], merge_reaches([live_reach(node) for node in nodes])
    rows = _AllRows(work, given)
    stream = _Stream(work, given, time, reach)

    def functions() -> Generator[Table]:
        try:
            for found, places in stream.functions(rows.tables()):
                n_left = 0 if work.stage.of_seen else int((places < rows.n_earlier).sum())
                yield found.slice(n_left)
        except NotInOrder as error:
            raise rows.not_in_order(error.place, time) from None

    stream.telling = rows.telling
    with show_progress("computing windows over all rows, in time order"):
        groups = regroup_rows(functions(), ROWS_AT_ONCE, sys.maxsize)
        made = write_rows(groups, none.schema, work.source.folder, stack)
    return made, rows.n_earlier


def compute_share_in_time_order(
    work: StageWork,
    tables: Iterable[tuple[Table, Int64Array]],
    given: Sequence[SpilledColumn],
    telling: RowNaming,
) -> Iterator[tuple[Table, Int64Array]] | None:
    """Return an iterator over tables of window functions, each with the positions of its rows.

    A share is a hash partition of the rows. The result is None if a window sees more than the
    latest rows of an entity.

    Args:
        work: The stage.
        tables: Rows of the share and their positions, history first.
        given: Columns of earlier stages.
        telling: Context in which errors name rows by their number in the data.

    Raises:
        NotInOrder: During iteration, if a row is earlier than one before it.
    """
    nodes = work.stage.nodes
    inner = window_nodes(nodes)
    times = {order_of(node).args[0] for node in inner}
    reaches = [*history_reach(nodes).values()]
    is_of_all = any(not is_over_window(node) for node in nodes)
    if len(times) > 1 or is_of_all or any(reach.is_everything for reach in reaches):
        return None
    stream = _Stream(work, given, times.pop(), merge_reaches(reaches))
    stream.telling = telling
    if stream.reach.n_rows:
        stream.orders = list(dict.fromkeys(map(order_of, inner)))
    return stream.functions(chain(tables, [None]))


class NotInOrder(Exception):
    """Raised for a row with an earlier time than a row before it; `place` is its position."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


@dataclass(slots=True)
class _Past:
    """Earlier rows that the windows of the next rows may see.

    Args:
        table: The rows.
        ticks: Their times.
        places: Their positions in the history followed by the data.
    """

    table: Table
    ticks: Int64Array
    places: Int64Array


class _AllRows:
    """Reads the history and then the data, table by table, and names their rows in messages."""

    def __init__(self, work: StageWork, given: Sequence[SpilledColumn]) -> None:
        """Start without reading any row."""
        self.work, self.given = work, given
        has_history = isinstance(work.source.history, Dataset)
        self.n_earlier = sys.maxsize if has_history else 0  # until it is read
        self.origins: list[Origin] = []

    def tables(self) -> Iterator[tuple[Table, Int64Array] | None]:
        """Yield tables of rows with the rows' positions, and None at the end."""
        source, work = self.work.source, self.work
        n_before = 0
        if isinstance(source.history, Dataset):
            with naming_history():
                read_columns(source.history.schema.empty_table(), work.columns)
                for piece in self._scanned(source.history):
                    yield self._placed(piece, 0)
                    n_before += piece.table.num_rows
            self.n_earlier = n_before
        known = [name for name in work.columns if name not in work.bound.late]
        read_columns(source.dataset.schema.empty_table(), known)
        for piece in self._scanned(source.dataset):
            self.origins.extend(piece.origins)
            yield self._placed(piece, n_before)
        yield None

    def _placed(self, piece: ScannedTable, n_before: int) -> tuple[Table, Int64Array]:
        """Return a chunk of rows with the columns of earlier stages, and the rows' positions."""
        first = n_before + piece.first_row
        table = with_stage_columns(with_types(piece.table, self.work, 0), self.given, first)
        return table, np.arange(first, first + int(piece.table.num_rows))

    def _scanned(self, dataset: Dataset) -> Generator[ScannedTable]:
        """Yield the rows of a data set, with the columns that are read."""
        with closing(scan(dataset, self.work.columns, self.work.source.most_bytes)) as pieces:
            yield from pieces

    @contextmanager
    def telling(self, places: Int64Array, n_past: int = 0) -> Generator[None]:
        """Rewrite errors raised inside: rows are named by their number in the data and by file.

        `places` are the positions of the `n_past` earlier rows that windows see, then of the rows
        computed.
        """
        n = self.n_earlier
        numbers = np.where(places < n, places, places - n)
        everything = ScannedTable(
            rows_only(int(numbers.max(initial=0)) + 1), 0, tuple(self.origins)
        )
        with with_place_in_errors(everything), renumbering(numbers[:n_past], numbers[n_past:]):
            yield

    def not_in_order(self, place: int, time: Node) -> InvalidData:
        """Return the error for a row that is earlier than one before it."""
        which = f"row {place - self.n_earlier}"
        if place < self.n_earlier:
            which = f"history=, row {place}"
        told, function = show(time), show(self.work.stage.nodes[0])
        return InvalidData(
            f"{which}: {told} is earlier than in a previous row. {function} sees all rows, so "
            f"data that is read in pieces must be sorted by {told}. Sort the rows, or read the "
            "data whole"
        )


def with_types(table: Table, work: StageWork, n_given: int) -> Table:
    """Return the stage's columns with one Arrow type per dtype, so that all tables are alike.

    The last `n_given` columns are those of earlier stages, and stay unchanged.
    """
    own, of_given = without_stage_columns(table, n_given)
    columns: dict[str, object] = {}
    for name in work.columns:
        dtype = work.bound.types[Column(name)]
        if name in own.column_names:
            columns[name] = as_type(own.column(name), name, dtype)
        else:
            columns[name] = pa.nulls(own.num_rows, arrow_type(dtype))
    found = pa.table(columns) if columns else rows_only(table.num_rows)
    for field, column in zip(list(table.schema)[own.num_columns :], of_given, strict=True):
        found = found.append_column(field, column)
    return found


class _Stream:
    """Computes the functions of a stage over rows that arrive sorted by time.

    Args:
        work: The stage.
        given: Columns of earlier stages.
        time: The time that rows are sorted by.
        reach: How far back the functions see: a time span, a number of rows, or both.
    """

    def __init__(
        self, work: StageWork, given: Sequence[SpilledColumn], time: Node, reach: Reach
    ) -> None:
        """Start without any row."""
        self.work, self.given, self.time, self.reach = work, given, time, reach
        self.orders: list[Call] = []  # keep the latest rows per entity of these; empty: of all rows
        self.telling: RowNaming | None = None

    def functions(
        self, tables: Iterable[tuple[Table, Int64Array] | None]
    ) -> Generator[tuple[Table, Int64Array]]:
        """Yield function values of each table's rows, and the rows' positions, in order.

        Rows of the latest time wait for the next table, which may hold more of them. `tables` ends
        with None.
        """
        past: _Past | None = None
        held, places = no_rows(self.work, self.given), _NONE  # rows of the latest time
        held = with_types(held, self.work, len(self.given))
        latest: int | None = None
        for more in tables:
            rows = held
            if more is not None:
                rows = pa.concat_tables([held, more[0]]).combine_chunks()
                places = np.concatenate([places, more[1]])
            ticks, present = self._ticks(rows)
            _check_order(ticks, present, places, latest)
            known, cut = ticks[present], rows.num_rows
            if len(known):
                latest = int(known[-1])
                if more is not None:
                    cut = int(np.argmax(present & (ticks == latest)))
            part, own = rows.slice(0, cut), places[:cut]
            if cut:
                yield self._functions(part, own, past), own
                there = present[:cut]
                added = _Past(part.filter(pa.array(there)), ticks[:cut][there], own[there])
                past = self._left(past, added, latest)
            held, places = rows.slice(cut), places[cut:]

    def _ticks(self, rows: Table) -> tuple[Int64Array, NDArray[np.bool_]]:
        """Return the times of rows, and flags of rows with a time."""
        batch = self._batch(rows, [self.time])
        ticks, present, _ = times_in_ticks(batch, *values_of(batch, self.time))
        return ticks, np.broadcast_to(present, ticks.shape)

    def _functions(self, part: Table, places: Int64Array, past: _Past | None) -> Table:
        """Return the function values of the rows in `part`; windows also see the rows in `past`."""
        earlier, of_past = (None, _NONE) if past is None else (past.table, past.places)
        every = np.concatenate([of_past, places])
        told = nullcontext() if self.telling is None else self.telling(every, len(of_past))
        with told:
            return compute_stage(
                self.work, part, earlier, self.given, of_past, places, is_continued=True
            )

    def _left(self, past: _Past | None, own: _Past, latest: int | None) -> _Past:
        """Return the rows of `past` and `own` that a row at time `latest` or later can see."""
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
            tick = tick_of(dtype)
            start = int(np.searchsorted(own.ticks, latest - -(-self.reach.span // tick)))
        left = np.arange(max(0, start - (self.reach.n_rows or 0)), len(own.ticks))
        if self.orders:
            left = np.union1d(self._latest_of_each(own.table.slice(0, start)), left[left >= start])
        table = own.table.take(pa.array(left)).combine_chunks()
        return _Past(table, own.ticks[left], own.places[left])

    def _latest_of_each(self, rows: Table) -> Int64Array:
        """Return the positions in `rows` of each entity's latest rows, as many as windows can see.

        Each order has its own entity keys. The result has the latest rows of the entities of all
        orders.
        """
        found: list[Int64Array] = [_NONE]
        for order in self.orders:
            keys = query_of(order)[1:]
            batch = self._batch(rows, keys)
            codes = np.zeros(rows.num_rows, np.int64)
            for key in keys:
                values = decode_column(key_values(batch, key, narrow=False)).combine_chunks()
                coded: NDArray[np.int32] = values.dictionary_encode("encode").indices.to_numpy()
                codes = np.unique(codes * (rows.num_rows + 1) + coded, return_inverse=True)[1]
            by_entity = np.argsort(codes, kind="stable")
            ends = np.searchsorted(codes[by_entity], codes[by_entity], side="right")
            is_latest = ends - np.arange(len(codes)) <= (self.reach.n_rows or 0)
            found.append(by_entity[is_latest])
        return np.unique(np.concatenate(found))

    def _batch(self, rows: Table, nodes: Sequence[Node]) -> Batch:
        """Return the rows as a batch with the given expressions computed."""
        bound = self.work.bound
        read = [node for node in postorder(list(nodes)) if isinstance(node, TableColumn)]
        made = {**table_values({node: bound.types[node] for node in read}, bound.tables)}
        own, of_given = without_stage_columns(rows, len(self.given))
        batch = Batch(own, bound.types, bound.backend, dict(bound.learnt), made, bound.training)
        for node, column in zip(self.work.stage.given, of_given, strict=True):
            batch.made[node] = column
        with use_zone_tables(bound.zones):
            make(batch, nodes)
            compute_columns(batch, nodes)
        return batch


def _check_order(
    ticks: Int64Array, present: NDArray[np.bool_], places: Int64Array, latest: int | None
) -> None:
    """Raise NotInOrder if a row has an earlier time than a row before it.

    `latest` is the latest time of rows before these; None if there are none.
    """
    rows = np.flatnonzero(present)
    known: Int64Array = ticks[rows]
    least = known[:1] if latest is None else np.array([latest], np.int64)
    earlier = np.flatnonzero(known < np.concatenate([least, known[:-1]])[: len(known)])
    if len(earlier):
        raise NotInOrder(int(places[rows[earlier[0]]]))
