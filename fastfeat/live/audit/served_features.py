"""Training from the stream: the features that a state served, as a file, with labels once known.

A change after the other is done again and compared, see `replay`; the features of the rows that the
state took are written as they were served, beside their id and time, source and offset. What labels
are computed of is held, an outcome in the place of the one before it; the features are not.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastfeat.errors import InvalidData, InvalidPlan, counted, shortened
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.inputs import read_columns
from fastfeat.io.arrow import ChunkedArray, Table, call, index_in, pa, parquet_module
from fastfeat.io.sinks.atomic import replacing
from fastfeat.io.sinks.write import write_table
from fastfeat.io.sources.formats import SUFFIXES
from fastfeat.ir.scope import order_of, window_nodes
from fastfeat.learn.labels import label_of
from fastfeat.live.state.changes import Change, ChangeResults, StoredRow
from fastfeat.plan.declare.columns_read import columns_of

SOURCE, OFFSET, ANSWERED_AT = "source", "offset", "answered_at"
"""What stands beside features: where a row comes from, and when it was answered."""
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class ServedCounts:
    """The numbers of rows that were written, and of others.

    Args:
        n_rows: how many rows.
        n_left_out: how many others were answered, and not taken by the state: they came again, or
            late where `late="drop"`.
        n_without_label: how many rows have no label yet; None where no label is written.
        n_late: how many outcomes came after a row was answered that would have read them.
        note: why no label is written, or "".
        n_of_others: how many rows were answered by another version of the plan, and are not there.
    """

    n_rows: int
    n_left_out: int
    n_without_label: int | None
    n_late: int
    note: str = ""
    n_of_others: int = 0

    def __str__(self) -> str:
        """Return one line."""
        parts = [counted(self.n_rows, "row")]
        if self.n_without_label is not None:
            parts.append(f"{self.n_without_label:,} without a label yet")
        if self.n_left_out:
            parts.append(f"{self.n_left_out:,} left out that came again or were dropped")
        if self.n_of_others:
            parts.append(f"{self.n_of_others:,} left out that another version of the plan answered")
        if self.n_late:
            parts.append(f"{counted(self.n_late, 'outcome')} came late: answers before do not see")
        return ", ".join(parts) + (f". {self.note}" if self.note else "")


@dataclass(slots=True)
class ServedWriter:
    """Features on their way to a file, and what their labels are computed of.

    Args:
        fitted: the plan that served.
        name: its name among those of the state.
        writer: of the features; made with the first of them.
        path: where they are written.
        labelled: of all rows that the state took, their id and what labels are computed of.
        places: of each row of the file its number among these.
        outcomes: what has become known of such columns, by id, in order.
    """

    fitted: Fitted
    name: str
    path: Path
    writer: Any = None
    labelled: list[Table] = field(default_factory=list[Table])
    places: list[Any] = field(default_factory=list[Any])
    outcomes: list[Table] = field(default_factory=list[Table])
    n_taken: int = 0
    n_rows: int = 0
    n_left_out: int = 0
    n_late: int = 0
    n_of_others: int = 0

    def take(self, change: Change, applied: ChangeResults) -> None:
        """Take a change that was done again."""
        self.n_late += applied.counts.get("late_outcomes", 0)
        match change.kind:
            case "process" | "update":
                self._take_rows(change, applied)
            case "outcomes" | "correct" if self.fitted.declaration.row_id is not None:
                names = [n for n in self._label_columns if n in change.rows.column_names]
                rows = change.rows.filter(pa.array(applied.stored))
                if names and rows.num_rows:
                    self.outcomes.append(rows.select([self.fitted.declaration.row_id, *names]))
            case _:
                pass

    def _take_rows(self, change: Change, applied: ChangeResults) -> None:
        stored = applied.stored
        rows, n_stored = change.rows.filter(pa.array(stored)), int(stored.sum())
        if self.fitted.declaration.label_nodes:
            names = dict.fromkeys([*self._ids, *self._label_columns])
            self.labelled.append(rows.select([n for n in names if n in rows.column_names]))
        if change.kind == "process":
            features = applied.features[self.name]
            assert not isinstance(features, StoredRow), "a replay computes tables"
            features = features.filter(pa.array(stored))
            self._write(self._beside(change, np.flatnonzero(stored), rows, features))
            self.places.append(np.arange(self.n_taken, self.n_taken + n_stored))
            self.n_rows += n_stored
            self.n_left_out += len(stored) - n_stored
        self.n_taken += n_stored

    @property
    def _ids(self) -> list[str]:
        row_id = self.fitted.declaration.row_id
        return [] if row_id is None else [row_id]

    @property
    def _label_columns(self) -> list[str]:
        """The columns that the label is computed of, which are not the id."""
        label = self.fitted.declaration.label
        names = [label] if isinstance(label, str) else self.fitted.declaration.label_columns
        return [name for name in names if name not in self._ids]

    def _beside(self, change: Change, at: Any, rows: Table, features: Table) -> Table:
        """Return features with what tells rows apart before them; a name of a feature is its."""
        calls = window_nodes(list(self.fitted.nodes.values()))
        times = columns_of(order_of(over).args[0] for over in calls)
        n = rows.num_rows
        before: dict[str, Any] = {
            name: rows.column(name)
            for name in dict.fromkeys([*self._ids, *times])
            if name in rows.column_names
        }
        has_source = bool(change.source)
        before[SOURCE] = pa.array([change.source] * n, pa.string())
        before[OFFSET] = pa.array(change.first + at, mask=np.full(n, not has_source))
        moment = pa.scalar(change.time_ns, pa.timestamp("ns", "UTC"))
        before[ANSWERED_AT] = pa.repeat(moment, n)
        known = set(features.column_names) | set(self.fitted.declaration.label_nodes)
        told = {name: column for name, column in before.items() if name not in known}
        return pa.table({**told, **dict(zip(features.column_names, features.columns, strict=True))})

    def _write(self, table: Table) -> None:
        if self.writer is None:
            self.writer = parquet_module().ParquetWriter(self.path, table.schema)
        if table.num_rows:
            self.writer.write_table(table.cast(self.writer.schema))

    def label(self, given: Any, tables: Mapping[str, Table]) -> tuple[Table | None, str]:
        """Return the label of the rows of the file, and why there is none.

        Args:
            given: further outcomes: late columns by the id of their row; None for none.
            tables: the lookup tables, which a label may look ahead in.
        """
        plan = self.fitted.declaration
        if not plan.label_nodes:
            return None, ""
        rows = pa.concat_tables(self.labelled, promote_options="permissive")
        if given is not None:
            if plan.row_id is None:
                raise InvalidPlan("outcomes= are told by the id of their row: Plan(row_id='id')")
            self.outcomes.append(read_columns(given, [plan.row_id], self._label_columns))
        for name in self._label_columns:
            rows = self._with_outcomes(rows, name)
        lacking = [name for name in self._label_columns if name not in rows.column_names]
        if lacking:
            join = (
                "outcomes= gives it" if self._ids else "Plan(row_id='id') lets outcomes be joined"
            )
            told = f"No label: the state has no {shortened(lacking)}, which no window reads: {join}"
            return None, told
        values = label_of(self.fitted, CallRows(rows, tables=tables or None))
        places = np.concatenate([*self.places, np.zeros(0, np.int64)])
        name = next(iter(plan.label_nodes))
        return pa.table({name: values.take(pa.array(places))}), ""

    def _with_outcomes(self, rows: Table, name: str) -> Table:
        """Return rows with what has become known of a column, the last of it."""
        known = [one for one in self.outcomes if name in one.column_names]
        if not known:
            return rows
        (row_id,) = self._ids
        ids = rows.column(row_id)
        of_id = _joined([*(one.column(row_id) for one in known), ids.slice(0, 0)])
        values = _joined([one.column(name) for one in known])
        is_known = call("is_valid", values)
        of_id, values = of_id.filter(is_known), values.filter(is_known)
        backwards = pa.array(np.arange(len(values))[::-1].copy())
        places = index_in(ids, of_id.take(backwards).combine_chunks())
        found = values.take(backwards).take(places)
        if name not in rows.column_names:
            return rows.append_column(name, found)
        own = rows.column(name).cast(found.type)
        return rows.set_column(rows.column_names.index(name), name, call("coalesce", found, own))


def _joined(columns: Sequence[ChunkedArray]) -> ChunkedArray:
    """Return columns one after the other, in the type of the last one."""
    wanted = columns[-1].type
    return pa.chunked_array([c for one in columns for c in one.cast(wanted).chunks], wanted)


def served_plan(plans: Mapping[str, Fitted], name: str | None) -> str:
    """Return the name of the plan whose features are wanted.

    Args:
        plans: of the state.
        name: what a user named; None for the only one.

    Raises:
        InvalidPlan: it is not among them, or there are several.
    """
    if name is None and len(plans) == 1:
        return next(iter(plans))
    if name is None or name not in plans:
        told = "plan= is missing" if name is None else f"plan={name!r} is none"
        raise InvalidPlan(f"{told}: the state has the plans {shortened(plans)}")
    return name


@contextmanager
def writing_served(
    path: str | os.PathLike[str], fitted: Fitted, name: str
) -> Generator[ServedWriter]:
    """Give a `ServedWriter` that takes changes, and remove its file beside the target in the end.

    Args:
        path: of the file that will hold the features, as Parquet.
        fitted: the plan.
        name: its name in the state.

    Raises:
        InvalidData: another suffix.
    """
    target = Path(path)
    if SUFFIXES.get(target.suffix.lower()) != "parquet":
        raise InvalidData(f"to={str(path)!r}: what was served is written as Parquet: name.parquet")
    beside = target.with_name(f".{os.urandom(8).hex()}.partial")
    one = ServedWriter(fitted, name, beside)
    try:
        yield one
    finally:
        if one.writer is not None:
            one.writer.close()
        beside.unlink(missing_ok=True)


def finish(
    one: ServedWriter, path: str | os.PathLike[str], outcomes: Any, tables: Mapping[str, Table]
) -> ServedCounts:
    """Write the features that were taken, with their label, whole or not at all.

    Args:
        one: the features.
        path: of the file.
        outcomes: further outcomes; None for none.
        tables: the lookup tables, which a label may look ahead in.
    """
    label, note = one.label(outcomes, tables) if one.labelled else (None, "")
    if one.writer is None:
        write_table(one.fitted.schema.empty_table(), path)
        return ServedCounts(0, one.n_left_out, None, one.n_late, note, one.n_of_others)
    one.writer.close()
    with replacing(Path(path)) as partial:
        _copy(one.path, partial, label)
    n_without = None if label is None else label.column(0).null_count
    return ServedCounts(one.n_rows, one.n_left_out, n_without, one.n_late, note, one.n_of_others)


def _copy(features: Path, target: Path, label: Table | None) -> None:
    """Write features of a file to another one, with their label, some rows at a time."""
    file, done = parquet_module().ParquetFile(features), 0
    with closing(file):
        schema = file.schema_arrow
        if label is not None:
            schema = schema.append(label.schema.field(0))
        with parquet_module().ParquetWriter(target, schema) as writer:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                table = pa.Table.from_batches([batch])
                if label is not None:
                    part = label.slice(done, batch.num_rows)
                    table = table.append_column(label.schema.field(0), part.column(0))
                writer.write_table(table)
                done += batch.num_rows
