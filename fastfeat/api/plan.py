"""`Plan`: named features over columns, and what is known too late. It learns by `fit`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from fastfeat import pickles
from fastfeat.api.fitted import FittedPlan
from fastfeat.arguments import TOO_MANY, Hints, explaining_methods
from fastfeat.completion import offering
from fastfeat.engine.float_environment import in_ieee
from fastfeat.errors import InvalidPlan, Leakage, NotFitted, did_you_mean
from fastfeat.expr import Expr
from fastfeat.io.arrow import Schema as ArrowSchema
from fastfeat.io.sources.schema import read_schema
from fastfeat.ir.node import Column, Node, TableColumn
from fastfeat.ir.walk import postorder
from fastfeat.named_values import plain_value
from fastfeat.operators.durations import Duration
from fastfeat.plan.declare.arguments import (
    Features,
    check_text,
    float_name,
    known_tables_given,
    label_delay_given,
    label_given,
    named_features,
    names_given,
    outcomes_given,
    row_id_given,
)
from fastfeat.plan.declare.bind import Schemas, bind
from fastfeat.plan.declare.columns_read import columns_of, own_columns, past_columns
from fastfeat.plan.declare.external_label import late_with, learnt_from
from fastfeat.plan.declare.late_columns import (
    GivenDelay,
    Late,
    check_features,
    late_of,
    over_ahead,
    without_targets,
)
from fastfeat.plan.declare.leakage import check_leakage, with_label
from fastfeat.plan.declare.window_reach import Reach, history_needed, history_reach
from fastfeat.plan.fit.fit import fit_on
from fastfeat.plan.fit.training_data import check_clocks, prepare
from fastfeat.plan.fit.training_features import has_folds, training_features
from fastfeat.plan.keep import canonical
from fastfeat.plan.lower.outputs import check_result, output_schema
from fastfeat.plan.run.history import BATCH, given_ids, id_columns
from fastfeat.plan.run.lookup_tables import Tables, table_columns_of, tables_given
from fastfeat.plan.run.row_selection import rows_to_learn_from
from fastfeat.plan.run.transform import transform
from fastfeat.plan.tell.explain import explain_plan
from fastfeat.plan.tell.summary import plan_summary
from fastfeat.recording import Recipe, hold_params, made_by_recipes, params_of, recipe_of, value_of

if TYPE_CHECKING:
    from fastfeat.plan.fit.cross_fit import Fold

if TYPE_CHECKING:
    from fastfeat.api.compile import Compiled

Label = str | Mapping[str, Expr] | None
UserDelay = Duration | Mapping[str, Duration] | None
_READ = (
    *("features", "label", "outcomes", "dtype", "keep", "label_delay", "known", "known_tables"),
    *("row_id", "columns", "late"),
)
"""The attributes of a plan that users read."""
PLAN = "ff.Plan"
"""The name of `Plan` in recipes."""
_OF_FITTED = frozenset(
    {"transform", "transform_row", "verify", "save", "learnt", "select", "feature_names", "online"}
)


_LABEL_IN_DATA = "The label is a column of the data: ff.Plan(..., label='y').fit(X.assign(y=y))"
_NO_WEIGHTS = "Nothing is learnt with weights yet. A model takes them beside the features"
_FIT_HINTS = {
    **dict.fromkeys((TOO_MANY, "y", "label"), _LABEL_IN_DATA),
    **dict.fromkeys(("sample_weight", "sample_weights", "weights"), _NO_WEIGHTS),
}
_HINTS: dict[str, Hints] = {
    "__init__": {},
    "fit": _FIT_HINTS,
    "fit_transform": {
        name: hint.replace(".fit(", ".fit_transform(") for name, hint in _FIT_HINTS.items()
    },
    "cross_fit": {
        name: hint.replace(".fit(X.assign(y=y))", ".cross_fit(X.assign(y=y), cv=5)")
        for name, hint in _FIT_HINTS.items()
    },
}


@offering(*_READ, without=("ids",))
@made_by_recipes(PLAN)
@explaining_methods(lambda plan: "plan.", _HINTS)
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Plan:
    """Features to compute, by name.

    Args:
        features: expressions by the name of their column; or a list, named by `alias` or by the
            first column that each reads: `[col("x") + 1]` makes a feature `x`. An operator of
            several columns appends its suffixes.
        label: the target: the name of a column, or `{name: expression}`. What it reads of its own
            row is late; a column of a table that has the name of a late one is late, too. It may
            look ahead, `ff.ahead`: rows whose label is missing are not learnt from then.
        outcomes: further columns that are known only after the moment of prediction; or a mapping
            from them to how long after their row they are, such as `{"arr_delay": "2h"}`, where
            None stands for `label_delay`.
        dtype: "float32" or "float64": float features are rounded to it once, on the way out; None
            leaves them as computed. A matrix (`to="numpy"`, `transform_row`) is of that type
            whole, float64 for None: an integer that it cannot hold exactly, possible beyond 2**24
            for float32 and 2**53 for float64, is an error there.
        keep: columns that are passed through to the Arrow output as they are.
        label_delay: how long after a row its late columns are known, such as "30d"; or by the
            column that windows have as time, `{"ts": "30d", "day": 30}`. A window over a late
            column must end that long before the row, and folds by time learn from rows that are
            known when they begin.
        known: columns that the label is computed from, and that are known at the moment of
            prediction all the same, such as a promised date that is compared with the real one.
        known_tables: of tables, columns that are known then though a late column has their name:
            `{"planes": ["delay"]}`.
        row_id: a column whose value tells rows apart, such as the number of a transaction: text,
            bytes, numbers, dates or times. Rows of one id in the data and in `history=` are one
            row: it keeps its place in the history, has the data's values, and the history's of
            columns that the data lacks (the labels of the past). The history may then go on after
            the data. It is read where there is a history and windows see it.

    Raises:
        InvalidPlan: no features, a clash of names, an unknown option, a delay of no late columns,
            `known` names the label, an outcome, what is known anyway, or all that the label reads.
        Leakage: a feature reads a late column, or `keep` names one.

    Example:
        >>> from fastfeat import Plan, col
        >>> plan = Plan({"size": col("size").log1p()})
        >>> plan.fit({"size": [0.0, 1.0]}).transform({"size": [0.0, None]}).to_pydict()
        {'size': [0.0, None]}
    """

    features: Features
    label: Label = None
    outcomes: Sequence[str] | Mapping[str, GivenDelay] = ()
    dtype: str | None = None
    keep: Sequence[str] = ()
    label_delay: GivenDelay = None
    known: Sequence[str] = ()
    known_tables: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    row_id: str | None = None
    recipe: Recipe | None = None  # see `params`: not an argument
    label_column: str | None = None  # see `given_label`: not an argument

    def __init__(
        self,
        features: Features,
        *,
        label: Label = None,
        outcomes: Sequence[str] | Mapping[str, UserDelay] = (),
        dtype: str | None = None,
        keep: Sequence[str] = (),
        label_delay: UserDelay = None,
        known: Sequence[str] = (),
        known_tables: Mapping[str, Sequence[str]] | None = None,
        row_id: str | None = None,
    ) -> None:
        """Check the plan; see the class for the arguments."""
        given = {name: value for name, value in locals().items() if name != "self"}
        if has_params := hold_params(given.values()):
            features, label, outcomes, dtype, keep, label_delay, known, known_tables, row_id = map(
                value_of, given.values()
            )
        named = named_features(features)
        if label is not None and not isinstance(label, str):
            label = label_given(label)
        _set(self, "features", named)
        _set(self, "label", label)
        _set(self, "outcomes", outcomes_given(outcomes))
        _set(self, "dtype", float_name(dtype))
        _set(self, "keep", names_given(keep, "keep"))
        has_late = self.label is not None or len(self.outcomes) > 0
        _set(self, "label_delay", label_delay_given(label_delay, has_late=has_late))
        _set(self, "known", names_given(known, "known"))
        _set(self, "known_tables", known_tables_given({} if known_tables is None else known_tables))
        _set(self, "row_id", row_id_given(row_id, self.late))
        _set(self, "recipe", self._recipe(given) if has_params else None)
        self._check_names()
        named = [*self.nodes, *self.keep, *self.outcomes, *self.row_ids]
        check_text(named, self._every_node())
        self._check_tables()
        check_features(self.nodes, list(self.label_nodes.values()))
        check_leakage(self.nodes, self.known_late)

    def _recipe(self, given: Mapping[str, Any]) -> Recipe:
        """Return how the plan was written: options without a parameter as the plan has them."""
        options = {
            name: value if hold_params((value,)) else getattr(self, name)
            for name, value in given.items()
        }
        said = {name: value for name, value in options.items() if value not in (None, (), {})}
        recipe = recipe_of(PLAN, (), said)
        params_of(recipe)  # raises where a name has two values
        return recipe

    def _check_names(self) -> None:
        if not self.nodes:
            raise InvalidPlan("a plan needs at least one feature: Plan({'name': col('x')})")
        taken: set[str] = set(self.nodes)
        for name in self.keep:
            if name in taken:
                raise InvalidPlan(
                    f"keep={name!r} has the name of another output. Rename the feature"
                )
            taken.add(name)
        labels = [self.label] if isinstance(self.label, str) else list(self.label or ())
        for name in labels:
            if name in taken:
                raise InvalidPlan(
                    f"{name!r} is the label, which is never in the output: fitted.label(data) "
                    f"gives it. Leave it out of {'keep=' if name in self.keep else 'the features'}"
                    ", or rename one of the two"
                )
        for name in self.keep:
            if name in self.late:
                raise Leakage(
                    f"keep={name!r} would put beside the features what is known only after the "
                    "moment of prediction. Take it from the data; fitted.label(data) is the label"
                )

    def _check_tables(self) -> None:
        read = {column.table for column in self.table_columns}
        for table in self.known_tables:
            if table not in read:
                raise InvalidPlan(
                    f"known_tables={{{table!r}: ...}}: no feature reads a table of that name."
                    f"{did_you_mean(table, read)}"
                )

    def _every_node(self) -> list[Node]:
        return postorder([*self.nodes.values(), *self.label_nodes.values()])

    @cached_property
    def known_late(self) -> Late:
        """What is known too late, and how long after its row."""
        late = late_of(
            self.label_nodes, self.outcomes, self.label_delay, self.known, self.known_tables
        )
        return late_with(late, self.label_column)

    def params(self) -> dict[str, Any]:
        """Return the values of the parameters that stand in the plan, by name; see `ff.param`.

        Example:
            >>> plan = ff.Plan({"bin": col("x").qcut(ff.param("n_bins", 4))})
            >>> plan.params()
            {'n_bins': 4}
        """
        return {name: plain_value(value) for name, value in params_of(self.recipe).items()}

    def with_params(self, /, **values: Any) -> Plan:
        """Return the plan with other values of its parameters, as if it were written with them.

        Args:
            values: by the name of a parameter; those that are not named stay as they are.

        Raises:
            TypeMismatch: the plan has no parameter of a name, or a value is none.
            FastfeatError: as operators, and `Plan`, raise for a value that is written.
            ArtifactError: the plan is from a JSON text that was altered, or written by a version
                of which operators are others.

        Example:
            >>> plan = ff.Plan({"bin": col("x").qcut(ff.param("n_bins", 4))})
            >>> plan.with_params(n_bins=2).fit_transform({"x": [1, 2, 3]})[1]["bin"].to_pylist()
            [0, 1, 1]
        """
        from fastfeat.plan.keep.parameters import with_params  # imports Plan itself

        return with_params(self, values)

    @cached_property
    def checked_recipe(self) -> Recipe | None:
        """How the plan was written, known to give this plan; None without parameters."""
        from fastfeat.plan.keep.parameters import checked_recipe  # imports Plan itself

        return checked_recipe(self)

    def history_needed(self) -> dict[str, str]:
        """Return how far back windows see, by the entity: "7d", "28 rows" or "everything".

        "7d" are the rows of the seven days before the first row of the data. "28 rows" are, of each
        entity in the data, the 28 latest rows that are earlier than its first one there. To both
        belong the rows of the moment of that first row. "7d and 28 rows" are the rows of either.

        Example:
            >>> week, card = ff.window("7d", by="card", time="t"), ff.window(by="card", time="t")
            >>> ff.Plan({"spent": col("x").sum(over=week)}).history_needed()
            {'card': '7d'}
            >>> ff.Plan({"change": col("x").diff(2, over=card)}).history_needed()
            {'card': '2 rows'}
        """
        return history_needed(self.nodes.values())

    def reach(self) -> dict[str, Reach]:
        """Return how far back windows see, by the entity: `history_needed` as numbers.

        Example:
            >>> week = ff.window("7d", by="card", time="t")
            >>> ff.Plan({"spent": col("x").sum(over=week)}).reach()
            {'card': Reach(span=604800000000000, n_rows=0, unit='time')}
        """
        return history_reach(self.nodes.values())

    @cached_property
    def written(self) -> dict[str, Node]:
        """The expression of each output column as it was given, in order."""
        written: dict[str, Node] = {}
        for feature, expression in self.expressions.items():
            for suffix, node in zip(expression.suffixes, expression.nodes, strict=True):
                name = feature + suffix
                if name in written:
                    raise InvalidPlan(f"two features give the column {name!r}. Rename one of them")
                written[name] = node
        return written

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """The expression of each output column, in order; targets are as the plan declares them."""
        written = self.written
        if not self.known_late.columns:
            return written
        of_label = with_label(list(written.values()), self.label_nodes, self.known_late)
        targets = learnt_from(of_label, self.label_nodes, self.label_column)
        return dict(zip(written, targets, strict=True))

    @property
    def expressions(self) -> Mapping[str, Expr]:
        """The features by name, whichever way they were given."""
        assert isinstance(self.features, Mapping)
        return self.features

    @property
    def label_nodes(self) -> dict[str, Node]:
        """The expression of the label."""
        if self.label is None:
            return {}
        if isinstance(self.label, str):
            return {self.label: Column(self.label)}
        return {name: expression.node for name, expression in self.label.items()}

    @property
    def late(self) -> list[str]:
        """The columns known only after the moment of prediction."""
        given = [] if self.label_column is None else [self.label_column]
        of_label = [*columns_of(self.label_nodes.values()), *given]
        own = [name for name in of_label if name in self.known_late.of_label]
        return list(dict.fromkeys([*own, *self.outcomes]))

    @cached_property
    def columns(self) -> list[str]:
        """The columns that the features read."""
        return columns_of(self.nodes.values())

    @cached_property
    def table_columns(self) -> tuple[TableColumn, ...]:
        """The columns of lookup tables that the features read."""
        return table_columns_of(self.nodes.values())

    @cached_property
    def row_table_columns(self) -> tuple[TableColumn, ...]:
        """The columns of lookup tables that rows read; of others fit has learnt."""
        nodes = without_targets(self.nodes.values())
        return tuple(node for node in nodes if isinstance(node, TableColumn))

    @cached_property
    def row_columns(self) -> list[str]:
        """The columns that features read of their own row; others are learnt from only.

        Where there is none, one that tells how many rows there are, and is not late.
        """
        known = [name for name in self.columns if name not in self.late]
        read = [*own_columns(self.nodes.values()), *self.past_columns]
        return [name for name in dict.fromkeys(read) if name not in self.late] or known[:1]

    @cached_property
    def past_columns(self) -> list[str]:
        """The columns that windows read of earlier rows, late ones among them."""
        return past_columns(self.nodes.values())

    @in_ieee
    def fit(
        self,
        data: Any,
        *,
        rows: Any = None,
        history: Any = None,
        tables: Tables = None,
        backend: str = "cpu",
    ) -> FittedPlan:
        """Return the plan with what it has learnt from training rows.

        Args:
            data: pyarrow, pandas, Polars, a dict of NumPy arrays, a list of dicts (one a row, each
                with every column), a path, or any Arrow producer;
                for a backend with memory of its own also a dict of arrays on the device (CuPy,
                torch, anything with `__cuda_array_interface__`, DLPack or
                `__arrow_c_device_array__`), or an Arrow device table: read in place, of the
                types given.
            rows: the rows of the data that are learnt from, by a bool for each row or by their
                numbers; None for all. Windows, lookups and joins see all rows. Folds count within
                these rows, in their order. A number that stands twice counts twice, and is an error
                where an encoder has it in two folds.
            history: earlier rows, which windows see and nothing is learnt from.
            tables: the tables that the plan reads, by name, each data of any kind. They are not
                stored: pass them at each call. What is made of a pyarrow Table is kept as long as
                it lives.
            backend: "cpu", "gpu" or "reference"; "emulated" runs CUDA kernels by g++.

        Raises:
            UnknownColumn: a column that the plan reads is not in the data, or a table not there.
            TypeMismatch: an operator cannot take the type of a column.
            InvalidData: no rows to learn from, none of them has a label that looks ahead, a value
                learnt is not finite, or `rows` names rows that are not there.

        Warns:
            RowsWithoutLabel: some rows have no label that looks ahead: they are not learnt from.
            FastfeatWarning: of its other kinds, see `ff.errors`, what is odd about the data.
        """
        prepared = prepare(self, data, history=history, tables=tables, backend=backend)
        return fit_on(prepared, rows_to_learn_from(rows, prepared.table))[0]

    @cached_property
    def training_past_columns(self) -> list[str]:
        """The columns that windows of features read of rows before the training rows."""
        return past_columns(self.nodes.values(), training=True)

    def ids(self, history: Any) -> list[str]:
        """Return the column that tells training rows from those of a history, where it is read."""
        return id_columns(self.row_id, history, self.history_columns)

    @property
    def history_columns(self) -> list[str]:
        """The columns that fit reads of rows before the training rows, for a label ahead too."""
        of_label = past_columns(self.label_nodes.values()) if self.looks_ahead else []
        return list(dict.fromkeys([*self.training_past_columns, *of_label]))

    @property
    def looks_ahead(self) -> bool:
        """Whether the label is computed from rows ahead, and rows may have none."""
        return len(over_ahead(self.label_nodes.values())) > 0

    @property
    def label_columns(self) -> list[str]:
        """The columns that a label is computed from; none where it is a column itself."""
        return [] if isinstance(self.label, str) else columns_of(self.label_nodes.values())

    @property
    def label_sources(self) -> list[str]:
        """The columns of the data that a label is, or is computed from; none without one."""
        return [self.label] if isinstance(self.label, str) else self.label_columns

    @property
    def row_ids(self) -> list[str]:
        """The column that tells rows apart, `row_id`, as a list; empty where none does."""
        return [] if self.row_id is None else [self.row_id]

    @property
    def label_table_columns(self) -> tuple[TableColumn, ...]:
        """The columns of tables that a label is computed from."""
        return table_columns_of(self.label_nodes.values())

    @cached_property
    def label_plan(self) -> Plan:
        """What computes a label that is an expression: its only feature, which may look ahead."""
        assert isinstance(self.label, Mapping)
        plan = object.__new__(Plan)  # without the checks: they refuse features that look ahead
        _set(plan, "features", dict(self.label))
        _set(plan, "known_tables", {})
        _set(plan, "row_id", self.row_id)
        return plan

    @in_ieee
    def fit_transform(
        self,
        data: Any,
        *,
        rows: Any = None,
        history: Any = None,
        tables: Tables = None,
        to: str = "arrow",
        categories: bool = False,
        backend: str = "cpu",
    ) -> tuple[FittedPlan, Any]:
        """Return the fitted plan and the features of the training rows themselves.

        Encodings of the target are out of fold: that of a row is learnt from the rows of other
        folds. `transform` gives the same rows what was learnt from all, their own label included.
        Rows without a label that looks ahead were not learnt from: their features are those that
        `transform` gives.

        Args:
            data: as in `fit`.
            rows: as in `fit`; the features are of these rows, in their order.
            history: as in `fit`; without it windows see the rows of the data alone.
            tables: as in `fit`.
            to: the form of the features, as in `FittedPlan.transform`.
            categories: as in `FittedPlan.transform`.
            backend: as in `fit`.

        Raises:
            FastfeatError: as `fit` and `FittedPlan.transform`.
        """
        check_result(to, None, backend, categories=categories)
        prepared = prepare(
            self, data, history=history, tables=tables, backend=backend, further=self.keep
        )
        wanted = rows_to_learn_from(rows, prepared.table)
        fitted, training = fit_on(prepared, wanted, transforms=True)
        if has_folds(training.learnt_from) or wanted is not None:
            return fitted, training_features(fitted, training, to, categories=categories)
        past = BATCH if prepared.earlier is None else prepared.earlier
        made = training.learnt_from.made if training.is_learnt is None else {}
        table, read = prepared.table, prepared.tables
        given = {"categories": categories, "index": prepared.index}
        features = transform(fitted, table, None, past, read, to, None, backend, made, **given)
        return fitted, features

    @in_ieee
    def cross_fit(
        self,
        data: Any,
        cv: Any,
        *,
        groups: Any = None,
        purge: UserDelay = None,
        embargo: UserDelay = None,
        history: Any = None,
        tables: Tables = None,
        to: str = "arrow",
        categories: bool = False,
        backend: str = "cpu",
    ) -> Iterator[Fold]:
        """Yield the folds of a cross-validation, each with the plan fitted on its training rows.

        Windows, lookups and joins see all rows, learning sees the training rows: a fold has what
        `fit_transform(data, rows=train_rows)` and `transform(data, rows=test_rows)` give, bit for
        bit. What folds share is computed once, and one fold is held at a time. Rows without a label
        are in no fold.

        A label that is known a while after its row, by `label_delay=`, `ff.ahead` or `purge=`, is
        made in [t, t + delay]. Training rows whose interval meets that of a test row, of any
        entity, are purged: on labels of pure noise that look ahead, shuffled folds would have an
        AUC of .9.

        Args:
            data: as in `fit`, with the label.
            cv: the folds. A number, of blocks of rows in the order of the data (with `groups=` of
                whole groups, the largest first into the smallest fold); a splitter of scikit-learn,
                which is given the rows that have a label; pairs (train, test) of row numbers; the
                name of a column of the data, or an array of shape (n_rows,), of which each value is
                tested once, in their order, and rows in which it is missing never.
            groups: for a number or a splitter, what stays together: the name of a column, or an
                array of shape (n_rows,).
            purge: a delay of the label beside those of the plan: a duration such as "30d", or steps
                of whole-number times, by each clock of the plan's windows; or by the column that
                says when, `{"ts": "30d"}`. 0 turns purging off.
            embargo: how much longer training rows are kept away after test rows, in the same forms.
            history: as in `fit_transform`.
            tables: as in `fit`.
            to: the form of the features, as in `FittedPlan.transform`.
            categories: as in `FittedPlan.transform`.
            backend: as in `fit`.

        Raises:
            UnknownColumn: the data lacks a column that the plan, the label or folds read.
            InvalidPlan: fewer folds than two, a delay of which nothing says by which clock.
            TypeMismatch: no folds at all, such as masks instead of row numbers.
            InvalidData: a row number that is out of range, that stands twice, or in both halves of
                a fold; a fold without rows, or none that is left to learn from; a row without a
                time where its label has a delay; groups, or a column of folds, of another length.

        Warns:
            RowsWithoutLabel: some rows have no label.
            PurgeOff: the label has a delay, and purging is turned off.
            FoldsSplitEntities: training rows come after test rows of their entity, and have seen
                their late values through windows.

        Example:
            >>> plan = ff.Plan({"shop": col("shop").target_encode("y", folds=2)}, label="y")
            >>> data = {"shop": [*"abab"] * 4, "y": [0, 1, 0, 1] * 4}
            >>> for fold in plan.cross_fit(data, 2):
            ...     print(fold, fold.test_label[:3].to_pylist())
            Fold(8 to learn from, 8 test) [0, 1, 0]
            Fold(8 to learn from, 8 test) [0, 1, 0]
        """
        from fastfeat.plan.fit.cross_fit import cross_fit  # seldom needed

        return cross_fit(
            self,
            data,
            cv,
            groups=groups,
            purge=purge,
            embargo=embargo,
            history=history,
            tables=tables,
            to=to,
            categories=categories,
            backend=backend,
        )

    def schema(self, input_schema: Any, *, tables: Tables = None) -> ArrowSchema:
        """Return the Arrow schema of the features, from that of the data.

        Args:
            input_schema: an Arrow schema, data of any kind, or types by column name.
            tables: the same of each lookup table, by its name.

        Raises:
            UnknownColumn: a column, or a table, that the features read is not there.
            TypeMismatch: an operator cannot take the type of a column.
            Leakage: a window sees labels too early by the zone or the type of its time.
        """
        types = bind(list(self.nodes.values()), read_schema(input_schema), _schemas(tables))
        check_clocks(self, types)
        return output_schema(self, self.nodes, types)

    def compile(self, schema: Any, *, tables: Tables = None, backend: str = "cpu") -> Compiled:
        """Return a record of the kernels made ready for data of a schema, which need not be there.

        What `fit`, `fit_transform`, `transform` and `transform_row` would compile when they first
        run is compiled into the cache folder (FASTFEAT_CACHE_DIR): once, where an image is built.

        Args:
            schema: as in `schema`; of a path the head is read.
            tables: the same of each lookup table, by its name.
            backend: as in `fit`. Machine code of the "gpu" is made where the card is.

        Returns:
            How many kernels were compiled, how many were there already, in how many seconds; and
            as notes what may be compiled later all the same.

        Raises:
            UnknownColumn, TypeMismatch, Leakage: as `schema`.
            BackendUnavailable: it does not exist, or cannot run here.

        Example:
            >>> plan = ff.Plan({"size": col("size").log1p()})
            >>> made = plan.compile({"size": "float64"})
            >>> made.n_compiled + made.n_loaded, made.notes
            (2, ())
        """
        known = read_schema(schema)
        check_clocks(self, bind(list(self.nodes.values()), known, _schemas(tables)))
        read = {*self.columns, *self.label_columns, *self.keep, *self.known_late.columns}
        read |= set(given_ids(self.row_id, self.history_columns))
        types = {name: dtype for name, dtype in known.items() if name in read}
        from fastfeat.api.compile import compile_plan  # seldom needed

        return compile_plan(self, types, _schemas(tables), backend)

    def explain(self, stage: str = "plan", *, schema: Any = None, tables: Tables = None) -> str:
        """Return the plan as text.

        Args:
            stage: "plan" (features and scans), "leakage" (what each feature can see), "live" (how
                rows are computed as they arrive, and what a live state holds); with a schema also
                "bound" (types), "optimized" (what is hoisted and shared), "physical" (loops), "cpu"
                and "cuda" (the generated kernels).
            schema: as in `schema`, for the stages that need types.
            tables: as in `schema`.
        """
        known = None if schema is None else read_schema(schema)
        return explain_plan(self, stage, known, tables=_schemas(tables))

    if not TYPE_CHECKING:  # type checkers would take any attribute for granted

        def __getattr__(self, name: str) -> Any:
            """Say what to do where a plan is used as if it were fitted."""
            if name in _OF_FITTED:
                raise NotFitted(
                    f"a plan has no {name} before it is fitted. Fit it first: fitted = "
                    f"plan.fit(data), then fitted.{name}"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        """Return a line for each of the first features: how it is made, what it learns and sees."""
        return plan_summary(self)

    def _repr_html_(self) -> str:
        """Return a table of the features, for notebooks."""
        from fastfeat.plan.tell.html import plan_html

        return plan_html(self)

    def __eq__(self, other: object) -> bool:
        """Return whether the other is a plan of the same canonical JSON."""
        if not isinstance(other, Plan):
            return NotImplemented
        return self is other or self._digest == other._digest

    def __hash__(self) -> int:
        """Return a number that equal plans have in common."""
        return hash(self._digest)

    @cached_property
    def _digest(self) -> bytes:
        return sha256(self.to_json().encode()).digest()

    def __copy__(self) -> Plan:
        """Return the plan itself: it never changes."""
        return self

    def __deepcopy__(self, memo: Any) -> Plan:
        """Return the plan itself: it never changes."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how pickle makes the plan again: from its JSON."""
        return pickles.plan_of, (self.to_json(),)

    def to_json(self) -> str:
        """Return the plan as canonical JSON: equal plans give equal text."""
        from fastfeat.plan.keep.document import plan_document  # imports Plan itself

        return canonical.dump(plan_document(self))

    @staticmethod
    def from_json(text: str | bytes) -> Plan:
        """Return the plan of a JSON text.

        Raises:
            ArtifactError: it is no plan, or has what this version does not know.
            Leakage, InvalidPlan, TypeMismatch: as of a plan that is written in Python.
        """
        from fastfeat.plan.keep.document import plan_of_text  # imports Plan itself

        return plan_of_text(text)


def _set(plan: Plan, name: str, value: object) -> None:
    object.__setattr__(plan, name, value)


def _schemas(tables: Tables) -> Schemas:
    """Return the schemas of lookup tables, of which a user gives types or data."""
    return {name: read_schema(given) for name, given in tables_given(tables).items()}
