"""Options of a stream: the tables of its configuration, a row an option; `read_config` reads TOML.

The page of options in the docs lists every key, with an example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from fastfeat_kernels.records import dataclass

from fastfeat.apps.state_options import Archive, Keep, KeepAudit, MaxAhead, MaxJump
from fastfeat.calls.options import (
    TEXT,
    Beside,
    ByteSize,
    ClientSetting,
    FilePath,
    HostPort,
    Named,
    OneOrNamed,
    Option,
    Seconds,
    Section,
)
from fastfeat.io.columns.json_values import JsonTimeFormat
from fastfeat.ir.parameters import Several, Whole

MessageFormat = Literal["json", "arrow", "avro"]
Framing = Literal["none", "confluent"]
Absent = Literal["error", "missing"]
LateRowPolicy = Literal["error", "insert", "drop", "dead_letter"]
Start = Literal["beginning", "retained"]
Setting = str | int | float | bool
"""A value that is passed on to confluent-kafka."""
_SETTINGS = Named(ClientSetting())
_MAX_BATCH = 1_000_000


@dataclass(frozen=True, slots=True)
class Kafka:
    """Broker addresses, and settings that are passed to confluent-kafka."""

    brokers: Annotated[
        str,
        Option("Comma-separated `host:port` addresses.", TEXT, example='"127.0.0.1:9092"'),
    ]
    options: Annotated[
        Mapping[str, Setting],
        Option(
            "Settings of confluent-kafka for all clients.",
            _SETTINGS,
            example='{ "security.protocol" = "ssl" }',
        ),
    ] = field(default_factory=dict[str, Setting])
    consumer: Annotated[
        Mapping[str, Setting],
        Option(
            "Settings for consumers only; they override `options`.",
            _SETTINGS,
            example='{ "session.timeout.ms" = 6000 }',
        ),
    ] = field(default_factory=dict[str, Setting])
    producer: Annotated[
        Mapping[str, Setting],
        Option(
            "Settings for the producer only; they override `options`.",
            _SETTINGS,
            example='{ "compression.type" = "lz4" }',
        ),
    ] = field(default_factory=dict[str, Setting])


@dataclass(frozen=True, slots=True)
class Topic:
    """An input topic, and how its messages encode rows."""

    topic: Annotated[str, Option("Name of the topic.", TEXT, example='"flights"')]
    format: Annotated[
        MessageFormat,
        Option(
            'Message format: "json" (one object per row), "arrow" (an IPC stream with any number '
            'of rows) or "avro" (one record per row).',
            example='"avro"',
        ),
    ] = "json"
    times: Annotated[
        JsonTimeFormat,
        Option(
            'How JSON encodes times: "iso" for ISO 8601 text, or "s", "ms", "us", "ns" for whole '
            "numbers of that unit since 1970. ISO text has an offset if the column has a time "
            "zone, and none otherwise.",
            example='"iso"',
        ),
    ] = "iso"
    absent: Annotated[
        Absent,
        Option(
            'Treatment of a message that lacks a column: "error" rejects the message, "missing" '
            "takes the value as missing. Late columns (known only later) may always be absent.",
            example='"error"',
        ),
    ] = "error"
    columns: Annotated[
        Mapping[str, str],
        Option(
            "Plan column name to its name in messages, for columns with different names.",
            Named(TEXT),
            example='{ tailnum = "tail" }',
        ),
    ] = field(default_factory=dict[str, str])
    types: Annotated[
        Mapping[str, str],
        Option(
            "Column name to type name, for columns that `fit` has not read: the row id and columns "
            "that are passed through (`keep=`).",
            Named(TEXT),
            example='{ id = "string" }',
        ),
    ] = field(default_factory=dict[str, str])
    schema: Annotated[
        Path | None,
        Option(
            "Avro only, and required there: file of the schema that the rows are read with.",
            FilePath(),
            example='"flight.avsc"',
        ),
    ] = None
    framing: Annotated[
        Framing,
        Option(
            'Avro only: "confluent" if each message starts with the 5 bytes of a schema registry '
            '(a zero byte, then the id of the writer\'s schema). With "none" nothing identifies '
            "the writer's schema: a message with another schema that happens to fit is misread.",
            example='"confluent"',
        ),
    ] = "none"
    schemas: Annotated[
        Mapping[int, Path],
        Option(
            "Avro only: schema id to file, for the schemas that messages are written with. Fields "
            "are resolved to those of `schema` by Avro's rules. A message with any other id is a "
            "dead letter.",
            Named(FilePath(), "a schema id"),
            example='{ 1 = "v1.avsc", 2 = "v2.avsc" }',
        ),
    ] = field(default_factory=dict[int, Path])
    schema_ids: Annotated[
        tuple[int, ...],
        Option(
            "Avro only, instead of `schemas`: ids of schemas that have the same fields as `schema` "
            "in the same order. Without both, only the id of the first message is accepted.",
            Several(Whole(0)),
        ),
    ] = ()


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A lookup table: initial rows, and a topic of updates."""

    path: Annotated[
        Path | None,
        Option(
            "File with the rows of a new state. By default the table begins empty.",
            FilePath(),
            example='"weather.parquet"',
        ),
    ] = None
    source: Annotated[
        Topic | None,
        Option(
            "Topic with further rows, with the keys of `[events]`. By default there are no "
            "updates.",
            Beside(Topic, "topic"),
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class MicroBatchLimits:
    """Limits of a micro-batch; it ends at whichever comes first."""

    rows: Annotated[
        int,
        Option("Maximum number of messages polled at once.", Whole(1, _MAX_BATCH), example="1000"),
    ] = 1000
    wait_s: Annotated[
        float, Option("Maximum wait for messages.", Seconds(), key="wait", example='"20ms"')
    ] = 0.02


@dataclass(frozen=True, slots=True)
class KafkaOut:
    """Output of features to a topic.

    Features go to the partition with the same number as their event's partition, modulo the number
    of partitions of this topic.
    """

    topic: Annotated[
        str,
        Option(
            "Name of the topic, which must exist; any number of partitions will do.",
            TEXT,
            example='"features"',
        ),
    ]
    format: Annotated[
        Literal["json", "arrow"],
        Option(
            '"json" for one message per row, "arrow" for one IPC stream per micro-batch.',
            example='"json"',
        ),
    ] = "json"
    buffer_bytes: Annotated[
        int,
        Option(
            "Maximum size of the messages waiting for the broker. Above it the partition pauses.",
            ByteSize(),
            key="buffer",
            example='"32MiB"',
        ),
    ] = 32 << 20


@dataclass(frozen=True, slots=True)
class ValkeyOut:
    """Output of each entity's latest features to Valkey or Redis."""

    url: Annotated[str, Option("URL of the server.", TEXT, example='"redis://127.0.0.1:6379/0"')]
    keys: Annotated[
        tuple[str, ...],
        Option("Event columns that identify the entity.", Several(TEXT, 1), example='["tailnum"]'),
    ]
    prefix: Annotated[str, Option("Prefix of all keys.", TEXT, example='"flights:"')] = "fastfeat:"
    ttl_s: Annotated[
        float | None,
        Option(
            "Time after which a row that was not replaced expires. By default it never does.",
            Seconds(),
            key="ttl",
            example='"7d"',
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class ParquetOut:
    """Output of features to Parquet files, one per partition and checkpoint."""

    folder: Annotated[Path, Option("Output folder.", FilePath(), example='"features"')]


@dataclass(frozen=True, slots=True)
class FeatureOutputs:
    """Places that features are sent to."""

    kafka: Annotated[
        KafkaOut | None, Option("Output of features to a topic.", Section(KafkaOut))
    ] = None
    valkey: Annotated[
        ValkeyOut | None,
        Option("Output of each entity's latest features to Valkey or Redis.", Section(ValkeyOut)),
    ] = None
    parquet: Annotated[
        ParquetOut | None,
        Option(
            "Output of features to Parquet files, one per partition and range of offsets.",
            Section(ParquetOut),
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class DeadLetterOut:
    """Output of messages and rows that cannot be read or accepted."""

    topic: Annotated[str, Option("Name of the topic.", TEXT, example='"dead-flights"')]


@dataclass(frozen=True, slots=True)
class Config:
    """Configuration of `run`. `read_config` reads it from a TOML file.

    `artifacts` has the fitted-plan files by name; a single unnamed plan has the name "". Durations
    are in seconds.
    """

    artifacts: Annotated[
        Mapping[str, Path],
        Option(
            "File of the fitted plan. Or a table `[artifacts]` of names and files: several plans "
            "that share one state.",
            OneOrNamed(FilePath(), "artifact"),
            example='"flights.fastfeat"',
        ),
    ]
    state: Annotated[
        Path,
        Option(
            "Folder of the state files, one SQLite file per partition of the events.",
            FilePath(),
            example='"state"',
        ),
    ]
    group: Annotated[str, Option("Consumer group.", TEXT, example='"flight-features"')]
    kafka: Annotated[Kafka, Option("Brokers, and settings of their clients.", Section(Kafka))]
    events: Annotated[
        Topic,
        Option("The rows to answer, which are then added to the state.", Section(Topic)),
    ]
    outcomes: Annotated[
        Topic | None,
        Option(
            "Late columns, matched to events by `row_id` and partitioned like the events, with the "
            "keys of `[events]`. By default the events already contain them.",
            Section(Topic),
        ),
    ] = None
    tables: Annotated[
        Mapping[str, LookupTable],
        Option("Lookup tables by name.", Named(Section(LookupTable)), example="weather"),
    ] = field(default_factory=dict[str, LookupTable])
    late: Annotated[
        LateRowPolicy,
        Option(
            'Treatment of a row that is earlier than the latest row of its entity: "error" stops '
            'the stream, "insert" answers it for its own time and adds it to the state, "drop" '
            'answers it for its own time without adding it, "dead_letter" sends it to the '
            "dead-letter topic.",
            example='"dead_letter"',
        ),
    ] = "dead_letter"
    keep: Keep = None
    max_ahead: MaxAhead = None
    max_jump: MaxJump = None
    archive: Archive = None
    keep_audit: KeepAudit = None
    history: Annotated[
        Path | None,
        Option(
            "File of rows for new states; `{partition}` in it is replaced by the partition number.",
            FilePath(),
            example='"history/{partition}.parquet"',
        ),
    ] = None
    start: Annotated[
        Start,
        Option(
            'Where a new state begins: "beginning" refuses a topic that has lost its first rows, '
            '"retained" begins with the first row that is still there.',
            example='"beginning"',
        ),
    ] = "beginning"
    checkpoint_s: Annotated[
        float,
        Option(
            "Time between commits of state, offsets and audit.",
            Seconds(),
            key="checkpoint",
            example='"1s"',
        ),
    ] = 1.0
    lock_wait_s: Annotated[
        float,
        Option(
            "How long to wait for a state that another member holds.",
            Seconds(),
            key="lock_wait",
            example='"60s"',
        ),
    ] = 60.0
    batch: Annotated[
        MicroBatchLimits,
        Option(
            "A micro-batch ends after this many messages, or this wait.", Section(MicroBatchLimits)
        ),
    ] = field(default_factory=MicroBatchLimits)
    out: Annotated[
        FeatureOutputs, Option("Places that features are sent to.", Section(FeatureOutputs))
    ] = field(default_factory=FeatureOutputs)
    dead_letters: Annotated[
        DeadLetterOut | None,
        Option(
            "Messages and rows that cannot be read or accepted. Without this section the first one "
            "stops the stream.",
            Section(DeadLetterOut),
        ),
    ] = None
    metrics: Annotated[
        tuple[str, int] | None,
        Option(
            "Address that Prometheus reads; port 0 picks a free one. By default there are no "
            "metrics.",
            HostPort(),
            example='"127.0.0.1:9464"',
        ),
    ] = None
    drift_s: Annotated[
        float | None,
        Option(
            "Time window over which answered events are compared with the training rows; the "
            "metrics show the result. By default there is no comparison.",
            Seconds(),
            key="drift",
            example='"1h"',
        ),
    ] = None
