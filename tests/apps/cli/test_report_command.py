"""The command of reports: the page that it writes, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastfeat_tests.apps.cli.small_plan import Run


@pytest.fixture
def fitted_file(run: Run, folder: Path) -> Path:
    fitted = run("fit", "plan.py", "data.parquet", "-o", "p.fastfeat", "--profile")
    assert fitted.exit_code == 0, fitted.stderr
    return folder / "p.fastfeat"


def test_a_report_is_written_with_its_verdict(run: Run, folder: Path, fitted_file: Path) -> None:
    result = run("report", fitted_file.name, "data.parquet", "-o", "page.html")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("page.html: ")
    page = (folder / "page.html").read_text("utf-8")
    assert "<title>p.fastfeat</title>" in page
    assert "Costs by step" in page


def test_a_report_of_the_plan_alone_needs_no_rows(
    run: Run, folder: Path, fitted_file: Path
) -> None:
    result = run("report", fitted_file.name, "-o", "mine.html", "--title", "Mine")
    assert result.stdout == (
        "mine.html: No rows to compare: this report covers only the plan and its training rows\n"
    )
    assert "<title>Mine</title>" in (folder / "mine.html").read_text("utf-8")


def test_what_is_not_there_is_an_error(run: Run, folder: Path, fitted_file: Path) -> None:
    for names in (["none.fastfeat"], [fitted_file.name, "none.parquet"]):
        assert run("report", *names, "-o", "page.html").exit_code == 2
        assert "page.html" not in {path.name for path in folder.iterdir()}


def test_a_report_is_told_where_it_goes(run: Run, folder: Path, fitted_file: Path) -> None:
    before = sorted(folder.iterdir())
    result = run("report", fitted_file.name)
    assert (result.exit_code, sorted(folder.iterdir())) == (2, before)
    assert "Missing option '-o' / '--out'" in result.stderr
