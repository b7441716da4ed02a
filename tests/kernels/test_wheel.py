"""The wheel: its kernels are compiled, and run from it in a process without a cache."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = """
import os, sys
with open(os.environ["SEEN"], "a") as file:
    print(*sys.orig_argv, file=file)
"""
PROGRAM = """
import sys, warnings
from fastfeat_kernels import objects
assert str(objects.FOLDER).startswith(sys.argv[1]), objects.FOLDER
import numpy as np
import fastfeat as ff
from fastfeat import col
from fastfeat.engine.kernel_cache import observe_kernels
warnings.simplefilter("ignore")
rows = {
    "k": ["a", "b", "a", "c"], "t": np.arange(4).astype("M8[h]"), "x": [1.0, None, 4.0, 2.0],
    "y": [0, 1, 1, 0],
}
plan = ff.Plan(
    {
        "window": col("x").mean(over=ff.window("1d", by="k", time="t")),
        "code": col("k").ordinal_encode(),
        "rate": col("k").target_encode("y", folds=2),
        "scaled": col("x").standard_scale(),
    },
    label="y",
)
with observe_kernels() as used:
    plan.fit_transform(rows)
print(*sorted({kernel.name for kernel in used.values() if kernel.is_compiled}))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="the wheel brings compiled kernels for x86-64 Linux alone",
)
def test_a_wheel_brings_its_kernels(tmp_path: Path) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "FASTFEAT_SHIP"}
    # as pip does, which names what it has installed for the build
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "sitecustomize.py").write_text(SITE)
    environment |= {"PYTHONPATH": str(tmp_path / "pip"), "SEEN": str(tmp_path / "seen")}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert "-m fastfeat.engine.cpu.ship" in (tmp_path / "seen").read_text()
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as content:
        content.extractall(installed)
    names = {path.name for path in installed.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {
        "fastfeat",
        "fastfeat_kernels",
    }
    environment |= {"PYTHONPATH": str(installed), "FASTFEAT_CACHE_DIR": str(tmp_path / "cache")}
    program = [sys.executable, "-c", PROGRAM, str(installed)]
    done = subprocess.run(
        program, cwd=tmp_path, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.split() == ["features"]
