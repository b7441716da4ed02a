"""Training data before learning: read, bound to types, with the columns that all fits share.

A plan is fitted on some of its rows, or on all of them, by `learn.fit.fit_on`, any number of times:

    prepared = prepare(plan, rows)
    share(prepared)  # where several fits follow: what needs nothing learnt is made once
    for wanted, others in folds:  # numbers of rows, int64
        fitted, training = fit_on(prepared, wanted, transforms=True)
        train = training_features(fitted, training, "arrow")  # of `wanted`, out of fold
        test = later_features(fitted, training, others, "arrow")  # as `transform` gives them

Windows, lookups and joins see all rows, even rows that are not learnt from. `prepared.labels` has
the label of all rows if it looks ahead. Columns computed for all rows stay in `prepared.rows`, and
fits take rows from there; fits add nothing to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import is_fold_by_number
from fastfeat.backends import backend_named
from fastfeat.errors import FastfeatError, InvalidData, TypeMismatch, WarningHistory
from fastfeat.execute import order_warnings
from fastfeat.execute.batch import Batch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted, InputSchema, fitted_label
from fastfeat.execute.history import BATCH, history_table, id_column_names, id_columns, with_past
from fastfeat.execute.inputs import check_place, read_columns, used_schema, warn_absent
from fastfeat.execute.lookup_tables import (
    columns_of_tables,
    read_tables,
    table_schemas,
    table_values,
)
from fastfeat.execute.steps import make
from fastfeat.io.columns import conform
from fastfeat.io.sources.frames import frame_index
from fastfeat.ir.node import TRAINING, Aggregate, Call, Column, Node, fold, postorder
from fastfeat.ir.scope import is_over_window, row_order
from fastfeat.ir.show import show
from fastfeat.learn import duplicate_ids, duplicate_rows, key_warnings
from fastfeat.learn import keys as fit_keys
from fastfeat.learn import labels as label_values
from fastfeat.learn import stable_codes as codes_held
from fastfeat.plan.declare import leakage
from fastfeat.plan.declare.bind import TableTypes, bind, check_new_plan
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.late_columns import LateColumns
from fastfeat.plan.declare.source_columns import columns_of, window_only_columns
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower import indicators
from fastfeat.plan.lower.lower import NodeTypes
from fastfeat.plan.lower.outputs import output_schema, output_types
from fastfeat.plan.lower.scheduling import is_of_keys, scans_of
from fastfeat.plan.lower.task_graph import orders_of
from fastfeat.plan.lower.typed import TypedPlan, typed_plan
from fastfeat.scalars.zones import use_zone_tables
from fastfeat.steps.registry import STEPS, is_step

if TYPE_CHECKING:
    from fastfeat.learn.keys import StableVocabularies
    from fastfeat.learn.labels import RowLabels
    from fastfeat.scalars.zone_files import ZoneTable


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Training data that a plan can be fitted on, any number of times; see the module.

    Args:
        plan: The plan to fit.
        typed: The plan with the types of the rows.
        table: The rows as they were read, with the columns of the label if there are any.
        rows: The same rows with computed columns that do not depend on learnt values.
        earlier: Rows before them, as a table; None if there are none.
        tables: Lookup tables, as Arrow tables.
        schema: Type of each column that the features read.
        schemas: Types of the columns of the lookup tables.
        zones: Tables of the time zones that are read.
        label: Computes the label; None if it is a column, or its columns are missing.
        labels: The label of all rows if it looks ahead; else None.
        told: Warnings given for these rows, which fits do not repeat.
        index: Index of the rows if the data is a pandas frame; else None.
        held: Vocabularies of an earlier fit; their codes must not change.
    """

    plan: Declaration
    typed: TypedPlan
    table: Any
    rows: Batch
    earlier: Any
    tables: Mapping[str, Any]
    schema: InputSchema
    schemas: TableTypes
    zones: dict[str, ZoneTable]
    label: Fitted | None
    labels: RowLabels | None
    told: WarningHistory
    index: Any = None
    held: StableVocabularies = field(default_factory=dict[Aggregate, Any])

    @property
    def again(self) -> CallRows:
        """The training rows, as they were read, for a call that computes their features."""
        past = BATCH if self.earlier is None else self.earlier
        return CallRows(self.table, None, past, self.tables, self.rows.backend.name)


def prepare(
    plan: Declaration,
    rows: CallRows,
    *,
    further: Sequence[str] = (),
    stable: Fitted | None = None,
    transforms: bool = False,
) -> TrainingData:
    """Return the user's data as training data: read, checked, and bound to column types.

    All rows are read, even rows that are not learnt from. `further` are extra columns to read, such
    as kept columns. `stable` is an earlier fit; its categories keep their codes. `transforms` says
    that windows without learnt values are needed for all rows too. Raises FastfeatError as
    `Plan.fit` does, except for errors of learning.
    """
    data, backend = rows.data, rows.backend
    ids = id_columns(plan.row_id, rows.history, plan.history_columns)
    of_history = window_only_columns(plan.nodes.values(), plan.late) if ids else []
    table = _training_table(plan, data, [*plan.columns, *further, *ids], of_history)
    read = read_tables(rows.tables, (*plan.table_columns, *plan.label_table_columns))
    earlier = history_table(rows.history, plan.history_columns, backend, plan.row_id)
    engine = backend_named(backend)
    check_place(table, backend)
    warn_absent(data, _declared(plan, of_history))
    schema, schemas = used_schema(table, plan.columns, earlier), table_schemas(read)
    roots = list(plan.nodes.values())
    zones: dict[str, ZoneTable] = {}
    told = WarningHistory()
    with use_zone_tables(zones):
        typed = typed_plan(plan, schema, schemas, partial(_checked, plan, schema, table, schemas))
        zones.update(typed.zones)
        types = typed.types
        key_warnings.warn_rounded_columns(plan, table, read, typed, told)
        made = table_values({c: types[c] for c in plan.table_columns}, read)
        batch = Batch(table, types, engine, {}, {**made}, training=True)
        batch = with_past(batch, earlier, plan.training_past_columns, plan.row_id)
        windows = typed.once(_windows)
        coming = _coming(typed, every=transforms or plan.looks_ahead) if windows else ()
        if windows:
            order_warnings.warn_ties(batch, windows, told, coming)
        if batch.first_place:  # there is a history
            order_warnings.warn_repeated(batch, data, rows.history, roots, told)
        if plan.row_id is not None:
            duplicate_ids.warn_of_ids(plan, table, engine, told)
        if typed.once(has_default_folds):
            duplicate_rows.warn_of_twins(typed, table, data)
        label, labels = _bound_label(plan, table, schemas, zones), None
        if label is not None and plan.looks_ahead and table.num_rows:
            again = CallRows(table, None, BATCH if earlier is None else earlier, read, backend)
            labels = label_values.labels_of(replace(label, told=told), again)
    index = frame_index(data)
    held = {} if stable is None else codes_held.stable_vocabularies(plan, typed.types, stable)
    return TrainingData(
        *(plan, typed, table, batch, earlier, read, schema, schemas, zones, label, labels, told),
        index,
        held,
    )


def _windows(typed: TypedPlan) -> dict[Call, Node]:
    return order_warnings.ordered_windows(typed.nodes.values()) if typed.once(has_windows) else {}


def has_windows(typed: TypedPlan) -> bool:
    """Return whether a feature reads a window over the data."""
    return any(map(is_over_window, postorder(typed.nodes.values())))


def has_default_folds(typed: TypedPlan) -> bool:
    """Return whether a target encoding uses the default folds, by row number."""
    return any(map(is_fold_by_number, postorder(typed.nodes.values())))


def _coming(typed: TypedPlan, *, every: bool) -> list[Call]:
    """Return the orders (time column and entity keys) of windows that these rows still need.

    With `every` they are the orders that any feature reads, otherwise those that learning reads.
    """
    orders = orders_of(typed.schedule("fit"))
    return [*orders, *orders_of(typed.schedule("apply"))] if every else orders


def _training_table(
    plan: Declaration, data: Any, columns: Sequence[str], of_history: Sequence[str]
) -> Any:
    """Return a table of the training rows with the given columns and the inputs of the label.

    The inputs of a label that looks ahead are required, since it decides which rows are learnt
    from. `of_history` are columns that the data may lack, since the history has them by `row_id`.
    """
    wanted = [*columns, *(plan.label_columns if plan.looks_ahead else ())]
    wanted = [name for name in wanted if name not in of_history]
    if_there = [
        *plan.label_columns,
        *id_column_names(plan.row_id, plan.history_columns),
        *of_history,
    ]
    if_there += plan.row_ids
    return read_columns(data, wanted, if_there, features=plan.nodes, label=plan.label_nodes)


def _declared(plan: Declaration, of_history: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return the columns that options of a plan name, by option, for a warning about absent ones.

    Columns that come from the history are left out.
    """
    of_label = [] if plan.label_column else columns_of(plan.label_nodes.values())
    return {
        "label=": [name for name in of_label if name not in of_history],
        "outcomes=": [name for name in plan.outcomes if name not in of_history],
        "keep=": plan.keep,
        "row_id=": plan.row_ids,
    }


def share(prepared: TrainingData, *, windows_only: bool = False) -> None:
    """Compute the columns that need no learning for all rows, for later fits on some of the rows.

    The columns go into `prepared`. A column that fails for some row is left to the fits, which may
    not use that row. `windows_only` limits the work to windows, which are computed for all rows
    anyway.
    """
    rows = prepared.rows
    wanted = [
        node
        for node in row_order(learning_roots(prepared.plan.nodes), training=True)
        if is_step(node, rows.types) and (is_over_window(node) or not windows_only)
    ]
    needs = fold(wanted, _needs_more)
    shared = [node for node in wanted if not needs[node]]
    with use_zone_tables(prepared.zones):
        try:
            make(rows, shared)
        except FastfeatError:
            for node in shared:
                _make_if_possible(rows, node)


def share_keys(prepared: TrainingData) -> None:
    """Number the distinct keys of all rows, for keys that fits count and that need no learning."""
    nodes = postorder(list(prepared.plan.nodes.values()))
    counted = [node for node in nodes if isinstance(node, Aggregate) and node.frame == TRAINING]
    needs = fold([arg for aggregate in counted for arg in aggregate.args], _needs_more)
    ready = [a for a in counted if is_of_keys(a) and not any(needs[arg] for arg in a.args)]
    with use_zone_tables(prepared.zones):
        fit_keys.number_keys(prepared.rows, ready)


def _make_if_possible(rows: Batch, node: Node) -> None:
    try:
        make(rows, [node])
    except FastfeatError:  # a fit may not learn from that row; otherwise the fit raises the error
        return


def _needs_more(node: Node, below: list[bool]) -> bool:
    """Return whether a column depends on learned values or on which rows are learned from."""
    if isinstance(node, Aggregate) or any(below):
        return True
    return isinstance(node, Call) and node.function in STEPS and STEPS[node.function].of_all_rows


def learning_roots(features: Mapping[str, Node]) -> list[Node]:
    """Return the inputs of all aggregates that features read, followed by the features."""
    roots = list(features.values())
    aggregates = [node for node in postorder(roots) if isinstance(node, Aggregate)]
    return [*(arg for aggregate in aggregates for arg in aggregate.args), *roots]


def check_any_rows(typed: TypedPlan, n_rows: int) -> None:
    """Raise InvalidData if there is something to learn but no row to learn it from."""
    if n_rows == 0 and typed.schedule("fit").n_rounds:
        first = show(scans_of(list(typed.nodes.values()))[0][0])
        raise InvalidData(f"fit has no rows to learn {first} from. Pass at least one training row")


def check_clocks(plan: Declaration, types: NodeTypes) -> None:
    """Raise Leakage if windows see labels before they are known, given the types of the times."""
    late = plan.known_late
    if late.columns:
        leakage.check_leakage(plan.nodes, late, {**_of_times_ahead(late, types), **types})


def _of_times_ahead(late: LateColumns, types: NodeTypes) -> NodeTypes:
    """Return the types of the times by which labels look ahead, as far as the columns are known."""
    times: Sequence[Node] = () if late.ahead is None else late.ahead.times
    columns = [node for node in postorder(list(times)) if isinstance(node, Column)]
    schema = {column.name: types[column] for column in columns if column in types}
    return bind([time for time in times if schema.keys() >= {*columns_of([time])}], schema)


def _bound_label(
    plan: Declaration, table: Any, tables: TableTypes, zones: dict[str, ZoneTable]
) -> Fitted | None:
    """Return a plan that computes the label, for the types of the training rows.

    None if the label is a column itself, or if the training rows lack its inputs. Raises
    TypeMismatch if the label is not a number.
    """
    names = plan.label_columns
    if not isinstance(plan.label, Mapping) or not set(names) <= set(table.column_names):
        return None
    schemas = columns_of_tables(plan.label_table_columns, tables)
    label = fitted_label(plan, used_schema(table, names), schemas, table.num_rows, zones)
    check_new_plan(label.types)
    for name, node in label.nodes.items():
        if label.types[node].holds_bytes:
            raise TypeMismatch(
                f"the label {name!r} is {label.types[node]}, {show(node)}: a computed label must "
                "be a number. Compare it, == 'text', or name a column as the label, label='y'"
            )
    output_schema(label.declaration, label.nodes, label.types)
    return label


def _fixed(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Return the features with exactly one column before fit: all except one-hot encodings."""
    return {name: node for name, node in nodes.items() if not indicators.is_one_hot(node)}


def _checked(plan: Declaration, schema: InputSchema, table: Any, tables: TableTypes) -> NodeTypes:
    """Return the type of every node of a plan, after checks that the plan can be fitted."""
    roots = list(plan.nodes.values())
    types = _bound(roots, schema, table, tables)
    check_new_plan(types)
    check_clocks(plan, types)
    output_types(plan, _fixed(plan.nodes), types)
    if any(isinstance(node, Call) and node.function == "encode" for node in types):
        code_plans.check_given_vocabularies(roots, types)
    return types


def _bound(roots: list[Node], schema: InputSchema, table: Any, tables: TableTypes) -> NodeTypes:
    """Return the type of every node; an error names the values that turn a column into text."""
    try:
        return bind(roots, schema, tables)
    except TypeMismatch as error:
        columns = [name for name in schema if show(Column(name)) in str(error)]
        odd = [conform.almost_numbers(table.column(name), name) for name in columns]
        told = ". ".join([str(error), *filter(None, odd)])
        raise TypeMismatch(told) from error.__cause__
