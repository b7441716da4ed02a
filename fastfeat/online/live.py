"""`Live`: fitted plans with a state, asked for the features of rows as they arrive."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fastfeat.io.arrow import Table, pa
from fastfeat.online.changes import Change
from fastfeat.online.lowering import lower
from fastfeat.online.state import State
from fastfeat.plan.fitted import FittedPlan


class Live:
    """Fitted plans over one log of rows; made by `FittedPlan.online` and `ff.online`."""

    def __init__(self, plans: Mapping[str, FittedPlan], state: State) -> None:
        self.plans = plans
        self._state = state

    def process(
        self, events: Any, *, to: str = "arrow", source: str = "", first: int = 0, end: int = 0
    ) -> Any:
        """Return the features of events, of each as it arrives, and put them into the state."""
        change = Change("process", self._table(events), "", source, first, end, time.time_ns())
        return self._result(events, self._state.apply(change).features, to)

    def features(self, rows: Any, *, at: Any = None, to: str = "arrow") -> Any:
        """Return the features of rows, each asked alone; the state stays as it is."""
        return self._result(rows, self._state.features(self._table(rows)), to)

    def update(self, events: Any, *, source: str = "", first: int = 0, end: int = 0) -> None:
        """Put events into the state, without their features."""
        self._state.apply(
            Change("update", self._table(events), "", source, first, end, time.time_ns())
        )

    def update_table(self, name: str, rows: Any) -> None:
        """Put rows into a lookup table."""
        self._state.apply(Change("table", self._table(rows), name, time_ns=time.time_ns()))

    def outcomes(self, rows: Any, *, source: str = "", first: int = 0, end: int = 0) -> None:
        """Put late columns of rows of the log into it, by `row_id`."""
        raise NotImplementedError

    def correct(self, rows: Any, *, source: str = "", first: int = 0, end: int = 0) -> None:
        """Change columns of rows of the log, by `row_id`."""
        raise NotImplementedError

    def forget(self, column: str, value: Any) -> int:
        """Remove every row with a value in a column; return how many rows there were."""
        raise NotImplementedError

    def history(self) -> Table | None:
        """Return the state as a table of rows in order of arrival."""
        return self._state.log

    @property
    def tables(self) -> Mapping[str, Table]:
        """The lookup tables, by name."""
        return self._state.tables

    @property
    def counts(self) -> Mapping[str, int]:
        """How often what has happened since the state was opened, by name."""
        return {}

    @property
    def offsets(self) -> Mapping[str, int]:
        """The offset after the last row that was applied, by source."""
        return {}

    def checkpoint(self) -> None:
        """Write all that was applied to disk."""

    def close(self) -> None:
        """Write all that was applied to disk, and end."""

    def _table(self, rows: Any) -> Table:
        if isinstance(rows, Mapping):
            return pa.Table.from_pylist([dict(rows)])
        return rows if isinstance(rows, pa.Table) else pa.table(rows)

    def _result(self, given: Any, features: Mapping[str, Table], to: str) -> Any:
        found = {name: _formed(table, given, to) for name, table in features.items()}
        return next(iter(found.values())) if list(found) == [""] else found


def _formed(features: Table, given: Any, to: str) -> Any:
    if isinstance(given, Mapping) and not hasattr(next(iter(given.values())), "__len__"):
        return pa.Table.to_pandas(features).to_numpy("float64")[0]
    return features if to == "arrow" else features.to_pandas().to_numpy("float64")


def online(
    plans: Mapping[str, FittedPlan],
    history: Any = None,
    *,
    path: Any = None,
    tables: Any = None,
    late: str = "error",
    keep: str | int | None = None,
    max_ahead: str | None = None,
    durability: str = "commit",
) -> Live:
    """Return plans over one log, which begins with a history."""
    return Live(plans, State(lower(plans), history, tables))
