"""The uncompressed size of an Arrow IPC stream, read from its metadata before decompressing.

A few kilobytes may hold gigabytes of zeros. Each compressed buffer begins with its uncompressed
size, which a reader allocates. The positions of buffers are in the metadata of each message, which
is encoded with flatbuffers.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import Any

from fastfeat.io.arrow import pa

_HEADER = 2
"""Field number of a message's batch."""
_DATA = 1
"""Field number of the rows in a dictionary batch."""
_BUFFERS, _COMPRESSION = 2, 3
"""Field numbers in a batch of rows."""
_OF_ROWS, _OF_DICTIONARY = "record batch", "dictionary"


def unpacked_bytes(stream: bytes) -> int:
    """Return the size in bytes of an Arrow IPC stream's compressed buffers after decompression.

    Raises:
        ArrowInvalid, OSError: It is not such a stream.
        ValueError: A message in it points beyond its end.

    Example:
        >>> zeros = pa.record_batch({"x": [0] * 1000})
        >>> sink = pa.BufferOutputStream()
        >>> packed = pa.ipc.IpcWriteOptions(compression="zstd")
        >>> with pa.ipc.new_stream(sink, zeros.schema, options=packed) as writer:
        ...     writer.write_batch(zeros)
        >>> unpacked_bytes(sink.getvalue().to_pybytes())
        8000
    """
    return sum(_of_message(message) for message in _messages(stream))


def _messages(stream: bytes) -> Generator[Any]:
    reader: Any = pa.ipc.MessageReader.open_stream(stream)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        yield message


def _of_message(message: Any) -> int:
    if message.type not in (_OF_ROWS, _OF_DICTIONARY) or message.body is None:
        return 0
    metadata, body = memoryview(message.metadata), memoryview(message.body)
    try:
        batch = _table(metadata, *_field(metadata, _root(metadata), _HEADER))
        if message.type == _OF_DICTIONARY:
            batch = _table(metadata, *_field(metadata, batch, _DATA))
        if not _field(metadata, batch, _COMPRESSION)[1]:
            return 0
        at, is_there = _field(metadata, batch, _BUFFERS)
        if not is_there:
            return 0
        first = at + _number("<I", metadata, at)
        n_bytes = 0
        for k in range(_number("<I", metadata, first)):
            offset, length = struct.unpack_from("<qq", metadata, first + 4 + 16 * k)
            if length >= 8:
                n_bytes += max(0, _number("<q", body, offset))
    except struct.error:
        raise ValueError("the stream is damaged: a message points beyond its end") from None
    return n_bytes


def _root(metadata: memoryview) -> int:
    return _number("<I", metadata, 0)


def _table(metadata: memoryview, at: int, is_there: bool) -> int:
    """Return the position of the flatbuffers table that a field points to."""
    if not is_there:
        raise struct.error
    return at + _number("<I", metadata, at)


def _field(metadata: memoryview, table: int, number: int) -> tuple[int, bool]:
    """Return the position of a field of a flatbuffers table, and whether the field is present."""
    names = table - _number("<i", metadata, table)
    if 4 + 2 * number >= _number("<H", metadata, names):
        return 0, False
    offset = _number("<H", metadata, names + 4 + 2 * number)
    return table + offset, offset > 0


def _number(kind: str, content: memoryview, at: int) -> int:
    if at < 0:
        raise struct.error
    found: int = struct.unpack_from(kind, content, at)[0]
    return found
