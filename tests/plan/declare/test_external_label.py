"""Labels given beside the data: encoders learn from them, windows from the data's own columns."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of, plan_of
from fastfeat.errors import ArtifactError, InvalidPlan, Leakage, UnknownColumn
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.plan.declare.external_label import reads_label, with_label_column, with_separate_label

pytestmark = pytest.mark.filterwarnings(
    "ignore::fastfeat.errors.EncodedInFold"  # what is learnt is compared on rows learnt from
)
N_ROWS = 60
RNG = np.random.default_rng(3)
ROWS = {
    "k": RNG.choice(list("abc"), N_ROWS).tolist(),
    "t": pa.array(np.arange(N_ROWS), pa.timestamp("s")),
    "delay": RNG.normal(10, 10, N_ROWS).round(),
}
GIVEN = (RNG.random(N_ROWS) < 0.4).astype(int)
BY_K = ff.window(by="k", time="t", offset="3s")
FEATURES = {
    "rate": col("k").target_encode("is_late", smooth=2.0),
    "past": col("delay").mean(over=BY_K),
    "scaled": col("k").target_encode("is_late", smooth=2.0).standard_scale(),
}
RATE = col("k").target_encode("y")
PLAN = ff.Plan(
    FEATURES, label={"is_late": col("delay") > 15}, outcomes={"delay": "2s"}, label_delay="1s"
)


def test_encoders_learn_from_the_given_label_and_windows_see_the_own() -> None:
    plan = plan_of(with_separate_label(PLAN.declaration))
    assert plan.declaration.label_column == "is_late"
    fitted, features = plan.fit_transform({**ROWS, "is_late": GIVEN}, history="batch")
    by_hand = ff.Plan(FEATURES, label="is_late", outcomes=["delay"])
    other, wanted = by_hand.fit_transform({**ROWS, "is_late": GIVEN}, history="batch")
    assert features.equals(wanted)
    own = PLAN.fit_transform(ROWS, history="batch")[1]
    assert features["past"].equals(own["past"])
    assert features["rate"] != own["rate"]
    later = {name: values for name, values in ROWS.items() if name != "delay"}
    history = {**ROWS, "t": pa.array(np.arange(N_ROWS) - N_ROWS, pa.timestamp("s"))}
    assert fitted.transform(later, history=history).equals(other.transform(later, history=history))


def test_the_label_is_as_late_as_it_was_declared() -> None:
    by_time = ff.Plan(
        {"rate": col("k").target_encode("is_late", time="t", folds=4)},
        label={"is_late": col("delay") > 15},
        outcomes={"delay": "20s"},
        label_delay="10s",
    )
    own = by_time.fit_transform(ROWS)[1]
    is_late = np.asarray(ROWS["delay"]) > 15
    given = plan_of(with_separate_label(by_time.declaration)).fit_transform(
        {**ROWS, "is_late": is_late}
    )[1]
    assert given.equals(own)
    at_once = ff.Plan(
        {"rate": col("k").target_encode("is_late", time="t", folds=4)}, label="is_late"
    )
    assert not at_once.fit_transform({**ROWS, "is_late": is_late})[1].equals(own)


def test_a_plan_whose_label_is_given_is_saved_and_loaded() -> None:
    data = {**ROWS, "is_late": GIVEN}
    fitted = plan_of(with_separate_label(PLAN.declaration)).fit(data, history="batch")
    for again in (fitted_of(artifact_bytes(fitted.record)), pickle.loads(pickle.dumps(fitted))):
        assert again.plan.declaration.label_column == "is_late"
        assert again.transform(data, history="batch").equals(
            fitted.transform(data, history="batch")
        )
        assert again.label(ROWS).to_pylist() == [delay > 15 for delay in ROWS["delay"]]
    alone = fitted.select("rate")
    assert alone.plan.declaration.label_column == "is_late"
    assert alone.transform(ROWS)["rate"].equals(fitted.transform(data, history="batch")["rate"])


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        (ff.Plan({"r": RATE}, label="y"), "y"),
        (ff.Plan({"r": RATE, "w": col("y").sum(over=BY_K)}, label="y"), "y as given"),
        (ff.Plan({"r": RATE}, label={"y": col("y") > 3}), "y as given"),
        (ff.Plan({"r": RATE}, label={"y": col("x") > 3}, keep=["y as given"]), "y"),
        (ff.Plan({"r": col("x")}, label="y"), "y"),
    ],
)  # fmt: skip
def test_the_column_of_a_given_label_has_a_name_that_is_free(plan: ff.Plan, name: str) -> None:
    given = with_separate_label(plan.declaration)
    assert given.label_column == name
    assert reads_label(plan.declaration) == (name in given.columns)
    is_same = plan_of(given) == plan
    assert is_same == (plan.label == name)  # then it says nothing more


def test_a_target_that_holds_the_label_takes_the_given_one() -> None:
    late = col("delay") > 15
    plan = ff.Plan(
        {"a": col("k").target_encode(late), "b": col("k").target_encode(~late, smooth=1.0)},
        label={"is_late": late},
    )
    given = with_separate_label(plan.declaration)
    assert given.columns == ["is_late", "k"]
    in_time = col("k").target_encode(~col("is_late"), smooth=1.0)
    other = ff.Plan({"a": col("k").target_encode("is_late"), "b": in_time}, label="is_late")
    data = {**ROWS, "is_late": GIVEN.astype(bool)}
    assert plan_of(given).fit_transform(data)[1].equals(other.fit_transform(data)[1])


def test_an_outcome_as_target_stays_the_data_own() -> None:
    plan = ff.Plan(
        {"usual": col("k").target_encode("delay"), "rate": col("k").target_encode("y")},
        label="y",
        outcomes=["delay"],
    )
    assert with_separate_label(plan.declaration).columns == ["delay", "k", "y"]


def test_labels_that_cannot_be_given_are_errors() -> None:
    with pytest.raises(InvalidPlan, match=r"a label was passed, but the plan has none\. Declare"):
        with_separate_label(ff.Plan({"x": col("x")}).declaration)
    ahead = ff.count(over=ff.ahead("1d", by="k", time="t"))
    with pytest.raises(InvalidPlan, match="'gone' looks ahead: it is computed from later rows"):
        with_separate_label(ff.Plan({"x": col("x")}, label={"gone": ahead == 0}).declaration)
    with pytest.raises(InvalidPlan, match=r"label_column='z': keep= already names this column"):
        with_label_column(ff.Plan({"x": col("x")}, label="y", keep=["z"]).declaration, "z")


@pytest.mark.parametrize(
    ("column", "error", "told"),
    [
        ("k", Leakage, "learns per key from a column that is known only after"),
        ("delay", Leakage, "reads 'delay'"),
        (3, ArtifactError, "label_column=3 is not the name"),
    ],
)
def test_an_altered_plan_whose_label_column_is_read_is_refused(
    column: Any, error: type[Exception], told: str
) -> None:
    features = {
        "rate": col("k").target_encode("y"),
        "k": col("k").ordinal_encode(),
        "d": col("delay"),
    }
    document = json.loads(ff.Plan(features, label={"y": col("z") > 1}).to_json())
    with pytest.raises(error, match=told):
        ff.Plan.from_json(json.dumps(document | {"label_column": column}))


def test_an_absent_label_is_no_odd_column_where_it_is_given() -> None:
    plan = ff.Plan({"x": col("x")}, label={"y": col("z") > 1})
    with pytest.warns(ff.errors.ColumnAbsent, match="'z'"):
        plan.fit({"x": [1.0]})
    plan_of(with_separate_label(plan.declaration)).fit({"x": [1.0]})  # warnings are errors


def test_late_columns_that_windows_alone_see_come_from_a_history_by_id() -> None:
    plan = ff.Plan(
        {"past": col("delay").mean(over=BY_K), "k": col("k").ordinal_encode()},
        outcomes=["delay"],
        row_id="id",
    )
    whole = {**ROWS, "id": list(range(N_ROWS))}
    few = np.arange(0, N_ROWS, 3)
    part = {"k": np.asarray(ROWS["k"])[few], "t": ROWS["t"].take(pa.array(few)), "id": few}
    _, features = plan.fit_transform(part, history=whole)
    wanted = plan.fit(whole).transform(whole, history="batch")["past"].take(pa.array(few))
    assert features["past"].equals(wanted)
    with pytest.raises(UnknownColumn, match="lacks the column 'delay'"):
        plan.fit(part)
    with pytest.raises(UnknownColumn, match=r"history=: .* lacks the column 'delay'"):
        plan.fit(part, history=part)
