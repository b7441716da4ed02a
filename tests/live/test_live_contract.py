"""Live plans with a contract: rows that break a rule never stand in the state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.serve.json_rows import row_reader
from fastfeat.apps.serve.refusals import refusal_of
from fastfeat.apps.stream.row_intake import OffsetSpan, kind_of, process_rows

DAY = ff.window(24, time="t", by="card")
PLAN = ff.Plan({"spent": col("x").sum(over=DAY), "big": col("x") > 10})
CONTRACT = ff.Contract(
    {
        "positive": col("x") > 0,
        "known": ff.Rule(col("kind").is_in(["a", "b"]), on_violation="quarantine"),
        "usual": ff.Rule(col("x") < 100, on_violation="warn"),
        "in order": col("x") >= col("x").lag(1, over=DAY).fill_null(0.0),
    }
)
TRAIN = {"t": [0, 1], "card": ["a", "b"], "x": [1.0, 2.0], "kind": ["a", "b"]}


@pytest.fixture(scope="module")
def fitted() -> ff.FittedPlan:
    return PLAN.fit(TRAIN, contract=CONTRACT)


def row(**other: Any) -> dict[str, Any]:
    """Return a row that holds the contract, with some values in the place of its own."""
    return {"t": 2, "card": "a", "x": 3.0, "kind": "a", **other}


def test_rows_that_break_a_rule_leave_the_state_as_it_was(fitted: ff.FittedPlan) -> None:
    live = fitted.online()
    assert live.process(row()).tolist() == [0.0, 0.0]
    before: Any = live.history()
    for call in (live.process, live.update, live.features):
        with pytest.raises(ff.errors.ContractBroken, match="'positive': the row breaks"):
            call(row(t=3, x=-1.0))
        with pytest.raises(ff.errors.ContractBroken, match="'known'"):
            call(row(t=3, kind="c"))
        with pytest.raises(ff.errors.ContractBroken, match=r"1 of 2 rows breaks .* row 1 \(x=0"):
            call([row(t=3), row(t=4, x=0.0)])
        with pytest.raises(ff.errors.UnknownColumn, match="kind"):
            call({"t": 3, "card": "a", "x": 1.0})
    assert before.equals(live.history())
    with pytest.warns(ff.errors.RowsBreakRule, match="'usual'"):
        assert live.process(row(t=3, x=500.0)).tolist() == [3.0, 1.0]
    assert live.process(row(t=4, x=1.0)).tolist() == [503.0, 0.0]  # the past is not judged


def test_rows_in_every_form_are_judged(fitted: ff.FittedPlan) -> None:
    good = [row(t=5, x=1.0), row(t=6, x=2.0)]
    bad = [*good, row(t=7, x=-2.0)]
    for form in (list, pd.DataFrame, pa.Table.from_pylist):
        live = fitted.online()
        assert live.process(form(good))["spent"].to_pylist() == [0.0, 1.0]
        with pytest.raises(ff.errors.ContractBroken):
            live.process(form(bad))
    live = fitted.online()
    live.process(pa.Table.from_pylist(good).to_reader())
    with pytest.raises(ff.errors.ContractBroken):
        live.process(pa.Table.from_pylist(bad).to_reader())
    at = {"card": "a", "x": -1.0, "kind": "a"}
    with pytest.raises(ff.errors.ContractBroken):
        live.features(at, at=9)
    assert live.features({**at, "x": 4.0}, at=9).tolist() == [3.0, 0.0]
    assert live.features([{**at, "x": 4.0}], at=9, to="numpy").tolist() == [[3.0, 0.0]]


def test_a_state_in_a_file_is_judged_after_it_was_opened_again(
    fitted: ff.FittedPlan, tmp_path: Path
) -> None:
    with fitted.online(path=tmp_path / "cards.state") as live:
        live.process(row())
    with fitted.online(path=tmp_path / "cards.state") as live:
        with pytest.raises(ff.errors.ContractBroken):
            live.process(row(t=3, x=-1.0))
        assert live.process(row(t=3)).tolist() == [3.0, 0.0]


def test_a_plan_without_windows_is_judged_too() -> None:
    plan = ff.Plan({"big": col("x") > 10})
    live = plan.fit({"x": [1.0]}, contract=ff.Contract({"positive": col("x") > 0})).online()
    assert live.process({"x": 11.0}).tolist() == [1.0]
    with pytest.raises(ff.errors.ContractBroken):
        live.process({"x": -11.0})
    with pytest.raises(ff.errors.ContractBroken):
        live.features([{"x": 1.0}, {"x": -11.0}])


def test_tables_of_rules_are_those_of_the_state() -> None:
    size = ff.lookup("shops", by="shop").col("size")
    shops = pa.table({"shop": [1, 2], "size": [10.0, 20.0]})
    contract = ff.Contract({"fits": col("x") < size})
    train = {"shop": [1], "x": [1.0]}
    plan = ff.Plan({"size": size, "x": col("x")})
    live = plan.fit(train, tables={"shops": shops}, contract=contract).online(
        tables={"shops": shops}
    )
    assert live.process({"shop": 2, "x": 11.0}).tolist() == [20.0, 11.0]
    with pytest.raises(ff.errors.ContractBroken):
        live.process({"shop": 1, "x": 11.0})
    bare = ff.Plan({"x": col("x")}).fit(train, tables={"shops": shops}, contract=contract)
    with pytest.raises(ff.errors.InvalidPlan, match="No feature reads this column"):
        bare.online()


def test_a_stream_sends_what_breaks_a_rule_away(fitted: ff.FittedPlan) -> None:
    live = fitted.online()
    rows = [row(t=k, x=float(k % 7) - 1, kind="abc"[k % 3]) for k in range(40)]
    table = pa.Table.from_pylist(rows)
    features, taken, refused = process_rows(
        live, OffsetSpan("events:0", table, list(range(40)), 0, 40)
    )
    broken = [k for k in range(40) if k % 7 < 2 or k % 3 == 2]
    assert [each.row for each in refused] == broken
    assert {kind_of(each.error) for each in refused} == {"contract"}
    assert taken == [k for k in range(40) if k not in broken]
    alone = fitted.online().process(table.take(pa.array(taken)))
    assert features.equals(alone)
    assert live.offsets == {"events:0": 40}


@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsBreakRule")
def test_rows_that_break_rules_are_counted_once_however_often_they_are_tried(
    fitted: ff.FittedPlan,
) -> None:
    live = fitted.online(late="error")
    assert live.violations == {"positive": 0, "known": 0, "usual": 0}
    xs = [500.0 if k % 5 == 0 else -1.0 if k % 7 == 0 else 1.0 for k in range(40)]
    rows = [row(t=-99 if k == 22 else k, x=x, kind="abc"[k % 3]) for k, x in enumerate(xs)]
    table = pa.Table.from_pylist(rows)
    _, taken, refused = process_rows(live, OffsetSpan("events:0", table, list(range(40)), 0, 40))
    assert {kind_of(each.error) for each in refused} == {"contract", "late"}
    assert live.violations["usual"] == sum(xs[k] >= 100 for k in taken)
    for each in refused:
        if isinstance(each.error, ff.errors.ContractBroken):
            live.count_refused(each.error)
    assert live.violations == {
        "positive": sum(x <= 0 for x in xs),
        "known": sum(k % 3 == 2 for k in range(40)),
        "usual": sum(x >= 100 for x in xs),
    }
    before = live.violations
    live.features([row(t=90, x=500.0), row(t=91, x=501.0)])
    live.update(row(t=92, x=500.0))
    live.process(row(t=93, x=500.0))
    assert live.violations == {**before, "usual": before["usual"] + 4}
    with pytest.raises(ff.errors.ContractBroken) as error:
        live.process([row(t=94, x=-1.0), row(t=95, x=-2.0), row(t=95, x=500.0)])
    assert error.value.broken == {"positive": 2, "usual": 1}


@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsBreakRule")
def test_rules_of_several_plans_are_counted_by_plan(fitted: ff.FittedPlan) -> None:
    usual = ff.Contract({"usual": ff.Rule(col("x") < 1000, on_violation="warn")})
    other = ff.Plan({"small": col("x") < 1}).fit(TRAIN, contract=usual)
    live = ff.online({"a": fitted, "b": other})
    live.process(row(x=500.0))
    live.process([row(t=3, x=5000.0)])
    assert (live.violations["a.usual"], live.violations["b.usual"]) == (2, 1)
    with pytest.raises(ff.errors.ContractBroken) as error:
        live.process(row(t=4, x=-1.0))
    live.count_refused(error.value)
    assert live.violations["a.positive"] == 1
    assert ff.Plan({"y": col("x")}).fit(TRAIN).online().violations == {}


def test_a_server_reads_the_columns_of_rules_and_refuses_what_breaks_one(
    fitted: ff.FittedPlan,
) -> None:
    from fastfeat.apps.serve.call_scheduler import call
    from fastfeat.apps.serve.served_plan import served_plan
    from fastfeat.apps.serve.warming import warm

    warm(fitted, {})
    served = served_plan(fitted.online(), fitted, 10)
    assert set(served.reader.columns) == {"t", "card", "x", "kind"}
    assert isinstance(served.reader, type(row_reader({}, (), (), 1)))
    rows = served.reader.table([row(), row(t=3, x=-1.0)])
    with pytest.raises(ff.errors.ContractBroken) as error:
        call(served, "process", rows)
    told = refusal_of(error.value, "process").error
    assert (told["kind"], told["row"], told["column"]) == ("ContractBroken", 1, "x")
    assert served.plain_row is not None
    with pytest.raises(ff.errors.ContractBroken):
        served.live.process(served.plain_row.read(row(x=-1.0)))
    assert np.isfinite(served.live.process(served.plain_row.read(row()))).all()


def test_verify_and_compile_take_rows_that_break_rules(fitted: ff.FittedPlan) -> None:
    data = {**TRAIN, "x": [1.0, -1.0], "kind": ["z", "z"]}
    assert fitted.verify(data, history="batch").ok
    assert fitted.compile().notes == ()
