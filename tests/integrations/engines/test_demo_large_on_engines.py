"""The large demo on two workers of each engine: the bits are those of memory."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from docs.demos import large

pytestmark = pytest.mark.engines


@pytest.mark.parametrize(("engine", "module"), [("ray", "ray"), ("spark", "pyspark")])
def test_the_demo_on_an_engine(engine: str, module: str, tmp_path: Path) -> None:
    if find_spec(module) is None or (engine == "spark" and shutil.which("java") is None):
        pytest.skip(f"{engine} cannot run here")
    outcome = large.run(tmp_path, lambda text: None, "2MiB", "600MiB", engine)
    assert len(outcome.runs) == 3
    assert outcome.ok
    assert outcome.on_engine is not None
    assert outcome.on_engine.measured.peak > 64 << 20
    assert {path.name for path in tmp_path.iterdir()} == {"rows", "plan.py", "payments.fastfeat"}
