"""`run`: a stream of events answered, until it is told to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from fastfeat.stream.config import Config
from fastfeat.stream.job import Job, job_of
from fastfeat.stream.kafka import Consumer, Message, Producer
from fastfeat.stream.outputs import Sink
from fastfeat.stream.partition import Partition
from fastfeat.stream.place_lock import PlaceLock
from fastfeat.stream.reading import config_of, read_config
from fastfeat.stream.to_kafka import DeadLetters, ToKafka

_CLOSES_WITHIN_S = 10.0
_FLUSHES_WITHIN_S = 1.0
_SOON_S = 0.2


@dataclass(frozen=True, slots=True)
class Summary:
    """What a stream has done.

    Args:
        n_events: events that were answered.
        n_dead: messages and rows that went to the dead-letter topic.
        n_checkpoints: commits of a partition's state.
    """

    n_events: int
    n_dead: int
    n_checkpoints: int


def run(
    config: Config | Mapping[str, Any] | str | os.PathLike[str],
    *,
    stop: threading.Event | None = None,
) -> Summary:
    """Answer the events of a topic until the stream is told to stop, and return what was done.

    Each partition has a state of its own. Outputs leave before the state is committed, so that a
    crash repeats some of them, with the same bits, and loses none: consumers drop what they have
    by topic, partition, offset and row, see `fastfeat.stream.drop_repeats`.

    SIGTERM and SIGINT stop it where it runs in the main thread: all outputs are sent, and all
    states are committed.

    Args:
        config: a `Config`, what TOML holds, or the path of a TOML file.
        stop: is set to stop it.

    Raises:
        InvalidConfig: the configuration has an unknown key, or a value that is none.
        ArtifactError: a fitted plan cannot be read.
        LibraryUnavailable: a library that it needs is not installed.
        StreamError: a topic lacks, or has lost rows that a state needs; a message cannot be taken
            and there is no topic for dead letters.
        StateError: a state is altered, or another member keeps it for longer than `lock_wait`.
    """
    match config:
        case Config():
            told = config
        case Mapping():
            told = config_of(config)
        case _:
            told = read_config(config)
    stopped = threading.Event() if stop is None else stop
    stream = Stream(job_of(told))
    with _stopped_by_signals(stopped):
        return stream.run(stopped)


class Stream:
    """A member of a consumer group that answers events.

    Args:
        job: what it is to do.
    """

    def __init__(self, job: Job) -> None:
        self._job, config = job, job.config
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._consumer = Consumer(config.kafka, config.group)
        buffer_bytes = (32 << 20) if config.kafka_out is None else config.kafka_out.buffer_bytes
        self._producer = Producer(config.kafka, buffer_bytes)
        self._partitions: dict[int, Partition] = {}
        self._opening: dict[int, float] = {}
        self._paused: set[int] = set()
        self._failed: list[Exception] = []
        self._sinks: list[Sink] = []
        self._n_events = self._n_dead = self._n_checkpoints = 0

    def run(self, stop: threading.Event) -> Summary:
        """Answer events until it is told to stop."""
        config = self._job.config
        if not self._wait_for_topics(stop):
            return self._summary()
        is_whole = False
        self._consumer.subscribe(config.events.topic, self._opened, self._closed)
        try:
            while not stop.is_set():
                self._turn()
            is_whole = True
        finally:
            self._end(is_whole=is_whole)
        return self._summary()

    def _turn(self) -> None:
        """Poll once, answer what came, and commit where it is time."""
        batch = self._job.config.batch
        self._sort(self._consumer.poll(batch.rows, batch.wait_s))
        if self._failed:
            raise self._failed[0]
        self._open_waiting()
        for partition in self._partitions.values():
            if partition.put():
                partition.process(batch.rows)
        self._pause()
        now = time.monotonic()
        for partition in self._partitions.values():
            if now - partition.last_checkpoint >= self._job.config.checkpoint_s:
                self._checkpoint(partition)

    def _sort(self, messages: Sequence[Message]) -> None:
        by_number: dict[int, list[Message]] = {}
        for message in messages:
            by_number.setdefault(message.partition(), []).append(message)
        for number, found in by_number.items():
            if number in self._partitions:
                self._partitions[number].receive(found)

    def _checkpoint(self, partition: Partition) -> None:
        if partition.checkpoint(_FLUSHES_WITHIN_S):
            self._n_checkpoints += 1
            self._consumer.commit({partition.place: partition.offset})

    def _pause(self) -> None:
        """Read no more of partitions whose outputs or messages wait, and the others again."""
        most = 2 * self._job.config.batch.rows
        full = {
            number
            for number, partition in self._partitions.items()
            if partition.is_waiting or partition.n_polled >= most
        }
        topic = self._job.config.events.topic
        if full - self._paused:
            self._consumer.pause([(topic, number) for number in sorted(full - self._paused)])
        if self._paused - full:
            self._consumer.resume([(topic, number) for number in sorted(self._paused - full)])
        self._paused = full

    def _opened(self, numbers: Sequence[int]) -> Mapping[int, int]:
        """Open the states of partitions that come; return where they go on."""
        found: dict[int, int] = {}
        for number in numbers:
            try:
                partition = self._open(number)
            except Exception as error:  # a callback of the library: told by the next turn
                self._failed.append(error)
                continue
            if partition is None:
                self._opening[number] = time.monotonic()
            else:
                self._partitions[number] = partition
                found[number] = partition.offset
        return found

    def _open(self, number: int) -> Partition | None:
        """Return a partition, or None while another member has its state."""
        path = self._job.state_path(number)
        lock = PlaceLock.take(path.with_suffix(".lock"))
        if lock is None:
            return None
        try:
            live = self._job.open(number)
            return Partition(self._job, number, live, lock, self._sinks)
        except BaseException:
            lock.give_back()
            raise

    def _open_waiting(self) -> None:
        """Open partitions whose states others had."""

    def _closed(self, numbers: Sequence[int], is_lost: bool) -> None:
        """Give up partitions that go."""
        for number in numbers:
            self._opening.pop(number, None)
            self._paused.discard(number)
            partition = self._partitions.pop(number, None)
            if partition is not None:
                self._give_up(partition, is_lost=is_lost)

    def _give_up(self, partition: Partition, *, is_lost: bool) -> None:
        if partition.close(_CLOSES_WITHIN_S):
            self._n_checkpoints += 1
            if not is_lost:
                self._consumer.commit({partition.place: partition.offset})
        self._n_events += partition.done.n_events
        self._n_dead += partition.done.dead.total()

    def _end(self, *, is_whole: bool) -> None:
        if not is_whole:
            for partition in self._partitions.values():
                partition.discard()
            self._partitions.clear()
            self._producer.discard()
        self._consumer.close()
        for sink in self._sinks:
            sink.close()

    def _wait_for_topics(self, stop: threading.Event) -> bool:
        """Make the sinks once the brokers answer; return whether they did before a stop."""
        config = self._job.config
        while not stop.is_set():
            needed = [config.events.topic]
            needed += [] if config.kafka_out is None else [config.kafka_out.topic]
            needed += [] if config.dead_letters is None else [config.dead_letters]
            counts = {topic: self._producer.n_partitions(topic) for topic in needed}
            if all(counts.values()):
                self._make_sinks(counts)
                return True
            stop.wait(_SOON_S)
        return False

    def _make_sinks(self, counts: Mapping[str, int | None]) -> None:
        config = self._job.config
        if config.kafka_out is not None:
            out = config.kafka_out
            n_partitions = counts[out.topic] or 1
            self._sinks.append(
                ToKafka(self._producer, out.topic, n_partitions, out.format == "arrow")
            )
        if config.dead_letters is not None:
            self._sinks.append(DeadLetters(self._producer, config.dead_letters))

    def _summary(self) -> Summary:
        return Summary(self._n_events, self._n_dead, self._n_checkpoints)


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Generator[None]:
    """Set an event at SIGTERM and SIGINT, where this is the main thread."""
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
