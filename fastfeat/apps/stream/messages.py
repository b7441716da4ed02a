"""Decode a batch of messages (JSON, Arrow or Avro) to rows, and find the unreadable messages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.apps.stream.avro import UnknownSchema, record_reader
from fastfeat.apps.stream.config import Topic
from fastfeat.apps.stream.outputs import Reason
from fastfeat.errors import InvalidConfig
from fastfeat.io.arrow import DataType, Table, cast, pa
from fastfeat.io.columns.json_values import JsonTimeFormat, column_of
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.sources.json_text import read_objects
from fastfeat.io.sources.stream_size import unpacked_bytes
from fastfeat.ir.dtypes import DType

ColumnDTypes = Mapping[str, DType]
Numbers = NDArray[Any]
_MOST_ROWS, _MOST_BYTES = 1_000_000, 256 << 20
"""Limits of an unpacked Arrow message: a kilobyte can claim to hold gigabytes."""


@dataclass(frozen=True, slots=True)
class DecodedRows:
    """Rows decoded from messages, and the message of each.

    Args:
        table: The rows, with the plan's column names.
        message: Index of each row's message in the batch, shape (n_rows,).
        within: Index of each row in its message, shape (n_rows,).
    """

    table: Table
    message: NDArray[Any]
    within: Numbers


@dataclass(frozen=True, slots=True)
class UnreadableMessage:
    """A message that cannot be read.

    Args:
        message: Index of the message in the batch.
        reason: The reason, for people.
        kind: The reason in one word.
    """

    message: int
    reason: str
    kind: Reason = "unreadable"


class Decode(Protocol):
    """A function that decodes messages to rows; it raises ValueError if any cannot be read."""

    def __call__(self, values: Sequence[bytes]) -> DecodedRows:
        """Return the rows of the messages, in their order."""
        ...


def decoder(
    topic: Topic, types: ColumnDTypes, may_lack: Collection[str] = (), folder: Path | None = None
) -> Decode:
    """Return the function that decodes messages of a topic.

    Args:
        topic: Configuration of the topic.
        types: Type of each plan column to read.
        may_lack: Late columns: messages may lack them, because they are known only later.
        folder: Folder of the states, where the id of the first Avro schema is stored.

    Raises:
        InvalidConfig: The plan does not read a mapped column, or the schema cannot be read.
    """
    for name in topic.columns:
        if name not in types:
            known = ", ".join(types)
            raise InvalidConfig(
                f"columns of topic {topic.topic}: the plan reads no column {name!r}; it reads "
                f"{known}"
            )
    names = {name: topic.columns.get(name, name) for name in types}
    is_free = topic.absent == "missing"
    needed = {name: given for name, given in names.items() if not (is_free or name in may_lack)}
    match topic.format:
        case "json":
            return _json(names, needed, types, topic.times)
        case "arrow":
            return _arrow(names, needed, types)
        case "avro":
            return _avro(names, needed, types, record_reader(topic, folder))


def decode_messages(
    decode: Decode, values: Sequence[bytes | None]
) -> tuple[DecodedRows, list[UnreadableMessage]]:
    """Return the rows of the readable messages of a batch, and the unreadable messages.

    All messages are decoded at once. If that fails, the batch is halved until each unreadable
    message is alone. Messages that are None or empty cannot be read.
    """
    poison = [
        UnreadableMessage(at, "the message is empty")
        for at, value in enumerate(values)
        if not value
    ]
    given = [(at, value) for at, value in enumerate(values) if value]
    pieces: list[tuple[list[int], DecodedRows]] = []
    _decode_in_halves(decode, given, pieces, poison)
    if not pieces:
        return _join_rows([([], decode([]))]), sorted(poison, key=lambda each: each.message)
    return _join_rows(pieces), sorted(poison, key=lambda each: each.message)


def _decode_in_halves(
    decode: Decode,
    given: Sequence[tuple[int, bytes]],
    pieces: list[tuple[list[int], DecodedRows]],
    poison: list[UnreadableMessage],
) -> None:
    if not given:
        return
    try:
        rows = decode([value for _, value in given])
    except ValueError as error:  # pyarrow's errors are ValueErrors too
        if len(given) == 1:
            kind: Reason = "schema" if isinstance(error, UnknownSchema) else "unreadable"
            poison.append(UnreadableMessage(given[0][0], _first_line(error), kind))
            return
        middle = len(given) // 2
        _decode_in_halves(decode, given[:middle], pieces, poison)
        _decode_in_halves(decode, given[middle:], pieces, poison)
    else:
        pieces.append(([at for at, _ in given], rows))


def _join_rows(pieces: Sequence[tuple[list[int], DecodedRows]]) -> DecodedRows:
    message: list[Numbers] = [np.asarray(at, np.int64)[rows.message] for at, rows in pieces]
    within: list[Numbers] = [rows.within for _, rows in pieces]
    table = pa.concat_tables([rows.table for _, rows in pieces])
    return DecodedRows(table, np.concatenate(message), np.concatenate(within))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _one_each(table: Table) -> DecodedRows:
    n_rows: int = table.num_rows
    return DecodedRows(table, np.arange(n_rows), np.zeros(n_rows, np.int64))


def _missing_column_error(given: str) -> ValueError:
    return ValueError(
        f"the message lacks {given!r}. If that means that the value is missing, write "
        "absent = 'missing' for the topic"
    )


def _json(
    names: Mapping[str, str], needed: Mapping[str, str], types: ColumnDTypes, times: JsonTimeFormat
) -> Decode:
    """Return a function that decodes JSON messages, one object each.

    Values are converted by the rules of the HTTP server.
    """

    def decode(values: Sequence[bytes]) -> DecodedRows:
        objects = read_objects(values)
        made: dict[str, Any] = {}
        for name, dtype in types.items():
            given = names[name]
            try:
                column = [row[given] for row in objects]
            except KeyError:
                if name in needed:
                    raise _missing_column_error(given) from None
                column = [row.get(given) for row in objects]
            made[name] = column_of(column, given, dtype, times)
        return _one_each(pa.table(made))

    return decode


def _arrow(names: Mapping[str, str], needed: Mapping[str, str], types: ColumnDTypes) -> Decode:
    """Return a function that decodes messages that are Arrow IPC streams."""
    wanted = {name: arrow_type(dtype) for name, dtype in types.items()}
    empty = pa.table({name: pa.array([], kind) for name, kind in wanted.items()})

    def decode(values: Sequence[bytes]) -> DecodedRows:
        tables = [_conform(_stream(value), names, needed, wanted) for value in values]
        lengths = [table.num_rows for table in tables]
        within: list[Numbers] = [np.arange(length) for length in [0, *lengths]]
        table = pa.concat_tables([empty, *tables]).combine_chunks()
        return DecodedRows(
            table, np.repeat(np.arange(len(values)), lengths), np.concatenate(within)
        )

    return decode


def _stream(value: bytes) -> Table:
    try:
        n_bytes = unpacked_bytes(value)
        if n_bytes > _MOST_BYTES:
            told = f"the message has {n_bytes:,} bytes when unpacked"
            raise ValueError(f"{told}, more than the limit of {_MOST_BYTES:,}")
        table = pa.ipc.open_stream(value).read_all()
        if table.num_rows > _MOST_ROWS:
            told = f"the message has {table.num_rows:,} rows, more than the limit of {_MOST_ROWS:,}"
            raise ValueError(told)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"the message is not an Arrow IPC stream: {_first_line(error)}") from error
    return table


def _conform(
    table: Table,
    names: Mapping[str, str],
    needed: Mapping[str, str],
    wanted: Mapping[str, DataType],
) -> Table:
    """Return a table with the plan's column names and types.

    Optional columns that the message lacks become nulls.
    """
    there = table.column_names
    made: dict[str, Any] = {}
    for name, kind in wanted.items():
        given = names[name]
        if there.count(given) > 1:
            raise ValueError(f"the message has {there.count(given)} columns named {given!r}")
        if given not in there:
            if name in needed:
                raise _missing_column_error(given)
            made[name] = pa.nulls(table.num_rows, kind)
            continue
        column = table.column(given)
        try:
            made[name] = column if column.type == kind else cast(column, kind)
        except pa.ArrowException as error:
            raise ValueError(f"column {given!r}: {_first_line(error)}") from error
    return pa.table(made)


def _avro(
    names: Mapping[str, str],
    needed: Mapping[str, str],
    types: ColumnDTypes,
    read: Callable[[bytes], Mapping[str, Any]],
) -> Decode:
    """Return a function that decodes messages that are Avro records."""
    wanted = [(name, names[name], arrow_type(dtype)) for name, dtype in types.items()]

    def decode(values: Sequence[bytes]) -> DecodedRows:
        records = [read(value) for value in values]
        for given in needed.values():
            if any(given not in record for record in records):
                raise _missing_column_error(given)
        made: dict[str, Any] = {}
        for name, given, kind in wanted:
            try:
                made[name] = pa.array([record.get(given) for record in records], kind)
            except (pa.ArrowException, OverflowError, TypeError) as error:
                raise ValueError(f"field {given!r}: {_first_line(error)}") from error
        return _one_each(pa.table(made))

    return decode
