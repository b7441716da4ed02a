"""Windows over data that is more than memory holds: functions of other rows, as columns on disk.

A pass over the data writes each row to the share of its entity. Then the functions are computed of
one share after the other in memory, and put into the order of the rows, in a file. Whoever reads
the rows again reads these columns beside them. Functions of another entity take a pass of their
own, and read those of an earlier one as they read any column.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import Backend, backend_named
from fastfeat.dtypes import DType
from fastfeat.engine.float_environment import in_ieee
from fastfeat.errors import GivenWarnings, InvalidPlan
from fastfeat.io.arrow import ChunkedArray, Table, pa
from fastfeat.io.sinks.file_writers import plainly
from fastfeat.io.sinks.parts import row_bytes
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.frames import rows_only
from fastfeat.io.sources.scan import Origin, Scanned, scan, telling_place
from fastfeat.ir.node import Call, Column, Node, TableColumn, postorder
from fastfeat.ir.scope import is_of_other_rows
from fastfeat.ir.show import show
from fastfeat.plan.declare.bind import Schemas
from fastfeat.plan.lower.constants import Learnt
from fastfeat.plan.lower.lower import Types
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.plan.lower.scheduling import schedule_of_columns
from fastfeat.plan.lower.task_graph import columns_read, without_made
from fastfeat.plan.run.batch import Batch
from fastfeat.plan.run.entities import SHARE, Stage, share_plan, stages_of
from fastfeat.plan.run.fitted import Fitted, InputSchema
from fastfeat.plan.run.history import (
    hint_of,
    is_batch,
    naming_history,
    warn_without_history,
    with_past,
)
from fastfeat.plan.run.inputs import column_in_host, read_columns
from fastfeat.plan.run.lookup_tables import Tables, table_values
from fastfeat.plan.run.order_warnings import warn_repeated
from fastfeat.plan.run.shares import (
    RowsOnDisk,
    ShareWriter,
    in_order,
    numbered,
    on_disk,
    put_away,
    renumbering,
    share_in,
    told_full,
)
from fastfeat.plan.run.steps import run
from fastfeat.plan.run.transform import transform
from fastfeat.plan.run.values import place_folds
from fastfeat.progress import doing
from fastfeat.scalars.zones import ZoneTable, using

_SHARE_BYTES = 32 << 20
_MOST_SHARES = 128
_BYTES_OF_FILES = 4
"""Bytes in memory for one in a file, where nobody knows the number of rows."""
_NONE: NDArray[np.int64] = np.zeros(0, np.int64)
_GIVEN = "given "
"""Begins the names of columns of earlier stages in shares."""


@dataclass(frozen=True, slots=True, eq=False)
class RowSource:
    """Rows whose functions of other rows are computed.

    Args:
        dataset: the rows.
        history: earlier rows; "batch" or None as of `FittedPlan.transform`.
        most_bytes: of rows that are read at a time, perhaps asked anew for each table.
        n_shares: how many shares there are; None for as many as have about 32 MiB each.
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


def bound_of(fitted: Fitted, tables: Tables, backend: str) -> Bound:
    """Return the types and tables that functions of a fitted plan are bound to."""
    return Bound(
        fitted.types,
        fitted.inputs,
        fitted.tables,
        fitted.zones,
        dict(fitted.constants),
        tables,
        fitted.declaration.late,
        fitted.told,
        False,
        backend_named(backend),
    )


def history_of(history: Any) -> Dataset | str | None:
    """Return earlier rows as a data set; "batch" and None are themselves.

    Raises:
        FastfeatError: it is no data; the message says that it is of the history.
    """
    if history is None or is_batch(history):
        return history
    with naming_history(hint_of(history)):
        return dataset_of(history)


def check_shared(features: Mapping[str, Node]) -> None:
    """Raise where rows that a feature sees are in no share together.

    Args:
        features: their expressions, by name.

    Raises:
        InvalidPlan: it names the first.
    """
    for name, node in features.items():
        unshared = _unshared([node])
        if unshared is not None:
            raise InvalidPlan(
                f"feature {name!r} sees all rows, {show(unshared)}, which are not together in any "
                "share of data that is read in pieces. Read the data whole, fitted.transform(data, "
                "history=...), or leave the feature out: fitted.select([...])"
            )


def is_shared(roots: Sequence[Node]) -> bool:
    """Return whether all rows that expressions see are in one share, of some key."""
    return _unshared(roots) is None


def _unshared(roots: Sequence[Node]) -> Call | None:
    """Return the first function of rows that have no key in common; None without one."""
    functions = [one for one in postorder(list(roots)) if is_of_other_rows(one)]
    return next((stage.nodes[0] for stage in stages_of(functions) if not stage.keys), None)


class _Place(NamedTuple):
    """The place of a column on disk.

    Args:
        rows: the columns.
        name: that of the column.
        n_earlier: how many rows of the history stand before those of the data.
    """

    rows: RowsOnDisk
    name: str
    n_earlier: int


class WindowColumns:
    """Functions of other rows as columns on disk: those that were made so far.

    Args:
        source: the rows.
    """

    def __init__(self, source: RowSource) -> None:
        """Hold nothing yet."""
        self.source = source
        self._places: dict[Call, _Place] = {}
        self._seen: dict[Call, _Place] = {}
        self._stack = ExitStack()
        self._finalizer = weakref.finalize(self, self._stack.close)

    def make(self, bound: Bound, nodes: Iterable[Call]) -> None:
        """Compute functions of all rows, as far as they are not there.

        Args:
            bound: what they are bound to; all that they read is learnt.
            nodes: the functions.

        Raises:
            InvalidPlan: one sees rows that have no key in common.
            FastfeatError: of a row, by its number in the data.
        """
        lacking = [node for node in nodes if node not in self._places]
        with told_full(self.source.folder):
            for stage in stages_of(lacking):
                there = self._seen if stage.of_seen else self._places
                own = tuple(node for node in stage.nodes if node not in there)
                if own:
                    self._make(bound, replace(stage, nodes=own))

    def of_rows(self, nodes: Iterable[Call], first: int, n_rows: int) -> dict[Node, ChunkedArray]:
        """Return functions of some rows, which are made.

        Args:
            nodes: the functions.
            first: the number of the first row.
            n_rows: how many.
        """
        read: dict[int, Table] = {}
        found: dict[Node, ChunkedArray] = {}
        for node in nodes:
            rows, name, n_earlier = self._places[node]
            if id(rows) not in read:
                read[id(rows)] = rows.rows(n_earlier + first, n_rows)
            found[node] = read[id(rows)].column(name)
        return found

    def close(self) -> None:
        """Give the files up."""
        self._finalizer()

    def _make(self, bound: Bound, stage: Stage) -> None:
        """Compute the functions of a stage, and put them into the order of rows on disk."""
        source, work = self.source, _begun(bound, stage, self.source)
        given = [self._seen[node] for node in stage.given]
        with ExitStack() as stack:
            past: Sequence[IO[bytes] | None] = [None] * work.n_shares
            n_earlier = 0
            if isinstance(source.history, Dataset):
                with naming_history():
                    earlier, _ = _split(work, source.history, given, 0, stack)
                past, n_earlier = earlier.ended(), earlier.n_rows
            rows, origins = _split(work, source.dataset, given, n_earlier, stack)
            none = _functions(work, _no_rows(work, given), None, given)
            with telling_place(Scanned(rows_only(rows.n_rows), 0, origins)):
                shares = [
                    _of_share(work, file, of_past, given, n_earlier)
                    for file, of_past in zip(rows.ended(), past, strict=True)
                ]
            n_rows = rows.n_rows + (n_earlier if stage.of_seen else 0)
            made = on_disk(in_order(shares), n_rows, none.schema, source.folder, self._stack)
        for node, name in zip(stage.nodes, none.column_names, strict=True):
            place = _Place(made, name, n_earlier if stage.of_seen else 0)
            self._places.setdefault(node, place)
            if stage.of_seen:
                self._seen[node] = place


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """A stage on its way.

    Args:
        bound: as of `WindowColumns.make`.
        stage: the functions.
        source: the rows.
        schedule: makes them.
        columns: of the data that they read.
        shares: gives the share of each row.
        n_shares: how many there are.
        programs: of expressions, kept from one share to the next.
    """

    bound: Bound
    stage: Stage
    source: RowSource
    schedule: Schedule
    columns: Sequence[str]
    shares: Fitted
    n_shares: int
    programs: dict[Any, Any] = field(default_factory=dict[Any, Any])


def _begun(bound: Bound, stage: Stage, source: RowSource) -> _Work:
    """Return a stage before its first row."""
    with using(bound.zones):
        whole = schedule_of_columns(stage.nodes, bound.types, training=bound.training)
        given = set(stage.given)
        places = {k for k, column in enumerate(whole.columns) if column.origin in given}
        schedule = without_made(whole, places)
        columns = columns_read(schedule)
        n_shares = source.n_shares or _n_shares(source, columns)
        options: Any = (bound.inputs, bound.schemas, bound.zones, bound.learnt)
        shares = share_plan(stage.keys, n_shares, *options)
    return _Work(bound, stage, source, schedule, columns, shares, n_shares)


def _n_shares(source: RowSource, columns: Sequence[str]) -> int:
    """Return how many shares are made: each has about 32 MiB of rows and history."""
    n_bytes = 0
    for of in (source.dataset, source.history):
        if not isinstance(of, Dataset):
            continue
        schema = pa.schema([field for field in of.schema if field.name in set(columns)])
        if of.n_rows is not None:
            n_bytes += of.n_rows * row_bytes(schema)
        elif of.identity is not None:
            n_bytes += _BYTES_OF_FILES * sum(size for _, size, _ in of.identity)
        else:
            return _MOST_SHARES // 4
    return min(max(1, -(-n_bytes // _SHARE_BYTES)), _MOST_SHARES)


def _split(
    work: _Work, dataset: Dataset, given: Sequence[_Place], first: int, stack: ExitStack
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
    keys = shares.declaration.row_columns
    names = list(dict.fromkeys([*work.columns, *keys]))
    late = () if dataset is source.history else work.bound.late
    read_columns(_no_rows_of(dataset), [name for name in names if name not in late])
    writer = ShareWriter(work.n_shares, source.folder, stack)
    origins: list[Origin] = []
    tables = stack.enter_context(closing(scan(dataset, names, source.most_bytes)))
    n_rows = dataset.n_rows or 0
    with doing(f"taking rows apart by {_shown(work.stage)}", n_rows) as step:
        for piece in tables:
            table, row = piece.table, piece.first_row
            found = transform(shares, table, tables=work.bound.tables, first_row=row)
            of_row: NDArray[np.int64] = found.column(SHARE).fill_null(0).to_numpy()
            numbers = np.array(range(row, row + table.num_rows), np.int64)
            for k, place in enumerate(given):
                column = place.rows.rows(first + row, table.num_rows)
                table = table.append_column(f"{_GIVEN}{k}", column.column(place.name))
            writer.add(table, of_row, numbers)
            origins.extend(piece.origins)
            step(writer.n_rows)
    return writer, tuple(origins)


def _shown(stage: Stage) -> str:
    return ", ".join(
        sorted(key.name if isinstance(key, Column) else show(key) for key in stage.keys)
    )


def _no_rows_of(dataset: Dataset) -> Table:
    return pa.Table.from_batches([], dataset.schema)


def _no_rows(work: _Work, given: Sequence[_Place]) -> Table:
    """Return the rows of an empty share."""
    dataset = work.source.dataset
    there = [name for name in work.columns if name in dataset.schema.names]
    table = _no_rows_of(dataset).select(there) if there else rows_only(0)
    for k, place in enumerate(given):
        table = table.append_column(f"{_GIVEN}{k}", place.rows.rows(0, 0).column(place.name))
    return table


def _of_share(
    work: _Work,
    file: IO[bytes],
    past: IO[bytes] | None,
    given: Sequence[_Place],
    n_earlier: int,
) -> Iterator[Table]:
    """Return the functions of a share, with the numbers of its rows, which rise."""
    rows, numbers = share_in(file)
    earlier, of_earlier = None, np.zeros(0, np.int64)
    if past is not None:
        earlier, of_earlier = share_in(past)
    with renumbering(of_earlier, numbers):
        found = _functions(work, rows, earlier, given, of_earlier, numbers, n_earlier)
    every = numbers
    if work.stage.of_seen:
        every = np.concatenate([of_earlier, n_earlier + numbers])
    return put_away(numbered(found, pa.array(every)), work.source.folder)


@in_ieee
def _functions(
    work: _Work,
    rows: Table,
    earlier: Table | None,
    given: Sequence[_Place],
    of_earlier: NDArray[np.int64] = _NONE,
    numbers: NDArray[np.int64] = _NONE,
    n_earlier: int = 0,
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
    """
    bound, stage, source = work.bound, work.stage, work.source
    nodes = postorder(list(stage.nodes))
    read: dict[TableColumn, DType] = {
        node: bound.types[node] for node in nodes if isinstance(node, TableColumn)
    }
    made = {**table_values(read, bound.tables)}
    of_given: list[Any] = []
    for k in range(len(given)):
        columns = [t.column(f"{_GIVEN}{k}") for t in (earlier, rows) if t is not None]
        of_given.append(
            pa.chunked_array(
                [c for column in columns for c in column.chunks], columns[0].type
            ).combine_chunks()
        )
    batch = Batch(
        *(rows, bound.types, bound.backend, dict(bound.learnt), made, bound.training),
        programs=work.programs,
    )
    batch = with_past(batch, earlier, work.columns)
    seen = batch.seen
    for node, column in zip(stage.given, of_given, strict=True):
        seen.made[node] = pa.chunked_array([column])
        batch.made[node] = seen.made[node].slice(batch.first_place)
    if source.history is None and not bound.training and rows.num_rows:
        warn_without_history(batch, stage.nodes, bound.told)
    if earlier is not None and not stage.of_seen:
        warn_repeated(batch, rows, earlier, stage.nodes, bound.told)
    if bound.training:
        every = np.concatenate([of_earlier, n_earlier + numbers])
        place_folds(seen, every, [column.origin for column in work.schedule.columns])
    own = seen if stage.of_seen else batch
    with using(bound.zones):
        run(own, work.schedule, frees=True)
    arrays = [column_in_host(own.made[node], bound.backend) for node in stage.nodes]
    return plainly(pa.table({str(k): array for k, array in enumerate(arrays)}))
