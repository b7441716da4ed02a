"""One partition of the events: its state, polled messages, and outputs that wait for sinks."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import field
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.apps.stream.job import StreamJob
from fastfeat.apps.stream.kafka import LOG, Message, TopicPlace
from fastfeat.apps.stream.messages import Decode, DecodedRows, decode_messages
from fastfeat.apps.stream.outputs import DeadLetter, Outputs, Sink
from fastfeat.apps.stream.row_intake import (
    OffsetSpan,
    RefusedRow,
    apply_rows,
    kind_of,
    process_rows,
)
from fastfeat.apps.stream.source_order import SourceOrder
from fastfeat.apps.stream.state_lock import StateLock
from fastfeat.errors import ContractBroken, FutureRow, LateRow, StreamError
from fastfeat.io.arrow import Table, pa
from fastfeat.io.prometheus import Durations
from fastfeat.live.live import Live


@dataclass(slots=True)
class WaitingOutputs:
    """Outputs of a micro-batch that a sink has not fully accepted.

    Args:
        outputs: Outputs of one micro-batch.
        n_taken: Number of items that the sink has accepted.
        since: When processing of the micro-batch began, in seconds of the monotonic clock.
    """

    outputs: Outputs
    n_taken: int
    since: float


@dataclass(slots=True)
class PartitionCounters:
    """Counters of a partition since it was opened.

    Args:
        n_events: Events answered.
        n_batches: Micro-batches.
        n_repeated: Messages that were polled again and skipped.
        dead: Dead letters by kind.
        taken: Number of rows by outcome, such as late or dropped; `Live.counts` of the state.
        violations: Number of rows that break each contract rule; `Live.violations` of the state.
        latency: Seconds from the start of each micro-batch until a sink had accepted it.
    """

    n_events: int = 0
    n_batches: int = 0
    n_repeated: int = 0
    dead: Counter[str] = field(default_factory=Counter[str])
    taken: Counter[str] = field(default_factory=Counter[str])
    violations: Counter[str] = field(default_factory=Counter[str])
    latency: Durations = field(default_factory=Durations)

    def add(self, other: PartitionCounters) -> None:
        """Add the counters of `other` to these."""
        self.n_events += other.n_events
        self.n_batches += other.n_batches
        self.n_repeated += other.n_repeated
        self.dead.update(other.dead)
        self.taken.update(other.taken)
        self.violations.update(other.violations)
        self.latency.add(other.latency)


class EventPartition:
    """One partition of the events that this member owns.

    Args:
        job: Parts shared by all partitions.
        number: Partition number.
        live: Plans with the state of this partition.
        lock: Lock of the state.
        sinks: Targets of the outputs.
        start: Offset at which a state without offsets begins.
    """

    def __init__(
        self,
        job: StreamJob,
        number: int,
        live: Live,
        lock: StateLock,
        sinks: Sequence[Sink],
        start: int,
    ) -> None:
        self.job, self.number, self.live = job, number, live
        self.place: TopicPlace = (job.config.events.topic, number)
        self.source = source_of(self.place)
        self.done = PartitionCounters()
        self.last_checkpoint = time.monotonic()
        self._lock, self._sinks = lock, sinks
        self._committed = dict(live.offsets)
        self._inbox: deque[Message] = deque()
        self._start = self._position = start
        self.received = 0.0
        self.asked, self.known_end = -1.0, 0
        self._waiting: list[deque[WaitingOutputs]] = [deque() for _ in sinks]
        is_ordered = job.outcomes is not None or bool(job.tables)
        path = job.state_path(number).with_suffix(".order")
        self.order = SourceOrder(path, live.offsets, is_kept=is_ordered)
        for sink in sinks:
            sink.opened(number)

    @property
    def offset(self) -> int:
        """The offset after the last event that the state contains."""
        return self.live.offsets.get(self.source, self._start)

    @property
    def position(self) -> int:
        """The offset after the last event that was polled."""
        return self._position

    @property
    def n_polled(self) -> int:
        """Number of polled events that are not processed yet."""
        return len(self._inbox)

    @property
    def is_waiting(self) -> bool:
        """Whether a sink has outputs left to accept."""
        return any(self._waiting)

    @property
    def head_ms(self) -> int | None:
        """The time of the next polled event, in milliseconds; None if none is polled."""
        return self._inbox[0].timestamp()[1] if self._inbox else None

    @property
    def head_offset(self) -> int | None:
        """The offset of the next polled event; None if none is polled."""
        return self._inbox[0].offset() if self._inbox else None

    def receive(self, messages: Sequence[Message]) -> None:
        """Queue polled events, which must be in offset order."""
        self.received = time.monotonic()
        for message in messages:
            if message.offset() >= self._position:
                self._inbox.append(message)
                self._position = message.offset() + 1
            else:
                self.done.n_repeated += 1

    def process(self, most: int, before_ms: float = float("inf"), end: int | None = None) -> bool:
        """Answer the next events and queue their outputs; return whether there were any events.

        Args:
            most: Maximum number of messages.
            before_ms: Only take events earlier than this time, in milliseconds.
            end: Only take events before this offset; None for no limit.
        """
        messages = self._next(most, before_ms, end)
        if not messages:
            return False
        since = time.monotonic()
        outputs = self._outputs(messages)
        self.order.step(self.source, outputs.end)
        for waiting in self._waiting:
            waiting.append(WaitingOutputs(outputs, 0, since))
        self.done.n_events += outputs.features.num_rows
        self.done.n_batches += 1
        self.done.taken = Counter(self.live.counts)
        self.done.violations = Counter(self.live.violations)
        self.done.dead.update(letter.kind for letter in outputs.dead)
        return True

    def apply(self, place: TopicPlace, name: str, messages: Sequence[Message]) -> None:
        """Apply outcomes, or rows of a lookup table, to the state.

        Args:
            place: Topic and partition of the messages.
            name: Name of the table; "" for outcomes.
            messages: Messages in offset order.
        """
        decode = self.job.tables[name] if name else self.job.outcomes
        assert decode is not None
        rows, dead = self._read(decode, messages)
        source, first, end = source_of(place), messages[0].offset(), messages[-1].offset() + 1
        offsets = [messages[at].offset() for at in rows.message.tolist()]
        self.order.step(source, end)

        def call(given: Table, **where: Any) -> None:
            if name:
                self.live.update_table(name, given, **where)
            else:
                self.live.outcomes(given, **where)

        refused = apply_rows(self.live, call, OffsetSpan(source, rows.table, offsets, first, end))
        dead += self._refused_letters(refused, rows, messages)
        if dead:
            nothing = self._made(messages, rows, [], None, dead)
            for waiting in self._waiting:
                waiting.append(WaitingOutputs(nothing, 0, time.monotonic()))
            self.done.dead.update(letter.kind for letter in dead)

    def put(self) -> bool:
        """Offer waiting outputs to the sinks; return whether the sinks have accepted all of them.

        The order in which messages of the sources were applied is written to disk first.
        """
        self.order.sync()
        for sink, waiting in zip(self._sinks, self._waiting, strict=True):
            while waiting:
                first = waiting[0]
                first.n_taken = sink.put(first.outputs, first.n_taken)
                if first.n_taken < sink.size(first.outputs):
                    break
                waiting.popleft()
                self.done.latency.note(time.monotonic() - first.since)
        return not self.is_waiting

    def checkpoint(self, wait_s: float) -> bool:
        """Commit state, offsets and audit to disk, once the sinks have stored all outputs.

        Returns False if that takes longer than `wait_s` seconds.
        """
        if not self.put():
            return False
        if self._committed == self.live.offsets:
            self.last_checkpoint = time.monotonic()
            return True
        if not all(sink.flush(self.number, self.offset, wait_s) for sink in self._sinks):
            return False
        self.live.checkpoint()
        self.order.clear(self.offset)
        self._committed = dict(self.live.offsets)
        for held in self.live.held_up(is_due=True):  # every row it mentions is on disk
            LOG.warning("%s: %s", self.source, held)
        self.last_checkpoint = time.monotonic()
        return True

    def close(self, wait_s: float) -> bool:
        """Close the partition, with a checkpoint if the sinks store all outputs in time.

        Returns False if there was no checkpoint. The next owner of the partition then repeats
        outputs that were already sent.
        """
        until = time.monotonic() + wait_s
        while not (is_done := self.checkpoint(max(0.0, until - time.monotonic()))):
            if time.monotonic() >= until:
                break
            time.sleep(0.02)
        self.discard(keep=is_done)
        return is_done

    def discard(self, *, keep: bool = False) -> None:
        """Close the state. Changes since the last checkpoint are lost unless `keep` is set."""
        if keep:
            self.live.close()
        else:
            self.live.discard()
        self.order.close()
        self._lock.give_back()

    def _next(self, most: int, before_ms: float, end: int | None) -> list[Message]:
        limit = float("inf") if end is None else end
        found: list[Message] = []
        inbox = self._inbox
        while inbox and len(found) < most:
            message = inbox[0]
            if message.offset() >= limit or message.timestamp()[1] >= before_ms:
                break
            found.append(inbox.popleft())
        return found

    def _outputs(self, messages: Sequence[Message]) -> Outputs:
        rows, dead = self._read(self.job.events, messages)
        rows, ahead = self._without_ahead(rows, messages)
        offsets = [messages[at].offset() for at in rows.message.tolist()]
        end = messages[-1].offset() + 1
        span = OffsetSpan(self.source, rows.table, offsets, messages[0].offset(), end)
        features, taken, refused = process_rows(self.live, span)
        dead += ahead + self._refused_letters(refused, rows, messages)
        return self._made(messages, rows, taken, features, dead)

    def _without_ahead(
        self, rows: DecodedRows, messages: Sequence[Message]
    ) -> tuple[DecodedRows, list[DeadLetter]]:
        """Refuse rows again that were refused before a crash, because their time was in the future.

        The clock has moved on, so they would be accepted now, and outputs would differ. Returns the
        other rows, and dead letters for the refused ones.
        """
        if not self.order.ahead:
            return rows, []
        places = [
            (messages[at].offset(), row)
            for at, row in zip(rows.message.tolist(), rows.within.tolist(), strict=True)
        ]
        is_ahead = np.array([place in self.order.ahead for place in places], bool)
        letters = [
            _letter(messages[at], row, "future", "it was ahead of the clock on arrival")
            for at, row in zip(
                rows.message[is_ahead].tolist(), rows.within[is_ahead].tolist(), strict=True
            )
        ]
        others = rows.table.filter(pa.array(~is_ahead))
        return DecodedRows(others, rows.message[~is_ahead], rows.within[~is_ahead]), letters

    def _made(
        self,
        messages: Sequence[Message],
        rows: DecodedRows,
        taken: Sequence[int],
        features: Table | None,
        dead: list[DeadLetter],
    ) -> Outputs:
        chosen = np.asarray(taken, np.int64)
        message = rows.message[chosen]
        offsets = np.array([each.offset() for each in messages], np.int64)
        times = np.array([each.timestamp()[1] for each in messages], np.int64)
        keys = [each.key() for each in messages]
        is_all = len(chosen) == rows.table.num_rows
        return Outputs(
            topic=self.place[0],
            partition=self.number,
            first=int(offsets[0]),
            end=int(offsets[-1]) + 1,
            artifact=self.job.artifact,
            offsets=offsets[message],
            within=rows.within[chosen],
            times_ms=times[message],
            keys=[keys[at] for at in message.tolist()],
            rows=rows.table if is_all else rows.table.take(pa.array(chosen)),
            features=pa.table({}) if features is None else features,
            dead=sorted(dead, key=lambda letter: (letter.offset, letter.row)),
        )

    def _read(
        self, decode: Decode, messages: Sequence[Message]
    ) -> tuple[DecodedRows, list[DeadLetter]]:
        rows, poison = decode_messages(decode, [message.value() for message in messages])
        dead = [_letter(messages[each.message], -1, each.kind, each.reason) for each in poison]
        self._check_letters(dead)
        return rows, dead

    def _refused_letters(
        self, refused: Sequence[RefusedRow], rows: DecodedRows, messages: Sequence[Message]
    ) -> list[DeadLetter]:
        dead: list[DeadLetter] = []
        for each in refused:
            if isinstance(each.error, LateRow) and self.job.config.late == "error":
                raise each.error
            if isinstance(each.error, ContractBroken):
                self.live.count_refused(each.error)
            if isinstance(each.error, LateRow):
                self.live.count_late(each.error)
            message, row = messages[rows.message[each.row]], int(rows.within[each.row])
            if isinstance(each.error, FutureRow):
                self.order.record_ahead(message.offset(), row)
            dead.append(_letter(message, row, kind_of(each.error), str(each.error)))
        self._check_letters(dead)
        return dead

    def _check_letters(self, dead: Sequence[DeadLetter]) -> None:
        if dead and self.job.config.dead_letters is None:
            first = dead[0]
            raise StreamError(
                f"{first.topic}:{first.partition} offset {first.offset}: {first.reason}. To "
                "continue without such messages, configure a topic for them: [dead_letters]"
            )


def source_of(place: TopicPlace) -> str:
    """Return the name of a topic's partition in a state, such as "events:0"."""
    return f"{place[0]}:{place[1]}"


def _letter(message: Message, row: int, kind: Any, reason: str) -> DeadLetter:
    return DeadLetter(
        message.topic(),
        message.partition(),
        message.offset(),
        row,
        kind,
        reason,
        message.key(),
        message.value(),
    )
