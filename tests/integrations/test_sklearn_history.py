"""Windows in pipelines: splits leave rows out, and a history of all rows has them."""

from __future__ import annotations

import copy
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    HistoryMissing,
    InvalidData,
    InvalidPlan,
    PurgeOff,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat.integrations.sklearn import Features, Held

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.EncodedInFold")

N_ROWS = 300
RNG = np.random.default_rng(2)
ALL: Any = pd.DataFrame(
    {
        "id": np.arange(N_ROWS),
        "t": pd.to_datetime(RNG.integers(0, 500, N_ROWS), unit="h"),
        "card": RNG.choice(list("abcde"), N_ROWS),
        "x": RNG.normal(size=N_ROWS),
        "is_late": RNG.random(N_ROWS) < 0.4,
    }
)
X: Any = ALL.drop(columns="is_late")
Y: Any = ALL["is_late"]
cloned: Any = clone  # of an estimator, not of a list of them
DAYS = ff.window("100h", by="card", time="t")
OF_WINDOWS = {
    "mean": col("x").mean(over=DAYS),
    "late": col("is_late").mean(over=DAYS),
    "n": ff.count(over=DAYS),
    "before": col("x").lag(1, over=ff.window(by="card", time="t")),
}
RATE = col("card").target_encode("is_late")
PLAN = ff.Plan({**OF_WINDOWS, "rate": RATE}, label="is_late", row_id="id")
NO_ID = ff.Plan({"mean": col("x").mean(over=DAYS)})
SHUFFLED = KFold(4, shuffle=True, random_state=0)


@cache
def whole() -> Any:
    """Return windows over all rows; computed by no worker that only collects this file."""
    fitted = ff.Plan(OF_WINDOWS, label="is_late").fit(ALL)
    return fitted.transform(ALL, history="batch", to="pandas")


def rows_of_whole(rows: Any) -> pd.DataFrame:
    """Return what windows give some rows when they see all."""
    return pd.DataFrame(whole()[[*OF_WINDOWS]].iloc[rows])


@pytest.mark.parametrize("with_labels", [False, True])
def test_windows_of_shuffled_folds_are_those_over_all_rows(with_labels: bool) -> None:
    rows = ALL if with_labels else X
    features = Features(PLAN, history=ALL, output="pandas")
    for train, test in SHUFFLED.split(rows):
        learnt_from = features.fit_transform(rows.iloc[train], Y.iloc[train])
        pd.testing.assert_frame_equal(learnt_from[[*OF_WINDOWS]], rows_of_whole(train))
        for part in (train, test, test[:1], test[::-1]):
            made = features.transform(rows.iloc[part])
            pd.testing.assert_frame_equal(made[[*OF_WINDOWS]], rows_of_whole(part))
        by_hand = ff.Plan({"rate": RATE}, label="is_late", row_id="id").fit_transform(
            ALL.iloc[train]
        )[1]
        assert learnt_from["rate"].tolist() == by_hand["rate"].to_pylist()


def test_scores_of_shuffled_folds_are_those_of_windows_over_all_rows() -> None:
    model = DecisionTreeClassifier(max_depth=3, random_state=0)
    features = Features(ff.Plan(OF_WINDOWS, label="is_late", row_id="id"), history=ALL)
    pipeline = make_pipeline(features, model)
    wanted = cross_val_score(model, whole()[[*OF_WINDOWS]].to_numpy(float), Y, cv=SHUFFLED)
    assert np.array_equal(cross_val_score(pipeline, X, Y, cv=SHUFFLED), wanted)
    assert np.array_equal(cross_val_score(pipeline, X, Y, cv=SHUFFLED, n_jobs=2), wanted)
    search = GridSearchCV(pipeline, {"decisiontreeclassifier__max_depth": [3]}, cv=SHUFFLED)
    assert search.fit(X, Y).best_score_ == np.mean(wanted)
    thinned = Features(NO_ID, history="batch").fit_transform(X.iloc[::2])[:, 0]
    assert not np.array_equal(thinned, whole()["mean"].to_numpy()[::2], equal_nan=True)


def test_new_rows_come_after_the_history() -> None:
    old, new = X.sort_values("t")[:200], X.sort_values("t")[200:]
    known = ALL.loc[old.index]
    features = Features(PLAN, history=known, output="pandas").fit(old, Y.loc[old.index])
    made = features.transform(new)
    by_hand = PLAN.fit(known).transform(new, history=known, to="pandas")
    pd.testing.assert_frame_equal(made, by_hand)


def test_a_split_that_would_thin_windows_is_refused() -> None:
    with pytest.raises(InvalidData, match=r"mean\(over=.* sees earlier rows, but a split of"):
        Features(PLAN).fit(X, Y)
    with pytest.raises(ValueError, match="Pass history='batch' only"):
        make_pipeline(Features(PLAN), DecisionTreeClassifier()).fit(X, Y)
    with pytest.raises(InvalidPlan, match=r"count twice.* Plan\(row_id='id'\)"):
        Features(NO_ID, history=ALL).fit(X)
    with pytest.raises(InvalidData, match="history= lacks 200 rows of X, but must have all rows"):
        Features(PLAN, history=ALL[:100]).fit(X, Y)
    with pytest.raises(UnknownColumn, match=r"^the data lacks the column 'id'"):
        Features(PLAN, history=ALL).fit(X.drop(columns="id"), Y)
    with pytest.raises(UnknownColumn, match=r"^history=: the data lacks the column 'id'"):
        Features(PLAN, history=ALL.set_index("id")).fit(X, Y)


def test_windows_of_what_is_learnt_are_refused_too() -> None:
    scaled = ff.Plan({"z": col("x") / col("x").lag(1, over=DAYS).std()}, row_id="id")
    with pytest.raises(InvalidData, match="sees earlier rows"):
        Features(scaled).fit(X)


def test_windows_of_tables_need_no_history() -> None:
    of_table = ff.window("100h", by="card", time="t", table="paid")
    paid = ALL[["card", "t", "x"]]
    plan = ff.Plan({"paid": ff.count(over=of_table)})
    made = Features(plan, tables={"paid": paid}).fit_transform(X.iloc[::3])
    wanted = plan.fit(X, tables={"paid": paid}).transform(X, tables={"paid": paid}, to="numpy")
    assert np.array_equal(made, wanted[::3])


def test_windows_over_a_label_need_it_in_the_data_or_the_history() -> None:
    made = Features(PLAN, history="batch", output="pandas").fit_transform(ALL, Y)
    pd.testing.assert_frame_equal(made[[*OF_WINDOWS]], rows_of_whole(slice(None)))
    with pytest.raises(
        UnknownColumn, match="windows see 'is_late' of earlier rows, but X lacks it"
    ):
        Features(PLAN, history="batch").fit(X, Y)


def test_windows_keep_the_labels_of_the_data_where_y_is_another() -> None:
    made = Features(PLAN, history="batch", output="pandas").fit_transform(ALL, ~Y)
    pd.testing.assert_frame_equal(made[[*OF_WINDOWS]], rows_of_whole(slice(None)))
    other = ALL.assign(is_late=~Y)
    by_hand = ff.Plan({"rate": RATE}, label="is_late", row_id="id").fit_transform(other)[1]
    assert made["rate"].tolist() == by_hand["rate"].to_pylist()


def test_a_history_that_is_passed_must_be_held() -> None:
    with pytest.raises(
        TypeMismatch, match=r"slices if it is as long as X\. Protect it: history=Held"
    ):
        Features(PLAN).fit(X, Y, history=ALL)
    held = Held(ALL)
    made = Features(PLAN).fit_transform(X[:50], Y[:50], history=held)
    assert np.array_equal(made[:, :4], whole()[[*OF_WINDOWS]].to_numpy(float)[:50], equal_nan=True)
    with pytest.raises(InvalidData, match="sees earlier rows"):
        Features(PLAN).fit(X, Y, history=held).transform(X)


def test_a_held_history_is_routed_whole() -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        asking = Features(PLAN).set_fit_request(history=True).set_transform_request(history=True)
        model = DecisionTreeClassifier(max_depth=3, random_state=0)
        routed = cross_val_score(
            make_pipeline(asking, model), X, Y, cv=SHUFFLED, params={"history": Held(ALL)}
        )
    own = cross_val_score(make_pipeline(Features(PLAN, history=ALL), model), X, Y, cv=SHUFFLED)
    assert np.array_equal(routed, own)


def test_a_path_is_a_history_and_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    ALL.to_parquet(path)
    features = Features(PLAN, history=str(path)).fit(X[::2], Y[::2])
    assert pickle.loads(pickle.dumps(features)).history == str(path)
    assert len(pickle.dumps(cloned(features))) < 5000
    wanted = Features(PLAN, history=ALL).fit(X[::2], Y[::2]).transform(X)
    assert np.array_equal(features.transform(X), wanted, equal_nan=True)


def test_copies_share_a_history() -> None:
    features = Features(PLAN, history=ALL)
    held = features.get_params()["history"]
    assert isinstance(held, Held)
    copies = cloned(features), copy.copy(features), copy.deepcopy(features)
    assert all(again.history is held for again in copies)
    assert cloned(make_pipeline(features))[0].history is held
    assert features.set_params(history=ALL[:10]).history.data.num_rows == 10
    assert features.set_params(history=held).history is held
    assert Held(held).data is held.data


def test_what_is_held_comes_out_of_pickle_as_it_was(tmp_path: Path) -> None:
    held = Held({"all": ALL, "path": "x.parquet", "columns": {"a": np.arange(3)}})
    again = pickle.loads(pickle.dumps(held))
    assert again.data["all"].equals(held.data["all"])
    assert again.data["path"] == "x.parquet"
    assert again.data["columns"]["a"].tolist() == [0, 1, 2]
    assert pickle.dumps(again) == pickle.dumps(held)
    assert joblib.hash(again) == joblib.hash(held)
    assert repr(held) == "Held(all: 300 rows x 5 columns, path: 'x.parquet', columns: a: ndarray)"


def test_a_frame_that_arrow_has_no_types_for_is_held_as_it_is() -> None:
    odd = ALL.assign(odd=[complex(1)] * N_ROWS)
    held = Held(odd)
    assert held.data is odd
    features = Features(PLAN, history=pickle.loads(pickle.dumps(held)))
    wanted = Features(PLAN, history=ALL).fit_transform(X, Y)
    assert np.array_equal(features.fit_transform(X, Y), wanted, equal_nan=True)


def test_a_reader_is_held_as_what_it_gives() -> None:
    table = pa.Table.from_pandas(ALL)
    features = Features(PLAN, history=table.to_reader())
    for _ in range(2):
        features.fit(X, Y)
    assert features.history.data.equals(table)


def test_workers_map_one_file_and_none_is_left() -> None:
    large = Held(pd.DataFrame({"x": np.arange(300_000.0)}))
    asked = (joblib.delayed(mapped)(large) for _ in range(4))
    found: Any = joblib.Parallel(n_jobs=2)(asked)
    assert [total for _, total in found] == [large.data["x"].to_numpy().sum()] * 4
    (file,) = {name for name, _ in found}
    assert "joblib_memmapping_folder" in file
    assert not Path(file).exists()


def mapped(held: Held) -> tuple[str, float]:
    """Return, in a worker, the file that a table is mapped from, and the sum of its column."""
    _, (packed,) = held.__reduce__()
    return str(getattr(packed.content, "filename", "")), held.data["x"].to_numpy().sum()


def test_training_rows_that_cross_fit_would_purge_are_counted() -> None:
    rows = ALL.sort_values("t", ignore_index=True).assign(is_late=lambda f: f["is_late"] * 1.0)
    rows.loc[::7, "is_late"] = np.nan  # in no fold
    window = ff.window("100h", by="card", time="t", offset="9h")
    late = {"late": col("is_late").mean(over=window)}
    plan = ff.Plan(late, label="is_late", label_delay="9h", row_id="id")
    known = rows[rows["is_late"].notna()].reset_index(drop=True)
    features = Features(plan, history=rows)
    with pytest.warns(ff.errors.RowsWithoutLabel):
        folds = list(plan.cross_fit(rows, TimeSeriesSplit(3)))
    assert all(fold.n_purged for fold in folds)
    for fold, (train, _) in zip(folds, TimeSeriesSplit(3).split(known), strict=True):
        told = rf"^{fold.n_purged} of {len(train)} training rows .*'t'.* '9h' after its row"
        with pytest.warns(PurgeOff, match=told):
            features.fit(known.iloc[train], known["is_late"].iloc[train])
    features.fit(known, known["is_late"])  # warnings are errors: rows without a label do not count
    early = known[known["t"] < known["t"].iloc[-1] - pd.Timedelta("10h")]
    Features(plan, history=pd.concat([early, known.tail(1)])).fit(early, early["is_late"])
    undelayed = ff.Plan(late, label="is_late", row_id="id")
    Features(undelayed, history=rows).fit(known[:50], known["is_late"][:50])


def test_rows_after_those_of_fit_do_not_hold_their_own_past() -> None:
    """`history="batch"` is believed, until rows come whose entities fit has seen before."""
    frame = pd.DataFrame({"k": [*"aabb"] * 5, "t": range(20), "x": np.arange(20.0)})
    over = ff.window(by="k", time="t")
    step = Features(ff.Plan({"m": col("x").mean(over=over)}), history="batch")
    step.fit(frame[:10])
    step.transform(frame)  # with the rows of fit
    step.transform(frame[:10])
    step.transform(frame[10:].assign(k="c"))  # of others
    with pytest.warns(HistoryMissing, match="rows of 2 entities of 'k' begin later than"):
        step.transform(frame[10:])
    step.transform(frame[10:])  # told once
    alone = Features(ff.Plan({"m": col("x").mean(over=ff.window(time="t"))}), history="batch")
    alone.fit_transform(frame[:10])
    with pytest.warns(HistoryMissing, match="the rows of X begin later than"):
        pickle.loads(pickle.dumps(alone)).transform(frame[10:])


def test_keys_of_another_type_than_in_fit_are_refused_by_the_plan() -> None:
    frame = pd.DataFrame({"k": [1, 2], "t": [1, 2], "x": [1.0, 2.0]})
    step = Features(
        ff.Plan({"m": col("x").mean(over=ff.window(by="k", time="t"))}), history="batch"
    )
    step.fit(frame)
    with pytest.raises(TypeMismatch, match="fit saw int64, got utf8"):
        step.transform(frame.assign(k=["a", "b"]))
