"""`Features` alone: what it takes, gives out and refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    EncodedInFold,
    FastfeatError,
    InvalidData,
    InvalidPlan,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat.integrations.sklearn import Features, Held

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.EncodedInFold")

N_ROWS = 90
RNG = np.random.default_rng(5)
FRAME = pd.DataFrame(
    {
        "x": RNG.normal(size=N_ROWS),
        "city": pd.Series(RNG.choice(["Rome", "Oslo"], N_ROWS), dtype=object),
        "n": RNG.integers(0, 9, N_ROWS),
        "is_new": RNG.random(N_ROWS) < 0.5,
        "day": pd.date_range("2024-01-01", periods=N_ROWS),
    },
    index=np.arange(N_ROWS) * 10,
)
FRAME.loc[::7, "city"] = np.nan
FRAME.loc[::5, "x"] = np.nan
Y = pd.Series((RNG.random(N_ROWS) < 0.4).astype(int), index=FRAME.index)
PLAN = ff.Plan(
    {
        "rate": col("city").target_encode("y", smooth=5.0),
        "x": col("x").standard_scale(),
        "city": col("city").ordinal_encode(),
        "is_high": (col("x") > 0).fill_null(False),
    },
    label="y",
)


def own() -> tuple[ff.FittedPlan, Any]:
    """Return the plan fitted without scikit-learn, and the features out of fold."""
    return PLAN.fit_transform(FRAME.assign(y=Y), to="numpy")


INPUTS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "batch": lambda frame: pa.RecordBatch.from_pandas(frame, preserve_index=False),
    "dict": lambda frame: {name: frame[name].to_numpy() for name in frame},
    "rows": lambda frame: frame.astype(object).where(frame.notna(), None).to_dict("records"),
}


@pytest.mark.parametrize("given", INPUTS)
def test_features_are_those_of_the_plan_whatever_is_given(given: str) -> None:
    fitted, training = own()
    rows = INPUTS[given](FRAME)
    features = Features(PLAN)
    assert np.array_equal(features.fit_transform(rows, Y), training, equal_nan=True)
    later = fitted.transform(FRAME, to="numpy")
    assert np.array_equal(features.transform(rows), later, equal_nan=True)
    assert np.array_equal(Features(PLAN).fit(rows, Y).transform(rows), later, equal_nan=True)
    assert not np.array_equal(training, later, equal_nan=True)  # out of fold
    assert features.feature_names_in_.tolist() == FRAME.columns.tolist()
    assert features.n_features_in_ == 5
    assert features.get_feature_names_out().tolist() == ["rate", "x", "city", "is_high"]
    assert features.fitted_.plan.to_json() == PLAN.to_json()


LABELS: dict[str, Callable[[Any], Any]] = {
    "array": lambda y: y.to_numpy(),
    "column": lambda y: y.to_numpy()[:, None],
    "list": lambda y: y.tolist(),
    "bool": lambda y: y.to_numpy().astype(bool),
    "pandas frame": lambda y: y.to_frame("any name"),
    "unnamed": lambda y: pd.DataFrame(y.to_numpy()),
    "polars": lambda y: pl.Series(y.to_numpy()),
    "polars frame": lambda y: pl.DataFrame({"a": y.to_numpy()}),
    "arrow": lambda y: pa.array(y.to_numpy()),
    "categories": lambda y: y.astype("category"),
    "chunks": lambda y: pa.chunked_array([y.to_numpy()[:9], y.to_numpy()[9:]]),
}


@pytest.mark.parametrize("given", LABELS)
def test_a_label_is_taken_in_any_form(given: str) -> None:
    assert np.array_equal(
        Features(PLAN).fit_transform(FRAME, LABELS[given](Y)), own()[1], equal_nan=True
    )


@pytest.mark.filterwarnings("error::fastfeat.errors.EncodedInFold")
def test_training_rows_that_are_transformed_are_told_unless_they_came_out_of_fold() -> None:
    features = Features(PLAN)
    features.fit_transform(FRAME, Y)
    features.transform(FRAME)  # as a pipeline does that is scored
    with pytest.warns(EncodedInFold, match=r"plan\.fit_transform\(data\)"):
        features.fit(FRAME, Y).transform(FRAME)


def test_rows_without_a_label_are_not_learnt_from() -> None:
    missing = Y.astype(float).where(np.arange(N_ROWS) % 3 > 0)
    fitted = Features(PLAN.fit(FRAME.assign(y=missing)).plan).fit(FRAME, missing).fitted_
    by_hand = PLAN.fit(FRAME.assign(y=missing))
    assert fitted.transform(FRAME).equals(by_hand.transform(FRAME))
    assert not fitted.transform(FRAME).equals(PLAN.fit(FRAME.assign(y=Y)).transform(FRAME))


def test_the_label_of_the_data_is_learnt_from_without_y() -> None:
    whole = FRAME.assign(y=Y)
    features = Features(PLAN)
    assert np.array_equal(features.fit_transform(whole), own()[1], equal_nan=True)
    assert np.array_equal(features.transform(FRAME), features.transform(whole), equal_nan=True)


def test_y_goes_before_the_label_of_the_data() -> None:
    made = Features(PLAN).fit_transform(FRAME.assign(y=1 - Y), Y)
    assert np.array_equal(made, own()[1], equal_nan=True)


def test_text_as_a_label_is_read_by_classes() -> None:
    classes = ff.Plan({"of": col("city").target_encode("y", classes=["no", "yes"])}, label="y")
    text = Y.map({0: "no", 1: "yes"})
    made = Features(classes).fit_transform(FRAME, text)
    by_hand = classes.fit_transform(FRAME.assign(y=text), to="numpy")[1]
    assert np.array_equal(made, by_hand)
    with pytest.raises(TypeMismatch, match="needs a target that is a number or bool, got utf8"):
        Features(PLAN).fit(FRAME, text)


FORMS: dict[str, Callable[[ff.FittedPlan], Any]] = {
    "numpy": lambda fitted: fitted.transform(FRAME, to="numpy"),
    "arrow": lambda fitted: fitted.transform(FRAME),
    "pandas": lambda fitted: fitted.transform(FRAME, to="pandas"),
    "polars": lambda fitted: pl.from_arrow(fitted.transform(FRAME)),
}


@pytest.mark.parametrize("form", FORMS)
def test_output_is_the_form_of_features(form: str) -> None:
    features = Features(PLAN, output=form).fit(FRAME, Y)
    made, wanted = features.transform(FRAME), FORMS[form](own()[0])
    assert type(made) is type(wanted)
    assert pa.table(made).equals(pa.table(wanted)) if form != "numpy" else (made.shape == (90, 4))
    if form == "pandas":
        pd.testing.assert_frame_equal(made, wanted)
        assert made.index.equals(FRAME.index)
        assert made.dtypes.astype(str).tolist() == ["float64", "float64", "int32", "bool"]


@pytest.mark.parametrize("form", ["pandas", "polars"])
def test_set_output_goes_before_output(form: str) -> None:
    wanted = Features(PLAN, output=form).fit_transform(FRAME, Y)
    made = Features(PLAN, output="arrow").set_output(transform=form).fit_transform(FRAME, Y)
    assert type(made) is type(wanted)
    assert made.equals(wanted)
    assert list(made.columns) == ["rate", "x", "city", "is_high"]


@pytest.mark.parametrize("form", ["pandas", "polars", "arrow"])
def test_categories_stand_in_place_of_codes(form: str) -> None:
    features = Features(PLAN, output=form, categories=True)
    fitted, expected = PLAN.fit_transform(FRAME.assign(y=Y), to=form, categories=True)
    made = features.fit_transform(FRAME, Y)
    assert made.equals(expected)
    copied: Any = clone(features)
    assert (
        copied.fit(FRAME, Y)
        .transform(FRAME[:9])
        .equals(fitted.transform(FRAME[:9], to=form, categories=True))
    )
    model: Any = HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype")
    model.fit(features.set_output(transform="pandas").transform(FRAME), Y)
    assert model.is_categorical_.tolist() == [name == "city" for name in PLAN.features]


def test_kept_columns_are_no_features() -> None:
    plan = ff.Plan({"x": col("x")}, keep=["city"])
    features = Features(plan, output="pandas").fit(FRAME)
    assert features.transform(FRAME).columns.tolist() == features.get_feature_names_out().tolist()


def test_without_a_plan_every_number_is_taken_as_it_is() -> None:
    features = Features(output="pandas")
    made = features.fit_transform(FRAME.assign(odd=[{1}] * N_ROWS))
    numbers = pd.DataFrame(FRAME[["x", "n", "is_new"]])
    pd.testing.assert_frame_equal(made, numbers.astype({"n": "Int64", "is_new": "boolean"}))
    with pytest.raises(InvalidPlan, match="X has no numeric columns"):
        features.fit(FRAME[["city", "day"]])


def test_the_columns_of_a_matrix_are_named_by_their_place() -> None:
    matrix = FRAME[["x", "n"]].to_numpy()
    features = Features(lambda names: ff.Plan({"last": col(names[-1]) + 1, "first": col("x0")}))
    assert features.fit_transform(matrix)[:, 0].tolist() == (matrix[:, 1] + 1).tolist()
    by_number = FRAME[["x", "n"]].set_axis([0, 1], axis=1)
    for given in (by_number, np.asfortranarray(matrix), matrix.tolist()):
        assert np.array_equal(features.fit_transform(given), features.fit_transform(matrix), True)
    assert not hasattr(features, "feature_names_in_")
    with pytest.raises(ValueError, match="X has 1 features, but Features is expecting 2 features"):
        features.transform(matrix[:, :1])


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
def test_a_matrix_after_a_frame_has_its_names_and_the_other_way_round() -> None:
    frame = FRAME[["x", "n"]]
    features = Features().fit(frame)
    wanted = features.transform(frame)
    assert np.array_equal(features.transform(frame.to_numpy()), wanted, True)
    features.fit(frame.to_numpy())
    for given in (frame, pl.from_pandas(frame), pa.table(dict(frame))):
        assert np.array_equal(features.transform(given), wanted, True)


def test_text_in_a_matrix_is_text() -> None:
    coded = Features(lambda names: ff.Plan({"c": col(names[0]).ordinal_encode()}))
    wanted = coded.fit_transform(FRAME[["city"]])
    assert np.array_equal(coded.fit_transform(FRAME[["city", "n"]].to_numpy()), wanted)
    filled = FRAME[["city"]].fillna("")  # a value of its own: str has none that is missing
    assert np.array_equal(coded.fit_transform(filled.to_numpy(str)), coded.fit_transform(filled))
    assert coded.fit_transform(filled).min() > wanted.min() == 0


@pytest.mark.parametrize("dtype", [float, int, object])
def test_masked_elements_of_a_matrix_are_missing(dtype: Any) -> None:
    matrix = np.ma.masked_equal(np.array([[1, 9], [9, 2]], dtype), 9)
    found = Features().fit_transform(matrix)
    assert np.array_equal(found, [[1.0, np.nan], [np.nan, 2.0]], equal_nan=True)


@pytest.mark.parametrize("fails", ["fit", "fit_transform"])
def test_a_fit_that_fails_leaves_the_transformer_as_it_was(fails: str) -> None:
    features = Features(PLAN)
    for wrong in (FRAME[["x"]], FRAME[["x"]].to_numpy()):
        with pytest.raises(UnknownColumn):
            getattr(features, fails)(wrong, Y)
        assert not hasattr(features, "n_features_in_")
    before = features.fit(FRAME, Y).transform(FRAME[::-1])
    for wrong in (FRAME[["x"]], FRAME[["x"]].to_numpy()):
        with pytest.raises(UnknownColumn):
            getattr(features, fails)(wrong, Y)
        assert features.feature_names_in_.tolist() == FRAME.columns.tolist()
        assert np.array_equal(features.transform(FRAME[::-1]), before, equal_nan=True)


def test_infinite_values_are_values() -> None:
    matrix = np.array([[1.0, np.inf], [np.nan, -np.inf]])
    assert np.array_equal(Features().fit_transform(matrix), matrix, equal_nan=True)


def test_columns_of_a_frame_may_stand_in_any_order_and_late_ones_lack() -> None:
    whole = FRAME.assign(y=Y, more=1)
    features = Features(PLAN).fit(whole)
    wanted = features.transform(whole)
    for given in (whole[whole.columns[::-1]], whole.drop(columns=["y", "more", "n"])):
        assert np.array_equal(features.transform(given), wanted, equal_nan=True)


def test_no_rows_give_no_features() -> None:
    features = Features(PLAN).fit(FRAME, Y)
    assert features.transform(FRAME[:0]).shape == (0, 4)
    assert Features().fit([[1.0]]).transform(np.empty((0, 1))).shape == (0, 1)


UNTYPED_HELD: Any = Held
UNTYPED: Any = Features  # a type checker sees what is wrong with a call


def no_plan(names: Sequence[str]) -> Any:
    """Return what is no plan."""
    return {name: col(name) for name in names}


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: Features(PLAN).fit(FRAME), ValueError, "requires y to be passed, but the target y is"),
    (lambda: Features(PLAN).fit(FRAME), UnknownColumn, "the label 'y' of the plan, and X lacks"),
    (lambda: Features(PLAN).fit(FRAME, Y[:-1]), ValueError, "inconsistent numbers of samples"),
    (lambda: Features().fit(FRAME[["x"]].to_numpy(), Y[:-1]), ValueError, r"\[90, 89\]"),
    (lambda: Features(PLAN).fit(FRAME, np.c_[Y, Y]), InvalidData, r"label has shape \(90, 2\)"),
    (lambda: Features(PLAN).fit(FRAME[["x"]], Y), UnknownColumn, "lacks the column 'city'"),
    (lambda: Features(PLAN).fit(FRAME[["x"]], Y), ValueError, "lacks the column 'city'"),
    (lambda: Features(PLAN).fit(FRAME, Y).transform(FRAME[["x"]]), ValueError, "lacks the column"),
    (lambda: Features(PLAN).transform(FRAME), NotFittedError, "not fitted yet"),
    (lambda: Features(PLAN).get_feature_names_out(), NotFittedError, "not fitted yet"),
    (lambda: Features(PLAN).feature_map(), NotFittedError, "not fitted yet"),
    (lambda: Features(PLAN, output="list").fit(FRAME, Y), InvalidPlan, "output must be one of"),
    (lambda: Features(PLAN, categories=True).fit(FRAME, Y), InvalidPlan, "a matrix has only"),
    (lambda: Features(3).fit(FRAME), TypeMismatch, "plan is a int. Pass a Plan, or a function"),
    (lambda: Features(no_plan).fit(FRAME), TypeMismatch, "passed as plan returns a dict"),
    (lambda: Features(PLAN.fit(FRAME.assign(y=Y))).fit(FRAME), TypeMismatch, r"\(fitted\.plan\)"),
    (lambda: Features().fit(pl.from_pandas(FRAME).lazy()), TypeMismatch, r"pass data\.collect\(\)"),
    (lambda: Features().fit(FRAME["x"].to_numpy()), ValueError, "Expected 2D array, got 1D array"),
    (lambda: Features().fit(np.array([[1j]])), ValueError, "Complex data not supported"),
    (lambda: Features().fit(np.empty((0, 2))), ValueError, "Found array with 0 sample"),
    (lambda: Features().fit(np.array([["a"]])), ValueError, "dtype='numeric' is not compatible"),
    (lambda: UNTYPED(PLAN).fit(FRAME, Y, sample_weight=Y), TypeMismatch, "model__sample_weight=w"),
    (lambda: UNTYPED(PLAN, "batch"), TypeMismatch, r"^Features\(.*'batch'\): too many"),
    (lambda: UNTYPED_HELD(), TypeMismatch, r"^Held\(\): lacks data=\. Write Held\(data=data\)"),
    (lambda: UNTYPED_HELD(FRAME, 2), TypeMismatch, r"^Held\(<DataFrame>, 2\): too many"),
    (lambda: UNTYPED(PLAN, hystory=1), TypeMismatch, "Did you mean 'history'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "told"), REFUSED)
def test_what_is_wrong_is_told(call: Callable[[], Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        call()


def test_a_label_that_looks_ahead_takes_no_y() -> None:
    last = col("n").last(over=ff.ahead("1d", time="day"))
    plan = ff.Plan({"n": col("n").lag(1, over=ff.window(time="day"))}, label={"next": last})
    with pytest.raises(InvalidPlan, match="the label 'next' looks ahead"):
        Features(plan, history="batch").fit(FRAME, Y)
    with pytest.warns(ff.errors.RowsWithoutLabel):
        made = Features(plan, history="batch").fit_transform(FRAME)
    assert made[1:, 0].tolist() == FRAME["n"].tolist()[:-1]


def test_a_label_that_is_computed_is_learnt_from_y_alone() -> None:
    plan = ff.Plan({"rate": col("city").target_encode("is_late")}, label={"is_late": col("n") > 4})
    own_label = Features(plan).fit_transform(FRAME)
    given = Features(plan).fit_transform(FRAME.drop(columns="n"), FRAME["n"] > 4)
    assert np.array_equal(own_label, given)
    assert not np.array_equal(Features(plan).fit_transform(FRAME, Y), own_label)


def test_what_a_condition_is_computed_of_is_no_label() -> None:
    plan = ff.Plan({"rate": col("city").target_encode("is_late")}, label={"is_late": col("n") > 4})
    with pytest.raises(InvalidData, match=r"the label 'is_late' itself, .* has the value 2"):
        Features(plan).fit(FRAME, np.arange(N_ROWS) % 2 * 2)
    for y in (FRAME["n"] > 4, (FRAME["n"] > 4).astype(int)):
        Features(plan).fit(FRAME, y)


def test_errors_of_the_core_are_those_of_scikit_learn_too() -> None:
    assert issubclass(UnknownColumn, ValueError)
    assert issubclass(UnknownColumn, KeyError)
    assert issubclass(UnknownColumn, FastfeatError)
