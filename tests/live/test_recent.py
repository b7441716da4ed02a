"""Recent rows: what was answered is counted as the rows of a table are, and leaves the window."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.live.drift_gauges import DriftGauges, drift_text, drifts_of
from fastfeat.live.recent import MOST_WAITING, Recent
from fastfeat.trust.quality.profile import Profile
from fastfeat.trust.quality.profiling import profile_face

HOUR = ff.window("1h", by="kind", time="at")
PLAN = ff.Plan(
    {
        "size": col("size").standard_scale(),
        "big": col("size") > 1,
        "kind": col("kind").ordinal_encode(),
        "is": col("kind").one_hot_encode(),
        "past": col("size").mean(over=HOUR),
        "late": col("late").mean(over=HOUR),
    },
    outcomes=["late"],
    row_id="id",
)
ROW = ff.Plan({"twice": col("x") * 2, "flag": col("k") == "a"})


def rows(n: int, seed: int = 0, shift: float = 0.0, first: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    size = pa.array(rng.normal(shift, 1, n), mask=rng.random(n) < 0.05)
    at = np.datetime64("2026-01-01", "us") + np.arange(first, first + n) * np.timedelta64(60, "s")
    return pa.table(
        {
            "id": np.arange(first, first + n),
            "at": at,
            "size": size,
            "kind": rng.choice(["a", "b"], n),
            "late": rng.normal(size=n),
        }
    )


TRAIN = rows(3_000)
LATER = rows(300, 1, 1.0, first=3_000).drop_columns(["late"])


@pytest.fixture(scope="module")
def fitted() -> ff.FittedPlan:
    return PLAN.fit(TRAIN, history="batch", profile=True)


def without_late(profile: Profile) -> Profile:
    inputs = {name: one for name, one in profile.inputs.items() if name != "late"}
    return Profile(inputs, profile.features, profile.n_rows, profile.no_features)


def test_rows_by_one_or_many_are_counted_as_those_of_a_table(fitted: ff.FittedPlan) -> None:
    wanted = without_late(ff.quality.profile(fitted, LATER, history=TRAIN))
    given = LATER.to_pylist()
    for of_rows in (True, False):
        live = fitted.online(TRAIN)
        live.watch("1h")
        if of_rows:
            for row in given[:150]:
                live.process(row)
            live.process(given[150:])
        else:
            live.process(LATER.slice(0, 100), to="numpy")
            live.process(LATER.slice(100, 199).to_pandas(), to="pandas")
            live.process({name: LATER[name][-1].as_py() for name in LATER.column_names})
        assert live.profile() == wanted
        drift = live.drift()
        assert {"size", "past", "big"} <= set(drift.drifted)
        assert drift.drifted_inputs == ["size"]
        assert drift.n_now == 300


def test_rows_that_are_asked_for_are_counted_and_those_that_are_put_are_not(
    fitted: ff.FittedPlan,
) -> None:
    live = fitted.online(TRAIN)
    live.watch("1h")
    live.features(LATER.slice(0, 10))
    live.features(LATER.slice(10, 1).drop_columns(["id"]).to_pylist()[0])
    live.update(LATER.slice(0, 5))
    assert live.profile().n_rows == 11
    with pytest.raises(ff.errors.FastfeatError):
        live.process({"size": 1.0})
    assert live.profile().n_rows == 11


def test_rows_leave_the_window_a_twelfth_of_it_at_a_time() -> None:
    fitted = ROW.fit({"x": [1.0, 2.0, 3.0], "k": ["a", "b", "a"]}, profile=True)
    layout, now = profile_face(fitted.record), [0.0]
    assert layout is not None
    recent = Recent(fitted.record, layout, 12.0, lambda: now[0])
    for second in range(30):
        now[0] = float(second)
        recent.note({"x": float(second), "k": "a"}, fitted.transform_row({"x": second, "k": "a"}))
        found = recent.profile().inputs["x"]
        assert found.n_rows == min(second + 1, 12)
        assert found.least == max(second - 11, 0)
    now[0] = 100.0
    assert recent.profile().n_rows == 0


def test_many_rows_are_counted_before_anybody_asks() -> None:
    fitted = ROW.fit({"x": [1.0, 2.0, 3.0], "k": ["a", "b", "a"]}, profile=True)
    live = fitted.online()
    live.watch("1h")
    n, most = MOST_WAITING + 10, 0
    recent: Any = live.recent[""]
    for k in range(n):
        live.features({"x": k / n, "k": None})
        most = max(most, len(recent._rows))
    assert most <= MOST_WAITING
    assert live.profile().inputs["k"].n_missing == n


def test_threads_lose_no_row() -> None:
    fitted = ROW.fit({"x": [1.0, 2.0, 3.0], "k": ["a", "b", "a"]}, profile=True)
    live = fitted.online()
    live.watch("1h")

    def ask() -> None:
        for k in range(300):
            live.features({"x": float(k), "k": "a"})

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    live.profile()
    for thread in threads:
        thread.join()
    assert live.profile().n_rows == 1_200
    assert live.profile().features["twice"].mean == 299.0


def test_several_plans_are_compared_each_with_its_own(fitted: ff.FittedPlan) -> None:
    other = ff.Plan({"half": col("size") / 2}, row_id="id").fit(TRAIN, profile=True)
    live = ff.online({"a": fitted, "b": other}, TRAIN)
    live.watch("10m")
    live.process(LATER)
    drifts = live.drift()
    assert set(drifts) == {"a", "b"}
    assert drifts["b"].drifted == ["half"]
    profiles = live.profile()
    same = live.drift(reference={"b": profiles["b"]})
    assert same["b"].ok
    assert not same["a"].ok


def test_states_of_several_partitions_are_merged(fitted: ff.FittedPlan) -> None:
    lives = [fitted.online(TRAIN), fitted.online(TRAIN)]
    for live, first in zip(lives, (0, 150), strict=True):
        live.watch("1h")
        live.process(LATER.slice(first, 150))
    (drift,) = drifts_of(lives).values()
    assert drift.n_now == 300
    text = drift_text({"": drift}, "fastfeat_stream")
    assert "fastfeat_stream_drift_rows 300\n" in text
    assert 'fastfeat_stream_drifted{kind="feature",column="size"} 1\n' in text
    assert 'fastfeat_stream_drifted{kind="input",column="kind"} 0\n' in text
    assert 'fastfeat_stream_drift_psi{kind="input",column="size"} 0.' in text
    assert drifts_of([]) == {}


def test_gauges_are_made_anew_after_a_while(fitted: ff.FittedPlan) -> None:
    live = fitted.online(TRAIN)
    live.watch("1h")
    live.process(LATER.slice(0, 10))
    gauges = DriftGauges(3600.0)
    first = gauges.text([live])
    live.process(LATER.slice(10))
    assert gauges.text([live]) == first
    assert "fastfeat_drift_rows 10\n" in first
    assert "fastfeat_drift_rows 300" in DriftGauges(1.0).text([live])


def test_what_cannot_be_watched_says_why(fitted: ff.FittedPlan) -> None:
    live = fitted.online(TRAIN)
    with pytest.raises(InvalidPlan, match=r"does not count.*live.watch\('1h'\)"):
        live.drift()
    with pytest.raises(InvalidPlan, match="takes a duration of a second or more"):
        live.watch("5ms")
    with pytest.raises(TypeMismatch, match="watch"):
        live.watch(1.5)  # type: ignore[arg-type]
    bare = ROW.fit({"x": [1.0], "k": ["a"]}, profile=False).online()
    with pytest.raises(InvalidPlan, match="has no profile"):
        bare.watch()
