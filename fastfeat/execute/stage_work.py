"""Computing the window functions of one stage: rows are split by entity into shares on disk.

A stage holds functions with common entity keys. A share is one hash partition of the rows. "Given"
columns are functions of earlier stages that this stage reads. Positions of rows count the history
first, if it is stored too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.backends import Backend
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import OutOfMemory, WarningHistory
from fastfeat.execute.batch import Batch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.entities import SHARE, WindowStage, share_plan
from fastfeat.execute.fitted import Fitted, InputSchema
from fastfeat.execute.history import warn_without_history, with_past
from fastfeat.execute.inputs import column_in_host, read_columns
from fastfeat.execute.lookup_tables import Tables, table_values
from fastfeat.execute.order_warnings import n_tied, ordered_windows, warn_repeated
from fastfeat.execute.shares import (
    RowsOnDisk,
    ShareWriter,
    read_share,
    renumbering,
    spill_tables,
    with_row_numbers,
)
from fastfeat.execute.steps import run
from fastfeat.execute.transform import transform
from fastfeat.execute.values import place_folds
from fastfeat.io.arrow import ChunkedArray, Table, pa, schema_within
from fastfeat.io.budget import check_within, sufficient_budget
from fastfeat.io.columns.types import row_bytes
from fastfeat.io.host_memory import as_bytes
from fastfeat.io.sinks.file_writers import without_dictionaries
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.frames import rows_only
from fastfeat.io.sources.scan import Origin, scan
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call, Column, Node, TableColumn, postorder
from fastfeat.ir.show import show
from fastfeat.plan.declare.bind import TableTypes
from fastfeat.plan.lower.constants import LearntValues
from fastfeat.plan.lower.lower import NodeTypes
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.plan.lower.scheduling import schedule_of_columns
from fastfeat.plan.lower.task_graph import columns_read, drop_computed
from fastfeat.progress import show_progress
from fastfeat.scalars.zones import use_zone_tables

if TYPE_CHECKING:
    from fastfeat.scalars.zone_files import ZoneTable

_LEAST_SHARE, _MOST_SHARE = 1 << 20, 32 << 20
_TABLES_A_SHARE = 2
"""Size of a share, in tables read at a time. Work on it needs about four times its bytes."""
WORK = "computing windows"
"""Name of the current work in the error for an exceeded budget."""
_WORK_BYTES = 3
"""Working memory per byte of a share, at least."""
_MOST_SHARES = 128
_BYTES_OF_FILES = 4
"""Bytes in memory per byte in a file, if the number of rows is unknown."""
_NONE: NDArray[np.int64] = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class RowSource:
    """The rows for which window functions are computed.

    Args:
        dataset: The rows.
        history: Earlier rows; "batch" or None have the meaning that they have in
            `FittedPlan.transform`.
        most_bytes: Most bytes of rows read at a time; a function is called anew for each table.
        n_shares: Number of shares; None for shares of about `share_bytes` each.
        folder: Folder of temporary files; None for the system's.
    """

    dataset: Dataset
    history: Dataset | str | None
    most_bytes: int | Callable[[], int]
    n_shares: int | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class WindowContext:
    """Everything that window functions need beside the rows: types, learned values, lookup tables.

    Args:
        types: Type of every node.
        inputs: Type of each column of the data.
        schemas: Column types of each lookup table.
        zones: Time zone tables.
        learnt: Learned values.
        tables: Lookup tables.
        late: Columns that the data may lack.
        told: Warnings given so far.
        training: Whether these are the training rows.
        backend: Computes the functions.
    """

    types: NodeTypes
    inputs: InputSchema
    schemas: TableTypes
    zones: dict[str, ZoneTable]
    learnt: LearntValues
    tables: Tables
    late: Collection[str]
    told: WarningHistory
    training: bool
    backend: Backend


class SpilledColumn(NamedTuple):
    """The location of one function's column of an earlier stage on disk.

    Args:
        rows: The stored columns.
        name: Name of the column.
        n_earlier: Number of history rows stored before the rows of the data.
    """

    rows: RowsOnDisk
    name: str
    n_earlier: int


@dataclass(frozen=True, slots=True, eq=False)
class StageWork:
    """The state of a stage while it is computed.

    Args:
        bound: The functions with types and learned values.
        stage: The functions.
        source: The rows.
        schedule: The tasks that compute the functions.
        columns: Columns of the data that the functions read.
        shares: Plan that computes the share of each row; None if the stage has no key.
        n_shares: Number of shares.
        windows: For training rows, one window per order (time column and entity keys) with a
            result that depends on the order of rows with equal times.
        programs: Programs of expressions, reused from one share to the next.
        n_tied: For each of these windows, the number of rows that have the entity and time of
            another row.
    """

    bound: WindowContext
    stage: WindowStage
    source: RowSource
    schedule: Schedule
    columns: Sequence[str]
    shares: Fitted | None
    n_shares: int
    windows: dict[Call, Node]
    programs: dict[Any, Any] = field(default_factory=dict[Any, Any])
    n_tied: Counter[Node] = field(default_factory=Counter[Node])


def open_stage(bound: WindowContext, stage: WindowStage, source: RowSource) -> StageWork:
    """Return the state of a stage before its first row is read."""
    with use_zone_tables(bound.zones):
        whole = schedule_of_columns(stage.nodes, bound.types, training=bound.training)
        given = set(stage.given)
        places = {k for k, column in enumerate(whole.columns) if column.origin in given}
        schedule = drop_computed(whole, places)
        columns = columns_read(schedule)
        n_shares = source.n_shares or _n_shares(source, columns)
        options: Any = (bound.inputs, bound.schemas, bound.zones, bound.learnt)
        shares = share_plan(stage.keys, n_shares, *options) if stage.keys else None
    windows = dict[Call, Node]()
    for by_learnt in (False, True) if bound.training else ():
        windows |= ordered_windows(stage.nodes, by_learnt=by_learnt, known=stage.given)
    return StageWork(bound, stage, source, schedule, columns, shares, n_shares, windows)


def _n_shares(source: RowSource, columns: Sequence[str]) -> int:
    """Return the number of shares for the rows and their history."""
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
    """Return the approximate size of a share in bytes, so that work on it fits the budget."""
    of = source.most_bytes
    table = of if isinstance(of, int) else of()
    return min(_MOST_SHARE, max(_LEAST_SHARE, _TABLES_A_SHARE * table))


def split(
    work: StageWork, dataset: Dataset, given: Sequence[SpilledColumn], first: int, stack: ExitStack
) -> tuple[ShareWriter, tuple[Origin, ...]]:
    """Write each row to the file of its share; return the writer, and the data files of the rows.

    Args:
        work: The stage.
        dataset: The rows, or the history.
        given: Columns of earlier stages.
        first: Position of the first row in these columns.
        stack: Closes the files.
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
    with show_progress(f"splitting rows by {_shown(work.stage)}", n_rows) as step:
        for piece in tables:
            table, row = piece.table, piece.first_row
            rows = CallRows(table, tables=work.bound.tables)
            found = transform(shares, rows, first_row=row)
            of_row: NDArray[np.int64] = found.column(SHARE).fill_null(0).to_numpy()
            numbers = np.array(range(row, row + table.num_rows), np.int64)
            writer.add(with_stage_columns(table, given, first + row), of_row, numbers)
            origins.extend(piece.origins)
            step(writer.n_rows)
    return writer, tuple(origins)


def _shown(stage: WindowStage) -> str:
    return ", ".join(
        sorted(key.name if isinstance(key, Column) else show(key) for key in stage.keys)
    )


def _empty(dataset: Dataset) -> Table:
    return pa.Table.from_batches([], dataset.schema)


def no_rows(work: StageWork, given: Sequence[SpilledColumn]) -> Table:
    """Return a table without rows that has the columns of a share."""
    dataset = work.source.dataset
    there = [name for name in work.columns if name in dataset.schema.names]
    table = _empty(dataset).select(there) if there else rows_only(0)
    return with_stage_columns(table, given, 0)


def with_stage_columns(table: Table, given: Sequence[SpilledColumn], first: int) -> Table:
    """Return the table with the columns of earlier stages appended; names may repeat.

    `first` is the position of the table's first row in these columns.
    """
    for place in given:
        column = place.rows.rows(first, table.num_rows).column(place.name)
        table = table.append_column(place.name, column)
    return table


def without_stage_columns(table: Table, n_given: int) -> tuple[Table, list[ChunkedArray]]:
    """Return the table without its last `n_given` columns, and those columns."""
    n_own = table.num_columns - n_given
    return table.select(range(n_own)), table.columns[n_own:]


def compute_share(
    work: StageWork,
    file: IO[bytes],
    past: IO[bytes] | None,
    given: Sequence[SpilledColumn],
    n_earlier: int,
    sizes: Sequence[int],
) -> Iterator[Table]:
    """Return an iterator over tables of one share's functions, with row numbers as the last column.

    Args:
        work: The stage.
        file: Rows of the share.
        past: History rows of the share; None without history.
        given: Columns of earlier stages.
        n_earlier: Number of rows of the whole history.
        sizes: Bytes of each share of the stage.

    Raises:
        OutOfMemory: The budget has no room for the share.
    """
    _check_room(work, sum(map(bytes_in, (past, file))), sizes)
    rows, numbers = read_share(file)
    earlier, of_earlier = None, np.zeros(0, np.int64)
    if past is not None:
        earlier, of_earlier = read_share(past)
    with renumbering(of_earlier, numbers):
        found = compute_stage(work, rows, earlier, given, of_earlier, numbers, n_earlier)
    every = numbers
    if work.stage.of_seen:
        every = np.concatenate([of_earlier, n_earlier + numbers])
    check_within(WORK)
    return spill_tables(iter([with_row_numbers(found, pa.array(every))]), work.source.folder)


def bytes_in(file: IO[bytes] | None) -> int:
    """Return the size in bytes of a share's file; 0 without one."""
    return 0 if file is None else file.seek(0, os.SEEK_END)


def _check_room(work: StageWork, n_bytes: int, sizes: Sequence[int]) -> None:
    """Raise OutOfMemory if the budget has no room for a share of `n_bytes`.

    The budget named in the message has room for the largest share. With more memory there are fewer
    shares, and each holds more entities: the budget has room for these as well.
    """
    largest, of_all = max(sizes), sum(sizes)
    others = (of_all - largest) // max(1, of_all // _MOST_SHARE)
    enough = sufficient_budget(_WORK_BYTES * n_bytes, _WORK_BYTES * (largest - n_bytes + others))
    if enough is not None:
        raise OutOfMemory(
            f"{show(work.stage.nodes[0])}: all rows of one {_shown(work.stage)} must be in memory "
            "together, with other rows of the same part of the data. The rows of this part take "
            f"{as_bytes(n_bytes)}, and work on them takes {_WORK_BYTES} times as much. Give "
            f'memory="{enough}" or more. With rows in time order and windows of bounded length, '
            "fewer rows are in memory at once"
        )


@with_ieee_arithmetic
def compute_stage(
    work: StageWork,
    rows: Table,
    earlier: Table | None,
    given: Sequence[SpilledColumn],
    of_earlier: NDArray[np.int64] = _NONE,
    numbers: NDArray[np.int64] = _NONE,
    n_earlier: int = 0,
    *,
    is_continued: bool = False,
) -> Table:
    """Return a table with one column per function of the stage, and one row per row of `rows`.

    If later stages read the functions, the table also has the history rows, which come first.

    Args:
        work: The stage.
        rows: Rows with the columns of earlier stages.
        earlier: History rows with the same columns; None without history.
        given: The columns of earlier stages.
        of_earlier: Row numbers of the history rows.
        numbers: Row numbers of `rows`.
        n_earlier: Number of rows of the whole history.
        is_continued: Whether `earlier` holds rows of the data whose functions were computed before.
    """
    bound, stage, source = work.bound, work.stage, work.source
    nodes = postorder(list(stage.nodes))
    read: dict[TableColumn, DType] = {
        node: bound.types[node] for node in nodes if isinstance(node, TableColumn)
    }
    made = {**table_values(read, bound.tables)}
    rows, of_given = without_stage_columns(rows, len(given))
    of_tables = [of_given]
    if earlier is not None:
        earlier, of_earlier_rows = without_stage_columns(earlier, len(given))
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
    with use_zone_tables(bound.zones):
        for order, window in work.windows.items():
            first = batch.first_place if is_continued else 0
            work.n_tied[window] += n_tied(seen, order, first, is_coming=True)
        run(own, work.schedule, frees=True)
    arrays = [column_in_host(own.made[node], bound.backend) for node in stage.nodes]
    return without_dictionaries(pa.table({str(k): array for k, array in enumerate(arrays)}))
