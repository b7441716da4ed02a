"""Configuration of a stream as records, checked; `read_config` makes them of TOML.

A configuration, with every key; those in brackets of a comment may be left out:

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
    """The addresses of the brokers, and options of confluent-kafka.

    Args:
        brokers: addresses, host:port, with commas between them.
        options: for all clients.
        consumer: for consumers, over `options`.
        producer: for the producer, over `options`.
    """

    brokers: str
    options: Mapping[str, Option] = field(default_factory=dict[str, Option])
    consumer: Mapping[str, Option] = field(default_factory=dict[str, Option])
    producer: Mapping[str, Option] = field(default_factory=dict[str, Option])


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that is read, and how its messages hold rows.

    Args:
        topic: its name.
        format: of its messages: a JSON object a row, an Arrow IPC stream of any number of rows, or
            Avro, a record a row.
        times: how JSON has times: as ISO 8601 text, with an offset where the column has a zone and
            without one where it has none, or as whole numbers of a unit since 1970.
        absent: what a column is that a message lacks, and that is not late: an error, or missing.
        columns: columns of the plan that have other names in messages, and these.
        types: of columns whose type fit has not seen, as text: the id of rows, and kept ones.
        schema: of Avro: the file of the schema that messages are read by.
        framing: of Avro: whether 5 bytes of a schema registry stand before each message: 0, and the
            number of the schema that it was written with. With "none" nothing tells that number:
            a message of another schema whose bytes fit is read wrongly.
        schemas: of Avro: files of the schemas that messages are written with, by number; fields
            come to those of `schema` by the rules of Avro. Another number is a dead letter.
        schema_ids: of Avro, without `schemas`: numbers of schemas that have the fields of `schema`
            in the same order. Empty where the number of the first message is the only one.
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
    """A lookup table: rows that it begins with, and a topic of further ones.

    Args:
        path: a file of rows that a new state begins with; None for none.
        source: where further rows come from; None for nowhere.
    """

    path: Path | None = None
    source: Topic | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The size and the time at which a micro-batch ends.

    Args:
        rows: messages that are polled at once, at most.
        wait_s: how long they are waited for, in seconds.
    """

    rows: int = 1000
    wait_s: float = 0.02


@dataclass(frozen=True, slots=True)
class KafkaOut:
    """Features to a topic, each to the partition of the number that its event came from.

    Args:
        topic: its name; it exists, with any number of partitions.
        format: "json" for a message a row, "arrow" for an IPC stream a micro-batch.
        buffer_bytes: of messages that wait for the broker; more pause the partition.
    """

    topic: str
    format: Literal["json", "arrow"] = "json"
    buffer_bytes: int = 32 << 20


@dataclass(frozen=True, slots=True)
class ValkeyOut:
    """The latest features of each entity to Valkey or Redis.

    Args:
        url: of the server.
        keys: columns of the events which the entity is named by.
        prefix: of keys.
        ttl_s: seconds after which a row that was not replaced is gone; None for never.
    """

    url: str
    keys: tuple[str, ...]
    prefix: str = "fastfeat:"
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class ParquetOut:
    """Features to Parquet files, one for each checkpoint of a partition.

    Args:
        folder: that they stand in.
    """

    folder: Path


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration of `run`; `read_config` makes it of TOML.

    Args:
        artifacts: files of fitted plans by name; of one alone the name is "".
        state: the folder of states, one SQLite file a partition.
        group: the consumer group.
        kafka: the brokers.
        events: rows that are asked for, and then stand in the state.
        outcomes: late columns by `row_id`; None where events have them.
        tables: lookup tables by name.
        late: what becomes of rows that are late; "dead_letter" is "error" for the state, and sends
            the row away.
        keep: as of `FittedPlan.online`, as the following are.
        max_ahead: how far ahead of this machine's clock a row may be. None is "1h" for new states
            whose times have a zone, unless late is "insert"; "any" sets no limit.
        max_jump: how far ahead of the latest row of its partition a row may be; None for any.
        archive: a folder that keeps what whole states replace.
        keep_audit: how long it is kept.
        history: a file of rows that new states begin with; `{partition}` in it is the number.
        start: where a new state begins.
        checkpoint_s: how often state, offsets and audit are committed, in seconds.
        lock_wait_s: how long a state that another member holds is waited for, in seconds.
        batch: when a micro-batch ends.
        kafka_out: features to a topic.
        valkey_out: features to Valkey or Redis.
        parquet_out: features to files.
        dead_letters: the topic of what cannot be read or taken; None ends the stream there.
        metrics: host and port where Prometheus reads; None for nowhere.
        drift_s: the window of time in which answered events are compared with the training rows, in
            seconds; None for none.
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
