"""Rounds that profile the rows behind those that learn: the profile is the same for any split."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.learning import Learning, State
from fastfeat.errors import InvalidData, InvalidPlan
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.trust.quality.profile_state import ProfileSample

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")

N_ROWS = 20_000
WEEK = ff.window(20, by="card", time="t")
PLAN = ff.Plan(
    {
        "x": col("x").standard_scale(),
        "encoded": col("shop").target_encode("y", folds=3),
        "code": col("shop").ordinal_encode(),
        "hour": col("day").dt.hour(),
        "length": col("list").list.mean(),
    },
    label="y",
    keep=["t"],
)
WITH_WINDOWS = ff.Plan({"mean": col("x").mean(over=WEEK), "z": col("x").standard_scale()})


def drawn(n_rows: int = N_ROWS) -> pa.Table:
    rng = np.random.default_rng(5)
    x = np.where(rng.random(n_rows) < 0.1, 0.0, rng.normal(size=n_rows))
    lists = [[float(k), 1.0] for k in rng.integers(0, 3, n_rows)]
    return pa.table(
        {
            "card": rng.integers(0, 40, n_rows),
            "t": np.sort(rng.integers(0, 1_000, n_rows)),
            "day": pa.array(rng.integers(0, 900, n_rows), pa.timestamp("s", "UTC")),
            "x": pa.array(x, mask=rng.random(n_rows) < 0.05),
            "shop": [None if k == 9 else f"s{k}" for k in rng.integers(0, 10, n_rows)],
            "list": lists,
            "y": rng.integers(0, 2, n_rows),
        }
    )


ROWS = drawn()
SPLITS = {
    "whole": [np.arange(N_ROWS)],
    "runs": np.split(np.arange(N_ROWS), [7, 7, 9_000]),
    "strewn": [np.arange(k, N_ROWS, 3) for k in (2, 0, 1)],
}


def learnt(
    plan: ff.Plan,
    parts: list[Any],
    numbered: bool,
    *,
    table: pa.Table = ROWS,
    profile: Any = True,
    **options: Any,
) -> ff.FittedPlan:
    """Return a plan that is fitted on parts, through bytes all the way."""
    learning = plan.learning(table.schema, profile=profile, **options)
    while learning.round is not None:
        learning = Learning.from_bytes(learning.to_bytes())
        states: list[State] = []
        for part in parts:
            rows = table.select(learning.columns).take(pa.array(part))
            state = learning.partial(rows, part if numbered else None)
            states.append(learning.state_of_bytes(state.to_bytes()))
        whole = states[-1]
        for state in states[:-1]:
            whole = State.from_bytes(state.merge(whole).to_bytes())
        learning = learning.next(whole)
    return learning.finish()


@pytest.mark.parametrize("split", SPLITS)
def test_of_rows_with_numbers_the_artifact_is_that_of_fit(split: str) -> None:
    found, expected = learnt(PLAN, SPLITS[split], True), PLAN.fit(ROWS, profile=True)
    profiles = [ff.quality.profile(one) for one in (found, expected)]
    assert None not in profiles
    assert profiles[0] == profiles[1]
    assert artifact_bytes(found.record) == artifact_bytes(expected.record)
    assert found.drift(ROWS).ok


def test_of_rows_without_numbers_it_is_the_same_for_any_split() -> None:
    plan = ff.Plan({k: v for k, v in PLAN.features.items() if k != "encoded"})
    first, *others = (ff.quality.profile(learnt(plan, parts, False)) for parts in SPLITS.values())
    expected = ff.quality.profile(plan.fit(ROWS, profile=True))
    assert first is not None
    assert expected is not None
    assert others == [first, first]
    for name, own in expected.features.items():
        found = first.features[name]
        assert (found.sum, found.squares, found.n_missing) == (own.sum, own.squares, own.n_missing)
        assert found.counts.max() <= own.counts.max() * 1.2  # bins of about as many rows
    few = ff.Plan({"code": col("shop").ordinal_encode()})
    found = ff.quality.profile(learnt(few, SPLITS["strewn"], False))
    assert found is not None
    values = ROWS.column("shop").value_counts().to_pylist()
    of_all = {one["values"]: one["counts"] for one in values if one["values"] is not None}
    shop = found.inputs["shop"]  # of few contents all are known
    assert dict(zip(shop.categories, shop.counts.tolist(), strict=True)) == of_all
    assert shop.counts.tolist() == sorted(of_all.values(), reverse=True)


def test_windows_are_profiled_of_whole_entities() -> None:
    shares = ROWS.column("card").to_numpy() % 3
    parts = [np.flatnonzero(shares == k) for k in range(3)]
    found = learnt(WITH_WINDOWS, parts, True, whole_entities=True)
    assert ff.quality.profile(found) == ff.quality.profile(
        WITH_WINDOWS.fit(ROWS, history="batch", profile=True)
    )
    unnumbered, other = (
        ff.quality.profile(learnt(WITH_WINDOWS, p, False, whole_entities=True))
        for p in (parts, parts[::-1])
    )
    assert unnumbered is not None
    assert unnumbered == other
    assert list(unnumbered.features) == ["mean", "z"]
    alone = ff.quality.profile(learnt(WITH_WINDOWS, SPLITS["runs"], True))
    assert alone is not None
    assert "whole_entities=True" in alone.no_features
    of_inputs = ff.quality.profile(WITH_WINDOWS.fit(ROWS, profile="inputs"))
    assert of_inputs is not None
    assert replace(alone, no_features=of_inputs.no_features) == of_inputs


def test_what_is_asked_for_is_profiled() -> None:
    plan = ff.Plan({"x": col("x").standard_scale()})
    assert learnt(plan, SPLITS["runs"], True, profile=False).record.profile is None
    inputs = learnt(plan, SPLITS["runs"], True, profile="inputs")
    assert ff.quality.profile(inputs) == ff.quality.profile(plan.fit(ROWS, profile="inputs"))
    learning = plan.learning(ROWS.schema, profile=True)
    assert learning.most_rounds == plan.learning(ROWS.schema).most_rounds + 2


def test_features_that_fail_leave_a_reason() -> None:
    table = pa.table({"i": [1, 2, 2**62, 4], "x": [1.0, 2.0, 3.0, 4.0]})
    plan = ff.Plan({"i": col("i") * 4, "x": col("x").standard_scale()})
    parts = [np.arange(4)], [np.arange(2), np.arange(2, 4)], [np.arange(2, 4), np.arange(2)]
    found = [ff.quality.profile(learnt(plan, one, True, table=table)) for one in parts]
    assert found[0] == found[1] == found[2]
    assert found[0] is not None
    assert "computing them for training rows fails" in found[0].no_features
    expected = ff.quality.profile(plan.fit(table, profile=True))
    assert expected is not None
    assert replace(found[0], no_features=expected.no_features) == expected


def test_a_plan_of_literals_is_profiled() -> None:
    plan = ff.Plan({"one": ff.lit(1) + 0})
    table = pa.table({"x": [1.0, 2.0, 3.0]})
    for numbered in (True, False):
        learning = plan.learning(table.schema, profile=True)
        while learning.round is not None:
            parts = [(table[:2], range(2)), (table[2:], range(2, 3))]
            a, b = (learning.partial(t, rows if numbered else None) for t, rows in parts)
            learning = learning.next(b.merge(a))
        profile = ff.quality.profile(learning.finish())
        assert profile is not None
        one = profile.features["one"]
        assert (one.n_rows, one.least, one.greatest) == (3, 1.0, 1.0)


def test_states_of_other_rounds_are_refused() -> None:
    table = pa.table({"x": [1.0, 2.0, 4.0]})
    first = ff.Plan({"x": col("x").mean()}).learning(table.schema, profile=True)
    state = first.partial(table, range(3))
    content = state.to_bytes()
    sampling = first.next(state)
    with pytest.raises(
        InvalidPlan, match=r"learning\(profile=True\) has to read the rows once more"
    ):
        sampling.finish()
    with pytest.raises(InvalidPlan, match="no row numbers were passed"):
        sampling.partial(table, None)
    sample = sampling.partial(table, range(3))
    kept = sample.to_bytes()
    for use in (sampling.next, sample.merge, lambda s: sampling.partial(table, range(3), into=s)):
        with pytest.raises(InvalidData, match="another plan, schema, or round"):
            use(State.from_bytes(content))
    for learning in (first, sampling):
        for foreign in (kept, content):
            if (learning is sampling) == (foreign is content):
                with pytest.raises(InvalidData, match="another plan, schema, or round"):
                    learning.state_of_bytes(foreign)
    twice = sampling.partial(table[:2], range(2)).merge(sampling.partial(table[:1], range(1)))
    with pytest.raises(InvalidData, match="but not each of rows 0 to 2 once"):
        sampling.next(twice)
    counting = sampling.next(sample)
    with pytest.raises(InvalidData, match="used up"):
        sampling.next(sample)
    with pytest.raises(InvalidData, match="another plan, schema, or round"):
        counting.next(State.from_bytes(kept))
    for damaged in (kept[:-1], kept[1:], kept[:-1] + b"?"):
        with pytest.raises(InvalidData):
            State.from_bytes(damaged)
    sent = counting.to_bytes()
    for damaged in (sent[:-1], sent[1:], sent[:40]):
        with pytest.raises(InvalidData):
            Learning.from_bytes(damaged)
    assert counting.next(counting.partial(table, range(3))).round is None


def test_rows_of_a_sample_are_as_frequent_as_in_the_data() -> None:
    none = pa.table({"x": [0.0, 0.0]})
    sample = ProfileSample(np.array([3, 9]), np.array([30_000, 10_000]), none, None)
    assert np.bincount(sample.rows()).tolist() == [6_144, 2_048]
    few = ProfileSample(np.array([3, 9]), np.array([2, 1]), none, None)
    assert few.rows().tolist() == [0, 0, 1]
