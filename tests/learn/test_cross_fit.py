"""`plan.cross_fit`: folds of every form, equal bit for bit to plans fitted by hand."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    FastfeatError,
    FoldsSplitEntities,
    InvalidData,
    InvalidPlan,
    RowsWithoutLabel,
    TypeMismatch,
    UnknownColumn,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::fastfeat.errors.NoCategories",  # of few rows
    "ignore::fastfeat.errors.TooFewValues",
    "ignore::fastfeat.errors.EncodedInFold",  # what is learnt is compared on all rows
)
N_ROWS = 240
WEEK = ff.window(40, by="card", time="t")
PLAN = ff.Plan(
    {
        "shop": col("shop").target_encode("y"),
        "both": ff.cross("shop", "kind").target_encode("y", smooth=5),
        "kind": col("kind").one_hot_encode(min_frequency=30),
        "code": col("shop").ordinal_encode(min_frequency=5),
        "rare": col("shop").ordinal_encode(min_frequency=7, n_unseen_buckets=3),
        "often": col("shop").count_encode(),
        "x": col("x").impute("median").standard_scale(),
        "rank": col("x").robust_scale(),
        "spent": (col("x") - col("x").mean(over=WEEK)).fill_null(0).standard_scale(),
        "n": ff.count(over=WEEK),
        "vs": col("x") - col("x").mean(by="shop"),
        "mode": col("kind").fill_null(col("kind").mode()).ordinal_encode(),
    },
    label="y",
    keep=["id"],
)


def rows(n: int = N_ROWS, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    kinds = np.array(["a", "b", "c", None], object)
    return {
        "id": np.arange(n),
        "t": np.sort(rng.integers(0, 200, n)),
        "card": rng.integers(0, 9, n),
        "shop": np.array([f"s{k}" for k in rng.integers(0, 14, n)], object),
        "kind": kinds[rng.integers(0, 4, n)],
        "x": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
        "y": rng.random(n) < 0.4,
        "fold": pa.array(rng.choice([20, 10, 30], n), mask=rng.random(n) < 0.2),
    }


DATA = rows()


def folds_of(plan: ff.Plan, data: Any, cv: Any, **options: Any) -> list[ff.Fold]:
    return list(plan.cross_fit(data, cv, **options))


def check_by_hand(plan: ff.Plan, data: Any, folds: list[ff.Fold], **options: Any) -> None:
    """A fold has what the plan gives when it is fitted on the training rows by hand."""
    for fold in folds:
        fitted, train = plan.fit_transform(data, rows=fold.train_rows, **options)
        past = options.get("history", "batch")
        test = fitted.transform(data, rows=fold.test_rows, **{**options, "history": past})
        assert fold.train.equals(train)
        assert fold.test.equals(test)
        assert fold.fitted.learnt().keys() == fitted.learnt().keys()
        later = fold.fitted.transform(data, **{**options, "history": past})
        assert later.equals(fitted.transform(data, **{**options, "history": past}))


@pytest.mark.parametrize(
    "cv",
    [
        3,
        np.int64(2),
        KFold(3, shuffle=True, random_state=1),
        ShuffleSplit(2, test_size=0.3, random_state=1),
        StratifiedKFold(3),
        TimeSeriesSplit(3, gap=4),
        "fold",
        [(np.arange(0, 240, 2), [1, 3, 5]), (range(10), np.arange(200, 210, dtype=np.uint8))],
    ],
    ids=lambda cv: getattr(cv, "__name__", type(cv).__name__),
)
def test_folds_equal_plans_by_hand(cv: Any) -> None:
    folds = folds_of(PLAN, DATA, cv)
    assert len(folds) >= 2
    check_by_hand(PLAN, DATA, folds)
    label = pa.array(DATA["y"])
    for fold in folds:
        assert fold.train["id"].to_numpy().tolist() == fold.train_rows.tolist()
        assert fold.test["id"].to_numpy().tolist() == fold.test_rows.tolist()
        assert fold.train_label is not None
        assert fold.train_label.to_pylist() == label.take(fold.train_rows).to_pylist()
        assert fold.test_label is not None
        assert fold.test_label.to_pylist() == label.take(fold.test_rows).to_pylist()
        assert fold.train_rows.dtype == fold.test_rows.dtype == np.int64
        assert fold.n_purged == 0


@pytest.mark.parametrize("cut", [0, 60])
def test_folds_with_history_tables_and_lists_equal_plans_by_hand(cut: int) -> None:
    data = pa.table({name: pa.array(values) for name, values in rows(120, 3).items()})
    data = data.append_column("tags", pa.array([["a", "b"][: k % 3] for k in range(120)]))
    table = pa.table({"shop": [f"s{k}" for k in range(14)], "size": np.arange(14.0)})
    plan = ff.Plan(
        {
            "size": ff.lookup("shops", by="shop").col("size").standard_scale(),
            "tags": col("tags").list.ordinal_encode(width=2),
            "long": col("shop").str.len_chars().target_encode("y"),
            "n": ff.count(over=WEEK),
            "late": col("y").mean(over=ff.window(time="t", by="card")).fill_null(0.5),
            "time": col("shop").target_encode("y", time="t", folds=4),
        },
        label="y",
        row_id="id" if cut else None,
    )
    now, options = data.slice(cut), {"tables": {"shops": table}}
    past: dict[str, Any] = {"history": data.slice(0, cut)} if cut else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FoldsSplitEntities)
        folds = folds_of(plan, now, 3, **options, **past)
    check_by_hand(plan, now, folds, **options, **past)


def test_folds_count_the_elements_of_lists_of_their_own_rows() -> None:
    rng = np.random.default_rng(1)
    lists = [None, *(list(rng.choice([*"abcdefg"], n)) for n in rng.integers(0, 5, 59))]
    data = pa.table({"tags": lists})
    tags = col("tags").list
    plan = ff.Plan({"code": tags.ordinal_encode(width=2), "is": tags.multi_hot_encode()})
    folds = folds_of(plan, data, KFold(4, shuffle=True, random_state=0))
    check_by_hand(plan, data, folds)
    for fold in folds:
        alone = plan.fit(data.take(pa.array(fold.train_rows)))
        assert fold.fitted.vocabulary("is").equals(alone.vocabulary("is"))


def test_test_features_are_those_of_serving() -> None:
    folds = folds_of(PLAN, DATA, TimeSeriesSplit(3))
    table = pa.table({name: pa.array(values) for name, values in DATA.items()})
    for fold in folds:
        first = int(fold.test_rows[0])
        now = table.slice(first, len(fold.test_rows)).drop_columns(["y"])
        served = fold.fitted.transform(now, history=table.slice(0, first))
        assert served.equals(fold.test)


@pytest.mark.parametrize("to", ["numpy", "arrow"])
def test_folds_come_in_the_form_that_is_asked_for(to: str) -> None:
    plan = ff.Plan(
        {"x": col("x").standard_scale(), "shop": col("shop").target_encode("y")}, label="y"
    )
    for fold in plan.cross_fit(DATA, 2, to=to):
        fitted, train = plan.fit_transform(DATA, rows=fold.train_rows, to=to)
        test = fitted.transform(DATA, rows=fold.test_rows, to=to)
        for ours, by_hand in ((fold.train, train), (fold.test, test)):
            if to == "numpy":
                assert ours.tobytes("A") == by_hand.tobytes("A")
            else:
                assert ours.equals(by_hand)
        assert type(fold.train) is (np.ndarray if to == "numpy" else pa.Table)


@pytest.mark.parametrize(
    "backend", ["reference", pytest.param("emulated", marks=pytest.mark.emulator)]
)
def test_backends_agree_on_folds(backend: str) -> None:
    data = {name: values[:40] for name, values in DATA.items()}
    others = PLAN.cross_fit(data, 2, backend=backend)
    for one, other in zip(PLAN.cross_fit(data, 2), others, strict=True):
        assert one.train.equals(other.train)
        assert one.test.equals(other.test)


def test_a_number_divides_as_scikit_learn_does() -> None:
    for n_folds in (2, 3, 7):
        ours = [(f.train_rows, f.test_rows) for f in PLAN.cross_fit(DATA, n_folds)]
        theirs = list(KFold(n_folds).split(np.zeros(N_ROWS)))
        assert_same_rows(ours, theirs)


@pytest.mark.parametrize("seed", range(5))
def test_a_number_divides_groups_as_scikit_learn_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.array([f"g{k}" for k in rng.integers(0, 3 + 4 * seed, N_ROWS)], object)
    plan = ff.Plan({"x": col("x")})
    theirs = list(GroupKFold(3).split(np.zeros(N_ROWS), None, groups))
    for given in (groups, pl.Series(groups.tolist()), pd.Series(groups)):
        ours = [(f.train_rows, f.test_rows) for f in plan.cross_fit(DATA, 3, groups=given)]
        assert_same_rows(ours, theirs)
    of_data = [(f.train_rows, f.test_rows) for f in plan.cross_fit(DATA, 3, groups="shop")]
    assert_same_rows(of_data, list(GroupKFold(3).split(np.zeros(N_ROWS), None, DATA["shop"])))


@pytest.mark.parametrize(
    "cv", [GroupKFold(4), LeaveOneGroupOut(), GroupShuffleSplit(2, random_state=1)]
)
def test_a_splitter_is_given_groups(cv: Any) -> None:
    plan = ff.Plan({"x": col("x")}, label="y")
    ours = [(f.train_rows, f.test_rows) for f in plan.cross_fit(DATA, cv, groups="card")]
    assert_same_rows(ours, list(cv.split(np.zeros(N_ROWS), DATA["y"], DATA["card"])))


def assert_same_rows(ours: list[Any], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert [half.tolist() for half in one] == [half.tolist() for half in other]


@pytest.mark.parametrize(
    "given",
    [
        ["b", "a", "b", None, "c", "a"],
        np.array([2.0, 1.0, 2.0, np.nan, 3.0, 1.0]),
        pa.chunked_array([[True, False], [True, None], [], [None, False]]),
        pd.Series([2, 1, 2, None, 3, 1], index=[9, 8, 7, 6, 5, 4], dtype="Int64"),
        pl.Series(["b", "a", "b", None, "c", "a"], dtype=pl.Categorical),
        pa.array(["2020-01-02", "2020-01-01"] * 3).cast(pa.date32()),
    ],
    ids=lambda given: type(given).__module__.partition(".")[0] + type(given).__name__,
)
def test_each_value_of_a_column_is_a_fold_in_order(given: Any) -> None:
    plan = ff.Plan({"x": col("x")})
    values = pd.Series(pa.array(list(pl.Series(given))) if isinstance(given, pl.Series) else given)
    known = sorted({v for v in values.tolist() if not pd.isna(v)})
    folds = folds_of(plan, {"x": np.arange(6.0)}, given)
    assert len(folds) == len(known)
    for value, fold in zip(known, folds, strict=True):
        tested = [k for k, v in enumerate(values.tolist()) if not pd.isna(v) and v == value]
        assert fold.test_rows.tolist() == tested
        assert fold.train_rows.tolist() == [k for k in range(6) if k not in tested]


def test_rows_without_a_label_are_in_no_fold_and_told_once() -> None:
    label = np.where(np.arange(N_ROWS) % 5 == 0, np.nan, DATA["y"])
    data, plan = {**DATA, "y": label}, ff.Plan({"shop": col("shop").target_encode("y")}, label="y")
    known = np.flatnonzero(~np.isnan(label))
    for cv in (3, StratifiedKFold(3), TimeSeriesSplit(3)):
        with pytest.warns(
            RowsWithoutLabel, match="is missing in 48 of 240 rows: no fold"
        ) as caught:
            folds = folds_of(plan, data, cv)
        assert [w.category for w in caught].count(RowsWithoutLabel) == 1
        splitter = KFold(3) if cv == 3 else cv
        theirs = splitter.split(known, label[known].astype(int))
        assert_same_rows(
            [(f.train_rows, f.test_rows) for f in folds],
            [(known[train], known[test]) for train, test in theirs],
        )
        check_by_hand(plan, data, folds)
    with pytest.warns(RowsWithoutLabel):
        (fold,) = plan.cross_fit(data, [([4, 5, 6], [10, 11])])
    assert (fold.train_rows.tolist(), fold.test_rows.tolist()) == ([4, 6], [11])


def test_a_label_that_is_computed_is_that_of_fit() -> None:
    plan = ff.Plan({"shop": col("shop").target_encode("big")}, label={"big": col("y").cast("int8")})
    folds = folds_of(plan, DATA, 3)
    check_by_hand(plan, DATA, folds)
    for fold in folds:
        assert fold.test_label is not None
        assert fold.test_label.equals(fold.fitted.label(DATA, rows=fold.test_rows))


def test_a_label_may_read_no_column() -> None:
    plan = ff.Plan({"x": col("x").standard_scale()}, label={"y": ff.lit(1)})
    for fold in plan.cross_fit(DATA, 2):
        assert fold.test_label is not None
        assert fold.test_label.to_pylist() == [1] * (N_ROWS // 2)


def test_plans_without_a_label_have_none() -> None:
    plan = ff.Plan({"x": col("x").standard_scale()})
    for fold in plan.cross_fit(DATA, 2):
        assert fold.train_label is None
        assert fold.test_label is None


@pytest.mark.parametrize("seed", range(3))
def test_no_encoder_that_gives_a_test_row_its_features_has_its_label(seed: int) -> None:
    data = rows(120, seed)
    flipped = {**data, "y": ~data["y"]}
    for fold in PLAN.cross_fit(data, KFold(3, shuffle=True, random_state=seed)):
        mixed = np.where(np.isin(np.arange(120), fold.test_rows), flipped["y"], data["y"])
        (other,) = PLAN.cross_fit({**data, "y": mixed}, [(fold.train_rows, fold.test_rows)])
        assert other.test.equals(fold.test)
        assert other.train.equals(fold.train)
        assert other.test_label != fold.test_label


def test_folds_are_lazy_and_errors_are_not() -> None:
    data = {**DATA, "x": [*DATA["x"][:-1], np.inf]}
    plan = ff.Plan({"x": col("x").mean() + col("x")})
    folds = plan.cross_fit(data, 2)
    with pytest.raises(InvalidData, match="not finite") as caught:
        next(folds)  # learns from the second half
    assert caught.value.__notes__ == ["in fold 1 of 2 of cross_fit"]
    assert isinstance(plan.cross_fit(data, 2), Iterator)
    given = plan.cross_fit(DATA, iter([([0, 1], [2]), ([3, 4], [5])]))
    assert [f.test_rows.tolist() for f in given] == [[2], [5]]


@pytest.mark.parametrize(
    ("cv", "kind", "told"),
    [
        (1, InvalidPlan, "cross_fit(cv=1): needs two folds or more"),
        (0, InvalidPlan, "cross_fit(cv=0)"),
        (True, TypeMismatch, "cross_fit(cv=): got bool. Pass the number of folds"),
        (3.0, TypeMismatch, "got float"),
        (None, TypeMismatch, "got NoneType"),
        ({"a": 1}, TypeMismatch, "got dict"),
        (241, InvalidData, "only 240 rows with a label. Use fewer folds"),
        ("fodl", UnknownColumn, "no column 'fodl', which cv= or groups= names. Did you mean 'fo"),
        ([], InvalidData, "has no folds. A generator has its folds only once"),
        (iter([]), InvalidData, "has no folds"),
        ([1, 2, 3], InvalidData, "cross_fit(cv=): has 3 values, but the data has 240 rows"),
        (np.full(240, 7), InvalidData, "fold 1 of 1 has no row to learn from"),
        (np.full(240, np.nan), InvalidData, "has no folds"),
        ([[0, 1]], TypeMismatch, "fold 1, train: takes an array of row numbers, got 0"),
        ([([0], [1], [2])], TypeMismatch, "fold 1 is not a pair (train, test)"),
        (["ab", "cd"], InvalidData, "has 2 values"),
        ([([0, 1], [2]), ([0, 240], [2])], InvalidData, "fold 2, train: has the row number 240"),
        ([([0, 1], [-1])], InvalidData, "fold 1, test: has the row number -1, but there are 240"),
        ([([0, 1, 1], [2])], InvalidData, "fold 1, train: has row 1 more than once"),
        ([([0, 1], [1, 2])], InvalidData, "fold 1: has 1 row in both train and test, first row 1"),
        ([([], [1])], InvalidData, "fold 1 of 1 has no row to learn from"),
        ([([1], [])], InvalidData, "fold 1 of 1 has no row to test"),
        ([([0.5], [1])], TypeMismatch, "takes an array of row numbers, got an array of float64"),
        ([([[0]], [1])], TypeMismatch, "got an array of shape (1, 1)"),
        (
            [(DATA["y"], ~DATA["y"])],
            TypeMismatch,
            "fold 1, train: is a mask, but folds are row numbers. Use numpy.flatnonzero(mask)",
        ),
        (pd.DataFrame({"f": [1]}), FastfeatError, "cross_fit(cv=)"),
        (KFold(300), InvalidData, "cross_fit(cv=KFold): Cannot have number of splits n_splits=300"),
        (pa.array([[1]] * 240), TypeMismatch, "its values are list"),
        ("y", InvalidPlan, "cross_fit(cv=): has the values of the label, so each fold"),
        (DATA["y"].astype(float), InvalidPlan, "The label is a column of the data"),
    ],
)
def test_folds_that_are_none_are_told_at_the_call(cv: Any, kind: Any, told: str) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        PLAN.cross_fit(DATA, cv)


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"groups": DATA["card"][:9]}, InvalidData, "groups=): has 9 values, but the data has"),
        ({"groups": "cart"}, UnknownColumn, "no column 'cart', which cv= or groups= names. Did"),
        ({"groups": "kind"}, InvalidData, "has no group for "),
        ({"groups": np.zeros(240)}, InvalidData, "the data has only 1 group, and each group"),
        ({"groups": "card", "cv": "fold"}, InvalidPlan, "is only for a number of folds, cv=5, or"),
        ({"groups": "card", "cv": [([0], [1])]}, InvalidPlan, "these folds already"),
        ({"to": "pd"}, FastfeatError, "to must be one of"),
        ({"backend": "gpuu"}, FastfeatError, "gpuu"),
        ({"data": {"x": [1.0, 2.0]}}, UnknownColumn, "the data lacks the columns"),
        ({"data": {n: v for n, v in DATA.items() if n != "y"}}, UnknownColumn, "'y'"),
    ],
)
def test_other_arguments_are_told_at_the_call(options: Any, kind: Any, told: str) -> None:
    given = {"data": DATA, "cv": 3, **options}
    with pytest.raises(kind, match=re.escape(told)):
        PLAN.cross_fit(**given)


def test_a_splitter_of_all_rows_is_refused_where_some_have_no_label() -> None:
    data = {**DATA, "y": np.where(np.arange(N_ROWS) == 3, np.nan, DATA["y"])}
    plan = ff.Plan({"x": col("x")}, label="y")
    splitter = PredefinedSplit(np.arange(N_ROWS) % 3)
    with (
        pytest.warns(RowsWithoutLabel),
        pytest.raises(InvalidData, match="239 rows with a label, and a splitter gets only these"),
    ):
        plan.cross_fit(data, splitter)


def test_a_fold_shows_how_many_rows_it_has() -> None:
    fold = next(PLAN.cross_fit(DATA, 3))
    assert repr(fold) == "Fold(160 training rows, 80 test rows)"
    with pytest.raises(AttributeError):
        fold.train_rows = fold.test_rows  # type: ignore[misc]


def test_what_a_call_lacks_or_does_not_take_is_told() -> None:
    plan: Any = PLAN
    with pytest.raises(TypeMismatch, match=re.escape("Write plan.cross_fit({'x': [1.0]}, cv=5)")):
        plan.cross_fit({"x": [1.0]})
    with pytest.raises(TypeMismatch, match=re.escape(".cross_fit(X.assign(y=y), cv=5)")):
        plan.cross_fit(DATA, DATA["y"], 5)
