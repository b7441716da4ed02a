"""Tasks for Spark's executors: picklable objects of bytes and schemas, called on partitions.

A state (the statistics of some rows in one round of fit) travels in pieces, because a value in
Spark has at most 2 GiB. Each process caches the last `Learning` that it decoded, for its next
partitions.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from functools import lru_cache
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.api.learning import Learning
from fastfeat.integrations.exchange import Exchange, RowsWithHistory, restore_order, sent_rows
from fastfeat.integrations.ids_on_workers import IdCheck, counts_of_share
from fastfeat.integrations.library import library
from fastfeat.integrations.on_workers import (
    STATES,
    Training,
    Transform,
    features_of,
    merged_states,
    state_of_part,
)
from fastfeat.io.arrow import DataType, Schema, Table, pa
from fastfeat.io.columns.common_types import cast_to_schema, common_type

library("pyspark", "spark")
_context = library("pyspark.taskcontext")
PIECES: Schema = pa.schema(
    [
        ("number", pa.int32()),
        ("piece", pa.int32()),
        ("n_pieces", pa.int32()),
        ("state", pa.binary()),
        ("error", pa.string()),
    ]
)
"""The schema of pieces of states in Spark, where a value has at most 2 GiB."""
_MOST_BYTES = 32 << 20
"""The bytes of rows to learn from or transform at once: Spark's own batches have 10,000 rows."""


def type_in_spark(given: DataType) -> DataType:
    """Return the Arrow type that a column has after a round trip through Spark."""
    types = pa.types
    if types.is_duration(given):
        return pa.duration("us")
    if types.is_dictionary(given):
        return type_in_spark(given.value_type)
    if types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given):
        return pa.list_(type_in_spark(given.value_type))
    return pa.time64("ns") if types.is_time(given) else common_type(given)


@dataclass(frozen=True)
class SendRows:
    """The task that adds row numbers and share numbers to the rows of a partition."""

    exchange: Exchange
    is_history: bool

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the rows of a partition in the schema of the exchange."""
        read = self.exchange.history if self.is_history else self.exchange.rows
        assert read is not None
        part, first, sent = _context.TaskContext.get().partitionId(), 0, self.exchange.sent
        wanted = pa.schema([(field.name, type_in_spark(field.type)) for field in sent])
        for table in _tables(batches, read):
            found = sent_rows(self.exchange, table, part, first, is_history=self.is_history)
            first += table.num_rows
            yield from cast_to_schema(found, wanted, "Spark").to_batches()


@dataclass(frozen=True)
class StateOfPart:
    """The task that computes the state of a partition in one round of fit.

    Args:
        learning: The `Learning` of the round, as bytes.
        given: The schema of the columns that the round reads, or the exchange that made the shares.
        most_bytes: The maximum size of a piece of a state.
    """

    learning: bytes
    given: Schema | Exchange
    most_bytes: int

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the pieces of the partition's state, or an error; nothing if there are no rows."""
        found = state_of_part(_learning_in(self.learning), _parts(batches, self.given))
        yield from _in_pieces(found, self.most_bytes)


@dataclass(frozen=True)
class CountsOfPart:
    """The task that counts the rows of a partition, and those that repeat an id."""

    check: IdCheck

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield a row of counts for the partition, or an error."""
        for share in _parts(batches, self.check.exchange):
            yield from counts_of_share(self.check, share).to_batches()


@dataclass(frozen=True)
class Merge:
    """The task that merges all states in a partition into one.

    Args:
        learning: The `Learning` of the round, as bytes.
        most_bytes: The maximum size of a piece of a state.
    """

    learning: bytes
    most_bytes: int

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the pieces of the merged state, or an error; nothing if there are no states."""
        rows = (row for batch in batches for row in batch.to_pylist())
        found = merged_states(_learning_in(self.learning), join_pieces(rows))
        yield from _in_pieces(found, self.most_bytes)


@dataclass(frozen=True)
class FeaturesOfPart:
    """The task that computes the features of the rows in a partition.

    Args:
        given: The fitted plan, or the finished fit, that computes them.
        read: The schema of the columns that are read, or the exchange that made the shares.
        wanted: The schema of the features.
    """

    given: Transform | Training
    read: Schema | Exchange
    wanted: Schema

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield batches of features, in the order of the rows."""
        features = features_of(self.given)
        for part in _parts(batches, self.read):
            yield from cast_to_schema(features(part), self.wanted, "Spark").to_batches()


def _in_pieces(found: Table, most_bytes: int) -> Iterator[Any]:
    """Yield a state in pieces, each as a batch of one row, or an error as one piece.

    One batch of the whole state might be too large for Spark.
    """
    number = _context.TaskContext.get().partitionId()
    for state, error in zip(found.column("state"), found.column("error"), strict=True):
        content = memoryview(state.as_buffer() or b"")
        firsts = range(0, max(len(content), 1), most_bytes)
        for k, first in enumerate(firsts):
            piece = bytes(content[first : first + most_bytes])
            columns = [[number], [k], [len(firsts)], [piece], [error.as_py()]]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, PIECES, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=PIECES)


def join_pieces(rows: Iterable[Any]) -> Iterator[Table]:
    """Yield a table with a state, or an error, as soon as all of its pieces have arrived."""
    waiting: dict[int, dict[int, bytes]] = {}
    for row in rows:
        pieces = waiting.setdefault(row["number"], {})
        pieces[row["piece"]] = row["state"]
        if len(pieces) == row["n_pieces"]:
            state = b"".join(pieces[k] for k in range(len(pieces)))
            del waiting[row["number"]]
            yield pa.table({"state": [state], "error": [row["error"]]}, STATES)


def _parts(batches: Iterable[Any], given: Schema | Exchange) -> Iterator[RowsWithHistory]:
    """Yield the rows of a partition: a few batches at a time, or with an exchange all at once."""
    if isinstance(given, Exchange):
        tables = [pa.Table.from_batches([batch]) for batch in batches]
        yield restore_order(given, [cast_to_schema(table, given.sent, "Spark") for table in tables])
    else:
        for table in _tables(batches, given):
            yield RowsWithHistory(table)


def _tables(batches: Iterable[Any], schema: Schema) -> Generator[Table]:
    """Yield a few batches at a time as a table, with the names and types that the driver uses."""
    waiting: list[Any] = []
    n_bytes = 0
    for batch in batches:
        waiting.append(batch)
        n_bytes += batch.nbytes
        if n_bytes >= _MOST_BYTES:
            yield _named(waiting, schema)
            waiting, n_bytes = [], 0
    if waiting:
        yield _named(waiting, schema)


def _named(batches: list[Any], schema: Schema) -> Table:
    return cast_to_schema(
        pa.Table.from_batches(batches).rename_columns(schema.names), schema, "Spark"
    )


@lru_cache(maxsize=1)
def _learning_in(content: bytes) -> Learning[Any]:
    return Learning.from_bytes(content)
