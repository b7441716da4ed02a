"""The trust demo, of a fifth of the flights: what is broken is found, and what is not is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import fastfeat as ff
from docs.demos import trust
from docs.demos.commands import app
from docs.demos.trust import ARTIFACT, REPORT, RULES, Outcome
from docs.demos.trust_faults import FAULTS
from docs.demos.trust_summary import print_trust


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return trust.run(tmp_path_factory.mktemp("demo") / "trust", lambda told: None, every=5)


def test_eleven_faults_are_found_and_no_other(outcome: Outcome) -> None:
    assert outcome.ok
    assert outcome.n_found == len(FAULTS) == 11
    for one in outcome.caught:
        if one.fault.found_by is None:  # no rule can tell: the profile does
            assert not one.rules
            assert {"clock_differs", "hour_sin", "hour_cos"} <= set(one.drifted)
        else:
            assert one.fault.found_by in one.rules
    assert outcome.quiet.check.ok
    assert outcome.quiet.drift.ok
    assert outcome.changed.check.ok  # nothing is wrong with these flights
    assert {"origin_EWR", "origin_LGA"} <= set(outcome.changed.drift.drifted)
    assert outcome.report.drift is not None
    assert {"origin_EWR", "origin_LGA"} <= set(outcome.report.drift.drifted)


def test_a_refit_keeps_codes_where_it_is_told_to(outcome: Outcome) -> None:
    assert outcome.refitted.verdict == "major"
    assert outcome.refitted.of_kind("codes reassigned")
    assert outcome.kept.verdict in ("minor", "refit")


def test_files_and_the_screen_begin_with_the_verdict(
    outcome: Outcome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    print_trust(outcome)
    lines = capsys.readouterr().out.splitlines()
    verdict = outcome.report.verdict
    assert verdict[:60] in "\n".join(lines[:6])
    assert any("11 of 11 faults found in October" in line for line in lines)
    assert all(len(line) <= 100 for line in lines[: lines.index("Next")])
    fitted = ff.load(outcome.folder / ARTIFACT)
    december = pq.read_table(outcome.folder / "december.parquet")
    assert fitted.check(december).counts == outcome.changed.check.counts
    rules = ff.Contract.from_json((outcome.folder / RULES).read_text("utf-8"))
    assert rules == fitted.contract
    assert "<script" not in (outcome.folder / REPORT).read_text("utf-8")


def test_the_command_ends_with_1_where_something_is_amiss(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replace(outcome.caught[0], rules=(), drifted=())
    for caught, code in ((outcome.caught, 0), ((first, *outcome.caught[1:]), 1)):
        made = replace(outcome, caught=caught)
        monkeypatch.setattr(trust, "run", lambda *given, made=made, **options: made)
        result = CliRunner().invoke(app, ["trust", "--dir", str(tmp_path)])
        assert result.exit_code == code, result.output
        assert ("nothing found it" in result.stdout) == (code == 1)
