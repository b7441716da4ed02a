"""The features of rows by a fitted plan: as an Arrow table, a matrix, or arrays on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.io.arrow import Table, pa
from fastfeat.io.device import DeviceTable
from fastfeat.io.write import empty_matrix
from fastfeat.ir.node import Node
from fastfeat.plan.batch import Batch, Made, compute, run_program
from fastfeat.plan.border import Columns, check_place, check_still_missing, read_columns
from fastfeat.plan.made import make
from fastfeat.plan.memory import check_memory
from fastfeat.plan.outputs import check_result, matrix_dtype
from fastfeat.plan.tables import Tables, table_values

if TYPE_CHECKING:
    from fastfeat.plan.fitted import FittedPlan


def transform(
    fitted: FittedPlan,
    data: Any,
    tables: Tables,
    to: str,
    out: NDArray[Any] | None,
    backend: str,
    known: Mapping[Node, Any],
) -> Any:
    """Return the features of rows.

    Args:
        fitted: what is computed.
        data: as of `FittedPlan.transform`, as the following are.
        tables: lookup tables.
        to: the form of the result.
        out: the array to write to.
        backend: its name.
        known: what steps have made of these rows already.
    """
    check_result(to, out, backend)
    kept = fitted.plan.keep if to == "arrow" else ()
    table = read_columns(data, [*fitted.plan.row_columns, *kept])
    check_place(table, backend)
    check_still_missing(table, fitted.never_seen)
    if to == "numpy" and out is not None:
        shape, dtype = _matrix_form(fitted, table)
        check_memory(out, shape, dtype, table)
    batch = _made(fitted, table, tables, backend, known)
    match to:
        case "arrow":
            return _table(fitted, batch, backend)
        case "numpy":
            return _matrix(fitted, batch, out, backend)
        case _:
            from fastfeat.plan.device import arrays, matrix  # imports the GPU backend

            return matrix(fitted, batch, out) if to == "cupy" else arrays(fitted, batch)


def _made(
    fitted: FittedPlan, table: Any, tables: Tables, backend: str, known: Mapping[Node, Any]
) -> Batch:
    """Return rows with what the steps of the features make of them."""
    made: Made = {**table_values(fitted.table_columns, tables), **known}
    engine = backend_named(backend)
    batch = Batch(table, fitted.types, engine, dict(fitted.constants), made)
    if fitted.has_steps:
        make(batch, list(fitted.nodes.values()))
    return batch


def _table(fitted: FittedPlan, batch: Batch, backend: str) -> Table:
    arrays = compute(batch, fitted.arrow_program, fitted.arrow_constants)
    table = batch.table
    if fitted.plan.keep and isinstance(table, DeviceTable):
        from fastfeat.plan.device import on_host  # imports the GPU backend

        table = on_host(table.select(fitted.plan.keep), batch.backend)
    return table_of(fitted, arrays, table)


def table_of(fitted: FittedPlan, features: Sequence[Any], table: Any) -> Table:
    """Return features, as arrays, with the kept columns of the rows."""
    keep = fitted.plan.keep
    kept = [table.schema.field(name) for name in keep]
    columns = [*features, *(table.column(name) for name in keep)]
    return pa.Table.from_arrays(columns, schema=pa.schema([*fitted.schema, *kept]))


def _matrix_form(fitted: FittedPlan, table: Any) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Return the shape and the type of the matrix of some rows."""
    shape = (table.num_rows, len(fitted.matrix_program.outputs))
    return shape, np.dtype(matrix_dtype(fitted.plan).name)


def _matrix(
    fitted: FittedPlan, batch: Batch, out: NDArray[Any] | None, backend: str
) -> NDArray[Any]:
    program, constants = fitted.matrix_program, fitted.matrix_constants
    matrix = empty_matrix(*_matrix_form(fitted, batch.table)) if out is None else out
    if backend != "cpu":
        for k, array in enumerate(compute(batch, program, constants)):
            matrix[:, k] = array.to_numpy(zero_copy_only=False)
        return matrix
    from fastfeat.backends.cpu import compute_matrix

    def run(columns: Columns) -> None:
        compute_matrix(program, columns, batch.n_rows, constants, matrix)

    run_program(batch, program, constants, run)
    return matrix
