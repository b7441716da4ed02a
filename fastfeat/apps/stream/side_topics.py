"""Side topics (outcomes and lookup-table rows), merged with the events by time.

All sources of a partition of the events are merged by message time, as set by the broker or the
producer. At equal times table rows come first, then events, then outcomes, since an outcome may
belong to an event of that time. A message is held back until everything that was in the other
topics when it arrived has been read.

A place is a topic and a partition number. Each partition of the events has *sides*: the places that
are read for it, each with its own position. A turn is the sort key of a message.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import field

from fastfeat_kernels.records import dataclass

from fastfeat.apps.stream.job import StreamJob
from fastfeat.apps.stream.kafka import Consumer, Message, TopicPlace
from fastfeat.apps.stream.partition import EventPartition, source_of
from fastfeat.errors import StreamError, counted

_BEGINNING = -2
_TURN_S = 0.1
OF_TABLES, OF_EVENTS, OF_OUTCOMES = 0, 1, 2
Turn = tuple[int, int]
"""Sort key of a message: its time in milliseconds, then its rank among messages of that time."""


@dataclass(slots=True)
class Side:
    """One partition of a side topic, as read for one partition of the events.

    Args:
        place: Topic and partition number of the side topic.
        table: Lookup table that the rows belong to; "" for outcomes.
        position: Offset after the last polled message; negative for the beginning.
        inbox: Polled messages that are not applied yet.
        received: Time of the last poll with a message, in seconds of the monotonic clock.
    """

    place: TopicPlace
    table: str
    position: int
    inbox: deque[Message] = field(default_factory=deque[Message])
    received: float = 0.0

    @property
    def turn(self) -> Turn | None:
        """The sort key of the next polled message: its time, then the rank of its kind.

        None if no message is polled.
        """
        if not self.inbox:
            return None
        return self.inbox[0].timestamp()[1], OF_TABLES if self.table else OF_OUTCOMES


class Sides:
    """The sides of all partitions of the events that this member owns, read by one consumer.

    `counts` is the number of partitions of each topic.
    """

    def __init__(self, job: StreamJob, counts: Mapping[str, int]) -> None:
        self._job, self._counts = job, counts
        self._consumer = Consumer(job.config.kafka, job.config.group)
        self._of: dict[int, dict[TopicPlace, Side]] = {}
        self._ends: dict[TopicPlace, tuple[float, int]] = {}

    def opened(self, partition: EventPartition) -> None:
        """Start reading the side topics for a partition of the events."""
        offsets = partition.live.offsets
        sides: dict[TopicPlace, Side] = {}
        for place, table in self._places(partition.number):
            sides[place] = Side(place, table, offsets.get(source_of(place), _BEGINNING))
        self._of[partition.number] = sides
        self._assign()

    def closed(self, number: int) -> None:
        """Stop reading the side topics for a partition of the events."""
        if self._of.pop(number, None) is not None:
            self._assign()

    def poll(self, most: int) -> None:
        """Read up to `most` new messages into the inboxes of the sides."""
        now = time.monotonic()
        for message in self._consumer.poll(most, 0):
            place = (message.topic(), message.partition())
            for sides in self._of.values():
                side = sides.get(place)
                if side is not None and message.offset() >= side.position:
                    side.inbox.append(message)
                    side.position = message.offset() + 1
                    side.received = now
        self._hold(most)

    def of(self, number: int) -> Mapping[TopicPlace, Side]:
        """Return the sides of a partition of the events, by place."""
        return self._of[number]

    def first(self, number: int) -> Side | None:
        """Return the side that has the earliest waiting message; None if no messages wait."""
        there = [side for side in self._of[number].values() if side.turn is not None]
        return min(there, key=lambda side: side.turn or (0, 0), default=None)

    def are_read(self, number: int, since: float) -> bool:
        """Whether each side has a waiting message, or had no more to read at the time `since`."""
        return all(side.inbox or self._is_read(side, since) for side in self._of[number].values())

    def close(self) -> None:
        """Close the consumer of the side topics."""
        self._consumer.close()

    def _is_read(self, side: Side, since: float) -> bool:
        position = max(side.position, self._consumer.ends.get(side.place, 0))
        known = self._ends.get(side.place)
        if known is None or (known[0] < since and position >= known[1]):
            asked = time.monotonic()
            bounds = self._consumer.bounds(side.place)
            if bounds is None:
                return False
            known = self._ends[side.place] = asked, bounds[1]
        return known[0] >= since and position >= known[1]

    def _places(self, number: int) -> list[tuple[TopicPlace, str]]:
        config = self._job.config
        found: list[tuple[TopicPlace, str]] = []
        if config.outcomes is not None:
            found.append(((config.outcomes.topic, number), ""))
        for name, told in config.tables.items():
            if told.source is not None:
                topic = told.source.topic
                found += [((topic, at), name) for at in range(self._counts[topic])]
        return found

    def _assign(self) -> None:
        """Start reading each place at the smallest offset that any side of it needs.

        `poll` skips messages that a side already has.
        """
        offsets: dict[TopicPlace, int] = {}
        for sides in self._of.values():
            for place, side in sides.items():
                offsets[place] = min(side.position, offsets.get(place, side.position))
        self._consumer.read(offsets)

    def _hold(self, most: int) -> None:
        """Pause places with many messages that are not applied yet, and resume the others."""
        self._consumer.hold(
            {
                place
                for sides in self._of.values()
                for place, side in sides.items()
                if len(side.inbox) >= 2 * most
            }
        )


def check_counts(job: StreamJob, counts: Mapping[str, int]) -> None:
    """Raise StreamError unless the topic of outcomes has as many partitions as the events."""
    config = job.config
    if config.outcomes is None:
        return
    events, outcomes = counts[config.events.topic], counts[config.outcomes.topic]
    if events != outcomes:
        raise StreamError(
            f"{config.outcomes.topic} has {counted(outcomes, 'partition')}, but "
            f"{config.events.topic} has {events}: an outcome must be in the partition of its "
            "event. Give both topics the same number of partitions and the same keys"
        )


def advance(partition: EventPartition, sides: Sides, events: Consumer, most: int) -> bool:
    """Apply messages of all sources of a partition in order, and offer the outputs to the sinks.

    It stops after about 0.1 s or `most` events, so that other partitions and checkpoints get their
    turn. Returns whether there may be more messages to apply.
    """
    until = time.monotonic() + _TURN_S
    first = partition.offset
    while time.monotonic() < until and partition.offset - first < most:
        if partition.order.steps:
            took = _apply_recorded(partition, sides, most)
        else:
            took = _apply_next(partition, sides, events, most)
        if not took:
            partition.put()
            return False
    return partition.put()


def _apply_recorded(partition: EventPartition, sides: Sides, most: int) -> bool:
    """Apply messages in the order recorded before a crash; return False to wait for more."""
    source, end = partition.order.steps[0]
    if source == partition.source:
        head = partition.head_offset
        if head is None or head < end:
            return partition.process(most, end=end)
    for side in sides.of(partition.number).values():
        if source_of(side.place) == source and not (side.inbox and side.inbox[0].offset() >= end):
            return _apply(partition, side, [m for m in side.inbox if m.offset() < end])
    # those messages are gone, or their topic is no longer configured
    partition.order.steps.popleft()
    return True


def _apply_next(partition: EventPartition, sides: Sides, events: Consumer, most: int) -> bool:
    """Apply messages in the order of their times; return whether any could be applied."""
    side = sides.first(partition.number)
    time_ms = partition.head_ms
    turn = None if side is None else side.turn
    if time_ms is not None and (turn is None or (time_ms, OF_EVENTS) < turn):
        if not sides.are_read(partition.number, partition.received):
            return False
        side = sides.first(partition.number)
        turn = None if side is None else side.turn
        return partition.process(most, _before(turn))
    if side is None:
        return False
    if time_ms is None and not _events_caught_up(partition, events, side.received):
        return False
    until = (float("inf"), 0) if time_ms is None else (time_ms, OF_EVENTS)
    rank = OF_TABLES if side.table else OF_OUTCOMES
    found: list[Message] = []
    for message in side.inbox:
        if (message.timestamp()[1], rank) >= until or len(found) >= most:
            break
        found.append(message)
    return _apply(partition, side, found)


def _apply(partition: EventPartition, side: Side, messages: Sequence[Message]) -> bool:
    if not messages:
        return False
    partition.apply(side.place, side.table, messages)
    for _ in messages:
        side.inbox.popleft()
    return True


def _before(turn: Turn | None) -> float:
    """Return the time before which events may be answered, in milliseconds.

    `turn` is the sort key of the next message of a side topic. If it is an outcome, the
    result is one millisecond after its time, since events of the same time come first.
    """
    if turn is None:
        return float("inf")
    return turn[0] + (turn[1] > OF_EVENTS)


def _events_caught_up(partition: EventPartition, events: Consumer, since: float) -> bool:
    """Whether all events that existed at `since` have been polled."""
    position = max(partition.position, events.ends.get(partition.place, 0))
    if partition.asked < since or position < partition.known_end:
        asked = time.monotonic()
        bounds = events.bounds(partition.place)
        if bounds is None:
            return False
        partition.asked, partition.known_end = asked, bounds[1]
    return partition.asked >= since and position >= partition.known_end
