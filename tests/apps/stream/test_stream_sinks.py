"""Sinks and readers apart from brokers: files whole or not at all, what repeats, what is full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fastfeat.apps.stream import drop_repeated_rows, drop_repeats, read_features
from fastfeat.apps.stream.config import Kafka, ValkeyOut
from fastfeat.apps.stream.kafka import Consumer, Producer
from fastfeat.apps.stream.outputs import DeadLetter, Outputs
from fastfeat.apps.stream.to_kafka import DeadLetters, ToKafka
from fastfeat.apps.stream.to_parquet import ToParquet
from fastfeat.apps.stream.to_valkey import ToValkey
from fastfeat.errors import InvalidConfig, InvalidData, StreamError, TypeMismatch


def outputs_of(first: int, n_rows: int, n_dead: int = 0, n_columns: int = 1) -> Outputs:
    """Return outputs of as many rows from an offset on, whose value is the offset."""
    offsets = np.arange(first, first + n_rows)
    values = pa.array(offsets.astype(np.float64))
    return Outputs(
        "events",
        1,
        first,
        first + n_rows,
        "00" * 32,
        offsets,
        np.zeros(n_rows, np.int64),
        offsets,
        [None] * n_rows,
        pa.table({"k": offsets}),
        pa.table({f"x{at}": values for at in range(n_columns)}),
        [DeadLetter("events", 1, at, -1, "late", "why", None, b"v") for at in range(n_dead)],
    )


def test_files_hold_each_row_once_whatever_comes_again(tmp_path: Path) -> None:
    sink = ToParquet(tmp_path, "a/b")
    sink.opened(1)
    sink.put(outputs_of(0, 10), 0)
    sink.put(outputs_of(10, 5), 0)
    assert sink.flush(1, 15, 0)
    sink.put(outputs_of(15, 5), 0)  # lost: no checkpoint came
    folder = tmp_path / "a%2Fb" / "partition=1"
    (folder / f".{'0' * 16}.partial").write_bytes(b"half a file")
    again = ToParquet(tmp_path, "a/b")
    again.opened(1)
    for first in (5, 12, 19):
        again.put(outputs_of(first, 7), 0)
    again.flush(1, 26, 0)
    again.flush(1, 26, 0)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{0:020}-{15:020}.parquet", f"{15:020}-{26:020}.parquet"]
    found = read_features(tmp_path, "a/b")
    assert found["x0"].to_pylist() == list(range(26))
    assert found["fastfeat.offset"].to_pylist() == list(range(26))
    assert set(found["fastfeat.partition"].to_pylist()) == {1}


def test_folder_that_cannot_be_made_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StreamError, match=r"out\.parquet\.folder: cannot create .*Not a directory"):
        ToParquet(tmp_path / "file", "events").opened(0)


class FullProducer:
    """Takes so many messages, and then none until it is emptied."""

    def __init__(self, room: int) -> None:
        self.room, self.sent, self.largest = room, [], 1_000_000

    def send(self, topic: str, partition: int, key: Any, value: bytes, headers: Any) -> bool:
        """Take a message where there is room."""
        if self.room == 0:
            return False
        self.room -= 1
        self.sent.append((partition, value, dict(headers)))
        return True

    def check(self) -> None:
        """Have nothing to tell."""


@pytest.mark.parametrize("is_arrow", [False, True])
def test_full_producer_takes_the_rest_later(is_arrow: bool) -> None:
    producer: Any = FullProducer(1)
    sink = ToKafka(producer, "features", 1, is_arrow)
    outputs = outputs_of(0, 40_000 if is_arrow else 3, n_columns=2)
    n_rows, first = outputs.features.num_rows, 0
    while first < n_rows:
        producer.room = 1
        taken = sink.put(outputs, first)
        assert taken > first
        first = taken
    if is_arrow:
        assert len(producer.sent) > 1, "a message is no larger than a broker takes"
        assert max(len(value) for _, value, _ in producer.sent) < 1 << 20
        tables = [pa.ipc.open_stream(value).read_all() for _, value, _ in producer.sent]
        offsets = pa.concat_tables(tables)["fastfeat.offset"].to_pylist()
    else:
        offsets = [int(headers["fastfeat.offset"]) for _, _, headers in producer.sent]
    assert offsets == list(range(n_rows))


def test_dead_letters_go_on_where_they_were_full() -> None:
    producer: Any = FullProducer(2)
    sink = DeadLetters(producer, "dead", 3)
    outputs = outputs_of(0, 1, n_dead=5)
    assert sink.put(outputs, 0) == 2
    producer.room = 9
    assert sink.put(outputs, 2) == 5
    assert [headers["fastfeat.offset"] for _, _, headers in producer.sent] == [
        b"%d" % at for at in range(5)
    ]
    assert {partition for partition, _, _ in producer.sent} == {1}


class Sent:
    """A message of features."""

    def __init__(self, partition: int, offset: int, row: int = 0) -> None:
        self.place = partition, offset, row

    def headers(self) -> Any:
        """Return what a stream writes."""
        partition, offset, row = self.place
        found = [("fastfeat.topic", b"e"), ("fastfeat.partition", b"%d" % partition)]
        found.append(("fastfeat.offset", b"%d" % offset))
        return [*found, ("fastfeat.row", b"%d" % row)] if row else found


def test_repeats_are_dropped_by_partition_offset_and_row() -> None:
    places = [(0, 1, 0), (0, 1, 1), (1, 1, 0), (0, 2, 0), (0, 1, 1), (0, 2, 0), (0, 3, 0)]
    seen: dict[tuple[str, int], tuple[int, int]] = {}
    kept = [each.place for each in drop_repeats((Sent(*place) for place in places), seen)]
    assert kept == [(0, 1, 0), (0, 1, 1), (1, 1, 0), (0, 2, 0), (0, 3, 0)]
    assert seen == {("e", 0): (3, 0), ("e", 1): (1, 0)}
    assert list(drop_repeats([Sent(0, 3)], seen)) == []


def test_messages_of_others_are_an_error() -> None:
    class Other:
        def headers(self) -> None:
            """Return nothing."""

    with pytest.raises(InvalidData, match=r"lacks the header 'fastfeat\.topic'"):
        list(drop_repeats([Other()]))


def test_calls_with_other_arguments_say_what_to_write() -> None:
    from fastfeat.apps import stream

    wrong: Any = stream
    with pytest.raises(TypeMismatch, match=r"fastfeat\.apps\.stream\.run\(\): lacks config="):
        wrong.run()
    with pytest.raises(TypeMismatch, match="has no parameter 'known'"):
        wrong.drop_repeats([], known={})
    with pytest.raises(AttributeError, match="no attribute 'runs'"):
        wrong.runs  # noqa: B018


def test_repeated_rows_of_arrow_are_dropped() -> None:
    seen: dict[tuple[str, int], tuple[int, int]] = {}

    def rows(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
        table = pa.table(
            {"fastfeat.offset": [o for o, _ in places], "fastfeat.row": [r for _, r in places]}
        )
        kept = drop_repeated_rows(table, ("e", 0), seen)
        return [tuple(row.values()) for row in kept.to_pylist()]

    assert rows([(0, 0), (0, 1), (4, 0)]) == [(0, 0), (0, 1), (4, 0)]
    assert rows([(0, 1), (4, 0), (4, 1), (5, 0)]) == [(4, 1), (5, 0)]
    assert rows([(4, 1)]) == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("no.such.option", 1, "No such configuration property"),
        ("session.timeout.ms", "soon", "Invalid value"),
        ("message.max.bytes", "many", "Invalid value"),
        ("linger.ms", [1], "Invalid value"),
    ],
)
def test_options_that_the_library_refuses_are_told(name: str, value: Any, told: str) -> None:
    kafka = Kafka("127.0.0.1:1", {name: value})
    with pytest.raises(StreamError, match=f"kafka: wrong option: .*{told}"):
        Producer(kafka, 1 << 20)
    with pytest.raises(StreamError, match=f"kafka: wrong option: .*{told}"):
        Consumer(kafka, "group")


@pytest.mark.parametrize("url", ["http://u:secret@host", "redis://u:secret@host:x", ""])
def test_address_of_valkey_that_is_none_is_told(url: str) -> None:
    with pytest.raises(InvalidConfig, match=r"out\.valkey\.url: ") as told:
        ToValkey(ValkeyOut(url, ("card",)))
    assert "secret" not in str(told.value)
