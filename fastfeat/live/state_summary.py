"""Summary of a state file for the command line, read while another process may write the file."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from fastfeat_kernels.records import dataclass

from fastfeat.errors import UnknownColumn, counted, shortened
from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.types import arrow_type
from fastfeat.keep.artifact import fitted_of_bytes
from fastfeat.live.file.follower import Follower
from fastfeat.live.lower.live_plan import lower
from fastfeat.live.opening import reopen_state
from fastfeat.live.state.changes import Settings
from fastfeat.live.state.state import LiveState
from fastfeat.plan.declare.window_reach import history_needed

_SUFFIXES = ("", "-wal")


@dataclass(frozen=True, slots=True, repr=False)
class StateSummary:
    """The content of a state file, in numbers; prints as a few lines.

    Args:
        path: Path of the file.
        n_bytes: Size of the file and its write-ahead log.
        plans: Plans of the state, by name.
        settings: Rules by which the state accepts rows.
        n_rows: Number of rows that windows can still see.
        tables: Lookup table name to number of rows.
        n_base_rows: Number of rows in the whole state that the changes follow.
        changes: Kind of change to number of changes since that whole state.
        n_changed_rows: Number of rows in those changes.
        offsets: Source name to the offset after the last row that was applied.
        head: Hash of the last change in the audit chain; empty without a key.
    """

    path: Path
    n_bytes: int
    plans: Mapping[str, Fitted]
    settings: Settings
    n_rows: int
    tables: Mapping[str, int]
    n_base_rows: int
    changes: Mapping[str, int]
    n_changed_rows: int
    offsets: Mapping[str, int]
    head: bytes

    def __repr__(self) -> str:
        """Return one line per fact."""
        told = [
            (f"plan {name}" if name else "plan", _plan_text(one))
            for name, one in self.plans.items()
        ]
        reach = [
            f"{entity}: {reach}"
            for fitted in self.plans.values()
            for entity, reach in history_needed(fitted.declaration.nodes.values()).items()
        ]
        settings = [f"{n}={value!r}" for n, value in asdict(self.settings).items() if value]
        changes = [f"{n:,} {kind}" for kind, n in sorted(self.changes.items())]
        n_changes = counted(sum(self.changes.values()), "change")
        n_rows = counted(self.n_changed_rows, "row")
        after = f", then {n_changes} with {n_rows} ({', '.join(changes)})" if changes else ""
        lines = [
            ("state", f"{self.path}, {self.n_bytes / 2**20:.1f} MiB"),
            *told,
            ("windows see", "; ".join(dict.fromkeys(reach)) or "no other rows"),
            ("settings", ", ".join(settings)),
            ("rows", f"{self.n_rows:,} that windows can still see"),
            *((f"table {name}", counted(n, "row")) for name, n in self.tables.items()),
            ("in the file", f"a snapshot with {counted(self.n_base_rows, 'row')}{after}"),
            *((f"offset {source}", f"{end:,}") for source, end in self.offsets.items()),
            ("last link", self.head.hex() or "none: the audit key was deleted"),
        ]
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def _plan_text(fitted: Fitted) -> str:
    return f"{counted(len(fitted.feature_names), 'feature')}, fitted on {fitted.n_rows:,} rows"


def read_state(path: str | os.PathLike[str]) -> tuple[LiveState, StateSummary]:
    """Return the state of a file, in memory only, and a summary of the file.

    Raises `StateError` if the file is missing, truncated, altered, from a newer version, or no
    state.
    """
    with closing(Follower(path)) as follower:
        news = follower.news()
        plans = {name: fitted_of_bytes(content) for name, content in follower.plans.items()}
        key, settings = follower.key, follower.settings
        link = news.entries[-1].link if news.entries else follower.links(follower.head.base).link
    base = news.base
    assert base is not None, "the first news begin with a snapshot"
    state = LiveState(lower(plans), settings, base)
    kinds: Counter[str] = Counter()
    n_changed = 0
    for written in news.entries:
        state.restore([written.entry])
        kinds[written.entry.change.kind] += 1
        n_changed += written.entry.change.rows.num_rows
    summary = StateSummary(
        Path(path),
        _n_bytes(path),
        plans,
        settings,
        state.n_rows,
        {name: table.num_rows for name, table in state.tables.items()},
        0 if base.rows is None else base.rows.num_rows,
        kinds,
        n_changed,
        dict(state.offsets),
        link if key else b"",
    )
    return state, summary


def stored_rows(path: str | os.PathLike[str], table: str | None = None) -> Table:
    """Return the rows of a state as `Live.history` returns them, or the rows of a lookup table.

    Raises:
        StateError: The file is missing, truncated, altered, from a newer version, or no state.
        UnknownColumn: The state has no such table.
    """
    state, _ = read_state(path)
    if table is None:
        history = state.history()
        schema = [pa.field(n, arrow_type(dtype)) for n, dtype in state.types.items()]
        return pa.schema(schema).empty_table() if history is None else history
    if table not in state.tables:
        known = f"It has {shortened(state.tables)}" if state.tables else "It has no tables"
        raise UnknownColumn(f"{path}: the state has no table {table!r}. {known}")
    return state.tables[table]


def compact_state(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Replace the changes in a file by the whole state; return its size in bytes before and after.

    Raises `StateError` if the file cannot be read as a state, or is in use.
    """
    before = _n_bytes(path)
    with closing(_opened(path)) as state:
        state.compact()
    return before, _n_bytes(path)


def delete_audit_key(path: str | os.PathLike[str]) -> None:
    """Delete the audit key of a state file; raises the errors of `compact_state`."""
    with closing(_opened(path)) as state:
        state.delete_audit_key()


def _opened(path: str | os.PathLike[str]) -> LiveState:
    """Return a state that is open for writing, with the plans that its file holds."""
    with closing(Follower(path)) as follower:
        plans = {name: fitted_of_bytes(content) for name, content in follower.plans.items()}
    return reopen_state(path, lower(plans), {}, "commit", time.time_ns())


def _n_bytes(path: str | os.PathLike[str]) -> int:
    files = [Path(f"{path}{suffix}") for suffix in _SUFFIXES]
    return sum(file.stat().st_size for file in files if file.exists())
