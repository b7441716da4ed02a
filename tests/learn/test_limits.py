"""Fit of many keys in a process whose memory the system limits: the same bytes, in the budget."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from docs.demos.memory_limit import memory_limit
from fastfeat.io.host_memory import peak_memory

WARM, COLD = 150 << 20, 320 << 20
"""Beyond libraries, of which systems map more or less: where kernels are compiled, and are not."""
SLACK = 200 << 20
"""Of RLIMIT_DATA, which counts what could be written, not only what is in memory."""

LIBRARIES = """
import numba, pyarrow.compute, pyarrow.parquet
import fastfeat as ff
from fastfeat.io.host_memory import peak_memory

ff.Plan({"x": ff.col("x").standard_scale()}).fit({"x": [1.0, 2.0]})
print(peak_memory())
"""
FIT = """
import sys, warnings
import fastfeat as ff
from fastfeat import col
from fastfeat.io.host_memory import peak_memory

data, out, *memory = sys.argv[1:]
plan = ff.Plan(
    {
        "count": col("k").count_encode(),
        "mean": col("x").mean(by="k"),
        "middle": col("x").median(by="k"),
        "n": col("k").n_unique(),
        "text": col("t").ordinal_encode(),
        "pair": ff.cross(col("k"), col("t")).ordinal_encode(),
        "target": col("k").target_encode("y", folds=5),
    },
    label="y",
)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    fitted = plan.fit(data, **({"memory": int(memory[0])} if memory else {}))
peak = peak_memory()
print(peak, *sorted(one.category.__name__ for one in told))
if out:
    fitted.save(out)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")
def test_many_keys_fit_within_a_limit(tmp_path: Path) -> None:
    assert peak_memory() is not None
    n = 600_000
    random = np.random.default_rng(1)
    keys = random.permutation(n)
    columns = {"k": keys * 7919, "t": [f"u{key}" for key in keys.tolist()]}
    columns |= {"x": random.normal(size=n), "y": random.integers(0, 2, n).astype(float)}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet", row_group_size=1 << 16)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}

    def run(script: str, *arguments: object, limit: int) -> list[str]:
        with memory_limit(limit) as limited:
            command = limited.command([sys.executable, "-c", script, *map(str, arguments)])
            found = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
        return found.stdout.split()

    run(LIBRARIES, limit=8 << 30)  # compiles
    libraries = int(run(LIBRARIES, limit=8 << 30)[0])
    rows, whole, parts = tmp_path / "rows.parquet", tmp_path / "whole", tmp_path / "parts"
    in_memory = run(FIT, rows, whole, limit=8 << 30)
    _, *told = run(FIT, rows, "", libraries + COLD, limit=8 << 30)
    assert told == ["StatesOnDisk"]  # what the next process runs has been compiled
    budget = libraries + WARM
    peak, *told = run(FIT, rows, parts, budget, limit=budget + SLACK)
    assert int(peak) < budget < int(in_memory[0])
    assert told == ["StatesOnDisk"]
    assert parts.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "rows.parquet", "whole"]
