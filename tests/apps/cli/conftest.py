"""A folder with a plan and its data, and a way to run commands in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fastfeat.apps.cli.commands import app
from fastfeat_tests.apps.cli.small_plan import PLAN, TABLE, Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with plan.py and data.parquet in it."""
    (tmp_path / "plan.py").write_text(PLAN)
    pq.write_table(TABLE, tmp_path / "data.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Return a function that runs a command line and gives its exit code, stdout and stderr."""

    def invoke(*args: str, color: bool = False) -> Any:
        return CliRunner().invoke(app, list(args), color=color)

    return invoke
