"""`Features`: a plan as a scikit-learn transformer, with out-of-fold encodings of training rows."""

from __future__ import annotations

import inspect
from typing import Any, Self, cast

import numpy as np
import sklearn.base  # pyright: ignore[reportMissingTypeStubs]  # it has no stubs

from fastfeat.api import quality
from fastfeat.api.plan import FittedPlan, Plan
from fastfeat.calls.arguments import with_method_errors
from fastfeat.errors import (
    EncodedInFold,
    InvalidData,
    InvalidPlan,
    TypeMismatch,
    counted,
    did_you_mean,
)
from fastfeat.execute.call_rows import CallRows, HistoryAndTables
from fastfeat.execute.encoded_rows import EncodedRows, n_split
from fastfeat.execute.history import is_batch
from fastfeat.execute.inputs import read_columns
from fastfeat.expr import col
from fastfeat.integrations.estimator_data import (
    numbers_of,
    restore_names_on_error,
    rows_of,
    validation,
    with_label,
)
from fastfeat.integrations.estimator_history import check_whole, resolve_history
from fastfeat.integrations.first_time_warning import beginnings, warn_after_fit
from fastfeat.integrations.held import Held, unwrap_held, wrap_in_held
from fastfeat.integrations.plan_function import made_by, takes_names, values_of
from fastfeat.io.arrow import Table
from fastfeat.io.sources.frames import class_names
from fastfeat.io.sources.read import column_names

__all__ = ["Features", "Held"]

base: Any = sklearn.base
config: Any = sklearn.get_config
_PARAMETERS = ("plan", "history", "tables", "output", "categories", "profile")
_FORMS = ("numpy", "pandas", "polars", "arrow")
_WEIGHTS = (
    "Features do not use weights. Pass them to the model of the pipeline: "
    "pipeline.fit(X, y, model__sample_weight=w)"
)
_FIT_HINTS = {"sample_weight": _WEIGHTS}


@with_method_errors(
    lambda _: "features.",
    {"__init__": {}, "fit": _FIT_HINTS, "fit_transform": _FIT_HINTS},
    made_by="",
)
class Features(base.TransformerMixin, base.BaseEstimator):
    """The features of a plan, as a step of a scikit-learn pipeline.

    `fit_transform` encodes the target out of fold, so that the next step of a pipeline never learns
    from a row's own label. `fit` followed by `transform` gives other values for the same rows.

    Args:
        plan: A `Plan`; or a function of `parameters` that returns one; or None to pass through all
            columns of numbers and bools. A function with a parameter `names` is called with the
            column names. The columns of a matrix are named `x0`, `x1` and so on.
        history: For plans with windows: a table of all rows, so that windows also see the rows that
            a split leaves out. The plan's `row_id` identifies rows in both. Rows of X that are not
            in the table, such as new rows in `transform`, count as later rows. Or "batch", without
            cross-validation: X then always contains all earlier rows of its entities, in
            `transform` too.
        tables: The lookup tables that the plan reads, by name.
        output: The form of the features: "numpy", "pandas", "polars" or "arrow". `set_output` takes
            precedence. Columns of `keep=` are left out.
        categories: Whether ordinal encodings are returned as categories instead of codes, for
            models that recognize categories by their type: Arrow dictionaries, pandas Categorical
            or Polars Enum. Not for "numpy".
        profile: Whether `fitted_` keeps a profile of its training rows, with which `fitted_.drift`
            compares later rows: True for inputs and features, "inputs" for inputs only.
        parameters: Values of the function's parameters, by name; others keep their defaults. A
            search gives them other values, and each fit calls the function anew.

    `history` and `tables` are wrapped in `Held`: copies of the transformer share them, and
    `get_params` returns the wrapper.

    Attributes:
        fitted_: The `FittedPlan`; its `plan` attribute is the plan that was fitted.
        n_features_in_: The number of columns in the input of `fit`.
        feature_names_in_: The column names of that input, if it had names.

    Example:
        >>> plan = ff.Plan({"size": col("size").standard_scale()}, dtype="float32")
        >>> Features(plan).fit_transform({"size": [1.0, 3.0]}).tolist()
        [[-1.0], [1.0]]
        >>> def make_plan(bins):
        ...     return ff.Plan({"bin": col("size").qcut(bins)})
        >>> features = Features(make_plan, bins=4).set_params(bins=2)
        >>> features.fit_transform({"size": [1.0, 2.0, 3.0]}).tolist()
        [[0.0], [1.0], [1.0]]
    """

    def __init__(
        self,
        plan: Any = None,
        *,
        history: Any = None,
        tables: Any = None,
        output: str = "numpy",
        categories: bool = False,
        profile: Any = False,
        **parameters: Any,
    ) -> None:
        """Store the parameters; `fit` checks them.

        Raises:
            TypeMismatch: An unknown parameter, if `plan` is not a function that may have it.
        """
        if parameters and not callable(plan):
            unknown = next(iter(parameters))
            hint = did_you_mean(unknown, _PARAMETERS)
            hint = hint or " Only a function that makes the plan has further ones"
            raise TypeMismatch(f"Features({unknown}=...): has no parameter {unknown!r}.{hint}")
        self.plan = plan
        self.history = history
        self.tables = tables
        self.output = output
        self.categories = categories
        self.profile = profile
        self._parameters = parameters

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; wrap `history` and `tables` in `Held`, so that copies share them."""
        object.__setattr__(
            self, name, wrap_in_held(value) if name in ("history", "tables") else value
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Args:
            deep: No effect; for scikit-learn.

        Raises:
            InvalidPlan: A parameter of the function that makes the plan has the same name as one of
                the transformer, or the function has no parameter of a name.
        """
        own = {name: getattr(self, name) for name in _PARAMETERS}
        return own | values_of(self.plan, self._parameters, _PARAMETERS)

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the transformer or of its plan's function; return the transformer.

        The function is called with the new values, so that a wrong value is an error here; nothing
        is set then. A function that needs the column names is called in `fit`.

        Args:
            params: New values by name. A new `plan` drops the values for the function before it.

        Raises:
            InvalidPlan: Neither the transformer nor the function has a parameter of this name.
            FastfeatError: Any error of the function, such as a value of the wrong type.
        """
        own = {name: value for name, value in params.items() if name in _PARAMETERS}
        others = {name: value for name, value in params.items() if name not in own}
        plan = own.get("plan", self.plan)
        parameters = ({} if "plan" in own else self._parameters) | others
        values = values_of(plan, parameters, _PARAMETERS)
        if others and not takes_names(plan):
            made_by(plan, values, [])
        for name, value in own.items():
            setattr(self, name, value)
        self._parameters = parameters
        return self

    def fit(self, X: Any, y: Any = None, *, history: Any = None, tables: Any = None) -> Self:
        """Learn from training rows, and return the transformer.

        Args:
            X: A pandas or Polars DataFrame, a pyarrow Table, a dict of columns, or a matrix of
                shape (n_rows, n_columns).
            y: The label of the plan, shape (n_rows,), which encoders learn from; windows see the
                label's columns in X instead. Rows with a missing label are not learned from. None
                if X has the label's columns. Ignored by a plan without a label.
            history: A history for this call instead of the transformer's, wrapped: `Held(frame)`.
            tables: Lookup tables for this call instead of the transformer's; wrapped in `Held` if
                scikit-learn routes metadata.

        Returns:
            The transformer itself.

        Raises:
            UnknownColumn: X lacks a column, or the label is not given. It is also a ValueError.
            InvalidData: A split of the rows would hide rows from windows; see `history` of the
                class.
            InvalidPlan: `y` is given, and the label of the plan is computed from later rows.
            FastfeatError: Any error of `Plan.fit`.
            ValueError, TypeError: The errors of scikit-learn for an invalid input.

        Warns:
            PurgeOff: The label has a delay, and overlaps in time with the labels of rows of
                `history` that X lacks. `Plan.cross_fit` purges such training rows; scikit-learn
                keeps them.
            FastfeatWarning: Any warning of `Plan.fit`.
        """
        with restore_names_on_error(self):
            plan, data, beside = self._training(CallRows(X, None, history, tables), y)
            self.fitted_ = plan.fit(data, profile=self.profile, **beside)
            self._begun = beginnings(plan, data, beside["history"])
        return self

    def fit_transform(
        self, X: Any, y: Any = None, *, history: Any = None, tables: Any = None
    ) -> Any:
        """Learn from training rows and return their features, with out-of-fold encodings.

        Args:
            X: A pandas or Polars DataFrame, a pyarrow Table, a dict of columns, or a matrix of
                shape (n_rows, n_columns).
            y: The label of the plan, shape (n_rows,), which encoders learn from; windows see the
                label's columns in X instead. Rows with a missing label are not learned from. None
                if X has the label's columns. Ignored by a plan without a label.
            history: A history for this call instead of the transformer's, wrapped: `Held(frame)`.
            tables: Lookup tables for this call instead of the transformer's; wrapped in `Held` if
                scikit-learn routes metadata.

        Returns:
            The features, shape (n_rows, n_features), in the form of `output` or `set_output`.

        Raises:
            FastfeatError, ValueError, TypeError: Any error of `fit`.
        """
        with restore_names_on_error(self):
            plan, data, beside = self._training(CallRows(X, None, history, tables), y)
            form = self._form()
            self.fitted_, made = plan.fit_transform(
                data, to=form, categories=self.categories, profile=self.profile, **beside
            )
            self._begun = beginnings(plan, data, beside["history"])
        self.fitted_.record.told.note(
            EncodedInFold
        )  # a pipeline predicts training rows to score them
        return self._given_out(made, form, X)

    def transform(self, X: Any, *, history: Any = None, tables: Any = None) -> Any:
        """Return the features of rows, shape (n_rows, n_features).

        Args:
            X: The rows, in any form that `fit` takes. Late columns, known only later, are not
                needed. The columns of a table may be in any order.
            history: A history for this call instead of the transformer's, wrapped: `Held(frame)`.
            tables: Lookup tables for this call instead of the transformer's; wrapped in `Held` if
                scikit-learn routes metadata.

        Raises:
            NotFittedError: `fit` was not called.
            InvalidData: Some rows of X, but not all training rows, are known by `row_id` to the
                target encodings, and X has other rows too: a splitter has put rows with the same id
                on both sides. Not checked if the history is "batch".
            FastfeatError: Any error of `FittedPlan.transform`.
            ValueError, TypeError: The errors of scikit-learn for an invalid input.

        Warns:
            HistoryMissing: The history is "batch", but X begins after the rows of `fit` and does
                not contain them.
        """
        validation.check_is_fitted(self)
        data, _ = rows_of(self, X, reset=False)
        form = self._form()
        beside = self._beside(self.fitted_.plan, CallRows(X, None, history, tables))
        if is_batch(beside["history"]):
            warn_after_fit(self._begun, data, self.fitted_.record.told)
        else:
            check_sides(self.fitted_.record.encoded, data)
        made = self.fitted_.transform(data, to=form, categories=self.categories, **beside)
        return self._given_out(made, form, X)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names of the features, shape (n_features,).

        Args:
            input_features: The names of the input columns: None, or the names that `fit` has seen.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: The names differ from those in `fit`.
        """
        validation.check_is_fitted(self)
        validation._check_feature_names_in(self, input_features)
        return np.asarray(self.fitted_.feature_names, dtype=object)

    def feature_map(self) -> Table:
        """Return a table that names the feature and the source columns of each output column.

        Its columns are "column", "feature" and "sources". Sources are the columns of X that the
        feature is computed from; columns of tables are named "table.column". The columns that an
        encoder learns from, such as the label, are not included.

        Raises:
            NotFittedError: `fit` was not called.
        """
        validation.check_is_fitted(self)
        return quality.feature_map(self.fitted_)

    def _training(self, rows: CallRows, y: Any) -> tuple[Plan, Any, HistoryAndTables]:
        """Return the plan, the training rows with their label, and the history and tables."""
        self._form()
        values_of(self.plan, self._parameters, _PARAMETERS)
        data, names = rows_of(self, rows.data, reset=True)
        plan = self._plan_for(data, names)
        beside = self._beside(plan, rows)
        past = beside["history"]
        check_whole(plan, data, past)
        return *with_label(plan, data, names, y, past), beside

    def _plan_for(self, data: Any, names: list[str]) -> Plan:
        """Return the plan to fit on X: the given one, one from a function, or one of all numbers.

        Raises:
            InvalidPlan: There is no plan, and the input has no column of numbers.
            TypeMismatch: `plan` is neither a plan nor a function that returns one.
        """
        plan = self.plan
        if callable(plan):
            plan = made_by(plan, values_of(plan, self._parameters, _PARAMETERS), names)
        if plan is None and self.plan is None:
            numbers = numbers_of(data)
            if not numbers:
                raise InvalidPlan("X has no numeric columns. Pass a plan: Features(plan)")
            return Plan({name: col(name) for name in numbers})
        if isinstance(plan, Plan):
            return plan
        told = "the function passed as plan returns" if callable(self.plan) else "plan is"
        if isinstance(plan, FittedPlan):
            raise TypeMismatch(
                f"{told} a fitted plan, but a pipeline fits it again: pass Features(fitted.plan)"
            )
        raise TypeMismatch(
            f"{told} a {type(plan).__name__}. Pass a Plan, or a function of parameters that "
            "returns one: Features(lambda bins: ff.Plan({...}), bins=4)"
        )

    def _beside(self, plan: Plan, rows: CallRows) -> HistoryAndTables:
        """Return the history and tables of a call, or else the transformer's own."""
        past = resolve_history(plan, self.history if rows.history is None else rows.history)
        tables = unwrap_held(self.tables if rows.tables is None else rows.tables)
        return {"history": past, "tables": tables}

    def _form(self) -> str:
        """Return the form of the output, such as "pandas": from `set_output`, or else `output`.

        Raises:
            InvalidPlan: `output` is unknown, or cannot represent categories.
        """
        if self.output not in _FORMS:
            forms = ", ".join(map(repr, _FORMS))
            raise InvalidPlan(f"output must be one of {forms}, got {self.output!r}")
        own: dict[str, str] = getattr(self, "_sklearn_output_config", {})
        of_all: str = config()["transform_output"]
        chosen = own.get("transform", of_all)
        form = self.output if chosen == "default" else chosen
        if self.categories and form == "numpy":
            raise InvalidPlan(
                "categories=True needs a frame or a table, because a matrix has only numbers. "
                "Pass output='pandas', 'polars' or 'arrow'"
            )
        return form

    def _given_out(self, made: Any, form: str, X: Any) -> Any:
        """Return features without kept columns; a pandas DataFrame gets the index of X."""
        names = self.fitted_.feature_names
        if form == "arrow":
            made = made.select(names)
        elif form != "numpy" and self.fitted_.plan.keep:
            made = made[names]
        if form == "pandas" and "pandas.DataFrame" in class_names(X):
            made.index = X.index
        return made

    def __sklearn_tags__(self) -> Any:
        """Return the tags of the transformer: it accepts missing values, and text with a plan."""
        tags = cast("Any", super().__sklearn_tags__())  # pyright: ignore[reportUnknownMemberType]
        tags.input_tags.allow_nan = True
        tags.input_tags.string = isinstance(self.plan, Plan)
        tags.transformer_tags.preserves_dtype = []
        return tags


_WHOLE = inspect.signature(Features)
# scikit-learn's checks pass a value for each name in the signature, but the parameters of a
# function have no fixed names
setattr(  # noqa: B010  # type checkers know no such attribute
    Features,
    "__signature__",
    _WHOLE.replace(
        parameters=[one for one in _WHOLE.parameters.values() if one.kind is not one.VAR_KEYWORD]
    ),
)


def check_sides(encoded: EncodedRows | None, data: Any) -> None:
    """Raise if X mixes some of the training rows, known by `row_id`, with other rows.

    X is accepted if it consists of training rows only (to score them), or if it contains all
    training rows, with or without new ones: neither is one side of a split.

    Raises:
        InvalidData: X contains some of the encoded training rows, and other rows.
    """
    if encoded is None or encoded.row_id is None:
        return
    name, _ = encoded.row_id
    if name not in (column_names(data) or ()):
        return
    n_known, n_rows = n_split(encoded, read_columns(data, [name]))
    if n_known:
        raise InvalidData(
            f"{n_known:,} of {counted(n_rows, 'row')} of X have the {name!r} of a training row. "
            f"With row_id={name!r} they are training rows, and the target encodings have learnt "
            "from their labels. "
            f"Split so that rows of one {name!r} stay together, such as GroupKFold with "
            f"groups=X[{name!r}]. To compute their features anyway: "
            "features.fitted_.transform(X)"
        )
