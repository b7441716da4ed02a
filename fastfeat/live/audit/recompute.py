"""Replay of changes of a state from their rows, compared bit for bit with the record.

The record of a change is its link, the hash in the audit chain, with digests of its rows and
results. Comparisons follow the order in which content can be altered: place in the chain, plans,
input rows, results, other fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.errors import FastfeatError, StateError
from fastfeat.execute.fitted import Fitted
from fastfeat.live.audit.chain import (
    FEATURES,
    ArtifactDigests,
    Chain,
    Link,
    answered_tables,
    artifacts_of,
    find_differing_fields,
    link_of,
)
from fastfeat.live.audit.digests import Digest, names_of
from fastfeat.live.file.entries import WrittenEntry
from fastfeat.live.lower.live_plan import lower
from fastfeat.live.state.changes import (
    WITHOUT_ROWS,
    Base,
    ChangeResults,
    Entry,
    Settings,
    StateChange,
)
from fastfeat.live.state.state import LiveState

ReplayPlans = Mapping[str, Fitted]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference that a replay found between a state and its record.

    Args:
        segment: Number of the change, counted over the life of the state; None if the difference is
            not in a change.
        change: The change; None if there is none, or it cannot be read.
        row: Index of the row in the change; None if no row is known.
        column: Name of the column of the input or of the features; None if no column is known.
        what: Description of the difference, for messages.
    """

    segment: int | None
    change: StateChange | None
    row: int | None
    column: str | None
    what: str

    @property
    def source(self) -> str | None:
        """The name of the stream that the rows of the change come from; None if unknown."""
        return None if self.change is None else self.change.source or None

    @property
    def offset(self) -> int | None:
        """The offset of the differing row in its source; of the first row if no row is known.

        None without a source.
        """
        if self.change is None or not self.change.source:
            return None
        return self.change.first + (self.row or 0)

    def __str__(self) -> str:
        """Return one line: the change, the row, the column, and the description."""
        told = "" if self.change is None else f" ({_change_text(self.change)})"
        places = [] if self.segment is None else [f"segment {self.segment}{told}"]
        places += [] if self.offset is None else [f"offset {self.offset:,}"]
        places += [] if self.row is None else [f"row {self.row:,}"]
        places += [] if self.column is None else [f"column {self.column!r}"]
        return f"{', '.join(places)}: {self.what}" if places else self.what


class ReplayMismatch(Exception):
    """Raised by a replay at the first difference, which is in the attribute `difference`."""

    def __init__(
        self,
        segment: int | None,
        change: StateChange | None,
        what: str,
        place: tuple[int | None, str | None] = (None, None),
    ) -> None:
        super().__init__(what)
        self.difference = Difference(segment, change, *place, what)

    @staticmethod
    def of(difference: Difference) -> ReplayMismatch:
        """Return the exception for a known difference."""
        found = ReplayMismatch(None, None, difference.what)
        found.difference = difference
        return found


class _Refused(Exception):
    """Raised when a change is only checked, to stop it before it changes the state."""


class _EntryCollector:
    """Stands in for a journal during a replay: collects results instead of writing a file."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.refuses = False
        """Whether `write` refuses changes, so that a change is only checked and the state stays."""

    @property
    def link(self) -> bytes:
        """The audit hash of the last change: always empty, since a replay extends no audit."""
        return b""

    def write(self, entries: Sequence[Entry]) -> None:
        """Collect applied changes; raise `_Refused` if they are only checked."""
        self.entries += entries
        if self.refuses:
            raise _Refused

    def settle(self, base: Callable[[], Base], *, erases: bool = False) -> None:
        """Do nothing."""

    def delete_key(self, base: Base) -> bool:
        """Do nothing."""
        return True

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""


@dataclass(slots=True)
class ReplayedState:
    """A state in which recorded changes are applied again, with the audit chain up to there.

    Args:
        chain: Chain up to the last change that matches the record.
        plans: Current plans.
        artifacts: Plan name to the digest of the current plan.
        state: State after the changes so far.
        taken: Collects the results of the changes that are applied.
        n_changes: Number of changes applied and compared so far.
        n_rows: Total number of rows in these changes.
    """

    chain: Chain
    plans: ReplayPlans
    artifacts: ArtifactDigests
    state: LiveState
    taken: _EntryCollector
    n_changes: int = 0
    n_rows: int = 0

    def replay(self, written: WrittenEntry) -> ChangeResults:
        """Apply a change again, compare it with its record, and return its results.

        Raises `ReplayMismatch` at the first difference.
        """
        link, entry = self._link(written), written.entry
        applied = entry.applied if written.plans else self._applied(written, link)
        self._check_answer(written.seq, link, Entry(entry.change, applied))
        self._check_written(written, applied)
        self.chain = self.chain.after(link)
        self.n_changes += 1
        if entry.change.kind not in WITHOUT_ROWS:
            self.n_rows += entry.change.rows.num_rows
        return applied

    def fits(self, written: WrittenEntry) -> bool:
        """Return whether a change, applied again, matches its record; the state stays as it is."""
        self.taken.refuses = True
        try:
            link, entry = self._link(written), written.entry
            applied = entry.applied if written.plans else self._applied(written, link)
            self._check_answer(written.seq, link, Entry(entry.change, applied))
            self._check_written(written, applied)
        except ReplayMismatch:
            return False
        finally:
            self.taken.refuses = False
        return True

    def pass_over(self, written: WrittenEntry) -> None:
        """Apply a change with its recorded results, without computing or comparing them.

        This is for changes that lost forgotten rows.
        """
        if written.entry.change.rows.num_rows:
            self.state.restore([written.entry])
        self.chain = Chain(self.chain.key, written.link)

    def _link(self, written: WrittenEntry) -> Link:
        """Return the recorded link of a change, after comparing its predecessor, plans and rows.

        Raises `ReplayMismatch` if one does not match.
        """
        change, seq = written.entry.change, written.seq
        try:
            link = link_of(written.link, written.digests)
        except StateError as error:
            raise ReplayMismatch(seq, change, str(error)) from None
        if link.before != self.chain.head:
            raise ReplayMismatch(seq, change, _misplaced(self.chain, link))
        asked = self.chain.asked(change, self.artifacts)
        if "artifact" in find_differing_fields(link, asked):
            raise ReplayMismatch(seq, change, "it was answered by a different plan artifact")
        if link.inputs != asked.inputs:
            names = [name for _, name in names_of({"": change.rows})]
            place = locate_difference(self.chain, link.inputs, asked.inputs, "inputs", names)
            raise ReplayMismatch(
                seq, change, "the incoming rows differ from the recorded rows", place
            )
        return link

    def _applied(self, written: WrittenEntry, link: Link) -> ChangeResults:
        """Return the results of a change, computed again."""
        self.taken.entries.clear()
        try:
            self.state.apply(written.entry.change)
        except _Refused:
            pass
        except FastfeatError as error:
            what = f"it cannot be applied again: {error}"
            raise ReplayMismatch(written.seq, written.entry.change, what) from None
        return self.taken.entries[0].applied

    def _check_answer(self, seq: int, link: Link, entry: Entry) -> None:
        """Raise `ReplayMismatch` if computed results or a change's fields do not fit its link."""
        change, found = entry.change, self.chain.link(entry, self.artifacts)
        if link.outputs != found.outputs:
            names = [_shown(*name) for name in names_of(answered_tables(entry.applied))]
            place = locate_difference(self.chain, link.outputs, found.outputs, "outputs", names)
            raise ReplayMismatch(
                seq, change, "the features differ from the recorded features", place
            )
        if link.stored != found.stored:
            flags = [np.unpackbits(np.frombuffer(one.stored, np.uint8)) for one in (link, found)]
            n_rows = min(map(len, flags))
            rows = np.flatnonzero(flags[0][:n_rows] != flags[1][:n_rows])
            place = (int(rows[0]) if len(rows) else None, None)
            raise ReplayMismatch(
                seq, change, "the rows added to the log differ from the record", place
            )
        differ = find_differing_fields(link, found)
        if differ:
            raise ReplayMismatch(seq, change, f"its {differ[0]} differs from the record")
        if link.digest != found.digest:
            raise ReplayMismatch(seq, change, "its link does not match its content")

    def _check_written(self, written: WrittenEntry, applied: ChangeResults) -> None:
        """Raise `ReplayMismatch` if the results that the file stores are not the computed ones.

        These results are the flags of rows that the state took, and the window results: opening the
        file reads both.
        """
        noted, change = written.entry.applied, written.entry.change
        if written.altered:
            raise ReplayMismatch(written.seq, change, written.altered)
        is_same = np.array_equal(noted.stored, applied.stored)
        if is_same and (noted.kept or applied.kept):
            tables = [answered_tables(replace(one, features={})) for one in (noted, applied)]
            n_rows = len(applied.stored)
            first, second = (self.chain.digest(one, n_rows, "outputs") for one in tables)
            is_same = first == second
        if not is_same:
            what = "the results stored with its rows differ from the computed results"
            raise ReplayMismatch(written.seq, change, what)


def begin_replay(
    key: bytes, head: bytes, plans: ReplayPlans, settings: Settings, base: Base
) -> ReplayedState:
    """Return a state in which recorded changes can be applied again.

    `base` is its content at the beginning; `head` is the hash that precedes the first change.
    """
    taken = _EntryCollector()
    state = LiveState(lower(plans), settings, base, taken)
    state.sweeps = False  # a sweep is a recorded change
    state.takes_few = False  # the general path checks the fast one
    return ReplayedState(Chain(key, head), plans, artifacts_of(plans), state, taken)


def _misplaced(chain: Chain, link: Link) -> str:
    """Return the reason why a link does not follow the one before it, as text."""
    if link.digest == chain.head:
        return "it is recorded twice"
    return (
        "its link does not follow from the link before it: a change is missing, was moved, or was "
        "rewritten"
    )


def locate_difference(
    chain: Chain, noted: Digest, found: Digest, what: str, names: list[str]
) -> tuple[int | None, str | None]:
    """Return the row index and the column name of the first difference between two digests.

    None for either if it cannot be found. `names` has the column names, in order of the digests.
    """
    if (len(noted.columns), len(noted.rows)) != (len(found.columns), len(found.rows)):
        return None, None
    row, column = chain.what_differs(noted, found, what)
    return row, None if column is None else names[column]


def _shown(label: str, name: str) -> str:
    """Return the name of a feature for messages: "plan.feature"; "feature" for a lone plan."""
    plan = label.removeprefix(FEATURES)
    return f"{plan}.{name}" if plan else name


def _change_text(change: StateChange) -> str:
    """Return kind, name, source and time of a change as text, for messages."""
    name = f" {change.name!r}" if change.name else ""
    source = f" from {change.source}" if change.source else ""
    return f"{change.kind}{name}{source} at {moment_text(change.time_ns)}"


def moment_text(time_ns: int) -> str:
    """Return a time of this machine's clock as text, in UTC."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(" ", "seconds")
