"""Partitions that come again are read, however they stood when they went."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from fastfeat.apps.stream.config import Kafka
from fastfeat.apps.stream.kafka import Consumer, TopicPlace
from fastfeat_tests.apps.stream.topics import QUICK, Topics
from fastfeat_tests.patience import until

N_EACH = 10
Offsets = dict[TopicPlace, list[int]]


@contextmanager
def consumer(topics: Topics, **options: Any) -> Generator[Consumer]:
    """Give a consumer, which is closed at the end of the block."""
    found = Consumer(Kafka(brokers=topics.address, consumer=QUICK | options), topics.prefix)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def places(topics: Topics) -> list[TopicPlace]:
    """The partitions of a topic, with messages in each."""
    for number in range(topics.n_partitions):
        for _ in range(N_EACH):
            topics.send("events", number, b"x")
    topics.flush()
    return [(topics.name("events"), number) for number in range(topics.n_partitions)]


def polled(reader: Consumer, offsets: Offsets, *others: Consumer) -> None:
    """Poll members once, and note the offsets that came to one of them."""
    for other in others:
        other.poll(100, 0.02)
    for message in reader.poll(100, 0.02):
        place = message.topic(), message.partition()
        offsets.setdefault(place, []).append(message.offset())


def read_all(
    reader: Consumer, offsets: Offsets, places: Sequence[TopicPlace], begin: int = 0
) -> None:
    """Check that all messages of partitions from an offset on come, in order and once."""

    def came() -> bool:
        polled(reader, offsets)
        return all(offsets.get(place, [-1])[-1] == N_EACH - 1 for place in places)

    until(came)
    for place in places:
        assert offsets[place] == list(range(begin, N_EACH))


def held(reader: Consumer, offsets: Offsets, places: Sequence[TopicPlace]) -> None:
    read_all(reader, offsets, places)
    reader.hold(places)


def held_and_read_on(reader: Consumer, offsets: Offsets, places: Sequence[TopicPlace]) -> None:
    held(reader, offsets, places)
    reader.hold(())


def at_their_ends(reader: Consumer, offsets: Offsets, places: Sequence[TopicPlace]) -> None:
    read_all(reader, offsets, places)
    until(lambda: polled(reader, offsets) or reader.ends.keys() >= set(places))


def just_assigned(reader: Consumer, offsets: Offsets, places: Sequence[TopicPlace]) -> None:
    """Nothing more is polled."""


Stand = Callable[[Consumer, Offsets, Sequence[TopicPlace]], None]
STANDS = [held, held_and_read_on, at_their_ends, just_assigned]


@pytest.mark.parametrize("stand", STANDS)
def test_partitions_that_are_assigned_again_are_read(
    topics: Topics, places: list[TopicPlace], stand: Stand
) -> None:
    with consumer(topics) as reader:
        reader.read(dict.fromkeys(places, 0))
        stand(reader, {}, places)
        reader.read(dict.fromkeys(places, 3))
        assert reader.ends == {}
        read_all(reader, {}, places, begin=3)


def test_held_partition_gives_nothing_until_it_is_read_on(
    topics: Topics, places: list[TopicPlace]
) -> None:
    with consumer(topics) as reader:
        reader.read(dict.fromkeys(places, 0))
        held(reader, {}, places)
        topics.send("events", 0, b"x")
        topics.send("events", 1, b"x")
        topics.flush()
        reader.hold(places[:1])
        offsets: Offsets = {}
        until(lambda: polled(reader, offsets) or offsets)
        assert offsets == {places[1]: [N_EACH]}
        reader.hold(())
        until(lambda: polled(reader, offsets) or len(offsets) == 2)
        assert offsets == {place: [N_EACH] for place in places}


def test_partition_that_is_held_before_it_gave_anything_is_read(
    topics: Topics, places: list[TopicPlace]
) -> None:
    """The library may forget to start a partition that is paused while it is assigned."""
    with consumer(topics) as reader:
        reader.read(dict.fromkeys(places, 0))
        reader.hold(places)
        read_all(reader, {}, places)


def left_out(reader: Consumer, offsets: Offsets, places: Sequence[TopicPlace]) -> None:
    """Their states could not be opened."""


STRATEGIES = pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])


@STRATEGIES
@pytest.mark.parametrize("stand", [held, at_their_ends, left_out])
def test_partitions_that_the_group_gives_again_are_read(
    topics: Topics,
    places: list[TopicPlace],
    stand: Stand,
    strategy: str,
) -> None:
    """A member has both partitions, then another has one of them, then it has both again."""
    owned: list[int] = []
    offsets: Offsets = {}
    is_open = stand is not left_out

    def opened(numbers: Sequence[int]) -> Mapping[int, int]:
        owned.extend(numbers)
        for number in numbers:
            offsets.pop((topics.name("events"), number), None)
        return dict.fromkeys(numbers, 0) if is_open else {}

    def closed(numbers: Sequence[int], is_lost: bool) -> None:
        for number in numbers:
            owned.remove(number)

    def has(n_partitions: int, *others: Consumer) -> bool:
        polled(reader, offsets, *others)
        return len(owned) == n_partitions

    options = {"partition.assignment.strategy": strategy}
    with consumer(topics, **options) as reader:
        reader.subscribe(topics.name("events"), opened, closed)
        until(lambda: has(2))
        stand(reader, offsets, places)
        with consumer(topics, **options) as other:
            other.subscribe(
                topics.name("events"), lambda numbers: dict.fromkeys(numbers, 0), lambda *_: None
            )
            until(lambda: has(1, other))
            stand(reader, offsets, [(topics.name("events"), owned[0])])
            is_open = True
        until(lambda: has(2))
        if stand is left_out:
            reader.read({place: offsets.get(place, [-1])[-1] + 1 for place in places})
        for number in range(2):
            topics.send("events", number, b"x")
        topics.flush()
        until(lambda: has(2) and all(offsets.get(place, [0])[-1] == N_EACH for place in places))
    for found in offsets.values():
        assert found == list(range(found[0], N_EACH + 1))


@STRATEGIES
def test_partition_that_was_left_out_is_read_once_it_is_named(
    topics: Topics, places: list[TopicPlace], strategy: str
) -> None:
    with consumer(topics, **{"partition.assignment.strategy": strategy}) as reader:
        reader.subscribe(topics.name("events"), lambda numbers: {0: 0}, lambda *_: None)
        read_all(reader, {}, places[:1])
        reader.read({places[0]: N_EACH, places[1]: 4})
        read_all(reader, {}, places[1:], begin=4)
        topics.send("events", 0, b"x")
        topics.flush()
        offsets: Offsets = {}
        until(lambda: polled(reader, offsets) or offsets)
        assert offsets == {places[0]: [N_EACH]}
