"""Sinks that send features and dead letters to Kafka topics, with their origin in message headers.

Headers of features: `fastfeat.topic`, `fastfeat.partition` and `fastfeat.offset` of the event, as
text; `fastfeat.row` if the event's message has more than one row; and `fastfeat.artifact`, the
digest of the fitted plans. An Arrow message holds a micro-batch: offsets and rows are its columns
`fastfeat.offset` and `fastfeat.row`, and the other headers apply to all its rows.

Headers of dead letters: `fastfeat.topic`, `fastfeat.partition`, `fastfeat.offset`, `fastfeat.row`
(-1 for the whole message), `fastfeat.kind` ("unreadable", "schema", "late", "future", "outcome",
"contract", "refused") and `fastfeat.reason`. Key and value are copied from the message. If they are
larger than a message may be, the letter has neither, and the header `fastfeat.bytes` has their
size.
"""

from __future__ import annotations

from fastfeat.apps.stream.json_features import json_rows
from fastfeat.apps.stream.kafka import Producer
from fastfeat.apps.stream.outputs import Outputs
from fastfeat.io.arrow import Table, pa

OFFSET, ROW = "fastfeat.offset", "fastfeat.row"
_ARROW_BYTES = 512 << 10
"""Approximate size of an Arrow message; brokers accept 1 MiB by default."""
_LONGEST_REASON = 1000
_BESIDE_BYTES = 1000
"""Upper bound of the overhead of a message, without its key, value and headers."""


class ToKafka:
    """A sink that sends features to a topic.

    Args:
        producer: Sends the messages.
        topic: Output topic.
        n_partitions: Number of partitions of the output topic.
        is_arrow: True for one Arrow message per micro-batch, False for one JSON message per row.
    """

    def __init__(self, producer: Producer, topic: str, n_partitions: int, is_arrow: bool) -> None:
        self._producer, self._topic, self._n_partitions = producer, topic, n_partitions
        self._is_arrow = is_arrow

    def opened(self, partition: int) -> None:
        """Do nothing: a topic needs no preparation."""

    def size(self, outputs: Outputs) -> int:
        """Return the number of feature rows."""
        return outputs.features.num_rows

    def put(self, outputs: Outputs, first: int) -> int:
        """Send rows from `first` on while the buffer has room; return how many are sent in all."""
        self._producer.check()
        return self._arrow(outputs, first) if self._is_arrow else self._json(outputs, first)

    def flush(self, partition: int, end: int, wait_s: float) -> bool:
        """Return whether the broker has all sent rows."""
        return self._producer.flush(wait_s)

    def close(self) -> None:
        """Do nothing: the stream closes the producer."""

    def _json(self, outputs: Outputs, first: int) -> int:
        send, topic, to = self._producer.send, self._topic, self._to(outputs)
        values = json_rows(outputs.features.slice(first))
        of_all = _common_headers(outputs)
        offsets, within = outputs.offsets[first:].tolist(), outputs.within[first:].tolist()
        for at, (value, offset, row) in enumerate(zip(values, offsets, within, strict=True)):
            headers = [*of_all, (OFFSET, b"%d" % offset)]
            if row:
                headers.append((ROW, b"%d" % row))
            if not send(topic, to, outputs.keys[first + at], value, headers):
                return first + at
        return outputs.features.num_rows

    def _arrow(self, outputs: Outputs, first: int) -> int:
        n_rows = outputs.features.num_rows
        if not n_rows:
            return 0
        n_each = max(1, n_rows * _ARROW_BYTES // max(1, outputs.features.nbytes + 16 * n_rows))
        while first < n_rows:
            part = _with_offsets(outputs, first, n_each)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, part.schema) as writer:
                writer.write_table(part)
            value = sink.getvalue().to_pybytes()
            if not self._producer.send(
                self._topic, self._to(outputs), None, value, _common_headers(outputs)
            ):
                return first
            first += part.num_rows
        return n_rows

    def _to(self, outputs: Outputs) -> int:
        return outputs.partition % self._n_partitions


class DeadLetters:
    """A sink that sends refused messages and rows (dead letters) to a topic."""

    def __init__(self, producer: Producer, topic: str, n_partitions: int) -> None:
        self._producer, self._topic, self._n_partitions = producer, topic, n_partitions

    def opened(self, partition: int) -> None:
        """Do nothing: a topic needs no preparation."""

    def size(self, outputs: Outputs) -> int:
        """Return the number of dead letters."""
        return len(outputs.dead)

    def put(self, outputs: Outputs, first: int) -> int:
        """Send letters from `first` on while the buffer has room; return the number sent in all."""
        for at, letter in enumerate(outputs.dead[first:]):
            headers = [
                ("fastfeat.topic", letter.topic.encode()),
                ("fastfeat.partition", b"%d" % letter.partition),
                (OFFSET, b"%d" % letter.offset),
                (ROW, b"%d" % letter.row),
                ("fastfeat.kind", letter.kind.encode()),
                ("fastfeat.reason", letter.reason[:_LONGEST_REASON].encode()),
            ]
            key, value = letter.key, letter.value or b""
            n_bytes = len(key or b"") + len(value)
            n_beside = _BESIDE_BYTES + sum(len(name) + len(told) for name, told in headers)
            if n_bytes + n_beside > self._producer.largest:
                headers.append(("fastfeat.bytes", b"%d" % n_bytes))
                key, value = None, b""
            to = letter.partition % self._n_partitions  # in order of the source's offsets
            if not self._producer.send(self._topic, to, key, value, headers):
                return first + at
        return len(outputs.dead)

    def flush(self, partition: int, end: int, wait_s: float) -> bool:
        """Return whether the broker has all sent letters."""
        return self._producer.flush(wait_s)

    def close(self) -> None:
        """Do nothing: the stream closes the producer."""


def _common_headers(outputs: Outputs) -> list[tuple[str, bytes]]:
    return [
        ("fastfeat.topic", outputs.topic.encode()),
        ("fastfeat.partition", b"%d" % outputs.partition),
        ("fastfeat.artifact", outputs.artifact.encode()),
    ]


def _with_offsets(outputs: Outputs, first: int, n_rows: int) -> Table:
    """Return rows of features, with each row's message offset, and its index in the message."""
    part = outputs.features.slice(first, n_rows)
    offsets = pa.array(outputs.offsets[first : first + n_rows], pa.int64())
    within = pa.array(outputs.within[first : first + n_rows], pa.int64())
    return part.append_column(OFFSET, offsets).append_column(ROW, within)
