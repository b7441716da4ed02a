"""Segments of the archive without forgotten rows, in which replay can still check the rest.

A segment is a file that keeps replaced changes. A link is the audit hash of a change. A change that
held or saw forgotten rows loses these rows and its recorded digests, but keeps its link: replay
knows it, and does not compute it again. Its remaining content is sealed with an HMAC, and used
without computing it. Changes that neither held nor saw forgotten rows stay, and give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import BoolArray

from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import Table, call, index_in, pa
from fastfeat.io.columns.keys import key_column
from fastfeat.io.columns.types import dtype_of
from fastfeat.keep.artifact import fitted_of_bytes
from fastfeat.live.audit.chain import Chain, artifacts_of
from fastfeat.live.audit.recompute import ReplayedState, begin_replay
from fastfeat.live.file.archive import ForgottenValues, RewrittenSegment
from fastfeat.live.file.entries import Links, WrittenEntry
from fastfeat.live.file.follower import Follower
from fastfeat.live.file.sealed_changes import SealedChanges
from fastfeat.live.lower.live_plan import lower
from fastfeat.live.state.changes import Base, Entry

WITHOUT = b"without"
"""Marks the seal of a change that is not computed again, and the link of a base without rows."""


def seal_of_entry(key: bytes, link: bytes, entry: Entry) -> bytes:
    """Return the seal of a change that lost forgotten rows, or saw them.

    `link` is the link that the change had, `entry` its remaining content.
    """
    bare = replace(entry, applied=replace(entry.applied, features={}))
    return WITHOUT + Chain(key, link).link(bare, {}).digest


def rewrite_segments(
    key: bytes, sources: Sequence[tuple[Path, SealedChanges]], forgotten: Sequence[ForgottenValues]
) -> Iterator[RewrittenSegment | None]:
    """Yield the content of each segment without its forgotten rows; None if it never had any.

    Args:
        key: Key of the audit.
        sources: Path of each segment, and the record of its changes.
        forgotten: Columns with their forgotten values.

    Raises:
        StateError: A file is missing or altered.
    """
    gone = _ForgottenRows(forgotten)
    for path, _ in sources:
        with closing(Follower(path)) as follower:
            for row_id, rows in _rows_of(follower):
                gone.note(row_id, rows)
    for path, past in sources:
        with closing(Follower(path)) as follower:
            yield _rewritten(follower, key, past, gone)


def _rows_of(follower: Follower) -> Iterator[tuple[str | None, Table]]:
    """Yield the name of the id column and the rows of a segment: of its base and each change."""
    begin = follower.head.base
    row_id = lower(_plans(follower.plans_at(begin))).row_id
    base = follower.base(begin)
    if base.rows is not None:
        yield row_id, base.rows
    for written in follower.each(begin):
        if written.entry.change.kind in ("process", "update", "correct"):
            yield row_id, written.entry.change.rows


class _ForgottenRows:
    """Tells which rows are forgotten.

    They have a forgotten value, or the id of a row that had one before.
    """

    def __init__(self, forgotten: Sequence[ForgottenValues]) -> None:
        self._forgotten = forgotten
        self._ids: list[Any] = []

    def note(self, row_id: str | None, rows: Table) -> None:
        """Remember the ids of the rows that have a forgotten value."""
        if row_id is None or row_id not in rows.column_names:
            return
        has_value = self._have_value(rows)
        if has_value.any():
            self._ids.append(rows.column(row_id).filter(pa.array(has_value)))

    def are_in(self, rows: Table, row_id: str | None) -> BoolArray:
        """Return flags of the rows that are forgotten, shape (n_rows,)."""
        found: BoolArray = self._have_value(rows)
        if row_id is not None and row_id in rows.column_names:
            ids = rows.column(row_id)
            for known in self._ids:
                values = known.cast(ids.type).combine_chunks()
                found = found | _valid(index_in(ids, values))
        return found

    def _have_value(self, rows: Table) -> BoolArray:
        found: BoolArray = np.zeros(int(rows.num_rows), np.bool_)
        for one in self._forgotten:
            if one.column in rows.column_names and rows.num_rows:
                found = found | has_value(rows.column(one.column), one.column, one.values)
        return found


def has_value(column: Any, name: str, values: Table) -> BoolArray:
    """Return flags of the rows of a column that have one of `values`; null matches null."""
    dtype = dtype_of(values.schema.field(name).type)
    there = key_column(column, name, dtype)
    wanted = key_column(values.column(name), name, dtype).combine_chunks()
    if wanted.null_count:
        found: BoolArray = call("is_null", there).to_numpy(zero_copy_only=False)
        return found
    return _valid(index_in(there, wanted))


def _valid(places: Any) -> BoolArray:
    found: BoolArray = call("is_valid", places).to_numpy(zero_copy_only=False)
    return found


def _plans(artifacts: Mapping[str, bytes]) -> dict[str, Fitted]:
    return {name: fitted_of_bytes(content) for name, content in artifacts.items()}


def _rewritten(
    follower: Follower, key: bytes, past: SealedChanges, gone: _ForgottenRows
) -> RewrittenSegment | None:
    """Return the content of a segment without its forgotten rows; None if it never had any."""
    begin = follower.head.base
    artifacts = follower.plans_at(begin)
    plans, base, links = _plans(artifacts), follower.base(begin), follower.links(begin)
    row_id = lower(plans).row_id
    left, is_other = _base_without(base, row_id, gone)
    if is_other or links.link != past.link_of(past.first):
        made = Chain(key, links.previous).base(
            left, follower.settings, artifacts_of(plans), WITHOUT
        )
        links = Links(links.previous, made.digest, made.noted())
    again = begin_replay(key, past.link_of(past.first), plans, follower.settings, left)
    entries, is_any = list[WrittenEntry](), is_other
    for written in follower.each(begin):
        one = _entry_without(written, row_id, gone)
        is_any |= one is not written
        if written.plans:
            again = with_plans(again, _plans(written.plans))
        if one is written and not written.digests.startswith(WITHOUT) and again.fits(written):
            again.pass_over(written)
        else:
            seal = seal_of_entry(key, written.link, one.entry)
            one = replace(one, digests=seal)
            again.pass_over(one)
        entries.append(one)
    if not is_any:
        return None
    return RewrittenSegment(left, follower.settings, artifacts, links, entries)


def with_plans(before: ReplayedState, plans: Mapping[str, Fitted]) -> ReplayedState:
    """Return the state of a replay with other plans; the next step must be a new whole state."""
    return replace(before, plans=plans, artifacts=artifacts_of(plans))


def _base_without(base: Base, row_id: str | None, gone: _ForgottenRows) -> tuple[Base, bool]:
    """Return a base without forgotten rows, and whether it had forgotten rows."""
    if base.rows is None:
        return base, False
    goes = gone.are_in(base.rows, row_id)
    if not goes.any():
        return base, False
    return replace(base, rows=base.rows.filter(pa.array(~goes))), True


def _entry_without(written: WrittenEntry, row_id: str | None, gone: _ForgottenRows) -> WrittenEntry:
    """Return a change without forgotten rows; the same object if it has none."""
    change, applied = written.entry.change, written.entry.applied
    match change.kind:
        case "table" | "sweep" | "plans":
            return written
        case "forget" | "remove" | "process" | "update" | "outcomes" | "correct":
            goes = gone.are_in(change.rows, row_id)
    if not goes.any():
        return written
    stays = ~goes
    kept = {
        name: column.filter(pa.array(stays if len(column) == len(stays) else stays[applied.stored]))
        for name, column in applied.kept.items()
    }
    stored = applied.stored[stays] if len(applied.stored) == len(stays) else applied.stored
    rows = change.rows.filter(pa.array(stays))
    left = Entry(replace(change, rows=rows), replace(applied, stored=stored, kept=kept))
    return replace(written, entry=left)
