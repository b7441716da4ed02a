"""`Fitted`: a plan's declaration with its learned values, immutable, and its compiled programs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from fastfeat_kernels.records import dataclass

from fastfeat.engine.program import Constants, Program, interned
from fastfeat.errors import WarningHistory
from fastfeat.execute.batch import Programs
from fastfeat.io.arrow import Array, Schema, pa
from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir.dtypes import INT64, NULL, UINT8, DType
from fastfeat.ir.node import Call, Literal, Node, TableColumn
from fastfeat.plan.declare.bind import TableTypes
from fastfeat.plan.declare.bind import bind as bind_types
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower import code_types as types_of_codes
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower import indicators
from fastfeat.plan.lower.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.lower import LearntConstant, NodeTypes
from fastfeat.plan.lower.outputs import (
    arrays_program,
    arrow_program,
    matrix_dtype,
    matrix_program,
    output_schema,
)
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.plan.lower.scheduling import separate_multi_hot
from fastfeat.plan.lower.typed import TypedPlan, share_equal_plan, typed_of
from fastfeat.scalars.zones import use_zone_tables

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from fastfeat.execute.encoded_rows import EncodedRows
    from fastfeat.plan.declare.contract import ContractDeclaration
    from fastfeat.scalars.zone_files import ZoneTable

    Face = TypeVar("Face", default=Any)
else:
    from typing import TypeVar

    Face = TypeVar("Face")
    """A fitted plan as users have it: what holds some is generic, as `Live[FittedPlan]` is."""

R = TypeVar("R")
InputSchema = Mapping[str, DType | UnsupportedType]


class StorableRecord(Protocol):
    """A record that can be stored as bytes, such as a profile; a package above this defines it."""

    def to_bytes(self) -> bytes:
        """Return the record as bytes; equal records give equal bytes."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FittedContract:
    """A contract with the types of the columns that it was fitted on.

    Args:
        declaration: The rules.
        inputs: Type of each column that rules read, as seen in fit.
        tables: Column types of each lookup table, as seen in fit.
        zones: Tables of the time zones that rules read.
        made: Cache of the guard that checks rows against the rules.
    """

    declaration: ContractDeclaration
    inputs: InputSchema
    tables: TableTypes
    zones: dict[str, ZoneTable]
    made: dict[str, Any] = field(default_factory=dict[str, Any], init=False, repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class Fitted:
    """A declaration with its learned values; `FittedPlan` is its public class.

    Args:
        declaration: The declaration that was fitted.
        inputs: Type of each column that the features read, as seen in fit.
        constants: Value of each aggregate, and of each expression of aggregates only.
        n_rows: Number of training rows that were learned from.
        zones: Tables of the time zones that the features read.
        bound: Type of every node of the plan, bound to the columns seen in fit.
        label_inputs: Type of each column that the label is computed from; None if the label is
            itself a column, or fit has not seen its columns.
        tables: Column types of each lookup table that the features read.
        label_tables: Column types of each lookup table that the label is computed from.
        n_rows_without_label: Number of training rows that were not learned from, because their
            label looks ahead beyond the recorded rows, or at rows without a value.
        told: Warnings already given; a plan of selected features shares the record.
        encoded: Record of the training rows whose labels an encoding knows; None if the plan was
            not fitted in this process.
        contract: The contract for rows; None without one.
        profile: The profile of the training rows, or its bytes; None if it was not requested.
        golden: Generated rows with their features, as `trust.quality.golden` writes them.
    """

    declaration: Declaration
    inputs: InputSchema
    constants: Mapping[Node, LearntConstant]
    n_rows: int
    zones: dict[str, ZoneTable]
    bound: NodeTypes = field(repr=False)
    label_inputs: InputSchema | None = None
    tables: TableTypes = field(default_factory=dict[str, InputSchema])
    label_tables: TableTypes = field(default_factory=dict[str, InputSchema])
    n_rows_without_label: int = 0
    told: WarningHistory = field(default_factory=WarningHistory, repr=False)
    encoded: EncodedRows | None = field(default=None, repr=False)
    contract: FittedContract | None = None
    profile: StorableRecord | bytes | None = field(default=None, repr=False)
    golden: bytes | None = field(default=None, repr=False)
    row_kernels: threading.local = field(default_factory=threading.local, init=False, repr=False)
    """The kernel for one row, per thread; `replace` gives a new record its own."""
    programs: Programs = field(default_factory=dict[Any, Any], init=False, repr=False)
    """Compiled programs for expressions that steps read as arguments, reused by later calls."""
    prepared: dict[str, tuple[Any, ...]] = field(
        default_factory=dict[str, tuple[Any, ...]], init=False, repr=False
    )
    """Preparations for small batches, by the form of the result; see `execute.prepared`."""

    @cached_property
    def learnt(self) -> Mapping[Node, LearntConstant]:
        """The learned values, with the keys of every vocabulary in the order of their codes.

        In `constants`, keys that only group rows are unordered. They are sorted here, when first
        looked at or written to a file.
        """
        return code_plans.in_order_of_codes(self.constants)

    @cached_property
    def table_columns(self) -> dict[TableColumn, DType]:
        """The columns of lookup tables that features read, and their types."""
        return {column: self.bound[column] for column in self.declaration.row_table_columns}

    @cached_property
    def declared(self) -> TypedPlan:
        """The features as declared, before one-hot encodings become columns, with their types."""
        plan, typed = self.declaration, typed_of(self.declaration, self.bound)
        if typed is not None:
            return typed
        parts = plan.nodes, plan.dtype, self.inputs, self.tables, self.bound, self.zones
        return share_equal_plan(TypedPlan(*parts))

    @cached_property
    def schedule(self) -> Schedule:
        """The schedule that computes the features of new rows."""
        return separate_multi_hot(self.declared.schedule("apply"), self.nodes.values(), self.types)

    @cached_property
    def training_schedule(self) -> Schedule:
        """The schedule that computes the features of the training rows."""
        return separate_multi_hot(
            self.declared.schedule("training"), self.nodes.values(), self.types
        )

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """The expression of each output column, in order; one-hot encodings have several."""
        return indicators.expand_one_hot(self.declaration.nodes, self.constants, self.bound)

    @cached_property
    def types(self) -> NodeTypes:
        """The type of every node, bound to the columns seen in fit."""
        new = [node for node in self.nodes.values() if node not in self.bound]
        literals = {arg for node in new for arg in node.args if isinstance(arg, Literal)}
        return {**self.bound, **dict.fromkeys(literals, INT64), **dict.fromkeys(new, UINT8)}

    @cached_property
    def never_seen(self) -> tuple[str, ...]:
        """Columns without any value in fit (type null): a value in them later is an error."""
        read = set(self.declaration.row_columns)
        return tuple(name for name, t in self.inputs.items() if t == NULL and name in read)

    @cached_property
    def typed(self) -> TypedPlan:
        """The output columns with their types, and a cache of programs and schedules for them."""
        typed, codes = typed_of(self.declaration, self.bound), self._code_types
        if typed is not None and self.nodes == typed.nodes and codes is None:
            return typed
        dtype, zones = self.declaration.dtype, self.zones
        parts = self.nodes, dtype, self.inputs, self.tables, self.types, zones, codes
        return share_equal_plan(TypedPlan(*parts))

    @property
    def _code_types(self) -> Mapping[str, DType] | None:
        """The types of the features that are codes, if the plan asks for the smallest."""
        if self.declaration.codes is None:
            return None
        return types_of_codes.code_types(self.nodes, self.constants)

    def _once(self, make: Callable[[TypedPlan], R]) -> R:
        """Return `make(self.typed)`, cached for all plans with equal columns and types."""
        with use_zone_tables(self.zones):
            return self.typed.once(make)

    @cached_property
    def matrix_dtype(self) -> DType:
        """The type of all elements of a feature matrix."""
        return matrix_dtype(self.typed)

    @cached_property
    def arrow_program(self) -> Program:
        """The program for `to="arrow"`."""
        return self._once(_arrow_program)

    @cached_property
    def matrix_program(self) -> Program:
        """The program for `to="numpy"` and for one row."""
        return self._once(_matrix_program)

    @cached_property
    def arrays_program(self) -> Program:
        """The program for `to="cupy_columns"`."""
        return self._once(_arrays_program)

    @cached_property
    def arrow_constants(self) -> Constants:
        """The constants that the Arrow program reads."""
        return bind(self.arrow_program, self.constants)

    @cached_property
    def matrix_constants(self) -> Constants:
        """The constants that the matrix program reads."""
        return bind(self.matrix_program, self.constants)

    @cached_property
    def schema(self) -> Schema:
        """The Arrow schema of the features, without kept columns.

        The field of an ordinal encoding has the metadata "n_codes"; see `n_codes`.
        """
        fields = self._once(_output_schema)
        counts = {name: {"n_codes": str(n)} for name, n in self.n_codes.items()}
        if not counts:
            return fields
        return pa.schema(
            [f.with_metadata(counts[f.name]) if f.name in counts else f for f in fields]
        )

    @cached_property
    def n_codes(self) -> dict[str, int]:
        """The number of codes of each ordinal encoding: the rows of an embedding table."""
        return {
            name: code_plans.n_codes(node, self.constants)
            for name, node in self.nodes.items()
            if isinstance(node, Call) and node.function == "encode"
        }

    @cached_property
    def categories(self) -> dict[str, Array]:
        """The categories of each ordinal encoding as text, in the order of its codes from 1 on.

        The first is "__other", for unseen and rare values ("__other_1" to "__other_k" with
        `n_unseen_buckets=k`). The vocabulary follows, with values written like the names of one-hot
        columns: the parts of a `cross` are separated by a space, and a missing part is "missing". A
        text that repeats an earlier one gets another "_" at its end.
        """
        return code_plans.categories_of(self.nodes, self.constants, self.types)

    @property
    def feature_names(self) -> list[str]:
        """The names of the features, in output order."""
        return list(self.nodes)


def _arrow_program(typed: TypedPlan) -> Program:
    return interned(arrow_program(typed, typed.nodes, typed.types))


def _matrix_program(typed: TypedPlan) -> Program:
    return interned(matrix_program(typed, typed.nodes, typed.types))


def _arrays_program(typed: TypedPlan) -> Program:
    return interned(arrays_program(typed, typed.nodes, typed.types))


def _output_schema(typed: TypedPlan) -> Schema:
    return output_schema(typed, typed.nodes, typed.types)


def check_bound(contract: FittedContract) -> None:
    """Raise if a contract's rules do not accept the column types that fit saw.

    Records the time zones that rules read. A rule that reads the clock or an absent column is
    checked only when rows are judged.
    """
    declared = contract.declaration
    with use_zone_tables(contract.zones):
        for name, node in declared.nodes.items():
            if not declared.reads_clock(name) and set(declared.reads[name]) <= set(contract.inputs):
                bind_types([node], contract.inputs, contract.tables)


def fitted_label(
    plan: Declaration,
    inputs: InputSchema,
    tables: TableTypes,
    n_rows: int,
    zones: dict[str, ZoneTable],
) -> Fitted:
    """Return a fitted plan with the label as its only feature; the label must be an expression."""
    return fitted_of_values(plan.label_plan, inputs, lambda _: {}, n_rows, zones, tables=tables)


def fitted_of_values(
    plan: Declaration,
    inputs: InputSchema,
    learnt: Callable[[NodeTypes], Mapping[Node, LearntConstant]],
    n_rows: int,
    zones: dict[str, ZoneTable],
    label_inputs: InputSchema | None = None,
    tables: TableTypes | None = None,
    label_tables: TableTypes | None = None,
    n_rows_without_label: int = 0,
) -> Fitted:
    """Return a fitted plan with given learned values, without reading data.

    `learnt` returns the values by expression, from the types of the expressions. The other
    arguments are described in `Fitted`.
    """
    roots = list(plan.nodes.values())
    with use_zone_tables(zones):
        types = bind_types(roots, inputs, tables)
        values = learnt(types)
        constants = evaluate_constants(constant_roots(roots), types, values)
    known = {**values, **constants}
    return Fitted(
        plan,
        inputs,
        known,
        n_rows,
        zones,
        types,
        label_inputs,
        tables or {},
        label_tables or {},
        n_rows_without_label,
    )
