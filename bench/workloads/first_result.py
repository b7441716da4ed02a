"""A first result in a fresh process: from the start of python to features printed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from bench import features
from bench.workload import Contender, Target, Workload
from bench.workloads.row_features import SINGLE

if TYPE_CHECKING:
    import pyarrow as pa


def process(side: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that runs one side of `bench.first` as a process and returns its output."""
    folder = tempfile.TemporaryDirectory(prefix="bench-first-")
    data, artifact = Path(folder.name, "data.parquet"), Path(folder.name, "plan.fastfeat")
    pq.write_table(table, data)
    if side == "fastfeat_artifact":
        features.fastfeat_plan(12).fit(table).save(str(artifact))
    command = [sys.executable, "-m", "bench.first", side, str(data), str(artifact)]

    def run(folder: Any = folder) -> str:  # the folder lives as long as the call
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{side}: {done.stderr.strip()}")
        return done.stdout

    return run


def printed(output: Any) -> np.ndarray:
    """Return the matrix that a process printed."""
    return np.array(json.loads(output), dtype=np.float64)


FIRST_RESULT = (
    Workload(
        name="first_result",
        title="first result of a fresh process, 12 row features, warm cache",
        label="first result, new process",
        generate=features.table,
        rows=1_000,
        smoke_rows=1_000,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(process, "fastfeat"), printed),
            Contender(
                "fastfeat artifact", "fastfeat", partial(process, "fastfeat_artifact"), printed
            ),
            Contender("Polars eager", "polars", partial(process, "polars_eager"), printed),
            Contender("Polars lazy", "polars", partial(process, "polars_lazy"), printed),
            Contender("pandas", "pandas", partial(process, "pandas"), printed),
        ),
        tolerance=SINGLE,
        targets=(Target("ratio", 2, "pandas"), Target("ratio", 1, "polars")),
    ),
)
