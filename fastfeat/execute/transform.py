"""Computing the features of rows with a fitted plan: a table, a matrix, or device arrays.

An order is a time column with entity keys, by which windows sort rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.engine.cpu import step_calls
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.engine.program import Constants, Program
from fastfeat.errors import InvalidPlan, counted
from fastfeat.execute import encoded_rows as rows_encoded
from fastfeat.execute import order_warnings, sparse, step_costs
from fastfeat.execute.batch import (
    Batch,
    ComputedColumns,
    Orders,
    compute,
    compute_matrix,
    select_rows,
    take_rows_of_type,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import (
    history_table,
    id_column_names,
    id_columns,
    is_batch,
    warn_without_history,
    with_past,
)
from fastfeat.execute.inputs import (
    check_place,
    check_still_missing,
    on_host,
    read_columns,
)
from fastfeat.execute.lookup_tables import Tables, table_values
from fastfeat.execute.prepared import finish_features, is_prepared_first, prepare, prepared_features
from fastfeat.execute.results import check_memory, computed_form, convert_features, output_memory
from fastfeat.execute.row_selection import row_numbers
from fastfeat.execute.steps import columns_of_chosen, run
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.decode import plain, plain_type
from fastfeat.io.columns.types import memory_type
from fastfeat.io.device import DeviceTable
from fastfeat.io.sinks import results as result_forms
from fastfeat.io.sinks import write
from fastfeat.io.sources.frames import frame_index
from fastfeat.ir.dtypes import BFLOAT16
from fastfeat.ir.node import Node
from fastfeat.plan.lower.constants import bind
from fastfeat.plan.lower.outputs import MATRIX_ORDERS, TABLES, check_result
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.progress import show_progress

SHORT = 1 << 14
"""Number of rows below which a transform reports no progress."""
_NOTHING = nullcontext()


@with_ieee_arithmetic
def transform(
    fitted: Fitted,
    rows: CallRows,
    *,
    to: str = "arrow",
    out: NDArray[Any] | None = None,
    categories: bool = False,
    known: Mapping[Node, Any] | None = None,
    orders: Orders | None = None,
    index: Any = None,
    first_row: int = 0,
    prepares: bool = True,
) -> Any:
    """Return the features of rows, computed by a fitted plan in the form `to`."""
    data, tables, backend = rows.data, rows.tables, rows.backend
    is_whole = prepares and rows.rows is None and not known and backend == "cpu" and type(to) is str
    is_plain = is_whole and not categories and to in ("arrow", "numpy")
    # by name: to compare types is a call more, of 30 that a small batch takes
    is_bits = fitted.matrix_dtype.name == "bfloat16"  # such a matrix is computed as bits
    is_plain = is_plain and (to == "arrow" or not is_bits)
    if is_plain and (features := prepared_features(fitted, data, tables, to, out)) is not None:
        return features
    check_result(to, out, backend, categories=categories, dtype=fitted.declaration.dtype)
    form = computed_form(fitted, to)
    given: dict[str, Any] = {"to": to, "categories": categories}
    if is_whole and not is_plain and out is None:
        index = frame_index(data) if index is None and to == "pandas" else index
        features = _prepared(fitted, data, tables, form)
        if features is not None:
            return convert_features(fitted, features, index=index, **given)
    kept = fitted.declaration.keep if form in TABLES else ()
    plan = fitted.declaration
    ids = id_columns(plan.row_id, rows.history, plan.past_columns)
    if_there = [*plan.past_columns, *id_column_names(plan.row_id, plan.past_columns)]
    if fitted.encoded is not None and fitted.encoded.row_id is not None:
        if_there.append(fitted.encoded.row_id[0])
    table = read_columns(data, [*plan.row_columns, *kept, *ids], if_there)
    read = None
    if fitted.encoded is not None:
        rows_encoded.warn_encoded_paths(fitted.encoded, data, fitted.told)
    if not isinstance(data, (pa.Table, pa.RecordBatch)):
        read = table = _without_views(table, kept)
    if is_plain and (features := prepared_features(fitted, read, tables, to, out)) is not None:
        return features
    if is_whole and not is_plain and out is None:
        features = _prepared(fitted, read, tables, form)
        if features is not None:
            return convert_features(fitted, features, index=index, **given)
    check_place(table, backend)
    check_still_missing(table, fitted.never_seen)
    program, constants = program_and_constants(fitted, form)
    wanted = row_numbers(rows.rows, table)
    if wanted is not None and out is None and not known and backend == "cpu":
        features = _prepared_of_rows(fitted, table, wanted, tables, form)
        if features is not None:
            index = result_forms.rows_of_index(
                frame_index(data) if index is None else index, wanted
            )
            return convert_features(fitted, features, index=index, **given)
    memory = output_memory(fitted, to, out)
    if form in MATRIX_ORDERS and memory is not None:
        n_rows = table.num_rows if wanted is None else len(wanted)
        check_memory(memory, *_matrix_form(fitted, program, n_rows), table)
    as_read = read is None and not plan.past_columns and wanted is None
    rows_read = data if as_read else table
    is_small = is_whole and is_plain and not first_row and table.num_rows < SHORT
    if is_small and is_prepared_first(fitted, to):
        prepare(fitted, rows_read, to)
        if (features := prepared_features(fitted, rows_read, tables, to, out)) is not None:
            return features
    with _telling(fitted, table, rows):
        batch = run_steps(
            *(fitted, table, rows, known or {}, wanted),
            schedule=sparse.sparse_schedule(fitted) if form == "csr" else None,
            orders=orders,
            first_row=first_row,
        )
        every = batch if batch.source is None else batch.source.rows
        if every.first_place:  # there is a history
            order_warnings.warn_repeated(
                every, data, rows.history, list(fitted.nodes.values()), fitted.told
            )
        if fitted.encoded is not None:
            rows_encoded.warn_encoded(fitted.encoded, table, wanted, fitted.told)
        features = None
        if is_plain:
            features = finish_features(fitted, table, batch.made, to, memory)
        if features is None:
            features = read_out(fitted, batch, program, constants, form, memory)
    if is_whole or (wanted is not None and backend == "cpu" and not known):
        prepare(fitted, rows_read, "numpy" if form == "rows" else form)
    if out is not None:
        return out
    if to == "pandas":
        index = result_forms.rows_of_index(frame_index(data) if index is None else index, wanted)
    return convert_features(fitted, features, index=index, **given)


def _without_views(table: Any, kept: Sequence[str]) -> Any:
    """Return a small batch with string views converted to the text type that prepared kernels read.

    Polars passes string views. Columns in `kept` stay unchanged.
    """
    if not isinstance(table, pa.Table) or table.num_rows >= SHORT:
        return table
    for number, field in enumerate(table.schema):
        if plain_type(field.type) != field.type and field.name not in kept:
            table = table.set_column(number, field.name, plain(table.column(number)))
    return table


def _prepared(fitted: Fitted, data: Any, tables: Tables, form: str) -> Any:
    """Return features in the form `form` from a prepared transform; None if there is none.

    The caller converts them to the form that the user asked for.
    """
    if form != "rows":
        return prepared_features(fitted, data, tables, form, None)
    if not isinstance(data, (pa.Table, pa.RecordBatch)) or data.num_rows >= SHORT:
        return None
    matrix = np.empty(*_matrix_form(fitted, fitted.matrix_program, data.num_rows))
    return prepared_features(fitted, data, tables, "numpy", matrix)


def _prepared_of_rows(
    fitted: Fitted, table: Any, wanted: NDArray[np.int64], tables: Tables, form: str
) -> Any:
    """Return the features of selected rows from a prepared transform; None if there is none."""
    if fitted.declaration.past_columns or fitted.encoded is not None or len(wanted) >= SHORT:
        return None
    if not isinstance(table, pa.Table) or None in map(step_calls.form_of, table.schema.types):
        return None  # other forms cannot take all rows in one call
    return _prepared(fitted, table.take(pa.array(wanted)), tables, form)


def _telling(fitted: Fitted, table: Any, rows: CallRows) -> AbstractContextManager[object]:
    """Return a context that reports progress; it does nothing for few rows."""
    is_short = table.num_rows < SHORT and rows.backend == "cpu"
    if is_short and (rows.history is None or is_batch(rows.history)):
        return _NOTHING
    features = counted(len(fitted.nodes), "feature")
    return show_progress(f"computing {features} of {counted(table.num_rows, 'row')}")


def program_and_constants(fitted: Fitted, form: str) -> tuple[Program, Constants]:
    """Return the program for a form of the features, and its constants."""
    match form:
        case "arrow" | "columns":
            return fitted.arrow_program, fitted.arrow_constants
        case "cupy_columns":
            return fitted.arrays_program, bind(fitted.arrays_program, fitted.constants)
        case "csr":
            program = fitted.typed.once(sparse.dense_program)
            return program, bind(program, fitted.constants)
        case _:
            return fitted.matrix_program, fitted.matrix_constants


def run_steps(
    fitted: Fitted,
    table: Any,
    rows: CallRows,
    known: Mapping[Node, Any],
    wanted: NDArray[np.int64] | None = None,
    *,
    schedule: Schedule | None = None,
    frees: bool = True,
    orders: Orders | None = None,
    first_row: int = 0,
) -> Batch:
    """Return the rows as a batch in which the steps that features read have been run.

    `schedule` has the steps; None stands for those of tables and matrices.
    """
    schedule = fitted.schedule if schedule is None else schedule
    made: ComputedColumns = {**table_values(fitted.table_columns, rows.tables), **known}
    engine = backend_named(rows.backend)
    learnt = dict(fitted.constants)
    batch = Batch(
        *(table, fitted.types, engine, learnt, made),
        first_number=first_row,
        programs=fitted.programs,
        orders={} if orders is None else orders,
    )
    columns, row_id = fitted.declaration.past_columns, fitted.declaration.row_id
    earlier = history_table(rows.history, columns, rows.backend, row_id)
    batch = with_past(batch, earlier, columns, row_id)
    nodes = list(fitted.nodes.values())
    if wanted is not None:
        batch = select_rows(batch, wanted, columns_of_chosen(batch, [schedule]))
    if rows.history is None and columns:
        warn_without_history(batch, nodes, fitted.told)
    run(batch, schedule, frees=frees)
    return batch


def read_out(
    fitted: Fitted,
    batch: Batch,
    program: Program,
    constants: Constants,
    form: str,
    out: Any = None,
) -> Any:
    """Return the features of rows after their steps were run.

    `form` is described in `outputs.ResultForm`, and `out` must fit if it is given.
    """
    with step_costs.measure_step(step_costs.FEATURES, list(fitted.nodes.values()), batch.n_rows):
        return _computed(fitted, batch, program, constants, form, out)


def _computed(
    fitted: Fitted, batch: Batch, program: Program, constants: Constants, form: str, out: Any
) -> Any:
    match form:
        case "arrow":
            return _table(fitted, batch, compute(batch, program, constants))
        case "columns":
            return _table(fitted, batch, _own_columns(batch, program, constants))
        case "numpy" | "rows":
            if out is None:
                shape, dtype = _matrix_form(fitted, program, batch.n_rows)
                out = write.empty_matrix(shape, dtype, MATRIX_ORDERS[form])
            return compute_matrix(batch, program, constants, out)
        case "csr":
            return sparse.sparse_matrix(fitted, batch, program, constants)
        case _:
            from fastfeat.execute import device_results as device  # imports the GPU backend

            if form == "cupy":
                if fitted.matrix_dtype == BFLOAT16:
                    raise InvalidPlan(
                        "to='cupy': CuPy has no bfloat16. Use to='torch', or Plan(dtype='float16')"
                    )
                dtype = memory_type(fitted.matrix_dtype)
                return device.matrix(batch, program, constants, dtype, out)
            return device.arrays(fitted, batch, program, constants)


def _table(fitted: Fitted, batch: Batch, features: Sequence[Any]) -> Table:
    """Return a table of the feature columns, followed by the columns that the plan keeps."""
    keep, table = fitted.declaration.keep, batch.table
    if keep and isinstance(table, DeviceTable):
        table = on_host(table.select(keep), batch.backend)
    if batch.source is not None:  # the rows are a selection
        given = batch.source.rows.table.select(keep)
        columns = [take_rows_of_type(column, batch.source.numbers) for column in given.columns]
        table = pa.Table.from_arrays(columns, schema=given.schema)
    kept = [table.schema.field(name) for name in keep]
    columns = [*features, *(table.column(name) for name in keep)]
    if not columns:  # indicators without a category: keep the number of rows
        return pa.table({"": pa.nulls(batch.n_rows)}).select([])
    schema = pa.schema([*fitted.schema, *kept]) if kept else fitted.schema
    return pa.Table.from_arrays(columns, schema=schema)


def _own_columns(batch: Batch, program: Program, constants: Constants) -> Sequence[Any]:
    """Return an Arrow array for each output, in memory that nothing else refers to."""
    arrays = compute(batch, program, constants)
    shared = batch.backend.shared_outputs(program)
    return [
        result_forms.own_array(array) if k in shared else array for k, array in enumerate(arrays)
    ]


def _matrix_form(
    fitted: Fitted, program: Program, n_rows: int
) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Return the shape and the type of the feature matrix for `n_rows` rows."""
    shape = (n_rows, len(program.outputs))
    return shape, memory_type(fitted.matrix_dtype)
