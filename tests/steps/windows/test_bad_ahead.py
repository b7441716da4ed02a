"""Windows ahead that are refused: in features, of functions that look back, altered in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import ArtifactError, InvalidPlan, Leakage, TypeMismatch
from fastfeat.operators.windows import over_window
from fastfeat.steps.windows.rows import OVER_FUNCTIONS

API: Any = ff
SOON = ff.ahead(10, time="t", by="k")
OF_TABLE = ff.ahead(10, by={"k": "who"}, time="t", table="logins", right_time="at")
WEEK = ff.window(7, time="t", by="k")
CHURNED = {"churned": ff.count(over=SOON) == 0}
TRAIN = {"t": [3 * n for n in range(20)], "k": ["a", "b"] * 10, "x": [0.0, 1.0] * 10}


@pytest.mark.parametrize(
    "features",
    [
        {"f": col("x").mean(over=SOON)},
        {"f": col("z") + col("x").mean(over=SOON).fill_null(0)},
        {"f": ff.count(over=SOON).mean()},
        {"f": col("x").mean(by=ff.count(over=SOON))},
        {"f": ff.count(over=SOON).ordinal_encode()},
        {"f": col("c").target_encode(col("x").mean(over=SOON))},
        {"f": ff.count(over=SOON).target_encode("churned", fold_by="k")},
        {"f": col("c").target_encode("churned", fold_by=ff.count(over=SOON))},
        {"f": col("x").mean(over=SOON).mean(over=WEEK)},
        {"f": col("x").mean(over=ff.window(time=ff.count(over=SOON)))},
        {"f": col("x").mean(over=ff.window(3, time="t", by=ff.count(over=SOON)))},
        {"f": col("n").sum(over=OF_TABLE)},
        {"f": ff.lookup("logins", by={col("x").last(over=SOON): "who"}).col("n")},
    ],
)
@pytest.mark.parametrize("label", [None, CHURNED])
def test_features_never_look_ahead(features: dict[str, ff.Expr], label: Any) -> None:
    with pytest.raises(Leakage, match=r"aggregates over ff\.ahead are for label= only"):
        ff.Plan(features, label=label)


@pytest.mark.parametrize("name", sorted(OVER_FUNCTIONS))
def test_functions_that_look_back_are_refused_with_what_to_write(name: str) -> None:
    if not OVER_FUNCTIONS[name].looks_back:
        assert over_window(name, col("x"), SOON).node.args[1] is SOON.node
        return
    told = rf"^{name}\(over=.*works only with a window that looks back.*over=\.\.\.\)"
    with pytest.raises(InvalidPlan, match=told):
        over_window(name, col("x"), SOON)


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: col("x").lag(1, over=SOON), InvalidPlan, "last(over=...)"),
        (lambda: col("x").diff(over=SOON), InvalidPlan, "col('x').last(over=...) - col('x')"),
        (lambda: col("x").pct_change(over=SOON), InvalidPlan, "/ col('x') - 1"),
        (lambda: col("x").rank(over=SOON), InvalidPlan, "Compare the value itself"),
        (lambda: col("x").slope(over=SOON), InvalidPlan, "col('x').last(over=...)"),
        (lambda: col("x").ewm_mean(over=SOON, alpha=0.5), InvalidPlan, "Take a mean"),
        (lambda: (col("x") > 0).streak(over=SOON), InvalidPlan, "condition.all(over=...)"),
        (lambda: ff.time_since_last(over=SOON), InvalidPlan, "For the time until its first row"),
        (lambda: ff.time_since(col("x") > 0, over=SOON), InvalidPlan, "For the time until"),
        (lambda: ff.session_id(3, over=SOON), InvalidPlan, "ff.count(over=...)"),
        (lambda: col("x").lag(1, over=OF_TABLE), InvalidPlan, "last(over=...)"),
        (lambda: ff.ahead(0, time="t"), InvalidPlan, "takes a length above zero"),
        (lambda: API.ahead(None, time="t"), InvalidPlan, "takes a length above zero"),
        (lambda: ff.ahead("-1d", time="t"), InvalidPlan, "negative. ff.ahead always looks ahead"),
        (lambda: ff.ahead("1d", gap="-1d", time="t"), InvalidPlan, "must not be negative"),
        (lambda: ff.ahead("1mo", time="t"), InvalidPlan, "'30d' or '365d'"),
        (lambda: ff.ahead("1d", gap=3, time="t"), InvalidPlan, "both as whole numbers"),
        (lambda: ff.ahead(2**62, gap=2**62, time="t"), InvalidPlan, "more than int64 can hold"),
        (lambda: ff.ahead("1d", time="t", end=3), TypeMismatch, "takes a date or time"),
        (lambda: ff.ahead("1d", time="t", end="soon"), InvalidPlan, "is not a date or time"),
        (lambda: ff.ahead("1d", time="t", end="2024-02-30"), InvalidPlan, "is not a date or time"),
        (lambda: ff.ahead(3, time="t", end="2024-02-03"), TypeMismatch, "takes a whole number"),
        (lambda: ff.ahead(3, time="t", end=2**63), TypeMismatch, "takes a whole number"),
        (lambda: ff.ahead(3, time="t", right_time="at"), InvalidPlan, "ahead(right_time='at')"),
        (lambda: ff.ahead(3, time="t", by={"a": "b"}), InvalidPlan, "ahead(by={'a': 'b'})"),
        (lambda: API.ahead(3, time="t", closed="left"), TypeMismatch, "no parameter 'closed'"),
        (lambda: API.ahead(3), TypeMismatch, "lacks time="),
        (lambda: API.ahead(3, time=7), TypeMismatch, "ahead(time=7)"),
        (lambda: ff.window("-1d", time="t"), InvalidPlan, "look ahead with ff.ahead('30d', ...)"),
        (lambda: col("x").lag(-6, over=WEEK), InvalidPlan, ".last(over=ff.ahead('30m', ...))"),
        (lambda: API.col("x").lead(1), AttributeError, ".last(over=fastfeat.ahead('30m', ...))"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(make: Callable[[], Any], kind: type, text: str) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (col("x").mean(over=SOON).mean(over=WEEK), "a label cannot nest these"),
        (col("x").mean(over=SOON).mean(over=SOON), "a label cannot nest these"),
        (col("x").mean(over=ff.ahead(3, time=ff.count(over=SOON))), "a label cannot nest these"),
        (ff.lookup("logins", by="k").col("n"), "Join the table to the data first"),
        (col("x").mean(over=SOON) - col("x").mean(), "a label cannot contain learnt values"),
    ],
)
def test_labels_that_mean_nothing_are_refused(label: ff.Expr, text: str) -> None:
    with pytest.raises(InvalidPlan, match=text):
        ff.Plan({"z": col("z")}, label={"y": label})


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (ff.ahead("1d", time="t", by="k"), "next= and gap= are durations.*such as next=28"),
        (ff.ahead(3, time="x", by="k"), "time= needs a timestamp"),
        (ff.ahead(3, time="k"), "time= needs a timestamp"),
    ],
)
def test_types_that_do_not_fit_are_said(ahead: Any, text: str) -> None:
    with pytest.raises(TypeMismatch, match=text):
        ff.Plan({"z": col("x")}, label={"y": ff.count(over=ahead)}).fit(TRAIN)


def test_a_label_that_is_text_is_told_so() -> None:
    plan = ff.Plan({"x": col("x")}, label={"y": col("k").last(over=SOON)})
    with pytest.raises(
        TypeMismatch, match=r"the label 'y' is utf8, col\('k'\)\.last\(.*Compare it"
    ):
        plan.fit(TRAIN)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("next", value) for value in (0, -1, 2**63, 1.5, True, None, "1d")),
        *(("gap", value) for value in (-1, 2**63 - 1, None, False)),
        *(("unit", value) for value in (None, "step", 3)),
        *(("end", value) for value in ("2024-01-01", True, 2.0, 2**63)),
        ("rows", 3),
    ],
)  # fmt: skip
def test_an_altered_window_is_refused(name: str, value: Any) -> None:
    document = json.loads(ff.Plan({"z": col("z")}, label=CHURNED).to_json())
    node = next(node for node in document["nodes"] if node.get("call") == "ahead")
    params = {
        **dict(map(tuple, node["params"])),
        name: {"float": value.hex()} if type(value) is float else value,
    }
    node["params"] = sorted(map(list, params.items()))
    with pytest.raises(ArtifactError):
        ff.Plan.from_json(json.dumps(document))


@pytest.mark.parametrize("function", ["lag", "slope", "time_since", "rank"])
def test_an_altered_function_is_refused(function: str) -> None:
    document = json.loads(ff.Plan({"z": col("z")}, label=CHURNED).to_json())
    node = next(node for node in document["nodes"] if node.get("call") == "over.count")
    node["call"] = f"over.{function}"
    node["params"] = [["n", 1]] if function == "lag" else []
    with pytest.raises(ArtifactError):
        ff.Plan.from_json(json.dumps(document))


def test_a_window_ahead_moved_into_a_feature_is_refused() -> None:
    document = json.loads(ff.Plan({"z": col("z")}, label=CHURNED).to_json())
    document["features"][0][1] = document["label"][0][1]
    with pytest.raises((ArtifactError, Leakage), match=r"ff\.ahead are for label= only"):
        ff.Plan.from_json(json.dumps(document))
