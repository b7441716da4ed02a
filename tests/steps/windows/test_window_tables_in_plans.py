"""Windows over the rows of a table as parts of plans: nested, verified, saved, told."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan, Leakage, TypeMismatch, UnknownColumn
from fastfeat_tests.steps.windows.payments_table import ASKING, PAYMENTS, payments

BACKENDS = ("cpu", "reference")


def test_a_window_stands_in_any_expression_and_under_training_aggregates_and_windows() -> None:
    week, card = payments(15), ff.window(time="ts", by="card")
    paid = col("amount").sum(over=week)
    features = {
        "scaled": paid.standard_scale(),
        "before": paid.max(over=card),
        "coded": col("shop").last(over=week).ordinal_encode(),
        "mixed": ff.count(over=week) - ff.count(over=card),
    }
    data = pa.table({"ts": [20, 31, 40], "card": ["a", "a", "a"]})
    tables = {"payments": PAYMENTS}
    fitted, found = ff.Plan(features).fit_transform(data, tables=tables)
    assert found["before"].to_pylist() == [None, 1.0, 7.0]
    assert found["mixed"].to_pylist() == [1, 2, -1]
    report = fitted.verify(data, tables=tables, history="batch", backends=BACKENDS)
    assert report.ok, report
    assert fitted.plan.history_needed() == {"card": "everything"}


def fitted_plan() -> ff.FittedPlan:
    """Return a plan of which every function is over a window of a table."""
    window = payments(15, closed="right", tie="seq")
    features = {
        "n": ff.count(over=window),
        "mean": col("amount").mean(over=window),
        "min": col("amount").min(over=window),
        "shop": col("shop").mode(over=window).ordinal_encode(),
        "first": col("shop").first(over=window) == "y",
        "since": ff.time_since_last(over=window),
        "log": (col("amount") + 1).log().sum(over=window),
    }
    return ff.Plan(features).fit(ASKING, tables={"payments": PAYMENTS})


def test_rows_alone_in_parts_and_in_a_batch_see_the_same() -> None:
    fitted, tables = fitted_plan(), {"payments": PAYMENTS}
    report = fitted.verify(ASKING, tables=tables, backends=BACKENDS)
    assert report.ok, report
    assert "batch = one row at a time (6 rows)" in str(report)
    whole = fitted.transform(ASKING, tables=tables)
    parts = [fitted.transform(ASKING.slice(k, 2), tables=tables) for k in (0, 2, 4)]
    assert pa.concat_tables(parts).equals(whole)
    order = [6, 2, 3, 0, 5, 1, 4]  # rows of one instant and tie stay as they were
    moved = fitted.transform(ASKING, tables={"payments": PAYMENTS.take(order).to_pandas()})
    assert moved.equals(whole)
    with pytest.raises(UnknownColumn, match="lacks the column 'card'"):
        fitted.transform_row({"ts": 3}, tables=tables)
    row = fitted.transform_row({"ts": 31, "card": "a"}, tables={"payments": PAYMENTS.to_pydict()})
    assert row.tolist()[:2] == [3.0, 3.5]


def test_plans_that_saw_other_types_of_a_table_do_not_share_what_is_made_of_it() -> None:
    at = datetime.datetime(1970, 1, 1, 7)
    tables = {"payments": pa.table({"ts": [1], "card": ["a"], "when": [at]})}
    plan = ff.Plan({"hour": col("when").last(over=payments()).dt.hour()})
    for unit in ("us", "s", "ms"):
        table = {"ts": [1], "card": ["a"], "when": pa.array([at], pa.timestamp(unit))}
        fitted = plan.fit({"ts": [2], "card": ["a"]}, tables={"payments": table})
        assert fitted.transform_row({"ts": 2, "card": "a"}, tables=tables).tolist() == [7.0]
        found = fitted.transform({"ts": [2], "card": ["a"]}, tables=tables)
        assert found["hour"].to_pylist() == [7]


def test_plans_and_artifacts_are_read_again(tmp_path: Path) -> None:
    fitted, tables = fitted_plan(), {"payments": PAYMENTS}
    expected = fitted.transform(ASKING, tables=tables)
    fitted.save(tmp_path / "plan")
    assert ff.load(tmp_path / "plan").transform(ASKING, tables=tables).equals(expected)
    chosen = fitted.select(["mean", "n"])
    assert chosen.transform(ASKING, tables=tables).equals(expected.select(["mean", "n"]))
    text = fitted.plan.to_json()
    assert ff.Plan.from_json(text).to_json() == text
    assert ff.Plan.from_json(text).fit(ASKING, tables=tables).transform(
        ASKING, tables=tables
    ).equals(expected)  # fmt: skip
    assert list(ff.Plan([col("amount").mean(over=payments())]).declaration.nodes) == ["amount"]


def test_history_adds_nothing_and_is_not_missed() -> None:
    fitted, tables = fitted_plan(), {"payments": PAYMENTS}
    assert fitted.plan.history_needed() == {}
    alone = fitted.transform(ASKING, tables=tables)  # a warning would be an error
    earlier = {"ts": [1, 2], "card": ["a", "a"], "amount": [5.0, 5.0]}
    assert fitted.transform(ASKING, tables=tables, history=earlier).equals(alone)


def test_columns_of_the_table_that_are_known_are_told() -> None:
    plan = ff.Plan(
        {"paid": col("amount").sum(over=payments("7d", closed="right"))},
        label="amount",
        known_tables={"payments": ["amount"]},
    )
    told = plan.explain("leakage")
    assert "lookup tables: payments['amount'], payments['ts'], payments['card']" in told
    assert "rows of tables: col('amount').sum(over=ff.window('7d', by='card', time='ts', " in told
    assert "own row: ts, card" in told
    with pytest.raises(Leakage, match="by= or tie= of the window reads a column known only"):
        ff.Plan({"n": ff.count(over=payments())}, outcomes=["card"])


def test_a_window_over_a_table_is_written_in_full() -> None:
    for options, kind, told in (
        ({"table": 3}, TypeMismatch, "takes the name of a table"),
        ({"right_time": 3}, TypeMismatch, "takes the name of a column"),
        ({"time": col("ts") + 1}, InvalidPlan, "right_time="),
        ({"table": None, "right_time": "at"}, InvalidPlan, "so table= is needed too"),
        ({"table": None, "by": {"card": "card"}}, InvalidPlan, "so table= is needed too"),
        ({"by": col("card")}, TypeMismatch, "takes the name of a column, a list of names, or"),
        ({"by": {}}, InvalidPlan, "names no key"),
        ({"tie": 1}, TypeMismatch, "takes the name of a column of the table"),
        ({"tie": col("seq") + 1}, TypeMismatch, "takes the name of a column of the table"),
    ):
        with pytest.raises(kind, match=told):
            payments(**options)
