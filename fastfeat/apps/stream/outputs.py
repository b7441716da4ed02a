"""Outputs of a micro-batch: features and where they come from, and what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from fastfeat.io.arrow import Table

Reason = Literal["unreadable", "schema", "late", "future", "outcome", "contract", "refused"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, or a row of one, that cannot be taken.

    Args:
        topic: that it came from.
        partition: of the topic.
        offset: of the message.
        row: number of the row in the message; -1 for all of it.
        kind: what it is refused for, in a word.
        reason: the same in a sentence.
        key: of the message.
        value: content of the message.
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
    """The outputs of the messages of a partition between two offsets.

    Args:
        topic: that they came from.
        partition: of the topic.
        first: the first offset.
        end: the offset after the last one.
        artifact: digest of the fitted plans, as hexadecimal text.
        offsets: of each row of the features that of its message, shape (n_rows,), int64.
        within: its number in its message, shape (n_rows,), int64.
        times_ms: the message's time in milliseconds since 1970, shape (n_rows,), int64.
        keys: the message's key.
        rows: the events, as the columns of the plans.
        features: what is served for them.
        dead: what cannot be taken.
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
    """A target of outputs. Each partition's come in order, and some of them again after a crash."""

    def opened(self, partition: int) -> None:
        """Take a partition that comes to this member."""
        ...

    def put(self, outputs: Outputs, first: int) -> int:
        """Take what there is room for.

        Args:
            outputs: of a micro-batch.
            first: how much of them was taken before: rows, or what else this sink counts.

        Returns:
            How much of them is taken now; less than all where it is full, or the server away.
        """
        ...

    def size(self, outputs: Outputs) -> int:
        """Return the amount that there is to take of some outputs."""
        ...

    def flush(self, partition: int, end: int, wait_s: float) -> bool:
        """Return whether all that was taken of a partition is where it belongs.

        Args:
            partition: its number.
            end: the offset after the last message that outputs were taken of.
            wait_s: how long to wait for it, in seconds.
        """
        ...

    def close(self) -> None:
        """End; what is not where it belongs is forgotten, and made again by whoever goes on."""
        ...
