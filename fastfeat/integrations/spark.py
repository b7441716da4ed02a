"""Spark: fit a plan on a DataFrame, and compute its features as a DataFrame, on the executors.

Each pass of fit maps the partitions to states by `mapInArrow`, and shuffles merge these in a tree;
the driver receives one state per pass. Only data travels: the plan as JSON, and learned values and
tables as bytes. Spark repeats a failed task, and the bits stay the same. If windows see other rows,
one shuffle brings the rows of each entity together, and its result is cached.

The executors need fastfeat, in the same Python as the driver. Name that Python before the
session starts, in the variable PYSPARK_PYTHON or in the configuration `spark.pyspark.python`;
otherwise Spark takes the `python3` of its path.

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
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import BackendUnavailable, TypeMismatch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.guard import guarded_columns
from fastfeat.execute.history import is_batch
from fastfeat.execute.lookup_tables import Tables
from fastfeat.integrations.checks_on_workers import (
    check_before_fit,
    rows_of_workers,
    rules_of,
    with_contract,
)
from fastfeat.integrations.exchange import (
    Exchange,
    RowsWithHistory,
    exchange_of_fitted,
    exchange_of_learning,
    has_windows,
    history_schema,
    past_of_data,
)
from fastfeat.integrations.ids_on_workers import COUNTS, id_check, id_schema, warn_repeated_ids
from fastfeat.integrations.library import library
from fastfeat.integrations.on_workers import (
    STATES,
    Training,
    Transform,
    feature_columns,
    features_of,
    learn,
    start_engine_learning,
    training_columns,
    training_of,
    transform_of,
)
from fastfeat.integrations.spark_tasks import (
    PIECES,
    CountsOfPart,
    FeaturesOfPart,
    Merge,
    SendRows,
    StateOfPart,
    join_pieces,
    type_in_spark,
)
from fastfeat.io.arrow import Schema, Table, pa, schema_with
from fastfeat.io.sources.read import read_table
from fastfeat.plan.declare.contract import ContractDeclaration
from fastfeat.trust.quality.checking import check_loaded_rows
from fastfeat.trust.quality.contract import Contract
from fastfeat.trust.quality.profiling import ProfileChoice
from fastfeat.trust.quality.report import CheckReport
from fastfeat.trust.quality.rows import CheckedRows

__all__ = ["check", "fit", "fit_transform", "transform"]

_types = library("pyspark.sql.pandas.types")
_PIECE_BYTES = 32 << 20
_MERGED_AT_ONCE = 4
"""The number of states that one task merges, above the first level."""
_N_SLOTS = 8
"""The number of tasks in the first level of merging if the session has no known parallelism."""
_ANOTHER_PYTHON = re.compile(
    "No module named '(fastfeat|numba|numpy|pandas|pyarrow)|"
    "PYTHON_VERSION_MISMATCH|PACKAGE_NOT_INSTALLED"
)
"""The text of Spark's error if the executors run another Python than the driver."""


@with_argument_errors_as("spark.", {})
def fit(
    plan: Plan,
    frame: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    contract: Contract | None = None,
    stable: FittedPlan | None = None,
    profile: ProfileChoice = False,
    check_ids: bool = False,
) -> FittedPlan:
    """Return the plan fitted on all rows of a DataFrame, bit for bit the same as by `Plan.fit`.

    Args:
        plan: The plan to fit.
        frame: A Spark DataFrame. It is computed once per pass, for the columns of that pass: cache
            it first if it samples at random or is slow. Times with a zone become UTC. If the plan
            learns from windows, the frame is computed once and shuffled into
            `spark.sql.shuffle.partitions` partitions, and a worker holds a whole partition in
            memory; rows of an entity with equal times keep the order of the frame's partitions,
            unless `tie=` gives another order.
        history: Earlier rows, if the plan learns from windows, which see them: a DataFrame of
            Spark, or any form that `Plan.fit` takes.
        tables: Lookup tables by name, in any form that `Plan.fit` takes. They are read on the
            driver and sent to each executor.
        contract: Rules that the rows must satisfy. The workers check them first, and the fitted
            plan keeps them. Messages about rows have no row numbers.
        stable: An earlier fit, of this or another plan. Its categories keep their codes, and new
            categories get the next codes.
        profile: Whether the fitted plan keeps a profile (counts of values) of these rows, with
            which `drift` and `report` compare later rows: True for inputs and features, "inputs"
            for inputs only. It takes two more passes. Because rows have no numbers, bin edges and
            categories come from the rows with the smallest hashes of their content. Features with
            windows are only counted if the plan learns from windows, or by `fit_transform`.
        check_ids: Whether to look for rows with the same `row_id`. The columns that the plan reads
            are then exchanged once more, by id.

    Raises:
        ContractBroken: Rows break a rule of `contract` that does more than warn.
        InvalidData: With `check_ids`: a row without an id, or rows with the same id that differ or
            that windows see.
        InvalidPlan: Folds are assigned by row number, which a DataFrame does not have; the plan
            learns from windows of entities that have no key in common; or the label is computed
            from later rows.
        TypeMismatch: `frame` is not a DataFrame of Spark.
        BackendUnavailable: The Python of the executors lacks fastfeat, or has another version.
        FastfeatError: Any error of `Plan.fit`. If several rows fail, the message is about one of
            them, not always the first.

    Warns:
        FastfeatWarning: Any warning of `Plan.fit` except `TiesInOrder`; `RowsRepeated` with
            `check_ids`.
    """
    given_rows = CallRows(frame, None, history, tables)
    kept = check_before_fit(contract, lambda rules: _checked(rules, given_rows))
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


@with_argument_errors_as("spark.", {})
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
        fitted: The fitted plan.
        frame: A Spark DataFrame. Target encodings of training rows would contain their own labels:
            train a model on the features of `fit_transform`.
        history: Earlier rows of the same entities, which windows see: a DataFrame of Spark, or any
            form that `FittedPlan.transform` takes. "batch" declares that `frame` contains its own
            past.
        tables: Lookup tables by name, in any form that `FittedPlan.transform` takes. They are read
            at once, on the driver.
        label: Whether to append the label of the plan after the features, under its own name.
        on_violation: The treatment of rows that break a rule of the plan's contract; rules that
            only warn are not affected. None uses the setting of each rule; "reject" raises an
            error; "warn" warns; "ignore" checks no row at all.

    Returns:
        A DataFrame with as many rows. Columns of `keep=` identify the rows. Spark has no unsigned
        integers: uint8 becomes short, uint16 int, and others bigint. Times have microseconds.

    Raises:
        InvalidPlan: Windows see rows of entities that have no key in common, or `label=True` for a
            plan without a label.
        TypeMismatch: `frame` is not a DataFrame of Spark.
        FastfeatError: Any error of `FittedPlan.transform` about columns and tables. Errors about
            values appear as Spark's own error, with the same text, when the DataFrame is read.

    Warns:
        HistoryMissing: Windows see other rows, and `history` is None.
    """
    schema, plan = _schema_of(frame), fitted.plan
    judged = guarded_columns(fitted.record)
    rows = schema_with(schema, feature_columns(plan, schema, label=label, judged=judged))
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


@with_argument_errors_as("spark.", {})
def check(
    rules: Contract | FittedPlan,
    frame: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    clock: Any = None,
) -> CheckReport:
    """Check the rows of a DataFrame by a contract, on the executors, and return a report.

    A rule that cannot be judged, because a column is absent or has another type or a value that an
    expression cannot take, is a finding.

    Args:
        rules: A contract, or a fitted plan with a contract. The late columns of the plan may be
            absent: rules that read them are then skipped.
        frame: A Spark DataFrame. It is computed several times: cache it first if it samples at
            random or is slow.
        history: Earlier rows, which windows in rules see: a DataFrame of Spark, or any form that
            `Plan.fit` takes.
        tables: Lookup tables by name, in any form that `Plan.fit` takes. They are read on the
            driver and sent to each executor.
        clock: The time of the check, if rules read the clock: a datetime, or a number.

    Raises:
        InvalidPlan: The plan has no contract; a rule reads the clock, and `clock` is not given or
            the data has a column of its name; or windows in rules see entities that have no key in
            common.
        TypeMismatch: `rules` is neither a contract nor a fitted plan, a rule is not a bool
            expression, or `frame` is not a DataFrame of Spark.
        FastfeatError: Any error of `Contract.check`.
    """
    contract, late = rules_of(rules)
    rows = _checked(contract, CallRows(frame, None, history, tables))
    return check_loaded_rows(contract, rows, clock=clock, late=late)


@with_argument_errors_as("spark.", {})
def fit_transform(
    plan: Plan,
    frame: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    label: bool = False,
    contract: Contract | None = None,
    stable: FittedPlan | None = None,
    profile: ProfileChoice = False,
    check_ids: bool = False,
) -> tuple[FittedPlan, Any]:
    """Return the fitted plan, and the features of the rows as a DataFrame, encoded out of fold.

    Args:
        plan: The plan to fit.
        frame: A Spark DataFrame. It is computed once per pass, for the columns of that pass: cache
            it first if it samples at random or is slow. Times with a zone become UTC. If windows
            see other rows, the frame is computed once and shuffled into
            `spark.sql.shuffle.partitions` partitions, and a worker holds a whole partition in
            memory; the result of the shuffle stays cached as long as the returned features exist.
            Rows of an entity with equal times keep the order of the frame's partitions, unless
            `tie=` gives another order.
        history: Earlier rows, which windows see: a DataFrame of Spark, or any form that `Plan.fit`
            takes.
        tables: Lookup tables by name, in any form that `Plan.fit` takes. They are read on the
            driver and sent to each executor.
        label: Whether to append the label of the plan after the features, under its own name.
        contract: Rules that the rows must satisfy. The workers check them first, and the fitted
            plan keeps them. Messages about rows have no row numbers.
        stable: An earlier fit, of this or another plan. Its categories keep their codes, and new
            categories get the next codes.
        profile: Whether the fitted plan keeps a profile (counts of values) of these rows, with
            which `drift` and `report` compare later rows: True for inputs and features, "inputs"
            for inputs only. It takes two more passes. Because rows have no numbers, bin edges and
            categories come from the rows with the smallest hashes of their content. Features with
            windows are only counted if the plan learns from windows, or by `fit_transform`.
        check_ids: Whether to look for rows with the same `row_id`. The columns that the plan reads
            are then exchanged once more, by id.

    Returns:
        The fitted plan, and a DataFrame of features with as many rows. The target encoding of a row
        is learned from other folds than its own.

    Raises:
        FastfeatError: Any error of `fit` and `transform`.

    Warns:
        FastfeatWarning: Any warning of `Plan.fit_transform` except `TiesInOrder`.
    """
    schema = _schema_of(frame)
    columns = feature_columns(plan, schema, label=label)
    given_rows = CallRows(frame, None, history, tables)
    kept = check_before_fit(contract, lambda rules: _checked(rules, given_rows))
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
    """Return a handle of a frame's rows, through which a contract is checked on the executors."""
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
    """Remove a frame from Spark's cache, if its session still exists."""
    with suppress(Exception):  # Spark's error types depend on how it is connected
        frame.unpersist()


class _Shares(NamedTuple):
    """Rows after their exchange between executors; a share has all rows of its entities.

    Args:
        frame: A cached frame. Each of its partitions contains whole shares.
        exchange: The columns and types of these rows.
    """

    frame: Any
    exchange: Exchange


def _learnt(
    plan: Plan,
    rows: CallRows,
    *,
    features: bool,
    stable: FittedPlan | None = None,
    profile: ProfileChoice = False,
    check_ids: bool = False,
) -> tuple[Learning[FittedPlan], _Shares | None]:
    """Run all passes; return the last `Learning`, and the rows if they were exchanged, or None."""
    frame, schema = rows.data, _schema_of(rows.data)
    n_slots, in_spark = _n_slots(frame.sparkSession), _in_spark(PIECES)
    learning, is_exchanged = start_engine_learning(
        plan, schema, rows.tables, features=features, stable=stable, profile=profile
    )
    if check_ids:
        _look_for_repeats(plan, frame, schema)
    shares: _Shares | None = None
    if is_exchanged:
        read = schema_with(schema, training_columns(plan, schema))
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
    """Warn about rows with the same id, or raise, if the plan has a `row_id`."""
    rows = id_schema(plan, schema)
    if rows is None:
        return
    check = id_check(plan, rows, _n_shares(frame.sparkSession))
    shares = _exchanged(frame, None, check.exchange)
    found = _rows_of(shares.mapInArrow(CountsOfPart(check), _in_spark(COUNTS)))
    warn_repeated_ids(check, [pa.Table.from_pylist([row.asDict() for row in found], COUNTS)])


def _earlier(plan: Plan, frame: Any, history: Any, *, training: bool) -> tuple[Any, Schema] | None:
    """Return the history as a frame, and the schema of its columns that are read; or None."""
    if history is None or is_batch(history):
        return None
    if not hasattr(history, "mapInArrow"):
        history = frame.sparkSession.createDataFrame(read_table(history))
    return history, history_schema(plan, _schema_of(history), training=training)


def _exchanged(frame: Any, earlier: tuple[Any, Schema] | None, exchange: Exchange) -> Any:
    """Return a frame of rows and history rows, shuffled so that a partition has whole entities."""
    in_spark = _in_spark(pa.schema([(f.name, type_in_spark(f.type)) for f in exchange.sent]))
    sent = _selected(frame, exchange.rows.names).mapInArrow(SendRows(exchange, False), in_spark)
    if earlier is not None:
        past = _selected(earlier[0], earlier[1].names).mapInArrow(
            SendRows(exchange, True), in_spark
        )
        sent = sent.unionAll(past)
    return sent.repartitionById(exchange.n_shares, "share")


def _n_shares(session: Any) -> int:
    """Return the number of partitions that Spark makes in a shuffle; each is one share."""
    return int(session.conf.get("spark.sql.shuffle.partitions"))


def _collected(states: Any) -> Table:
    """Return the table with the state that executors merged from all parts."""
    found = list(join_pieces(_rows_of(states)))
    return found[0] if found else STATES.empty_table()


def _rows_of(frame: Any) -> list[Any]:
    """Compute a frame of few rows, and return its rows.

    Raises:
        BackendUnavailable: The executors cannot import fastfeat.
    """
    try:
        return frame.collect()
    except Exception as error:  # Spark's error types depend on how it is connected
        if _ANOTHER_PYTHON.search(str(error)):
            raise BackendUnavailable(
                "the Spark executors run a Python that lacks fastfeat or has another version than "
                "the driver's. Before the session starts, set the variable PYSPARK_PYTHON to a "
                "Python that has fastfeat, such as sys.executable"
            ) from error
        raise


def _features(
    frame: Any, rows: Schema, given: Transform | Training, exchange: Exchange | None = None
) -> Any:
    """Return a frame of features. With an exchange, `frame` has whole shares in its partitions."""
    none = features_of(given)(RowsWithHistory(rows.empty_table()))
    wanted = pa.schema([pa.field(f.name, type_in_spark(f.type)) for f in none.schema])
    read = _selected(frame, rows.names) if exchange is None else frame
    features = FeaturesOfPart(given, exchange or rows, wanted)
    return read.mapInArrow(features, _in_spark(wanted))


def _in_spark(schema: Schema) -> Any:
    """Return the Spark schema of an Arrow schema."""
    return _types.from_arrow_schema(schema, prefer_timestamp_ntz=True)


def _n_slots(session: Any) -> int:
    """Return the number of tasks that Spark runs at once."""
    try:
        return session.sparkContext.defaultParallelism
    except Exception:  # Spark Connect has no context, and raises errors of its own
        return _N_SLOTS


def _selected(frame: Any, columns: list[str]) -> Any:
    """Return columns of a frame, renamed "_0", "_1" ...: Spark reads a dot in a name as a field."""
    quoted = ["`" + name.replace("`", "``") + "`" for name in columns]
    return frame.select(*(frame[name].alias(f"_{at}") for at, name in enumerate(quoted)))


def _schema_of(frame: Any) -> Schema:
    """Return the Arrow schema of a frame; times with a zone become UTC.

    Raises:
        TypeMismatch: The argument is not a DataFrame of Spark.
    """
    if not hasattr(frame, "mapInArrow"):
        raise TypeMismatch(
            f"expected a Spark DataFrame, got {type(frame).__name__}. "
            "Create one with session.createDataFrame(table)"
        )
    return pa.schema([_of_utc(field) for field in frame.limit(0).toArrow().schema])


def _of_utc(field: Any) -> Any:
    """Return an Arrow field with its time zone set to UTC: the session's zone must not matter."""
    if pa.types.is_timestamp(field.type) and field.type.tz is not None:
        return pa.field(field.name, pa.timestamp(field.type.unit, "UTC"))
    return pa.field(field.name, field.type)
