"""Training data from the stream: the features that a state served, with labels once known.

A replay applies one change after the other again and compares it, see `replay`. The features of the
rows that the state took are written as they were served, with id, time, source and offset. Label
inputs are the columns that a plan's label is computed from. An outcome is a value of such a column
that becomes known later. Label inputs stay in memory, where later outcomes overwrite earlier ones;
features are never overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidData, InvalidPlan, counted, shortened
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.inputs import read_columns
from fastfeat.io.arrow import ChunkedArray, Table, call, index_in, pa, parquet_module
from fastfeat.io.sinks import atomic, write
from fastfeat.io.sources.formats import SUFFIXES
from fastfeat.ir.scope import order_of, window_nodes
from fastfeat.learn.labels import label_of
from fastfeat.live.state.changes import ChangeResults, StateChange, StoredRow
from fastfeat.plan.declare.source_columns import columns_of

SOURCE, OFFSET, ANSWERED_AT = "source", "offset", "answered_at"
"""Names of columns beside the features: source and offset of the row, and time of the answer."""
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class ServedCounts:
    """The numbers of rows that were written to the file, or left out.

    Args:
        n_rows: Number of rows written.
        n_left_out: Number of other answered rows, which the state did not take: they were repeated,
            or late with `late="drop"`.
        n_without_label: Number of rows without a label so far; None if no label is written.
        n_late: Number of outcomes that came too late: after the answer to a row that would have
            read them.
        note: The reason why no label is written, or "".
        n_of_others: Number of rows left out because another version of the plan answered them.
    """

    n_rows: int
    n_left_out: int
    n_without_label: int | None
    n_late: int
    note: str = ""
    n_of_others: int = 0

    def __str__(self) -> str:
        """Return the numbers in one line of text."""
        parts = [counted(self.n_rows, "row")]
        if self.n_without_label is not None:
            parts.append(f"{self.n_without_label:,} without a label yet")
        if self.n_left_out:
            parts.append(f"{self.n_left_out:,} left out as repeated or dropped")
        if self.n_of_others:
            parts.append(f"{self.n_of_others:,} left out as answered by another plan version")
        if self.n_late:
            parts.append(f"{counted(self.n_late, 'outcome')} came too late for earlier answers")
        return ", ".join(parts) + (f". {self.note}" if self.note else "")


@dataclass(slots=True)
class ServedWriter:
    """Writes served features to a temporary file, and collects the inputs of their labels.

    Args:
        fitted: Plan that served.
        name: Name of the plan in the state.
        path: Path of the temporary file.
        writer: Parquet writer; None until the first features come.
        labelled: Tables with the id and the label inputs of all rows that the state took, in order.
        places: For each row of the file, its index in the tables of `labelled` together; one array
            per change.
        outcomes: Tables with the id and later values of label inputs, in order.
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

    def take(self, change: StateChange, applied: ChangeResults) -> None:
        """Write the features of a replayed change, or note its outcomes."""
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

    def _take_rows(self, change: StateChange, applied: ChangeResults) -> None:
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
        """The columns that the label is computed from, without the id."""
        label = self.fitted.declaration.label
        names = [label] if isinstance(label, str) else self.fitted.declaration.label_columns
        return [name for name in names if name not in self._ids]

    def _beside(self, change: StateChange, at: Any, rows: Table, features: Table) -> Table:
        """Return a table of the columns that identify rows, followed by the features.

        If a feature has the name of such a column, only the feature is returned. `at` has the index
        of each row in the change.
        """
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
        """Return a table with the label of each row of the file, or None and the reason as text.

        `given` has further outcomes, as late columns by row id, or is None. A label may read later
        rows in `tables`. The reason is empty if the plan has no label.
        """
        plan = self.fitted.declaration
        if not plan.label_nodes:
            return None, ""
        rows = pa.concat_tables(self.labelled, promote_options="permissive")
        if given is not None:
            if plan.row_id is None:
                raise InvalidPlan("outcomes= needs row ids. Name their column: Plan(row_id='id')")
            self.outcomes.append(read_columns(given, [plan.row_id], self._label_columns))
        for name in self._label_columns:
            rows = self._with_outcomes(rows, name)
        lacking = [name for name in self._label_columns if name not in rows.column_names]
        if lacking:
            join = (
                "Pass outcomes= with these columns"
                if self._ids
                else "Outcomes can be joined with Plan(row_id='id')"
            )
            told = f"No label: no window reads {shortened(lacking)}, so the state lacks it. {join}"
            return None, told
        values = label_of(self.fitted, CallRows(rows, tables=tables or None))
        places = np.concatenate([*self.places, np.zeros(0, np.int64)])
        name = next(iter(plan.label_nodes))
        return pa.table({name: values.take(pa.array(places))}), ""

    def _with_outcomes(self, rows: Table, name: str) -> Table:
        """Return rows with one late column overwritten by the last known outcome of each row."""
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
    """Return columns concatenated to one column, in the type of the last one."""
    wanted = columns[-1].type
    return pa.chunked_array([c for one in columns for c in one.cast(wanted).chunks], wanted)


def served_plan(plans: Mapping[str, Fitted], name: str | None) -> str:
    """Return the name of the plan to write; None selects the only one.

    Raises `InvalidPlan` if there is no such plan, or `name` is None and there are several.
    """
    if name is None and len(plans) == 1:
        return next(iter(plans))
    if name is None or name not in plans:
        told = "plan= is missing" if name is None else f"there is no plan={name!r}"
        raise InvalidPlan(f"{told}. Pass the name of a plan of the state: {shortened(plans)}")
    return name


@contextmanager
def open_served_writer(
    path: str | os.PathLike[str], fitted: Fitted, name: str
) -> Generator[ServedWriter]:
    """Yield a `ServedWriter` for a `with` block; its temporary file is removed at the end.

    `path` is the final Parquet file. Raises `InvalidData` if it has another suffix.
    """
    target = Path(path)
    if SUFFIXES.get(target.suffix.lower()) != "parquet":
        raise InvalidData(f"to={str(path)!r}: the name must end in .parquet")
    beside = target.with_name(f".{os.urandom(8).hex()}.partial")
    one = ServedWriter(fitted, name, beside)
    try:
        yield one
    finally:
        if one.writer is not None:
            one.writer.close()
        beside.unlink(missing_ok=True)


def finish_served_file(
    one: ServedWriter, path: str | os.PathLike[str], outcomes: Any, tables: Mapping[str, Table]
) -> ServedCounts:
    """Write the final file with features and labels, whole or not at all; return its counts.

    `outcomes` has further outcomes or is None. A label may read later rows in `tables`.
    """
    label, note = one.label(outcomes, tables) if one.labelled else (None, "")
    if one.writer is None:
        write.write_table(one.fitted.schema.empty_table(), path)
        return ServedCounts(0, one.n_left_out, None, one.n_late, note, one.n_of_others)
    one.writer.close()
    with atomic.replace_file(Path(path)) as partial:
        _copy(one.path, partial, label)
    n_without = None if label is None else label.column(0).null_count
    return ServedCounts(one.n_rows, one.n_left_out, n_without, one.n_late, note, one.n_of_others)


def _copy(features: Path, target: Path, label: Table | None) -> None:
    """Copy features from one file to another in chunks of rows, with the label as last column."""
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
