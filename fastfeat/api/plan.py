"""The public classes `Plan`, which declares features, and `FittedPlan`, the result of its fit.

Each wraps an immutable internal record: `Declaration` or `Fitted`. All other code of the library
works with these records. Both classes are in one file because each returns the other; methods that
a first fit and transform do not need are functions in modules beside it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat import pickles
from fastfeat.api.fit_arguments import check_contract, stable_record
from fastfeat.calls.arguments import TOO_MANY, Hints, with_argument_errors, with_method_errors
from fastfeat.calls.completion import with_completion
from fastfeat.errors import NotFitted, TypeMismatch
from fastfeat.execute.call_rows import CallRows, checked_call_rows
from fastfeat.execute.failing_files import naming_files
from fastfeat.execute.fitted import Fitted, InputSchema
from fastfeat.execute.lookup_tables import Tables
from fastfeat.execute.row import one_row
from fastfeat.execute.transform import transform
from fastfeat.expr import Expr
from fastfeat.io.arrow import Schema as ArrowSchema
from fastfeat.io.sources.read import may_be_large
from fastfeat.plan.declare import window_reach
from fastfeat.plan.declare.arguments import UserFeatures
from fastfeat.plan.declare.declaration import Declaration, UserDelay, UserLabel, declare
from fastfeat.plan.declare.late_columns import GivenDelay
from fastfeat.tell import summary

if TYPE_CHECKING:
    from fastfeat.api import fitted_checks, fitted_contents, fitted_output, plan_contents, plan_fits
    from fastfeat.plan.lower.code_types import CodeTypes
    from fastfeat.trust.quality.contract import Contract
    from fastfeat.trust.quality.profiling import ProfileChoice

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
_NO_WEIGHTS = "Weights are not supported yet. Pass them to the model, with the features"
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

_LABEL_UNREAD = "transform reads no label: fitted.transform(data). fitted.label(data) computes it"
_HINTS_OF_FITTED: dict[str, Hints] = {
    "transform": {
        TOO_MANY: "Only the data is positional: fitted.transform(data, to='numpy'). "
        "transform reads no label: fitted.label(data) computes it",
        **dict.fromkeys(("y", "label"), _LABEL_UNREAD),
    },
    "transform_row": {
        "history": "A single row has no history. Keep the history in a live plan: live = "
        "fitted.online(history=...), then live.process(row). Or pass both: "
        "fitted.transform([row], history=...)"
    },
}
_READ_OF_FITTED = (*("plan", "schema", "feature_names", "inputs", "n_rows", "contract"),)
"""The attributes of a fitted plan that users read."""
_OF_PLAN = dict.fromkeys(
    ("fit", "fit_transform"), "A fitted plan does not change. To fit again: fitted.plan.{}(data)"
)
_OF_MODEL = dict.fromkeys(
    ("predict", "predict_proba", "score"), "Give fitted.transform(data, to='numpy') to a model"
)
_ELSEWHERE = {**_OF_PLAN, **_OF_MODEL}


@with_completion(*_READ_OF_PLAN)
@with_method_errors(
    lambda plan: "plan.",
    _HINTS_OF_PLAN,
    elsewhere={
        "fastfeat.api.plan_contents": "schema compile explain to_python",
        "fastfeat.api.plan_fits": "fit_transform_to cross_fit learning",
    },
)
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Plan:
    """Named features to compute from rows of data.

    Args:
        features: Expressions by the name of their output column. Or a list of expressions, each
            named by `alias` or by the first column that it reads: `[col("x") + 1]` makes a feature
            `x`. An operator that returns several columns appends a suffix for each.
        label: The target: the name of a column, or `{name: expression}`. Columns that it reads from
            its own row are late (unknown at the moment of prediction), and so are lookup-table
            columns with the same names. The expression may look ahead in time (`ff.ahead`); rows
            whose label is missing are then not learned from.
        outcomes: Further late columns, known only after the moment of prediction. Or a dict of
            column name to the delay after the row until it is known, such as `{"arr_delay": "2h"}`;
            None stands for `label_delay`.
        dtype: "float16", "bfloat16", "float32" or "float64": float features are rounded to this
            type once, at output, to nearest with ties to even. None leaves them as computed. A
            finite number beyond the range of the type (65,504 for float16) is an error; a number
            too small for it becomes 0 (see `fitted.rounding`). A matrix (`to="numpy"`,
            `to="torch"`, `transform_row`) has this type throughout, float64 for None. An integer
            that it cannot hold exactly is an error there; this can happen beyond 2**8 for bfloat16,
            2**11 for float16, 2**24 for float32 and 2**53 for float64. Tables have no bfloat16:
            their columns hold the same values as float32. A bfloat16 matrix in NumPy needs
            `fastfeat[bfloat16]`.
        keep: Columns that are passed through unchanged to Arrow output.
        label_delay: The time after a row until its late columns are known, such as "30d". Or a dict
            of window time column to delay, `{"ts": "30d", "day": 30}`. A window over a late column
            must end at least that long before the row. Folds by time learn from rows whose labels
            are known when the fold begins.
        known: Columns that the label is computed from but that are known at the moment of
            prediction, such as a promised date that is compared with the actual one.
        known_tables: For each lookup table, its columns that are known at the moment of prediction
            although a late column has the same name: `{"planes": ["delay"]}`. Also the columns that
            are looked up in a table in which the label looks ahead.
        known_clocks: Time columns, such as the time of a booking, by which rows are known at least
            as early as by the clock of a label that looks ahead (`ff.ahead`). Features may then use
            windows over them. Otherwise features may only use the label's clock, because a row that
            is earlier by another clock may be later by the label's. The data cannot confirm it, so
            `fit` warns that it relies on your statement.
        row_id: A column that identifies a row, such as a transaction number: text, bytes, numbers,
            dates or times. A row with the same id in the data and in `history=` is one row: it
            keeps its place in the history and takes its values from the data; columns that the data
            lacks (past labels) come from the history. The history may then extend beyond the data.
            `fit` assigns rows to folds by id, unless a target encoder says otherwise, so a repeated
            row is always in the same fold and the order of rows and files does not matter. Ids must
            not be missing in `fit`. If windows see the rows of the data, each id may occur once in
            it. Otherwise rows with the same id must be equal in all columns that the plan reads;
            `RowsRepeated` counts them.
        codes: "smallest" stores codes (`ordinal_encode`, buckets of `hash`, bins, calendar parts
            except years) in the smallest of uint8, int16 and int32 that holds every possible code
            of this fit. Another fit may find more categories and therefore another type. None
            always uses int32. If all features are such codes, one-hot columns or bools that are
            never missing, and there is no `dtype`, matrices are of integers too.

    Raises:
        InvalidPlan: No features, clashing names, an unknown option, or a delay without late
            columns. Also if `known` names the label, an outcome, a column that is known anyway, or
            everything that the label reads; or if `known_clocks` names a column that needs no such
            statement.
        Leakage: A feature reads a late column, `keep` names one, or a feature may see rows that a
            label that looks ahead also sees.

    Example:
        >>> from fastfeat import Plan, col
        >>> plan = Plan({"size": col("size").log1p()})
        >>> plan.fit({"size": [0.0, 1.0]}).transform({"size": [0.0, None]}).to_pydict()
        {'size': [0.0, None]}
    """

    declaration: Declaration

    if TYPE_CHECKING:  # set at run time by the decorator
        schema = plan_contents.schema
        compile = plan_contents.compile
        explain = plan_contents.explain
        to_python = plan_contents.to_python
        fit_transform_to = plan_fits.fit_transform_to
        cross_fit = plan_fits.cross_fit
        learning = plan_fits.learning

    def __init__(
        self,
        features: UserFeatures,
        *,
        label: UserLabel = None,
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
        """Check and store the plan; the class describes the arguments."""
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
        """The features by name, also if they were given as a list."""
        return self.declaration.features

    @property
    def label(self) -> UserLabel:
        """The target: a column name, or a dict of one name to an expression."""
        return self.declaration.label

    @property
    def outcomes(self) -> Sequence[str] | Mapping[str, GivenDelay]:
        """The further late columns, with their delays if given."""
        return self.declaration.outcomes

    @property
    def dtype(self) -> str | None:
        """The float type of the features; None leaves them as computed."""
        return self.declaration.dtype

    @property
    def keep(self) -> Sequence[str]:
        """The columns that are passed through to the output unchanged."""
        return self.declaration.keep

    @property
    def label_delay(self) -> GivenDelay:
        """The time after a row until its late columns are known."""
        return self.declaration.label_delay

    @property
    def known(self) -> Sequence[str]:
        """The columns that the label reads although they are known at the moment of prediction."""
        return self.declaration.known

    @property
    def known_tables(self) -> Mapping[str, Sequence[str]]:
        """The lookup-table columns that are known at the moment of prediction, by table."""
        return self.declaration.known_tables

    @property
    def known_clocks(self) -> Sequence[str]:
        """The time columns by which rows are known as early as by the label's clock."""
        return self.declaration.known_clocks

    @property
    def row_id(self) -> str | None:
        """The column that identifies a row; None without one."""
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
        """The columns that are known only after the moment of prediction."""
        return self.declaration.late

    def history_needed(self) -> dict[str, str]:
        """Return how much history windows need, by entity: "7d", "28 rows" or "everything".

        "7d" means the rows of the seven days before the first row of the data. "28 rows" means, for
        each entity in the data, its 28 latest rows before its first row in the data. Both include
        rows at the exact time of that first row. "7d and 28 rows" means the union of both.

        Example:
            >>> week, card = ff.window("7d", by="card", time="t"), ff.window(by="card", time="t")
            >>> ff.Plan({"spent": col("x").sum(over=week)}).history_needed()
            {'card': '7d'}
            >>> ff.Plan({"change": col("x").diff(2, over=card)}).history_needed()
            {'card': '2 rows'}
        """
        return window_reach.history_needed(self.declaration.nodes.values())

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
        profile: ProfileChoice = False,
        stable: FittedPlan | None = None,
        check_ids: bool = False,
    ) -> FittedPlan:
        """Return the fitted plan: this plan with the values that it learned from training rows.

        Args:
            data: Training rows, with the label if a feature learns from it. A pyarrow Table or any
                Arrow producer, a pandas or Polars DataFrame, a dict of NumPy arrays, or a list of
                dicts (one per row, each with every column). Or files: a path, a folder (files in
                order of their names, hive partitions as columns), a pattern such as
                "logs/*.parquet", an address such as "s3://bucket/logs", or a list of these. Or a
                function that opens a reader. For a backend with its own memory also a dict of
                arrays on the device (CuPy, torch, anything with `__cuda_array_interface__`, DLPack
                or `__arrow_c_device_array__`), or an Arrow device table: these are read in place,
                in their own types.
            rows: The rows of `data` to learn from: a bool for each row, shape (n_rows,), or row
                numbers; None for all rows. Windows, lookups and joins still see all rows. Folds are
                assigned within these rows, in their order. A row number that is given twice counts
                twice, and is an error if an encoder would put it in two folds.
            history: Earlier rows. Windows see them; nothing is learned from them. None or "batch":
                windows see only the rows of the data.
            tables: Lookup tables by name, each in any form that `data` may have. They are not
                stored in the plan: pass them at each call. The prepared lookup of a pyarrow Table
                is cached as long as that Table lives.
            backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
                compiled by g++). All give the same bits.
            memory: The most memory that this process may use, such as "600MiB", or a number of
                bytes. The interpreter and libraries count. The data is then read in chunks, once
                per pass, and the fitted plan is the same, bit for bit. A function that opens a
                reader must give the same rows in the same order each time. None reads the data
                whole. Exception: files larger than the free memory are read in passes, within the
                memory that the process already has plus three quarters of the free memory, and a
                warning says so.
            contract: Rules that the rows must satisfy, late columns included. The fitted plan keeps
                them and checks later rows in `transform` and its variants.
            profile: Whether the fitted plan keeps a profile (counts of values) of these rows.
                `drift`, `report` and `Live.watch` compare later rows with it. True profiles inputs
                and features; "inputs" profiles inputs only, so no features are computed for it. A
                profile contains values of single rows, such as the minimum and the maximum. False
                keeps none and costs nothing.
            stable: An earlier fit, of this or another plan. Its categories keep their codes, even
                those that are rare or absent now; new categories get the next codes. One-hot
                columns stay in the order of codes, with `__missing` and `__other` last; neither of
                these two is added or dropped. Encoders that only group rows, such as `mean(by=)`
                and `target_encode`, learn as usual. The order of codes follows the counts of
                categories in the earlier rows, so it reveals something about those rows: after a
                fit on the rows of one label class alone, the codes are ordered by the label.
            check_ids: Whether to look for rows with the same `row_id` also when the data is read in
                passes. This reads the rows once more and sorts them by id through temporary files.
                Data that is read whole is always checked.

        Raises:
            ContractBroken: Rows break a rule of `contract` that does more than warn.
            UnknownColumn: The data lacks a column that the plan reads, or `tables` lacks a table.
            OutOfMemory: `memory` is less than the fit needs, or less than this process already
                uses.
            InvalidPlan: With `memory`: row numbers in another order than the data, another backend,
                windows without a key that need an unlimited number of earlier rows, or a plan with
                `row_id=` and windows. With `stable`: codes cannot stay, because other parameters of
                an encoder leave no room for them.
            TypeMismatch: An operator cannot take the type of a column.
            InvalidData: No rows to learn from, no row with a label that looks ahead, a learned
                value that is not finite, or `rows` out of range.

        Warns:
            RowsWithoutLabel: Some rows lack a label that looks ahead and are not learned from.
            RowsBreakRule: Rows break a rule of `contract` that only warns.
            FastfeatWarning: Other oddities of the data; `ff.errors` lists them.

        Example:
            >>> fitted = ff.Plan({"x": col("x") - col("x").mean()}).fit({"x": [1.0, 2.0, 6.0]})
            >>> fitted.transform({"x": [10.0]})["x"].to_pylist()
            [7.0]
        """
        given = checked_call_rows(data, rows, history, tables, backend, memory)
        kept = None
        if contract is not None:
            given, kept = check_contract(contract, given, in_passes=memory is not None)
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
            # the default imports nothing of profiles
            if profile is False:
                from fastfeat.learn.fit import fit

                record = fit(self.declaration, given, stable=old)
            else:
                from fastfeat.trust.quality.profiling import fit_profiled

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
        profile: ProfileChoice = False,
        stable: FittedPlan | None = None,
    ) -> tuple[FittedPlan, Any]:
        """Return the fitted plan and the features of the training rows.

        Target encodings are out of fold: the encoding of a row is learned from the rows of other
        folds. `transform` encodes the same rows by values learned from all rows, including their
        own label. Rows that lack a label that looks ahead were not learned from: they get the
        features that `transform` gives.

        Args:
            data: Training rows, with the label if a feature learns from it. A pyarrow Table or any
                Arrow producer, a pandas or Polars DataFrame, a dict of NumPy arrays, or a list of
                dicts (one per row, each with every column). Or files: a path, a folder (files in
                order of their names, hive partitions as columns), a pattern such as
                "logs/*.parquet", an address such as "s3://bucket/logs", or a list of these. Or a
                function that opens a reader. For a backend with its own memory also a dict of
                arrays on the device (CuPy, torch, anything with `__cuda_array_interface__`, DLPack
                or `__arrow_c_device_array__`), or an Arrow device table: these are read in place,
                in their own types.
            rows: The rows of `data` to learn from: a bool for each row, shape (n_rows,), or row
                numbers; None for all rows. Windows, lookups and joins still see all rows. Folds are
                assigned within these rows, in their order. A row number that is given twice counts
                twice, and is an error if an encoder would put it in two folds. The features are of
                these rows, in their order.
            history: Earlier rows. Windows see them; nothing is learned from them. None or "batch":
                windows see only the rows of the data.
            tables: Lookup tables by name, each in any form that `data` may have. They are not
                stored in the plan: pass them at each call. The prepared lookup of a pyarrow Table
                is cached as long as that Table lives.
            to: The form of the features: "arrow", "pandas", "polars", "numpy", "torch", "scipy",
                "cupy" or "cupy_columns". `FittedPlan.transform` describes each.
            categories: Whether ordinal encodings are returned as categories instead of codes: Arrow
                dictionaries, pandas Categorical or Polars Enum, with the same categories in the
                same order at each call. A missing value is missing; an unseen or rare one is the
                first category, "__other". Not for matrices.
            backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
                compiled by g++). All give the same bits.
            contract: Rules that the rows must satisfy, late columns included. The fitted plan keeps
                them and checks later rows in `transform` and its variants.
            profile: Whether the fitted plan keeps a profile (counts of values) of these rows.
                `drift`, `report` and `Live.watch` compare later rows with it. True profiles inputs
                and features; "inputs" profiles inputs only, so no features are computed for it. A
                profile contains values of single rows, such as the minimum and the maximum. False
                keeps none and costs nothing. The profile is of features as `transform` computes
                them, not out of fold.
            stable: An earlier fit, of this or another plan. Its categories keep their codes, even
                those that are rare or absent now; new categories get the next codes. One-hot
                columns stay in the order of codes, with `__missing` and `__other` last; neither of
                these two is added or dropped. Encoders that only group rows, such as `mean(by=)`
                and `target_encode`, learn as usual. The order of codes follows the counts of
                categories in the earlier rows, so it reveals something about those rows: after a
                fit on the rows of one label class alone, the codes are ordered by the label.

        Raises:
            FastfeatError: Any error of `fit` or `FittedPlan.transform`, such as `UnknownColumn`,
                `TypeMismatch`, `InvalidData`, `ContractBroken` and `Overflow`.

        Example:
            >>> plan = ff.Plan({"k": col("k").target_encode("y", folds=2, smooth=0)}, label="y")
            >>> fitted, features = plan.fit_transform({"k": ["a"] * 4, "y": [0, 1, 1, 1]})
            >>> features["k"].to_pylist()  # from the other fold
            [1.0, 0.0, 0.0, 0.0]
            >>> fitted.transform({"k": ["a"]})["k"].to_pylist()  # from all training rows
            [0.75]
        """
        kept, given = None, checked_call_rows(data, rows, history, tables, backend)
        if contract is not None:
            given, kept = check_contract(contract, given, in_passes=False)
        old = stable_record(stable)
        if profile is False:
            from fastfeat.learn.fit import fit_transform

            record, features = fit_transform(
                self.declaration, given, to=to, categories=categories, stable=old
            )
        else:
            from fastfeat.trust.quality.profiling import fit_transform_profiled

            record, features = fit_transform_profiled(
                *(self.declaration, given),
                profile=profile,
                to=to,
                categories=categories,
                stable=old,
            )
        return FittedPlan(self, replace(record, contract=kept) if kept else record), features

    if not TYPE_CHECKING:  # type checkers would take any attribute for granted

        def __getattr__(self, name: str) -> Any:
            """Raise a hint if a plan is used as if it were fitted."""
            if name in _OF_FITTED:
                raise NotFitted(
                    f"a plan has no {name} before it is fitted. Fit it first: fitted = "
                    f"plan.fit(data), then fitted.{name}"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def __getitem__(self, name: Any) -> Any:
            """Raise a hint if a plan is used like a mapping or a table."""
            one = _asked_features(self, name)[0]
            raise TypeMismatch(
                f"plan[{name!r}]: a plan has no items. Write plan.features[{one!r}] for the "
                f"expression of a feature, fitted.transform(data)[{one!r}] for its values"
            )

    def _fitted(self, record: Fitted) -> FittedPlan:
        return FittedPlan(self, record)

    def __repr__(self) -> str:
        """Return text with a line for each of the first features: its formula and windows."""
        return summary.plan_summary(self.declaration)

    def _repr_html_(self) -> str:
        """Return an HTML table of the features, for notebooks."""
        from fastfeat.tell.html import plan_html

        return plan_html(self.declaration)

    def __eq__(self, other: object) -> bool:
        """Return whether the other is a plan with the same canonical JSON."""
        if not isinstance(other, Plan):
            return NotImplemented
        return self is other or self._digest == other._digest

    def __hash__(self) -> int:
        """Return a hash of the canonical JSON."""
        return hash(self._digest)

    @cached_property
    def _digest(self) -> bytes:
        return sha256(self.to_json().encode()).digest()

    def __copy__(self) -> Plan:
        """Return the plan itself: it is immutable."""
        return self

    def __deepcopy__(self, memo: Any) -> Plan:
        """Return the plan itself: it is immutable."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the call by which pickle rebuilds the plan from its JSON."""
        return pickles.plan_of, (self.to_json(),)

    def to_json(self) -> str:
        """Return the plan as canonical JSON: equal plans give equal text.

        Example:
            >>> plan = ff.Plan({"x": col("x") + 1})
            >>> ff.Plan.from_json(plan.to_json()) == plan
            True
        """
        from fastfeat.keep.document import plan_text  # seldom needed

        return plan_text(self.declaration)

    @staticmethod
    def from_json(text: str | bytes) -> Plan:
        """Return the plan that a JSON text describes.

        Args:
            text: The text that `to_json` returned.

        Raises:
            ArtifactError: The text is not a plan, or contains things unknown to this version.
            Leakage, InvalidPlan, TypeMismatch: The plan is invalid, with the errors that `Plan`
                raises for Python code.

        Example:
            >>> text = ff.Plan({"x": col("x") + 1}).to_json()
            >>> ff.Plan.from_json(text).columns
            ['x']
        """
        from fastfeat.keep.document import plan_of_text  # seldom needed

        return plan_of(plan_of_text(text))


def _asked_features(plan: Plan, item: Any) -> list[str]:
    """Return the features that `plan[item]` names, or the first feature if a name is unknown."""
    items = cast("list[Any]", item) if isinstance(item, list) else [item]
    known = [one for one in items if isinstance(one, str) and one in plan.features]
    return known if len(known) == len(items) > 0 else [next(iter(plan.features))]


def plan_of(declared: Declaration) -> Plan:
    """Return the public `Plan` of an internal `Declaration`."""
    plan = object.__new__(Plan)
    object.__setattr__(plan, "declaration", declared)
    return plan


@with_completion(*_READ_OF_FITTED)
@with_method_errors(
    lambda fitted: "fitted.",
    _HINTS_OF_FITTED,
    elsewhere={
        "fastfeat.api.fitted_checks": "check drift report verify",
        "fastfeat.api.fitted_contents": "learnt vocabulary encoding label compile explain",
        "fastfeat.api.fitted_output": "transform_batches transform_to save online export",
    },
)
@dataclass(frozen=True, eq=False, repr=False)
class FittedPlan:
    """A plan with the values that it learned in `Plan.fit`; `ff.load` reads one. It is immutable.

    Args:
        plan: The plan.
        record: The internal record of the learned values.
    """

    plan: Plan
    record: Fitted = field(repr=False)

    if TYPE_CHECKING:  # set at run time by the decorator
        check = fitted_checks.check
        drift = fitted_checks.drift
        report = fitted_checks.report
        verify = fitted_checks.verify
        learnt = fitted_contents.learnt
        vocabulary = fitted_contents.vocabulary
        encoding = fitted_contents.encoding
        label = fitted_contents.label
        compile = fitted_contents.compile
        explain = fitted_contents.explain
        transform_batches = fitted_output.transform_batches
        transform_to = fitted_output.transform_to
        save = fitted_output.save
        online = fitted_output.online
        export = fitted_output.export

    @property
    def inputs(self) -> InputSchema:
        """The type that each column had in fit, for the columns that features read."""
        return self.record.inputs

    @property
    def n_rows(self) -> int:
        """The number of training rows that were learned from."""
        return self.record.n_rows

    @property
    def schema(self) -> ArrowSchema:
        """The Arrow schema of the features, without kept columns.

        The field of an ordinal encoding has the metadata "n_codes"; see `encoding`.
        """
        return self.record.schema

    @property
    def feature_names(self) -> list[str]:
        """The names of the output columns, in order."""
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
        """Return the features of rows, in the order of the rows.

        Args:
            data: The rows, in any form that `fit` takes: a pyarrow Table or any Arrow producer, a
                pandas or Polars DataFrame, a dict of NumPy arrays, a list of dicts, files, or a
                function that opens a reader. Late columns (label and outcomes) are not needed and
                further columns are ignored. If `data` lacks the late columns, windows use late
                values from `history` only, so features differ from those computed with labels
                present. For a backend with its own memory also a dict of arrays on the device
                (CuPy, torch, anything with `__cuda_array_interface__`, DLPack or
                `__arrow_c_device_array__`), or an Arrow device table: these are read in place, in
                their own types.
            rows: The rows of `data` to compute: a bool for each row, or row numbers in any order,
                with repeats if wanted; None for all rows. Windows, lookups and joins still see all
                rows of the data.
            history: Earlier rows of the same entities, which windows see, with late columns if
                windows read them. "batch" declares that `data` contains its own past. Without
                either, a plan with windows warns; a plan without windows ignores it. If the plan
                has a `row_id`, a row with the same id in both counts once; otherwise it counts
                twice.
            tables: Lookup tables by name, in any form that `data` may have. Tables and columns that
                the plan does not read are ignored. The prepared lookup of a pyarrow Table is cached
                as long as that Table lives.
            to: The form of the result:

                - "arrow": a pyarrow Table, with the kept columns.
                - "pandas": a DataFrame with the kept columns, and with the index of `data` if that
                  is a DataFrame. A missing float is NaN. An integer or bool feature that may be
                  missing has a nullable type such as Int64 or boolean, also if no value of these
                  rows is missing; others have NumPy types, and dates are datetime64. If all
                  features have one float type, they are one block of memory. The frame owns all its
                  memory.
                - "polars": a DataFrame with the kept columns, over Arrow memory.
                - "numpy": a float matrix of shape (n_rows, n_features) in column-major order; NaN
                  is missing. For row-major order pass such an array as `out`.
                - "torch": the same matrix as a tensor on the CPU, in row-major order.
                - "scipy": the same matrix in compressed rows, a `scipy.sparse.csr_matrix`. Only
                  zeros of one-hot and multi-hot columns and of hashed text are not stored. Missing
                  is stored as NaN, and so is every value of other features, zeros too. One-hot
                  columns cost no memory where they are 0; `max_memory=` still counts them all.
                - "cupy": the same matrix in device memory, in column-major order.
                - "cupy_columns": a dict of device arrays, each with the type of its feature. A
                  missing float is NaN; a missing integer or bool is an error.
            out: For "numpy", "torch" and "cupy", the array or tensor to write to, of shape (n_rows,
                n_features) and any strides. It must not overlap the data.
            categories: Whether ordinal encodings are returned as categories instead of codes: Arrow
                dictionaries, pandas Categorical or Polars Enum, with the same categories in the
                same order at each call. A missing value is missing; an unseen or rare one is the
                first category, "__other". Not for matrices. See `categories`.
            backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
                compiled by g++). All give the same bits.
            on_violation: The treatment of rows that break a rule of the plan's `contract`; rules
                that only warn are not affected. None uses the setting of each rule. "reject" raises
                an error; "warn" warns; "ignore" checks no row at all. "quarantine" removes the
                rows, as if they had never come, and returns a pair: the features of the other rows,
                and a table of the removed rows with their numbers ("row") and the names of the
                rules that they break ("violations"). Only rules that judge a row by itself apply
                here: rules with aggregates, windows, `at_most=`, the clock or late columns are for
                `fit` and `check`.

        Raises:
            ContractBroken: Rows break a rule. The message shows the first of them and their values.
            UnknownColumn: The data lacks a column, or `tables` a table.
            TypeMismatch, InvalidData: A column has neither the type found in fit nor one that
                converts to it exactly.
            Overflow: A result does not fit its type. The message names the feature and the first
                row.
            LibraryUnavailable: The library of the requested form is not installed.

        Warns:
            HistoryMissing: Windows begin before the data, and there is no `history`.
            RowsRepeated: Rows of the history are also rows of the data, and count twice.
            EncodedInFold: The rows are training rows of a target encoding: the values of `row_id=`
                show this, or the data equals all training rows. Use the features of
                `Plan.fit_transform` to train a model.
            RowsBreakRule: Rows break a rule that only warns.

        Example:
            >>> fitted = ff.Plan({"x": col("x").min_max_scale()}).fit({"x": [0.0, 4.0]})
            >>> fitted.transform({"x": [1.0, None]}).to_pydict()
            {'x': [0.25, None]}
            >>> fitted.transform({"x": [1.0, None]}, to="numpy")
            array([[0.25],
                   [ nan]])
        """
        given = CallRows(data, rows, history, tables, backend)
        if self.record.contract is not None or on_violation is not None:
            from fastfeat.trust.quality.contract_in_transform import (
                transform_with_contract,  # seldom needed
            )

            return transform_with_contract(
                self.record, given, on_violation, to=to, out=out, categories=categories
            )
        return transform(self.record, given, to=to, out=out, categories=categories)

    def transform_row(self, row: Mapping[str, Any], *, tables: Tables = None) -> NDArray[Any]:
        """Return the features of one row, as a float array of shape (n_features,); NaN is missing.

        Args:
            row: The value of each input column by name. None or NaN is missing; further entries are
                ignored.
            tables: Lookup tables by name. Pass the same pyarrow Tables at each call: their prepared
                lookups are cached as long as they live. Tables of any other kind are prepared anew
                at each call.

        Raises:
            UnknownColumn: The row lacks a column, or `tables` a table.
            TypeMismatch: A value has neither the type of its column nor one that converts to it
                exactly.
            ContractBroken: The row breaks a rule of the plan's `contract`.

        Warns:
            RowsBreakRule: The row breaks a rule that only warns.

        Example:
            >>> fitted = ff.Plan({"x": col("x").min_max_scale()}).fit({"x": [0.0, 4.0]})
            >>> fitted.transform_row({"x": 1.0})
            array([0.25])
        """
        if self.record.contract is not None:
            from fastfeat.execute.row.row_contract import judge_one_row  # seldom needed

            judge_one_row(self.record, row, tables)
        return one_row.transform_row(self.record, row, tables=tables)

    def refit(self, data: Any, *, stable: bool = True, **options: Any) -> FittedPlan:
        """Return the plan fitted on other rows, with the same contract and the same codes.

        If this fit has a profile, the new one gets a profile of the new rows. `ff.diff(fitted,
        refitted)` lists the changes.

        Args:
            data: Training rows, in any form that `Plan.fit` takes.
            stable: Whether categories keep their codes and new ones get the next codes.
            options: Further arguments of `Plan.fit`: rows, history, tables, backend, memory,
                check_ids; contract and profile replace the present ones.

        Raises:
            FastfeatError: Any error of `Plan.fit`.

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
    def contract(self) -> Contract | None:
        """The contract that was passed to `fit`; None if there was none."""
        from fastfeat.trust.quality.contract import contract_face  # seldom needed

        kept = self.record.contract
        return None if kept is None else contract_face(kept.declaration)

    def history_needed(self) -> dict[str, str]:
        """Return how much history windows need, by entity: "7d", "28 rows" or "everything".

        "7d" means the rows of the seven days before the first row of the data. "28 rows" means, for
        each entity in the data, its 28 latest rows before its first row in the data. Both include
        rows at the exact time of that first row. "7d and 28 rows" means the union of both.

        Example:
            >>> day = ff.window(24, time="t", by="card")
            >>> plan = ff.Plan({"n": ff.count(over=day)})
            >>> fitted = plan.fit({"t": [0], "card": ["a"]}, history="batch")
            >>> fitted.history_needed()
            {'card': '24'}
        """
        return self.plan.history_needed()

    def select(self, names: str | Sequence[str]) -> FittedPlan:
        """Return the fitted plan with only the named features, in this order; no kept columns.

        Args:
            names: Names of features in the plan, or of single output columns of a feature with
                several: "hour", or "hour_sin". A single name may be given as text.

        Raises:
            InvalidPlan: An unknown name.

        Example:
            >>> fitted = ff.Plan({"a": col("x") + 1, "b": col("x") * 2}).fit({"x": [1]})
            >>> fitted.select("b").feature_names
            ['b']
        """
        from fastfeat.execute.feature_subset import select_features  # seldom needed

        return as_fitted_plan(
            select_features(self.record, [names] if isinstance(names, str) else list(names))
        )

    def __repr__(self) -> str:
        """Return text with a line for each of the first features: its type and formula."""
        return summary.fitted_summary(self.record)

    def _repr_html_(self) -> str:
        """Return an HTML table of the features and their learned values, for notebooks."""
        from fastfeat.tell.html import fitted_html  # seldom needed

        return fitted_html(self.record)

    if not TYPE_CHECKING:  # type checkers would take any attribute for granted

        def __getattr__(self, name: str) -> Any:
            """Raise a hint if a fitted plan is used like a plan or a model."""
            hint = f". {_ELSEWHERE[name].format(name)}" if name in _ELSEWHERE else ""
            raise AttributeError(f"a fitted plan has no attribute {name!r}{hint}")

        def __getitem__(self, name: object) -> Any:
            """Raise a hint if a fitted plan is used like a mapping or a table."""
            names = _asked_features(self.plan, name)
            raise TypeMismatch(
                f"fitted[{name!r}]: a fitted plan has no items. Write "
                f"fitted.transform(data)[{names[0]!r}] for values, fitted.select({names!r}) for a "
                "fitted plan of some features, and fitted.plan.features for the expressions"
            )

    def __eq__(self, other: object) -> bool:
        """Return whether the other has the same plan, column types and learned values."""
        if not isinstance(other, FittedPlan):
            return NotImplemented
        return self is other or self._digest == other._digest

    def __hash__(self) -> int:
        """Return a hash of the plan, column types and learned values."""
        return hash(self._digest)

    @cached_property
    def _digest(self) -> bytes:
        from fastfeat.keep.artifact import fitted_digest  # seldom needed

        return fitted_digest(self.record)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the call by which pickle and copy rebuild the plan from its artifact."""
        from fastfeat.keep.artifact import artifact_bytes  # seldom needed

        return pickles.fitted_of, (artifact_bytes(self.record),)


def as_fitted_plan(record: Fitted) -> FittedPlan:
    """Return the public `FittedPlan` of an internal `Fitted` record."""
    return FittedPlan(plan_of(record.declaration), record)


def fitted_records(plans: Mapping[str, FittedPlan]) -> dict[str, Fitted]:
    """Return the internal record of each fitted plan, by name."""
    return {name: fitted.record for name, fitted in plans.items()}


@with_argument_errors
def load(path: str | os.PathLike[str], *, check: str | None = None) -> FittedPlan:
    """Return the fitted plan of a file that `save` wrote. Nothing in the file is run as code.

    Args:
        path: The file to read.
        check: "golden" computes the golden rows of the file again, and so proves that its features
            have the same bits on this machine as where it was saved. None checks no features.

    Raises:
        ArtifactError: The file is missing, truncated, altered, too new, or not an artifact; or a
            golden row has other bits, or there are no golden rows.
        TypeMismatch: `path` is not a path.
        InvalidPlan: Another value of `check`.
        Leakage, InvalidPlan: This version rejects the plan in the file.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = mkdtemp() + "/x.fastfeat"
        >>> ff.Plan({"x": col("x") + 1}).fit({"x": [1]}).save(path)
        >>> ff.load(path).transform_row({"x": 5})
        array([6.])
    """
    from fastfeat.keep.artifact import read_artifact  # seldom needed

    if check is None:
        return as_fitted_plan(read_artifact(path))
    from fastfeat.trust.quality.golden.golden_rows import check_option, checked_artifact

    check_option(check)
    return as_fitted_plan(checked_artifact(path))


def fitted_of(content: bytes) -> FittedPlan:
    """Return the fitted plan stored in an artifact, given the bytes of its file.

    Raises:
        ArtifactError: The content is truncated, altered, too new, or not an artifact.
        FastfeatError: Any error of `Plan` about the plan in it.
    """
    from fastfeat.keep.artifact import fitted_of_bytes  # seldom needed

    return as_fitted_plan(fitted_of_bytes(content))
