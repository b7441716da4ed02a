"""Clients of Kafka: a member of a group, a reader of chosen partitions, a producer.

The one module that imports confluent-kafka. Brokers that are away are the library's to find again,
for as long as it takes; only what cannot pass by itself is raised.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from fastfeat.apps.stream.config import Kafka, Option
from fastfeat.errors import LibraryUnavailable, StreamError

Message = Any
"""A message as confluent-kafka has it: `value()`, `key()`, `offset()`, `partition()`, ..."""
Headers = Sequence[tuple[str, bytes]]
Place = tuple[str, int]
"""A topic and the number of one of its partitions."""

LOG = logging.getLogger("fastfeat.stream")
_ANSWERS_WITHIN_S = 2.0
_CONSUMER: dict[str, Option] = {
    "enable.auto.commit": False,
    "auto.offset.reset": "error",  # a state decides where it goes on; no other place will do
    "fetch.wait.max.ms": 20,
    "queued.max.messages.kbytes": 16384,
    "fetch.message.max.bytes": 4 << 20,
    "partition.assignment.strategy": "range",
    "enable.partition.eof": True,
}
_PRODUCER: dict[str, Option] = {
    "enable.idempotence": True,
    "linger.ms": 2,
    "message.timeout.ms": 0,  # for as long as the broker is away
    "delivery.report.only.error": True,
}
_LARGEST = "message.max.bytes"
_OWNED = {"bootstrap.servers", "enable.auto.commit", "group.id", "auto.offset.reset"}


def library() -> Any:
    """Return the module `confluent_kafka`.

    Raises:
        LibraryUnavailable: it is not installed.
    """
    try:
        return importlib.import_module("confluent_kafka")
    except ImportError:
        raise LibraryUnavailable(
            "a stream needs confluent-kafka: pip install 'fastfeat[kafka]'"
        ) from None


class Consumer:
    """A reader of partitions: as a member of a group, or of those that it is told.

    Args:
        kafka: the brokers, and options.
        group: the group; offsets that are committed there are for monitoring alone.

    Attributes:
        ends: where partitions ended when their end was reached since they were assigned, which may
            be after the last message and what else a transaction leaves there.
    """

    def __init__(self, kafka: Kafka, group: str) -> None:
        self._kafka = library()
        own: dict[str, Option] = {"bootstrap.servers": kafka.brokers, "group.id": group}
        settings = _settings(_CONSUMER, kafka.options, kafka.consumer) | own
        self._is_cooperative = "cooperative" in str(settings["partition.assignment.strategy"])
        self._incremental = False  # only members of a group are given partitions one by one
        self._error = self._kafka.KafkaError
        self.ends: dict[Place, int] = {}
        self._assigned: set[Place] = set()
        self._starting: set[Place] = set()  # assigned, and have given nothing yet
        self._held: set[Place] = set()
        self._consumer = _client(
            self._kafka.Consumer, {**settings, "error_cb": _told, "logger": LOG}
        )

    def subscribe(
        self,
        topic: str,
        opened: Callable[[Sequence[int]], Mapping[int, int]],
        closed: Callable[[Sequence[int], bool], None],
    ) -> None:
        """Become a member of the group for a topic.

        Args:
            topic: that is read.
            opened: is given the partitions that come; returns the offsets where they go on. It may
                leave some out, which are not read until `read` names them.
            closed: is given those that go, and whether another member may have them already.
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

    def read(self, offsets: Mapping[Place, int]) -> None:
        """Read these partitions from these offsets on, and no others; none of them is held.

        Where members of the group are given partitions one by one, those that are read already are
        read on, whatever their offsets here.
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
        """Return up to so many messages, after at most so many seconds.

        Raises:
            StreamError: the topic is unknown, or an offset is not there any more.
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

    def hold(self, places: Collection[Place]) -> None:
        """Read no more of these partitions for now, and all others on.

        A partition that has given nothing since it was assigned is not held yet: librdkafka may
        never start a partition that is paused while it starts.
        """
        held = (self._assigned - self._starting).intersection(places)
        if held - self._held:
            self._consumer.pause([self._place(place) for place in sorted(held - self._held)])
        self._resume(self._held - held)
        self._held = held

    def bounds(self, place: Place) -> tuple[int, int] | None:
        """Return the first offset of a partition and the one after its last, or None.

        The broker is asked. It is None where it does not answer.
        """
        where = self._place(place)
        try:
            asked = self._consumer.get_watermark_offsets(where, timeout=_ANSWERS_WITHIN_S)
        except self._kafka.KafkaException as error:
            LOG.warning("the bounds of %s:%d are not known: %s", *place, error)
            return None
        if asked is None:
            return None
        # Tansu answers with the offset after the first message of the last batch; what it says with
        # messages is right
        return asked[0], max(asked[1], self.known_end(place))

    def known_end(self, place: Place) -> int:
        """Return the offset after the last message, as the broker said it with messages."""
        found = self._consumer.get_watermark_offsets(self._place(place), cached=True)
        return 0 if found is None else max(found[1], 0)

    def committed(self, place: Place) -> int:
        """Return the offset that the group has committed; 0 for none."""
        try:
            found = self._consumer.committed([self._place(place)], timeout=_ANSWERS_WITHIN_S)
        except self._kafka.KafkaException as error:
            LOG.warning("what the group has committed is not known: %s", error)
            return 0
        return max(found[0].offset, 0)

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Tell the group how far its states are, without waiting for an answer."""
        places = [self._place(place, offset) for place, offset in offsets.items()]
        try:
            self._consumer.commit(offsets=places, asynchronous=True)
        except self._kafka.KafkaException as error:
            LOG.warning("offsets are not committed to the group: %s", error)

    def close(self) -> None:
        """Leave the group, and end; partitions that are there are closed first."""
        self._consumer.close()

    def _place(self, place: Place, offset: int | None = None) -> Any:
        where = () if offset is None else (offset,)
        return self._kafka.TopicPartition(*place, *where)

    def _unassign(self, partitions: Sequence[Any]) -> None:
        """Give back partitions of the group; those that were not read yet are not assigned."""
        places = {(place.topic, place.partition) for place in partitions}
        gone = self._assigned & places if self._incremental else set(self._assigned)
        self._resume(gone)
        self._forget(gone)
        if self._incremental:
            self._consumer.incremental_unassign([self._place(place) for place in sorted(gone)])
        else:
            self._consumer.unassign()

    def _resume(self, places: Collection[Place]) -> None:
        """Read partitions on that may be paused.

        They are also resumed before they are given back or assigned anew: librdkafka keeps a paused
        partition paused over assignments. All that have begun are resumed, held or not: librdkafka
        drops a resume while it pauses them itself, at the begin of a change in the group.
        """
        begun = sorted(set(places) - self._starting)
        if begun:
            self._consumer.resume([self._place(place) for place in begun])
        self._held -= set(begun)

    def _forget(self, gone: Collection[Place]) -> None:
        for place in gone:
            self.ends.pop(place, None)
        self._assigned -= set(gone)
        self._starting -= set(gone)

    def _check(self, message: Message) -> None:
        """Raise for an error that does not pass by itself; note others."""
        error, kinds = message.error(), self._error
        where = f"{message.topic()}:{message.partition()}"
        if error.code() in (kinds._AUTO_OFFSET_RESET, kinds.OFFSET_OUT_OF_RANGE):
            raise StreamError(
                f"{where} has lost rows that its state has not seen ({error.str()}). Restore the "
                "topic; or remove this state, and begin it anew with start = 'retained'"
            )
        if error.fatal() or error.code() == kinds.UNKNOWN_TOPIC_OR_PART:
            raise StreamError(f"{where}: {error.str()}")
        if error.code() == kinds._PARTITION_EOF:
            self.ends[message.topic(), message.partition()] = message.offset()
        else:
            LOG.warning("%s: %s", where, error.str())


class Producer:
    """A sender of messages, which keeps a bounded number of bytes until the broker has them.

    Args:
        kafka: the brokers, and options.
        buffer_bytes: that wait for the broker, at most.

    Attributes:
        largest: bytes of a message with its key and headers, at most.
    """

    def __init__(self, kafka: Kafka, buffer_bytes: int) -> None:
        found = library()
        own: dict[str, Option] = {
            "bootstrap.servers": kafka.brokers,
            "queue.buffering.max.kbytes": max(1, buffer_bytes >> 10),
        }
        settings = _settings(_PRODUCER, kafka.options, kafka.producer) | own
        self._lost: list[str] = []
        self._refused = found.KafkaException
        self._producer = _client(
            found.Producer,
            {**settings, "error_cb": self._failed, "on_delivery": self._delivered, "logger": LOG},
        )
        self.largest = int(settings.get(_LARGEST, 1_000_000))

    def send(self, topic: str, partition: int, key: Any, value: bytes, headers: Headers) -> bool:
        """Send a message; return whether there was room for it.

        Args:
            topic: that it goes to.
            partition: of the topic; -1 for that of its key.
            key: bytes, or None.
            value: its content.
            headers: names and values.

        Raises:
            StreamError: it has more bytes than a message may have.
        """
        try:
            self._producer.produce(topic, value, key, partition, headers=headers)
        except BufferError:
            self._producer.poll(0)
            return False
        except self._refused as error:
            raise StreamError(
                f"a message of {len(value):,} bytes for {topic} is not taken: "
                f"{error.args[0].str()}. Messages may have {self.largest:,} bytes: to allow more, "
                f"set {_LARGEST} in [kafka.producer], and what the brokers take"
            ) from None
        return True

    def flush(self, wait_s: float) -> bool:
        """Return whether the broker has all messages, after waiting at most so long.

        Raises:
            StreamError: one of them was refused.
        """
        left = self._producer.flush(wait_s)
        self.check()
        return left == 0

    def check(self) -> None:
        """Let the library tell what happened.

        Raises:
            StreamError: a message was refused.
        """
        self._producer.poll(0)
        if self._lost:
            raise StreamError(f"the broker did not take a message: {self._lost[0]}")

    def n_partitions(self) -> dict[str, int] | None:
        """Return the number of partitions of each topic; None where the brokers do not answer.

        All topics are asked for: to ask for one that is not there would create it.
        """
        try:
            topics = self._producer.list_topics(timeout=_ANSWERS_WITHIN_S).topics
        except library().KafkaException as error:
            LOG.warning("the brokers do not answer: %s", error)
            return None
        return {name: len(found.partitions) for name, found in topics.items()}

    def discard(self) -> None:
        """Forget what the broker does not have yet."""
        self._producer.purge()
        self._producer.flush(1.0)

    def _delivered(self, error: Any, message: Message) -> None:
        if error is not None:
            self._lost.append(f"{message.topic()}:{message.partition()}: {error.str()}")

    def _failed(self, error: Any) -> None:
        _told(error)
        if error.fatal():
            self._lost.append(error.str())


def _told(error: Any) -> None:
    LOG.warning("kafka: %s", error.str())


def _client(kind: Callable[[Mapping[str, Any]], Any], settings: Mapping[str, Any]) -> Any:
    """Return a client with options.

    Raises:
        StreamError: the library does not know one of them, or not its value.
    """
    try:
        return kind(settings)
    except (library().KafkaException, TypeError, ValueError) as error:
        first = error.args[0]
        told = first if isinstance(first, str) else first.str().strip()
        raise StreamError(
            f"kafka: options, consumer or producer: {told}. They are those of confluent-kafka"
        ) from None


def _settings(*layers: Mapping[str, Option]) -> dict[str, Any]:
    """Return options over others; those that a stream decides itself are refused."""
    found: dict[str, Any] = {}
    for layer in layers:
        found |= layer
    own = sorted(_OWNED & {key for layer in layers[1:] for key in layer})
    if own:
        raise StreamError(f"{own[0]} is not an option: a stream sets it itself. Leave it out")
    return found
