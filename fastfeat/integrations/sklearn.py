"""`Features`: a plan as a scikit-learn transformer, out of fold on its training rows."""

from __future__ import annotations

from typing import Any, Self, cast

import numpy as np
import sklearn.base  # pyright: ignore[reportMissingTypeStubs]  # it has no stubs

from fastfeat.api.plan import FittedPlan, Plan
from fastfeat.calls.arguments import explaining_methods
from fastfeat.errors import (
    EncodedInFold,
    InvalidData,
    InvalidPlan,
    TypeMismatch,
    counted,
    did_you_mean,
)
from fastfeat.execute.call_rows import Beside, CallRows, call_rows
from fastfeat.execute.encoded_rows import EncodedRows, n_split
from fastfeat.execute.history import is_batch
from fastfeat.execute.inputs import read_columns
from fastfeat.expr import col
from fastfeat.integrations.estimator_data import (
    numbers_of,
    rows_of,
    validation,
    whole_or_not,
    with_label,
)
from fastfeat.integrations.estimator_history import check_whole, resolve_history
from fastfeat.integrations.held import Held, content_of, held
from fastfeat.integrations.past_in_batch import beginnings, warn_after_fit
from fastfeat.io.arrow import Table
from fastfeat.io.sources.frames import class_names
from fastfeat.io.sources.read import column_names

__all__ = ["Features", "Held"]

base: Any = sklearn.base
config: Any = sklearn.get_config
_PARAMETERS = ("plan", "history", "tables", "output", "categories", "profile")
_FORMS = ("numpy", "pandas", "polars", "arrow")
_WEIGHTS = (
    "Nothing is learnt with weights. A model of a pipeline takes its own: "
    "pipeline.fit(X, y, model__sample_weight=w)"
)
_FIT_HINTS = {"sample_weight": _WEIGHTS}


@explaining_methods(
    lambda _: "features.",
    {"__init__": {}, "fit": _FIT_HINTS, "fit_transform": _FIT_HINTS},
    made_by="",
)
class Features(base.TransformerMixin, base.BaseEstimator):
    """The features of a plan, as a step of a scikit-learn pipeline.

    `fit_transform` gives encodings of the target out of fold, so that a model of the pipeline
    learns from no row's own label; `fit` and then `transform` gives other values there.

    Args:
        plan: a Plan; a function of the names of the columns that returns one; or None, for every
            column of numbers or bools as it is. The columns of a matrix are `x0`, `x1`, ...
        history: all rows, for plans with windows, which see the rows that a split leaves out; the
            plan's `row_id` says which rows are the same. Rows that are not in it, as new ones in
            `transform`, come after it. Or "batch", without cross-validation: X always holds all
            earlier rows of its entities, in `transform` too.
        tables: those that the plan reads, by name.
        output: the form of the features: "numpy", "pandas", "polars" or "arrow". `set_output`
            goes before it. Columns of `keep=` are left out.
        categories: whether ordinal encodings come as categories in place of codes, for a model that
            tells categories by their type; as in `FittedPlan.transform`. Not for a matrix.
        profile: whether `fitted_` keeps the profile of its training rows, by which `fitted_.drift`
            judges later ones; as in `Plan.fit`.

    `history` and `tables` are held: copies of the transformer share them, and `get_params` gives
    the handle. Parameters of the plan, `ff.param`, are parameters of the transformer too.

    Attributes:
        fitted_: the FittedPlan; `fitted_.plan` is its plan.
        n_features_in_: how many columns the input of `fit` had.
        feature_names_in_: their names, where it had any.

    Example:
        >>> plan = ff.Plan({"size": col("size").standard_scale()}, dtype="float32")
        >>> Features(plan).fit_transform({"size": [1.0, 3.0]}).tolist()
        [[-1.0], [1.0]]
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
    ) -> None:
        """Take note of the parameters; `fit` checks them."""
        self.plan = plan
        self.history = history
        self.tables = tables
        self.output = output
        self.categories = categories
        self.profile = profile

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; data beside the rows in a handle, which copies share."""
        object.__setattr__(self, name, held(value) if name in ("history", "tables") else value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Args:
            deep: whether those of the plan, `ff.param`, are among them.

        Raises:
            InvalidPlan: one of the plan has the name of one of the transformer.
        """
        own = {name: getattr(self, name) for name in _PARAMETERS}
        return own | _params_of(self.plan) if deep else own

    def set_params(self, **params: Any) -> Self:
        """Return the transformer, with other values of some parameters; those of the plan too.

        Args:
            params: by name. A parameter of the plan, `ff.param`, puts another plan in its place.

        Raises:
            InvalidPlan: neither the transformer nor its plan has a parameter of a name.
            FastfeatError: as `Plan.with_params`.
        """
        own = {name: value for name, value in params.items() if name in _PARAMETERS}
        others = {name: value for name, value in params.items() if name not in own}
        plan = own.get("plan", self.plan)
        known = _params_of(plan)
        for name in others:
            if name not in known:
                there = [*_PARAMETERS, *known]
                hint = did_you_mean(name, there) or f" There are: {', '.join(there)}"
                raise InvalidPlan(f"Invalid parameter {name!r} for estimator Features.{hint}")
        if others:
            own["plan"] = plan.with_params(**others)
        for name, value in own.items():
            setattr(self, name, value)
        return self

    def fit(self, X: Any, y: Any = None, *, history: Any = None, tables: Any = None) -> Self:
        """Return the transformer, which has learnt from training rows.

        Args:
            X: pandas, Polars, pyarrow, a dict of columns, or a matrix of shape (n_rows, n_columns).
            y: the label of the plan, shape (n_rows,), which encoders learn from; windows see the
                label's columns in X. None where X has them. Rows in which it is missing are not
                learnt from. A plan without a label does not look at it.
            history: instead of that of the transformer, in a handle: `Held(frame)`.
            tables: instead of those of the transformer; in a handle if metadata is routed.

        Raises:
            UnknownColumn, a ValueError: X lacks a column, or nothing gives the label.
            InvalidData: windows would lack rows: see `history`.
            InvalidPlan: y is given, and the label of the plan looks ahead.
            FastfeatError: as `Plan.fit`.
            ValueError, TypeError: scikit-learn's own, of what is no input for an estimator.

        Warns:
            PurgeOff: the label has a delay, and shares time with that of rows of `history` that X
                lacks. `Plan.cross_fit` purges such training rows; scikit-learn keeps them.
            FastfeatWarning: as `Plan.fit`.
        """
        with whole_or_not(self):
            plan, data, beside = self._training(call_rows(X, None, history, tables), y)
            self.fitted_ = plan.fit(data, profile=self.profile, **beside)
            self._begun = beginnings(plan, data, beside["history"])
        return self

    def fit_transform(
        self, X: Any, y: Any = None, *, history: Any = None, tables: Any = None
    ) -> Any:
        """Return the features of training rows; encodings are out of fold.

        Args:
            X: as of `fit`, as the following are.
            y: the label.
            history: earlier rows.
            tables: lookup tables.

        Raises:
            FastfeatError, ValueError, TypeError: as `fit`.
        """
        with whole_or_not(self):
            plan, data, beside = self._training(call_rows(X, None, history, tables), y)
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
            X: as of `fit`; late columns are not needed, and columns of a frame may stand in any
                order.
            history: as of `fit`.
            tables: as of `fit`.

        Raises:
            NotFittedError: before `fit`.
            InvalidData: X has rows whose labels encodings know by `row_id`, beside others, and
                lacks further ones: a splitter has put rows of one id on both sides. Of a history
                of "batch" this is not looked at.
            FastfeatError: as `FittedPlan.transform`.
            ValueError, TypeError: as `fit`.

        Warns:
            HistoryMissing: history is "batch", and X begins after the rows of `fit`, without them.
        """
        validation.check_is_fitted(self)
        data, _ = rows_of(self, X, reset=False)
        form = self._form()
        beside = self._beside(self.fitted_.plan, call_rows(X, None, history, tables))
        if is_batch(beside["history"]):
            warn_after_fit(self._begun, data, self.fitted_.record.told)
        else:
            check_sides(self.fitted_.record.encoded, data)
        made = self.fitted_.transform(data, to=form, categories=self.categories, **beside)
        return self._given_out(made, form, X)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names of the features, shape (n_features,).

        Args:
            input_features: the names of the input; None, or those that `fit` has seen.

        Raises:
            NotFittedError: before `fit`.
            ValueError: other names than those of `fit`.
        """
        validation.check_is_fitted(self)
        validation._check_feature_names_in(self, input_features)
        return np.asarray(self.fitted_.feature_names, dtype=object)

    def feature_map(self) -> Table:
        """Return the feature and the sources of each output column; see `FittedPlan.feature_map`.

        Raises:
            NotFittedError: before `fit`.
        """
        validation.check_is_fitted(self)
        return self.fitted_.feature_map()

    def _training(self, rows: CallRows, y: Any) -> tuple[Plan, Any, Beside]:
        """Return the plan, the training rows, and what stands beside them."""
        self._form()
        _params_of(self.plan)
        data, names = rows_of(self, rows.data, reset=True)
        plan = self._plan_for(data, names)
        beside = self._beside(plan, rows)
        past = beside["history"]
        check_whole(plan, data, past)
        return *with_label(plan, data, names, y, past), beside

    def _plan_for(self, data: Any, names: list[str]) -> Plan:
        """Return the plan for an input.

        Raises:
            InvalidPlan: there is none, and no column of numbers.
            TypeMismatch: it is no plan, nor makes one.
        """
        plan = self.plan(names) if callable(self.plan) else self.plan
        if plan is None and self.plan is None:
            numbers = numbers_of(data)
            if not numbers:
                raise InvalidPlan("X has no column of numbers. Give a plan: Features(plan)")
            return Plan({name: col(name) for name in numbers})
        if isinstance(plan, Plan):
            return plan
        told = "the function that is given as plan returns" if callable(self.plan) else "plan is"
        if isinstance(plan, FittedPlan):
            raise TypeMismatch(
                f"{told} fitted, and a pipeline fits it on other rows: Features(fitted.plan)"
            )
        raise TypeMismatch(
            f"{told} a {type(plan).__name__}. Give a Plan, or a function of the columns' names "
            "that returns one: Features(lambda names: ff.Plan({...}))"
        )

    def _beside(self, plan: Plan, rows: CallRows) -> Beside:
        """Return the history and the tables of a call; of the transformer where it gives none."""
        past = resolve_history(plan, self.history if rows.history is None else rows.history)
        tables = content_of(self.tables if rows.tables is None else rows.tables)
        return {"history": past, "tables": tables}

    def _form(self) -> str:
        """Return the form of the features.

        Raises:
            InvalidPlan: `output` is none, or holds no categories.
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
                "categories=True needs a frame or a table: a matrix holds numbers. Give "
                "output='pandas', 'polars' or 'arrow'"
            )
        return form

    def _given_out(self, made: Any, form: str, X: Any) -> Any:
        """Return features without the columns of `keep=`; a pandas frame has the index of X."""
        names = self.fitted_.feature_names
        if form == "arrow":
            made = made.select(names)
        elif form != "numpy" and self.fitted_.plan.keep:
            made = made[names]
        if form == "pandas" and "pandas.DataFrame" in class_names(X):
            made.index = X.index
        return made

    def __sklearn_tags__(self) -> Any:
        """Return the tags of the transformer: it takes missing values, and text for a plan."""
        tags = cast("Any", super().__sklearn_tags__())  # pyright: ignore[reportUnknownMemberType]
        tags.input_tags.allow_nan = True
        tags.input_tags.string = isinstance(self.plan, Plan)
        tags.transformer_tags.preserves_dtype = []
        return tags


def check_sides(encoded: EncodedRows | None, data: Any) -> None:
    """Raise where rows of one `row_id` stand on both sides of a split.

    Rows that were all learnt from are those of a training score, and all that were learnt from with
    new ones beside them no side of a split.

    Args:
        encoded: the rows whose labels fit has put into encodings; None where there are none.
        data: the rows whose features are wanted.

    Raises:
        InvalidData: they do.
    """
    if encoded is None or encoded.row_id is None:
        return
    name, _ = encoded.row_id
    if name not in (column_names(data) or ()):
        return
    n_known, n_rows = n_split(encoded, read_columns(data, [name]))
    if n_known:
        raise InvalidData(
            f"{n_known:,} of {counted(n_rows, 'row')} of X have a {name!r} that fit has learnt "
            "from, and by row_id= they are those rows: their encodings know their own labels. "
            f"Split so that rows of one {name!r} stay together, such as GroupKFold with "
            f"groups=X[{name!r}]. For features of such rows all the same: "
            "features.fitted_.transform(X)"
        )


def _params_of(plan: Any) -> dict[str, Any]:
    """Return the parameters of a plan.

    Raises:
        InvalidPlan: one has the name of one of the transformer.
    """
    params = plan.params() if isinstance(plan, Plan) else {}
    for name in _PARAMETERS:
        if name in params:
            raise InvalidPlan(
                f"the plan has a parameter {name!r}, and so has Features. Call it otherwise: "
                f"ff.param('{name}_of_plan', ...)"
            )
    return params
