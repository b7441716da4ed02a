"""The state of plans that are asked row by row, in memory: a log of rows, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import RLock
from typing import Any

import numpy as np

from fastfeat.errors import InvalidData, StateError
from fastfeat.io.arrow import Table, call, index_in, pa
from fastfeat.online.changes import ANSWERED, Applied, Base, Change, Entry, Settings, Writing
from fastfeat.online.lowering import LivePlan
from fastfeat.online.tables import with_rows
from fastfeat.plan.fitted import FittedPlan
from fastfeat.plan.result_forms import computed_form


class State:
    """The rows that windows can still see, in order of arrival, and the lookup tables.

    Args:
        lowered: what is asked of it.
        settings: how it takes rows.
        base: what it begins with.
        journal: keeps its changes; None for none.
    """

    def __init__(
        self,
        lowered: LivePlan,
        settings: Settings,
        base: Base,
        journal: Writing | None = None,
    ) -> None:
        self.lowered = lowered
        self.settings = settings
        self.tables = dict(base.tables)
        self.offsets = dict(base.offsets)
        self.counts: dict[str, int] = {}
        self.journal = journal
        self._log = base.rows
        self._plans = {
            name: replace(fitted, encoded=None) for name, fitted in lowered.plans.items()
        }
        self._lock = RLock()

    @property
    def n_rows(self) -> int:
        """How many rows stand in the log."""
        return 0 if self._log is None else self._log.num_rows

    def history(self) -> Table | None:
        """Return the rows of the log in order of arrival; None where there has been none."""
        with self._lock:
            return None if self._log is None else self._log.drop_columns([ANSWERED])

    def base(self) -> Base:
        """Return what another state begins with that is to be equal to this one."""
        with self._lock:
            return Base(self._log, dict(self.tables), dict(self.offsets))

    def apply(
        self, change: Change, to: str | None = None
    ) -> tuple[Applied, Mapping[str, Any] | None]:
        """Return what a change gives, once it is applied; after any error the state is as it was.

        Args:
            change: what is asked for.
            to: the form of features that is wanted beside Arrow; None for none.

        Returns:
            What it gave, and by plan the features as they are computed for that form.
        """
        with self._lock:
            self._check_offsets(change)
            before = self._log, self.tables, self.offsets, self.counts
            try:
                applied, given = self._applied(change, to)
                if self.journal is not None:
                    self.journal.write([Entry(change, applied)])
            except BaseException:
                self._log, self.tables, self.offsets, self.counts = before
                raise
            return applied, given

    def restore(self, entries: Sequence[Entry]) -> None:
        """Apply changes again that were kept: what they gave is taken, nothing is computed."""
        with self._lock:
            for entry in entries:
                self._store(entry.change, entry.applied)

    def features(self, rows: Table, to: str) -> Mapping[str, Any]:
        """Return the features of rows that do not see each other, by plan; the state stays.

        Args:
            rows: the rows.
            to: the form; they are returned as they are computed for it.
        """
        with self._lock:
            log, tables = self._past(rows), self.tables
        found: dict[str, Any] = {}
        for name, fitted in self._plans.items():
            form = _form(fitted, to)
            pieces = [
                _transformed(fitted, rows.slice(k, 1), log, tables, form)
                for k in range(rows.num_rows)
            ] or [_transformed(fitted, rows, log, tables, form)]
            is_table = isinstance(pieces[0], pa.Table)
            found[name] = pa.concat_tables(pieces) if is_table else np.concatenate(pieces)
        return found

    def _check_offsets(self, change: Change) -> None:
        known = self.offsets.get(change.source)
        if change.source and known is not None and change.first < known:
            raise StateError(
                f"{change.source!r}: rows from offset {change.first} on were applied already, up "
                f"to {known}. Go on from there: live.offsets[{change.source!r}]"
            )

    def _applied(self, change: Change, to: str | None) -> tuple[Applied, Mapping[str, Any] | None]:
        rows = change.rows
        features: dict[str, Table] = {}
        given: dict[str, Any] | None = None
        if change.kind == "process":
            past = self._past(rows)
            for name, fitted in self._plans.items():
                features[name] = _transformed(fitted, rows, past, self.tables, "arrow")
            if to is not None:
                given = {
                    name: features[name]
                    if _form(fitted, to) == "arrow"
                    else _transformed(fitted, rows, past, self.tables, _form(fitted, to))
                    for name, fitted in self._plans.items()
                }
        applied = Applied(features, np.ones(rows.num_rows, np.bool_))
        self._store(change, applied)
        return applied, given

    def _store(self, change: Change, applied: Applied) -> None:
        """Apply what a change gave in memory."""
        match change.kind:
            case "process" | "update":
                self._append(change.rows.filter(pa.array(applied.stored)), change.kind == "process")
            case "outcomes" | "correct":
                self._put(change.rows.filter(pa.array(applied.stored)))
            case "forget":
                self._forget(change)
            case "table":
                known = self.tables.get(change.name)
                self.tables = {
                    **self.tables,
                    change.name: with_rows(self.lowered, change.name, known, change.rows),
                }
            case "sweep":
                pass
        if change.source:
            self.offsets = {**self.offsets, change.source: change.end}
        self.counts = {
            **self.counts,
            **{name: self.counts.get(name, 0) + n for name, n in applied.counts.items()},
        }

    def _past(self, rows: Table) -> Table:
        return rows.slice(0, 0) if self._log is None else self._log

    def _append(self, rows: Table, answered: bool) -> None:
        names = [*self.lowered.columns]
        if self.lowered.row_id is not None and self.lowered.row_id not in names:
            names.append(self.lowered.row_id)
        added = rows.select(names).append_column(
            ANSWERED, pa.array(np.full(rows.num_rows, answered))
        )
        self._log = added if self._log is None else pa.concat_tables([self._log, added])

    def _put(self, rows: Table) -> None:
        row_id = self.lowered.row_id
        if row_id is None:
            raise InvalidData(
                "outcomes and corrections are told by the id of their row, and no plan has one. "
                "Give it one: Plan(..., row_id='id')"
            )
        if rows.num_rows == 0:
            return
        known = rows.slice(0, 0).column(row_id) if self._log is None else self._log.column(row_id)
        places = index_in(rows.column(row_id), known.combine_chunks())
        if places.null_count:
            lacking = rows.column(row_id).filter(call("is_null", places))[0].as_py()
            raise InvalidData(f"no row of the state has the id {lacking!r}")
        log = self._log
        for name in rows.column_names:
            if name == row_id or name not in log.column_names:
                continue
            at = np.arange(log.num_rows)
            at[places.to_numpy()] = log.num_rows + np.arange(rows.num_rows)
            joined = pa.chunked_array([*log.column(name).chunks, *rows.column(name).chunks])
            log = log.set_column(log.column_names.index(name), name, joined.take(pa.array(at)))
        self._log = log

    def _forget(self, change: Change) -> None:
        if self._log is None:
            return
        values = change.rows.column(change.name).combine_chunks()
        found = index_in(self._log.column(change.name), values)
        self._log = self._log.filter(call("is_null", found))


def _form(fitted: FittedPlan, to: str) -> str:
    """Return the name of the form of `transform` that gives features as they are computed."""
    return {"columns": "arrow", "rows": "numpy"}.get(form := computed_form(fitted, to), form)


def _transformed(
    fitted: FittedPlan, rows: Table, past: Table, tables: Mapping[str, Table], to: str
) -> Any:
    return fitted.transform(rows, history=past, tables=tables, to=to)
