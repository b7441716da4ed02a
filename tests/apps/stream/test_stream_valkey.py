"""Features in Valkey: of each entity the newest, however often and in which order they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import redis

from docs.demos.services import Service, ServiceUnavailable, new_valkey
from fastfeat.apps.stream import entity_key, read_packed
from fastfeat.apps.stream.config import ValkeyOut
from fastfeat.apps.stream.outputs import Outputs
from fastfeat.apps.stream.to_valkey import ToValkey
from fastfeat_tests.apps.stream.topics import (
    Topics,
    bits,
    events_of,
    expected,
    plan_of,
    running,
    send_events,
    summary_of,
)
from fastfeat_tests.patience import until

SCHEMA = pa.schema([("x", pa.float64())])


def outputs_of(rows: list[tuple[str | None, int, float]], partition: int = 0) -> Outputs:
    """Return outputs of rows: entity, offset (and time), value."""
    offsets = np.array([offset for _, offset, _ in rows], np.int64)
    return Outputs(
        "events",
        partition,
        int(offsets[0]),
        int(offsets[-1]) + 1,
        "00" * 32,
        offsets,
        np.zeros(len(rows), np.int64),
        offsets * 10,
        [None] * len(rows),
        pa.table({"card": pa.array([card for card, _, _ in rows], pa.string())}),
        pa.table({"x": pa.array([value for _, _, value in rows], pa.float64())}, SCHEMA),
        [],
    )


def found_in(client: Any, prefix: str, card: str) -> Any:
    """Return the row of an entity."""
    return read_packed(client.get(entity_key(prefix, [card])), SCHEMA)


def test_newest_offset_wins(valkey: Service) -> None:
    client = redis.Redis(port=valkey.port)
    sink = ToValkey(ValkeyOut(f"redis://127.0.0.1:{valkey.port}/0", ("card",), "w:", 60.0))
    newer = outputs_of([("a", 5, 1.0), ("b", 6, 2.0), ("a", 7, 3.0), (None, 8, 9.0)])
    assert sink.put(newer, 0) == 4
    assert sink.n_written == 2
    assert sink.n_without_key == 1
    assert found_in(client, "w:", "a").features == {"x": 3.0}
    assert sink.put(newer, 0) == 4
    sink.put(outputs_of([("a", 6, 8.0), ("b", 7, 4.0)]), 0)
    assert sink.n_written == 3, "the same again, and older ones, change nothing"
    assert found_in(client, "w:", "a").offset == 7
    assert found_in(client, "w:", "b").features == {"x": 4.0}
    assert 0 < client.pttl(entity_key("w:", ["a"])) <= 60_000
    sink.put(outputs_of([("a", 2, 5.0)], partition=1), 0)
    assert found_in(client, "w:", "a").features == {"x": 3.0}, "of another partition, and older"
    sink.put(outputs_of([("a", 9, 6.0)], partition=1), 0)
    assert found_in(client, "w:", "a").features == {"x": 6.0}
    sink.close()
    client.close()


def test_valkey_that_is_away_pauses_and_loses_nothing(
    topics: Topics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events = events_of(1500, seed=11)
    fitted = plan_of().fit(events)
    try:
        valkey = new_valkey(tmp_path)
        valkey.start()
    except ServiceUnavailable as error:
        pytest.skip(str(error))
    try:
        url = f"redis://127.0.0.1:{valkey.port}/0"
        rows = send_events(topics, events.slice(0, 300))
        config = topics.config(
            fitted,
            batch={"rows": 50},
            out={"valkey": {"url": url, "keys": ["card"], "prefix": "f:"}},
        )
        with running(config) as found:
            topics.features(len(rows))
            valkey.stop()
            rows |= send_events(topics, events.slice(300))
            until(lambda: "did not accept features" in caplog.text)
            answered = topics.n_messages("features")
            assert answered < 300 + 2 * 2 * 50 + 200, "no more than a few micro-batches wait"
            valkey.start()
            served = topics.features(len(rows))
            latest = {rows[place]["card"]: place for place in sorted(rows) if place[1] >= 150}
            # those before stood in what was stopped
            client: Any = redis.Redis(port=valkey.port)
            schema = fitted.transform(events.slice(0, 1), history="batch").schema

            def place_in_store(card: str) -> tuple[int, int] | None:
                content = client.get(entity_key("f:", [card]))
                row = None if content is None else read_packed(content, schema)
                return None if row is None else (row.partition, row.offset)

            until(lambda: all(place_in_store(card) == place for card, place in latest.items()))
        assert summary_of(found).n_events == 1500
        wanted = expected(fitted, rows, events.schema)
        assert {place: bits(row) for place, row in served.items()} == {
            place: bits(row) for place, row in wanted.items()
        }
        for card, place in latest.items():
            row = read_packed(client.get(entity_key("f:", [card])), schema)
            assert (row.partition, row.offset) == place
            assert bits(row.features) == bits(wanted[place])
        client.close()
    finally:
        valkey.stop()
