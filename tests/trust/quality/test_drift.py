"""Drift of plans: what is told of rows, of segments, by limits, and why some is not told."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import stats

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidConfig, InvalidData, InvalidPlan, TypeMismatch, UnknownColumn
from fastfeat.io.budget import Budget
from fastfeat.trust.quality.drift import Drift

HOUR = ff.window("1h", by="kind", time="at")
PLAN = ff.Plan(
    {
        "size": col("size").standard_scale(),
        "kind": col("kind").ordinal_encode(),
        "is": col("kind").one_hot_encode(),
        "month": col("at").dt.month(),
        "past": col("size").mean(over=HOUR),
        "late": col("late").mean(over=HOUR),
    },
    outcomes=["late"],
)


def rows(n: int, seed: int = 0, begin: str = "2026-01-01", **changed: Any) -> pa.Table:
    """Return rows of a year, ten minutes after each other."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {
        "at": np.datetime64(begin, "s") + np.arange(n) * np.timedelta64(600, "s"),
        "size": rng.normal(size=n),
        "kind": rng.choice(["a", "b", "c"], n),
        "late": rng.normal(size=n),
    }
    return pa.table({**found, **changed})


TRAIN = rows(20_000)


@pytest.fixture(scope="module")
def fitted() -> ff.FittedPlan:
    return PLAN.fit(TRAIN, history="batch", profile=True)


def test_rows_of_the_same_kind_have_not_drifted(fitted: ff.FittedPlan) -> None:
    drift = fitted.drift(rows(2_000, 1), history="batch")
    assert drift.ok
    assert drift.drifted == drift.drifted_inputs == []
    assert drift.n_now == 2_000
    assert drift.n_then == 20_000
    assert list(drift.features) == fitted.feature_names
    assert str(drift).startswith("2,000 rows, compared with 20,000: nothing drifted")


def test_of_no_rows_nothing_was_compared(fitted: ff.FittedPlan) -> None:
    drift = fitted.drift(rows(1, 1).slice(0, 0), history="batch")
    assert drift.ok
    assert str(drift).startswith("0 rows against 20,000: nothing was compared")


def test_what_has_drifted_comes_first_with_its_reason(fitted: ff.FittedPlan) -> None:
    rng = np.random.default_rng(2)
    now = rows(2_000, 1, size=rng.normal(0.6, 1, 2_000))
    drift = fitted.drift(now, history="batch")
    assert set(drift.drifted) == {"size", "past"}
    assert drift.drifted_inputs == ["size"]
    assert not drift.ok
    assert drift["size"] is drift.features["size"]
    assert drift["at"] is drift.inputs["at"]
    low, high = drift.inputs["size"].wasserstein or (0, 0)
    apart = stats.wasserstein_distance(TRAIN["size"].to_numpy(), now["size"].to_numpy())
    assert low <= apart <= high
    assert drift["size"].reason.startswith("PSI 0.2")
    lines = str(drift).splitlines()
    assert lines[0].endswith("2 of 8 features and 1 of 4 inputs drifted")
    assert lines[1].startswith("drift ")
    assert any(line.startswith("drift input size: PSI") for line in lines)


def test_times_are_reported_and_not_judged(fitted: ff.FittedPlan) -> None:
    later = rows(2_000, 1, "2026-11-01")
    drift = fitted.drift(later, history="batch")
    assert drift.ok
    assert drift["month"].psi > 1
    assert not drift["month"].is_judged
    assert "same season" in drift["month"].reason
    assert not drift["at"].is_judged
    same = fitted.drift(later, reference=rows(3_000, 2, "2025-11-01"), history="batch")
    assert same["month"].is_judged
    assert same.n_then == 3_000
    spring = fitted.drift(later, reference=rows(3_000, 2, "2025-03-01"), history="batch")
    assert spring.drifted == ["month"]
    assert not spring["at"].is_judged


def test_late_columns_need_not_be_there(fitted: ff.FittedPlan) -> None:
    drift = fitted.drift(rows(2_000, 1).drop_columns(["late"]), history="batch")
    assert "late" not in drift.inputs
    assert drift["late"].missing.now == 1
    assert "late" in drift.drifted
    with pytest.raises(UnknownColumn, match=r"'size'"):
        fitted.drift(rows(10).drop_columns(["size"]))


def test_a_segment_that_drifts_is_found_where_the_whole_does_not(fitted: ff.FittedPlan) -> None:
    now = rows(6_000, 1)
    is_b = np.array(now["kind"].to_pylist()) == "b"
    shifted = now["size"].to_numpy() + np.where(is_b & (np.arange(6_000) % 4 == 0), 2.0, 0.0)
    now = now.set_column(1, "size", pa.array(shifted))
    drift = fitted.drift(now, by="kind", history="batch")
    assert set(drift.segments) == {"a", "b", "c"}
    assert drift.segments["b"].drifted_inputs == ["size"]
    assert drift.segments["a"].ok
    assert not drift.ok
    for name in ("kind", "is_a"):  # which a segment has one value of
        assert not drift.segments["a"][name].is_judged
    assert sum(each.n_now for each in drift.segments.values()) == 6_000
    assert "drift of 'b'" in str(drift)
    inputs = drift.segments["b"].drifted_inputs
    told = str(drift).split("drift of 'b'")[1].split("\n")[0]
    assert told.count("input ") == len(inputs) > 0


def test_segments_of_several_columns_are_compared_with_those_of_a_reference(
    fitted: ff.FittedPlan,
) -> None:
    half: dict[str, Any] = {"half": np.arange(4_000) % 2}
    reference = rows(4_000, 3, **half).filter(pc.field("kind") != "c")
    drift = fitted.drift(
        rows(4_000, 4, **half), by=["kind", "half"], reference=reference, history="batch"
    )
    assert len(drift.segments) == 6
    assert drift.segments["a", 1].n_then == pytest.approx(666, abs=70)
    assert drift.segments["c", 0]["size"].reason == "no rows before"
    assert drift.segments["c", 0].ok


def test_too_many_segments_are_refused(fitted: ff.FittedPlan) -> None:
    with pytest.raises(InvalidPlan, match=r"by=\['size'\]: there are 2,000 segments, but at mos"):
        fitted.drift(rows(2_000), by="size", history="batch")
    with pytest.raises(UnknownColumn, match=r"'kid'"):
        fitted.drift(rows(20), by="kid", history="batch")
    with pytest.raises(TypeMismatch, match="by='tags': a segment needs a single value"):
        fitted.drift(rows(20, tags=pa.array([[1]] * 20)), by="tags", history="batch")


def test_limits_are_of_all_columns_of_one_or_of_none(fitted: ff.FittedPlan, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    now = rows(2_000, 1, size=rng.normal(0.6, 1, 2_000))

    def drifted(thresholds: Any) -> set[str]:
        drift = fitted.drift(now, thresholds=thresholds, history="batch")
        return {*drift.drifted, *(f"input {name}" for name in drift.drifted_inputs)}

    assert drifted({}) == {"size", "past", "input size"}
    loose = {"psi": 50, "wasserstein": 50, "beyond": 1}
    assert drifted(loose) == set()
    assert drifted({"columns": {"size": loose}}) == {"past"}
    assert drifted({"ignore": ["size", "past"]}) == set()
    file = tmp_path / "gates.toml"
    file.write_text(
        "[drift]\npsi = 50\nwasserstein = 50\nbeyond = 1\n"
        "[drift.columns.past]\npsi = 0.1\n[diff]\n",
        "utf-8",
    )
    assert drifted(file) == {"past"}
    with pytest.raises(InvalidConfig, match=r"unknown key 'missin_'. Did you mean 'missing'"):
        drifted({"missin_": 1})
    with pytest.raises(InvalidConfig, match=r"there is no column 'sizee'. Did you mean 'size'"):
        drifted({"columns": {"sizee": {"psi": 1}}})
    with pytest.raises(InvalidConfig, match=r"there is no column 'sizee'. Did you mean 'size'"):
        drifted({"ignore": ["sizee"]})


def test_a_column_that_is_not_there_is_told_with_its_like(fitted: ff.FittedPlan) -> None:
    drift = fitted.drift(rows(20), history="batch")
    with pytest.raises(InvalidPlan, match=r"'sizee' was not compared. Did you mean 'size'"):
        drift["sizee"]


def test_the_smallest_shift_that_rows_could_show_is_told_at_the_end(
    fitted: ff.FittedPlan,
) -> None:
    few, many = (fitted.drift(rows(n, 1), history="batch") for n in (200, 2_000))
    told = few.smallest_shift
    assert told.startswith("the smallest shift that 200 rows could show: 0.")
    assert str(few).endswith(told)
    assert told[0:20] in few._repr_html_()
    for name in ("size", "past"):
        assert (few[name].smallest_shift or 0) > (many[name].smallest_shift or 9)
    alone = fitted.select(["size"]).drift(rows(200, 1))
    assert alone.smallest_shift.endswith("standard deviations")  # of one kind of column
    assert fitted.drift(rows(0), history="batch").smallest_shift == ""


@pytest.mark.parametrize("n", [0, 1])
def test_hardly_any_rows_tell_nothing(fitted: ff.FittedPlan, n: int) -> None:
    drift = fitted.drift(rows(n), history="batch")
    assert drift.ok
    if n == 0:
        assert {one.reason for one in drift.columns if one.is_judged} == {"no rows now"}


def test_a_plan_without_a_profile_says_how_to_get_one() -> None:
    fitted = PLAN.fit(TRAIN, history="batch", profile=False)
    with pytest.raises(
        InvalidPlan, match=r"has no profile of its training rows: fit it with profile=True$"
    ):
        fitted.drift(TRAIN)


def test_inputs_alone_are_compared_where_the_profile_has_them_alone() -> None:
    fitted = PLAN.fit(TRAIN, history="batch", profile="inputs")
    drift = fitted.drift(rows(2_000, 1))
    assert drift.ok
    assert not drift.features
    assert list(drift.inputs) == list(fitted.inputs)
    with pytest.raises(InvalidPlan, match=r"Features were not compared: "):
        drift["past"]


def test_features_that_fail_on_training_rows_are_not_passed_over() -> None:
    plan = ff.Plan({"x": (col("x") * 1e300 * 1e300).cast("int64"), "y": col("x").mean() + 1})
    fitted = plan.fit({"x": [1.0, 2.0]}, profile=True)
    with pytest.raises(InvalidPlan, match=r"no features to compare with: .*x"):
        fitted.drift({"x": [1.0]})


def test_drift_is_the_same_after_saving(fitted: ff.FittedPlan, tmp_path: Path) -> None:
    fitted.save(tmp_path / "plan.fastfeat")
    now = rows(2_000, 5, begin="2026-02-01")
    again = ff.load(tmp_path / "plan.fastfeat").drift(now, history="batch")
    assert str(again) == str(fitted.drift(now, history="batch"))


def test_a_selection_is_compared_alone(fitted: ff.FittedPlan) -> None:
    drift = fitted.select(["size"]).drift({"size": [9.0] * 100})
    assert list(drift.features) == ["size"]
    assert drift.drifted == ["size"]


def test_forms_of_data_give_the_same(fitted: ff.FittedPlan, tmp_path: Path) -> None:
    now = rows(2_000, 6)
    pq.write_table(now, tmp_path / "now.parquet")
    wanted = str(fitted.drift(now, history="batch"))
    forms = [now.to_pandas(), tmp_path / "now.parquet", now.to_reader()]
    found: list[Drift] = [fitted.drift(form, history="batch") for form in forms]
    assert [str(drift) for drift in found] == [wanted] * 3


@pytest.mark.parametrize(
    "plan", [PLAN, ff.Plan({"size": col("size") * 2, "k": col("kind") == "a"})]
)
def test_files_in_passes_give_the_profile_of_the_whole(
    plan: ff.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = rows(2_000, 6)
    for k in range(3):
        pq.write_table(now.slice(k * 700, 700), tmp_path / f"{k}.parquet", row_group_size=300)
    fitted = plan.fit(TRAIN, history="batch" if plan is PLAN else None, profile=True)
    options: dict[str, Any] = {"history": "batch"} if plan is PLAN else {}
    wanted, whole = (
        fitted.drift(now, by="kind", **options),
        ff.quality.profile(fitted, now, **options),
    )
    monkeypatch.setattr(Budget, "table_bytes", lambda _: 20_000)
    options["memory"] = "64GiB"
    found = fitted.drift(tmp_path, by="kind", **options)
    assert str(found) == str(wanted)
    assert str(found.segments["a"]) == str(wanted.segments["a"])
    assert ff.quality.profile(fitted, tmp_path, **options) == whole


def test_a_budget_is_of_the_cpu(fitted: ff.FittedPlan) -> None:
    with pytest.raises(InvalidPlan, match="memory= reads the rows in passes, which works on"):
        fitted.drift(rows(10), memory="64GiB", backend="reference")
    with pytest.raises(UnknownColumn, match="'size'"):
        fitted.drift(rows(10).drop_columns(["size"]), memory="64GiB")


def test_rows_of_a_table_by_time_alone_have_no_season() -> None:
    hours = [datetime(2026, 1, 1) + timedelta(hours=k) for k in range(48)]
    tables = {"weather": pa.table({"t": hours, "temp": [float(k) for k in range(48)]})}
    temp = ff.asof("weather", time="t").col("temp")
    fitted = ff.Plan({"temp": temp, "cold": temp < 3}).fit(
        {"t": hours[:24]}, tables=tables, profile=True
    )
    drift = fitted.drift({"t": hours[24:]}, tables=tables)
    assert not drift["temp"].is_judged


def test_a_reference_of_another_plan_is_refused() -> None:
    plan = ff.Plan({"x": col("x") * 2})
    fitted, other = (
        plan.fit({"x": [k * up for k in range(100)]}, profile=True) for up in (1.0, 3.0)
    )
    with pytest.raises(
        InvalidData, match="the profile has another type, bins or categories for 'x'"
    ):
        fitted.drift({"x": [1.0]}, reference=ff.quality.profile(other))
    other = ff.Plan({"y": col("x") * 2}).fit({"x": [k * 1.0 for k in range(100)]}, profile=True)
    with pytest.raises(InvalidData, match="reference=: the profile lacks 'x'"):
        fitted.drift({"x": [1.0]}, reference=ff.quality.profile(other))
    assert (
        fitted.drift({"x": [1.0]}, reference=ff.quality.profile(fitted, {"x": [2.0]})).n_then == 1
    )


@pytest.mark.parametrize("by", [3, ["x", 3], 1.5])
def test_segments_are_named(by: Any) -> None:
    fitted = ff.Plan({"x": col("x") * 2}).fit({"x": [1.0]}, profile=True)
    with pytest.raises(TypeMismatch, match="by= takes the name of a column, or a list of names"):
        fitted.drift({"x": [1.0]}, by=by)
