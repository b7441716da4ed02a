"""Answers of a stream, read back from its topic, and their bits that differ from training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastfeat.apps.stream.config import Kafka
from fastfeat.apps.stream.kafka import Consumer
from fastfeat.apps.stream.to_kafka import OFFSET, ROW
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, pa

_POLLED = 1_000
_PERIOD_S = 0.05
_QUIET_POLLS = 4


@dataclass(slots=True)
class Answers:
    """The answers in order of arrival, including repeats.

    Args:
        consumer: Consumer of the topic.
        tables: Their features, a micro-batch each.
        offsets: Offsets of the events that each table answers.
        end: Offset after the last answered event.
    """

    consumer: Consumer
    tables: list[Table] = field(default_factory=list[Table])
    offsets: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])
    end: int = 0

    def read(self) -> None:
        """Read the answers that have arrived, after waiting for a moment."""
        for message in self.consumer.poll(_POLLED, _PERIOD_S):
            table = pa.ipc.open_stream(message.value()).read_all()
            offsets = table[OFFSET].to_numpy()
            self.offsets.append(offsets)
            self.tables.append(table.drop_columns([OFFSET, ROW]))
            self.end = max(self.end, int(offsets[-1]) + 1)

    def read_rest(self) -> None:
        """Read answers until nothing has arrived for a moment."""
        n_tables = -1
        while n_tables < len(self.tables):
            n_tables = len(self.tables)
            for _ in range(_QUIET_POLLS):
                self.read()

    def close(self) -> None:
        """Close the consumer."""
        self.consumer.close()


def answers_of(brokers: str, topic: str) -> Answers:
    """Return the answers of a topic, none of them read yet."""
    consumer = Consumer(Kafka(brokers), "fastfeat-demo")
    consumer.read({(topic, 0): 0})
    return Answers(consumer)


@dataclass(frozen=True, slots=True)
class Compared:
    """Answers beside the features of training.

    Args:
        n_rows: Number of answered events.
        n_repeated: Number of repeated answers.
        n_bits: Number of differing bits, including repeats.
    """

    n_rows: int
    n_repeated: int
    n_bits: int


def compared(answers: Answers, expected: Table) -> Compared:
    """Return a comparison of the answers with features of all events.

    An event's offset is its row in `expected`, the features of training. FastfeatError if an event
    was not answered.
    """
    offsets = np.concatenate(answers.offsets)
    n_rows = len(np.unique(offsets))
    if n_rows != expected.num_rows:
        raise FastfeatError(
            f"{n_rows:,} of {expected.num_rows:,} events were answered by the stream"
        )
    found = pa.concat_tables(answers.tables)
    return Compared(
        n_rows, len(offsets) - n_rows, bits_apart(expected.take(pa.array(offsets)), found)
    )


def bits_apart(expected: Table, found: Table) -> int:
    """Return the number of bits that differ in two tables; a value missing in one counts as one.

    FastfeatError if columns, types or numbers of rows differ.
    """
    if expected.schema.names != found.schema.names or expected.num_rows != found.num_rows:
        raise FastfeatError(
            f"features {found.schema.names} of {found.num_rows:,} rows are no "
            f"{expected.schema.names} of {expected.num_rows:,}"
        )
    n_bits = 0
    for name in expected.column_names:
        (one, in_one), (other, in_other) = (_bits(table, name) for table in (expected, found))
        if one.dtype != other.dtype:
            raise FastfeatError(f"feature {name!r} is {other.dtype}, and {one.dtype} in training")
        n_bits += int((in_one != in_other).sum())
        n_bits += int(np.bitwise_count((one ^ other)[in_one & in_other]).sum())
    return n_bits


def _bits(table: Table, name: str) -> tuple[NDArray[np.unsignedinteger], NDArray[np.bool_]]:
    """Return the bits of the values of a column, and a mask of present values."""
    column = table[name].combine_chunks()
    is_there = column.is_valid().to_numpy(zero_copy_only=False)
    kind = column.type
    plain = pa.int8() if pa.types.is_boolean(kind) else kind
    values = column.cast(plain).fill_null(0).to_numpy(zero_copy_only=False)
    return values.view(f"u{values.dtype.itemsize}"), is_there
