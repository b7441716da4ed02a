"""`FittedPlan`: a plan with what it has learnt, the same in training, batch and serving."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.groups import Groups
from fastfeat.aggregates.vocabulary import Vocabulary
from fastfeat.backends import backend_named
from fastfeat.backends.program import Constants, Program, RowFailed
from fastfeat.dtypes import INT64, NULL, UINT8, DType
from fastfeat.errors import FastfeatError, InvalidPlan, did_you_mean
from fastfeat.expr import Expr
from fastfeat.io.arrow import ChunkedArray, Schema, Table, pa
from fastfeat.io.device import DeviceTable
from fastfeat.io.times import python_value
from fastfeat.io.types import UnsupportedType, schema_of
from fastfeat.io.write import empty_matrix
from fastfeat.ir.node import Aggregate, Call, Literal, Node, TableColumn
from fastfeat.ir.scope import row_order
from fastfeat.ir.show import show_all
from fastfeat.ir.walk import postorder
from fastfeat.plan.bind import Schemas, listed
from fastfeat.plan.bind import bind as bind_types
from fastfeat.plan.border import check_place, check_still_missing, read_columns, slot_columns
from fastfeat.plan.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.environment import in_ieee
from fastfeat.plan.expand import expanded
from fastfeat.plan.failures import failed_row
from fastfeat.plan.key_state import n_codes
from fastfeat.plan.leakage import columns_of
from fastfeat.plan.lower import Constant, Types
from fastfeat.plan.made import Made, make
from fastfeat.plan.memory import check_memory
from fastfeat.plan.outputs import (
    arrays_program,
    arrow_program,
    check_result,
    matrix_dtype,
    matrix_program,
    output_schema,
)
from fastfeat.plan.state import aggregates_of
from fastfeat.plan.tables import Tables, table_values
from fastfeat.plan.vocabularies import (
    encoder_of,
    inverse,
    learnt_table,
    vocabulary_table,
)
from fastfeat.scalars.zones import ZoneTable, using
from fastfeat.steps import is_step

if TYPE_CHECKING:
    from fastfeat.plan.plan import Plan
    from fastfeat.plan.row import RowKernel
    from fastfeat.plan.verify import Report

InputSchema = Mapping[str, DType | UnsupportedType]


@dataclass(frozen=True, eq=False)
class FittedPlan:
    """A plan with what `fit` has learnt; made by `Plan.fit` and `load`, never changed.

    Args:
        plan: the plan.
        inputs: type of each column that the features read, as seen in fit.
        constants: value of each aggregate, and of what is computed from aggregates alone.
        n_rows: number of training rows.
        zones: the tables of the time zones that the features read.
        bound: the type of every node of the plan, bound to the columns seen in fit.
        label_inputs: type of each column that the label is computed from; None where it is a column
            itself, or fit has not seen its columns.
        tables: type of each column of the lookup tables that the features read.
    """

    plan: Plan
    inputs: InputSchema
    constants: Mapping[Node, Constant]
    n_rows: int
    zones: dict[str, ZoneTable]
    bound: Types = field(repr=False)
    label_inputs: InputSchema | None = None
    tables: Schemas = field(default_factory=dict[str, InputSchema])
    _local: threading.local = field(default_factory=threading.local, repr=False)

    @in_ieee
    def transform(
        self,
        data: Any,
        *,
        tables: Tables = None,
        to: str = "arrow",
        out: NDArray[Any] | None = None,
        backend: str = "cpu",
    ) -> Any:
        """Return the features of the rows, in their order.

        Args:
            data: as in `fit`; late columns are not needed, further columns are ignored.
            tables: as in `fit`; further tables and columns are ignored.
            to: "arrow" for a pyarrow Table with the kept columns, "numpy" for a float matrix of
                shape (n_rows, n_features), column after column in memory, where NaN is missing;
                "cupy" for that matrix in the memory of the device, "cupy_columns" for a dict of
                arrays there, each of the type of its feature: a float that is missing is NaN, an
                integer or bool that is missing is an error.
            out: for "numpy" and "cupy", the array to write to, shape (n_rows, n_features), any
                strides; it must not overlap the data.
            backend: "cpu", "gpu", "reference", or "emulated" (CUDA kernels by g++): the same bits.

        Raises:
            UnknownColumn: the data lacks a column, or `tables` a table.
            TypeMismatch, InvalidData: a column is not of the type seen in fit, nor exactly
                convertible.
            Overflow: a result does not fit its type; names the feature and the first row.
        """
        return self.transform_made(data, tables, to, out, backend, {})

    def transform_made(
        self,
        data: Any,
        tables: Tables,
        to: str,
        out: NDArray[Any] | None,
        backend: str,
        known: Made,
    ) -> Any:
        """Return what `transform` does.

        Args:
            data: as of `transform`, as the following are.
            tables: lookup tables.
            to: the form of the result.
            out: the array to write to.
            backend: its name.
            known: what steps have made of these rows already.
        """
        check_result(to, out, backend)
        kept = self.plan.keep if to == "arrow" else ()
        table = read_columns(data, [*self.plan.row_columns, *kept])
        check_place(table, backend)
        check_still_missing(table, self.never_seen)
        match to:
            case "arrow":
                return self._table(table, tables, backend, known)
            case "numpy":
                return self._matrix(table, tables, out, backend, known)
            case _:
                from fastfeat.plan import device  # imports the GPU backend

                if to == "cupy":
                    return device.matrix(self, table, tables, out, backend)
                return device.arrays(self, table, tables, backend)

    def _table(self, table: Any, tables: Tables, backend: str, known: Made) -> Table:
        program, constants = self.arrow_program, self._arrow_constants
        arrays = self._compute(program, constants, table, tables, backend, known)
        if self.plan.keep and isinstance(table, DeviceTable):
            from fastfeat.plan.device import on_host  # imports the GPU backend

            table = on_host(table.select(self.plan.keep), backend_named(backend))
        return self.table_of(arrays, table)

    def table_of(self, features: Sequence[Any], table: Any) -> Table:
        """Return features, as arrays, with the kept columns of the rows."""
        kept = [table.schema.field(name) for name in self.plan.keep]
        columns = [*features, *(table.column(name) for name in self.plan.keep)]
        return pa.Table.from_arrays(columns, schema=pa.schema([*self.schema, *kept]))

    def _compute(
        self,
        program: Program,
        constants: Constants,
        table: Any,
        tables: Tables,
        backend: str,
        known: Made,
    ) -> list[Any]:
        engine, made = backend_named(backend), self.made(table, tables, backend, known)
        columns = slot_columns(program, table, made)
        try:
            return engine.compute(program, columns, table.num_rows, constants)
        except RowFailed as failure:
            row = failure.args[0]
            raise failed_row(program, row, columns, constants, table, engine) from None

    def made(self, table: Any, tables: Tables, backend: str, known: Made | None = None) -> Made:
        """Return what the steps of the features make of some rows; some may be known already."""
        made: Made = {**table_values(self._table_columns, tables), **(known or {})}
        roots = list(self.nodes.values())
        if self.has_steps:
            make(roots, self.types, self.constants, table, backend_named(backend), made)
        return made

    @cached_property
    def _table_columns(self) -> dict[TableColumn, DType]:
        """The columns of lookup tables that the features read, and their types."""
        return {column: self.bound[column] for column in self.plan.table_columns}

    @cached_property
    def has_steps(self) -> bool:
        """Whether features read columns that steps make."""
        return any(is_step(node, self.types) for node in row_order(self.nodes.values()))

    def _matrix(
        self, table: Any, tables: Tables, out: NDArray[Any] | None, backend: str, known: Made
    ) -> NDArray[Any]:
        program, constants = self.matrix_program, self.matrix_constants
        dtype = np.dtype(matrix_dtype(self.plan).name)
        shape = (table.num_rows, len(program.outputs))
        if out is None:
            out = empty_matrix(shape, dtype)
        else:
            check_memory(out, shape, dtype, table)
        if backend != "cpu":
            computed = self._compute(program, constants, table, tables, backend, known)
            for k, array in enumerate(computed):
                out[:, k] = array.to_numpy(zero_copy_only=False)
            return out
        from fastfeat.backends.cpu import compute_matrix

        columns = slot_columns(program, table, self.made(table, tables, backend, known))
        try:
            compute_matrix(program, columns, table.num_rows, constants, out)
        except RowFailed as failure:
            raise failed_row(program, failure.args[0], columns, constants, table) from None
        return out

    def transform_row(self, row: Mapping[str, Any], *, tables: Tables = None) -> NDArray[Any]:
        """Return the features of one row, as a float array of shape (n_features,); NaN is missing.

        Args:
            row: value of each input column; None or NaN is missing, further entries are ignored.
            tables: as in `fit`. Pass the same pyarrow Tables at each call: what is made of one is
                kept as long as it lives, that of any other kind is made at each call.

        Raises:
            UnknownColumn: a column is not in the row, or a table not in `tables`.
            TypeMismatch: a value is not of the column's type, nor exactly convertible.
        """
        local = self._local
        kernel: RowKernel | None = getattr(local, "kernel", None)
        if kernel is None:
            from fastfeat.plan.row import row_kernel

            kernel = row_kernel(self)
        if self._table_columns:
            from fastfeat.plan.row import joined

            row = joined(row, table_values(self._table_columns, tables))
        local.kernel = None  # its buffers are in use: what an interrupt runs makes its own
        try:
            features = kernel(row)
        except FastfeatError:
            local.kernel = kernel
            raise
        local.kernel = kernel
        return features

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """The expression of each output column, in order."""
        return expanded(self.plan.nodes, self.constants, self.bound)

    @cached_property
    def types(self) -> Types:
        """The type of every node, bound to the columns seen in fit."""
        new = [node for node in self.nodes.values() if node not in self.bound]
        literals = {arg for node in new for arg in node.args if isinstance(arg, Literal)}
        return {**self.bound, **dict.fromkeys(literals, INT64), **dict.fromkeys(new, UINT8)}

    @cached_property
    def never_seen(self) -> tuple[str, ...]:
        """The columns that had no value in fit, and no type: they may not have one later."""
        read = set(self.plan.row_columns)
        return tuple(name for name, t in self.inputs.items() if t == NULL and name in read)

    @cached_property
    def arrow_program(self) -> Program:
        """What is computed for `to="arrow"`."""
        with using(self.zones):
            return arrow_program(self.plan, self.nodes, self.types)

    @cached_property
    def matrix_program(self) -> Program:
        """What is computed for `to="numpy"` and for one row."""
        with using(self.zones):
            return matrix_program(self.plan, self.nodes, self.types)

    @cached_property
    def arrays_program(self) -> Program:
        """What is computed for `to="cupy_columns"`."""
        with using(self.zones):
            return arrays_program(self.plan, self.nodes, self.types)

    @cached_property
    def _arrow_constants(self) -> Constants:
        return bind(self.arrow_program, self.constants)

    @cached_property
    def matrix_constants(self) -> Constants:
        """What the matrix program reads besides its inputs."""
        return bind(self.matrix_program, self.constants)

    @cached_property
    def schema(self) -> Schema:
        """The Arrow schema of the features, without kept columns.

        The field of an ordinal encoding has the metadata "n_codes"; see `n_codes`.
        """
        fields = output_schema(self.plan, self.nodes, self.types)
        counts = {name: {"n_codes": str(n)} for name, n in self.n_codes.items()}
        return pa.schema(
            [f.with_metadata(counts[f.name]) if f.name in counts else f for f in fields]
        )

    @cached_property
    def n_codes(self) -> dict[str, int]:
        """How many codes each ordinal encoding has: the rows of an embedding."""
        return {
            name: n_codes(node, self.constants)
            for name, node in self.nodes.items()
            if isinstance(node, Call) and node.function == "encode"
        }

    @property
    def feature_names(self) -> list[str]:
        """The names of the features, in output order."""
        return list(self.nodes)

    def learnt(self) -> dict[str, Any]:
        """Return what fit has learnt, by the text of the aggregate; missing is None.

        What is learnt per key is a table of the key and its value.

        Times are Python's datetime, date, time and timedelta; those that Python does not have, such
        as one with nanoseconds, are pyarrow scalars.
        """
        aggregates = aggregates_of(self.plan.nodes.values())
        values: dict[str, Any] = {}
        for aggregate, text in show_all(aggregates).items():
            # texts that were shortened may be the same
            name = text if text not in values else f"{text} #{len(values)}"
            value = self.constants[aggregate]
            if isinstance(aggregate, Aggregate) and isinstance(value, Vocabulary | Groups):
                values[name] = learnt_table(aggregate, value, self.constants, self.types)
            else:
                values[name] = python_value(value, self.types[aggregate])
        return values

    def vocabulary(self, feature: str) -> Table:
        """Return the categories of an encoder as a table of code, value and number of rows.

        Args:
            feature: a feature in which an encoder looks its categories up; of several encoders the
                first counts.

        Returns:
            A table with the columns "code", one a part of the key (named by its column, or "value")
            and "count", of the training rows: first the code 0 of missing, then those of unseen
            and rare categories, then the categories.

        Raises:
            InvalidPlan: there is no such feature, or it has no categories.
        """
        codes = encoder_of(self.nodes, feature, self.plan.nodes)
        return vocabulary_table(codes, self.constants, self.types)

    def inverse(self, feature: str, codes: Any) -> Any:
        """Return the categories that codes of an encoder stand for.

        Args:
            feature: as of `vocabulary`.
            codes: integers, in any form that pyarrow takes.

        Returns:
            An array of the type of the column, of a `cross` a struct array; missing for the codes
            of missing, unseen and rare categories, which do not say what they were.

        Raises:
            InvalidData: a code that the encoder does not give.
        """
        codes_of = encoder_of(self.nodes, feature, self.plan.nodes)
        return inverse(codes_of, codes, self.constants, self.types)

    def label(self, data: Any, *, backend: str = "cpu") -> ChunkedArray:
        """Return the label of the rows, computed from their late columns, as those of fit were.

        Raises:
            InvalidPlan: the plan has no label.
        """
        nodes = self.plan.label_nodes
        if not nodes:
            raise InvalidPlan("the plan has no label. Give it one: Plan(..., label='y')")
        rows = read_columns(data, columns_of(nodes.values()))  # once: it may be a reader
        if isinstance(self.plan.label, str):
            check_place(rows, "cpu")
            return rows.column(self.plan.label)
        return self._fitted_label(rows).transform(rows, backend=backend).column(0)

    def _fitted_label(self, rows: Any) -> FittedPlan:
        """Return the label as a plan: of the types seen in fit, or of those of the rows."""
        from fastfeat.plan.plan import Plan

        assert isinstance(self.plan.label, Mapping)
        plan = Plan(self.plan.label)
        inputs = self.label_inputs or used_schema(rows, plan.columns)
        return fitted_of_values(plan, inputs, lambda _: {}, self.n_rows, dict(self.zones))

    def select(self, names: str | Sequence[str]) -> FittedPlan:
        """Return the fitted plan with some of its features, in that order, and no kept columns.

        Args:
            names: features by their name in the plan, or single columns of those that have several
                by their name in the output: "hour", or "hour_sin". One name may stand alone.

        Raises:
            InvalidPlan: a name that is neither.
        """
        from fastfeat.plan.plan import Plan

        names = [names] if isinstance(names, str) else list(names)
        known = {name: Expr((node,)) for name, node in self.nodes.items()}
        known |= self.plan.expressions
        for name in names:
            if name not in known:
                hint = did_you_mean(str(name), known) or f" There are: {listed(known)}"
                raise InvalidPlan(f"there is no feature {name!r}.{hint}")
        plan = Plan(
            {name: known[name] for name in names},
            label=self.plan.label,
            outcomes=self.plan.outcomes,
            dtype=self.plan.dtype,
        )
        inputs = {name: self.inputs[name] for name in plan.columns}
        tables = {c.table: self.tables[c.table] for c in plan.table_columns}
        reached = set(postorder(list(plan.nodes.values())))
        constants = {node: value for node, value in self.constants.items() if node in reached}
        return FittedPlan(
            plan, inputs, constants, self.n_rows, self.zones, self.types, self.label_inputs, tables
        )

    def explain(self, stage: str = "physical") -> str:
        """Return the fitted plan as text.

        Args:
            stage: "plan" (features and scans), "bound" (types), "optimized" (what is hoisted and
                shared), "physical" (loops), "cpu" and "cuda" (the generated kernels), "leakage"
                (what each feature can see).
        """
        from fastfeat.plan.explain import explain_plan

        with using(self.zones):
            return explain_plan(self.plan, stage, self.inputs, self.nodes, self.tables)

    def verify(
        self,
        data: Any,
        *,
        tables: Tables = None,
        n_rows: int = 1000,
        backends: Sequence[str] = ("cpu", "reference"),
    ) -> Report:
        """Return a report of whether all paths give the same bits: backends, chunks, threads, rows.

        Args:
            data: as in `transform`.
            tables: as in `transform`.
            n_rows: how many rows, evenly spaced, the reference computes; it is slow.
            backends: at least two, such as ("cpu", "gpu"): each is compared with the first.

        Raises:
            InvalidPlan: fewer rows than 1, fewer backends than 2.
            BackendUnavailable: a backend that does not exist, or cannot run here.
        """
        from fastfeat.plan.verify import verify

        return verify(self, data, tables, n_rows, backends)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how pickle and copy make the plan again: from the content of its artifact."""
        from fastfeat.plan.artifact import artifact_bytes, fitted_of

        return fitted_of, (artifact_bytes(self),)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted plan to a file, whole or not at all; it holds no code.

        Raises:
            ArtifactError: the file cannot be written.
        """
        from fastfeat.plan.artifact import save

        save(self, path)


def fitted_of_values(
    plan: Plan,
    inputs: InputSchema,
    learnt: Callable[[Types], Mapping[Node, Constant]],
    n_rows: int,
    zones: dict[str, ZoneTable],
    label_inputs: InputSchema | None = None,
    tables: Schemas | None = None,
) -> FittedPlan:
    """Return a plan fitted by what is known already.

    Args:
        plan: the plan.
        inputs: as of `FittedPlan`.
        learnt: gives the value of each aggregate, from the types of the nodes.
        n_rows: as of `FittedPlan`.
        zones: as of `FittedPlan`.
        label_inputs: as of `FittedPlan`.
        tables: as of `FittedPlan`.
    """
    roots = list(plan.nodes.values())
    with using(zones):
        types = bind_types(roots, inputs, tables)
        values = learnt(types)
        constants = evaluate_constants(constant_roots(roots), types, values)
    known = {**values, **constants}
    return FittedPlan(plan, inputs, known, n_rows, zones, types, label_inputs, tables or {})


def used_schema(table: Any, columns: Sequence[str]) -> InputSchema:
    """Return the type of each column that a plan reads."""
    types = schema_of(table)
    return {name: types[name] for name in columns}
