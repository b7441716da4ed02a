"""Changes and bases of a state as bytes.

An entry is a change with its results; the table `segments` has one row per entry. A base is a copy
of a whole state; it is stored in parts: its rows, some at a time, and its lookup tables. The head
of an entry or a base is a JSON object with everything except tables. Links are the hashes of the
audit, see `live.audit.chain`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field
from typing import Any, cast, get_args

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.errors import StateError
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.live.state.changes import (
    Base,
    ChangeKind,
    ChangeResults,
    Entry,
    Settings,
    StateChange,
)

KINDS = frozenset(get_args(ChangeKind))
ROWS_A_PART = 1 << 20
"""Number of rows per part of a base: SQLite holds at most a billion bytes per value."""
_FEW_BYTES, _END = 1 << 12, b"\xff\xff\xff\xff\0\0\0\0"
_PLAIN = frozenset(
    kind.id
    for kind in (
        *(pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float16(), pa.float32(), pa.float64(), pa.large_string(), pa.large_binary()),
        *(pa.date32(), pa.date64(), pa.timestamp("s"), pa.duration("s")),
        *(pa.time32("s"), pa.time64("us")),
    )
)
"""Ids of Arrow types without dictionaries: their IPC stream is schema, rows and an end mark."""
_MANY_ROWS = 1 << 13
"""Number of rows from which on Arrow compresses with threads; for fewer, threads cost more."""
OF_ENTRIES, OF_BASES = "lz4", "zstd"
"""Arrow compression of entries and of bases.

lz4 takes 0.1 ms for 1,000 rows; zstd halves the size of a state.
"""
_OF_BASE = ("parts", "has_rows", "tables", "offsets", "swept", "settings", "plans")


@dataclass(frozen=True, slots=True)
class WrittenEntry:
    """A change as it is stored in a file: without features, since they can be computed again.

    Args:
        seq: Number of the change, counted from 1 over the life of the state.
        entry: The change and its results.
        link: Hash of the audit chain up to this change; empty without an audit.
        digests: Digests of the change's rows and results, as the audit recorded them
            (`Link.noted`).
        plans: For a change of plans, plan name to artifact bytes from now on; else empty.
        altered: The reason why the stored bytes do not match their SHA-256; "" if they do.
    """

    seq: int
    entry: Entry
    link: bytes = b""
    digests: bytes = b""
    plans: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    altered: str = ""


@dataclass(frozen=True, slots=True)
class Links:
    """The audit hashes that are stored with a base.

    Args:
        previous: Hash of the last change before the base; empty for the first base.
        link: Hash of the audit chain after the base.
        digests: Digests of the base's rows and tables, as the audit recorded them (`Link.noted`).
    """

    previous: bytes = b""
    link: bytes = b""
    digests: bytes = b""


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """An entry as a row of the table `segments`; not a segment of the archive.

    Args:
        kind: Kind of the change.
        source: Name of the stream that the rows come from.
        end: Offset after the last row in that stream.
        head: Other fields of the change, the number of bits in `stored`, and digests of plans, as
            JSON.
        rows: Rows of the change as an Arrow IPC stream.
        kept: Stored window results of each row, as another stream; empty for none.
        stored: One bit per row: whether it became a row of the log. Empty if all did.
        link: Hash of the audit chain up to this change.
        digests: Digests that the audit recorded.
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
        """The approximate number of bytes that this row takes in the file."""
        return len(self.rows) + len(self.kept) + len(self.stored) + len(self.digests) + 200


@dataclass(frozen=True, slots=True)
class BasePart:
    """Some rows of a base, or one of its tables, as a row of the file.

    Args:
        kind: "rows" or "table".
        name: Name of the table; "" for rows.
        content: Arrow IPC stream; for rows, with the stored window results and the flag of answered
            rows.
    """

    kind: str
    name: str
    content: bytes


def encode_entry(written: WrittenEntry) -> EntryRecord:
    """Return an entry as a row of the table `segments`.

    Raises `StateError` if Arrow IPC does not support a column's type.
    """
    change, applied = written.entry.change, written.entry.applied
    stored = np.asarray(applied.stored, bool)
    head = _json(
        {
            "name": change.name,
            "first": int(change.first),
            "time_ns": int(change.time_ns),
            "n_bits": len(stored),
            "counts": {name: int(n) for name, n in applied.counts.items()},
            "plans": digests_of_plans(written.plans),
        }
    )
    return EntryRecord(
        change.kind,
        change.source,
        int(change.end),
        head,
        table_bytes(change.rows, OF_ENTRIES),
        table_bytes(_table_of(applied.kept), OF_ENTRIES) if applied.kept else b"",
        b"" if stored.all() else np.packbits(stored).tobytes(),
        written.link,
        written.digests,
    )


def decode_entry(
    segment: EntryRecord, seq: int, plans: Mapping[str, bytes], altered: str = ""
) -> WrittenEntry:
    """Return the entry that a row of the table `segments` holds.

    `plans` has the artifacts that it names, by plan; `altered` is the reason why its bytes are not
    as written, or "". Raises `StateError` if the row holds no valid entry, or one from a newer
    version of fastfeat.
    """
    if segment.kind not in KINDS:
        raise StateError(
            f"entry {seq} of the state has the kind {segment.kind!r}, which this version of "
            "fastfeat does not know. Update fastfeat"
        )
    try:
        head = json.loads(segment.head)
        change = StateChange(
            cast("ChangeKind", segment.kind),
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
        counts = dict(head["counts"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise StateError(f"entry {seq} of the state cannot be read: {error}") from None
    columns = {} if kept is None else dict(zip(kept.column_names, kept.columns, strict=True))
    arrays = {name: column.combine_chunks() for name, column in columns.items()}
    entry = Entry(change, ChangeResults({}, bits, arrays, counts))
    return WrittenEntry(seq, entry, segment.link, segment.digests, plans, altered)


def decode_plan_digests(head: bytes) -> dict[str, str]:
    """Return a dict of plan name to the artifact's hex SHA-256, from the JSON head of an entry.

    Raises `StateError` if the head is altered.
    """
    try:
        named = json.loads(head)["plans"]
        return {name: bytes.fromhex(digest).hex() for name, digest in named.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StateError("the file was altered: the plans of an entry cannot be read") from None


def digests_of_plans(plans: Mapping[str, bytes]) -> dict[str, str]:
    """Return a dict of plan name to the hex SHA-256 of its artifact."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in plans.items()}


def digest_of_segment(before: bytes, seq: int, segment: EntryRecord) -> bytes:
    """Return the running SHA-256 over the base and all entries up to this one.

    `before` is that digest up to the entry before it.
    """
    fields = (segment.kind.encode(), segment.source.encode(), b"%d" % segment.end, segment.head)
    blobs = (segment.rows, segment.kept, segment.stored, segment.link, segment.digests)
    return _digest(before, b"%d" % seq, *fields, *blobs)


def split_base(base: Base) -> Iterator[BasePart]:
    """Yield the parts of a base: chunks of its rows, then its lookup tables."""
    if base.rows is not None:
        for begin in range(0, max(base.rows.num_rows, 1), ROWS_A_PART):
            rows = _without_unused(base.rows.slice(begin, ROWS_A_PART))
            yield BasePart("rows", "", table_bytes(rows, OF_BASES))
    for name, table in base.tables.items():
        yield BasePart("table", name, table_bytes(_without_unused(table), OF_BASES))


def encode_base_head(
    base: Base, parts: Sequence[bytes], settings: Settings, plans: Mapping[str, str]
) -> bytes:
    """Return the head of a base as JSON: everything except its rows and tables.

    `parts` has the SHA-256 of each part, `plans` the digest of each plan's artifact. Raises
    `StateError` if JSON cannot represent a value.
    """
    values = (
        [part.hex() for part in parts],
        base.rows is not None,
        list(base.tables),
        dict(base.offsets),
        [None if time is None else int(time) for time in base.swept],
        asdict(settings),
        dict(plans),
    )
    return _json(dict(zip(_OF_BASE, values, strict=True)))


def decode_base(head: bytes, parts: Sequence[BasePart]) -> Base:
    """Return a base from its JSON head and its parts; raise `StateError` if they do not match."""
    try:
        given = json.loads(head)
        has_rows, names = given["has_rows"], given["tables"]
        offsets, swept = given["offsets"], given["swept"]
    except (ValueError, KeyError, TypeError):
        raise StateError("the file was altered: its snapshot cannot be read") from None
    pieces = [table_of(part.content) for part in parts if part.kind == "rows"]
    tables = {part.name: table_of(part.content) for part in parts if part.kind == "table"}
    if bool(pieces) != has_rows or list(tables) != names:
        raise StateError("the file was altered: its snapshot has parts that do not fit together")
    try:
        rows = pa.concat_tables(pieces) if pieces else None
    except pa.ArrowException as error:
        raise StateError(
            f"the file was altered: its snapshot has parts that do not fit together: {error}"
        ) from None
    return Base(rows, tables, offsets, swept)


def digest_of_base(head: bytes, links: Links) -> bytes:
    """Return the SHA-256 of a base's JSON head and audit hashes.

    The head has the digests of the base's parts, so they are covered, too.
    """
    return _digest(head, links.previous, links.link, links.digests)


def digest_of_part(part: BasePart) -> bytes:
    """Return the SHA-256 of one part of a base."""
    return _digest(part.kind.encode(), part.name.encode(), part.content)


def table_bytes(table: Table, compression: str | None) -> bytes:
    """Return a table as a compressed Arrow IPC stream.

    Raises `StateError` if Arrow IPC does not support a column's type.
    """
    few = _bytes_of_few(table) if table.num_rows == 1 else None
    if few is not None:
        return few
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(
        compression=compression,
        unify_dictionaries=True,
        use_threads=table.num_rows >= _MANY_ROWS,
    )
    try:
        whole = table.combine_chunks() if table.num_columns else table
        with pa.ipc.new_stream(sink, whole.schema, options=options) as writer:
            writer.write_table(whole)
    except pa.ArrowException as error:
        told = f"rows with the schema {table.schema} cannot be written: {error}"
        raise StateError(told) from None
    return cast("bytes", sink.getvalue().to_pybytes())


def _bytes_of_few(table: Table) -> bytes | None:
    """Return a small table as an uncompressed IPC stream; None if compression would pay."""
    batches, schema = table.to_batches(), table.schema
    if len(batches) != 1 or not all(kind.id in _PLAIN for kind in schema.types):
        return None
    rows = batches[0].serialize()
    if rows.size > _FEW_BYTES:
        return None
    return cast("bytes", schema.serialize().to_pybytes() + rows.to_pybytes() + _END)


def table_of(content: bytes) -> Table:
    """Return the table of an Arrow IPC stream, after validating all its buffers.

    Raises `StateError` if the stream is invalid.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise StateError(f"stored rows cannot be read: {error}") from None
    return table


def _table_of(columns: Mapping[str, Array]) -> Table:
    return pa.table(list(columns.values()), names=list(columns))


def _without_unused(table: Table) -> Table:
    """Return a table without unused dictionary values, so that no forgotten value stays in one."""
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
    """Return the SHA-256 of byte strings, each preceded by its length."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()
