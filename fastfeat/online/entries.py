"""What a journal holds, as records and as bytes: entries, one a change, and bases, whole states."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import StateError
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.online.changes import Change, Kind

Bits = NDArray[Any]
KINDS = frozenset(get_args(Kind))
ROWS_A_PART = 1 << 20
"""A base is written in parts of so many rows: SQLite holds at most a billion bytes a value."""
_NO_BITS = np.zeros(0, bool)


@dataclass(frozen=True, slots=True)
class Entry:
    """One change as it was applied: all that is needed to apply it again, and to audit it.

    Args:
        change: what was asked for.
        stored: of each of its rows whether it became a row of the log, shape (n_rows,).
        kept: what functions over windows that others read gave for each row, by name.
        link: what the audit chain says after it; empty without an audit.
        digests: of its rows and features, for the audit to find a row by.
        plans: of a change of plans, the artifact of each plan from now on, by name.
        seq: its number, counted from 1 over the life of the state; given when it is written.
    """

    change: Change
    stored: Bits = field(default_factory=_NO_BITS.copy)
    kept: Mapping[str, Array] = field(default_factory=dict[str, Array])
    link: bytes = b""
    digests: bytes = b""
    plans: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Base:
    """A whole state, which the entries after it begin from.

    Args:
        rows: the rows of the log, in order of arrival.
        kept: what functions over windows that others read gave for each of them, by name.
        marks: what else is known of each of them, as booleans, by name.
        tables: the lookup tables, by name.
        counts: how often what has happened, by name.
        facts: what else the state remembers, as JSON holds it: the largest times swept.
        link: what the audit chain says of it: its digest, and that of what came before.
        digests: as the audit needs it.
        seq: the number of the last entry that it holds; given when it is written.
        offsets: the offset after the last row that was applied, by source; given so too.
        previous: the link of the entry, or base, before it; given so too.
    """

    rows: Table
    kept: Mapping[str, Array] = field(default_factory=dict[str, Array])
    marks: Mapping[str, Bits] = field(default_factory=dict[str, Bits])
    tables: Mapping[str, Table] = field(default_factory=dict[str, Table])
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    link: bytes = b""
    digests: bytes = b""
    seq: int = 0
    offsets: Mapping[str, int] = field(default_factory=dict[str, int])
    previous: bytes = b""


@dataclass(frozen=True, slots=True)
class Segment:
    """An entry as a row of the file.

    Args:
        kind: of the change.
        source: where the rows come from.
        end: the offset after the last one.
        head: what else the change says, the number of bits and the digests of plans, as JSON.
        rows: the rows as an Arrow IPC stream.
        kept: what is kept of each, as another; empty where nothing is.
        stored: a bit for each row; empty where all are stored.
        link: of the audit.
        digests: of the audit.
    """

    kind: str
    source: str
    end: int
    head: bytes
    rows: bytes
    kept: bytes
    stored: bytes
    link: bytes
    digests: bytes

    @property
    def n_bytes(self) -> int:
        """How much of the file it takes, about."""
        return len(self.rows) + len(self.kept) + len(self.stored) + len(self.digests) + 200


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a base, or one of its tables, as a row of the file.

    Args:
        kind: "rows" or "table".
        name: of the table; empty for rows.
        content: an Arrow IPC stream; of rows, with what is kept and marked of each.
    """

    kind: str
    name: str
    content: bytes


def segment_of(entry: Entry) -> Segment:
    """Return an entry as bytes.

    Raises:
        StateError: its rows have a type that Arrow's files do not hold.
    """
    change, stored = entry.change, np.asarray(entry.stored, bool)
    head = _json(
        {
            "name": change.name,
            "first": int(change.first),
            "time_ns": int(change.time_ns),
            "n_bits": len(stored),
            "plans": digests_of_plans(entry.plans),
        }
    )
    return Segment(
        change.kind,
        change.source,
        int(change.end),
        head,
        table_bytes(change.rows, "lz4"),
        table_bytes(_table_of(entry.kept), "lz4") if entry.kept else b"",
        b"" if stored.all() else np.packbits(stored).tobytes(),
        entry.link,
        entry.digests,
    )


def entry_of(segment: Segment, seq: int, plans: Mapping[str, bytes]) -> Entry:
    """Return the entry of a segment.

    Args:
        segment: as it was read.
        seq: its number.
        plans: the artifacts that it names, by the name of their plan.

    Raises:
        StateError: it is none, or of a newer version.
    """
    if segment.kind not in KINDS:
        raise StateError(f"its entry {seq} is a {segment.kind!r}: this version does not know it")
    try:
        head = json.loads(segment.head)
        change = Change(
            cast("Kind", segment.kind),
            table_of(segment.rows),
            head["name"],
            segment.source,
            head["first"],
            segment.end,
            head["time_ns"],
        )
        bits = np.ones(head["n_bits"], bool)
        if segment.stored:
            packed = np.frombuffer(segment.stored, np.uint8)
            bits = np.unpackbits(packed, count=len(bits)).astype(bool)
        kept = table_of(segment.kept) if segment.kept else None
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise StateError(f"its entry {seq} cannot be read: {error}") from None
    columns = {} if kept is None else dict(zip(kept.column_names, kept.columns, strict=True))
    arrays = {name: column.combine_chunks() for name, column in columns.items()}
    return Entry(change, bits, arrays, segment.link, segment.digests, plans, seq)


def plans_named(segment: Segment) -> dict[str, str]:
    """Return the digest of the artifact of each plan that a segment names, by name."""
    return json.loads(segment.head)["plans"]


def digests_of_plans(plans: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of the artifact of each plan, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in plans.items()}


def digest_of_segment(before: bytes, seq: int, segment: Segment) -> bytes:
    """Return the SHA-256 of a segment and of all before it since the base."""
    fields = (segment.kind.encode(), segment.source.encode(), b"%d" % segment.end, segment.head)
    blobs = (segment.rows, segment.kept, segment.stored, segment.link, segment.digests)
    return _digest(before, b"%d" % seq, *fields, *blobs)


def parts_of(base: Base) -> Iterator[Part]:
    """Return a base as parts: its rows, some at a time, and its tables."""
    for begin in range(0, max(base.rows.num_rows, 1), ROWS_A_PART):
        rows = _without_unused(base.rows.slice(begin, ROWS_A_PART))
        columns = [
            *rows.columns,
            *(_sliced(column, begin) for column in base.kept.values()),
            *(
                pa.array(bits[begin : begin + ROWS_A_PART], pa.bool_())
                for bits in base.marks.values()
            ),
        ]
        names = [*rows.column_names, *base.kept, *base.marks]
        yield Part("rows", "", table_bytes(pa.table(columns, names=names), "zstd"))
    for name, table in base.tables.items():
        yield Part("table", name, table_bytes(_without_unused(table), "zstd"))


def head_of_base(
    base: Base, parts: Sequence[bytes], settings: Mapping[str, Any], plans: Mapping[str, str]
) -> bytes:
    """Return what a base holds beside its parts, as JSON.

    Args:
        base: the base.
        parts: the digests of its parts.
        settings: of the state.
        plans: the digest of the artifact of each plan, by name.

    Raises:
        StateError: a fact or a setting is nothing that JSON holds.
    """
    return _json(
        {
            "parts": [part.hex() for part in parts],
            "kept": list(base.kept),
            "marks": list(base.marks),
            "tables": list(base.tables),
            "counts": dict(base.counts),
            "facts": dict(base.facts),
            "seq": base.seq,
            "offsets": dict(base.offsets),
            "settings": dict(settings),
            "plans": dict(plans),
        }
    )


def base_of(head: bytes, parts: Sequence[Part], links: tuple[bytes, bytes, bytes]) -> Base:
    """Return the base of its head, its parts, and its link, digests and previous link.

    Raises:
        StateError: they do not fit together.
    """
    given = json.loads(head)
    pieces = [table_of(part.content) for part in parts if part.kind == "rows"]
    tables = {part.name: table_of(part.content) for part in parts if part.kind == "table"}
    try:
        whole = pa.concat_tables(pieces)
    except pa.ArrowException as error:
        raise StateError(f"the parts of its base do not fit together: {error}") from None
    n_beside = len(given["kept"]) + len(given["marks"])
    n_columns = whole.num_columns - n_beside
    if n_columns < 0 or list(tables) != given["tables"]:
        raise StateError("the parts of its base do not fit together")
    beside = [column.combine_chunks() for column in whole.columns[n_columns:]]
    n_kept = len(given["kept"])
    return Base(
        whole.select(range(n_columns)),
        dict(zip(given["kept"], beside[:n_kept], strict=True)),
        {
            name: column.to_numpy(zero_copy_only=False)
            for name, column in zip(given["marks"], beside[n_kept:], strict=True)
        },
        tables,
        given["counts"],
        given["facts"],
        links[0],
        links[1],
        given["seq"],
        given["offsets"],
        links[2],
    )


def digest_of_base(head: bytes, links: Sequence[bytes]) -> bytes:
    """Return the SHA-256 of a base: of its head, in which those of its parts stand, and links."""
    return _digest(head, *links)


def digest_of_part(part: Part) -> bytes:
    """Return the SHA-256 of a part."""
    return _digest(part.kind.encode(), part.name.encode(), part.content)


def table_bytes(table: Table, compression: str) -> bytes:
    """Return a table as a compressed Arrow IPC stream.

    Raises:
        StateError: a column has a type that Arrow's files do not hold.
    """
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression, unify_dictionaries=True)
    try:
        whole = table.combine_chunks() if table.num_columns else table
        with pa.ipc.new_stream(sink, whole.schema, options=options) as writer:
            writer.write_table(whole)
    except pa.ArrowException as error:
        raise StateError(f"rows of {table.schema} cannot be written: {error}") from None
    return cast("bytes", sink.getvalue().to_pybytes())


def table_of(content: bytes) -> Table:
    """Return the table of an Arrow IPC stream, checked to be one whose memory may be read.

    Raises:
        StateError: it is none.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise StateError(f"its rows cannot be read: {error}") from None
    return table


def _table_of(columns: Mapping[str, Array]) -> Table:
    return pa.table(list(columns.values()), names=list(columns))


def _sliced(column: Array, begin: int) -> Array:
    return column.slice(begin, ROWS_A_PART)


def _without_unused(table: Table) -> Table:
    """Return a table whose dictionaries hold what it holds: what was forgotten is not in them."""
    for place, kind in enumerate(table.schema.types):
        if pa.types.is_dictionary(kind):
            column = table.column(place).cast(kind.value_type).dictionary_encode().cast(kind)
            table = table.set_column(place, table.schema.field(place), column)
    return table


def _json(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise StateError(f"{document!r} cannot be written as JSON: {error}") from None


def _digest(*parts: bytes) -> bytes:
    """Return the SHA-256 of some bytes, each with its length before it."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()
