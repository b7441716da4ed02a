"""The state of plans that are asked row by row, in memory: a log of rows, and tables."""

from __future__ import annotations

import numpy as np

from fastfeat.io.arrow import Table, pa
from fastfeat.online.changes import Applied, Change
from fastfeat.online.lowering import LivePlan


class State:
    """The rows that windows can still see, in order of arrival, and the lookup tables.

    Args:
        lowered: what is asked of it.
        history: rows that it begins with; None for none.
        tables: the lookup tables that it begins with.
    """

    def __init__(
        self,
        lowered: LivePlan,
        history: Table | None = None,
        tables: dict[str, Table] | None = None,
    ) -> None:
        self.lowered = lowered
        self.log = history
        self.tables = dict(tables or {})

    def apply(self, change: Change) -> Applied:
        """Return what a change gives; after any error the state is as it was."""
        match change.kind:
            case "process":
                features = {
                    name: fitted.transform(
                        change.rows, history=self._past(change.rows), tables=self.tables
                    )
                    for name, fitted in self.lowered.plans.items()
                }
                self._append(change.rows)
                return Applied(features, np.ones(change.rows.num_rows, bool))
            case "update":
                self._append(change.rows)
                return Applied({}, np.ones(change.rows.num_rows, bool))
            case "table":
                known = self.tables.get(change.name)
                rows = change.rows
                self.tables[change.name] = (
                    rows if known is None else pa.concat_tables([known, rows]).combine_chunks()
                )
                return Applied({}, np.ones(change.rows.num_rows, bool))
            case _:
                raise NotImplementedError(change.kind)

    def features(self, rows: Table) -> dict[str, Table]:
        """Return the features of rows that do not see each other, by plan; the state stays."""
        found: dict[str, Table] = {}
        for name, fitted in self.lowered.plans.items():
            pieces = [
                fitted.transform(rows.slice(k, 1), history=self._past(rows), tables=self.tables)
                for k in range(rows.num_rows)
            ]
            found[name] = pa.concat_tables(pieces)
        return found

    def _past(self, rows: Table) -> Table:
        return rows.slice(0, 0) if self.log is None else self.log

    def _append(self, rows: Table) -> None:
        self.log = rows if self.log is None else pa.concat_tables([self.log, rows])
