"""Ray: fit a plan on a Ray Data dataset, and compute its features as a dataset, on Ray's workers.

Each pass of fit maps the blocks to states (sums and counts), and tasks merge these in a tree while
other blocks are still read; the driver receives one state per pass. Only data travels: the plan as
JSON, and learned values and tables as bytes. Ray repeats the tasks of a worker that died, and the
bits stay the same. If windows see other rows, the rows are exchanged once, and stay in Ray's object
store for all passes.

    from fastfeat.integrations import ray as ff_ray

    train = ray.data.read_parquet("s3://bucket/train")
    fitted, features = ff_ray.fit_transform(plan, train, label=True)  # encodings out of fold
    trainer = TorchTrainer(loop, datasets={"train": features}, ...)
    ff_ray.transform(fitted, ray.data.read_parquet("s3://bucket/later")).write_parquet("features")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from fastfeat.api.learning import Learning
from fastfeat.api.plan import FittedPlan, Plan
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.guard import guarded_columns
from fastfeat.execute.history import is_batch
from fastfeat.execute.lookup_tables import Tables
from fastfeat.integrations.checks_on_workers import (
    check_before_fit,
    only_true,
    rows_of_workers,
    rules_of,
    with_contract,
)
from fastfeat.integrations.exchange import (
    Exchange,
    RowsWithHistory,
    by_share,
    exchange_of_fitted,
    exchange_of_learning,
    has_windows,
    history_schema,
    past_of_data,
    restore_order,
    sent_rows,
)
from fastfeat.integrations.ids_on_workers import (
    IdCheck,
    counts_of_share,
    id_check,
    id_schema,
    warn_repeated_ids,
)
from fastfeat.integrations.library import library
from fastfeat.integrations.on_workers import (
    STATES,
    ComputeRowFeatures,
    Training,
    Transform,
    feature_columns,
    features_of,
    learn,
    merged_states,
    start_engine_learning,
    state_of_part,
    training_columns,
    training_of,
    transform_of,
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

_ray = library("ray")
_data = library("ray.data", "ray")
_MERGED_AT_ONCE = 4
"""The number of states that one task merges.

With more, merging waits for the last state and then takes long.
"""


@with_argument_errors_as("ray.", {})
def fit(
    plan: Plan,
    dataset: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    contract: Contract | None = None,
    stable: FittedPlan | None = None,
    profile: ProfileChoice = False,
    check_ids: bool = False,
) -> FittedPlan:
    """Return the plan fitted on all rows of a dataset, bit for bit the same as by `Plan.fit`.

    Args:
        plan: The plan to fit.
        dataset: A Ray Data dataset. It is executed once per pass, for the columns of that pass:
            materialize it first if it shuffles or samples at random, or is slow. If the plan learns
            from windows, the dataset is executed once and its rows are exchanged; rows of an entity
            with equal times keep the order of the dataset, unless `tie=` gives another order.
        history: Earlier rows, if the plan learns from windows, which see them: a dataset, or any
            form that `Plan.fit` takes.
        tables: Lookup tables by name, in any form that `Plan.fit` takes. They are read on the
            driver and sent to each worker.
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
        InvalidPlan: Folds are assigned by row number, which a dataset does not have; the plan
            learns from windows of entities that have no key in common; or the label is computed
            from later rows.
        TypeMismatch: `dataset` is not a dataset, or a column has no Arrow type.
        FastfeatError: Any error of `Plan.fit`. If several rows fail, the message is about one of
            them, not always the first.

    Warns:
        FastfeatWarning: Any warning of `Plan.fit` except `TiesInOrder`; `RowsRepeated` with
            `check_ids`.
    """
    given_rows = CallRows(dataset, None, history, tables)
    kept = check_before_fit(contract, lambda rules: _checked(rules, given_rows))
    learnt = _learnt(
        plan,
        given_rows,
        features=False,
        stable=stable,
        profile=profile,
        check_ids=check_ids,
    )[0]
    return with_contract(learnt.finish(), kept)


@with_argument_errors_as("ray.", {})
def transform(
    fitted: FittedPlan,
    dataset: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    label: bool = False,
    on_violation: str | None = None,
) -> Any:
    """Return the features of the rows as a dataset, computed when it is read.

    Args:
        fitted: The fitted plan.
        dataset: A Ray Data dataset. Target encodings of training rows would contain their own
            labels: train a model on the features of `fit_transform`. If windows see other rows, the
            dataset is executed at once and its rows are exchanged.
        history: Earlier rows of the same entities, which windows see: a dataset, or any form that
            `FittedPlan.transform` takes. "batch" declares that `dataset` contains its own past.
        tables: Lookup tables by name, in any form that `FittedPlan.transform` takes. They are read
            at once, on the driver.
        label: Whether to append the label of the plan after the features, under its own name.
        on_violation: The treatment of rows that break a rule of the plan's contract; rules that
            only warn are not affected. None uses the setting of each rule; "reject" raises an
            error; "warn" warns; "ignore" checks no row at all.

    Returns:
        A dataset with as many rows, in Ray's order of blocks. Columns of `keep=` identify the rows.

    Raises:
        InvalidPlan: Windows see rows of entities that have no key in common, or `label=True` for a
            plan without a label.
        FastfeatError: Any error of `FittedPlan.transform`. Errors about columns and tables are
            raised at once, errors about values when the dataset is read.

    Warns:
        HistoryMissing: Windows see other rows, and `history` is None.
    """
    schema, plan = _schema_of(dataset), fitted.plan
    columns = feature_columns(plan, schema, label=label, judged=guarded_columns(fitted.record))
    if not has_windows(plan):
        return _features(
            dataset.select_columns(columns),
            transform_of(fitted, tables, label=label, on_violation=on_violation),
            None,
        )
    earlier, rows = _earlier(plan, history, training=False), schema_with(schema, columns)
    past = past_of_data(history) if earlier is None else None
    blocks = _blocks_of(dataset, rows, earlier)
    exchange = exchange_of_fitted(fitted, tables, rows, blocks.history, blocks.n_shares)
    given = transform_of(fitted, tables, label=label, past=past, on_violation=on_violation)
    return _features(_data.from_arrow_refs(_exchanged(blocks, exchange)), given, exchange)


@with_argument_errors_as("ray.", {})
def check(
    rules: Contract | FittedPlan,
    dataset: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    clock: Any = None,
) -> CheckReport:
    """Check the rows of a dataset by a contract, on the workers, and return a report.

    A rule that cannot be judged, because a column is absent or has another type or a value that an
    expression cannot take, is a finding.

    Args:
        rules: A contract, or a fitted plan with a contract. The late columns of the plan may be
            absent: rules that read them are then skipped.
        dataset: A Ray Data dataset. It is executed several times: materialize it first if it
            shuffles or samples at random, or is slow.
        history: Earlier rows, which windows in rules see: a dataset, or any form that `Plan.fit`
            takes.
        tables: Lookup tables by name, in any form that `Plan.fit` takes. They are read on the
            driver and sent to each worker.
        clock: The time of the check, if rules read the clock: a datetime, or a number.

    Raises:
        InvalidPlan: The plan has no contract; a rule reads the clock, and `clock` is not given or
            the data has a column of its name; or windows in rules see entities that have no key in
            common.
        TypeMismatch: `rules` is neither a contract nor a fitted plan, a rule is not a bool
            expression, `dataset` is not a dataset, or a column has no Arrow type.
        FastfeatError: Any error of `Contract.check`.
    """
    contract, late = rules_of(rules)
    rows = _checked(contract, CallRows(dataset, None, history, tables))
    return check_loaded_rows(contract, rows, clock=clock, late=late)


@with_argument_errors_as("ray.", {})
def fit_transform(
    plan: Plan,
    dataset: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    label: bool = False,
    contract: Contract | None = None,
    stable: FittedPlan | None = None,
    profile: ProfileChoice = False,
    check_ids: bool = False,
) -> tuple[FittedPlan, Any]:
    """Return the fitted plan, and the features of the rows as a dataset, encoded out of fold.

    Args:
        plan: The plan to fit.
        dataset: A Ray Data dataset. It is executed once per pass, for the columns of that pass:
            materialize it first if it shuffles or samples at random, or is slow. If windows see
            other rows, the dataset is executed once and its rows are exchanged; rows of an entity
            with equal times keep the order of the dataset, unless `tie=` gives another order.
        history: Earlier rows, which windows see: a dataset, or any form that `Plan.fit` takes.
        tables: Lookup tables by name, in any form that `Plan.fit` takes. They are read on the
            driver and sent to each worker.
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
        The fitted plan, and a dataset of features with as many rows, in Ray's order of blocks. The
        target encoding of a row is learned from other folds than its own.

    Raises:
        FastfeatError: Any error of `fit` and `transform`.

    Warns:
        FastfeatWarning: Any warning of `Plan.fit_transform` except `TiesInOrder`.
    """
    columns = feature_columns(plan, _schema_of(dataset), label=label)
    given_rows = CallRows(dataset, None, history, tables)
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
    if shares is not None:
        rows = _data.from_arrow_refs(shares.tables)
        return fitted, _features(rows, given, shares.exchange)
    columns = list(dict.fromkeys([*learning.columns, *columns]))
    return fitted, _features(dataset.select_columns(columns), given, None)


def _checked(contract: ContractDeclaration, rows: CallRows) -> CheckedRows:
    """Return a handle of a dataset's rows, through which a contract is checked on the workers."""
    dataset, schema = rows.data, _schema_of(rows.data)

    def learnt(plan: Plan) -> FittedPlan:
        return _learnt(plan, rows, features=False)[0].finish()

    def found(fitted: FittedPlan, flag: str, n: int | None) -> Table:
        past = "batch" if rows.history is None else rows.history
        features = transform(fitted, dataset, history=past, tables=rows.tables).map_batches(
            only_true, fn_args=[flag], batch_format="pyarrow", batch_size=None
        )
        blocks = _ray.get(list(_refs(features if n is None else features.limit(n))))
        return pa.concat_tables([block for block in blocks if block.num_columns])

    return rows_of_workers(contract, schema, dataset.count(), rows.tables, learnt, found)


class _Shares(NamedTuple):
    """Rows after their exchange between workers; a share has all rows of its entities.

    Args:
        tables: A Ray reference to the table of each share.
        exchange: The columns and types of these rows.
    """

    tables: list[Any]
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
    dataset, schema = rows.data, _schema_of(rows.data)
    learning, is_exchanged = start_engine_learning(
        plan, schema, rows.tables, features=features, stable=stable, profile=profile
    )
    if check_ids:
        _look_for_repeats(plan, dataset, schema)
    if not is_exchanged:

        def state_of_all(learning: Learning[FittedPlan]) -> Table:
            content = _ray.put(learning.to_bytes())
            states = dataset.select_columns(learning.columns).map_batches(
                _state_of_block, fn_args=[content], batch_format="pyarrow", batch_size=None
            )
            return _merged_on_workers(content, _refs(states))

        return learn(learning, state_of_all), None
    read = schema_with(schema, training_columns(plan, schema))
    blocks = _blocks_of(dataset, read, _earlier(plan, rows.history, training=True))
    exchange = exchange_of_learning(learning, read, blocks.history, blocks.n_shares)
    shares = _Shares(_exchanged(blocks, exchange), exchange)
    given = _ray.put(exchange)

    def state_of_shares(learning: Learning[FittedPlan]) -> Table:
        content, state_of = _ray.put(learning.to_bytes()), _ray.remote(_state_of_share)
        states = [state_of.remote([content, given], table) for table in shares.tables]
        return _merged_on_workers(content, states)

    return learn(learning, state_of_shares), shares


def _look_for_repeats(plan: Plan, dataset: Any, schema: Schema) -> None:
    """Warn about rows with the same id, or raise, if the plan has a `row_id`."""
    rows = id_schema(plan, schema)
    if rows is None:
        return
    blocks = _blocks_of(dataset, rows, None)
    check = id_check(plan, rows, blocks.n_shares)
    given, counts_of = _ray.put(check), _ray.remote(_counts_of_share)
    shares = _exchanged(blocks, check.exchange)
    warn_repeated_ids(check, _ray.get([counts_of.remote([given], share) for share in shares]))


class _Blocks(NamedTuple):
    """Rows before their exchange between workers.

    Args:
        rows: Ray references to Arrow blocks, in the order of the dataset.
        earlier: Ray references to the Arrow blocks of the history; None without one.
        history: The schema of the history; None without a history.
    """

    rows: list[Any]
    earlier: list[Any] | None
    history: Schema | None

    @property
    def n_shares(self) -> int:
        """The number of shares to make: one per block, but at least one per CPU."""
        n_cpus = int(_ray.cluster_resources().get("CPU", 1))
        return max(len(self.rows) + len(self.earlier or ()), n_cpus)


def _earlier(plan: Plan, history: Any, *, training: bool) -> tuple[Any, Schema] | None:
    """Return the history as a dataset, and the schema of its columns that are read; or None."""
    if history is None or is_batch(history):
        return None
    if not isinstance(history, _data.Dataset):
        history = _data.from_arrow(read_table(history))
    return history, history_schema(plan, _schema_of(history), training=training)


def _blocks_of(dataset: Any, rows: Schema, earlier: tuple[Any, Schema] | None) -> _Blocks:
    """Execute a dataset and a history, and return references to their blocks."""
    of_rows = _arrow_blocks(dataset, rows)
    if earlier is None:
        return _Blocks(of_rows, None, None)
    return _Blocks(of_rows, _arrow_blocks(*earlier), earlier[1])


def _arrow_blocks(dataset: Any, schema: Schema) -> list[Any]:
    """Return references to Arrow blocks of the schema's columns, in the order of a dataset."""
    chosen = dataset.select_columns(schema.names).map_batches(
        _as_it_is, batch_format="pyarrow", batch_size=None
    )
    chosen.context.execution_options.preserve_order = True
    return list(_refs(chosen))


def _refs(dataset: Any) -> Iterator[Any]:
    """Yield Ray references to the blocks of a dataset, as soon as they are computed."""
    for bundle in dataset.iter_internal_ref_bundles():
        yield from bundle.block_refs


def _exchanged(blocks: _Blocks, exchange: Exchange) -> list[Any]:
    """Start tasks that exchange rows; return a Ray reference to the table of each share."""
    given, n = _ray.put(exchange), exchange.n_shares
    split, join = _ray.remote(_split).options(num_returns=n), _ray.remote(_joined)
    sent: list[Any] = []
    for refs, is_history in ((blocks.earlier or (), True), (blocks.rows, False)):
        found = [split.remote([given], ref, part, is_history) for part, ref in enumerate(refs)]
        sent += [[one] if n == 1 else one for one in found]
    return [join.remote([given], *(shares[k] for shares in sent)) for k in range(n)]


def _merged_on_workers(content: Any, states: Iterable[Any]) -> Table:
    """Merge the states of all parts in tasks, in a tree, as they arrive; return the merged state.

    `content` is a Ray reference to the `Learning`, `states` are references to tables of states.
    """
    merge = _ray.remote(_merged)
    levels: list[list[Any]] = [[]]
    for ref in states:
        levels[0].append(ref)
        for level, waiting in enumerate(levels):
            if len(waiting) == _MERGED_AT_ONCE:
                if level + 1 == len(levels):
                    levels.append([])
                levels[level + 1].append(merge.remote([content], *waiting))
                waiting.clear()
    left = [ref for waiting in levels for ref in waiting]
    while len(left) > 1:
        first, left = left[:_MERGED_AT_ONCE], left[_MERGED_AT_ONCE:]
        left.append(merge.remote([content], *first))
    return _ray.get(left[0]) if left else STATES.empty_table()


def _features(rows: Any, given: Transform | Training, exchange: Exchange | None) -> Any:
    """Return a dataset of features. With an exchange, each block of `rows` is a share."""
    refs = [_ray.put(given), None if exchange is None else _ray.put(exchange)]
    return rows.map_batches(
        _features_of_block, fn_args=refs, batch_format="pyarrow", batch_size=None
    )


def _schema_of(dataset: Any) -> Schema:
    """Return the Arrow schema of a dataset.

    Raises:
        TypeMismatch: The argument is not a dataset, or a column has no Arrow type.
        InvalidData: The dataset has no columns.
    """
    if not isinstance(dataset, _data.Dataset):
        raise TypeMismatch(
            f"expected a ray.data.Dataset, got {type(dataset).__name__}. Create one with "
            "ray.data.from_pandas(frame), from_arrow(table) or read_parquet(files)"
        )
    schema = dataset.schema()
    if schema is None:
        raise InvalidData("the dataset has neither rows nor columns")
    pairs: list[tuple[str, Any]] = list(zip(schema.names, schema.types, strict=True))
    return pa.schema([(n, t if isinstance(t, pa.DataType) else pa.string()) for n, t in pairs])


# The functions that workers run. Each process caches the last objects it read, for later blocks.


def _state_of_block(block: Table, content: Any) -> Table:
    return state_of_part(_learning_in(content), [RowsWithHistory(block)])


def _state_of_share(refs: list[Any], share: Table) -> Table:
    content, exchange = refs
    return state_of_part(_learning_in(content), [restore_order(_exchange_in(exchange), [share])])


def _counts_of_share(refs: list[Any], share: Table) -> Table:
    check: IdCheck = _ray.get(refs[0])
    return counts_of_share(check, restore_order(check.exchange, [share]))


def _merged(content: list[Any], *states: Table) -> Table:
    return merged_states(_learning_in(content[0]), states)


def _as_it_is(block: Table) -> Table:
    return block


def _split(refs: list[Any], block: Table, part: int, is_history: bool) -> Any:
    """Return a table for each share, with the rows of a block that belong to it."""
    exchange = _exchange_in(refs[0])
    if block.num_rows:
        sent = sent_rows(exchange, block, part, 0, is_history=is_history)
    else:
        sent = exchange.sent.empty_table()
    shares = by_share(exchange, sent)
    return shares[0] if len(shares) == 1 else tuple(shares)


def _joined(refs: list[Any], *sent: Table) -> Table:
    """Return one table of the rows of a share, which came from all blocks."""
    return pa.concat_tables([_exchange_in(refs[0]).sent.empty_table(), *sent]).combine_chunks()


def _features_of_block(block: Table, given: Any, exchange: Any) -> Table:
    if not block.num_columns:  # a block without rows may have no columns
        return block
    features = _features_in(given)
    return features(
        RowsWithHistory(block)
        if exchange is None
        else restore_order(_exchange_in(exchange), [block])
    )


@lru_cache(maxsize=1)
def _learning_in(content: Any) -> Learning[Any]:
    return Learning.from_bytes(_ray.get(content))


@lru_cache(maxsize=1)
def _exchange_in(exchange: Any) -> Exchange:
    return _ray.get(exchange)


@lru_cache(maxsize=2)
def _features_in(given: Any) -> ComputeRowFeatures:
    return features_of(_ray.get(given))
