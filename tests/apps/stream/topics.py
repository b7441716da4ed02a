"""Topics with events, members that answer them, and what came of it, for tests of streams."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic  # pyright: ignore[reportMissingModuleSource]

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.stream import Summary, drop_repeats, run
from fastfeat_tests.patience import PATIENCE_S, joined, until

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
WEEK = ff.window("7d", by="card", time="at")
QUICK = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300}
"""Tansu waits for half a session before it lets a member in."""
MEMBER = """
import json, logging, sys
from fastfeat.apps.stream import run
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
print(run(json.load(open(sys.argv[1]))), flush=True)
"""


def plan_of(features: Mapping[str, ff.Expr] | None = None, **options: Any) -> ff.Plan:
    """Return a plan with windows of numbers and text, and features of the row alone."""
    return ff.Plan(
        {
            "n": ff.count(over=WEEK),
            "total": col("amount").sum(over=WEEK),
            "mean": col("amount").mean(over=WEEK),
            "spread": col("amount").std(over=WEEK),
            "before": col("amount").lag(1, over=ff.window(by="card", time="at", rows=3)),
            "shops": col("shop").n_unique(over=WEEK),
            "scaled": col("amount").standard_scale(),
            **(features or {}),
        },
        row_id="id",
        **options,
    )


def events_of(
    n_rows: int, n_cards: int = 12, seed: int = 0, start: datetime = BEGIN, first: int = 0
) -> pa.Table:
    """Return events in order of time, some at the same one, some without a card or an amount.

    Args:
        n_rows: how many.
        n_cards: of how many entities.
        seed: of what is random.
        start: their times begin here.
        first: the number in the id of the first.
    """
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, 40 * n_rows // 10 + 1, n_rows))
    amounts = rng.lognormal(2, 1.5, n_rows)
    return pa.table(
        {
            "id": pa.array([f"e{first + at}" for at in range(n_rows)]),
            "card": pa.array([f"c{at}" for at in rng.integers(0, n_cards, n_rows)]),
            "shop": pa.array(
                [None if at == 0 else f"s{at}" for at in rng.integers(0, 6, n_rows)], pa.string()
            ),
            "at": pa.array(
                [start + timedelta(minutes=int(at)) for at in minutes], pa.timestamp("us", "UTC")
            ),
            "amount": pa.array(
                [
                    None if drop < 0.05 else a
                    for a, drop in zip(amounts, rng.random(n_rows), strict=True)
                ],
                pa.float64(),
            ),
        }
    )


def as_json(row: Mapping[str, Any]) -> bytes:
    """Return a row as a message in JSON."""
    ready = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
    }
    return json.dumps(ready).encode()


def partition_of(card: str, n_partitions: int) -> int:
    """Return the partition that the events of a card are in."""
    return int(card[1:]) % n_partitions


@dataclass(slots=True)
class Topics:
    """Topics of one test, by short names.

    Args:
        address: of the broker.
        prefix: of their real names.
        folder: of states and files.
        n_partitions: of the topics of events and features.
        sent: by topic and partition what each offset holds, as it was sent.
        producer: sends messages.
    """

    address: str
    prefix: str
    folder: Path
    n_partitions: int = 2
    sent: dict[tuple[str, int], list[bytes | None]] = field(
        default_factory=dict[tuple[str, int], list[bytes | None]]
    )
    producer: Any = None

    def create(self, names: Sequence[str] = ("events", "features", "dead")) -> None:
        """Create topics."""
        admin = AdminClient({"bootstrap.servers": self.address})
        new = [NewTopic(self.name(name), self.n_partitions, 1) for name in names]
        for made in admin.create_topics(new).values():
            made.result(PATIENCE_S)
        self.producer = Producer({"bootstrap.servers": self.address, "linger.ms": 2})

    def name(self, topic: str) -> str:
        """Return the real name of a topic."""
        return f"{self.prefix}-{topic}"

    def send(self, topic: str, partition: int, value: bytes | None, time_ms: int = 0) -> int:
        """Send a message; return its offset."""
        known = self.sent.setdefault((topic, partition), [])
        known.append(value)
        self.producer.produce(self.name(topic), value, partition=partition, timestamp=time_ms or 1)
        self.producer.poll(0)
        return len(known) - 1

    def flush(self) -> None:
        """Wait until the broker has all."""
        assert self.producer.flush(PATIENCE_S) == 0

    def config(self, fitted: ff.FittedPlan, **changes: Any) -> dict[str, Any]:
        """Return the configuration of a stream over these topics."""
        artifact = self.folder / "plan.fastfeat"
        if not artifact.exists():
            fitted.save(artifact)
        found: dict[str, Any] = {
            "artifact": str(artifact),
            "state": str(self.folder / "state"),
            "group": self.prefix,
            "checkpoint": "100ms",
            "kafka": {"brokers": self.address, "consumer": QUICK},
            "events": {"topic": self.name("events"), "types": {"id": "string"}},
            "out": {"kafka": {"topic": self.name("features")}},
            "dead_letters": {"topic": self.name("dead")},
        }
        for key, value in changes.items():
            if value is None:
                del found[key]
            elif isinstance(value, dict):
                found[key] = {**found.get(key, {}), **value}
            else:
                found[key] = value
        return found

    def read(self, topic: str, is_enough: Callable[[list[Any]], bool]) -> list[Any]:
        """Return the messages of a topic, each partition's in order, once there are enough.

        Args:
            topic: its short name.
            is_enough: says so of all messages.
        """
        consumer = Consumer(
            {"bootstrap.servers": self.address, "group.id": "reader", "fetch.wait.max.ms": 20}
        )
        places = [TopicPartition(self.name(topic), at, 0) for at in range(self.n_partitions)]
        consumer.assign(places)
        found: list[Any] = []

        def has_enough() -> bool:
            found.extend(m for m in consumer.consume(2000, 0.1) if m.error() is None)
            return is_enough(found)

        try:
            until(has_enough)
        finally:
            consumer.close()
        return found

    def n_messages(self, topic: str) -> int:
        """Return how many messages are in a topic by now."""
        ends = Consumer({"bootstrap.servers": self.address, "group.id": "ends"})
        try:
            bounds = [
                ends.get_watermark_offsets(TopicPartition(self.name(topic), at), PATIENCE_S)
                for at in range(self.n_partitions)
            ]
        finally:
            ends.close()
        return sum(high for _, high in bounds)

    def features(self, n_rows: int) -> dict[tuple[int, int], dict[str, Any]]:
        """Return the features of so many rows, by partition and offset of the event, once each."""
        messages = self.read("features", lambda found: n_distinct(found) >= n_rows)
        return {place_of(m): json.loads(m.value()) for m in drop_repeats(messages)}

    def dead(self, n_letters: int) -> list[Any]:
        """Return so many dead letters, once each."""
        messages = self.read("dead", lambda found: n_distinct(found) >= n_letters)
        return list(drop_repeats(messages))


def place_of(message: Any) -> tuple[int, int]:
    """Return the partition and the offset of the event of a message of features."""
    headers = dict(message.headers())
    return int(headers["fastfeat.partition"]), int(headers["fastfeat.offset"])


def n_distinct(messages: Sequence[Any]) -> int:
    """Return of how many events messages are."""
    return len({(dict(m.headers())["fastfeat.topic"], *place_of(m)) for m in messages})


def bits(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return features with floats as text that tells all their bits."""
    return {name: value.hex() if isinstance(value, float) else value for name, value in row.items()}


@contextmanager
def running(config: Mapping[str, Any]) -> Generator[list[Any]]:
    """Run a member in a thread of this process; at the end its summary is in the list, or error."""
    stop = threading.Event()
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(run(config, stop=stop))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        joined(thread)


def summary_of(found: Sequence[Any]) -> Summary:
    """Return the summary of a member that ended well."""
    assert len(found) == 1
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def member(folder: Path, config: Mapping[str, Any], name: str = "member") -> Any:
    """Return the process of a member."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config))
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'kernels'}"}
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", MEMBER, str(path)], env=environment, stdout=log, stderr=log
        )


def end(process: Any, kind: int = signal.SIGTERM) -> int:
    """End a member by a signal; return its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(kind)
    try:
        return process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(PATIENCE_S)
        raise


def send_events(topics: Topics, events: pa.Table, each_poison: int = 100) -> dict[Any, Any]:
    """Send events to the partition of their card; return their rows by partition and offset."""
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for at, row in enumerate(events.to_pylist()):
        partition = partition_of(row["card"], topics.n_partitions)
        if at % each_poison == each_poison // 2:
            topics.send("events", partition, b'{"id": "bad", "amount": "much"}')
        rows[partition, topics.send("events", partition, as_json(row))] = row
    topics.flush()
    return rows


def expected(fitted: Any, rows: dict[Any, Any], schema: pa.Schema) -> dict[Any, Any]:
    """Return what `transform` gives for the rows of each partition, by partition and offset."""
    found: dict[Any, Any] = {}
    for partition in sorted({place[0] for place in rows}):
        places = sorted(place for place in rows if place[0] == partition)
        table = pa.Table.from_pylist([rows[place] for place in places], schema)
        features = fitted.transform(table, history="batch").to_pylist()
        found |= dict(zip(places, features, strict=True))
    return found
