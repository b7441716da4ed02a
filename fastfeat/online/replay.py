"""The changes of a state done again, from the rows in its file: the first difference, by its bits.

A change is compared in the order in which it can have been altered: its place in the chain, the
plans, the rows that came in, what they gave, what is told of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from fastfeat.errors import FastfeatError, counted
from fastfeat.online.audit import (
    FEATURES,
    Chain,
    Entry,
    Link,
    given,
    told_that_differ,
)
from fastfeat.online.changes import Applied, Change
from fastfeat.online.digests import Digest, names_of
from fastfeat.online.state import State


@dataclass(frozen=True, slots=True)
class Noted:
    """A change as it stands in a state.

    Args:
        segment: its number in the file.
        change: what was asked for.
        link: what was noted of it.
    """

    segment: int
    change: Change
    link: Link


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a state does not give what was noted, first of all.

    Args:
        segment: of the change in the file; -1 where it is of none.
        change: of that segment; None where it is of none.
        row: in the change; None where it is of none.
        column: of the input or of the features; None where it is of none.
        what: what is other than noted.
    """

    segment: int
    change: Change | None
    row: int | None
    column: str | None
    what: str

    @property
    def offset(self) -> int | None:
        """The offset of the row in its source, or of the first row; None where it has no source."""
        if self.change is None or not self.change.source:
            return None
        return self.change.first + (self.row or 0)

    def __str__(self) -> str:
        """Return one line."""
        places = [] if self.change is None else [f"segment {self.segment} ({_told(self.change)})"]
        places += [] if self.offset is None else [f"offset {self.offset:,}"]
        places += [] if self.row is None else [f"row {self.row:,}"]
        places += [] if self.column is None else [f"column {self.column!r}"]
        return f"{', '.join(places)}: {self.what}" if places else self.what


@dataclass(frozen=True, slots=True, repr=False)
class Replay:
    """What `replay` found; prints as a line.

    Args:
        n_changes: how many changes were done again and found as they were noted.
        n_rows: how many rows they have.
        head: the last link that fits, which may be noted elsewhere and passed as `head=`.
        difference: the first one; None where there is none.
    """

    n_changes: int
    n_rows: int
    head: bytes
    difference: Difference | None

    @property
    def ok(self) -> bool:
        """Whether all is as it was noted."""
        return self.difference is None

    def __repr__(self) -> str:
        """Return a line, and where something differs a second one."""
        done = f"{counted(self.n_changes, 'change')} of {counted(self.n_rows, 'row')}"
        if self.difference is None:
            return f"ok   {done}: every bit and every link; the last one is {self.head.hex()}"
        return f"FAIL {self.difference}\n     {done} before it are as they were noted"


def replayed(
    state: State, chain: Chain, noted: Iterable[Noted], artifacts: Mapping[str, bytes]
) -> Replay:
    """Return what doing changes again finds, in a state that is as it was before them.

    Args:
        state: it is changed.
        chain: as it was before the first one.
        noted: the changes in their order; no more than one is held.
        artifacts: the digests of the plans of the state, by their name.
    """
    n_changes, n_rows = 0, 0
    for one in noted:
        difference = _first_of(state, chain, one, artifacts)
        if difference is not None:
            return Replay(n_changes, n_rows, chain.head, difference)
        chain = chain.after(one.link)
        n_changes, n_rows = n_changes + 1, n_rows + one.change.rows.num_rows
    return Replay(n_changes, n_rows, chain.head, None)


def _first_of(
    state: State, chain: Chain, noted: Noted, artifacts: Mapping[str, bytes]
) -> Difference | None:
    """Return the first difference of a change; None without one, and then it is applied."""
    change, link = noted.change, noted.link
    if link.before != chain.head:
        return Difference(noted.segment, change, None, None, _misplaced(chain, link))
    nothing = Applied({}, np.zeros(0, np.bool_))
    asked = chain.link(Entry(change, nothing, artifacts))
    if "artifact" in told_that_differ(link, asked):
        return Difference(noted.segment, change, None, None, "it was answered by another artifact")
    if link.inputs != asked.inputs:
        names = [name for _, name in names_of({"": change.rows})]
        row, column = _place(chain, link.inputs, asked.inputs, "inputs", names)
        what = "the rows that came in are others than those noted"
        return Difference(noted.segment, change, row, column, what)
    try:
        applied = state.apply(change)
    except FastfeatError as error:
        what = f"it cannot be done again: {error}"
        return Difference(noted.segment, change, None, None, what)
    return _answer_differs(chain, noted, Entry(change, applied, artifacts))


def _answer_differs(chain: Chain, noted: Noted, entry: Entry) -> Difference | None:
    """Return what differs in what a change gave, or in what is told of it."""
    link, found = noted.link, chain.link(entry)
    if link.outputs != found.outputs:
        names = [_shown(*name) for name in names_of(given(entry.applied))]
        row, column = _place(chain, link.outputs, found.outputs, "outputs", names)
        what = "the features are others than those noted"
        return Difference(noted.segment, entry.change, row, column, what)
    if link.stored != found.stored:
        flags = [np.unpackbits(np.frombuffer(one.stored, np.uint8)) for one in (link, found)]
        n_rows = min(map(len, flags))
        rows = np.flatnonzero(flags[0][:n_rows] != flags[1][:n_rows])
        what = "other rows were put into the log than those noted"
        return Difference(
            noted.segment, entry.change, int(rows[0]) if len(rows) else None, None, what
        )
    differ = told_that_differ(link, found)
    if differ:
        what = f"its {differ[0]} is another than noted"
        return Difference(noted.segment, entry.change, None, None, what)
    if link.digest != found.digest:
        what = "the link is another than follows from the change"
        return Difference(noted.segment, entry.change, None, None, what)
    return None


def _misplaced(chain: Chain, link: Link) -> str:
    """Return what it means that a link was not made after the one before it."""
    if link.digest == chain.head:
        return "it stands there twice"
    return (
        "its link was not made after the one before it: a change is missing, stands elsewhere, or "
        "was made anew"
    )


def _place(
    chain: Chain, noted: Digest, found: Digest, what: str, names: list[str]
) -> tuple[int | None, str | None]:
    """Return row and column of the first difference; None where they cannot be told."""
    if (len(noted.columns), len(noted.rows)) != (len(found.columns), len(found.rows)):
        return None, None
    row, column = chain.what_differs(noted, found, what)
    return row, None if column is None else names[column]


def _shown(label: str, name: str) -> str:
    """Return what a column of what a change gave is called."""
    plan = label.removeprefix(FEATURES)
    return f"{plan}.{name}" if plan else name


def _told(change: Change) -> str:
    """Return in a few words what a change is."""
    name = f" {change.name!r}" if change.name else ""
    source = f" from {change.source}" if change.source else ""
    when = datetime.fromtimestamp(change.time_ns / 1e9, UTC).isoformat(" ", "seconds")
    return f"{change.kind}{name}{source} at {when}"
