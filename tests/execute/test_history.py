"""History: earlier rows beside the data, and what a plan says where they lack."""

from __future__ import annotations

import datetime
import pickle
import random
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.errors import HistoryMissing, InvalidData, InvalidPlan, UnknownColumn
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.trust.verify.orders import latest_before, orders_of

pytestmark = [  # rows of few values, at few moments
    pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsRepeated"),
    pytest.mark.filterwarnings("ignore::fastfeat.errors.TiesInOrder"),
]
WEEK = ff.window(7, by="card", time="t")
CARD = ff.window(by="card", time="t")
X = col("x")
FEATURES = {
    "mean": X.mean(over=WEEK),
    "relative": X / X.max(over=CARD),
    "lag": X.lag(2, over=CARD),
    "n": ff.count(over=ff.window(rows=3, by="card", time="t")),
    "nested": X.lag(1, over=CARD).sum(over=WEEK),
    "scaled": X.sum(over=WEEK).standard_scale(),
    "late": col("y").mean(over=WEEK),
    "device": col("device").lag(1, over=CARD).ordinal_encode(),
}
PLAN = ff.Plan(FEATURES, label="y")


SCHEMA = pa.schema(
    [
        *(("t", pa.int64()), ("card", pa.string())),
        *(("x", pa.float64()), ("y", pa.int64()), ("device", pa.string())),
    ]
)


def events(n: int, seed: int = 1, begins: int = 0) -> pa.Table:
    rng = random.Random(seed)
    return pa.table(
        {
            "t": [begins + rng.randrange(30) for _ in range(n)],
            "card": [rng.choice(["a", "b", None, "c"]) for _ in range(n)],
            "x": [rng.choice([None, 0.1, 2.0, -3.5, 1e300]) for _ in range(n)],
            "y": [rng.choice([0, 1, None]) for _ in range(n)],
            "device": [rng.choice(["web", "app", None]) for _ in range(n)],
        },
        schema=SCHEMA,
    )


def by_time(table: pa.Table) -> pa.Table:
    return table.sort_by([("t", "ascending")])


@given(st.integers(2, 40), st.integers(0, 10**6), st.floats(0, 1))
def test_two_batches_give_what_one_does(n: int, seed: int, share: float) -> None:
    table = by_time(events(n, seed))
    fitted = PLAN.fit(events(50))
    cut = int(n * share)
    before, after = table.slice(0, cut), table.slice(cut)
    whole = fitted.transform(table, history="batch")
    parts = [
        fitted.transform(before, history="batch"),
        fitted.transform(after, history=before),
    ]
    assert whole.slice(0, cut).equals(parts[0])
    assert whole.slice(cut).to_pydict() == parts[1].to_pydict()


@given(st.integers(1, 40), st.integers(0, 10**6))
def test_the_order_of_entities_and_of_chunks_does_not_matter(n: int, seed: int) -> None:
    table, fitted = events(n, seed), PLAN.fit(events(50))
    rng = random.Random(seed)
    rows = sorted(range(n), key=lambda row: (rng.random(), row))
    stable = sorted(rows, key=lambda row: (table["t"][row].as_py(), row))  # ties keep their order
    whole = fitted.transform(table, history="batch")
    moved = fitted.transform(table.take(stable), history="batch")
    assert whole.take(stable).to_pydict() == moved.to_pydict()
    chunks = pa.concat_tables([table.slice(k, 3) for k in range(0, n, 3)])
    assert fitted.transform(chunks, history="batch").equals(whole)


def test_late_columns_come_from_history_and_need_not_be_in_the_data() -> None:
    fitted = PLAN.fit(events(50))
    history = {"t": [1, 2], "card": ["a", "a"], "x": [1.0, 1.0], "y": [1, 0], "device": ["w", "w"]}
    rows = {"t": [5], "card": ["a"], "x": [2.0], "device": ["w"]}
    found = fitted.transform(rows, history=history)
    assert found["late"].to_pylist() == [0.5]
    with pytest.raises(UnknownColumn, match="'y'"):
        fitted.transform(rows, history={k: v for k, v in history.items() if k != "y"})


def test_a_batch_without_labels_sees_those_of_the_history_alone() -> None:
    fitted = ff.Plan({"late": col("y").sum(over=WEEK)}, label="y").fit(events(50))
    history = {"t": [1], "card": ["a"], "y": [1]}
    rows = {"t": [2, 3], "card": ["a", "a"]}
    scored = fitted.transform(rows, history=history)
    assert scored["late"].to_pylist() == [1, 1]
    labelled = fitted.transform({**rows, "y": [1, 0]}, history=history)
    assert labelled["late"].to_pylist() == [1, 2]  # the second row sees the label of the first
    assert fitted.transform(rows, history="batch")["late"].to_pylist() == [0, 0]


def test_history_may_hold_the_same_values_in_other_types() -> None:
    fitted = PLAN.fit(events(50))
    history = pa.table(
        {
            "t": pa.array([1, 2], pa.int8()),
            "card": pa.array(["a", "a"]).dictionary_encode(),
            "x": pa.array([1.0, 1.0], pa.float32()),
            "y": pa.array([1.0, 0.0]),
            "device": pa.array(["w", "w"], pa.large_string()),
        }
    )
    rows = pa.table({"t": [5], "card": ["a"], "x": [2.0], "y": [1], "device": ["w"]})
    assert fitted.transform(rows, history=history)["late"].to_pylist() == [0.5]


def test_windows_below_what_is_learnt_see_the_history_in_fit() -> None:
    data = {"t": [10, 11], "card": ["a", "b"], "x": [1.0, 3.0], "z": [1.0, 2.0]}
    earlier = {"t": [8, 9], "card": ["a", "b"], "x": [5.0, 7.0], "z": [4.0, 6.0]}
    before = col("z").lag(1, over=CARD)
    plan = ff.Plan(
        {"of": X - before.mean(), "key": X - before.mean(by="card"), "lag": X.lag(1, over=CARD)}
    )
    fitted, features = plan.fit_transform(data, history=earlier)
    assert features.to_pydict() == {"of": [-4.0, -2.0], "key": [-3.0, -3.0], "lag": [5.0, 7.0]}
    alone = fitted.select(["of", "key"])
    assert alone.transform(data).to_pydict() == {"of": [-4.0, -2.0], "key": [-3.0, -3.0]}
    with pytest.raises(UnknownColumn, match="history=: the data lacks the column 'z'"):
        plan.fit(data, history={name: earlier[name] for name in ("t", "card", "x")})


def test_nothing_is_learnt_from_history() -> None:
    data = {"t": [10, 11], "card": ["a", "a"], "x": [1.0, 3.0]}
    earlier = {"t": [8, 9], "card": ["a", "a"], "x": [5.0, 7.0]}
    plan = ff.Plan({"less": X - X.mean(), "sum": X.sum(over=CARD), "of": X.sum(over=CARD).mean()})
    fitted, features = plan.fit_transform(data, history=earlier)
    assert features.to_pydict() == {"less": [-1.0, 1.0], "sum": [12.0, 13.0], "of": [12.5, 12.5]}
    assert artifact_bytes(plan.fit(data, history=earlier).record) == artifact_bytes(fitted.record)


def test_without_history_a_plan_warns_of_its_windows() -> None:
    fitted = PLAN.fit(events(50))
    with pytest.warns(HistoryMissing, match=r"before the data: 9 rows of ff\.window\(by='card'"):
        fitted.transform(events(9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.transform(events(9), history="batch")
        fitted.transform(events(9, begins=100), history=events(9))
        ff.Plan({"x": X}).fit(events(9)).transform(events(9))
    far = ff.Plan({"n": ff.count(over=WEEK)}).fit({"t": [0, 6, 7], "card": [*"aaa"]})
    with pytest.warns(HistoryMissing, match=r"begin before the data: 2 rows of"):
        far.transform({"t": [0, 6, 7], "card": [*"aaa"]})
    with pytest.warns(HistoryMissing, match=r"begin before the data: 1 row of"):
        pickle.loads(pickle.dumps(far)).transform({"t": [0, 7], "card": [*"aa"]})
    four = {str(n): ff.count(over=ff.window(n, by="card", time="t")) for n in (1, 2, 3, 4)}
    with pytest.warns(HistoryMissing, match=r"by='card', time='t'\) and 1 more window\. Pass"):
        ff.Plan(four).fit({"t": [0], "card": ["a"]}).transform({"t": [0], "card": ["a"]})


def test_history_later_than_the_data_names_the_entity() -> None:
    fitted = ff.Plan({"n": ff.count(over=WEEK)}).fit(events(50))
    later = {"t": [1, 9], "card": ["b", "a"]}
    with pytest.raises(InvalidData, match=r"history=, row 1: col\('t'\) = 9 .*col\('card'\) = 'a'"):
        fitted.transform({"t": [5], "card": ["a"]}, history=later)
    found = fitted.transform({"t": [5], "card": ["c"]}, history=later)
    assert found["n"].to_pylist() == [0]
    later["id"] = [1, 2]  # which tells the row of the same moment apart
    same = fitted.transform({"t": [9], "card": ["a"], "id": [3]}, history=later)
    assert same["n"].to_pylist() == [0]


def test_history_later_than_the_data_shows_its_moment_as_text() -> None:
    day = ff.window("1d", by="card", time="t")
    early, late = (datetime.datetime(2024, 5, n, tzinfo=datetime.UTC) for n in (1, 2))
    data = {"t": [early], "card": ["a"]}
    fitted = ff.Plan({"n": ff.count(over=day)}).fit(data)
    with pytest.raises(InvalidData, match=r"col\('t'\) = 2024-05-02 00:00:00\+00:00 is later"):
        fitted.transform(data, history={"t": [late], "card": ["a"]})


def test_one_row_has_no_past() -> None:
    told = r"feature .mean. reads earlier rows\. Keep them in a live state: live = fitted\.online\("
    with pytest.raises(InvalidPlan, match=told):
        PLAN.fit(events(50)).transform_row({"t": 1, "card": "a", "x": 1.0, "device": "w"})


def test_a_saved_plan_has_its_windows() -> None:
    plan = ff.Plan(FEATURES, label="y", label_delay=None)
    fitted = plan.fit(events(50))
    again = fitted_of(artifact_bytes(fitted.record))
    rows = events(20)
    assert again.transform(rows, history="batch").equals(fitted.transform(rows, history="batch"))
    delayed = ff.Plan({"n": ff.count(over=WEEK)}, label="y", label_delay=datetime.timedelta(30))
    assert ff.Plan.from_json(delayed.to_json()).label_delay == "30d"


def test_features_may_be_selected_and_verified() -> None:
    fitted = PLAN.fit(events(50))
    rows = events(20)
    part = fitted.select(["late", "lag"])
    whole = fitted.transform(rows, history="batch")
    assert part.transform(rows, history="batch").equals(whole.select(["late", "lag"]))
    assert fitted.verify(rows).ok


def test_verify_needs_no_late_columns_and_takes_both_zeros_as_one_key() -> None:
    fitted = PLAN.fit(events(50))
    rows, earlier = events(20).drop_columns("y"), events(30, 6, begins=-40)
    assert fitted.verify(rows, history=earlier).ok
    assert fitted.verify(rows).ok
    zeros = {"t": [1] * 4, "k": [0.0, -0.0, 0.0, -0.0], "x": [1.0, 2.0, 4.0, 8.0]}
    peers = ff.Plan({"sum": X.sum(over=ff.window(time="t", by="k", closed="right"))})
    assert peers.fit(zeros).verify(zeros).ok


def empty(table: Any) -> Any:
    return table.slice(0, 0)


def test_no_rows_in_no_rows_out() -> None:
    fitted = PLAN.fit(events(50))
    assert fitted.transform(empty(events(3)), history=events(5)).num_rows == 0
    rows = events(5)
    assert fitted.transform(rows, history=empty(rows)).equals(
        fitted.transform(rows, history="batch")
    )


def test_verify_takes_any_form_of_text_and_windows_over_everything() -> None:
    fitted = ff.Plan(FEATURES, label="y").fit(events(50))
    many = events(1500, 5)
    views = many.set_column(1, "card", many["card"].cast(pa.string_view()))
    coded = views.set_column(4, "device", many["device"].dictionary_encode())
    assert fitted.verify(coded, history=events(30, 6, begins=-40)).ok
    peers = ff.window(time="t", closed="right")  # the rows of one instant stand in their order
    both = ff.Plan({"all": X.sum(over=peers), "card": X.sum(over=CARD)})
    report = both.fit(events(50)).verify(many, n_rows=200)
    assert report.ok
    assert "skip" not in str(report)
    for entity in (None, col("card").is_null()):
        alone = ff.Plan({"sum": X.sum(over=ff.window(time="t", by=entity))})
        report = alone.fit(events(50)).verify(many, n_rows=200)
        assert report.ok
        assert "skip" not in str(report)


def test_verify_takes_both_zeros_as_one_key() -> None:
    rows = {"t": [0] * 6, "k": [0.0, -0.0] * 3, "x": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]}
    peers = ff.window(by="k", time="t", closed="right")
    for kind in (pa.float64(), pa.float32(), pa.float16()):
        data = pa.table(rows).set_column(1, "k", pa.array(rows["k"], pa.float64()).cast(kind))
        report = ff.Plan({"sum": X.sum(over=peers)}).fit(data).verify(data)
        assert report.ok, report


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_of_several_entities_whose_history_is_late_the_first_row_is_named(backend: str) -> None:
    fitted = ff.Plan({"n": ff.count(over=WEEK)}).fit(events(50))
    history = {"t": [1, 9, 9, 7], "card": ["a", "b", "c", "a"]}
    with pytest.raises(InvalidData, match=r"history=, row 1: .*'b'"):
        fitted.transform({"t": [5, 5], "card": ["a", "b"]}, history=history, backend=backend)


def test_verify_leaves_out_what_no_entity_of_its_sample_has_done() -> None:
    fitted = PLAN.fit(events(50))
    history = events(40, 2).set_column(1, "card", events(40, 2)["card"].dictionary_encode())
    rows = events(9, 3, begins=100)
    rows = rows.filter(pa.array([card == "a" for card in rows["card"].to_pylist()]))
    orders = orders_of(fitted.record, rows, history, None)
    kept = history.take(latest_before(orders, 40, np.arange(rows.num_rows)))
    assert set(kept["card"].to_pylist()) == {"a"}
    expected = fitted.transform(rows, history=history)
    assert fitted.transform(rows, history=kept).equals(expected)
    assert fitted.verify(rows, history=history).ok
