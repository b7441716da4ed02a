"""XGBoost on the features of plans: by Arrow, by matrix, in pieces; what arrives, and what not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    EncodedInFold,
    InvalidData,
    InvalidPlan,
    RowsWithoutLabel,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat_tests.integrations.training_rows import CODED, N_ROWS, PLAN, TEST, TRAIN, label_of

pytestmark = pytest.mark.large
xgboost: Any = pytest.importorskip("xgboost")
ours: Any = pytest.importorskip("fastfeat.integrations.xgboost")

FITTED, FEATURES = PLAN.fit_transform(TRAIN)
TYPES = ["float", "float", "i", "int", "c", "c", *["int"] * 3, "float"]
Y = label_of(TRAIN)


def booster(matrix: Any, **params: Any) -> Any:
    given = {"objective": "binary:logistic", "max_depth": 5, "max_cat_to_onehot": 4, "nthread": 1}
    return xgboost.train({**given, **params}, matrix, 5)


def trees(model: Any) -> list[str]:
    return model.get_dump(with_stats=True, dump_format="json")


def by_matrix(**options: Any) -> Any:
    """Return what a user writes with a matrix."""
    matrix = PLAN.fit_transform(TRAIN, to="numpy")[1]
    return xgboost.QuantileDMatrix(
        matrix,
        Y,
        feature_names=FITTED.feature_names,
        feature_types=TYPES,
        enable_categorical=True,
        **options,
    )


def training(fitted: Any = FITTED, **options: Any) -> Any:
    """Return the training rows, by Arrow."""
    return ours.dmatrix(fitted, **{"features": FEATURES, "label": Y, "quantile": True, **options})


def test_trees_by_arrow_are_those_by_matrix() -> None:
    model = booster(training(label=FITTED.label(TRAIN)))
    expected = booster(by_matrix())
    assert trees(model) == trees(expected)
    assert model.feature_names == FITTED.feature_names
    assert model.feature_types == TYPES
    of_arrow = model.predict(ours.dmatrix(FITTED, TEST.drop_columns("id"), label=False))
    matrix = FITTED.transform(TEST, to="numpy")
    assert np.array_equal(of_arrow, expected.inplace_predict(matrix))
    assert 0.75 < ((of_arrow > 0.5) == label_of(TEST)).mean() < 0.95


def test_rows_are_chosen_with_their_labels() -> None:
    numbers = [7, 3, 900]
    chosen = ours.dmatrix(FITTED, TEST, rows=numbers)
    expected = ours.dmatrix(FITTED, TEST.take(numbers))
    assert np.array_equal(chosen.get_label(), label_of(TEST)[numbers])
    assert (chosen.get_data() != expected.get_data()).nnz == 0


def test_a_label_may_come_as_a_frame_or_categories() -> None:
    codes = label_of(TEST).astype(int)
    for label in (
        pd.DataFrame({"bought": codes}),
        codes[:, None],
        pd.Series(codes).astype("category"),
        pa.array(codes).dictionary_encode(),
    ):
        assert np.array_equal(ours.dmatrix(FITTED, TEST, label=label).get_label(), codes)


def test_features_of_training_rows_that_hold_their_label_warn() -> None:
    with pytest.warns(EncodedInFold, match="fit_transform"):
        ours.dmatrix(PLAN.fit(TRAIN), TRAIN)


def test_folds_are_trained_on_and_validated() -> None:
    for fold in PLAN.cross_fit(TRAIN, cv=2):
        known = ours.dmatrix(
            fold.fitted, features=fold.train, label=fold.train_label, quantile=True
        )
        tested = ours.dmatrix(fold.fitted, features=fold.test, label=fold.test_label)
        assert np.array_equal(tested.get_label(), Y[fold.test_rows])
        plan_fitted, features = PLAN.fit_transform(TRAIN.take(fold.train_rows))
        alone = ours.dmatrix(
            plan_fitted, features=features, label=Y[fold.train_rows], quantile=True
        )
        model = booster(known)
        assert trees(model) == trees(booster(alone))
        unseen = ours.dmatrix(fold.fitted, TRAIN, rows=fold.test_rows)
        assert np.array_equal(model.predict(tested), model.predict(unseen))


def test_features_may_come_as_a_matrix_or_a_frame() -> None:
    expected = trees(booster(training()))
    matrix = PLAN.fit_transform(TRAIN, to="numpy")[1]
    forms = [matrix, np.ascontiguousarray(matrix), FEATURES.to_pandas()]
    for features in forms:
        assert trees(booster(training(features=features, label=list(Y)))) == expected


@pytest.mark.parametrize("tree_method", ["exact", "approx"])
def test_trees_by_dmatrix_are_those_by_matrix(tree_method: str) -> None:
    few = training(quantile=False, categories=[])
    types = ["int" if kind == "c" else kind for kind in TYPES]
    assert few.feature_types == types
    matrix = PLAN.fit_transform(TRAIN, to="numpy")[1]
    expected = xgboost.DMatrix(matrix, Y, feature_names=FITTED.feature_names, feature_types=types)
    made = [trees(booster(given, tree_method=tree_method)) for given in (few, expected)]
    assert made[0] == made[1]


def categories_split_on(model: Any) -> dict[str, set[int]]:
    """Return the categories that splits name, by their feature."""
    found: dict[str, set[int]] = {}

    def visit(node: dict[str, Any]) -> None:
        if isinstance(node.get("split_condition"), list):
            found.setdefault(node["split"], set()).update(node["split_condition"])
        for child in node.get("children", ()):
            visit(child)

    for tree in trees(model):
        visit(json.loads(tree))
    return found


def test_missing_and_rare_categories_arrive_as_categories() -> None:
    """The rows without a city have a mean of their own, which a split on category 0 tells."""
    model = booster(training(), max_depth=8)
    split_on = categories_split_on(model)
    assert set(split_on) <= set(CODED)
    assert 0 in split_on["city"]
    assert split_on["city"] <= set(range(FITTED.encoding("city").n_codes))
    cities: list[Any] = [None, "Rome", "Paris", "Bern"]
    alike = {name: [TEST.column(name)[3].as_py()] * 4 for name in TEST.column_names}
    missing, rare, unseen, bern = model.predict(
        ours.dmatrix(FITTED, {**alike, "city": cities}, label=False)
    )
    assert rare == unseen
    assert len({missing, rare, bern}) == 3


def test_missing_floats_are_missing_to_xgboost() -> None:
    matrix = training(quantile=False)
    n_missing = sum(column.null_count for column in FEATURES.drop_columns("id").columns)
    assert n_missing > N_ROWS / 5
    assert matrix.num_nonmissing() == N_ROWS * len(TYPES) - n_missing


Source = Callable[[Path], Any]


def parquet(folder: Path, part: pa.Table = TRAIN, name: str = "train.parquet") -> Path:
    pq.write_table(part, folder / name, row_group_size=1_700)
    return folder / name


def two_files(folder: Path) -> list[str]:
    half = N_ROWS // 2
    parts = {"a": TRAIN.slice(0, half), "b": TRAIN.slice(half)}
    return [str(parquet(folder, part, f"{name}.parquet")) for name, part in parts.items()]


SOURCES: dict[str, Source] = {
    "table": lambda folder: TRAIN,
    "pandas": lambda folder: TRAIN.to_pandas(),
    "file": parquet,
    "files": two_files,
    "folder": lambda folder: (two_files(folder), folder)[1],
    "dataset": lambda folder: ds.dataset(two_files(folder)),
    "function": lambda folder: (
        lambda: pa.RecordBatchReader.from_batches(
            TRAIN.schema, TRAIN.to_batches(max_chunksize=1_111)
        )
    ),
}
# as transform gives them: pieces are of rows that fit has not seen, or of plans without encoders
UNTAUGHT = FITTED.select([name for name in FITTED.feature_names if name != "risk"])


@pytest.mark.parametrize("source", SOURCES)
def test_trees_by_pieces_are_those_of_the_whole(source: str, tmp_path: Path) -> None:
    whole = booster(training(UNTAUGHT, weight=weights()))
    data = SOURCES[source](tmp_path)
    pieces = ours.dmatrix_by_pieces(UNTAUGHT, data, piece_rows=1_500, weight="weight")
    assert pieces.num_row() == N_ROWS
    assert np.array_equal(pieces.get_label(), Y)
    assert np.array_equal(pieces.get_weight(), weights())
    assert trees(booster(pieces)) == trees(whole)


def weights() -> Any:
    return TRAIN.column("weight").to_numpy()


def test_trees_from_external_memory_are_those_of_the_whole(tmp_path: Path) -> None:
    data = parquet(tmp_path)
    prefix = str(tmp_path / "cache")
    kept = ours.dmatrix_by_pieces(UNTAUGHT, data, cache_prefix=prefix, max_bin=64)
    assert isinstance(kept, xgboost.ExtMemQuantileDMatrix)
    whole = training(UNTAUGHT, max_bin=64)
    assert trees(booster(kept, max_bin=64)) == trees(booster(whole, max_bin=64))


def test_groups_pass_on() -> None:
    data = TRAIN.append_column("query", pa.array(np.arange(N_ROWS) // 10))
    params = {"objective": "rank:ndcg"}
    by_pieces = ours.dmatrix_by_pieces(UNTAUGHT, data, qid="query", piece_rows=1_000)
    whole = ours.dmatrix(UNTAUGHT, data, qid=np.arange(N_ROWS) // 10, quantile=True)
    assert trees(booster(by_pieces, **params)) == trees(booster(whole, **params))


def test_a_group_is_in_one_piece() -> None:
    groups = pa.array(np.arange(TEST.num_rows) // 100)
    data = TEST.append_column("group", groups)
    pieces = ours.dmatrix_by_pieces(FITTED, data, qid="group", piece_rows=500)
    whole = ours.dmatrix(FITTED, data, qid=groups, quantile=True)
    assert np.array_equal(pieces.get_uint_info("group_ptr"), whole.get_uint_info("group_ptr"))
    with pytest.raises(InvalidData, match="the group 9 of qid= has rows in two pieces"):
        ours.dmatrix_by_pieces(FITTED, data, qid="group", piece_rows=950)


@pytest.mark.parametrize("name", ["weight", "base_margin", "qid"])
def test_what_a_piece_gives_beside_features_is_never_missing(name: str) -> None:
    for missing in (None, float("nan")):
        values = pa.array([*np.arange(1.0, 1_000.0), missing])
        data = TEST.append_column("beside", values)
        with pytest.raises(InvalidData, match=r"'beside' is missing in 1 row"):
            ours.dmatrix_by_pieces(FITTED, data, piece_rows=500, **{name: "beside"})


def test_training_stops_early_on_validation_rows() -> None:
    known = training()
    validation = ours.dmatrix(FITTED, TEST, quantile=True, ref=known)
    model = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 8, "eta": 1.0},
        known,
        200,
        evals=[(validation, "test")],
        early_stopping_rounds=3,
        verbose_eval=False,
    )
    assert 0 < model.best_iteration < 100
    loss = model.eval(ours.dmatrix(FITTED, TEST), iteration=model.best_iteration)
    assert float(loss.rpartition(":")[2]) == pytest.approx(model.best_score, rel=0.5)


def test_the_classifier_takes_a_matrix_and_the_types() -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    model = make_pipeline(
        FunctionTransformer(lambda data: UNTAUGHT.transform(data, to="numpy")),
        xgboost.XGBClassifier(
            n_estimators=5,
            max_depth=5,
            max_cat_to_onehot=4,
            n_jobs=1,
            enable_categorical=True,
            feature_types=ours.feature_types(UNTAUGHT),
        ),
    )
    frame = TRAIN.to_pandas()
    model.fit(frame, Y)
    expected = booster(training(UNTAUGHT))
    got = model.predict_proba(TEST.to_pandas())[:, 1]
    assert np.array_equal(got, expected.predict(ours.dmatrix(UNTAUGHT, TEST)))


CLOCK = ff.Plan({"at": col("age").cast("int64").cast("timestamp[us]")}).fit(TRAIN)


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (lambda: ours.dmatrix(PLAN, TRAIN), TypeMismatch, "got Plan, not a fitted plan"),
        (lambda: ours.dmatrix(FITTED), TypeMismatch, "pass either data or features="),
        (lambda: ours.dmatrix(FITTED, features=FEATURES), TypeMismatch, "pass label= too"),
        (
            lambda: ours.dmatrix(FITTED, TEST.drop_columns("spent")),
            UnknownColumn,
            "Pass label=False for rows to predict",
        ),
        (
            lambda: ours.dmatrix(FITTED, TEST, label=[1.0, None, float("nan"), *[0.0] * 997]),
            InvalidData,
            "2 of 1,000 labels are missing. Leave those rows out",
        ),
        (lambda: ours.dmatrix(FITTED, TEST, label=[1, 0]), InvalidData, "has 2 values, but the"),
        (
            lambda: ours.dmatrix(FITTED, TEST, label=[2**53 + 1] * 1_000),
            InvalidData,
            "integers beyond 2**53, which floats cannot",
        ),
        (
            lambda: ours.dmatrix(FITTED, TEST, label=["a"] * 1_000),
            TypeMismatch,
            "the label is string, but must be a number",
        ),
        (
            lambda: ours.dmatrix(FITTED, TEST, categories=["cty"]),
            InvalidPlan,
            "Did you mean 'city'? Features of ordinal_encode() have codes: 'city', 'street'",
        ),
        (
            lambda: ours.dmatrix(FITTED, TEST, categories="city"),
            InvalidPlan,
            "categories must be a list of column names, got 'city'",
        ),
        (
            lambda: ours.dmatrix(FITTED, TEST, label=TEST.select(["age", "spent"])),
            InvalidData,
            "the label has shape (1000, 2), but 'label' is one column: pass only",
        ),
        (
            lambda: ours.dmatrix_by_pieces(FITTED, TRAIN.slice(0, 0)),
            InvalidData,
            "the data has no rows",
        ),
        (lambda: ours.dmatrix(FITTED, features=np.ones((3, 2))), InvalidData, "have shape (3, 2)"),
        (
            lambda: ours.dmatrix(FITTED, features=FEATURES.drop_columns("age"), label=Y),
            UnknownColumn,
            "features= lack 'age'",
        ),
        (
            lambda: ours.dmatrix(ff.Plan({"size[m]": col("size")}).fit(TRAIN), TRAIN),
            InvalidPlan,
            "XGBoost refuses feature names that contain one of [ ] <: 'size[m]'",
        ),
        (
            lambda: ours.dmatrix(CLOCK, TRAIN),
            TypeMismatch,
            "'at' is timestamp[us], but trees need numbers: encode it in the plan",
        ),
        (lambda: ours.dmatrix(FITTED, TEST, weights=[1.0]), TypeError, "weights"),
        (lambda: ours.dmatrix(), TypeMismatch, "Write xgboost.dmatrix(fitted=plan.fit(data))"),
        (lambda: ours.dmatrix_by_pieces(FITTED, iter([TRAIN])), TypeMismatch, "can be read once"),
        (
            lambda: ours.dmatrix_by_pieces(FITTED, TRAIN.to_reader()),
            TypeMismatch,
            "Pass a function that opens it each",
        ),
        (lambda: ours.dmatrix_by_pieces(FITTED, "nowhere.parquet"), InvalidData, "no such file"),
        (lambda: ours.dmatrix_by_pieces(FITTED, TRAIN, weight="wt"), UnknownColumn, "'wt'"),
        (
            lambda: ours.dmatrix_by_pieces(FITTED, TRAIN, piece_rows=0),
            InvalidPlan,
            "piece_rows",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_handed_over_is_told(
    call: Callable[[], Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        call()


def test_windows_in_pieces_need_the_history() -> None:
    week = ff.window("7d", by="city", time="at", tie="id")
    times = pd.date_range("2024-01-01", periods=N_ROWS, freq="min").as_unit("us")
    data = TRAIN.append_column("at", pa.array(times))
    plan = ff.Plan(
        {"mean": col("size").mean(over=week), "age": col("age")},
        label={"bought": col("spent") > 0},
        row_id="id",
    )
    fitted = plan.fit(data)
    with pytest.raises(InvalidPlan, match="Pass history= with all rows, and row_id= in the plan"):
        ours.dmatrix_by_pieces(fitted, data)
    whole = ours.dmatrix(fitted, data, history="batch", quantile=True)
    pieces = ours.dmatrix_by_pieces(fitted, data, history=data, piece_rows=2_500)
    assert trees(booster(pieces)) == trees(booster(whole))


def test_a_label_that_looks_ahead_needs_a_column_in_pieces() -> None:
    ahead = ff.ahead(10, by="street", time="id")
    plan = ff.Plan({"age": col("age")}, label={"again": ff.count(over=ahead) > 0})
    with pytest.warns(RowsWithoutLabel):
        fitted = plan.fit(TRAIN)
    with pytest.raises(InvalidPlan, match=r"Put fitted\.label\(data\) into"):
        ours.dmatrix_by_pieces(fitted, TRAIN)
    missing = fitted.label(TRAIN).null_count
    assert missing > 0
    with pytest.raises(InvalidData, match=f"{missing} of 4,000 labels are missing"):
        ours.dmatrix(fitted, TRAIN)
    known = fitted.label(TRAIN).is_valid()
    part = TRAIN.append_column("y", fitted.label(TRAIN)).filter(known)
    by_column = ours.dmatrix_by_pieces(fitted, part, label="y", piece_rows=1_000)
    assert by_column.num_row() == N_ROWS - missing


def test_what_a_piece_raises_comes_through() -> None:
    broken = TRAIN.set_column(1, "size", TRAIN.column("size").cast(pa.string()))

    def parts() -> Iterator[pa.Table]:
        yield TRAIN
        yield broken

    with pytest.raises(TypeMismatch, match="size"):
        ours.dmatrix_by_pieces(UNTAUGHT, parts)


def test_a_function_that_returns_a_used_reader_is_told() -> None:
    reader = iter(TRAIN.to_batches(max_chunksize=1_000))
    with pytest.raises(InvalidData, match="The function must open a new one each time"):
        ours.dmatrix_by_pieces(UNTAUGHT, lambda: reader)
