"""A stage of functions of other rows on its way: rows by entity, and what is made of shares."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import Backend
from fastfeat.engine.float_environment import in_ieee
from fastfeat.errors import GivenWarnings, OutOfMemory
from fastfeat.execute.batch import Batch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.entities import SHARE, Stage, share_plan
from fastfeat.execute.fitted import Fitted, InputSchema
from fastfeat.execute.history import warn_without_history, with_past
from fastfeat.execute.inputs import column_in_host, read_columns
from fastfeat.execute.lookup_tables import Tables, table_values
from fastfeat.execute.order_warnings import n_tied, ordered_windows, warn_repeated
from fastfeat.execute.shares import (
    RowsOnDisk,
    ShareWriter,
    numbered,
    put_away,
    renumbering,
    share_in,
)
from fastfeat.execute.steps import run
from fastfeat.execute.transform import transform
from fastfeat.execute.values import place_folds
from fastfeat.io.arrow import ChunkedArray, Table, pa, schema_within
from fastfeat.io.budget import check_within, lacking
from fastfeat.io.columns.types import row_bytes
from fastfeat.io.host_memory import as_bytes
from fastfeat.io.sinks.file_writers import plainly
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.frames import rows_only
from fastfeat.io.sources.scan import Origin, scan
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call, Column, Node, TableColumn, postorder
from fastfeat.ir.show import show
from fastfeat.plan.declare.bind import Schemas
from fastfeat.plan.lower.constants import Learnt
from fastfeat.plan.lower.lower import Types
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.plan.lower.scheduling import schedule_of_columns
from fastfeat.plan.lower.task_graph import columns_read, without_made
from fastfeat.progress import doing
from fastfeat.scalars.zones import ZoneTable, using

_LEAST_SHARE, _MOST_SHARE = 1 << 20, 32 << 20
_TABLES_A_SHARE = 2
"""Work on a share takes about four times as many bytes, and so much room is eight tables."""
WORK = "computing windows"
"""What is done last, where a budget is exceeded."""
_WORK_BYTES = 3
"""Bytes that work on a share takes, at least, for one of it."""
_MOST_SHARES = 128
_BYTES_OF_FILES = 4
"""Bytes in memory for one in a file, where nobody knows the number of rows."""
_NONE: NDArray[np.int64] = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class RowSource:
    """Rows whose functions of other rows are computed.

    Args:
        dataset: the rows.
        history: earlier rows; "batch" or None as of `FittedPlan.transform`.
        most_bytes: of rows that are read at a time, perhaps asked anew for each table.
        n_shares: how many shares there are; None for as many as have `share_bytes` each.
        folder: where files without names go; None for that of the system.
    """

    dataset: Dataset
    history: Dataset | str | None
    most_bytes: int | Callable[[], int]
    n_shares: int | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """Functions of other rows bound to types, and what is learnt that they read.

    Args:
        types: type of every node.
        inputs: type of each column of the data.
        schemas: the same of tables.
        zones: the tables of time zones.
        learnt: what is learnt.
        tables: lookup tables.
        late: columns that the data may lack.
        told: the warnings that came.
        training: whether the rows are those that are learnt from.
        backend: computes.
    """

    types: Types
    inputs: InputSchema
    schemas: Schemas
    zones: dict[str, ZoneTable]
    learnt: Learnt
    tables: Tables
    late: Collection[str]
    told: GivenWarnings
    training: bool
    backend: Backend


class PlaceOnDisk(NamedTuple):
    """The place of a column on disk.

    Args:
        rows: the columns.
        name: that of the column.
        n_earlier: how many rows of the history stand before those of the data.
    """

    rows: RowsOnDisk
    name: str
    n_earlier: int


@dataclass(frozen=True, slots=True, eq=False)
class StageWork:
    """A stage on its way.

    Args:
        bound: as of `WindowColumns.make`.
        stage: the functions.
        source: the rows.
        schedule: makes them.
        columns: of the data that they read.
        shares: gives the share of each row; None where rows have no key.
        n_shares: how many there are.
        windows: a window of each order that takes rows of one moment as they stand, of training.
        programs: of expressions, kept from one share to the next.
        n_tied: how many rows of one entity have one moment, of each of these windows.
    """

    bound: Bound
    stage: Stage
    source: RowSource
    schedule: Schedule
    columns: Sequence[str]
    shares: Fitted | None
    n_shares: int
    windows: dict[Call, Node]
    programs: dict[Any, Any] = field(default_factory=dict[Any, Any])
    n_tied: Counter[Node] = field(default_factory=Counter[Node])


def begun(bound: Bound, stage: Stage, source: RowSource) -> StageWork:
    """Return a stage before its first row."""
    with using(bound.zones):
        whole = schedule_of_columns(stage.nodes, bound.types, training=bound.training)
        given = set(stage.given)
        places = {k for k, column in enumerate(whole.columns) if column.origin in given}
        schedule = without_made(whole, places)
        columns = columns_read(schedule)
        n_shares = source.n_shares or _n_shares(source, columns)
        options: Any = (bound.inputs, bound.schemas, bound.zones, bound.learnt)
        shares = share_plan(stage.keys, n_shares, *options) if stage.keys else None
    windows = dict[Call, Node]()
    for by_learnt in (False, True) if bound.training else ():
        windows |= ordered_windows(stage.nodes, by_learnt=by_learnt, known=stage.given)
    return StageWork(bound, stage, source, schedule, columns, shares, n_shares, windows)


def _n_shares(source: RowSource, columns: Sequence[str]) -> int:
    """Return how many shares are made of rows and history."""
    n_bytes = 0
    for of in (source.dataset, source.history):
        if not isinstance(of, Dataset):
            continue
        schema = schema_within(of.schema, columns)
        if of.n_rows is not None:
            n_bytes += of.n_rows * row_bytes(schema)
        elif of.identity is not None:
            n_bytes += _BYTES_OF_FILES * sum(size for _, size, _ in of.identity)
        else:
            return _MOST_SHARES // 4
    return min(max(1, -(-n_bytes // share_bytes(source))), _MOST_SHARES)


def share_bytes(source: RowSource) -> int:
    """Return about how many bytes a share has, so that work on it has room in a budget."""
    of = source.most_bytes
    table = of if isinstance(of, int) else of()
    return min(_MOST_SHARE, max(_LEAST_SHARE, _TABLES_A_SHARE * table))


def split(
    work: StageWork, dataset: Dataset, given: Sequence[PlaceOnDisk], first: int, stack: ExitStack
) -> tuple[ShareWriter, tuple[Origin, ...]]:
    """Return the writer of the rows of each share, in order, and the places that rows come from.

    Args:
        work: the stage.
        dataset: the rows, or the history.
        given: columns of earlier stages.
        first: the place of the first row in these.
        stack: closes files.
    """
    shares, source = work.shares, work.source
    assert shares is not None
    keys = shares.declaration.row_columns
    names = list(dict.fromkeys([*work.columns, *keys]))
    late = () if dataset is source.history else work.bound.late
    read_columns(_empty(dataset), [name for name in names if name not in late])
    writer = ShareWriter(work.n_shares, source.folder, stack)
    origins: list[Origin] = []
    tables = stack.enter_context(closing(scan(dataset, names, source.most_bytes)))
    n_rows = dataset.n_rows or 0
    with doing(f"taking rows apart by {_shown(work.stage)}", n_rows) as step:
        for piece in tables:
            table, row = piece.table, piece.first_row
            rows = CallRows(table, tables=work.bound.tables)
            found = transform(shares, rows, first_row=row)
            of_row: NDArray[np.int64] = found.column(SHARE).fill_null(0).to_numpy()
            numbers = np.array(range(row, row + table.num_rows), np.int64)
            writer.add(with_given(table, given, first + row), of_row, numbers)
            origins.extend(piece.origins)
            step(writer.n_rows)
    return writer, tuple(origins)


def _shown(stage: Stage) -> str:
    return ", ".join(
        sorted(key.name if isinstance(key, Column) else show(key) for key in stage.keys)
    )


def _empty(dataset: Dataset) -> Table:
    return pa.Table.from_batches([], dataset.schema)


def no_rows(work: StageWork, given: Sequence[PlaceOnDisk]) -> Table:
    """Return the rows of an empty share."""
    dataset = work.source.dataset
    there = [name for name in work.columns if name in dataset.schema.names]
    table = _empty(dataset).select(there) if there else rows_only(0)
    return with_given(table, given, 0)


def with_given(table: Table, given: Sequence[PlaceOnDisk], first: int) -> Table:
    """Return rows with columns of earlier stages behind theirs, which may have any names.

    Args:
        table: the rows.
        given: the columns.
        first: the place of the first row in these.
    """
    for place in given:
        column = place.rows.rows(first, table.num_rows).column(place.name)
        table = table.append_column(place.name, column)
    return table


def without_given(table: Table, n_given: int) -> tuple[Table, list[ChunkedArray]]:
    """Return rows without the columns of earlier stages, which are their last ones, and these."""
    n_own = table.num_columns - n_given
    return table.select(range(n_own)), table.columns[n_own:]


def of_share(
    work: StageWork,
    file: IO[bytes],
    past: IO[bytes] | None,
    given: Sequence[PlaceOnDisk],
    n_earlier: int,
    sizes: Sequence[int],
) -> Iterator[Table]:
    """Return the functions of a share, with the numbers of its rows, which rise.

    Args:
        work: the stage.
        file: the rows.
        past: those of the history; None without one.
        given: columns of earlier stages.
        n_earlier: how many rows the whole history has.
        sizes: bytes of each share of the stage.

    Raises:
        OutOfMemory: a budget has no room for it.
    """
    _check_room(work, sum(map(bytes_in, (past, file))), sizes)
    rows, numbers = share_in(file)
    earlier, of_earlier = None, np.zeros(0, np.int64)
    if past is not None:
        earlier, of_earlier = share_in(past)
    with renumbering(of_earlier, numbers):
        found = functions_of(work, rows, earlier, given, of_earlier, numbers, n_earlier)
    every = numbers
    if work.stage.of_seen:
        every = np.concatenate([of_earlier, n_earlier + numbers])
    check_within(WORK)
    return put_away(iter([numbered(found, pa.array(every))]), work.source.folder)


def bytes_in(file: IO[bytes] | None) -> int:
    """Return the bytes of the file of a share; 0 without one."""
    return 0 if file is None else file.seek(0, os.SEEK_END)


def _check_room(work: StageWork, n_bytes: int, sizes: Sequence[int]) -> None:
    """Raise where a budget has no room for a share of so many bytes.

    The budget that is named has room for the largest share. With more memory there are fewer
    shares, and an entity has more others in its share: it has room for these, too.

    Raises:
        OutOfMemory: it has none.
    """
    largest, of_all = max(sizes), sum(sizes)
    others = (of_all - largest) // max(1, of_all // _MOST_SHARE)
    enough = lacking(_WORK_BYTES * n_bytes, _WORK_BYTES * (largest - n_bytes + others))
    if enough is not None:
        raise OutOfMemory(
            f"{show(work.stage.nodes[0])}: rows that are in memory together, since they have one "
            f"{_shown(work.stage)} or are in one share with those, are {as_bytes(n_bytes)}, and "
            f"work on them takes {_WORK_BYTES} times as much. Give "
            f'memory="{enough}" or more. Where rows stand in the order of time and '
            "windows are of bounded length, fewer are in memory at once"
        )


@in_ieee
def functions_of(
    work: StageWork,
    rows: Table,
    earlier: Table | None,
    given: Sequence[PlaceOnDisk],
    of_earlier: NDArray[np.int64] = _NONE,
    numbers: NDArray[np.int64] = _NONE,
    n_earlier: int = 0,
    *,
    is_continued: bool = False,
) -> Table:
    """Return the functions of rows, or of what windows see of them where later stages read that.

    Args:
        work: the stage.
        rows: with columns of earlier stages.
        earlier: the same of a history; None without one.
        given: these columns.
        of_earlier: the numbers of the rows of the history.
        numbers: those of the rows.
        n_earlier: how many rows the whole history has.
        is_continued: whether earlier rows are of the data too, of which all is made.
    """
    bound, stage, source = work.bound, work.stage, work.source
    nodes = postorder(list(stage.nodes))
    read: dict[TableColumn, DType] = {
        node: bound.types[node] for node in nodes if isinstance(node, TableColumn)
    }
    made = {**table_values(read, bound.tables)}
    rows, of_given = without_given(rows, len(given))
    of_tables = [of_given]
    if earlier is not None:
        earlier, of_earlier_rows = without_given(earlier, len(given))
        of_tables.insert(0, of_earlier_rows)
    batch = Batch(
        *(rows, bound.types, bound.backend, dict(bound.learnt), made, bound.training),
        programs=work.programs,
    )
    batch = with_past(batch, earlier, work.columns)
    seen = batch.seen
    for node, *columns in zip(stage.given, *of_tables, strict=True):
        chunks = [chunk for column in columns for chunk in column.chunks]
        whole = pa.chunked_array(chunks, columns[0].type).combine_chunks()
        seen.made[node] = pa.chunked_array([whole])
        batch.made[node] = seen.made[node].slice(batch.first_place)
    if source.history is None and not bound.training and rows.num_rows:
        warn_without_history(batch, stage.nodes, bound.told)
    if earlier is not None and not stage.of_seen and not is_continued:
        warn_repeated(batch, rows, earlier, stage.nodes, bound.told)
    if bound.training:
        every = np.concatenate([of_earlier, n_earlier + numbers])
        place_folds(seen, every, [column.origin for column in work.schedule.columns])
    own = seen if stage.of_seen and not is_continued else batch
    with using(bound.zones):
        for order, window in work.windows.items():
            first = batch.first_place if is_continued else 0
            work.n_tied[window] += n_tied(seen, order, first, is_coming=True)
        run(own, work.schedule, frees=True)
    arrays = [column_in_host(own.made[node], bound.backend) for node in stage.nodes]
    return plainly(pa.table({str(k): array for k, array in enumerate(arrays)}))
