"""The gate of changes: which verdicts are findings, and what people and programs read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.apps.cli.small_plan import Run


@pytest.fixture
def plans(folder: Path) -> Path:
    """Return the current folder, with a plan fitted on some rows, and on others."""
    plan = ff.Plan({"k": col("k").ordinal_encode(), "x": col("x") - col("x").mean()})
    rows = {"k": ["a", "a", "b"], "x": [1.0, 2.0, 3.0]}
    others = {
        "a": rows,
        "refit": {**rows, "x": [1.0, 2.0, 6.0]},
        "minor": {**rows, "k": ["a", "a", "b", "c"], "x": [1.0, 2.0, 3.0, 2.0]},
        "major": {**rows, "k": ["a", "b", "b"]},
    }
    for name, given in others.items():
        plan.fit(given, profile=False, backend="reference").save(folder / f"{name}.fastfeat")
    return folder


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize(
    ("verdict", "options", "code"),
    [
        ("major", "", 1),
        ("minor", "", 0),
        ("refit", "", 0),
        ("minor", "--finding minor --finding major", 1),
        ("major", "--finding minor", 0),
        ("refit", "--thresholds gates.toml", 1),
        ("minor", "--thresholds gates.toml", 0),
        ("major", "--finding huge", 2),
    ],
)
def test_the_verdict_is_a_finding_where_it_is_said(
    run: Run, plans: Path, verdict: str, options: str, code: int
) -> None:
    (plans / "gates.toml").write_text('[diff]\nfindings = ["refit"]\n')
    result = run("diff", "a.fastfeat", f"{verdict}.fastfeat", *options.split())
    assert result.exit_code == code, result.output
    if code < 2:
        assert result.stdout.startswith(f"{verdict}: ")


@pytest.mark.usefixtures("plans")
def test_json_has_each_change(run: Run) -> None:
    result = run("diff", "a.fastfeat", "major.fastfeat", "--json")
    document = json.loads(result.stdout)
    assert (document["verdict"], document["findings"]) == ("major", ["codes reassigned k"])
    change = document["changes"][0]
    assert (change["kind"], change["of"]) == ("codes reassigned", "k")
    assert (change["before"], change["after"]) == ({"a": 2, "b": 3}, {"a": 3, "b": 2})


def test_a_sample_is_computed_by_both(run: Run, plans: Path) -> None:
    (plans / "sample.csv").write_text("k,x\na,1.5\nb,2.5\n")
    result = run("diff", "a.fastfeat", "refit.fastfeat", "--data", "sample.csv")
    assert result.exit_code == 0
    assert "outputs of 2 rows compared" in result.stdout
    assert "outputs changed 'x': 2 of 2 rows (100.0%), by at most 1" in result.stdout


def test_fit_keeps_the_codes_of_an_earlier_fit(run: Run, plans: Path) -> None:
    plan = ff.Plan({"k": col("k").ordinal_encode(), "x": col("x") - col("x").mean()})
    (plans / "plan.json").write_text(plan.to_json())
    (plans / "later.csv").write_text("k,x\nc,1.5\nc,2.5\nb,3.5\n")
    fit = ["fit", "plan.json", "later.csv", "-o", "b.fastfeat", "--backend", "reference"]
    assert run(*fit, "--stable", "a.fastfeat").exit_code == 0
    result = run("diff", "a.fastfeat", "b.fastfeat", "--json")
    assert json.loads(result.stdout)["verdict"] == "minor"
    assert ff.load(plans / "b.fastfeat").vocabulary("k")["k"].to_pylist()[2:] == ["a", "b", "c"]
    (plans / "odd.csv").write_text("k,x\n1,1.5\n")
    result = run("fit", "plan.json", "odd.csv", "-o", "b.fastfeat", "--stable", "a.fastfeat")
    assert result.exit_code == 2
    assert "error: --stable: col('k') is int64" in result.stderr
