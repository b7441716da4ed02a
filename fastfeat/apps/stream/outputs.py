"""Outputs of a micro-batch (the events answered together), and the interface of their sinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.io.arrow import Table

Reason = Literal["unreadable", "schema", "late", "future", "outcome", "contract", "refused"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that cannot be read, or one of its rows that a state refuses.

    Args:
        topic: Topic of the message.
        partition: Partition of the message.
        offset: Offset of the message.
        row: Index of the row in the message; -1 for the whole message.
        kind: The reason in one word.
        reason: The reason in a sentence.
        key: Key of the message.
        value: Content of the message.
    """

    topic: str
    partition: int
    offset: int
    row: int
    kind: Reason
    reason: str
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs for a range of messages of one partition of the events.

    Args:
        topic: Topic of the messages.
        partition: Partition of the messages.
        first: First offset of the range.
        end: Offset after the range.
        artifact: Digest of the fitted plans, in hexadecimal.
        offsets: Message offset of each feature row, shape (n_rows,), int64.
        within: Index of each feature row in its message, shape (n_rows,), int64.
        times_ms: Message time in milliseconds since 1970, shape (n_rows,), int64.
        keys: Message key of each feature row.
        rows: The events, with the plans' column names, one per feature row.
        features: Features of the events, and columns that are passed through.
        dead: Messages and rows that were refused.
    """

    topic: str
    partition: int
    first: int
    end: int
    artifact: str
    offsets: NDArray[Any]
    within: NDArray[Any]
    times_ms: NDArray[Any]
    keys: Sequence[bytes | None]
    rows: Table
    features: Table
    dead: Sequence[DeadLetter]


class Sink(Protocol):
    """A target of outputs: a topic, files or a server.

    It gets the outputs of each partition in order; after a crash some arrive again.
    """

    def opened(self, partition: int) -> None:
        """Prepare for outputs of a partition that is now assigned to this member."""
        ...

    def put(self, outputs: Outputs, first: int) -> int:
        """Accept items (feature rows or dead letters) from index `first` on, if there is room.

        Returns how many items of these outputs were accepted in all calls; less than `size` if the
        sink is full or its server does not answer.
        """
        ...

    def size(self, outputs: Outputs) -> int:
        """Return the number of items that this sink takes: feature rows, or dead letters."""
        ...

    def flush(self, partition: int, end: int, wait_s: float) -> bool:
        """Wait up to `wait_s` seconds; return whether all accepted items of a partition are stored.

        `end` is the offset after the last message with outputs.
        """
        ...

    def close(self) -> None:
        """Close the sink.

        Items that are not stored are dropped; the next owner of the partition sends them again.
        """
        ...
