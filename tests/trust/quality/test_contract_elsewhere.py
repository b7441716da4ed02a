"""Contracts where other libraries and commands give rows: what rules read comes with them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.guard import guarded_columns
from fastfeat.integrations.batches.blocks import block_of, contents_of
from fastfeat.integrations.checks_on_workers import check_before_fit as held_on_workers
from fastfeat.integrations.checks_on_workers import (
    only_true,
    rows_of_workers,
    rules_of,
    with_contract,
)
from fastfeat.integrations.exchange import RowsWithHistory
from fastfeat.integrations.on_workers import feature_columns, features_of, transform_of
from fastfeat.trust.quality.checking import check_loaded_rows

WEEK = ff.window(7, time="t", by="k")
TRAIN = {"x": [1.0, 2.0], "t": [1, 2], "k": ["a", "b"], "kind": ["a", "b"]}
CONTRACT = ff.Contract({"known": col("kind").is_in(["a", "b"]), "positive": col("x") > 0})
GOOD = pa.table({**TRAIN, "other": [0, 0]})
BAD = pa.table({**TRAIN, "kind": ["a", "c"], "other": [0, 0]})


@pytest.fixture(scope="module")
def fitted() -> ff.FittedPlan:
    return ff.Plan({"x": col("x") + 1.0}).fit(TRAIN, contract=CONTRACT)


def test_blocks_of_training_loops_are_judged(fitted: ff.FittedPlan) -> None:
    options = {"bags": (), "label": False, "keep": None, "dtype": "float32"}
    contents = contents_of(fitted, codes=None, as_matrix=True, **options)  # pyright: ignore[reportArgumentType]
    assert contents.columns == ["x", "kind"]
    assert block_of(contents, CallRows(GOOD))
    with pytest.raises(ff.errors.ContractBroken, match="'known'"):
        block_of(contents, CallRows(BAD))


def test_workers_of_engines_judge_their_parts(fitted: ff.FittedPlan) -> None:
    judged = guarded_columns(fitted.record)
    names = feature_columns(fitted.plan, GOOD.schema, label=False, judged=judged)
    assert names == ["x", "kind"]
    features = features_of(transform_of(fitted, None, label=False))
    assert features(RowsWithHistory(GOOD.select(names))).num_rows == 2
    with pytest.raises(ff.errors.ContractBroken, match="'known'"):
        features(RowsWithHistory(BAD.select(names)))


def test_workers_are_told_what_becomes_of_rows(fitted: ff.FittedPlan) -> None:
    given = transform_of(fitted, None, label=False, on_violation="ignore")
    assert features_of(given)(RowsWithHistory(BAD)).num_rows == 2
    with pytest.raises(ff.errors.InvalidPlan, match="workers can reject rows"):
        transform_of(fitted, None, label=False, on_violation="quarantine")


def test_windows_in_pieces_are_judged(tmp_path: Path) -> None:
    windowed = ff.Plan({"sum": col("x").sum(over=WEEK)}).fit(TRAIN, contract=CONTRACT)
    pq.write_table(BAD, tmp_path / "bad.parquet")
    pq.write_table(GOOD, tmp_path / "good.parquet")
    written = windowed.transform_to(
        tmp_path / "good.parquet", tmp_path / "out.parquet", history="batch"
    )
    assert written.n_rows == 2
    for options in ({"history": "batch"}, {"history": TRAIN}):
        with pytest.raises(ff.errors.ContractBroken, match=r"row 1 \(kind='c'\)"):
            list(windowed.transform_batches(tmp_path / "bad.parquet", **options))  # pyright: ignore[reportArgumentType]


@pytest.mark.emulator
def test_counts_by_an_emulated_device_are_the_same() -> None:
    contract = ff.Contract({"positive": col("x") > 0, "mean": col("x").mean() < 0.5})
    data = {"x": [1.0, None, -1.0, 4.0]}
    expected = {"positive": 2, "mean": 1}
    assert contract.check(data).counts == contract.check(data, backend="emulated").counts
    assert contract.check(data).counts == expected


@pytest.mark.parametrize("n_threads", [1, 2])
def test_counts_of_any_number_of_threads_are_the_same(n_threads: int) -> None:
    data = {"x": pa.array([float(k % 1000) if k % 7 else None for k in range(300_000)])}
    ff.set_num_threads(n_threads)
    try:
        counts = ff.Contract({"x": col("x") < 990}).check(data).counts
    finally:
        ff.set_num_threads(None)
    n_missing = sum(k % 7 == 0 for k in range(300_000))
    assert counts == {"x": n_missing + sum(k % 7 and k % 1000 >= 990 for k in range(300_000))}


def test_rows_that_workers_have_are_judged_there() -> None:
    table = pa.table({"x": [1.0, -1.0, None], "id": [1, 2, 2]})
    contract = ff.Contract(
        {"positive": col("x") > 0, "id": ff.lit(1).count(by="id") == 1, "all": col("x").max() < 9},
        types={"id": "int64"},
    )

    def find(fitted: ff.FittedPlan, flag: str, n: int | None) -> pa.Table:
        return only_true(fitted.transform(table), flag).slice(0, n)

    def fit(plan: ff.Plan) -> ff.FittedPlan:
        return plan.fit(table)

    rows = rows_of_workers(contract.declaration, table.schema, 3, None, fit, find)
    report = check_loaded_rows(contract.declaration, rows)
    assert report.counts == contract.check(table).counts
    assert report.rows("positive").to_pydict() == {"row": [None, None], "x": [-1.0, None]}
    assert report.told(report["id"]).endswith(": a row (id=2), a row (id=2)")
    held = ff.Contract({"few": col("id").max() < 9})
    kept = held_on_workers(
        held, lambda rules: rows_of_workers(rules, table.schema, 3, None, fit, find)
    )
    fitted = with_contract(fit(ff.Plan({"y": col("x") + 1.0})), kept)
    assert rules_of(fitted)[0].rules == held.rules
