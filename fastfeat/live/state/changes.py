"""Changes of a state: what each call of `Live` asks for, as it is applied, written and replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from numpy.typing import NDArray

from fastfeat.errors import InvalidPlan, StateError, TypeMismatch
from fastfeat.io.arrow import Array, Schema, Table

Kind = Literal[
    "process", "update", "outcomes", "correct", "remove", "forget", "table", "sweep", "plans"
]
WITHOUT_ROWS = frozenset[Kind]({"remove", "forget", "plans", "sweep"})
"""Changes whose rows say what is done, and are none of the data."""
Late = Literal["error", "insert", "drop"]
Durability = Literal["commit", "interval", "checkpoint"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The rules by which a state takes rows: they are stored with it, and do not change.

    Args:
        late: what becomes of rows that are earlier than the latest row of their entity.
        keep: how much longer than windows see rows stay: a duration such as "2d", a whole number
            for clocks of integers, or "everything"; None for what `late` needs.
        max_ahead: how far a time may be ahead of this machine's clock, a duration; None for any.
    """

    late: Late = "error"
    keep: str | int | None = None
    max_ahead: str | None = None


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row, as its values stand in columns.

    Args:
        schema: of the table that it would be.
        values: as columns store them; of floats NaN is missing, of all else that or None.
    """

    schema: Schema
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a state, applied whole or not at all; it depends on the state alone.

    Args:
        kind: what it does; "process" asks for the features of its rows first, "update" does not.
        rows: the rows, as the columns that the plans read, in the types that fit saw; late columns
            that a user did not give are missing in them. Of "remove" the id of the row, of "forget"
            the values, in the column `name`; of "sweep" the watermark of each order, in the columns
            "0", "1" and so on; of "plans", which puts other plans over the log, none.
        name: of "table" the table, of "forget" and "remove" the column.
        source: where the rows come from, such as "events:0"; empty where the caller did not say.
        first: the offset of the first row in the source.
        end: the offset after the last one.
        time_ns: when it was asked for, in nanoseconds since 1970, by this machine's clock.
        row: the one row of `rows`, where it is at hand: digests take less of it.
    """

    kind: Kind
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
        features: by plan, the features of the rows of "process", as Arrow, or of the one row that
            it has; empty for others.
        stored: of each row whether the state took it, shape (n_rows,): repeated and dropped ones
            are not taken.
        kept: what functions over windows that others read gave for each row, by their name in
            `LivePlan.kept`: it stands in the log beside the row.
        counts: how often what has happened to rows of it, by name, as of `Live.counts`.
    """

    features: Mapping[str, Table | StoredRow]
    stored: NDArray[Any]
    kept: Mapping[str, Array] = field(default_factory=dict[str, Array])
    counts: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Entry:
    """A change and what it gave: what a journal writes, and a state is restored from.

    Args:
        change: the change.
        applied: what it gave.
    """

    change: Change
    applied: ChangeResults


@dataclass(frozen=True, slots=True)
class Base:
    """A state at one moment, of which all else is made again: what changes are applied to.

    Args:
        rows: the rows of the log in order of arrival: its columns, the id, what is kept beside
            each row, and in the column `ANSWERED` whether a user has been given its features. None
            where there has been no row yet.
        tables: the lookup tables, by name.
        offsets: the offset after the last row that was applied, by source.
        swept: of each order the latest time, in ticks, of which rows were swept; None for none.
    """

    rows: Table | None = None
    tables: Mapping[str, Table] = field(default_factory=dict[str, Table])
    offsets: Mapping[str, int] = field(default_factory=dict[str, int])
    swept: Sequence[int | None] = ()


def check_offsets(change: Change, applied: Mapping[str, int]) -> None:
    """Raise where the offsets of a change are none, or of rows that were applied already.

    Args:
        change: it.
        applied: the offset after the last row that was applied, by source.

    Raises:
        TypeMismatch, InvalidPlan, StateError: they are.
    """
    source = cast("object", change.source)
    if not isinstance(source, str):
        raise TypeMismatch(f"source= is a text, such as 'events:0', got {source!r}")
    offsets: dict[str, object] = {"first": change.first, "end": change.end}
    for name, offset in offsets.items():
        if not isinstance(offset, int) or isinstance(offset, bool):
            raise TypeMismatch(f"{name}= is the offset of a row, an int, got {offset!r}")
    if not change.source and (change.first or change.end):
        raise InvalidPlan(
            "first= and end= are offsets in a source, which is not named. Name it: "
            "source='events:0'"
        )
    if change.end < change.first:
        raise InvalidPlan(
            f"{change.source!r}: end={change.end} is before first={change.first}. It is the "
            "offset after the last row: first= and the number of rows, where each has one"
        )
    known = applied.get(change.source)
    if change.source and known is not None and change.first < known:
        raise StateError(
            f"{change.source!r}: rows from offset {change.first} on were applied already, up "
            f"to {known}. Go on from there: live.offsets[{change.source!r}]"
        )


ANSWERED = "?answered"
"""The column of a base that says whether the features of a row have been given to a user."""


class Writing(Protocol):
    """A keeper of the changes of a state, such as a file."""

    @property
    def link(self) -> bytes:
        """The last link of the audit; empty without one."""
        ...

    def write(self, entries: Sequence[Entry]) -> None:
        """Keep changes that were applied, all of them or none."""
        ...

    def settle(self, base: Callable[[], Base], *, erases: bool = False) -> None:
        """Take less room where that is due, and have nothing any more of what was forgotten."""
        ...

    def delete_key(self, base: Base) -> bool:
        """Delete the key of the audit, and keep the state as a whole."""
        ...

    def flush(self) -> None:
        """Have all that was written on disk."""
        ...

    def close(self) -> None:
        """Have all on disk, and end."""
        ...

    def discard(self) -> None:
        """End without what is not on disk yet."""
        ...
