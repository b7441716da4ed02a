"""Tasks of Spark: what its executors run, records of bytes whose classes they import.

A state travels in pieces, for values in Spark have 2 GiB at most. A process keeps what it has read
last, for the partitions to come.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fastfeat.api.learning import Learning
from fastfeat.integrations.exchange import Exchange, Rows, in_order, sent_rows
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
from fastfeat.io.columns.foreign import common_type, in_types

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
"""Of states in Spark, whose values have 2 GiB at most: the number of one, and a piece of it."""
_MOST_BYTES = 32 << 20
"""Of the rows that are learnt from, or transformed, at once: Spark's batches have 10,000 rows."""


def type_in_spark(given: DataType) -> DataType:
    """Return the Arrow type in which Spark holds a column."""
    types = pa.types
    if types.is_duration(given):
        return pa.duration("us")
    if types.is_dictionary(given):
        return type_in_spark(given.value_type)
    if types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given):
        return pa.list_(type_in_spark(given.value_type))
    return pa.time64("ns") if types.is_time(given) else common_type(given)


@dataclass(frozen=True)
class Sent:
    """The rows of a partition with their numbers and shares.

    Args:
        exchange: what is read of them.
        is_history: whether they are of a history.
    """

    exchange: Exchange
    is_history: bool

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield rows, some at a time."""
        read = self.exchange.history if self.is_history else self.exchange.rows
        assert read is not None
        part, first, sent = _context.TaskContext.get().partitionId(), 0, self.exchange.sent
        wanted = pa.schema([(field.name, type_in_spark(field.type)) for field in sent])
        for table in _tables(batches, read):
            found = sent_rows(self.exchange, table, part, first, is_history=self.is_history)
            first += table.num_rows
            yield from in_types(found, wanted, "Spark").to_batches()


@dataclass(frozen=True)
class StateOfPart:
    """The state of a partition.

    Args:
        learning: as bytes.
        given: the schema of the columns that the round reads, or what is in shares.
        most_bytes: of a piece of a state.
    """

    learning: bytes
    given: Schema | Exchange
    most_bytes: int

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the pieces of one state, or an error; none where there are no rows."""
        found = state_of_part(_learning_in(self.learning), _parts(batches, self.given))
        yield from _in_pieces(found, self.most_bytes)


@dataclass(frozen=True)
class CountsOfPart:
    """How many rows of a partition have the id of another, and how many there are.

    Args:
        check: what is looked for.
    """

    check: IdCheck

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the counts of the rows, or an error."""
        for share in _parts(batches, self.check.exchange):
            yield from counts_of_share(self.check, share).to_batches()


@dataclass(frozen=True)
class Merge:
    """The state of all states of a partition.

    Args:
        learning: as bytes.
        most_bytes: of a piece of a state.
    """

    learning: bytes
    most_bytes: int

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the pieces of one state, or an error; none where there are no states."""
        rows = (row for batch in batches for row in batch.to_pylist())
        found = merged_states(_learning_in(self.learning), whole(rows))
        yield from _in_pieces(found, self.most_bytes)


@dataclass(frozen=True)
class FeaturesOfPart:
    """The features of a partition.

    Args:
        given: computes them.
        read: the schema of the columns that are read, or what is in shares.
        wanted: of the features.
    """

    given: Transform | Training
    read: Schema | Exchange
    wanted: Schema

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield features, some rows at a time."""
        features = features_of(self.given)
        for part in _parts(batches, self.read):
            yield from in_types(features(part), self.wanted, "Spark").to_batches()


def _in_pieces(found: Table, most_bytes: int) -> Iterator[Any]:
    """Yield the pieces of a state, or an error, each in a batch: all of them may be too much."""
    number = _context.TaskContext.get().partitionId()
    for state, error in zip(found.column("state"), found.column("error"), strict=True):
        content = memoryview(state.as_buffer() or b"")
        firsts = range(0, max(len(content), 1), most_bytes)
        for k, first in enumerate(firsts):
            piece = bytes(content[first : first + most_bytes])
            columns = [[number], [k], [len(firsts)], [piece], [error.as_py()]]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, PIECES, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=PIECES)


def whole(rows: Iterable[Any]) -> Iterator[Table]:
    """Yield states, or errors, each as soon as its pieces are there."""
    waiting: dict[int, dict[int, bytes]] = {}
    for row in rows:
        pieces = waiting.setdefault(row["number"], {})
        pieces[row["piece"]] = row["state"]
        if len(pieces) == row["n_pieces"]:
            state = b"".join(pieces[k] for k in range(len(pieces)))
            del waiting[row["number"]]
            yield pa.table({"state": [state], "error": [row["error"]]}, STATES)


def _parts(batches: Iterable[Any], given: Schema | Exchange) -> Iterator[Rows]:
    """Yield rows: some batches each, or those of whole entities together."""
    if isinstance(given, Exchange):
        tables = [pa.Table.from_batches([batch]) for batch in batches]
        yield in_order(given, [in_types(table, given.sent, "Spark") for table in tables])
    else:
        for table in _tables(batches, given):
            yield Rows(table)


def _tables(batches: Iterable[Any], schema: Schema) -> Generator[Table]:
    """Yield tables of some batches each, with the names and types that the driver knows."""
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
    return in_types(pa.Table.from_batches(batches).rename_columns(schema.names), schema, "Spark")


@lru_cache(maxsize=1)
def _learning_in(content: bytes) -> Learning[Any]:
    return Learning.from_bytes(content)
