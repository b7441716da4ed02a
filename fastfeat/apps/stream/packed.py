"""Features of an entity as bytes: the layout that Valkey or Redis holds, and its reader.

A row is, with little-endian numbers:

    bytes     content
    0-3       "FFR1"
    4-7       uint32: partition of the event
    8-15      int64: offset of the event
    16-23     int64: time of its message, in milliseconds since 1970
    24-55     digest of the fitted plans, SHA-256
    56-57     uint16: number of bytes of the topic's name, which follows
    then      one bit per feature, in the order of the plan, from the lowest bit up: 1 if it has a
              value, 0 if it is missing; filled up to whole bytes
    then      the features of a fixed width, in the order of the plan: floats and integers in their
              width, a bool as a byte 0 or 1, a date as int32, times and durations as int64 (a time
              of day in seconds or milliseconds as int32) in the unit of their type; 0 if missing
    then      the features that are text or bytes, in the order of the plan: uint32: number of
              bytes, then the bytes; no bytes if missing

The key is a prefix and the entity as a JSON array without spaces: `flights:["N14228"]`, where text
is UTF-8 and times are ISO 8601.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import InvalidConfig, InvalidData
from fastfeat.io.arrow import DataType, Schema, Table, call, cast, pa

MAGIC = b"FFR1"
_HEAD = struct.Struct("<4sIqq32sH")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class PackedRow:
    """A row of features decoded from bytes, and its origin.

    Args:
        topic: Topic of the event.
        partition: Partition of the event.
        offset: Offset of the event's message.
        time_ms: Time of the event's message, in milliseconds since 1970.
        artifact: Digest of the fitted plans, in hexadecimal.
        features: Feature name to value; None is missing.
    """

    topic: str
    partition: int
    offset: int
    time_ms: int
    artifact: str
    features: Mapping[str, Any]


@with_argument_errors_as("fastfeat.apps.stream.", {})
def entity_key(prefix: str, values: Sequence[Any]) -> str:
    """Return the key under which an entity's features are stored.

    Args:
        prefix: The configured prefix.
        values: Values of the columns that identify the entity, in the configured order.

    Example:
        >>> entity_key("flights:", ["N14228"])
        'flights:["N14228"]'
    """
    return prefix + json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))


def entity_keys(prefix: str, columns: Sequence[Any]) -> list[str | None]:
    """Return the Valkey or Redis key of each row; None if one of its values is missing.

    `columns` are Arrow columns of equal length.
    """
    parts = [
        cast(column, pa.string()) if pa.types.is_temporal(column.type) else column
        for column in columns
    ]
    rows = zip(*[part.to_pylist() for part in parts], strict=True)
    return [None if None in row else entity_key(prefix, row) for row in rows]


def check_packed(schema: Schema) -> None:
    """Raise InvalidConfig if a feature's type cannot be packed, such as a list."""
    for field in schema:
        if not _is_bytes(field.type) and _width(field.type) is None:
            raise InvalidConfig(
                f"out.valkey: cannot store the feature {field.name!r} of type {field.type}. Leave "
                "out the feature, or [out.valkey]"
            )


def packed_rows(
    features: Table,
    rows: Sequence[int],
    offsets: NDArray[Any],
    times_ms: NDArray[Any],
    topic: str,
    partition: int,
    artifact: str,
) -> list[bytes]:
    """Return the packed bytes of each chosen row of features.

    Args:
        features: Table that `check_packed` accepts.
        rows: Indices of the chosen rows.
        offsets: Message offset of each row of `features`, shape (n_rows,).
        times_ms: Message time of each row of `features`, shape (n_rows,).
        topic: Topic of all rows.
        partition: Partition of all rows.
        artifact: Digest of the fitted plans, in hexadecimal.
    """
    chosen = np.asarray(rows, np.int64)
    n_rows = len(chosen)
    if not n_rows:
        return []
    picked = features.take(pa.array(chosen)).combine_chunks()
    columns: list[Any] = [column.chunk(0) for column in picked.columns]
    name = topic.encode()
    head = _HEAD.pack(MAGIC, partition, 0, 0, bytes.fromhex(artifact), len(name)) + name
    present = [np.asarray(call("is_valid", column)) for column in columns]
    bits = np.packbits(np.array(present, bool).reshape(-1, n_rows).T, axis=1, bitorder="little")
    pieces = [np.tile(np.frombuffer(head, np.uint8), (n_rows, 1)), bits]
    pieces[0][:, 8:16] = offsets[chosen].astype("<i8").view(np.uint8).reshape(n_rows, 8)
    pieces[0][:, 16:24] = times_ms[chosen].astype("<i8").view(np.uint8).reshape(n_rows, 8)
    for column in columns:
        width = _width(column.type)
        if width is not None:
            pieces.append(_fixed(column, width).view(np.uint8).reshape(n_rows, -1))
    matrix = np.ascontiguousarray(np.concatenate(pieces, axis=1))
    content, size = matrix.tobytes(), matrix.shape[1]
    packed = [content[at : at + size] for at in range(0, len(content), size)]
    for column in columns:
        if _is_bytes(column.type):
            values = cast(column, pa.large_binary()).to_pylist()
            packed = [
                row + _LENGTH.pack(len(value or b"")) + (value or b"")
                for row, value in zip(packed, values, strict=True)
            ]
    return packed


@with_argument_errors_as("fastfeat.apps.stream.", {})
def read_packed(content: bytes, schema: Schema) -> PackedRow:
    """Return the features in a value that was read from Valkey or Redis.

    Args:
        content: Value of a key.
        schema: Arrow schema of the features: `fitted.schema`, or `fitted.transform(rows).schema`.

    Raises:
        InvalidData: The bytes are not a packed row, or have another schema.
    """
    if len(content) < _HEAD.size or content[:4] != MAGIC:
        raise InvalidData(f"these bytes are not a packed row: they begin with {content[:4]!r}")
    _, partition, offset, time_ms, digest, n_topic = _HEAD.unpack_from(content)
    at = _HEAD.size + n_topic
    topic_bytes = content[_HEAD.size : at]
    n_bits = (len(schema) + 7) // 8
    bits = np.unpackbits(np.frombuffer(content[at : at + n_bits], np.uint8), bitorder="little")
    at += n_bits
    found: dict[str, Any] = dict.fromkeys(schema.names)
    fixed = [(field.name, field.type, _width(field.type)) for field in schema]
    try:
        topic = topic_bytes.decode()
        for place, (name, kind, width) in enumerate(fixed):
            if width is not None:
                size = np.dtype(width).itemsize
                if bits[place]:
                    found[name] = _value(content[at : at + size], kind, width)
                at += size
        for place, (name, kind, width) in enumerate(fixed):
            if width is None:
                (n_bytes,) = _LENGTH.unpack_from(content, at)
                at += _LENGTH.size
                value = content[at : at + n_bytes]
                if bits[place]:
                    found[name] = value.decode() if _is_text(kind) else value
                at += n_bytes
    except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
        raise InvalidData(f"this packed row has another schema: {error}") from error
    if at != len(content):
        raise InvalidData(
            f"this packed row has another schema: it has {len(content)} bytes, but a row of the "
            f"given schema has {at}"
        )
    return PackedRow(topic, partition, offset, time_ms, digest.hex(), found)


def _fixed(column: Any, width: str) -> NDArray[Any]:
    """Return the values of a column with the NumPy type `width`; missing values are 0."""
    if pa.types.is_boolean(column.type):
        column = cast(column, pa.uint8())
    elif pa.types.is_temporal(column.type):
        column = column.view(pa.int32() if width == "<i4" else pa.int64())
    if column.null_count:
        column = call("coalesce", column, pa.scalar(0, column.type))
    return np.ascontiguousarray(column.to_numpy(zero_copy_only=False).astype(width))


def _value(content: bytes, kind: DataType, width: str) -> Any:
    value = np.frombuffer(content, width)[0]
    if pa.types.is_boolean(kind):
        return bool(value)
    if pa.types.is_temporal(kind):
        return (
            pa.array([value.item()], pa.int32() if width == "<i4" else pa.int64())
            .view(kind)[0]
            .as_py()
        )
    return value.item()


def _width(kind: DataType) -> str | None:
    """Return the NumPy type that holds values of an Arrow type; None for text, bytes and others."""
    types = pa.types
    if types.is_boolean(kind):
        return "|u1"
    if types.is_floating(kind):
        return f"<f{kind.bit_width // 8}"
    if types.is_integer(kind):
        return f"<{'u' if types.is_unsigned_integer(kind) else 'i'}{kind.bit_width // 8}"
    if types.is_temporal(kind):
        return f"<i{kind.bit_width // 8}"
    return None


def _is_bytes(kind: DataType) -> bool:
    return _is_text(kind) or bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
