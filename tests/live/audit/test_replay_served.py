"""Training from the stream: features as they were served, with labels, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan
from fastfeat.trust.verify.comparison import compare

MINUTE = 60 * 10**6
N_ROWS = 300
DAY = ff.window("20h", by="card", time="t")
LATE = ff.window("20h", by="card", time="t", offset="3h")
PLAN = ff.Plan(
    {
        "sum": col("x").sum(over=DAY),
        "n": ff.count(over=DAY),
        "median": col("x").median(over=DAY),
        "late_share": (col("delay") > 15).mean(over=LATE),
        "z": (col("x") - col("x").mean(over=DAY)).max(over=DAY),
    },
    label={"is_late": col("delay") > 15},
    row_id="id",
    label_delay="3h",
    keep=["note"],
)
WINDOWS = ["sum", "n", "median", "late_share", "z"]


def rows(seed: int, n: int = N_ROWS) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "id": np.arange(n),
            "card": [f"card {k}" for k in random.integers(0, 7, n)],
            "t": pa.array(np.arange(n) * 11 * MINUTE, pa.timestamp("us")),
            "x": pa.array(random.normal(size=n), mask=random.random(n) < 0.1),
            "delay": pa.array(random.normal(10, 9, n), mask=random.random(n) < 0.05),
            "note": [f"note {k}" for k in range(n)],
        }
    )


def stream(live: ff.Live, data: pa.Table, seed: int, n_known: int = N_ROWS) -> None:
    """Give events in random pieces, and outcomes in random order before a window reads them."""
    random = np.random.default_rng(seed)
    early, known = data.drop_columns(["delay"]), data.select(["id", "delay"])
    done, told = 0, 0
    while done < data.num_rows:
        n = int(random.integers(1, 12))
        live.process(early.slice(done, n), source="events:0", first=done, end=done + n)
        done += n
        part = known.slice(told, min(done, n_known) - told)
        if part.num_rows:
            live.outcomes(part.take(random.permutation(part.num_rows)))
        told = min(done, n_known)


@pytest.mark.parametrize("seed", [1, *(pytest.param(k, marks=pytest.mark.slow) for k in (2, 3, 4))])
def test_features_served_are_those_of_training_to_the_bit(tmp_path: Path, seed: int) -> None:
    data, path = rows(seed), tmp_path / "state.db"
    fitted, expected = PLAN.fit_transform(data)
    with fitted.online(path=path) as live:
        stream(live, data, seed)
    report = ff.replay(path, fitted, to=tmp_path / "served.parquet")
    assert report.ok, report
    served = pq.read_table(tmp_path / "served.parquet")
    assert compare("served", expected.select(WINDOWS), served.select(WINDOWS)).difference is None
    assert served["id"].to_pylist() == data["id"].to_pylist()
    assert served["t"].to_pylist() == data["t"].to_pylist()
    assert served["note"].to_pylist() == data["note"].to_pylist()
    assert served["offset"].to_pylist() == list(range(N_ROWS))
    assert set(served["source"].to_pylist()) == {"events:0"}
    assert served["is_late"].to_pylist() == fitted.label(data).to_pylist()
    assert report.served is not None
    assert report.served.n_rows == N_ROWS
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


def test_rows_whose_outcome_is_not_known_have_no_label_yet(tmp_path: Path) -> None:
    data = rows(5)
    fitted = PLAN.fit(data, history="batch")
    with fitted.online(path=tmp_path / "state.db") as live:
        stream(live, data, 5, n_known=200)
    report = ff.replay(tmp_path / "state.db", to=tmp_path / "served.parquet")
    expected = fitted.label(data).to_pylist()[:200] + [None] * 100
    assert pq.read_table(tmp_path / "served.parquet")["is_late"].to_pylist() == expected
    assert report.served is not None
    assert report.served.n_without_label == expected.count(None)
    assert f"{expected.count(None)} without a label yet" in str(report)
    ff.replay(
        tmp_path / "state.db", to=tmp_path / "all.parquet", outcomes=data.select(["id", "delay"])
    )
    labels = pq.read_table(tmp_path / "all.parquet")["is_late"].to_pylist()
    assert labels == fitted.label(data).to_pylist()


def test_a_label_that_the_state_does_not_have_is_told_and_joined(tmp_path: Path) -> None:
    plan = ff.Plan({"n": ff.count(over=DAY)}, label={"y": col("delay") > 15}, row_id="id")
    data = rows(6)
    fitted = plan.fit(data, history="batch")
    with fitted.online(path=tmp_path / "state.db") as live:
        live.process(data.drop_columns(["delay"]))
    report = ff.replay(tmp_path / "state.db", to=tmp_path / "served.parquet")
    assert "no window reads 'delay', so the state lacks it. Pass outcomes=" in str(report)
    assert "y" not in pq.read_table(tmp_path / "served.parquet").column_names
    ff.replay(tmp_path / "state.db", to=tmp_path / "served.parquet", outcomes=data)
    labels = pq.read_table(tmp_path / "served.parquet")["y"].to_pylist()
    assert labels == fitted.label(data).to_pylist()


def test_rows_that_come_again_are_left_out_and_late_outcomes_told(tmp_path: Path) -> None:
    windows: Any = {"late_share": (col("delay") > 15).mean(over=LATE)}
    plan = ff.Plan(windows, label={"y": col("delay") > 15}, row_id="id", label_delay="3h")
    data = rows(7, 60)
    fitted = plan.fit(data, history="batch")
    early = data.drop_columns(["delay"])
    with fitted.online(path=tmp_path / "state.db", late="insert") as live:
        live.process(early)
        live.process(early.slice(50, 5))
        live.outcomes(data.select(["id", "delay"]))
    report = ff.replay(tmp_path / "state.db", to=tmp_path / "served.parquet")
    assert report.ok, report
    served = report.served
    assert served is not None
    assert (served.n_rows, served.n_left_out) == (60, 5)
    assert served.n_late > 0
    assert "came too late" in str(report)


def test_after_a_difference_there_is_no_file(tmp_path: Path) -> None:
    data = rows(8, 60)
    fitted = PLAN.fit(data, history="batch")
    with fitted.online(path=tmp_path / "state.db") as live:
        live.process(data.drop_columns(["delay"]))
    other = PLAN.fit(rows(9, 60).append_column("y", data["id"]), history="batch")
    other = ff.Plan({"s": col("x").standard_scale()}).fit(rows(9, 60))
    report = ff.replay(tmp_path / "state.db", other, to=tmp_path / "served.parquet")
    assert not report.ok
    assert sorted(file.name for file in tmp_path.glob("*parquet*")) == []
    with pytest.raises(InvalidData, match=r"must end in \.parquet"):
        ff.replay(tmp_path / "state.db", to=tmp_path / "served.csv")
    with pytest.raises(InvalidPlan, match="there is no plan='other'"):
        ff.replay(tmp_path / "state.db", to=tmp_path / "served.parquet", plan="other")


def test_features_of_one_of_several_plans_are_written(tmp_path: Path) -> None:
    data = rows(10, 60)
    plans = {
        "sums": ff.Plan({"sum": col("x").sum(over=DAY)}).fit(data, history="batch"),
        "counts": ff.Plan({"n": ff.count(over=DAY)}).fit(data, history="batch"),
    }
    with ff.online(plans, path=tmp_path / "state.db") as live:
        live.process(data)
    with pytest.raises(InvalidPlan, match="plan= is missing"):
        ff.replay(tmp_path / "state.db", to=tmp_path / "served.parquet")
    report = ff.replay(tmp_path / "state.db", plans, to=tmp_path / "n.parquet", plan="counts")
    assert report.ok, report
    served = pq.read_table(tmp_path / "n.parquet")
    expected = plans["counts"].transform(data, history="batch")
    assert served["n"].to_pylist() == expected["n"].to_pylist()


def test_a_state_that_answered_nothing_gives_an_empty_file(tmp_path: Path) -> None:
    data = rows(11, 60)
    fitted = PLAN.fit(data, history="batch")
    with fitted.online(path=tmp_path / "state.db") as live:
        live.update(data.drop_columns(["delay"]))
    report = ff.replay(tmp_path / "state.db", to=tmp_path / "served.parquet")
    assert report.ok, report
    assert pq.read_table(tmp_path / "served.parquet").num_rows == 0
