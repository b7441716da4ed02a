"""Contracts of fitted plans: kept with them, and rows judged before features are computed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData
from fastfeat.keep.artifact import artifact_bytes

CONTRACT = ff.Contract(
    {
        "positive": col("x") > 0,
        "small": ff.Rule(col("n") < 9, on_violation="quarantine"),
        "usual": ff.Rule(col("x") < 100, on_violation="warn"),
        "unique": col("n").count(by="n") == 1,
        "label": col("y") >= 0,
    },
    types={"n": "int64"},
)
TRAIN = {"x": [1.0, 2.0, 3.0], "n": [1, 2, 3], "y": [0, 1, 2]}
LATER = {"x": [1.0, -2.0, 300.0, None], "n": [1, 2, 3, 10]}
PLAN = ff.Plan({"scaled": col("x").standard_scale(), "n": col("n") + 0}, label={"z": col("y") > 1})


@pytest.fixture(scope="module")
def fitted() -> ff.FittedPlan:
    return PLAN.fit(TRAIN, contract=CONTRACT)


def test_the_artifact_has_the_contract_and_without_one_is_as_it_was(
    fitted: ff.FittedPlan, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "plan.fastfeat")
    again = ff.load(tmp_path / "plan.fastfeat")
    assert again == fitted
    assert again.contract == fitted.contract == CONTRACT
    assert again.select(["n"]).contract == CONTRACT
    bare = PLAN.fit(TRAIN)
    assert bare.contract is None
    assert bare != fitted
    kept = artifact_bytes(fitted.record)
    assert b'"says": "col(\'x\') > 0"' in kept
    assert b'"says"' not in artifact_bytes(bare.record)
    for features in (again.transform(TRAIN), bare.transform(TRAIN)):
        assert features.equals(fitted.transform(TRAIN))


def test_an_altered_contract_is_refused(fitted: ff.FittedPlan, tmp_path: Path) -> None:
    content = artifact_bytes(fitted.record)
    (tmp_path / "odd.fastfeat").write_bytes(
        content.replace(b'"says": "col(\'x\')', b'"says": "COL(\'x\')')
    )
    with pytest.raises(ff.errors.ArtifactError):
        ff.load(tmp_path / "odd.fastfeat")


def test_training_rows_that_break_a_rule_are_refused() -> None:
    broken = {**TRAIN, "x": [1.0, -1.0, 0.0], "y": [0, 1, -1]}
    with pytest.raises(ff.errors.ContractBroken) as error:
        PLAN.fit(broken, contract=CONTRACT)
    assert str(error.value) == (
        "rule 'positive': x is above 0; 2 of 3 rows break it: row 1 (x=-1.0), row 2 (x=0.0)\n"
        "rule 'label': y is at least 0; 1 of 3 rows breaks it: row 2 (y=-1)\n"
        "fix the rows, or pass other rules with contract="
    )
    with pytest.raises(ff.errors.ContractBroken):
        PLAN.fit_transform(broken, contract=CONTRACT)
    apart = ff.Contract({"x": ff.Rule(col("x") > 0, on_violation="quarantine")})
    with pytest.raises(ff.errors.ContractBroken, match=r"\ncontract\.quarantine\(data\) separates"):
        PLAN.fit(broken, contract=apart)
    with pytest.raises(ff.errors.ContractBroken):
        PLAN.fit(broken, contract=CONTRACT, memory="64GiB")
    with pytest.warns(ff.errors.RowsBreakRule, match="row 2 \\(x=500.0\\)"):
        PLAN.fit({**TRAIN, "x": [1.0, 2.0, 500.0]}, contract=CONTRACT)
    with pytest.raises(ff.errors.TypeMismatch, match=r"takes an ff\.Contract"):
        PLAN.fit(TRAIN, contract={"x": col("x") > 0})  # pyright: ignore[reportArgumentType]


def test_every_way_to_fit_keeps_the_contract(fitted: ff.FittedPlan, tmp_path: Path) -> None:
    of_reader = PLAN.fit(pa.Table.from_pydict(TRAIN).to_reader(), contract=CONTRACT)
    in_passes = PLAN.fit(TRAIN, contract=CONTRACT, memory="64GiB")
    transformed, features = PLAN.fit_transform(TRAIN, contract=CONTRACT)
    written, _ = PLAN.fit_transform_to(TRAIN, tmp_path / "out.parquet", contract=CONTRACT)
    assert of_reader == in_passes == transformed == written == fitted
    assert features.equals(fitted.transform(TRAIN))


def test_rows_that_break_a_rule_are_rejected(fitted: ff.FittedPlan, tmp_path: Path) -> None:
    told = "rule 'positive': 2 of 4 rows break col('x') > 0: row 1 (x=-2.0), row 3 (x=None)"
    for call in (
        lambda: fitted.transform(LATER),
        lambda: fitted.transform(pd.DataFrame(LATER), to="numpy"),
        lambda: fitted.transform(LATER, backend="reference"),
        lambda: list(fitted.transform_batches(LATER)),
        lambda: fitted.transform_to(LATER, tmp_path / "late.parquet"),
    ):
        with pytest.raises(ff.errors.ContractBroken) as error:
            call()
        assert str(error.value).startswith(told)
    assert not (tmp_path / "late.parquet").exists()
    with pytest.raises(ff.errors.ContractBroken, match="row 3"):
        fitted.transform(LATER, rows=[0, 3])
    assert fitted.transform(LATER, rows=[0]).num_rows == 1
    with pytest.raises(ff.errors.ContractBroken, match="sets such rows apart"):
        fitted.transform({"x": [1.0], "n": [10]})
    with pytest.raises(ff.errors.UnknownColumn):
        fitted.transform({"x": [1.0]})


def test_rows_are_set_apart_in_their_order(fitted: ff.FittedPlan) -> None:
    with pytest.warns(ff.errors.RowsBreakRule, match="'usual'"):
        features, apart = fitted.transform(LATER, on_violation="quarantine")
    accepted = {name: [values[0], values[2]] for name, values in LATER.items()}
    assert features.equals(fitted.transform(accepted, on_violation="ignore"))
    assert apart.to_pydict() == {
        "row": [1, 3],
        "x": [-2.0, None],
        "n": [2, 10],
        "violations": [["positive"], ["positive", "small", "usual"]],
    }
    frame = pd.DataFrame(LATER, index=[7, 8, 9, 10])
    with pytest.warns(ff.errors.RowsBreakRule):
        found, _ = fitted.transform(frame, on_violation="quarantine", to="pandas")
    assert list(found.index) == [7, 9]
    for odd in ({"rows": [0]}, {"out": np.zeros((1, 2)), "to": "numpy"}):
        with pytest.raises(ff.errors.InvalidPlan, match=f"Leave out {next(iter(odd))}="):
            fitted.transform(LATER, on_violation="quarantine", **odd)  # pyright: ignore[reportArgumentType]


def test_a_call_says_what_becomes_of_violations(fitted: ff.FittedPlan) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warned = fitted.transform(LATER, on_violation="warn")
    assert [str(of.message).split(":")[0] for of in told] == [
        "rule 'positive'",
        "rule 'small'",
        "rule 'usual'",
    ]
    assert {of.filename for of in told} == {__file__}
    assert fitted.transform(LATER, on_violation="ignore").equals(warned)
    with pytest.raises(ff.errors.InvalidPlan, match="Did you mean 'warn'"):
        fitted.transform(LATER, on_violation="warns")
    with pytest.raises(ff.errors.InvalidPlan, match="Divide them first"):
        fitted.transform_batches(LATER, on_violation="quarantine")
    with pytest.raises(ff.errors.InvalidPlan, match="no contract"):
        PLAN.fit(TRAIN).transform(LATER, on_violation="quarantine")


def test_one_row_is_judged_as_a_batch_is(fitted: ff.FittedPlan) -> None:
    rows: list[dict[str, Any]] = pa.Table.from_pydict(LATER).to_pylist()
    with pytest.warns(ff.errors.RowsBreakRule):
        assert np.isfinite(fitted.transform_row(rows[2])).all()
    assert np.isfinite(fitted.transform_row(rows[0])).all()
    for k in (1, 3):
        with pytest.raises(ff.errors.ContractBroken, match="the row breaks col\\('x'\\) > 0: x="):
            fitted.transform_row(rows[k])
        with pytest.raises(ff.errors.ContractBroken):
            fitted.transform(pa.Table.from_pylist([rows[k]]))


def test_check_skips_what_is_late_and_judges_the_rest(fitted: ff.FittedPlan) -> None:
    report = fitted.check(LATER)
    assert report.counts == {
        "positive": 2,
        "small": 1,
        "usual": 2,
        "unique": 0,
        "label": 0,
        "n: int64": 0,
    }
    assert report["label"].outcome == "skipped"
    assert report.broken == ["positive", "small", "usual"]
    assert fitted.check({**LATER, "y": [0, -1, 0, 0]}).counts["label"] == 1
    with pytest.raises(ff.errors.InvalidPlan, match="has no contract"):
        PLAN.fit(TRAIN).check(LATER)
    assert fitted.check(TRAIN).ok


def test_rows_are_divided_by_a_contract_alone() -> None:
    good, bad = ff.Contract({"x": col("x") > 0}).quarantine(LATER)
    assert good.to_pydict() == {"x": [1.0, 300.0], "n": [1, 3]}
    assert bad["row"].to_pylist() == [1, 3]
    whole, none = ff.Contract({"x": col("x").mean() > 0}).quarantine(LATER)
    assert (whole.num_rows, none.num_rows) == (4, 0)


def test_zones_of_rules_are_kept(tmp_path: Path) -> None:
    hour = col("t").dt.hour(tz="America/New_York")
    contract = ff.Contract({"awake": hour > 5})
    data = {"t": pa.array([1_700_000_000], pa.timestamp("s", "UTC"))}
    fitted = ff.Plan({"t": col("t").dt.minute()}).fit(data, contract=contract)
    fitted.save(tmp_path / "z.fastfeat")
    again = ff.load(tmp_path / "z.fastfeat")
    assert again.record.contract is not None
    assert list(again.record.contract.zones) == ["America/New_York"]
    assert again.transform(data).num_rows == 1


def test_a_reader_that_is_used_up_is_not_judged_in_passes(tmp_path: Path) -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0]})
    contract = ff.Contract({"positive": col("x") > 0})

    def reader() -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(table.schema, table.to_batches())

    scaled, nothing_learnt = ff.Plan({"x": col("x").max_abs_scale()}), ff.Plan({"x": col("x") + 1})
    with pytest.raises(InvalidData, match="can be read once"):
        scaled.fit(reader(), memory="64GiB", contract=contract)
    with pytest.raises(InvalidData, match="can be read once"):
        nothing_learnt.fit_transform_to(reader(), tmp_path / "out", contract=contract)
    assert not (tmp_path / "out").exists()
    for judge in (contract.check, ff.infer_contract):
        with pytest.raises(ff.errors.InvalidData, match="can be read once"):
            judge(reader(), memory="64GiB")
    assert scaled.fit(reader, memory="64GiB", contract=contract).contract is not None
    assert scaled.fit_transform(reader(), contract=contract)[1].num_rows == 3
