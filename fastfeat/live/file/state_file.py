"""The SQLite file of a state: its tables, and how it is opened, checked and read.

    head       one row: number and digest of the last entry, and the version that wrote it
    bases      whole states; each replaces all changes before it, and the last one counts
    parts      rows and tables of a base, as Arrow IPC
    segments   changes since the base, one entry each, as Arrow IPC
    artifacts  plans, by their SHA-256
    keys       key of the audit, by its SHA-256, until it is deleted
    links      audit hashes of changes that a base has replaced, and their numbers, in
               `sealed_changes`
    archived   names of the files that keep these changes; see the module `archive`
    archive    the folder of these files, and how long they are kept

Entries are numbered over the life of the state; the number of a base is that of the last entry that
it includes. Format 1 has no table `links`; opening such a file for writing converts it to format 2.

Each row that is read is covered by a digest, and each digest by the next one, so an altered file is
refused. SQLite checks its own pages.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.errors import StateError, TypeMismatch, reason_of
from fastfeat.live.file.entries import (
    BasePart,
    EntryRecord,
    Links,
    WrittenEntry,
    decode_base,
    decode_entry,
    decode_plan_digests,
    digest_of_base,
    digest_of_part,
    digest_of_segment,
)
from fastfeat.live.state.changes import Base, Settings
from fastfeat.version import __version__

FORMAT = 2
APPLICATION = 0x66667374  # "ffst"
SUFFIXES = ("-wal", "-shm")
"""Suffixes of SQLite's files beside an open one: its write-ahead log, and the index of the log."""
_TYPES = {"i": int, "s": str, "b": bytes}
_AT_ONCE = 256
"""Number of entries that one query reads; a slow consumer holds up no writer."""
_MAGIC = b"SQLite format 3\0"
_MODES = (b"\2\2", b"\1\1")
"""SQLite header bytes of a file with a write-ahead log, and of a copy by `VACUUM INTO`."""
TABLES = (
    "CREATE TABLE head (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, digest BLOB NOT NULL, "
    "base INTEGER NOT NULL, writer TEXT NOT NULL)",
    "CREATE TABLE bases (seq INTEGER PRIMARY KEY, head BLOB NOT NULL, previous BLOB NOT NULL, "
    "link BLOB NOT NULL, digests BLOB NOT NULL, digest BLOB NOT NULL)",
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, base INTEGER NOT NULL, kind TEXT NOT NULL, "
    "name TEXT NOT NULL, content BLOB NOT NULL)",
    "CREATE TABLE segments (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, source TEXT NOT NULL, "
    "ends INTEGER NOT NULL, head BLOB NOT NULL, rows BLOB NOT NULL, kept BLOB NOT NULL, "
    "stored BLOB NOT NULL, link BLOB NOT NULL, digests BLOB NOT NULL, digest BLOB NOT NULL)",
    "CREATE TABLE artifacts (digest BLOB PRIMARY KEY, content BLOB NOT NULL)",
    "CREATE TABLE keys (digest BLOB PRIMARY KEY, content BLOB NOT NULL)",
    "CREATE TABLE links (id INTEGER PRIMARY KEY, facts BLOB NOT NULL, links BLOB NOT NULL, "
    "seal BLOB NOT NULL)",
    "CREATE TABLE archived (past INTEGER PRIMARY KEY, facts BLOB NOT NULL, seal BLOB NOT NULL)",
    "CREATE TABLE archive (id INTEGER PRIMARY KEY, folder TEXT NOT NULL, keep_ns INTEGER NOT NULL)",
)
_N_TABLES = {1: 6, 2: len(TABLES)}
"""Number of the tables above that a file has, by format."""


@dataclass(frozen=True, slots=True)
class StateFileHead:
    """The end of a state file: its last entry, and a digest of everything up to there.

    Args:
        seq: Number of the last entry.
        digest: Running SHA-256 over the base and all entries since.
        base: Number of the base that the entries follow.
    """

    seq: int
    digest: bytes
    base: int


def connect(path: Path, *, writes: bool) -> sqlite3.Connection:
    """Return a connection to an existing state file, after checking header, tables and version.

    Raises `StateError` if the file is missing, empty, truncated, altered, from a newer version,
    unreadable, or no state.
    """
    check_beginning(path, writes=writes)
    with name_path_in_errors(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rw' if writes else 'ro'}",
            timeout=5.0,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
    try:
        with name_path_in_errors(path):
            _check(connection, path, writes)
    except BaseException:
        connection.close()
        raise
    return connection


def path_of(path: str | os.PathLike[str]) -> Path:
    """Return the path of a state file with all symbolic links resolved.

    So each file has one path. Raises `TypeMismatch` if `path` is no path, and `StateError` if no
    file can have it.
    """
    if not isinstance(path, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(f"path= takes the path of a file, such as 'state.db', got {path!r}")
    target = Path(path)
    if "\0" in str(target) or not target.name:
        raise StateError(f"{str(target)!r} is not the path of a file")
    return Path(os.path.realpath(target))


def file_at(path: Path) -> tuple[int, int]:
    """Return the device and inode number of the file at a path; (0, 0) if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


@contextmanager
def name_path_in_errors(path: Path) -> Generator[None]:
    """Raise errors of SQLite in the `with` block as `StateError`, with the path in the message."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # also from SQLite's own message
        raise StateError(f"{path}: {_reason(error)}") from error
    except StateError as error:
        text = str(error)
        raise StateError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def read_head(connection: sqlite3.Connection) -> StateFileHead:
    """Return the numbers of a file's last entry and its base, and the digest of its content."""
    found = connection.execute("SELECT seq, digest, base FROM head").fetchall()
    if len(found) != 1:
        raise StateError("the file was altered: its header is damaged")
    return StateFileHead(*_typed(found[0], "ibi"))


def read_base(connection: sqlite3.Connection, seq: int, *, checked: bool = True) -> Base:
    """Return the base number `seq`.

    Raises `StateError` if it is missing or altered; unless `checked`, an altered base is returned
    as far as it can be read.
    """
    head, _, _ = _head_of(connection, seq, checked)
    parts = _parts(connection, seq)
    if checked:
        _check_parts(head, parts)
    return decode_base(head, parts)


def _parts(connection: sqlite3.Connection, seq: int) -> list[BasePart]:
    found = connection.execute(
        "SELECT kind, name, content FROM parts WHERE base = ? ORDER BY id", (seq,)
    )
    return [BasePart(*_typed(row, "ssb")) for row in found]


def _check_parts(head: bytes, parts: list[BasePart]) -> None:
    if [digest_of_part(part).hex() for part in parts] != json.loads(head)["parts"]:
        raise StateError("the file was altered: its snapshot does not match its SHA-256")


def read_base_facts(connection: sqlite3.Connection, seq: int) -> tuple[Any, Any, Any]:
    """Return the settings, the plan digests and the offsets that the base number `seq` stores."""
    given = json.loads(_head_of(connection, seq, True)[0])
    return given["settings"], given["plans"], given["offsets"]


def read_settings(connection: sqlite3.Connection, base: int) -> Settings:
    """Return the settings of a state; raise `StateError` if this version does not know them."""
    given = read_base_facts(connection, base)[0]
    try:
        return Settings(**given)
    except TypeError:
        raise StateError(
            f"this version of fastfeat does not know the settings of the state: {given}. Update "
            "fastfeat"
        ) from None


def read_base_digest(connection: sqlite3.Connection, seq: int, *, checked: bool = True) -> bytes:
    """Return the digest of the base number `seq`; the running digest of entries starts from it."""
    return _head_of(connection, seq, checked)[2]


def check_base(connection: sqlite3.Connection, seq: int) -> None:
    """Raise `StateError` if the base number `seq`, or a part of it, does not match its SHA-256."""
    head = _head_of(connection, seq, True)[0]
    _check_parts(head, _parts(connection, seq))


def read_link(connection: sqlite3.Connection, base: int) -> bytes:
    """Return the audit hash of the last entry, or of the base if no entry follows it."""
    found = connection.execute(
        "SELECT link FROM segments WHERE seq > ? ORDER BY seq DESC LIMIT 1", (base,)
    ).fetchone()
    return _head_of(connection, base, True)[1].link if found is None else _typed(found, "b")[0]


def read_offsets(connection: sqlite3.Connection, base: int) -> dict[str, int]:
    """Return a dict of source name to the offset after the last row that came from it."""
    found = connection.execute(
        "SELECT source, ends FROM segments WHERE seq > ? AND source != '' ORDER BY seq", (base,)
    )
    return {**read_base_facts(connection, base)[2], **dict(_typed(row, "si") for row in found)}


def has_kind(connection: sqlite3.Connection, base: int, kind: str) -> bool:
    """Return whether any entry after the base number `base` is of a kind, such as "forget"."""
    query = "SELECT EXISTS (SELECT 1 FROM segments WHERE seq > ? AND kind = ?)"
    return bool(connection.execute(query, (base, kind)).fetchone()[0])


def read_changes(connection: sqlite3.Connection, base: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield kind, JSON head and audit hash of each entry after the base number `base`, in order."""
    query = "SELECT kind, head, link FROM segments WHERE seq > ? ORDER BY seq"
    for row in connection.execute(query, (base,)):
        kind, head, link = _typed(row, "sbb")
        yield kind, head, link


def read_sizes(connection: sqlite3.Connection, base: int) -> tuple[int, int]:
    """Return the number of bytes of the base number `base`, and of the entries after it."""
    of_base = "SELECT coalesce(sum(length(content)), 0) FROM parts WHERE base = ?"
    of_entries = (
        "SELECT coalesce(sum(length(rows) + length(kept) + length(digests) + 200), 0) "
        "FROM segments WHERE seq > ?"
    )
    (n_base,), (n_entries,) = (
        connection.execute(query, (base,)).fetchone() for query in (of_base, of_entries)
    )
    return n_base, n_entries


def read_artifact(connection: sqlite3.Connection, digest: str) -> bytes:
    """Return the bytes of the plan artifact with a hex SHA-256.

    Raises `StateError` if it is missing or altered.
    """
    key = bytes.fromhex(digest)
    found = connection.execute("SELECT content FROM artifacts WHERE digest = ?", (key,)).fetchone()
    if found is None or sha256(_typed(found, "b")[0]).digest() != key:
        raise StateError(f"the file was altered: its plan {digest[:12]} is missing or damaged")
    return found[0]


def read_entries(
    connection: sqlite3.Connection,
    after: int,
    digest: bytes,
    until: StateFileHead,
    *,
    checked: bool = True,
) -> tuple[list[WrittenEntry], bytes]:
    """Return the next few hundred entries, and the running digest after the last of them.

    Args:
        connection: Connection to the file.
        after: Number of the entry, or base, before the first one to read.
        digest: Running digest up to that entry.
        until: Head of the state; its last entry is the last one to read.
        checked: Whether an altered entry is an error. If not, entries are returned as far as they
            can be read, with the reason in `WrittenEntry.altered`.

    Raises:
        StateError: An entry is missing or altered.
    """
    found = connection.execute(
        "SELECT seq, kind, source, ends, head, rows, kept, stored, link, digests, digest "
        "FROM segments WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (after, until.seq, _AT_ONCE),
    )
    entries: list[WrittenEntry] = []
    seq = after
    for row in found:
        number, *values, noted = _typed(row, "issibbbbbbb")
        seq += 1
        segment = EntryRecord(*values)
        digest, altered = digest_of_segment(digest, seq, segment), ""
        if number != seq or digest != noted:
            altered = f"the file was altered: its entry {seq} does not match its SHA-256"
            if checked:
                raise StateError(altered)
            seq, digest = number, noted  # so that later entries are compared on their own
        named = decode_plan_digests(segment.head) if segment.kind == "plans" else {}
        plans = {name: read_artifact(connection, key) for name, key in named.items()}
        entries.append(decode_entry(segment, number, plans, altered))
    is_end = seq == until.seq or len(entries) < _AT_ONCE
    if checked and is_end and (seq, digest) != (until.seq, until.digest):
        raise StateError(f"the file was altered: it has {seq} of {until.seq} entries")
    return entries, digest


def read_plans(connection: sqlite3.Connection, base: int) -> dict[str, bytes]:
    """Return a dict of plan name to artifact bytes, after all entries that follow a base.

    `base` is the number of the base.
    """
    named: dict[str, str] = read_base_facts(connection, base)[1]
    changes = connection.execute(
        "SELECT head FROM segments WHERE seq > ? AND kind = 'plans' ORDER BY seq", (base,)
    )
    for row in changes:
        named = decode_plan_digests(_typed(row, "b")[0])
    return {name: read_artifact(connection, key) for name, key in named.items()}


def read_links(connection: sqlite3.Connection, base: int, *, checked: bool = True) -> Links:
    """Return the audit hashes that are stored with the base number `base`."""
    return _head_of(connection, base, checked)[1]


def read_key(connection: sqlite3.Connection) -> bytes:
    """Return the key of the audit; empty if there is none or it was deleted.

    Raises `StateError` if it is altered.
    """
    found = connection.execute("SELECT digest, content FROM keys").fetchone()
    if found is None:
        return b""
    if sha256(_typed(found, "bb")[1]).digest() != found[0]:
        raise StateError("the file was altered: its audit key is damaged")
    return found[1]


def _head_of(connection: sqlite3.Connection, seq: int, checked: bool) -> tuple[bytes, Links, bytes]:
    """Return the JSON head, the audit hashes and the digest of the base number `seq`."""
    found = connection.execute(
        "SELECT head, previous, link, digests, digest FROM bases WHERE seq = ?", (seq,)
    ).fetchone()
    if found is None:
        raise StateError("the file was altered: its snapshot is missing")
    head, *links, digest = _typed(found, "bbbbb")
    if checked and digest_of_base(head, Links(*links)) != digest:
        raise StateError("the file was altered: its snapshot does not match its SHA-256")
    return head, Links(*links), digest


def _typed(row: tuple[Any, ...], kinds: str) -> tuple[Any, ...]:
    """Return a row of the file; raise `StateError` unless its values have the types in `kinds`."""
    if any(type(value) is not _TYPES[kind] for value, kind in zip(row, kinds, strict=True)):
        raise StateError("the file was altered: one of its values has the wrong type")
    return row


def check_beginning(path: Path, *, writes: bool) -> None:
    """Raise `StateError` unless a file begins like a state in SQLite format.

    With `writes`, the file must also be writable; else SQLite would silently open it for reading
    only.
    """
    try:
        with open(path, "r+b" if writes else "rb") as file:  # SQLite would fall back to reading
            start = file.read(100)
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise StateError(f"{path}: the state cannot be opened: {reason}") from None
    if not start.startswith(_MAGIC) or len(start) < 100:
        told = "is not a SQLite file" if start else "is empty"
        raise StateError(f"{path}: the file {told}, so it is not the state of a live plan")
    if start[68:72] != APPLICATION.to_bytes(4, "big"):
        raise StateError(f"{path}: the file is a SQLite file, but not the state of a live plan")
    found = int.from_bytes(start[60:64], "big")
    if found > FORMAT:
        raise StateError(
            f"{path}: the file has format {found}, but this version, fastfeat {__version__}, reads "
            f"formats up to {FORMAT}. Update fastfeat"
        )
    if found < 1 or start[18:20] not in _MODES:
        raise StateError(f"{path}: the file was altered: its first bytes are wrong")
    n_pages = int.from_bytes(start[28:32], "big")
    page = int.from_bytes(start[16:18], "big")
    n_bytes = n_pages * (65536 if page == 1 else page)
    there = os.path.getsize(path)
    if there < n_bytes and not _has_log(path):
        raise StateError(f"{path}: the file is truncated: it has {there:,} of {n_bytes:,} bytes")


def _has_log(path: Path) -> bool:
    with suppress(OSError):
        return os.path.getsize(f"{path}-wal") > 0
    return False


def _check(connection: sqlite3.Connection, path: Path, writes: bool) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    found = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    if [sql for (sql,) in found] != list(TABLES[: _N_TABLES.get(version)]):
        raise StateError("the file was altered: its tables have the wrong definitions")
    if writes:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 2000")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    wrong = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if wrong != "ok":
        raise StateError(f"the file was altered: {wrong}")
    if writes and version < FORMAT:
        connection.execute("BEGIN IMMEDIATE")
        for statement in TABLES[_N_TABLES[version] :]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")


def _reason(error: Exception) -> str:
    """Return the message for an error of SQLite: the reason, and a remedy."""
    match getattr(error, "sqlite_errorname", None) or "":
        case "SQLITE_FULL":
            return (
                "the disk is full; everything up to the last commit is safe. Free some space, and "
                "try again"
            )
        case "SQLITE_CORRUPT" | "SQLITE_NOTADB" | "SQLITE_CORRUPT_INDEX":
            return f"the file was altered or truncated: {error}"
        case name if name.startswith("SQLITE_IOERR"):
            return (
                f"the disk reported an error ({name}); everything up to the last commit is safe. "
                "Open the state again"
            )
        case name if name.startswith("SQLITE_READONLY"):
            return "the file cannot be written: this process may only read it"
        case name if name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            return f"the state cannot be opened: {error}. Check the permissions of its folder"
        case name if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return "another process has kept the file locked for 5 seconds. Try again later"
        case _:
            return f"the file cannot be read or written: {error}"
