"""Messages to columns: the values that were sent, and each message that cannot be read, alone."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.apps.stream.config import Topic
from fastfeat.apps.stream.messages import decode_messages, decoder
from fastfeat.errors import InvalidConfig
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir.dtypes import DType, duration, list_of, timestamp
from fastfeat.ir.dtypes import time as time_of_day

TYPES = {
    "i": DType("int64"),
    "f": DType("float64"),
    "s": DType("utf8"),
    "b": DType("bool"),
    "t": timestamp("us", "UTC"),
}
MOMENT = datetime(2013, 1, 1, 5, 0, 0, 123456, tzinfo=UTC)
POISON = [
    b"",
    None,
    b" ",
    b"{",
    b"null",
    b"3",
    b"[1]",
    b'{"i":1}{"i":2}',
    b'{"i":1}}\n{"v":{"i":2}',
    b'{"i":1},"v":{"i":2}',
    b'{"i":1,"i":2}',
    b'{"i":1.5}',
    b'{"i":"1"}',
    b'{"i":99999999999999999999}',
    b'{"f":"x"}',
    b'{"s":3}',
    b'{"s":"\xff"}',
    b'{"s":"\\ud800"}',
    b'{"t":"yesterday"}',
    b'{"b":1}',
]


def test_json_values_are_those_that_were_sent() -> None:
    types = TYPES | {
        "d": DType("date32"),
        "c": time_of_day("us"),
        "w": duration("s"),
        "l": list_of(DType("utf8")),
        "h": DType("float32"),
    }
    sent = [
        {"i": 2**62, "f": 0.1, "s": "ä\n", "b": True, "t": MOMENT.isoformat(), "d": "2013-01-02"}
        | {"c": "05:06:07.000008", "w": 90, "l": ["x", None], "h": 0.1, "other": {"deep": [1]}},
        {"f": -0.0},
        {},
    ]
    rows, poison = decode_messages(
        decoder(Topic("x", absent="missing"), types), [json.dumps(each).encode() for each in sent]
    )
    assert poison == []
    assert rows.table.schema == pa.schema(
        [(name, arrow_type(dtype)) for name, dtype in types.items()]
    )
    first, second, third = rows.table.to_pylist()
    assert first == {
        "i": 2**62,
        "f": 0.1,
        "s": "ä\n",
        "b": True,
        "t": MOMENT,
        "d": date(2013, 1, 2),
        "c": time(5, 6, 7, 8),
        "w": timedelta(seconds=90),
        "l": ["x", None],
        "h": float(np.float32(0.1)),
    }
    assert str(second["f"]) == "-0.0"
    assert set(third.values()) == {None}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_are_counts_of_the_unit(unit: str) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    decode = decoder(Topic("x", absent="missing", times=unit), {"t": timestamp("us", "UTC")})  # pyright: ignore
    rows, _ = decode_messages(decode, [b'{"t":%d}' % (1356998400 * per_second)])
    assert rows.table["t"].to_pylist() == [datetime(2013, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize("bad", POISON)
def test_json_poison_is_found_alone_and_moves_no_row(bad: bytes | None) -> None:
    values = [b'{"i":%d}' % at for at in range(7)]
    given = [*values[:3], bad, *values[3:5], bad, *values[5:]]
    rows, poison = decode_messages(decoder(Topic("x", absent="missing"), TYPES), given)
    assert [each.message for each in poison] == [3, 6]
    assert all(each.reason for each in poison)
    assert rows.table["i"].to_pylist() == list(range(7))
    assert rows.message.tolist() == [0, 1, 2, 4, 5, 7, 8]


def test_batch_of_poison_alone_has_no_rows() -> None:
    rows, poison = decode_messages(decoder(Topic("x", absent="missing"), TYPES), [b"{", b"["])
    assert rows.table.num_rows == 0
    assert rows.table.column_names == list(TYPES)
    assert [each.message for each in poison] == [0, 1]


@given(st.lists(st.sampled_from([*POISON, *[b'{"i":%d}' % at for at in range(9)]]), max_size=40))
def test_each_message_is_a_row_or_poison(values: list[bytes | None]) -> None:
    rows, poison = decode_messages(decoder(Topic("x", absent="missing"), TYPES), values)
    known = {
        at: json.loads(value or b"")["i"] for at, value in enumerate(values) if value not in POISON
    }
    assert {each.message for each in poison} == set(range(len(values))) - set(known)
    assert dict(zip(rows.message.tolist(), rows.table["i"].to_pylist(), strict=True)) == known


def stream_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def test_arrow_messages_hold_any_number_of_rows() -> None:
    decode = decoder(Topic("x", absent="missing", format="arrow", columns={"s": "name"}), TYPES)
    values = [
        stream_of(
            pa.table({"i": [1, 2, 3], "name": pa.array(["a", "b", None]).dictionary_encode()})
        ),
        stream_of(pa.table({"i": pa.array([], pa.int64())})),
        stream_of(pa.table({"f": pa.array([4.5], pa.float32()), "i": pa.array([4], pa.int8())})),
    ]
    rows, poison = decode_messages(decode, values)
    assert poison == []
    assert rows.table["i"].to_pylist() == [1, 2, 3, 4]
    assert rows.table["s"].to_pylist() == ["a", "b", None, None]
    assert rows.table["f"].to_pylist() == [None, None, None, 4.5]
    assert rows.message.tolist() == [0, 0, 0, 2]
    assert rows.within.tolist() == [0, 1, 2, 0]


def test_arrow_poison_is_found_alone() -> None:
    decode = decoder(Topic("x", absent="missing", format="arrow"), TYPES)
    good = stream_of(pa.table({"i": [1, 2]}))
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["i", "i"])
    values = [
        good,
        good[: len(good) // 2],
        b"ARROW",
        stream_of(pa.table({"i": ["x"]})),
        stream_of(pa.table({"i": [1.5]})),
        stream_of(twice),
        good,
    ]
    rows, poison = decode_messages(decode, values)
    assert [each.message for each in poison] == [1, 2, 3, 4, 5]
    assert rows.message.tolist() == [0, 0, 6, 6]


def test_arrow_messages_that_are_large_unpacked_are_poison() -> None:
    decode = decoder(Topic("x", absent="missing", format="arrow"), TYPES)
    values: list[bytes] = []
    for column in (np.zeros(40_000_000, np.int64), pa.nulls(10**9)):
        table = pa.table({"i": column})
        sink = pa.BufferOutputStream()
        packed = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(sink, table.schema, options=packed) as writer:
            writer.write_table(table)
        values.append(sink.getvalue().to_pybytes())
    _, poison = decode_messages(decode, values)
    assert "320,000,000 bytes when unpacked" in poison[0].reason
    assert "1,000,000,000 rows" in poison[1].reason


@pytest.mark.parametrize("framing", ["none", "confluent"])
def test_avro_records_are_read(tmp_path: Path, framing: Any) -> None:
    fields = [
        {"name": "i", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ]
    schema = {"type": "record", "name": "event", "fields": fields}
    (tmp_path / "event.avsc").write_text(json.dumps(schema))
    topic = Topic(
        "x",
        absent="missing",
        format="avro",
        schema=tmp_path / "event.avsc",
        columns={"s": "name"},
        framing=framing,
    )
    values: list[bytes] = []
    for record in ({"i": 1, "name": "a", "t": MOMENT}, {"i": 2, "name": None, "t": MOMENT}):
        sink = io.BytesIO()
        fastavro.schemaless_writer(sink, fastavro.parse_schema(schema), record)
        values.append((b"\0\0\0\0\7" if framing == "confluent" else b"") + sink.getvalue())
    rows, poison = decode_messages(
        decoder(topic, TYPES), [values[0], b"\x02", values[1] + b"!", values[1]]
    )
    assert [each.message for each in poison] == [1, 2]
    assert rows.table.select(["i", "s", "t"]).to_pylist() == [
        {"i": 1, "s": "a", "t": MOMENT},
        {"i": 2, "s": None, "t": MOMENT},
    ]


def test_schema_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.avsc"
    with pytest.raises(InvalidConfig, match="cannot read the schema"):
        decoder(Topic("x", absent="missing", format="avro", schema=path), TYPES)
    for text in ("{", '"string"', '{"type": "unknown"}'):
        path.write_text(text)
        with pytest.raises(InvalidConfig, match=r"x\.avsc is"):
            decoder(Topic("x", absent="missing", format="avro", schema=path), TYPES)


def test_mapped_column_that_no_plan_reads_is_an_error() -> None:
    with pytest.raises(
        InvalidConfig, match="columns of topic x: the plan reads no column 'z'; it reads i"
    ):
        decoder(Topic("x", absent="missing", columns={"z": "i"}), TYPES)


def test_a_message_that_lacks_a_column_is_poison_and_null_is_missing() -> None:
    types = {"i": TYPES["i"], "f": TYPES["f"]}
    decode = decoder(Topic("x", columns={"i": 'a "b"'}), types, may_lack=["f"])
    sent: list[bytes] = [
        b'{"a \\"b\\"": 1, "f": 2.5}',
        b'{"a \\"b\\"": null}',
        b'{"a \\"\\u0062\\"": null, "f": null}',
        b'{"i": 3, "f": 1.0}',
        b'{"f": 1.0}',
    ]
    rows, poison = decode_messages(decode, sent)
    assert rows.table["i"].to_pylist() == [1, None, None]
    assert rows.table["f"].to_pylist() == [2.5, None, None]
    assert [each.message for each in poison] == [3, 4]
    assert all("lacks 'a \"b\"'" in each.reason and "absent" in each.reason for each in poison)


def test_an_arrow_message_that_lacks_a_column_is_poison() -> None:
    decode = decoder(Topic("x", format="arrow"), {"i": TYPES["i"], "f": TYPES["f"]}, ["f"])
    sent = [stream_of(pa.table({"i": [1]})), stream_of(pa.table({"f": [1.0]}))]
    rows, poison = decode_messages(decode, sent)
    assert rows.table.to_pylist() == [{"i": 1, "f": None}]
    assert [each.message for each in poison] == [1]
