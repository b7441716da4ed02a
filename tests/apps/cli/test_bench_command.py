"""`bench`: a plan beside the same features in pandas and Polars, once outputs are equal."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fastfeat.apps.cli import bench
from fastfeat.apps.cli.contestant import STAGES
from fastfeat.tell.peers.agreement import Agreement
from fastfeat_tests.apps.cli.small_plan import TABLE, Run

HASHED = """
import fastfeat as ff
from fastfeat import col

plan = ff.Plan({"a": col("x").log1p(), "b": col("k").hash(n_buckets=9)})
"""

LABELLED = """
import fastfeat as ff
from fastfeat import col

plan = ff.Plan({"code": col("k").target_encode(target="x"), "n": col("id") + 1}, label="x")
"""


def test_a_plan_is_timed_beside_both_peers(run: Run, folder: Path) -> None:
    result = run(
        "bench", "plan.py", "data.parquet", "--json", "--runs", "1", "--picture", "all.svg"
    )
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert [peer["name"] for peer in found["peers"]] == ["pandas", "polars"]
    for peer in found["peers"]:
        assert peer["timed"] == ["size", "is_big", "kind"]
        assert list(peer["times"]) == list(peer["times_of_fastfeat"]) == list(STAGES)
        assert all(times["cpu_s"] > 0 for times in peer["times"].values())
        assert peer["refused"] == []
    picture = (folder / "all.svg").read_text("utf-8")
    assert all(f"{stage}, {name}" in picture for stage in STAGES for name in ("pandas", "polars"))


def test_a_label_is_named_by_the_plan_and_later_rows_need_none(run: Run, folder: Path) -> None:
    (folder / "plan.py").write_text(LABELLED)
    pq.write_table(TABLE.drop_columns(["x"]), folder / "later.parquet")
    assert run("fit", "plan.py", "data.parquet", "-o", "fitted.fastfeat").exit_code == 0
    for of in (("plan.py", "data.parquet"), ("fitted.fastfeat", "later.parquet")):
        result = run("bench", *of, "--against", "pandas", "--runs", "1", "--json")
        assert result.exit_code == 0, result.stderr
        (peer,) = json.loads(result.stdout)["peers"]
        assert peer["timed"] == ["code", "n"]
    without = run("bench", "plan.py", "later.parquet")
    assert without.exit_code == 2
    assert "lacks the column 'x'" in without.stderr


def test_what_a_peer_cannot_write_is_said_and_the_rest_is_timed(run: Run, folder: Path) -> None:
    (folder / "plan.py").write_text(HASHED)
    result = run("bench", "plan.py", "data.parquet", "--against", "pandas", "--runs", "1")
    assert result.exit_code == 0, result.stderr
    assert "pandas: 1 feature timed" in result.stdout
    assert "not compared: 'b': hash: pandas and Polars have no XXH64" in result.stdout
    assert "polars" not in result.stdout


def test_outputs_that_differ_are_said_and_not_timed(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = bench.compare_with

    def differing(work: bench.BenchSetup, name: str, expected: object) -> bench.BenchPeer:
        peer = compared(work, name, expected)
        first, *others = peer.agreements
        wrong = Agreement(first.feature, first.n_rows, 3, 0.0, 7, 1.5, None)
        return bench.BenchPeer(peer.name, peer.refused, [wrong, *others])

    monkeypatch.setattr(bench, "compare_with", differing)
    result = run("bench", "plan.py", "data.parquet", "--against", "polars", "--runs", "1")
    assert result.exit_code == 1
    assert "differs, not timed: 'size': differs in 3 of 100 rows, first in row 7" in result.stdout
    assert "polars: 2 features timed" in result.stdout


def test_an_unknown_peer_is_an_error(run: Run) -> None:
    result = run("bench", "plan.py", "data.parquet", "--against", "dask")
    assert result.exit_code == 2
    assert "pandas or polars" in result.stderr
