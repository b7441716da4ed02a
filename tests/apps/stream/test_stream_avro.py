"""Avro with numbers of a registry: the schema of the writer decides, unknown ones are refused."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.apps.stream.config import Topic
from fastfeat.apps.stream.config_file import config_of
from fastfeat.apps.stream.messages import decode_messages, decoder
from fastfeat.errors import InvalidConfig
from fastfeat.ir.dtypes import DType
from fastfeat_tests.apps.stream.test_stream_config import MINIMAL
from fastfeat_tests.apps.stream.topics import (
    Topics,
    events_of,
    place_of,
    plan_of,
    running,
    summary_of,
)

TYPES = {"id": DType("int64"), "amount": DType("float64"), "fee": DType("float64")}
FIRST, SECOND = ("id", "amount", "fee"), ("id", "fee", "amount")
"""The same fields in two orders: bytes of one are bytes of the other, with other meanings."""
ROW = {"id": 1, "amount": 900.0, "fee": 2.0}


def schema_of(fields: Sequence[str], **more: Any) -> dict[str, Any]:
    types = [{"name": name, "type": "long" if name == "id" else "double"} for name in fields]
    return {"type": "record", "name": "payment", "fields": [*types, *more.values()]}


def written(folder: Path, name: str, schema: dict[str, Any]) -> Path:
    path = folder / name
    path.write_text(json.dumps(schema))
    return path


def message(number: int, fields: Sequence[str], row: dict[str, Any] = ROW) -> bytes:
    sink = io.BytesIO()
    fastavro.schemaless_writer(sink, fastavro.parse_schema(schema_of(fields)), row)
    return b"\0" + number.to_bytes(4, "big") + sink.getvalue()


def topic_of(folder: Path, **options: Any) -> Topic:
    path = written(folder, "read.avsc", schema_of(FIRST))
    return Topic("payments", format="avro", framing="confluent", schema=path, **options)


@pytest.fixture
def writers(tmp_path: Path) -> dict[int, Path]:
    return {
        1: written(tmp_path, "v1.avsc", schema_of(FIRST)),
        2: written(tmp_path, "v2.avsc", schema_of(SECOND)),
    }


def test_fields_of_each_writer_come_to_those_of_the_reader(
    tmp_path: Path, writers: dict[int, Path]
) -> None:
    decode = decoder(topic_of(tmp_path, schemas=writers), TYPES)
    sent = [message(1, FIRST), message(2, SECOND), message(3, FIRST), message(1, FIRST)]
    rows, poison = decode_messages(decode, sent)
    assert rows.table.to_pylist() == [ROW] * 3
    assert [(each.message, each.kind) for each in poison] == [(2, "schema")]
    assert "the schema id 3" in poison[0].reason
    assert "only 1, 2 are configured" in poison[0].reason
    assert not (tmp_path / "payments.schema_id").exists()


fields = st.permutations(FIRST)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), max_size=9),
    st.tuples(fields, fields, fields, fields),
)
def test_no_order_of_fields_moves_a_value(
    tmp_path_factory: pytest.TempPathFactory, sent: list[Any], orders: tuple[Sequence[str], ...]
) -> None:
    folder = tmp_path_factory.mktemp("schemas")
    paths = {k: written(folder, f"{k}.avsc", schema_of(order)) for k, order in enumerate(orders)}
    decode = decoder(topic_of(folder, schemas=paths), TYPES)
    rows = [{"id": at, "amount": a, "fee": b} for at, (_, a, b) in enumerate(sent)]
    values = [message(k, orders[k], row) for (k, _, _), row in zip(sent, rows, strict=True)]
    found, poison = decode_messages(decode, values)
    assert poison == []
    assert found.table.to_pylist() == rows


def test_the_first_number_of_a_topic_is_the_only_one(tmp_path: Path) -> None:
    topic = topic_of(tmp_path)
    garbage = b"\0\0\0\0\7!"
    rows, poison = decode_messages(
        decoder(topic, TYPES, folder=tmp_path), [garbage, message(5, FIRST), message(6, SECOND)]
    )
    assert rows.table.to_pylist() == [ROW]
    assert [(each.message, each.kind) for each in poison] == [(0, "unreadable"), (2, "schema")]
    assert "schema_ids = [5, 6]" in poison[1].reason
    later, refused = decode_messages(
        decoder(topic, TYPES, folder=tmp_path), [message(6, FIRST), message(5, FIRST)]
    )
    assert later.table.to_pylist() == [ROW]  # the next process knows it
    assert [each.message for each in refused] == [0]
    two = [decoder(topic, TYPES, folder=tmp_path / "other") for _ in range(2)]
    (tmp_path / "other").mkdir()
    assert decode_messages(two[0], [message(8, FIRST)])[1] == []
    assert len(decode_messages(two[1], [message(9, FIRST)])[1]) == 1  # another member was first
    kept = topic_of(tmp_path, schema_ids=(5, 6))
    rows, poison = decode_messages(
        decoder(kept, TYPES, folder=tmp_path), [message(6, FIRST), message(7, FIRST)]
    )
    assert rows.table.to_pylist() == [ROW]
    assert [(each.kind, "schema_ids" in each.reason) for each in poison] == [("schema", True)]


def test_a_writer_that_lacks_a_field_is_told_at_the_start(tmp_path: Path) -> None:
    path = written(tmp_path, "short.avsc", schema_of(("id", "fee")))
    with pytest.raises(InvalidConfig, match=r"schema 4, .*short\.avsc, has no field 'amount'"):
        decoder(topic_of(tmp_path, schemas={4: path}), TYPES)
    topic = topic_of(tmp_path, schemas={4: path})
    filled = schema_of(("id", "fee"), amount={"name": "amount", "type": "double", "default": 7.5})
    written(tmp_path, "read.avsc", filled)
    decode = decoder(topic, TYPES)
    rows, poison = decode_messages(decode, [message(4, ("id", "fee"), {"id": 1, "fee": 2.0})])
    assert (rows.table.to_pylist(), poison) == ([{"id": 1, "amount": 7.5, "fee": 2.0}], [])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('schemas = { a = "x" }', "events.schemas.a: a schema id must be a whole number"),
        ("schemas = { 1 = 2 }", "events.schemas.1: must be a path"),
        ("schema_ids = [true]", "events.schema_ids: must be a list of whole numbers"),
        ("schema_ids = [1]\nframing = 'none'", "events.schema_ids: only messages with format"),
        ('schema_ids = [1]\nschemas = { 1 = "x" }', "events.schema_ids: cannot be combined"),
    ],
)
def test_wrong_numbers_are_named(line: str, told: str) -> None:
    framing = "" if "framing" in line else "framing = 'confluent'\n"
    text = f"{MINIMAL}format = 'avro'\nschema = 'x'\n{framing}{line}\n"
    with pytest.raises(InvalidConfig) as raised:
        config_of(tomllib.loads(text))
    assert told in str(raised.value)


def test_another_schema_is_a_dead_letter_of_that_kind(topics: Topics, tmp_path: Path) -> None:
    events = events_of(8)
    fitted = plan_of().fit(events)
    order = ["id", "card", "shop", "at", "amount"]
    types = {
        "at": {"type": "long", "logicalType": "timestamp-micros"},
        "amount": ["null", "double"],
        "shop": ["null", "string"],
    }
    named = [{"name": name, "type": types.get(name, "string")} for name in order]
    schema = {"type": "record", "name": "event", "fields": named}
    path = written(tmp_path, "event.avsc", schema)
    for at, row in enumerate(events.to_pylist()):
        sink = io.BytesIO()
        fastavro.schemaless_writer(sink, fastavro.parse_schema(schema), row)
        number = 2 if at in (3, 5) else 1
        topics.send("events", 0, b"\0" + number.to_bytes(4, "big") + sink.getvalue())
    topics.flush()
    config = topics.config(fitted)
    avro = {"format": "avro", "schema": str(path), "framing": "confluent"}
    with running({**config, "events": {**config["events"], **avro}}) as found:
        letters = topics.dead(2)
        served = topics.features(6)
    assert summary_of(found).n_events == 6
    assert [place_of(letter) for letter in letters] == [(0, 3), (0, 5)]
    assert {dict(letter.headers())["fastfeat.kind"] for letter in letters} == {b"schema"}
    assert sorted(offset for _, offset in served) == [0, 1, 2, 4, 6, 7]
