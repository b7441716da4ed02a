"""Open the state of a server: at its start, and for a new version of its plan."""

from __future__ import annotations

import os
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.api.online import online
from fastfeat.api.plan import FittedPlan
from fastfeat.apps.serve.options import ServeOptions
from fastfeat.execute.guard import row_inputs
from fastfeat.io.arrow import Table
from fastfeat.live.file.state_file import path_of
from fastfeat.live.live import Live
from fastfeat.live.max_ahead import resolve_max_ahead
from fastfeat.trust.quality.later_rows import profile_to_compare

_ALONE = ""


@dataclass(frozen=True, slots=True)
class StateOpening:
    """The opening of a state by the options of a server."""

    options: ServeOptions

    @property
    def path(self) -> str | None:
        """The path of the state file; None for a state in memory."""
        path = self.options.state
        return None if path is None else os.fspath(path)

    @property
    def waits_for_disk(self) -> bool:
        """Whether each change is on disk before it is answered."""
        return self.path is not None and self.options.durability in (None, "commit")

    @property
    def is_there(self) -> bool:
        """Whether the state file exists."""
        return self.path is not None and os.path.exists(self.path)

    def open(self, fitted: FittedPlan, history: Any = None) -> Live:
        """Return a live plan with its state. An existing state ignores history and tables.

        Raises:
            FastfeatError: The file, the history or the tables do not fit the plan.
        """
        if self.is_there:
            return self.reopen(fitted)
        return self._opened(fitted, self.path, history, self.options.tables)

    def open_for_plan(self, live: Live, fitted: FittedPlan) -> Live:
        """Return a live plan for `fitted` with the state of `live`.

        If `live` has a file, it is closed.

        Raises:
            FastfeatError: The state does not fit the new plan.
        """
        if self.path is None:
            return self._opened(fitted, None, live.history(), dict(live.tables))
        live.close()
        return self._opened(fitted, self.path, None, None)

    def reopen(self, fitted: FittedPlan) -> Live:
        """Return a live plan for `fitted` with the state in the file, which must not be open."""
        return self._opened(fitted, self.path, None, None)

    def _opened(
        self, fitted: FittedPlan, path: str | None, history: Table | None, tables: Any
    ) -> Live:
        options = self.options
        if options.drift is not None:
            profile_to_compare(fitted.record)  # before a file is opened
        is_new = path is None or not os.path.exists(path)
        late, max_ahead = options.late, options.max_ahead
        if is_new:
            max_ahead = resolve_max_ahead({_ALONE: fitted.record}, late, max_ahead)
        live = online(
            {_ALONE: fitted},
            history,
            path=path,
            tables=tables,
            late=late,
            keep=options.keep,
            max_ahead=max_ahead,
            max_jump=options.max_jump,
            durability=options.durability,
            archive=options.archive,
            keep_audit=options.keep_audit,
        )
        if options.drift is not None:
            live.watch(options.drift)
        return live


def replacement_problem(old: FittedPlan, new: FittedPlan) -> str:
    """Return the reason why a plan cannot replace another, as text; "" if it can.

    It can if callers already send all columns that it reads, and the state has all tables that it
    reads.
    """
    known = row_inputs(old.record)
    for name, dtype in row_inputs(new.record).items():
        if name in new.plan.late and name not in known:
            return f"it reads the late column {name!r}, which the state does not have"
        if name not in known:
            return f"it reads the column {name!r}, which the served plan does not read"
        if known[name] != dtype:
            return (
                f"it reads the column {name!r} as {dtype}, but the served plan reads it as "
                f"{known[name]}"
            )
    for table, types in new.record.tables.items():
        for name, dtype in types.items():
            if old.record.tables.get(table, {}).get(name) != dtype:
                return (
                    f"it reads the column {name!r} of the table {table!r} as {dtype}, but the "
                    "state has no such column"
                )
    of_new, of_old = new.plan.declaration.row_ids, old.plan.declaration.row_ids
    if of_new != of_old:
        new_id, old_id = (", ".join(map(repr, of)) or "missing" for of in (of_new, of_old))
        return f"its row_id is {new_id}, but the served plan's is {old_id}"
    return ""


def missing_in_memory(old: FittedPlan, new: FittedPlan) -> str:
    """Return text about past rows that the windows of `new` need and a state in memory lacks.

    Such a state has only kept the rows that windows of `old` see. "" if nothing is missing.
    """
    known = old.history_needed()
    further = [
        f"windows by {entity} need {reach} of history, but the state kept "
        f"{known.get(entity, 'none')}"
        for entity, reach in new.history_needed().items()
        if known.get(entity) != reach
    ]
    return "; ".join(further)


def without_path(text: str, path: str) -> str:
    """Return a message without the path of the state, which callers must not see."""
    for known in (str(path_of(path)), path):
        text = text.replace(f"{known}: ", "").replace(known, "the state")
    return text
