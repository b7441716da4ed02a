"""The test for leaks: nothing is found in plans that build, and what the rules would refuse is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch
from fastfeat.integrations.null_world import null_world

HOUR = 3600


def events(n_rows: int = 3000, seed: int = 0) -> pa.Table:
    """Return events of 20 entities whose label comes more often at times, and of some entities."""
    drawn = np.random.default_rng(seed)
    time, entity = np.arange(n_rows) * 60, drawn.integers(0, 20, n_rows)
    chance = 0.3 + 0.2 * np.sin(time / HOUR / 4) + 0.2 * (entity < 5)
    return pa.table(
        {
            "t": time,
            "e": entity,
            "k": drawn.integers(0, 200, n_rows),
            "x": drawn.normal(size=n_rows),
            "y": (drawn.random(n_rows) < chance).astype(np.int64),
            "after": drawn.normal(size=n_rows),
        }
    )


def past(**options: Any):
    return ff.window(8 * HOUR, by="e", time="t", **options)


SOUND = {
    "x": col("x"),
    "k": col("k").ordinal_encode(),
    "of_k": col("k").target_encode("y", folds=5),
    "of_e": col("e").target_encode("y", time="t", folds=4),
    "seen": col("y").mean(over=past()),
    "largest": col("after").max(over=past()),
}


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans build that leak."""
    monkeypatch.setattr("fastfeat.plan.declare.leakage.check_leakage", lambda *_: None)


def test_plan_that_builds_has_no_leak() -> None:
    plan = ff.Plan(SOUND, label="y", outcomes=["after"])
    report = ff.leak_test(plan, events(), n_permutations=4)
    assert report.ok, report
    assert report.measure == "AUC"
    assert report.permuted == ("y", "after")
    sees = {score.name for score in report.features if score.sees_late}
    assert sees == {"of_k", "of_e", "seen", "largest"}
    assert report.n_rows == 3000


def test_earlier_labels_of_a_block_are_no_leak() -> None:
    """A window as long as a block: in one world a later row has seen the label of an earlier one.

    The AUC of the same permutation was .41, twenty errors from none.
    """
    rng = np.random.default_rng(3)
    times = np.sort(rng.integers(0, 2_000, 600)) * 3_600_000_000
    table = pa.table(
        {"t": pa.array(times, pa.timestamp("us")), "e": ["a"] * 600, "y": rng.integers(0, 2, 600)}
    )
    seen = col("y").mean(over=ff.window("7d", by="e", time="t"))
    plan = ff.Plan({"seen": seen}, label="y")
    trees = HistGradientBoostingClassifier(max_iter=3)
    report = ff.leak_test(plan, table, trees, cv=2, n_permutations=16, history="batch")
    assert report.ok, report
    (score,) = report.features
    assert abs(score.score - 0.5) < 5 * score.error


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("own row in the window", col("y").mean(over=past(closed="right"))),
        ("mean of all rows by key", col("y").mean(by="k")),
        ("an outcome", col("after").last(over=past(closed="right"))),
    ],
)
def test_leak_is_found(name: str, feature: ff.Expr) -> None:
    table = events()
    shown = pa.array(table["y"].to_numpy() + 0.1 * table["after"].to_numpy())
    table = table.set_column(table.column_names.index("after"), "after", shown)
    plan = ff.Plan({"x": col("x"), name: feature}, label="y", outcomes=["after"])
    report = ff.leak_test(plan, table, n_permutations=3)
    assert report.leaks == [name, "model"], report
    assert f"leaks: '{name}', 'model'" in repr(report)


def test_encoding_that_leaves_one_out_is_found_beside_the_code() -> None:
    encoded = {"code": col("k"), "of_k": col("k").target_encode("y", folds=1000, smooth=0)}
    plan = ff.Plan(encoded, label="y")
    report = ff.leak_test(plan, events(1000), n_permutations=2)
    assert report.leaks == ["model"], report


def test_model_of_the_user_is_trained_and_left_as_it_is() -> None:
    model = LogisticRegression()
    plan = ff.Plan({"x": col("x"), "k": col("k").target_encode("y")}, label="y")
    assert ff.leak_test(plan, events(), model, n_permutations=2).ok
    assert not hasattr(model, "coef_")


@pytest.mark.usefixtures("unchecked")
def test_label_of_numbers_is_told_by_the_correlation_of_ranks() -> None:
    plan = ff.Plan(
        {"x": col("x"), "own": col("after").last(over=past(closed="right"))}, label="after"
    )
    report = ff.leak_test(plan, events(), Ridge(), n_permutations=3)
    assert report.measure == "rank correlation"
    assert report.leaks == ["own", "model"]
    assert report.features[1].score > 0.99


def test_label_ahead_is_permuted_by_what_it_looks_for() -> None:
    ahead = ff.ahead(3 * HOUR, by="e", time="t")
    own = col("x").mean(over=ff.window(3 * HOUR, by="e", time="t"))
    plan = ff.Plan({"x": col("x"), "own": own}, label={"later": col("x").mean(over=ahead)})
    report = ff.leak_test(plan, events(), n_permutations=3)
    assert report.permuted == ("x",)
    assert report.n_rows < 3000
    assert report.ok, report


def test_rows_are_permuted_within_their_time_and_entity() -> None:
    table, plan = events(9000), ff.Plan(SOUND, label="y", outcomes=["after"])
    world = null_world(plan.declaration, table)
    permuted = world.table(table, np.random.default_rng(1))
    assert permuted.drop_columns(["y", "after"]).equals(table.drop_columns(["y", "after"]))
    assert not permuted["after"].equals(table["after"])
    there, drawn = (
        Counter(zip(world.strata, of["y"].to_pylist(), of["after"].to_pylist(), strict=True))
        for of in (table, permuted)
    )
    assert drawn.keys() <= there.keys()  # the late values of one row of the stratum, together
    n_rows = np.bincount(world.strata)
    assert 10 < len(n_rows) <= 200
    assert n_rows.max() < 900


def test_copy_of_the_label_that_is_not_declared_is_asked_about() -> None:
    table = events()
    copied = table.append_column("copied", table["y"])
    plan = ff.Plan({"x": col("x"), "c": -col("copied"), "k": col("k")}, label="y")
    report = ff.leak_test(plan, copied, n_permutations=2)
    assert report.ok
    assert report.almost_label == ("c",)
    assert "known at the moment of prediction? 'c'" in repr(report)


def test_report_says_what_it_cannot_find() -> None:
    table = events()
    plan = ff.Plan(
        {"x": col("x"), "w": ff.lookup("w", by="k").col("w"), "k": col("k").target_encode("y")},
        label="y",
    )
    tables = {"w": pa.table({"k": [1], "w": [2.0]})}
    report = ff.leak_test(plan, table, tables=tables, n_permutations=2)
    said = "\n".join(report.cannot_find)
    assert "'x', 'k'" in said
    assert "tables" in said
    assert said.splitlines()[0] in repr(report)
    assert "a leak deviates from it by more than 0.03, and by more than 4 stand" in repr(report)


def test_folds_are_given_as_to_cross_fit() -> None:
    table = events(600)
    table = table.append_column("part", pa.array(np.arange(600) // 200))
    features = {"k": col("k").target_encode("y"), "x": col("x")}
    plan = ff.Plan(features, label="y", label_delay={"t": HOUR})  # read for purging alone
    column = ff.leak_test(plan, table, cv="part", n_permutations=2)
    parts = np.arange(600).reshape(3, 200)
    pairs = ((np.delete(parts, k, axis=0).ravel(), part) for k, part in enumerate(parts))
    once = ff.leak_test(plan, table, cv=pairs, n_permutations=2)
    assert column.model == once.model


def test_what_cannot_be_tested_is_an_error() -> None:
    table = events(100)
    with pytest.raises(InvalidPlan, match="the plan names no label, so leakage"):
        ff.leak_test(ff.Plan({"x": col("x")}), table)
    untyped: Any = ff.Plan({"x": col("x")}, label="y").fit(table)
    with pytest.raises(TypeMismatch, match=r"pass fitted\.plan"):
        ff.leak_test(untyped, table)
    with pytest.raises(InvalidPlan, match="at least 2 for a standard error, got 1"):
        ff.leak_test(ff.Plan({"x": col("x")}, label="y"), table, n_permutations=1)
    same = table.set_column(table.column_names.index("y"), "y", pa.array([1] * 100))
    with pytest.raises(InvalidData, match="the same label, 1"):
        ff.leak_test(ff.Plan({"x": col("x")}, label="y"), same)
