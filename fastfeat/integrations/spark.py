"""Spark: plans fitted on a DataFrame, and its features as a DataFrame, on the executors of Spark.

Each pass of fit maps the partitions to states by `mapInArrow`, which shuffles bring together in a
tree; the driver receives one state a pass. What travels is data alone: the plan as JSON, what is
learnt, and tables, as bytes. Spark runs a task that failed again, and the bits are the same. Where
windows see other rows, one shuffle brings entities together, and what it gives is cached.

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
import weakref
from contextlib import suppress
from typing import Any, NamedTuple

from fastfeat.api.learning import Learning
from fastfeat.api.plan import FittedPlan, Plan
from fastfeat.calls.arguments import explaining_as
from fastfeat.errors import BackendUnavailable, TypeMismatch
from fastfeat.execute.call_rows import CallRows, call_rows
from fastfeat.execute.guard import columns_judged
from fastfeat.execute.history import is_batch
from fastfeat.execute.lookup_tables import Tables
from fastfeat.integrations.checks_on_workers import (
    held,
    rows_of_workers,
    rules_of,
    with_contract,
)
from fastfeat.integrations.exchange import (
    Exchange,
    Rows,
    exchange_of_fitted,
    exchange_of_learning,
    has_windows,
    history_schema,
    past_of_data,
)
from fastfeat.integrations.ids_on_workers import COUNTS, id_check, ids_read, tell_repeats
from fastfeat.integrations.library import library
from fastfeat.integrations.on_workers import (
    STATES,
    Training,
    Transform,
    begun,
    columns_learnt_from,
    columns_read,
    features_of,
    learn,
    training_of,
    transform_of,
)
from fastfeat.integrations.spark_tasks import (
    PIECES,
    CountsOfPart,
    FeaturesOfPart,
    Merge,
    Sent,
    StateOfPart,
    type_in_spark,
    whole,
)
from fastfeat.io.arrow import Schema, Table, pa, schema_with
from fastfeat.io.sources.read import read_table
from fastfeat.plan.declare.contract import ContractDeclaration
from fastfeat.trust.quality.checking import check_read
from fastfeat.trust.quality.contract import Contract
from fastfeat.trust.quality.profiling import Profiled
from fastfeat.trust.quality.report import CheckReport
from fastfeat.trust.quality.rows import CheckedRows

__all__ = ["check", "fit", "fit_transform", "transform"]

_types = library("pyspark.sql.pandas.types")
_PIECE_BYTES = 32 << 20
_MERGED_AT_ONCE = 4
"""States that one task merges, above the first level."""
_N_SLOTS = 8
"""Tasks of the first level of merging where the session does not say how many run at once."""
_ANOTHER_PYTHON = re.compile(
    "No module named '(fastfeat|numba|numpy|pandas|pyarrow)|"
    "PYTHON_VERSION_MISMATCH|PACKAGE_NOT_INSTALLED"
)
"""What Spark says where the Python of the executors is not that of the driver."""


@explaining_as("spark.", {})
def fit(
    plan: Plan,
    frame: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    contract: Contract | None = None,
    stable: FittedPlan | None = None,
    profile: Profiled = False,
    check_ids: bool = False,
) -> FittedPlan:
    """Return the plan fitted on all rows of a DataFrame: bit for bit that of `Plan.fit`.

    Args:
        plan: what is fitted.
        frame: a Spark DataFrame, which is computed once a pass, for the columns of the pass: one
            that samples at random, or takes long, is cached first. Times with a zone are of UTC.
            Where windows are learnt from it is computed once, and shuffled into as many partitions
            as `spark.sql.shuffle.partitions` says, each of which a worker has in memory; rows of an
            entity and one moment stand in the order of its partitions, where `tie=` does not say
            another.
        history: earlier rows, which windows that are learnt from see: a DataFrame, or as in
            `Plan.fit`.
        tables: as in `Plan.fit`; they are read on the driver, and go to each executor.
        contract: as in `Plan.fit`: the workers judge the rows first. Rows in messages have no
            numbers.
        stable: as in `Plan.fit`.
        profile: as in `Plan.fit`; with one, two more passes. Edges and categories come from the
            rows with the least hashes of their content, since rows have no numbers. Of features of
            windows it has counts where windows are learnt from, and by `fit_transform`.
        check_ids: whether rows of one `row_id` are looked for, for which the columns that the plan
            reads are exchanged once more, by the id.

    Raises:
        ContractBroken: rows break a rule of `contract` that does not only warn.
        InvalidData: with `check_ids`, a row without an id, or rows of one id that differ, or that
            windows see.
        InvalidPlan: folds are made of the number of a row, which a DataFrame has not; windows that
            are learnt from see entities that have no key in common, or the label looks ahead.
        TypeMismatch: it is no DataFrame.
        BackendUnavailable: the Python of the executors lacks fastfeat, or is of another version.
        FastfeatError: as `Plan.fit`. Of rows that fail one is told, not always the first.

    Warns:
        FastfeatWarning: as `Plan.fit`, but for `TiesInOrder`; `RowsRepeated` with `check_ids`.
    """
    given_rows = call_rows(frame, None, history, tables)
    kept = held(contract, lambda rules: _checked(rules, given_rows))
    learning, shares = _learnt(
        plan,
        given_rows,
        features=False,
        stable=stable,
        profile=profile,
        check_ids=check_ids,
    )
    if shares is not None:
        _given_up(shares.frame)
    return with_contract(learning.finish(), kept)


@explaining_as("spark.", {})
def transform(
    fitted: FittedPlan,
    frame: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    label: bool = False,
    on_violation: str | None = None,
) -> Any:
    """Return the features of the rows as a DataFrame, computed when it is read.

    Args:
        fitted: the plan.
        frame: a Spark DataFrame. The rows that were learnt from have their own labels in an
            encoding of these: train on those of `fit_transform`.
        history: earlier rows, which windows see: a DataFrame, or as in `FittedPlan.transform`.
        tables: as in `FittedPlan.transform`; they are read here.
        label: whether the label of the plan follows the features, under its name.
        on_violation: of rows that break a rule of the plan's contract, as in
            `FittedPlan.transform`, but they are not set apart.

    Returns:
        A DataFrame of as many rows; `keep=` columns tell them apart. Spark has no unsigned
        integers: uint8 is a short, uint16 an int, others a bigint. Times are of microseconds.

    Raises:
        InvalidPlan: windows see rows of entities that have no key in common; there is no label.
        TypeMismatch: it is no DataFrame.
        FastfeatError: as `FittedPlan.transform`, of columns and tables. Of values, Spark's own
            error when it is read, with the text.

    Warns:
        HistoryMissing: windows see other rows, and history is None.
    """
    schema, plan = _schema_of(frame), fitted.plan
    judged = columns_judged(fitted.record)
    rows = schema_with(schema, columns_read(plan, schema, label=label, judged=judged))
    if not has_windows(plan):
        return _features(
            frame, rows, transform_of(fitted, tables, label=label, on_violation=on_violation)
        )
    earlier = _earlier(plan, frame, history, training=False)
    past = past_of_data(history) if earlier is None else None
    of_history = None if earlier is None else earlier[1]
    n_shares = _n_shares(frame.sparkSession)
    exchange = exchange_of_fitted(fitted, tables, rows, of_history, n_shares)
    given = transform_of(fitted, tables, label=label, past=past, on_violation=on_violation)
    return _features(_exchanged(frame, earlier, exchange), rows, given, exchange)


@explaining_as("spark.", {})
def check(
    rules: Contract | FittedPlan,
    frame: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    clock: Any = None,
) -> CheckReport:
    """Return a report of the rules that the rows hold, counted on the workers, as `Contract.check`.

    Args:
        rules: a contract, or a fitted plan that has one, whose late columns need not be there.
        frame: as in `fit`.
        history: as in `fit`; windows in rules see it.
        tables: as in `fit`.
        clock: as in `Contract.check`.

    Raises:
        InvalidPlan: the plan has no contract; or as `fit`.
        TypeMismatch: neither a contract nor a fitted plan; or as `fit`.
        FastfeatError: as `Contract.check`.
    """
    contract, late = rules_of(rules)
    rows = _checked(contract, call_rows(frame, None, history, tables))
    return check_read(contract, rows, clock=clock, late=late)


@explaining_as("spark.", {})
def fit_transform(
    plan: Plan,
    frame: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    label: bool = False,
    contract: Contract | None = None,
    stable: FittedPlan | None = None,
    profile: Profiled = False,
    check_ids: bool = False,
) -> tuple[FittedPlan, Any]:
    """Return the fitted plan, and the features of the rows as a DataFrame: out of fold.

    Args:
        plan: what is fitted.
        frame: as in `fit`; where windows see other rows it is computed once, and shuffled, and what
            came of that stays cached as long as the features are there.
        history: as in `fit`.
        tables: as in `fit`.
        label: as in `transform`.
        contract: as in `fit`.
        stable: as in `Plan.fit`.
        profile: as in `fit`.
        check_ids: as in `fit`.

    Returns:
        The plan, and a DataFrame as of `transform`, in which the encodings of a row have learnt
        from other folds than its own, as in `Plan.fit_transform`.

    Raises:
        FastfeatError: as `fit` and `transform`.

    Warns:
        FastfeatWarning: as `Plan.fit_transform`, but for `TiesInOrder`.
    """
    schema = _schema_of(frame)
    columns = columns_read(plan, schema, label=label)
    given_rows = call_rows(frame, None, history, tables)
    kept = held(contract, lambda rules: _checked(rules, given_rows))
    learning, shares = _learnt(
        plan,
        given_rows,
        features=True,
        stable=stable,
        profile=profile,
        check_ids=check_ids,
    )
    given = training_of(learning, plan, label=label)
    fitted = with_contract(learning.finish(), kept)
    if shares is None:
        rows = schema_with(schema, dict.fromkeys([*learning.columns, *columns]))
        return fitted, _features(frame, rows, given)
    features = _features(shares.frame, shares.exchange.rows, given, shares.exchange)
    weakref.finalize(features, _given_up, shares.frame).atexit = False
    return fitted, features


def _checked(contract: ContractDeclaration, rows: CallRows) -> CheckedRows:
    """Return the rows of a frame, to be judged on the executors."""
    frame, schema = rows.data, _schema_of(rows.data)

    def learnt(plan: Plan) -> FittedPlan:
        learning, shares = _learnt(plan, rows, features=False)
        if shares is not None:
            _given_up(shares.frame)
        return learning.finish()

    def found(fitted: FittedPlan, flag: str, n: int | None) -> Table:
        past = "batch" if rows.history is None else rows.history
        features = transform(fitted, frame, history=past, tables=rows.tables)
        features = features.where(features["`" + flag + "`"])
        return (features if n is None else features.limit(n)).toArrow()

    return rows_of_workers(contract, schema, frame.count(), rows.tables, learnt, found)


def _given_up(frame: Any) -> None:
    """Give up what is cached of a frame, if its session is still there."""
    with suppress(Exception):  # the kinds of Spark differ by how it is connected
        frame.unpersist()


class _Shares(NamedTuple):
    """Rows that were exchanged.

    Args:
        frame: each of its partitions has the rows of some shares; it is cached.
        exchange: what is in them.
    """

    frame: Any
    exchange: Exchange


def _learnt(
    plan: Plan,
    rows: CallRows,
    *,
    features: bool,
    stable: FittedPlan | None = None,
    profile: Profiled = False,
    check_ids: bool = False,
) -> tuple[Learning[FittedPlan], _Shares | None]:
    """Return the learning after passes over a frame, and its rows where they were exchanged."""
    frame, schema = rows.data, _schema_of(rows.data)
    n_slots, in_spark = _n_slots(frame.sparkSession), _in_spark(PIECES)
    learning, is_exchanged = begun(
        plan, schema, rows.tables, features=features, stable=stable, profile=profile
    )
    if check_ids:
        _look_for_repeats(plan, frame, schema)
    shares: _Shares | None = None
    if is_exchanged:
        read = schema_with(schema, columns_learnt_from(plan, schema))
        earlier = _earlier(plan, frame, rows.history, training=True)
        of_history = None if earlier is None else earlier[1]
        n_shares = _n_shares(frame.sparkSession)
        exchange = exchange_of_learning(learning, read, of_history, n_shares)
        shares = _Shares(_exchanged(frame, earlier, exchange).persist(), exchange)

    def state_of_all(learning: Learning[FittedPlan]) -> Table:
        content, columns = learning.to_bytes(), learning.columns
        if shares is None:
            parts, given = _selected(frame, columns), schema_with(schema, columns)
        else:
            parts, given = shares.frame, shares.exchange
        part = StateOfPart(content, given, _PIECE_BYTES)
        states, width = parts.mapInArrow(part, in_spark), n_slots
        while True:
            together = states.repartitionById(width, "number")
            states = together.mapInArrow(Merge(content, _PIECE_BYTES), in_spark)
            if width == 1:
                return _collected(states)
            width = -(-width // _MERGED_AT_ONCE)

    try:
        return learn(learning, state_of_all), shares
    except BaseException:
        if shares is not None:
            _given_up(shares.frame)
        raise


def _look_for_repeats(plan: Plan, frame: Any, schema: Schema) -> None:
    """Warn of rows of one id, or raise, where the rows have ids."""
    rows = ids_read(plan, schema)
    if rows is None:
        return
    check = id_check(plan, rows, _n_shares(frame.sparkSession))
    shares = _exchanged(frame, None, check.exchange)
    found = _rows_of(shares.mapInArrow(CountsOfPart(check), _in_spark(COUNTS)))
    tell_repeats(check, [pa.Table.from_pylist([row.asDict() for row in found], COUNTS)])


def _earlier(plan: Plan, frame: Any, history: Any, *, training: bool) -> tuple[Any, Schema] | None:
    """Return a history as a frame, and the schema of what is read of it; None without one."""
    if history is None or is_batch(history):
        return None
    if not hasattr(history, "mapInArrow"):
        history = frame.sparkSession.createDataFrame(read_table(history))
    return history, history_schema(plan, _schema_of(history), training=training)


def _exchanged(frame: Any, earlier: tuple[Any, Schema] | None, exchange: Exchange) -> Any:
    """Return a frame of rows and of those of a history, whose partitions have whole shares."""
    in_spark = _in_spark(pa.schema([(f.name, type_in_spark(f.type)) for f in exchange.sent]))
    sent = _selected(frame, exchange.rows.names).mapInArrow(Sent(exchange, False), in_spark)
    if earlier is not None:
        past = _selected(earlier[0], earlier[1].names).mapInArrow(Sent(exchange, True), in_spark)
        sent = sent.unionAll(past)
    return sent.repartitionById(exchange.n_shares, "share")


def _n_shares(session: Any) -> int:
    """Return how many partitions a shuffle makes."""
    return int(session.conf.get("spark.sql.shuffle.partitions"))


def _collected(states: Any) -> Table:
    """Return the state that executors have merged; see `_rows_of`."""
    found = list(whole(_rows_of(states)))
    return found[0] if found else STATES.empty_table()


def _rows_of(frame: Any) -> list[Any]:
    """Return the few rows of a frame that executors compute.

    Raises:
        BackendUnavailable: they cannot import fastfeat.
    """
    try:
        return frame.collect()
    except Exception as error:  # the kinds of Spark differ by how it is connected
        if _ANOTHER_PYTHON.search(str(error)):
            raise BackendUnavailable(
                "the executors of Spark run a Python without fastfeat, or of another version than "
                "the driver: before the session starts, set the variable PYSPARK_PYTHON to the "
                "Python that has it, such as sys.executable"
            ) from error
        raise


def _features(
    frame: Any, rows: Schema, given: Transform | Training, exchange: Exchange | None = None
) -> Any:
    """Return a frame of features.

    Args:
        frame: the data, or one of shares.
        rows: the columns that are read.
        given: what is computed.
        exchange: what is in shares; None without.
    """
    none = features_of(given)(Rows(rows.empty_table()))
    wanted = pa.schema([pa.field(f.name, type_in_spark(f.type)) for f in none.schema])
    read = _selected(frame, rows.names) if exchange is None else frame
    features = FeaturesOfPart(given, exchange or rows, wanted)
    return read.mapInArrow(features, _in_spark(wanted))


def _in_spark(schema: Schema) -> Any:
    """Return a schema as Spark has it."""
    return _types.from_arrow_schema(schema, prefer_timestamp_ntz=True)


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
