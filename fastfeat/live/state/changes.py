"""Changes of a state: the calls of `Live` as records, which are applied, written and replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, Protocol, cast

from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import InvalidPlan, StateError, TypeMismatch
from fastfeat.io.arrow import Array, Schema, Table

ChangeKind = Literal[
    "process", "update", "outcomes", "correct", "remove", "forget", "table", "sweep", "plans"
]
WITHOUT_ROWS = frozenset[ChangeKind]({"remove", "forget", "plans", "sweep"})
"""Kinds of change in which the rows are instructions, such as an id to remove, and no data."""
LateRule = Literal["error", "insert", "drop"]
Durability = Literal["commit", "interval", "checkpoint"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The rules by which a state accepts rows; they are stored with it and never change.

    Args:
        late: Rule for rows that are earlier than the latest row of their entity: refuse, insert or
            drop.
        keep: How much longer rows stay than windows see them: a duration such as "2d", a whole
            number for integer clocks, or "everything"; None keeps them as long as `late` requires.
        max_ahead: Duration by which a time may be ahead of this machine's clock; None for no limit.
    """

    late: LateRule = "error"
    keep: str | int | None = None
    max_ahead: str | None = None


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row in stored form: each value as a column stores it, for example a time in ticks.

    Args:
        schema: Schema of a table with this row.
        values: Values in order of the schema; a missing float is NaN, any other missing value NaN
            or None.
    """

    schema: Schema
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class StateChange:
    """One change of a state, applied whole or not at all. Its result depends only on the state.

    Args:
        kind: Kind of change; "process" computes the features of its rows first, "update" does not.
        rows: Rows with the columns that the plans read, in the types seen in fit; absent late
            columns are missing. "remove" has the id of the row, "forget" the values in the column
            `name`, "sweep" the watermark of each order in the columns "0", "1" and so on, and
            "plans" (a switch to other plans) no rows.
        name: Table name for "table"; column name for "forget" and "remove".
        source: Name of the stream that the rows come from, such as "events:0"; "" if the caller
            named none.
        first: Offset of the first row in the source.
        end: Offset after the last row.
        time_ns: Time of the call by this machine's clock, in nanoseconds since 1970.
        row: The only row of `rows` in stored form, if it is known, since its digest is computed
            faster. Else None.
    """

    kind: ChangeKind
    rows: Table
    name: str = ""
    source: str = ""
    first: int = 0
    end: int = 0
    time_ns: int = 0
    row: StoredRow | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ChangeResults:
    """The results of an applied change.

    Args:
        features: For "process", plan name to the features of the rows: a table, or one row. Empty
            for other kinds.
        stored: For each row, whether the state took it, shape (n_rows,); repeated and dropped rows
            are not taken.
        kept: Results of the window functions that other windows read, by name in `LivePlan.kept`;
            the log stores them beside each row.
        counts: Numbers of rows by what happened to them, with the keys of `Live.counts`.
    """

    features: Mapping[str, Table | StoredRow]
    stored: NDArray[Any]
    kept: Mapping[str, Array] = field(default_factory=dict[str, Array])
    counts: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Entry:
    """A change and its results: journals write entries, and states are restored from them."""

    change: StateChange
    applied: ChangeResults


@dataclass(frozen=True, slots=True)
class Base:
    """A copy of the whole content of a state, to which later changes are applied.

    Args:
        rows: Rows of the log in order of arrival: its columns, the id, the stored window results,
            and, in the column `ANSWERED`, whether a user was given the features of the row. None if
            no row has come yet.
        tables: Lookup tables, by name.
        offsets: Source name to the offset after the last row that was applied.
        swept: Per order, the latest time up to which rows of silent entities were dropped, in
            ticks; None for none.
    """

    rows: Table | None = None
    tables: Mapping[str, Table] = field(default_factory=dict[str, Table])
    offsets: Mapping[str, int] = field(default_factory=dict[str, int])
    swept: Sequence[int | None] = ()


def check_offsets(change: StateChange, applied: Mapping[str, int]) -> None:
    """Raise an error if the offsets of a change are invalid, or its rows were applied already.

    `applied` maps each source to the offset after its last applied row. Raises `TypeMismatch`,
    `InvalidPlan` or `StateError`.
    """
    source = cast("object", change.source)
    if not isinstance(source, str):
        raise TypeMismatch(f"source= takes text, such as 'events:0', got {source!r}")
    offsets: dict[str, object] = {"first": change.first, "end": change.end}
    for name, offset in offsets.items():
        if not isinstance(offset, int) or isinstance(offset, bool):
            raise TypeMismatch(f"{name}= takes an offset, which is an int, got {offset!r}")
    if not change.source and (change.first or change.end):
        raise InvalidPlan(
            "first= and end= are offsets in a source, but source= is missing. Name the source: "
            "source='events:0'"
        )
    if change.end < change.first:
        raise InvalidPlan(
            f"{change.source!r}: end={change.end} is before first={change.first}. end= is the "
            "offset after the last row: first= plus the number of rows, if each row has an offset"
        )
    known = applied.get(change.source)
    if change.source and known is not None and change.first < known:
        raise StateError(
            f"{change.source!r}: rows from offset {change.first} on were applied already, up "
            f"to {known}. Continue from there: live.offsets[{change.source!r}]"
        )


ANSWERED = "?answered"
"""Name of the column that tells whether a user was given the features of a row."""


class ChangeRecorder(Protocol):
    """A recorder of a state's changes, such as a journal with a file."""

    @property
    def link(self) -> bytes:
        """The audit hash of the last change; empty without an audit."""
        ...

    def write(self, entries: Sequence[Entry]) -> None:
        """Record applied changes, all of them or none."""
        ...

    def settle(self, base: Callable[[], Base], *, erases: bool = False) -> None:
        """Replace recorded changes by a base if that is due; erase forgotten rows with `erases`.

        `base` returns the current content of the state.
        """
        ...

    def delete_key(self, base: Base) -> bool:
        """Delete the key of the audit, and store the content of the state.

        Return whether the replaced changes are erased from the disk.
        """
        ...

    def flush(self) -> None:
        """Write everything to disk."""
        ...

    def close(self) -> None:
        """Write everything to disk, and close."""
        ...

    def discard(self) -> None:
        """Close without writing recorded changes that are not on disk yet."""
        ...
