"""Configuration of a stream as checked records; `read_config` makes them from TOML.

An example with every key. Keys with a comment in brackets are optional:

    artifact = "flights.fastfeat"     # or a table [artifacts] of names and files, over one log
    state = "state"                   # a folder: one SQLite file a partition of the events
    group = "flight-features"         # the consumer group
    late = "dead_letter"              # ["error", "insert", "drop", "dead_letter", the default]
    keep = "2d"                       # [as of `FittedPlan.online`]
    max_ahead = "1h"                  # [as of `FittedPlan.online`; the default where times have
                                      # a zone and late is not "insert"; "any" for no limit]
    max_jump = "7d"                   # [as of `FittedPlan.online`]
    archive = "archive"               # [a folder that keeps what whole states replace, for replay]
    keep_audit = "90d"                # [how long it is kept]
    checkpoint = "1s"                 # [how often state, offsets and audit are committed]
    history = "history/{partition}.parquet"   # [rows that new states begin with]
    start = "beginning"               # [of a new state: "beginning" refuses a topic that has lost
                                      # its first rows, "retained" begins with the first one kept]
    lock_wait = "60s"                 # [how long a state that another member holds is waited for]
    metrics = "127.0.0.1:9464"        # [where Prometheus reads; port 0 for a free one]
    drift = "1h"                      # [the events answered in such a time are compared with the
                                      # training rows: gauges in metrics]

    [kafka]
    brokers = "127.0.0.1:9092"
    options = { "security.protocol" = "ssl" }    # [of confluent-kafka, for all clients]
    consumer = { "session.timeout.ms" = 6000 }   # [for consumers alone]
    producer = { "compression.type" = "lz4" }    # [for the producer alone]

    [events]                          # rows that are asked for, and then stand in the state
    topic = "flights"
    format = "json"                   # ["json", the default, "arrow": IPC streams, "avro"]
    times = "iso"                     # [times in JSON: "iso" text, or counts of "s" "ms" "us" "ns"]
    absent = "error"                  # [a message that lacks a column which is not late is a dead
                                      # letter; "missing": its rows have no value there]
    columns = { tailnum = "tail" }    # [columns of the plan that have other names in messages]
    types = { id = "string" }         # [of columns whose type the plan does not know: the row_id
                                      # and what it keeps]

    [outcomes]                        # [late columns, by `row_id`; partitioned as events are]
    topic = "landings"                # and times, absent, columns, types, as of events
    format = "avro"
    schema = "landing.avsc"           # the schema that records are read by
    framing = "confluent"             # ["none", the default, or 5 bytes of a registry]
    schemas = { 1 = "v1.avsc", 2 = "v2.avsc" }  # [schemas of writers by number; in their place
                                      # schema_ids = [1, 2]: numbers of schemas with the same
                                      # fields in the same order; without both the first number
                                      # of the topic is the only one]

    [tables.weather]                  # [a lookup table]
    topic = "weather"                 # [rows that are added; and format, ...]
    path = "weather.parquet"          # [rows that a new state begins with]

    [batch]                           # [a micro-batch ends with so many rows, or after the wait]
    rows = 1000
    wait = "20ms"

    [out.kafka]                       # [features to a topic]
    topic = "features"
    format = "json"                   # ["json": a message a row; "arrow": one a micro-batch]
    buffer = "32MiB"                  # [messages that wait for the broker]

    [out.valkey]                      # [the latest features of each entity, in Valkey or Redis]
    url = "redis://127.0.0.1:6379/0"
    keys = ["tailnum"]                # columns of the events
    prefix = "flights:"               # [the default is "fastfeat:"]
    ttl = "7d"                        # [none: they stay]

    [out.parquet]                     # [features as files of a range of offsets]
    folder = "features"

    [dead_letters]                    # [without it what cannot be read or taken ends the stream]
    topic = "dead-flights"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fastfeat.io.columns.json_values import Times

Format = Literal["json", "arrow", "avro"]
Framing = Literal["none", "confluent"]
Absent = Literal["error", "missing"]
Late = Literal["error", "insert", "drop", "dead_letter"]
Start = Literal["beginning", "retained"]
Option = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Kafka:
    """Broker addresses, and options that are passed to confluent-kafka.

    Args:
        brokers: Comma-separated `host:port` addresses.
        options: Options for all clients.
        consumer: Options for consumers only; they override `options`.
        producer: Options for the producer only; they override `options`.
    """

    brokers: str
    options: Mapping[str, Option] = field(default_factory=dict[str, Option])
    consumer: Mapping[str, Option] = field(default_factory=dict[str, Option])
    producer: Mapping[str, Option] = field(default_factory=dict[str, Option])


@dataclass(frozen=True, slots=True)
class Topic:
    """An input topic, and how its messages encode rows.

    Args:
        topic: Topic name.
        format: Message format: "json" (one object per row), "arrow" (an IPC stream with any number
            of rows) or "avro" (one record per row).
        times: How JSON encodes times: "iso" for ISO 8601 text, or "s", "ms", "us", "ns" for whole
            numbers of that unit since 1970. ISO text has an offset if the column has a time zone,
            and none otherwise.
        absent: Treatment of a message that lacks a column which is not late: "error" rejects the
            message, "missing" takes the value as missing.
        columns: Plan column name to its name in messages, for columns with different names.
        types: Column name to type name, for columns that `fit` has not read: the row id and kept
            columns.
        schema: Avro only: file of the schema that the rows are read with.
        framing: Avro only: "confluent" if each message starts with the 5 bytes of a schema registry
            (a zero byte, then the id of the writer's schema). With "none" nothing identifies the
            writer's schema: a message with another schema whose bytes happen to fit is misread.
        schemas: Avro only: schema id to file, for the schemas that messages are written with.
            Fields are resolved to those of `schema` by Avro's rules. A message with any other id is
            a dead letter.
        schema_ids: Avro only, instead of `schemas`: ids of schemas that have the same fields as
            `schema` in the same order. If both are empty, only the id of the first message is
            accepted.
    """

    topic: str
    format: Format = "json"
    times: Times = "iso"
    absent: Absent = "error"
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    types: Mapping[str, str] = field(default_factory=dict[str, str])
    schema: Path | None = None
    framing: Framing = "none"
    schemas: Mapping[int, Path] = field(default_factory=dict[int, Path])
    schema_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A lookup table: initial rows, and a topic of updates.

    Args:
        path: File with the rows of a new state; None to start empty.
        source: Topic with further rows; None if there are no updates.
    """

    path: Path | None = None
    source: Topic | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Limits of a micro-batch; it ends at whichever comes first.

    Args:
        rows: Maximum number of messages polled at once.
        wait_s: Maximum wait for messages, in seconds.
    """

    rows: int = 1000
    wait_s: float = 0.02


@dataclass(frozen=True, slots=True)
class KafkaOut:
    """Output of features to a topic.

    Features go to the partition with the same number as their event's partition, modulo the number
    of partitions of this topic.

    Args:
        topic: Topic name. The topic must exist; any number of partitions will do.
        format: "json" for one message per row, "arrow" for one IPC stream per micro-batch.
        buffer_bytes: Maximum size of the messages waiting for the broker. Above it the partition
            pauses.
    """

    topic: str
    format: Literal["json", "arrow"] = "json"
    buffer_bytes: int = 32 << 20


@dataclass(frozen=True, slots=True)
class ValkeyOut:
    """Output of each entity's latest features to Valkey or Redis.

    Args:
        url: Server URL.
        keys: Event columns that identify the entity.
        prefix: Prefix of all keys.
        ttl_s: Seconds after which a row that was not replaced expires; None for never.
    """

    url: str
    keys: tuple[str, ...]
    prefix: str = "fastfeat:"
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class ParquetOut:
    """Output of features to Parquet files, one per partition and checkpoint.

    Args:
        folder: Output folder.
    """

    folder: Path


@dataclass(frozen=True, slots=True)
class Config:
    """Configuration of `run`. `read_config` reads it from a TOML file.

    Args:
        artifacts: Name to fitted-plan file. A single unnamed plan has the name "".
        state: Folder of the state files, one SQLite file per partition of the events.
        group: Consumer group.
        kafka: Brokers and client options.
        events: Topic of the events. Each event is answered, then added to the state.
        outcomes: Topic of late columns, matched to events by `row_id`; None if the events already
            contain them.
        tables: Name to lookup table.
        late: Treatment of a row that is earlier than the latest row of its entity: "error" stops
            the stream, "insert" answers it for its own time and adds it to the state, "drop"
            answers it for its own time without adding it, "dead_letter" sends it to the dead-letter
            topic.
        keep: How much longer than windows see rows are kept, for late rows: a duration such as
            "2d", a whole number for integer clocks, or "everything". None takes the stored setting
            of an existing state; a new one keeps them, if late rows are accepted, for as long again
            as windows see.
        max_ahead: How far ahead of this machine's clock a row may be, such as "1h"; "any" sets no
            limit. None means "1h" for new states that have times with a zone, unless `late` is
            "insert".
        max_jump: How far ahead of the latest earlier row of its partition a row may be; None for no
            limit.
        archive: Folder that keeps the data that a whole state replaces, for `ff.replay`.
        keep_audit: How long the archive is kept, such as "90d".
        history: File of rows for new states; `{partition}` in it is replaced by the partition
            number.
        start: Where a new state begins. "beginning" refuses a topic that has lost its first rows;
            "retained" begins with the first row that is still there.
        checkpoint_s: Seconds between commits of state, offsets and audit.
        lock_wait_s: How long to wait for a state that another member holds, in seconds.
        batch: Limits of a micro-batch.
        kafka_out: Output to a topic, or None.
        valkey_out: Output to Valkey or Redis, or None.
        parquet_out: Output to Parquet files, or None.
        dead_letters: Topic for messages and rows that cannot be read or accepted. None stops the
            stream at the first one.
        metrics: Host and port that Prometheus scrapes; None for no metrics.
        drift_s: Time window, in seconds, over which answered events are compared with the training
            rows; None for no comparison.
    """

    artifacts: Mapping[str, Path]
    state: Path
    group: str
    kafka: Kafka
    events: Topic
    outcomes: Topic | None = None
    tables: Mapping[str, LookupTable] = field(default_factory=dict[str, LookupTable])
    late: Late = "dead_letter"
    keep: str | int | None = None
    max_ahead: str | None = None
    max_jump: str | int | None = None
    archive: str | None = None
    keep_audit: str | None = None
    history: str | None = None
    start: Start = "beginning"
    checkpoint_s: float = 1.0
    lock_wait_s: float = 60.0
    batch: Batch = field(default_factory=Batch)
    kafka_out: KafkaOut | None = None
    valkey_out: ValkeyOut | None = None
    parquet_out: ParquetOut | None = None
    dead_letters: str | None = None
    metrics: tuple[str, int] | None = None
    drift_s: float | None = None
