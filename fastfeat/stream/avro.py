"""Avro records; the one module that imports fastavro."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastfeat.errors import InvalidConfig, LibraryUnavailable

_FRAME = 5
"""Bytes before a message that a registry knows the schema of: 0, and its number."""


def record_reader(schema: Path, is_framed: bool) -> Callable[[bytes], Mapping[str, Any]]:
    """Return a reader of one record, which raises ValueError where it cannot.

    Args:
        schema: file of the schema that records are written in, as JSON.
        is_framed: whether 0 and the number of a schema stand before the record.

    Raises:
        InvalidConfig: the schema cannot be read, or is none of a record.
        LibraryUnavailable: fastavro is not installed.
    """
    try:
        fastavro: Any = importlib.import_module("fastavro")
    except ImportError:
        raise LibraryUnavailable(
            "messages in Avro need fastavro: pip install 'fastfeat[avro]'"
        ) from None
    try:
        parsed: Any = fastavro.parse_schema(json.loads(schema.read_text("utf-8")))
    except OSError as error:
        raise InvalidConfig(f"cannot read the schema {schema}: {error.strerror}") from None
    except (ValueError, fastavro.schema.SchemaParseException) as error:
        raise InvalidConfig(f"{schema} is no Avro schema: {error}") from None
    if isinstance(parsed, list | str) or parsed["type"] != "record":
        raise InvalidConfig(f"{schema} is the schema of no record")
    read = fastavro.schemaless_reader

    def record(value: bytes) -> Mapping[str, Any]:
        start = 0
        if is_framed:
            if len(value) < _FRAME or value[0] != 0:
                raise ValueError("the message does not begin with 0 and the number of a schema")
            start = _FRAME
        stream = io.BytesIO(value)
        stream.seek(start)
        try:
            found = read(stream, parsed, None)
        except (EOFError, IndexError, KeyError, TypeError, OverflowError, ValueError) as error:
            raise ValueError(f"the message is no record of the schema: {error!r}") from error
        if stream.tell() != len(value):
            raise ValueError("the message goes on after the record of the schema")
        return found

    return record
