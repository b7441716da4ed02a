"""Gates: every command that judges has the same exit codes and JSON, and XML that JUnit reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestSuite

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.cli.commands import GATES
from fastfeat.apps.cli.gate_result import FOUND, USAGE, GateCase, GateResult
from fastfeat.apps.cli.junit import junit_of
from fastfeat.trust.verify.comparison import Check, VerifyReport
from fastfeat_tests.apps.cli.small_plan import TABLE, Run

ENDS: dict[str, dict[int, str]] = {
    "check": {
        0: "check rules.json good.parquet",
        1: "check rules.json data.parquet",
        2: "check rules.json none.parquet",
        3: "check data.parquet data.parquet",
    },
    "diff": {
        0: "diff plan.fastfeat plan.fastfeat",
        1: "diff plan.fastfeat differs.fastfeat",
        2: "diff plan.fastfeat none.fastfeat",
        3: "diff plan.fastfeat rules.json",
    },
    "drift": {
        0: "drift plan.fastfeat data.parquet",
        1: "drift plan.fastfeat far.parquet",
        2: "drift plan.fastfeat other.parquet",
        3: "drift rules.json data.parquet",
    },
    "inspect": {
        0: "inspect plan.fastfeat --golden",
        1: "inspect plan.fastfeat --few 1000 --strict",
        2: "inspect none.fastfeat",
        3: "inspect rules.json",
    },
    "verify": {
        0: "verify plan.fastfeat good.parquet --rows 5",
        1: "verify differs.fastfeat good.parquet --rows 5",
        2: "verify plan.fastfeat other.parquet",
        3: "verify rules.json good.parquet",
    },
    "certify": {
        0: "certify same good.parquet --fitted plan.fastfeat",
        1: "certify changed good.parquet --fitted plan.fastfeat",
        2: "certify same good.parquet",
        3: "certify same good.parquet --fitted differs.fastfeat",
    },
    "replay": {
        0: "replay state.db",
        1: f"replay state.db --head {'00' * 32}",
        2: "replay none.db",
        3: "replay rules.json",
    },
}
"""A command line of each gate for each exit code."""


@pytest.fixture
def gated_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with what the commands of `ENDS` read."""
    warned = ff.Rule(col("k") != "c", on_violation="warn")
    contract = ff.Contract({"x": (col("x") < 9.5) | col("x").is_null(), "kind": warned})
    (folder / "rules.json").write_text(contract.to_json(), "utf-8")
    pq.write_table(TABLE.slice(0, 90), folder / "good.parquet")
    pq.write_table(TABLE.select(["id"]), folder / "other.parquet")
    pq.write_table(pa.table({"x": [1000.0] * 100}), folder / "far.parquet")
    plan = ff.Plan({"size": col("x").fill_null(0.0).standard_scale()})
    judged = plan.fit(TABLE, profile=True)
    judged.save(folder / "plan.fastfeat")
    for name in ("same", "changed"):
        judged.export("c", folder / name)
    (folder / "changed" / "README.md").write_text("other usage", "utf-8")
    differing = ff.Plan({"twice": col("x") * 2}).fit(TABLE)
    differing.save(folder / "differs.fastfeat")
    verify = ff.FittedPlan.verify

    def verified(fitted: Any, *args: Any, **options: Any) -> VerifyReport:
        report = verify(fitted, *args, **options)
        found = Check("cpu, threads", 5, "feature 'twice', row 0: 1.0 and 2.0")
        return VerifyReport((*report.checks, found)) if "twice" in fitted.feature_names else report

    monkeypatch.setattr(ff.FittedPlan, "verify", verified)
    window = ff.window("1d", by="k", time="t")
    rows = {"t": np.arange(4).astype("M8[h]"), "k": ["a", "b", "a", "b"]}
    fitted = ff.Plan({"n": ff.count(over=window)}).fit(rows, history="batch")
    with fitted.online(path=folder / "state.db") as live:
        live.process(rows)
    return folder


def suite_of(path: Path) -> TestSuite:
    (suite,) = JUnitXml.fromfile(str(path))
    assert isinstance(suite, TestSuite)
    return suite


def test_each_gate_has_a_command_line_for_each_exit_code() -> None:
    assert set(ENDS) == set(GATES)
    assert all(sorted(lines) == [0, 1, 2, 3] for lines in ENDS.values())


@pytest.mark.parametrize(
    ("code", "line"), [(code, line) for lines in ENDS.values() for code, line in lines.items()]
)
def test_json_and_junit_say_how_it_ended(
    run: Run, gated_folder: Path, code: int, line: str
) -> None:
    result = run(*line.split(), "--json", "--junit", "found.xml")
    assert result.exit_code == code, result.output
    name = line.split()[0]
    if code == USAGE and not Path("found.xml").exists():  # refused before it ran
        assert result.stdout == ""
        return
    document = json.loads(result.stdout)
    head = [document[key] for key in ("command", "ok", "exit_code")]
    assert head == [name, code == 0, code]
    suite = suite_of(gated_folder / "found.xml")
    assert suite.name == f"fastfeat {name}"
    marks = [mark for case in suite for mark in case.result]
    failed = [case.name for case in suite if any(isinstance(m, Failure) for m in case.result)]
    assert failed == document["findings"]
    assert bool(failed) == (code == FOUND)
    assert any(isinstance(mark, Error) for mark in marks) == (code >= USAGE)
    assert ("error" in document) == (code >= USAGE)
    assert suite.failures == len(failed)
    if code >= USAGE:
        assert document["error"]["message"] in result.stderr


def test_a_warning_is_told_and_ends_with_0(run: Run, gated_folder: Path) -> None:
    result = run("check", "rules.json", "good.parquet", "--junit", "found.xml")
    assert result.exit_code == 0
    assert result.stdout.startswith("90 rows, 2 rules: 1 finding")
    case = {each.name: each for each in suite_of(gated_folder / "found.xml")}["kind"]
    assert case.is_passed
    assert str(case.system_out).startswith("warning: 'kind': k is not 'c'; 30 of 90 rows")


def test_rows_that_break_the_contract_of_a_plan_are_a_finding(
    run: Run, gated_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> VerifyReport:
        raise ff.errors.ContractBroken("rule 'small': 3 of 9 rows break x < 5")

    monkeypatch.setattr(ff.FittedPlan, "verify", refused)
    result = run("verify", "plan.fastfeat", "data.parquet", "--junit", "found.xml")
    assert result.exit_code == 1
    assert "rule 'small': " in result.stderr
    (case,) = suite_of(gated_folder / "found.xml")
    assert isinstance(case.result[0], Failure)


def test_a_report_that_cannot_be_written_is_no_success(run: Run, gated_folder: Path) -> None:
    line = ("check", "rules.json", "good.parquet", "--junit")
    assert run(*line, "new/folder/found.xml").exit_code == 0
    assert suite_of(gated_folder / "new/folder/found.xml").tests == 2
    result = run(*line, "data.parquet/found.xml", "--json")
    assert result.exit_code == json.loads(result.stdout)["exit_code"] == 3
    assert "data.parquet" in result.stderr
    before = Path("good.parquet").read_bytes()
    for name in ("good.parquet", "rules.json"):
        result = run(*line, name)
        assert result.exit_code == 2
        assert f"'--junit': {name} is also an input" in result.stderr
    assert Path("good.parquet").read_bytes() == before


def test_a_pattern_of_no_file_is_as_no_file(run: Run, gated_folder: Path) -> None:
    for data, told in (
        ("none.parquet", "no such file: none"),
        ("none*.parquet", "no file matches"),
    ):
        result = run("check", "rules.json", data)
        assert result.exit_code == 2
        assert told in result.stderr
    assert run("check", "rules.json", str(gated_folder / "go?d.parquet")).exit_code == 0


def test_an_error_that_nobody_foresaw_is_no_finding(
    run: Run, gated_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> VerifyReport:
        raise ZeroDivisionError("1 / 0")

    monkeypatch.setattr(ff.FittedPlan, "verify", broken)
    result = run("verify", "plan.fastfeat", "good.parquet", "--junit", "found.xml")
    assert result.exit_code == 3
    assert "hint: this error is unexpected" in result.stderr
    (case,) = suite_of(gated_folder / "found.xml")
    assert case.result[0].message == "ZeroDivisionError: 1 / 0"
    debug = run("verify", "plan.fastfeat", "good.parquet", "--debug")
    assert debug.exit_code == 3
    assert "Traceback" in debug.stderr


HOSTILE = [
    "<script>&\"'",
    "]]>",
    "a\nb\tc",
    "\x00\x1b[31m",
    "\ud800",
    "\ufffe",
    "日本",
    "",
    "x" * 9999,
]


def test_names_and_texts_of_any_kind_are_read_back(tmp_path: Path) -> None:
    results: list[Any] = ["finding", "warning", "skipped", "ok"]
    cases = [GateCase(name, results[k % 4], name) for k, name in enumerate(HOSTILE)]
    path = tmp_path / "found.xml"
    path.write_bytes(junit_of("check", GateResult("rules", tuple(cases), ""), None, 0.1))
    found = list(suite_of(path))
    printable = {1: "]]>", 3: r"\x00\x1b[31m", 4: r"\ud800", 5: r"\ufffe"}
    names = [printable.get(k, name) for k, name in enumerate(HOSTILE)]
    assert [case.name for case in found] == names
    assert found[0].result[0].message == HOSTILE[0]
    assert isinstance(found[2].result[0], Skipped)
    suite = suite_of(path)
    assert (suite.tests, suite.failures, suite.skipped, suite.errors) == (9, 3, 2, 0)


def test_thresholds_say_what_is_a_finding(run: Run, gated_folder: Path) -> None:
    thresholds = gated_folder / "gates.toml"
    line = ("check", "rules.json", "data.parquet", "--thresholds", "gates.toml")
    thresholds.write_text("[check.rules.x]\nat_most = 0.04")
    result = run(*line)
    assert result.exit_code == 0
    told = "thresholds: 'x' is not a finding: a share of 0.04 of the rows may break it"
    assert told in result.stdout
    thresholds.write_text("[check.rules.x]\nat_most = 0.039")
    assert run(*line).exit_code == 1
    thresholds.write_text("[check]\nat_most = 0.04\nwarnings = true")
    result = run(*line, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["findings"] == ["kind"]
    thresholds.write_text("[check]\nat_most = 1\nwarnings = true")
    assert run(*line).exit_code == 0
    for text, told in (
        ("[check]\nat_moost = 1", "gates.toml: [check]: unknown key 'at_moost'. Did you mean"),
        (
            "[check.rules.y]\nat_most = 1",
            "gates.toml: [check.rules]: there is no rule 'y'. The known ones are 'x'",
        ),
    ):
        thresholds.write_text(text)
        result = run(*line)
        assert result.exit_code == 2
        assert told in result.stderr


def test_a_profile_is_kept_or_not_as_fit_is_told(run: Run, folder: Path) -> None:
    (folder / "rare.py").write_text(
        "import fastfeat as ff\nplan = ff.Plan({'kind': ff.col('k').count_encode(min_rows=2)})\n"
    )
    for option, n_kept in (("", 0), ("--profile", 1)):
        assert run("fit", "rare.py", "data.parquet", "-o", "f", *option.split()).exit_code == 0
        judged = run("drift", "f", "data.parquet")
        assert judged.exit_code == (0 if n_kept else 2)
        assert n_kept or "no profile of its training rows: fit it with --profile" in judged.stderr


def test_names_that_would_steer_a_terminal_are_written_out(run: Run, folder: Path) -> None:
    name = "x\x1b[31m\u202e"
    then, now = (pa.table({name: [k + up for k in range(100)]}) for up in (0.0, 200.0))
    pq.write_table(now, folder / "now.parquet")
    plan = ff.Plan({f"f{name}": col(name) * 2})
    plan.fit(then, contract=ff.infer_contract(then), profile=True).save(folder / "a.fastfeat")
    for command in (
        "check a.fastfeat now.parquet",
        "drift a.fastfeat now.parquet",
        "inspect a.fastfeat",
    ):
        shown = run(*command.split(), color=True).stdout
        assert r"x\x1b[31m\u202e" in shown
        assert all(one.isprintable() or one == "\n" for one in shown)
