"""Commands of contracts: their exit codes, and reports for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.apps.cli.small_plan import TABLE, Run


@pytest.fixture
def contract_file(folder: Path) -> Path:
    contract = ff.Contract(
        {
            "x": (col("x") < 9.5) | col("x").is_null(),
            "kind": ff.Rule(col("k") != "c", on_violation="warn"),
            "id": each_once("id"),
        }
    )
    path = folder / "rules.json"
    path.write_text(contract.to_json(), "utf-8")
    return path


def each_once(name: str) -> ff.Expr:
    """Return the rule that no value of a column comes twice."""
    return col(name).count(by=name) == 1


def test_findings_end_with_1_and_are_shown_first(run: Run, contract_file: Path) -> None:
    result = run("check", contract_file.name, "data.parquet")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "100 rows, 3 rules: 2 findings",
        "FAIL 'x': x is below 9.5, or missing; 4 of 100 rows break it: row 95 (x=9.5), "
        "row 96 (x=9.600000000000001), row 97 (x=9.700000000000001), row 99 (x=9.9)",
        "warn 'kind': k is not 'c'; 33 of 100 rows break it: row 2 (k='c'), row 5 (k='c'), "
        "row 8 (k='c'), row 11 (k='c'), row 14 (k='c'), ...",
        "ok   1 rule holds",
    ]
    assert result.stderr == ""


def test_what_only_warns_ends_with_0(run: Run, folder: Path, contract_file: Path) -> None:
    pq.write_table(TABLE.slice(0, 90), folder / "good.parquet")
    result = run("check", contract_file.name, "good.parquet", "--json", "--memory", "64GiB")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["ok"]
    assert [rule["n_broken"] for rule in document["rules"]] == [0, 30, 0]
    assert [rule["outcome"] for rule in document["rules"]] == ["holds", "broken", "holds"]


@pytest.mark.filterwarnings("default::fastfeat.errors.RowsBreakRule")
def test_a_fitted_plan_has_its_contract(run: Run, folder: Path, contract_file: Path) -> None:
    pq.write_table(TABLE.slice(0, 90), folder / "good.parquet")
    fitting = ("fit", "plan.py", "good.parquet", "-o", "plan.fastfeat")
    assert run(*fitting, "--contract", contract_file.name).exit_code == 0
    assert run("check", "plan.fastfeat", "good.parquet").exit_code == 0
    assert run("check", "plan.fastfeat", "data.parquet").exit_code == 1
    refused = run("transform", "plan.fastfeat", "data.parquet", "-o", "out.parquet")
    assert refused.exit_code == 2
    assert "rule 'x': 4 of 100 rows break" in refused.stderr
    transform = ("transform", "plan.fastfeat", "data.parquet", "--on-violation")
    taken = run(*transform, "warn", "-o", "o.parquet")
    assert "warning: rule 'x': 4 of 100 rows break" in taken.stderr
    assert run(*transform, "ignore", "-o", "i").stderr == ""
    features = [pq.read_table(folder / name) for name in ("o.parquet", "i")]
    assert features[0].equals(features[1])
    odd = run(*transform, "keep", "-o", "q")
    assert "'--on-violation': must be 'reject', 'quarantine', 'warn' or 'ignore'" in odd.stderr
    odd = run(*transform, "quarantine", "-o", "q")
    assert "write --quarantined FILE and --on-violation quarantine together" in odd.stderr
    apart = run(*transform, "quarantine", "-o", "q.parquet", "--quarantined", "b.parquet")
    assert apart.stdout.splitlines()[0] == "b.parquet: 4 quarantined rows"
    assert pq.read_table(folder / "q.parquet").num_rows == 96
    broken = run(
        "fit", "plan.py", "data.parquet", "-o", "other.fastfeat", "--contract", "rules.json"
    )
    assert broken.exit_code == 2
    assert not (folder / "other.fastfeat").exists()


def test_rules_are_inferred_from_data(run: Run, folder: Path) -> None:
    result = run("infer-contract", "data.parquet", "-o", "inferred.json", "--key", "id")
    assert result.stdout == "inferred.json: 6 rules, and the types of 3 columns\n"
    assert run("check", "inferred.json", "data.parquet").exit_code == 0
    twice = pa.concat_tables([TABLE, TABLE])
    pq.write_table(twice, folder / "twice.parquet")
    assert run("check", "inferred.json", "twice.parquet").exit_code == 1


def test_the_time_of_a_check_is_an_option(run: Run, folder: Path) -> None:
    contract = ff.Contract({"past": col("t") <= col("now")}, clock="now")
    (folder / "clock.json").write_text(contract.to_json())
    times = pa.table({"t": pa.array([0], pa.timestamp("s", "UTC"))})
    pq.write_table(times, folder / "times.parquet")
    args = ("check", "clock.json", "times.parquet", "--clock")
    assert run(*args, "now").exit_code == 0
    assert run(*args, "1969-12-31T00:00:00+00:00").exit_code == 1
    odd = run(*args, "yesterday")
    assert odd.exit_code == 2
    assert "write a time such as" in odd.stderr


def test_files_at_fault_end_with_3_and_calls_with_2(run: Run, folder: Path) -> None:
    (folder / "odd.json").write_text("{}")
    assert run("check", "odd.json", "data.parquet").exit_code == 3
    assert run("check", "data.parquet", "data.parquet").exit_code == 3
    for absent in ("none.json", "none.fastfeat"):
        assert run("check", absent, "data.parquet").exit_code == 2
    assert run("check", "none.json").exit_code == 2


def test_rows_are_divided_into_two_files(run: Run, folder: Path) -> None:
    contract = ff.Contract({"x": (col("x") < 9.5) | col("x").is_null()})
    (folder / "rows.json").write_text(contract.to_json(), "utf-8")
    places = ["--accepted", "good.parquet", "--quarantined", "bad.parquet"]
    result = run("quarantine", "rows.json", "data.parquet", *places)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == ["good.parquet: 96 rows", "bad.parquet: 4 rows"]
    assert pq.read_table(folder / "bad.parquet")["row"].to_pylist() == [95, 96, 97, 99]
