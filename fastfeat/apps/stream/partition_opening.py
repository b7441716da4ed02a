"""Opening a partition that Kafka assigns to this member: its lock, its state, and checks."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fastfeat.apps.stream.job import StreamJob
from fastfeat.apps.stream.kafka import LOG, Consumer
from fastfeat.apps.stream.outputs import Sink
from fastfeat.apps.stream.partition import EventPartition, source_of
from fastfeat.apps.stream.state_lock import StateLock
from fastfeat.errors import StateError, StreamError
from fastfeat.live.live import Live


class PartitionOpener:
    """Opens assigned partitions, and remembers those with states that cannot be opened yet.

    Args:
        job: Parts shared by all partitions.
        consumer: Consumer of the events.
        sinks: Targets of the outputs.
    """

    def __init__(self, job: StreamJob, consumer: Consumer, sinks: Sequence[Sink]) -> None:
        self._job, self._consumer, self._sinks = job, consumer, sinks
        self._since: dict[int, float] = {}

    @property
    def numbers(self) -> list[int]:
        """The numbers of the assigned partitions that could not be opened yet."""
        return list(self._since)

    def forget(self, number: int) -> None:
        """Stop waiting for a partition that was taken away from this member."""
        self._since.pop(number, None)

    def open(self, number: int) -> EventPartition | None:
        """Return an opened partition; None while its state is locked or the brokers do not answer.

        Raises:
            StateError: The state is damaged or belongs to another partition, or another process has
                held it for longer than `lock_wait`.
            StreamError: The topic was deleted and created again, or has lost rows that the state
                has not seen.
        """
        is_first = number not in self._since
        since = self._since.setdefault(number, time.monotonic())
        path = self._job.state_path(number).with_suffix(".lock")
        lock = StateLock.take(path)
        if lock is None:
            waited = time.monotonic() - since
            if waited > self._job.config.lock_wait_s:
                raise StateError(
                    f"{self._job.state_path(number)}: process {StateLock.holder(path)} has locked "
                    f"the state for {waited:.0f} s, although its partition is now assigned to this "
                    "process. End the other process, or raise lock_wait in the configuration"
                )
            if is_first:
                told = self._job.state_path(number), StateLock.holder(path)
                LOG.warning("waiting for %s: process %s has locked it", *told)
            return None
        try:
            bounds = self._bounds(number)
            if bounds is None:
                lock.give_back()
                return None
            found = self._opened(number, lock, bounds)
        except BaseException:
            lock.give_back()
            raise
        del self._since[number]
        return found

    def _bounds(self, number: int) -> tuple[int, int] | None:
        return self._consumer.bounds((self._job.config.events.topic, number))

    def _opened(self, number: int, lock: StateLock, bounds: tuple[int, int]) -> EventPartition:
        job = self._job
        if not job.state_path(number).exists():
            self._check_new(number, bounds[0])
        live = job.open(number)
        try:
            start = self._start(number, live, bounds)
        except BaseException:
            live.discard()
            raise
        return EventPartition(job, number, live, lock, self._sinks, start)

    def _start(self, number: int, live: Live, bounds: tuple[int, int]) -> int:
        """Return the offset at which a partition with this state continues to read.

        `bounds` are the partition's first offset, and the offset after its last message.
        """
        (low, end), topic = bounds, self._job.config.events.topic
        place, path = (topic, number), self._job.state_path(number)
        others = sorted(
            source
            for source in live.offsets
            if source.rpartition(":")[0] == topic and source != source_of(place)
        )
        if others:
            raise StateError(
                f"{path}: the state has rows of {', '.join(others)}, so it is not the state of "
                f"{source_of(place)} alone. Move each state file back to its place"
            )
        start = live.offsets.get(source_of(place), low)
        if start < low:
            raise StreamError(
                f"{source_of(place)} begins at offset {low}, but its state {path} continues at "
                f"offset {start}: the rows between are lost. Restore the topic; or delete the "
                "state, and begin a new one with start = 'retained'"
            )
        if start > end == 0:  # if the topic has rows, the consumer reports a bad offset itself
            raise StreamError(
                f"{source_of(place)} is empty, but its state {path} continues at offset "
                f"{start}: the topic was deleted and created again. Restore the topic; or delete "
                "the state, and begin a new one"
            )
        return start

    def _check_new(self, number: int, low: int) -> None:
        """Check a partition that has no state file yet.

        Raises if its first rows are gone from the topic; warns if it had a state before, which was
        lost.
        """
        place = (self._job.config.events.topic, number)
        if low > 0 and self._job.config.start == "beginning":
            raise StreamError(
                f"{source_of(place)}: there is no state {self._job.state_path(number)}, and it "
                f"cannot be rebuilt, because the topic begins at offset {low}. Restore the folder "
                "of states; or begin with the rows that are left: start = 'retained', with the "
                "earlier rows as history"
            )
        committed = self._consumer.committed(place)
        if committed > low:
            LOG.warning(
                "%s: the group was at offset %d, but there is no state: it is rebuilt from offset "
                "%d on, and all outputs are sent again",
                source_of(place),
                committed,
                low,
            )
