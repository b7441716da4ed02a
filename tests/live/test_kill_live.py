"""kill -9 at random points of answering, commit, compaction and creation: nothing lost or other."""

from __future__ import annotations

import ast
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fastfeat_tests.patience import PATIENCE_S

_KILLING = Path(__file__).parent / "killing.py"


@pytest.mark.parametrize(
    ("durability", "n_kills"),
    [
        ("checkpoint", 8),
        ("commit", 4),
        ("interval", 4),
        pytest.param("checkpoint", 200, marks=pytest.mark.slow),
        pytest.param("commit", 100, marks=pytest.mark.slow),
        pytest.param("interval", 100, marks=pytest.mark.slow),
    ],
)
def test_a_killed_worker_goes_on_with_the_same_bits(tmp_path, durability, n_kills):
    seed = random.SystemRandom().randrange(1 << 31)
    folder = tmp_path / "state"
    folder.mkdir()
    given = [str(folder), str(n_kills), str(seed), durability]
    done = subprocess.run(
        [sys.executable, str(_KILLING), *given],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S + 5 * n_kills,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, f"seed {seed}: {done.stdout}\n{done.stderr}"
    ends = ast.literal_eval(done.stdout.splitlines()[-1])
    n_killed = sum(n for how, n in ends.items() if how in ("time", "statement", "inside"))
    assert n_killed >= n_kills // 2, f"seed {seed}: {ends}"
