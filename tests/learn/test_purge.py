"""Purging: what folds keep away from test rows, against the definition by rows and by blocks."""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, TimeSeriesSplit
from threadpoolctl import threadpool_limits

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    FoldsSplitEntities,
    InvalidData,
    InvalidPlan,
    PurgeOff,
    RowsWithoutLabel,
    TypeMismatch,
)

X = {"x": col("x")}
DAYS = np.timedelta64(1, "D")
Split = tuple[list[int], list[int]]


def left(plan: ff.Plan, data: Any, cv: Any, **options: Any) -> list[list[int]]:
    """Return the rows that each fold still learns from."""
    return [fold.train_rows.tolist() for fold in plan.cross_fit(data, cv, **options)]


def timed(times: Any, **columns: Any) -> dict[str, Any]:
    n = len(times)
    return {"t": np.asarray(times), "x": np.arange(float(n)), "y": np.arange(n) % 2, **columns}


def kept_by_rows(times: list[int], split: Split, delay: int | None, embargo: int) -> list[int]:
    """The rule: [t, t + delay] meets [s, s + delay] of no test row, nor lies in what follows it."""
    train, test = split

    def is_near(t: int) -> bool:
        for s in (times[row] for row in test):
            if delay is not None and not (t > s + delay or t + delay < s):
                return True
            if s + (delay or 0) < t <= s + (delay or 0) + embargo:
                return True
        return False

    return [row for row in train if not is_near(times[row])]


def kept_by_blocks(times: list[int], split: Split, delay: int, embargo: int) -> list[int]:
    """The same by the blocks of time that test rows fill with no training row between them."""
    train, test = split
    of_train = sorted({times[row] for row in train})
    blocks: list[list[int]] = []
    for s in sorted(times[row] for row in test):
        if blocks and not any(blocks[-1][1] <= t <= s for t in of_train):
            blocks[-1][1] = s
        else:
            blocks.append([s, s])
    return [
        row
        for row in train
        if not any(a <= times[row] + delay and times[row] <= b + delay + embargo for a, b in blocks)
    ]


@st.composite
def divided(draw: st.DrawFn) -> tuple[list[int], Split]:
    n = draw(st.integers(2, 14))
    times = draw(st.lists(st.integers(-20, 20), min_size=n, max_size=n))
    halves = draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    train = [k for k in range(n) if halves[k] == "a"]
    test = [k for k in range(n) if halves[k] == "b"]
    return times, (draw(st.permutations(train)), test)


@given(divided(), st.integers(0, 9), st.integers(0, 6))
def test_rows_are_purged_by_the_definition(
    rows: tuple[list[int], Split], delay: int, embargo: int
) -> None:
    times, (train, test) = rows
    known = delay or None
    expected = kept_by_rows(times, (train, test), known, embargo)
    if known is not None:
        assert expected == kept_by_blocks(times, (train, test), known, embargo)
    if not train or not test:
        return
    options: dict[str, Any] = {"purge": {"t": known}} if known else {}
    options |= {"embargo": {"t": embargo}} if embargo else {}
    plan, data = ff.Plan(X, label="y"), timed(times)
    if not expected:
        with pytest.raises(InvalidData, match=f"loses all of its {len(train)} training row"):
            left(plan, data, [(train, test)], **options)
        return
    (fold,) = plan.cross_fit(data, [(train, test)], **options)
    assert fold.train_rows.tolist() == expected
    assert fold.n_purged == len(train) - len(expected)
    assert fold.test_rows.tolist() == test


MOMENTS = np.array(["2024-01-01"], "datetime64[ns]") + np.arange(40) * DAYS
AHEAD = ff.ahead("3d", by="k", time="t")
CLOCKS: dict[str, tuple[Callable[[Any], Any], int | str, int | str]] = {
    "steps": (lambda days: days, 3, 2),
    "ns": (lambda days: MOMENTS[days], "3d", "2d"),
    "seconds": (lambda days: MOMENTS[days].astype("datetime64[s]"), "72h", "48h"),
    "date": (lambda days: pa.array(MOMENTS[days].astype("datetime64[D]")), "3d", "2d"),
    "zone": (
        lambda days: pa.array(MOMENTS[days], pa.timestamp("ms", "America/St_Johns")),
        "3d",
        "2d",
    ),
}


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("cv", [KFold(4), TimeSeriesSplit(4), GroupKFold(2)], ids=repr)
def test_delays_purge_by_clocks_of_every_type(clock: str, cv: Any) -> None:
    of_days, delay, embargo = CLOCKS[clock]
    days = np.sort(np.random.default_rng(3).integers(0, 40, 60))
    data = timed(days, k=days // 20) | {"t": of_days(days)}
    plan = ff.Plan({**X, "n": ff.count(over=ff.window(time="t"))}, label="y", label_delay=delay)
    groups = {"groups": "k"} if isinstance(cv, GroupKFold) else {}
    theirs = cv.split(days, None, days // 20 if groups else None)
    expected = [
        kept_by_rows(days.tolist(), (train.tolist(), test.tolist()), 3, 2) for train, test in theirs
    ]
    assert left(plan, data, cv, embargo=embargo, **groups) == expected
    named = left(ff.Plan(X, label="y"), data, cv, purge={"t": delay}, embargo=embargo, **groups)
    assert named == expected


def test_a_label_ahead_purges_as_long_as_it_sees() -> None:
    days = np.arange(40)
    label = {"up": col("x").last(over=ff.ahead("3d", time="t", gap="1d")) > 20}
    plan, data = ff.Plan(X, label=label), timed(MOMENTS)
    with pytest.warns(RowsWithoutLabel, match="4 of 40") as caught:
        folds = list(plan.cross_fit(data, 4))
    assert len(caught) == 1
    assert [fold.n_purged for fold in folds] == [4, 8, 8, 4]
    for fold in folds:
        near = np.abs(days[fold.train_rows, None] - days[fold.test_rows]).min(axis=1)
        assert near.min() == 5
        assert fold.train_rows.max(initial=0) < 36 > fold.test_rows.max()
        fitted, train = plan.fit_transform(data, rows=fold.train_rows)
        assert train.equals(fold.train)
        assert fitted.transform(data, rows=fold.test_rows).equals(fold.test)


def test_outcomes_that_a_label_sees_ahead_are_waited_for() -> None:
    label = {"up": col("out").last(over=ff.ahead(3, time="t")).fill_null(0)}
    plan = ff.Plan(X, label=label, outcomes={"out": 2})
    data = timed(np.arange(30), out=np.arange(30) % 3)
    with pytest.warns(RowsWithoutLabel):
        (fold,) = plan.cross_fit(data, [(range(10), range(10, 20))])
    assert fold.train_rows.tolist() == [0, 1, 2, 3, 4]


def test_several_delays_purge_each_by_its_own_clock() -> None:
    days = np.arange(20)
    data = timed(MOMENTS[days]) | {"step": days * 10}
    both = ff.Plan(X, label="y", label_delay={"t": "2d", "step": 40})
    split = [(range(10), range(10, 20))]
    assert left(both, data, split) == [[0, 1, 2, 3, 4, 5]]
    assert left(ff.Plan(X, label="y", label_delay={"t": "2d"}), data, split) == [[*range(8)]]
    longer = ff.Plan(X, label="y", label_delay={"t": "2d"})
    assert left(longer, data, split, purge="3d") == [[*range(7)]]
    assert left(longer, data, split, purge=datetime.timedelta(days=1)) == [[*range(8)]]
    assert left(longer, data, split, purge={"step": 50}) == [[*range(5)]]


def test_a_rounded_clock_is_read_as_the_column_that_it_is_made_of() -> None:
    hours = MOMENTS[:1] + np.arange(96) * np.timedelta64(1, "h")
    window = ff.window("2d", time=col("t").dt.truncate("1d"), offset="1d")
    plan = ff.Plan({"n": ff.count(over=window)}, label="y", label_delay="5h")
    assert left(plan, timed(hours), [(range(40), range(40, 50))]) == [[*range(35)]]
    text = timed(hours) | {"t": [str(hour)[:16] for hour in hours]}
    window = ff.window("2d", time=col("t").str.to_datetime("%Y-%m-%dT%H:%M"))
    plan = ff.Plan({"n": ff.count(over=window)}, label="y", label_delay="5h")
    assert left(plan, text, [(range(40), range(40, 50))]) == [[*range(35)]]
    days = ff.Plan({"n": ff.count(over=ff.window(time=col("t").dt.date()))}, label="y")
    assert left(days, timed(hours), [(range(40), range(40, 50))], purge="5h") == [[*range(35)]]


def test_without_a_delay_nothing_is_purged() -> None:
    split = [(range(10), range(10, 20))]
    for delay in (None, 0):
        plan = ff.Plan({"n": ff.count(over=ff.window(time="t"))}, label="y", label_delay=delay)
        assert left(plan, timed(np.arange(20)), split) == [[*range(10)]]
        assert left(plan, timed(np.arange(20)), split, purge=0) == [[*range(10)]]


def test_an_embargo_holds_after_test_rows_alone() -> None:
    plan = ff.Plan({"n": ff.count(over=ff.window(time="t"))}, label="y")
    data = timed(np.array([0, 1, 2, 2, 3, 4, 5, 6, 7]))
    assert left(plan, data, [([0, 1, 3, 5, 6, 7, 8], [2, 4])], embargo=2) == [[0, 1, 3, 7, 8]]


@pytest.mark.parametrize("off", [0, "0d", datetime.timedelta(), {"t": 0}])
def test_purging_is_turned_off_with_a_warning(off: Any) -> None:
    plan = ff.Plan({"n": ff.count(over=ff.window(time="t"))}, label="y", label_delay=3)
    with pytest.warns(PurgeOff, match=re.escape("(label_delay=), but training rows are kept")):
        kept = left(plan, timed(np.arange(20)), 2, purge=off)
    assert [len(rows) for rows in kept] == [10, 10]
    assert [len(rows) for rows in left(plan, timed(np.arange(20)), 2)] == [7, 7]


def test_a_fold_that_loses_all_rows_says_how_many_and_why() -> None:
    label = {"last": col("x").last(over=ff.ahead("30d", by="k", time="t", end="2024-06-01")) > 3}
    data = timed(np.repeat(MOMENTS, 2), k=[0, 1] * 40)
    told = (
        "cross_fit: fold 1 of 3 loses all of its 53 training rows: by col('t') a label is known "
        "'30d' after its row (ff.ahead), and no row is that far from all test rows. Let each fold "
        "test a block of time"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsWithoutLabel)
        plan = ff.Plan(X, label=label)
        folds = KFold(3, shuffle=True, random_state=0)
        n = len(next(folds.split(np.zeros(78)))[0])
        with pytest.raises(InvalidData, match=re.escape(told.replace("53", str(n)))):
            plan.cross_fit(data, folds)
        with pytest.raises(InvalidData, match="and an embargo of '2d'"):
            plan.cross_fit(data, folds, embargo="2d")


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"purge": "30"}, InvalidPlan, "cross_fit(purge='30'): is not a duration"),
        ({"purge": "-3d"}, InvalidPlan, "must not be negative"),
        ({"embargo": "1mo"}, InvalidPlan, "cross_fit(embargo='1mo')"),
        ({"purge": 1.5}, TypeMismatch, "cross_fit(purge=1.5): takes a text such as '7d'"),
        ({"purge": True}, TypeMismatch, "cross_fit(purge=True)"),
        ({"purge": {}}, InvalidPlan, "the mapping is empty"),
        (
            {"purge": "3d"},
            InvalidPlan,
            "is a duration, which needs a timestamp or a date, but col('t') is i",
        ),
        ({"purge": {"t": "3d"}}, InvalidPlan, "purge='3d' is a duration, which needs"),
        ({"embargo": {"day": 3}}, InvalidPlan, "embargo=3 is a whole number, which needs w"),
        ({"purge": {"tt": 3}}, ff.errors.UnknownColumn, "'tt'"),
        ({"purge": {"text": 3}}, InvalidPlan, "whole numbers, but col('text') is utf8"),
    ],
)
def test_delays_that_are_none_are_told_at_the_call(options: Any, kind: Any, told: str) -> None:
    plan = ff.Plan({"n": ff.count(over=ff.window(time="t"))}, label="y")
    data = timed(np.arange(20), day=MOMENTS[:20], text=["a"] * 20)
    with pytest.raises(kind, match=re.escape(told)):
        plan.cross_fit(data, 2, **options)


def test_a_delay_without_a_clock_asks_for_one() -> None:
    data = timed(MOMENTS[:20])
    told = "no window of the plan has a time to count it by. Name the column: "
    with pytest.raises(
        InvalidPlan, match=re.escape(f"{told}purge={{'ts': '3d'}}, or turn purging")
    ):
        ff.Plan(X, label="y", label_delay="3d").cross_fit(data, 2)
    with pytest.raises(InvalidPlan, match=re.escape(f"{told}embargo={{'ts': '3d'}}")):
        ff.Plan(X, label="y").cross_fit(data, 2, embargo="3d")
    plan = ff.Plan(X, label="y", label_delay="3d")
    assert [len(rows) for rows in left(plan, data, 2, purge={"t": "1d"})] == [7, 7]


def test_rows_without_a_time_are_told() -> None:
    data = timed(np.arange(10)) | {"t": pa.array([0, 1, None, 3, 4, 5, 6, 7, 8, 9])}
    plan = ff.Plan(X, label="y")
    with pytest.raises(InvalidData, match=r"col\('t'\) is missing in 1 row of a fold, first row 2"):
        plan.cross_fit(data, 2, purge={"t": 1})
    split = [([0, 1], [5, 6])]
    assert left(plan, data, split, purge={"t": 1}) == [[0, 1]]
    times = [-(1 << 63), -(1 << 63) + 1, (1 << 63) - 1, (1 << 63) - 2]
    assert left(plan, timed(times), [([1, 3, 0], [2])], purge={"t": 1}) == [[1, 0]]
    assert left(plan, timed(times), [([1, 3, 0], [2])], purge={"t": (1 << 62)}) == [[1, 0]]


LATE = ff.window(10, by="k", time="t")
SEEN = ff.Plan({"late": col("y").mean(over=LATE), **X}, label="y")


def entities(n: int = 60) -> dict[str, Any]:
    return timed(np.arange(n) // 2, k=np.arange(n) % 2)


def test_folds_that_split_an_entity_are_told_what_is_seen() -> None:
    told = (
        "folds split the time of an entity (col('k')): in fold 1 of 3, 20 of 40 training rows come "
        "after test rows of their entity, and their windows have seen late values of these test "
        "rows ('late')"
    )
    with pytest.warns(FoldsSplitEntities, match=re.escape(told)) as caught:
        list(SEEN.cross_fit(entities(), 3))
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("cv", "options"),
    [
        (TimeSeriesSplit(3), {}),
        (2, {"groups": "k"}),
        (3, {"embargo": 10}),
        ([(range(60, 120), range(40, 60))], {"purge": 10}),
        ([(range(20), range(20, 40))], {}),
    ],
)
def test_folds_are_not_told_of_what_nothing_sees(cv: Any, options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(SEEN.cross_fit(entities(120), cv, **options))


@pytest.mark.parametrize(
    ("feature", "is_told"),
    [
        (col("y").lag(1, over=LATE), True),
        (col("x").mean(over=LATE), False),
        ((col("x") + col("y").lag(1, over=LATE)).max(over=LATE), True),
        (col("y").mean(over=ff.window(3, by="k", time="t", offset=20)), True),
        (col("y").mean(over=ff.window(1, by="k", time="t", offset=29)), False),
        (col("y").mean(over=ff.window(by="k", time="t")) > 0.5, True),
        (ff.col("k").target_encode("y", time="t"), False),
    ],
)
def test_what_windows_read_of_test_rows_decides(feature: ff.Expr, is_told: bool) -> None:
    plan, folds = ff.Plan({"f": feature}, label="y"), [([0, 58, 59], range(10, 20))]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FoldsSplitEntities)
        plan.cross_fit(entities(), [(range(20, 60), range(20))] if is_told else folds)
    assert (FoldsSplitEntities in {w.category for w in caught}) is is_told


def noise(n_cards: int, n_days: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    day = np.tile(np.arange(n_days), n_cards)
    return {
        "day": day,
        "card": np.repeat(np.arange(n_cards), n_days),
        "x": rng.normal(size=n_cards * n_days),
        "hidden": rng.random(n_cards * n_days),
    }


def auc_of(plan: ff.Plan, data: Any, cv: Any, **options: Any) -> float:
    scores: list[float] = []
    for fold in plan.cross_fit(data, cv, to="numpy", **options):
        model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
        with threadpool_limits(1):  # more wait for each other beside other tests
            model.fit(fold.train, np.asarray(fold.train_label))
            told = model.predict_proba(fold.test)[:, 1]
        scores.append(float(roc_auc_score(np.asarray(fold.test_label), told)))
    return float(np.mean(scores))


@pytest.mark.filterwarnings(
    "ignore::fastfeat.errors.RowsWithoutLabel", "ignore::fastfeat.errors.PurgeOff"
)
def test_labels_of_noise_that_look_ahead_are_not_guessed_once_purged() -> None:
    """The label is whether the sum of noise in the next 20 days is high: nothing foretells it."""
    ahead = ff.ahead(20, by="card", time="day")
    plan = ff.Plan(
        {
            "day": col("day"),
            "card": col("card"),
            "x": col("x"),
            "past": col("x").mean(over=ff.window(20, by="card", time="day")),
        },
        label={"high": col("hidden").sum(over=ahead) > 10.0},
    )
    data = noise(12, 400, 7)
    by_day = np.argsort(data["day"], kind="stable")
    data = {name: values[by_day] for name, values in data.items()}
    shuffled = auc_of(plan, data, KFold(5, shuffle=True, random_state=0), purge=0)
    blocks, purged = auc_of(plan, data, 5, purge=0), auc_of(plan, data, 5)
    assert shuffled > 0.85, shuffled
    assert blocks > purged, (blocks, purged)
    assert abs(purged - 0.5) < 0.06, purged


@pytest.mark.filterwarnings("ignore::fastfeat.errors.FoldsSplitEntities")
def test_windows_over_labels_of_noise_do_not_tell_them_to_shuffled_folds() -> None:
    """Training rows have seen the labels of earlier test rows: that does not lead back to them."""
    rng = np.random.default_rng(5)
    data = noise(20, 200, 5) | {"y": rng.random(4000) < 0.5}
    past = ff.window(by="card", time="day")
    plan = ff.Plan(
        {
            "day": col("day"),
            "card": col("card"),
            "mean": col("y").mean(over=past),
            "last": col("y").lag(1, over=past),
            "week": col("y").sum(over=ff.window(7, by="card", time="day")),
        },
        label="y",
    )
    auc = auc_of(plan, data, KFold(5, shuffle=True, random_state=0))
    assert abs(auc - 0.5) < 5 * 0.577 / np.sqrt(4000), auc
