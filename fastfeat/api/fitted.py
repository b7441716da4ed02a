"""`FittedPlan`: a plan with what it has learnt, the same in training, batch and serving."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fastfeat import pickles
from fastfeat.aggregates.keys import Groups, Vocabulary
from fastfeat.arguments import TOO_MANY, Hints, explaining_methods
from fastfeat.completion import offering
from fastfeat.dtypes import INT64, NULL, UINT8, DType
from fastfeat.engine.float_environment import in_ieee
from fastfeat.engine.program import Constants, Program
from fastfeat.errors import FastfeatError, InvalidPlan, Told
from fastfeat.io.arrow import Array, ChunkedArray, Schema, Table, pa
from fastfeat.io.columns.times import python_value
from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir.node import Aggregate, Call, Literal, Node, TableColumn
from fastfeat.ir.scope import row_order
from fastfeat.ir.show import show_all
from fastfeat.plan.declare.bind import Schemas
from fastfeat.plan.declare.bind import bind as bind_types
from fastfeat.plan.declare.columns_read import columns_of
from fastfeat.plan.keep.state import aggregates_of
from fastfeat.plan.lower.codes import n_codes
from fastfeat.plan.lower.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.indicators import expanded
from fastfeat.plan.lower.lower import Constant, Types
from fastfeat.plan.lower.outputs import arrays_program, arrow_program, matrix_program, output_schema
from fastfeat.plan.run.batch import taken_alike
from fastfeat.plan.run.encoded_rows import EncodedRows
from fastfeat.plan.run.inputs import check_place, read_columns, used_schema
from fastfeat.plan.run.lookup_tables import Tables, table_values
from fastfeat.plan.run.results import categories_of
from fastfeat.plan.run.row_selection import row_numbers
from fastfeat.plan.run.transform import transform
from fastfeat.plan.tell.fitted_tables import encoder_of, inverse, learnt_table, vocabulary_table
from fastfeat.plan.tell.summary import fitted_summary
from fastfeat.scalars.zones import ZoneTable, using
from fastfeat.steps.registry import is_step

if TYPE_CHECKING:
    from fastfeat.api.compile import Compiled
    from fastfeat.api.plan import Plan
    from fastfeat.online.live import Live
    from fastfeat.online.row.kernel import RowKernel
    from fastfeat.online.state.changes import Durability, Late
    from fastfeat.plan.declare.window_reach import Reach
    from fastfeat.verify.comparison import Report

InputSchema = Mapping[str, DType | UnsupportedType]


_LABEL_UNREAD = "No label is read here: fitted.transform(data). fitted.label(data) computes it"
_HINTS: dict[str, Hints] = {
    "transform": dict.fromkeys((TOO_MANY, "y", "label"), _LABEL_UNREAD),
    "transform_row": {
        "history": "One row has no past. Keep it: live = fitted.online(history=...), then "
        "live.process(row); or pass both: fitted.transform([row], history=...)"
    },
}


_READ = (
    *("plan", "schema", "feature_names", "n_codes", "inputs", "n_rows", "n_rows_without_label"),
)
"""The attributes of a fitted plan that users read."""
_OF_PLAN = dict.fromkeys(("fit", "fit_transform"), "It stays as it is; fitted.plan.{} learns anew")
_OF_MODEL = dict.fromkeys(
    ("predict", "predict_proba", "score"), "Give fitted.transform(data, to='numpy') to a model"
)
_ELSEWHERE = {**_OF_PLAN, **_OF_MODEL}


@offering(*_READ)
@explaining_methods(lambda fitted: "fitted.", _HINTS)
@dataclass(frozen=True, eq=False, repr=False)
class FittedPlan:
    """A plan with what `fit` has learnt; made by `Plan.fit` and `load`, never changed.

    Args:
        plan: the plan.
        inputs: type of each column that the features read, as seen in fit.
        constants: value of each aggregate, and of what is computed from aggregates alone.
        n_rows: number of training rows that were learnt from.
        zones: the tables of the time zones that the features read.
        bound: the type of every node of the plan, bound to the columns seen in fit.
        label_inputs: type of each column that the label is computed from; None where it is a column
            itself, or fit has not seen its columns.
        tables: type of each column of the lookup tables that the features read.
        label_tables: the same of those that the label is computed from.
        n_rows_without_label: number of training rows that were not learnt from, because their
            label looks ahead of what is recorded, or of rows that give none.
        told: the warnings that it has given; a selection of its features does not repeat them.
        encoded: the rows whose labels an encoding knows, where it was fitted in this process.
    """

    plan: Plan
    inputs: InputSchema
    constants: Mapping[Node, Constant]
    n_rows: int
    zones: dict[str, ZoneTable]
    bound: Types = field(repr=False)
    label_inputs: InputSchema | None = None
    tables: Schemas = field(default_factory=dict[str, InputSchema])
    label_tables: Schemas = field(default_factory=dict[str, InputSchema])
    n_rows_without_label: int = 0
    told: Told = field(default_factory=Told, repr=False)
    encoded: EncodedRows | None = field(default=None, repr=False)
    # not of init: `replace` gives another plan a kernel of its own
    _local: threading.local = field(default_factory=threading.local, init=False, repr=False)

    @in_ieee
    def transform(
        self,
        data: Any,
        *,
        rows: Any = None,
        history: Any = None,
        tables: Tables = None,
        to: str = "arrow",
        out: Any = None,
        categories: bool = False,
        backend: str = "cpu",
    ) -> Any:
        """Return the features of the rows, in their order.

        Args:
            data: as in `fit`; late columns are not needed, further columns are ignored. Without
                late ones windows see late values of the history alone: features are others than
                those of the same rows with their labels.
            rows: the rows of the data that are computed, by a bool for each row or by their
                numbers, in any order and as often as one likes; None for all. Windows, lookups and
                joins see all rows of the data.
            history: earlier rows of the same entities, which windows see; late columns too, where
                windows read them. "batch" says that the data holds its own past; without either a
                plan with windows warns. A plan without windows does not look at it. With `row_id=`
                of the plan, rows of one id in both are one row; without, they count twice.
            tables: as in `fit`; further tables and columns are ignored.
            to: the form of the result.

                - "arrow": a pyarrow Table, with the kept columns.
                - "pandas": a DataFrame with them, and with the index of the data where that is a
                  DataFrame. A float that is missing is NaN. An integer or bool that may be missing,
                  whether or not it is in these rows, has a nullable type, such as Int64 or
                  boolean; others have NumPy's, and dates are datetime64. Features of one float
                  type, and nothing else, are one block of memory. All memory is the frame's own.
                - "polars": a DataFrame with the kept columns, over the memory of Arrow.
                - "numpy": a float matrix of shape (n_rows, n_features), column after column in
                  memory, where NaN is missing. For one row after row, give it as `out`.
                - "torch": that matrix as a tensor on the CPU, row after row in memory.
                - "cupy": that matrix in the memory of the device, column after column.
                - "cupy_columns": a dict of arrays there, each of the type of its feature: a float
                  that is missing is NaN, an integer or bool that is missing is an error.
            out: for "numpy", "torch" and "cupy", the array or tensor to write to, shape
                (n_rows, n_features), any strides; it must not overlap the data.
            categories: whether ordinal encodings come as categories in place of codes: dictionaries
                of Arrow, Categorical of pandas, Enum of Polars, of the same categories in the same
                order at each call, see `categories`. A missing value is missing; one that is unseen
                or rare is the first category, "__other". Not for matrices.
            backend: "cpu", "gpu", "reference", or "emulated" (CUDA kernels by g++): the same bits.

        Raises:
            UnknownColumn: the data lacks a column, or `tables` a table.
            TypeMismatch, InvalidData: a column is not of the type seen in fit, nor exactly
                convertible.
            Overflow: a result does not fit its type; names the feature and the first row.
            LibraryUnavailable: the library of the form is not installed.

        Warns:
            HistoryMissing: windows begin before the data, which came without `history`.
            RowsRepeated: rows of the history are rows of the data too, and count twice.
            EncodedInFold: they are rows that an encoding of the target was learnt from, told by the
                plan's `row_id=`, or where they are all of them. `Plan.fit_transform` gives the
                features to train a model on.
        """
        return transform(
            self, data, rows, history, tables, to, out, backend, {}, categories=categories
        )

    @cached_property
    def table_columns(self) -> dict[TableColumn, DType]:
        """The columns of lookup tables that rows read, and their types."""
        return {column: self.bound[column] for column in self.plan.row_table_columns}

    @cached_property
    def has_steps(self) -> bool:
        """Whether features read columns that steps make."""
        return any(is_step(node, self.types) for node in row_order(self.nodes.values()))

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
            from fastfeat.online.row.kernel import row_kernel

            kernel = row_kernel(self)
        if self.table_columns:
            from fastfeat.online.row.kernel import joined

            row = joined(row, table_values(self.table_columns, tables))
        local.kernel = None  # its buffers are in use: what an interrupt runs makes its own
        try:
            features = kernel(row)
        except FastfeatError:
            local.kernel = kernel
            raise
        local.kernel = kernel
        return features

    def online(
        self,
        history: Any = None,
        *,
        path: str | os.PathLike[str] | None = None,
        tables: Tables = None,
        late: Late | None = None,
        keep: str | int | None = None,
        max_ahead: str | None = None,
        durability: Durability | None = None,
    ) -> Live:
        """Return the plan with a state of rows that arrive, each served with its past.

        Args:
            history: the rows that a new state begins with, in order of arrival, with late columns
                where they are known; None for none.
            path: a file that the state is kept in. One that exists is opened, and takes no history;
                a new one is made whole or not at all. None keeps the state in memory alone.
            tables: the lookup tables that a new state begins with, as in `transform`.
            late: what becomes of a row that is earlier than the latest one of its entity: "error"
                (the default); "insert" answers it as of its time and puts it into the state, where
                later answers see it; "drop" answers it and leaves it out.
            keep: how much longer than windows see rows stay, for late rows: a duration such as
                "2d", a whole number for clocks of integers, or "everything". None keeps, for late
                rows that are taken, as long again as windows see.
            max_ahead: how far a time may be ahead of this machine's clock, such as "1h".
            durability: when a call is on disk: "commit" (the default) before it returns,
                "interval" within a second, "checkpoint" once `Live.checkpoint` or `close` returns.

        `late`, `keep` and `max_ahead` are stored in the file: None takes those when it is opened.

        Raises:
            InvalidPlan: a window sees all of an entity, whose rows could never be dropped, and
                `keep` is not "everything"; or a setting that the plan cannot have.
            StateError: a file that is damaged, of another plan, or in use.
            FastfeatError: of the history and the tables, as in `transform`.

        Example:
            >>> spent = col("x").sum(over=ff.window(24, time="t", by="card"))
            >>> fitted = ff.Plan({"spent": spent}).fit({"t": [0], "card": ["a"], "x": [1.0]})
            >>> live = fitted.online({"t": [1], "card": ["a"], "x": [2.5]})
            >>> live.features({"t": 2, "card": "a", "x": 4.0})
            array([2.5])
        """
        from fastfeat.online.live import ALONE, online

        return online(
            {ALONE: self},
            history,
            path=path,
            tables=tables,
            late=late,
            keep=keep,
            max_ahead=max_ahead,
            durability=durability,
        )

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """The expression of each output column, in order."""
        return expanded(self.plan.nodes, self.constants, self.bound)

    @cached_property
    def _known(self) -> dict[str, list[Node]]:
        """The expressions of each output column, and of each feature of the plan."""
        of_plan = {
            name: [self.plan.nodes[name + suffix] for suffix in expression.suffixes]
            for name, expression in self.plan.expressions.items()
        }
        return {name: [node] for name, node in self.nodes.items()} | of_plan

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
    def arrow_constants(self) -> Constants:
        """What the Arrow program reads besides its inputs."""
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

    @cached_property
    def categories(self) -> dict[str, Array]:
        """The categories of each ordinal encoding as text, in the order of its codes from 1 on.

        First stands "__other", of unseen and rare values ("__other_1" to "__other_k" with
        `n_unseen_buckets=k`), then the vocabulary: a value is written as in the names of one-hot
        columns, the parts of a `cross` with a space between them, a part that is missing as
        "missing". Where two texts are equal the later one gets a "_" more.
        """
        return categories_of(self.nodes, self.constants, self.types)

    @property
    def feature_names(self) -> list[str]:
        """The names of the features, in output order."""
        return list(self.nodes)

    def learnt(self) -> dict[str, Any]:
        """Return what fit has learnt, by the text of the aggregate; missing is None.

        What is learnt per key is a table of the key (named by its column, or "key") and the value:
        first of missing, unseen and rare keys, then of the others.

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
            feature: a feature in which an encoder looks its categories up, or a column of it; of
                several encoders the first counts.

        Returns:
            A table with the columns "code", one a part of the key (named by its column, or "value")
            and "count", of the training rows: first the code 0 of missing, then those of unseen
            and rare categories, then the categories. Where several codes share the rare ones,
            the count of each of them is missing.

        Raises:
            InvalidPlan: there is no such feature, or it has no categories.
        """
        codes = encoder_of(self._known, feature)
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
            TypeMismatch: something else than codes.
        """
        codes_of = encoder_of(self._known, feature)
        return inverse(codes_of, codes, self.constants, self.types)

    def label(
        self,
        data: Any,
        *,
        rows: Any = None,
        history: Any = None,
        tables: Tables = None,
        backend: str = "cpu",
    ) -> ChunkedArray:
        """Return the label of the rows, computed as in fit: of their late columns, or rows ahead.

        Args:
            data: the rows, with the columns that the label is computed from.
            rows: as in `transform`; a label that looks ahead sees all rows of the data.
            history: as in `transform`; a label that looks ahead sees these rows too.
            tables: those that the label looks ahead in, as in `fit`.
            backend: as in `transform`.

        Returns:
            One value a row; missing too where a window ahead ends after what is recorded.

        Raises:
            InvalidPlan: the plan has no label.
            UnknownColumn: the data, the history or a table lacks a column.
            InvalidData: it looks ahead, and the data is in the memory of a device.
        """
        nodes = self.plan.label_nodes
        if not nodes:
            raise InvalidPlan("the plan has no label. Give it one: Plan(..., label='y')")
        row_id = [] if isinstance(self.plan.label, str) else self.plan.label_plan.ids(history)
        read = [*columns_of(nodes.values()), *row_id]
        table = read_columns(data, read)  # once: it may be a reader
        if isinstance(self.plan.label, str):
            check_place(table, "cpu")
            values, wanted = table.column(self.plan.label), row_numbers(rows, table)
            return values if wanted is None else taken_alike(values, wanted)
        from fastfeat.plan.fit.labels import labels_of

        wanted = row_numbers(rows, table)
        inputs = self.label_inputs or used_schema(table, self.plan.label_columns)
        label = fitted_label(self.plan, inputs, self.label_tables, self.n_rows, dict(self.zones))
        told = replace(label, told=self.told)  # what fit has warned of comes no more
        values = labels_of(told, table, history, tables, backend).values
        return values if wanted is None else values.take(pa.array(wanted))

    def history_needed(self) -> dict[str, str]:
        """Return how far back windows see, by the entity; see `Plan.history_needed`."""
        return self.plan.history_needed()

    def reach(self) -> dict[str, Reach]:
        """Return how far back windows see as numbers, by the entity; see `Plan.reach`."""
        return self.plan.reach()

    def select(self, names: str | Sequence[str]) -> FittedPlan:
        """Return the fitted plan with some of its features, in that order, and no kept columns.

        Args:
            names: features by their name in the plan, or single columns of those that have several
                by their name in the output: "hour", or "hour_sin". One name may stand alone.

        Raises:
            InvalidPlan: a name that is neither.
        """
        from fastfeat.plan.fit.feature_subset import selected

        return selected(self, [names] if isinstance(names, str) else list(names))

    def feature_map(self) -> Table:
        """Return the feature and the sources of each output column, to group importances by.

        Returns:
            A table with the columns "column", "feature" and "sources", which lists the columns of
            the data that the feature is made of; those of tables are named "table.column". What an
            encoder learns from is not among them.

        Example:
            >>> plan = ff.Plan({"hour": col("t").cyclical(24), "x": col("x") + col("z").mean()})
            >>> plan.fit({"t": [1], "x": [2], "z": [3]}).feature_map().to_pylist()[1:]
            [{'column': 'hour_cos', 'feature': 'hour', 'sources': ['t']}, \
{'column': 'x', 'feature': 'x', 'sources': ['x', 'z']}]
        """
        from fastfeat.plan.tell.fitted_tables import feature_map

        return feature_map(self)

    def compile(self, *, backend: str = "cpu") -> Compiled:
        """Return a record of the kernels made ready to transform rows; see `Plan.compile`.

        For an image that serves: what `transform` and `transform_row` would compile.

        Args:
            backend: as in `transform`.

        Raises:
            BackendUnavailable: a backend that does not exist, or cannot run here.
        """
        from fastfeat.api.compile import compile_fitted

        return compile_fitted(self, backend)

    def explain(self, stage: str = "physical") -> str:
        """Return the fitted plan as text.

        Args:
            stage: "plan" (features and scans), "bound" (types), "optimized" (what is hoisted and
                shared), "physical" (loops), "cpu" and "cuda" (the generated kernels), "leakage"
                (what each feature can see), "live" (how rows are computed as they arrive, and what
                a live state holds).
        """
        from fastfeat.plan.tell.explain import explain_plan

        with using(self.zones):
            return explain_plan(self.plan, stage, self.inputs, self.nodes, self.tables)

    def verify(
        self,
        data: Any,
        *,
        history: Any = None,
        tables: Tables = None,
        n_rows: int = 1000,
        backends: Sequence[str] = ("cpu", "reference"),
    ) -> Report:
        """Return a report of whether all paths give the same bits: backends, threads, rows, live.

        Args:
            data: as in `transform`.
            history: as in `transform`; None where the data holds its own past.
            tables: as in `transform`.
            n_rows: how many rows the reference computes, which is slow: evenly spaced, or of whole
                entities where the plan has windows. Of rows with a long past it computes fewer, and
                after the latest of the history alone; the report says how many.
            backends: at least two, such as ("cpu", "gpu"): each is compared with the first.

        Raises:
            InvalidPlan: fewer rows than 1, fewer backends than 2.
            BackendUnavailable: a backend that does not exist, or cannot run here.
        """
        from fastfeat.verify.paths import verify

        return verify(self, data, history, tables, n_rows, backends)

    def __repr__(self) -> str:
        """Return a line for each of the first features: its type, and how it is made."""
        return fitted_summary(self)

    def _repr_html_(self) -> str:
        """Return a table of the features, and of what was learnt for each, for notebooks."""
        from fastfeat.plan.tell.html import fitted_html

        return fitted_html(self)

    if not TYPE_CHECKING:  # type checkers would take any attribute for granted

        def __getattr__(self, name: str) -> Any:
            """Say what to do where a fitted plan is used as a plan, or as a model."""
            hint = f". {_ELSEWHERE[name].format(name)}" if name in _ELSEWHERE else ""
            raise AttributeError(f"a fitted plan has no attribute {name!r}{hint}")

    def __eq__(self, other: object) -> bool:
        """Return whether the other has the same plan, types of columns and learnt values."""
        if not isinstance(other, FittedPlan):
            return NotImplemented
        return self is other or self._digest == other._digest

    def __hash__(self) -> int:
        """Return a number that equal fitted plans have in common."""
        return hash(self._digest)

    @cached_property
    def _digest(self) -> bytes:
        from fastfeat.plan.keep.artifact import fitted_digest

        return fitted_digest(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how pickle and copy make the plan again: from the content of its artifact."""
        from fastfeat.plan.keep.artifact import artifact_bytes

        return pickles.fitted_of, (artifact_bytes(self),)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted plan to a file, whole or not at all; it holds no code.

        Raises:
            ArtifactError: the file cannot be written.
        """
        from fastfeat.plan.keep.artifact import save

        save(self, path)


def fitted_label(
    plan: Plan, inputs: InputSchema, tables: Schemas, n_rows: int, zones: dict[str, ZoneTable]
) -> FittedPlan:
    """Return what computes the label of a plan, which is an expression.

    Args:
        plan: the plan.
        inputs: type of each column that the label is computed from.
        tables: the same of tables.
        n_rows: as of `FittedPlan`, as the following are.
        zones: the tables of time zones.
    """
    return fitted_of_values(plan.label_plan, inputs, lambda _: {}, n_rows, zones, tables=tables)


def fitted_of_values(
    plan: Plan,
    inputs: InputSchema,
    learnt: Callable[[Types], Mapping[Node, Constant]],
    n_rows: int,
    zones: dict[str, ZoneTable],
    label_inputs: InputSchema | None = None,
    tables: Schemas | None = None,
    label_tables: Schemas | None = None,
    n_rows_without_label: int = 0,
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
        label_tables: as of `FittedPlan`.
        n_rows_without_label: as of `FittedPlan`.
    """
    roots = list(plan.nodes.values())
    with using(zones):
        types = bind_types(roots, inputs, tables)
        values = learnt(types)
        constants = evaluate_constants(constant_roots(roots), types, values)
    known = {**values, **constants}
    return FittedPlan(
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
