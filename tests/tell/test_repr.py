"""What a notebook shows of a plan and of an expression: lines that read as they are written."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.operators.operator_features import families, features_of

DAY = ff.window("7d", by="card", time="t")
PAST = ff.window(by="card", time="t")


NOT_MADE_AGAIN = {"geo", "polynomial", "list.ordinal_encode", "str.replace", "str.replace_all"}
"""What is made of many nodes, or shown with the replacement as it is kept."""


@pytest.mark.parametrize("family", [*families(learnt=True), *families(learnt=False)])
def test_what_is_shown_of_an_operator_makes_it_again(family: str) -> None:
    names = {"ff": ff, "col": col, "lit": ff.lit, "inf": math.inf, "nan": math.nan}
    n_checked = 0
    for name, feature in features_of(family).items():
        shown = repr(feature.expression)
        assert "\n" not in shown
        assert len(shown) < 1000
        if " ... " in shown or " | " in shown or name.split()[0] in NOT_MADE_AGAIN:
            continue  # shortened, or columns of one expression each
        n_checked += 1
        assert eval(shown, names).nodes == feature.expression.nodes, (name, shown)
    assert n_checked > 0 or family in NOT_MADE_AGAIN


X, Y = col("x"), col("y")


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (X.standard_scale(by="k"), "col('x').standard_scale(by=col('k'))"),
        (
            X.standard_scale(by=["k", "j"], min_rows=3, with_mean=False),
            "col('x').standard_scale(with_mean=False, by=[col('k'), col('j')], min_rows=3)",
        ),
        (X.min_max_scale(by="k"), "col('x').min_max_scale(by=col('k'))"),
        (X.max_abs_scale(by="k", min_rows=2), "col('x').max_abs_scale(by=col('k'), min_rows=2)"),
        (X.robust_scale(by="k"), "col('x').robust_scale(by=col('k'))"),
        ((X + Y).log1p().standard_scale(), "(col('x') + col('y')).log1p().standard_scale()"),
        (X.power_transform(method="box-cox"), "col('x').power_transform(method='box-cox')"),
        (X.k_bins_discretize(n_bins=7), "col('x').k_bins_discretize(n_bins=7)"),
        (X.qcut([0.1, 0.5]), "col('x').qcut([0.1, 0.5])"),
        (X.cut([0, 1.5]).one_hot_encode(), "col('x').cut([0, 1.5]).one_hot_encode()"),
        (X.cyclical(24), "col('x').cyclical(24)"),
        (col("s").str.hash_tokens(8), "col('s').str.hash_tokens(n_buckets=8)"),
        (
            ff.session_id("30m", over=PAST),
            "ff.session_id('30m', over=ff.window(by='card', time='t'))",
        ),
        (X.impute("median", by="k"), "col('x').impute('median', by=col('k'))"),
        (X.impute("mean", add_indicator=True), "col('x').impute('mean', add_indicator=True)"),
        (X.impute(Y.max() + 1), "col('x').impute(col('y').max() + 1)"),
        (ff.session_id(5, over=PAST), "ff.session_id(5, over=ff.window(by='card', time='t'))"),
        (X.spline_transform(knots=[0, 1, 2.5]), "col('x').spline_transform(knots=[0, 1, 2.5])"),
    ],
)  # fmt: skip
def test_an_operator_of_several_nodes_is_shown_as_one(made: ff.Expr, shown: str) -> None:
    assert repr(made) == shown
    assert eval(shown, {"ff": ff, "col": col}).nodes == made.nodes


@pytest.mark.parametrize(
    "made",
    [
        (X - Y.mean()) / X.std(ddof=0),
        (X - X.mean()) / X.std(ddof=1),
        (X - X.mean(by="k")) / X.std(ddof=0),
    ],
)
def test_what_only_looks_like_a_scaler_is_not_shown_as_one(made: ff.Expr) -> None:
    assert "scale" not in repr(made)
    assert eval(repr(made), {"ff": ff, "col": col}).nodes == made.nodes


def test_a_wide_expression_is_shown_by_its_first_columns() -> None:
    shown = repr(ff.polynomial_features(*(f"x{k}" for k in range(100))))
    assert shown.startswith("col('x0') | col('x1') | ")
    assert shown.endswith(" more columns")
    assert len(shown) < 1000


def test_a_plan_is_shown_by_a_line_a_feature() -> None:
    plan = ff.Plan(
        {
            "scaled": X.standard_scale(),
            "kind": col("kind").one_hot_encode(),
            "rate": col("kind").target_encode("late", smooth=20),
            "past": Y.mean(over=DAY),
            "seats": ff.lookup("planes", by="tail").col("seats") + 1,
            "all": ff.sum_horizontal("a", "b", "c", "d", "e"),
            "one\nline": ff.lit(1),
        },
        label={"late": Y > 15},
        dtype="float32",
        keep=["id"],
    )
    assert repr(plan).splitlines() == [
        "Plan of 7 features, label='late', dtype='float32', keep=['id']",
        "  scaled: col('x').standard_scale()  (learnt in fit)",
        "  kind: col('kind').one_hot_encode()  (learnt in fit)",
        "  rate: col('kind').target_encode(col('late'), folds=5, smooth=20.0)  "
        "(learnt out of fold from the label)",
        "  past: col('y').mean(over=ff.window('7d', by='card', time='t'))  (sees earlier rows)",
        "  seats: (ff.lookup('planes', by='tail').col('seats') + 1)  (table 'planes')",
        "  all: ff.sum_horizontal(col('a'), col('b'), col('c'), col('d'), col('e'))",
        r"  'one\nline': 1",
    ]
    assert repr(ff.Plan({"x": X})) == "Plan of 1 feature\n  x: col('x')"


def test_a_fitted_plan_is_shown_by_types_and_what_it_was_fitted_on() -> None:
    rows = {
        "k": ["a", "b", "c"],
        "t": pa.array([0, 1, 2], pa.timestamp("s", "UTC")),
        "x": [1, 2, 3],
    }
    hour = col("t").dt.hour(tz="Europe/Berlin")
    features = {"k": col("k").one_hot_encode(), "hour": hour.cyclical(24), "x": X, "z": X / 2}
    fitted = ff.Plan(features, dtype="float32").fit(rows)
    assert repr(fitted).splitlines() == [
        "FittedPlan of 4 features in 7 columns, dtype='float32', fitted on 3 rows",
        "  k: 3 columns of uint8 = col('k').one_hot_encode()  (learnt in fit)",
        "  hour: 2 columns of float32 = col('t').dt.hour(tz='Europe/Berlin').cyclical(24)",
        "  x: int64 = col('x')",
        "  z: float32 = (col('x') / 2)",
    ]
    assert repr(fitted.select("k_a")).splitlines() == [
        "FittedPlan of 1 feature, dtype='float32', fitted on 3 rows",
        "  k_a: uint8 = (col('k').ordinal_encode() == 2)  (learnt in fit)",
    ]


@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsWithoutLabel")
def test_rows_that_were_not_learnt_from_are_told() -> None:
    later = X.last(over=ff.ahead(1, time="t"))
    fitted = ff.Plan({"m": X.mean()}, label={"next": later}).fit({"t": [1, 2], "x": [1.0, 2.0]})
    head = repr(fitted).splitlines()[0]
    assert head.endswith("fitted on 1 row (1 row without a label left out)")


@pytest.mark.parametrize("n_features", [18, 19, 20, 500])
def test_a_wide_plan_is_shown_in_20_lines_at_most(n_features: int) -> None:
    week = X.mean(over=ff.window("7d", by=["a" * 30, "b" * 30], time="t"))
    plan = ff.Plan({f"f{k} {'long ' * 100}": week.clip(k, k * 10.5) for k in range(n_features)})
    rows: dict[str, Any] = {"x": [1.0], "t": [1], "a" * 30: [1], "b" * 30: [1]}
    rows["t"] = pa.array([1], pa.timestamp("s"))
    for shown in (repr(plan), repr(plan.fit(rows))):
        lines = shown.splitlines()
        assert len(lines) == min(n_features + 1, 20)
        assert max(map(len, lines)) < 120
        if n_features > 19:
            more = f"  ... and {n_features - 18:,} more. explain() shows all of them"
            assert lines[-1] == more
