"""`ff.certify` and the command line: exports beside their plan, and files that were changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.cli.commands import app
from fastfeat.export.record import Export

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


def small_plan() -> ff.FittedPlan:
    plan = ff.Plan({"size": col("x").log1p() * 3.0, "code": col("k").ordinal_encode()})
    return plan.fit({"x": [1.0, 2.0, None], "k": ["a", "b", "a"]})


def changed(export: Export, old: str, new: str) -> None:
    (source,) = export.path.glob("*.c")
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new))


def test_an_export_is_certified_on_data_and_extremes(tmp_path: Path) -> None:
    fitted = small_plan()
    export = fitted.export("c", tmp_path)
    found = ff.certify(export, {"x": [3.0, None], "k": ["b", None]})
    assert found.ok, str(found)
    assert [check.feature for check in found.checks] == ["size", "code"]
    assert found.n_rows > 100
    assert json.loads(found.to_json())["ok"] is True
    assert json.loads(export.to_json())["digest"] == found.digest


def test_changed_code_is_not_certified_and_the_column_is_named(tmp_path: Path) -> None:
    fitted = small_plan()
    export = fitted.export("c", tmp_path)
    changed(export, "* 0x1.8000000000000p+1", "* 0x1.8000000000001p+1")
    found = ff.certify(tmp_path, {"x": [3.0], "k": ["b"]}, fitted=fitted)
    assert not found.ok
    size, code = found.checks
    assert code.ok
    assert not size.ok
    assert (size.max_ulp, size.row) == (1.0, 0)
    assert any("SHA-256" in text for text in found.failures)
    assert any("self-test" in text for text in found.failures)


def test_another_plan_and_no_plan_are_errors(tmp_path: Path) -> None:
    small_plan().export("c", tmp_path)
    other = ff.Plan({"size": col("x") + 1}).fit({"x": [1.0]})
    with pytest.raises(ff.errors.ArtifactError, match="another fitted plan"):
        ff.certify(tmp_path, fitted=other)
    with pytest.raises(ff.errors.InvalidPlan, match="fitted="):
        ff.certify(tmp_path)
    with pytest.raises(ff.errors.ArtifactError, match="no export"):
        ff.certify(tmp_path.parent / "none", fitted=other)
    with pytest.raises(ff.errors.LibraryUnavailable, match="no-such-compiler"):
        ff.certify(tmp_path, fitted=small_plan(), engine="no-such-compiler")


def test_the_command_line_exports_and_certifies(tmp_path: Path) -> None:
    plan, folder, data = tmp_path / "p.fastfeat", tmp_path / "out", tmp_path / "rows.csv"
    small_plan().save(plan)
    data.write_text("x,k\n1.5,a\n2.5,c\n")
    run = CliRunner().invoke
    made = run(app, ["export", str(plan), str(folder), "--name", "small"])
    assert made.exit_code == 0, made.output
    assert "size: same bits" in made.output
    judge = ["certify", str(folder), str(data), "--fitted", str(plan), "--json"]
    found = run(app, judge)
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["findings"] == []
    source = folder / "small.c"
    source.write_text(source.read_text().replace("* 0x1.8000000000000p+1", "* 0x1p+1"))
    wrong = run(app, judge)
    assert wrong.exit_code == 1
    assert "size" in json.loads(wrong.stdout)["findings"]
