"""Spark: plans fitted on a DataFrame, and its features as a DataFrame, on the executors of Spark.

Each pass of fit maps the partitions to states by `mapInArrow`, which shuffles bring together in a
tree; the driver receives one state a pass. What travels is data alone: the plan as JSON, what is
learnt, and tables, as bytes. Spark runs a task that failed again, and the bits are the same.

The executors need fastfeat, in the Python of the driver: name it in the variable PYSPARK_PYTHON, or
in the configuration `spark.pyspark.python`, before the session starts; Spark takes the `python3` of
its path otherwise.

    from fastfeat.integrations import spark as ff_spark

    train = session.read.parquet("s3a://bucket/train")
    fitted, features = ff_spark.fit_transform(plan, train, label=True)  # encodings out of fold
    features.write.parquet("features")
    ff_spark.transform(fitted, session.read.parquet("s3a://bucket/later")).write.parquet("later")
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fastfeat.api.learning import Learning
from fastfeat.api.plan import FittedPlan, Plan
from fastfeat.arguments import explaining_as
from fastfeat.errors import BackendUnavailable, TypeMismatch
from fastfeat.integrations.library import library
from fastfeat.integrations.on_workers import (
    STATES,
    Training,
    Transform,
    check_no_windows,
    columns_read,
    features_of,
    learn,
    merged_states,
    state_of_part,
    training_of,
    transform_of,
)
from fastfeat.io.arrow import DataType, Schema, Table, pa
from fastfeat.io.columns.foreign import common_type, in_types
from fastfeat.plan.run.lookup_tables import Tables

__all__ = ["fit", "fit_transform", "transform"]

library("pyspark", "spark")
_types = library("pyspark.sql.pandas.types")
_STATES_IN_SPARK: Schema = pa.schema([("state", pa.binary()), ("error", pa.string())])
_MERGED_AT_ONCE = 4
"""States that one task merges, above the first level."""
_MOST_BYTES = 32 << 20
"""Of the rows that are learnt from, or transformed, at once: Spark's batches have 10,000 rows."""
_N_SLOTS = 8
"""Tasks of the first level of merging where the session does not say how many run at once."""
_ANOTHER_PYTHON = re.compile(
    "No module named '(fastfeat|numba|numpy|pandas|pyarrow)|"
    "PYTHON_VERSION_MISMATCH|PACKAGE_NOT_INSTALLED"
)
"""What Spark says where the Python of the executors is not that of the driver."""


@explaining_as("spark.", {})
def fit(plan: Plan, frame: Any, *, tables: Tables = None) -> FittedPlan:
    """Return the plan fitted on all rows of a DataFrame: bit for bit that of `Plan.fit`.

    Args:
        plan: what is fitted.
        frame: a Spark DataFrame, which is computed once a pass, for the columns of the pass: one
            that samples at random, or takes long, is cached first. Times with a zone are of UTC.
        tables: as in `Plan.fit`; they are read on the driver, and go to each executor.

    Raises:
        InvalidPlan: folds are made of the number of a row, which a DataFrame has not; windows are
            learnt from, or the label looks ahead.
        TypeMismatch: it is no DataFrame.
        BackendUnavailable: the Python of the executors lacks fastfeat, or is of another version.
        FastfeatError: as `Plan.fit`. Of rows that fail one is told, not always the first.

    Warns:
        FastfeatWarning: as `Plan.fit`.
    """
    return _learnt(plan, frame, tables).finish()


@explaining_as("spark.", {})
def transform(fitted: FittedPlan, frame: Any, *, tables: Tables = None, label: bool = False) -> Any:
    """Return the features of the rows as a DataFrame, computed when it is read.

    Args:
        fitted: the plan.
        frame: a Spark DataFrame. The rows that were learnt from have their own labels in an
            encoding of these: train on those of `fit_transform`.
        tables: as in `FittedPlan.transform`; they are read here.
        label: whether the label of the plan follows the features, under its name.

    Returns:
        A DataFrame of as many rows; `keep=` columns tell them apart. Spark has no unsigned
        integers: uint8 is a short, uint16 an int, others a bigint. Times are of microseconds.

    Raises:
        InvalidPlan: a feature sees other rows, `transform_to` computes it of files; there is no
            label.
        TypeMismatch: it is no DataFrame.
        FastfeatError: as `FittedPlan.transform`, of columns and tables. Of values, Spark's own
            error when it is read, with the text.
    """
    schema = _schema_of(frame)
    given = transform_of(fitted, tables, label=label)
    return _features(frame, schema, columns_read(fitted.plan, schema, label=label), given)


@explaining_as("spark.", {})
def fit_transform(
    plan: Plan, frame: Any, *, tables: Tables = None, label: bool = False
) -> tuple[FittedPlan, Any]:
    """Return the fitted plan, and the features of the rows as a DataFrame: out of fold.

    Args:
        plan: what is fitted.
        frame: as in `fit`.
        tables: as in `fit`.
        label: as in `transform`.

    Returns:
        The plan, and a DataFrame as of `transform`, in which the encodings of a row have learnt
        from other folds than its own, as in `Plan.fit_transform`.

    Raises:
        FastfeatError: as `fit` and `transform`.

    Warns:
        FastfeatWarning: as `Plan.fit_transform`.
    """
    check_no_windows(plan)
    schema = _schema_of(frame)
    columns = columns_read(plan, schema, label=label)
    learning = _learnt(plan, frame, tables)
    given = training_of(learning, plan, label=label)
    columns = list(dict.fromkeys([*learning.columns, *columns]))
    return learning.finish(), _features(frame, schema, columns, given)


def _learnt(plan: Plan, frame: Any, tables: Tables) -> Learning[FittedPlan]:
    """Return the learning after passes over a frame."""
    schema, n_slots = _schema_of(frame), _n_slots(frame.sparkSession)
    in_spark = _types.from_arrow_schema(_STATES_IN_SPARK, prefer_timestamp_ntz=True)

    def state_of_all(learning: Learning[FittedPlan]) -> Table:
        content, columns = learning.to_bytes(), learning.columns
        read = pa.schema([schema.field(name) for name in columns])
        part = _StateOfPart(content, read)
        states, width = _selected(frame, columns).mapInArrow(part, in_spark), n_slots
        while True:
            states = states.repartition(width).mapInArrow(_Merge(content), in_spark)
            if width == 1:
                return _collected(states)
            width = -(-width // _MERGED_AT_ONCE)

    return learn(plan, schema, tables, state_of_all)


def _collected(states: Any) -> Table:
    """Return the state that executors have merged.

    Raises:
        BackendUnavailable: they cannot import fastfeat.
    """
    try:
        rows = states.collect()
    except Exception as error:  # the kinds of Spark differ by how it is connected
        if _ANOTHER_PYTHON.search(str(error)):
            raise BackendUnavailable(
                "the executors of Spark run a Python without fastfeat, or of another version than "
                "the driver: before the session starts, set the variable PYSPARK_PYTHON to the "
                "Python that has it, such as sys.executable"
            ) from error
        raise
    found = {name: [row[name] for row in rows] for name in STATES.names}
    return pa.table(found, STATES)


def _features(frame: Any, schema: Schema, columns: list[str], given: Transform | Training) -> Any:
    """Return a frame of features."""
    read = pa.schema([schema.field(name) for name in columns])
    none = features_of(given)(read.empty_table())
    wanted = pa.schema([pa.field(f.name, _type_in_spark(f.type)) for f in none.schema])
    in_spark = _types.from_arrow_schema(wanted, prefer_timestamp_ntz=True)
    features = _FeaturesOfPart(given, read, wanted)
    return _selected(frame, columns).mapInArrow(features, in_spark)


def _n_slots(session: Any) -> int:
    """Return how many tasks run at once."""
    try:
        return session.sparkContext.defaultParallelism
    except Exception:  # a session of Spark Connect has no context, and says so by its own errors
        return _N_SLOTS


def _selected(frame: Any, columns: list[str]) -> Any:
    """Return columns of a frame, numbered: to Spark a dot in a name means a field."""
    quoted = ["`" + name.replace("`", "``") + "`" for name in columns]
    return frame.select(*(frame[name].alias(f"_{at}") for at, name in enumerate(quoted)))


def _schema_of(frame: Any) -> Schema:
    """Return the Arrow schema of a frame; times with a zone are of UTC.

    Raises:
        TypeMismatch: it is no DataFrame.
    """
    if not hasattr(frame, "mapInArrow"):
        raise TypeMismatch(
            f"takes a DataFrame of Spark, got {type(frame).__name__}. "
            "session.createDataFrame(table) makes one"
        )
    return pa.schema([_of_utc(field) for field in frame.limit(0).toArrow().schema])


def _of_utc(field: Any) -> Any:
    """Return a field of the driver; the zone of the session has no part in what is learnt."""
    if pa.types.is_timestamp(field.type) and field.type.tz is not None:
        return pa.field(field.name, pa.timestamp(field.type.unit, "UTC"))
    return pa.field(field.name, field.type)


def _type_in_spark(given: DataType) -> DataType:
    """Return the Arrow type in which Spark holds a column."""
    types = pa.types
    if types.is_duration(given):
        return pa.duration("us")
    if types.is_dictionary(given):
        return _type_in_spark(given.value_type)
    if types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given):
        return pa.list_(_type_in_spark(given.value_type))
    return pa.time64("ns") if types.is_time(given) else common_type(given)


# What executors run: records of bytes, whose classes they import. A process keeps what it has read
# last, for the partitions to come.


@dataclass(frozen=True)
class _StateOfPart:
    """The state of a partition.

    Args:
        learning: as bytes.
        schema: of the columns that the round reads.
    """

    learning: bytes
    schema: Schema

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield one state, or an error; none where there are no rows."""
        found = state_of_part(_learning_in(self.learning), _tables(batches, self.schema))
        yield from in_types(found, _STATES_IN_SPARK, "Spark").to_batches()


@dataclass(frozen=True)
class _Merge:
    """The state of all states of a partition.

    Args:
        learning: as bytes.
    """

    learning: bytes

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield one state, or an error; none where there are no states."""
        given = (pa.Table.from_batches([batch]) for batch in batches)
        found = merged_states(_learning_in(self.learning), given)
        yield from in_types(found, _STATES_IN_SPARK, "Spark").to_batches()


@dataclass(frozen=True)
class _FeaturesOfPart:
    """The features of a partition.

    Args:
        given: computes them.
        schema: of the columns that are read.
        wanted: of the features.
    """

    given: Transform | Training
    schema: Schema
    wanted: Schema

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield features, some rows at a time."""
        features = features_of(self.given)
        for table in _tables(batches, self.schema):
            yield from in_types(features(table), self.wanted, "Spark").to_batches()


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
