"""The faces of plans, with what users call: `Plan` declares, `FittedPlan` knows what it has learnt.

Both hold a frozen record, `Declaration` and `Fitted`, on which all that is below works. They stand
in one file, for each gives the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray

from fastfeat import pickles
from fastfeat.calls.arguments import TOO_MANY, Hints, explaining, explaining_methods
from fastfeat.calls.completion import offering
from fastfeat.calls.recording import Recipe
from fastfeat.errors import InvalidPlan, NotFitted, TypeMismatch
from fastfeat.execute.call_rows import CallRows, call_rows
from fastfeat.execute.failing_files import naming_files
from fastfeat.execute.fitted import Fitted, FittedContract, InputSchema
from fastfeat.execute.lookup_tables import Tables, resolve_schemas
from fastfeat.execute.transform import transform
from fastfeat.expr import Expr
from fastfeat.io.arrow import Array, ChunkedArray, Table
from fastfeat.io.arrow import Schema as ArrowSchema
from fastfeat.io.sources import schema as schemas
from fastfeat.io.sources.read import may_be_large
from fastfeat.learn import labels
from fastfeat.learn.training_data import check_clocks
from fastfeat.live.row import one_row
from fastfeat.plan.declare import window_reach
from fastfeat.plan.declare.arguments import Features
from fastfeat.plan.declare.bind import bind, check_new_plan
from fastfeat.plan.declare.declaration import Declaration, Label, UserDelay, declare
from fastfeat.plan.declare.late_columns import GivenDelay
from fastfeat.plan.lower.outputs import schema_before_fit
from fastfeat.scalars.zones import using
from fastfeat.tell import explain as explanations
from fastfeat.tell import fitted_tables, summary

if TYPE_CHECKING:
    from fastfeat.api.compile import Compiled
    from fastfeat.api.learning import Learning
    from fastfeat.io.sinks.manifest import Manifest
    from fastfeat.learn.cross_fit import Fold
    from fastfeat.live.live import Live
    from fastfeat.live.state.changes import Durability, Late
    from fastfeat.plan.declare.window_reach import Reach
    from fastfeat.plan.lower.code_types import CodeTypes
    from fastfeat.trust.quality.contract import Contract
    from fastfeat.trust.quality.drift import Drift
    from fastfeat.trust.quality.profile import Profile
    from fastfeat.trust.quality.profiling import Profiled
    from fastfeat.trust.quality.report import CheckReport
    from fastfeat.trust.quality.rounding import Rounding
    from fastfeat.trust.report.report import FeatureReport
    from fastfeat.trust.verify.comparison import Report

_READ_OF_PLAN = (
    *("features", "label", "outcomes", "dtype", "keep", "label_delay", "known", "known_tables"),
    *("known_clocks", "row_id", "codes", "columns", "late"),
)
"""The attributes of a plan that users read."""
_OF_FITTED = frozenset(
    {"transform", "transform_row", "verify", "save", "learnt", "select", "feature_names", "online"}
    | {"transform_batches", "transform_to", "drift"}
)
_LABEL_IN_DATA = "The label is a column of the data: ff.Plan(..., label='y').fit(X.assign(y=y))"
_NO_WEIGHTS = "Nothing is learnt with weights yet. A model takes them beside the features"
_FIT_HINTS = {
    **dict.fromkeys((TOO_MANY, "y", "label"), _LABEL_IN_DATA),
    **dict.fromkeys(("sample_weight", "sample_weights", "weights"), _NO_WEIGHTS),
}
_HINTS_OF_PLAN: dict[str, Hints] = {
    "__init__": {},
    "fit": _FIT_HINTS,
    "fit_transform": {
        name: hint.replace(".fit(", ".fit_transform(") for name, hint in _FIT_HINTS.items()
    },
    "fit_transform_to": {
        name: hint.replace(".fit(X.assign(y=y))", ".fit_transform_to(X.assign(y=y), out)")
        for name, hint in _FIT_HINTS.items()
    },
    "cross_fit": {
        name: hint.replace(".fit(X.assign(y=y))", ".cross_fit(X.assign(y=y), cv=5)")
        for name, hint in _FIT_HINTS.items()
    },
}

_LABEL_UNREAD = "No label is read here: fitted.transform(data). fitted.label(data) computes it"
_HINTS_OF_FITTED: dict[str, Hints] = {
    "transform": dict.fromkeys((TOO_MANY, "y", "label"), _LABEL_UNREAD),
    "transform_row": {
        "history": "One row has no past. Keep it: live = fitted.online(history=...), then "
        "live.process(row); or pass both: fitted.transform([row], history=...)"
    },
}
_READ_OF_FITTED = (
    *("plan", "schema", "feature_names", "n_codes", "categories"),
    *("inputs", "n_rows", "n_rows_without_label", "contract", "profile"),
)
"""The attributes of a fitted plan that users read."""
_OF_PLAN = dict.fromkeys(("fit", "fit_transform"), "It stays as it is; fitted.plan.{} learns anew")
_OF_MODEL = dict.fromkeys(
    ("predict", "predict_proba", "score"), "Give fitted.transform(data, to='numpy') to a model"
)
_ELSEWHERE = {**_OF_PLAN, **_OF_MODEL}


@offering(*_READ_OF_PLAN)
@explaining_methods(lambda plan: "plan.", _HINTS_OF_PLAN)
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
        dtype: "float16", "bfloat16", "float32" or "float64": float features are rounded to it
            once, on the way out, to the nearest, ties to even; None leaves them as computed. A
            finite number beyond the type (65,504 of float16) is an error; what is nearer to 0 than
            to the least number becomes 0, see `fitted.rounding`. A matrix (`to="numpy"`,
            `to="torch"`, `transform_row`) is of that type whole, float64 for None: an integer that
            it cannot hold exactly, possible beyond 2**8 for bfloat16, 2**11 for float16, 2**24 for
            float32 and 2**53 for float64, is an error there. Tables have no bfloat16: their columns
            hold the same values as float32. In NumPy a matrix of it needs `fastfeat[bfloat16]`.
        keep: columns that are passed through to the Arrow output as they are.
        label_delay: how long after a row its late columns are known, such as "30d"; or by the
            column that windows have as time, `{"ts": "30d", "day": 30}`. A window over a late
            column must end that long before the row, and folds by time learn from rows that are
            known when they begin.
        known: columns that the label is computed from, and that are known at the moment of
            prediction all the same, such as a promised date that is compared with the real one.
        known_tables: of tables, columns that are known then though a late column has their name:
            `{"planes": ["delay"]}`; and what is looked up in a table that the label looks ahead in.
        known_clocks: columns by which rows are known as early as by the clock of a label that looks
            ahead (`ff.ahead`), such as the time of a booking: features may see rows by them.
            Without it they see rows by the label's clock alone, for a row that is earlier by
            another one may be later by that. `fit` warns that it takes your word.
        row_id: a column whose value tells rows apart, such as the number of a transaction: text,
            bytes, numbers, dates or times. Rows of one id in the data and in `history=` are one
            row: it keeps its place in the history, has the data's values, and the history's of
            columns that the data lacks (the labels of the past). The history may then go on after
            the data. `fit` divides rows into folds by it, where an encoder of the target says
            nothing else: a row that stands twice is in one fold, and neither the order of rows nor
            files change folds. In `fit` no id may be missing. Where windows see the rows of the
            data, an id stands once in it. Elsewhere rows of one id must be equal in all columns
            that the plan reads, and `RowsRepeated` counts them.
        codes: "smallest" gives codes (`ordinal_encode`, buckets of `hash`, bins, calendar parts
            but years) the smallest of uint8, int16 and int32 that holds all that they can be, for
            the life of the artifact: another fit may find more categories, and another type. None
            is int32. Where all features are such codes, one-hot columns or bools, none of them
            ever missing, and no `dtype` is given, a matrix is of integers, too.

    Raises:
        InvalidPlan: no features, a clash of names, an unknown option, a delay of no late columns,
            `known` names the label, an outcome, what is known anyway, or all that the label reads;
            `known_clocks` a column that needs no word.
        Leakage: a feature reads a late column, or `keep` names one; a feature may see rows that the
            label, which looks ahead, sees too.

    Example:
        >>> from fastfeat import Plan, col
        >>> plan = Plan({"size": col("size").log1p()})
        >>> plan.fit({"size": [0.0, 1.0]}).transform({"size": [0.0, None]}).to_pydict()
        {'size': [0.0, None]}
    """

    declaration: Declaration

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
        known_clocks: Sequence[str] = (),
        row_id: str | None = None,
        codes: CodeTypes | None = None,
    ) -> None:
        """Check the plan; see the class for the arguments."""
        declared = declare(
            features,
            label=label,
            outcomes=outcomes,
            dtype=dtype,
            keep=keep,
            label_delay=label_delay,
            known=known,
            known_tables=known_tables,
            known_clocks=known_clocks,
            row_id=row_id,
            codes=codes,
        )
        object.__setattr__(self, "declaration", declared)

    @property
    def features(self) -> Mapping[str, Expr]:
        """The features by name, whichever way they were given."""
        return self.declaration.features

    @property
    def label(self) -> Label:
        """The target: the name of a column, or an expression by its name."""
        return self.declaration.label

    @property
    def outcomes(self) -> Sequence[str] | Mapping[str, GivenDelay]:
        """The further columns that are late, with their delays where they have some."""
        return self.declaration.outcomes

    @property
    def dtype(self) -> str | None:
        """The float type of the features; None leaves them as computed."""
        return self.declaration.dtype

    @property
    def keep(self) -> Sequence[str]:
        """The columns that are passed through."""
        return self.declaration.keep

    @property
    def label_delay(self) -> GivenDelay:
        """The time after a row until its late columns are known."""
        return self.declaration.label_delay

    @property
    def known(self) -> Sequence[str]:
        """The columns of the label that are known in time."""
        return self.declaration.known

    @property
    def known_tables(self) -> Mapping[str, Sequence[str]]:
        """The columns of tables that are known in time."""
        return self.declaration.known_tables

    @property
    def known_clocks(self) -> Sequence[str]:
        """The columns by which rows are known as early as by the label's clock."""
        return self.declaration.known_clocks

    @property
    def row_id(self) -> str | None:
        """The column that tells rows apart."""
        return self.declaration.row_id

    @property
    def codes(self) -> str | None:
        """The types of codes: "smallest", or None for int32."""
        return self.declaration.codes

    @property
    def columns(self) -> list[str]:
        """The columns that the features read."""
        return self.declaration.columns

    @property
    def late(self) -> list[str]:
        """The columns known only after the moment of prediction."""
        return self.declaration.late

    def params(self) -> dict[str, Any]:
        """Return the values of the parameters that stand in the plan, by name; see `ff.param`.

        Example:
            >>> plan = ff.Plan({"bin": col("x").qcut(ff.param("n_bins", 4))})
            >>> plan.params()
            {'n_bins': 4}
        """
        return self.declaration.params

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
        from fastfeat.keep.with_parameters import check_known, with_params  # seldom needed

        check_known(self.declaration, values)
        if self._checked_recipe is None:
            return self
        return plan_of(with_params(self.declaration, self._checked_recipe, values))

    @cached_property
    def _checked_recipe(self) -> Recipe | None:
        """The recipe of the plan, known to give this plan; None without parameters."""
        from fastfeat.keep.with_parameters import checked_recipe  # seldom needed

        return checked_recipe(self.declaration)

    def history_needed(self) -> dict[str, str]:
        """Return the reach of windows, by the entity: "7d", "28 rows" or "everything".

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
        return window_reach.history_needed(self.declaration.nodes.values())

    def reach(self) -> dict[str, Reach]:
        """Return the reach of windows, by the entity: `history_needed` as numbers.

        Example:
            >>> week = ff.window("7d", by="card", time="t")
            >>> ff.Plan({"spent": col("x").sum(over=week)}).reach()
            {'card': Reach(span=604800000000000, n_rows=0, unit='time')}
        """
        return window_reach.history_reach(self.declaration.nodes.values())

    @naming_files
    def fit(
        self,
        data: Any,
        *,
        rows: Any = None,
        history: Any = None,
        tables: Tables = None,
        backend: str = "cpu",
        memory: str | int | None = None,
        contract: Contract | None = None,
        profile: Profiled = False,
        stable: FittedPlan | None = None,
        check_ids: bool = False,
    ) -> FittedPlan:
        """Return the plan with what it has learnt from training rows.

        Args:
            data: pyarrow, pandas, Polars, a dict of NumPy arrays, a list of dicts (one a row, each
                with every column), any Arrow producer; a path, a folder (its files by name, hive
                partitions as columns), a pattern such as "logs/*.parquet", an address such as
                "s3://bucket/logs", or a list of these; a function that opens a reader;
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
            memory: the most memory that this process may have resident, such as "600MiB", or
                bytes; interpreter and libraries count. The data is then read a little at a time,
                once for each pass, and what is learnt is the same, bit for bit; a function that
                opens a reader gives the same rows in the same order each time. None reads it
                whole; files larger than the memory that is free are read within what the process
                has and three quarters of what is free, and a warning says so.
            contract: rules that the rows of the data must hold, late columns and all; the fitted
                plan keeps them, and `transform` and the like judge later rows by them.
            profile: whether the fitted plan keeps the `profile` of these rows, by which `drift`,
                `report` and `Live.watch` judge later ones: True for inputs and features, "inputs"
                for inputs alone, for which no features need to be computed. It has values of single
                rows, such as the least and the greatest. False keeps none and costs nothing.
            stable: an earlier fit, of this plan or another one. Categories that have a code there
                keep it, whether rows still have them or not, however rare they are; new ones get
                the codes after these. One-hot columns of categories stand in the order of codes,
                `__missing` and `__other` behind them, and which are there stays as it was.
                Encoders that only group rows, as `mean(by=)` and `target_encode`, learn as ever.
                An earlier fit tells of its rows by the order of codes, that of their counts: one on
                the rows of one class of the label orders codes by the label.
            check_ids: whether rows of one `row_id` are looked for within `memory` too, which reads
                the rows once more and exchanges them by their id through temporary files. In
                memory they always are.

        Raises:
            ContractBroken: rows break a rule of `contract` that does not only warn.
            UnknownColumn: a column that the plan reads is not in the data, or a table not there.
            OutOfMemory: `memory` is less than what is learnt takes, or this process has already.
            InvalidPlan: with `memory`: numbers of rows in another order than the data, another
                backend, windows over all rows, of no key, that see more than the latest ones, or
                `row_id=` of a plan with windows. With `stable`: codes cannot stay, since other
                parameters of an encoder leave no room for them.
            TypeMismatch: an operator cannot take the type of a column.
            InvalidData: no rows to learn from, none of them has a label that looks ahead, a value
                learnt is not finite, or `rows` names rows that are not there.

        Warns:
            RowsWithoutLabel: some rows have no label that looks ahead: they are not learnt from.
            RowsBreakRule: rows break a rule of `contract` that only warns.
            FastfeatWarning: of its other kinds, see `ff.errors`, what is odd about the data.
        """
        given = call_rows(data, rows, history, tables, backend, memory)
        kept = None
        if contract is not None:
            given, kept = _held(contract, given, in_passes=memory is not None)
            data = given.data
        record: Fitted | None = None
        old = stable_record(stable)
        if memory is not None:
            from fastfeat.api.out_of_core import fit_within  # seldom needed

            record = fit_within(self.declaration, given, old, profile, check_ids=check_ids)
        elif rows is None and history is None and backend == "cpu" and may_be_large(data):
            from fastfeat.api.out_of_core import fit_if_large  # seldom needed

            record = fit_if_large(self.declaration, data, tables, old, profile)
        if record is None:
            from fastfeat.trust.quality.profiling import fit_profiled  # imports the rest of it

            record = fit_profiled(self.declaration, given, profile=profile, stable=old)
        return FittedPlan(self, replace(record, contract=kept) if kept else record)

    @naming_files
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
        contract: Contract | None = None,
        profile: Profiled = False,
        stable: FittedPlan | None = None,
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
            contract: as in `fit`.
            profile: as in `fit`: of features as `transform` gives them, not out of fold.
            stable: as in `fit`.

        Raises:
            FastfeatError: as `fit` and `FittedPlan.transform`.
        """
        kept, given = None, call_rows(data, rows, history, tables, backend)
        if contract is not None:
            given, kept = _held(contract, given, in_passes=False)
        from fastfeat.trust.quality.profiling import (
            fit_transform_profiled,  # imports the rest of it
        )

        record, features = fit_transform_profiled(
            self.declaration,
            given,
            profile=profile,
            to=to,
            categories=categories,
            stable=stable_record(stable),
        )
        return FittedPlan(self, replace(record, contract=kept) if kept else record), features

    @naming_files
    def fit_transform_to(
        self,
        data: Any,
        out: str | os.PathLike[str],
        *,
        memory: str | int | None = None,
        format: str | None = None,
        partition_by: str | Sequence[str] = (),
        part_rows: int | None = None,
        rows: Any = None,
        history: Any = None,
        tables: Tables = None,
        contract: Contract | None = None,
        profile: Profiled = False,
        stable: FittedPlan | None = None,
        check_ids: bool = False,
    ) -> tuple[FittedPlan, Manifest]:
        """Return the fitted plan, and the list of files of the features of the training rows.

        The bits are those of `fit_transform`: encodings of the target are out of fold. Rows are
        read in passes, some at a time, and never all in memory. A call that was interrupted learns
        anew, and goes on behind the parts of the output that are done.

        Args:
            data: as in `fit`, which may be more than memory holds.
            out: a file or a folder, as in `FittedPlan.transform_to`.
            memory: as in `fit`; None for what the process has, and three quarters of what is
                free.
            format: as in `FittedPlan.transform_to`.
            partition_by: as in `FittedPlan.transform_to`.
            part_rows: as in `FittedPlan.transform_to`.
            rows: as in `fit`; the features are of these rows. Numbers of rows ascend.
            history: as in `fit`, which may be more than memory holds too.
            tables: as in `fit`; they are read once.
            contract: as in `fit`; the rows are read once more for it, before anything is written.
            profile: as in `fit`; with one the rows are read twice more, after that.
            stable: as in `fit`.
            check_ids: as in `fit`.

        Raises:
            InvalidPlan: as `fit` with `memory`; an option that is none, or for folders.
            OutOfMemory: `memory` is less than what is learnt takes, or this process has already.
            OutputError: as `FittedPlan.transform_to`.
            FastfeatError: as `fit` and `FittedPlan.transform`; rows are numbered in the data.

        Example:
            >>> from tempfile import mkdtemp
            >>> plan = ff.Plan({"shop": col("shop").target_encode("y", folds=2)}, label="y")
            >>> data = {"shop": [*"abab"] * 4, "y": [0, 1, 0, 1] * 4}
            >>> fitted, manifest = plan.fit_transform_to(data, mkdtemp() + "/features")
            >>> fitted.n_rows, manifest.n_rows
            (16, 16)
        """
        from fastfeat.api.fit_to_files import fit_and_write  # seldom needed
        from fastfeat.execute.layout import layout_of

        layout = layout_of(out, format, partition_by, part_rows)
        kept, given = None, call_rows(data, rows, history, tables, memory=memory)
        if contract is not None:
            given, kept = _held(contract, given, in_passes=True)
        record, manifest = fit_and_write(
            *(self.declaration, given, layout, kept),
            stable=stable_record(stable),
            profile=profile,
            check_ids=check_ids,
        )
        return FittedPlan(self, record), manifest

    @naming_files
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
    ) -> Iterator[Fold[FittedPlan]]:
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
                tested once, in their order, and rows in which it is missing never. A number keeps
                rows of one `row_id` in one fold; others must.
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
                a fold; rows of one `row_id` in both halves; a fold without rows, or none that is
                left to learn from; a row without a time where its label has a delay; groups, or a
                column of folds, of another length.

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
        from fastfeat.learn.cross_fit import cross_fit  # seldom needed

        return cross_fit(
            self.declaration,
            call_rows(data, None, history, tables, backend),
            cv,
            lambda record: FittedPlan(self, record),
            groups=groups,
            purge=purge,
            embargo=embargo,
            to=to,
            categories=categories,
        )

    def learning(
        self,
        schema: Any,
        *,
        tables: Tables = None,
        whole_entities: bool = False,
        stable: FittedPlan | None = None,
        profile: Profiled = False,
    ) -> Learning[FittedPlan]:
        """Return the learning of the plan, in rounds over parts of the rows.

        What engines do that have the rows in parts, on several machines; the fitted plan is that of
        `fit` on all rows, bit for bit, however they are divided.

        Args:
            schema: that of the rows, as in `schema`.
            tables: as in `fit`.
            whole_entities: whether each part has all rows of its entities, in the order of the
                data, so that windows may be learnt from: as after an exchange of the rows by
                `learning.shares`. Without it a plan that learns from windows takes one part.
            stable: as in `fit`.
            profile: as in `fit`; with one, two more rounds follow those that learn: the first
                samples the rows, the second counts them. Features of windows are counted with
                `whole_entities` alone.

        Raises:
            InvalidPlan: the label looks ahead; or, with `whole_entities`, windows see rows of
                several entities that have no key in common, which no one exchange brings together.
            FastfeatError: as `fit`, of what does not depend on the rows.

        Example:
            >>> plan = ff.Plan({"x": col("x").standard_scale()})
            >>> learning = plan.learning({"x": "float64"})
            >>> while learning.round:
            ...     state = learning.partial({"x": [1.0, 2.0]}, range(0, 2))
            ...     state = state.merge(learning.partial({"x": [6.0]}, range(2, 3)))
            ...     learning = learning.next(state)
            >>> learning.finish().transform({"x": [3.0]})["x"].to_pylist()
            [0.0]
        """
        from fastfeat.api.learning import learning_of  # seldom needed

        return learning_of(
            self.declaration,
            schema,
            tables,
            lambda record: FittedPlan(self, record),
            whole_entities=whole_entities,
            stable=stable_record(stable),
            profile=profile,
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
            InvalidPlan: columns, or types of codes, are known once the plan is fitted.
        """
        declared = self.declaration
        known, of_tables = schemas.read_schema(input_schema), resolve_schemas(tables)
        types = bind(list(declared.nodes.values()), known, of_tables)
        check_new_plan(types)
        check_clocks(declared, types)
        return schema_before_fit(declared, known, of_tables, types)

    def compile(
        self,
        schema: Any,
        *,
        tables: Tables = None,
        backend: str = "cpu",
        profile: Profiled = False,
    ) -> Compiled:
        """Return a record of the kernels made ready for data of a schema, which need not be there.

        What `fit`, `fit_transform`, `transform` and `transform_row` would compile when they first
        run is compiled into the cache folder (FASTFEAT_CACHE_DIR): once, where an image is built.

        Args:
            schema: as in `schema`; of a path the head is read.
            tables: the same of each lookup table, by its name.
            backend: as in `fit`. Machine code of the "gpu" is made where the card is.
            profile: as `fit` will be called: with one, the kernels that count it are made ready.

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
            (5, ())
        """

        from fastfeat.api.compile import compile_plan  # seldom needed

        return compile_plan(self.declaration, schema, tables, backend, profile)

    def explain(self, stage: str = "plan", *, schema: Any = None, tables: Tables = None) -> str:
        """Return the plan as text.

        Args:
            stage: "plan" (features and scans), "leakage" (what each feature can see), "live" (how
                rows are computed as they arrive, and what a live state holds); with a schema also
                "bound" (types), "optimized" (what is hoisted and shared), "schedule" (the tasks
                that run it, in rounds), "physical" (loops), "cpu" and "cuda" (the generated
                kernels), "passes" (what fit with `memory=` reads of the data in each pass).
            schema: as in `schema`, for the stages that need types; for "passes" the data itself, of
                which no rows are read, as in `fit`.
            tables: as in `schema`; for "passes" as in `fit`.

        Raises:
            InvalidPlan: an unknown stage, or one that needs the schema.
            FastfeatError: of columns and types, as `fit`.
        """
        if schema is not None and stage == explanations.OF_DATA:
            from fastfeat.api.out_of_core import explain_passes  # seldom needed

            return explain_passes(self.declaration, schema, tables)
        known = None if schema is None else schemas.read_schema(schema)
        return explanations.explain_plan(
            self.declaration, stage, known, tables=resolve_schemas(tables)
        )

    if not TYPE_CHECKING:  # type checkers would take any attribute for granted

        def __getattr__(self, name: str) -> Any:
            """Raise a hint where a plan is used as if it were fitted."""
            if name in _OF_FITTED:
                raise NotFitted(
                    f"a plan has no {name} before it is fitted. Fit it first: fitted = "
                    f"plan.fit(data), then fitted.{name}"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def __getitem__(self, name: Any) -> Any:
            """Raise a hint where a plan is used as if it were a mapping or a table."""
            one = _asked_features(self, name)[0]
            raise TypeMismatch(
                f"plan[{name!r}]: a plan has no items. Write plan.features[{one!r}] for the "
                f"expression of a feature, fitted.transform(data)[{one!r}] for its values"
            )

    def __repr__(self) -> str:
        """Return a line for each of the first features: how it is made, what it learns and sees."""
        return summary.plan_summary(self.declaration)

    def _repr_html_(self) -> str:
        """Return a table of the features, for notebooks."""
        from fastfeat.tell.html import plan_html

        return plan_html(self.declaration)

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
        """Return the call by which pickle makes the plan again: from its JSON."""
        return pickles.plan_of, (self.to_json(),)

    def to_json(self) -> str:
        """Return the plan as canonical JSON: equal plans give equal text."""
        from fastfeat.keep.document import plan_text  # seldom needed

        return plan_text(self.declaration)

    @staticmethod
    def from_json(text: str | bytes) -> Plan:
        """Return the plan of a JSON text.

        Raises:
            ArtifactError: it is no plan, or has what this version does not know.
            Leakage, InvalidPlan, TypeMismatch: as of a plan that is written in Python.
        """
        from fastfeat.keep.document import plan_of_text  # seldom needed

        return plan_of(plan_of_text(text))


def _asked_features(plan: Plan, item: Any) -> list[str]:
    """Return the features that `plan[item]` asks for; the first one where it names others."""
    items = cast("list[Any]", item) if isinstance(item, list) else [item]
    known = [one for one in items if isinstance(one, str) and one in plan.features]
    return known if len(known) == len(items) > 0 else [next(iter(plan.features))]


def plan_of(declared: Declaration) -> Plan:
    """Return the face of a declaration."""
    plan = object.__new__(Plan)
    object.__setattr__(plan, "declaration", declared)
    return plan


def stable_record(stable: Any) -> Fitted | None:
    """Return the record of an earlier fit whose codes stay; None without one.

    Raises:
        TypeMismatch: it is no fitted plan.
    """
    if stable is None or isinstance(stable, FittedPlan):
        return None if stable is None else stable.record
    raise TypeMismatch(
        f"stable= takes a fitted plan, whose codes stay, got {type(stable).__name__}: "
        "ff.load(path) reads one"
    )


def _held(
    contract: Contract, rows: CallRows, *, in_passes: bool
) -> tuple[CallRows, FittedContract]:
    """Return rows whose data can be read again, and the contract that they hold.

    Args:
        contract: as of `Plan.fit`.
        rows: The training rows. The contract is checked on all rows of their data.
        in_passes: Whether the data is read a little at a time: a reader that is used up is refused
            then.

    Raises:
        InvalidData: the rows can be read once.
        FastfeatError: as `fitted_contract`.
    """
    from fastfeat.execute.guard import read_again  # seldom needed
    from fastfeat.trust.quality.fitting import fitted_contract

    if in_passes:
        from fastfeat.io.sources.dataset import dataset_of

        dataset_of(rows.data).check_passes(2)
    else:
        rows = rows._replace(data=read_again(rows.data))
    return rows, fitted_contract(contract, rows)


@offering(*_READ_OF_FITTED)
@explaining_methods(lambda fitted: "fitted.", _HINTS_OF_FITTED)
@dataclass(frozen=True, eq=False, repr=False)
class FittedPlan:
    """A plan with what `fit` has learnt; made by `Plan.fit` and `load`, never changed.

    Args:
        plan: the plan.
        record: what it has learnt.
    """

    plan: Plan
    record: Fitted = field(repr=False)

    @property
    def inputs(self) -> InputSchema:
        """The type of each column that the features read, as seen in fit."""
        return self.record.inputs

    @property
    def n_rows(self) -> int:
        """The number of training rows that were learnt from."""
        return self.record.n_rows

    @property
    def n_rows_without_label(self) -> int:
        """The number of training rows that were not learnt from.

        Their label looks ahead of what is recorded, or of rows that give none.
        """
        return self.record.n_rows_without_label

    @property
    def schema(self) -> ArrowSchema:
        """The Arrow schema of the features, without kept columns.

        The field of an ordinal encoding has the metadata "n_codes"; see `n_codes`.
        """
        return self.record.schema

    @property
    def n_codes(self) -> dict[str, int]:
        """The number of codes of each ordinal encoding: the rows of an embedding."""
        return self.record.n_codes

    @property
    def categories(self) -> dict[str, Array]:
        """The categories of each ordinal encoding as text, in the order of its codes from 1 on.

        First stands "__other", of unseen and rare values ("__other_1" to "__other_k" with
        `n_unseen_buckets=k`), then the vocabulary: a value is written as in the names of one-hot
        columns, the parts of a `cross` with a space between them, a part that is missing as
        "missing". Where two texts are equal the later one gets a "_" more.
        """
        return self.record.categories

    @property
    def feature_names(self) -> list[str]:
        """The names of the features, in output order."""
        return self.record.feature_names

    @naming_files
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
        on_violation: str | None = None,
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
            on_violation: what becomes of rows that break a rule of the plan's `contract`, but one
                that only warns. None, for what each rule says; "reject" is an error; "warn" tells;
                "ignore" judges no row at all; "quarantine" sets them apart, as if they had never
                come: the result is the features of the other rows, and a table of these, with the
                number of each ("row") and the names of the rules that it breaks ("violations").
                Rules judge a row by itself here: those with aggregates, windows, `at_most=`, the
                clock or late columns are for `fit` and `check`.

        Raises:
            ContractBroken: rows break a rule; it names the first of them, with their values.
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
            RowsBreakRule: rows break a rule that only warns.
        """
        given = CallRows(data, rows, history, tables, backend)
        if self.record.contract is not None or on_violation is not None:
            from fastfeat.trust.quality.transforming import transform_judged  # seldom needed

            return transform_judged(
                self.record, given, on_violation, to=to, out=out, categories=categories
            )
        return transform(self.record, given, to=to, out=out, categories=categories)

    def transform_batches(
        self,
        data: Any,
        *,
        history: Any = None,
        tables: Tables = None,
        to: str = "arrow",
        categories: bool = False,
        backend: str = "cpu",
        memory: str | int | None = None,
        on_violation: str | None = None,
    ) -> Iterator[Any]:
        """Yield the features of the rows, some rows at a time, in their order.

        Where windows see other rows of the data, a first pass writes each row to the share of its
        entity, in files without a name in the folder of the system for such: they hold what is
        read, and the features of windows. One share after the other is computed in memory.

        Args:
            data: as in `transform`; or more than memory holds: a folder, a pattern such as
                `logs/*.parquet`, an address, a list of files, a pyarrow Dataset, a reader, a
                function that opens one. Of it about 32 MiB are read at a time.
            history: as in `transform`, or as `data` here.
            tables: as in `transform`; they are read once.
            to: the form of each result, as in `transform`.
            categories: as in `transform`.
            backend: as in `transform`.
            memory: the most memory that this process should have resident, as in `Plan.fit`: fewer
                rows are read at a time where less is left, and keys for which a table has no room
                are found in one that takes less and longer. A few rows are read in any case.
            on_violation: as in `transform`, but for "quarantine".

        Raises:
            ContractBroken: as `transform`, of the first such rows.
            InvalidPlan: a feature sees all rows, of no key, and not the latest ones alone;
                `row_id=` of a plan with windows.
            OutOfMemory: `memory` is exceeded as features are computed; it says how much would do.
            FastfeatError: as `transform`; rows are numbered in the data.

        Warns:
            EncodedInFold: they stand in files that `fit` has read in passes, and an encoding has
                learnt from their labels.
            FastfeatWarning: as `transform`.

        Example:
            >>> fitted = ff.Plan({"y": col("x") + 1}).fit({"x": [1, 2]})
            >>> [features.num_rows for features in fitted.transform_batches({"x": [1, 2, 3]})]
            [3]
        """
        from fastfeat.execute.pieces import (
            budget_of_features,
            bytes_within,
            pieces_of_later_rows,
            pieces_within,
        )
        from fastfeat.io.budget import bounded  # seldom needed
        from fastfeat.io.sources.dataset import dataset_of

        given = CallRows(dataset_of(data), None, history, tables, backend, memory)
        budget = budget_of_features(self.record, given, given.data)
        with bounded(budget):
            pieces = pieces_of_later_rows(
                self.record,
                given,
                to=to,
                categories=categories,
                most_bytes=bytes_within(budget),
                on_violation=on_violation,
            )
        return pieces_within(pieces, budget).of_all()

    @naming_files
    def transform_to(
        self,
        data: Any,
        out: str | os.PathLike[str],
        *,
        format: str | None = None,
        partition_by: str | Sequence[str] = (),
        part_rows: int | None = None,
        history: Any = None,
        tables: Tables = None,
        backend: str = "cpu",
        memory: str | int | None = None,
        on_violation: str | None = None,
        quarantined: str | os.PathLike[str] | None = None,
    ) -> Manifest:
        """Write the features of the rows to a file or a folder, and return the list of its files.

        Rows are computed and written some at a time, in their order, with the kept columns. Files
        have the same bytes however the rows came. The metadata of their schema has the digest of
        the fitted plan as "fastfeat.plan", and the field of an ordinal encoding its "n_codes".

        A file is there whole or not at all. So is a folder: it is made beside its place, as
        `.NAME.unfinished`, in parts, and takes its place when all are there. What is interrupted,
        by a full disk or kill -9, leaves its finished parts: the same call over the same files goes
        on behind them. The folder has a list of its parts in `_manifest.json`, and the same call
        once more does nothing.

        Args:
            data: as in `transform_batches`. A call goes on only where it is in files.
            out: a file, by its suffix Parquet, Arrow IPC or CSV, which is replaced if it is there;
                or a folder, which must be new or empty.
            format: the form of a folder: files of "parquet" (the default), "ipc", "csv" or "tsv",
                a "delta" table, which has signed integers and times in microseconds alone, or a
                "lance" dataset, which is the default of a name that ends in .lance. A name with
                another suffix needs it.
            partition_by: of a folder, the features or kept columns by whose values its files stand
                in folders `name=value`, which have no such columns: text, integers, bools, dates.
            part_rows: of a folder, how many rows of the data a part has, which is a file, or with
                `partition_by` some; None for as many as make about 256 MiB.
            history: as in `transform`, or as `data` here.
            tables: as in `transform`; they are read once.
            backend: as in `transform`.
            memory: as in `transform_batches`.
            on_violation: as in `transform_batches`; or "quarantine", with `quarantined=`: rows that
                break a rule are set apart, and windows of other rows do not see them. The data is
                read three times, and first of all in the columns of rules.
            quarantined: the file, or the folder, of the rows that are set apart, with their numbers
                and reasons as of `transform`.

        Returns:
            The list of the files; its `quarantined` is that of the rows that are set apart.

        Raises:
            ContractBroken: as `transform_batches`; parts before these rows are written.
            InvalidPlan: as `transform_batches`; an option that is none, or for folders;
                "quarantine" without `quarantined=`, or of a plan without a contract.
            OutputError: a full disk; a folder of other files, or of features of another plan, other
                data or other tables; a damaged manifest; another process writes it; a file of the
                data, or a place in its folder.
            OutOfMemory: as `transform_batches`; with more memory the same call goes on.
            LibraryUnavailable: deltalake or pylance is not installed.
            FastfeatError: as `transform`; rows are numbered in the data.

        Warns:
            FastfeatWarning: as `transform_batches`.

        Example:
            >>> fitted = ff.Plan({"y": col("x") + 1}).fit({"x": [1, 2]})
            >>> from tempfile import mkdtemp
            >>> out = mkdtemp() + "/features"
            >>> manifest = fitted.transform_to({"x": [1, 2, 3]}, out, part_rows=2)
            >>> [(file.name, file.n_rows) for file in manifest.files]
            [('part-000000.parquet', 2), ('part-000001.parquet', 1)]
        """
        from fastfeat.execute.layout import layout_of  # imports the engine
        from fastfeat.trust.quality.transforming import write_judged

        layout = layout_of(out, format, partition_by, part_rows)
        apart = None if quarantined is None else layout_of(quarantined)
        given = CallRows(data, None, history, tables, backend, memory)
        digest = self._digest.hex()
        return write_judged(self.record, given, layout, digest, on_violation, apart)

    def transform_row(self, row: Mapping[str, Any], *, tables: Tables = None) -> NDArray[Any]:
        """Return the features of one row, as a float array of shape (n_features,); NaN is missing.

        Args:
            row: value of each input column; None or NaN is missing, further entries are ignored.
            tables: as in `fit`. Pass the same pyarrow Tables at each call: what is made of one is
                kept as long as it lives, that of any other kind is made at each call.

        Raises:
            UnknownColumn: a column is not in the row, or a table not in `tables`.
            TypeMismatch: a value is not of the column's type, nor exactly convertible.
            ContractBroken: the row breaks a rule of the plan's `contract`.

        Warns:
            RowsBreakRule: it breaks a rule that only warns.
        """
        if self.record.contract is not None:
            from fastfeat.live.row.judged_row import judge_one_row  # seldom needed

            judge_one_row(self.record, row, tables)
        return one_row.transform_row(self.record, row, tables=tables)

    def online(
        self,
        history: Any = None,
        *,
        path: str | os.PathLike[str] | None = None,
        tables: Tables = None,
        late: Late | None = None,
        keep: str | int | None = None,
        max_ahead: str | None = None,
        max_jump: str | int | None = None,
        durability: Durability | None = None,
        archive: str | os.PathLike[str] | None = None,
        keep_audit: str | None = None,
    ) -> Live[FittedPlan]:
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
            max_ahead: how far a time may be ahead of this machine's clock, such as "1h"; a row
                beyond is an error. None and "any" set no limit. Times without a zone count as UTC.
            max_jump: how far a time may be ahead of the latest row that came before, of any entity:
                a duration such as "1d", or a whole number for clocks of integers. It is for rows of
                the past that are sent again, where the machine's clock says nothing. Choose it
                longer than any silence. None sets no limit.
            durability: when a call is on disk: "commit" (the default) before it returns,
                "interval" within a second, "checkpoint" once `Live.checkpoint` or `close` returns.
            archive: a folder that keeps what a whole state replaces in the file (after `compact`,
                automatic ones too, another plan, `forget`), so that `ff.replay` covers it. None
                keeps nothing, or with `keep_audit` in a folder beside the file, named after it.
            keep_audit: how long it is kept there, such as "90d", by this machine's clock from the
                moment when a whole state replaced it. None keeps it for ever, where there is an
                `archive`. Both are stored in the file, and may change when it is opened.

        `late`, `keep` and `max_ahead` are stored in the file: None takes those when it is opened.
        `max_jump` is not: give it each time.

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
        from fastfeat.live.live import ALONE, begin_live  # seldom needed

        return begin_live(
            {ALONE: self.record},
            {ALONE: self},
            history,
            path=path,
            tables=tables,
            late=late,
            keep=keep,
            max_ahead=max_ahead,
            max_jump=max_jump,
            durability=durability,
            archive=archive,
            keep_audit=keep_audit,
        )

    def learnt(self) -> dict[str, Any]:
        """Return the learnt values, by the text of the aggregate; missing is None.

        What is learnt per key is a table of the key (named by its column, or "key") and the value:
        first of missing, unseen and rare keys, then of the others.

        Times are Python's datetime, date, time and timedelta; those that Python does not have, such
        as one with nanoseconds, are pyarrow scalars.
        """
        return fitted_tables.learnt_values(self.record)

    def vocabulary(self, feature: str) -> Table:
        """Return the categories of an encoder as a table of code, value and number of rows.

        Args:
            feature: a feature in which an encoder looks its categories up, or a column of it; of
                several encoders the first counts.

        Returns:
            A table with the columns "code", one a part of the key (named by its column, or "value")
            and "count", of the training rows: first the code 0 of missing, then those of unseen
            and rare categories, then the categories. Where several codes share the rare ones,
            the count of each of them is missing. A category of which no row is keeps its code of an
            earlier fit (`stable=`).

        Raises:
            InvalidPlan: there is no such feature, or it has no categories.
        """
        return fitted_tables.vocabulary(self.record, feature)

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
        return fitted_tables.inverse(self.record, feature, codes)

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
        return labels.label_of(self.record, call_rows(data, rows, history, tables, backend))

    def refit(self, data: Any, *, stable: bool = True, **options: Any) -> FittedPlan:
        """Return the plan as it is fitted on other rows, by the same contract; codes stay.

        It keeps a profile of these rows where it has one of those before. `ff.diff(fitted,
        refitted)` says what has changed.

        Args:
            data: as in `Plan.fit`.
            stable: whether categories keep the codes that they have; see `Plan.fit`.
            options: as of `Plan.fit`: rows, history, tables, backend, memory; and contract and
                profile, in place of those that it has.

        Raises:
            FastfeatError: as `Plan.fit`.

        Example:
            >>> plan = ff.Plan({"k": col("k").ordinal_encode()})
            >>> refitted = plan.fit({"k": ["a", "a", "b"]}).refit({"k": ["c", "c", "b"]})
            >>> refitted.transform({"k": ["a", "b", "c"]})["k"].to_pylist()
            [2, 3, 4]
        """
        given: dict[str, Any] = {
            "contract": self.contract,
            "profile": self.record.profile is not None,
            "stable": self if stable else None,
            **options,
        }
        return self.plan.fit(data, **given)

    @property
    def profile(self) -> Profile | None:
        """The values of the training rows, inputs and features, as counts.

        None unless `fit` was called with `profile=`. A selection of features keeps their profiles.
        """
        from fastfeat.trust.quality.profiling import profile_face  # seldom needed

        return profile_face(self.record)

    def profile_of(
        self,
        data: Any,
        *,
        history: Any = None,
        tables: Tables = None,
        backend: str = "cpu",
        memory: str | int | None = None,
    ) -> Profile:
        """Return the profile of other rows, on the edges and categories of `profile`.

        Profiles of parts of the rows merge to that of all of them, byte for byte.

        Args:
            data: as in `transform`; late columns need not be there.
            history: as in `transform`, as the following are.
            tables: lookup tables.
            backend: its name.
            memory: the most memory that this process may take, such as "600MiB": files are read in
                passes.

        Raises:
            InvalidPlan: the plan has no profile.
            FastfeatError: as `transform`, and `transform_to` with `memory=`.

        Example:
            >>> fitted = ff.Plan({"x": col("x") * 2}).fit({"x": [1.0, 2.0, 2.5]}, profile=True)
            >>> later = fitted.profile_of({"x": [2.0, 9.0, None]}).features["x"]
            >>> later.n_missing, later.greatest, later.counts.tolist()
            (1, 18.0, [0, 0, 0, 1, 0, 0, 1])
        """
        from fastfeat.trust.quality.later_rows import profile_of  # seldom needed

        return profile_of(self.record, call_rows(data, None, history, tables, backend, memory))

    @property
    def contract(self) -> Contract | None:
        """The rules that rows must hold, as `fit` was given them; None without."""
        from fastfeat.trust.quality.contract import contract_face  # seldom needed

        kept = self.record.contract
        return None if kept is None else contract_face(kept.declaration)

    def check(
        self,
        data: Any,
        *,
        history: Any = None,
        tables: Tables = None,
        clock: Any = None,
        backend: str = "cpu",
        memory: str | int | None = None,
    ) -> CheckReport:
        """Return a report of the rules of the plan's contract that rows hold, and of those broken.

        Late columns need not be there: a rule that reads one is skipped without it.

        Args:
            data: as in `Contract.check`, as the following are.
            history: earlier rows, which windows in rules see.
            tables: as in `fit`.
            clock: the time of the check, where rules read one.
            backend: as in `transform`.
            memory: as in `fit`.

        Raises:
            InvalidPlan: the plan has no contract; or as `Contract.check`.
            FastfeatError: as `Contract.check`.

        Example:
            >>> plan, contract = ff.Plan({"x": col("x") + 1}), ff.Contract({"x": col("x") > 0})
            >>> fitted = plan.fit({"x": [1.0, 2.0]}, contract=contract)
            >>> fitted.check({"x": [3.0, -1.0, None]}).counts
            {'x': 2}
        """
        from fastfeat.trust.quality.checking import check_rows  # seldom needed

        if self.record.contract is None:
            raise InvalidPlan(
                "the plan has no contract. Fit it with one: plan.fit(data, contract=ff.Contract("
                "{'name': col('x') > 0})), or check by that: contract.check(data)"
            )
        given = call_rows(data, None, history, tables, backend, memory)
        contract, late = self.record.contract.declaration, self.plan.late
        return check_rows(contract, given, clock=clock, late=late)[1]

    def drift(
        self,
        data: Any,
        *,
        by: str | Sequence[str] | None = None,
        reference: Any = None,
        reference_history: Any = None,
        thresholds: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        history: Any = None,
        tables: Tables = None,
        backend: str = "cpu",
        memory: str | int | None = None,
    ) -> Drift:
        """Return the drift of each feature and input: rows compared with those of training.

        What the plan keeps of its training rows is enough, see `profile`. A column has drifted
        where a figure is beyond its limit and beyond what chance makes of so few rows; never by a
        p value. Points in time, and features that read them alone, are reported and not judged.

        Args:
            data: the rows, as in `transform`. Late columns need not be there.
            by: a column, or several: the rows of each of their values are compared too, with those
                of the value in `reference=`, or with all training rows; see `Drift.segments`.
            reference: rows to compare with in place of those of training, such as those of the same
                season of the year before; features of times alone are judged then. Or a profile of
                them, as `profile_of` gives it, of which there are no segments.
            reference_history: what windows in rows of the reference see, as `history`; by default
                "batch", the reference itself.
            thresholds: limits by name, `{"psi": 0.2, "missing": 0.01, "ignore": ["month"]}`, of
                single columns by `{"columns": {"distance": {"psi": 0.3}}}`; or the path of a TOML
                file, which has them in its section `[drift]`.
            history: as in `transform`, as the following are.
            tables: lookup tables.
            backend: "cpu", "gpu" or "reference".
            memory: as in `profile_of`.

        Raises:
            InvalidPlan: the plan has no profile; or `by=` has too many values.
            InvalidData: the profile that `reference=` gives is that of another plan.
            InvalidConfig: a threshold is unknown, none of its kind, or of no column.
            UnknownColumn: the data lacks a column.
            FastfeatError: as `transform`.

        Example:
            >>> fitted = ff.Plan({"x": col("x") + 1}).fit({"x": list(range(1_000))}, profile=True)
            >>> fitted.drift({"x": list(range(1_000))}).drifted
            []
            >>> fitted.drift({"x": list(range(500, 1_500))}).drifted
            ['x']
        """
        from fastfeat.trust.quality.drifting import drift  # seldom needed

        return drift(
            self.record,
            call_rows(data, None, history, tables, backend, memory),
            by=by,
            reference=reference,
            reference_history=reference_history,
            given=thresholds,
        )

    def report(
        self,
        data: Any = None,
        path: str | os.PathLike[str] | None = None,
        *,
        title: str | None = None,
        history: Any = None,
        tables: Tables = None,
        clock: Any = None,
        thresholds: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        memory: str | int | None = None,
    ) -> FeatureReport:
        """Return a report of the plan, and of rows beside those of training, as one HTML file.

        First stands a verdict, then the features, the worst first: distribution then and now,
        drift, missing values, formula, what each sees and learns; the inputs; the contract with the
        rows that break each rule; the plan as a picture; what each step took of the run over the
        rows, measured. The file has no script, and fetches nothing.

        Args:
            data: rows to compare with those of training, as in `transform`; None for a report of
                the plan and its training rows alone.
            path: where the page goes, such as "report.html"; an existing file is replaced. None
                writes no file: the result has the page, and a notebook shows it.
            title: of the page; None for the name of the label.
            history: as in `transform`, as are the following.
            tables: lookup tables.
            clock: the time of the check, where rules of the contract read one.
            thresholds: as in `drift`.
            memory: as in `profile_of`: data is read in pieces then.

        Raises:
            InvalidPlan: rows are given, and the plan has neither a profile nor a contract to
                compare them with.
            InvalidConfig: thresholds that there are not.
            FastfeatError: as `transform`, of the rows; as `check`, of the contract.
            OSError: the file cannot be written.

        Example:
            >>> rows = {"x": [1.0, 2.0, 3.0]}
            >>> fitted = ff.Plan({"x": col("x").standard_scale()}).fit(rows, profile=True)
            >>> report = fitted.report(rows)
            >>> report.level, report.verdict, report.html[:15]
            ('ok', 'No drift', '<!doctype html>')
        """
        from fastfeat.trust.report.report import report  # seldom needed

        given = call_rows(data, None, history, tables, memory=memory)
        return report(self.record, given, path, title=title, clock=clock, thresholds=thresholds)

    def history_needed(self) -> dict[str, str]:
        """Return the reach of windows as text, by the entity; see `Plan.history_needed`."""
        return self.plan.history_needed()

    def reach(self) -> dict[str, Reach]:
        """Return the reach of windows as numbers, by the entity; see `Plan.reach`."""
        return self.plan.reach()

    def select(self, names: str | Sequence[str]) -> FittedPlan:
        """Return the fitted plan with some of its features, in that order, and no kept columns.

        Args:
            names: features by their name in the plan, or single columns of those that have several
                by their name in the output: "hour", or "hour_sin". One name may stand alone.

        Raises:
            InvalidPlan: a name that is neither.
        """
        from fastfeat.execute.feature_subset import selected  # seldom needed

        return face_of(selected(self.record, [names] if isinstance(names, str) else list(names)))

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
        from fastfeat.tell.fitted_tables import feature_map  # seldom needed

        return feature_map(self.record)

    def compile(self, *, backend: str = "cpu") -> Compiled:
        """Return a record of the kernels made ready to transform rows; see `Plan.compile`.

        For an image that serves: what `transform` and `transform_row` would compile.

        Args:
            backend: as in `transform`.

        Raises:
            BackendUnavailable: a backend that does not exist, or cannot run here.
        """

        from fastfeat.api.compile import compile_fitted  # seldom needed

        return compile_fitted(self.record, backend)

    def explain(self, stage: str = "physical") -> str:
        """Return the fitted plan as text.

        "pandas" and "polars" give a module of that library with one function,
        `features(data, history=None, tables=None)`, which returns a frame of the features. What
        `fit` has learnt stands in it as numbers, names of columns as string literals. It gives the
        features of `transform`: the same integers, bools and missing values, floats but for the
        last digits. It does not check what `transform` checks: an integer that overflows wraps
        around. `fastfeat bench` times it.

        Args:
            stage: "plan" (features and scans), "bound" (types), "optimized" (what is hoisted and
                shared), "schedule" (the tasks that run it, in rounds), "physical" (loops), "cpu"
                and "cuda" (the generated kernels), "leakage" (what each feature can see), "live"
                (how rows are computed as they arrive, and what a live state holds), "pandas" and
                "polars" (the features as code of that library).

        Raises:
            InvalidPlan: an unknown stage.
            NotExportable: features that the library cannot compute as the plan does; the message
                names each of them and the reason. Leave them out by `select`.

        Example:
            >>> fitted = ff.Plan({"late": col("delay") > 15}).fit({"delay": [3.0, 40.0]})
            >>> [line for line in fitted.explain("polars").splitlines() if "late" in line]
            ["            (c1.fill_nan(None) > 15.0).alias('late'),"]
        """
        record = self.record
        # an expression, given by mistake, has no truth value
        is_text = isinstance(stage, str)  # pyright: ignore[reportUnnecessaryIsInstance]
        if is_text and stage in explanations.OF_PEERS:
            from fastfeat.tell.peers.code import code_of  # seldom needed

            return code_of(record, stage)
        with using(record.zones):
            return explanations.explain_plan(
                *(record.declaration, stage, record.inputs, record.nodes, record.tables),
                codes=record.typed.codes,
            )

    def rounding(
        self,
        data: Any,
        *,
        dtypes: Sequence[str] = ("float32", "float16", "bfloat16"),
        history: Any = None,
        tables: Tables = None,
        backend: str = "cpu",
    ) -> dict[str, dict[str, Rounding]]:
        """Return the error that float types bring to each feature of floats: by name and type.

        Each is computed in float64, whatever `dtype` the plan has, and rounded once to each type.

        Args:
            data: the rows, as of `transform`, as the following are.
            dtypes: the types.
            history: earlier rows.
            tables: lookup tables.
            backend: what computes them.

        Raises:
            InvalidPlan: a type is none of "float16", "bfloat16", "float32" and "float64".

        Example:
            >>> fitted = ff.Plan({"x": col("x")}).fit({"x": [0.1, 1e-9, 70_000.0]})
            >>> found = fitted.rounding({"x": [0.1, 1e-9, 70_000.0]})["x"]
            >>> found["float16"].n_beyond, found["float16"].n_vanished
            (1, 1)
            >>> found["bfloat16"].fits, round(found["bfloat16"].largest_relative, 4)
            (True, 0.0032)
        """
        from fastfeat.trust.quality.rounding import roundings  # seldom needed

        given = call_rows(data, None, history, tables, backend)
        return roundings(self.record, given, dtypes=dtypes)

    def verify(
        self,
        data: Any,
        *,
        history: Any = None,
        tables: Tables = None,
        n_rows: int = 1000,
        backends: Sequence[str] = ("cpu", "reference"),
        memory: str | int | None = None,
    ) -> Report:
        """Return a report of whether all paths give the same bits: backends, threads, rows, live.

        Where features see other rows by a time, of the data or of tables, the rows after a moment
        are removed, and features of the rows before it must keep their bits: no feature sees a
        later row. At about 50 moments this is done, beside a label that looks ahead by its clock,
        else by each clock for the features of that clock. What `fit` has learnt stays. The report
        has `.on_word`, what is left out since you vouch for it, such as tables that are looked up
        by key alone and features by `known_clocks`, and `.cannot_see`.

        Args:
            data: as in `transform`; with `memory` as in `transform_batches`.
            history: as in `transform`; None where the data holds its own past.
            tables: as in `transform`.
            n_rows: how many rows the reference computes, which is slow: evenly spaced, or of whole
                entities where the plan has windows. Of rows with a long past it computes fewer, and
                after the latest of the history alone; the report says how many.
            backends: at least two, such as ("cpu", "gpu"): each is compared with the first.
            memory: the most memory that this process should have resident, as in `fit`. The data is
                then read a little at a time: the sample is of all of it, and compared are as many
                rows as have room, the first ones or, with windows, those of some entities, with
                their history; in pieces, as `transform_to` reads them, too. None reads it whole.

        Raises:
            InvalidPlan: fewer rows than 1, fewer backends than 2.
            OutOfMemory: `memory` has no room for rows beside what this process has, and the keys
                that were learnt, which the reference looks up in Python.
            BackendUnavailable: a backend that does not exist, or cannot run here.
        """
        from fastfeat.live.live import begin_alone  # seldom needed
        from fastfeat.trust.verify.paths import verify

        bare = replace(self.record, contract=None)  # of rows that break a rule, too
        given = call_rows(data, None, history, tables, memory=memory)
        return verify(bare, given, n_rows, backends, begin_alone)

    def __repr__(self) -> str:
        """Return a line for each of the first features: its type, and how it is made."""
        return summary.fitted_summary(self.record)

    def _repr_html_(self) -> str:
        """Return a table of the features, and of what was learnt for each, for notebooks."""
        from fastfeat.tell.html import fitted_html  # seldom needed

        return fitted_html(self.record)

    if not TYPE_CHECKING:  # type checkers would take any attribute for granted

        def __getattr__(self, name: str) -> Any:
            """Raise a hint where a fitted plan is used as a plan, or as a model."""
            hint = f". {_ELSEWHERE[name].format(name)}" if name in _ELSEWHERE else ""
            raise AttributeError(f"a fitted plan has no attribute {name!r}{hint}")

        def __getitem__(self, name: object) -> Any:
            """Raise a hint where a fitted plan is used as if it were a mapping or a table."""
            names = _asked_features(self.plan, name)
            raise TypeMismatch(
                f"fitted[{name!r}]: a fitted plan has no items. Write "
                f"fitted.transform(data)[{names[0]!r}] for values, fitted.select({names!r}) for a "
                "fitted plan of some features, and fitted.plan.features for the expressions"
            )

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
        from fastfeat.keep.artifact import fitted_digest  # seldom needed

        return fitted_digest(self.record)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the call by which pickle and copy make the plan again: from its artifact."""
        from fastfeat.keep.artifact import artifact_bytes  # seldom needed

        return pickles.fitted_of, (artifact_bytes(self.record),)

    def save(self, path: str | os.PathLike[str], *, golden: bool | None = None) -> None:
        """Write the fitted plan to a file, whole or not at all; it holds no code.

        Args:
            path: of the file.
            golden: whether golden rows go with it: 64 rows that are made up, at the edges of what
                the plan tells apart, with the bits of their features by the reference. Where the
                file is loaded, `ff.load(path, check="golden")` computes them again. None for a plan
                that has learnt at most 131,072 keys.

        Raises:
            ArtifactError: the file cannot be written.

        Warns:
            NoGoldenRows: the features of no row that was made up can be computed.
        """
        from fastfeat.keep.artifact import save  # seldom needed
        from fastfeat.trust.quality.golden.golden_rows import with_golden

        save(with_golden(self.record, golden), path)

    def check_golden(self, *, backend: str = "cpu") -> int:
        """Return the number of golden rows whose features were computed again, bit for bit.

        Args:
            backend: "cpu", "gpu" or "reference".

        Raises:
            ArtifactError: a feature has another bit here, which names it, the row and both values;
                or there are no golden rows: the plan was not loaded, or saved without.
            BackendUnavailable: the backend cannot run here.

        Example:
            >>> import tempfile, os
            >>> fitted = ff.Plan({"y": col("x").standard_scale()}).fit({"x": [1.0, 2.0, 4.0]})
            >>> path = os.path.join(tempfile.mkdtemp(), "y.fastfeat")
            >>> fitted.save(path)
            >>> ff.load(path, check="golden").check_golden()
            64
        """
        from fastfeat.trust.quality.golden.golden_rows import check_golden

        return check_golden(self.record, backend)


def face_of(record: Fitted) -> FittedPlan:
    """Return the face of a fitted record, and of its declaration."""
    return FittedPlan(plan_of(record.declaration), record)


def records_of(plans: Mapping[str, FittedPlan]) -> dict[str, Fitted]:
    """Return the records of fitted plans, by name."""
    return {name: fitted.record for name, fitted in plans.items()}


@explaining
def load(path: str | os.PathLike[str], *, check: str | None = None) -> FittedPlan:
    """Return the fitted plan of a file that `save` wrote. Nothing of the file is run as code.

    Args:
        path: of the file.
        check: "golden" computes the golden rows of the file again: its features are then known to
            have, on this machine, the bits that they had where it was saved.

    Raises:
        ArtifactError: the file is missing, truncated, altered, too new, or no artifact; or a golden
            row has other bits, or there is none.
        TypeMismatch: what is given is no path.
        InvalidPlan: another word for `check`.
        Leakage, InvalidPlan: its plan is one that this version does not build.
    """
    from fastfeat.keep.artifact import read_artifact  # seldom needed

    if check is None:
        return face_of(read_artifact(path))
    from fastfeat.trust.quality.golden.golden_rows import check_option, checked_artifact

    check_option(check)
    return face_of(checked_artifact(path))


def fitted_of(content: bytes) -> FittedPlan:
    """Return the fitted plan of the content of an artifact.

    Raises:
        ArtifactError: it is truncated, altered, too new, or no artifact.
        FastfeatError: as `Plan`, of the plan in it.
    """
    from fastfeat.keep.artifact import fitted_of_bytes  # seldom needed

    return face_of(fitted_of_bytes(content))
