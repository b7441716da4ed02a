"""Configuration of a stream as checked records; `read_config` makes them from TOML.

An example with every key. Keys with a comment in brackets are optional:

    artifact = "flights.fastfeat"     # or a table [artifacts] of names and files: several plans
                                      # that share one state
    state = "state"                   # folder with one SQLite file per partition of the events
    group = "flight-features"         # consumer group
    late = "dead_letter"              # [rows earlier than the latest row of their entity: "error",
                                      # "insert", "drop" or "dead_letter", the default]
    keep = "2d"                       # [how much longer than windows see rows are kept, for late
                                      # rows; or "everything"]
    max_ahead = "1h"                  # [how far times may be ahead of this machine's clock; "any"
                                      # for no limit; "1h" is the default if times have a zone and
                                      # late is not "insert"]
    max_jump = "7d"                   # [how far a row may be ahead of the latest row before it in
                                      # its partition; by default no limit]
    archive = "archive"               # [folder that keeps replaced data of states, for replay]
    keep_audit = "90d"                # [how long the archive is kept]
    checkpoint = "1s"                 # [interval between commits of state, offsets and audit]
    history = "history/{partition}.parquet"   # [initial rows of new states]
    start = "beginning"               # [where a new state begins: "beginning" refuses a topic that
                                      # has lost its first rows, "retained" begins with the first
                                      # row that is still there]
    lock_wait = "60s"                 # [how long to wait for a state that another member holds]
    metrics = "127.0.0.1:9464"        # [address for Prometheus; port 0 picks a free one]
    drift = "1h"                      # [time window over which answered events are compared with
                                      # the training rows; the metrics show the result]

    [kafka]
    brokers = "127.0.0.1:9092"
    options = { "security.protocol" = "ssl" }    # [confluent-kafka options for all clients]
    consumer = { "session.timeout.ms" = 6000 }   # [options for consumers only]
    producer = { "compression.type" = "lz4" }    # [options for the producer only]

    [events]                          # rows to answer, which are then added to the state
    topic = "flights"
    format = "json"                   # ["json", the default, "arrow" (IPC streams) or "avro"]
    times = "iso"                     # [times in JSON: "iso" text, or whole numbers of "s", "ms",
                                      # "us" or "ns" since 1970]
    absent = "error"                  # [messages that lack a column which is not late: "error", the
                                      # default, makes them dead letters; "missing" takes the value
                                      # as missing]
    columns = { tailnum = "tail" }    # [plan columns that have other names in messages]
    types = { id = "string" }         # [types of columns that fit has not read: the row_id and kept
                                      # columns]

    [outcomes]                        # [late columns, matched to events by `row_id`; partitioned
                                      # like the events]
    topic = "landings"                # format, times, absent, columns and types: like in [events]
    format = "avro"
    schema = "landing.avsc"           # schema that records are read with
    framing = "confluent"             # ["none", the default, or "confluent": messages start with
                                      # the 5 bytes of a schema registry]
    schemas = { 1 = "v1.avsc", 2 = "v2.avsc" }  # [schemas of writers by id. Or schema_ids = [1, 2]:
                                      # ids of schemas with the fields of `schema` in the same
                                      # order. Without both, only the id of the first message is
                                      # accepted]

    [tables.weather]                  # [a lookup table]
    topic = "weather"                 # [topic with further rows; takes the keys of [events]]
    path = "weather.parquet"          # [initial rows of a new state]

    [batch]                           # [a micro-batch ends after this many messages, or this wait]
    rows = 1000
    wait = "20ms"

    [out.kafka]                       # [features to a topic]
    topic = "features"
    format = "json"                   # ["json": a message per row; "arrow": one per micro-batch]
    buffer = "32MiB"                  # [maximum size of messages waiting for the broker]

    [out.valkey]                      # [latest features of each entity to Valkey or Redis]
    url = "redis://127.0.0.1:6379/0"
    keys = ["tailnum"]                # event columns that identify the entity
    prefix = "flights:"               # [prefix of all keys; the default is "fastfeat:"]
    ttl = "7d"                        # [when rows that were not replaced expire; default: never]

    [out.parquet]                     # [features to Parquet files, one per range of offsets]
    folder = "features"

    [dead_letters]                    # [messages and rows that cannot be read or accepted; without
                                      # this section the first one stops the stream]
    topic = "dead-flights"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

from fastfeat_kernels.records import dataclass

from fastfeat.io.columns.json_values import JsonTimeFormat

MessageFormat = Literal["json", "arrow", "avro"]
Framing = Literal["none", "confluent"]
Absent = Literal["error", "missing"]
LateRowPolicy = Literal["error", "insert", "drop", "dead_letter"]
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
        absent: Treatment of a message that lacks a column: "error" rejects the message, "missing"
            takes the value as missing. Late columns (known only later) may always be absent.
        columns: Plan column name to its name in messages, for columns with different names.
        types: Column name to type name, for columns that `fit` has not read: the row id and columns
            that are passed through (`keep=`).
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
    format: MessageFormat = "json"
    times: JsonTimeFormat = "iso"
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
class MicroBatchLimits:
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
        keep: How long rows are kept, for late rows, after windows no longer need them: a duration
            such as "2d", a whole number for integer clocks, or "everything". None takes the stored
            setting of an existing state. A new state that accepts late rows then keeps rows twice
            as long as windows need.
        max_ahead: How far ahead of this machine's clock a row may be, such as "1h"; "any" sets no
            limit. None means "1h" for new states that have times with a zone, unless `late` is
            "insert".
        max_jump: How far ahead of the latest earlier row of its partition a row may be; None for no
            limit.
        archive: Folder that keeps recorded changes when a snapshot replaces them, for `ff.replay`.
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
    late: LateRowPolicy = "dead_letter"
    keep: str | int | None = None
    max_ahead: str | None = None
    max_jump: str | int | None = None
    archive: str | None = None
    keep_audit: str | None = None
    history: str | None = None
    start: Start = "beginning"
    checkpoint_s: float = 1.0
    lock_wait_s: float = 60.0
    batch: MicroBatchLimits = field(default_factory=MicroBatchLimits)
    kafka_out: KafkaOut | None = None
    valkey_out: ValkeyOut | None = None
    parquet_out: ParquetOut | None = None
    dead_letters: str | None = None
    metrics: tuple[str, int] | None = None
    drift_s: float | None = None
