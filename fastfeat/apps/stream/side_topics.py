"""Outcomes and rows of lookup tables: topics beside the events, taken in order of time with them.

Sources of a partition are merged by the times of their messages, as a broker or a producer set
them. At one time rows of tables come first, then events, then outcomes, which may be of these
events. A message waits until all that was in the other topics when it came has been read.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastfeat.apps.stream.job import Job
from fastfeat.apps.stream.kafka import Consumer, Message, Place
from fastfeat.apps.stream.partition import Partition, source_of
from fastfeat.errors import StreamError

_BEGINNING = -2
_TURN_S = 0.1
OF_TABLES, OF_EVENTS, OF_OUTCOMES = 0, 1, 2
Turn = tuple[int, int]
"""When a message is taken: its time in milliseconds, and its rank among those of that time."""


@dataclass(slots=True)
class Side:
    """One partition of a topic beside the events, as one partition of these needs it.

    Args:
        place: the topic and the number.
        table: that its rows are for; "" for outcomes.
        position: the offset after the last message that was polled; below 0 for the beginning.
        inbox: messages that wait.
        received: when the last ones came, in seconds of the monotonic clock.
    """

    place: Place
    table: str
    position: int
    inbox: deque[Message] = field(default_factory=deque[Message])
    received: float = 0.0

    @property
    def turn(self) -> Turn | None:
        """The turn of the next message; None where none was polled."""
        if not self.inbox:
            return None
        return self.inbox[0].timestamp()[1], OF_TABLES if self.table else OF_OUTCOMES


class Sides:
    """Topics beside the events, for all partitions of a member.

    Args:
        job: what all share.
        counts: of partitions, by topic.
    """

    def __init__(self, job: Job, counts: Mapping[str, int]) -> None:
        self._job, self._counts = job, counts
        self._consumer = Consumer(job.config.kafka, job.config.group)
        self._of: dict[int, dict[Place, Side]] = {}
        self._ends: dict[Place, tuple[float, int]] = {}

    def opened(self, partition: Partition) -> None:
        """Take a partition that comes to this member."""
        offsets = partition.live.offsets
        sides: dict[Place, Side] = {}
        for place, table in self._places(partition.number):
            sides[place] = Side(place, table, offsets.get(source_of(place), _BEGINNING))
        self._of[partition.number] = sides
        self._assign()

    def closed(self, number: int) -> None:
        """Give a partition up."""
        if self._of.pop(number, None) is not None:
            self._assign()

    def poll(self, most: int) -> None:
        """Read what came."""
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

    def of(self, number: int) -> Mapping[Place, Side]:
        """Return the sides of a partition."""
        return self._of[number]

    def first(self, number: int) -> Side | None:
        """Return the side whose next message is taken first; None where none was polled."""
        there = [side for side in self._of[number].values() if side.turn is not None]
        return min(there, key=lambda side: side.turn or (0, 0), default=None)

    def are_read(self, number: int, since: float) -> bool:
        """Whether each side has a message, or had none left at a time.

        Args:
            number: of the partition.
            since: the time, in seconds of the monotonic clock.
        """
        return all(side.inbox or self._is_read(side, since) for side in self._of[number].values())

    def close(self) -> None:
        """End."""
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

    def _places(self, number: int) -> list[tuple[Place, str]]:
        config = self._job.config
        found: list[tuple[Place, str]] = []
        if config.outcomes is not None:
            found.append(((config.outcomes.topic, number), ""))
        for name, told in config.tables.items():
            if told.source is not None:
                topic = told.source.topic
                found += [((topic, at), name) for at in range(self._counts[topic])]
        return found

    def _assign(self) -> None:
        """Read from where the partition that is least far goes on; others leave out the rest."""
        offsets: dict[Place, int] = {}
        for sides in self._of.values():
            for place, side in sides.items():
                offsets[place] = min(side.position, offsets.get(place, side.position))
        self._consumer.read(offsets)

    def _hold(self, most: int) -> None:
        """Read no more of places of which many messages wait, and the others again."""
        self._consumer.hold(
            {
                place
                for sides in self._of.values()
                for place, side in sides.items()
                if len(side.inbox) >= 2 * most
            }
        )


def check_counts(job: Job, counts: Mapping[str, int]) -> None:
    """Raise where outcomes are not partitioned as the events are.

    Args:
        job: what all share.
        counts: of partitions, by topic.

    Raises:
        StreamError: the topics have unequal numbers of partitions.
    """
    config = job.config
    if config.outcomes is None:
        return
    events, outcomes = counts[config.events.topic], counts[config.outcomes.topic]
    if events != outcomes:
        raise StreamError(
            f"{config.outcomes.topic} has {outcomes} partitions, and {config.events.topic} "
            f"{events}: an outcome has to be in the partition of its event. Give both as many, and "
            "the same keys"
        )


def advance(partition: Partition, sides: Sides, events: Consumer, most: int) -> bool:
    """Take what can be taken of all sources of a partition in order, and offer what that gives.

    It returns before long, since others want their turn, and what was taken its checkpoint: whether
    there may be more to take.

    Args:
        partition: the events, and the state.
        sides: the other sources.
        events: the consumer of the events.
        most: messages of a micro-batch, and events of one turn.
    """
    until = time.monotonic() + _TURN_S
    first = partition.offset
    while time.monotonic() < until and partition.offset - first < most:
        if partition.order.steps:
            took = _repeated(partition, sides, most)
        else:
            took = _taken(partition, sides, events, most)
        if not took:
            partition.put()
            return False
    return partition.put()


def _repeated(partition: Partition, sides: Sides, most: int) -> bool:
    """Return whether messages were taken in the order that they had before a crash."""
    source, end = partition.order.steps[0]
    if source == partition.source:
        head = partition.head_offset
        if head is None or head < end:
            return partition.process(most, end=end)
    for side in sides.of(partition.number).values():
        if source_of(side.place) == source and not (side.inbox and side.inbox[0].offset() >= end):
            return _apply(partition, side, [m for m in side.inbox if m.offset() < end])
    # what was taken then is there no longer, or its topic is no longer configured
    partition.order.steps.popleft()
    return True


def _taken(partition: Partition, sides: Sides, events: Consumer, most: int) -> bool:
    """Return whether messages were taken in the order of their times."""
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
    if time_ms is None and not _is_read(partition, events, side.received):
        return False
    until = (float("inf"), 0) if time_ms is None else (time_ms, OF_EVENTS)
    rank = OF_TABLES if side.table else OF_OUTCOMES
    found: list[Message] = []
    for message in side.inbox:
        if (message.timestamp()[1], rank) >= until or len(found) >= most:
            break
        found.append(message)
    return _apply(partition, side, found)


def _apply(partition: Partition, side: Side, messages: Sequence[Message]) -> bool:
    if not messages:
        return False
    partition.apply(side.place, side.table, messages)
    for _ in messages:
        side.inbox.popleft()
    return True


def _before(turn: Turn | None) -> float:
    """Return the time before which events are taken: those of the time itself, if it ranks so."""
    if turn is None:
        return float("inf")
    return turn[0] + (turn[1] > OF_EVENTS)


def _is_read(partition: Partition, events: Consumer, since: float) -> bool:
    """Whether all events were polled that were there at a time."""
    position = max(partition.position, events.ends.get(partition.place, 0))
    if partition.asked < since or position < partition.known_end:
        asked = time.monotonic()
        bounds = events.bounds(partition.place)
        if bounds is None:
            return False
        partition.asked, partition.known_end = asked, bounds[1]
    return partition.asked >= since and position >= partition.known_end
