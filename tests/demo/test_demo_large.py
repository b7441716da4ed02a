"""The large demo on few rows, in real processes under a real limit; and what is in its way."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from typer.testing import CliRunner

from fastfeat.cli.commands import app
from fastfeat.demo import memory_limit


def test_the_demo_on_few_rows(tmp_path: Path) -> None:
    command = ["demo-large", "--dir", str(tmp_path), "--size", "2MiB", "--memory", "600MiB"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "the same bits" in result.stdout
    assert "enforced by" in result.stdout or sys.platform != "linux"
    left = {path.name for path in (tmp_path / "large").iterdir()}
    assert left == {"rows", "plan.py", "payments.fastfeat"}
    assert not list(memory_limit.GROUPS.rglob(f"fastfeat-demo-{os.getpid()}"))
