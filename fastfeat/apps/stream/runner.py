"""The process of a stream: `run` answers events until it is stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.apps.stream.config import Config, KafkaOut
from fastfeat.apps.stream.config_file import config_of, read_config
from fastfeat.apps.stream.job import StreamJob, job_of
from fastfeat.apps.stream.kafka import LOG, Consumer, Message, Producer
from fastfeat.apps.stream.metrics import (
    METRICS,
    PREFIX,
    MetricsServer,
    PartitionMeasure,
    StreamFigures,
)
from fastfeat.apps.stream.outputs import Sink
from fastfeat.apps.stream.partition import EventPartition, PartitionCounters
from fastfeat.apps.stream.partition_opening import PartitionOpener
from fastfeat.apps.stream.side_topics import Sides, advance, check_counts
from fastfeat.apps.stream.to_kafka import DeadLetters, ToKafka
from fastfeat.apps.stream.to_parquet import ToParquet
from fastfeat.apps.stream.to_valkey import ToValkey
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.calls.options import options_of
from fastfeat.errors import FastfeatError, StreamError
from fastfeat.io.prometheus import text_of
from fastfeat.live.drift_gauges import DriftGauges
from fastfeat.live.max_ahead import describe_missing_limit

_CLOSES_WITHIN_S = 10.0
_FLUSHES_WITHIN_S = 1.0
_ASKS_AGAIN_S = 0.2
_MEASURES_EACH_S = 0.5


@dataclass(frozen=True, slots=True)
class Summary:
    """Counters of a finished stream.

    Args:
        n_events: Events answered.
        n_dead: Messages and rows sent to the dead-letter topic.
        n_checkpoints: Commits of partition states.
    """

    n_events: int
    n_dead: int
    n_checkpoints: int


@with_argument_errors_as("fastfeat.apps.stream.", {})
def run(
    config: Config | Mapping[str, Any] | str | os.PathLike[str],
    *,
    stop: threading.Event | None = None,
) -> Summary:
    """Answer the events of a topic until the stream is stopped, and return its counters.

    Each partition has its own state. Outputs are sent before the state is committed. A crash
    therefore repeats some outputs, with the same bits, and loses none. Consumers drop repeats by
    topic, partition, offset and row, see `fastfeat.apps.stream.drop_repeats`.

    SIGTERM and SIGINT stop a stream that runs in the main thread: all outputs are sent and all
    states are committed first.

    Args:
        config: A `Config`, a mapping with the structure of the TOML file, or the path of a TOML
            file.
        stop: Event that stops the stream when it is set.

    Raises:
        InvalidConfig: The configuration has an unknown key or a wrong value.
        ArtifactError: A fitted plan cannot be read.
        LibraryUnavailable: A required library is not installed.
        StreamError: A topic lacks, or has lost, rows that a state needs; or a message cannot be
            accepted and no dead-letter topic is configured.
        StateError: A state is damaged, or another member holds it for longer than `lock_wait`.
    """
    match config:
        case Config():
            told = config
        case Mapping():
            told = config_of(config)
        case _:
            told = read_config(config)
    stopped = threading.Event() if stop is None else stop
    stream = StreamMember(job_of(told))
    with _stop_on_signals(stopped):
        return stream.run(stopped)


class StreamMember:
    """One member of a Kafka consumer group: it reads its partitions and answers their events."""

    def __init__(self, job: StreamJob) -> None:
        self._job, config = job, job.config
        try:
            config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            told = getattr(error, "strerror", None) or error
            raise StreamError(f"state: cannot create the folder {config.state}: {told}") from None
        self._consumer = Consumer(config.kafka, config.group)
        default = options_of(KafkaOut)["buffer_bytes"].default
        buffer_bytes = default if config.out.kafka is None else config.out.kafka.buffer_bytes
        self._producer = Producer(config.kafka, buffer_bytes)
        self._sinks: list[Sink] = []
        self._sides: Sides | None = None
        self._openings = PartitionOpener(job, self._consumer, self._sinks)
        self._partitions: dict[int, EventPartition] = {}
        self._failed: list[Exception] = []
        self._told: set[str] = set()
        self._has_more = False
        self._total = PartitionCounters()
        self._n_checkpoints = 0
        self._metrics: MetricsServer | None = None
        drift_s = job.config.drift_s
        self._drift = None if drift_s is None else DriftGauges(drift_s, "fastfeat_stream")
        self._metrics_text, self._metrics_at = b"", 0.0

    def run(self, stop: threading.Event) -> Summary:
        """Answer events until `stop` is set."""
        config = self._job.config
        is_whole = False
        try:
            self._serve_metrics()
            if self._prepare(stop):
                self._consumer.subscribe(config.events.topic, self._opened, self._close_revoked)
            while not stop.is_set():
                self._turn()
            is_whole = True
        finally:
            self._end(is_whole=is_whole)
        return Summary(self._total.n_events, self._total.dead.total(), self._n_checkpoints)

    def _turn(self) -> None:
        """Poll once, answer the new events, and make the checkpoints that are due."""
        batch = self._job.config.batch
        self._sort(self._consumer.poll(batch.rows, 0 if self._has_more else batch.wait_s))
        if self._failed:
            raise self._failed[0]
        self._open_waiting()
        if self._sides is not None:
            self._sides.poll(batch.rows)
        self._has_more = False
        for partition in self._partitions.values():
            if not partition.put():
                continue
            if self._sides is None:
                partition.process(batch.rows)
                partition.put()
            else:
                more = advance(partition, self._sides, self._consumer, batch.rows)
                self._has_more = self._has_more or more
        self._hold()
        now = time.monotonic()
        for partition in self._partitions.values():
            if now - partition.last_checkpoint >= self._job.config.checkpoint_s:
                self._checkpoint(partition)
        if self._metrics is not None and now - self._metrics_at >= _MEASURES_EACH_S:
            self._metrics_text, self._metrics_at = self._measured(), now

    def _serve_metrics(self) -> None:
        address = self._job.config.metrics
        if address is None:
            return
        try:
            self._metrics = MetricsServer(address, lambda: self._metrics_text)
        except OSError as error:
            told = f"{address[0]}:{address[1]}: {error.strerror or error}"
            raise StreamError(f"metrics: cannot listen on {told}") from None
        LOG.info("metrics: http://%s:%d/metrics", address[0], self._metrics.port)

    def _measured(self) -> bytes:
        """Return the present metrics as Prometheus text."""
        done = PartitionCounters()
        done.add(self._total)
        measures: dict[int, PartitionMeasure] = {}
        for partition in self._partitions.values():
            done.add(partition.done)
            end = max(self._consumer.known_end(partition.place), partition.position)
            sizes = partition.live.sizes
            measures[partition.number] = PartitionMeasure(
                end - partition.offset,
                partition.offset,
                sizes.rows,
                sizes.entities,
                partition.live.held_up(),
            )
        topic = self._job.config.events.topic
        figures = StreamFigures(done, measures, self._n_checkpoints, topic)
        text = text_of(METRICS, figures, PREFIX).encode()
        if self._drift is None:
            return text
        lives = [partition.live for partition in self._partitions.values()]
        return text + self._drift.text(lives).encode()

    def _sort(self, messages: Sequence[Message]) -> None:
        by_number: dict[int, list[Message]] = {}
        for message in messages:
            by_number.setdefault(message.partition(), []).append(message)
        for number, found in by_number.items():
            if number in self._partitions:
                self._partitions[number].receive(found)

    def _checkpoint(self, partition: EventPartition) -> None:
        if partition.checkpoint(_FLUSHES_WITHIN_S):
            self._n_checkpoints += 1
            self._consumer.commit({partition.place: partition.offset})

    def _hold(self) -> None:
        """Pause partitions with too many waiting outputs or messages, and resume all others."""
        most = 2 * self._job.config.batch.rows
        self._consumer.hold(
            {
                partition.place
                for partition in self._partitions.values()
                if partition.is_waiting or partition.n_polled >= most
            }
        )

    def _opened(self, numbers: Sequence[int]) -> Mapping[int, int]:
        """Open the states of assigned partitions; return the start offset of each open one."""
        offsets = {number: self._open(number) for number in numbers}
        return {number: offset for number, offset in offsets.items() if offset is not None}

    def _open(self, number: int) -> int | None:
        """Open a partition; return the offset at which it continues, or None if it cannot."""
        try:
            partition = self._openings.open(number)
        except FastfeatError as error:  # callbacks cannot raise: the next turn does
            self._failed.append(error)
            return None
        if partition is None:
            return None
        self._partitions[number] = partition
        LOG.info("%s: opened at offset %d", partition.source, partition.offset)
        config = self._job.config
        told = describe_missing_limit(partition.live, config.max_ahead, config.max_jump)
        if told and told not in self._told:
            LOG.warning("%s", told)
            self._told.add(told)
        if self._sides is not None:
            self._sides.opened(partition)
        return partition.offset

    def _open_waiting(self) -> None:
        """Try again to open partitions with states that other members had locked, and read them."""
        opened = [number for number in self._openings.numbers if self._open(number) is not None]
        if opened:
            places = self._partitions.values()
            self._consumer.read({partition.place: partition.position for partition in places})

    def _close_revoked(self, numbers: Sequence[int], is_lost: bool) -> None:
        """Close partitions that were taken away from this member, all within one time limit."""
        until = time.monotonic() + _CLOSES_WITHIN_S
        for number in numbers:
            self._openings.forget(number)
            partition = self._partitions.pop(number, None)
            if partition is not None:
                self._give_up(partition, max(0.0, until - time.monotonic()), is_lost=is_lost)

    def _give_up(self, partition: EventPartition, wait_s: float, *, is_lost: bool) -> None:
        if self._sides is not None:
            self._sides.closed(partition.number)
        offset = partition.offset
        if partition.close(wait_s):
            LOG.info("%s: closed at offset %d", partition.source, offset)
            self._n_checkpoints += 1
            if not is_lost:
                self._consumer.commit({partition.place: offset})
        else:
            told = "%s: closed without a checkpoint: some outputs will be sent again"
            LOG.warning(told, partition.source)
        self._total.add(partition.done)

    def _end(self, *, is_whole: bool) -> None:
        if not is_whole:
            for partition in self._partitions.values():
                partition.discard()
            self._partitions.clear()
            self._producer.discard()
        self._consumer.close()
        if self._metrics is not None:
            self._metrics.close()
        if self._sides is not None:
            self._sides.close()
        for sink in self._sinks:
            sink.close()

    def _prepare(self, stop: threading.Event) -> bool:
        """Make sinks and readers of side topics, once brokers answer and all topics exist.

        Returns False if the stream is stopped before.
        """
        wanted, told = set(topics_of(self._job.config)), set[str]()
        while not stop.is_set():
            counts = self._producer.n_partitions()
            missing = set[str]() if counts is None else wanted - counts.keys()
            for topic in sorted(missing - told):
                LOG.warning("waiting for the topic %s, which does not exist", topic)
            told |= missing
            if counts is not None and not missing:
                self._sinks += sinks_of(self._job, self._producer, counts)
                if self._job.outcomes is not None or self._job.tables:
                    check_counts(self._job, counts)
                    self._sides = Sides(self._job, counts)
                return True
            stop.wait(_ASKS_AGAIN_S)
        return False


def topics_of(config: Config) -> list[str]:
    """Return the topics that a stream reads and writes."""
    found = [config.events.topic]
    found += [] if config.outcomes is None else [config.outcomes.topic]
    found += [told.source.topic for told in config.tables.values() if told.source is not None]
    found += [] if config.out.kafka is None else [config.out.kafka.topic]
    found += [] if config.dead_letters is None else [config.dead_letters.topic]
    return found


def sinks_of(job: StreamJob, producer: Producer, counts: Mapping[str, int]) -> list[Sink]:
    """Return the sinks of a configuration. `counts` is the number of partitions of each topic."""
    config = job.config
    found: list[Sink] = []
    if config.out.kafka is not None:
        out = config.out.kafka
        found.append(ToKafka(producer, out.topic, counts[out.topic], out.format == "arrow"))
    if config.out.valkey is not None:
        found.append(ToValkey(config.out.valkey))
    if config.out.parquet is not None:
        found.append(ToParquet(config.out.parquet.folder, config.events.topic))
    if config.dead_letters is not None:
        topic = config.dead_letters.topic
        found.append(DeadLetters(producer, topic, counts[topic]))
    return found


@contextmanager
def _stop_on_signals(stop: threading.Event) -> Generator[None]:
    """Within the block, set the event on SIGTERM and SIGINT, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def told(number: int, frame: FrameType | None) -> None:
        stop.set()

    known = {kind: signal.signal(kind, told) for kind in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for kind, handler in known.items():
            signal.signal(kind, handler)
