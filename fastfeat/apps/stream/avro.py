"""Decoding Avro records with the schema of their writer. The only module that imports fastavro.

A schema registry puts 5 bytes before a record: a zero byte, then the id of the writer's schema. An
Avro record contains no field names, so reading it with another schema can swap fields silently. The
id therefore selects the schema, and an id that is not configured is an error.
"""

from __future__ import annotations

import importlib
import io
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastfeat.apps.stream.config import Topic
from fastfeat.errors import InvalidConfig, LibraryUnavailable
from fastfeat.io.sinks import atomic

_FRAME = 5
"""Bytes before a record of a registry: a zero byte and the schema id."""


class UnknownSchema(ValueError):
    """Raised for a message with a schema id that is not known."""


def record_reader(topic: Topic, folder: Path | None) -> Callable[[bytes], Mapping[str, Any]]:
    """Return a function that decodes one record; it raises ValueError if it cannot.

    `folder` is the folder of the states, where the first schema id of a topic is stored; with None
    it is kept in memory only.

    Raises:
        InvalidConfig: A schema cannot be read or is not a record schema, or a writer's schema lacks
            a field for which the reader's schema has no default.
        LibraryUnavailable: fastavro is not installed.
    """
    try:
        fastavro: Any = importlib.import_module("fastavro")
    except ImportError:
        raise LibraryUnavailable(
            "messages in Avro need fastavro: pip install 'fastfeat[avro]'"
        ) from None
    assert topic.schema is not None
    wanted = _schema_of(fastavro, topic.schema)
    writers = {number: _schema_of(fastavro, path) for number, path in topic.schemas.items()}
    for number, writer in writers.items():
        _check_fields(topic, number, writer, wanted)
    read = fastavro.schemaless_reader
    wrong = (
        *(EOFError, IndexError, KeyError, TypeError, OverflowError, ValueError),
        fastavro.read.SchemaResolutionError,
    )

    def record(value: bytes, start: int, writer: Any, reader: Any) -> Mapping[str, Any]:
        stream = io.BytesIO(value)
        stream.seek(start)
        try:
            found = read(stream, writer, reader)
        except wrong as error:
            raise ValueError(f"the message is not a record of the schema: {error!r}") from error
        if stream.tell() != len(value):
            raise ValueError(
                f"the message has {len(value)} bytes, but its Avro record ends at byte "
                f"{stream.tell()}"
            )
        return found

    if topic.framing == "none":
        return lambda value: record(value, 0, wanted, None)
    first = FirstSchemaId(topic, folder)

    def framed(value: bytes) -> Mapping[str, Any]:
        if len(value) < _FRAME or value[0] != 0:
            raise ValueError(
                "the message does not begin with a zero byte and a schema id, as framing = "
                "'confluent' requires"
            )
        number = int.from_bytes(value[1:_FRAME], "big")
        if writers:
            if number not in writers:
                raise _unknown(topic, number, writers, f'schemas = {{ {number} = "..." }}')
            return record(value, _FRAME, writers[number], wanted)
        if topic.schema_ids:
            if number not in topic.schema_ids:
                raise _unknown(topic, number, topic.schema_ids, _SAME.format(number))
            return record(value, _FRAME, wanted, None)
        first.check(number)
        found = record(value, _FRAME, wanted, None)
        first.remember(number)
        return found

    return framed


_SAME = "schema_ids = [..., {0}], if it has the same fields in the same order"


class FirstSchemaId:
    """The schema id of the first record of a topic; records with other ids are refused.

    All members of a consumer group share the id in a file under `folder`; with None it is only kept
    in memory.
    """

    def __init__(self, topic: Topic, folder: Path | None) -> None:
        self._topic = topic
        self._path = None if folder is None else folder / f"{topic.topic}.schema_id"
        self._number: int | None = None

    def check(self, number: int) -> None:
        """Raise UnknownSchema if a first id is known and differs from this one."""
        if self._number is None:
            self._number = self._read()
        if self._number in (None, number):
            return
        where = "" if self._path is None else f" (recorded in {self._path})"
        raise UnknownSchema(
            f"the message has the schema id {number}, but the first message of topic "
            f"{self._topic.topic} had {self._number}{where}. Write the file of each schema: "
            f'schemas = {{ {self._number} = "...", {number} = "..." }}; or, if both have the same '
            f"fields in the same order: schema_ids = [{self._number}, {number}]"
        )

    def remember(self, number: int) -> None:
        """Store the first id, before any row that was decoded with it is sent on.

        Raises:
            UnknownSchema: Another process has stored another id in the meantime.
            OSError: The file cannot be written.
        """
        if self._number is not None:
            return
        if self._path is not None:
            with atomic.new_file(self._path.parent, ".partial") as (file, partial):
                file.write(f"{number}\n".encode())
                file.flush()
                os.fsync(file.fileno())
                with suppress(FileExistsError):
                    os.link(partial, self._path)
            partial.unlink()
            self.check(number)
        self._number = number

    def _read(self) -> int | None:
        if self._path is None or not self._path.exists():
            return None
        text = self._path.read_text("utf-8").strip()
        if not text.isdecimal():
            raise InvalidConfig(f"{self._path}: must contain a schema id, got {text[:40]!r}")
        return int(text)


def _unknown(topic: Topic, number: int, known: Any, write: str) -> UnknownSchema:
    there = ", ".join(map(str, sorted(known)))
    return UnknownSchema(
        f"the message has the schema id {number}, but for topic {topic.topic} only {there} are "
        f"configured. Write {write}"
    )


def _schema_of(fastavro: Any, path: Path) -> Any:
    """Return the Avro record schema in a file; raise InvalidConfig if it has none."""
    try:
        parsed: Any = fastavro.parse_schema(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InvalidConfig(f"cannot read the schema {path}: {error.strerror}") from None
    except (ValueError, fastavro.schema.SchemaParseException) as error:
        raise InvalidConfig(f"{path} is not an Avro schema: {error}") from None
    if isinstance(parsed, list | str) or parsed["type"] != "record":
        raise InvalidConfig(f"{path} is not the schema of a record")
    return parsed


def _check_fields(topic: Topic, number: int, writer: Any, wanted: Any) -> None:
    """Raise InvalidConfig if a writer lacks a field for which the reader has no default."""
    there = {field["name"] for field in writer["fields"]}
    for field in wanted["fields"]:
        names = {field["name"], *field.get("aliases", ())}
        if "default" not in field and not names & there:
            raise InvalidConfig(
                f"schemas of topic {topic.topic}: schema {number}, {topic.schemas[number]}, has no "
                f"field {field['name']!r}, and {topic.schema} has no default for it. Add a "
                "default there, or remove the field"
            )
