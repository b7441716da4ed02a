"""Encoders by a target: out of fold on training rows, from all of them on later rows."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import TargetEncoder

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.errors import InvalidData, InvalidPlan, Leakage, TypeMismatch
from fastfeat.io.host_memory import host_memory
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.trust.verify.comparison import first_difference
from fastfeat_tests.steps.keys.key_tables import key_tables

EXAMPLES = settings(max_examples=8 + settings().max_examples // 20)
pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
LATE = ("y", "z", "w")
X, K = col("x"), col("k")


@cache
def plan() -> ff.Plan:
    """Return encoders of every kind, and what may be made of them."""
    text, crossed = col("text"), ff.cross("text", "i8")
    features = {
        "auto": text.target_encode("y"),
        "smooth": col("f64").target_encode("z", smooth=20),
        "none": col("flag").target_encode("w", smooth=0, folds=2),
        "var": text.target_encode("z", smooth=3, stat="var"),
        "quantile": text.target_encode("w", smooth=3, stat="quantile", q=0.3),
        "woe": text.woe_encode("y"),
        "cross": crossed.target_encode("is_late", smooth=1),
        "by": text.target_encode("y", smooth=1, fold_by=["i8", "dict"]),
        "given": text.target_encode("y", smooth=1, fold="large"),
        "time": text.target_encode("w", smooth=1, time="day", folds=3),
        "classes": text.target_encode("w", smooth=1, classes=[0, 1]),
        "scaled": text.target_encode("y", smooth=2).standard_scale(),
        "filled": text.target_encode("z", smooth=2).impute("mean") * 2,
    }
    return ff.Plan(features, label={"is_late": col("z") > 0}, outcomes=["y", "w"])


def target_tables() -> Any:
    """Return tables whose targets have a value."""
    return key_tables(min_rows=5).filter(
        lambda table: all(table[name].null_count < table.num_rows for name in LATE)
    )


def assert_same(left: Any, right: Any) -> None:
    assert left.schema == right.schema
    for name in left.column_names:
        columns = left[name].combine_chunks(), right[name].combine_chunks()
        assert first_difference(*columns) is None, name


@EXAMPLES
@given(train=target_tables(), rows=key_tables())
def test_backends_and_chunks_agree(train: Any, rows: Any) -> None:
    later = rows.drop_columns(LATE)
    fitted, features = plan().fit_transform(train)
    by_reference, expected = plan().fit_transform(train, backend="reference")
    assert artifact_bytes(fitted.record) == artifact_bytes(by_reference.record)
    assert artifact_bytes(fitted.record) == artifact_bytes(
        plan().fit(train.combine_chunks()).record
    )
    assert_same(features, expected)
    matrix = plan().fit_transform(train, to="numpy")[1]
    for k, name in enumerate(features.column_names):
        column = features[name].to_numpy()
        assert matrix[:, k].tobytes() == column.astype(np.float64).tobytes(), name
    report = fitted.verify(later)
    assert report.ok, report
    whole = fitted.transform(later)
    assert_same(whole, fitted.transform(later, backend="reference"))
    assert_same(whole, fitted_of(artifact_bytes(fitted.record)).transform(later))


@EXAMPLES
@given(train=target_tables(), data=st.data())
def test_a_label_does_not_move_what_its_own_row_gets(train: Any, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, train.num_rows - 1))
    alone = ff.Plan(
        {
            name: expression
            for name, expression in plan().features.items()
            if name not in ("scaled", "filled")  # learnt from all encodings
        },
        label=plan().label,
        outcomes=plan().outcomes,
    )
    columns = train.to_pydict()
    columns["y"][row] = 1 - (columns["y"][row] or 0)
    columns["z"][row] = -(columns["z"][row] or 1.0)
    columns["w"][row] = 1 - (columns["w"][row] or 0)
    flipped = pa.table({name: pa.array(columns[name], train[name].type) for name in columns})
    before, after = (alone.fit_transform(table)[1].slice(row, 1) for table in (train, flipped))
    assert_same(before, after)


def numbers(n: int = 500) -> pa.Table:
    """Return rows with a category, a fold, a time and targets."""
    rng = np.random.default_rng(7)
    letters = np.array(list("aabbbcdefgh"))[rng.integers(0, 11, n)]
    return pa.table(
        {
            "k": letters,
            "fold": rng.integers(0, 4, n),
            "t": rng.permutation(n),
            "y": (rng.random(n) < 0.3 + (letters == "a") * 0.4).astype(np.int64),
            "x": rng.normal(size=n) + (letters == "b"),
            "c": np.array(list("rgb"))[rng.integers(0, 3, n)],
        }
    )


@pytest.mark.parametrize("target", ["y", "x"])
@pytest.mark.parametrize("smooth", ["auto", 0, 7.5])
def test_encodings_equal_those_of_scikit_learn(target: str, smooth: Any) -> None:
    table = numbers()
    options: dict[str, Any] = {"smooth": smooth or 1e-300}
    options["target_type"] = "binary" if target == "y" else "continuous"
    keys, y = table["k"].to_numpy()[:, None], table[target].to_numpy()
    fold = table["fold"].to_numpy()
    encoded = K.target_encode(target, smooth=smooth, fold="fold")
    fitted, out_of_fold = ff.Plan({"k": encoded}, label=target).fit_transform(table, to="numpy")
    whole = TargetEncoder(**options).fit(keys, y).transform(keys)[:, 0]
    found = fitted.transform(table.drop_columns(["y", "x"]), to="numpy")[:, 0]
    np.testing.assert_allclose(found, whole, rtol=1e-13, atol=1e-15)
    for number in range(4):
        inside = fold == number
        model = TargetEncoder(**options).fit(keys[~inside], y[~inside])
        expected = model.transform(keys[inside])[:, 0]
        np.testing.assert_allclose(out_of_fold[inside, 0], expected, rtol=1e-13, atol=1e-15)


def test_classes_have_a_column_each() -> None:
    table = numbers()
    encoded = K.target_encode("c", classes=["r", "g", "b"], smooth=1)
    rows = ff.Plan({"k": encoded}, label="c").fit(table).transform(table)
    assert rows.column_names == ["k_r", "k_g", "k_b"]
    total = sum(rows[name].to_numpy() for name in rows.column_names)
    np.testing.assert_allclose(total, 1.0, rtol=1e-15)


def test_the_weight_of_evidence_is_that_of_its_definition() -> None:
    table = numbers()
    fitted = ff.Plan({"k": K.woe_encode("y", regularization=0.5)}, label="y").fit(table)
    keys, y = table["k"].to_numpy(), table["y"].to_numpy()
    for key, value in zip("abz", fitted.transform({"k": ["a", "b", "z"]})["k"], strict=True):
        ones, all_rows = y[keys == key].sum(), (keys == key).sum()
        share = (ones + 0.5) / (y.sum() + 1)
        other = (all_rows - ones + 0.5) / (len(y) - y.sum() + 1)
        expected = math.log(share / other) if all_rows else 0.0
        assert value.as_py() == pytest.approx(expected, rel=1e-13)


def test_folds_by_time_learn_from_earlier_rows_only() -> None:
    table = numbers()
    encoded = K.target_encode("x", smooth=0, time="t", folds=5)
    _, features = ff.Plan({"k": encoded}, label="x").fit_transform(table)
    t, keys, x = (table[name].to_numpy() for name in ("t", "k", "x"))
    for row in (3, 77, 400):
        earlier = t < t[row] * 5 // 500 * 100
        seen = x[earlier & (keys == keys[row])]
        expected = x[earlier].mean() if not len(seen) and earlier.any() else None
        expected = seen.mean() if len(seen) else expected
        assert features["k"][row].as_py() == pytest.approx(expected, rel=1e-12)


def test_rows_of_one_key_are_in_one_fold() -> None:
    table = numbers().append_column("card", pa.array(np.arange(500) // 2))
    encoded = K.target_encode("x", smooth=1, fold_by="card")
    _, features = ff.Plan({"k": encoded}, label="x").fit_transform(table)
    x = table["x"].to_numpy().copy()
    x[7] += 100.0  # row 6 has the same card
    moved = table.set_column(table.schema.get_field_index("x"), "x", pa.array(x))
    _, after = ff.Plan({"k": encoded}, label="x").fit_transform(moved)
    changed = features["k"].to_numpy() != after["k"].to_numpy()
    assert not changed[6:8].any()
    assert changed.any()


def test_a_cross_may_say_the_fold() -> None:
    table = numbers()
    features = {
        "crossed": K.target_encode("x", smooth=1, fold_by=ff.cross("c", "fold")),
        "listed": K.target_encode("x", smooth=1, fold_by=["c", "fold"]),
    }
    _, found = ff.Plan(features, label="x").fit_transform(table)
    assert found["crossed"].to_pylist() == found["listed"].to_pylist()


def test_infinite_values_that_a_quantile_does_not_reach_are_taken() -> None:
    encoded = K.target_encode("y", smooth=1, stat="quantile", folds=2)
    rows = {"k": [*"aaaa"], "y": [1.0, 2.0, 3.0, math.inf]}
    assert ff.Plan({"k": encoded}, label="y").fit(rows).transform(rows)["k"][0].as_py() == 2.5


def test_an_aggregate_above_an_encoding_learns_from_values_out_of_fold() -> None:
    table = numbers()
    encoded = K.target_encode("x", smooth=1)
    with_mean = ff.Plan({"k": encoded, "mean": encoded.mean()}, label="x")
    fitted, features = with_mean.fit_transform(table)
    assert artifact_bytes(fitted.record) == artifact_bytes(with_mean.fit(table).record)
    out_of_fold = math.fsum(features["k"].to_pylist()) / table.num_rows
    assert fitted.transform(table)["mean"][0].as_py() == pytest.approx(out_of_fold, rel=1e-14)
    assert out_of_fold != pytest.approx(np.mean(fitted.transform(table)["k"]), rel=1e-12)


def test_later_rows_need_no_late_column() -> None:
    table = numbers()
    fitted = ff.Plan({"k": K.target_encode("late")}, label={"late": X > 0}).fit(table)
    assert fitted.verify(table.select(["k"])).ok
    assert (
        fitted.transform_row({"k": "a"}).tolist()
        == fitted.transform({"k": ["a"]}, to="numpy")[0].tolist()
    )
    assert fitted.label(table).to_pylist() == (table["x"].to_numpy() > 0).tolist()


def test_what_is_only_learnt_needs_no_late_column_either() -> None:
    mean = K.target_encode("y", smooth=0).mean()
    fitted = ff.Plan({"mean": mean}, label="y").fit({"y": [0.0, 1.0, 1.0], "k": [*"aab"]})
    assert fitted.transform({"k": ["a", "q"]}).num_rows == 2


ENCODED = K.target_encode("y")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (col("y"), "reads 'y' in its own row"),
        (col("y").mean(), "through a value that fit learns"),
        (col("y").mean(by="k"), "Use x.target_encode"),
        (X.mean(by="y"), "Use x.target_encode"),
        (col("y").ordinal_encode(), "reads 'y' in its own row"),
        (col("y").count_encode(), "reads 'y' in its own row"),
        (ENCODED.mean(by="k"), "but not as a key, in an aggregate"),
        (X.mean(by=ENCODED), "but not as a key, in an aggregate"),
        (X.mean(by=["k", ENCODED > 0.5]), "but not as a key, in an aggregate"),
        (ENCODED.ordinal_encode(), "but not as a key, in an aggregate"),
        (ENCODED.count_encode(), "but not as a key, in an aggregate"),
        (ff.cross(ENCODED, "k").ordinal_encode(), "but not as a key, in an aggregate"),
        (ff.cross(ENCODED, "k").target_encode("y"), "but not as a key, in an aggregate"),
        (ENCODED.round().one_hot_encode(), "but not as a key, in an aggregate"),
        (K.target_encode(ENCODED), "the target contains a target encoding"),
        (K.target_encode(col("y") + ff.lit(1).target_encode("y")), "the target contains a target"),
        (K.target_encode(col("y") - col("y").mean()), "which is learnt from all rows"),
        (K.target_encode(col("y").qcut(4)), "which is learnt from all rows"),
        (ff.lookup("t", by={ENCODED.round(): "id"}).col("v"), "but not as a key, in an aggregate"),
        (ff.lookup("t", by={"y": "id"}).col("v"), "reads 'y' in its own row"),
        (K.target_encode("y", fold_by=ENCODED), "but not as a key, in an aggregate"),
        (ENCODED.standard_scale(by="k"), "but not as a key, in an aggregate"),
        (ENCODED.impute("mean", by="k"), "but not as a key, in an aggregate"),
        (K.target_encode("x"), "not declared as known only after"),
        (K.woe_encode(X > 0), "not declared as known only after"),
        (ENCODED * col("y"), "reads 'y' in its own row"),
    ],
)
def test_a_path_from_the_label_is_refused(expression: ff.Expr, message: str) -> None:
    with pytest.raises(Leakage, match=message):
        ff.Plan({"f": expression}, label="y")


@pytest.mark.parametrize(
    "expression", [col("late"), X.mean(by="late"), K.target_encode("y", fold="late")]
)
def test_a_column_that_has_the_name_of_the_label_is_late(expression: ff.Expr) -> None:
    with pytest.raises(Leakage, match="late"):
        ff.Plan({"f": expression}, label={"late": col("y") > 0})


@pytest.mark.parametrize(
    "expression",
    [
        ENCODED + 1,
        ENCODED.standard_scale(),
        ff.when(ENCODED > 0.5).then(X).otherwise(0.0),
        (ENCODED - ENCODED.mean()).clip(0, 1),
        K.target_encode(col("y") * 2 + col("o")),
        (X - X.mean(by="k")).standard_scale(),
        X.mean(by="k").ordinal_encode(),
    ],
)
def test_other_paths_are_allowed(expression: ff.Expr) -> None:
    built = ff.Plan({"f": expression}, label="y", outcomes=["o"])
    text = built.explain("leakage")
    assert ("learnt out of fold from the target" in text) == ("target_encode" in text)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: K.target_encode("y", folds=1), InvalidPlan, "from 2"),
        (lambda: K.target_encode("y", smooth=-1), InvalidPlan, "from 0"),
        (lambda: K.target_encode("y", smooth=cast("Any", "much")), InvalidPlan, "'much'"),
        (
            lambda: K.target_encode("y", stat="var"),
            InvalidPlan,
            "such as smooth=20; .* only for stat=",
        ),
        (
            lambda: K.target_encode("y", stat=cast("Any", "max")),
            InvalidPlan,
            "'mean', 'var' or 'quantile'",
        ),
        (lambda: K.target_encode("y", fold="f", time="t"), InvalidPlan, "only one of fold_by="),
        (lambda: K.target_encode(cast("Any", 3)), TypeMismatch, "the name of the label"),
        (lambda: K.target_encode("y", classes="ab"), TypeMismatch, "a list of classes"),
        (lambda: K.target_encode("y", classes=[]), InvalidPlan, "the list of classes is empty"),
        (lambda: K.target_encode("y", classes=["a", "b", "a"]), InvalidPlan, "lists 'a' twice"),
        (lambda: K.target_encode("y", classes=[1, 2, 1.0]), InvalidPlan, "lists 1.0 twice"),
        (lambda: K.target_encode("y", fold_by=[]), InvalidPlan, r"fold_by=\[\]\): names no key"),
        (lambda: K.target_encode("y", fold=cast("Any", 3)), TypeMismatch, "the name of a column"),
        (
            lambda: ff.Plan({"f": K.target_encode("y", fold_by=K.one_hot_encode())}, label="y").fit(
                {"k": ["a"], "y": [1]}
            ),
            TypeMismatch,
            "fold_by= needs text, .* got one_hot",
        ),
        (
            lambda: ff.Plan({"f": K.target_encode("y", fold_by="l")}, label="y").fit(
                {"k": ["a"], "y": [1], "l": [["a"]]}
            ),
            TypeMismatch,
            r"fold_by= needs text, .* got list\[utf8\]",
        ),
        (lambda: K.woe_encode("y", regularization=0), InvalidPlan, "regularization=0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(build: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(
    ("expression", "y", "error", "message"),
    [
        (K.target_encode("y", folds=2), [*"abc"], TypeMismatch, "classes="),
        (K.woe_encode("y", folds=2), [*"aba"], TypeMismatch, r"k'\).woe_encode\(.* == 'yes'"),
        (K.woe_encode("y", folds=2), [0, 1, 2], InvalidData, r"k'\).woe_encode\(.* found 2.0"),
        (K.target_encode("y", folds=2), [0, math.inf, 2], InvalidData, "target is inf in row 1"),
        (
            K.target_encode("y", smooth=1, stat="quantile", q=1),
            [0, -math.inf, math.inf],
            InvalidData,
            "target is -inf in row 1",
        ),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(
    expression: ff.Expr, y: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        ff.Plan({"f": expression}, label="y").fit({"k": [*"aab"], "y": y})


def test_of_no_target_nothing_is_learnt_and_fit_says_so() -> None:
    encoded = ff.Plan({"k": K.target_encode("y")}, label="y")
    with pytest.warns(ff.FastfeatWarning, match="too few values"):
        fitted = encoded.fit({"k": [*"aab"], "y": pa.array([None] * 3, pa.float64())})
    assert fitted.transform({"k": ["a"]})["k"].to_pylist() == [None]


def test_there_may_be_more_folds_than_rows() -> None:
    encoded = ff.Plan({"k": K.target_encode("y", folds=1000, smooth=0)}, label="y")
    _, features = encoded.fit_transform({"k": [*"aaa"], "y": [0.0, 3.0, 6.0]})
    assert features["k"].to_pylist() == [4.5, 3.0, 1.5]  # what the other rows say


def test_a_target_of_one_class_and_missing_targets_are_taken() -> None:
    fitted = ff.Plan({"k": K.target_encode("y", folds=2)}, label="y").fit(
        {"k": [*"aabb"], "y": [1.0, 1.0, None, 1.0]}
    )
    assert fitted.transform({"k": ["a", "b", "q", None]})["k"].to_pylist() == [1.0] * 4


@pytest.mark.parametrize("smooth", ["auto", 1])
def test_folds_and_categories_beyond_the_memory_are_refused_before_it_is_asked_for(
    smooth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastfeat.io import host_memory

    rows = {"k": np.arange(1000), "y": np.arange(1000) % 2}
    plan = ff.Plan({"t": K.target_encode("y", folds=10, smooth=smooth)}, label="y")
    assert plan.fit(rows).n_rows == 1000
    monkeypatch.setattr(host_memory, "host_memory", lambda: 1_000_000)
    told = r"10 folds of 1,002 categories need about [\d,]+ bytes, and this machine has 1,000,000"
    with pytest.raises(InvalidData, match=told):
        plan.fit(rows)


def test_the_memory_of_this_machine_is_known() -> None:
    assert (host_memory() or 1 << 30) > 1 << 26


def test_more_folds_and_categories_than_numbers_are_refused() -> None:
    n_rows = 50_000
    rows = {"k": np.arange(n_rows), "f": np.arange(n_rows), "y": np.arange(n_rows) % 2}
    plan = ff.Plan({"t": K.target_encode("y", fold="f", smooth=1)}, label="y")
    with pytest.raises(InvalidData, match="50,002 folds of 50,002 categories exceed the"):
        plan.fit(rows)
