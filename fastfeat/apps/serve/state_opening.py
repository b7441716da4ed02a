"""Opening of the state of a server, and its opening anew for another version of its plan."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from fastfeat.api.online import online
from fastfeat.api.plan import FittedPlan
from fastfeat.execute.guard import row_inputs
from fastfeat.io.arrow import Table
from fastfeat.live.ahead import max_ahead_of
from fastfeat.live.file.state_file import path_of
from fastfeat.live.live import Live
from fastfeat.trust.quality.later_rows import profile_to_compare

_ALONE = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """The options with which a state is opened.

    Args:
        path: of its file; None for one in memory.
        tables: the lookup tables that a new state begins with.
        late: as of `ff.online`, as the following are.
        keep: how much longer rows stay.
        max_ahead: how far a time may be ahead of this machine's clock; None for the default.
        max_jump: how far it may be ahead of the latest row before it.
        durability: when a call is on disk.
        archive: the folder of what a whole state replaces.
        keep_audit: how long that is kept.
        drift: the window of time in which answered rows are counted and compared; None for none.
    """

    path: str | None = None
    tables: Any = None
    late: Any = None
    keep: str | int | None = None
    max_ahead: str | None = None
    max_jump: str | int | None = None
    durability: Any = None
    drift: str | None = None
    archive: str | None = None
    keep_audit: str | None = None

    @property
    def waits_for_disk(self) -> bool:
        """Whether each change is on disk before it is answered."""
        return self.path is not None and self.durability in (None, "commit")

    @property
    def is_there(self) -> bool:
        """Whether the state has a file, which was begun before."""
        return self.path is not None and os.path.exists(self.path)

    def open(self, fitted: FittedPlan, history: Any = None) -> Live:
        """Return a plan with the state; one that is there takes no history and no tables.

        Raises:
            FastfeatError: of the file, the history, or the tables.
        """
        if self.is_there:
            return self.reopened(fitted)
        return self._opened(fitted, self.path, history, self.tables)

    def opened_anew(self, live: Live, fitted: FittedPlan) -> Live:
        """Return another plan with the state of a live one, which is closed if it has a file.

        Raises:
            FastfeatError: the state is not one for this plan: the live one goes on.
        """
        if self.path is None:
            return self._opened(fitted, None, live.history(), dict(live.tables))
        live.close()
        return self._opened(fitted, self.path, None, None)

    def reopened(self, fitted: FittedPlan) -> Live:
        """Return a plan with the state of its file, which was closed for one that did not fit."""
        return self._opened(fitted, self.path, None, None)

    def _opened(
        self, fitted: FittedPlan, path: str | None, history: Table | None, tables: Any
    ) -> Live:
        if self.drift is not None:
            profile_to_compare(fitted.record)  # before a file is opened
        is_new = path is None or not os.path.exists(path)
        plans = {_ALONE: fitted.record}
        live = online(
            {_ALONE: fitted},
            history,
            path=path,
            tables=tables,
            late=self.late,
            keep=self.keep,
            max_ahead=max_ahead_of(plans, self.late, self.max_ahead) if is_new else self.max_ahead,
            max_jump=self.max_jump,
            durability=self.durability,
            archive=self.archive,
            keep_audit=self.keep_audit,
        )
        if self.drift is not None:
            live.watch(self.drift)
        return live


def difference(old: FittedPlan, new: FittedPlan) -> str:
    """Return the reason why a plan cannot take the place of another; empty where it can.

    Whoever sends rows sends the columns of the old one.
    """
    known = row_inputs(old.record)
    for name, dtype in row_inputs(new.record).items():
        if name in new.plan.late and name not in known:
            return f"it reads the late column {name!r}, which the state does not have"
        if name not in known:
            return f"it reads the column {name!r}, which the plan that is served does not"
        if known[name] != dtype:
            return (
                f"it reads the column {name!r} as {dtype}, the plan that is served as {known[name]}"
            )
    for table, types in new.record.tables.items():
        for name, dtype in types.items():
            if old.record.tables.get(table, {}).get(name) != dtype:
                return f"it reads {name!r} of the table {table!r}, which is not in the state"
    of_new, of_old = new.plan.declaration.row_ids, old.plan.declaration.row_ids
    if of_new != of_old:
        return f"its row_id is {of_new}, that of the plan that is served {of_old}"
    return ""


def missing_in_memory(old: FittedPlan, new: FittedPlan) -> str:
    """Return a text that tells what a state in memory, kept for one plan, lacks for another."""
    known = old.history_needed()
    further = [
        f"windows by {entity} see {reach}, and rows were kept for {known.get(entity, 'none')}"
        for entity, reach in new.history_needed().items()
        if known.get(entity) != reach
    ]
    return "; ".join(further)


def without_path(text: str, path: str) -> str:
    """Return a message without the path of the state, which is none of the caller's."""
    for known in (str(path_of(path)), path):
        text = text.replace(f"{known}: ", "").replace(known, "the state")
    return text
