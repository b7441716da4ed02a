"""Kafka clients: a member of a consumer group, a reader of chosen partitions, a producer.

A place is a topic and a partition number. This is the only module that imports confluent-kafka. The
library reconnects to absent brokers by itself, for as long as it takes. Only errors that cannot go
away by themselves are raised.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from fastfeat.apps.stream.config import Kafka, Setting
from fastfeat.errors import LibraryUnavailable, StreamError

Message = Any
"""A confluent-kafka message, with `value()`, `key()`, `offset()`, `partition()`, ..."""
Headers = Sequence[tuple[str, bytes]]
TopicPlace = tuple[str, int]
"""A topic and a partition number."""

LOG = logging.getLogger("fastfeat.stream")
_ANSWERS_WITHIN_S = 2.0
_CONSUMER: dict[str, Setting] = {
    "enable.auto.commit": False,
    "auto.offset.reset": "error",  # the state decides where to continue; no other offset will do
    "fetch.wait.max.ms": 20,
    "queued.max.messages.kbytes": 16384,
    "fetch.message.max.bytes": 4 << 20,
    "partition.assignment.strategy": "range",
    "enable.partition.eof": True,
}
_PRODUCER: dict[str, Setting] = {
    "enable.idempotence": True,
    "linger.ms": 2,
    "message.timeout.ms": 0,  # no limit: wait for as long as the broker is away
    "delivery.report.only.error": True,
}
_LARGEST = "message.max.bytes"
_OWNED = {"bootstrap.servers", "enable.auto.commit", "group.id", "auto.offset.reset"}


def library() -> Any:
    """Return the module `confluent_kafka`, or raise LibraryUnavailable."""
    try:
        return importlib.import_module("confluent_kafka")
    except ImportError:
        raise LibraryUnavailable(
            "a stream needs confluent-kafka: pip install 'fastfeat[kafka]'"
        ) from None


class Consumer:
    """A reader of partitions, which a consumer group assigns or the caller chooses.

    Args:
        kafka: Brokers and client options.
        group: Consumer group. Offsets committed to it are for monitoring only.

    Attributes:
        ends: Offset at which each assigned partition ended, once its end was reached. This may lie
            after the last message, since transactions leave markers there.
    """

    def __init__(self, kafka: Kafka, group: str) -> None:
        self._kafka = library()
        own: dict[str, Setting] = {"bootstrap.servers": kafka.brokers, "group.id": group}
        settings = _settings(_CONSUMER, kafka.options, kafka.consumer) | own
        self._is_cooperative = "cooperative" in str(settings["partition.assignment.strategy"])
        self._incremental = False  # only group members get partitions incrementally
        self._error = self._kafka.KafkaError
        self.ends: dict[TopicPlace, int] = {}
        self._assigned: set[TopicPlace] = set()
        self._starting: set[TopicPlace] = set()  # assigned, but no message yet
        self._held: set[TopicPlace] = set()
        self._consumer = _client(
            self._kafka.Consumer, {**settings, "error_cb": _log_error, "logger": LOG}
        )

    def subscribe(
        self,
        topic: str,
        opened: Callable[[Sequence[int]], Mapping[int, int]],
        closed: Callable[[Sequence[int], bool], None],
    ) -> None:
        """Join the consumer group, to read its partitions of a topic.

        `opened` gets the newly assigned partitions and returns their start offsets. Partitions that
        it leaves out are not read until `read` names them. `closed` gets the partitions that are
        taken away, and whether another member may already own them.
        """
        self._incremental = self._is_cooperative

        def assigned(consumer: Any, partitions: Sequence[Any]) -> None:
            offsets = opened([place.partition for place in partitions])
            self.read({(topic, number): offset for number, offset in offsets.items()})

        def revoked(consumer: Any, partitions: Sequence[Any]) -> None:
            closed([place.partition for place in partitions], False)
            self._unassign(partitions)

        def lost(consumer: Any, partitions: Sequence[Any]) -> None:
            closed([place.partition for place in partitions], True)
            self._unassign(partitions)

        self._consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def read(self, offsets: Mapping[TopicPlace, int]) -> None:
        """Read exactly these partitions from these offsets, with none paused.

        With cooperative assignment, partitions that are already being read continue where they are,
        whatever their offset here.
        """
        self._resume(self._assigned)
        if self._incremental:
            new = {place: at for place, at in offsets.items() if place not in self._assigned}
            assign = self._consumer.incremental_assign
        else:
            self._forget(set(self._assigned))
            new, assign = offsets, self._consumer.assign
        assign([self._place(place, offset) for place, offset in new.items()])
        self._assigned |= new.keys()
        self._starting |= new.keys()

    def poll(self, most: int, wait_s: float) -> list[Message]:
        """Return up to `most` messages, after at most `wait_s` seconds.

        Raises:
            StreamError: The topic is unknown, or an offset no longer exists.
        """
        polled: list[Message] = self._consumer.consume(most, wait_s)
        if self._starting:
            self._starting -= {(message.topic(), message.partition()) for message in polled}
        found = [message for message in polled if message.error() is None]
        if len(found) < len(polled):
            for message in polled:
                if message.error() is not None:
                    self._check(message)
        return found

    def hold(self, places: Collection[TopicPlace]) -> None:
        """Pause exactly these partitions, and resume all others.

        A partition that has returned no message since it was assigned is not paused yet: librdkafka
        may never start a partition that is paused while it starts.
        """
        held = (self._assigned - self._starting).intersection(places)
        if held - self._held:
            self._consumer.pause([self._place(place) for place in sorted(held - self._held)])
        self._resume(self._held - held)
        self._held = held

    def bounds(self, place: TopicPlace) -> tuple[int, int] | None:
        """Ask the broker for a partition's first offset, and the offset after its last message.

        Returns None if the broker does not answer.
        """
        where = self._place(place)
        try:
            asked = self._consumer.get_watermark_offsets(where, timeout=_ANSWERS_WITHIN_S)
        except self._kafka.KafkaException as error:
            LOG.warning("cannot get the first and last offset of %s:%d: %s", *place, error)
            return None
        if asked is None:
            return None
        # Tansu answers with the offset after the first message of the last batch; the end that
        # it sends with messages is right
        return asked[0], max(asked[1], self.known_end(place))

    def known_end(self, place: TopicPlace) -> int:
        """Return the offset after a partition's last message, known from fetched messages."""
        found = self._consumer.get_watermark_offsets(self._place(place), cached=True)
        return 0 if found is None else max(found[1], 0)

    def committed(self, place: TopicPlace) -> int:
        """Return the offset that the group has committed; 0 for none."""
        try:
            found = self._consumer.committed([self._place(place)], timeout=_ANSWERS_WITHIN_S)
        except self._kafka.KafkaException as error:
            LOG.warning("cannot get the offset that the group has committed: %s", error)
            return 0
        return max(found[0].offset, 0)

    def commit(self, offsets: Mapping[TopicPlace, int]) -> None:
        """Commit offsets to the group, without waiting for an answer."""
        places = [self._place(place, offset) for place, offset in offsets.items()]
        try:
            self._consumer.commit(offsets=places, asynchronous=True)
        except self._kafka.KafkaException as error:
            LOG.warning("cannot commit offsets to the group: %s", error)

    def close(self) -> None:
        """Leave the consumer group and end; `closed` is called for open partitions first."""
        self._consumer.close()

    def _place(self, place: TopicPlace, offset: int | None = None) -> Any:
        where = () if offset is None else (offset,)
        return self._kafka.TopicPartition(*place, *where)

    def _unassign(self, partitions: Sequence[Any]) -> None:
        """Give partitions back to the group, after resuming those that are paused."""
        places = {(place.topic, place.partition) for place in partitions}
        gone = self._assigned & places if self._incremental else set(self._assigned)
        self._resume(gone)
        self._forget(gone)
        if self._incremental:
            self._consumer.incremental_unassign([self._place(place) for place in sorted(gone)])
        else:
            self._consumer.unassign()

    def _resume(self, places: Collection[TopicPlace]) -> None:
        """Resume partitions that may be paused.

        Partitions are also resumed before they are given back or newly assigned, because librdkafka
        keeps a paused partition paused across assignments. All started partitions are resumed, even
        if this class did not pause them: librdkafka pauses them itself at the start of a group
        rebalance, and drops resumes meanwhile.
        """
        begun = sorted(set(places) - self._starting)
        if begun:
            self._consumer.resume([self._place(place) for place in begun])
        self._held -= set(begun)

    def _forget(self, gone: Collection[TopicPlace]) -> None:
        for place in gone:
            self.ends.pop(place, None)
        self._assigned -= set(gone)
        self._starting -= set(gone)

    def _check(self, message: Message) -> None:
        """Raise the error in a message if it cannot go away by itself; log other errors."""
        error, kinds = message.error(), self._error
        where = f"{message.topic()}:{message.partition()}"
        if error.code() in (kinds._AUTO_OFFSET_RESET, kinds.OFFSET_OUT_OF_RANGE):
            raise StreamError(
                f"{where} has lost rows that the stream had not read yet ({error.str()}). Restore "
                "the topic; or delete the partition's state, and begin a new one with start = "
                "'retained'"
            )
        if error.fatal() or error.code() == kinds.UNKNOWN_TOPIC_OR_PART:
            raise StreamError(f"{where}: {error.str()}")
        if error.code() == kinds._PARTITION_EOF:
            self.ends[message.topic(), message.partition()] = message.offset()
        else:
            LOG.warning("%s: %s", where, error.str())


class Producer:
    """A sender of messages that buffers a bounded number of bytes until the broker has them.

    Args:
        kafka: Brokers and client options.
        buffer_bytes: Maximum size of the messages waiting for the broker.

    Attributes:
        largest: Maximum size of a message with its key and headers, in bytes.
    """

    def __init__(self, kafka: Kafka, buffer_bytes: int) -> None:
        found = library()
        own: dict[str, Setting] = {
            "bootstrap.servers": kafka.brokers,
            "queue.buffering.max.kbytes": max(1, buffer_bytes >> 10),
        }
        settings = _settings(_PRODUCER, kafka.options, kafka.producer) | own
        self._rejected: list[str] = []
        self._refused = found.KafkaException
        self._producer = _client(
            found.Producer,
            {**settings, "error_cb": self._failed, "on_delivery": self._delivered, "logger": LOG},
        )
        self.largest = int(settings.get(_LARGEST, 1_000_000))

    def send(self, topic: str, partition: int, key: Any, value: bytes, headers: Headers) -> bool:
        """Send a message; return False if the buffer is full.

        With `partition` -1 the key decides the partition.

        Raises:
            StreamError: The message is too large.
        """
        try:
            self._producer.produce(topic, value, key, partition, headers=headers)
        except BufferError:
            self._producer.poll(0)
            return False
        except self._refused as error:
            raise StreamError(
                f"cannot send a message of {len(value):,} bytes to {topic}: "
                f"{error.args[0].str()}. Messages may have up to {self.largest:,} bytes: to allow "
                f"more, raise {_LARGEST} in [kafka.producer], and the limit of the brokers"
            ) from None
        return True

    def flush(self, wait_s: float) -> bool:
        """Wait up to `wait_s` seconds; return whether the broker has all messages.

        Raises:
            StreamError: The broker rejected a message.
        """
        left = self._producer.flush(wait_s)
        self.check()
        return left == 0

    def check(self) -> None:
        """Let the library call back about delivered and rejected messages.

        Raises:
            StreamError: The broker rejected a message.
        """
        self._producer.poll(0)
        if self._rejected:
            raise StreamError(f"the broker rejected a message: {self._rejected[0]}")

    def n_partitions(self) -> dict[str, int] | None:
        """Return the number of partitions of each topic; None if the brokers do not answer.

        It lists all topics: asking for a single missing one would create it.
        """
        try:
            topics = self._producer.list_topics(timeout=_ANSWERS_WITHIN_S).topics
        except library().KafkaException as error:
            LOG.warning("the brokers do not answer: %s", error)
            return None
        return {name: len(found.partitions) for name, found in topics.items()}

    def discard(self) -> None:
        """Drop the buffered messages that the broker does not have yet."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _delivered(self, error: Any, message: Message) -> None:
        if error is not None:
            self._rejected.append(f"{message.topic()}:{message.partition()}: {error.str()}")

    def _failed(self, error: Any) -> None:
        _log_error(error)
        if error.fatal():
            self._rejected.append(error.str())


def _log_error(error: Any) -> None:
    LOG.warning("kafka: %s", error.str())


def _client(kind: Callable[[Mapping[str, Any]], Any], settings: Mapping[str, Any]) -> Any:
    """Return a confluent-kafka client; raise StreamError if the library rejects an option."""
    try:
        return kind(settings)
    except (library().KafkaException, TypeError, ValueError) as error:
        first = error.args[0]
        told = first if isinstance(first, str) else first.str().strip()
        raise StreamError(
            f"kafka: wrong option: {told}. The keys options, consumer and producer of [kafka] take "
            "options of confluent-kafka"
        ) from None


def _settings(*layers: Mapping[str, Setting]) -> dict[str, Any]:
    """Return the merged options; later ones win. Raise for options that a stream sets itself."""
    found: dict[str, Any] = {}
    for layer in layers:
        found |= layer
    own = sorted(_OWNED & {key for layer in layers[1:] for key in layer})
    if own:
        raise StreamError(f"kafka: the stream sets the option {own[0]} itself. Leave it out")
    return found
